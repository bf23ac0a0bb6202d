//! The module cache, damaged in every way, and mended: by hand, under kill -9, beside
//! running go processes, and never beyond what is proven bad.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Kind, Module, Rule, SumDb};

use crate::support::{Outcome, Sandbox, tree};

const MODULE: &str = "example.com/Upper/a";
const VERSION: &str = "v1.2.0";

fn catalogue() -> Catalogue {
    Catalogue::new()
        .with(
            Module::new(MODULE, VERSION)
                .file("sub/sub.go", "package sub\n\n// N is a number.\nconst N = 1\n")
                .requires("example.com/b", "v1.0.0")
                .ballast(3000),
        )
        .with(Module::new(MODULE, "v1.1.0"))
        .with(Module::new("example.com/b", "v1.0.0").ballast(2000))
        .with(Module::new("example.com/c", "v0.3.0"))
}

/// A project whose modules are all in the cache, and a copy of that cache.
struct Cache {
    sandbox: Sandbox,
    proxy: FaultProxy,
    seen: usize,
}

impl Cache {
    /// With a checksum database, and with go.sum.
    fn new() -> Self {
        Self::with(true)
    }

    fn with(verified: bool) -> Self {
        let catalogue = catalogue();
        let mut builder = FaultProxy::builder(catalogue.clone());
        if verified {
            builder = builder.sumdb(SumDb::new("sum.example.test", &catalogue));
        }
        let proxy = builder.start().unwrap();
        let sandbox = Sandbox::new()
            .shared_build_cache()
            .proxy(&proxy)
            .requiring(&[(MODULE, VERSION), ("example.com/c", "v0.3.0")]);
        sandbox.write(
            "main.go",
            format!("package main\n\nimport (\n\t_ \"{MODULE}\"\n\t_ \"{MODULE}/sub\"\n\t_ \"example.com/c\"\n)\n\nfunc main() {{}}\n"),
        );
        sandbox.plain_go(&["mod", "tidy"]).output().expect_code(0);
        sandbox.plain_go(&["mod", "download"]).output().expect_code(0);
        copy_tree(&sandbox.modcache(), &sandbox.path("pristine"));
        let seen = proxy.requests().len();
        Self { sandbox, proxy, seen }
    }

    /// The cache as it was, and an empty log.
    fn reset(&mut self) {
        remove_tree(&self.sandbox.modcache());
        copy_tree(&self.sandbox.path("pristine"), &self.sandbox.modcache());
        self.forget_requests();
    }

    fn forget_requests(&mut self) {
        self.seen = self.proxy.requests().len();
    }

    /// `cache/download/…/@v/VERSION.SUFFIX` of the module that is damaged.
    fn file(&self, suffix: &str) -> PathBuf {
        let dir = self
            .sandbox
            .modcache()
            .join("cache/download/example.com/!upper/a/@v");
        dir.join(format!("{VERSION}.{suffix}"))
    }

    /// The extracted directory of the module that is damaged.
    fn extracted(&self) -> PathBuf {
        self.sandbox
            .modcache()
            .join(format!("example.com/!upper/a@{VERSION}"))
    }

    /// A build cache of its own, in which go has listed no module yet.
    fn own_build_cache(&mut self) {
        let gocache = self.sandbox.path("gocache");
        let sandbox = std::mem::replace(&mut self.sandbox, Sandbox::new());
        self.sandbox = sandbox.env("GOCACHE", gocache);
    }

    /// What is set aside.
    fn kept(&self) -> Vec<PathBuf> {
        files_below(&self.sandbox.modcache().join("cache/gofix"))
            .into_iter()
            .filter(|file| file.ends_with("repair.json"))
            .collect()
    }

    fn repair(&self) -> Outcome {
        self.sandbox.gofix(&["cache", "repair"]).output()
    }

    /// Everything that a user does next works, with plain go, and changes nothing of the project.
    #[track_caller]
    fn expect_go_works(&self, case: &str) {
        let before = (self.sandbox.read("go.mod"), self.sandbox.read("go.sum"));
        for args in [
            &["mod", "download"][..],
            &["mod", "tidy"],
            &["build", "-o", "/dev/null"],
            &["mod", "verify"],
        ] {
            let run = self.sandbox.plain_go(args).output();
            assert_eq!(run.code(), Some(0), "{case}: go {args:?}: {run}");
        }
        let after = (self.sandbox.read("go.mod"), self.sandbox.read("go.sum"));
        assert_eq!(before, after, "{case}");
    }

