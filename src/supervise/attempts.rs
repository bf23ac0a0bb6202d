//! The loop: run, diagnose, mend, decide, wait, run again.

use std::ffi::OsString;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{
    End, Session,
    attempt::{self, Failure, Outcome, Setting},
    child::{self, Plan},
    doubt::Accepted,
    mending::RepairOutcome,
    signals,
};
use crate::{
    diagnose::{Diagnosis, Fault, FaultKind, Input, Verdict, diagnose},
    go::proxy_list::ProxyList,
    policy::{GaveUp, Next, Policy, Seen},
    report::Event,
    sys::panics::{caught, caught_async},
};

/// What follows an attempt.
enum After {
    Run(usize),
    End(End),
}

/// What follows an attempt that ended badly.
pub(super) enum Step {
    Run(usize),
    GiveUp(GaveUp),
    Signal(Signal),
}

/// How often the live line is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// How much of a `-json` stdout is read for errors, in bytes.
const STDOUT_READ: u64 = 4 << 20;

impl Session<'_> {
    /// The loop: run, diagnose, mend, decide, wait, run again.
    pub(super) async fn attempts_to_the_end(&mut self) -> io::Result<End> {
        let mut route = 0;
        loop {
            self.take_snapshot();
            let plan = self.plan(route, self.asked.invocation.args.clone());
            let mut outcome = match self.attempt(&plan, route, None).await {
                Ok(outcome) => outcome,
                // Nothing runs: step aside, and let the system's own word for
                // it be heard where go cannot be had at all.
                Err(Failure::NotStarted(_)) => return Ok(End::Exec),
                Err(Failure::Lost(error)) => return Err(error),
            };
            let next = caught_async("judge", self.judge(&mut outcome, route)).await;
            match next.unwrap_or_else(|| self.as_go_ended(&mut outcome)) {
                After::Run(next) => route = next,
                After::End(end) => return Ok(end),
            }
        }
    }

    /// What follows an attempt on `route`.
    async fn judge(&mut self, outcome: &mut Outcome, route: usize) -> After {
        if self.steps_round_the_relay(outcome) {
            return After::Run(0);
        }
        if outcome.ok() {
            let doubt = match self.accept(outcome) {
                Accepted::Done(end) => return After::End(end),
                Accepted::Again => return After::Run(route),
                Accepted::Doubted => doubt(),
            };
            for fault in doubt.faults.clone() {
                self.now.reporter.event(&Event::Fault {
                    attempt: self.now.attempts,
                    fault,
                });
            }
            return match self.wait_for_next(&doubt, Seen::default()).await {
                Step::Run(next) => After::Run(next),
                Step::GiveUp(_) => After::End(End::Code(1)),
                Step::Signal(signal) => After::End(End::asked(signal)),
            };
        }
        let diagnosis = self.read(outcome).await;
        if outcome.interrupted.is_some() {
            return After::End(self.give_up(outcome, &diagnosis, GaveUp::Interrupted));
        }
        if outcome.committed || outcome.killed() || outcome.other_child && outcome.stalled.is_none() {
            return After::End(self.give_up(outcome, &diagnosis, GaveUp::Final));
        }
        if self.leave_to_go() {
            return After::Run(route);
        }
        let seen = self.seen(outcome, &diagnosis).await;
        let step = match self.now.interrupted {
            Some(signal) => Step::Signal(signal),
            None => self.wait_for_next(&diagnosis, seen).await,
        };
        match step {
            Step::Run(next) => After::Run(next),
            // go's own last words are those about the cache as it was.
            Step::GiveUp(_)
                if !self.now.last_words
                    && self.asked.began.elapsed() < self.asked.budget
                    && self.restore_disputed() =>
            {
                self.now.last_words = true;
                After::Run(route)
            }
            Step::GiveUp(why) => After::End(self.give_up(outcome, &diagnosis, why)),
            Step::Signal(signal) => {
                self.give_up(outcome, &diagnosis, GaveUp::Interrupted);
                After::End(End::asked(signal))
            }
        }
    }

    /// Where gofix itself has failed after go had ended: go's words and its status.
    fn as_go_ended(&mut self, outcome: &mut Outcome) -> After {
        let delivered = caught("deliver", || self.deliver(outcome)).flatten();
        After::End(delivered.unwrap_or_else(|| End::of(outcome.status)))
    }

    /// Where the relay has failed by a fault of its own, go runs again without it. True where it is to.
    fn steps_round_the_relay(&mut self, outcome: &Outcome) -> bool {
        let is_broken = self
            .now
            .relaying
            .as_ref()
            .is_some_and(|relaying| relaying.relay.is_broken());
        if !is_broken || outcome.committed || outcome.was_ended() || outcome.other_child {
            return false;
        }
        if outcome.ok() && self.touched.files.is_some() && self.take_back().is_err() {
            return false;
        }
        self.now.relaying = None;
        self.now.policy = Policy::new(
            self.asked.routes.lists.len(),
            *self.asked.config.retry_count,
            self.asked.budget,
        );
        true
    }

    /// Reads what an attempt said.
    pub(super) async fn read(&mut self, outcome: &mut Outcome) -> Diagnosis {
        let diagnosis = match outcome.stalled {
            Some(quiet) => {
                self.now.reporter.event(&Event::Stalled {
                    attempt: self.now.attempts,
                    quiet,
                });
                stall_diagnosis(quiet, &self.route_name(self.now.policy.current()).1)
            }
            None => {
                let stdout = self.switch("json").then(|| outcome.stdout.peek(STDOUT_READ));
                let input = Input {
                    stderr: &outcome.text,
                    stdout_json: stdout.as_deref(),
                };
                let diagnosis = caught("diagnose", || diagnose(&input)).unwrap_or_else(nothing_known);
                let diagnosis = match self.ask_git(&diagnosis).await {
                    Some(words) => diagnosis.with_words_of_git(words),
                    None => diagnosis,
                };
                match &self.now.relaying {
                    Some(relaying) => diagnosis.with_redirects(|url| relaying.relay.redirected_to(url)),
                    None => diagnosis,
                }
            }
        };
        for fault in &diagnosis.faults {
            self.now.reporter.event(&Event::Fault {
                attempt: self.now.attempts,
                fault: fault.clone(),
            });
        }
        self.now.reporter.event(&Event::Diagnosis {
            attempt: self.now.attempts,
            diagnosis: diagnosis.clone(),
            status: child::words(outcome.status),
            took: outcome.took,
        });
        diagnosis
    }

    /// What is known of an attempt beside its text; what the text alone cannot
    /// decide is looked at, and mended.
    pub(super) async fn seen(&mut self, outcome: &Outcome, diagnosis: &Diagnosis) -> Seen {
        let mended = match diagnosis.verdict {
            Verdict::Repair => self.mend(diagnosis).await,
            _ => RepairOutcome::default(),
        };
        Seen {
            stalled: outcome.stalled.is_some(),
            repaired: mended.something,
            came_bad: mended.came_bad,
            no_default_route: !crate::sys::network::has_default_route(),
            spent_by_relay: !self.relay_faults().is_empty(),
        }
    }

    pub(super) async fn wait_for_next(&mut self, diagnosis: &Diagnosis, seen: Seen) -> Step {
        let elapsed = self.asked.began.elapsed();
        let next = caught("policy", || {
            self.now.policy.next(diagnosis, seen, elapsed, &mut fastrand::f64)
        });
        let (route, wait) = match next.unwrap_or(Next::GiveUp(GaveUp::Final)) {
            Next::Run { route, wait } => (route, wait),
            Next::GiveUp(why) => return Step::GiveUp(why),
        };
        let current = self.now.policy.current();
        if route != current {
            let (from, to) = (self.route_name(current), self.route_name(route));
            self.now.reporter.event(&Event::RouteSwitched { from, to });
        }
        if !wait.is_zero() {
            let left = self.now.policy.left(route);
            self.now.reporter.event(&Event::Backoff {
                attempt: self.now.attempts + 1,
                wait,
                left,
            });
        }
        match self.wait(wait).await {
            Some(signal) => Step::Signal(signal),
            None => Step::Run(route),
        }
    }

    /// Waits, with the live line where there is one. Returns the signal that
    /// asked for an end.
    async fn wait(&mut self, wait: Duration) -> Option<Signal> {
        let end = Instant::now() + wait;
        loop {
            let now = Instant::now();
            // Also where there is no wait: a signal may be there already.
            if let Ok(Some(arrived)) = self.now.signals.take() {
                if let Some(signal) = arrived.end() {
                    return Some(signal);
                }
                // The rest go does not mind.
                if arrived.is(Signal::SIGTSTP) {
                    self.now.reporter.clear();
                    let _ = signals::stop_for(arrived);
                }
                child::reap_orphans();
                continue;
            }
            if now >= end {
                return None;
            }
            self.now.reporter.tick();
            let pause = if self.now.reporter.wants_ticks() {
                TICK.min(end - now)
            } else {
                end - now
            };
            let _ = tokio::time::timeout(pause, self.now.signals.readable()).await;
        }
    }

    /// What the run on `route` differs in from what the user typed.
    pub(super) fn plan(&self, route: usize, args: Vec<OsString>) -> Plan {
        let mut plan = Plan {
            args,
            changes: Vec::new(),
        };
        if let Some(relaying) = &self.now.relaying {
            plan.changes.push(("GOPROXY", relaying.relay.goproxy()));
        } else if route > 0
            && let Some(list) = self.asked.routes.lists.get(route)
        {
            plan.changes.push(("GOPROXY", list.value().into()));
        }
        if self.now.policy.http1() {
            let mut value = self.asked.env.get("GODEBUG").0;
            if !value.is_empty() {
                value.push(",");
            }
            value.push("http2client=0");
            plan.changes.push(("GODEBUG", value));
        }
        plan
    }

    pub(super) async fn attempt(
        &mut self,
        plan: &Plan,
        route: usize,
        enough: Option<fn(&[u8]) -> bool>,
    ) -> Result<Outcome, Failure> {
        self.now.attempts += 1;
        self.now.policy.started(route);
        self.now.reporter.event(&Event::AttemptStarted {
            attempt: self.now.attempts,
            route: self.route_name(route),
            changes: self.shown_changes(plan),
        });
        let (mode, one_file) = self.stream_mode(enough.is_some());
        let stall = *self.asked.config.stall * 2u32.saturating_pow(self.now.policy.stalls().min(16));
        let json = self.switch("json");
        let rewrite = self
            .now
            .relaying
            .as_ref()
            .map_or([None, None], |relaying| relaying.rewriters(json));
        let relay = self.now.relaying.as_mut().map(|relaying| {
            relaying.relay.forget_faults();
            (&relaying.relay, &mut relaying.events)
        });
        let setting = Setting {
            go: self.asked.go,
            start: self.asked.start,
            signals: &self.now.signals,
            mode,
            one_file,
            stall: (!stall.is_zero()).then_some(stall),
            deadline: self.asked.began + *self.asked.config.budget,
            rewrite,
            relay,
            enough,
            reporter: &mut self.now.reporter,
        };
        attempt::run(plan, setting).await
    }

    /// What a run differs in, fit to show: neither credentials nor the relay's secret.
    fn shown_changes(&self, plan: &Plan) -> Vec<String> {
        let shown = |(name, value): &(&str, OsString)| match *name {
            "GOPROXY" if self.now.relaying.is_some() => "GOPROXY=(relay)".to_owned(),
            "GOPROXY" => ProxyList::parse(&value.to_string_lossy()).map_or_else(
                |_| (*name).to_owned(),
                |list| format!("{name}={}", list.redacted()),
            ),
            _ => format!("{name}={}", value.to_string_lossy()),
        };
        plan.changes.iter().map(shown).collect()
    }
}

/// The diagnosis of an attempt that the stall clock ended.
fn stall_diagnosis(quiet: Duration, list: &str) -> Diagnosis {
    let line = format!("no data from {list} for {} s", quiet.as_secs());
    own_diagnosis(FaultKind::Timeout, true, &line)
}

/// The diagnosis of a text that could not be read.
fn nothing_known() -> Diagnosis {
    Diagnosis {
        verdict: Verdict::Unknown,
        faults: Vec::new(),
        advice: String::new(),
        needs: None,
    }
}

/// The diagnosis of a tidy that is doubted.
fn doubt() -> Diagnosis {
    own_diagnosis(
        FaultKind::Unknown,
        false,
        "go mod tidy could not complete a lookup",
    )
}

fn own_diagnosis(kind: FaultKind, nobody: bool, line: &str) -> Diagnosis {
    let fault = Fault {
        nobody,
        ..Fault::new(kind, Verdict::Retry, line)
    };
    Diagnosis {
        verdict: Verdict::Retry,
        faults: vec![fault],
        advice: String::new(),
        needs: None,
    }
}
