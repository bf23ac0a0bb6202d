//! `gofix doctor` and `gofix routes test`, against real sockets.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use gofix::faultproxy::{Builder, Catalogue, Door, Fault, FaultProxy, Kind, Module, Rule, SumDb};
use serde_json::Value;

use super::render;
use crate::dial::connect_proxy_that;
use crate::support::authority::Authority;
use crate::support::pty::Pty;
use crate::support::{Outcome, Sandbox, real_go, status};

const MODULE: (&str, &str) = ("golang.org/x/text", "v0.3.0");

fn catalogue() -> Catalogue {
    Catalogue::new().with(Module::new(MODULE.0, MODULE.1).ballast(300_000))
}

fn proxy() -> Builder {
    FaultProxy::builder(catalogue())
}

/// The sandbox of all these tests: connection attempts are given up soon.
fn sandbox(goproxy: &str) -> Sandbox {
    Sandbox::new()
        .env("GOPROXY", goproxy)
        .env("GOFIX_TIMEOUT_MS", "400")
}

struct Found {
    json: Value,
    outcome: Outcome,
}

impl Found {
    fn of(outcome: Outcome) -> Self {
        let json = serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {outcome}"));
        Self { json, outcome }
    }

    fn rows(&self) -> &Vec<Value> {
        self.json["rows"].as_array().unwrap()
    }

    /// Grade and text of the row about `subject` that contains `text`.
    #[track_caller]
    fn row(&self, subject: &str, text: &str) -> &Value {
        let fits = |row: &&Value| {
            row["subject"].as_str().unwrap().contains(subject)
                && row["found"].as_str().unwrap().contains(text)
        };
        self.rows()
            .iter()
            .find(fits)
            .unwrap_or_else(|| panic!("no row of {subject} with {text:?}: {}", self.outcome))
    }
}

/// A server that works; on a machine under load it may look slow.
#[track_caller]
fn well(row: &Value) {
    let slow = row["grade"] == "warning" && row["found"].as_str().unwrap().starts_with("it works");
    assert!(row["grade"] == "fine" || slow, "{row:#}");
}

fn doctor(sandbox: &Sandbox) -> Found {
    Found::of(sandbox.gofix(&["doctor", "--json"]).output())
}

fn routes_test(sandbox: &Sandbox) -> Found {
    Found::of(sandbox.gofix(&["routes", "test", "--json"]).output())
}

/// What `gofix routes test` finds of one proxy with this fault.
#[track_caller]
fn finds(builder: Builder, grade: &str, text: &str) -> Found {
    let proxy = builder.start().unwrap();
    let found = routes_test(&sandbox(proxy.url()));
    assert_eq!(found.row("http", text)["grade"], grade, "{}", found.outcome);
    found
}

#[test]
fn a_healthy_proxy_is_fine_and_measured() {
    let catalogue = catalogue();
    let proxy = FaultProxy::builder(catalogue.clone())
        .sumdb(SumDb::new("sum.example.test", &catalogue))
        .start()
        .unwrap();
    let found = doctor(&Sandbox::new().proxy(&proxy));
    well(found.row(proxy.url(), "answers in"));
    assert_eq!(found.row("GOPROXY", "127.0.0.1")["from"], "environment");
    assert_eq!(found.row("shim", "`go` is gofix")["grade"], "fine");
    assert_eq!(found.row("go", "go1.")["grade"], "fine");
    let servers = found.json["servers"].as_array().unwrap();
    assert!(
        servers.iter().all(|server| server["works"] == true),
        "{}",
        found.outcome
    );
    assert_eq!(servers[0]["role"], "proxy");
    assert_eq!(servers[1]["role"], "checksum database");
    assert!(servers[0]["bytes_per_second"].as_u64().unwrap() > 0);
    assert_eq!(found.json["order"][0], proxy.url());
    let grades: Vec<&str> = found
        .rows()
        .iter()
        .map(|row| row["grade"].as_str().unwrap())
        .collect();
    let rank = |grade: &&str| {
        ["broken", "warning", "note", "fine"]
            .iter()
            .position(|g| g == grade)
            .unwrap()
    };
    assert!(grades.is_sorted_by_key(rank), "worst first: {grades:?}");
}

#[test]
fn the_exit_status_tells_the_worst() {
    let healthy = proxy().start().unwrap();
    let fine = routes_test(&sandbox(healthy.url()).env("GOSUMDB", "off"));
    // A machine under load may make a healthy proxy a slow one, which is a warning.
    let graded = if fine.json["grade"] == "warning" { 1 } else { 0 };
    assert_eq!(fine.outcome.code(), Some(graded), "{}", fine.outcome);
    let limited = proxy().always(status(429, None)).start().unwrap();
    assert_eq!(routes_test(&sandbox(limited.url())).outcome.code(), Some(1));
    let dead = proxy().door(Door::Refuse).start().unwrap();
    assert_eq!(routes_test(&sandbox(dead.url())).outcome.code(), Some(3));
    assert_eq!(
        Sandbox::new()
            .gofix(&["doctor", "--module", "nonsense"])
            .output()
            .code(),
        Some(2)
    );
}

#[test]
fn a_refusal_is_told_from_a_silent_firewall() {
    finds(proxy().door(Door::Refuse), "broken", "refuses connections");
    #[cfg(target_os = "linux")]
    finds(
        proxy().door(Door::Blackhole),
        "broken",
        "does not respond to connection attempts: a firewall drops them",
    );
}

#[test]
fn what_breaks_after_the_connection_is_named() {
    finds(
        proxy().door(Door::Close),
        "broken",
        "accepts the connection, then fails",
    );
    finds(
        proxy().always(Fault::ResetBeforeHeader),
        "broken",
        "accepts the connection, then fails",
    );
    finds(
        proxy().always(Fault::CloseBeforeHeader),
        "broken",
        "accepts the connection, then fails: EOF",
    );
    finds(
        proxy().always(Fault::Garbage),
        "broken",
        "accepts the connection, then fails",
    );
    finds(
        proxy().rule(Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip)),
        "broken",
        "the zip does not",
    );
    finds(
        proxy().rule(Rule::new(Fault::Portal).on(Kind::Mod)),
        "broken",
        "the go.mod does not: not a go.mod: a web page",
    );
}

