//! The view for people: `gofix: ` lines on stderr, a live line while gofix
//! waits on a terminal, one screen when it gives up.

use std::io::Write;
use std::time::Duration;

use crate::config::Log;
use crate::diagnose::FaultKind;
use crate::policy::GaveUp;
use crate::report::event::Event;
use crate::report::jsonl;
use crate::report::phrase;
use crate::report::progress::{self, Direct, Progress, Speed};
use crate::report::story::{LONG_SILENCE, Leading, Story, Try, host_of};
use crate::text::{count, duration, fit, safe, shell, wrap};

/// Lines of the give-up screen; what does not fit on a narrow terminal is in the report.
const MAX_SCREEN: usize = 8;
/// A terminal with fewer columns gets the short headline.
const NARROW: usize = 60;
/// Lines of the give-up screen about what was tried.
const MAX_TRIED: usize = 3;
/// Routes that the give-up screen spells out.
const MAX_ROUTES: usize = 4;
/// A shorter wait is over before anybody has read of it.
const SHOWN_WAIT: Duration = Duration::from_millis(50);
/// So is one of these, of which many may go on at a time.
const SHOWN_REQUEST_WAIT: Duration = Duration::from_secs(1);
/// A wait of the relay's that is worth a line in a pipe or a log.
const SAID_REQUEST_WAIT: Duration = Duration::from_secs(10);
/// What is over sooner is fetched without a word.
const SHOWN_FETCH: Duration = Duration::from_secs(2);
/// How long go says nothing in CI until a line says what is being fetched.
const SAID_FETCH: Duration = Duration::from_secs(30);
/// What every line begins with.
const PREFIX: &str = "gofix: ";
/// Back to the first column, and the rest of the line away.
const ERASE: &str = "\r\x1b[K";
/// Reads the columns of the terminal behind the view; `None` while nothing may be drawn on it.
pub(super) type Columns = Box<dyn Fn() -> Option<usize> + Send>;

/// What stderr is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// A terminal on which a line may be written again and again.
    Live,
    /// The log of a CI job, which is ended where nothing is heard of it for long.
    Ci,
    /// A pipe, a file, a dumb terminal.
    Plain,
}

/// The view and the state of its live line.
pub(super) struct Terminal {
    sink: Box<dyn Write + Send>,
    log: Log,
    view: View,
    columns: Columns,
    /// The next try, which goes before what is being fetched.
    waiting: Option<Waiting>,
    fetching: Option<String>,
    speed: Speed,
    shown: Option<String>,
    /// Until then a wait of the relay's has been said.
    said_until: Duration,
    /// When go said something.
    spoken: Duration,
}

/// A wait for the next try. Times are those of the clock since the start.
struct Waiting {
    until: Duration,
    text: String,
    left: u32,
    /// go runs meanwhile: nobody else says when the wait is over.
    beside_go: bool,
}

impl Terminal {
    pub(super) fn new(sink: Box<dyn Write + Send>, log: Log, view: View, columns: Columns) -> Self {
        Self {
            sink,
            log,
            view,
            columns,
            waiting: None,
            fetching: None,
            speed: Speed::default(),
            shown: None,
            said_until: Duration::ZERO,
            spoken: Duration::ZERO,
        }
    }

