//! `gofix doctor`: what keeps go from its modules here, found by asking.
//!
//! Every server that the user's values name is asked at the same time, step by
//! step (name, connection, TLS, a real module file, a transfer), while the local
//! checks run beside them. Whatever hangs, the whole ends in time and tells what
//! is known by then.
//!
//! Data flows: [`target`] (whom to ask) -> [`probe`] (ask) -> [`judge`]
//! (measurements to rows, pure) -> [`show`].
//!
//! Known limitations: a quick look is a sample. A proxy that fails one
//! request in fifty may look fine here.

mod advise;
mod cache;
mod http;
mod judge;
mod local;
mod network;
mod probe;
mod remedy;
mod row;
mod show;
mod target;
mod words;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::Config;
use crate::go::env::{GoEnv, Lookup};
use crate::go::workspace;
use crate::net::environment::Environment;
use crate::net::proxy_env::ProxyRules;
use crate::net::tls::Tls;
use crate::net::url::Scheme;
use crate::sys::panics::checkpoint;
use crate::text::bytes;
use crate::text::safe;

use local::Local;
use probe::{Answer, Measured, Probe, Tools};
use remedy::Package;
pub(crate) use remedy::Remedy;
pub(crate) use row::{Grade, Row};
use target::{Plan, Role};

/// The servers have this long; then what is known is judged.
const PROBES: Duration = Duration::from_millis(8500);
/// The local checks have this long.
const LOCAL: Duration = Duration::from_secs(9);
/// A connection attempt that takes longer is given up, whatever GOFIX_TIMEOUT_MS says.
const LONGEST_CONNECT: Duration = Duration::from_secs(5);
/// The module that proxies are asked for: public, old, known to every mirror.
const MODULE: (&str, &str) = ("golang.org/x/text", "v0.3.0");

/// What is to be examined.
pub(crate) struct Subject<'a> {
    pub(crate) goenv: &'a GoEnv,
    pub(crate) config: &'a Config,
    pub(crate) real_go: Option<&'a Path>,
    pub(crate) env: Lookup<'a>,
    /// The module that proxies are asked for (path and version) in place of a public one.
    pub(crate) module: Option<(String, String)>,
    /// True for the servers alone, without the local checks.
    pub(crate) only_servers: bool,
}

/// What is known of one server, for the order of routes and for programs.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// The URL without credentials.
    pub(crate) shown: String,
    role: Role,
    /// The numbers of the routes that hold it.
    pub(crate) routes: Vec<usize>,
    pub(crate) works: bool,
    /// True where nobody answered at all: blocked, down, or no network.
    pub(crate) unreachable: bool,
    /// True where it answered that it does not have the module.
    pub(crate) lacks: bool,
    scheme: Scheme,
    /// The HTTP proxy in front of it, where nobody accepts connections there.
    blocked_by: Option<String>,
    pub(crate) latency: Option<Duration>,
    pub(crate) speed: Option<u64>,
    pub http2: Option<bool>,
    pub(crate) sumdb: Option<bool>,
    pub(crate) issuer: Option<String>,
    /// Its clock minus the one here.
    pub(crate) skew_seconds: Option<i64>,
}

impl Server {
    fn new(probe: &Probe, measured: &Measured) -> Self {
        let works = match probe.target.role {
            Role::Proxy => measured.works() && !matches!(measured.zip, Some(Err(_))),
            Role::Sumdb => matches!(measured.sumdb, Some(Ok((Answer::Good, _)))),
            Role::Host => matches!(measured.connect, Some(Ok(_))),
        };
        Self {
            shown: probe.target.shown.clone(),
            role: probe.target.role,
            routes: probe.target.routes.clone(),
            works,
            unreachable: measured.is_unreachable(),
            lacks: matches!(measured.info, Some(Ok((Answer::Status(404 | 410, _), _)))),
            scheme: probe.target.url.scheme,
            blocked_by: measured.via.clone().filter(|_| measured.connect.is_none()),
            latency: measured.latency(),
            speed: measured.speed.map(|(n, took)| judge::per_second(n, took)),
            http2: measured
                .handshake
                .as_ref()
                .and_then(|h| h.as_ref().ok())
                .map(|(session, _)| session.http2),
            sumdb: measured
                .sumdb
                .as_ref()
                .map(|step| matches!(step, Ok((Answer::Good, _)))),
            issuer: measured.certificate.as_ref().map(|c| safe(&c.issuer)),
            skew_seconds: measured.skew.map(|skew| skew.as_secs()),
        }
    }

    fn role_word(&self) -> &'static str {
        match self.role {
            Role::Proxy => "proxy",
            Role::Sumdb => "checksum database",
            Role::Host => "host",
        }
    }

    pub(crate) fn measure(&self) -> String {
        let latency = self.latency.map(|d| format!("answers in {} ms", d.as_millis()));
        let speed = self.speed.map(|speed| format!("{}/s", bytes(speed)));
        let parts: Vec<String> = latency.into_iter().chain(speed).collect();
        parts.join(", ")
    }
}

