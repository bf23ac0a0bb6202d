//! What a supervised go repairs by itself.

use super::*;

#[test]
fn a_supervised_go_mends_by_itself() {
    let mut cache = Cache::new();
    let mut failures = Vec::new();
    let content = [
        Damage::Cut,
        Damage::Empty,
        Damage::Nul,
        Damage::Html,
        Damage::BitFlip,
        Damage::Swapped,
        Damage::Missing,
    ];
    let commands = [
        &["mod", "download"][..],
        &["mod", "tidy"],
        &["build", "-o", "/dev/null"],
    ];
    for piece in ["zip", "ziphash", "mod", "info"] {
        for (i, damage) in content.into_iter().enumerate() {
            cache.reset();
            // Where the directory is whole, go looks at none of the others.
            remove_tree(&cache.extracted());
            let other = cache
                .sandbox
                .modcache()
                .join(format!("cache/download/example.com/b/@v/v1.0.0.{piece}"));
            damage.strike(&cache.file(piece), &other);
            let args = commands[i % commands.len()];
            let run = cache.sandbox.go(args).output();
            let asked = cache.asked();
            if run.code() != Some(0) || asked.iter().any(|module| module != MODULE) {
                failures.push(format!("{piece} {damage:?}, go {args:?}, asked {asked:?}: {run}"));
            }
        }
    }
    expect_none(&failures);
}

/// Go does not mind what encoding a comment is in, and nothing verifies a private module.
#[test]
fn a_go_mod_with_a_comment_in_another_encoding_is_good() {
    let mut cache = Cache::with(false);
    for comment in [&b"// caf\xe9\n"[..], b"// \xd6\xd0\xce\xc4\n"] {
        cache.reset();
        fs::remove_file(cache.sandbox.project().join("go.sum")).unwrap();
        let file = cache.file("mod");
        let text = [&fs::read(&file).unwrap(), comment].concat();
        fs::write(&file, &text).unwrap();
        cache
            .sandbox
            .plain_go(&["list", "-m", "-mod=mod", "all"])
            .output()
            .expect_code(0);
        let verified = cache.sandbox.gofix(&["cache", "verify"]).output();
        assert!(!verified.stdout.contains("bad go.mod"), "{verified}");
        assert!(!verified.stdout.contains("no text"), "{verified}");
        cache.sandbox.gofix(&["cache", "repair"]).output();
        assert_eq!(fs::read(&file).unwrap(), text);
    }
}

/// A page of a portal that go took for a go.mod, where nothing verifies it.
#[test]
fn a_portal_s_page_stored_as_go_mod_is_mended() {
    let mut cache = Cache::with(false);
    cache.reset();
    Damage::Html.strike(&cache.file("mod"), Path::new(""));
    fs::remove_file(cache.sandbox.project().join("go.sum")).unwrap();
    let plain = cache
        .sandbox
        .plain_go(&["mod", "download"])
        .output()
        .expect_code(1);
    assert!(plain.stderr.contains("parsing go.mod"), "{plain}");
    let run = cache.sandbox.go(&["mod", "download"]).output().expect_code(0);
    assert!(
        run.gofix_lines()[0].contains("bad go.mod (a web page instead of a go.mod)"),
        "{run}"
    );
    assert_eq!(cache.asked(), BTreeSet::from([MODULE.to_owned()]));
    cache.expect_pristine("portal");
}

/// A directory on this disk says nothing of the route: what is mended is tried again at once, whatever the tries.
#[test]
fn what_is_mended_here_takes_no_try_of_the_route() {
    let mut cache = Cache::new();
    cache.own_build_cache();
    cache.reset();
    open_up(&cache.extracted());
    fs::remove_dir_all(cache.extracted().join("sub")).unwrap();
    let run = cache
        .sandbox
        .go(&["build", "-o", "/dev/null"])
        .env("GOFIX_RETRY_COUNT", "0")
        .output();
    assert_eq!(run.code(), Some(0), "{run}");
    assert!(!run.stderr.contains("trying again"), "{run}");
}

/// What go stored of a portal in this very run goes away, and the next route is asked, not the portal again.
#[test]
fn a_portal_s_page_that_has_just_come_is_no_reason_to_ask_there_again() {
    for in_the_end in [true, false] {
        let portal = FaultProxy::builder(catalogue())
            .rule(Rule::new(Fault::Portal).on(Kind::Mod))
            .start()
            .unwrap();
        let other = if in_the_end {
            FaultProxy::healthy(catalogue()).unwrap()
        } else {
            FaultProxy::builder(catalogue())
                .rule(Rule::new(Fault::Portal).on(Kind::Mod))
                .start()
                .unwrap()
        };
        let sandbox = Sandbox::new()
            .env("GOPROXY", portal.url())
            .env("GOSUMDB", "off")
            .env("GOFIX_RELAY", "off")
            .env("GOFIX_ROUTES", format!("{};{}", portal.url(), other.url()))
            .env("GOFIX_RETRY_COUNT", "1")
            .requiring(&[("example.com/c", "v0.3.0")]);
        let run = sandbox.go(&["mod", "download"]).output();
        assert_eq!(run.code(), Some(i32::from(!in_the_end)), "{run}");
        assert!(!other.requests().is_empty(), "{run}");
        let stored = sandbox
            .modcache()
            .join("cache/download/example.com/c/@v/v0.3.0.mod");
        let page = fs::read_to_string(stored).is_ok_and(|text| text.contains("<html"));
        assert!(!page, "a page is left in the cache: {run}");
    }
}
