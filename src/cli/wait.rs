//! `gofix wait`: after a release, until every proxy of the list in force serves a version.
//!
//! A proxy that is asked too early remembers that there was nothing, and says for how long
//! (`Cache-Control`, `Age`): it is not asked again before. The checksum database is asked last,
//! when the proxies have the version, since it remembers a miss for longer.
//!
//! Known limitations: a public proxy is many machines, and each of them may remember something else;
//! `file://` elements are not looked at.

use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::args::{self, Settings};
use super::failure::Failure;
use super::{FAILED, OK, TIMED_OUT, config_with_warnings_said, real_go};
use crate::config::{BadFlag, Config, parse_duration};
use crate::diagnose::FaultKind;
use crate::go::env::GoEnv;
use crate::go::escape::escape;
use crate::go::patterns::match_prefix_patterns;
use crate::go::protocol::{Wanted, is_canonical};
use crate::go::proxy_list::{Element, ProxyList, Sep};
use crate::go::sumdb::Sumdb;
use crate::net::url::Url;
use crate::relay::{Environment, Lookup, Reply, Setup, Silence};
use crate::report::out::LiveLine;
use crate::report::{Ci, out, safe};
use crate::text::duration;

/// The wait where the server does not say when to ask again: this long, then half as long again each time.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// No server is asked more often than this, whatever it says.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// How long an answer is waited for that was asked for at the very end.
const LAST_ANSWER: Duration = Duration::from_secs(10);
/// How often a log is told of one server.
const SAID_EVERY: Duration = Duration::from_secs(30);

/// Runs `gofix wait`.
pub(super) fn run(asked: &args::Wait, settings: &Settings) -> Result<i32, Failure> {
    let config = config_with_warnings_said(settings)?;
    let limit = parse_duration(&asked.limit).map_err(|why| BadFlag { flag: "--for", why })?;
    let modules: Vec<Module> = asked
        .modules
        .iter()
        .map(|text| Module::parse(text))
        .collect::<Result<_, _>>()?;
    let env = GoEnv::load(&|name| std::env::var_os(name), real_go().as_deref());
    let list = ProxyList::parse(&env.get("GOPROXY").0.to_string_lossy())
        .map_err(|wrong| Failure::new(format!("GOPROXY: {}", safe(&wrong.to_string()))))?;
    if list.is_off() {
        return Err(Failure::new(
            "GOPROXY is off: go asks nobody for modules, so there is nothing to wait for",
        ));
    }
    wait(&env, &config, &list, modules, limit, asked.json)
        .map_err(|error| Failure::new(format!("cannot wait: {}", safe(&error.to_string()))))
}

/// A module version on the command line.
#[derive(Debug, Clone)]
struct Module {
    path: String,
    version: String,
}

impl Module {
    fn parse(text: &str) -> Result<Self, Failure> {
        let parts = text.split_once('@');
        match parts.filter(|(path, version)| !path.is_empty() && is_canonical(version)) {
            Some((path, version)) => Ok(Self {
                path: path.to_owned(),
                version: version.to_owned(),
            }),
            None => Err(Failure::usage(format!(
                "`{}`: expected a module with a full version, such as golang.org/x/text@v0.3.0",
                safe(text)
            ))),
        }
    }

    /// One of its files, as a proxy is asked for it.
    fn file(&self, ending: &str) -> Option<Wanted> {
        Wanted::parse(&format!(
            "{}/@v/{}{ending}",
            escape(&self.path),
            escape(&self.version)
        ))
    }

    /// Its record in a checksum database, below `prefix`.
    fn record(&self, prefix: &str) -> Option<Wanted> {
        Wanted::parse(&format!(
            "{prefix}lookup/{}@{}",
            escape(&self.path),
            escape(&self.version)
        ))
    }
}

impl std::fmt::Display for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", safe(&self.path), safe(&self.version))
    }
}

/// What is known of one version on one server.
#[derive(Debug, Clone)]
struct Row {
    module: Module,
    server: String,
    is_database: bool,
    state: State,
    asked: u32,
    /// What the server said last.
    last: String,
    /// When it is asked again.
    next: Option<Instant>,
    /// When a log was told of it.
    said: Option<Instant>,
    took: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Served,
    /// An answer that waiting does not change.
    Refused,
}

/// What asking once comes to.
enum Heard {
    Served(Reply),
    /// Not yet, or nobody answered; when the server wants to be asked again.
    NotYet(String, Option<Duration>),
    Refused(String),
}

