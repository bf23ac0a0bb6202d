//! What exec keeps and gofix itself needs otherwise: SIGPIPE, the signal mask, descriptors 0 to 2. They are
//! noted before anything else happens, and every go gets them back as they were.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How this process was started.
#[derive(Clone, Copy)]
pub struct StartState {
    sigpipe_ignored: bool,
    mask: libc::sigset_t,
    closed: [bool; 3],
}

impl StartState {
    /// Notes the state of the process. Closed descriptors of 0 to 2 are opened onto /dev/null, so that no
    /// file or socket of gofix's own lands where others expect stdin, stdout or stderr; they are closed again
    /// by every exec. SIGPIPE is ignored from here on, and writes fail with EPIPE instead.
    #[expect(unsafe_code, reason = "sigaction(2), pthread_sigmask(3), fcntl(2), open(2)")]
    pub fn capture() -> Self {
        let mut state = Self {
            sigpipe_ignored: false,
            mask: empty_mask(),
            closed: [false; 3],
        };
        // SAFETY: the structs are plain data that the calls fill in; the path has a NUL behind it.
        unsafe {
            let mut old = MaybeUninit::<libc::sigaction>::zeroed();
            if libc::sigaction(libc::SIGPIPE, std::ptr::null(), old.as_mut_ptr()) == 0 {
                state.sigpipe_ignored = old.assume_init().sa_sigaction == libc::SIG_IGN;
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), &mut state.mask);
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            // open(2) takes the lowest free number: in this order each descriptor ends up where it was missing.
            for (fd, closed) in (0..).zip(&mut state.closed) {
                if libc::fcntl(fd, libc::F_GETFD) < 0 {
                    *closed = true;
                    libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
                }
            }
        }
        state
    }

    /// The signals that were blocked when gofix started.
    pub fn mask(&self) -> &libc::sigset_t {
        &self.mask
    }

    /// Makes a child start as this process did: SIGPIPE and the signal mask (which std resets in every child),
    /// and of 0 to 2 those closed that were, except 1 and 2 where the caller reads them (`is_read`).
    #[expect(unsafe_code, reason = "runs between fork and exec")]
    pub fn restore_in(&self, command: &mut Command, is_read: bool) {
        let mut state = *self;
        if is_read {
            state.closed[1..].fill(false);
        }
        // SAFETY: `restore` makes system calls only.
        unsafe {
            command.pre_exec(move || {
                state.restore();
                Ok::<(), io::Error>(())
            });
        }
    }

    /// Puts this process back into the state that it was started in. Only system calls, so it may run between
    /// fork and exec.
    #[expect(unsafe_code, reason = "signal(2), pthread_sigmask(3), close(2)")]
    pub fn restore(&self) {
        let action = if self.sigpipe_ignored {
            libc::SIG_IGN
        } else {
            libc::SIG_DFL
        };
        // SAFETY: plain system calls on what `capture` noted.
        unsafe {
            libc::signal(libc::SIGPIPE, action);
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.mask, std::ptr::null_mut());
            for (fd, closed) in (0..).zip(self.closed) {
                if closed {
                    libc::close(fd);
                }
            }
        }
    }
}

#[expect(unsafe_code, reason = "sigemptyset(3)")]
fn empty_mask() -> libc::sigset_t {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset fills in the whole set.
    unsafe {
        libc::sigemptyset(mask.as_mut_ptr());
        mask.assume_init()
    }
}

impl std::fmt::Debug for StartState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartState")
            .field("sigpipe_ignored", &self.sigpipe_ignored)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
