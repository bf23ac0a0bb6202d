//! The relay between the real go and a module proxy that fails.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Framing, Kind, Module, Rule, SumDb, Tls, When};
use gofix::go::proxy_list::ProxyList;
use gofix::relay::{Environment, Quoting, Relay, Setup};

use crate::support::{Outcome, Sandbox, two_modules};

const A: (&str, &str) = ("example.com/a", "v1.0.0");

fn catalogue() -> Catalogue {
    two_modules(400_000)
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

/// How often a proxy was asked for files of this kind.
fn asked_for(proxy: &FaultProxy, kind: Kind) -> usize {
    let requests = proxy.requests();
    requests.iter().filter(|request| request.kind() == kind).count()
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

/// Go 1.21 leaves the module out of the URL of a body that breaks, and a slash where it is a zip's. The relay has the
/// words of later ones.
fn with_whole_urls(text: &str, proxy: &FaultProxy) -> String {
    let host = proxy.address();
    let whole = format!("http://{host}/example.com/a/@v/");
    text.replace(&format!("http://{host}/@v/"), &whole)
        .replace(&format!("http:/{host}/@v/"), &whole)
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
                assert_eq!(
                    of_relay.stderr,
                    with_whole_urls(&of_go.stderr, &proxy),
                    "{name} {kind:?} {args:?}"
                );
                assert_eq!(
                    comparable(&of_relay.stdout),
                    comparable(&with_whole_urls(&of_go.stdout, &proxy)),
                    "{name} {kind:?} {args:?}"
                );
            }
        }
    }
}

/// A proxy that says it has the checksum database and then fails: go asks it and nobody else, and says so in its
/// own words.
#[test]
fn a_checksum_database_that_fails_is_told_in_the_words_of_go() {
    let faults = [
        status(503, None),
        status(404, None),
        status(403, None),
        Fault::CloseBeforeHeader,
        Fault::CloseBody {
            after: None,
            framing: Framing::Length,
        },
    ];
    for fault in faults {
        for kind in [Kind::Supported, Kind::Lookup, Kind::Tile] {
            let proxy = with_rules([Rule::new(fault.clone()).on(kind)]);
            let mut set = setup(&[proxy.url()]);
            set.tries = 0;
            let relay = Relay::start(set).unwrap().unwrap();
            let args = ["get", "example.com/a@v1.0.0"];
            let of_go = plain(proxy.url(), &unsummed(), &args);
            let of_relay = through(&relay, &unsummed(), &args);
            assert_eq!(of_relay.code(), of_go.code(), "{fault:?} {kind:?} {of_relay}");
            assert_eq!(errors(&of_relay), errors(&of_go), "{fault:?} {kind:?}");

            // In front of the user's list nobody puts the words back.
            let mut set = setup(&[proxy.url()]);
            set.tries = 0;
            set.in_front = true;
            let relay = Relay::start(set).unwrap().unwrap();
            let in_front = unsummed()
                .plain_go(&args)
                .env("GOPROXY", relay.goproxy())
                .output();
            assert_eq!(in_front.code(), of_go.code(), "{fault:?} {kind:?} {in_front}");
            assert_eq!(errors(&in_front), errors(&of_go), "{fault:?} {kind:?}");
        }
    }
}

