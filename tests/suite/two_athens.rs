//! Forty commands at once through two real Athens with one storage and one lock, and what can happen to those:
//! `make fleet`, which gets the programs and runs this in a network namespace where every address is this machine's.

use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gofix::faultproxy::{Catalogue, FaultProxy, Module};

use crate::fleet::{Daemon, free_address, tool};
use crate::startup::skip;
use crate::support::wait::wait_until;
use crate::support::{Sandbox, measured, real_go, tree};

const COMMANDS: usize = 40;
const MODULES: usize = 10;
/// An Athens is killed once the upstream has been asked so often: some modules are there, some on their way, some not.
const MIDDLE: usize = 12;

/// Athens and what two of them share.
struct Programs {
    athens: PathBuf,
    etcd: PathBuf,
    s3: PathBuf,
    toxiproxy: PathBuf,
}

impl Programs {
    fn found() -> Option<Self> {
        Some(Self {
            athens: tool("__GOFIX_TEST_ATHENS")?,
            etcd: tool("__GOFIX_TEST_ETCD")?,
            s3: tool("__GOFIX_TEST_S3")?,
            toxiproxy: tool("__GOFIX_TEST_TOXIPROXY")?,
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Happens {
    Nothing,
    /// SIGKILL, with requests of clients and the lock in its hands.
    OneKilled,
    /// Every answer of the storage is 300 ms late.
    StorageSlow,
    /// Everything is in the storage, and nobody behind it.
    UpstreamGone,
}

const TROUBLES: [(&str, Happens); 4] = [
    ("nothing", Happens::Nothing),
    ("one Athens is killed in the middle", Happens::OneKilled),
    ("every answer of the storage is 300 ms late", Happens::StorageSlow),
    (
        "the upstream is gone, the storage has everything",
        Happens::UpstreamGone,
    ),
];

/// Who listens where requests to other servers would arrive: HTTPS, HTTP and the questions for names.
struct Elsewhere {
    tcp: [TcpListener; 2],
    names: UdpSocket,
}

impl Elsewhere {
    /// `None` outside of such a namespace.
    fn listen() -> Option<Self> {
        std::env::var_os("__GOFIX_TEST_OWN_NETWORK")?;
        let tcp = ["0.0.0.0:443", "0.0.0.0:80"].map(|address| {
            let listener = TcpListener::bind(address).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        });
        let names = UdpSocket::bind("0.0.0.0:53").unwrap();
        names.set_nonblocking(true).unwrap();
        let elsewhere = Self { tcp, names };
        // One address of somebody else's proves that whatever is sent would be seen.
        TcpStream::connect("192.0.2.1:443").unwrap();
        assert_eq!(elsewhere.asked(), 1);
        Some(elsewhere)
    }

    /// Connections and questions since the last call.
    fn asked(&self) -> usize {
        let connections = self.tcp.iter().flat_map(|listener| {
            std::iter::from_fn(|| match listener.accept() {
                Ok(_) => Some(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                Err(error) => panic!("{error}"),
            })
        });
        let mut buffer = [0; 512];
        let questions = std::iter::from_fn(|| self.names.recv_from(&mut buffer).ok());
        connections.count() + questions.count()
    }
}

fn start(mut command: Command, log: &Path, addresses: &[&str]) -> Daemon {
    let log = fs::File::create(log).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let daemon = Daemon(command.spawn().unwrap());
    wait_until(|| {
        addresses
            .iter()
            .all(|address| TcpStream::connect(address).is_ok())
    });
    daemon
}

fn http(address: &str, method: &str, path: &str, body: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
}

/// Two Athens with all that they need.
struct Fleet {
    // Before what it uses, which must not go first.
    athens: Vec<Daemon>,
    urls: [String; 2],
    toxiproxy: String,
    upstream: Option<FaultProxy>,
    _others: [Daemon; 3],
    folder: tempfile::TempDir,
}

impl Fleet {
    fn start(programs: &Programs, catalogue: Catalogue) -> Self {
        let upstream = FaultProxy::healthy(catalogue).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let [lock, peers, s3, api, storage, one, two] = std::array::from_fn(|_| free_address());

        let mut command = Command::new(&programs.etcd);
        command.arg("--data-dir").arg(path("etcd")).args([
            "--listen-client-urls",
            &format!("http://{lock}"),
            "--advertise-client-urls",
            &format!("http://{lock}"),
            "--listen-peer-urls",
            &format!("http://{peers}"),
            "--initial-advertise-peer-urls",
            &format!("http://{peers}"),
            "--initial-cluster",
            &format!("default=http://{peers}"),
        ]);
        let etcd = start(command, &path("etcd.log"), &[&lock]);

        let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
        let mut command = Command::new(&programs.s3);
        command.args(["-H", "127.0.0.1", "-p", &port(&s3)]);
        let s3_server = start(command, &path("s3.log"), &[&s3]);
        http(&s3, "PUT", "/gomods", "");

        let mut command = Command::new(&programs.toxiproxy);
        command.args(["-host", "127.0.0.1", "-port", &port(&api)]);
        let toxiproxy = start(command, &path("toxiproxy.log"), &[&api]);
        let line = format!(r#"{{"name":"storage","listen":"{storage}","upstream":"{s3}","enabled":true}}"#);
        http(&api, "POST", "/proxies", &line);

        let athens = [&one, &two].map(|address| {
            let home = path(&port(address));
            fs::create_dir(&home).unwrap();
            let mut command = Command::new(&programs.athens);
            command
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .env("HOME", &home)
                .env("TMPDIR", &home)
                .env("ATHENS_PORT", address)
                .env("ATHENS_LOG_LEVEL", "warn")
                .env("ATHENS_GO_BINARY_PATH", real_go())
                .env(
                    "ATHENS_GO_BINARY_ENV_VARS",
                    format!(
                        "GOPROXY={};GOSUMDB=off;GOTOOLCHAIN=local;GOENV=off",
                        upstream.url()
                    ),
                )
                .env("ATHENS_STORAGE_TYPE", "s3")
                .env("ATHENS_S3_BUCKET_NAME", "gomods")
                .env("AWS_ENDPOINT", format!("http://{storage}"))
                .env("AWS_FORCE_PATH_STYLE", "true")
                .env("AWS_REGION", "us-east-1")
                .env("AWS_ACCESS_KEY_ID", "key")
                .env("AWS_SECRET_ACCESS_KEY", "secret")
                .env("ATHENS_SINGLE_FLIGHT_TYPE", "etcd")
                .env("ATHENS_ETCD_ENDPOINTS", &lock);
            start(command, &home.join("log"), &[address])
        });
        Self {
            athens: athens.into(),
            urls: [one, two].map(|address| format!("http://{address}")),
            toxiproxy: api,
            upstream: Some(upstream),
            _others: [etcd, s3_server, toxiproxy],
            folder,
        }
    }

    fn before(&mut self, happens: Happens) {
        match happens {
            Happens::StorageSlow => {
                let late = r#"{"type":"latency","stream":"downstream","attributes":{"latency":300}}"#;
                http(&self.toxiproxy, "POST", "/proxies/storage/toxics", late);
            }
            Happens::UpstreamGone => {
                let first = self.client(0);
                first.plain_go(&["mod", "download"]).output().expect_code(0);
                self.upstream = None;
            }
            Happens::Nothing | Happens::OneKilled => {}
        }
    }

    fn in_the_middle(&mut self, happens: Happens) {
        if happens == Happens::OneKilled {
            let upstream = self.upstream.as_ref().unwrap();
            assert!(upstream.wait_for(Duration::from_secs(60), |requests| requests.len() >= MIDDLE));
            drop(self.athens.remove(0));
        }
    }

    /// A machine that asks both, every other one in the other order.
    fn client(&self, number: usize) -> Sandbox {
        let [one, two] = &self.urls;
        let (first, second) = if number.is_multiple_of(2) {
            (one, two)
        } else {
            (two, one)
        };
        let modules = names();
        let modules: Vec<(&str, &str)> = modules.iter().map(|name| (name.as_str(), "v1.0.0")).collect();
        let sandbox = Sandbox::new()
            .requiring(&modules)
            .env("GOPROXY", format!("{first}|{second}"))
            .env("GOFIX_REPORT", "report.jsonl");
        sandbox.write("go.sum", catalogue().go_sum());
        sandbox
    }
}

fn names() -> Vec<String> {
    (0..MODULES).map(|n| format!("example.com/m{n}")).collect()
}

fn catalogue() -> Catalogue {
    Catalogue::new().with_all(
        names()
            .into_iter()
            .map(|name| Module::new(name, "v1.0.0").ballast(100_000)),
    )
}

/// What a fetch leaves, without go's lock files.
fn files(sandbox: &Sandbox) -> impl PartialEq + use<> {
    let mut files = tree(&sandbox.modcache());
    files.retain(|path, _| path.extension().is_none_or(|ending| ending != "lock"));
    files
}

struct Ended {
    well: usize,
    whole: usize,
    seconds: f64,
}

fn play(programs: &Programs, happens: Happens, plain: bool) -> Ended {
    let mut fleet = Fleet::start(programs, catalogue());
    let expected = {
        let upstream = FaultProxy::healthy(catalogue()).unwrap();
        let sandbox = fleet.client(0).env("GOPROXY", upstream.url());
        sandbox.plain_go(&["mod", "download"]).output().expect_code(0);
        files(&sandbox)
    };
    fleet.before(happens);
    let sandboxes: Vec<Sandbox> = (0..COMMANDS).map(|number| fleet.client(number)).collect();
    let began = Instant::now();
    let running: Vec<_> = sandboxes
        .iter()
        .map(|sandbox| match plain {
            true => sandbox.plain_go(&["mod", "download"]).spawn(),
            false => sandbox.go(&["mod", "download"]).spawn(),
        })
        .collect();
    fleet.in_the_middle(happens);
    let outcomes: Vec<_> = running.into_iter().map(|command| command.wait()).collect();
    let seconds = began.elapsed().as_secs_f64();
    let well = outcomes
        .iter()
        .filter(|outcome| outcome.code() == Some(0))
        .count();
    let whole = sandboxes
        .iter()
        .filter(|sandbox| files(sandbox) == expected)
        .count();
    if !plain && well < COMMANDS {
        let failed = outcomes.iter().find(|outcome| outcome.code() != Some(0)).unwrap();
        let folder = fleet.folder.keep();
        panic!(
            "{well} of {COMMANDS} ended well; logs are in {}: {failed}",
            folder.display()
        );
    }
    Ended { well, whole, seconds }
}

#[test]
fn forty_commands_end_well_whatever_happens() {
    let Some(programs) = Programs::found() else {
        return;
    };
    let Some(elsewhere) = Elsewhere::listen() else {
        return skip("this network is not the test's own (see scripts/fleet)");
    };
    let mut table = String::from(
        "| what happens | who asks | end well | the same bytes | asked elsewhere | all have ended after |\n\
         |---|---|---|---|---|---|\n",
    );
    for (what, happens) in TROUBLES {
        for (who, plain) in [("gofix", false), ("plain go", true)] {
            let ended = play(&programs, happens, plain);
            let asked = elsewhere.asked();
            let _ = writeln!(
                table,
                "| {what} | {who} | {} of {COMMANDS} | {} of {COMMANDS} | {asked} | {:.0} s |",
                ended.well, ended.whole, ended.seconds
            );
            let _ = writeln!(std::io::stderr(), "{}", table.lines().last().unwrap_or_default());
            if !plain {
                assert_eq!(
                    (ended.well, ended.whole, asked),
                    (COMMANDS, COMMANDS, 0),
                    "{what}"
                );
            }
        }
    }
    if std::env::var_os("BENCH_WRITE").is_some() {
        measured::write("fleet.md", "athens", &table);
    }
}
