//! Repairs that die at any step.

use super::*;

/// Whatever was damaged stays a damage that `cache repair` mends, however a repair ended.
#[test]
fn a_repair_killed_at_any_step_leaves_a_cache_that_go_can_use() {
    let mut cache = Cache::new();
    // Before the first file has moved, plain go meets what it would have met anyway.
    let early = ["set-made", "partial-made", "index-forgotten"];
    let steps = [
        "zip-aside",
        "tree-aside",
        "ziphash-aside",
        "mod-aside",
        "info-aside",
        "done",
    ];
    let everything: &[&str] = &["zip", "ziphash", "mod", "info"];
    let cases: [(&str, &[&str], bool); 5] = [
        ("zip and tree", &["zip"], true),
        ("tree", &[], true),
        ("zip", &["zip"], false),
        ("ziphash", &["ziphash"], false),
        ("everything", everything, true),
    ];
    let mut killed_at = BTreeSet::new();
    for (case, files, tree_too) in cases {
        for step in early.iter().chain(&steps) {
            cache.reset();
            for suffix in files {
                let other = cache
                    .sandbox
                    .modcache()
                    .join(format!("cache/download/example.com/b/@v/v1.0.0.{suffix}"));
                let damage = if *suffix == "zip" {
                    Damage::Cut
                } else {
                    Damage::Swapped
                };
                damage.strike(&cache.file(suffix), &other);
            }
            if tree_too {
                Damage::Missing.strike(&cache.extracted().join("sub/sub.go"), Path::new(""));
            }
            let run = cache
                .sandbox
                .gofix(&["cache", "repair"])
                .env("__GOFIX_TEST_CHECKPOINT", step)
                .output();
            if run.signal().is_none() {
                // This case has no such step.
                run.expect_code(0);
                continue;
            }
            killed_at.insert(*step);
            let case = format!("{case}, killed at {step}");
            if early.contains(step) || files.len() > 1 {
                let again = cache.repair();
                assert_eq!(again.code(), Some(0), "{case}: {again}");
            }
            cache.expect_go_works(&case);
            let again = cache.repair();
            assert_eq!(again.code(), Some(0), "{case}: {again}");
            cache.expect_go_works(&case);
            cache.expect_pristine(&case);
        }
    }
    let all: BTreeSet<&str> = early.into_iter().chain(steps).collect();
    assert_eq!(killed_at, all, "a step that no case reaches");
}

#[test]
fn repairs_of_a_checksum_database_can_be_killed_too() {
    let (sandbox, _proxy) = database();
    let top = sandbox.modcache().join("cache/download/sumdb/sum.example.test");
    let latest = sandbox.path("gopath/pkg/sumdb/sum.example.test/latest");
    let sums = sandbox.read("go.sum");
    for step in ["set-made", "sumdb-aside", "latest-copied", "latest-emptied"] {
        Damage::Html.strike(&top.join("tile/8/0/000"), Path::new(""));
        Damage::Html.strike(&top.join("lookup/example.com/m007@v1.0.0"), Path::new(""));
        Damage::Html.strike(&latest, Path::new(""));
        fs::remove_file(sandbox.project().join("go.sum")).unwrap();
        let run = sandbox
            .gofix(&["cache", "repair"])
            .env("__GOFIX_TEST_CHECKPOINT", step)
            .output();
        assert_eq!(run.signal(), Some(libc::SIGKILL), "{step}: {run}");
        let again = sandbox.gofix(&["cache", "repair"]).output();
        assert_eq!(again.code(), Some(0), "{step}: {again}");
        let tidy = sandbox.plain_go(&["mod", "tidy"]).output();
        assert_eq!(tidy.code(), Some(0), "{step}: {tidy}");
        assert_eq!(sandbox.read("go.sum"), sums);
    }
}

#[test]
fn repairs_of_a_repository_can_be_killed_too() {
    let Some(direct) = Direct::new() else { return };
    for step in ["set-made", "info-aside", "repository-aside"] {
        fs::write(direct.repository().join("HEAD"), "<html>").unwrap();
        direct.forget_module();
        let run = direct
            .sandbox
            .gofix(&["cache", "repair"])
            .env("__GOFIX_TEST_CHECKPOINT", step)
            .output();
        assert_eq!(run.signal(), Some(libc::SIGKILL), "{step}: {run}");
        if step == "set-made" {
            direct.sandbox.gofix(&["cache", "repair"]).output().expect_code(0);
        }
        // From the first move on, plain go needs no more help.
        let download = direct.sandbox.plain_go(&["mod", "download"]).output();
        assert_eq!(download.code(), Some(0), "{step}: {download}");
    }
}
