//! A terminal for commands that must have one.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;

use super::Run;

/// A command in a session and a terminal of its own, which is its stdin, stdout and
/// stderr. It is killed if it is dropped before it was waited for.
#[derive(Debug)]
pub(crate) struct Pty {
    child: Child,
    master: File,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shown {
    text: String,
    ended: bool,
}

impl Pty {
    /// Starts the command in a new terminal.
    pub(crate) fn spawn(run: Run) -> Self {
        let (child, master) = Self::spawn_unread(run);
        let shown = Arc::default();
        let reader = spawn_reader(master.try_clone().expect("a descriptor"), Arc::clone(&shown));
        Self {
            child,
            master,
            shown,
            reader: Some(reader),
        }
    }

    /// The same without anybody who reads: the terminal is gone when the returned end is
    /// dropped.
    pub(crate) fn spawn_unread(mut run: Run) -> (Child, File) {
        let pair = openpty(None, None).expect("a pseudo terminal");
        // A child that had this end, too, would keep its own terminal alive.
        for end in [&pair.master, &pair.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("a descriptor");
        }
        let end = |slave: &OwnedFd| Stdio::from(slave.try_clone().expect("a descriptor"));
        run.command
            .stdin(end(&pair.slave))
            .stdout(end(&pair.slave))
            .stderr(end(&pair.slave));
        #[expect(unsafe_code, reason = "a new session must be made between fork and exec")]
        // SAFETY: setsid and ioctl are async-signal-safe and nothing else is called.
        unsafe {
            run.command.pre_exec(|| {
                nix::unistd::setsid()?;
                if libc::ioctl(0, libc::TIOCSCTTY as _, 0) == -1 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = run.command.spawn().expect("the program starts");
        drop(pair.slave);
        drop(run);
        (child, File::from(pair.master))
    }

    /// The process id, which is its session and process group too.
    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.child.id().try_into().expect("a process id"))
    }

    /// The process group in front.
    pub(crate) fn foreground(&self) -> nix::unistd::Pid {
        nix::unistd::tcgetpgrp(&self.master).expect("a terminal has a group in front")
    }

    /// The settings of the terminal: echo, line mode and all.
    pub(crate) fn settings(&self) -> nix::sys::termios::Termios {
        nix::sys::termios::tcgetattr(&self.master).expect("a terminal has settings")
    }

    /// Gives the terminal another size; the kernel tells the group in front (SIGWINCH).
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = libc::winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        #[expect(unsafe_code, reason = "nix has no word for TIOCSWINSZ")]
        // SAFETY: the descriptor is open, and the kernel reads one winsize.
        let rc = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(rc, 0, "the terminal takes a size");
    }

    /// Types; `\x03` is Ctrl-C, `\x1a` Ctrl-Z, `\x1c` Ctrl-\.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.master
            .write_all(text.as_bytes())
            .expect("the terminal takes input");
    }

    /// Waits until the terminal shows this text; panics with what it shows if it
    /// never does.
    #[track_caller]
    pub(crate) fn expect(&self, text: &str) {
        let limit = Instant::now() + Duration::from_secs(60);
        let (lock, changed) = &*self.shown;
        let mut shown = lock.lock().expect("no reader panicked");
        while !shown.text.contains(text) {
            let left = limit.saturating_duration_since(Instant::now());
            assert!(!shown.ended && !left.is_zero(), "no `{text}` in: {}", shown.text);
            shown = changed.wait_timeout(shown, left).expect("no reader panicked").0;
        }
    }

    /// Waits for the command's end; its status and all that the terminal showed.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("the process can be waited for");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends with the terminal");
        }
        let text = self.shown.0.lock().expect("no reader panicked").text.clone();
        (status, text)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Reads until every process has closed the terminal (Linux then says EIO).
fn spawn_reader(mut master: File, shown: Arc<(Mutex<Shown>, Condvar)>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        loop {
            let read = master.read(&mut bytes).unwrap_or(0);
            let mut state = shown.0.lock().expect("nobody panicked");
            state.text.push_str(&String::from_utf8_lossy(&bytes[..read]));
            state.ended = read == 0;
            shown.1.notify_all();
            if read == 0 {
                return;
            }
        }
    })
}
