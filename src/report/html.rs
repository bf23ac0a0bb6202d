//! The page of `gofix report --html`: one file, no script, nothing loaded.
//!
//! Every text in it has gone through [`safe`](super::safe) when it was read and
//! through [`html`](super::text::html) here, and a content security policy in the
//! page forbids everything but its own styles.
//!
//! Known limitations: times of one run come from one machine's clock; a
//! clock that was set back in the middle shows as a bar at the left edge.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use crate::report::read::{Attempt, Outcome, Reports, Request, Run, millis_between};
use crate::report::summary::{
    RUN_HEADS, Table, headline, outcome_words, run_row, second, tables, worst_first,
};
use crate::text::{bytes, count, duration, html as esc};

const STYLE: &str = include_str!("page.css");
/// Runs that get a timeline; the others stand in the table only.
const MAX_TIMELINES: usize = 60;
/// Lanes of servers in one timeline.
const MAX_LANES: usize = 8;
/// Files in one timeline.
const MAX_FILES: usize = 200;
/// Runs in the table.
const MAX_ROWS: usize = 500;

impl Reports {
    /// One self-contained HTML page.
    pub(crate) fn html(&self) -> String {
        page(self)
    }
}

fn page(reports: &Reports) -> String {
    let mut page = Page {
        text: String::with_capacity(64 << 10),
    };
    page.head(reports);
    page.tiles(reports);
    page.filter();
    page.runs(reports);
    for table in tables(reports) {
        page.table(&table);
    }
    page.timelines(reports);
    page.add("</main></body></html>\n");
    page.text
}

struct Page {
    text: String,
}

