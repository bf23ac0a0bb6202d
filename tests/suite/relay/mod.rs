//! The relay between the real go and a module proxy that fails.

mod bodies;
mod clients;
mod faults;
mod memory;
mod routes;
mod secure;
mod silent;
mod words;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Framing, Kind, Module, Rule, SumDb, Tls, When};
use gofix::go::proxy_list::ProxyList;
use gofix::relay::{Environment, Quoting, Relay, Setup};

use crate::support::{Outcome, Sandbox, certificate, proxy_of, status, two_modules};

const A: (&str, &str) = ("example.com/a", "v1.0.0");

fn catalogue() -> Catalogue {
    two_modules(400_000)
}

fn healthy() -> FaultProxy {
    with_rules([])
}

fn with_rules(rules: impl IntoIterator<Item = Rule>) -> FaultProxy {
    proxy_of(catalogue(), rules)
}

/// Clocks and breaker for tests: nothing is waited for that need not be.
fn setup(lists: &[&str]) -> Setup {
    let lists = lists.iter().map(|list| ProxyList::parse(list).unwrap()).collect();
    let environment = Environment {
        http2: true,
        ..Environment::default()
    };
    Setup {
        fail_timeout: Duration::from_millis(50),
        stall: Duration::from_millis(300),
        connect_timeout: Duration::from_secs(2),
        ..Setup::new(lists, environment)
    }
}

/// A sandbox whose go looks its checksums up through the proxies of its list.
fn sandbox() -> Sandbox {
    Sandbox::new().env("GOSUMDB", SumDb::new("sum.example.test", &catalogue()).key())
}

fn relay(lists: &[&str]) -> Relay {
    Relay::start(setup(lists)).unwrap().expect("something to relay")
}

/// Runs plain go through a relay and puts the words back as gofix does.
fn through(relay: &Relay, sandbox: &Sandbox, args: &[&str]) -> Outcome {
    let mut outcome = sandbox.plain_go(args).env("GOPROXY", relay.goproxy()).output();
    let quoting = if args.contains(&"-json") {
        Quoting::Json
    } else {
        Quoting::Plain
    };
    let put_back = |text: &str, quoting| {
        String::from_utf8(relay.rewriter(quoting).rewrite(text.as_bytes())).expect("go's text")
    };
    outcome.stderr = put_back(&outcome.stderr, Quoting::Plain);
    outcome.stdout = put_back(&outcome.stdout, quoting);
    outcome
}

/// How often a proxy was asked for files of this kind.
fn asked_for(proxy: &FaultProxy, kind: Kind) -> usize {
    let requests = proxy.requests();
    requests.iter().filter(|request| request.kind() == kind).count()
}

/// What plain go says when it asks the proxies itself.
fn plain(lists: &str, sandbox: &Sandbox, args: &[&str]) -> Outcome {
    sandbox.plain_go(args).env("GOPROXY", lists).output()
}

/// What go prints beside its progress, whose order is anybody's guess.
fn errors(run: &Outcome) -> Vec<&str> {
    let mut lines: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| !line.starts_with("go: downloading "))
        .collect();
    lines.sort_unstable();
    lines
}

fn requiring_a() -> Sandbox {
    sandbox().requiring(&[A])
}

/// So many modules of one go.mod, and the project that needs them all.
fn many(count: usize) -> (Catalogue, Sandbox) {
    let names: Vec<String> = (0..count).map(|n| format!("example.com/m{n}")).collect();
    let catalogue = names.iter().fold(Catalogue::new(), |all, name| {
        all.with(Module::new(name, "v1.0.0").ballast(9000))
    });
    let required: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v1.0.0")).collect();
    let sandbox = Sandbox::new().env("GOSUMDB", "off").requiring(&required);
    (catalogue, sandbox)
}

/// A relay's port and token, for talking to it by hand.
struct Address {
    host: String,
    token: String,
}

impl Address {
    fn of(relay: &Relay) -> Self {
        let goproxy = relay.goproxy().into_string().unwrap();
        let first = goproxy.split([',', '|']).next().unwrap();
        let mut parts = first.strip_prefix("http://").unwrap().split('/');
        Self {
            host: parts.next().unwrap().to_owned(),
            token: parts.next().unwrap().to_owned(),
        }
    }

    /// Sends these bytes and reads all that comes back.
    fn say(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        // The relay may close before it has read everything.
        stream.write_all(request).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn request(&self, method: &str, target: &str, host: &str) -> String {
        self.say(
            format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
        )
    }

    /// The status and the body of one GET below the token.
    fn get(&self, path: &str) -> (u16, String) {
        let answer = self.request("GET", &format!("/{}/{path}", self.token), &self.host);
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.to_owned())
    }
}

/// A proxy that speaks TLS, and the file that says whom to trust.
struct Secure {
    proxy: FaultProxy,
    roots: tempfile::NamedTempFile,
}

impl Secure {
    fn new(
        http2: bool,
        build: impl FnOnce(gofix::faultproxy::Builder) -> gofix::faultproxy::Builder,
    ) -> Self {
        let catalogue = catalogue();
        let (tls, pem) = certificate();
        let tls = Tls { http2, ..tls };
        let builder = FaultProxy::builder(catalogue.clone())
            .sumdb(SumDb::new("sum.example.test", &catalogue))
            .tls(tls);
        let mut roots = tempfile::NamedTempFile::new().unwrap();
        roots.write_all(pem.as_bytes()).unwrap();
        Self {
            proxy: build(builder).start().unwrap(),
            roots,
        }
    }

    fn trusting(&self, lists: &[&str]) -> Setup {
        let mut setup = setup(lists);
        setup.environment.roots.file = Some(self.roots.path().into());
        setup.environment.roots.dirs = Some("/nowhere".into());
        setup
    }

    /// A sandbox whose go trusts the same.
    fn sandbox(&self) -> Sandbox {
        requiring_a()
            .env("SSL_CERT_FILE", self.roots.path())
            .env("SSL_CERT_DIR", "/nowhere")
    }
}