    /// Shows `event`; `story` knows it already.
    pub(super) fn show(&mut self, event: &Event, story: &Story, command: &str, now: Duration) {
        if self.log == Log::Debug {
            self.line(&format!("{:>8}  {}", duration(now), jsonl::in_words(event)));
        }
        match event {
            Event::AttemptStarted { .. } => self.stop_waiting(),
            Event::Backoff { wait, left, .. } => self.backoff(*wait, *left, story, now),
            Event::RequestBackoff {
                url,
                wait,
                left,
                error,
            } => self.request_backoff(url, *wait, *left, error, now),
            Event::RequestSilent { url, silent } => self.request_silent(url, *silent, now),
            Event::RouteSwitched { to, .. } => self.switched(to, story),
            Event::Stalled { quiet, .. } => {
                if !self.is_live() && self.log != Log::Quiet {
                    self.line(&format!("no progress for {}; restarting go", duration(*quiet)));
                }
            }
            Event::LockWait { path, pid } => {
                let holder = pid.map_or_else(String::new, |pid| format!(" (held by process {pid})"));
                self.warn(&format!("waiting for the lock {}{holder}", safe(path)));
            }
            Event::Repair { what, .. } if self.log != Log::Quiet => self.line(&safe(what)),
            Event::RepairFailed { why, .. } => self.warn(&format!("warning: not repaired: {}", safe(why))),
            Event::Warning { text } => self.warn(&format!("warning: {}", safe(text))),
            Event::Finished { ok, took, .. } => self.finished(*ok, *took, story, command),
            Event::GaveUp { .. } if story.wants_screen() => self.give_up(story, command, now),
            Event::Fault { .. }
            | Event::Diagnosis { .. }
            | Event::UpstreamRequest { .. }
            | Event::AskedAhead(_)
            | Event::Repair { .. }
            | Event::ExportFailed { .. }
            | Event::GaveUp { .. } => {}
        }
    }

    fn backoff(&mut self, wait: Duration, left: u32, story: &Story, now: Duration) {
        if wait < SHOWN_WAIT {
            return;
        }
        let Some(last) = story.tries.last() else { return };
        let words = last.words();
        if self.is_live() && self.log != Log::Quiet {
            let text = format!("{words}; route {}", last.route.0);
            self.waiting = Some(Waiting {
                until: now + wait,
                text: format!("{text} again"),
                left,
                beside_go: false,
            });
            self.tick(now);
        } else if self.log != Log::Quiet {
            self.line(&format!(
                "{words}; trying again in {} ({})",
                duration(wait),
                tries(left)
            ));
        }
    }

    /// Remembers the longest of the relay's waits for the live line, which the
    /// next tick draws: only then it is known that nobody types on this
    /// terminal. Elsewhere only a long one is said, for there may be hundreds.
    fn request_backoff(&mut self, url: &str, wait: Duration, left: u32, error: &str, now: Duration) {
        if self.log == Log::Quiet {
            return;
        }
        let until = now + wait;
        let words = phrase::tool_words(error).unwrap_or_else(|| safe(error));
        let text = format!("{}: {words}; asking again", safe(host_of(url)));
        if self.is_live() {
            let is_longer = self.waiting.as_ref().is_none_or(|known| known.until < until);
            if wait >= SHOWN_REQUEST_WAIT && is_longer {
                self.waiting = Some(Waiting {
                    until,
                    text,
                    left,
                    beside_go: true,
                });
            }
        } else if wait >= SAID_REQUEST_WAIT && now >= self.said_until {
            self.said_until = until;
            self.line(&format!("{text} in {} ({})", duration(wait), tries(left)));
        }
    }

    /// A server that says nothing, where that is trouble. The live line tells of it sooner.
    fn request_silent(&mut self, url: &str, silent: Duration, now: Duration) {
        let is_said = self.is_live() || self.log == Log::Quiet || now < self.said_until;
        if silent >= LONG_SILENCE && !is_said {
            self.said_until = now + LONG_SILENCE;
            self.line(&format!(
                "no response from {} for {}",
                safe(host_of(url)),
                duration(silent)
            ));
        }
    }

    /// What is being fetched while go says nothing. A pipe is told nothing of what goes well.
    pub(super) fn progress(&mut self, progress: &Progress, now: Duration) {
        self.speed.sample(now, progress.received);
        let line = progress::line(progress, &self.speed);
        self.fetching(line.filter(|_| now >= SHOWN_FETCH), now);
    }

    /// The same of a go that asks its servers itself.
    pub(super) fn direct(&mut self, direct: &Direct, now: Duration) {
        self.speed.sample(now, direct.read);
        let quiet = now.saturating_sub(self.spoken);
        let line = progress::direct_line(direct, quiet, &self.speed);
        self.fetching(Some(line).filter(|_| quiet >= SHOWN_FETCH), now);
    }

