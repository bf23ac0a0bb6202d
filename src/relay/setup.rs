//! What a relay is made of: the lists, Go's own variables, limits and clocks.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::go::proxy_list::ProxyList;
use crate::net::dial::Timeouts;
use crate::net::environment::Environment;
use crate::report::Event;

use super::ahead::Project;
use super::schedule;

/// The clock of name resolution.
const LOOKUP: Duration = Duration::from_secs(15);
/// The clock of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// The clock of a proxy's answer to CONNECT, which has to connect itself.
const TUNNEL: Duration = Duration::from_secs(30);
/// The wait for a first byte, in stall clocks.
const FIRST_BYTE: u32 = 4;
/// Silence until a second connection is asked: this part of the stall clock,
/// and no less than what a proxy needs for a version that it has to fetch.
const QUIET: u32 = 10;
const QUIET_AT_LEAST: Duration = Duration::from_secs(1);

/// What a relay is made of.
pub struct Setup {
    /// The list in force first, then the later routes that may be used.
    pub lists: Vec<ProxyList>,
    /// True for a command that is only carried: the relay stands in front of
    /// the user's own list (`RELAY|LIST`) and answers 200 or 404 only.
    pub in_front: bool,
    /// Go's own variables.
    pub environment: Environment,
    /// The connect clock, per address.
    pub connect_timeout: Duration,
    /// The stall clock: a body that brings fewer than ten bytes a second.
    pub stall: Duration,
    /// The silence after which the same is asked on a second connection; by
    /// default a tenth of the stall clock, and a second at least.
    pub quiet: Option<Duration>,
    /// The end of the time budget.
    pub deadline: Option<Instant>,
    /// The end of waits and further tries, where that is sooner: no request's
    /// first try is ended by it.
    pub patient_until: Option<Instant>,
    /// One of many machines that wait for the same servers, and where nobody does at the screen: a server that is down
    /// is waited for until the end of the budget, and taken up with again slowly.
    pub patient: bool,
    /// Further tries for one request; [`Setup::TRIES`] by default.
    pub tries: u32,
    /// Failed probes after which an upstream is dead for this run.
    pub retry_count: u32,
    /// Faults in a row that open an upstream's breaker; 0 for never.
    pub max_fails: u32,
    /// From a breaker's opening to its probe, and between probes.
    pub fail_timeout: Duration,
    /// Where large bodies are spooled, in files without a name: the first
    /// folder that has room.
    pub spool: Vec<PathBuf>,
    /// Elements of the list in force that are left to go, as they stand in it.
    pub left_to_go: Vec<String>,
    /// What go works on: whether and what is asked for ahead.
    pub project: Project,
    /// Told of every request to an upstream.
    pub listener: Option<Box<dyn Fn(Event) + Send + Sync>>,
}

impl Setup {
    /// How often one request is made again at most.
    pub const TRIES: u32 = schedule::TRIES;

    /// A set-up with the defaults for everything but the lists.
    #[must_use]
    pub fn new(lists: Vec<ProxyList>, environment: Environment) -> Self {
        Self {
            lists,
            in_front: false,
            environment,
            connect_timeout: Duration::from_secs(5),
            stall: Duration::from_secs(30),
            quiet: None,
            deadline: None,
            patient_until: None,
            patient: false,
            tries: Self::TRIES,
            retry_count: 3,
            max_fails: 10,
            fail_timeout: Duration::from_secs(10),
            spool: vec![std::env::temp_dir()],
            left_to_go: Vec::new(),
            project: Project::default(),
            listener: None,
        }
    }

    /// The clocks of one request.
    pub(super) fn timeouts(&self) -> Timeouts {
        Timeouts {
            lookup: LOOKUP,
            connect: self.connect_timeout,
            handshake: HANDSHAKE,
            tunnel: TUNNEL,
            first_byte: self.stall * FIRST_BYTE,
            stall: self.stall,
            quiet: self.quiet.unwrap_or_else(|| quiet(self.stall)),
        }
    }
}

/// The silence after which a second connection is asked; without end where the
/// clocks strike too soon for one to be of use.
fn quiet(stall: Duration) -> Duration {
    let quiet = (stall / QUIET).max(QUIET_AT_LEAST);
    match quiet * 2 <= stall {
        true => quiet,
        false => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silence_before_a_second_connection() {
        let of = |millis| quiet(Duration::from_millis(millis));
        assert_eq!(of(30_000), Duration::from_secs(3));
        assert_eq!(of(2_000), Duration::from_secs(1));
        assert_eq!(of(1_999), Duration::MAX);
    }
}
