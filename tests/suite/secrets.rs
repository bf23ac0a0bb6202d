//! No way out of gofix shows a password of a URL, whatever characters it is made of.

use std::fs;
use std::io::Write as _;

use crate::support::otlp::{Manner, OtlpServer};
use crate::support::{Outcome, Sandbox};

/// Each holds three words that stand for the pieces of a password.
const PASSWORDS: [&str; 10] = [
    "s3cr/t0kn/w0rd",
    "s3cr?t0kn?w0rd",
    "s3cr#t0kn#w0rd",
    "s3cr@t0kn@w0rd",
    "s3cr:t0kn:w0rd",
    "s3cr%t0kn%zzw0rd",
    "s3cr%40t0kn%2Fw0rd",
    "s3cr;t0kn;w0rd",
    "s3cr t0kn w0rd",
    "s3cr\u{4e2d}t0kn\u{e9}w0rd",
];

/// Go itself takes the middle of these for a host, and asks it.
const AMBIGUOUS: [&str; 2] = ["s3cr@t0kn/w0rd", "s3cr/@t0kn:;#w0rd"];

#[track_caller]
fn expect_hidden(what: &str, password: &str, text: &str) {
    for piece in ["s3cr", "t0kn", "w0rd"] {
        assert!(!text.contains(piece), "{what} with {password}:\n{text}");
    }
}

/// Both outputs of gofix's own commands.
#[track_caller]
fn expect_nothing(what: &str, password: &str, outcome: &Outcome) {
    expect_hidden(what, password, &outcome.stdout);
    expect_hidden(what, password, &outcome.stderr);
}

fn url(password: &str) -> String {
    // Nobody listens there.
    format!("http://bob:{password}@127.0.0.1:1")
}

/// What go, git and people write of such a URL.
fn log(url: &str) -> String {
    format!(
        "go: example.com/a@v1.0.0: Get \"{url}/example.com/a/@v/v1.0.0.mod\": EOF\n\
         go: example.com/b@v1.0.0: parse \"{url}/example.com/b/@v/list\": invalid port \":s3cr\" after host\n\
         go: example.com/c@v1.0.0: reading \"{url}/example.com/c/@v/v1.0.0.zip\": 403 Forbidden\n\
         go: example.com/d@v1.0.0: git ls-remote -q '{url}/d' in /tmp: exit status 128:\n\
         \tfatal: unable to access '{url}/d/': The requested URL returned error: 502\n"
    )
}

#[test]
fn explain_shows_no_password() {
    let sandbox = Sandbox::new();
    for password in PASSWORDS.into_iter().chain(AMBIGUOUS) {
        sandbox.write("log", log(&url(password)));
        for command in [&["explain", "log"][..], &["explain", "--json", "log"]] {
            let outcome = sandbox.gofix(command).output().expect_code(0);
            expect_nothing("explain", password, &outcome);
        }
    }
}

#[test]
fn what_lists_routes_and_settings_shows_no_password() {
    let sandbox = Sandbox::new();
    for password in PASSWORDS.into_iter().chain([AMBIGUOUS[0]]) {
        let url = url(password);
        for command in [
            &["routes"][..],
            &["routes", "--json"],
            &["routes", "add", &url],
            &["config", "show"],
            &["config", "check"],
        ] {
            let outcome = sandbox
                .gofix(command)
                .env("GOPROXY", format!("{url},direct"))
                .env("GOFIX_ROUTES", format!("{url}/other;{url}|direct"))
                .output();
            expect_nothing(&format!("{command:?}"), password, &outcome);
        }
    }
}

#[test]
fn doctor_shows_no_password() {
    let sandbox = Sandbox::new().env("GOFIX_TIMEOUT_MS", "100");
    for password in PASSWORDS.into_iter().chain([AMBIGUOUS[0]]) {
        let url = url(password);
        let outcome = sandbox
            .gofix(&["doctor"])
            .env("GOPROXY", format!("{url},direct"))
            .env("HTTPS_PROXY", &url)
            .env("HTTP_PROXY", &url)
            .env("GOFIX_ROUTES", &url)
            .output();
        expect_nothing("doctor", password, &outcome);
    }
}

/// The lines of gofix, its report, its page, what it writes for CI, and what a collector is told.
#[test]
fn a_supervised_run_shows_no_password() {
    for password in PASSWORDS.into_iter().chain(AMBIGUOUS) {
        for relay in ["on", "off"] {
            let url = url(password);
            let server = OtlpServer::start(Manner::Answer(200));
            let sandbox = Sandbox::new();
            let words = log(&url);
            let file = sandbox.path("words");
            fs::File::create(&file)
                .unwrap()
                .write_all(words.as_bytes())
                .unwrap();
            let sandbox = sandbox
                .requiring(&[])
                .scripted(&format!("cat '{}' >&2; exit 1", file.display()))
                .env("GOPROXY", format!("http://127.0.0.1:1,{url}"))
                .env("GOFIX_RELAY", relay)
                .env("GOFIX_RETRY_COUNT", "0")
                .env("GOFIX_LOG", "debug")
                .env("GITHUB_ACTIONS", "true")
                .env("GITHUB_STEP_SUMMARY", "summary.md")
                .env("GOFIX_REPORT", "report.jsonl")
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", server.url());
            sandbox.write("summary.md", "");
            let mut outcome = sandbox.go(&["mod", "download"]).output();
            // Go's own words are go's.
            outcome.stderr = outcome.stderr.replace(&words, "");
            assert!(outcome.stderr.contains("gofix: "), "{outcome}");
            expect_nothing("stderr", password, &outcome);
            expect_hidden("summary", password, &sandbox.read("summary.md"));
            expect_hidden("report", password, &sandbox.read("report.jsonl"));
            let told = server.posted();
            assert_eq!(told.len(), 2, "traces and metrics");
            for posted in told {
                let text = String::from_utf8_lossy(&posted.body);
                expect_hidden("OpenTelemetry", password, &text);
            }
            for command in [
                &["report", "report.jsonl"][..],
                &["report", "--json", "report.jsonl"],
                &["report", "--html", "-", "report.jsonl"],
            ] {
                let outcome = sandbox.gofix(command).output();
                expect_nothing(&format!("{command:?}"), password, &outcome);
            }
        }
    }
}