    fn fetching(&mut self, line: Option<String>, now: Duration) {
        if self.log == Log::Quiet || self.view == View::Plain {
            return;
        }
        if self.is_live() {
            self.fetching = line;
        } else if let Some(line) = line
            && now >= self.said_until.max(self.spoken + SAID_FETCH)
        {
            self.said_until = now + SAID_FETCH;
            self.line(&line);
        }
    }

    /// Go has said something at `now`.
    pub(super) fn spoken(&mut self, now: Duration) {
        self.spoken = now;
    }

    fn is_live(&self) -> bool {
        self.view == View::Live
    }

    fn switched(&mut self, to: &(usize, String), story: &Story) {
        self.stop_waiting();
        if self.is_live() || self.log == Log::Quiet {
            return;
        }
        let words = story.tries.last().map(Try::words).unwrap_or_default();
        self.line(&format!("{words}; trying route {}: {}", to.0, safe(&to.1)));
    }

    /// Draws the live line anew where its text has changed.
    pub(super) fn tick(&mut self, now: Duration) {
        if self
            .waiting
            .as_ref()
            .is_some_and(|waiting| waiting.beside_go && waiting.until <= now)
        {
            self.waiting = None;
        }
        let line = match (&self.waiting, &self.fetching) {
            (Some(waiting), _) => {
                // Rounded up: the last second counts down from 1, not from 0.
                let seconds = waiting.until.saturating_sub(now).as_millis().div_ceil(1000);
                format!("gofix: {} in {seconds}s ({})", waiting.text, tries(waiting.left))
            }
            (None, Some(text)) => format!("gofix: {text}"),
            (None, None) => return self.clear(),
        };
        let Some(columns) = (self.columns)() else { return };
        // A line that reaches the last column wraps on some terminals and could not be erased.
        let line = fit(&line, columns.saturating_sub(1));
        if self.shown.as_ref() != Some(&line) {
            self.write(&format!("{ERASE}{line}"));
            self.shown = Some(line);
        }
    }

    /// Takes the live line off the screen until the next [`tick`](Self::tick).
    pub(super) fn clear(&mut self) {
        if self.shown.take().is_some() {
            self.write(ERASE);
        }
    }

