//! Ctrl-C during a rehearsal: what runs is ended and the temporary folders are
//! removed, and only then gofix dies of the signal.

use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

/// The signal that arrived; 0 if none did.
static ARRIVED: AtomicI32 = AtomicI32::new(0);

const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Takes the signals from now on; those that were ignored stay ignored. Children do
/// not inherit this.
pub(super) fn watch() {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
    for signal in SIGNALS {
        #[expect(unsafe_code, reason = "a signal handler can be installed in no other way")]
        // SAFETY: the handler does nothing but store into an atomic.
        let before = unsafe { sigaction(signal, &action) };
        if let Ok(before) = before
            && matches!(before.handler(), SigHandler::SigIgn)
        {
            set_default(signal, SigHandler::SigIgn);
        }
    }
}

extern "C" fn note(signal: libc::c_int) {
    ARRIVED.store(signal, Ordering::Relaxed);
}

/// Whether a signal arrived since [`watch`].
pub(super) fn was_interrupted() -> bool {
    ARRIVED.load(Ordering::Relaxed) != 0
}

/// Dies of the signal that arrived, if one did.
pub(super) fn die_of_it() {
    if let Ok(signal) = Signal::try_from(ARRIVED.load(Ordering::Relaxed)) {
        set_default(signal, SigHandler::SigDfl);
        // If even this fails the caller ends with an exit status.
        let _ = raise(signal);
    }
}

fn set_default(signal: Signal, handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    #[expect(unsafe_code, reason = "nix marks every change of a disposition so")]
    // SAFETY: neither SIG_DFL nor SIG_IGN runs code of ours.
    let _ = unsafe { sigaction(signal, &action) };
}
