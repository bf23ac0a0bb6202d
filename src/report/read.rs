//! Reads JSON reports back, and adds them up.
//!
//! A report may come from anywhere (an artefact of somebody's CI job), so no
//! line of it is trusted: what does not parse is counted, what is too long is
//! skipped, and memory stays bounded however large the files are. What is kept
//! of a text has gone through [`safe`].

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::report::event::AskedAhead;
use crate::report::story::host_of;
use crate::text::safe;

/// A longer line is no event of ours: the longest has some 8 KiB.
const MAX_LINE: usize = 64 << 10;
/// Runs that are kept one by one; further ones are only counted.
const MAX_RUNS: usize = 2_000;
/// Attempts, faults and requests that are kept of one run.
const MAX_ATTEMPTS: usize = 200;
const MAX_FAULTS: usize = 50;
const MAX_REQUESTS: usize = 500;
/// Servers, routes and kinds of fault that are told apart.
const MAX_NAMES: usize = 500;
/// Latencies that are kept of one server; the median of more would not differ.
const MAX_LATENCIES: usize = 50_000;

/// Any number of JSON reports, read and added up.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    pub(super) files: u64,
    pub(super) events: u64,
    /// Lines that are no events.
    pub(super) unreadable: u64,
    pub(super) runs: Vec<Run>,
    /// Runs beyond [`MAX_RUNS`]; their numbers are in the totals of servers and kinds.
    pub(super) more_runs: u64,
    pub(super) servers: BTreeMap<String, Server>,
    pub(super) kinds: BTreeMap<String, u64>,
    pub(super) ahead: AskedAhead,
    known: HashMap<String, Option<usize>>,
}

/// One invocation.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) command: String,
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) requests: Vec<Request>,
    /// Requests beyond [`MAX_REQUESTS`].
    pub(super) more_requests: u64,
    pub(super) failed_requests: u64,
    pub(super) repairs: u64,
    pub(super) gave_up: Option<String>,
    pub(super) ok: Option<bool>,
    pub(super) ms: Option<u64>,
}

/// One run of go.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempt {
    pub(super) number: u64,
    pub(super) route: u64,
    pub(super) list: String,
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
    pub(super) status: String,
    pub(super) verdict: String,
    pub(super) faults: Vec<Fault>,
    pub(super) more_faults: u64,
    pub(super) stalled_ms: Option<u64>,
    /// The wait behind it.
    pub(super) wait_ms: Option<u64>,
}

/// One recognised failure.
#[derive(Debug, Clone, Default)]
pub(super) struct Fault {
    pub(super) kind: String,
    pub(super) host: String,
    pub(super) line: String,
}

/// One request of the relay.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) host: String,
    pub(super) path: String,
    pub(super) end: Timestamp,
    pub(super) ms: u64,
    pub(super) bytes: u64,
    pub(super) status: Option<u64>,
    pub(super) error: Option<String>,
    pub(super) number: u64,
}

/// One server, over all runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) faults: u64,
    pub(super) bytes: u64,
    latencies: Vec<u32>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    GaveUp,
    NoEnd,
    Failed,
    Recovered,
    Fine,
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::GaveUp => "gave up",
            Self::NoEnd => "no end recorded",
            Self::Failed => "failed",
            Self::Recovered => "recovered",
            Self::Fine => "no trouble",
        }
    }
}

impl Run {
    pub(super) fn outcome(&self) -> Outcome {
        let troubled = self.attempts.len() > 1 || self.failed_requests > 0 || self.repairs > 0;
        match (self.ok, &self.gave_up) {
            (Some(true), _) if troubled => Outcome::Recovered,
            (Some(true), _) => Outcome::Fine,
            (_, Some(why)) if troubled || why != "final" => Outcome::GaveUp,
            (Some(false), _) => Outcome::Failed,
            (None, _) => Outcome::NoEnd,
        }
    }

    /// Milliseconds from start to end.
    pub(super) fn took_ms(&self) -> u64 {
        self.ms
            .or_else(|| millis_between(self.start?, self.end?))
            .unwrap_or(0)
    }
}

impl Server {
    /// The latency that `percent` of the requests stay below, in milliseconds.
    pub(super) fn percentile(&self, percent: usize) -> Option<u32> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(at).copied()
    }
}

/// Milliseconds from `from` to `to`; `None` where the clock went back.
pub(super) fn millis_between(from: Timestamp, to: Timestamp) -> Option<u64> {
    u64::try_from(to.as_millisecond().checked_sub(from.as_millisecond())?).ok()
}

