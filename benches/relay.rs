//! What the relay costs and what it brings: `make bench-relay`.
//!
//! Interleaved pairs of one command, `go mod download` of many modules into an
//! empty cache from a module proxy on loopback, as plain go and through gofix.
//! Printed are the 25th percentile of the wall time and of the user and system
//! time of everything that was started, the proxy apart, and gofix's largest
//! resident size. Nothing is asserted; nothing leaves the machine.
//!
//! The same under faults: gofix beside itself on a healthy line, beside plain
//! go, beside a list that names the proxy twice (`a|a`), and beside a shell loop
//! of five tries.
//!
//! `servers` puts Athens and goproxy between go and the bad line; see `relay/servers.rs`.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

#[path = "../tests/support/measured.rs"]
mod measured;
#[path = "common/ratio.rs"]
mod ratio;
#[path = "relay/servers.rs"]
mod servers;

use gofix::faultproxy::{Catalogue, FaultProxy, Module, Rule};
use gofix::go::proxy_list::ProxyList;
use gofix::relay::{Environment, Relay, Setup};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// A zip just below the 500 MiB that go takes.
const LARGE: usize = 490 << 20;
/// One bench is one of these words; `all` where none is given.
const WORDS: &str = "healthy | faults | memory | servers | all [PAIRS] [MODULES]";
/// `faults` takes about ten minutes with these.
const PAIRS: usize = 20;
const MODULES: usize = 500;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os()
        .skip(1)
        .filter_map(|arg| arg.into_string().ok())
        .filter(|arg| arg != "--bench")
        .collect();
    let number = |at: usize, default: usize| args.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    match args.first().map_or("all", String::as_str) {
        "serve" => return serve(&args[1..]),
        "carry" => return carry(),
        "healthy" => healthy(number(1, PAIRS), number(2, MODULES)),
        "faults" => faults(number(1, PAIRS), number(2, MODULES)),
        "memory" => memory(),
        "servers" => servers::measure(number(1, PAIRS), number(2, MODULES)),
        "all" => {
            healthy(number(1, PAIRS), number(2, MODULES));
            faults(number(1, PAIRS), number(2, MODULES));
            memory();
        }
        _ => {
            say(&format!("usage: relay {WORDS}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

/// A proxy in a process of its own, so that its cpu time is nobody else's.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(modules: usize, size: usize, chance: f64, seed: u64) -> Self {
        let exe = std::env::current_exe().expect("this program's path");
        let mut child = Command::new(exe)
            .args([
                "serve",
                &modules.to_string(),
                &size.to_string(),
                &chance.to_string(),
                &seed.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the proxy starts");
        let mut url = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut url)
            .expect("the proxy says where it is");
        Self {
            child,
            url: url.trim().to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

fn modules(count: usize, size: usize) -> Catalogue {
    Catalogue::new()
        .with_all((0..count).map(|n| Module::new(format!("example.com/m{n:04}"), "v1.0.0").ballast(size)))
}

/// Serves until its stdin ends.
fn serve(args: &[String]) -> ExitCode {
    let at = |n: usize| args.get(n).map_or("0", String::as_str);
    let (count, size) = (at(0).parse().unwrap_or(10), at(1).parse().unwrap_or(1000));
    let (chance, seed): (f64, u64) = (at(2).parse().unwrap_or(0.0), at(3).parse().unwrap_or(0));
    let proxy = FaultProxy::builder(modules(count, size))
        .rules(Rule::mixed(chance, seed))
        .start()
        .expect("a proxy on loopback");
    say(proxy.url());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).ok();
    ExitCode::SUCCESS
}

/// Runs go behind a relay, and nothing else.
fn carry() -> ExitCode {
    let list = std::env::var("GOPROXY").unwrap_or_default();
    let list = ProxyList::parse(&list).expect("a list");
    let relay = Relay::start(Setup::new(vec![list], Environment::default()))
        .expect("a port")
        .expect("a proxy to relay");
    let status = Command::new(std::env::var_os("GOFIX_GO").expect("a go"))
        .args(["mod", "download"])
        .env("GOPROXY", relay.goproxy())
        .status()
        .expect("go starts");
    drop(relay);
    if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Who runs the command.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Subject {
    Plain,
    PlainTwice,
    Loop,
    /// The relay without the supervisor round it.
    Alone,
    Gofix,
    /// gofix on a line without faults.
    Healthy,
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain go",
            Self::PlainTwice => "plain go, a|a",
            Self::Loop => "shell loop of 5",
            Self::Alone => "relay alone",
            Self::Gofix => "gofix",
            Self::Healthy => "gofix, no faults",
        }
    }
}

/// One run.
#[derive(Debug, Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
    resident_kib: u64,
    ok: bool,
}

/// A folder with a project that requires all modules of the proxy.
struct Project {
    root: tempfile::TempDir,
    go: PathBuf,
}

impl Project {
    fn new(count: usize, size: usize) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        if size < LARGE {
            fs::write(root.path().join("go.sum"), modules(count, size).go_sum()).expect("go.sum");
        }
        let requires: String = (0..count)
            .map(|n| format!("\texample.com/m{n:04} v1.0.0\n"))
            .collect();
        let go_mod = format!("module example.com/main\n\ngo 1.21\n\nrequire (\n{requires})\n");
        fs::write(root.path().join("go.mod"), go_mod).expect("go.mod");
        Self { root, go: real_go() }
    }

    fn run(&self, subject: Subject, url: &str) -> Cost {
        let cache = self.root.path().join("cache");
        remove(&cache);
        let list = match subject {
            Subject::PlainTwice => format!("{url}|{url}"),
            _ => url.to_owned(),
        };
        measure(self.download(subject), &list, &cache)
    }

    fn download(&self, subject: Subject) -> Command {
        match subject {
            Subject::Plain | Subject::PlainTwice => self.command(&self.go, &["mod", "download"]),
            Subject::Loop => {
                let script = "for n in 1 2 3 4 5; do \"$0\" mod download && exit 0; done; exit 1";
                let mut command = self.command(Path::new("/bin/sh"), &["-c", script]);
                command.arg(&self.go);
                command
            }
            Subject::Alone => {
                let exe = std::env::current_exe().expect("this program's path");
                let mut command = self.command(&exe, &["carry"]);
                command.env("GOFIX_GO", &self.go);
                command
            }
            Subject::Gofix | Subject::Healthy => {
                let mut command =
                    self.command(Path::new(env!("CARGO_BIN_EXE_gofix")), &["go", "mod", "download"]);
                command.env("GOFIX_RELAY", "on").env("GOFIX_GO", &self.go);
                command
            }
        }
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", path_with(&self.go))
            .env("HOME", self.root.path())
            .env("GOENV", "off")
            .env("GOFLAGS", "-mod=mod")
            .env("GOTOOLCHAIN", "local")
            .env("GOTELEMETRY", "off")
            .env("GOCACHE", self.root.path().join("gocache"))
            .env("GOSUMDB", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        remove(&self.root.path().join("cache"));
    }
}

fn measure(mut command: Command, list: &str, cache: &Path) -> Cost {
    let before = cpu();
    let started = Instant::now();
    let mut child = command
        .env("GOPROXY", list)
        .env("GOMODCACHE", cache)
        .spawn()
        .expect("the program starts");
    let pid = child.id();
    let mut resident_kib = 0;
    let status = loop {
        if let Some(kib) = high_water(pid) {
            resident_kib = resident_kib.max(kib);
        }
        match child.try_wait().expect("the child can be waited for") {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    Cost {
        wall: started.elapsed(),
        cpu: cpu().saturating_sub(before),
        resident_kib,
        ok: status.success(),
    }
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage of children");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}

fn high_water(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn path_with(go: &Path) -> OsString {
    let mut path = go.parent().map(OsString::from).unwrap_or_default();
    path.push(":/usr/bin:/bin");
    path
}

fn real_go() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::var_os("GOFIX_TEST_GO").map(PathBuf::from).or_else(|| {
        std::env::split_paths(&path)
            .map(|dir| dir.join("go"))
            .find(|go| go.is_file())
    });
    found.expect("a go in GOFIX_TEST_GO or PATH")
}

/// Go makes its module cache read-only.
fn remove(dir: &Path) {
    fn unlock(dir: &Path) {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).ok();
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                unlock(&entry.path());
            }
        }
    }
    unlock(dir);
    fs::remove_dir_all(dir).ok();
}

/// The value below which a quarter of them lies.
fn quarter(values: impl Iterator<Item = Duration>) -> Duration {
    let mut values: Vec<Duration> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 4).copied().unwrap_or_default()
}

struct Series {
    subject: Subject,
    costs: Vec<Cost>,
}

impl Series {
    fn of(subjects: &[Subject]) -> Vec<Self> {
        subjects
            .iter()
            .map(|subject| Self {
                subject: *subject,
                costs: Vec::new(),
            })
            .collect()
    }

    fn wall(&self) -> Duration {
        quarter(self.costs.iter().map(|cost| cost.wall))
    }

    fn cpu(&self) -> Duration {
        quarter(self.costs.iter().map(|cost| cost.cpu))
    }

    fn line(&self, against: (Duration, Duration)) -> String {
        let ratio = |own: Duration, other: Duration| own.as_secs_f64() / other.as_secs_f64().max(1e-9);
        let ok = self.costs.iter().filter(|cost| cost.ok).count();
        let resident = self.costs.iter().map(|cost| cost.resident_kib).max().unwrap_or(0);
        format!(
            "| {} | {ok}/{} | {:.3} s | {:.2} | {:.3} s | {:.2} | {:.1} MiB |",
            self.subject.name(),
            self.costs.len(),
            self.wall().as_secs_f64(),
            ratio(self.wall(), against.0),
            self.cpu().as_secs_f64(),
            ratio(self.cpu(), against.1),
            resident as f64 / 1024.0,
        )
    }
}

const HEAD: &str = "| | ended well | wall, 25th pct | ratio | cpu, 25th pct | ratio | first process, resident |\n\
                    |---|---|---|---|---|---|---|";

fn healthy(pairs: usize, count: usize) {
    let server = Server::start(count, 4000, 0.0, 0);
    let project = Project::new(count, 4000);
    let mut series = Series::of(&[Subject::Plain, Subject::Alone, Subject::Gofix]);
    for _ in 0..pairs {
        for one in &mut series {
            one.costs.push(project.run(one.subject, &server.url));
        }
    }
    let against = (series[0].wall(), series[0].cpu());
    let head = format!("`go mod download` of {count} modules, no faults, {pairs} interleaved runs:");
    for one in &series[1..] {
        let name = one.subject.name();
        ratio::tell(
            "relay",
            &format!("{name}, wall"),
            one.wall().as_secs_f64() / against.0.as_secs_f64(),
        );
        ratio::tell(
            "relay",
            &format!("{name}, cpu"),
            one.cpu().as_secs_f64() / against.1.as_secs_f64(),
        );
    }
    publish("healthy", &table(&head, &series, against));
}

fn faults(pairs: usize, count: usize) {
    let project = Project::new(count, 4000);
    let mut text = String::new();
    for chance in [0.05, 0.2] {
        let subjects = [
            Subject::Healthy,
            Subject::Gofix,
            Subject::Plain,
            Subject::PlainTwice,
            Subject::Loop,
        ];
        let mut series = Series::of(&subjects);
        for seed in 0..pairs {
            for one in &mut series {
                let chance = if one.subject == Subject::Healthy {
                    0.0
                } else {
                    chance
                };
                let server = Server::start(count, 4000, chance, seed as u64);
                one.costs.push(project.run(one.subject, &server.url));
            }
        }
        let head = format!(
            "`go mod download` of {count} modules, {:.0} % faults, {pairs} seeds:",
            chance * 100.0,
        );
        let against = (series[0].wall(), series[0].cpu());
        text.push_str(&table(&head, &series, against));
        text.push('\n');
    }
    publish("faults", &text);
}

fn memory() {
    let mut text = String::from("| what | resident |\n|---|---|\n");
    for (count, size) in [(10, 4000), (100, 4000), (1000, 4000), (1, LARGE)] {
        let server = Server::start(count, size, 0.0, 0);
        let project = Project::new(count, size);
        let cost = project.run(Subject::Gofix, &server.url);
        let what = match size {
            LARGE => format!("one zip of {} MiB", LARGE >> 20),
            _ => format!("{count} modules"),
        };
        let failed = if cost.ok { "" } else { " (the download failed)" };
        text.push_str(&format!(
            "| {what}{failed} | {:.1} MiB |\n",
            cost.resident_kib as f64 / 1024.0
        ));
    }
    publish("memory", &text);
}

fn table(head: &str, series: &[Series], against: (Duration, Duration)) -> String {
    let lines: String = series.iter().map(|one| one.line(against) + "\n").collect();
    format!("{head}\n\n{HEAD}\n{lines}")
}

/// Prints a table and, with `BENCH_WRITE` set, puts it into docs/.
fn publish(name: &str, text: &str) {
    say(&format!("\n{text}"));
    if std::env::var_os("BENCH_WRITE").is_some() {
        measured::write("relay-measured.md", name, text);
    }
}