    /// The modules that were asked for since the last reset.
    fn asked(&self) -> BTreeSet<String> {
        let requests = self.proxy.requests();
        requests[self.seen..]
            .iter()
            .filter_map(|r| r.asked.module.clone())
            .collect()
    }

    /// The pieces of the damaged module are what they were at first.
    #[track_caller]
    fn expect_pristine(&self, case: &str) {
        for (path, _) in tree(&self.sandbox.path("pristine")) {
            let name = path.to_string_lossy();
            // Locks and lists are go's own business.
            if name.ends_with(".lock") || name.ends_with("/list") || name.contains("/sumdb/") {
                continue;
            }
            let [then, now] =
                [self.sandbox.path("pristine"), self.sandbox.modcache()].map(|dir| look(&dir.join(&path)));
            assert_eq!(then, now, "{case}: {name}");
        }
    }
}

/// Kind, mode and content of a file, without waiting at a pipe.
fn look(path: &Path) -> Option<(u32, Vec<u8>)> {
    let meta = fs::symlink_metadata(path).ok()?;
    let content = if meta.is_file() {
        fs::read(path).ok()?
    } else {
        Vec::new()
    };
    Some((meta.permissions().mode(), content))
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
    let mode = fs::metadata(from).unwrap().permissions();
    fs::set_permissions(to, mode).unwrap();
}

fn remove_tree(dir: &Path) {
    open_up(dir);
    fs::remove_dir_all(dir).unwrap();
}

fn open_up(dir: &Path) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            open_up(&entry.path());
        }
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// One way to damage a file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    Cut,
    Empty,
    Nul,
    Html,
    BitFlip,
    Swapped,
    Missing,
    Directory,
    Pipe,
    Mode,
}

const DAMAGES: [Damage; 10] = [
    Damage::Cut,
    Damage::Empty,
    Damage::Nul,
    Damage::Html,
    Damage::BitFlip,
    Damage::Swapped,
    Damage::Missing,
    Damage::Directory,
    Damage::Pipe,
    Damage::Mode,
];