#[test]
fn a_server_that_hangs_is_named_and_does_not_hold_the_doctor() {
    finds(
        proxy().always(Fault::StallHeader),
        "broken",
        "no answer to the request",
    );
    finds(
        proxy().rule(Rule::new(Fault::StallBody { after: Some(10) }).on(Kind::Zip)),
        "broken",
        "the body stalls",
    );
    finds(proxy().door(Door::Stall), "broken", "no answer to the request");
}

#[test]
fn a_captive_portal_is_no_module_proxy() {
    let found = finds(
        proxy().always(Fault::Portal),
        "broken",
        "a web page. A captive portal",
    );
    assert!(
        found.row("http", "captive")["fix"]
            .as_str()
            .unwrap()
            .starts_with("curl -sSi http://127.0.0.1:")
    );
    let elsewhere = Fault::Redirect {
        to: "http://login.example/?from=".into(),
    };
    finds(
        proxy().always(elsewhere),
        "broken",
        "a redirect to http://login.example/?from=",
    );
    finds(proxy().always(Fault::EmptyBody), "broken", "an empty body");
}

#[test]
fn statuses_are_told_apart() {
    let status = |code, body: &str| {
        proxy().always(Fault::Status {
            code,
            retry_after: None,
            body: Some(body.to_owned()),
        })
    };
    let denied = finds(
        status(403, "blocked by \x1b[31mpolicy\r\n::error::x"),
        "broken",
        "refuses access with 403",
    );
    assert!(
        denied.row("http", "403")["fix"]
            .as_str()
            .unwrap()
            .contains(".netrc")
    );
    assert!(!denied.outcome.stdout.contains('\x1b') && !denied.outcome.stdout.contains("\\u001b"));
    finds(
        status(503, "down"),
        "broken",
        "the server itself is failing: 503: \"down\"",
    );
    finds(
        status(404, "unknown module"),
        "note",
        "does not have the requested module",
    );
    finds(status(429, ""), "warning", "429");
}

#[test]
fn a_slow_transfer_is_a_warning() {
    let slow = Rule::new(Fault::Drip {
        bytes: 4000,
        every_ms: 200,
    })
    .on(Kind::Zip);
    finds(proxy().rule(slow), "warning", "it works, but slowly");
}

#[test]
fn a_wrong_clock_shows_in_the_date_header() {
    let info = format!(
        "{{\"Version\":\"{}\",\"Time\":\"2018-01-01T00:00:00Z\"}}",
        MODULE.1
    );
    let headers = vec![("Date".into(), "Tue, 01 Jan 2019 00:00:00 GMT".into())];
    let answer = Rule::new(Fault::Respond {
        code: 200,
        headers,
        body: info,
    })
    .on(Kind::Info);
    let proxy = proxy().rule(answer).start().unwrap();
    let found = routes_test(&sandbox(proxy.url()));
    let row = found.row("clock", "ahead of the server's");
    assert_eq!(row["grade"], "warning");
    assert_eq!(row["fix"], "timedatectl set-ntp true");
}

/// A sandbox that trusts `authority` alone.
fn trusting(goproxy: &str, authority: &Authority) -> Sandbox {
    let sandbox = sandbox(goproxy);
    let file = sandbox.path("roots.pem");
    fs::write(&file, authority.pem()).unwrap();
    sandbox
        .env("SSL_CERT_FILE", file)
        .env("SSL_CERT_DIR", "/nonexistent")
}

#[test]
fn tls_that_verifies_tells_version_and_http2() {
    let authority = Authority::new("Example Trust");
    for (http2, words) in [(true, "TLS 1.3"), (false, "HTTP/1.1")] {
        let proxy = proxy().tls(authority.server(http2)).start().unwrap();
        let found = routes_test(&trusting(proxy.url(), &authority));
        well(found.row("https", words));
        assert_eq!(found.json["servers"][0]["http2"], http2);
        assert_eq!(
            found.json["servers"][0]["tls_issuer"],
            "Example Trust, rcgen self signed cert"
        );
    }
}

/// What the finding says is what the git of this machine does.
#[test]
fn authorities_that_go_trusts_and_git_does_not_are_told() {
    let authority = Authority::new("Example Trust");
    let proxy = proxy().tls(authority.server(false)).start().unwrap();
    let sandbox = trusting(&format!("{},direct", proxy.url()), &authority);
    let words = "git does not read it";
    let found = doctor(&sandbox);
    let row = found.row("git", words);
    assert_eq!(row["grade"], "note");
    let ask = || {
        let url = format!("{}/any", proxy.url());
        let asked = sandbox.run("git").args(["ls-remote", &url]);
        asked.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").output()
    };
    let before = ask().stderr;
    assert!(before.contains("certificate"), "{before}");
    let mended = sandbox
        .run("sh")
        .args(["-c", row["fix"].as_str().unwrap()])
        .output();
    assert_eq!(mended.code(), Some(0), "{mended}");
    let after = ask().stderr;
    assert!(!after.contains("certificate"), "{after}");
    let found = doctor(&sandbox);
    assert!(!found.outcome.stdout.contains(words), "{}", found.outcome);
}

#[test]
fn interception_by_an_untrusted_authority_is_named() {
    let (ours, theirs) = (Authority::new("Example Trust"), Authority::new("Zscaler Inc."));
    let proxy = proxy().tls(theirs.server(true)).start().unwrap();
    let found = routes_test(&trusting(proxy.url(), &ours));
    let row = found.row("https", "its issuer is not trusted here; issued by Zscaler Inc.");
    assert_eq!(row["grade"], "broken");
    assert!(row["fix"].as_str().unwrap().starts_with("export SSL_CERT_FILE="));
    assert_eq!(
        proxy.requests().len(),
        0,
        "a request went to a server that did not prove itself"
    );
    let trusted = routes_test(&trusting(proxy.url(), &theirs));
    assert_eq!(trusted.row("https", "TLS is intercepted")["grade"], "note");
}

