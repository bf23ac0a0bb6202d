//! Events, and the views of them: terminal, JSON lines, CI systems, HTML.
//!
//! Everything that happens is an [`Event`]. [`Reporter`] takes each one and
//! shows it in every view that is asked for; nothing else in gofix prints, but
//! for go's own bytes, which `supervise` passes on, and the output of gofix's
//! own commands, which goes through [`out`].
//!
//! With no fault a reporter writes nothing and opens nothing (the file of
//! GOFIX_REPORT aside). No view can fail: stderr may be closed or full.
//!
//! Known limitations: the live line assumes a terminal that knows `ESC [K`,
//! as every one but `TERM=dumb` does.

mod ci;
mod event;
mod html;
mod jsonl;
pub mod otel;
pub mod out;
mod phrase;
mod progress;
mod read;
mod story;
mod summary;
mod terminal;

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use crate::policy::GaveUp;
pub use crate::text::safe;
pub use ci::Ci;
pub use event::{AskedAhead, Event};
pub use progress::{Direct, Progress, Transfer, VcsRun};
pub(crate) use read::Reports;
pub(crate) use story::LONG_SILENCE;
pub use story::Routes;

use crate::config::{Config, Log};
use crate::go::env::Lookup;
use crate::net::environment::Environment;
use crate::sys::panics::{caught, caught_async};
use jsonl::{Jsonl, Stamp};
use story::Story;
use terminal::{Terminal, View};

/// What a reporter has to know before the first event.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The value of GOFIX_LOG.
    pub log: Log,
    /// The value of GOFIX_REPORT.
    pub report: Option<PathBuf>,
    /// The command in words (`go mod tidy`), without arguments: they may hold secrets.
    pub command: String,
    /// The CI system around.
    pub ci: Ci,
    /// True where stderr is a terminal on which a live line may be shown.
    pub live: bool,
    /// What the variables of OpenTelemetry ask for.
    pub otel: Option<otel::Settings>,
}

impl Settings {
    /// Settings for `command` (its words, without arguments): the configuration, the CI system in `env`, and what stderr is.
    pub fn detect(config: &Config, command: &str, env: Lookup<'_>) -> Self {
        let ci = Ci::detect(env);
        let live = ci == Ci::None && out::stderr_is_live();
        Self {
            log: *config.log,
            report: config.report.value.clone(),
            command: safe(command),
            ci,
            live,
            otel: otel::Settings::detect(env),
        }
    }
}

/// Where a reporter gets the time.
pub trait Clock: Send {
    /// Since gofix was started.
    fn elapsed(&self) -> Duration;
    /// The time of day.
    fn wall(&self) -> jiff::Timestamp;
}