impl Damage {
    fn strike(self, file: &Path, other: &Path) {
        let dir = file.parent().unwrap();
        let mode = fs::metadata(dir).unwrap().permissions();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        let mut content = fs::read(file).unwrap();
        let file_mode = fs::metadata(file).unwrap().permissions();
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        match self {
            Self::Cut => content.truncate(content.len() / 2),
            Self::Empty => content.clear(),
            Self::Nul => content.fill(0),
            Self::Html => content = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n".to_vec(),
            Self::BitFlip => {
                let middle = content.len() / 2;
                content[middle] ^= 1;
            }
            Self::Swapped => content = fs::read(other).unwrap(),
            Self::Missing | Self::Directory | Self::Pipe => fs::remove_file(file).unwrap(),
            Self::Mode => {}
        }
        match self {
            Self::Missing => {}
            Self::Directory => fs::create_dir(file).unwrap(),
            Self::Pipe => nix::unistd::mkfifo(file, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap(),
            Self::Mode => fs::set_permissions(file, fs::Permissions::from_mode(0o000)).unwrap(),
            _ => {
                fs::write(file, content).unwrap();
                fs::set_permissions(file, file_mode).unwrap();
            }
        }
        fs::set_permissions(dir, mode).unwrap();
    }
}

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
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
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
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
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

/// Whatever was damaged stays a damage that `cache repair` mends, however a repair ended.
#[test]
fn a_repair_killed_at_any_step_leaves_a_cache_that_go_can_use() {
    let mut cache = Cache::new();
    // Before the first file has moved, plain go meets what it would have met anyway.
    let early = ["set-made", "partial-made", "index-aside"];
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

/// The cache as somebody else might leave it for root to fall over.
#[test]
fn planted_links_are_neither_followed_nor_touched() {
    let mut cache = Cache::new();
    let treasure = cache.sandbox.path("treasure");
    fs::create_dir(&treasure).unwrap();
    for name in ["v1.2.0.zip", "v1.2.0.ziphash", "v1.2.0.mod", "v1.2.0.lock", "f"] {
        fs::write(treasure.join(name), "precious").unwrap();
    }
    let mut locked = fs::metadata(&treasure).unwrap().permissions();
    locked.set_mode(0o555);
    fs::set_permissions(&treasure, locked).unwrap();
    let before = tree(&treasure);
    let link = |from: &Path| {
        if from.is_dir() {
            remove_tree(from);
        } else {
            fs::remove_file(from).ok();
        }
        std::os::unix::fs::symlink(&treasure, from).unwrap();
    };
    let at_v = cache.file("zip").parent().unwrap().to_path_buf();
    let tree_above = cache.extracted().parent().unwrap().to_path_buf();
    for place in ["zip", "ziphash", "mod", "lock"] {
        cache.reset();
        Damage::Missing.strike(&cache.extracted().join("sub/sub.go"), Path::new(""));
        fs::remove_file(cache.file(place)).unwrap();
        std::os::unix::fs::symlink(treasure.join(format!("v1.2.0.{place}")), cache.file(place)).unwrap();
        cache.repair();
        assert_eq!(tree(&treasure), before, "{place}");
        let read = fs::read_link(cache.file(place));
        assert!(read.is_ok(), "{place}: the link itself is left alone");
    }
    for place in [
        at_v,
        cache.extracted(),
        tree_above,
        cache.sandbox.modcache().join("cache/gofix"),
    ] {
        cache.reset();
        fs::write(cache.file("mod"), "<html>").unwrap();
        link(&place);
        cache.repair();
        cache.sandbox.gofix(&["cache", "verify"]).output();
        cache.sandbox.gofix(&["cache", "restore"]).output();
        assert_eq!(tree(&treasure), before, "{}", place.display());
        fs::remove_file(&place).unwrap();
        fs::create_dir_all(&place).unwrap();
    }
    // Inside the extracted tree: the tree goes, what the link points to stays.
    cache.reset();
    let inner = cache.extracted().join("sub");
    open_up(&cache.extracted());
    remove_tree(&inner);
    std::os::unix::fs::symlink(&treasure, &inner).unwrap();
    cache.repair().expect_code(0);
    cache.expect_go_works("link in a tree");
    assert_eq!(tree(&treasure), before);
    let kept = cache.sandbox.modcache().join("cache/gofix");
    assert!(kept.is_dir());
    open_up(&treasure);
}

/// Modules enough for a full tile, a partial one and one above.
fn database() -> (Sandbox, FaultProxy) {
    let catalogue = Catalogue::new()
        .with_all((0..300).map(|n| Module::new(format!("example.com/m{n:03}"), "v1.0.0")))
        .with(Module::new("example.com/a", "v1.0.0"));
    let database = SumDb::new("sum.example.test", &catalogue);
    let proxy = FaultProxy::builder(catalogue).sumdb(database).start().unwrap();
    let modules = ["example.com/a", "example.com/m007", "example.com/m270"].map(|path| (path, "v1.0.0"));
    let sandbox = Sandbox::new()
        .shared_build_cache()
        .proxy(&proxy)
        .requiring(&modules);
    sandbox.plain_go(&["mod", "tidy"]).output().expect_code(0);
    (sandbox, proxy)
}

/// Regular files below a folder.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = tree(dir)
        .into_keys()
        .map(|path| dir.join(path))
        .filter(|p| p.is_file())
        .collect();
    found.sort();
    found
}

#[test]
fn damaged_pieces_of_a_checksum_database_are_fetched_again() {
    let (sandbox, _proxy) = database();
    let top = sandbox.modcache().join("cache/download/sumdb");
    let latest = sandbox.path("gopath/pkg/sumdb/sum.example.test/latest");
    let pristine = sandbox.path("pristine");
    copy_tree(&top, &pristine);
    let head = fs::read(&latest).unwrap();
    let sums = sandbox.read("go.sum");
    let mut files = files_below(&top);
    assert!(
        files.iter().any(|file| file.ends_with("tile/8/1/000.p/1")),
        "{files:?}"
    );
    files.push(latest.clone());
    let mut failures = Vec::new();
    let damages = [
        Damage::Cut,
        Damage::Nul,
        Damage::Html,
        Damage::BitFlip,
        Damage::Swapped,
        Damage::Empty,
    ];
    for (n, file) in files.iter().enumerate() {
        let other = files[(n + 1) % files.len()].clone();
        for damage in damages {
            remove_tree(&top);
            copy_tree(&pristine, &top);
            fs::write(&latest, &head).unwrap();
            damage.strike(file, &other);
            fs::remove_file(sandbox.project().join("go.sum")).ok();
            let case = format!("{} {damage:?}", file.display());
            let repair = sandbox.gofix(&["cache", "repair"]).output();
            let tidy = sandbox.plain_go(&["mod", "tidy"]).output();
            if repair.code() != Some(0) || tidy.code() != Some(0) || sandbox.read("go.sum") != sums {
                failures.push(format!("{case}: {repair}\n{tidy}"));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

#[test]
fn a_tree_head_that_can_be_read_is_never_touched() {
    let (sandbox, _proxy) = database();
    let latest = sandbox.path("gopath/pkg/sumdb/sum.example.test/latest");
    let before = fs::read(&latest).unwrap();
    let ino = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&latest).unwrap());
    sandbox.gofix(&["cache", "repair"]).output().expect_code(0);
    // Nor one of a database whose key is not known, as long as it can be read.
    let other = sandbox.path("gopath/pkg/sumdb/sum.other.test");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("latest"), &before).unwrap();
    sandbox.gofix(&["cache", "repair"]).output().expect_code(0);
    assert_eq!(fs::read(other.join("latest")).unwrap(), before);
    assert_eq!(fs::read(&latest).unwrap(), before);
    assert_eq!(
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(&latest).unwrap()),
        ino
    );
}

#[test]
fn a_supervised_go_mends_its_copy_of_the_checksum_database() {
    let (sandbox, _proxy) = database();
    let latest = sandbox.path("gopath/pkg/sumdb/sum.example.test/latest");
    let top = sandbox.modcache().join("cache/download/sumdb/sum.example.test");
    let sums = sandbox.read("go.sum");
    let lookup = top.join("lookup/example.com/m007@v1.0.0");
    let tile = top.join("tile/8/0/000");
    for (file, damage) in [
        (&latest, Damage::Html),
        (&lookup, Damage::Html),
        (&lookup, Damage::Cut),
        (&tile, Damage::Cut),
        (&tile, Damage::Html),
    ] {
        damage.strike(file, Path::new(""));
        fs::remove_file(sandbox.project().join("go.sum")).unwrap();
        let run = sandbox.go(&["mod", "tidy"]).output();
        assert_eq!(run.code(), Some(0), "{} {damage:?}: {run}", file.display());
        assert_eq!(sandbox.read("go.sum"), sums);
        assert!(
            !run.gofix_lines().is_empty(),
            "{} {damage:?}: {run}",
            file.display()
        );
    }
}

/// A module that comes straight from a git repository on this disk.
struct Direct {
    sandbox: Sandbox,
}

impl Direct {
    /// `None` where there is no git.
    fn new() -> Option<Self> {
        let sandbox = Sandbox::new()
            .shared_build_cache()
            .env("GOPROXY", "direct")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .requiring(&[("example.test/repo.git", "v1.0.0")]);
        let repo = sandbox.path("repo");
        fs::create_dir(&repo).unwrap();
        fs::write(repo.join("go.mod"), "module example.test/repo.git\n\ngo 1.21\n").unwrap();
        fs::write(repo.join("r.go"), "package repo\n").unwrap();
        let config = format!(
            "[user]\n\tname = t\n\temail = t@example.test\n[init]\n\tdefaultBranch = main\n\
             [url \"{}\"]\n\tinsteadOf = https://example.test/repo\n[gc]\n\tauto = 0\n",
            repo.display()
        );
        fs::write(sandbox.path("home/.gitconfig"), config).unwrap();
        let commands: [&[&str]; 4] = [
            &["init", "-q"],
            &["add", "."],
            &["commit", "-q", "-m", "one"],
            &["tag", "v1.0.0"],
        ];
        for args in commands {
            let mut git = sandbox.run("git").args(args).dir(&repo);
            match git.command.output() {
                Ok(output) => assert!(output.status.success(), "{output:?}"),
                Err(_) => return None,
            }
        }
        sandbox.plain_go(&["mod", "tidy"]).output().expect_code(0);
        Some(Self { sandbox })
    }

