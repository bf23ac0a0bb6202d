//! What go prints through the relay is what it prints without.

use super::*;

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
