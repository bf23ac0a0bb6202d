//! `gofix report`: reports of real reporters, and files that are none.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Stage, refused, settings, stage, with_report};
use crate::support::{Outcome, Sandbox};

use gofix::report::{Event, GaveUp};
use std::time::Duration;

/// A report with a run that recovered, one that gave up, one without trouble and
/// one whose requests the relay made again.
pub(super) fn sample(dir: &Path) -> PathBuf {
    let path = dir.join("sample.jsonl");
    stage(with_report(&path)).recover();
    stage(with_report(&path)).fail(3);
    let mut fine = stage(with_report(&path));
    fine.started(1, (1, super::OWN));
    fine.failed(1, &[]);
    fine.finished(1, true);
    let mut relayed = stage(with_report(&path));
    relayed.started(1, (1, super::OWN));
    requests(&mut relayed, "proxy.golang.org", 40, 7);
    requests(&mut relayed, "sum.golang.org", 12, 0);
    relayed.finished(1, true);
    path
}

/// `n` requests one after the other, every `bad`th ending in a fault (never with 0).
fn requests(stage: &mut Stage, host: &str, n: u64, bad: u64) {
    for i in 1..=n {
        stage.clock.advance(i * 5);
        let failed = bad > 0 && i % bad == 0;
        stage.reporter.event(&Event::UpstreamRequest {
            redirected_to: None,
            route: 1,
            kind: None,
            url: format!("https://{host}/example.com/m{i}/@v/v1.0.0.zip"),
            status: (!failed).then_some(200),
            bytes: i * 1000,
            took: Duration::from_millis(i * 5),
            r#try: 1,
            error: failed
                .then(|| "read tcp 10.0.0.1:5->192.0.2.1:443: read: connection reset by peer".into()),
        });
    }
}

fn report(args: &[&Path]) -> Outcome {
    let args: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
    Sandbox::new().gofix(&["report"]).args(args).output()
}

fn json(args: &[&Path]) -> Value {
    let args: Vec<&Path> = std::iter::once(Path::new("--json"))
        .chain(args.iter().copied())
        .collect();
    let outcome = report(&args);
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {outcome}"))
}

/// The page of these reports.
pub(super) fn page(dir: &Path, files: &[&Path]) -> String {
    let html = dir.join("page.html");
    let mut args: Vec<&Path> = vec![Path::new("--html"), &html];
    args.extend(files);
    let outcome = report(&args);
    assert!(outcome.stdout.is_empty(), "{outcome}");
    fs::read_to_string(&html).unwrap()
}

#[test]
fn the_summary_shows_runs_routes_servers_and_faults() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = report(&[&sample(dir.path())]).expect_code(0);
    insta::assert_snapshot!("report_summary", outcome.stdout);
    assert_eq!(outcome.stderr, "");
}

#[test]
fn the_numbers_add_up_over_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = sample(dir.path());
    let copy = dir.path().join("other.jsonl");
    stage(with_report(&copy)).recover();
    let found = json(&[&file, &copy]);
    assert_eq!(found["files"], 2);
    assert_eq!(found["faults"]["connect"], 9);
    assert_eq!(found["unreadable_lines"], 0);
    let outcomes: Vec<&str> = found["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        ["recovered", "gave up", "no trouble", "recovered", "recovered"]
    );
    let server = &found["servers"][0];
    assert_eq!(
        (&server["host"], &server["requests"], &server["failed"]),
        (&"proxy.golang.org".into(), &40.into(), &5.into())
    );
    assert_eq!(found["runs"][1]["attempts"][0]["wait_ms"], 1000);
}

#[test]
fn a_run_that_was_killed_has_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("killed.jsonl");
    let mut killed = stage(with_report(&path));
    killed.started(1, (1, super::OWN));
    killed.failed(1, &[refused("proxy.golang.org")]);
    drop(killed);
    assert_eq!(json(&[&path])["runs"][0]["outcome"], "no end recorded");
}

#[test]
fn the_page_stands_alone() {
    let dir = tempfile::tempdir().unwrap();
    let html = page(dir.path(), &[&sample(dir.path())]);
    let lower = html.to_lowercase();
    for forbidden in [
        "<script",
        "<link",
        "<img",
        "src=",
        "url(",
        "@import",
        "<iframe",
        "javascript:",
        "onload",
        "http-equiv=\"refresh",
    ] {
        assert!(!lower.contains(forbidden), "{forbidden}");
    }
    assert!(html.contains("default-src 'none'"));
    assert!(html.contains("prefers-color-scheme: dark"));
    assert!(html.contains("attempt 3 · route 2"));
    balanced(&html);
}