impl Reports {
    /// Adds one file. What was read before an error counts.
    pub(crate) fn add(&mut self, mut file: impl BufRead) -> io::Result<()> {
        self.files += 1;
        let mut line = Vec::new();
        while let Some(whole) = next_line(&mut file, &mut line)? {
            if whole && line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Value>(&line) {
                Ok(Value::Object(event)) if whole && self.event(&event) => self.events += 1,
                _ => self.unreadable += 1,
            }
        }
        Ok(())
    }

    /// Takes one event; false if it is none.
    fn event(&mut self, event: &Map<String, Value>) -> bool {
        let (Some(name), Some(id)) = (text(event, "event"), text(event, "run")) else {
            return false;
        };
        let Some(time) = event
            .get("time")
            .and_then(Value::as_str)
            .and_then(|t| t.parse::<Timestamp>().ok())
        else {
            return false;
        };
        self.totals(&name, event);
        if let Some(run) = self.run(&id) {
            run.event(&name, event, time);
        }
        true
    }

    fn run(&mut self, id: &str) -> Option<&mut Run> {
        if !self.known.contains_key(id) {
            if self.known.len() >= MAX_RUNS * 50 {
                return None;
            }
            let place = (self.runs.len() < MAX_RUNS).then_some(self.runs.len());
            if place.is_some() {
                self.runs.push(Run {
                    id: id.to_owned(),
                    ..Run::default()
                });
            } else {
                self.more_runs += 1;
            }
            self.known.insert(id.to_owned(), place);
        }
        let place = (*self.known.get(id)?)?;
        self.runs.get_mut(place)
    }

    fn totals(&mut self, name: &str, event: &Map<String, Value>) {
        match name {
            "fault" => {
                if let Some(kind) = text(event, "kind") {
                    add_one(&mut self.kinds, kind);
                }
                if let Some(host) = text(event, "host")
                    && let Some(server) = slot(&mut self.servers, &host)
                {
                    server.faults += 1;
                }
            }
            "asked_ahead" => {
                let add = |sum: &mut u64, key| *sum = sum.saturating_add(number(event, key).unwrap_or(0));
                add(&mut self.ahead.requests, "requests");
                add(&mut self.ahead.bytes, "bytes");
                add(&mut self.ahead.used, "used");
                add(&mut self.ahead.used_bytes, "used_bytes");
            }
            "upstream_request" => {
                let Some(url) = text(event, "url") else { return };
                let Some(server) = slot(&mut self.servers, host_of(&url)) else {
                    return;
                };
                server.requests += 1;
                server.bytes = server.bytes.saturating_add(number(event, "bytes").unwrap_or(0));
                if text(event, "error").is_some() {
                    server.failed += 1;
                } else if server.latencies.len() < MAX_LATENCIES {
                    let ms = number(event, "ms").unwrap_or(0);
                    server.latencies.push(u32::try_from(ms).unwrap_or(u32::MAX));
                }
            }
            _ => {}
        }
    }
}

impl Run {
    fn event(&mut self, name: &str, event: &Map<String, Value>, time: Timestamp) {
        self.start = Some(self.start.map_or(time, |start| start.min(time)));
        self.end = Some(self.end.map_or(time, |end| end.max(time)));
        if let Some(command) = text(event, "command") {
            self.command = command;
        }
        match name {
            "attempt_started" if self.attempts.len() < MAX_ATTEMPTS => self.attempts.push(Attempt {
                number: number(event, "attempt").unwrap_or(0),
                route: number(event, "route").unwrap_or(0),
                list: text(event, "list").unwrap_or_default(),
                start: Some(time),
                ..Attempt::default()
            }),
            "upstream_request" => self.request(event, time),
            "repair" => self.repairs += 1,
            "gave_up" => self.gave_up = text(event, "why"),
            "finished" => self.finished(event, time),
            _ => self.of_attempt(name, event, time),
        }
    }

    fn of_attempt(&mut self, name: &str, event: &Map<String, Value>, time: Timestamp) {
        let Some(last) = self.attempts.last_mut() else {
            return;
        };
        match name {
            "fault" if last.faults.len() < MAX_FAULTS => last.faults.push(Fault {
                kind: text(event, "kind").unwrap_or_default(),
                host: text(event, "host").unwrap_or_default(),
                line: text(event, "line").unwrap_or_default(),
            }),
            "fault" => last.more_faults += 1,
            "diagnosis" => {
                last.end = Some(time);
                last.status = text(event, "status").unwrap_or_default();
                last.verdict = text(event, "verdict").unwrap_or_default();
            }
            "stalled" => last.stalled_ms = number(event, "ms"),
            "backoff" => last.wait_ms = number(event, "ms"),
            _ => {}
        }
    }