    pub(super) fn stop_waiting(&mut self) {
        self.clear();
        self.waiting = None;
        self.fetching = None;
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// True where the next tick has something to draw or to take away.
    pub(super) fn wants_tick(&self) -> bool {
        self.waiting.is_some() || self.fetching.is_some() || self.shown.is_some()
    }

    fn finished(&mut self, ok: bool, took: Duration, story: &Story, command: &str) {
        self.stop_waiting();
        if ok && story.has_trouble() && self.log != Log::Quiet {
            let line = recovered(story, command, took);
            self.line(&line);
        }
    }

    fn give_up(&mut self, story: &Story, command: &str, now: Duration) {
        self.stop_waiting();
        let columns = if self.is_live() { (self.columns)() } else { None };
        let room = columns.map_or(usize::MAX, |columns| columns.saturating_sub(PREFIX.len() + 1));
        let mut lines = give_up_lines(story, command, now, room < NARROW);
        let mut screen: Vec<String> = lines.iter().flat_map(|line| wrap(line, room)).collect();
        while screen.len() > MAX_SCREEN
            && let Some(at) = least_needed(&lines)
        {
            lines.remove(at);
            screen = lines.iter().flat_map(|line| wrap(line, room)).collect();
        }
        let screen: Vec<String> = screen.iter().map(|row| format!("{PREFIX}{row}\n")).collect();
        self.write(&screen.concat());
    }

    /// A line that even `quiet` shows.
    fn warn(&mut self, text: &str) {
        self.line(text);
    }

    fn line(&mut self, text: &str) {
        self.clear();
        self.write(&format!("gofix: {text}\n"));
    }

    /// Bytes that are no `gofix: ` line: workflow commands of a CI system.
    pub(super) fn raw(&mut self, text: &str) {
        self.stop_waiting();
        self.write(text);
    }

    fn write(&mut self, text: &str) {
        // Nobody can be told that stderr does not work.
        let _ = self.sink.write_all(text.as_bytes());
        let _ = self.sink.flush();
    }
}

fn tries(left: u32) -> String {
    match left {
        0 => "until the budget is spent".to_owned(),
        1 => "1 try left".to_owned(),
        _ => format!("{left} tries left"),
    }
}

/// The one line of a command that went through after trouble.
pub(super) fn recovered(story: &Story, command: &str, took: Duration) -> String {
    let attempts = story.tries.len();
    let failed = story.failed_requests();
    let repairs: u32 = story.tries.iter().map(|t| t.repairs).sum();
    if attempts <= 1 && failed == 0 && repairs > 0 {
        return format!("{command} succeeded after {}", count(repairs.into(), "repair"));
    }
    if attempts <= 1 {
        let worst = story.upstreams.iter().max_by_key(|(_, upstream)| upstream.failed);
        let words = worst.map_or_else(String::new, |(host, upstream)| {
            let error = upstream.last_error.as_deref().unwrap_or("failed");
            format!(" ({})", phrase::with_host(Some(host), error))
        });
        let requests = if failed == 1 {
            "1 request was".to_owned()
        } else {
            format!("{failed} requests were")
        };
        return format!("{command} succeeded; {requests} retried{words}");
    }
    let words = story
        .trouble_in_words()
        .map_or_else(String::new, |words| format!(", after {words}"));
    let route = match story.tries.last() {
        Some(last) if last.route.0 > 1 => {
            format!("; it used route {}: {}", last.route.0, safe(&last.route.1))
        }
        _ => String::new(),
    };
    format!(
        "{command} succeeded on attempt {attempts} ({}){words}{route}",
        duration(took)
    )
}

/// The screen, line by line, without the leading `gofix: `. Each line says by its first word what it is.
fn give_up_lines(story: &Story, command: &str, now: Duration, narrow: bool) -> Vec<String> {
    let Some((why, advice)) = &story.gave_up else {
        return Vec::new();
    };
    let attempts = count(story.tries.len() as u64, "attempt");
    let took = duration(now);
    let whole = match narrow {
        true => format!("gave up after {took}"),
        false => format!("gave up on {command} after {attempts} in {took}"),
    };
    let mut lines = vec![format!("{whole}: {}", phrase::why(*why))];
    lines.extend(cause_line(story, *why, advice));
    lines.extend(tried_lines(story));
    lines.extend(route_line(story, *why));
    lines.push(format!("next: {}", next(*why, story.leading(), command)));
    lines.extend(
        story
            .topic()
            .map(|topic| format!("more: gofix help {}", topic.id)),
    );
    lines
}

/// The line that is left out first where all of them are too many.
fn least_needed(lines: &[String]) -> Option<usize> {
    let is_tried = |line: &String| line.starts_with("tried: ");
    let is_route = |line: &String| {
        ["route ", "other routes ", "no other route "]
            .iter()
            .any(|word| line.starts_with(word))
    };
    let last_tried = lines.iter().rposition(is_tried);
    if lines.iter().filter(|line| is_tried(line)).count() > 1 {
        return last_tried;
    }
    lines.iter().position(is_route).or(last_tried)
}

fn cause_line(story: &Story, why: GaveUp, advice: &str) -> Option<String> {
    let Some(leading) = story.leading() else {
        return story.has_stalled().then(|| {
            "likely cause: a server accepted the connection and then stopped responding".to_owned()
        });
    };
    let cause = leading
        .cause(why, story.hosts())
        .or_else(|| (!advice.is_empty()).then(|| safe(advice)))
        .unwrap_or_else(|| phrase::UNKNOWN_CAUSE.to_owned());
    Some(format!("likely cause: {cause}"))
}

/// What each server did, where the relay asked them, else what came of each route.
fn tried_lines(story: &Story) -> Vec<String> {
    let mut failing: Vec<_> = story
        .upstreams
        .iter()
        .filter(|(_, upstream)| upstream.failed > 0)
        .collect();
    failing.sort_by_key(|(_, upstream)| std::cmp::Reverse(upstream.failed));
    let rows: Vec<String> = if failing.is_empty() {
        routes_tried(&story.tries)
    } else {
        failing
            .into_iter()
            .map(|(host, upstream)| {
                let error = upstream.last_error.as_deref().unwrap_or("failed");
                let requests = count(upstream.failed, "request");
                format!(
                    "tried: {}: {requests} failed, most recently with: {error}",
                    safe(host)
                )
            })
            .collect()
    };
    let left_out = rows.len().saturating_sub(MAX_TRIED);
    let mut lines = rows;
    if left_out > 0 {
        lines.truncate(MAX_TRIED - 1);
        lines.push(format!("tried: {} more, which also failed", left_out + 1));
    }
    lines
}

/// The runs of go on each route, in the order of the routes.
fn routes_tried(tries: &[Try]) -> Vec<String> {
    let mut routes: Vec<(&(usize, String), Vec<&Try>)> = Vec::new();
    for one in tries {
        match routes.iter_mut().find(|(route, _)| route.0 == one.route.0) {
            Some((_, runs)) => runs.push(one),
            None => routes.push((&one.route, vec![one])),
        }
    }
    routes
        .iter()
        .map(|((number, list), runs)| {
            let whose = if *number == 1 { "your GOPROXY, " } else { "" };
            let mut words: Vec<String> = runs.iter().map(|one| one.words()).collect();
            words.dedup();
            let times = match runs.len() {
                1 => "once".to_owned(),
                n => format!("{n} times"),
            };
            format!(
                "tried: route {number} ({whose}{}), {times}: {}",
                safe(list),
                words.join(", then ")
            )
        })
        .collect()
}

/// Which routes there are, where that says more than what was tried.
fn route_line(story: &Story, why: GaveUp) -> Option<String> {
    let routes = story.routes();
    if routes.len() > 1 && story.failed_requests() > 0 {
        let named = routes.iter().take(MAX_ROUTES).map(|(number, list)| {
            let whose = if *number == 1 { " (your GOPROXY)" } else { "" };
            format!("route {number} is {}{whose}", safe(list))
        });
        let mut named: Vec<String> = named.collect();
        if routes.len() > MAX_ROUTES {
            named.push(format!("{} more", routes.len() - MAX_ROUTES));
        }
        return Some(named.join("; "));
    }
    let is_spent = matches!(why, GaveUp::TriesSpent | GaveUp::BudgetSpent);
    (is_spent && routes.len() == 1).then(|| match &story.known.narrow {
        Some(narrow) => format!(
            "other routes are configured but not used: {}; see `gofix routes`",
            safe(narrow)
        ),
        None => "no other route is configured or allowed; `gofix routes add LIST` adds one".to_owned(),
    })
}

/// The one command to type next.
fn next(why: GaveUp, leading: Option<&Leading>, command: &str) -> String {
    let module = leading.and_then(|leading| leading.module.as_deref());
    match (why, leading.map(|leading| leading.kind)) {
        (_, Some(FaultKind::NotFound)) if module.is_some() => {
            let module = safe(module.unwrap_or_default());
            format!(
                "go list -m -versions {}   # lists the versions that exist",
                shell::word(&module)
            )
        }
        (GaveUp::BudgetSpent, _) => format!("GOFIX_BUDGET=30m {command}"),
        (GaveUp::Doubted, _) => format!("GOFIX=off {command}   # accepts the result as it is"),
        (GaveUp::Interrupted, _) | (_, Some(FaultKind::RateLimit)) => {
            format!("{command}   # try again later")
        }
        (_, Some(FaultKind::Cache)) => "gofix cache repair".to_owned(),
        (_, Some(FaultKind::Disk)) => "df -h \"$(go env GOMODCACHE)\"".to_owned(),
        (_, Some(FaultKind::Config)) => "go env".to_owned(),
        _ => "gofix doctor".to_owned(),
    }
}