/// Everything that was found.
#[derive(Debug)]
pub(crate) struct Examination {
    /// The table, worst first.
    pub(crate) rows: Vec<Row>,
    pub(crate) servers: Vec<Server>,
    /// The proxies that work, best first.
    pub(crate) order: Vec<Server>,
    pub(crate) advice: Option<String>,
    /// The commands for it: go's own first.
    pub(crate) commands: Vec<Remedy>,
    pub(crate) took: Duration,
}

impl Examination {
    pub(crate) fn worst(&self) -> Grade {
        self.rows.iter().map(|row| row.grade).max().unwrap_or(Grade::Fine)
    }

    /// The table on `out`, fit for a terminal of `columns`.
    pub(crate) fn table(&self, columns: Option<usize>, out: &mut impl Write) -> std::io::Result<()> {
        show::table(self, columns, out)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        show::json(self)
    }
}

/// The go that a shell would run where gofix finds none behind itself.
pub(crate) fn go_of_the_shell(env: Lookup<'_>) -> Option<PathBuf> {
    local::first_go(env)
}

/// Examines everything, in at most ten seconds. `progress` is told every now and
/// then how far it has come.
///
/// # Errors
/// Where not even a runtime for the probes can be had (no descriptors left).
pub(crate) fn examine(subject: &Subject<'_>, progress: &mut dyn FnMut(&str)) -> std::io::Result<Examination> {
    let start = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let go_mod = find_go_mod();
    let has_go = subject.real_go.is_some();
    let plan = Plan::new(subject.goenv, subject.config, go_mod.as_deref(), has_go);
    let tools = Arc::new(tools(subject, &plan));
    let probes: Vec<Probe> = plan.targets.iter().cloned().map(Probe::new).collect();
    let mut rows = plan.rows.clone();
    let local = spawn_local(subject, &plan);
    runtime.block_on(watch(&probes, &tools, start, progress));
    // A resolver that hangs keeps its thread; nobody waits for it.
    runtime.shutdown_background();
    rows.extend(collect_local(local, start));
    let now = Timestamp::now();
    let certificates = remedy::install(Package::Certificates, subject.env);
    let mut servers = Vec::new();
    for probe in &probes {
        let measured = probe.measured();
        let mut found = judge::rows(&probe.target, &measured, now, certificates.as_ref());
        if let (Role::Sumdb, Some(proxy)) = (probe.target.role, serves_database(&servers, &plan)) {
            judge::not_needed(&mut found, &proxy.shown);
        }
        rows.extend(found);
        servers.push(Server::new(probe, &measured));
    }
    rows.extend(unused_routes(&plan));
    let states: Vec<Measured> = probes.iter().map(Probe::measured).collect();
    let local_cause = network::rows(&states);
    let reaches_network = local_cause.is_empty();
    // In front of everything else that is broken: it is the reason.
    rows.splice(0..0, local_cause);
    Ok(conclude(subject, rows, servers, reaches_network, &plan, start))
}

fn tools(subject: &Subject<'_>, plan: &Plan) -> Tools {
    let environment = Environment::from_go(subject.goenv);
    let (path, version) = subject
        .module
        .clone()
        .unwrap_or_else(|| (MODULE.0.to_owned(), MODULE.1.to_owned()));
    Tools {
        rules: ProxyRules::new(&environment.proxies),
        credentials: environment.credentials(),
        http2: environment.http2,
        tls: Tls::new(environment.roots),
        sumdb: plan.sumdb.clone(),
        module: (path, version),
        connect: subject.config.connect_timeout.min(LONGEST_CONNECT),
    }
}

/// Runs the probes side by side until all are done or the time is up.
async fn watch(probes: &[Probe], tools: &Arc<Tools>, start: Instant, progress: &mut dyn FnMut(&str)) {
    let mut running = tokio::task::JoinSet::new();
    for probe in probes {
        let (probe, tools) = (probe.clone(), tools.clone());
        running.spawn(async move {
            checkpoint("probe");
            probe.run(&tools).await;
        });
    }
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let deadline = tokio::time::Instant::from_std(start + PROBES);
    loop {
        tokio::select! {
            ended = running.join_next() => if ended.is_none() { return },
            _ = tick.tick() => progress(&state_of(probes)),
            () = tokio::time::sleep_until(deadline) => return,
        }
    }
}

fn state_of(probes: &[Probe]) -> String {
    let states: Vec<Measured> = probes.iter().map(Probe::measured).collect();
    let done = states.iter().filter(|m| m.done).count();
    let busy = probes.iter().zip(&states).find(|(_, m)| !m.done);
    let doing = busy.map_or_else(String::new, |(probe, m)| {
        format!("; {}: {}", probe.target.shown, safe(&m.doing))
    });
    format!("{done} of {} servers examined{doing}", probes.len())
}