impl Page {
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn head(&mut self, reports: &Reports) {
        self.add("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
        self.add("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">");
        self.add("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
        self.add("<meta name=\"color-scheme\" content=\"light dark\">");
        self.add("<title>gofix report</title>");
        self.add(&format!("<style>\n{STYLE}</style></head><body>"));
        self.add("<a class=\"skip\" href=\"#timelines\">Skip to the timelines</a><main>");
        let span = span_of(reports).map_or_else(String::new, |(from, to)| {
            format!("<br>{} to {}", esc(&second(from)), esc(&second(to)))
        });
        self.add(&format!(
            "<header><h1>gofix report</h1><p>{}{span}</p></header>",
            esc(&headline(reports))
        ));
        if reports.unreadable > 0 {
            let lines = count(reports.unreadable, "line");
            self.add(&format!(
                "<p class=\"remark\">{lines} could not be read as an event.</p>"
            ));
        }
    }

    fn tiles(&mut self, reports: &Reports) {
        let number =
            |outcome: Outcome| reports.runs.iter().filter(|run| run.outcome() == outcome).count() as u64;
        let requests: u64 = reports.servers.values().map(|server| server.requests).sum();
        let failed: u64 = reports.servers.values().map(|server| server.failed).sum();
        let faults: u64 = reports.kinds.values().sum();
        self.add("<dl class=\"tiles\">");
        for (name, value) in [
            ("runs", reports.runs.len() as u64 + reports.more_runs),
            ("without trouble", number(Outcome::Fine)),
            ("recovered", number(Outcome::Recovered)),
            ("gave up", number(Outcome::GaveUp)),
            ("faults reported by go", faults),
            ("relay requests", requests),
            ("failed relay requests", failed),
            ("requests made ahead of go", reports.ahead.requests),
            ("of them used by go", reports.ahead.used),
        ] {
            self.add(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
        }
        self.add("</dl>");
    }

    /// What is shown, chosen without a script: the style sheet looks which of these is checked.
    fn filter(&mut self) {
        self.add("<fieldset class=\"filter\"><legend>Show</legend>");
        for (id, words, checked) in [
            ("show-all", "everything", " checked"),
            ("show-trouble", "only runs with trouble", ""),
            ("show-failed", "only runs that failed", ""),
        ] {
            self.add(&format!(
                "<label for=\"{id}\"><input type=\"radio\" name=\"show\" id=\"{id}\"{checked}>{words}</label>"
            ));
        }
        self.add("</fieldset>");
    }

    fn runs(&mut self, reports: &Reports) {
        let runs = worst_first(reports);
        if runs.is_empty() {
            self.add("<p>These files contain no runs.</p>");
            return;
        }
        self.add("<section><h2>Runs</h2>");
        self.open_table("Runs", &RUN_HEADS);
        for (i, run) in runs.iter().take(MAX_ROWS).enumerate() {
            let [started, command, attempts, took, _] = run_row(run).map(|cell| esc(&cell));
            let command = if i < MAX_TIMELINES {
                format!("<a href=\"#run{i}\">{command}</a>")
            } else {
                command
            };
            self.add(&format!(
                "<tr class=\"{}\"><td class=\"nowrap\">{started}<td>{command}<td class=\"n\" data-of=\"attempts\">{attempts}<td class=\"n\" data-of=\"took\">{took}<td>{}</tr>",
                outcome_class(run),
                badge(run)
            ));
        }
        self.add("</tbody></table></div>");
        let more = runs.len().saturating_sub(MAX_ROWS) as u64 + reports.more_runs;
        if more > 0 {
            self.add(&format!(
                "<p class=\"remark\">{} not shown.</p>",
                count(more, "more run")
            ));
        }
        self.add("</section>");
    }

    fn table(&mut self, table: &Table) {
        self.add(&format!("<section><h2>{}</h2>", table.title));
        self.open_table(table.title, &table.heads);
        for row in &table.rows {
            let cells: String = row
                .iter()
                .zip(&table.heads)
                .skip(1)
                .map(|(cell, head)| format!("<td{} data-of=\"{head}\">{}", class_of(head), esc(cell)))
                .collect();
            let first = row.first().map_or_else(String::new, |cell| esc(cell));
            self.add(&format!("<tr><th scope=\"row\">{first}{cells}</tr>"));
        }
        self.add("</tbody></table></div></section>");
    }

    fn open_table(&mut self, name: &str, heads: &[&str]) {
        let head = |head: &&str| format!("<th scope=\"col\"{}>{head}", class_of(head));
        let heads: String = heads.iter().map(head).collect();
        self.add(&format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\"><table class=\"stack\"><thead><tr>{heads}</tr></thead><tbody>"
        ));
    }

    fn timelines(&mut self, reports: &Reports) {
        let runs = worst_first(reports);
        if runs.is_empty() {
            return;
        }
        self.add("<section id=\"timelines\"><h2>Timelines</h2>");
        self.add("<p class=\"key\"><span><i class=\"bar good\"></i> went through</span> <span><i class=\"bar bad\"></i> fault</span> <span><i class=\"bar wait\"></i> waiting</span></p>");
        for (i, run) in runs.iter().take(MAX_TIMELINES).enumerate() {
            self.timeline(i, run);
        }
        if runs.len() > MAX_TIMELINES {
            let more = count((runs.len() - MAX_TIMELINES) as u64, "more run");
            self.add(&format!("<p class=\"remark\">{more} not drawn.</p>"));
        }
        self.add("</section>");
    }

    fn timeline(&mut self, number: usize, run: &Run) {
        let Some(scale) = Scale::of(run) else { return };
        let [started, command, _, took, _] = run_row(run).map(|cell| esc(&cell));
        self.add(&format!(
            "<article id=\"run{number}\" class=\"{}\"><h3>{command} <small>{started} · {took} · {}</small></h3>",
            outcome_class(run),
            badge(run)
        ));
        self.add("<div class=\"lanes\">");
        for (i, attempt) in run.attempts.iter().enumerate() {
            let last = i + 1 == run.attempts.len();
            self.attempt(attempt, last && run.ok == Some(true), &scale);
        }
        self.lanes(run, &scale);
        self.axis(&scale);
        self.add("</div>");
        self.files(run, &scale);
        self.details(run);
        self.add("</article>");
    }

    fn attempt(&mut self, attempt: &Attempt, through: bool, scale: &Scale) {
        let end = attempt.end.or(attempt.start);
        let took = attempt
            .start
            .zip(end)
            .and_then(|(from, to)| millis_between(from, to))
            .unwrap_or(0);
        let class = if through { "good" } else { "bad" };
        let what = if through {
            "went through".to_owned()
        } else {
            first_fault(attempt)
        };
        let took_words = duration(Duration::from_millis(took));
        let mut bars = bar(
            class,
            scale.place(attempt.start, took),
            &format!("{what}, {took_words}"),
        );
        if let Some(wait) = attempt.wait_ms {
            let words = format!("waited {}", duration(Duration::from_millis(wait)));
            bars.push_str(&bar("wait", scale.place(end, wait), &words));
        }
        self.lane(
            &format!("attempt {} · route {}", attempt.number, attempt.route),
            &bars,
            &what,
        );
    }

    /// Requests, a lane for each server.
    fn lanes(&mut self, run: &Run, scale: &Scale) {
        let mut hosts: Vec<(&str, Vec<&Request>)> = Vec::new();
        for request in &run.requests {
            match hosts.iter_mut().find(|(host, _)| *host == request.host) {
                Some((_, requests)) => requests.push(request),
                None => hosts.push((&request.host, vec![request])),
            }
        }
        for (host, requests) in hosts.iter().take(MAX_LANES) {
            let mut bars = String::new();
            for request in requests {
                let class = if request.error.is_some() { "bad" } else { "good" };
                bars.push_str(&bar(
                    class,
                    scale.place(start_of(request), request.ms),
                    &request_words(request),
                ));
            }
            let failed = requests.iter().filter(|request| request.error.is_some()).count();
            let words = format!("{}, {failed} failed", count(requests.len() as u64, "request"));
            self.lane(host, &bars, &words);
        }
        let more = hosts.len().saturating_sub(MAX_LANES) as u64;
        if more > 0 {
            self.add(&format!(
                "<p class=\"remark\">{} not drawn</p>",
                count(more, "more server")
            ));
        }
    }

    /// The tries for each file, a row for each, in the order in which they were asked for: what waited for what.
    fn files(&mut self, run: &Run, scale: &Scale) {
        let mut files: Vec<Vec<&Request>> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for request in &run.requests {
            let place = *places.entry(file_of(request)).or_insert(files.len());
            match files.get_mut(place) {
                Some(tries) => tries.push(request),
                None => files.push(vec![request]),
            }
        }
        if files.is_empty() {
            return;
        }
        files.sort_by_key(|tries| tries.iter().map(|request| start_of(request)).min());
        let troubled = |tries: &[&Request]| tries.iter().any(|request| request.error.is_some());
        let bad = files.iter().filter(|tries| troubled(tries)).count();
        self.add(&format!(
            "<details><summary>Requests, file by file: {}, {bad} with trouble</summary><div class=\"lanes\">",
            count(files.len() as u64, "file")
        ));
        // Where not all can be shown it is those with trouble that are looked for.
        let left_out = files.len().saturating_sub(MAX_FILES);
        let mut quiet_shown = MAX_FILES.saturating_sub(bad);
        for tries in files.iter().filter(|tries| {
            let shown = troubled(tries) || quiet_shown > 0;
            quiet_shown = quiet_shown.saturating_sub(usize::from(!troubled(tries)));
            shown
        }) {
            self.file(tries, scale);
        }
        self.add("</div>");
        let left_out = left_out as u64 + run.more_requests;
        if left_out > 0 {
            self.add(&format!("<p class=\"remark\">{left_out} more not drawn.</p>"));
        }
        self.add("</details>");
    }

    fn file(&mut self, tries: &[&Request], scale: &Scale) {
        let mut bars = String::new();
        let mut before: Option<Timestamp> = None;
        for request in tries {
            let start = start_of(request);
            if let (Some(before), Some(start)) = (before, start)
                && let Some(waited) = millis_between(before, start).filter(|waited| *waited > 0)
            {
                let words = format!("waited {}", duration(Duration::from_millis(waited)));
                bars.push_str(&bar("wait", scale.place(Some(before), waited), &words));
            }
            let class = if request.error.is_some() { "bad" } else { "good" };
            bars.push_str(&bar(
                class,
                scale.place(start, request.ms),
                &request_words(request),
            ));
            before = Some(request.end);
        }
        let Some(last) = tries.last() else { return };
        let class = match (tries.iter().any(|request| request.error.is_some()), &last.error) {
            (_, Some(_)) => "trouble failed",
            (true, None) => "trouble",
            (false, None) => "fine",
        };
        let words = match (tries.len(), &last.error) {
            (1, None) => request_outcome(last),
            (1, Some(error)) => error.clone(),
            (n, Some(error)) => format!("{n} tries, the last with: {error}"),
            (n, None) => format!(
                "{} at try {n}, after {}",
                request_outcome(last),
                first_error(tries)
            ),
        };
        self.add(&format!(
            "<div class=\"lane file {class}\"><div class=\"name\">{}</div><div class=\"track\" aria-hidden=\"true\">{bars}</div><div class=\"words\">{}</div></div>",
            esc(file_of(last).trim_start_matches('/')),
            esc(&words)
        ));
    }

    fn lane(&mut self, name: &str, bars: &str, words: &str) {
        self.add(&format!(
            "<div class=\"lane\"><div class=\"name\">{}</div><div class=\"track\" aria-hidden=\"true\">{bars}</div><div class=\"words\">{}</div></div>",
            esc(name),
            esc(words)
        ));
    }

    fn axis(&mut self, scale: &Scale) {
        let mut marks = String::new();
        for quarter in 0..=4u64 {
            let at = Duration::from_millis(scale.ms * quarter / 4);
            // Writing to a String does not fail.
            let _ = write!(marks, "<span>{}</span>", duration(at));
        }
        self.add(&format!(
            "<div class=\"lane axis\" aria-hidden=\"true\"><div class=\"name\"></div><div class=\"marks\">{marks}</div><div class=\"words\"></div></div>"
        ));
    }

    /// The same in words, for whoever wants to read or copy it.
    fn details(&mut self, run: &Run) {
        let faults = run.attempts.iter().any(|attempt| !attempt.faults.is_empty());
        let failed: Vec<&Request> = run
            .requests
            .iter()
            .filter(|request| request.error.is_some())
            .collect();
        if !faults && failed.is_empty() {
            return;
        }
        self.add("<details><summary>Error messages</summary>");
        self.open_table("Error messages", &["where", "fault", "line"]);
        for attempt in &run.attempts {
            for fault in &attempt.faults {
                self.add(&format!(
                    "<tr><td class=\"nowrap\">attempt {}<td class=\"nowrap\">{}<td><code>{}</code></tr>",
                    attempt.number,
                    esc(&fault.kind.replace('_', " ")),
                    esc(&fault.line)
                ));
            }
            if attempt.more_faults > 0 {
                let more = count(attempt.more_faults, "more fault");
                self.add(&format!(
                    "<tr><td>attempt {}<td colspan=\"2\">{more}</tr>",
                    attempt.number
                ));
            }
        }
        for request in failed {
            self.add(&format!(
                "<tr><td>{}<td class=\"nowrap\">try {}<td><code>{} {}</code></tr>",
                esc(&request.host),
                request.number,
                esc(&request.path),
                esc(request.error.as_deref().unwrap_or_default())
            ));
        }
        self.add("</tbody></table></div></details>");
    }
}

/// Figures stand to the right.
fn class_of(head: &str) -> &'static str {
    match head {
        "started" | "command" | "outcome" | "server" | "list" | "where" | "fault" | "line" => "",
        _ => " class=\"n\"",
    }
}

/// The time from the start to the end of one run.
struct Scale {
    start: Timestamp,
    ms: u64,
}

impl Scale {
    fn of(run: &Run) -> Option<Self> {
        let (start, end) = (run.start?, run.end?);
        let ms = millis_between(start, end).unwrap_or(0).max(run.took_ms()).max(1);
        // Beyond a month it is no run, but a made-up line.
        Some(Self {
            start,
            ms: ms.min(31 * 24 * 3600 * 1000),
        })
    }

    /// Left edge and width in per cent.
    fn place(&self, from: Option<Timestamp>, ms: u64) -> (f64, f64) {
        let left = from
            .and_then(|from| millis_between(self.start, from))
            .unwrap_or(0)
            .min(self.ms);
        let width = ms.min(self.ms - left);
        (
            percent(left as f64 / self.ms as f64),
            percent(width as f64 / self.ms as f64),
        )
    }
}

fn bar(class: &str, (left, width): (f64, f64), title: &str) -> String {
    format!(
        "<span class=\"bar {class}\" style=\"left:{left}%;width:{width}%\" title=\"{}\"></span>",
        esc(title)
    )
}

fn start_of(request: &Request) -> Option<Timestamp> {
    let took = jiff::SignedDuration::from_millis(i64::try_from(request.ms.min(1 << 40)).unwrap_or(0));
    request.end.checked_sub(took).ok()
}

/// What was asked for, the same on every server: behind the path of a proxy like `host/goproxy` the module's own path
/// cannot be told, and each is a row of its own.
fn file_of(request: &Request) -> &str {
    &request.path
}

fn first_error<'a>(tries: &[&'a Request]) -> &'a str {
    let error = tries.iter().find_map(|request| request.error.as_deref());
    error.unwrap_or_default()
}

