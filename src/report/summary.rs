//! What `gofix report` shows of reports: lines for a terminal, an object for a program.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::report::phrase;
use crate::report::read::{Outcome, Reports, Run, Server};
use crate::text::{bytes, count, duration, width};

/// Runs that the terminal shows one by one: the troubled ones first.
const MAX_SHOWN: usize = 30;

/// One route over all runs.
#[derive(Debug, Clone, Default)]
pub(super) struct RouteTotal {
    pub(super) number: u64,
    pub(super) list: String,
    pub(super) attempts: u64,
    pub(super) went_through: u64,
}

/// Writes the summary.
pub(super) fn write(reports: &Reports, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", headline(reports))?;
    runs(reports, out)?;
    routes(reports, out)?;
    servers(reports, out)?;
    if reports.ahead.requests > 0 {
        writeln!(out, "\n{}", phrase::asked_ahead(&reports.ahead))?;
    }
    kinds(reports, out)?;
    if reports.unreadable > 0 {
        writeln!(
            out,
            "\n{} could not be parsed as an event",
            count(reports.unreadable, "line")
        )?;
    }
    Ok(())
}

/// `12 runs in 3 files: 1 gave up, 4 recovered, 7 no trouble`.
pub(super) fn headline(reports: &Reports) -> String {
    let number = reports.runs.len() as u64 + reports.more_runs;
    let mut parts = Vec::new();
    for outcome in [
        Outcome::GaveUp,
        Outcome::NoEnd,
        Outcome::Failed,
        Outcome::Recovered,
        Outcome::Fine,
    ] {
        let n = reports.runs.iter().filter(|run| run.outcome() == outcome).count();
        if n > 0 {
            parts.push(format!("{n} {}", outcome.as_str()));
        }
    }
    let runs = format!("{} in {}", count(number, "run"), count(reports.files, "file"));
    if parts.is_empty() {
        runs
    } else {
        format!("{runs}: {}", parts.join(", "))
    }
}

fn runs(reports: &Reports, out: &mut impl Write) -> io::Result<()> {
    let shown: Vec<&Run> = worst_first(reports);
    if shown.is_empty() {
        return Ok(());
    }
    let mut table = vec![row(&["started", "command", "attempts", "took", "outcome"])];
    for run in shown.iter().take(MAX_SHOWN) {
        let started = run.start.map_or_else(String::new, second);
        let took = duration(Duration::from_millis(run.took_ms()));
        let outcome = outcome_words(run);
        table.push(vec![
            started,
            run.command.clone(),
            run.attempts.len().to_string(),
            took,
            outcome,
        ]);
    }
    writeln!(out)?;
    write_table(&table, out)?;
    let more = shown.len().saturating_sub(MAX_SHOWN) as u64 + reports.more_runs;
    if more > 0 {
        writeln!(out, "... and {}", count(more, "more run"))?;
    }
    Ok(())
}

/// The runs with the worst outcome first, and among equals the latest.
pub(super) fn worst_first(reports: &Reports) -> Vec<&Run> {
    let mut runs: Vec<&Run> = reports.runs.iter().collect();
    runs.sort_by_key(|run| (run.outcome(), std::cmp::Reverse(run.start)));
    runs
}

/// The outcome with what explains it most.
pub(super) fn outcome_words(run: &Run) -> String {
    let outcome = run.outcome();
    let why = match outcome {
        Outcome::GaveUp => run.gave_up.clone().map(|why| why.replace('_', " ")),
        Outcome::Recovered if run.failed_requests > 0 && run.attempts.len() <= 1 => {
            Some(format!("{} retried", count(run.failed_requests, "request")))
        }
        Outcome::Recovered => run
            .attempts
            .iter()
            .flat_map(|attempt| &attempt.faults)
            .next()
            .map(|fault| {
                let kind = fault.kind.replace('_', " ");
                if fault.host.is_empty() {
                    kind
                } else {
                    format!("{kind} at {}", fault.host)
                }
            }),
        Outcome::Fine | Outcome::Failed | Outcome::NoEnd => None,
    };
    why.map_or_else(
        || outcome.as_str().to_owned(),
        |why| format!("{} ({why})", outcome.as_str()),
    )
}

/// Every route with what became of its attempts.
pub(super) fn route_totals(reports: &Reports) -> Vec<RouteTotal> {
    let mut totals: Vec<RouteTotal> = Vec::new();
    for run in &reports.runs {
        for (i, attempt) in run.attempts.iter().enumerate() {
            let known = |t: &&mut RouteTotal| t.number == attempt.route && t.list == attempt.list;
            let last = i + 1 == run.attempts.len();
            let through = u64::from(last && run.ok == Some(true));
            if let Some(total) = totals.iter_mut().find(known) {
                total.attempts += 1;
                total.went_through += through;
            } else if totals.len() < 100 {
                let (number, list) = (attempt.route, attempt.list.clone());
                totals.push(RouteTotal {
                    number,
                    list,
                    attempts: 1,
                    went_through: through,
                });
            }
        }
    }
    totals.sort_by_key(|total| (total.number, std::cmp::Reverse(total.attempts)));
    totals
}

