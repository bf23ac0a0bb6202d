//! Starts the real go and learns how it ended.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Command, ExitStatus, Stdio},
};

use gofix_shim::{RealGo, StartState};
use nix::{errno::Errno, sys::signal::Signal, unistd::Pid};

use super::signals::{self, Arrived, Dispositions};
use crate::sys::run;

/// What one run of go differs in from what the user typed.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// Arguments without the name of the program.
    pub(super) args: Vec<OsString>,
    /// Variables that are set for it.
    pub(super) changes: Vec<(&'static str, OsString)>,
}

/// A go that runs.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    ended: Option<ExitStatus>,
}

/// Where go's stdout and stderr go, if not where gofix's own do.
pub(super) struct Sinks {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Child {
    pub(super) fn start(
        go: &RealGo,
        plan: &Plan,
        sinks: Option<Sinks>,
        start: &StartState,
        before: &Dispositions,
    ) -> io::Result<Self> {
        let mut command: Command = go.command(&plan.changes)?;
        command.args(&plan.args);
        // A go whose stderr the user has closed is read all the same. Its runtime would have opened /dev/null there.
        start.restore_in(&mut command, sinks.is_some());
        if let Some(sinks) = sinks {
            command
                .stdout(Stdio::from(sinks.stdout))
                .stderr(Stdio::from(sinks.stderr));
        }
        let me = nix::unistd::getpid();
        let before = before.clone();
        #[expect(unsafe_code, reason = "what std has no word for between fork and exec")]
        // SAFETY: only async-signal-safe system calls.
        unsafe {
            command.pre_exec(move || {
                before.restore();
                die_with(me)
            });
        }
        let child = command.spawn()?;
        signals::go_runs(true);
        let pid = Pid::from_raw(child.id().cast_signed());
        Ok(Self { pid, ended: None })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Sees to a signal that has reached this process: what the terminal sent
    /// has reached go already, the rest is passed on.
    pub(super) fn signalled(&self, arrived: Arrived) -> io::Result<()> {
        if arrived.is(Signal::SIGCHLD) {
            return Ok(());
        }
        if !arrived.go_has_it {
            self.signal(arrived.number);
        }
        signals::stop_for(arrived)
    }

    /// Passes a signal on, while go runs.
    #[expect(unsafe_code, reason = "nix has no names for the real-time signals")]
    fn signal(&self, number: libc::c_int) {
        if self.ended.is_none() {
            // SAFETY: a plain system call; the child has not been reaped, so the pid is its own.
            unsafe {
                libc::kill(self.pid.as_raw(), number);
            }
        }
    }

    /// Reaps whatever has ended and says how go did, once it has.
    pub(super) fn poll(&mut self) -> io::Result<Option<ExitStatus>> {
        while self.ended.is_none() {
            let Some((dead, status)) = reap(Some(self.pid))? else {
                return Ok(None);
            };
            if dead == self.pid {
                signals::go_runs(false);
                self.ended = Some(status);
            }
        }
        Ok(self.ended)
    }
}

/// Reaps one child that has ended, if there is one: go itself, or what was
/// left to this process. While a program is being started it is go alone.
fn reap(go: Option<Pid>) -> io::Result<Option<(Pid, ExitStatus)>> {
    let leave = run::leave_to_reap();
    let whom = match (&leave, go) {
        (Some(_), _) => -1,
        (None, Some(go)) => go.as_raw(),
        (None, None) => return Ok(None),
    };
    let mut status = 0;
    loop {
        #[expect(unsafe_code, reason = "the raw status, which ExitStatus is made from")]
        // SAFETY: `status` is valid for writing.
        let dead = unsafe { libc::waitpid(whom, &raw mut status, libc::WNOHANG) };
        match dead {
            0 => return Ok(None),
            1.. => {
                let status = ExitStatus::from_raw(status);
                run::reaped(dead, status);
                return Ok(Some((Pid::from_raw(dead), status)));
            }
            _ => match Errno::last() {
                Errno::EINTR => {}
                error => return Err(error.into()),
            },
        }
    }
}

/// Reaps what has been left to this process and is dead.
pub(super) fn reap_orphans() {
    while let Ok(Some(_)) = reap(None) {}
}

#[cfg(target_os = "linux")]
fn die_with(parent: Pid) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // It may have gone before the line above.
    if nix::unistd::getppid() == parent {
        Ok(())
    } else {
        Err(Errno::ECHILD.into())
    }
}
#[cfg(not(target_os = "linux"))]
fn die_with(_parent: Pid) -> io::Result<()> {
    Ok(())
}

/// How go ended, in the words that Go's own `os/exec` has for it.
pub(super) fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("signal: {}", signal_word(signal)),
            Err(_) => format!("signal: {number}"),
        },
        (None, None) => "unknown status".to_owned(),
    }
}

fn signal_word(signal: Signal) -> &'static str {
    match signal {
        Signal::SIGINT => "interrupt",
        Signal::SIGTERM => "terminated",
        Signal::SIGKILL => "killed",
        Signal::SIGHUP => "hangup",
        Signal::SIGQUIT => "quit",
        Signal::SIGPIPE => "broken pipe",
        Signal::SIGABRT => "aborted",
        Signal::SIGSEGV => "segmentation fault",
        other => other.as_str(),
    }
}
