//! Proxies that are dead or silent, and when they are asked again.

use super::*;

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

/// In CI one that is down is waited for, as long as the budget lasts and nobody else can be asked.
#[test]
fn the_patient_wait_for_a_proxy_that_is_down() {
    let ask = |patient, fault: Fault, behind: &str, later: &[&str]| {
        let down = with_rules([Rule::new(fault).first(5)]);
        let own = format!("{}{behind}", down.url());
        let mut set = setup(&[&[own.as_str()], later].concat());
        set.patient = patient;
        set.tries = 1;
        // Its breaker opens, and its probes fail.
        set.max_fails = 2;
        set.retry_count = 1;
        set.fail_timeout = Duration::from_millis(1);
        let relay = Relay::start(set).unwrap().unwrap();
        let (status, ..) = Address::of(&relay).get("0/example.com/a/@v/list");
        (status, down.requests().len())
    };
    let healthy = healthy();
    assert_eq!(ask(true, status(503, None), "", &[]), (200, 6));
    assert_eq!(ask(true, status(429, Some("0")), "", &[]), (200, 6));
    assert_eq!(ask(false, status(503, None), "", &[]), (503, 2));
    // What may be said of one file for ever.
    assert_eq!(ask(true, status(500, None), "", &[]), (500, 2));
    assert_eq!(ask(true, Fault::ResetBeforeHeader, "", &[]), (599, 2));
    // Another route comes first, at the same time as ever.
    for patient in [true, false] {
        assert_eq!(ask(patient, status(503, None), "", &[healthy.url()]), (200, 2));
        // Or go, by itself.
        assert_eq!(ask(patient, status(503, None), "|direct", &[]), (503, 2));
    }
}

/// The patient give up at the end of the budget too.
#[test]
fn patience_ends_with_the_budget() {
    let down = with_rules([Rule::new(status(503, None))]);
    let mut set = setup(&[down.url()]);
    set.patient = true;
    set.tries = 1;
    set.deadline = Some(std::time::Instant::now() + Duration::from_secs(2));
    let relay = Relay::start(set).unwrap().unwrap();
    through(&relay, &requiring_a(), &["mod", "download"]).expect_code(1);
    assert!(down.requests().len() > 2);
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