/// The proxy of the user's own list through which go asks the checksum database.
/// Proxies stand before it among the servers.
fn serves_database<'a>(servers: &'a [Server], plan: &Plan) -> Option<&'a Server> {
    plan.sumdb.as_ref().filter(|sumdb| sumdb.url.is_none())?;
    servers
        .iter()
        .find(|server| server.routes.contains(&1) && server.works && server.sumdb == Some(true))
}

type LocalRows = std::sync::mpsc::Receiver<Vec<Row>>;

/// The local checks on a thread of their own: a dead NFS mount may hold them for ever.
fn spawn_local(subject: &Subject<'_>, plan: &Plan) -> Option<LocalRows> {
    if subject.only_servers {
        return None;
    }
    let (send, receive) = std::sync::mpsc::channel();
    let goenv = subject.goenv.clone();
    let real_go = subject.real_go.map(Path::to_owned);
    let targets = plan.targets.clone();
    let env = Snapshot::of(subject.env);
    std::thread::spawn(move || {
        checkpoint("local");
        let lookup = |name: &str| env.get(name);
        let local = Local {
            env: &lookup,
            goenv: &goenv,
            real_go: real_go.as_deref(),
            targets: &targets,
        };
        // Nobody listens any more where the time is up.
        let _ = send.send(local.rows());
        let _ = send.send(cache::rows(&goenv));
    });
    Some(receive)
}

fn collect_local(local: Option<LocalRows>, start: Instant) -> Vec<Row> {
    let Some(receiver) = local else { return Vec::new() };
    let mut rows = Vec::new();
    for what in ["environment", "module cache"] {
        let left = LOCAL.saturating_sub(start.elapsed());
        match receiver.recv_timeout(left) {
            Ok(found) => rows.extend(found),
            Err(_) => {
                let found = "checking it takes too long: a file system hangs";
                rows.push(
                    Row::new(Grade::Broken, what, found, "local check")
                        .id(row::TIMEOUT)
                        .fix(remedy::run(["df", "-h"])),
                );
                return rows;
            }
        }
    }
    rows
}

/// The variables that local checks read, for another thread.
struct Snapshot(Vec<(&'static str, OsString)>);

impl Snapshot {
    const NAMES: &'static [&'static str] = &[
        "PATH",
        "HOME",
        "NETRC",
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "NO_PROXY",
        "no_proxy",
        "ALL_PROXY",
        "all_proxy",
        "GOFIX",
        "GOROOT",
        "SSH_AUTH_SOCK",
        "SSL_CERT_FILE",
        "GIT_SSL_CAINFO",
        "GIT_SSL_CAPATH",
        "GIT_SSL_NO_VERIFY",
    ];

    fn of(env: Lookup<'_>) -> Self {
        Self(
            Self::NAMES
                .iter()
                .filter_map(|name| Some((*name, env(name)?)))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<OsString> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.clone())
    }
}

/// The go.mod of the working directory, as go looks for it.
fn find_go_mod() -> Option<PathBuf> {
    workspace::above(&workspace::working_dir(None)?, "go.mod")
}

fn unused_routes(plan: &Plan) -> Option<Row> {
    let why = plan.narrow.as_ref()?;
    let later = plan.routes.iter().filter(|route| route.number > 1).count() as u64;
    let found = format!(
        "{} not used: {}",
        if later == 1 {
            "1 route is".to_owned()
        } else {
            format!("{later} routes are")
        },
        safe(&why.to_string())
    );
    Some(Row::new(Grade::Note, "routes", found, "widen").fix(remedy::run(["gofix", "config", "show"])))
}

fn conclude(
    subject: &Subject<'_>,
    mut rows: Vec<Row>,
    servers: Vec<Server>,
    reaches_network: bool,
    plan: &Plan,
    start: Instant,
) -> Examination {
    let order = advise::order(&servers);
    // Where no network is reached at all no other proxy can help.
    let (advice, commands) = if reaches_network {
        advise::recommend(subject, &servers, &order, plan)
    } else {
        (None, Vec::new())
    };
    if let Some(first) = commands.first() {
        let own: Vec<&str> = servers
            .iter()
            .filter(|s| s.routes.contains(&1))
            .map(|s| s.shown.as_str())
            .collect();
        let blank = |row: &&mut Row| {
            row.grade == Grade::Broken && row.fix.is_none() && own.contains(&row.subject.as_str())
        };
        for row in rows.iter_mut().filter(blank) {
            row.fix = Some(first.clone());
        }
    }
    // Stable: among equals the order of the checks stays.
    rows.sort_by_key(|row| std::cmp::Reverse(row.grade));
    Examination {
        rows,
        servers,
        order,
        advice,
        commands,
        took: start.elapsed(),
    }
}
