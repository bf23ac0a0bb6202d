//! Where the executable `gofix` begins: under which name it was called, and by whom.
//!
//! Run under the name `go` it behaves as the shim, and supervises in this process; called by the shim it
//! supervises what the shim hands over; otherwise it is the tool with its own command line. Whatever goes wrong
//! here before a child has started ends in an exec of the real go.

use std::any::Any;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use gofix_shim::{HandOver, Invocation, RealGo, SearchEnv, StartState, Treatment, classify, find_real_go};

use crate::config::Flags;

/// Runs gofix with the arguments of the process, the name of the program first, and returns its exit status.
pub fn main(args: Vec<OsString>, start: &StartState) -> i32 {
    let mut args = args.into_iter();
    let name = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    let status = if let Some(hand_over) = HandOver::read(&args) {
        take_over(&hand_over, start)
    } else if Path::new(&name).file_name() == Some(OsStr::new("go")) {
        go(&args, &Flags::default(), start)
    } else {
        crate::cli::run(&args, start)
    };
    // std flushes by itself only where its own runtime has called main.
    let _ = std::io::stdout().flush();
    status
}

/// Does what the executable `go` does, without another process image for the supervision; `flags` are the settings of
/// gofix's own command line.
pub fn go(args: &[OsString], flags: &Flags, start: &StartState) -> i32 {
    let go = match find_real_go(&SearchEnv::current()) {
        Ok(go) => go,
        Err(missing) => {
            // There is nobody left to tell where even stderr fails.
            let _ = std::io::stderr().write_all(&missing.message);
            return missing.status;
        }
    };
    if is_switched_off() {
        return go.exec(args, start);
    }
    run(args, &go, flags, start)
}

fn take_over(hand_over: &HandOver, start: &StartState) -> i32 {
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
    run_guarded(&invocation, go, flags, start)
}

static CHILD_STARTED: AtomicBool = AtomicBool::new(false);

/// Says that a go is about to be started: from here on a panic can no longer be answered by running go.
pub fn child_starts() {
    CHILD_STARTED.store(true, Ordering::Relaxed);
}

/// Supervises, and runs the real go where gofix fails before it has started one.
fn run_guarded(invocation: &Invocation, go: &RealGo, flags: &Flags, start: &StartState) -> i32 {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let text = format!(
            "gofix: internal error at {place}: {}\n",
            payload_text(info.payload())
        );
        let _ = std::io::stderr().write_all(text.as_bytes());
    }));
    let supervised = AssertUnwindSafe(|| supervise(invocation, go, flags, start));
    match panic::catch_unwind(supervised) {
        Ok(status) => status,
        Err(_) if CHILD_STARTED.load(Ordering::Relaxed) => 1,
        Err(_) => go.exec(&invocation.args, start),
    }
}

fn payload_text(payload: &dyn Any) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown")
}

fn supervise(invocation: &Invocation, go: &RealGo, flags: &Flags, start: &StartState) -> i32 {
    crate::supervise::run(invocation, go, flags, start)
}
