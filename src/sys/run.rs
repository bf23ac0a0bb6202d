//! Runs a helper program for a moment: git for its settings, a shell for its PATH, the shim before it goes first in PATH,
//! what GOAUTH names.
//!
//! The program gets a session of its own, so that an interactive shell finds no terminal to take over, reads what it is
//! given, and is ended with everything in its group once it has said what it was asked for or the time is over.

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, mpsc,
};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, killpg};
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

/// The programs that run, and how those ended whom the supervisor of a go has reaped, which reaps all there is.
static RUNNING: Mutex<BTreeMap<u32, Option<ExitStatus>>> = Mutex::new(BTreeMap::new());
static REAPED: Condvar = Condvar::new();
/// Held for reading by whoever starts a program. Until it is known who it is, or that it could not be started (which the
/// standard library learns by waiting for it), nobody else may reap it.
static STARTING: RwLock<()> = RwLock::new(());
/// From a reaping elsewhere to the word of it.
const WORD: Duration = Duration::from_secs(5);

fn running() -> MutexGuard<'static, BTreeMap<u32, Option<ExitStatus>>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn starting() -> RwLockReadGuard<'static, ()> {
    STARTING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Leave to reap any child of this process; `None` while a program is being started. That may take long, as on a file
/// system whose server is gone, and is not waited for.
pub(crate) fn leave_to_reap() -> Option<RwLockWriteGuard<'static, ()>> {
    match STARTING.try_write() {
        Ok(leave) => Some(leave),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// A child of this process has been reaped elsewhere.
pub(crate) fn reaped(pid: i32, status: ExitStatus) {
    let Ok(pid) = u32::try_from(pid) else { return };
    if let Some(ended) = running().get_mut(&pid) {
        *ended = Some(status);
        REAPED.notify_all();
    }
}

/// Waits for the end of a program, whoever reaps it.
fn end_of(mut child: Child) -> Option<ExitStatus> {
    let pid = child.id();
    let own = child.wait().ok();
    let unknown = |running: &mut BTreeMap<u32, Option<ExitStatus>>| {
        own.is_none() && running.get(&pid).is_some_and(Option::is_none)
    };
    let waited = REAPED.wait_timeout_while(running(), WORD, unknown);
    let (mut running, _) = waited.unwrap_or_else(PoisonError::into_inner);
    let elsewhere = running.remove(&pid).flatten();
    own.or(elsewhere)
}

/// Runs `command` for no longer than `time` and returns its stdout; it may stop early behind `mark`.
pub(crate) fn within(time: Duration, command: Command, mark: Option<&[u8]>) -> Ended {
    run(time, command, Vec::new(), mark)
}

/// The same with something to read, to the end of its output.
pub(crate) fn with_input(time: Duration, command: Command, input: Vec<u8>) -> Ended {
    run(time, command, input, None)
}

fn run(time: Duration, mut command: Command, input: Vec<u8>, mark: Option<&[u8]>) -> Ended {
    command
        .stdin(if input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    new_session(&mut command);
    let starting = starting();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ended::NotStarted(error),
    };
    running().insert(child.id(), None);
    drop(starting);
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
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without having read it all is no fault.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let mark = mark.map(<[u8]>::to_vec);
    let (send, ended) = mpsc::channel();
    // The thread ends with the program, at the latest when its group is killed; what escaped the group and keeps the pipe
    // open holds up this thread only.
    std::thread::spawn(move || {
        let (output, whole) = read_until(stdout, mark.as_deref());
        if !whole {
            end_group();
        }
        let status = end_of(child).filter(|_| whole);
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
    // SAFETY: setsid(2), sigprocmask(2) and prctl(2) are async-signal-safe, and nothing else is done between fork and exec.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            // The relay's thread, which starts some of them, has every signal blocked.
            SigSet::empty().thread_set_mask()?;
            // What runs for gofix ends with it; the thread that starts it waits for its end.
            #[cfg(target_os = "linux")]
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
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

    /// As on a file system whose server is gone.
    #[test]
    #[expect(unsafe_code, reason = "a start that takes until it is told to go on")]
    fn a_start_that_hangs_holds_up_nobody_who_reaps() {
        let (mut started, mut has_started) = std::io::pipe().unwrap();
        let (mut go_on, mut let_go_on) = std::io::pipe().unwrap();
        let mut command = sh("exit 4");
        // SAFETY: read(2) and write(2) only.
        unsafe {
            command.pre_exec(move || {
                has_started.write_all(b"x")?;
                go_on.read_exact(&mut [0])
            });
        }
        let hanging = std::thread::spawn(|| within(Duration::from_secs(60), command, None));
        started.read_exact(&mut [0]).unwrap();
        assert!(leave_to_reap().is_none());
        reaped(i32::MAX, ExitStatus::default());
        let_go_on.write_all(b"x").unwrap();
        let Ended::Said(_, Some(status)) = hanging.join().unwrap() else {
            panic!("it ended");
        };
        assert_eq!(status.code(), Some(4));
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
        let Ended::Said(output, Some(status)) =
            with_input(Duration::from_secs(60), sh("cat; exit 3"), b"a\n".to_vec())
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
