//! The table and the JSON object of `gofix doctor`.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::text::{count, fit, wrap};

use super::row::{Grade, Row};
use super::{Examination, Server};

const BROKEN: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default();
const NOTE: Style = AnsiColor::Cyan.on_default();
const FINE: Style = AnsiColor::Green.on_default();

/// Writes the table, worst first. `columns` is the width of the terminal, `None`
/// where nothing has to fit anywhere.
pub(super) fn table(
    found: &Examination,
    columns: Option<usize>,
    out: &mut impl Write,
) -> std::io::Result<()> {
    for row in &found.rows {
        one(row, columns, out)?;
    }
    writeln!(out)?;
    writeln!(out, "{}", summary(&found.rows))?;
    for line in advice(found) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn one(row: &Row, columns: Option<usize>, out: &mut impl Write) -> std::io::Result<()> {
    let style = match row.grade {
        Grade::Broken => BROKEN,
        Grade::Warning => WARNING,
        Grade::Note => NOTE,
        Grade::Fine => FINE,
    };
    let word = format!("{:<8}", row.grade.as_str());
    let head = format!("{}: {}", row.subject, row.found);
    if row.grade == Grade::Fine {
        let head = format!("{head}  [{}]", row.from);
        let head = columns.map_or_else(|| head.clone(), |columns| fit(&head, columns.saturating_sub(9)));
        return writeln!(out, "{style}{word}{style:#} {head}");
    }
    let width = columns.unwrap_or(usize::MAX).saturating_sub(9).max(20);
    for (i, line) in wrap(&head, width).into_iter().enumerate() {
        let margin = if i == 0 {
            format!("{style}{word}{style:#}")
        } else {
            " ".repeat(8)
        };
        writeln!(out, "{margin} {line}")?;
    }
    for line in wrap(&format!("from: {}", row.from), width) {
        writeln!(out, "{:8} {line}", "")?;
    }
    if let Some(fix) = &row.fix {
        // Not wrapped: it is there to be copied.
        writeln!(out, "{:8} fix: {fix}", "")?;
    }
    Ok(())
}

fn summary(rows: &[Row]) -> String {
    let number = |grade: Grade| rows.iter().filter(|row| row.grade == grade).count() as u64;
    let (broken, warnings) = (number(Grade::Broken), number(Grade::Warning));
    match (broken, warnings) {
        (0, 0) => "No problems found.".to_owned(),
        (0, n) => format!("Nothing is broken; {}.", count(n, "warning")),
        (n, 0) => format!("{n} broken."),
        (n, w) => format!("{n} broken, {}.", count(w, "warning")),
    }
}

fn advice(found: &Examination) -> Vec<String> {
    let mut lines = Vec::new();
    if !found.order.is_empty() {
        lines.push("Proxies by measured speed, best first:".to_owned());
        for (i, server) in found.order.iter().enumerate() {
            lines.push(format!("  {}. {}  ({})", i + 1, server.shown, server.measure()));
        }
    }
    if let Some(text) = &found.advice {
        lines.push(text.clone());
    }
    lines.extend(found.commands.iter().map(|command| format!("  {command}")));
    lines
}

/// The same for a program.
pub(super) fn json(found: &Examination) -> Value {
    json!({
        "grade": found.worst(),
        "exit_status": found.worst().exit_status(),
        "rows": found.rows,
        "servers": found.servers.iter().map(server).collect::<Vec<_>>(),
        "order": found.order.iter().map(|s| s.shown.clone()).collect::<Vec<_>>(),
        "advice": found.advice,
        "commands": found.commands,
        "ms": u64::try_from(found.took.as_millis()).unwrap_or(u64::MAX),
    })
}

fn server(server: &Server) -> Value {
    json!({
        "url": server.shown,
        "role": server.role_word(),
        "routes": server.routes,
        "works": server.works,
        "latency_ms": server.latency.map(|d| d.as_millis() as u64),
        "bytes_per_second": server.speed,
        "http2": server.http2,
        "sumdb": server.sumdb,
        "tls_issuer": server.issuer,
        "clock_skew_seconds": server.skew_seconds,
    })
}
