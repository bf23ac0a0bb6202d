//! Signals that reach gofix while go runs: which have reached go already,
//! which are passed on, and which end everything.
//!
//! go stays in gofix's process group, so what the terminal sends (INT, QUIT,
//! TSTP, `si_code` SI_KERNEL) has reached it, unless it came before go was
//! there. What a process sent is passed on, whatever it is: go does not mind
//! most of the signals that would end gofix. A signal that was ignored or
//! blocked when gofix started is so for go as well. Of the ignored ones go
//! leaves only INT and HUP alone, and those that stop a process; the others end
//! it all the same (`runtime/signal_unix.go`), and so they are passed on, too.
//! Of the blocked ones its runtime frees those that end it ([`is_freed`]), and
//! so does gofix for itself.
//!
//! Known limitations: where the system does not say who sent a signal
//! (macOS gives no SI_KERNEL for the terminal's), it is taken for a process's
//! and passed on; a second INT makes no difference to go while it fetches. TTIN,
//! TTOU and STOP that a process sends to gofix alone stop gofix alone. Where go
//! dumped core, the status of gofix does not say so: that would take a second
//! core file.

use std::{
    io,
    mem::{self, MaybeUninit},
    os::fd::{AsRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
};

use libc::c_int;
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::Signal,
};
use tokio::net::unix::pipe::Receiver;

use super::pipe::{pipe, read_now};

/// One signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrived {
    /// Its number; those behind the last named one have no [`Signal`].
    pub(super) number: c_int,
    /// True where the terminal sent it to the whole foreground group while go ran.
    pub(super) go_has_it: bool,
}

impl Arrived {
    pub(super) fn is(self, signal: Signal) -> bool {
        self.number == signal as c_int
    }

    /// The signal, where nothing new may start any more.
    pub(super) fn end(self) -> Option<Signal> {
        ENDS.into_iter().find(|signal| self.is(*signal))
    }
}

/// Nothing new starts after one of these.
const ENDS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// The signals that are caught, beside those of [`others`].
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

/// What else would end gofix by default: go knows better what to do with it,
/// and does not mind most of it. PIPE is ignored by gofix as it is by go.
fn others() -> impl Iterator<Item = c_int> {
    const NAMED: [c_int; 12] = [
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGSEGV,
        libc::SIGSYS,
        libc::SIGALRM,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGXCPU,
        libc::SIGXFSZ,
    ];
    #[cfg(target_os = "linux")]
    let more = [libc::SIGIO, libc::SIGPWR, libc::SIGSTKFLT]
        .into_iter()
        .chain(libc::SIGRTMIN()..=libc::SIGRTMAX());
    #[cfg(not(target_os = "linux"))]
    let more = std::iter::empty();
    NAMED.into_iter().chain(more)
}

/// The end of the pipe that the handler writes to; -1 where there is none.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// Set by the handler as soon as a signal that ends everything is there, so
/// that a write that hangs on a stopped terminal can be given up.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Set by the handler where the terminal has stopped go, so that a write that
/// hangs does not keep gofix from stopping as well.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// True while go runs and gets by itself what the terminal sends to the group.
/// Set once go has been executed: what comes between fork and exec would be
/// lost in the handler that the child still has, and is passed on again.
static GO_RUNS: AtomicBool = AtomicBool::new(false);

/// Says that go has been executed, or has ended.
pub(super) fn go_runs(runs: bool) {
    GO_RUNS.store(runs, Ordering::Relaxed);
}

/// True once INT, TERM, HUP or QUIT has arrived.
pub(super) fn ending() -> bool {
    ENDING.load(Ordering::Relaxed)
}

/// What the handler writes. Written whole: it is shorter than `PIPE_BUF`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Note {
    signal: c_int,
    go_has_it: c_int,
}

const NOTE: usize = size_of::<Note>();

