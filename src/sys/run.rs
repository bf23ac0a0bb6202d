//! Runs a helper program for a moment: git for its settings, a shell for its PATH, the shim before it goes first in PATH.
//!
//! The program gets a session of its own, so that an interactive shell finds no terminal to take over, reads nothing, and is
//! ended with everything in its group once it has said what it was asked for or the time is over.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// More than this nobody was asked for.
const MAX_OUTPUT: u64 = 1 << 20;

/// How it ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself, or once its output held what was waited for (then without a status that means anything).
    Said(Vec<u8>, Option<ExitStatus>),
    /// It could not be started.
    NotStarted(std::io::Error),
    /// The time was over.
    TooLate,
}

/// Runs `command` for no longer than `time` and returns its stdout; it may stop early behind `mark`.
pub(crate) fn within(time: Duration, mut command: Command, mark: Option<&[u8]>) -> Ended {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    new_session(&mut command);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ended::NotStarted(error),
    };
    let group = i32::try_from(child.id()).ok().map(Pid::from_raw);
    let end_group = move || {
        if let Some(group) = group {
            // What is already gone needs no signal.
            let _ = killpg(group, Signal::SIGKILL);
        }
    };
    let Some(stdout) = child.stdout.take() else {
        return Ended::TooLate;
    };
    let mark = mark.map(<[u8]>::to_vec);
    let (send, ended) = mpsc::channel();
    // The thread ends with the program, at the latest when its group is killed; what escaped the group and keeps the pipe
    // open holds up this thread only.
    std::thread::spawn(move || {
        let (output, whole) = read_until(stdout, mark.as_deref());
        if !whole {
            end_group();
        }
        let status = child.wait().ok().filter(|_| whole);
        send.send((output, status))
    });
    match ended.recv_timeout(time) {
        Ok((output, status)) => Ended::Said(output, status),
        Err(_) => {
            end_group();
            Ended::TooLate
        }
    }
}

/// The output up to the mark, and whether it is all there was.
fn read_until(stdout: impl Read, mark: Option<&[u8]>) -> (Vec<u8>, bool) {
    let mut stdout = stdout.take(MAX_OUTPUT);
    let mut output = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stdout.read(&mut buffer) {
            Ok(0) | Err(_) => return (output, true),
            Ok(count) => output.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
        if mark.is_some_and(|mark| memchr::memmem::find(&output, mark).is_some()) {
            return (output, false);
        }
    }
}

#[expect(unsafe_code, reason = "std starts no session")]
fn new_session(command: &mut Command) {
    // SAFETY: setsid(2) is async-signal-safe, and nothing else is done between fork and exec.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_that_never_ends_is_ended() {
        let started = within(Duration::from_millis(50), sh("sleep 1000 & wait"), None);
        assert!(matches!(started, Ended::TooLate));
        let silent = within(Duration::from_millis(50), sh("exec >&-; sleep 1000"), None);
        assert!(matches!(silent, Ended::TooLate));
    }

    #[test]
    fn the_output_counts_up_to_the_mark_and_the_rest_is_ended() {
        let Ended::Said(output, status) = within(
            Duration::from_secs(60),
            sh("echo a MARK; sleep 1000"),
            Some(b"MARK"),
        ) else {
            panic!("it said what it had to");
        };
        assert_eq!((output.as_slice(), status), (&b"a MARK\n"[..], None));
    }

    #[test]
    fn the_status_is_that_of_a_program_that_ended_by_itself() {
        let Ended::Said(output, Some(status)) = within(Duration::from_secs(60), sh("echo a; exit 3"), None)
        else {
            panic!("it ended");
        };
        assert_eq!((output.as_slice(), status.code()), (&b"a\n"[..], Some(3)));
        assert!(matches!(
            within(Duration::from_secs(1), Command::new("/nowhere"), None),
            Ended::NotStarted(_)
        ));
    }
}
