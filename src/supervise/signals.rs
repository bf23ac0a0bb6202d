//! Signals that reach gofix while go runs: which have reached go already,
//! which are passed on, and which end everything.
//!
//! go stays in gofix's process group, so what the terminal sends (INT, QUIT,
//! TSTP, `si_code` SI_KERNEL) has reached it. What a process sent is passed
//! on. A signal that was ignored or blocked when gofix started stays so for
//! both: no handler is installed for an ignored one, and the mask goes on to
//! the child.
//!
//! Known to be imperfect: where the system does not say who sent a signal
//! (macOS gives no SI_KERNEL for the terminal's), it is taken for a process's
//! and passed on; a second INT makes no difference to go while it fetches.

use std::{
    io,
    mem::{self, MaybeUninit},
    os::fd::{AsRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
};

use libc::c_int;
use nix::{
    fcntl::OFlag,
    sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask},
    unistd::pipe2,
};
use tokio::net::unix::pipe::Receiver;

use super::streams::read_now;

/// One signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) signal: Signal,
    /// True where the terminal sent it to the whole foreground group.
    pub(super) from_terminal: bool,
}

impl Arrived {
    /// True where nothing new may start any more.
    pub(super) fn ends(self) -> bool {
        matches!(
            self.signal,
            Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT
        )
    }
}

/// The signals that are caught.
const CAUGHT: [Signal; 9] = [
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTSTP,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
    Signal::SIGCHLD,
];

/// The end of the pipe that the handler writes to; -1 where there is none.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// Set by the handler as soon as a signal that ends everything is there, so
/// that a write that hangs on a stopped terminal can be given up.
static ENDING: AtomicBool = AtomicBool::new(false);

/// True once INT, TERM, HUP or QUIT has arrived.
pub(super) fn ending() -> bool {
    ENDING.load(Ordering::Relaxed)
}

/// What the handler writes. Written whole: it is shorter than `PIPE_BUF`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Note {
    signal: c_int,
    from_terminal: c_int,
}

const NOTE: usize = size_of::<Note>();

#[expect(
    unsafe_code,
    reason = "a signal handler; calls write(2) only, which is async-signal-safe"
)]
extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo_t to an SA_SIGINFO handler;
    // errno is saved round the write; `Note` is plain data on this stack.
    unsafe {
        let errno = errno_location();
        let saved = *errno;
        let code = if info.is_null() { 0 } else { (*info).si_code };
        if matches!(
            signal,
            libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT
        ) {
            ENDING.store(true, Ordering::Relaxed);
        }
        let note = Note {
            signal,
            from_terminal: c_int::from(code == SI_KERNEL),
        };
        // A full pipe loses the note; nine kinds of signal never fill 64 KiB
        // that the loop empties at every turn.
        let _ = libc::write(PIPE.load(Ordering::Relaxed), ptr::from_ref(&note).cast(), NOTE);
        *errno = saved;
    }
}

#[cfg(target_os = "linux")]
const SI_KERNEL: c_int = libc::SI_KERNEL;
#[cfg(not(target_os = "linux"))]
const SI_KERNEL: c_int = 0x80;

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "errno has no safe address")]
unsafe fn errno_location() -> *mut c_int {
    // SAFETY: always valid for the calling thread.
    unsafe { libc::__errno_location() }
}
#[cfg(not(target_os = "linux"))]
#[expect(unsafe_code, reason = "errno has no safe address")]
unsafe fn errno_location() -> *mut c_int {
    // SAFETY: always valid for the calling thread.
    unsafe { libc::__error() }
}

/// The signals of this process, caught, until it is dropped.
pub(super) struct Signals {
    notes: Receiver,
    _write_end: OwnedFd,
    caught: Vec<(Signal, libc::sigaction)>,
    sigchld: libc::sighandler_t,
}

