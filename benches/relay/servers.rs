//! `make bench-servers`: a module proxy of one's own between go and the bad line.
//!
//! Athens and goproxy (both built by `scripts/go-tool`) run on loopback with an empty store for every run; their
//! upstream is the fault proxy, go asks them over a healthy connection. Beside them plain go and gofix ask the fault
//! proxy themselves. Counted is what ended well, so that other work on the machine changes nothing.
//!
//! Known limitation: the connection between go and such a server is healthy here. Where it is bad, go meets the faults
//! itself, as in the row of plain go.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Framing, Kind, Module, Rule};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{Project, Subject, publish, remove, say};

/// A run that takes longer waits for something that does not come.
const LIMIT: Duration = Duration::from_secs(60);
/// Bytes in the zip that breaks off.
const LARGE: usize = 8 << 20;

/// Who stands between go and the fault proxy.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Plain,
    Gofix,
    Athens,
    Goproxy,
}

impl Way {
    const ALL: [Self; 4] = [Self::Plain, Self::Athens, Self::Goproxy, Self::Gofix];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain go",
            Self::Gofix => "gofix",
            Self::Athens => "Athens",
            Self::Goproxy => "goproxy",
        }
    }
}

/// Such a server, with a store of its own.
struct Front {
    child: Child,
    url: String,
    store: tempfile::TempDir,
}

impl Front {
    /// `None` where go asks the upstream itself.
    fn start(way: Way, upstream: &str, go: &Path) -> Option<Self> {
        let store = tempfile::tempdir().expect("a folder");
        let place = store.path().display();
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let mut command = match way {
            Way::Plain | Way::Gofix => return None,
            Way::Athens => {
                let mut athens = Command::new(program("athens"));
                athens
                    .env("ATHENS_STORAGE_TYPE", "disk")
                    .env("ATHENS_DISK_STORAGE_ROOT", store.path())
                    .env("ATHENS_PORT", &address)
                    .env("ATHENS_LOG_LEVEL", "error")
                    .env("ATHENS_GO_BINARY_PATH", go)
                    .env(
                        "ATHENS_GO_BINARY_ENV_VARS",
                        format!("GOPROXY={upstream};GOSUMDB=off;GOFLAGS=-modcacherw;GOTOOLCHAIN=local"),
                    );
                athens
            }
            Way::Goproxy => {
                let mut goproxy = Command::new(program("goproxy"));
                goproxy
                    .args(["server", "--address", &address, "--cacher-dir"])
                    .arg(store.path().join("cache"))
                    .arg("--temp-dir")
                    .arg(store.path())
                    .env("GOPROXY", upstream)
                    .env("GOSUMDB", "off");
                goproxy
            }
        };
        command
            .env("HOME", store.path())
            .env("TMPDIR", store.path())
            .env("GOCACHE", format!("{place}/gocache"))
            .current_dir(store.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let child = command.spawn().expect("the server starts");
        let front = Self {
            child,
            url: format!("http://{address}"),
            store,
        };
        while TcpStream::connect(&address).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(front)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL).ok();
        self.child.wait().ok();
        remove(self.store.path());
    }
}

fn program(name: &str) -> PathBuf {
    let folder =
        std::env::var_os("GOFIX_BENCH_PROXIES").map_or_else(|| "target/proxies".into(), PathBuf::from);
    // A relative path would be one of the server's own folder.
    let path = std::path::absolute(folder.join(name)).expect("a current folder");
    assert!(
        path.is_file(),
        "no {}: make bench-servers builds it",
        path.display()
    );
    path
}

/// How one `go mod download` ended.
enum End {
    Well,
    Failed,
    /// It was still waiting at the limit.
    Waited,
}