#[test]
fn an_expired_certificate_is_told_with_its_dates() {
    let authority = Authority::new("Example Trust");
    let expired = proxy()
        .tls(authority.server_of(&["localhost", "127.0.0.1"], (2019, 2020), false))
        .start()
        .unwrap();
    let found = routes_test(&trusting(expired.url(), &authority));
    let row = found.row("https", "valid from 2019-01-01 to 2020-01-01");
    assert_eq!(row["grade"], "broken");
    assert!(row["found"].as_str().unwrap().contains("it has expired"));
}

#[test]
fn a_cut_handshake_and_plain_http_are_told_apart() {
    let authority = Authority::new("Example Trust");
    let with = |door: Door| {
        let proxy = proxy().tls(authority.server(false)).door(door).start().unwrap();
        routes_test(&trusting(proxy.url(), &authority))
    };
    with(Door::CutHandshake).row("https", "the TLS handshake fails");
    with(Door::PlainHttp).row("https", "the server that answers does not speak TLS");
    with(Door::Stall).row("https", "no answer to the TLS handshake");
}

#[test]
fn broken_http2_is_told_where_http1_works() {
    let authority = Authority::new("Example Trust");
    let goaway = Rule::new(Fault::RstStream {
        code: 2,
        after: Some(0),
    })
    .on(Kind::Info)
    .first(1);
    let proxy = proxy().tls(authority.server(true)).rule(goaway).start().unwrap();
    let found = routes_test(&trusting(proxy.url(), &authority));
    let row = found.row("https", "HTTP/2 breaks");
    assert_eq!(row["fix"], "export GODEBUG=http2client=0");
    assert_eq!(found.json["servers"][0]["works"], true);
}

#[test]
fn without_any_root_the_doctor_says_so() {
    let authority = Authority::new("Example Trust");
    let proxy = proxy().tls(authority.server(false)).start().unwrap();
    let sandbox = sandbox(proxy.url())
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", "/nonexistent");
    let found = routes_test(&sandbox);
    let row = found.row("https", "this machine has no trusted certificate authorities");
    assert!(
        row["fix"]
            .as_str()
            .is_none_or(|mend| mend.contains("ca-certificates"))
    );
}

#[test]
fn behind_a_dead_proxy_gos_own_cure_comes_first() {
    let dead = proxy().door(Door::Refuse).start().unwrap();
    let slow = proxy().rule(Rule::new(Fault::Delay { ms: 700 })).start().unwrap();
    let quick = proxy().start().unwrap();
    let routes = format!("{},direct;{},direct", slow.url(), quick.url());
    let sandbox = sandbox(&format!("{},direct", dead.url())).env("GOFIX_ROUTES", routes);
    let found = routes_test(&sandbox);
    assert_eq!(
        found.json["order"],
        serde_json::json!([quick.url(), slow.url()]),
        "{}",
        found.outcome
    );
    assert_eq!(
        found.json["commands"],
        serde_json::json!([
            format!("export GOPROXY={},{},direct", quick.url(), slow.url()),
            format!("gofix routes use {},direct {},direct", quick.url(), slow.url()),
        ]),
        "{}",
        found.outcome
    );
    // The same where go reads its value from a file: the environment would hide `go env -w`.
    let file = sandbox.path("goenv");
    fs::write(&file, format!("GOPROXY={},direct\n", dead.url())).unwrap();
    let found = Found::of(
        sandbox
            .gofix(&["routes", "test", "--json"])
            .env("GOENV", &file)
            .env("GOPROXY", "")
            .output(),
    );
    assert_eq!(
        found.json["commands"][0],
        format!("go env -w GOPROXY={},{},direct", quick.url(), slow.url())
    );
}

#[test]
fn nobody_but_the_named_servers_is_asked() {
    let named = proxy().start().unwrap();
    let other = proxy().start().unwrap();
    let sandbox = sandbox(named.url()).env("GOSUMDB", "off");
    routes_test(&sandbox);
    assert!(
        named
            .requests()
            .iter()
            .all(|request| request.target.starts_with("/golang.org/x/text/@v/"))
    );
    assert!(!named.requests().is_empty());
    assert_eq!(other.connections(), 0);
    let off = sandbox
        .gofix(&["routes", "test", "--json"])
        .env("GOPROXY", "off")
        .output();
    assert_eq!(Found::of(off).json["servers"], serde_json::json!([]));
}

#[test]
fn another_module_can_be_asked_for() {
    let only =
        FaultProxy::healthy(Catalogue::new().with(Module::new("git.corp.example/Lib", "v1.2.0"))).unwrap();
    let sandbox = sandbox(only.url());
    let found = Found::of(
        sandbox
            .gofix(&["doctor", "--json", "--module", "git.corp.example/Lib@v1.2.0"])
            .output(),
    );
    assert_eq!(found.json["servers"][0]["works"], true, "{}", found.outcome);
    assert!(
        only.requests()
            .iter()
            .any(|request| request.target.contains("/!lib/@v/v1.2.0.info"))
    );
}

#[test]
fn credentials_are_never_shown() {
    let proxy = proxy().door(Door::Refuse).start().unwrap();
    let sandbox = sandbox(&format!("{},direct", proxy.url_with("bob:s3cret")))
        .env("HTTPS_PROXY", "http://eve:hunter2@127.0.0.1:1")
        .env("https_proxy", "http://eve:hunter3@127.0.0.1:1");
    for args in [&["doctor"][..], &["doctor", "--json"], &["routes", "test"]] {
        let outcome = sandbox.gofix(args).output();
        let all = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!all.contains("s3cret") && !all.contains("hunter"), "{outcome}");
    }
}

#[test]
fn conflicting_proxy_variables_are_told() {
    let proxy = proxy().start().unwrap();
    let sandbox = sandbox(proxy.url())
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .env("https_proxy", "http://127.0.0.1:2")
        .env("ALL_PROXY", "socks5://127.0.0.1:3");
    let found = doctor(&sandbox);
    assert_eq!(
        found.row("HTTPS_PROXY", "curl and git use https_proxy")["grade"],
        "warning"
    );
    assert_eq!(found.row("ALL_PROXY", "Go does not")["grade"], "note");
    // Loopback is never asked through a proxy, by Go's rule.
    assert_eq!(found.json["servers"][0]["works"], true, "{}", found.outcome);
}