/// A project whose checksums nobody knows yet.
fn unsummed() -> Sandbox {
    let sandbox = sandbox();
    sandbox.write("go.mod", "module example.com/main\n\ngo 1.21\n");
    sandbox
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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
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
        let asked = asked_for(&proxy, Kind::Mod);
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

/// A path that loses full packets: headers and small files arrive, zips stop. Whoever is behind is asked at once, and
/// no further zip is waited for.
#[test]
fn a_body_that_stops_is_left_for_who_else_can_be_asked() {
    for separated in ["|", ";"] {
        let (catalogue, sandbox) = many(12);
        let stop = Rule::new(Fault::StallBody { after: None }).on(Kind::Zip);
        let stuck = FaultProxy::builder(catalogue.clone()).rule(stop).start().unwrap();
        let healthy = FaultProxy::healthy(catalogue).unwrap();
        let both = format!("{}{separated}{}", stuck.url(), healthy.url());
        let mut set = setup(&both.split(';').collect::<Vec<_>>());
        set.stall = Duration::from_secs(1);
        let relay = Relay::start(set).unwrap().unwrap();
        through(&relay, &sandbox, &["mod", "download"]).expect_code(0);
        let zips = |proxy: &FaultProxy| asked_for(proxy, Kind::Zip);
        // As many as go asks for at once, and one on another connection each, while nothing is known yet.
        assert!(zips(&stuck) < 12, "{separated}: {}", zips(&stuck));
        assert_eq!(zips(&healthy), 12, "{separated}");
    }
}

/// What is no answer of a module proxy: anything below 400 but a whole file.
#[test]
fn what_is_neither_a_file_nor_a_refusal_is_a_fault() {
    for code in [201, 202, 203, 204, 300, 302, 304, 399] {
        let fault = Fault::Respond {
            code,
            headers: Vec::new(),
            body: String::new(),
        };
        let odd = with_rules([Rule::new(fault)]);
        let healthy = healthy();
        let alone = relay(&[odd.url()]);
        let args = &["mod", "download"];
        let run = through(&alone, &requiring_a(), args).expect_code(1);
        let by_go = plain(odd.url(), &requiring_a(), args).expect_code(1);
        assert_eq!(errors(&run), errors(&by_go), "{code}");
        assert!(!alone.faults().is_empty(), "{code}");
        let two = relay(&[odd.url(), healthy.url()]);
        through(&two, &requiring_a(), args).expect_code(0);
    }
}

/// Pages in place of files are faults like any other: ten in a row, and nobody asks there any more.
#[test]
fn a_portal_is_soon_left_alone() {
    let (catalogue, sandbox) = many(40);
    let portal = FaultProxy::builder(catalogue.clone())
        .always(Fault::Portal)
        .start()
        .unwrap();
    let healthy = FaultProxy::healthy(catalogue).unwrap();
    let mut set = setup(&[portal.url(), healthy.url()]);
    set.fail_timeout = Duration::from_secs(600);
    let relay = Relay::start(set).unwrap().unwrap();
    through(&relay, &sandbox, &["mod", "download"]).expect_code(0);
    let asked = portal.requests().len();
    assert!(asked < 40, "{asked}");
}

/// A few files that are bad for good are those files' business: the proxy that has them is well.
#[test]
fn a_proxy_with_bad_files_is_not_left_alone() {
    let (catalogue, sandbox) = many(6);
    let bad = |n: usize| {
        Rule::new(Fault::Portal)
            .on(Kind::List)
            .module(format!("example.com/m{n}"))
    };
    let proxy = FaultProxy::builder(catalogue)
        .rules([bad(1), bad(2), bad(3)])
        .start()
        .unwrap();
    let mut set = setup(&[proxy.url()]);
    set.fail_timeout = Duration::from_secs(3600);
    let relay = Relay::start(set).unwrap().unwrap();
    let args = &["list", "-e", "-m", "-versions", "all"];
    let by_go = plain(proxy.url(), &sandbox, args).expect_code(0);
    assert!(by_go.stdout.contains("example.com/m5 v1.0.0"), "{by_go}");
    assert_eq!(through(&relay, &sandbox, args).stdout, by_go.stdout);
}

/// Two pages send the question elsewhere, and it comes back where nobody else has the file.
#[test]
fn another_route_that_has_nothing_takes_no_try_away() {
    let scanning = with_rules([Rule::new(Fault::Portal).on(Kind::Zip).module(A.0).first(2)]);
    let empty = FaultProxy::healthy(Catalogue::new()).unwrap();
    let relay = relay(&[scanning.url(), empty.url()]);
    through(&relay, &requiring_a(), &["mod", "download"]).expect_code(0);
    assert!(!empty.requests().is_empty());
}

/// What stands behind may be unable to help: a body that stopped once is gone on with before.
#[test]
fn a_body_that_stops_once_is_gone_on_with_before_the_repository_is_asked() {
    let stop = Rule::new(Fault::StallBody { after: None }).on(Kind::Zip).first(1);
    let proxy = with_rules([stop]);
    let mut set = setup(&[&format!("{}|direct", proxy.url())]);
    set.stall = Duration::from_secs(1);
    let relay = Relay::start(set).unwrap().unwrap();
    through(&relay, &requiring_a(), &["mod", "download"]).expect_code(0);
}

/// Times that no clock can count up to.
#[test]
fn no_time_to_come_back_is_too_long_to_be_understood() {
    for after in [
        "9999999999999999999",
        "99999999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ] {
        let down = with_rules([Rule::new(status(503, Some(after)))]);
        let healthy = healthy();
        let relay = Relay::start(Setup {
            deadline: Some(std::time::Instant::now() + Duration::from_secs(600)),
            ..setup(&[down.url(), healthy.url()])
        });
        let relay = relay.unwrap().unwrap();
        through(&relay, &requiring_a(), &["mod", "download"]).expect_code(0);
    }
}

/// The budget holds the wait for a proxy that is down as it holds all else.
#[test]
fn no_probe_is_waited_for_behind_the_budget() {
    let down = with_rules([Rule::new(status(503, None))]);
    let relay = Relay::start(Setup {
        max_fails: 1,
        fail_timeout: Duration::from_secs(3600),
        deadline: Some(std::time::Instant::now() + Duration::from_secs(2)),
        ..setup(&[down.url()])
    });
    let relay = relay.unwrap().unwrap();
    through(&relay, &requiring_a(), &["mod", "download"]).expect_code(1);
}

/// Nobody there: the next route is asked before the first is asked again.
#[test]
fn every_route_is_asked_once_before_any_is_asked_twice() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
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

/// What forgets a connection says nothing, before the answer or in the middle of it: another connection is asked beside
/// it, long before a clock strikes, for no more than is missing.
#[test]
fn a_second_connection_takes_the_place_of_a_silent_one() {
    let rules = || {
        [
            Rule::new(Fault::StallHeader).on(Kind::Mod).first(1),
            Rule::new(Fault::StallBody { after: Some(70_000) })
                .on(Kind::Zip)
                .first(2),
        ]
    };
    let secure = Secure::new(true, |builder| builder.rules(rules()));
    let plain = with_rules(rules());
    let set_up = [
        (setup(&[plain.url()]), sandbox(), &plain),
        (
            secure.trusting(&[secure.proxy.url()]),
            secure.sandbox(),
            &secure.proxy,
        ),
    ];
    for (mut set, sandbox, proxy) in set_up {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&seen);
        set.listener = Some(Box::new(move |event| {
            if let gofix::report::Event::UpstreamRequest {
                error: Some(error), ..
            } = event
            {
                listener.lock().unwrap().push(error);
            }
        }));
        set.stall = Duration::from_secs(3600);
        set.quiet = Some(Duration::from_millis(300));
        set.deadline = Some(std::time::Instant::now() + Duration::from_secs(60));
        let relay = Relay::start(set).unwrap().unwrap();
        let sandbox = sandbox.requiring(&[("example.com/Upper/b", "v1.1.0")]);
        through(&relay, &sandbox, &["mod", "download"]).expect_code(0);
        let ranges: Vec<_> = proxy
            .requests()
            .into_iter()
            .filter(|request| request.kind() == Kind::Zip)
            .map(|zip| zip.header("range").map(str::to_owned))
            .collect();
        let expected = [None, Some("bytes=70000-"), Some("bytes=140000-")];
        assert_eq!(
            ranges.iter().map(Option::as_deref).collect::<Vec<_>>(),
            expected,
            "{}",
            proxy.url()
        );
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(
            seen.iter().all(|error| error.starts_with("silent for ")),
            "{seen:?}"
        );
        assert!(relay.faults().is_empty());
    }
}