impl Signals {
    /// Catches the signals.
    pub(super) fn catch() -> io::Result<Self> {
        let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        PIPE.store(write_end.as_raw_fd(), Ordering::Relaxed);
        let mut caught = Vec::with_capacity(CAUGHT.len());
        let mut sigchld = libc::SIG_DFL;
        for signal in CAUGHT {
            let old = current(signal)?;
            if signal == Signal::SIGCHLD {
                sigchld = old.sa_sigaction;
            } else if old.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            install(signal)?;
            caught.push((signal, old));
        }
        // Without SIGCHLD nobody would learn that go has ended.
        let mut chld = SigSet::empty();
        chld.add(Signal::SIGCHLD);
        pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&chld), None)?;
        Ok(Self {
            notes: Receiver::from_owned_fd(read_end)?,
            _write_end: write_end,
            caught,
            sigchld,
        })
    }

    /// How SIGCHLD stood at the start, for the child to start the same way.
    pub(super) fn sigchld_before(&self) -> libc::sighandler_t {
        self.sigchld
    }

    /// Waits until a signal has arrived.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.notes.readable().await
    }

    /// The next signal.
    pub(super) async fn next(&self) -> io::Result<Arrived> {
        loop {
            self.notes.readable().await?;
            if let Some(arrived) = self.take()? {
                return Ok(arrived);
            }
        }
    }

    /// Takes what has arrived, and returns the signal that ends everything if
    /// it is among it.
    pub(super) fn take_end(&self) -> Option<Signal> {
        std::iter::from_fn(|| self.take().ok().flatten())
            .find(|arrived| arrived.ends())
            .map(|end| end.signal)
    }

    /// A signal that has arrived already.
    pub(super) fn take(&self) -> io::Result<Option<Arrived>> {
        let mut bytes = [0u8; NOTE];
        match read_now(&self.notes, &mut bytes) {
            Ok(NOTE) => {
                let field = |at: usize| {
                    let mut field = [0u8; 4];
                    field.copy_from_slice(&bytes[at..at + 4]);
                    c_int::from_ne_bytes(field)
                };
                let signal = Signal::try_from(field(0))?;
                Ok(Some(Arrived {
                    signal,
                    from_terminal: field(4) != 0,
                }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (signal, old) in &self.caught {
            restore(*signal, old);
        }
        PIPE.store(-1, Ordering::Relaxed);
    }
}

/// Stops this process as the signal would have done by itself. A process
/// group without a shell is not stopped: the kernel drops TSTP there.
pub(super) fn stop_as(signal: Signal) -> io::Result<()> {
    let old = current(signal)?;
    set(signal as c_int, libc::SIG_DFL);
    nix::sys::signal::raise(signal)?;
    restore(signal, &old);
    Ok(())
}

/// Ends this process by `signal`, as the child was ended. Returns where the
/// system would not have it (pid 1 of a namespace, a signal that stops).
pub(super) fn die_of(signal: i32) {
    set(signal, libc::SIG_DFL);
    #[expect(unsafe_code, reason = "no safe way to limit core files and raise a number")]
    // SAFETY: plain system calls with valid arguments.
    unsafe {
        // The child has dumped what there was to dump.
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        let mut only = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(only.as_mut_ptr());
        libc::sigaddset(only.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, only.as_ptr(), ptr::null_mut());
        libc::raise(signal);
    }
}

fn install(signal: Signal) -> io::Result<()> {
    #[expect(
        unsafe_code,
        reason = "nix's SigHandler cannot be restored from what stood before"
    )]
    // SAFETY: the handler is async-signal-safe; the structure is zeroed and filled.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler as *const () as libc::sighandler_t;
        // No SA_RESTART: a write that hangs on a stopped terminal must come back.
        action.sa_flags = libc::SA_SIGINFO
            | if signal == Signal::SIGCHLD {
                libc::SA_NOCLDSTOP
            } else {
                0
            };
        libc::sigemptyset(&raw mut action.sa_mask);
        if libc::sigaction(signal as c_int, &raw const action, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn current(signal: Signal) -> io::Result<libc::sigaction> {
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    #[expect(unsafe_code, reason = "reading a disposition")]
    // SAFETY: a null new action only reads; `old` is valid for writing.
    unsafe {
        if libc::sigaction(signal as c_int, ptr::null(), old.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(old.assume_init())
    }
}

fn restore(signal: Signal, old: &libc::sigaction) {
    #[expect(unsafe_code, reason = "putting a disposition back")]
    // SAFETY: `old` came from sigaction.
    unsafe {
        libc::sigaction(signal as c_int, ptr::from_ref(old), ptr::null_mut());
    }
}

pub(super) fn set(signal: c_int, disposition: libc::sighandler_t) {
    #[expect(
        unsafe_code,
        reason = "SIG_DFL and SIG_IGN by number, also between fork and exec"
    )]
    // SAFETY: `disposition` is SIG_DFL, SIG_IGN or what stood there before.
    unsafe {
        libc::signal(signal, disposition);
    }
}
