//! Faults of the network, and what go makes of them in the end.

use super::*;

#[test]
fn tidy_survives_every_passing_fault_with_the_same_result() {
    let healthy = go_mod_of_a_healthy_tidy();
    for fault in passing_faults() {
        let proxy = proxy_with([Rule::new(fault.clone()).on(Kind::Zip).first(1)]);
        let sandbox = to_tidy(&proxy);
        let outcome = sandbox.go(&["mod", "tidy"]).output();
        assert_eq!(outcome.code(), Some(0), "{fault:?}: {outcome}");
        assert_eq!(
            (sandbox.read("go.mod"), sandbox.read("go.sum")),
            healthy,
            "{fault:?}"
        );
        // Go itself asks again where a connection that it used before has ended.
        let ends = matches!(fault, Fault::CloseBeforeHeader | Fault::ResetBeforeHeader);
        let expected = if ends { 1..=2 } else { 2..=2 };
        assert!(expected.contains(&attempts(&sandbox)), "{fault:?}: {outcome}");
        assert_eq!(
            outcome.gofix_lines().is_empty(),
            attempts(&sandbox) == 1,
            "{fault:?}: {outcome}"
        );
    }
}

#[test]
fn download_survives_every_passing_fault_of_every_kind_of_request() {
    for kind in [Kind::Info, Kind::Mod, Kind::Zip, Kind::Lookup] {
        for fault in [
            Fault::ResetBeforeHeader,
            Fault::CloseBody {
                after: None,
                framing: Framing::Length,
            },
            status(502, None),
            Fault::StallBody { after: None },
        ] {
            let proxy = proxy_with([Rule::new(fault.clone()).on(kind).first(1)]);
            let sandbox = to_download(&proxy);
            let outcome = sandbox.go(&["mod", "download"]).output();
            assert_eq!(outcome.code(), Some(0), "{kind:?} {fault:?}: {outcome}");
            assert!(
                sandbox.modcache().join("example.com/b@v1.1.0/go.mod").is_file(),
                "{kind:?} {fault:?}"
            );
        }
    }
}

#[test]
fn stdout_is_that_of_the_last_attempt_only() {
    let fault = unavailable(None);
    let proxy = proxy_with([Rule::new(fault).on(Kind::Zip).module(B).first(1)]);
    let sandbox = to_download(&proxy);
    sandbox.write("go.sum", catalogue().go_sum());
    let outcome = sandbox.go(&["mod", "download", "-json"]).output().expect_code(0);
    assert_eq!(attempts(&sandbox), 2);
    assert_eq!(outcome.stdout.matches("\"Path\"").count(), 2, "{outcome}");
    assert!(!outcome.stdout.contains("Error"), "{outcome}");
}

#[test]
fn an_error_that_heals_is_never_seen() {
    let proxy = proxy_with([Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip).first(1)]);
    let sandbox = to_tidy(&proxy);
    let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(0);
    let others: Vec<&str> = outcome
        .stderr
        .lines()
        .filter(|line| !line.starts_with("gofix: ") && !line.starts_with("go: downloading"))
        .filter(|line| !line.starts_with("go: finding") && !line.starts_with("go: found"))
        .collect();
    assert_eq!(others, [""; 0], "{outcome}");
}

#[test]
fn what_go_test_could_not_set_up_is_fetched_again() {
    let fault = unavailable(None);
    let proxy = proxy_with([Rule::new(fault).on(Kind::Zip).module(B).first(1)]);
    let sandbox = to_download(&proxy).shared_build_cache();
    sandbox.write("go.sum", catalogue().go_sum());
    let outcome = sandbox.go(&["test", "./..."]).output().expect_code(0);
    assert_eq!(attempts(&sandbox), 2, "{outcome}");
}

/// A package that is named on the line fails without a place in a file in front.
#[test]
fn what_go_run_could_not_set_up_is_fetched_again() {
    let fault = unavailable(None);
    let catalogue = Catalogue::new().with(Module::new(A, "v1.0.0").file(
        "cmd/x/x.go",
        "package main\n\nfunc main() { println(\"x runs\") }\n",
    ));
    let sum = catalogue.go_sum();
    let proxy = FaultProxy::builder(catalogue)
        .rules([Rule::new(fault).on(Kind::Zip).first(1)])
        .start()
        .unwrap();
    let sandbox = quick(
        Sandbox::new()
            .env("GOPROXY", proxy.url())
            .requiring(&[(A, "v1.0.0")]),
    )
    .shared_build_cache();
    sandbox.write("go.sum", sum);
    let outcome = sandbox
        .go(&["run", "example.com/a/cmd/x"])
        .output()
        .expect_code(0);
    assert!(outcome.stderr.ends_with("x runs\n"), "{outcome}");
    assert_eq!(attempts(&sandbox), 2, "{outcome}");
}

/// go fetches a toolchain before it looks at the command; what it says of a fault there is read like any other.
#[test]
fn a_switch_of_the_toolchain_comes_through_faults() {
    let catalogue = catalogue().with(toolchain());
    for (kind, every) in [(Kind::Zip, 1), (Kind::Lookup, 3), (Kind::Tile, 3)] {
        for fault in passing_faults().into_iter().step_by(every) {
            let project = |rule: Option<Rule>| {
                let sumdb = SumDb::new("sum.example.test", &catalogue);
                let proxy = FaultProxy::builder(catalogue.clone())
                    .sumdb(sumdb)
                    .rules(rule)
                    .start()
                    .unwrap();
                let sandbox = to_download(&proxy).env("GOTOOLCHAIN", "auto");
                sandbox.write("go.mod", "module example.com/main\n\ngo 1.99.0\n");
                (proxy, sandbox)
            };
            let rule = || Some(Rule::new(fault.clone()).on(kind).first(1));
            let (_proxy, sandbox) = project(None);
            let expected = sandbox.plain_go(&["mod", "download"]).output().expect_code(0);
            assert_eq!(expected.stdout, "go version go1.99.0 fake/fake\n");
            // Go itself asks again where a connection that it used before has ended.
            let ends = matches!(fault, Fault::CloseBeforeHeader | Fault::ResetBeforeHeader);
            if !ends && !matches!(fault, Fault::StallHeader | Fault::StallBody { .. }) {
                let (_proxy, sandbox) = project(rule());
                let plain = sandbox.plain_go(&["mod", "download"]).output();
                assert_eq!(plain.code(), Some(1), "{kind:?} {fault:?}: {plain}");
            }
            let (_proxy, sandbox) = project(rule());
            let outcome = sandbox.go(&["mod", "download"]).output();
            assert_eq!(outcome.code(), Some(0), "{kind:?} {fault:?}: {outcome}");
            assert_eq!(outcome.stdout, expected.stdout, "{kind:?} {fault:?}: {outcome}");
            let expected = if ends { 1..=2 } else { 2..=2 };
            assert!(
                expected.contains(&attempts(&sandbox)),
                "{kind:?} {fault:?}: {outcome}"
            );
        }
    }
}
