//! What happens: the one stream that every view is made of.

use std::time::Duration;

use crate::diagnose::{Diagnosis, Fault, FaultKind};
use crate::policy::GaveUp;

/// One thing that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The real go was started.
    AttemptStarted {
        /// Attempt number, from 1.
        attempt: u32,
        /// The route in force (number from 1, and its list with credentials removed).
        route: (usize, String),
        /// What differs from the user's environment, as `NAME=value`.
        changes: Vec<String>,
    },
    /// A fault was recognised.
    Fault {
        /// Attempt number.
        attempt: u32,
        /// The fault.
        fault: Fault,
    },
    /// An attempt was read to its end.
    Diagnosis {
        /// Attempt number.
        attempt: u32,
        /// What was read.
        diagnosis: Diagnosis,
        /// How go ended, in words (`exit status 1`, `signal: killed`).
        status: String,
        /// How long the attempt took.
        took: Duration,
    },
    /// The stall clock ended an attempt.
    Stalled {
        /// Attempt number.
        attempt: u32,
        /// For how long nothing had moved.
        quiet: Duration,
    },
    /// gofix waits for a lock that another process holds; said once.
    LockWait {
        /// The lock file.
        path: String,
        /// The process that holds it, where it can be seen.
        pid: Option<i32>,
    },
    /// One piece of local state was mended.
    Repair {
        /// Attempt number.
        attempt: u32,
        /// What was mended, in one line.
        what: String,
    },
    /// A repair was needed and could not be made.
    RepairFailed {
        /// Attempt number.
        attempt: u32,
        /// Why, in one line.
        why: String,
    },
    /// gofix waits before the next attempt.
    Backoff {
        /// The attempt that follows.
        attempt: u32,
        /// How long.
        wait: Duration,
        /// Further runs left on this route.
        left: u32,
    },
    /// The next attempt uses another route.
    RouteSwitched {
        /// The route left (number from 1, and its list with credentials removed).
        from: (usize, String),
        /// The route taken.
        to: (usize, String),
    },
    /// The relay asked an upstream.
    UpstreamRequest {
        /// URL with credentials removed.
        url: String,
        /// The host that a redirect led to, where it is another.
        redirected_to: Option<String>,
        /// HTTP status, where there was one.
        status: Option<u16>,
        /// Bytes of body that arrived.
        bytes: u64,
        /// How long it took.
        took: Duration,
        /// The route for which it was asked, from 1.
        route: usize,
        /// Try number for this request, from 1.
        r#try: u32,
        /// What kind of fault the request ended in, where it ended in one.
        kind: Option<FaultKind>,
        /// That fault in words.
        error: Option<String>,
    },
    /// The relay waits before it makes a request again; go, which knows nothing
    /// of it, waits too.
    RequestBackoff {
        /// URL with credentials removed.
        url: String,
        /// How long.
        wait: Duration,
        /// Further tries left for this request on this route; 0: until the budget is spent.
        left: u32,
        /// The fault that the last try ended in.
        error: String,
    },
    /// A server that the relay has asked says nothing, or is waited for no more.
    RequestSilent {
        /// URL with credentials removed.
        url: String,
        /// For how long; zero where that is over.
        silent: Duration,
    },
    /// What the relay asked for ahead of go while an attempt ran.
    AskedAhead(AskedAhead),
    /// Something the user should know that is no failure.
    Warning {
        /// One line.
        text: String,
    },
    /// What OpenTelemetry is to know could not be delivered.
    ExportFailed {
        /// Why, in one line.
        why: String,
    },
    /// gofix stops trying.
    GaveUp {
        /// Why.
        why: GaveUp,
        /// The diagnosis that decided, where there is one.
        diagnosis: Option<Diagnosis>,
    },
    /// The invocation ended.
    Finished {
        /// Attempts made.
        attempts: u32,
        /// How it ended, in words (`exit status 0`).
        status: String,
        /// True where it ended well.
        ok: bool,
        /// How long the whole took.
        took: Duration,
    },
}

/// Requests made ahead of go, and what go took of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AskedAhead {
    /// Requests.
    pub requests: u64,
    /// Bytes of body that arrived for them.
    pub bytes: u64,
    /// Those whose answer go came for.
    pub used: u64,
    /// The length of these answers.
    pub used_bytes: u64,
}

impl Event {
    /// The word for this event in the JSON report.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AttemptStarted { .. } => "attempt_started",
            Self::Fault { .. } => "fault",
            Self::Diagnosis { .. } => "diagnosis",
            Self::Stalled { .. } => "stalled",
            Self::LockWait { .. } => "lock_wait",
            Self::Repair { .. } => "repair",
            Self::RepairFailed { .. } => "repair_failed",
            Self::Backoff { .. } => "backoff",
            Self::RouteSwitched { .. } => "route_switched",
            Self::UpstreamRequest { .. } => "upstream_request",
            Self::RequestBackoff { .. } => "request_backoff",
            Self::RequestSilent { .. } => "request_silent",
            Self::AskedAhead(_) => "asked_ahead",
            Self::Warning { .. } => "warning",
            Self::ExportFailed { .. } => "export_failed",
            Self::GaveUp { .. } => "gave_up",
            Self::Finished { .. } => "finished",
        }
    }

    /// The attempt that this event names, where it names one.
    pub fn attempt(&self) -> Option<u32> {
        match self {
            Self::AttemptStarted { attempt, .. }
            | Self::Fault { attempt, .. }
            | Self::Diagnosis { attempt, .. }
            | Self::Stalled { attempt, .. }
            | Self::Repair { attempt, .. }
            | Self::RepairFailed { attempt, .. }
            | Self::Backoff { attempt, .. } => Some(*attempt),
            _ => None,
        }
    }
}
