//! Decides what comes after an attempt. Pure: clock and randomness are passed in.
//!
//! The rules, in the order in which they are asked:
//!
//! 1. An answer ends it, and so does what is not recognised.
//! 2. A mended cache is tried at once on the same route, unless the bad file has
//!    just come by it: then only another route can deliver.
//! 3. A machine without a default route that cannot reach anybody is offline.
//! 4. A fault that says nobody is there goes to the next route at once; every
//!    route is asked once before any is asked twice.
//! 5. A fault of a host that answers is tried again on its own route first.
//! 6. Where only another route can deliver, the same one is asked at most once
//!    more; never after a certificate that does not verify.
//! 7. Each route has its runs, and everything has one time budget.

pub mod backoff;
pub mod presets;
pub mod routes;
pub mod widen;

use std::time::Duration;

use self::backoff::{Draw, RATE_LIMITED_RUN, Schedule};
use crate::diagnose::{Diagnosis, Fault, FaultKind, Mend, Verdict};

/// Why gofix stopped trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GaveUp {
    /// The text was an answer, or was not recognised.
    Final,
    /// Every allowed route has had its tries.
    TriesSpent,
    /// The time budget is used up.
    BudgetSpent,
    /// The machine has no network at all.
    Offline,
    /// The user or the system asked to stop.
    Interrupted,
    /// Faults that the relay saw outlast the tries of a command that go itself calls a success.
    Doubted,
}

impl GaveUp {
    /// The word for this reason in the JSON report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::TriesSpent => "tries_spent",
            Self::BudgetSpent => "budget_spent",
            Self::Offline => "offline",
            Self::Interrupted => "interrupted",
            Self::Doubted => "doubted",
        }
    }
}

/// What is known of an attempt beside its diagnosis.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// The stall clock ended it.
    pub stalled: bool,
    /// Something was mended since.
    pub repaired: bool,
    /// It had come in this very invocation: its route brings what is bad.
    pub came_bad: bool,
    /// The machine has no default route.
    pub no_default_route: bool,
    /// The relay has already spent its tries on the faults of this attempt,
    /// on every route that is allowed. Not so where it left a proxy early, for
    /// go to go on behind it.
    pub spent_by_relay: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Run go again.
    Run {
        /// Index of the route to use.
        route: usize,
        /// How long to wait before.
        wait: Duration,
    },
    /// Stop; what go said last stands.
    GiveUp(GaveUp),
}

/// The state of the decisions for one invocation.
#[derive(Debug)]
pub struct Policy {
    routes: Vec<RouteState>,
    current: usize,
    further_runs: u32,
    budget: Duration,
    schedule: Schedule,
    http1: bool,
    stalls: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct RouteState {
    runs: u32,
    closed: bool,
    turned_from: bool,
}

impl Policy {
    /// For `routes` allowed routes (at least one), `further_runs` runs of go
    /// on each beyond the first, and a time budget counted from the start.
    #[must_use]
    pub fn new(routes: usize, further_runs: u32, budget: Duration) -> Self {
        Self {
            routes: vec![RouteState::default(); routes.max(1)],
            current: 0,
            further_runs,
            budget,
            schedule: Schedule::of_runs(),
            http1: false,
            stalls: 0,
        }
    }

    /// Counts a run of go on `route`. Call it when the run starts.
    pub fn started(&mut self, route: usize) {
        self.current = route;
        if let Some(state) = self.routes.get_mut(route) {
            state.runs += 1;
        }
    }

    /// The route in force.
    #[must_use]
    pub fn current(&self) -> usize {
        self.current
    }

    /// True once HTTP/2 has failed: the next runs speak HTTP/1.1.
    #[must_use]
    pub fn http1(&self) -> bool {
        self.http1
    }

    /// How often the stall clock is to be doubled.
    #[must_use]
    pub fn stalls(&self) -> u32 {
        self.stalls
    }

    /// Further runs left on `route`.
    #[must_use]
    pub fn left(&self, route: usize) -> u32 {
        let state = self.routes.get(route).copied().unwrap_or_default();
        if state.closed {
            0
        } else {
            (self.further_runs + 1).saturating_sub(state.runs)
        }
    }

