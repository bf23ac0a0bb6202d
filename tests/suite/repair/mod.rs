//! The module cache, damaged in every way, and repaired: by hand, under kill -9, beside
//! running go processes, and never beyond what is proven bad.

mod by_hand;
mod checksum_database;
mod damage;
mod killed;
mod mismatches;
mod neighbours;
mod repositories;
mod supervised;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Kind, Module, Rule, SumDb};

use crate::support::{Outcome, Sandbox, tree};

/// Panics with all that went wrong in the cases of one test.
#[track_caller]
fn expect_none(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

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