    fn repository(&self) -> PathBuf {
        let vcs = self.sandbox.modcache().join("cache/vcs");
        let entries = fs::read_dir(vcs).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.is_dir())
            .max_by_key(|path| files_below(path).len())
            .unwrap()
    }

    /// Forgets the module and keeps the repository.
    fn forget_module(&self) {
        remove_tree(&self.sandbox.modcache().join("cache/download/example.test"));
        remove_tree(&self.sandbox.modcache().join("example.test"));
    }
}

#[test]
fn broken_repositories_are_fetched_again() {
    let Some(direct) = Direct::new() else { return };
    let sandbox = &direct.sandbox;
    let repository = direct.repository();
    sandbox.gofix(&["cache", "verify"]).output().expect_code(0);
    let pristine = sandbox.path("pristine");
    copy_tree(&sandbox.modcache().join("cache/vcs"), &pristine);
    let info = repository.with_extension("info");
    let in_repository = |name: &str| repository.join(name);
    let objects: Vec<PathBuf> = files_below(&repository.join("objects"));
    assert!(!objects.is_empty());
    type Strike<'a> = Box<dyn Fn() + 'a>;
    let cases: Vec<(&str, Strike<'_>)> = vec![
        (
            "HEAD",
            Box::new(|| fs::write(in_repository("HEAD"), "<html>").unwrap()),
        ),
        (
            "config",
            Box::new(|| fs::write(in_repository("config"), "\0\0\0\0").unwrap()),
        ),
        (
            "no remote",
            Box::new(|| fs::write(in_repository("config"), "[core]\n\tbare = true\n").unwrap()),
        ),
        (
            "packed-refs",
            Box::new(|| fs::write(in_repository("packed-refs"), "<html>\n").unwrap()),
        ),
        (
            "info",
            Box::new(|| fs::write(&info, "git3:https://example.test/other").unwrap()),
        ),
        (
            "objects lost",
            Box::new(|| {
                for object in &objects {
                    fs::set_permissions(object, fs::Permissions::from_mode(0o644)).unwrap();
                    fs::remove_file(object).unwrap();
                }
            }),
        ),
        (
            "objects damaged",
            Box::new(|| {
                for object in &objects {
                    Damage::BitFlip.strike(object, Path::new(""));
                }
            }),
        ),
    ];
    let whole = tree(&sandbox.modcache().join("example.test"));
    for (name, damage) in &cases {
        for supervised in [false, true] {
            remove_tree(&sandbox.modcache().join("cache/vcs"));
            copy_tree(&pristine, &sandbox.modcache().join("cache/vcs"));
            direct.forget_module();
            damage();
            if supervised {
                let run = sandbox.go(&["mod", "download"]).output();
                assert_eq!(run.code(), Some(0), "{name}: {run}");
            } else {
                let repair = sandbox.gofix(&["cache", "repair"]).output();
                assert_eq!(repair.code(), Some(0), "{name}: {repair}");
                assert!(repair.stdout.contains("bad repository"), "{name}: {repair}");
                let run = sandbox.plain_go(&["mod", "download"]).output();
                assert_eq!(run.code(), Some(0), "{name}: {run}");
            }
            assert_eq!(tree(&sandbox.modcache().join("example.test")), whole, "{name}");
        }
    }
}