    /// Decides what comes after the attempt that has just ended badly.
    /// `now` is the time since the start of the invocation.
    pub fn next(&mut self, diagnosis: &Diagnosis, seen: Seen, now: Duration, draw: Draw<'_>) -> Next {
        if seen.stalled {
            self.stalls += 1;
        } else {
            match diagnosis.verdict {
                Verdict::Final | Verdict::Unknown => return Next::GiveUp(GaveUp::Final),
                Verdict::Repair if seen.repaired && !seen.came_bad => {
                    return self.run_within_budget(self.current, Duration::ZERO, now);
                }
                Verdict::Repair if !seen.repaired && !was_bad_on_arrival(diagnosis) => {
                    return Next::GiveUp(GaveUp::Final);
                }
                Verdict::Repair | Verdict::Retry | Verdict::Switch => {}
            }
        }
        let faults: Vec<&Fault> = diagnosis
            .faults
            .iter()
            .filter(|fault| matches!(fault.verdict, Verdict::Retry | Verdict::Switch))
            .collect();
        if seen.no_default_route && !faults.is_empty() && faults.iter().all(|fault| fault.says_offline()) {
            return Next::GiveUp(GaveUp::Offline);
        }
        if seen.spent_by_relay {
            return Next::GiveUp(match now >= self.budget {
                true => GaveUp::BudgetSpent,
                false => GaveUp::TriesSpent,
            });
        }
        if faults.iter().any(|fault| fault.kind == FaultKind::Http2) {
            self.http1 = true;
        }
        let certificate = faults.iter().any(|fault| fault.kind == FaultKind::Certificate);
        let elsewhere = matches!(diagnosis.verdict, Verdict::Switch | Verdict::Repair) && !seen.stalled;
        if certificate || elsewhere {
            self.turn_from_current(certificate);
        }
        let nobody =
            elsewhere || seen.stalled || (!faults.is_empty() && faults.iter().all(|fault| fault.nobody));
        let Some((route, fresh)) = self.choose(nobody) else {
            return Next::GiveUp(GaveUp::TriesSpent);
        };
        let wait = if fresh {
            Duration::ZERO
        } else {
            let rate_limited = faults.iter().any(|fault| fault.kind == FaultKind::RateLimit);
            let floor = if rate_limited && route == self.current {
                RATE_LIMITED_RUN
            } else {
                Duration::ZERO
            };
            self.schedule.next(draw).max(floor)
        };
        self.run_within_budget(route, wait, now)
    }

    /// Only another route can deliver: this one is closed for good, or has one
    /// run left for when there is no other.
    fn turn_from_current(&mut self, for_good: bool) {
        if let Some(state) = self.routes.get_mut(self.current) {
            state.closed = for_good || state.turned_from;
            state.turned_from = true;
        }
    }

    /// The route to use, and whether it has not been asked yet.
    fn choose(&self, nobody: bool) -> Option<(usize, bool)> {
        if !nobody && self.left(self.current) > 0 {
            return Some((self.current, false));
        }
        // In order from the one behind the current route, round to itself.
        let count = self.routes.len();
        let order = (1..=count).map(|step| (self.current + step) % count);
        let unasked = order.clone().find(|route| {
            let state = self.routes.get(*route).copied().unwrap_or_default();
            state.runs == 0 && !state.closed
        });
        unasked.map(|route| (route, true)).or_else(|| {
            order
                .clone()
                .find(|route| self.left(*route) > 0)
                .map(|route| (route, false))
        })
    }

