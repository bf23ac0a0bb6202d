//! `gofix wait`: until every proxy of the list in force, and the checksum database, serve a release.

use std::time::Duration;

use gofix::faultproxy::Kind::{self, Info, Lookup, Mod, Supported, Zip};
use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Module, Rule};
use serde_json::Value;

use crate::support::pty::Pty;
use crate::support::{Outcome, Sandbox, proxy_of};

const RELEASE: &str = "example.com/lib@v1.4.0";

fn catalogue() -> Catalogue {
    Catalogue::new().with(Module::new("example.com/lib", "v1.4.0"))
}

/// A proxy that has the release, and the checksum database of it, once `rules` are through.
fn proxy(rules: impl IntoIterator<Item = Rule>) -> FaultProxy {
    proxy_of(catalogue(), rules)
}

/// A sandbox whose go asks the checksum database through the proxies.
fn sandbox(proxy: &FaultProxy) -> Sandbox {
    let gosumdb = proxy.gosumdb();
    let key = gosumdb.split(' ').next().unwrap_or_default();
    Sandbox::new().env("GOPROXY", proxy.url()).env("GOSUMDB", key)
}

/// Not there yet, and a cache that remembers it for so many seconds, of which `age` are over.
fn missing(max_age: u64, age: u64) -> Fault {
    Fault::Respond {
        code: 404,
        headers: vec![
            ("Cache-Control".to_owned(), format!("public, max-age={max_age}")),
            ("Age".to_owned(), age.to_string()),
        ],
        body: "not found: unknown revision v1.4.0\n".to_owned(),
    }
}

fn status(code: u16) -> Fault {
    Fault::Status {
        code,
        retry_after: Some("1".to_owned()),
        body: None,
    }
}

fn wait(sandbox: &Sandbox, args: &[&str]) -> Outcome {
    sandbox.gofix(&[&["wait"], args].concat()).output()
}

fn kinds(proxy: &FaultProxy) -> Vec<Kind> {
    proxy
        .requests()
        .iter()
        .map(|request| request.asked.kind)
        .collect()
}

#[test]
fn it_waits_for_every_proxy_and_then_for_the_checksum_database() {
    let late = proxy([
        Rule::new(missing(1, 0)).on(Info).first(2),
        Rule::new(status(503)).on(Zip).first(1),
        Rule::new(missing(1, 0)).on(Lookup).first(1),
    ]);
    let ready = FaultProxy::healthy(catalogue()).unwrap();
    let list = format!("{},{},direct", late.url(), ready.url());
    let sandbox = sandbox(&late).env("GOPROXY", list);
    let outcome = wait(&sandbox, &[RELEASE]).expect_code(0);
    let host = |proxy: &FaultProxy| proxy.url().trim_end_matches('/').to_owned();
    let line = |words: String| outcome.stdout.lines().any(|line| line.starts_with(&words));
    assert!(
        line(format!("{} serves {RELEASE} (after ", host(&late))),
        "{outcome}"
    );
    assert!(
        line(format!("{} serves {RELEASE} (after ", host(&ready))),
        "{outcome}"
    );
    assert!(
        line(format!("sum.example.test has the checksum of {RELEASE} (after ")),
        "{outcome}"
    );
    let said = format!(
        "gofix: {}: 404 Not Found for {RELEASE}; asking again in 1s",
        host(&late)
    );
    assert!(outcome.gofix_lines().contains(&said.as_str()), "{outcome}");
    assert_eq!(
        kinds(&late),
        [Info, Info, Info, Mod, Zip, Zip, Supported, Lookup, Lookup],
        "the checksum database is asked last"
    );
    assert_eq!(kinds(&ready), [Info, Mod, Zip]);
}

/// A cache that remembers a miss is not asked before it has forgotten; at the end of the time once more.
#[test]
fn what_a_cache_remembers_is_waited_out_and_the_time_holds() {
    let proxy = proxy([Rule::new(missing(3600, 10))]);
    let sandbox = sandbox(&proxy);
    let outcome = wait(&sandbox, &["--for", "2s", RELEASE]).expect_code(124);
    assert_eq!(outcome.stdout, "");
    assert_eq!(kinds(&proxy), [Info, Info], "{outcome}");
    assert_eq!(
        outcome.gofix_lines()[1..],
        [
            "gofix: not everybody serves it after 2.0s:".to_owned(),
            format!(
                "gofix:   {}: 404 Not Found for {RELEASE}",
                proxy.url().trim_end_matches('/')
            ),
        ],
        "{outcome}"
    );
    // Over already: asked once.
    proxy.set_rules([Rule::new(missing(0, 0))]);
    wait(&sandbox, &["--for=0s", RELEASE]).expect_code(124);
    assert_eq!(kinds(&proxy).len(), 3);
}