#[test]
fn a_healthy_repository_stays_where_it_is_when_a_revision_is_unknown() {
    let Some(direct) = Direct::new() else { return };
    let before = tree(&direct.repository());
    let run = direct
        .sandbox
        .go(&["mod", "download", "example.test/repo.git@v9.9.9"])
        .output()
        .expect_code(1);
    assert!(run.stderr.contains("unknown revision"), "{run}");
    let kept = direct.sandbox.gofix(&["cache", "list"]).output();
    assert_eq!(kept.stdout, "nothing is set aside\n");
    for (path, content) in before {
        assert_eq!(
            tree(&direct.repository()).get(&path),
            Some(&content),
            "{}",
            path.display()
        );
    }
}

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
        run.gofix_lines()[0].contains("bad go.mod (it is no go.mod)"),
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

#[test]
fn a_held_lock_is_named_with_its_holder_and_nothing_is_done() {
    let mut cache = Cache::new();
    cache.reset();
    fs::write(cache.file("zip"), "<html>").unwrap();
    let lock = fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(cache.file("lock"))
        .unwrap();
    lock.lock().unwrap();
    let run = cache
        .sandbox
        .gofix(&["cache", "repair"])
        .env("GOFIX_STALL_MS", "1000")
        // This process holds the lock and moves, for the other tests' sake: the budget ends the wait.
        .env("GOFIX_BUDGET", "2s")
        .output()
        .expect_code(1);
    assert!(run.stderr.contains("v1.2.0.lock is locked by process"), "{run}");
    if cfg!(target_os = "linux") {
        assert!(
            run.stderr.contains(&format!("process {} (", std::process::id())),
            "{run}"
        );
    }
    assert_eq!(fs::read(cache.file("zip")).unwrap(), b"<html>");
    assert!(!cache.sandbox.modcache().join("cache/gofix").exists());
    // Verify does not judge what somebody works on.
    let verify = cache.sandbox.gofix(&["cache", "verify"]).output().expect_code(0);
    assert!(verify.stdout.contains("another process works on it"), "{verify}");

    // A neighbour that ends is waited for.
    let mut run = cache.sandbox.gofix(&["cache", "repair"]);
    let mut child = run
        .command
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("gofix: waiting: "), "{line}");
    drop(lock);
    assert!(child.wait().unwrap().success());
    assert_ne!(fs::read(cache.file("zip")).ok().as_deref(), Some(&b"<html>"[..]));
    cache.expect_go_works("after the wait");
}

