//! What has happened so far in one invocation, as far as a person wants to know.
//!
//! Memory is bounded: the faults of an attempt are counted by phrase, and the
//! requests of the relay by host.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::diagnose::topics::{self, Topic};
use crate::diagnose::{Fault, FaultKind, Origin, Verdict};
use crate::policy::GaveUp;
use crate::report::event::Event;
use crate::report::phrase;
use crate::text::safe;

/// A server that is silent for so long is worth a line in a log.
pub(crate) const LONG_SILENCE: Duration = Duration::from_secs(30);
/// Phrases kept for one attempt; further ones are only counted.
const MAX_PHRASES: usize = 20;

/// One run of the real go.
#[derive(Debug, Clone, Default)]
pub(super) struct Try {
    pub(super) attempt: u32,
    pub(super) route: (usize, String),
    /// Each distinct fault in words, with how often it was seen.
    pub(super) faults: Vec<(String, u32)>,
    pub(super) stalled: Option<Duration>,
    pub(super) repairs: u32,
    pub(super) status: Option<String>,
    /// Set when the invocation ended well with this attempt.
    pub(super) went_through: bool,
    pub(super) took: Option<Duration>,
    /// The wait before the next attempt.
    pub(super) wait: Option<Duration>,
}

impl Try {
    /// The fault that tells most, and how many further ones there were.
    pub(super) fn words(&self) -> String {
        if self.went_through {
            return "went through".to_owned();
        }
        let Some((first, _)) = self.faults.first() else {
            return match (self.stalled, &self.status) {
                (Some(quiet), _) => format!("no progress for {}", crate::text::duration(quiet)),
                (None, Some(status)) => safe(status),
                (None, None) => "still running".to_owned(),
            };
        };
        let total: u32 = self.faults.iter().map(|(_, n)| n).sum();
        if total > 1 {
            format!("{first} ({total} times)")
        } else {
            first.clone()
        }
    }
}

/// What one upstream was asked by the relay.
#[derive(Debug, Clone, Default)]
pub(super) struct Upstream {
    pub(super) failed: u64,
    pub(super) last_error: Option<String>,
}

/// The fault that the screen speaks of.
#[derive(Debug, Clone)]
pub(super) struct Leading {
    pub(super) kind: FaultKind,
    pub(super) origin: Origin,
    pub(super) host: Option<String>,
    pub(super) module: Option<String>,
    pub(super) status: Option<u16>,
    /// Its advice says more than its kind.
    pub(super) hinted: bool,
    pub(super) rule: &'static str,
}

impl Leading {
    /// The likely cause, where the kind tells one; a fault with advice of its own is left to that.
    pub(super) fn cause(&self, why: GaveUp, hosts: usize) -> Option<String> {
        if self.hinted && why != GaveUp::Offline {
            return None;
        }
        let kind = match self.status {
            // The status that was made for portals (RFC 6585).
            Some(511) => FaultKind::Garbage,
            _ => self.kind,
        };
        phrase::cause(why, kind, self.origin, self.host.as_deref(), hosts)
    }
}

/// The routes of an invocation.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    /// Those that may be used: number from 1, and list with credentials removed.
    pub lists: Vec<(usize, String)>,
    /// The relay walks them all by itself, within one run of go.
    pub relayed: bool,
    /// Why the others that are configured may not be used.
    pub narrow: Option<String>,
}

/// Everything the views remember.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) tries: Vec<Try>,
    pub(super) upstreams: BTreeMap<String, Upstream>,
    kinds: BTreeMap<FaultKind, (u32, Option<Leading>)>,
    hosts: BTreeMap<String, u32>,
    pub(super) known: Routes,
    trouble: bool,
    /// A server was silent for long, which is no fault yet.
    silence: bool,
    pub(super) gave_up: Option<(GaveUp, String)>,
    pub(super) finished: Option<(bool, Duration)>,
}

