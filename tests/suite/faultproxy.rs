//! The fault proxy against the real go: what is healthy downloads and verifies, and
//! every fault makes go say what it says in a bad network.

use std::time::Duration;

use gofix::faultproxy::{Catalogue, Door, Fault, FaultProxy, Framing, Kind, Module, Rule, SumDb, Tls, When};
use nix::sys::signal::Signal;

use crate::support::pty::Pty;
use crate::support::wait::LIMIT;
use crate::support::{Sandbox, certificate, go_minor, status, tree, two_modules};

const A: (&str, &str) = ("example.com/a", "v1.0.0");

fn catalogue() -> Catalogue {
    two_modules(20_000)
}

fn sumdb(catalogue: &Catalogue) -> SumDb {
    SumDb::new("sum.example.test", catalogue)
}

#[test]
fn healthy_modules_are_downloaded_and_verified() {
    let catalogue = catalogue();
    let proxy = FaultProxy::builder(catalogue.clone())
        .sumdb(sumdb(&catalogue))
        .start()
        .unwrap();
    let sandbox = Sandbox::new().proxy(&proxy).importing(&["example.com/a"]);
    let tidy = sandbox.plain_go(&["mod", "tidy"]).output().expect_code(0);
    assert!(
        tidy.stderr
            .contains("go: found example.com/a in example.com/a v1.0.0"),
        "{tidy}"
    );
    assert_eq!(tidy.signal(), None);
    assert!(
        sandbox
            .read("go.mod")
            .contains("example.com/Upper/b v1.1.0 // indirect")
    );
    for line in sandbox.read("go.sum").lines() {
        assert!(catalogue.go_sum().contains(line), "{line}");
    }
    sandbox.plain_go(&["mod", "verify"]).output().expect_code(0);
    let kinds: Vec<Kind> = proxy.requests().iter().map(|request| request.kind()).collect();
    for kind in [
        Kind::List,
        Kind::Info,
        Kind::Mod,
        Kind::Zip,
        Kind::Lookup,
        Kind::Tile,
    ] {
        assert!(kinds.contains(&kind), "{kind:?} not in {kinds:?}");
    }
    assert!(
        proxy
            .requests()
            .iter()
            .all(|request| request.status != 0 && request.took.is_some())
    );
    assert!(proxy.connections() > 0);
}

#[test]
fn a_database_found_through_the_proxy_verifies_too() {
    let catalogue = Catalogue::new()
        .with_all((0..300).map(|n| Module::new(format!("example.com/m{n:03}"), "v1.0.0")))
        .with(Module::new("example.com/a", "v1.0.0"));
    let database = sumdb(&catalogue);
    let key = database.key().to_owned();
    let proxy = FaultProxy::builder(catalogue).sumdb(database).start().unwrap();
    let sandbox = Sandbox::new()
        .proxy(&proxy)
        .env("GOSUMDB", key)
        .requiring(&[A, ("example.com/m270", "v1.0.0")]);
    sandbox.plain_go(&["mod", "download"]).output().expect_code(0);
    let supported = proxy
        .requests()
        .iter()
        .filter(|request| request.kind() == Kind::Supported)
        .count();
    assert_eq!(supported, 1);
}

#[test]
fn a_database_over_other_bytes_makes_a_security_error() {
    let altered =
        catalogue().with(Module::new("example.com/a", "v1.0.0").file("a.go", "package a // altered\n"));
    let proxy = FaultProxy::builder(catalogue())
        .sumdb(sumdb(&altered))
        .start()
        .unwrap();
    let sandbox = Sandbox::new().proxy(&proxy).requiring(&[A]);
    let download = sandbox.plain_go(&["mod", "download"]).output().expect_code(1);
    assert!(download.stderr.contains("SECURITY ERROR"), "{download}");
}