/// A proxy of HTTPS_PROXY that answers every CONNECT in one way.
fn connect_proxy(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://user:pw@{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut chunk = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let n = stream.read(&mut chunk).unwrap();
            request.extend_from_slice(&chunk[..n]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, thread)
}

#[test]
fn an_https_proxy_that_refuses_is_named_with_its_words() {
    let (url, thread) =
        connect_proxy("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    let sandbox = sandbox("https://modules.example.test").env("HTTPS_PROXY", url);
    let found = routes_test(&sandbox);
    let row = found.row(
        "https://modules.example.test",
        "does not allow the connection: 407 Proxy Authentication Required",
    );
    assert_eq!(row["grade"], "broken");
    assert!(
        row["from"]
            .as_str()
            .unwrap()
            .contains("through the proxy 127.0.0.1:")
    );
    let request = thread.join().unwrap();
    assert!(
        request.starts_with("CONNECT modules.example.test:443 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("Proxy-Authorization: Basic dXNlcjpwdw==\r\n"),
        "{request}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_held_lock_is_shown_with_its_holder() {
    let proxy = proxy().start().unwrap();
    let sandbox = sandbox(proxy.url());
    fs::create_dir_all(sandbox.modcache().join("cache/download/example.com/a/@v")).unwrap();
    for name in ["cache/lock", "cache/download/example.com/a/@v/v1.0.0.lock"] {
        let file = fs::File::create(sandbox.modcache().join(name)).unwrap();
        file.lock().unwrap();
        let found = doctor(&sandbox);
        let row = found.row(
            "module cache",
            &format!("the lock {name} is held by process {}", std::process::id()),
        );
        assert_eq!(row["grade"], "note");
    }
}

#[test]
fn damaged_files_in_the_cache_are_found_and_left_alone() {
    let proxy = proxy().start().unwrap();
    let sandbox = sandbox(proxy.url());
    let dir = sandbox.modcache().join("cache/download/example.com/a/@v");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("v1.0.0.zip"), "<html>").unwrap();
    fs::write(dir.join("v1.0.0.mod"), "module example.com/a\n").unwrap();
    let before = crate::support::tree(&sandbox.modcache());
    let found = doctor(&sandbox);
    let row = found.row(
        "module cache",
        "1 damaged file in it: cache/download/example.com/a/@v/v1.0.0.zip",
    );
    assert_eq!(row["fix"], "gofix cache repair");
    assert_eq!(crate::support::tree(&sandbox.modcache()), before);
}

#[test]
fn values_of_go_that_cannot_work_are_told() {
    let bad = doctor(
        &Sandbox::new()
            .env("GOPROXY", "ftp://x")
            .env("GOSUMDB", "sum.golang.org"),
    );
    assert_eq!(bad.row("GOPROXY", "")["grade"], "broken");
    let unsafe_values = doctor(
        &Sandbox::new()
            .env("GOPROXY", "off")
            .env("GOSUMDB", "off")
            .env("GOPRIVATE", "*"),
    );
    assert_eq!(
        unsafe_values.row("GOSUMDB", "are not verified")["fix"],
        "unset GOSUMDB"
    );
    assert_eq!(
        unsafe_values.row("GOPRIVATE", "matches every module")["grade"],
        "warning"
    );
}

#[test]
fn a_private_list_says_why_later_routes_are_not_used() {
    let (private, public) = (proxy().start().unwrap(), proxy().start().unwrap());
    let sandbox = sandbox(private.url()).env("GOFIX_ROUTES", public.url());
    let found = routes_test(&sandbox);
    assert!(
        found.row("routes", "1 route is not used")["found"]
            .as_str()
            .unwrap()
            .contains("is not a public proxy")
    );
}

#[test]
fn the_table_is_plain_text_in_a_pipe() {
    let proxy = proxy().door(Door::Refuse).start().unwrap();
    let outcome = sandbox(proxy.url()).gofix(&["doctor"]).output();
    assert!(!outcome.stdout.contains(['\x1b', '\r']), "{outcome}");
    assert_eq!(outcome.stderr, "", "{outcome}");
    assert!(
        outcome.stdout.starts_with("BROKEN   http://127.0.0.1:"),
        "{outcome}"
    );
    assert!(
        outcome.stdout.contains("         from: GOPROXY (environment)\n"),
        "{outcome}"
    );
}

#[test]
fn on_a_terminal_the_live_line_leaves_nothing_behind() {
    let proxy = proxy().rule(Rule::new(Fault::Delay { ms: 600 })).start().unwrap();
    let sandbox = sandbox(proxy.url());
    let (_, text) = Pty::spawn(sandbox.gofix(&["routes", "test"]).env("TERM", "xterm")).wait();
    assert!(
        text.contains("\r\x1b[Kgofix: 0 of 1 servers examined; http://127.0.0.1:"),
        "{text:?}"
    );
    let plain = without_colours(&text);
    let lines = render(plain.as_bytes());
    assert!(lines[0].starts_with("fine"), "{lines:?}");
    assert!(
        !lines.iter().any(|line| line.contains("servers examined")),
        "{lines:?}"
    );
    let (_, text) = Pty::spawn(sandbox.gofix(&["routes", "test"]).env("TERM", "dumb")).wait();
    assert!(
        !text.contains("servers examined") && !text.contains('\x1b'),
        "{text:?}"
    );
}

/// Evaluates what doctor tells people to run, as it stands, in sh.
fn in_sh(sandbox: &Sandbox, commands: &Value, then: &str) -> Outcome {
    let mut script: Vec<&str> = commands
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    script.push(then);
    sandbox
        .run("/bin/sh")
        .args(["-euc", &script.join("\n")])
        .output()
        .expect_code(0)
}

#[test]
fn the_order_is_by_what_was_measured_however_routes_are_counted() {
    // As the README has it: the user's own list is the first route of the preset too.
    let dead = proxy().door(Door::Refuse).start().unwrap();
    let slow = proxy().rule(Rule::new(Fault::Delay { ms: 700 })).start().unwrap();
    let quick = proxy().start().unwrap();
    let own = format!("{}|direct", dead.url());
    let lists = [
        &own,
        &format!("{}|direct", slow.url()),
        &format!("{}|direct", quick.url()),
    ];
    let sandbox = sandbox(&own).env("GOFIX_ROUTES", lists.map(String::as_str).join(";"));
    let found = routes_test(&sandbox);
    let commands = &found.json["commands"];
    assert_eq!(commands.as_array().unwrap().len(), 2, "{}", found.outcome);
    // Pasted into a shell they do what they say, whatever is in the lists.
    let after = in_sh(
        &sandbox,
        commands,
        "unset GOFIX_ROUTES; GOFIX=off go env GOPROXY; gofix routes list --json",
    );
    let told = format!("{}|{}|direct", quick.url(), slow.url());
    assert!(after.stdout.contains(&format!("\n{told}\n")), "{told} {after}");
    let last = after.stdout.rsplit_once(&format!("\n{told}\n")).unwrap().1;
    let routes: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {after}"));
    let order: Vec<&str> = routes["routes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|route| route["list"].as_str())
        .collect();
    assert_eq!(
        order[order.len() - 3..],
        [lists[2], lists[1], lists[0]],
        "{after}"
    );
}

#[test]
fn behind_a_dead_https_proxy_no_other_module_proxy_is_the_cure() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let via = format!("http://{}", dead.local_addr().unwrap());
    drop(dead);
    let sandbox = sandbox("https://proxy.golang.org,direct")
        .env("HTTPS_PROXY", via)
        .env("GOSUMDB", "off");
    let found = routes_test(&sandbox);
    assert_eq!(
        found.json["commands"],
        serde_json::json!(["unset HTTPS_PROXY https_proxy"]),
        "{}",
        found.outcome
    );
    let row = found.row("https://proxy.golang.org", "refuses connections");
    assert_eq!(row["fix"], "unset HTTPS_PROXY https_proxy");
    let after = in_sh(&sandbox, &found.json["commands"], "echo \"${HTTPS_PROXY-none}\"");
    assert_eq!(after.stdout, "none\n");
}

#[test]
fn without_a_go_that_is_what_is_said() {
    let sandbox = Sandbox::new()
        .env("GOPROXY", "")
        .env("GOSUMDB", "")
        .env("PATH", "/nonexistent");
    let found = Found::of(
        sandbox
            .run(crate::support::gofix_exe())
            .args(["doctor", "--json"])
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .output(),
    );
    assert_eq!(found.row("go", "there is no go")["grade"], "broken");
    let about: Vec<&str> = found
        .rows()
        .iter()
        .filter_map(|row| row["subject"].as_str())
        .collect();
    assert!(
        !about.contains(&"GOPROXY") && !about.contains(&"GOSUMDB"),
        "{}",
        found.outcome
    );
}

#[test]
fn patterns_that_match_no_module_are_told() {
    let proxy = proxy().start().unwrap();
    for (pattern, meant) in [
        ("https://git.corp.example", "git.corp.example"),
        ("\"git.corp.example\"", "git.corp.example"),
        ("a.example, git.corp.example/x", "a.example,git.corp.example/x"),
        ("git.corp.example:8443", "git.corp.example"),
    ] {
        let sandbox = sandbox(proxy.url())
            .env("GOPRIVATE", pattern)
            .env("GONOSUMDB", "b.example");
        let found = doctor(&sandbox);
        let row = found.row("GOPRIVATE", pattern);
        assert_eq!(row["grade"], "warning", "{pattern}");
        let commands = serde_json::json!([row["fix"]]);
        let after = in_sh(&sandbox, &commands, "GOFIX=off go env GOPRIVATE");
        assert_eq!(after.stdout, format!("{meant}\n"));
        assert_eq!(found.row("GONOSUMDB", "b.example")["grade"], "fine");
    }
}

#[test]
fn every_command_of_a_sick_machine_can_be_pasted() {
    let refuses = proxy().always(status(403, None)).start().unwrap();
    let sandbox = sandbox(refuses.url());
    let portal = proxy().always(Fault::Portal).start().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for (name, value) in [
        ("GOPROXY", "ftp://x"),
        ("GOPROXY", refuses.url()),
        ("GOPROXY", portal.url()),
        ("GOPROXY", "https://no.such.host.invalid|https://169.254.1.1:1"),
        ("HTTPS_PROXY", "http://127.0.0.1:1"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
        ("GOPRIVATE", "'a b'"),
        ("GOSUMDB", "off"),
        ("GOFIX", "off"),
        ("GOROOT", "/nonexistent"),
        ("GOMODCACHE", "relative"),
        ("GOMODCACHE", "/dev/null/it's"),
        ("PATH", "/usr/bin:/bin"),
        ("GOPRIVATE", "127.0.0.1"),
    ] {
        let outcome = sandbox
            .run(crate::support::gofix_exe())
            .args(["doctor", "--json"])
            .env("GOPROXY", "https://127.0.0.1:1")
            .env(name, value)
            .output();
        let found = Found::of(outcome);
        let fixes = found.rows().iter().filter_map(|row| row["fix"].as_str());
        let commands = found.json["commands"].as_array().unwrap();
        seen.extend(
            fixes
                .chain(commands.iter().filter_map(Value::as_str))
                .map(str::to_owned),
        );
    }
    assert!(seen.len() > 12, "{seen:?}");
    // Programs that only tell their words stand in for what must not be done.
    let stubs = sandbox.path("stubs");
    for command in &seen {
        let program = command.split(' ').next().unwrap();
        if !matches!(program, "export" | "unset" | "echo" | "ulimit") {
            sandbox.script(&format!("stubs/{program}"), "exit 0");
        }
        let output = sandbox
            .run("/bin/sh")
            .args(["-euc", command])
            .env("PATH", &stubs)
            .env("ALL_PROXY", "x")
            .env("HTTP_PROXY", "x")
            .env("http_proxy", "x")
            .output();
        assert_eq!(
            (output.code(), output.stderr.as_str()),
            (Some(0), ""),
            "{command}: {output}"
        );
    }
}

#[test]
fn an_http_proxy_in_goproxy_is_told_from_a_module_proxy() {
    // As Squid answers a request that names no URL.
    let headers = vec![("X-Squid-Error".into(), "ERR_INVALID_URL 0".into())];
    let answer = Fault::Respond {
        code: 400,
        headers,
        body: "<html>".into(),
    };
    let squid = proxy().always(answer).start().unwrap();
    let found = routes_test(&sandbox(squid.url()));
    let row = found.row("http", "this is an HTTP proxy, not a module proxy");
    assert_eq!(row["fix"], format!("export HTTPS_PROXY={}", squid.url()));
    // One that is named as such already gives itself away by its address.
    let plain = proxy().always(status(400, None)).start().unwrap();
    let named = sandbox(plain.url()).env("HTTPS_PROXY", plain.url());
    routes_test(&named).row("http", "this is an HTTP proxy, not a module proxy");
    let unnamed = sandbox(plain.url());
    routes_test(&unnamed).row("http", "it answers 400");
}

/// No row about what is as it should be, but for those that a busy or full machine brings about.
#[track_caller]
fn no_alarm(name: &str, outcome: Outcome) {
    let found = Found::of(outcome);
    let is_alarm = |row: &&Value| {
        let is_of_this_machine = matches!(row["id"].as_str(), Some("timeout" | "slow" | "room"));
        matches!(row["grade"].as_str(), Some("broken" | "warning")) && !is_of_this_machine
    };
    let alarms: Vec<&Value> = found.rows().iter().filter(is_alarm).collect();
    assert!(alarms.is_empty(), "{name}: {alarms:#?}");
    // Of two proxies either may be the faster one.
    let measured = found.json["order"].as_array().unwrap().len();
    let is_timed = found.rows().iter().any(|row| row["id"].is_string());
    assert!(
        found.json["advice"].is_null() || measured > 1 || is_timed,
        "{name}: {}",
        found.outcome
    );
}

#[test]
fn a_healthy_machine_raises_no_alarm() {
    let catalogue = catalogue();
    let proxy = FaultProxy::builder(catalogue.clone())
        .sumdb(SumDb::new("sum.example.test", &catalogue))
        .start()
        .unwrap();
    let plain = || Sandbox::new().proxy(&proxy);
    let run = |sandbox: &Sandbox| sandbox.gofix(&["doctor", "--json"]).output();
    no_alarm("as it is installed", run(&plain()));
    no_alarm(
        "with direct behind it",
        run(&plain().env("GOPROXY", format!("{},direct", proxy.url()))),
    );
    no_alarm(
        "after any error",
        run(&plain().env("GOPROXY", format!("{}|direct", proxy.url()))),
    );
    no_alarm(
        "offline by choice",
        run(&plain().env("GOPROXY", "off").env("GOSUMDB", proxy.gosumdb())),
    );
    no_alarm("vendored", run(&plain().env("GOFLAGS", "-mod=vendor")));
    no_alarm(
        "modules that may change go.mod",
        run(&plain().env("GOFLAGS", "-mod=mod")),
    );
    no_alarm("without a proxy", run(&plain().env("GOPROXY", "direct")));
    no_alarm("one toolchain", run(&plain().env("GOTOOLCHAIN", "local")));
    no_alarm(
        "a proxy that is not for loopback",
        run(&plain().env("NO_PROXY", "localhost,127.0.0.1")),
    );
    let other = self::proxy().start().unwrap();
    let routes = format!("{};{}", proxy.url(), other.url());
    no_alarm("routes", run(&plain().env("GOFIX_ROUTES", routes)));
    no_alarm(
        "patterns",
        run(&plain().env("GOPRIVATE", "*.corp.example,*.team.example/x/")),
    );
    let workspace = plain();
    workspace.write("go.work", "go 1.21\n\nuse ./a\n");
    workspace.write("a/go.mod", "module example.com/a\n\ngo 1.21\n");
    no_alarm("a workspace", run(&workspace));
    let with_values = plain();
    let file = with_values.path("goenv");
    fs::write(
        &file,
        format!("GOPROXY={}\nGOSUMDB={}\n", proxy.url(), proxy.gosumdb()),
    )
    .unwrap();
    let outcome = with_values
        .gofix(&["doctor", "--json"])
        .env("GOENV", &file)
        .env("GOPROXY", "")
        .env("GOSUMDB", "")
        .output();
    no_alarm("values of go env -w", outcome);
    let authority = Authority::new("Corp");
    let tls = self::proxy().tls(authority.server(true)).start().unwrap();
    no_alarm(
        "a private authority",
        run(&trusting(tls.url(), &authority).env("GOSUMDB", proxy.gosumdb())),
    );
    let named = self::proxy()
        .tls(authority.server_of(&["modules.example.test"], (2020, 2090), true))
        .start()
        .unwrap();
    let tunnel = connect_proxy_that(|_| b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), named.address());
    let proxied = trusting("https://modules.example.test", &authority)
        .env("HTTPS_PROXY", &tunnel)
        .env("GOSUMDB", proxy.gosumdb());
    no_alarm("a proxy by environment", run(&proxied));
    assert!(!named.requests().is_empty());
    // Whoever runs the tests is one of the two; root can be the other as well.
    let owned = plain();
    let as_user = |words: &[&str]| {
        let run = owned
            .run("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        run.args([owned.path("shims/gofix")]).args(words).output()
    };
    let place = owned.path("");
    owned
        .run("chown")
        .args(["-R", "65534:65534"])
        .args([&place])
        .output();
    if as_user(&["--version"]).code() == Some(0) {
        no_alarm("a plain user", as_user(&["doctor", "--json"]));
    }
    // A container as people build them: no HOME but /, no git, no shim.
    let bare = plain();
    let outcome = bare
        .run(crate::support::gofix_exe())
        .args(["doctor", "--json"])
        .env("HOME", bare.path("home"))
        .env("PATH", real_go().parent().unwrap())
        .output();
    no_alarm("a bare container", outcome);
}

/// Set in the namespace that [`a_machine_without_ipv6_raises_no_alarm`] makes.
const IN_NAMESPACE: &str = "__GOFIX_TEST_WITHOUT_IPV6";

/// Loopback without IPv6, and a name that has addresses of both kinds all the same.
const WITHOUT_IPV6: &str = r#"
set -e
ip link set lo up
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null || ip -6 address flush dev lo
printf '127.0.0.1 both.example.test\n::1 both.example.test\n' > "$HOSTS"
mount --bind "$HOSTS" /etc/hosts
"#;

#[test]
fn a_machine_without_ipv6_raises_no_alarm() {
    if std::env::var_os(IN_NAMESPACE).is_some() {
        let catalogue = catalogue();
        let sums = FaultProxy::builder(catalogue.clone())
            .sumdb(SumDb::new("sum.example.test", &catalogue))
            .start()
            .unwrap();
        let authority = Authority::new("Corp");
        let server = proxy()
            .tls(authority.server_of(&["both.example.test"], (2020, 2090), true))
            .start()
            .unwrap();
        let url = format!("https://both.example.test:{}", server.address().port());
        let sandbox = trusting(&url, &authority).env("GOSUMDB", sums.gosumdb());
        no_alarm("no IPv6", sandbox.gofix(&["doctor", "--json"]).output());
        assert!(!server.requests().is_empty());
        return;
    }
    let sandbox = Sandbox::new();
    let hosts = sandbox.path("hosts");
    let prepared = |then: &str| {
        let mut command = Command::new("unshare");
        command
            .args(crate::support::network_namespace())
            .args(["-m", "sh", "-c", &format!("{WITHOUT_IPV6}{then}"), "sh"])
            .env("HOSTS", &hosts);
        command
    };
    if !prepared("").output().is_ok_and(|output| output.status.success()) {
        return crate::startup::skip("no namespace of network and mounts");
    }
    let inside = prepared("exec \"$@\"")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "views::doctor::a_machine_without_ipv6_raises_no_alarm"])
        .env(IN_NAMESPACE, "1")
        .output()
        .unwrap();
    assert!(
        inside.status.success(),
        "{}{}",
        String::from_utf8_lossy(&inside.stdout),
        String::from_utf8_lossy(&inside.stderr)
    );
}

/// Where the zips are, behind a redirect of the module proxy.
#[test]
fn a_redirect_to_a_host_that_is_blocked_is_named() {
    let authority = Authority::new("Example Trust");
    let to = |url: &str| {
        Rule::new(Fault::Redirect {
            to: format!("{url}/"),
        })
        .on(Kind::Zip)
    };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cut = proxy().door(Door::Close).start().unwrap();
    let denies = proxy().always(status(403, None)).start().unwrap();
    let strange = proxy()
        .tls(Authority::new("Zscaler Inc.").server(false))
        .start()
        .unwrap();
    for (storage, why) in [
        (
            format!("http://localhost:{}", closed.port()),
            "connection refused",
        ),
        ("http://storage.invalid".to_owned(), "no such host"),
        (cut.url().to_owned(), "EOF"),
        (denies.url().to_owned(), "answered with 403"),
        (strange.url().to_owned(), "its issuer is not trusted here"),
    ] {
        let server = proxy().rule(to(&storage)).start().unwrap();
        let found = routes_test(&trusting(server.url(), &authority));
        let host = storage.split(['/', ':']).nth(3).unwrap();
        let row = found.row(server.url(), &format!("the zip, which {host} serves, does not"));
        assert_eq!(row["grade"], "broken");
        assert!(row["found"].as_str().unwrap().contains(why), "{row:#}");
    }
}

/// The HTTP proxy of the environment lets go to the module proxy and not to its storage.
#[test]
fn a_redirect_that_the_http_proxy_blocks_is_named() {
    let authority = Authority::new("Example Trust");
    let to = "https://storage.example.test/".to_owned();
    let modules = proxy()
        .tls(authority.server_of(&["modules.example.test"], (2020, 2090), false))
        .rule(Rule::new(Fault::Redirect { to }).on(Kind::Zip))
        .start()
        .unwrap();
    let answer = |asked: &[u8]| match asked.starts_with(b"CONNECT storage.") {
        true => b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec(),
        false => b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
    };
    let via = connect_proxy_that(answer, modules.address());
    let sandbox = trusting("https://modules.example.test", &authority).env("HTTPS_PROXY", &via);
    let found = routes_test(&sandbox);
    let row = found.row(
        "modules.example.test",
        "the zip, which storage.example.test serves, does not",
    );
    assert_eq!(row["grade"], "broken");
    let words = row["found"].as_str().unwrap();
    assert!(
        words.contains("does not allow the connection: 403 Forbidden"),
        "{row:#}"
    );
    // The HTTP proxy is up: going without it is no advice.
    assert_eq!(found.json["commands"], serde_json::json!([]), "{}", found.outcome);
}

/// Without `ESC [ … m`.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
        if part[end..].starts_with('m') {
            plain.push_str(&part[end + 1..]);
        } else {
            plain.push_str("\x1b[");
            plain.push_str(part);
        }
    }
    plain
}

