//! go.sum, the checksum database and the cache at odds.

use super::*;

/// A mismatch of what has just been fetched is go's last word; no mend, no second try.
#[test]
fn a_checksum_mismatch_of_fresh_bytes_is_final() {
    let mut cache = Cache::new();
    let altered = catalogue().with(
        Module::new(MODULE, VERSION)
            .file("sub/sub.go", "package sub // altered\n")
            .requires("example.com/b", "v1.0.0"),
    );
    cache.proxy.set_catalogue(altered);
    cache.reset();
    fs::remove_file(cache.file("zip")).unwrap();
    fs::remove_file(cache.file("ziphash")).unwrap();
    remove_tree(&cache.extracted());
    let run = cache
        .sandbox
        .go(&["build", "-o", "/dev/null"])
        .output()
        .expect_code(1);
    assert!(run.stderr.contains("SECURITY ERROR"), "{run}");
    let zips = |cache: &Cache| {
        let requests = cache.proxy.requests();
        requests[cache.seen..]
            .iter()
            .filter(|r| r.target.ends_with(".zip"))
            .count()
    };
    assert_eq!(zips(&cache), 1, "{run}");
    assert!(!cache.sandbox.modcache().join("cache/gofix").exists());

    // Bad before the run: set aside and fetched once more; then it is the same last word.
    cache.reset();
    remove_tree(&cache.extracted());
    fs::write(
        cache.file("ziphash"),
        "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=",
    )
    .unwrap();
    fs::write(cache.file("zip"), "PK").unwrap();
    let sums = cache.sandbox.read("go.sum");
    let run = cache
        .sandbox
        .go(&["build", "-o", "/dev/null"])
        .output()
        .expect_code(1);
    assert!(run.stderr.contains("SECURITY ERROR"), "{run}");
    assert_eq!(zips(&cache), 1, "{run}");
    assert_eq!(cache.sandbox.read("go.sum"), sums);
}

/// Whoever writes a go.sum decides nothing about a cache that others share.
#[test]
fn a_go_sum_that_lies_takes_nothing_out_of_the_cache() {
    let lie = |sums: &str, what: &str| {
        let lines = sums.lines().map(|line| match line.split_once(" h1:") {
            Some((name, _)) if name == what => format!("{name} h1:{}=\n", "A".repeat(43)),
            _ => format!("{line}\n"),
        });
        lines.collect::<String>()
    };
    let status = |code| Fault::Status {
        code,
        retry_after: None,
        body: None,
    };
    for verified in [true, false] {
        let mut cache = Cache::with(verified);
        let sums = cache.sandbox.read("go.sum");
        for what in [
            format!("{MODULE} {VERSION}"),
            format!("{MODULE} {VERSION}/go.mod"),
        ] {
            let lie = lie(&sums, &what);
            assert_ne!(lie, sums);
            cache.sandbox.write("go.sum", &lie);
            for (fault, args) in [
                (None, &["build", "-o", "/dev/null"][..]),
                (Some(status(404)), &["build", "-o", "/dev/null"]),
                (Some(status(503)), &["list", "-deps", "./..."]),
                (None, &["test", "./..."]),
            ] {
                let case = format!("verified: {verified}, {what}, {fault:?}, {args:?}");
                cache.proxy.set_rules(fault.map(Rule::new));
                cache.reset();
                let plain = cache.sandbox.plain_go(args).output();
                assert!(plain.stderr.contains("SECURITY ERROR"), "{case}: {plain}");
                let run = cache.sandbox.go(args).env("GOFIX_RETRY_COUNT", "1").output();
                assert_eq!(run.code(), plain.code(), "{case}: {run}");
                let last = plain.stderr.trim_end();
                assert!(run.stderr.contains(last), "{case}: {run}\n{plain}");
                cache.expect_pristine(&case);
                assert!(cache.kept().is_empty(), "{case}: {run}");
                assert_eq!(cache.sandbox.read("go.sum"), lie);
                if verified {
                    assert!(cache.asked().is_empty(), "{case}: {:?}", cache.asked());
                }
            }
            // By hand as well, where nobody has said which of the two is right.
            cache.proxy.set_rules([]);
            cache.reset();
            let repair = cache.repair();
            cache.expect_pristine(&what);
            let named = format!("{MODULE}@{VERSION}");
            if verified {
                assert_eq!(repair.code(), Some(0), "{repair}");
                continue;
            }
            assert_eq!(repair.code(), Some(1), "{repair}");
            assert!(repair.stderr.contains("if go.sum is right"), "{repair}");
            cache
                .sandbox
                .gofix(&["cache", "repair", &named])
                .output()
                .expect_code(0);
            assert_eq!(cache.kept().len(), 1, "{what}");
        }
    }
}

/// A version that was published twice: go.sum is right, and the cache has the first one.
#[test]
fn what_go_sum_alone_knows_better_is_fetched_again() {
    let mut cache = Cache::with(false);
    let again = catalogue().with(
        Module::new(MODULE, VERSION)
            .file("sub/sub.go", "package sub // published again\n")
            .requires("example.com/b", "v1.0.0"),
    );
    cache.sandbox.write("go.sum", again.go_sum());
    cache.proxy.set_catalogue(again);
    cache.reset();
    cache
        .sandbox
        .plain_go(&["build", "-o", "/dev/null"])
        .output()
        .expect_code(1);
    let run = cache
        .sandbox
        .go(&["build", "-o", "/dev/null"])
        .output()
        .expect_code(0);
    assert!(run.stderr.contains("go fetches it again"), "{run}");
    cache
        .sandbox
        .plain_go(&["build", "-o", "/dev/null"])
        .output()
        .expect_code(0);
}
