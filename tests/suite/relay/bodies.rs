//! Bodies that stop, break or creep.

use super::*;

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