/// How one request ended, how much it brought, and how long it took.
fn request_outcome(request: &Request) -> String {
    let outcome = match (&request.error, request.status) {
        (Some(error), _) => error.clone(),
        (None, Some(status)) => status.to_string(),
        (None, None) => "no answer".to_owned(),
    };
    let took = duration(Duration::from_millis(request.ms));
    format!("{outcome}, {} in {took}", bytes(request.bytes))
}

fn request_words(request: &Request) -> String {
    format!(
        "{} {}: {} (try {})",
        request.host,
        request.path,
        request_outcome(request),
        request.number
    )
}

fn first_fault(attempt: &Attempt) -> String {
    let Some(fault) = attempt.faults.first() else {
        return match attempt.stalled_ms {
            Some(ms) => format!("no progress for {}", duration(Duration::from_millis(ms))),
            None if attempt.status.is_empty() => "no end recorded".to_owned(),
            None => attempt.status.clone(),
        };
    };
    let more = attempt.faults.len() as u64 - 1 + attempt.more_faults;
    let host = if fault.host.is_empty() {
        String::new()
    } else {
        format!(" at {}", fault.host)
    };
    let more = if more > 0 {
        format!(", {more} more")
    } else {
        String::new()
    };
    format!("{}{host}{more}", fault.kind.replace('_', " "))
}

/// What the filter looks at.
fn outcome_class(run: &Run) -> &'static str {
    match run.outcome() {
        Outcome::GaveUp | Outcome::Failed | Outcome::NoEnd => "trouble failed",
        Outcome::Recovered => "trouble",
        Outcome::Fine => "fine",
    }
}

fn badge(run: &Run) -> String {
    let class = match run.outcome() {
        Outcome::GaveUp | Outcome::Failed | Outcome::NoEnd => "bad",
        Outcome::Recovered => "mended",
        Outcome::Fine => "good",
    };
    format!(
        "<span class=\"badge {class}\">{}</span>",
        esc(&outcome_words(run))
    )
}

/// Per cent with two digits, whatever the division gave.
fn percent(part: f64) -> f64 {
    let part = if part.is_finite() {
        part.clamp(0.0, 1.0)
    } else {
        0.0
    };
    (part * 10_000.0).round() / 100.0
}

fn span_of(reports: &Reports) -> Option<(Timestamp, Timestamp)> {
    let from = reports.runs.iter().filter_map(|run| run.start).min()?;
    let to = reports.runs.iter().filter_map(|run| run.end).max()?;
    Some((from, to))
}
