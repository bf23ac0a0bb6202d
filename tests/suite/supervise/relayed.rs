//! The same with the relay in between.

use super::*;

#[test]
fn with_the_relay_one_run_of_go_is_enough() {
    let healthy = go_mod_of_a_healthy_tidy();
    let whole = |fault: &Fault| !matches!(fault, Fault::ShortBody { .. });
    // A go.mod that is cut and says so nowhere is for go's checksums to find.
    for fault in passing_faults().into_iter().filter(whole) {
        let rules = [Kind::List, Kind::Mod, Kind::Zip].map(|kind| Rule::new(fault.clone()).on(kind).first(1));
        let proxy = proxy_with(rules);
        let sandbox = relayed(to_tidy(&proxy)).env("GOFIX_TIMEOUT_MS", "1000");
        let outcome = sandbox.go(&["mod", "tidy"]).output();
        assert_eq!(outcome.code(), Some(0), "{fault:?}: {outcome}");
        assert_eq!(
            (sandbox.read("go.mod"), sandbox.read("go.sum")),
            healthy,
            "{fault:?}: {outcome}"
        );
        assert_eq!(attempts(&sandbox), 1, "{fault:?}: {outcome}");
    }
}

#[test]
fn with_the_relay_a_healthy_command_is_exactly_go() {
    let proxy = proxy_with([]);
    let (with, without) = (relayed(to_tidy(&proxy)), to_tidy(&proxy));
    let relayed = with.go(&["mod", "tidy"]).output().expect_code(0);
    let plain = without.plain_go(&["mod", "tidy"]).output().expect_code(0);
    assert_eq!(sorted(&relayed.stderr), sorted(&plain.stderr));
    for args in [
        &["list", "-m", "-json", "all"][..],
        &["mod", "download", "-json", "example.com/b@latest"],
        &["mod", "download", "example.com/a@v9.9.9"],
        &["list", "-m", "-versions", "example.com/nosuch"],
        &["get", "example.com/b@v3.0.0"],
        &["mod", "download", "-x"],
    ] {
        let (relayed, plain) = (with.go(args).output(), without.plain_go(args).output());
        assert_eq!(relayed.status, plain.status, "{args:?}: {relayed}");
        assert_eq!(
            with.without_place(&relayed.stdout),
            without.without_place(&plain.stdout),
            "{args:?}"
        );
        assert_eq!(
            with.without_place(&relayed.stderr),
            without.without_place(&plain.stderr),
            "{args:?}"
        );
    }
}

#[test]
fn a_fault_past_the_relay_is_doubted_as_without_it() {
    // A GOSUMDB with a URL is asked straight by go, and tidy swallows its fault.
    let healthy = go_mod_of_a_healthy_tidy();
    let proxy = proxy_with([Rule::new(Fault::CloseBeforeHeader)
        .on(Kind::Lookup)
        .module(B)
        .first(1)]);
    let sandbox = relayed(to_tidy(&proxy));
    let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(0);
    assert_eq!(
        (sandbox.read("go.mod"), sandbox.read("go.sum")),
        healthy,
        "{outcome}"
    );
}

#[test]
fn faults_that_outlast_the_relay_are_not_taken_for_an_answer_of_tidy() {
    // Longer than anybody waits: the tries are spent at once.
    let fault = unavailable(Some("3600"));
    let proxy = proxy_with([Rule::new(fault).on(Kind::List).module(B)]);
    let sandbox = relayed(to_tidy(&proxy));
    let before = sandbox.read("go.mod");
    let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(1);
    assert_eq!(sandbox.read("go.mod"), before, "{outcome}");
    assert!(!sandbox.project().join("go.sum").exists());
    assert!(
        outcome.stderr.contains("accepts the result as it is"),
        "{outcome}"
    );
}

#[test]
fn with_the_relay_a_dead_route_is_answered_from_the_next() {
    let healthy = go_mod_of_a_healthy_tidy();
    for door in [Door::Refuse, Door::Close, Door::Reset] {
        let dead = FaultProxy::builder(catalogue()).door(door).start().unwrap();
        let second = proxy_with([]);
        let routes = format!("{};{}", dead.url(), second.url());
        let sandbox = relayed(to_tidy(&dead))
            .env("GOSUMDB", second.gosumdb())
            .env("GOFIX_ROUTES", routes);
        let outcome = sandbox.go(&["mod", "tidy"]).output();
        assert_eq!(outcome.code(), Some(0), "{door:?}: {outcome}");
        assert_eq!(
            (sandbox.read("go.mod"), sandbox.read("go.sum")),
            healthy,
            "{door:?}"
        );
        assert_eq!(attempts(&sandbox), 1, "{door:?}");
    }
}

#[test]
fn with_the_relay_on_a_carried_command_has_it_in_front_of_its_own_list() {
    let proxy = proxy_with([Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip).first(1)]);
    let sandbox = relayed(to_download(&proxy)).shared_build_cache();
    sandbox.write("go.sum", catalogue().go_sum());
    sandbox.write(
        "main.go",
        "package main\n\nimport (\n\t\"os\"\n\t_ \"example.com/b\"\n)\n\nfunc main() {\n\tprint(os.Getenv(\"GOPROXY\"))\n\tos.Exit(3)\n}\n",
    );
    let outcome = sandbox.go(&["run", "."]).output().expect_code(1);
    let list = outcome
        .stderr
        .lines()
        .find(|line| line.starts_with("http://127.0.0.1"))
        .unwrap_or_default();
    assert!(list.contains(&format!("|{}", proxy.url())), "{outcome}");
    assert!(outcome.stderr.ends_with("exit status 3\n"), "{outcome}");
}

/// Nobody sits there for whom an hour is long, and a hundred jobs wait for the same proxy.
#[test]
fn in_ci_a_proxy_that_is_down_is_waited_for() {
    let proxy = proxy_with([Rule::new(status(503, Some("3600")))]);
    let waits = |sandbox: &Sandbox| events(sandbox).get("request_backoff").copied();
    for (ci, tries) in [("false", "3"), ("true", "0")] {
        let sandbox = relayed(to_download(&proxy))
            .env("CI", ci)
            .env("GOFIX_RETRY_COUNT", tries)
            .env("GOFIX_BUDGET", "3h");
        sandbox.go(&["mod", "download"]).output().expect_code(1);
        assert_eq!(waits(&sandbox), None);
    }
    let sandbox = relayed(to_download(&proxy))
        .env("CI", "true")
        .env("GOFIX_BUDGET", "3h");
    let running = sandbox.go(&["mod", "download"]).spawn();
    wait_until(|| waits(&sandbox).is_some());
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().signal(), Some(libc::SIGTERM));
}
