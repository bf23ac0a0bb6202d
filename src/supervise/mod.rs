//! Runs the real go: attempts, child, streams, signals.
//!
//! `run` decides whether there is anything to supervise; `session` is one invocation; `attempts` is the loop: run,
//! diagnose, mend, decide, wait, run again. `attempt` is one run of go. What it said is read by `diagnose`, what comes
//! next is decided by `policy`, the cache is mended by `repair`, and everything that happens is told to `report`.
//!
//! Known limit: when the budget is spent nothing new starts and waits for locks end, but a go that still makes progress
//! is left alone, since a long build is no fault.

mod attempt;
mod attempts;
mod child;
mod deliver;
mod doubt;
mod git;
mod guard;
mod mending;
mod pipe;
mod prefetch;
mod relaying;
mod routes;
mod sample;
mod session;
mod signals;
mod stall;
mod streams;
mod tidy;
#[cfg(target_os = "linux")]
mod watch;
#[cfg(not(target_os = "linux"))]
#[path = "watch_other.rs"]
mod watch;
// Compiled and tried where nobody needs it, so that it stays right.
#[cfg(all(test, target_os = "linux"))]
mod watch_other;

use std::{
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Instant, SystemTime},
};

use gofix_shim::{Invocation, RealGo, StartState, Treatment, classify};
use nix::sys::signal::Signal;

pub(crate) use self::guard::{go, take_over};
pub(crate) use self::routes::Routes;
use self::session::{Request, Session};
use crate::{
    config::{Config, Flags, Relay},
    go::env::GoEnv,
};

/// The exit status of a go that was sent QUIT, and of one that is pid 1 for
/// every signal that ends it.
const GO_QUIT: i32 = 2;

/// The exit status of a command line that cannot be understood, as go has it.
const USAGE: i32 = 2;

/// Runs a go command and returns the exit status. `flags` are settings from
/// gofix's own command line, on top of files and variables. Where go was ended
/// by a signal this process ends by the same one.
pub(crate) fn run(invocation: &Invocation, go: &RealGo, flags: &Flags, start: &StartState) -> i32 {
    let began = Instant::now();
    if watch::inside_supervised() {
        return go.exec(&invocation.args, start);
    }
    let env = GoEnv::load(&|name| std::env::var_os(name), Some(&go.path));
    // What gofix cannot read as go does it cannot write down for go either.
    if env.is_unread() || env.get("GOPROXY").0.to_str().is_none() {
        return go.exec(&invocation.args, start);
    }
    let (mut config, warnings) = Config::load(&|name| std::env::var_os(name));
    if let Err(wrong) = config.apply(flags) {
        crate::report::out::message(&wrong.to_string());
        return USAGE;
    }
    // The shim knows GOFLAGS of the environment only.
    let invocation = &classify(&invocation.args, Some(&env.get("GOFLAGS").0));
    if builds_onto_stdout(invocation, &env) {
        return go.exec(&invocation.args, start);
    }
    let Ok(routes) = Routes::allowed(&env, &config) else {
        // go refuses the value in its own words.
        return go.exec(&invocation.args, start);
    };
    if invocation.treatment == Treatment::Pass || routes.lists.first().is_none_or(|own| own.is_off()) {
        return go.exec(&invocation.args, start);
    }
    let accompanied = *config.relay == Relay::On;
    if invocation.treatment == Treatment::Carried && !accompanied && !prefetch::is_needed(invocation, &env) {
        return go.exec(&invocation.args, start);
    }
    let request = Request {
        invocation,
        go,
        start,
        budget: *config.budget,
        config,
        env,
        routes,
        began,
        began_at: SystemTime::now(),
    };
    let ended = match Session::open(request, &warnings) {
        Ok((session, runtime)) => session.run(runtime),
        // No pipe, no clock, no runtime: step aside.
        Err(_) => return go.exec(&invocation.args, start),
    };
    match ended {
        End::Code(code) => code,
        End::Signal(signal) => {
            signals::die_of(signal);
            // Still here: pid 1 of a namespace, which its own signals do not end.
            as_pid_1(signal)
        }
        End::Exec => go.exec(&invocation.args, start),
    }
}

/// True for a build that is to write over the very file on descriptor 1: go looks at what it holds before.
fn builds_onto_stdout(invocation: &Invocation, env: &GoEnv) -> bool {
    let output = invocation
        .is(&["build"])
        .then(|| tidy::flag(invocation, env, "o"))
        .flatten();
    let names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    output.is_some_and(|output| names.iter().any(|name| output == *name))
        && std::fs::metadata("/dev/fd/1").is_ok_and(|meta| meta.is_file())
}

/// The exit status of a process that no signal of its own ends: Go's runtime
/// exits with 2 where its raise has come back. No runtime sees KILL.
fn as_pid_1(signal: i32) -> i32 {
    if signal == libc::SIGKILL {
        128 + signal
    } else {
        GO_QUIT
    }
}

/// How an invocation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Code(i32),
    Signal(i32),
    /// By the real go in place of this process.
    Exec,
}

impl End {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Code(1),
        }
    }

    /// As go ends where it is sent this signal: of the signal, but QUIT makes
    /// it print where it stands and exit with 2.
    fn asked(signal: Signal) -> Self {
        match signal {
            Signal::SIGQUIT => Self::Code(GO_QUIT),
            signal => Self::Signal(signal as i32),
        }
    }
}