/// Everything that the tasks share.
struct Shared {
    lookup: Lookup,
    rows: Mutex<Vec<Row>>,
    began: Instant,
    deadline: Instant,
    /// The proxies of the list in force, up to `direct` or `off`.
    proxies: Vec<(Url, Sep)>,
    sumdb: Option<Sumdb>,
    line: LiveLine,
    json: bool,
}

fn wait(
    env: &GoEnv,
    config: &Config,
    list: &ProxyList,
    modules: Vec<Module>,
    limit: Duration,
    json: bool,
) -> std::io::Result<i32> {
    let mut setup = Setup::new(Vec::new(), Environment::from_go(env));
    setup.connect_timeout = *config.connect_timeout;
    setup.stall = *config.stall;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let began = Instant::now();
    let in_ci = Ci::detect(&|name| std::env::var_os(name)) != Ci::None;
    let shared = Arc::new(Shared {
        lookup: Lookup::new(setup),
        rows: Mutex::default(),
        began,
        deadline: began + limit,
        proxies: proxies(list),
        sumdb: Sumdb::parse(&env.text("GOSUMDB")),
        line: LiveLine::on_stderr(!json && !in_ci),
        json,
    });
    runtime.block_on(shared.watch(modules, env));
    // A name that is still being resolved is not waited for.
    runtime.shutdown_background();
    Ok(shared.conclude(limit))
}

/// The proxies that go asks before it comes to `direct` or `off`.
fn proxies(list: &ProxyList) -> Vec<(Url, Sep)> {
    list.entries()
        .iter()
        .take_while(|(element, _)| !matches!(element, Element::Direct | Element::Off))
        .filter_map(|(element, sep)| Some((Url::parse(element.proxy_url()?).ok()?, *sep)))
        .collect()
}

