//! The place where one command of one scenario runs: its proxies, its folders, its
//! environment. Everything is made anew for every run and gone behind it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use ring::digest::{SHA256, digest};
use tempfile::TempDir;

use super::interrupt;
use super::modules;
use super::scenario::{Damage, Proxy, Scenario};
use crate::env_vars;
use crate::faultproxy::{Catalogue, FaultProxy, SumDb};

/// The name of the checksum database.
const DATABASE: &str = "sum.gofix.test";
/// How often a running command is looked at.
const GLANCE: Duration = Duration::from_millis(10);
/// How long gofix may take to end its own go when its time is over.
const GRACE: Duration = Duration::from_secs(2);
/// No more than this is read of what a command printed.
const MAX_OUTPUT: u64 = 256 * 1024;

/// What all stages serve.
#[derive(Debug, Clone)]
pub(super) struct Supplies {
    catalogue: Arc<Catalogue>,
    database: Arc<SumDb>,
    altered: Arc<SumDb>,
}

impl Supplies {
    pub(super) fn new() -> Self {
        let catalogue = modules::catalogue();
        Self {
            database: Arc::new(SumDb::new(DATABASE, &catalogue)),
            altered: Arc::new(SumDb::new(DATABASE, &modules::altered())),
            catalogue: Arc::new(catalogue),
        }
    }
}

/// Proxies, folders and environment of one run.
#[derive(Debug)]
pub(super) struct Stage {
    root: TempDir,
    bad: FaultProxy,
    other: FaultProxy,
    good: FaultProxy,
    env: BTreeMap<OsString, OsString>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With this exit status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It did not, and was ended.
    Never,
}

/// The files that a command left.
#[derive(Debug, Clone)]
pub(super) struct Left {
    /// The text of go.mod and go.sum, by name.
    pub(super) project: BTreeMap<&'static str, String>,
    /// The hash of every zip in the module cache, by its path there.
    pub(super) zips: BTreeMap<String, String>,
}

/// What a command did.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    pub(super) end: End,
    pub(super) took: Duration,
    /// Both outputs, with the stage's addresses and folders replaced by names.
    pub(super) output: String,
    /// Requests to each proxy: `bad`, `other`, `good`.
    pub(super) requests: BTreeMap<&'static str, usize>,
    /// How often gofix ran go, by its own report; 0 if there is none.
    pub(super) attempts: usize,
    /// What it left.
    pub(super) left: Left,
}

