//! Which routes are asked, and which never are.

use super::*;

#[test]
fn a_dead_first_route_is_left_for_the_next() {
    // Nobody there: the next route at once. A host that closes or resets may
    // be asked again before.
    for (door, expected) in [
        (Door::Refuse, 2..=2),
        (Door::Stall, 2..=2),
        (Door::Close, 2..=5),
        (Door::Reset, 2..=5),
    ] {
        let dead = FaultProxy::builder(catalogue()).door(door).start().unwrap();
        let healthy = proxy_with([]);
        let routes = format!("{};{}", dead.url(), healthy.url());
        let sandbox = to_tidy(&dead)
            .env("GOSUMDB", healthy.gosumdb())
            .env("GOFIX_ROUTES", routes);
        let outcome = sandbox.go(&["mod", "tidy"]).output();
        assert_eq!(outcome.code(), Some(0), "{door:?}: {outcome}");
        assert!(expected.contains(&attempts(&sandbox)), "{door:?}: {outcome}");
    }
}

#[test]
fn no_request_leaves_what_the_user_allowed() {
    let cases = [
        ("direct", false),
        ("file:///nonexistent", false),
        ("PRIVATE", false),
        ("PRIVATE|direct", false),
        ("PRIVATE,off", false),
        ("https://proxy.golang.org,PRIVATE", false),
        ("PRIVATE", true),
    ];
    for (list, listed) in cases {
        let private = FaultProxy::builder(catalogue())
            .door(Door::Refuse)
            .start()
            .unwrap();
        let second = proxy_with([]);
        let list = list.replace("PRIVATE", private.url());
        let routes = if listed {
            format!("{};{}", private.url(), second.url())
        } else {
            second.url().to_owned()
        };
        let sandbox = quick(Sandbox::new().requiring(&[(A, "v1.0.0")]))
            .env("GOPROXY", &list)
            .env("GOSUMDB", second.gosumdb())
            .env("GOFIX_ROUTES", routes)
            .env("GOFIX_RETRY_COUNT", "0")
            // Nothing but loopback: the public proxy is a dead port as well.
            .env("HTTPS_PROXY", private.url())
            .env("GIT_ALLOW_PROTOCOL", "none");
        let outcome = sandbox.go(&["mod", "download"]).output();
        if listed {
            assert_eq!(outcome.code(), Some(0), "{outcome}");
            assert!(!second.requests().is_empty());
        } else {
            assert_eq!(outcome.code(), Some(1), "{list}: {outcome}");
            assert_eq!(second.requests().len(), 0, "{list}: {outcome}");
        }
    }
}

#[test]
fn a_checksum_database_is_asked_only_where_go_asks_it() {
    let catalogue = catalogue();
    let sumdb = SumDb::new("sum.example.test", &catalogue);
    let first = FaultProxy::builder(catalogue.clone())
        .door(Door::Refuse)
        .start()
        .unwrap();
    let second = FaultProxy::builder(catalogue).sumdb(sumdb).start().unwrap();
    let sandbox = quick(Sandbox::new().requiring(&[(A, "v1.0.0")]))
        .env("GOPROXY", first.url())
        .env("GOSUMDB", second.gosumdb())
        .env("GONOSUMDB", "example.com")
        .env("GOFIX_ROUTES", format!("{};{}", first.url(), second.url()));
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let asked: Vec<String> = second
        .requests()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert!(asked.iter().all(|target| !target.contains("sumdb")), "{asked:?}");
}