#[test]
fn go_names_each_fault_as_it_does_in_the_field() {
    let zip = |fault| Rule::new(fault).on(Kind::Zip);
    let all = Rule::new;
    let cases = [
        (all(Fault::CloseBeforeHeader), ": EOF"),
        (all(Fault::ResetBeforeHeader), "connection reset by peer"),
        (zip(Fault::ResetBody { after: None }), "connection reset by peer"),
        (
            zip(Fault::CloseBody {
                after: None,
                framing: Framing::Length,
            }),
            "unexpected EOF",
        ),
        (
            zip(Fault::CloseBody {
                after: None,
                framing: Framing::Chunked,
            }),
            "unexpected EOF",
        ),
        (
            zip(Fault::CloseBody {
                after: None,
                framing: Framing::Close,
            }),
            "not a valid zip file",
        ),
        (zip(Fault::ShortBody { after: None }), "not a valid zip file"),
        (zip(Fault::BitFlip), "zip: "),
        (zip(Fault::EmptyBody), "not a valid zip file"),
        (zip(Fault::GzipBomb { mib: 600 }), "downloaded zip file too large"),
        (all(Fault::Garbage), "malformed HTTP"),
        (all(Fault::EndlessHeaders), "server response headers exceeded"),
        (all(Fault::RedirectLoop), "stopped after 10 redirects"),
        (
            all(Fault::Redirect {
                to: "file:///etc/passwd".into(),
            }),
            "unsupported protocol scheme",
        ),
        (
            Rule::new(Fault::Portal).on(Kind::Info),
            "invalid response from proxy",
        ),
        (
            Rule::new(Fault::WrongVersion {
                version: "v9.9.9".into(),
            })
            .on(Kind::Info),
            "instead of requested version",
        ),
        (
            Rule::new(Fault::EmptyBody).on(Kind::Info),
            "unexpected end of JSON input",
        ),
        (all(status(429, Some("1"))), "429 Too Many Requests"),
        (all(status(503, None)), "503 Service Unavailable"),
        (all(status(403, None)), "403 Forbidden"),
        (all(status(404, None)), "404 Not Found"),
        (all(status(410, None)), "410 Gone"),
        (all(status(451, None)), "451 Unavailable For Legal Reasons"),
    ];
    for (rule, words) in cases {
        let proxy = FaultProxy::builder(catalogue())
            .keep_alive(false)
            .rule(rule.clone())
            .start()
            .unwrap();
        let sandbox = Sandbox::new().proxy(&proxy);
        // A named version outside a module asks for .info as well, and -x shows every error.
        let download = sandbox
            .plain_go(&["mod", "download", "-json", "example.com/a@v1.0.0"])
            .output();
        assert_eq!(download.code(), Some(1), "{rule:?}: {download}");
        let said = format!("{}{}", download.stdout, download.stderr);
        assert!(said.contains(words), "{rule:?}: {download}");
        assert!(
            proxy.requests().iter().any(|request| request.fault.is_some()),
            "{rule:?}"
        );
    }
}

#[test]
fn a_healed_proxy_delivers_what_it_spoiled() {
    let proxy = FaultProxy::builder(catalogue())
        .rule(
            Rule::new(Fault::Drip {
                bytes: 4096,
                every_ms: 1,
            })
            .on(Kind::Zip)
            .when(When::After(1)),
        )
        .rule(
            Rule::new(Fault::ResetBody { after: Some(10) })
                .on(Kind::Zip)
                .first(1),
        )
        .start()
        .unwrap();
    let sandbox = Sandbox::new().proxy(&proxy).requiring(&[A]);
    sandbox.plain_go(&["mod", "download"]).output().expect_code(1);
    sandbox.plain_go(&["mod", "download"]).output().expect_code(0);
    assert!(sandbox.modcache().join("example.com/a@v1.0.0/a.go").is_file());
    let whole = tree(&sandbox.modcache());
    sandbox.plain_go(&["mod", "download"]).output().expect_code(0);
    assert_eq!(tree(&sandbox.modcache()), whole);
    let first = proxy
        .requests()
        .into_iter()
        .find(|request| request.kind() == Kind::Zip)
        .unwrap();
    assert_eq!((first.status, first.sent), (200, 10));
}

#[test]
fn closed_doors_look_closed_to_go() {
    let cases = [
        (Door::Refuse, &["connection refused"][..]),
        // Which of the two depends on whether go has written its request by then.
        (Door::Close, &["EOF", "server closed idle connection"]),
        (Door::Reset, &["connection reset by peer"]),
        (Door::CutHandshake, &["EOF"]),
    ];
    for (door, words) in cases {
        let proxy = FaultProxy::builder(catalogue()).door(door).start().unwrap();
        let sandbox = Sandbox::new().proxy(&proxy).requiring(&[A]);
        let download = sandbox.plain_go(&["mod", "download"]).output().expect_code(1);
        assert!(
            words.iter().any(|words| download.stderr.contains(words)),
            "{door:?}: {download}"
        );
        assert!(proxy.requests().is_empty());
        proxy.open().unwrap();
        sandbox.plain_go(&["mod", "download"]).output().expect_code(0);
    }
}