/// A server that is slow is listened to, and does not get twice the work from those who find it slow.
#[test]
fn a_slow_server_is_not_asked_for_everything_twice() {
    let slow = with_rules([Rule::new(Fault::Delay { ms: 1500 })]);
    let mut set = setup(&[slow.url()]);
    set.stall = Duration::from_secs(3600);
    set.quiet = Some(Duration::from_millis(200));
    let relay = Relay::start(set).unwrap().unwrap();
    let address = &Address::of(&relay);
    std::thread::scope(|scope| {
        for n in 0..30 {
            scope.spawn(move || assert_eq!(address.get(&format!("0/example.com/m{n}/@v/list")).0, 404));
        }
    });
    let asked = slow.requests().len();
    assert!((31..45).contains(&asked), "{asked} requests for 30 files");
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

fn code(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("closed")
}

/// Only this command's go is let in, and only to what go asks for.
#[test]
fn strangers_are_kept_out() {
    let proxy = healthy();
    let relay = relay(&[proxy.url()]);
    let address = Address::of(&relay);
    let (host, token) = (address.host.as_str(), address.token.as_str());
    let list = "0/example.com/a/@v/list";
    assert_eq!(address.get(list).0, 200);
    let asked = proxy.requests().len();

    for target in [
        format!("/{list}"),
        format!("/{}/{list}", "0".repeat(32)),
        format!("/{}/{list}", &token[..31]),
        format!("/{token}x/{list}"),
        format!(
            "/{}/{list}",
            token.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A")
        ),
        "/".to_owned(),
    ] {
        assert_eq!(code(&address.request("GET", &target, host)), "403", "{target}");
    }
    let target = format!("/{token}/{list}");
    for other in ["localhost", "127.0.0.1", "example.com", "127.0.0.1:1", ""] {
        assert_eq!(code(&address.request("GET", &target, other)), "421", "{other}");
    }
    let twice =
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nHost: evil.test\r\nConnection: close\r\n\r\n");
    assert_eq!(code(&address.say(twice.as_bytes())), "421");
    let absolute = format!("http://{host}{target}");
    assert_eq!(code(&address.request("GET", &absolute, host)), "421");
    for method in ["POST", "PUT", "HEAD", "DELETE", "CONNECT"] {
        assert_ne!(code(&address.request(method, &target, host)), "200", "{method}");
    }
    for path in [
        "0/../../etc/passwd",
        "0/a/%2e%2e/%2e%2e/b/@v/list",
        "0/a/..%2f..%2fb/@v/list",
        "0//example.com/a/@v/list",
        "0/a%00b/@v/list",
        "0/a%0d%0aX-Y:%20z/@v/list",
        "0/a\\b/@v/list",
        "0/a/@v/list?x=y",
        "0",
        "0/",
        "1/example.com/a/@v/list",
        "-1/example.com/a/@v/list",
        "18446744073709551616/example.com/a/@v/list",
    ] {
        assert_eq!(address.get(path).0, 400, "{path}");
    }
    let long = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    assert_ne!(code(&address.say(long.as_bytes())), "200");
    assert_eq!(
        proxy.requests().len(),
        asked,
        "an upstream was asked for a stranger"
    );
}

/// Another user of the machine does not get in with the token either.
#[test]
fn another_user_is_kept_out() {
    use std::os::unix::process::CommandExt;
    if !nix::unistd::geteuid().is_root() || cfg!(not(target_os = "linux")) {
        // Only root can become somebody else; who owns a socket is known on Linux.
        return;
    }
    let proxy = healthy();
    let relay = relay(&[proxy.url()]);
    let address = Address::of(&relay);
    let (ip, port) = address.host.split_once(':').unwrap();
    let script = format!(
        "exec 3<>/dev/tcp/{ip}/{port}; printf 'GET /{}/0/example.com/a/@v/list HTTP/1.1\\r\\nHost: {}\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3",
        address.token, address.host
    );
    let ask = |uid: u32| {
        let output = std::process::Command::new("/bin/bash")
            .args(["-c", &script])
            .current_dir("/")
            .uid(uid)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(ask(0).contains("200 OK"));
    assert_eq!(ask(65534), "");
}

/// Redirects are followed as go follows them, and not where they must not lead.
#[test]
fn redirects() {
    let target = healthy();
    let to = |to: &str| with_rules([Rule::new(Fault::Redirect { to: to.to_owned() }).on(Kind::Mod)]);
    let proxy = to(&format!("{}/", target.url()));
    let relay_to = relay(&[proxy.url()]);
    through(&relay_to, &requiring_a(), &["mod", "download"]).expect_code(0);
    assert!(
        target
            .requests()
            .iter()
            .any(|request| request.kind() == Kind::Mod)
    );

    for (location, words) in [
        ("file:///etc/passwd", "unsupported protocol scheme \"file\""),
        ("ftp://127.0.0.1/", "unsupported protocol scheme \"ftp\""),
        (
            "http://169.254.169.254/latest/",
            "redirected to link-local address, refused",
        ),
        ("http://[fe80::1]/", "redirected to link-local address, refused"),
    ] {
        let proxy = to(location);
        let mut setup = setup(&[proxy.url()]);
        setup.tries = 1;
        let relay = Relay::start(setup).unwrap().unwrap();
        let run = through(&relay, &requiring_a(), &["mod", "download"]).expect_code(1);
        assert!(run.stderr.contains(words), "{location}: {run}");
    }
}

/// Many askers of one file make one request, whoever of them goes away.
#[test]
fn one_fetch_for_many_askers() {
    let proxy = with_rules([Rule::new(Fault::Delay { ms: 400 }).on(Kind::Zip)]);
    let mut setup = setup(&[proxy.url()]);
    setup.stall = Duration::from_secs(10);
    let relay = Relay::start(setup).unwrap().unwrap();
    let address = Address::of(&relay);
    let path = "0/example.com/!upper/b/@v/v1.1.0.zip";
    // One that asks first and leaves as soon as its request has reached the proxy.
    let mut leaver = TcpStream::connect(&address.host).unwrap();
    let request = format!(
        "GET /{}/{path} HTTP/1.1\r\nHost: {}\r\n\r\n",
        address.token, address.host
    );
    leaver.write_all(request.as_bytes()).unwrap();
    assert!(proxy.wait_for(Duration::from_secs(20), |requests| !requests.is_empty()));
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..8).map(|_| scope.spawn(|| address.get(path).0)).collect();
        drop(leaver);
        for asker in askers {
            assert_eq!(asker.join().unwrap(), 200);
        }
    });
    let requests = proxy.requests();
    let zips = requests
        .iter()
        .filter(|request| request.kind() == Kind::Zip)
        .count();
    assert!(zips <= 2, "{requests:?}");
}