impl Story {
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::AttemptStarted { attempt, route, .. } => {
                self.tries.push(Try {
                    attempt: *attempt,
                    route: route.clone(),
                    ..Try::default()
                });
            }
            Event::Fault { fault, .. } => self.fault(fault),
            Event::Diagnosis { status, took, .. } => {
                if let Some(last) = self.tries.last_mut() {
                    last.status = Some(status.clone());
                    last.took = Some(*took);
                }
            }
            Event::Stalled { quiet, .. } => {
                self.trouble = true;
                if let Some(last) = self.tries.last_mut() {
                    last.stalled = Some(*quiet);
                }
            }
            Event::Repair { .. } => {
                self.trouble = true;
                if let Some(last) = self.tries.last_mut() {
                    last.repairs += 1;
                }
            }
            Event::Backoff { wait, .. } => {
                self.trouble = true;
                if let Some(last) = self.tries.last_mut() {
                    last.wait = Some(*wait);
                }
            }
            Event::UpstreamRequest { url, error, .. } => self.upstream(url, error.as_deref()),
            Event::RouteSwitched { .. } => self.trouble = true,
            Event::GaveUp { why, diagnosis } => {
                let advice = diagnosis.as_ref().map_or_else(String::new, |d| d.advice.clone());
                self.gave_up = Some((*why, advice));
            }
            Event::Finished { ok, took, status, .. } => {
                self.finished = Some((*ok, *took));
                if let Some(last) = self.tries.last_mut() {
                    last.went_through = *ok;
                    last.status.get_or_insert_with(|| status.clone());
                }
            }
            Event::RequestSilent { silent, .. } => self.silence |= *silent >= LONG_SILENCE,
            Event::RequestBackoff { .. }
            | Event::AskedAhead(_)
            | Event::LockWait { .. }
            | Event::RepairFailed { .. }
            | Event::ExportFailed { .. }
            | Event::Warning { .. } => {}
        }
    }

    fn fault(&mut self, fault: &Fault) {
        if !matches!(fault.verdict, Verdict::Final | Verdict::Unknown) {
            self.trouble = true;
        }
        let count = self.kinds.entry(fault.kind).or_default();
        count.0 += 1;
        count.1 = Some(Leading {
            kind: fault.kind,
            origin: fault.origin,
            host: fault.host.clone(),
            module: fault.module.clone(),
            status: fault.status,
            hinted: fault.hint.is_some(),
            rule: fault.rule,
        });
        if let Some(host) = &fault.host
            && (self.hosts.contains_key(host) || self.hosts.len() < 1000)
        {
            *self.hosts.entry(host.clone()).or_default() += 1;
        }
        let Some(last) = self.tries.last_mut() else { return };
        let phrase = phrase::fault(fault);
        if let Some((_, n)) = last.faults.iter_mut().find(|(known, _)| *known == phrase) {
            *n += 1;
        } else if last.faults.len() < MAX_PHRASES {
            last.faults.push((phrase, 1));
        }
    }

    fn upstream(&mut self, url: &str, error: Option<&str>) {
        if let Some(error) = error {
            let known = host_of(url);
            let upstream = self.upstreams.entry(known.to_owned()).or_default();
            upstream.failed += 1;
            upstream.last_error = Some(phrase::tool_words(error).unwrap_or_else(|| safe(error)));
            self.trouble = true;
        }
    }

    /// True once anything went wrong that gofix had to act on.
    pub(super) fn has_trouble(&self) -> bool {
        self.trouble
    }

    /// True where the end deserves the screen: gofix acted, and it did not help.
    /// An answer at the first attempt is go's business alone.
    pub(super) fn wants_screen(&self) -> bool {
        let acted = self.tries.len() > 1
            || self.failed_requests() > 0
            || self.tries.iter().any(|t| t.stalled.is_some());
        match self.gave_up {
            Some((GaveUp::Final, _)) => acted,
            Some((GaveUp::Interrupted, _)) => self.trouble || self.silence,
            Some(_) => true,
            None => false,
        }
    }

    /// Requests of the relay that ended in a fault.
    pub(super) fn failed_requests(&self) -> u64 {
        self.upstreams.values().map(|u| u.failed).sum()
    }

    /// The fault seen most; among equals the one that sorts last, which is the
    /// more lasting kind.
    pub(super) fn leading(&self) -> Option<&Leading> {
        self.kinds
            .values()
            .max_by_key(|(n, _)| *n)
            .and_then(|(_, leading)| leading.as_ref())
    }

    /// A run of go was ended by the stall clock.
    pub(super) fn has_stalled(&self) -> bool {
        self.tries.iter().any(|one| one.stalled.is_some())
    }

    /// Where more is said about what went wrong.
    pub(super) fn topic(&self) -> Option<&'static Topic> {
        if self.has_stalled() {
            return topics::named("stall");
        }
        topics::of_rule(self.leading()?.rule)
    }

    /// How many different hosts were at fault.
    pub(super) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// The routes that were used, each once, in the order of their first use.
    pub(super) fn routes(&self) -> Vec<&(usize, String)> {
        if self.known.relayed {
            return self.known.lists.iter().collect();
        }
        let mut routes: Vec<&(usize, String)> = Vec::new();
        for one in &self.tries {
            if !routes.iter().any(|known| known.0 == one.route.0) {
                routes.push(&one.route);
            }
        }
        routes
    }

    /// What went wrong, in one phrase for a line that ends well.
    pub(super) fn trouble_in_words(&self) -> Option<String> {
        let mut words: Vec<(&str, u32)> = Vec::new();
        for (phrase, n) in self.tries.iter().flat_map(|t| &t.faults) {
            match words.iter_mut().find(|(known, _)| known == phrase) {
                Some((_, total)) => *total += n,
                None => words.push((phrase, *n)),
            }
        }
        if let Some(&(first, n)) = words.iter().max_by_key(|(_, n)| *n) {
            let times = if n > 1 {
                format!(" ({n} times)")
            } else {
                String::new()
            };
            let more = if words.len() > 1 { " and other faults" } else { "" };
            return Some(format!("{first}{times}{more}"));
        }
        let stalled = self.tries.iter().find_map(|t| t.stalled)?;
        Some(format!("no progress for {}", crate::text::duration(stalled)))
    }
}

/// The `host[:port]` of a URL, for counting.
pub(super) fn host_of(url: &str) -> &str {
    crate::text::host_of(url).unwrap_or(url)
}