impl Shared {
    /// Runs every module's wait side by side, until all are over or one is refused.
    async fn watch(self: &Arc<Self>, modules: Vec<Module>, env: &GoEnv) {
        let mut tasks = JoinSet::new();
        for module in modules {
            let is_private = match_prefix_patterns(&env.text("GONOPROXY"), &module.path);
            let is_vouched_for = !match_prefix_patterns(&env.text("GONOSUMDB"), &module.path);
            if is_private || self.proxies.is_empty() {
                let why = match is_private {
                    true => "GONOPROXY or GOPRIVATE names it",
                    false => "GOPROXY names no proxy",
                };
                self.say(&format!("{module}: waiting for no proxy, since {why}"));
            }
            let shared = Arc::clone(self);
            tasks.spawn(async move { shared.module(&module, is_private, is_vouched_for).await });
        }
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = tasks.join_next() => match done {
                    Some(Ok(true)) => {}
                    // Nothing that follows makes the whole a success.
                    Some(_) | None => break,
                },
                _ = tick.tick() => self.draw(),
                () = sleep_until(self.deadline + LAST_ANSWER) => break,
            }
        }
        self.line.clear();
    }

    /// True once everybody serves the module.
    async fn module(self: &Arc<Self>, module: &Module, is_private: bool, is_vouched_for: bool) -> bool {
        let mut proxies = JoinSet::new();
        for (url, _) in self.proxies.iter().filter(|_| !is_private) {
            let row = self.add(module, &shown(url), false);
            let (shared, module, url) = (Arc::clone(self), module.clone(), url.clone());
            proxies.spawn(async move { shared.proxy(row, &url, &module).await });
        }
        while let Some(done) = proxies.join_next().await {
            if !matches!(done, Ok(true)) {
                return false;
            }
        }
        match self.sumdb.clone().filter(|_| is_vouched_for) {
            Some(sumdb) => self.database(&sumdb, module).await,
            None => true,
        }
    }

    /// True once a proxy serves what go asks of it for a version.
    async fn proxy(&self, row: usize, url: &Url, module: &Module) -> bool {
        let mut pause = FIRST_WAIT;
        for ending in [".info", ".mod", ".zip"] {
            let Some(wanted) = module.file(ending) else {
                self.note(row, State::Refused, "no proxy can be asked for that name");
                return false;
            };
            if self.until_served(row, url, &wanted, &mut pause).await.is_none() {
                return false;
            }
        }
        self.note(row, State::Served, "");
        true
    }

    /// True once the checksum database has the version's record.
    async fn database(&self, sumdb: &Sumdb, module: &Module) -> bool {
        let row = self.add(module, &safe(&sumdb.name), true);
        let mut pause = FIRST_WAIT;
        let Some((url, prefix)) = self.way_to(row, sumdb, &mut pause).await else {
            return false;
        };
        let Some(wanted) = module.record(&prefix) else {
            return false;
        };
        let record = format!("\n{} {} h1:", module.path, module.version);
        while let Some(reply) = self.until_served(row, &url, &wanted, &mut pause).await {
            if String::from_utf8_lossy(&reply.body).contains(&record) {
                self.note(row, State::Served, "");
                return true;
            }
            if !self
                .pause(row, "a record of something else", None, &mut pause)
                .await
            {
                return false;
            }
        }
        false
    }

    /// Where go asks a checksum database: through the first proxy that has it, else at its own address.
    async fn way_to(&self, row: usize, sumdb: &Sumdb, pause: &mut Duration) -> Option<(Url, String)> {
        let direct = match &sumdb.url {
            Some(url) => url.clone(),
            None => format!("https://{}", sumdb.name),
        };
        let direct = Url::parse(&direct).ok().map(|url| (url, String::new()));
        if sumdb.url.is_some() {
            return direct;
        }
        let prefix = format!("sumdb/{}/", sumdb.name);
        let wanted = Wanted::parse(&format!("{prefix}supported"))?;
        for (url, sep) in &self.proxies {
            loop {
                let reply = self.lookup.ask(url, &wanted).await;
                if matches!(&reply, Ok(reply) if matches!(reply.status, 404 | 410)) {
                    break;
                }
                match heard(reply) {
                    Heard::Served(_) => return Some((url.clone(), prefix)),
                    _ if *sep == Sep::AnyError => break,
                    Heard::NotYet(words, again) => {
                        if !self.pause(row, &words, again, pause).await {
                            return None;
                        }
                    }
                    Heard::Refused(words) => {
                        self.note(row, State::Refused, &words);
                        return None;
                    }
                }
            }
        }
        direct
    }

    /// Asks for one file until it is there; `None` where it is refused or the time is over.
    async fn until_served(
        &self,
        row: usize,
        url: &Url,
        wanted: &Wanted,
        pause: &mut Duration,
    ) -> Option<Reply> {
        loop {
            match heard(self.lookup.ask(url, wanted).await) {
                Heard::Served(reply) => return Some(reply),
                Heard::Refused(words) => {
                    self.note(row, State::Refused, &words);
                    return None;
                }
                Heard::NotYet(words, again) => {
                    if !self.pause(row, &words, again, pause).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits before a server is asked again, for the last time at the end of the time. False where
    /// that is over.
    async fn pause(&self, row: usize, words: &str, again: Option<Duration>, pause: &mut Duration) -> bool {
        self.note(row, State::Waiting, words);
        let now = Instant::now();
        if now >= self.deadline {
            return false;
        }
        let wait = again.unwrap_or(*pause).max(SHORTEST_WAIT);
        if again.is_none() {
            *pause = (*pause * 3 / 2).min(LONGEST_WAIT);
        }
        let next = now
            .checked_add(wait)
            .map_or(self.deadline, |next| next.min(self.deadline));
        self.tell_wait(row, next);
        sleep_until(next).await;
        true
    }

    fn rows(&self) -> MutexGuard<'_, Vec<Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, module: &Module, server: &str, is_database: bool) -> usize {
        let mut rows = self.rows();
        rows.push(Row {
            module: module.clone(),
            server: server.to_owned(),
            is_database,
            state: State::Waiting,
            asked: 0,
            last: "not asked yet".to_owned(),
            next: None,
            said: None,
            took: Duration::ZERO,
        });
        rows.len() - 1
    }

    /// Takes note of what a server said, and tells that it serves the version.
    fn note(&self, row: usize, state: State, words: &str) {
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(row) else { return };
        row.state = state;
        row.last = words.to_owned();
        row.next = None;
        row.asked += 1;
        row.took = self.began.elapsed();
        if state == State::Served && !self.json {
            self.line.clear();
            let _ = writeln!(out::stdout(), "{} (after {})", row.words(), duration(row.took));
        }
    }

    fn tell_wait(&self, row: usize, next: Instant) {
        let now = Instant::now();
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(row) else { return };
        row.next = Some(next);
        if !self.line.is_live() && row.said.is_none_or(|said| now >= said + SAID_EVERY) {
            row.said = Some(now);
            self.say(&format!(
                "{}; asking again in {}",
                row.words(),
                seconds(next - now)
            ));
        }
    }

    /// A line on stderr; a program that reads JSON is told at the end.
    fn say(&self, text: &str) {
        if !self.json {
            out::message(text);
        }
    }

    /// The live line: who is asked next, and when. Figures come first, since a narrow terminal cuts the end.
    fn draw(&self) {
        if !self.line.is_live() {
            return;
        }
        let now = Instant::now();
        let rows = self.rows();
        let left = seconds(self.deadline.saturating_duration_since(now));
        let next = rows
            .iter()
            .filter_map(|row| Some((row.next?, row)))
            .min_by_key(|(next, _)| *next);
        let text = match next {
            Some((next, row)) => format!(
                "asking again in {} ({left} left): {}",
                seconds(next.saturating_duration_since(now)),
                row.words()
            ),
            None => format!("asking ({left} left)"),
        };
        self.line.show(&text);
    }

    /// Tells how it ended; the exit status.
    fn conclude(&self, limit: Duration) -> i32 {
        let rows = self.rows();
        let is = |state| rows.iter().any(|row| row.state == state);
        let status = match (is(State::Refused), is(State::Waiting)) {
            (true, _) => FAILED,
            (false, true) => TIMED_OUT,
            (false, false) => OK,
        };
        if self.json {
            let rows: Vec<Value> = rows.iter().map(Row::json).collect();
            let whole = json!({ "ok": status == OK, "status": status, "servers": rows });
            let _ = writeln!(out::stdout(), "{whole}");
            return status;
        }
        for row in rows.iter().filter(|row| row.state == State::Refused) {
            self.say(&format!("{}; waiting does not change that", row.words()));
        }
        if status == TIMED_OUT {
            self.say(&format!("not everybody serves it after {}:", duration(limit)));
            for row in rows.iter().filter(|row| row.state == State::Waiting) {
                self.say(&format!("  {}", row.words()));
            }
        }
        status
    }
}

impl Row {
    fn words(&self) -> String {
        let Self {
            module, server, last, ..
        } = self;
        match (self.state, self.is_database) {
            (State::Served, false) => format!("{server} serves {module}"),
            (State::Served, true) => format!("{server} has the checksum of {module}"),
            (_, _) => format!("{server}: {last} for {module}"),
        }
    }

    fn json(&self) -> Value {
        json!({
            "module": safe(&self.module.path),
            "version": safe(&self.module.version),
            "server": self.server,
            "role": if self.is_database { "checksum database" } else { "proxy" },
            "state": match self.state {
                State::Waiting => "waiting",
                State::Served => "served",
                State::Refused => "refused",
            },
            "asked": self.asked,
            "last": (!self.last.is_empty()).then_some(&self.last),
            "ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// What an answer means for the wait. 404 and 410 are what is waited out; faults may pass; what
/// else a server answers stays its answer.
fn heard(reply: Result<Reply, Silence>) -> Heard {
    match reply {
        Ok(reply) if reply.status == 200 => match &reply.complaint {
            None => Heard::Served(reply),
            Some(complaint) => Heard::NotYet(safe(complaint), None),
        },
        Ok(reply) => match reply.status {
            404 | 410 => Heard::NotYet(reply.text, reply.fresh.max(reply.retry_after)),
            400..500 if !matches!(reply.status, 408 | 425 | 429) => Heard::Refused(reply.text),
            _ => Heard::NotYet(reply.text, reply.retry_after),
        },
        Err(silence) => match silence.kind {
            FaultKind::Certificate | FaultKind::Config | FaultKind::Auth | FaultKind::Refused => {
                Heard::Refused(silence.text)
            }
            _ => Heard::NotYet(silence.text, None),
        },
    }
}

/// A proxy's URL as short as it can be told.
fn shown(url: &Url) -> String {
    let shown = url.redacted();
    safe(
        shown
            .strip_prefix("https://")
            .unwrap_or(&shown)
            .trim_end_matches('/'),
    )
}

/// Whole seconds, rounded up: a countdown ends at 1.
fn seconds(left: Duration) -> String {
    match left.as_millis().div_ceil(1000) {
        seconds @ 0..60 => format!("{seconds}s"),
        _ => duration(left),
    }
}
