//! Which proxy of the list is asked, in which order, and which is left alone.

use super::*;

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