#[test]
fn few_descriptors_and_a_dead_stdout_are_no_crash() {
    let proxy = proxy().start().unwrap();
    let sandbox = sandbox(proxy.url());
    let gofix = sandbox.path("shims/gofix");
    let script = |text: &str| {
        sandbox
            .run("/bin/sh")
            .args(["-c", text, "sh"])
            .args([&gofix])
            .output()
    };
    for limit in 3..24 {
        let outcome = script(&format!("ulimit -n {limit}; exec \"$1\" routes test"));
        assert!(!outcome.stderr.contains("panicked"), "{limit}: {outcome}");
        assert_eq!(outcome.signal(), None, "{limit}: {outcome}");
    }
    for broken in [
        "exec \"$1\" doctor >/dev/full",
        "exec \"$1\" doctor >&-",
        "exec \"$1\" doctor 2>/dev/full >/dev/full",
        "exec \"$1\" doctor <&- >&- 2>&-",
    ] {
        let outcome = script(broken);
        assert!(
            !outcome.stderr.contains("panicked") && outcome.code().is_some(),
            "{broken}: {outcome}"
        );
    }
}

#[test]
fn a_private_host_needs_git_and_a_netrc_that_others_cannot_read() {
    let proxy = proxy().start().unwrap();
    let sandbox = sandbox(proxy.url()).env("GOPRIVATE", "127.0.0.1/team,*.corp.example");
    let netrc = sandbox.path("home/.netrc");
    fs::write(&netrc, "machine 127.0.0.1 login me password s3cret\n").unwrap();
    fs::set_permissions(&netrc, fs::Permissions::from_mode(0o644)).unwrap();
    let go = real_go().parent().unwrap();
    let path = std::env::join_paths([sandbox.path("shims"), go.to_path_buf()]).unwrap();
    let found = Found::of(sandbox.gofix(&["doctor", "--json"]).env("PATH", path).output());
    assert_eq!(
        found.row("git", "it cannot be run (no such file or directory)")["grade"],
        "broken"
    );
    let readable = found.row(".netrc", "other users on this machine can read it");
    assert_eq!(readable["fix"], format!("chmod 600 {}", netrc.display()));
    // The pattern without a plain host is nobody who could be asked.
    let hosts: Vec<&Value> = found.json["servers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|server| server["role"] == "host")
        .collect();
    assert_eq!(hosts.len(), 1, "{}", found.outcome);
    assert!(!found.outcome.stdout.contains("s3cret"));
}

#[test]
fn a_hidden_shim_is_told_and_go_is_found_all_the_same() {
    let proxy = proxy().start().unwrap();
    let sandbox = sandbox(proxy.url());
    let go = real_go().parent().unwrap();
    let path = std::env::join_paths([go.to_path_buf(), sandbox.path("shims")]).unwrap();
    let found = Found::of(sandbox.gofix(&["doctor", "--json"]).env("PATH", path).output());
    let hidden = found.row("shim", "comes first: plain `go` does not use gofix");
    assert_eq!(
        hidden["fix"],
        format!("export PATH={}:\"$PATH\"", sandbox.path("shims").display())
    );
    assert_eq!(found.row("go", "go1.")["grade"], "fine", "{}", found.outcome);
}

#[test]
fn a_foreign_goroot_is_told() {
    let proxy = proxy().start().unwrap();
    let sandbox = sandbox(proxy.url());
    // A folder of the sandbox: a name outside is there as soon as anybody makes it.
    let none = sandbox.path("no-goroot");
    let found = doctor(&sandbox.env("GOROOT", none));
    let row = found.row("GOROOT", "no-goroot is not the GOROOT of this go");
    assert_eq!(
        (&row["grade"], &row["fix"]),
        (&"broken".into(), &"unset GOROOT".into())
    );
}

#[test]
fn a_kill_switch_is_told() {
    let proxy = proxy().start().unwrap();
    let found = doctor(&sandbox(proxy.url()).env("GOFIX", "off"));
    assert_eq!(found.row("GOFIX", "gofix is switched off")["fix"], "unset GOFIX");
}

#[test]
fn a_module_cache_that_cannot_be_used_is_told() {
    let proxy = proxy().start().unwrap();
    let sandbox = sandbox(proxy.url());
    let file = sandbox.path("a-file");
    fs::write(&file, "").unwrap();
    let with = |place: &str| {
        Found::of(
            sandbox
                .gofix(&["doctor", "--json"])
                .env("GOMODCACHE", place)
                .output(),
        )
    };
    assert_eq!(
        with(file.to_str().unwrap()).row("module cache", "it is not a directory")["grade"],
        "broken"
    );
    assert_eq!(
        with("relative/place").row("module cache", "the path is relative")["grade"],
        "broken"
    );
}

/// Client and server in network namespaces of their own; the client's side takes no packets above 700 bytes and does
/// not say so, which is what a tunnel on the way does.
const BLACK_HOLE: &str = r#"
set -e
ip link set lo up
unshare -n sh -c 'echo $$ > "$DIR/server.pid"; read _ < "$DIR/go"; exec python3 -m http.server --bind 10.9.0.2 --directory "$DIR/files" 8080' >"$DIR/server.log" 2>&1 &
while [ ! -s "$DIR/server.pid" ]; do :; done
server=$(cat "$DIR/server.pid")
ip link add near type veth peer name far netns "$server"
ip link set near mtu 700
ip address add 10.9.0.1/24 dev near
ip link set near up
ip route replace 10.9.0.0/24 dev near advmss 1460
nsenter -t "$server" -n sh -ec '
    ip link set far gso_max_segs 1
    ip address add 10.9.0.2/24 dev far
    ip link set far up'
echo > "$DIR/go"
until python3 -c 'import socket; socket.create_connection(("10.9.0.2", 8080), 1)' 2>/dev/null; do kill -0 "$server"; done
status=0
"$GOFIX" routes test --json || status=$?
kill "$server"
exit "$status"
"#;

#[test]
fn a_path_that_loses_full_packets_is_named() {
    let namespace = crate::support::network_namespace();
    let sandbox = sandbox("http://10.9.0.2:8080");
    let allowed = sandbox
        .run("unshare")
        .args(namespace)
        .args([
            "sh",
            "-c",
            "python3 --version && nsenter --version && ip link add near type veth peer name far",
        ])
        .output();
    if allowed.code() != Some(0) {
        return crate::startup::skip("no network namespace with a pair of interfaces, or no python3");
    }
    let dir = sandbox.path("black-hole");
    let files = dir.join("files/golang.org/x/text/@v");
    fs::create_dir_all(&files).unwrap();
    let info = r#"{"Version":"v0.3.0","Time":"2017-12-14T13:08:43Z"}"#;
    fs::write(files.join("v0.3.0.info"), info).unwrap();
    fs::write(files.join("v0.3.0.mod"), "module golang.org/x/text\n").unwrap();
    fs::write(
        files.join("v0.3.0.zip"),
        [b"PK".as_slice(), &[0; 40_000]].concat(),
    )
    .unwrap();
    nix::unistd::mkfifo(&dir.join("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let outcome = sandbox
        .run("unshare")
        .args(namespace)
        .args(["sh", "-c", BLACK_HOLE])
        .env("DIR", &dir)
        .env("GOFIX", crate::support::gofix_exe())
        .output();
    let found = Found::of(outcome);
    let row = found.row("10.9.0.2", "packets of full size are lost");
    assert_eq!(row["grade"], "broken");
    assert_eq!(row["fix"], "ip link set dev near mtu 1280");
}
