//! A proxy that redirects to a host of its own storage: where that one fails, gofix names it, since go does not.

use gofix::faultproxy::{Fault, FaultProxy, Kind, Rule};
use serde_json::Value;

use crate::support::{Outcome, Sandbox, status, two_modules};

/// `go mod download` by a proxy whose zips are another server's, which gives this status for them; that server's
/// `host:port`, and the report.
fn download_with(code: u16) -> (Outcome, String, Vec<Value>) {
    let start = |fault: Fault| {
        FaultProxy::builder(two_modules(1_000))
            .rules([Rule::new(fault).on(Kind::Zip)])
            .start()
            .unwrap()
    };
    let storage = start(Fault::Status {
        code,
        retry_after: None,
        body: None,
    });
    let proxy = start(Fault::Redirect {
        to: format!("{}/", storage.url()),
    });
    let sandbox = Sandbox::new()
        .proxy(&proxy)
        .requiring(&[("example.com/a", "v1.0.0")])
        .env("GOFIX_RETRY_COUNT", "0")
        .env("GOFIX_LOG", "debug")
        .env("GOFIX_REPORT", "report.jsonl");
    let run = sandbox
        .go(&["mod", "download", "example.com/a"])
        .output()
        .expect_code(1);
    let report = sandbox.read("report.jsonl");
    let events = report
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let host = storage.url().strip_prefix("http://").unwrap().to_owned();
    (run, host, events)
}

#[test]
fn a_storage_host_that_fails_is_named() {
    for (code, words) in [
        (403, "refuses"),
        (404, "does not have example.com/a"),
        (503, "fails"),
    ] {
        let (run, storage, events) = download_with(code);
        let named = |event: &&Value| event["redirected_to"] == storage.as_str();
        let request = events
            .iter()
            .filter(|event| event["event"] == "upstream_request")
            .find(named)
            .unwrap_or_else(|| panic!("{code}: {events:#?}"));
        assert_eq!(request["status"], code);
        let fault = events
            .iter()
            .filter(|event| event["event"] == "fault")
            .find(named)
            .unwrap_or_else(|| panic!("{code}: {events:#?}"));
        assert_ne!(fault["host"], storage.as_str(), "{code}: go names the proxy");
        assert!(
            run.stderr
                .contains(&format!("redirected_to={storage} route=1 status={code} ")),
            "{code}: {run}"
        );
        let advice = format!("{storage} {words}");
        let advised = events.iter().any(|event| {
            event["advice"]
                .as_str()
                .is_some_and(|text| text.contains(&advice))
        });
        assert!(advised, "{code}: {events:#?}");
    }
}

#[test]
fn a_host_that_answers_by_itself_is_not_said_to_redirect() {
    let proxy = FaultProxy::builder(two_modules(1_000))
        .rules([Rule::new(status(403, None)).on(Kind::Zip)])
        .start()
        .unwrap();
    let sandbox = Sandbox::new()
        .proxy(&proxy)
        .requiring(&[("example.com/a", "v1.0.0")])
        .env("GOFIX_LOG", "debug");
    let run = sandbox
        .go(&["mod", "download", "example.com/a"])
        .output()
        .expect_code(1);
    assert!(run.stderr.contains("403 Forbidden"), "{run}");
    assert!(!run.stderr.contains("redirect"), "{run}");
}
