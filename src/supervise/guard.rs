//! Between what calls for a go command and what supervises it: whatever fails before a child has started ends in an
//! exec of the real go.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

use gofix_shim::{HandOver, RealGo, SearchEnv, StartState, Treatment, classify, find_real_go};

use crate::config::Flags;
use crate::sys::panics;

/// Does what the executable `go` does, without another process image for the supervision; `flags` are the settings of
/// gofix's own command line.
pub(crate) fn go(args: &[OsString], flags: &Flags, start: &StartState) -> i32 {
    let go = match find_real_go(&SearchEnv::current()) {
        Ok(go) => go,
        Err(missing) => {
            crate::report::out::write_all(&std::io::stderr(), &missing.message);
            return missing.status;
        }
    };
    if is_switched_off() {
        return go.exec(args, start);
    }
    run(args, &go, flags, start)
}

/// Does what the shim has handed over.
pub(crate) fn take_over(hand_over: &HandOver, start: &StartState) -> i32 {
    if !hand_over.understood {
        return hand_over.go.exec(&hand_over.args, start);
    }
    run(&hand_over.args, &hand_over.go, &Flags::default(), start)
}

fn is_switched_off() -> bool {
    let (gofix, goproxy) = (std::env::var_os("GOFIX"), std::env::var_os("GOPROXY"));
    gofix_shim::shim::is_switched_off(
        gofix.as_deref().map(OsStr::as_bytes),
        goproxy.as_deref().map(OsStr::as_bytes),
    )
}

fn run(args: &[OsString], go: &RealGo, flags: &Flags, start: &StartState) -> i32 {
    let invocation = classify(args, std::env::var_os("GOFLAGS").as_deref());
    if invocation.treatment == Treatment::Pass {
        return go.exec(args, start);
    }
    let supervised = panics::caught("supervise", || super::run(&invocation, go, flags, start));
    match supervised {
        Some(status) => status,
        None if has_child_started() => 1,
        None => go.exec(&invocation.args, start),
    }
}

static CHILD_STARTED: AtomicBool = AtomicBool::new(false);

/// Says that a go is about to be started: from here on a fault of gofix's own can no longer be answered by running go.
pub(super) fn child_starts() {
    CHILD_STARTED.store(true, Ordering::Relaxed);
}

pub(super) fn has_child_started() -> bool {
    CHILD_STARTED.load(Ordering::Relaxed)
}