/// In front of the user's own list the relay says 200 or 404 and nothing else.
#[test]
fn in_front_of_a_list() {
    let down = with_rules([
        Rule::new(status(503, None)).on(Kind::Mod),
        Rule::new(status(403, None)).on(Kind::Info),
    ]);
    let mut set = setup(&[down.url()]);
    set.in_front = true;
    set.tries = 0;
    let relay = Relay::start(set).unwrap().unwrap();
    assert_eq!(
        relay.goproxy().into_string().unwrap().split_once('|').unwrap().1,
        down.url()
    );
    let address = Address::of(&relay);
    assert_eq!(address.get("0/example.com/a/@v/list").0, 200);
    assert_eq!(address.get("0/example.com/a/@v/v1.0.0.mod").0, 404);
    assert_eq!(address.get("0/example.com/a/@v/v1.0.0.info").0, 404);
    assert_eq!(address.get("0/example.com/none/@v/list").0, 404);
    // Go then asks the real list, in its own words, and so it does when the relay has gone.
    let list = relay.goproxy();
    let run = sandbox()
        .requiring(&[A])
        .plain_go(&["mod", "download"])
        .env("GOPROXY", &list)
        .output();
    let of_go = plain(down.url(), &requiring_a(), &["mod", "download"]);
    assert_eq!(run.stderr, of_go.stderr);
    relay.shutdown();
    let run = requiring_a()
        .plain_go(&["mod", "download"])
        .env("GOPROXY", &list)
        .output();
    assert_eq!(run.stderr, of_go.stderr);
}