#[test]
fn behind_a_firewall_nothing_answers_until_it_opens() {
    let proxy = FaultProxy::builder(catalogue())
        .door(Door::Blackhole)
        .start()
        .unwrap();
    let connect = std::net::TcpStream::connect_timeout(&proxy.address(), Duration::from_millis(200));
    assert_eq!(connect.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    proxy.open().unwrap();
    let sandbox = Sandbox::new().proxy(&proxy).requiring(&[A]);
    sandbox.plain_go(&["mod", "download"]).output().expect_code(0);
}

#[test]
fn stalls_last_until_go_is_ended() {
    for fault in [Fault::StallHeader, Fault::StallBody { after: Some(100) }] {
        let proxy = FaultProxy::builder(catalogue())
            .rule(Rule::new(fault).on(Kind::Zip))
            .start()
            .unwrap();
        let sandbox = Sandbox::new().proxy(&proxy).requiring(&[A]);
        let go = sandbox.plain_go(&["mod", "download"]).spawn();
        let is_zip = |request: &gofix::faultproxy::Request| request.kind() == Kind::Zip;
        assert!(proxy.wait_for(LIMIT, |requests| requests.iter().any(is_zip)));
        assert!(
            proxy
                .requests()
                .iter()
                .filter(|request| is_zip(request))
                .all(|request| request.took.is_none())
        );
        go.signal(Signal::SIGTERM);
        assert_eq!(go.wait().signal(), Some(Signal::SIGTERM as i32));
        let over = |requests: &[gofix::faultproxy::Request]| requests.iter().all(|r| r.took.is_some());
        assert!(proxy.wait_for(LIMIT, over), "the proxy sees that go is gone");
    }
}

#[test]
fn https_and_http2_serve_modules_and_faults() {
    let (tls, ca) = certificate();
    let cases = [
        (None, None),
        (
            Some(Fault::RstStream { code: 2, after: None }),
            Some("INTERNAL_ERROR"),
        ),
        (
            Some(Fault::RstStream {
                code: 2,
                after: Some(0),
            }),
            Some("INTERNAL_ERROR"),
        ),
        (Some(Fault::Goaway { code: 2 }), Some("GOAWAY")),
        (
            Some(Fault::ResetBody { after: None }),
            Some("connection reset by peer"),
        ),
        (
            Some(Fault::CloseBody {
                after: None,
                framing: Framing::Length,
            }),
            Some("EOF"),
        ),
        (
            Some(Fault::Garbage),
            Some(if go_minor() > 21 { "http2: " } else { "EOF" }),
        ),
        (Some(Fault::EndlessHeaders), Some("PROTOCOL_ERROR")),
        (Some(status(503, None)), Some("503 Service Unavailable")),
    ];
    // Go 1.21 asks again and again after a GOAWAY, without end.
    let ends = |fault: &Option<Fault>| !matches!(fault, Some(Fault::Goaway { .. })) || go_minor() > 21;
    for (fault, words) in cases.into_iter().filter(|(fault, _)| ends(fault)) {
        let rules = fault.clone().map(|fault| Rule::new(fault).on(Kind::Zip));
        let proxy = FaultProxy::builder(catalogue())
            .tls(tls.clone())
            .rules(rules)
            .start()
            .unwrap();
        let sandbox = Sandbox::new().proxy(&proxy).requiring(&[A]);
        sandbox.write("ca.pem", &ca);
        let run = sandbox
            .plain_go(&["mod", "download"])
            .env("SSL_CERT_FILE", sandbox.project().join("ca.pem"));
        let download = run.output().expect_code(words.is_some().into());
        assert!(
            download.stderr.contains(words.unwrap_or_default()),
            "{fault:?}: {download}"
        );
        assert!(
            proxy
                .requests()
                .iter()
                .all(|request| request.protocol == "HTTP/2"),
            "{fault:?}"
        );
    }
}

#[test]
fn http1_is_spoken_over_tls_when_http2_is_off() {
    let (tls, ca) = certificate();
    let proxy = FaultProxy::builder(catalogue())
        .tls(Tls { http2: false, ..tls })
        .prefix("/repository/go")
        .basic_auth("me:secret")
        .start()
        .unwrap();
    let sandbox = Sandbox::new()
        .env("GOPROXY", proxy.url_with("me:secret"))
        .requiring(&[A]);
    sandbox.write("ca.pem", &ca);
    let run = sandbox
        .plain_go(&["mod", "download"])
        .env("SSL_CERT_FILE", sandbox.project().join("ca.pem"));
    run.output().expect_code(0);
    let requests = proxy.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.target.starts_with("/repository/go/example.com/"))
    );
    assert!(
        requests
            .iter()
            .all(|request| request.header("authorization").is_some())
    );
    assert!(requests.iter().all(|request| request.protocol == "HTTP/1.1"));
}

