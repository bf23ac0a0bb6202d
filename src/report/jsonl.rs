//! The JSON report: every event as one line, appended to the file of GOFIX_REPORT. `GOFIX_LOG=debug` shows the same fields.
//!
//! One line is one write to a descriptor in append mode, so that runs side by
//! side may share a file. A report is evidence for people and not a gate:
//! whatever goes wrong with it is said once and changes nothing else.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::diagnose::{Diagnosis, Fault, FaultKind};
use crate::report::event::Event;
use crate::report::phrase;
use crate::text::safe;

/// What stands on every line beside the event itself.
#[derive(Debug)]
pub(super) struct Stamp<'a> {
    pub(super) run: &'a str,
    pub(super) time: jiff::Timestamp,
    pub(super) attempt: Option<u32>,
    /// Which command this is about (`go mod tidy`), without its arguments.
    pub(super) command: &'a str,
}

/// An open report.
#[derive(Debug)]
pub(super) struct Jsonl {
    path: PathBuf,
    file: Option<File>,
}

impl Jsonl {
    /// Opens `path` for appending: 0600 if it is new, no link followed, regular files only.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
            .map_err(|e| match e.raw_os_error() {
                Some(libc::ELOOP) => io::Error::other("it is a symbolic link"),
                _ => e,
            })?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(Self {
            path: path.to_owned(),
            file: Some(file),
        })
    }

    /// Appends one event. After a failed write nothing more is written.
    pub(super) fn write(&mut self, stamp: &Stamp<'_>, event: &Event) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut line = value(stamp, event).to_string();
        line.push('\n');
        let written = file.write_all(line.as_bytes());
        if written.is_err() {
            self.file = None;
        }
        written
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// One event as the object that stands in the report.
fn value(stamp: &Stamp<'_>, event: &Event) -> Value {
    let mut line = Map::new();
    line.insert("run".into(), json!(stamp.run));
    line.insert("time".into(), json!(stamp.time.to_string()));
    line.insert("event".into(), json!(event.name()));
    line.insert("attempt".into(), json!(stamp.attempt));
    if matches!(event, Event::AttemptStarted { .. } | Event::Finished { .. }) {
        line.insert("command".into(), json!(safe(stamp.command)));
    }
    if let Value::Object(more) = details(event) {
        line.extend(more);
    }
    Value::Object(line)
}

/// One event in one line: its name, and what there is of its fields as `NAME=VALUE`.
pub(super) fn in_words(event: &Event) -> String {
    let mut line = event.name().to_owned();
    let details = details(event);
    let attempt = event.attempt().map(|attempt| ("attempt", json!(attempt)));
    let fields = details.as_object().into_iter().flatten();
    let fields = fields.map(|(name, value)| (name.as_str(), value.clone()));
    for (name, value) in attempt.into_iter().chain(fields) {
        match &value {
            Value::Null => continue,
            Value::Array(list) if list.is_empty() => continue,
            Value::String(text) if !text.contains([' ', '"', '\\']) => line += &format!(" {name}={text}"),
            other => line += &format!(" {name}={other}"),
        }
    }
    line
}

fn details(event: &Event) -> Value {
    match event {
        Event::AttemptStarted { route, changes, .. } => json!({
            "route": route.0,
            "list": safe(&route.1),
            "changes": changes.iter().take(20).map(safe).collect::<Vec<_>>(),
        }),
        Event::Fault { fault, .. } => fault_value(fault),
        Event::Diagnosis {
            diagnosis,
            status,
            took,
            ..
        } => json!({
            "verdict": diagnosis.verdict.as_str(),
            "faults": diagnosis.faults.len(),
            "status": safe(status),
            "ms": ms(*took),
        }),
        Event::Stalled { quiet, .. } => json!({ "ms": ms(*quiet) }),
        Event::LockWait { path, pid } => json!({ "path": safe(path), "pid": pid }),
        Event::Repair { what, .. } => json!({ "what": safe(what) }),
        Event::RepairFailed { why, .. } => json!({ "why": safe(why) }),
        Event::Backoff { wait, left, .. } => json!({ "ms": ms(*wait), "left": left }),
        Event::RouteSwitched { from, to } => json!({
            "from": from.0, "from_list": safe(&from.1), "to": to.0, "to_list": safe(&to.1),
        }),
        Event::UpstreamRequest {
            url,
            redirected_to,
            status,
            bytes,
            took,
            route,
            r#try,
            kind,
            error,
        } => json!({
            "url": safe(url), "redirected_to": redirected_to.as_ref().map(safe), "status": status, "bytes": bytes, "ms": ms(*took), "route": route, "try": r#try,
            "kind": kind.map(FaultKind::as_str), "error": error.as_ref().map(safe),
        }),
        Event::RequestBackoff {
            url,
            wait,
            left,
            error,
        } => json!({ "url": safe(url), "ms": ms(*wait), "left": left, "error": safe(error) }),
        Event::RequestSilent { url, silent } => json!({ "url": safe(url), "ms": ms(*silent) }),
        Event::AskedAhead(ahead) => json!({
            "requests": ahead.requests, "bytes": ahead.bytes, "used": ahead.used, "used_bytes": ahead.used_bytes,
        }),
        Event::Warning { text } => json!({ "text": safe(text) }),
        Event::ExportFailed { why } => json!({ "why": safe(why) }),
        Event::GaveUp { why, diagnosis } => json!({
            "why": why.as_str(),
            "advice": diagnosis.as_ref().map(advice),
        }),
        Event::Finished {
            attempts,
            status,
            ok,
            took,
        } => json!({
            "attempts": attempts, "status": safe(status), "ok": ok, "ms": ms(*took),
        }),
    }
}

fn fault_value(fault: &Fault) -> Value {
    json!({
        "kind": fault.kind.as_str(),
        "verdict": fault.verdict.as_str(),
        "origin": phrase::origin_word(fault.origin),
        "module": fault.module.as_ref().map(safe),
        "version": fault.version.as_ref().map(safe),
        "host": fault.host.as_ref().map(safe),
        "url": fault.url.as_ref().map(safe),
        "redirected_to": fault.redirected_to.as_ref().map(safe),
        "line": safe(&fault.line),
    })
}

fn advice(diagnosis: &Diagnosis) -> String {
    safe(&diagnosis.advice)
}

fn ms(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