/// The clocks of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that was started at `start`.
    pub fn since(start: Instant) -> Self {
        Self { start }
    }
}

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// Stderr past every buffer, with errors ignored.
#[derive(Debug)]
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        out::write_all(&io::stderr(), bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Turns events into what people and programs see.
pub struct Reporter {
    settings: Settings,
    clock: Box<dyn Clock>,
    run: String,
    story: Story,
    terminal: Terminal,
    report: Option<Jsonl>,
    export: Option<otel::Export>,
    /// When this process was started, by the clock on the wall.
    began: jiff::Timestamp,
    attempt: Option<u32>,
    /// A view has failed by a fault of gofix's own: nothing more is shown.
    failed: bool,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("settings", &self.settings)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl Reporter {
    /// A reporter on stderr for an invocation that was started at `start`.
    ///
    /// Opens the file of GOFIX_REPORT if there is one; that it cannot be opened
    /// is one warning line.
    pub fn new(settings: Settings, start: Instant) -> Self {
        // A job in the background leaves the terminal to the one in front.
        let columns = Box::new(|| {
            let size = out::stderr_size().map_or(80, |(columns, _)| columns);
            out::stderr_is_in_front().then_some(size)
        });
        Self::with(
            settings,
            Box::new(SystemClock::since(start)),
            Box::new(Stderr),
            columns,
        )
    }

    /// A reporter with a clock and a terminal of the caller's. `columns` is its width, `None` while no live line may be
    /// drawn on it.
    pub fn with(
        settings: Settings,
        clock: Box<dyn Clock>,
        sink: Box<dyn Write + Send>,
        columns: Box<dyn Fn() -> Option<usize> + Send>,
    ) -> Self {
        let view = match (settings.live, &settings.ci) {
            (true, _) => View::Live,
            (false, Ci::None) => View::Plain,
            (false, _) => View::Ci,
        };
        let terminal = Terminal::new(sink, settings.log, view, columns);
        let run = format!("{:016x}", fastrand::u64(..));
        let path = settings.report.clone();
        let began = clock.wall() - clock.elapsed();
        let export = settings
            .otel
            .clone()
            .map(|asked| otel::Export::new(asked, &settings.command, &run, nanoseconds(began)));
        let mut reporter = Self {
            settings,
            clock,
            run,
            story: Story::default(),
            terminal,
            report: None,
            export,
            began,
            attempt: None,
            failed: false,
        };
        if let Some(path) = path {
            reporter.open_report(&path);
        }
        reporter
    }

    /// Says which routes there are.
    pub fn set_routes(&mut self, routes: Routes) {
        self.story.known = routes;
    }

    /// The id that every line of the report carries for this run.
    pub fn run_id(&self) -> &str {
        &self.run
    }

    /// True where a view shows the requests of the relay that went well, too.
    pub fn wants_requests(&self) -> bool {
        self.report.is_some() || self.export.is_some() || self.settings.log == Log::Debug
    }

    /// Takes one event and shows it.
    pub fn event(&mut self, event: &Event) {
        self.unless_failed(|reporter| reporter.take(event));
    }

    fn unless_failed(&mut self, work: impl FnOnce(&mut Self)) {
        if !self.failed {
            self.failed = caught("report", || work(self)).is_none();
        }
    }

    fn take(&mut self, event: &Event) {
        let now = self.clock.elapsed();
        if let Event::AttemptStarted { attempt, .. } = event {
            self.attempt = Some(*attempt);
        }
        self.story.take(event);
        self.append(event);
        if let Some(export) = &mut self.export {
            export.take(event, nanoseconds(self.began + now));
        }
        self.terminal
            .show(event, &self.story, &self.settings.command, now);
        if matches!(event, Event::Finished { .. }) {
            self.tell_ci();
        }
    }

    /// Counts the live line down. Costs nothing while there is none.
    pub fn tick(&mut self) {
        if self.terminal.wants_tick() {
            self.unless_failed(|reporter| reporter.terminal.tick(reporter.clock.elapsed()));
        }
    }

    /// Shows what is being fetched while go says nothing: on a terminal in the live line, in CI now and then.
    pub fn progress(&mut self, progress: &Progress) {
        self.unless_failed(|reporter| reporter.terminal.progress(progress, reporter.clock.elapsed()));
    }

    /// The same of a go that asks its servers itself.
    pub fn direct(&mut self, direct: &Direct) {
        self.unless_failed(|reporter| reporter.terminal.direct(direct, reporter.clock.elapsed()));
    }

    /// True while a live line wants a [`tick`](Self::tick) every second or so.
    pub fn wants_ticks(&self) -> bool {
        self.terminal.is_waiting()
    }

    /// Takes the live line off the screen: to be called before gofix is stopped or ends.
    pub fn clear(&mut self) {
        self.unless_failed(|reporter| reporter.terminal.clear());
    }

    /// The same, since go is about to say something.
    pub fn go_speaks(&mut self) {
        self.unless_failed(|reporter| {
            reporter.terminal.clear();
            reporter.terminal.spoken(reporter.clock.elapsed());
        });
    }

    /// Ends the live line of a wait that is over.
    pub fn stop_waiting(&mut self) {
        self.unless_failed(|reporter| reporter.terminal.stop_waiting());
    }

    /// True where [`export`](Self::export) has something to do.
    pub fn exports(&self) -> bool {
        self.export.is_some()
    }

    /// Delivers to OpenTelemetry what it asks for. Takes a second at most; that it fails is an event.
    pub async fn export(&mut self, environment: &Environment) {
        self.stop_waiting();
        let Some(export) = self.export.take() else { return };
        let now = nanoseconds(self.began + self.clock.elapsed());
        let delivered = caught_async("export", export.deliver(environment, now)).await;
        if let Some(Err(why)) = delivered {
            self.event(&Event::ExportFailed { why: why.to_string() });
        }
    }

    /// Ends every view.
    pub fn finish(&mut self) {
        self.stop_waiting();
        self.report = None;
    }

    fn open_report(&mut self, path: &std::path::Path) {
        match Jsonl::open(path) {
            Ok(report) => self.report = Some(report),
            Err(e) => self.warn_of_report(path.as_os_str(), &e),
        }
    }

    fn append(&mut self, event: &Event) {
        let Some(report) = &mut self.report else { return };
        let stamp = Stamp {
            run: &self.run,
            time: self.clock.wall(),
            attempt: event.attempt().or(self.attempt),
            command: &self.settings.command,
        };
        if let Err(e) = report.write(&stamp, event) {
            let path = report.path().as_os_str().to_owned();
            self.report = None;
            self.warn_of_report(&path, &e);
        }
    }

    fn warn_of_report(&mut self, path: &OsStr, error: &io::Error) {
        let text = format!(
            "GOFIX_REPORT={}: {error}; no report will be written",
            path.to_string_lossy()
        );
        let now = self.clock.elapsed();
        self.terminal
            .show(&Event::Warning { text }, &self.story, &self.settings.command, now);
    }

    fn tell_ci(&mut self) {
        let time = self.clock.wall();
        if let Some(text) = ci::at_end(
            &self.settings.ci,
            &self.story,
            &self.settings.command,
            &self.run,
            time,
        ) {
            self.terminal.raw(&text);
        }
    }
}

/// Since 1970, as OpenTelemetry counts.
fn nanoseconds(time: jiff::Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or_default()
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}
