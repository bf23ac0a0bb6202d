//! Every piece of a module version, damaged in every way.

use super::*;

/// Damages one piece in every way, mends by hand, and goes on with plain go.
fn damage_in_every_way(verified: bool, pieces: &[&str]) {
    let mut cache = Cache::with(verified);
    let mut failures = Vec::new();
    for piece in pieces {
        for damage in DAMAGES {
            for with_tree in [true, false] {
                // Modes keep nothing from root.
                if (piece.starts_with("tree:") && !with_tree) || (damage == Damage::Mode && is_root()) {
                    continue;
                }
                cache.reset();
                let case = format!("{piece} {damage:?}, extracted: {with_tree}");
                let (file, other) = match piece.strip_prefix("tree:") {
                    Some(name) => (cache.extracted().join(name), cache.extracted().join("a.go")),
                    None => (
                        cache.file(piece),
                        cache
                            .sandbox
                            .modcache()
                            .join(format!("cache/download/example.com/b/@v/v1.0.0.{piece}")),
                    ),
                };
                if !with_tree {
                    remove_tree(&cache.extracted());
                }
                damage.strike(&file, &other);
                let repair = cache.repair();
                if repair.code() != Some(0) {
                    failures.push(format!("{case}: {repair}"));
                    continue;
                }
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    cache.expect_go_works(&case);
                    cache.expect_pristine(&case);
                    let asked = cache.asked();
                    assert!(asked.iter().all(|module| module == MODULE), "{case}: {asked:?}");
                    let verify = cache.sandbox.gofix(&["cache", "verify"]).output();
                    assert_eq!(verify.code(), Some(0), "{case}: {verify}");
                }));
                if let Err(panic) = result {
                    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    failures.push(format!("{text}\nrepair said: {repair}"));
                }
            }
        }
    }
    expect_none(&failures);
}

#[test]
fn every_damage_of_a_zip_is_mended() {
    damage_in_every_way(true, &["zip"]);
}

#[test]
fn every_damage_of_a_ziphash_is_mended() {
    damage_in_every_way(true, &["ziphash"]);
}

#[test]
fn every_damage_of_a_go_mod_is_mended() {
    damage_in_every_way(true, &["mod"]);
}

#[test]
fn every_damage_of_an_info_is_mended() {
    damage_in_every_way(true, &["info"]);
}

#[test]
fn every_damage_of_an_extracted_file_is_mended() {
    damage_in_every_way(true, &["tree:a.go", "tree:sub/sub.go"]);
}

#[test]
fn files_prove_each_other_where_no_database_does() {
    damage_in_every_way(false, &["zip", "ziphash", "tree:a.go"]);
}

#[test]
fn a_directory_that_lost_a_package_is_mended_with_what_go_remembers_of_it() {
    let mut cache = Cache::new();
    cache.own_build_cache();
    let lost = cache.extracted().join("sub");
    open_up(&cache.extracted());
    remove_tree(&lost);
    let list = ["list", "./..."];
    let deps = ["list", "-deps", "./..."];
    let plain = cache.sandbox.plain_go(&deps).output().expect_code(1);
    assert!(plain.stderr.contains("no required module provides"), "{plain}");
    // The directory alone, as by hand: go still remembers what was not there.
    fs::remove_dir_all(cache.extracted()).unwrap();
    cache
        .sandbox
        .plain_go(&["mod", "download"])
        .output()
        .expect_code(0);
    assert!(lost.is_dir());
    let stale = cache.sandbox.plain_go(&deps).output().expect_code(1);
    assert!(stale.stderr.contains("no required module provides"), "{stale}");
    cache.forget_requests();
    let mended = cache.sandbox.go(&deps).output().expect_code(0);
    assert!(mended.stderr.contains("module index"), "{mended}");
    assert!(cache.asked().is_empty(), "{:?}", cache.asked());
    cache.sandbox.plain_go(&deps).output().expect_code(0);
    cache.sandbox.plain_go(&list).output().expect_code(0);

    // And both at once.
    open_up(&cache.extracted());
    remove_tree(&lost);
    let index: Vec<_> = fs::read_dir(cache.sandbox.path("gocache")).unwrap().collect();
    assert!(!index.is_empty());
    remove_tree(&cache.sandbox.path("gocache"));
    fs::create_dir(cache.sandbox.path("gocache")).unwrap();
    cache.sandbox.plain_go(&deps).output().expect_code(1);
    let mended = cache.sandbox.go(&deps).output().expect_code(0);
    assert!(mended.stderr.contains("extracted directory"), "{mended}");
    assert!(cache.asked().is_empty(), "{:?}", cache.asked());
    cache.sandbox.plain_go(&deps).output().expect_code(0);
    cache.expect_pristine("index");
}

#[test]
fn what_stands_in_the_way_is_moved() {
    let mut cache = Cache::new();
    let download = cache.file("zip").parent().unwrap().to_path_buf();
    let host = cache.sandbox.modcache().join("cache/download/example.com");
    for (place, by_hand) in [(&download, true), (&download, false), (&host, false)] {
        cache.reset();
        remove_tree(&cache.extracted());
        remove_tree(place);
        fs::write(place, "a file").unwrap();
        cache
            .sandbox
            .plain_go(&["mod", "download"])
            .output()
            .expect_code(1);
        if by_hand {
            cache.repair().expect_code(0);
        }
        let run = cache.sandbox.go(&["mod", "download"]).output();
        assert_eq!(run.code(), Some(0), "{}: {run}", place.display());
    }
    for place in ["zip", "lock"] {
        cache.reset();
        remove_tree(&cache.extracted());
        fs::remove_file(cache.file(place)).unwrap();
        fs::remove_file(cache.file("ziphash")).unwrap();
        fs::create_dir_all(cache.file(place).join("x")).unwrap();
        let run = cache.sandbox.go(&["mod", "download"]).output();
        assert_eq!(run.code(), Some(0), "{place}: {run}");
        cache.expect_go_works(place);
    }
}