fn routes(reports: &Reports, out: &mut impl Write) -> io::Result<()> {
    let totals = route_totals(reports);
    if totals.is_empty() {
        return Ok(());
    }
    let mut table = vec![row(&["route", "attempts", "went through", "list"])];
    for t in totals.iter().take(20) {
        table.push(vec![
            t.number.to_string(),
            t.attempts.to_string(),
            t.went_through.to_string(),
            t.list.clone(),
        ]);
    }
    writeln!(out)?;
    write_table(&table, out)
}

/// The servers that were asked most first.
pub(super) fn busiest(reports: &Reports) -> Vec<(&String, &Server)> {
    let mut servers: Vec<_> = reports.servers.iter().collect();
    servers.sort_by_key(|(_, server)| std::cmp::Reverse((server.requests, server.faults)));
    servers
}

fn servers(reports: &Reports, out: &mut impl Write) -> io::Result<()> {
    if reports.servers.is_empty() {
        return Ok(());
    }
    let mut table = vec![row(&[
        "server",
        "requests",
        "failed",
        "median",
        "95%",
        "received",
        "faults reported by go",
    ])];
    for (host, server) in busiest(reports).into_iter().take(20) {
        let ms = |percent| {
            server
                .percentile(percent)
                .map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"))
        };
        table.push(vec![
            host.clone(),
            server.requests.to_string(),
            server.failed.to_string(),
            ms(50),
            ms(95),
            bytes(server.bytes),
            server.faults.to_string(),
        ]);
    }
    writeln!(out)?;
    write_table(&table, out)
}

fn kinds(reports: &Reports, out: &mut impl Write) -> io::Result<()> {
    if reports.kinds.is_empty() {
        return Ok(());
    }
    let mut table = vec![row(&["fault", "seen"])];
    for (kind, n) in most_frequent(reports) {
        table.push(vec![kind.clone(), n.to_string()]);
    }
    writeln!(out)?;
    write_table(&table, out)
}

/// The kinds of fault, most frequent first.
pub(super) fn most_frequent(reports: &Reports) -> Vec<(&String, u64)> {
    let mut kinds: Vec<(&String, u64)> = reports.kinds.iter().map(|(kind, n)| (kind, *n)).collect();
    kinds.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    kinds
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn write_table(table: &[Vec<String>], out: &mut impl Write) -> io::Result<()> {
    let columns = table.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|i| {
            table
                .iter()
                .filter_map(|row| row.get(i))
                .map(|cell| width(cell))
                .max()
                .unwrap_or(0)
        })
        .collect();
    for row in table {
        let mut line = String::new();
        for (cell, column) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(column - width(cell) + 2));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A time to the second: `2026-01-02 03:04:05Z`.
pub(super) fn second(time: jiff::Timestamp) -> String {
    let text = time.to_string();
    let whole = text.split(['.', 'Z']).next().unwrap_or(&text);
    format!("{}Z", whole.replace('T', " "))
}

/// The same for a program.
pub(super) fn json(reports: &Reports) -> Value {
    json!({
        "files": reports.files,
        "events": reports.events,
        "unreadable_lines": reports.unreadable,
        "runs": reports.runs.iter().map(run_json).collect::<Vec<_>>(),
        "more_runs": reports.more_runs,
        "routes": route_totals(reports).iter().map(|t| json!({
            "route": t.number, "list": t.list, "attempts": t.attempts, "went_through": t.went_through,
        })).collect::<Vec<_>>(),
        "servers": busiest(reports).into_iter().map(|(host, server)| json!({
            "host": host,
            "requests": server.requests,
            "failed": server.failed,
            "median_ms": server.percentile(50),
            "p95_ms": server.percentile(95),
            "bytes": server.bytes,
            "faults": server.faults,
        })).collect::<Vec<_>>(),
        "asked_ahead": {
            "requests": reports.ahead.requests,
            "bytes": reports.ahead.bytes,
            "used": reports.ahead.used,
            "used_bytes": reports.ahead.used_bytes,
        },
        "faults": reports.kinds,
    })
}

fn run_json(run: &Run) -> Value {
    json!({
        "run": run.id,
        "command": run.command,
        "start": run.start.map(|t| t.to_string()),
        "ms": run.took_ms(),
        "outcome": run.outcome().as_str(),
        "why": run.gave_up,
        "requests": run.requests.len() as u64 + run.more_requests,
        "failed_requests": run.failed_requests,
        "repairs": run.repairs,
        "attempts": run.attempts.iter().map(|a| json!({
            "attempt": a.number,
            "route": a.route,
            "list": a.list,
            "status": a.status,
            "verdict": a.verdict,
            "stalled_ms": a.stalled_ms,
            "wait_ms": a.wait_ms,
            "faults": a.faults.iter().map(|f| json!({"kind": f.kind, "host": f.host, "line": f.line})).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}