    fn request(&mut self, event: &Map<String, Value>, time: Timestamp) {
        let error = text(event, "error");
        self.failed_requests += u64::from(error.is_some());
        if self.requests.len() >= MAX_REQUESTS {
            self.more_requests += 1;
            return;
        }
        let url = text(event, "url").unwrap_or_default();
        let host = host_of(&url).to_owned();
        let path = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let path = path.strip_prefix(host.as_str()).unwrap_or(path).to_owned();
        self.requests.push(Request {
            host,
            path,
            end: time,
            ms: number(event, "ms").unwrap_or(0),
            bytes: number(event, "bytes").unwrap_or(0),
            status: number(event, "status"),
            error,
            number: number(event, "try").unwrap_or(1),
        });
    }

    fn finished(&mut self, event: &Map<String, Value>, time: Timestamp) {
        self.ok = event.get("ok").and_then(Value::as_bool);
        self.ms = number(event, "ms");
        if let Some(last) = self.attempts.last_mut() {
            last.end.get_or_insert(time);
            if last.status.is_empty() {
                last.status = text(event, "status").unwrap_or_default();
            }
        }
    }
}

fn text(event: &Map<String, Value>, key: &str) -> Option<String> {
    event.get(key).and_then(Value::as_str).map(safe)
}

fn number(event: &Map<String, Value>, key: &str) -> Option<u64> {
    event.get(key).and_then(Value::as_u64)
}

fn add_one(counts: &mut BTreeMap<String, u64>, name: String) {
    if counts.len() < MAX_NAMES || counts.contains_key(&name) {
        *counts.entry(name).or_default() += 1;
    }
}

fn slot<'a>(servers: &'a mut BTreeMap<String, Server>, host: &str) -> Option<&'a mut Server> {
    if servers.len() >= MAX_NAMES && !servers.contains_key(host) {
        return None;
    }
    Some(servers.entry(host.to_owned()).or_default())
}

/// Reads up to the next line end into `line`. `Some(false)` where the line was
/// longer than [`MAX_LINE`]: its rest is read and dropped. `None` at the end.
fn next_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let mut whole = true;
    loop {
        let chunk = match file.fill_buf() {
            Ok(chunk) => chunk,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if chunk.is_empty() {
            return Ok((!line.is_empty() || !whole).then_some(whole));
        }
        let (taken, ends) = match memchr::memchr(b'\n', chunk) {
            Some(at) => (at + 1, true),
            None => (chunk.len(), false),
        };
        if line.len() + taken <= MAX_LINE {
            line.extend_from_slice(&chunk[..taken]);
        } else {
            whole = false;
        }
        file.consume(taken);
        if ends {
            return Ok(Some(whole));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> Reports {
        let mut reports = Reports::default();
        reports.add(text).unwrap();
        reports
    }

    #[test]
    fn what_is_no_event_is_counted() {
        let good = r#"{"run":"a","time":"2026-01-01T00:00:00Z","event":"attempt_started","attempt":1,"route":1,"list":"x"}"#;
        let text = format!(
            "{good}\n\nnull\n[1]\n{{\"event\":3}}\nnot json\n\0\0\n{}\n{good}",
            "x".repeat(200_000)
        );
        let reports = read(text.as_bytes());
        assert_eq!((reports.events, reports.unreadable), (2, 6));
        assert_eq!(reports.runs.len(), 1);
    }

    #[test]
    fn a_deeply_nested_line_is_no_trouble() {
        assert_eq!(read("[".repeat(60_000).as_bytes()).unreadable, 1);
    }

    #[test]
    fn percentiles() {
        let server = Server {
            latencies: (1..=100).rev().collect(),
            ..Server::default()
        };
        assert_eq!(
            (server.percentile(50), server.percentile(95)),
            (Some(50), Some(95))
        );
        assert_eq!(Server::default().percentile(50), None);
        let one = Server {
            latencies: vec![7],
            ..Server::default()
        };
        assert_eq!((one.percentile(1), one.percentile(100)), (Some(7), Some(7)));
    }

    #[test]
    fn memory_stays_bounded() {
        let mut text = String::new();
        for n in 0..5_000 {
            let host = format!("h{n}");
            text.push_str(&format!(
                "{{\"run\":\"{n}\",\"time\":\"2026-01-01T00:00:00Z\",\"event\":\"upstream_request\",\"url\":\"https://{host}/x\",\"ms\":1}}\n"
            ));
        }
        let reports = read(text.as_bytes());
        assert_eq!(reports.runs.len(), MAX_RUNS);
        assert_eq!(reports.more_runs, 3_000);
        assert_eq!(reports.servers.len(), MAX_NAMES);
    }

    proptest! {
        #[test]
        fn no_bytes_can_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            read(&bytes);
        }
    }
}