    fn run_within_budget(&self, route: usize, wait: Duration, now: Duration) -> Next {
        if wait >= self.budget.saturating_sub(now) {
            Next::GiveUp(GaveUp::BudgetSpent)
        } else {
            Next::Run { route, wait }
        }
    }
}

/// What go refuses without naming a file, and the cache holds no bad one: then what came over
/// the network was bad, and go has kept nothing of it. Checksums are not among it: a mismatch
/// of fresh bytes is an answer.
fn was_bad_on_arrival(diagnosis: &Diagnosis) -> bool {
    let mut doubted = diagnosis
        .faults
        .iter()
        .filter(|fault| fault.verdict == Verdict::Repair)
        .peekable();
    let no_file = |fault: &Fault| {
        matches!(
            fault.mend,
            Some(
                Mend::Zip { path: None, .. } | Mend::Mod { .. } | Mend::SumdbTile | Mend::SumdbLookup { .. }
            )
        )
    };
    doubted.peek().is_some() && doubted.all(no_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind, verdict: Verdict, nobody: bool) -> Diagnosis {
        let fault = Fault {
            nobody,
            ..Fault::new(kind, verdict, "")
        };
        Diagnosis {
            verdict,
            faults: vec![fault],
            advice: String::new(),
            needs: None,
        }
    }

    const MINUTES_10: Duration = Duration::from_secs(600);

    /// Runs the policy against one kind of trouble until it gives up.
    fn walk(policy: &mut Policy, diagnosis: &Diagnosis, seen: Seen) -> (Vec<(usize, u64)>, GaveUp) {
        let mut runs = vec![(0, 0)];
        policy.started(0);
        let mut now = Duration::ZERO;
        loop {
            match policy.next(diagnosis, seen, now, &mut || 1.0) {
                Next::Run { route, wait } => {
                    now += wait;
                    policy.started(route);
                    runs.push((route, wait.as_secs()));
                }
                Next::GiveUp(why) => return (runs, why),
            }
        }
    }

    #[test]
    fn nobody_there_asks_every_route_once_before_any_twice() {
        let refused = fault(FaultKind::Connect, Verdict::Retry, true);
        let (runs, why) = walk(&mut Policy::new(3, 1, MINUTES_10), &refused, Seen::default());
        assert_eq!(runs, [(0, 0), (1, 0), (2, 0), (0, 1), (1, 2), (2, 4)]);
        assert_eq!(why, GaveUp::TriesSpent);
    }

    #[test]
    fn a_host_that_answers_is_asked_again_first() {
        let reset = fault(FaultKind::Reset, Verdict::Retry, false);
        let (runs, why) = walk(&mut Policy::new(2, 2, MINUTES_10), &reset, Seen::default());
        assert_eq!(runs, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 4), (1, 8)]);
        assert_eq!(why, GaveUp::TriesSpent);
    }

    #[test]
    fn an_answer_and_the_unknown_end_it() {
        for verdict in [Verdict::Final, Verdict::Unknown, Verdict::Repair] {
            let (runs, why) = walk(
                &mut Policy::new(3, 3, MINUTES_10),
                &fault(FaultKind::NotFound, verdict, false),
                Seen::default(),
            );
            assert_eq!((runs.len(), why), (1, GaveUp::Final), "{verdict}");
        }
    }

    #[test]
    fn a_bad_certificate_closes_its_route() {
        let certificate = fault(FaultKind::Certificate, Verdict::Switch, false);
        let (runs, why) = walk(&mut Policy::new(2, 3, MINUTES_10), &certificate, Seen::default());
        assert_eq!(runs, [(0, 0), (1, 0)]);
        assert_eq!(why, GaveUp::TriesSpent);
    }

    #[test]
    fn garbage_is_asked_for_once_more_where_there_is_no_other_route() {
        let garbage = fault(FaultKind::Garbage, Verdict::Switch, false);
        let (runs, _) = walk(&mut Policy::new(1, 3, MINUTES_10), &garbage, Seen::default());
        assert_eq!(runs, [(0, 0), (0, 1)]);
        let (runs, _) = walk(&mut Policy::new(2, 3, MINUTES_10), &garbage, Seen::default());
        assert_eq!(runs, [(0, 0), (1, 0), (0, 1), (1, 2)]);
    }

    #[test]
    fn a_zip_that_was_bad_on_arrival_is_asked_for_once_more() {
        let mut bad = fault(FaultKind::Cache, Verdict::Repair, false);
        bad.faults[0].mend = Some(Mend::Zip {
            module: None,
            path: None,
        });
        let (runs, _) = walk(&mut Policy::new(1, 3, MINUTES_10), &bad, Seen::default());
        assert_eq!(runs, [(0, 0), (0, 1)]);
        bad.faults[0].mend = Some(Mend::Zip {
            module: None,
            path: Some("/cache/v1.0.0.zip".into()),
        });
        let (runs, why) = walk(&mut Policy::new(1, 3, MINUTES_10), &bad, Seen::default());
        assert_eq!((runs.len(), why), (1, GaveUp::Final));
    }

    #[test]
    fn rate_limits_wait_ten_seconds_and_the_budget_ends_all() {
        let limited = fault(FaultKind::RateLimit, Verdict::Retry, false);
        let (runs, why) = walk(
            &mut Policy::new(1, 9, Duration::from_secs(25)),
            &limited,
            Seen::default(),
        );
        assert_eq!(runs, [(0, 0), (0, 10), (0, 10)]);
        assert_eq!(why, GaveUp::BudgetSpent);
    }

    #[test]
    fn no_default_route_and_nobody_reachable_is_offline() {
        let seen = Seen {
            no_default_route: true,
            ..Seen::default()
        };
        let (runs, why) = walk(
            &mut Policy::new(2, 3, MINUTES_10),
            &fault(FaultKind::Dns, Verdict::Retry, true),
            seen,
        );
        assert_eq!((runs.len(), why), (1, GaveUp::Offline));
        let (_, why) = walk(
            &mut Policy::new(1, 1, MINUTES_10),
            &fault(FaultKind::Reset, Verdict::Retry, false),
            seen,
        );
        assert_eq!(why, GaveUp::TriesSpent);
        // Whatever the system has for it.
        for words in ["network is unreachable", "network is down", "no route to host"] {
            let line =
                format!("Get \"https://p.example/m/@v/list\": dial tcp 192.0.2.1:443: connect: {words}");
            let mut diagnosis = fault(FaultKind::Connect, Verdict::Retry, true);
            diagnosis.faults = vec![Fault::of_words(FaultKind::Connect, Verdict::Retry, &line)];
            let (_, why) = walk(&mut Policy::new(1, 1, MINUTES_10), &diagnosis, seen);
            assert_eq!(why, GaveUp::Offline, "{words}");
        }
    }

    #[test]
    fn http2_faults_turn_to_http1_and_stalls_double_the_clock() {
        let mut policy = Policy::new(1, 1, MINUTES_10);
        walk(
            &mut policy,
            &fault(FaultKind::Http2, Verdict::Retry, false),
            Seen::default(),
        );
        assert!(policy.http1());
        let mut policy = Policy::new(2, 1, MINUTES_10);
        let unknown = Diagnosis {
            verdict: Verdict::Unknown,
            faults: Vec::new(),
            advice: String::new(),
            needs: None,
        };
        let (runs, why) = walk(
            &mut policy,
            &unknown,
            Seen {
                stalled: true,
                ..Seen::default()
            },
        );
        assert_eq!(runs.iter().map(|run| run.0).collect::<Vec<_>>(), [0, 1, 0, 1]);
        assert_eq!((why, policy.stalls()), (GaveUp::TriesSpent, 4));
    }
}