/// Every element that must be closed is, in order.
fn balanced(html: &str) {
    const CLOSED: &[&str] = &[
        "html", "head", "body", "main", "header", "section", "article", "table", "thead", "tbody", "div",
        "span", "p", "h1", "h2", "h3", "dl", "dt", "dd", "details", "summary", "code", "small", "style",
        "title", "a", "i", "fieldset", "legend", "label",
    ];
    let mut open: Vec<&str> = Vec::new();
    for tag in html.split('<').skip(1) {
        let name = tag
            .trim_start_matches('/')
            .split(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .unwrap();
        if !CLOSED.contains(&name) {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag:.60}");
        } else {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn hostile_reports_stay_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.jsonl");
    let evil = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>\\u001b[31m\\r\\n::error::x ##[error]";
    let mut text = Vec::new();
    for event in [
        "attempt_started",
        "fault",
        "diagnosis",
        "backoff",
        "upstream_request",
        "gave_up",
        "finished",
        "nonsense",
    ] {
        text.extend_from_slice(
            format!(
                "{{\"run\":\"{evil}\",\"time\":\"2026-01-01T00:00:00Z\",\"event\":\"{event}\",\"attempt\":18446744073709551615,\
                 \"command\":\"{evil}\",\"list\":\"{evil}\",\"kind\":\"{evil}\",\"host\":\"{evil}\",\"line\":\"{evil}\",\
                 \"url\":\"https://u:p@{evil}/\",\"error\":\"{evil}\",\"why\":\"{evil}\",\"status\":\"{evil}\",\
                 \"ms\":18446744073709551615,\"bytes\":18446744073709551615,\"route\":-1,\"try\":1e300,\"ok\":\"yes\"}}\n"
            )
            .as_bytes(),
        );
    }
    text.extend_from_slice(
        b"{\"run\":\"a\",\"time\":\"-009999-01-03T00:00:00Z\",\"event\":\"finished\",\"ok\":true}\n",
    );
    text.extend_from_slice(
        b"{\"run\":\"a\",\"time\":\"9999-12-30T00:00:00Z\",\"event\":\"finished\",\"ok\":true,\"ms\":0}\n",
    );
    text.extend_from_slice(b"\0\0\0\n\xff\xfe\n[[[[\n{\"run\":{}}\n");
    text.extend(std::iter::repeat_n(b'x', 3_000_000));
    fs::write(&path, text).unwrap();
    let outcome = report(&[&path]).expect_code(0);
    assert!(
        !outcome.stdout.contains(['\x1b', '\r', '\0']) && !outcome.stdout.contains("##["),
        "{outcome}"
    );
    let html = page(dir.path(), &[&path]);
    assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    assert_eq!(html.matches("</style>").count(), 1);
    balanced(&html);
    assert_eq!(json(&[&path])["unreadable_lines"], 5);
}

#[test]
fn a_file_that_cannot_be_read_is_one_line_and_the_rest_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let good = sample(dir.path());
    let outcome = report(&[Path::new("/no/such/file"), dir.path(), &good]).expect_code(1);
    assert_eq!(outcome.gofix_lines().len(), 2, "{outcome}");
    assert!(outcome.stdout.starts_with("4 runs in 1 file"), "{outcome}");
    let outcome = report(&[Path::new("--html"), Path::new("/no/such/dir/x.html"), &good]).expect_code(1);
    assert_eq!(outcome.gofix_lines().len(), 1, "{outcome}");
}

#[test]
fn an_empty_report_is_no_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.jsonl");
    fs::write(&path, "").unwrap();
    assert_eq!(report(&[&path]).expect_code(0).stdout, "0 runs in 1 file\n");
    balanced(&page(dir.path(), &[&path]));
}

#[test]
fn an_interrupted_run_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("interrupted.jsonl");
    let mut run = stage(super::Settings {
        command: "go get".into(),
        ..with_report(&path)
    });
    run.started(1, (1, super::OWN));
    run.failed(1, &[refused("proxy.golang.org")]);
    run.gave_up(GaveUp::Interrupted, vec![]);
    run.finished(1, false);
    assert!(report(&[&path]).stdout.contains("gave up (interrupted)"));
    assert!(settings().report.is_none());
}