impl Stage {
    /// Starts the proxies and fills the folders.
    ///
    /// # Errors
    /// A socket, a thread or a file cannot be had.
    pub(super) fn new(scenario: &Scenario, supplies: &Supplies, real_go: &Path) -> io::Result<Self> {
        let database = match scenario.gosumdb.contains("{altered}") {
            true => &supplies.altered,
            false => &supplies.database,
        };
        let builder = || FaultProxy::builder(Arc::clone(&supplies.catalogue)).sumdb(Arc::clone(database));
        let start = |proxy: &Proxy| {
            builder()
                .keep_alive(false)
                .door(proxy.door)
                .rules(proxy.rules.iter().cloned())
                .start()
        };
        let mut stage = Self {
            root: tempfile::Builder::new().prefix("gofix-rehearse-").tempdir()?,
            bad: start(&scenario.bad)?,
            other: start(&scenario.other)?,
            good: builder().start()?,
            env: BTreeMap::new(),
        };
        stage.set_environment(scenario, database, real_go)?;
        stage.write_project(scenario)?;
        if !scenario.damage.is_empty() {
            stage.damage(scenario, real_go)?;
        }
        Ok(stage)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn set_environment(&mut self, scenario: &Scenario, database: &SumDb, real_go: &Path) -> io::Result<()> {
        for dir in ["home", "gopath", "gocache", "tmp", "project"] {
            let path = self.path(dir);
            fs::create_dir(&path)?;
        }
        switch_telemetry_off(&self.path("home"))?;
        let go_dir = real_go.parent().unwrap_or_else(|| Path::new("/usr/bin"));
        let path = [
            go_dir,
            Path::new("/usr/local/bin"),
            Path::new("/usr/bin"),
            Path::new("/bin"),
        ];
        let path = std::env::join_paths(path).map_err(io::Error::other)?;
        let folders = [
            ("HOME", "home"),
            ("GOPATH", "gopath"),
            ("GOMODCACHE", "gopath/pkg/mod"),
            ("GOCACHE", "gocache"),
            ("TMPDIR", "tmp"),
            (env_vars::GOFIX_REPORT, "report.jsonl"),
        ];
        for (name, folder) in folders {
            let folder = self.path(folder);
            self.set(name, folder);
        }
        self.set("PATH", path);
        self.set(env_vars::GOFIX_GO, real_go);
        self.set("GOPROXY", self.fill_in(&scenario.goproxy));
        self.set(
            "GOSUMDB",
            scenario
                .gosumdb
                .replace("{key}", database.key())
                .replace("{altered}", database.key()),
        );
        let fixed = [
            ("GOENV", "off"),
            ("GOTOOLCHAIN", "local"),
            ("LC_ALL", "C"),
            // Whatever would leave this machine meets a closed port; loopback does not go this way.
            ("HTTP_PROXY", "http://127.0.0.1:9"),
            ("HTTPS_PROXY", "http://127.0.0.1:9"),
            (env_vars::GOFIX_CONFIG, "off"),
            (env_vars::GOFIX_STALL_MS, "2000"),
            (env_vars::GOFIX_TIMEOUT_MS, "1000"),
            (env_vars::GOFIX_RETRY_COUNT, "2"),
            (env_vars::GOFIX_BUDGET, "40s"),
        ];
        for (name, value) in fixed {
            self.set(name, value);
        }
        let optional = [
            (env_vars::GOFIX_ROUTES, &scenario.routes),
            (env_vars::GOFIX_WIDEN, &scenario.widen),
            (env_vars::GOFIX_RELAY, &scenario.relay),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                self.set(name, self.fill_in(value));
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.env.insert(name.into(), value.as_ref().to_owned());
    }

    fn proxies(&self) -> [(&'static str, &FaultProxy); 3] {
        [("bad", &self.bad), ("other", &self.other), ("good", &self.good)]
    }

    /// Puts the proxies' URLs in place of their names.
    fn fill_in(&self, text: &str) -> String {
        self.proxies()
            .iter()
            .fold(text.to_owned(), |text, (name, proxy)| {
                text.replace(&format!("{{{name}}}"), proxy.url())
            })
    }

    fn write_project(&self, scenario: &Scenario) -> io::Result<()> {
        let mut files = modules::project(&scenario.go);
        files.extend(scenario.files.clone());
        files
            .iter()
            .try_for_each(|(name, content)| fs::write(self.path("project").join(name), content))
    }

    /// Fills the module cache from the healthy proxy and then damages it.
    fn damage(&mut self, scenario: &Scenario, real_go: &Path) -> io::Result<()> {
        let goproxy = self.env.insert("GOPROXY".into(), self.good.url().into());
        let ran = self.run(real_go, &scenario.go, Duration::from_secs(60))?;
        if let Some(goproxy) = goproxy {
            self.env.insert("GOPROXY".into(), goproxy);
        }
        if ran.end != End::Exit(0) {
            return Err(io::Error::other(format!(
                "the healthy download failed: {}",
                ran.output
            )));
        }
        scenario.damage.iter().try_for_each(|damage| self.apply(damage))
    }

    fn apply(&self, damage: &Damage) -> io::Result<()> {
        match damage {
            Damage::Cut(file) => {
                let file = OpenOptions::new()
                    .write(true)
                    .open(self.path("gopath/pkg/mod").join(file))?;
                file.set_len(file.metadata()?.len() / 2)
            }
            Damage::Remove(name) => {
                let path = self.path("gopath/pkg/mod").join(name);
                make_writable(&path);
                match path.is_dir() {
                    true => fs::remove_dir_all(path),
                    false => fs::remove_file(path),
                }
            }
        }
    }

    /// Runs a program in the project until it ends or `limit` is over.
    ///
    /// # Errors
    /// It cannot be started or waited for, or the rehearsal was interrupted.
    pub(super) fn run<A: AsRef<OsStr>>(
        &self,
        program: &Path,
        args: &[A],
        limit: Duration,
    ) -> io::Result<Ran> {
        let (out, err) = (self.path("stdout"), self.path("stderr"));
        let before = self.count_requests();
        let start = Instant::now();
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .envs(&self.env)
            .current_dir(self.path("project"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .spawn()?;
        let status = wait(&mut child, limit)?;
        let took = start.elapsed();
        let output = format!("{}{}", read_start(&out), read_start(&err));
        let requests = self.count_requests().into_iter();
        Ok(Ran {
            end: end_of(status),
            took,
            output: self.plain_words(&output),
            requests: requests
                .map(|(name, count)| (name, count - before.get(name).unwrap_or(&0)))
                .collect(),
            attempts: count_attempts(&read_start(&self.path("report.jsonl"))),
            left: self.left(),
        })
    }

    fn count_requests(&self) -> BTreeMap<&'static str, usize> {
        self.proxies()
            .iter()
            .map(|(name, proxy)| (*name, proxy.requests().len()))
            .collect()
    }

    /// Puts names in place of what differs from run to run.
    fn plain_words(&self, output: &str) -> String {
        let text = self
            .proxies()
            .iter()
            .fold(output.to_owned(), |text, (name, proxy)| {
                text.replace(proxy.url(), &format!("http://{name}"))
                    .replace(&proxy.address().to_string(), name)
            });
        text.replace(&*self.root.path().to_string_lossy(), "$STAGE")
    }

    fn left(&self) -> Left {
        let text = |name| (name, read_start(&self.path("project").join(name)));
        let downloads = self.path("gopath/pkg/mod/cache/download");
        let mut zips = Vec::new();
        collect_zips(&downloads, &mut zips);
        let hashed = |file: &PathBuf| {
            let content = fs::read(file).ok()?;
            let name = file.strip_prefix(&downloads).unwrap_or(file);
            Some((
                name.display().to_string(),
                format!("{:?}", digest(&SHA256, &content)),
            ))
        };
        Left {
            project: ["go.mod", "go.sum"].map(text).into(),
            zips: zips.iter().filter_map(hashed).collect(),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        make_writable(self.root.path());
    }
}

/// Go's telemetry runs in a process that outlives go, and would write into a folder
/// that is being removed.
fn switch_telemetry_off(home: &Path) -> io::Result<()> {
    // Linux and macOS look for their users' configuration in different places.
    [".config", "Library/Application Support"]
        .iter()
        .try_for_each(|dir| {
            let dir = home.join(dir).join("go/telemetry");
            fs::create_dir_all(&dir)?;
            fs::write(dir.join("mode"), "off")
        })
}

/// Waits for the end; `None` if it had to be brought about.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if interrupt::was_interrupted() {
            end(child)?;
            return Err(io::ErrorKind::Interrupted.into());
        }
        if start.elapsed() >= limit {
            end(child)?;
            return Ok(None);
        }
        std::thread::sleep(GLANCE);
    }
}

/// Asks the process to end, so that gofix can end its go, and then makes it and what is left of its group.
fn end(child: &mut Child) -> io::Result<()> {
    let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    // It may have ended by itself at this moment.
    let _ = kill(pid, Signal::SIGTERM);
    let start = Instant::now();
    while start.elapsed() < GRACE && child.try_wait()?.is_none() {
        std::thread::sleep(GLANCE);
    }
    // It may be gone already.
    let _ = killpg(pid, Signal::SIGKILL);
    child.wait().map(drop)
}

fn end_of(status: Option<ExitStatus>) -> End {
    match status {
        None => End::Never,
        Some(status) => status
            .code()
            .map_or_else(|| End::Signal(status.signal().unwrap_or(0)), End::Exit),
    }
}

fn read_start(file: &Path) -> String {
    use std::io::Read as _;
    let mut text = Vec::new();
    // What a command printed is shown to people; a file that is not there is empty.
    let _ = File::open(file).and_then(|file| file.take(MAX_OUTPUT).read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

fn count_attempts(report: &str) -> usize {
    let is_start = |line: &&str| {
        let event: Option<serde_json::Value> = serde_json::from_str(line).ok();
        event
            .is_some_and(|event| event.get("event").and_then(|name| name.as_str()) == Some("attempt_started"))
    };
    report.lines().filter(is_start).count()
}

fn collect_zips(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_zips(&path, files);
        } else if path.extension() == Some(OsStr::new("zip")) {
            files.push(path);
        }
    }
}

/// Go makes the folders of its module cache read-only, which keeps a plain user from
/// removing them. Links are not followed.
fn make_writable(path: &Path) {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return;
    };
    if !meta.is_dir() {
        return;
    }
    let mode = meta.permissions().mode() | 0o700;
    // What cannot be changed cannot be removed either, and stays in the temporary folder.
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        make_writable(&entry.path());
    }
}

/// The scenario as it would be in a healthy network.
pub(super) fn healed(scenario: &Scenario) -> Scenario {
    Scenario {
        goproxy: "{good}".to_owned(),
        routes: None,
        bad: Proxy::default(),
        other: Proxy::default(),
        damage: Vec::new(),
        ..scenario.clone()
    }
}
