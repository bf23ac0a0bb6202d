//! `gofix cache`: what it shows, does and puts back.

use super::*;

/// Sets aside, shows, and puts back.
#[test]
fn what_is_set_aside_can_be_put_back() {
    let mut cache = Cache::new();
    cache.reset();
    let damaged = b"<html>";
    fs::write(cache.file("mod"), damaged).unwrap();
    Damage::Missing.strike(&cache.extracted().join("sub/sub.go"), Path::new(""));
    let before = tree(&cache.extracted());
    cache.repair().expect_code(0);
    assert!(!cache.file("mod").exists());
    assert!(!cache.extracted().exists());
    let list = cache
        .sandbox
        .gofix(&["cache", "list", "--json"])
        .output()
        .expect_code(0);
    let list: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    let set = &list["kept"][0];
    assert_eq!(set["module"], serde_json::json!([MODULE, VERSION]));
    assert_eq!(set["items"].as_array().unwrap().len(), 2);
    let id = set["id"].as_str().unwrap();

    // Something stands there now: that stays, the rest comes back.
    fs::write(cache.file("mod"), "new").unwrap();
    let restore = cache
        .sandbox
        .gofix(&["cache", "restore", id])
        .output()
        .expect_code(1);
    assert!(restore.stdout.contains("left aside"), "{restore}");
    assert_eq!(fs::read(cache.file("mod")).unwrap(), b"new");
    assert_eq!(tree(&cache.extracted()), before);
    fs::remove_file(cache.file("mod")).unwrap();
    cache.sandbox.gofix(&["cache", "restore"]).output().expect_code(0);
    assert_eq!(fs::read(cache.file("mod")).unwrap(), damaged);
    let list = cache.sandbox.gofix(&["cache", "list"]).output().expect_code(0);
    assert_eq!(list.stdout, "nothing is set aside\n");
    for bad in ["../../etc", "2026-01-01/none", "x"] {
        cache
            .sandbox
            .gofix(&["cache", "restore", bad])
            .output()
            .expect_code(1);
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let mut cache = Cache::new();
    cache.reset();
    fs::write(cache.file("zip"), "<html>").unwrap();
    let before = tree(&cache.sandbox.modcache());
    let run = cache
        .sandbox
        .gofix(&["cache", "repair", "--dry-run", "--json"])
        .output()
        .expect_code(0);
    let said: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(said["repairs"][0]["module"], format!("{MODULE}@{VERSION}"));
    assert_eq!(tree(&cache.sandbox.modcache()), before);
    let verify = cache
        .sandbox
        .gofix(&["cache", "verify", "--json"])
        .output()
        .expect_code(1);
    let said: serde_json::Value = serde_json::from_str(&verify.stdout).unwrap();
    assert_eq!(said["problems"][0]["what"], "zip");
    assert_eq!(said["problems"][0]["fix"], "gofix cache repair");
    assert_eq!(tree(&cache.sandbox.modcache()), before);
    // Another module is not looked at, and a name that is none is refused.
    cache
        .sandbox
        .gofix(&["cache", "verify", "example.com/b"])
        .output()
        .expect_code(0);
    cache
        .sandbox
        .gofix(&["cache", "verify", &format!("{MODULE}@{VERSION}")])
        .output()
        .expect_code(1);
    cache
        .sandbox
        .gofix(&["cache", "repair", "../../etc@v1.0.0"])
        .output()
        .expect_code(2);
    cache
        .sandbox
        .gofix(&["cache", "repair", "example.com/b@v1.0.0/../x"])
        .output()
        .expect_code(2);
}

/// Without a network nothing is taken that only the network could bring back.
#[test]
fn with_goproxy_off_only_what_the_cache_holds_is_mended() {
    let mut cache = Cache::new();
    cache.reset();
    Damage::Missing.strike(&cache.extracted().join("sub/sub.go"), Path::new(""));
    let off = |cache: &Cache| {
        cache
            .sandbox
            .gofix(&["cache", "repair"])
            .env("GOPROXY", "off")
            .output()
    };
    off(&cache).expect_code(0);
    let plain = cache
        .sandbox
        .plain_go(&["build", "-o", "/dev/null"])
        .env("GOPROXY", "off");
    plain.output().expect_code(0);
    fs::write(cache.file("zip"), "<html>").unwrap();
    let refused = off(&cache).expect_code(1);
    assert!(refused.stderr.contains("GOPROXY=off"), "{refused}");
    assert!(cache.file("zip").exists());
}
