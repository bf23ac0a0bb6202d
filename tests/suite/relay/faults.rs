//! Answers that are faults: what is tried again, and what is handed on.

use super::*;

#[test]
fn a_download_goes_through_it() {
    let proxy = healthy();
    let relay = relay(&[proxy.url()]);
    let sandbox = sandbox().importing(&["example.com/a"]);
    let tidy = through(&relay, &sandbox, &["mod", "tidy"]).expect_code(0);
    assert!(
        tidy.stderr
            .contains("go: found example.com/a in example.com/a v1.0.0"),
        "{tidy}"
    );
    through(&relay, &sandbox, &["mod", "download", "-x"]).expect_code(0);
    through(&relay, &sandbox, &["mod", "verify"]).expect_code(0);
    assert!(
        sandbox
            .read("go.sum")
            .contains("example.com/Upper/b v1.1.0/go.mod h1:")
    );
    assert!(relay.faults().is_empty());
    let requests = proxy.requests();
    assert!(requests.iter().any(|request| request.kind() == Kind::Zip));
    assert!(
        requests
            .iter()
            .all(|request| request.header("accept-encoding").is_none())
    );
}

/// Every fault that a host can answer with, as often as the schedule forgives.
fn transient() -> Vec<(&'static str, Fault)> {
    vec![
        ("close-header", Fault::CloseBeforeHeader),
        ("reset-header", Fault::ResetBeforeHeader),
        ("reset-body", Fault::ResetBody { after: None }),
        (
            "close-body",
            Fault::CloseBody {
                after: None,
                framing: Framing::Length,
            },
        ),
        (
            "close-chunked",
            Fault::CloseBody {
                after: None,
                framing: Framing::Chunked,
            },
        ),
        (
            "close-close",
            Fault::CloseBody {
                after: None,
                framing: Framing::Close,
            },
        ),
        ("stall-header", Fault::StallHeader),
        ("stall-body", Fault::StallBody { after: None }),
        ("status-500", status(500, None)),
        ("status-503", status(503, Some("0"))),
        ("status-429", status(429, Some("0"))),
        ("status-408", status(408, None)),
        ("status-425", status(425, None)),
        ("garbage", Fault::Garbage),
        ("portal", Fault::Portal),
        ("empty", Fault::EmptyBody),
        ("redirect-loop", Fault::RedirectLoop),
        ("endless-headers", Fault::EndlessHeaders),
    ]
}

/// Every kind of request meets the fault once, in one run of go, and nobody
/// but the relay notices.
#[test]
fn go_never_meets_the_fault() {
    for (name, fault) in transient() {
        let kinds = [
            Kind::List,
            Kind::Info,
            Kind::Mod,
            Kind::Zip,
            Kind::Supported,
            Kind::Lookup,
            Kind::Tile,
        ];
        let rules = kinds.map(|kind| Rule::new(fault.clone()).on(kind).first(1));
        let proxy = with_rules(rules);
        let relay = relay(&[proxy.url()]);
        let sandbox = sandbox().importing(&["example.com/a"]);
        let tidy = through(&relay, &sandbox, &["mod", "tidy"]).expect_code(0);
        assert!(!tidy.stderr.contains("599"), "{name}: {tidy}");
        assert!(
            sandbox.read("go.sum").contains("example.com/Upper/b v1.1.0 h1:"),
            "{name}"
        );
        through(&relay, &sandbox, &["mod", "download"]).expect_code(0);
        let struck = proxy
            .requests()
            .iter()
            .filter(|request| request.fault.is_some())
            .count();
        assert!(struck >= 4, "{name}: {struck}");
        assert!(relay.faults().is_empty(), "{name}: {:?}", relay.faults());
    }
}

/// What the relay's libraries refuse is left to go when it comes twice running,
/// and not where it follows any other fault.
#[test]
fn what_is_refused_behind_another_fault_is_asked_for_again() {
    for (name, fault) in transient() {
        let kinds = [Kind::Info, Kind::Mod, Kind::Zip];
        let first = kinds.map(|kind| Rule::new(fault.clone()).on(kind).first(1));
        // A rule's requests are those that no rule before it has struck.
        let second = kinds.map(|kind| Rule::new(Fault::EndlessHeaders).on(kind).first(1));
        let proxy = with_rules(first.into_iter().chain(second));
        let relay = relay(&[proxy.url()]);
        let sandbox = requiring_a().env("GOSUMDB", "off");
        let twice = name == "endless-headers";
        let run = through(&relay, &sandbox, &["mod", "download"]).expect_code(i32::from(twice));
        assert_eq!(relay.refused().is_empty(), !twice, "{name}: {run}");
    }
}

/// A list, `.info` and `@latest` that stay bad go to go as they came; a `.mod`
/// and a `.zip` never do.
#[test]
fn a_captive_portal_is_a_fault() {
    for kind in [Kind::Mod, Kind::Zip] {
        let proxy = with_rules([Rule::new(Fault::Portal).on(kind)]);
        let relay = relay(&[proxy.url()]);
        let sandbox = requiring_a().env("GOSUMDB", "off");
        let run = through(&relay, &sandbox, &["mod", "download"]).expect_code(1);
        assert!(
            run.stderr
                .contains(&format!("invalid response from proxy \"{}\": ", proxy.url())),
            "{run}"
        );
        let cached = sandbox
            .modcache()
            .join("cache/download/example.com/a/@v/v1.0.0.mod");
        assert_eq!(kind == Kind::Mod, !cached.exists(), "a page in the cache");
        assert!(!relay.faults().is_empty());
    }
    let proxy = with_rules([Rule::new(Fault::Portal).on(Kind::Info)]);
    let relay = relay(&[proxy.url()]);
    let of_relay = through(&relay, &sandbox(), &["list", "-m", "example.com/a@v1.0.0"]);
    let of_go = plain(proxy.url(), &sandbox(), &["list", "-m", "example.com/a@v1.0.0"]);
    assert_eq!(of_relay.stderr, of_go.stderr);
}