/// Ten faults in a row and three failed probes: after that the upstream's last
/// fault comes at once, without another request.
#[test]
fn a_dead_upstream_is_not_asked_again() {
    let proxy = with_rules([Rule::new(Fault::ResetBeforeHeader)]);
    let mut setup = setup(&[proxy.url()]);
    setup.fail_timeout = Duration::from_millis(1);
    setup.tries = 20;
    setup.max_fails = 4;
    setup.retry_count = 2;
    let relay = Relay::start(setup).unwrap().unwrap();
    let address = Address::of(&relay);
    assert_eq!(address.get("0/example.com/a/@v/list").0, 599);
    let asked = proxy.requests().len();
    assert_eq!(asked, 6);
    for module in ["a", "b", "c"] {
        assert_eq!(address.get(&format!("0/example.com/{module}/@v/list")).0, 599);
    }
    assert_eq!(proxy.requests().len(), asked);
    assert_eq!(relay.faults().len(), 4);
}

/// A route that was waited for in vain once is behind the others from then on.
#[test]
fn a_silent_route_is_waited_for_once() {
    let silent = with_rules([Rule::new(Fault::StallHeader)]);
    let healthy = healthy();
    let behind_pipe = format!("{}|{}", silent.url(), healthy.url());
    for lists in [
        &[silent.url(), healthy.url()][..],
        &[&behind_pipe],
        &[&behind_pipe, healthy.url()],
        &["http://127.0.0.1:1", silent.url(), healthy.url()],
    ] {
        let before = silent.requests().len();
        let relay = relay(lists);
        let sandbox = requiring_a().env("GOMAXPROCS", "1");
        through(&relay, &sandbox, &["mod", "download"]).expect_code(0);
        assert_eq!(silent.requests().len() - before, 1, "{lists:?}");
        assert!(relay.faults().is_empty(), "{lists:?}");
    }
    // Where there is nobody else it is asked every time.
    let mut set = setup(&[silent.url()]);
    set.tries = 1;
    let relay = Relay::start(set).unwrap().unwrap();
    let before = silent.requests().len();
    assert_eq!(Address::of(&relay).get("0/example.com/a/@v/list").0, 599);
    assert_eq!(silent.requests().len() - before, 2);
}

/// Requests that wait for it already leave with the first that waited in vain.
#[test]
#[cfg(target_os = "linux")]
fn who_waits_for_a_silent_route_leaves_with_the_first() {
    use nix::sys::socket::{Backlog, listen};
    // Nobody accepts here. The kernel takes one connection for the queue, whose request then waits for a first byte;
    // to the others it says nothing, and their connect clock strikes.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    listen(&silent, Backlog::new(0).unwrap()).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let healthy = healthy();
    let mut set = setup(&[&url, healthy.url()]);
    set.connect_timeout = Duration::from_millis(300);
    // The one that waits for a first byte would wait for hours.
    set.stall = Duration::from_secs(3600);
    set.deadline = Some(std::time::Instant::now() + Duration::from_secs(60));
    let relay = Relay::start(set).unwrap().unwrap();
    let address = &Address::of(&relay);
    std::thread::scope(|scope| {
        for n in 0..6 {
            scope.spawn(move || assert_eq!(address.get(&format!("0/example.com/m{n}/@v/list")).0, 404));
        }
    });
    assert!(relay.faults().is_empty(), "{:?}", relay.faults());
}

/// It has its place again as soon as it answers.
#[test]
fn a_silent_route_that_answers_is_silent_no_more() {
    let first = with_rules([Rule::new(Fault::StallHeader).first(1)]);
    let broken = with_rules([Rule::new(Fault::ResetBeforeHeader).on(Kind::Info)]);
    let mut set = setup(&[first.url(), broken.url()]);
    set.tries = 2;
    let relay = Relay::start(set).unwrap().unwrap();
    let address = Address::of(&relay);
    assert_eq!(address.get("0/example.com/a/@v/v1.0.0.mod").0, 200);
    assert_eq!(address.get("0/example.com/a/@v/list").0, 200);
    assert_eq!(first.requests().len(), 1, "it was left alone");
    // Nobody else has this one.
    assert_eq!(address.get("0/example.com/a/@v/v1.0.0.info").0, 200);
    assert_eq!(first.requests().len(), 2);
    let asked = broken.requests().len();
    assert_eq!(address.get("0/example.com/a/@v/list").0, 200);
    assert_eq!(first.requests().len(), 3);
    assert_eq!(broken.requests().len(), asked);
}

/// A list whose first proxy is down costs no more waiting than it costs go.
#[test]
fn a_dead_proxy_before_a_pipe_is_not_waited_for() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let healthy = healthy();
    let mut set = setup(&[&format!("{gone}|{}", healthy.url())]);
    set.max_fails = 1;
    // A wait for its probe would be a wait until the end of the budget.
    set.fail_timeout = Duration::from_secs(3600);
    set.deadline = Some(std::time::Instant::now() + Duration::from_secs(60));
    let relay = Relay::start(set).unwrap().unwrap();
    through(&relay, &requiring_a(), &["mod", "download"]).expect_code(0);
}