/// What a server answers stays its answer; nobody waits for a refusal to go away.
#[test]
fn a_refusal_ends_the_wait() {
    for (code, words) in [(403, "403 Forbidden"), (401, "401 Unauthorized")] {
        let proxy = proxy([Rule::new(status(code))]);
        let sandbox = sandbox(&proxy);
        let outcome = wait(&sandbox, &[RELEASE]).expect_code(1);
        let host = proxy.url().trim_end_matches('/').to_owned();
        assert_eq!(
            outcome.stderr,
            format!("gofix: {host}: {words} for {RELEASE}; waiting does not change that\n")
        );
        assert_eq!(kinds(&proxy), [Info]);
    }
}

#[test]
fn faults_are_waited_out_and_a_page_is_no_module() {
    let portal = Fault::Respond {
        code: 200,
        headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
        body: "<html>sign in</html>".to_owned(),
    };
    let proxy = proxy([
        Rule::new(Fault::ResetBeforeHeader).on(Info).first(1),
        Rule::new(portal).on(Mod).first(1),
    ]);
    let sandbox = sandbox(&proxy);
    // With a URL of its own the checksum database is asked there.
    let sandbox = sandbox.proxy(&proxy);
    wait(&sandbox, &["--for", "2m", RELEASE]).expect_code(0);
    assert_eq!(kinds(&proxy), [Info, Info, Mod, Mod, Zip, Lookup]);
}

/// The names of private modules go to no proxy and to no checksum database.
#[test]
fn private_modules_are_asked_of_nobody() {
    let proxy = proxy([]);
    for name in ["GOPRIVATE", "GONOPROXY"] {
        let sandbox = sandbox(&proxy).env(name, "*.org,example.com/l*");
        let before = proxy.requests().len();
        let outcome = wait(&sandbox, &[RELEASE]).expect_code(0);
        assert_eq!(
            outcome.gofix_lines(),
            [format!(
                "gofix: {RELEASE}: waiting for no proxy, since GONOPROXY or GOPRIVATE names it"
            )]
        );
        let asked = kinds(&proxy).split_off(before);
        // GONOPROXY alone says nothing of the checksum database, in go as here.
        let database = [Supported, Lookup];
        assert_eq!(
            asked,
            if name == "GOPRIVATE" { &[][..] } else { &database },
            "{name}"
        );
    }
    let sandbox = sandbox(&proxy).env("GONOSUMDB", "example.com");
    let before = proxy.requests().len();
    wait(&sandbox, &[RELEASE]).expect_code(0);
    assert_eq!(kinds(&proxy).split_off(before), [Info, Mod, Zip]);
}

#[test]
fn programs_read_one_object() {
    let proxy = proxy([Rule::new(missing(1, 0)).on(Info).first(1)]);
    let sandbox = sandbox(&proxy);
    let outcome = wait(&sandbox, &["--json", RELEASE]).expect_code(0);
    assert_eq!(outcome.stderr, "");
    let whole: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&whole["ok"], &whole["status"]), (&true.into(), &0.into()));
    let servers = whole["servers"].as_array().unwrap();
    let roles: Vec<&str> = servers.iter().filter_map(|row| row["role"].as_str()).collect();
    assert_eq!(roles, ["proxy", "checksum database"]);
    assert!(servers.iter().all(|row| row["state"] == "served"), "{whole:#}");
    assert_eq!(servers[0]["version"], "v1.4.0");
}

#[test]
fn what_cannot_be_waited_for_is_said_at_once() {
    let sandbox = Sandbox::new();
    for args in [
        &["example.com/lib"][..],
        &["example.com/lib@latest"],
        &["@v1.0.0"],
        &["--for", "soon", RELEASE],
    ] {
        let outcome = wait(&sandbox, args).expect_code(2);
        assert_eq!(
            (outcome.stdout.as_str(), outcome.gofix_lines().len()),
            ("", 1),
            "{outcome}"
        );
    }
    let off = sandbox
        .gofix(&["wait", RELEASE])
        .env("GOPROXY", "off")
        .output()
        .expect_code(1);
    assert!(off.stderr.contains("nothing to wait for"), "{off}");
}

#[test]
fn on_a_terminal_one_line_counts_down() {
    let proxy = proxy([Rule::new(missing(5, 0)).on(Info).first(1)]);
    let sandbox = sandbox(&proxy);
    let pty = Pty::spawn(sandbox.gofix(&["wait", RELEASE]).env("TERM", "xterm"));
    pty.expect("s (14m");
    let (status, text) = pty.wait();
    assert!(status.success(), "{text}");
    let lines = crate::views::render(text.as_bytes());
    assert!(!lines.iter().any(|line| line.contains("gofix: ")), "{lines:#?}");
    assert!(proxy.wait_for(Duration::ZERO, |requests| requests.len() == 6));
}
