//! One invocation as a trace: a span for the command, below it one for each run of go, below these one for each request.

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span, span::SpanKind, status::StatusCode};

use super::settings::Parent;
use super::{int, text};
use crate::diagnose::{Fault, FaultKind};
use crate::report::event::Event;
use crate::report::phrase;
use crate::report::story::host_of;
use crate::text::safe;

/// Spans kept of one invocation; further ones are counted.
const MAX_SPANS: usize = 1000;
/// Events kept of one span; further ones are counted.
const MAX_EVENTS: usize = 128;

/// Flags of a span: it is recorded, and whether its parent is of another process is known.
const RECORDED: u32 = 0x101;
/// The parent is of another process.
const REMOTE: u32 = 0x200;

/// The spans so far.
#[derive(Debug)]
pub(super) struct Trace {
    command: Span,
    /// Runs of go and requests, in the order in which they were heard of.
    spans: Vec<Span>,
    /// Where the run of go that goes on, or was the last, stands among them.
    attempt: Option<usize>,
    dropped: u32,
}

impl Trace {
    pub(super) fn new(parent: Option<Parent>, command: &str, run: &str, now: u64) -> Self {
        let trace = parent.map_or_else(|| fastrand::u128(1..), |parent| parent.trace);
        let (above, remote) = parent.map_or((Vec::new(), 0), |parent| {
            (parent.span.to_be_bytes().to_vec(), REMOTE)
        });
        let command = Span {
            trace_id: trace.to_be_bytes().to_vec(),
            span_id: new_id(),
            parent_span_id: above,
            flags: RECORDED | remote,
            name: safe(command),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: now,
            attributes: vec![text("process.executable.name", "go"), text("gofix.run", run)],
            ..Span::default()
        };
        Self {
            command,
            spans: Vec::new(),
            attempt: None,
            dropped: 0,
        }
    }

    /// All spans, that of the command first.
    pub(super) fn into_spans(mut self, now: u64) -> Vec<Span> {
        self.end_attempt(now);
        if self.command.end_time_unix_nano == 0 {
            self.command.end_time_unix_nano = now;
        }
        if self.dropped > 0 {
            let dropped = int("gofix.dropped_spans", self.dropped.into());
            self.command.attributes.push(dropped);
        }
        self.spans.insert(0, self.command);
        self.spans
    }

    pub(super) fn take(&mut self, event: &Event, now: u64) {
        match event {
            Event::AttemptStarted { attempt, route, .. } => {
                self.end_attempt(now);
                let span = self.below(&self.command, "attempt", SpanKind::Internal, now);
                self.attempt = self.keep(Span {
                    attributes: vec![
                        int("gofix.attempt", i64::from(*attempt)),
                        int("gofix.route", route.0 as i64),
                        text("gofix.route.list", &route.1),
                    ],
                    ..span
                });
            }
            Event::Diagnosis {
                diagnosis, status, ..
            } => {
                let leading = diagnosis.faults.first().map(|fault| fault.kind);
                if let Some(span) = self.attempt() {
                    span.attributes
                        .push(text("gofix.verdict", diagnosis.verdict.as_str()));
                    failed(span, leading, status);
                }
                self.end_attempt(now);
            }
            Event::UpstreamRequest { .. } => self.request(event, now),
            Event::Finished {
                attempts, status, ok, ..
            } => {
                let span = &mut self.command;
                span.end_time_unix_nano = now;
                span.attributes.push(int("gofix.attempts", i64::from(*attempts)));
                if let Some(code) = status
                    .strip_prefix("exit status ")
                    .and_then(|code| code.parse().ok())
                {
                    span.attributes.push(int("process.exit.code", code));
                }
                if !ok {
                    failed(span, None, status);
                }
                self.end_attempt(now);
            }
            Event::AskedAhead(ahead) => {
                if let Some(span) = self.attempt() {
                    let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
                    span.attributes.extend([
                        int("gofix.ahead.requests", count(ahead.requests)),
                        int("gofix.ahead.used", count(ahead.used)),
                    ]);
                }
            }
            _ => self.note(event, now),
        }
    }