/// Nor where the repository itself comes next: a few tries at once, and none for a proxy that is known to be down.
#[test]
fn a_dead_proxy_before_the_repository_is_soon_left() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for (list, expected) in [("|direct", &[4, 8, 10, 10][..]), ("|off", &[6])] {
        let asked = Arc::new(Mutex::new(0));
        let mut set = setup(&[&format!("{gone}{list}")]);
        let listener = Arc::clone(&asked);
        set.listener = Some(Box::new(move |event| {
            if matches!(event, gofix::report::Event::UpstreamRequest { .. }) {
                *listener.lock().unwrap() += 1;
            }
        }));
        set.tries = 5;
        set.fail_timeout = Duration::from_secs(3600);
        let relay = Relay::start(set).unwrap().unwrap();
        let address = Address::of(&relay);
        for (nth, expected) in expected.iter().enumerate() {
            assert_eq!(address.get(&format!("0/example.com/m{nth}/@v/list")).0, 599);
            assert_eq!(*asked.lock().unwrap(), *expected, "{list}");
        }
    }
}

/// A longer wait than a minute means the next route.
#[test]
fn retry_after() {
    let limited = with_rules([Rule::new(status(429, Some("61"))).on(Kind::Mod)]);
    let later = healthy();
    let relay_two = relay(&[limited.url(), later.url()]);
    through(&relay_two, &requiring_a(), &["mod", "download"]).expect_code(0);
    let mods = |proxy: &FaultProxy| asked_for(proxy, Kind::Mod);
    // Each file is asked for once on either route.
    assert!(mods(&limited) > 0);
    assert_eq!(mods(&limited), mods(&later));
    // So does one that would outlast the budget.
    let limited = with_rules([Rule::new(status(429, Some("50"))).on(Kind::Mod)]);
    let mut set = setup(&[limited.url(), later.url()]);
    set.deadline = Some(std::time::Instant::now() + Duration::from_secs(45));
    let relay = Relay::start(set).unwrap().unwrap();
    through(&relay, &requiring_a(), &["mod", "download"]).expect_code(0);
    // The budget ends every wait.
    let limited = with_rules([Rule::new(status(429, Some("50"))).on(Kind::Mod)]);
    let mut set = setup(&[limited.url()]);
    set.deadline = Some(std::time::Instant::now() + Duration::from_secs(20));
    let relay = Relay::start(set).unwrap().unwrap();
    let run = through(&relay, &requiring_a(), &["mod", "download"]).expect_code(1);
    assert!(run.stderr.contains("429 Too Many Requests"), "{run}");
}

/// A certificate made for `localhost`, 127.0.0.1 and `proxy.test`.
fn certificate(http2: bool) -> (Tls, String) {
    let names = ["localhost", "127.0.0.1", "proxy.test"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let pem = made.cert.pem();
    let tls = Tls {
        chain_pem: pem.clone(),
        key_pem: made.signing_key.serialize_pem(),
        http2,
    };
    (tls, pem)
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
        let (tls, pem) = certificate(http2);
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

#[test]
fn http2_and_back_to_http1_after_its_faults() {
    let faults = [
        Rule::new(Fault::Goaway { code: 2 }).on(Kind::Mod).first(1),
        Rule::new(Fault::RstStream {
            code: 2,
            after: Some(10),
        })
        .on(Kind::Zip)
        .first(1),
    ];
    for rules in [&faults[..0], &faults[..1], &faults[1..]] {
        let secure = Secure::new(true, |builder| builder.rules(rules.iter().cloned()));
        let relay = Relay::start(secure.trusting(&[secure.proxy.url()]))
            .unwrap()
            .unwrap();
        through(&relay, &secure.sandbox(), &["mod", "download"]).expect_code(0);
        let requests = secure.proxy.requests();
        assert_eq!(requests[0].protocol, "HTTP/2");
        let back = requests.iter().any(|request| request.protocol == "HTTP/1.1");
        assert_eq!(back, !rules.is_empty(), "{rules:?}");
    }
}

#[test]
fn a_certificate_that_does_not_verify() {
    let secure = Secure::new(true, |builder| builder);
    let relay = Relay::start(setup(&[secure.proxy.url()])).unwrap().unwrap();
    let of_relay = through(&relay, &requiring_a(), &["mod", "download"]).expect_code(1);
    let of_go = plain(secure.proxy.url(), &requiring_a(), &["mod", "download"]);
    assert_eq!(of_relay.stderr, of_go.stderr);
    assert!(of_go.stderr.contains("x509: "), "{of_go}");
    // One handshake for the relay's request, one for go's.
    assert_eq!(secure.proxy.connections(), 2);
    // Another name than the certificate's.
    let secure = Secure::new(true, |builder| builder);
    let url = secure.proxy.url().replace("127.0.0.1", "127.0.0.2");
    drop(relay);
    let relay = Relay::start(secure.trusting(&[&url])).unwrap().unwrap();
    let run = through(&relay, &requiring_a(), &["mod", "download"]).expect_code(1);
    assert!(run.stderr.contains(&format!("Get \"{url}/")), "{run}");
}

#[test]
fn credentials_stay_with_their_host() {
    let secure = Secure::new(true, |builder| builder.basic_auth("me:s3cr3t"));
    let authority = secure.proxy.url().strip_prefix("https://").unwrap().to_owned();
    // Without any, the answer is 401 and goes through as it is.
    let relay = Relay::start(secure.trusting(&[secure.proxy.url()]))
        .unwrap()
        .unwrap();
    let refused = through(&relay, &secure.sandbox(), &["mod", "download"]).expect_code(1);
    let of_go = plain(secure.proxy.url(), &secure.sandbox(), &["mod", "download"]);
    assert_eq!(refused.stderr, of_go.stderr);
    // Out of the URL; nothing that is printed shows them.
    let with_user = secure.proxy.url_with("me:s3cr3t");
    let relay = Relay::start(secure.trusting(&[&with_user])).unwrap().unwrap();
    let run = through(&relay, &secure.sandbox(), &["mod", "download", "-x"]).expect_code(0);
    assert!(
        !run.stderr.contains("s3cr3t") && run.stderr.contains("me:xxxxx@"),
        "{run}"
    );
    // Out of netrc, for this host and port.
    let mut netrc = tempfile::NamedTempFile::new().unwrap();
    writeln!(netrc, "machine {authority} login me password s3cr3t").unwrap();
    let mut setup = secure.trusting(&[secure.proxy.url()]);
    setup.environment.netrc = Some(netrc.path().into());
    let relay = Relay::start(setup).unwrap().unwrap();
    through(&relay, &secure.sandbox(), &["mod", "download"]).expect_code(0);
    // A redirect to another host leaves them behind.
    let other = healthy();
    let to = format!("{}/", other.url().replace("127.0.0.1", "localhost"));
    let from = Secure::new(false, |builder| builder.rule(Rule::new(Fault::Redirect { to })));
    let list = from.proxy.url_with("me:s3cr3t");
    let relay = Relay::start(from.trusting(&[&list])).unwrap().unwrap();
    let run = through(&relay, &from.sandbox(), &["mod", "download"]).expect_code(1);
    // https to http: refused, in go's words.
    assert!(run.stderr.contains("redirected from secure URL"), "{run}");
    assert!(!run.stderr.contains("s3cr3t"), "{run}");
    assert!(other.requests().is_empty());
}

/// An HTTP proxy that takes every request and every tunnel to one place.
fn forward_proxy(to: &FaultProxy) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://me:pw@{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (lines, target) = (Arc::clone(&seen), to.address());
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || forward(client, target, &lines));
        }
    });
    (url, seen)
}