/// Trees of other owners are left alone, whoever gofix is.
#[test]
fn a_tree_of_another_owner_is_left_alone() {
    if !is_root() {
        return;
    }
    let mut cache = Cache::new();
    cache.reset();
    fs::write(cache.file("mod"), "<html>").unwrap();
    let at_v = cache.file("mod").parent().unwrap().to_path_buf();
    std::os::unix::fs::chown(&at_v, Some(12345), None).unwrap();
    let before = tree(&cache.sandbox.modcache());
    let run = cache.repair().expect_code(1);
    assert!(
        run.stderr.contains("belongs to another user (uid 12345)"),
        "{run}"
    );
    assert_eq!(run.gofix_lines().len(), 1, "{run}");
    assert_eq!(tree(&cache.sandbox.modcache()), before);
}

/// One line, and everything as it was.
#[track_caller]
fn expect_refusal(cache: &Cache, run: &Outcome, word: &str) {
    assert_eq!(run.code(), Some(1), "{run}");
    assert!(run.stderr.contains(word), "{run}");
    assert_eq!(run.gofix_lines().len(), 1, "{run}");
    assert!(!cache.sandbox.modcache().join("cache/gofix").exists(), "{run}");
}

#[test]
fn a_cache_that_may_not_be_written_is_left_as_it_is() {
    let mut cache = Cache::new();
    cache.reset();
    fs::write(cache.file("zip"), "<html>").unwrap();
    let mut run = cache.sandbox.gofix(&["cache", "repair"]);
    if is_root() {
        // Modes keep nothing from root: be somebody else.
        std::os::unix::process::CommandExt::uid(&mut run.command, 65534);
        open_to_all(cache.sandbox.path("").as_path());
        if fs::metadata("/tmp").is_err() || !reachable(&cache) {
            return;
        }
    } else {
        open_up(&cache.sandbox.modcache().join("cache"));
        for dir in ["cache", "cache/download/example.com/!upper/a/@v"] {
            let dir = cache.sandbox.modcache().join(dir);
            fs::set_permissions(dir, fs::Permissions::from_mode(0o555)).unwrap();
        }
    }
    let before = tree(&cache.sandbox.modcache());
    let run = run.output();
    expect_refusal(&cache, &run, "permission denied");
    assert_eq!(tree(&cache.sandbox.modcache()), before);
}

/// Everybody may read the sandbox.
fn open_to_all(dir: &Path) {
    let mode = fs::metadata(dir).unwrap().permissions().mode();
    fs::set_permissions(dir, fs::Permissions::from_mode(mode | 0o555)).unwrap();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            open_to_all(&entry.path());
        }
    }
}