#[expect(
    unsafe_code,
    reason = "a signal handler; calls write(2), signal(2) and getpid(2) only, which are async-signal-safe"
)]
extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo_t to an SA_SIGINFO handler;
    // errno is saved round the write; `Note` is plain data on this stack.
    unsafe {
        let errno = errno_location();
        let saved = *errno;
        let code = if info.is_null() { 0 } else { (*info).si_code };
        if is_own_fault(signal, code) {
            // gofix's own, not a message: it ends by it once this returns.
            libc::signal(signal, libc::SIG_DFL);
            *errno = saved;
            return;
        }
        if signal == libc::SIGXFSZ && !info.is_null() && (*info).si_pid() == libc::getpid() {
            // A write of gofix's own was too much for a file: it learns that from write(2).
            *errno = saved;
            return;
        }
        let go_has_it = is_key(signal) && code == SI_KERNEL && GO_RUNS.load(Ordering::Relaxed);
        if signal == libc::SIGTSTP && go_has_it {
            STOPPING.store(true, Ordering::Relaxed);
        }
        if matches!(
            signal,
            libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT
        ) {
            ENDING.store(true, Ordering::Relaxed);
        }
        let note = Note {
            signal,
            go_has_it: c_int::from(go_has_it),
        };
        // A full pipe loses the note: it holds thousands of them, and the loop
        // empties it at every turn.
        let _ = libc::write(PIPE.load(Ordering::Relaxed), ptr::from_ref(&note).cast(), NOTE);
        *errno = saved;
    }
}

/// What the terminal sends to the whole group in front. HUP is not of them:
/// when a terminal goes away the kernel tells the leader of the session alone.
fn is_key(signal: c_int) -> bool {
    matches!(signal, libc::SIGINT | libc::SIGQUIT | libc::SIGTSTP)
}

/// A fault of the processor's, in code of gofix: the kernel gives a reason
/// above zero for it. For what a process sent it is zero or below.
fn is_own_fault(signal: c_int, code: c_int) -> bool {
    code > 0
        && matches!(
            signal,
            libc::SIGILL | libc::SIGTRAP | libc::SIGBUS | libc::SIGFPE | libc::SIGSEGV | libc::SIGSYS
        )
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
    caught: Vec<(c_int, libc::sigaction)>,
    dispositions: Dispositions,
}

/// How the signals stood that are caught here and that no exec would bring
/// back to that by itself: SIGCHLD, and those that were ignored.
#[derive(Debug, Clone, Default)]
pub(super) struct Dispositions(Vec<(c_int, libc::sighandler_t)>);

impl Dispositions {
    /// Puts them back. Only system calls, so it may run between fork and exec.
    pub(super) fn restore(&self) {
        for (signal, disposition) in &self.0 {
            set(*signal, *disposition);
        }
    }
}

/// What go leaves ignored where it finds it so.
fn stays_ignored(signal: c_int) -> bool {
    matches!(
        signal,
        libc::SIGINT | libc::SIGHUP | libc::SIGTSTP | libc::SIGCONT
    )
}