fn forward(mut client: TcpStream, target: std::net::SocketAddr, lines: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    lines.lock().ok()?.push(head.clone());
    let mut upstream = TcpStream::connect(target).ok()?;
    if head.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    } else {
        // Not kept alive: the next request may name another host.
        let (line, rest) = head.split_once("\r\n")?;
        let path = line.split(' ').nth(1)?.splitn(4, '/').nth(3)?;
        let head = format!("GET /{path} HTTP/1.1\r\nConnection: close\r\n{rest}");
        upstream.write_all(head.as_bytes()).ok()?;
    }
    let (mut from_client, mut to_upstream) = (client.try_clone().ok()?, upstream.try_clone().ok()?);
    std::thread::spawn(move || {
        std::io::copy(&mut from_client, &mut to_upstream).ok();
        to_upstream.shutdown(std::net::Shutdown::Write).ok();
    });
    std::io::copy(&mut upstream, &mut client).ok();
    client.shutdown(std::net::Shutdown::Both).ok();
    Some(())
}

/// The proxies of the environment, as go uses them.
#[test]
fn proxies_of_the_environment() {
    let plain_proxy = healthy();
    let (url, seen) = forward_proxy(&plain_proxy);
    let mut set = setup(&["http://proxy.test/"]);
    set.environment.proxies.http = url;
    let relay = Relay::start(set).unwrap().unwrap();
    through(&relay, &requiring_a(), &["mod", "download"]).expect_code(0);
    {
        let seen = seen.lock().unwrap();
        assert!(
            seen[0].starts_with("GET http://proxy.test/example.com/a/@v/v1.0.0.mod HTTP/1.1\r\n"),
            "{seen:?}"
        );
        assert!(
            seen[0]
                .to_ascii_lowercase()
                .contains("proxy-authorization: basic bwu6chc="),
            "{seen:?}"
        );
    }

    let secure = Secure::new(true, |builder| builder);
    let (url, seen) = forward_proxy(&secure.proxy);
    let mut set = secure.trusting(&["https://proxy.test"]);
    set.environment.proxies.https = url;
    let relay = Relay::start(set).unwrap().unwrap();
    through(&relay, &secure.sandbox(), &["mod", "download"]).expect_code(0);
    let seen = seen.lock().unwrap();
    assert!(
        seen[0].starts_with("CONNECT proxy.test:443 HTTP/1.1\r\n"),
        "{seen:?}"
    );
    assert!(
        seen[0].contains("Proxy-Authorization: Basic bWU6cHc=\r\n"),
        "{seen:?}"
    );
}