/// True where another user can start the program under test at all.
fn reachable(cache: &Cache) -> bool {
    let mut run = cache.sandbox.gofix(&["--version"]);
    std::os::unix::process::CommandExt::uid(&mut run.command, 65534);
    run.command.output().is_ok_and(|output| output.status.success())
}

/// Runs a shell script in a mount namespace of its own; `None` where there is none to be had.
fn in_own_mounts(cache: &Cache, script: &str) -> Option<Outcome> {
    if !is_root() {
        return None;
    }
    let probe = cache.sandbox.run("unshare").args(["-m", "true"]).command.output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return None;
    }
    Some(
        cache
            .sandbox
            .run("unshare")
            .args(["-m", "sh", "-ec", script])
            .output(),
    )
}

#[test]
fn a_read_only_mount_is_said_to_be_one() {
    let mut cache = Cache::new();
    cache.reset();
    fs::write(cache.file("zip"), "<html>").unwrap();
    let script =
        "mount --bind $GOMODCACHE $GOMODCACHE; mount -o remount,ro,bind $GOMODCACHE; exec gofix cache repair";
    let Some(run) = in_own_mounts(&cache, script) else {
        return;
    };
    expect_refusal(&cache, &run, "is on a read-only file system");
}

#[test]
fn a_full_disk_is_said_to_be_one() {
    let mut cache = Cache::new();
    cache.reset();
    fs::write(cache.file("zip"), "<html>").unwrap();
    let script = "cp -a $GOMODCACHE $TMPDIR/copy; mount -t tmpfs -o size=600k tmpfs $GOMODCACHE; \
        cp -a $TMPDIR/copy/. $GOMODCACHE; cat /dev/zero > $GOMODCACHE/fill 2>/dev/null || true; \
        (cd $GOMODCACHE; find . -type f ! -name fill | sort | xargs sha256sum) > $TMPDIR/before; \
        gofix cache repair || status=$?; \
        (cd $GOMODCACHE; find . -type f ! -name fill | sort | xargs sha256sum) > $TMPDIR/after; \
        cmp $TMPDIR/before $TMPDIR/after; exit $status";
    let Some(run) = in_own_mounts(&cache, script) else {
        return;
    };
    expect_refusal(&cache, &run, "no space is left");
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

/// Twenty go and two gofix on one cache that is damaged under them: gofix ends
/// right, and a plain go that met the damage ends right when it runs again.
#[test]
fn many_processes_share_a_damaged_cache() {
    let mut cache = Cache::new();
    let commands = [
        &["mod", "download"][..],
        &["build", "-o", "/dev/null"],
        &["list", "-deps", "./..."],
    ];
    for round in 0..3 {
        cache.reset();
        remove_tree(&cache.extracted());
        let late = round == 2;
        let strike = || {
            Damage::Html.strike(&cache.file("mod"), Path::new(""));
            if round == 0 {
                Damage::Cut.strike(&cache.file("zip"), Path::new(""));
            } else {
                let other = cache
                    .sandbox
                    .modcache()
                    .join("cache/download/example.com/b/@v/v1.0.0.ziphash");
                Damage::Swapped.strike(&cache.file("ziphash"), &other);
            }
        };
        if !late {
            strike();
        }
        let plain: Vec<_> = (0..20)
            .map(|n| (n, cache.sandbox.plain_go(commands[n % commands.len()]).spawn()))
            .collect();
        if late {
            strike();
        }
        let ours: Vec<_> = (0..2).map(|n| cache.sandbox.go(commands[n]).spawn()).collect();
        for run in ours {
            let run = run.wait();
            assert_eq!(run.code(), Some(0), "round {round}: {run}");
        }
        for (n, run) in plain {
            let first = run.wait();
            if first.code() != Some(0) {
                let again = cache.sandbox.plain_go(commands[n % commands.len()]).output();
                assert_eq!(
                    again.code(),
                    Some(0),
                    "round {round}: {first}\nand again: {again}"
                );
            }
        }
        cache.expect_go_works("afterwards");
        cache.repair().expect_code(0);
        cache.expect_go_works("and mended");
    }
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