fn run(way: Way, project: &Project, proxy: &FaultProxy) -> (End, Duration) {
    let front = Front::start(way, proxy.url(), &project.go);
    let list = front.as_ref().map_or_else(|| proxy.url(), |front| &front.url);
    let cache = project.root.path().join("cache");
    remove(&cache);
    let subject = if way == Way::Gofix {
        Subject::Gofix
    } else {
        Subject::Plain
    };
    let mut command = project.download(subject);
    command
        .env("GOPROXY", list)
        .env("GOMODCACHE", &cache)
        .process_group(0);
    let began = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    let end = loop {
        match child.try_wait().expect("the child can be waited for") {
            Some(status) if status.success() => break End::Well,
            Some(_) => break End::Failed,
            None if began.elapsed() > LIMIT => {
                killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).ok();
                child.wait().ok();
                break End::Waited;
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    (end, began.elapsed())
}

/// Writes the table: how many of `pairs` runs end well, and what becomes of one fault of each kind.
pub(super) fn measure(pairs: usize, count: usize) {
    let mut text = format!(
        "`go mod download` of {count} modules, 5 % and 20 % faults, {pairs} seeds each; then of one module with a zip of \
         {} MiB: its server says nothing to the first request, breaks off the first zip half way, or does not know it; at \
         most {} s for each run:\n\n\
         | | 5 % | 20 % | silent server | file breaks off | 404 |\n|---|---|---|---|---|---|\n",
        LARGE >> 20,
        LIMIT.as_secs(),
    );
    let many = Project::new(count, 4000);
    let one = Project::new(1, LARGE);
    for way in Way::ALL {
        let healthy = FaultProxy::healthy(one_module()).expect("a proxy on loopback");
        let works = matches!(run(way, &one, &healthy).0, End::Well);
        assert!(works, "{} fails without any fault", way.name());
        let well = |chance| {
            let ended_well = |seed: &usize| {
                let proxy = FaultProxy::builder(super::modules(count, 4000))
                    .rules(Rule::mixed(chance, *seed as u64))
                    .start()
                    .expect("a proxy on loopback");
                matches!(run(way, &many, &proxy).0, End::Well)
            };
            format!("{} of {pairs}", (0..pairs).filter(ended_well).count())
        };
        let row = format!(
            "| {} | {} | {} | {} | {} | {} |",
            way.name(),
            well(0.05),
            well(0.2),
            silent(way, &one),
            broken_off(way, &one),
            unknown(way, &one),
        );
        say(&row);
        text.push_str(&row);
        text.push('\n');
    }
    publish("servers", &text);
}

fn one_module() -> Catalogue {
    super::modules(1, LARGE)
}

fn silent(way: Way, project: &Project) -> String {
    let rule = Rule::new(Fault::StallHeader).on(Kind::Mod).first(1);
    let proxy = FaultProxy::builder(one_module())
        .rule(rule)
        .start()
        .expect("a proxy");
    match run(way, project, &proxy) {
        (End::Well, took) => format!("asked again, done after {:.0} s", took.as_secs_f64()),
        (End::Failed, took) => format!("failed after {:.0} s", took.as_secs_f64()),
        (End::Waited, _) => "still waiting".to_owned(),
    }
}

/// What the upstream sent of a zip that broke off once, as a part of its size: 1.0 where it was resumed, 1.5 where it was
/// sent anew.
fn broken_off(way: Way, project: &Project) -> String {
    let cut = Fault::CloseBody {
        after: None,
        framing: Framing::Length,
    };
    let catalogue = one_module();
    let size = catalogue.all().next().expect("a module").zip.len() as f64;
    let rule = Rule::new(cut).on(Kind::Zip).first(1);
    let proxy = FaultProxy::builder(catalogue)
        .rule(rule)
        .start()
        .expect("a proxy");
    let (end, _) = run(way, project, &proxy);
    let zips = proxy
        .requests()
        .into_iter()
        .filter(|request| request.kind() == Kind::Zip);
    let sent: u64 = zips.map(|request| request.sent).sum();
    let part = sent as f64 / size;
    match end {
        End::Well if part < 1.2 => format!("resumed ({part:.1} times its size sent)"),
        End::Well => format!("fetched anew ({part:.1} times its size sent)"),
        End::Failed => "failed".to_owned(),
        End::Waited => "still waiting".to_owned(),
    }
}

fn unknown(way: Way, project: &Project) -> String {
    let other = Catalogue::new().with(Module::new("example.com/other", "v1.0.0"));
    let proxy = FaultProxy::healthy(other).expect("a proxy");
    let (end, took) = run(way, project, &proxy);
    let requests = proxy.requests().len();
    let ended = if matches!(end, End::Failed) {
        "failed"
    } else {
        "did not fail"
    };
    format!(
        "{ended} after {:.1} s, {requests} requests upstream",
        took.as_secs_f64()
    )
}
