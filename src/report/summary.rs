//! What `gofix report` shows of reports: lines for a terminal, an object for a program.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::report::phrase;
use crate::report::read::{Outcome, Reports, Run, Server};
use crate::text::{bytes, count, duration, width};

/// Runs that the terminal shows one by one: the troubled ones first.
const MAX_SHOWN: usize = 30;

/// Rows of one table that the terminal shows.
const MAX_ROWS: usize = 30;

/// What is added up over all runs, for the terminal and for the page.
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) heads: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

/// The columns of a run's row.
pub(super) const RUN_HEADS: [&str; 5] = ["started", "command", "attempts", "took", "outcome"];

/// What became of all attempts on one route.
#[derive(Debug, Clone, Default)]
struct RouteTotal {
    number: u64,
    list: String,
    attempts: u64,
    went_through: u64,
}

impl Reports {
    /// Writes the summary for a terminal.
    pub(crate) fn summary(&self, out: &mut impl Write) -> io::Result<()> {
        summary(self, out)
    }

    /// The same as one JSON object.
    pub(crate) fn json(&self) -> Value {
        json(self)
    }
}

fn summary(reports: &Reports, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", headline(reports))?;
    runs(reports, out)?;
    for table in tables(reports) {
        writeln!(out)?;
        write_table(&table.heads, table.rows.into_iter().take(MAX_ROWS), out)?;
    }
    if reports.ahead.requests > 0 {
        writeln!(out, "\n{}", phrase::asked_ahead(&reports.ahead))?;
    }
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
    writeln!(out)?;
    write_table(
        &RUN_HEADS,
        shown.iter().take(MAX_SHOWN).map(|run| run_row(run).into()),
        out,
    )?;
    let more = shown.len().saturating_sub(MAX_SHOWN) as u64 + reports.more_runs;
    if more > 0 {
        writeln!(out, "... and {}", count(more, "more run"))?;
    }
    Ok(())
}

/// A run as a row of a table.
pub(super) fn run_row(run: &Run) -> [String; 5] {
    [
        run.start.map_or_else(String::new, second),
        if run.command.is_empty() {
            "(unknown)".to_owned()
        } else {
            run.command.clone()
        },
        run.attempts.len().to_string(),
        duration(Duration::from_millis(run.took_ms())),
        outcome_words(run),
    ]
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
fn route_totals(reports: &Reports) -> Vec<RouteTotal> {
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

/// The tables below the runs; one without rows is left out.
pub(super) fn tables(reports: &Reports) -> impl Iterator<Item = Table> {
    let routes = route_totals(reports).into_iter().map(|total| {
        vec![
            total.number.to_string(),
            total.attempts.to_string(),
            total.went_through.to_string(),
            total.list,
        ]
    });
    let servers = busiest(reports).into_iter().map(|(host, server)| {
        let percentile = |percent| server.percentile(percent);
        let ms = |percent| percentile(percent).map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        vec![
            host.clone(),
            server.requests.to_string(),
            server.failed.to_string(),
            ms(50),
            ms(95),
            bytes(server.bytes),
            server.faults.to_string(),
        ]
    });
    let mut kinds: Vec<_> = reports.kinds.iter().collect();
    kinds.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let kinds = kinds
        .into_iter()
        .map(|(kind, n)| vec![kind.replace('_', " "), n.to_string()]);
    let tables = [
        Table {
            title: "Routes",
            heads: vec!["route", "attempts", "went through", "list"],
            rows: routes.collect(),
        },
        Table {
            title: "Servers, as the relay measured them",
            heads: vec![
                "server",
                "requests",
                "failed",
                "median",
                "95%",
                "received",
                "faults reported by go",
            ],
            rows: servers.collect(),
        },
        Table {
            title: "Faults",
            heads: vec!["fault", "seen"],
            rows: kinds.collect(),
        },
    ];
    tables.into_iter().filter(|table| !table.rows.is_empty())
}

/// The servers that were asked most first.
fn busiest(reports: &Reports) -> Vec<(&String, &Server)> {
    let mut servers: Vec<_> = reports.servers.iter().collect();
    servers.sort_by_key(|(_, server)| std::cmp::Reverse((server.requests, server.faults)));
    servers
}

fn write_table(
    heads: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    out: &mut impl Write,
) -> io::Result<()> {
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    let table: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let widest = |column| {
        table
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell: &String| width(cell))
            .max()
    };
    let widths: Vec<usize> = (0..).map_while(widest).collect();
    for row in &table {
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

fn json(reports: &Reports) -> Value {
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