/// A proxy of the environment that refuses has answered.
#[test]
fn a_refused_tunnel_is_an_answer() {
    for (status, asked, words) in [
        (
            "407 Proxy Authentication Required",
            1,
            "Proxy Authentication Required",
        ),
        ("403 Forbidden", 1, "Forbidden"),
        ("502 Bad Gateway", 2, "Bad Gateway"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let count = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&count);
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                *counter.lock().unwrap() += 1;
                let mut buffer = [0; 1024];
                let _read = client.read(&mut buffer);
                write!(client, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").ok();
            }
        });
        let later = healthy();
        let mut set = setup(&["https://proxy.test"]);
        set.environment.proxies.https = url.clone();
        set.tries = 1;
        let relay = Relay::start(set).unwrap().unwrap();
        let run = through(&relay, &requiring_a(), &["mod", "download"]).expect_code(1);
        let asked_by_relay = *count.lock().unwrap();
        let sandbox = requiring_a().env("HTTPS_PROXY", &url);
        let of_go = plain("https://proxy.test", &sandbox, &["mod", "download"]);
        assert_eq!(run.stderr, of_go.stderr);
        assert!(run.stderr.contains(words), "{run}");
        assert_eq!(asked_by_relay, asked, "{status}");
        drop(later);
    }
}

/// Set for [`as_a_process`]: the list to relay.
const PROCESS: &str = "__GOFIX_TEST_RELAY_LIST";

/// No test of its own: a relay in a process of its own, whose memory others measure.
#[test]
#[ignore = "run by other tests, as a process of its own"]
fn as_a_process() {
    let Some(list) = std::env::var(PROCESS).ok() else {
        return;
    };
    let mut set = setup(&[&list]);
    set.stall = Duration::from_secs(30);
    set.tries = 1;
    let relay = Relay::start(set).unwrap().unwrap();
    writeln!(std::io::stdout(), "{}", relay.goproxy().into_string().unwrap()).unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).ok();
}

/// A relay in a process of its own.
struct Process {
    child: std::process::Child,
    address: Address,
}

impl Process {
    fn start(list: &str) -> Self {
        use std::io::BufRead as _;
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "relay::as_a_process",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(PROCESS, list)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.find("http://").map(|at| line[at + 7..].to_owned()))
            .expect("the relay says where it is");
        // What the harness says at its end must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let mut parts = url.split('/');
        let address = Address {
            host: parts.next().unwrap().to_owned(),
            token: parts.next().unwrap().to_owned(),
        };
        Self { child, address }
    }

    /// The largest resident size so far, in MiB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

/// Bodies and headers without end and gzip bombs are cut, under 100 MB.
#[test]
#[cfg(target_os = "linux")]
fn nothing_makes_it_swell() {
    let faults = [
        Fault::EndlessHeaders,
        Fault::EndlessBody,
        Fault::GzipBomb { mib: 2048 },
    ];
    for fault in faults {
        let kinds = [Kind::Info, Kind::Mod, Kind::List, Kind::Latest, Kind::Lookup];
        let proxy = with_rules(kinds.map(|kind| Rule::new(fault.clone()).on(kind)));
        let process = Process::start(proxy.url());
        std::thread::scope(|scope| {
            for path in ["@v/list", "@latest", "@v/v1.0.0.info", "@v/v1.0.0.mod"] {
                let address = &process.address;
                scope.spawn(move || {
                    let (status, body) = address.get(&format!("0/example.com/a/{path}"));
                    assert!(status == 599 || body.len() <= 32 << 20, "{path}: {status}");
                });
            }
        });
        let resident = process.resident();
        assert!(resident < 100, "{fault:?}: {resident} MiB");
    }
    // A bomb for a zip.
    let proxy = with_rules([Rule::new(Fault::GzipBomb { mib: 600 }).on(Kind::Zip)]);
    let process = Process::start(proxy.url());
    assert_eq!(process.address.get("0/example.com/a/@v/v1.0.0.zip").0, 599);
    assert!(process.resident() < 100);
}

/// A zip of 30 MB and a client that does not read: memory stays where it is.
#[test]
#[cfg(target_os = "linux")]
fn large_bodies_and_slow_clients_leave_memory_flat() {
    let catalogue = Catalogue::new().with(Module::new("example.com/big", "v1.0.0").ballast(30 << 20));
    let proxy = FaultProxy::healthy(catalogue).unwrap();
    let process = Process::start(proxy.url());
    let address = &process.address;
    let path = "0/example.com/big/@v/v1.0.0.zip";
    let mut slow: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(&address.host).unwrap();
            let request = format!(
                "GET /{}/{path} HTTP/1.1\r\nHost: {}\r\n\r\n",
                address.token, address.host
            );
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    for stream in &mut slow {
        let mut first = [0; 15];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
    }
    assert_eq!(address.get(path).0, 200);
    assert!(process.resident() < 24 + 16, "{} MiB", process.resident());
}

/// A large zip over a line that drops, again and again.
#[test]
fn a_line_that_drops_every_megabyte() {
    let catalogue = Catalogue::new().with(Module::new("example.com/big", "v1.0.0").ballast(20 << 20));
    let proxy = FaultProxy::builder(catalogue)
        .rule(
            Rule::new(Fault::ResetBody { after: Some(1 << 20) })
                .on(Kind::Zip)
                .first(20),
        )
        .start()
        .unwrap();
    let relay = relay(&[proxy.url()]);
    let sandbox = Sandbox::new().requiring(&[("example.com/big", "v1.0.0")]);
    through(&relay, &sandbox, &["mod", "download"]).expect_code(0);
    let zips = asked_for(&proxy, Kind::Zip);
    assert_eq!(zips, 21);
}
