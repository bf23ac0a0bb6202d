//! The relay between the real go and a module proxy that fails.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Framing, Kind, Module, Rule, SumDb, When};
use gofix::policy::route::ProxyList;
use gofix::relay::{Environment, Quoting, Relay, Setup};

use crate::support::{Outcome, Sandbox};

const A: (&str, &str) = ("example.com/a", "v1.0.0");

fn catalogue() -> Catalogue {
    Catalogue::new()
        .with(
            Module::new("example.com/a", "v1.0.0")
                .requires("example.com/Upper/b", "v1.1.0")
                .ballast(5000),
        )
        .with(Module::new("example.com/Upper/b", "v1.0.0"))
        .with(Module::new("example.com/Upper/b", "v1.1.0").ballast(400_000))
}

fn healthy() -> FaultProxy {
    with_rules([])
}

fn with_rules(rules: impl IntoIterator<Item = Rule>) -> FaultProxy {
    let catalogue = catalogue();
    FaultProxy::builder(catalogue.clone())
        .sumdb(SumDb::new("sum.example.test", &catalogue))
        .rules(rules)
        .start()
        .unwrap()
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

/// What plain go says when it asks the proxies itself.
fn plain(lists: &str, sandbox: &Sandbox, args: &[&str]) -> Outcome {
    sandbox.plain_go(args).env("GOPROXY", lists).output()
}

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

fn status(code: u16, retry_after: Option<&str>) -> Fault {
    Fault::Status {
        code,
        retry_after: retry_after.map(str::to_owned),
        body: None,
    }
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

/// The words of a fault that outlasts the tries are those that go has itself.
#[test]
fn the_words_are_those_of_go() {
    let mut cases = vec![
        ("close-header", Fault::CloseBeforeHeader),
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
        ("status-503", status(503, None)),
        ("status-404", status(404, None)),
        ("status-403", status(403, None)),
        ("status-429", status(429, Some("3600"))),
        ("redirect-loop", Fault::RedirectLoop),
    ];
    cases.push((
        "multi-line",
        Fault::Status {
            code: 410,
            retry_after: None,
            body: Some("gone\nfor good\n\nnot shown".into()),
        },
    ));
    for (name, fault) in cases {
        for kind in [Kind::Mod, Kind::Zip, Kind::Info] {
            let proxy = with_rules([Rule::new(fault.clone()).on(kind)]);
            let mut setup = setup(&[proxy.url()]);
            setup.tries = 0;
            let relay = Relay::start(setup).unwrap().unwrap();
            for args in [
                &["mod", "download"][..],
                &["mod", "download", "-json", "example.com/a@v1.0.0"],
            ] {
                let of_go = plain(proxy.url(), &requiring_a(), args);
                let of_relay = through(&relay, &requiring_a(), args);
                assert_eq!(of_relay.code(), of_go.code(), "{name} {kind:?}");
                assert_eq!(of_relay.stderr, of_go.stderr, "{name} {kind:?} {args:?}");
                assert_eq!(
                    comparable(&of_relay.stdout),
                    comparable(&of_go.stdout),
                    "{name} {kind:?} {args:?}"
                );
            }
        }
    }
}

/// Sandboxes differ in their paths.
fn comparable(text: &str) -> String {
    text.lines()
        .filter(|line| {
            !line.contains("\"Info\"")
                && !line.contains("\"GoMod\"")
                && !line.contains("\"Zip\"")
                && !line.contains("\"Dir\"")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn requiring_a() -> Sandbox {
    sandbox().requiring(&[A])
}

/// What nobody listens to, in the words of go, on stderr and in `go -x`.
#[test]
fn a_proxy_that_is_not_there() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut setup = setup(&[&gone]);
    setup.tries = 1;
    let relay = Relay::start(setup).unwrap().unwrap();
    let of_go = plain(&gone, &requiring_a(), &["mod", "download"]);
    let of_relay = through(&relay, &requiring_a(), &["mod", "download"]);
    assert_eq!(of_relay.stderr, of_go.stderr);
    assert!(of_go.stderr.contains("connect: connection refused"), "{of_go}");
    let trace = through(&relay, &requiring_a(), &["mod", "download", "-x"]);
    let of_go = plain(&gone, &requiring_a(), &["mod", "download", "-x"]);
    assert_eq!(trace.stderr, of_go.stderr);
    let faults = relay.faults();
    assert_eq!(faults[0].module.as_deref(), Some("example.com/a"));
    assert!(faults[0].nobody);
}

/// An answer is no fault: it is asked for once and handed on as it is.
#[test]
fn answers_are_asked_for_once() {
    for code in [400, 401, 403, 404, 410, 451] {
        let proxy = with_rules([Rule::new(status(code, None)).on(Kind::Mod)]);
        let later = healthy();
        let relay = relay(&[proxy.url(), later.url()]);
        let sandbox = requiring_a();
        let run = through(&relay, &sandbox, &["mod", "download"]).expect_code(1);
        assert!(
            run.stderr
                .contains(&format!("{}/example.com/a/@v/v1.0.0.mod: {code} ", proxy.url())),
            "{run}"
        );
        let asked = proxy
            .requests()
            .iter()
            .filter(|request| request.kind() == Kind::Mod)
            .count();
        assert_eq!(asked, 1, "{code}");
        assert!(later.requests().is_empty(), "{code}");
    }
}

/// Later routes answer where go would stop, and only there.
#[test]
fn later_routes() {
    let down = with_rules([Rule::new(status(503, None))]);
    let healthy = healthy();
    let list = format!("{},direct", down.url());
    let mut set = setup(&[&list, "direct", healthy.url()]);
    set.tries = 2;
    let relay = Relay::start(set).unwrap().unwrap();
    through(&relay, &requiring_a(), &["mod", "download"]).expect_code(0);
    assert!(relay.faults().is_empty());

    // Go goes on by itself behind `|`: the relay does not ask elsewhere first.
    let first = with_rules([Rule::new(Fault::ResetBeforeHeader)]);
    let list = format!("{}|{}", first.url(), healthy.url());
    let mut set = setup(&[&list]);
    set.tries = 1;
    let relay = Relay::start(set).unwrap().unwrap();
    through(&relay, &requiring_a(), &["mod", "download"]).expect_code(0);
    assert!(relay.faults().is_empty(), "{:?}", relay.faults());
}

/// Nobody there: the next route is asked before the first is asked again.
#[test]
fn every_route_is_asked_once_before_any_is_asked_twice() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let healthy = healthy();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut setup = setup(&[&gone, healthy.url()]);
    let listener = Arc::clone(&seen);
    setup.listener = Some(Box::new(move |event| {
        if let gofix::report::Event::UpstreamRequest { url, r#try, .. } = event {
            listener.lock().unwrap().push((url, r#try));
        }
    }));
    let relay = Relay::start(setup).unwrap().unwrap();
    through(&relay, &requiring_a(), &["mod", "download"]).expect_code(0);
    let seen = seen.lock().unwrap();
    assert!(seen.iter().any(|(url, _)| url.starts_with(&gone)));
    assert!(seen.iter().all(|(_, nth)| *nth == 1), "{seen:?}");
}

/// A line that drops every 64 KiB: what has arrived is kept and gone on with.
#[test]
fn a_broken_body_is_resumed() {
    let proxy = with_rules([Rule::new(Fault::ResetBody { after: Some(70_000) })
        .on(Kind::Zip)
        .when(When::First(5))]);
    let relay = relay(&[proxy.url()]);
    let sandbox = sandbox().requiring(&[("example.com/Upper/b", "v1.1.0")]);
    through(&relay, &sandbox, &["mod", "download"]).expect_code(0);
    let zips: Vec<_> = proxy
        .requests()
        .into_iter()
        .filter(|request| request.kind() == Kind::Zip)
        .collect();
    assert_eq!(zips.len(), 6);
    let ranges: Vec<_> = zips
        .iter()
        .map(|zip| zip.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[1].as_deref(), Some("bytes=70000-"));
    assert!(zips[1].header("if-range").is_some());
    let sent: u64 = zips.iter().map(|zip| zip.sent).sum();
    assert!(sent < 500_000, "{sent} bytes for one file of 400,000");
}

/// A server that knows no ranges is asked for the whole again.
#[test]
fn without_ranges_it_starts_again() {
    let catalogue = catalogue();
    let proxy = FaultProxy::builder(catalogue.clone())
        .sumdb(SumDb::new("sum.example.test", &catalogue))
        .ranges(false)
        .rule(
            Rule::new(Fault::ResetBody { after: Some(70_000) })
                .on(Kind::Zip)
                .first(3),
        )
        .start()
        .unwrap();
    let relay = relay(&[proxy.url()]);
    let sandbox = sandbox().requiring(&[("example.com/Upper/b", "v1.1.0")]);
    through(&relay, &sandbox, &["mod", "download"]).expect_code(0);
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