    fn request(&mut self, event: &Event, now: u64) {
        let Event::UpstreamRequest {
            url,
            redirected_to,
            status,
            bytes,
            took,
            route,
            r#try,
            kind,
            error,
        } = event
        else {
            return;
        };
        let start = now.saturating_sub(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        let above = self.attempt.map_or(&self.command, |at| &self.spans[at]);
        let mut span = self.below(above, "GET", SpanKind::Client, start);
        span.end_time_unix_nano = now;
        let (host, port) = split_port(host_of(url));
        span.attributes = vec![
            text("http.request.method", "GET"),
            text("url.full", url),
            text("server.address", host),
            int("gofix.route", *route as i64),
            int(
                "http.response.body.size",
                i64::try_from(*bytes).unwrap_or(i64::MAX),
            ),
        ];
        let more = [
            port.map(|port| int("server.port", port)),
            status.map(|status| int("http.response.status_code", status.into())),
            (*r#try > 1).then(|| int("http.request.resend_count", i64::from(*r#try) - 1)),
            redirected_to.as_ref().map(|to| text("gofix.redirected_to", to)),
        ];
        span.attributes.extend(more.into_iter().flatten());
        if let Some(error) = error {
            failed(&mut span, *kind, error);
        }
        self.keep(span);
    }

    /// A span that begins, below another.
    fn below(&self, above: &Span, name: &str, kind: SpanKind, start: u64) -> Span {
        Span {
            trace_id: self.command.trace_id.clone(),
            span_id: new_id(),
            parent_span_id: above.span_id.clone(),
            flags: RECORDED,
            name: name.to_owned(),
            kind: kind.into(),
            start_time_unix_nano: start,
            ..Span::default()
        }
    }

    fn keep(&mut self, span: Span) -> Option<usize> {
        if self.spans.len() < MAX_SPANS {
            self.spans.push(span);
            return Some(self.spans.len() - 1);
        }
        self.dropped = self.dropped.saturating_add(1);
        None
    }

    fn attempt(&mut self) -> Option<&mut Span> {
        self.spans.get_mut(self.attempt?)
    }

    fn end_attempt(&mut self, now: u64) {
        if let Some(span) = self.attempt().filter(|span| span.end_time_unix_nano == 0) {
            span.end_time_unix_nano = now;
        }
    }

    /// Notes what happened on the span of the run of go that goes on, or of the command.
    fn note(&mut self, event: &Event, now: u64) {
        let ms = |time: &Duration| int("gofix.ms", time.as_millis() as i64);
        let (of_attempt, attributes) = match event {
            Event::Fault { fault, .. } => (true, fault_attributes(fault)),
            Event::Stalled { quiet, .. } => (true, vec![ms(quiet)]),
            Event::Repair { what, .. } => (true, vec![text("gofix.what", what)]),
            Event::RepairFailed { why, .. } => (true, vec![text("gofix.why", why)]),
            Event::LockWait { path, .. } => (true, vec![text("file.path", path)]),
            Event::RequestBackoff { url, wait, error, .. } => (
                true,
                vec![text("url.full", url), ms(wait), text("gofix.why", error)],
            ),
            Event::Backoff { wait, .. } => (false, vec![ms(wait)]),
            Event::RouteSwitched { from, to } => (
                false,
                vec![
                    int("gofix.route.from", from.0 as i64),
                    int("gofix.route", to.0 as i64),
                    text("gofix.route.list", &to.1),
                ],
            ),
            Event::Warning { text: words } => (false, vec![text("gofix.what", words)]),
            Event::GaveUp { why, diagnosis } => {
                let why = text("gofix.why", why.as_str());
                let advice = diagnosis
                    .iter()
                    .map(|diagnosis| text("gofix.advice", &diagnosis.advice));
                (false, std::iter::once(why).chain(advice).collect())
            }
            _ => return,
        };
        let span = match self.attempt.filter(|_| of_attempt) {
            Some(at) => &mut self.spans[at],
            None => &mut self.command,
        };
        if span.events.len() < MAX_EVENTS {
            span.events.push(span::Event {
                time_unix_nano: now,
                name: event.name().to_owned(),
                attributes,
                ..span::Event::default()
            });
        } else {
            span.dropped_events_count = span.dropped_events_count.saturating_add(1);
        }
    }
}

fn new_id() -> Vec<u8> {
    fastrand::u64(1..).to_be_bytes().to_vec()
}

fn failed(span: &mut Span, kind: Option<FaultKind>, words: &str) {
    span.status = Some(Status {
        message: safe(words),
        code: StatusCode::Error.into(),
    });
    let kind = kind.map_or("_OTHER", FaultKind::as_str);
    span.attributes.push(text("error.type", kind));
}

fn fault_attributes(fault: &Fault) -> Vec<KeyValue> {
    let mut attributes = vec![
        text("error.type", fault.kind.as_str()),
        text("gofix.verdict", fault.verdict.as_str()),
        text("gofix.origin", phrase::origin_word(fault.origin)),
        text("gofix.line", &fault.line),
    ];
    let more = [
        ("gofix.module", &fault.module),
        ("gofix.version", &fault.version),
        ("server.address", &fault.host),
        ("url.full", &fault.url),
    ];
    let known = more
        .iter()
        .filter_map(|(key, value)| Some(text(key, value.as_ref()?)));
    attributes.extend(known);
    attributes
}

/// `host:port`, taken apart.
fn split_port(authority: &str) -> (&str, Option<i64>) {
    let parts = authority
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.map_or((authority, None), |(host, port)| (host, Some(port)))
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_trace_is_bounded_and_says_what_it_left_out() {
        let mut trace = Trace::new(None, "go build", "run", 1);
        let started = Event::AttemptStarted {
            attempt: 1,
            route: (1, "https://h.example".to_owned()),
            changes: Vec::new(),
        };
        trace.take(&started, 2);
        for now in 0..5000 {
            let request = Event::UpstreamRequest {
                url: "https://u:secret@h.example:8443/m/@v/list".to_owned(),
                redirected_to: None,
                status: Some(200),
                bytes: 1,
                took: Duration::from_nanos(1),
                route: 1,
                r#try: 1,
                kind: None,
                error: None,
            };
            trace.take(&request, now);
            let repair = Event::Repair {
                attempt: 1,
                what: "a".repeat(5000),
            };
            trace.take(&repair, now);
        }
        let spans = trace.into_spans(9000);
        assert_eq!(spans.len(), MAX_SPANS + 1);
        let dropped = int("gofix.dropped_spans", 5001 - MAX_SPANS as i64);
        assert!(spans[0].attributes.contains(&dropped));
        assert_eq!(spans[1].events.len(), MAX_EVENTS);
        assert_eq!(spans[1].dropped_events_count as usize, 5000 - MAX_EVENTS);
        let all = format!("{spans:?}");
        assert!(!all.contains("secret") && all.len() < 2_000_000, "{}", all.len());
        assert!(spans[2].attributes.contains(&int("server.port", 8443)));
    }
}