#[test]
fn a_wrong_certificate_and_a_cut_handshake_are_refused() {
    let (tls, ca) = certificate();
    let cases = [
        (Door::Open, "certificate signed by unknown authority"),
        (Door::CutHandshake, "EOF"),
        (Door::PlainHttp, "server gave HTTP response to HTTPS client"),
    ];
    for (door, words) in cases {
        let proxy = FaultProxy::builder(catalogue())
            .tls(tls.clone())
            .door(door)
            .start()
            .unwrap();
        let sandbox = Sandbox::new()
            .env("GOPROXY", proxy.url_as("localhost"))
            .requiring(&[A]);
        sandbox.write("ca.pem", &ca);
        std::fs::write(sandbox.path("home/none.pem"), "").unwrap();
        let trusted = if door == Door::Open {
            sandbox.path("home/none.pem")
        } else {
            sandbox.project().join("ca.pem")
        };
        let run = sandbox
            .plain_go(&["mod", "download"])
            .env("SSL_CERT_FILE", trusted)
            .env("SSL_CERT_DIR", sandbox.path("home"));
        let download = run.output().expect_code(1);
        assert!(download.stderr.contains(words), "{door:?}: {download}");
    }
}

#[test]
fn a_toolchain_module_is_switched_to() {
    let platform = if cfg!(target_arch = "aarch64") {
        "linux-arm64"
    } else {
        "linux-amd64"
    };
    let script = "#!/bin/sh\necho \"switched to go1.99.0 with $*\"\n";
    let catalogue = Catalogue::new().with(Module::toolchain("go1.99.0", platform, script));
    let proxy = FaultProxy::builder(catalogue.clone())
        .sumdb(sumdb(&catalogue))
        .start()
        .unwrap();
    let sandbox = Sandbox::new().proxy(&proxy).env("GOTOOLCHAIN", "go1.99.0");
    let version = sandbox.plain_go(&["version"]).output().expect_code(0);
    assert_eq!(version.stdout, "switched to go1.99.0 with version\n", "{version}");
}

#[test]
fn the_sandbox_has_a_terminal_and_ends_what_is_left() {
    let sandbox = Sandbox::new().shared_build_cache();
    let mut pty = Pty::spawn(
        sandbox
            .run("sh")
            .args(["-c", "test -t 0 && test -t 2 && echo ready; exec cat"]),
    );
    pty.expect("ready");
    assert!(pty.pid().as_raw() > 1);
    pty.type_text("\x03");
    let (status, shown) = pty.wait();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(Signal::SIGINT as i32),
        "{shown}"
    );
}

#[test]
fn the_sandbox_inherits_nothing_from_outside() {
    let sandbox = Sandbox::new();
    let shown = sandbox
        .run("env")
        .dir(sandbox.path("home"))
        .output()
        .expect_code(0)
        .stdout;
    let names: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_ascii_lowercase().ends_with("_proxy")),
        "{names:?}"
    );
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("GOFIX") || name.starts_with("CARGO")),
        "{names:?}"
    );
}

#[test]
fn the_sandbox_runs_the_shim_and_gofix_without_a_word() {
    let sandbox = Sandbox::new();
    let go = sandbox.go(&["env", "GOPROXY"]).output().expect_code(0);
    let gofix = sandbox.gofix(&["--version"]).output().expect_code(0);
    assert!(go.gofix_lines().is_empty(), "{go}");
    assert!(gofix.stderr.is_empty(), "{gofix}");
}