/// What go's runtime unblocks in every thread although its parent blocked it
/// (`blockableSig`): what ends it. SIGCHLD is of them, without which nobody
/// would learn that go has ended.
fn is_freed(signal: c_int) -> bool {
    #[cfg(target_os = "linux")]
    if matches!(signal, libc::SIGSTKFLT | 34) {
        return true;
    }
    matches!(
        signal,
        libc::SIGHUP
            | libc::SIGINT
            | libc::SIGQUIT
            | libc::SIGTERM
            | libc::SIGCHLD
            | libc::SIGILL
            | libc::SIGTRAP
            | libc::SIGABRT
            | libc::SIGBUS
            | libc::SIGFPE
            | libc::SIGSEGV
            | libc::SIGSYS
            | libc::SIGPROF
            | libc::SIGXFSZ
    )
}

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        let (notes, write_end) = pipe()?;
        // The handler must never wait.
        let flags = OFlag::from_bits_retain(fcntl(&write_end, FcntlArg::F_GETFL)?);
        fcntl(&write_end, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        PIPE.store(write_end.as_raw_fd(), Ordering::Relaxed);
        let mut caught = Vec::new();
        let mut dispositions = Dispositions::default();
        for signal in CAUGHT.map(|signal| signal as c_int).into_iter().chain(others()) {
            let old = current(signal)?;
            let ignored = old.sa_sigaction == libc::SIG_IGN;
            if ignored && stays_ignored(signal) {
                continue;
            }
            if ignored || signal == libc::SIGCHLD {
                dispositions.0.push((signal, old.sa_sigaction));
            }
            install(signal)?;
            caught.push((signal, old));
        }
        let freed = caught.iter().map(|(signal, _)| *signal);
        unblock(freed.filter(|signal| is_freed(*signal)))?;
        Ok(Self {
            notes,
            _write_end: write_end,
            caught,
            dispositions,
        })
    }

    /// How signals stood at the start, for the child to start the same way.
    pub(super) fn before(&self) -> &Dispositions {
        &self.dispositions
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

    /// Sees to what has arrived while no go runs, and returns the signal that
    /// asked for an end, if one is among it.
    pub(super) fn settle(&self) -> Option<Signal> {
        let mut end = None;
        while let Ok(Some(arrived)) = self.take() {
            end = end.or_else(|| arrived.end());
            let _ = stop_for(arrived);
        }
        end
    }

    /// Lets the signals that end or stop a process do so again by themselves:
    /// all that is left is to write, and a write may hang for long. Returns the
    /// one that had asked for an end before.
    pub(super) fn release(&self) -> Option<Signal> {
        for (signal, old) in &self.caught {
            if *signal == libc::SIGTSTP {
                restore(*signal, old);
            } else if ENDS.iter().any(|end| *end as c_int == *signal) {
                // Go would have died of it even where it was ignored.
                set(*signal, libc::SIG_DFL);
            }
        }
        self.settle()
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
                Ok(Some(Arrived {
                    number: field(0),
                    go_has_it: field(4) != 0,
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
fn stop_as(signal: Signal) -> io::Result<()> {
    let old = current(signal as c_int)?;
    set(signal as c_int, libc::SIG_DFL);
    nix::sys::signal::raise(signal)?;
    restore(signal as c_int, &old);
    Ok(())
}

/// Stops this process where the signal is the one that asks for it.
pub(super) fn stop_for(arrived: Arrived) -> io::Result<()> {
    match arrived {
        arrived if !arrived.is(Signal::SIGTSTP) => Ok(()),
        Arrived { go_has_it: true, .. } => stop_with_go(),
        _ => stop_as(Signal::SIGTSTP),
    }
}

/// Stops this process where the terminal has stopped go, once for each time.
pub(super) fn stop_with_go() -> io::Result<()> {
    if STOPPING.swap(false, Ordering::Relaxed) {
        stop_as(Signal::SIGTSTP)?;
    }
    Ok(())
}

/// Ends this process by `signal`, as the child was ended. Returns where the
/// system would not have it (pid 1 of a namespace, a signal that stops).
pub(super) fn die_of(signal: i32) {
    set(signal, libc::SIG_DFL);
    #[expect(unsafe_code, reason = "setrlimit(2)")]
    // SAFETY: plain system calls with valid arguments.
    unsafe {
        // The child has dumped what there was to dump.
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
    }
    let _ = unblock([signal]);
    #[expect(unsafe_code, reason = "no safe way to raise a number")]
    // SAFETY: a plain system call.
    unsafe {
        libc::raise(signal);
    }
}

fn unblock(signals: impl IntoIterator<Item = c_int>) -> io::Result<()> {
    #[expect(unsafe_code, reason = "nix has no names for the real-time signals")]
    // SAFETY: the set is filled in before it is used.
    unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        match libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut()) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn install(signal: c_int) -> io::Result<()> {
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
            | if signal == libc::SIGCHLD {
                libc::SA_NOCLDSTOP
            } else {
                0
            };
        libc::sigemptyset(&raw mut action.sa_mask);
        if libc::sigaction(signal, &raw const action, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn current(signal: c_int) -> io::Result<libc::sigaction> {
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    #[expect(unsafe_code, reason = "reading a disposition")]
    // SAFETY: a null new action only reads; `old` is valid for writing.
    unsafe {
        if libc::sigaction(signal, ptr::null(), old.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(old.assume_init())
    }
}

fn restore(signal: c_int, old: &libc::sigaction) {
    #[expect(unsafe_code, reason = "putting a disposition back")]
    // SAFETY: `old` came from sigaction.
    unsafe {
        libc::sigaction(signal, ptr::from_ref(old), ptr::null_mut());
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
