//! What go asks a module proxy for: `fixtures/requests` keeps it for each version of Go, and the tests of
//! `relay::ahead` hold against it what the relay asks for before go does. Here the real go shows that it is so.
//!
//! `GOFIX_TEST_GO=/path/to/go __GOFIX_TEST_UPDATE=1 cargo test --test suite go_requests` writes the file of one
//! version anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use gofix::faultproxy::{Catalogue, FaultProxy, Module, Packed, SumDb};

use crate::support::{Sandbox, get, go_minor};

/// Where each command runs: in a project with a whole go.sum, in the same without one, in the same as Go 1.16 would
/// have it, and outside of any.
const COMMANDS: [(&str, &str); 9] = [
    ("project", "mod download"),
    ("project", "mod tidy"),
    ("without-sums", "mod tidy"),
    ("project", "mod vendor"),
    ("project", "list -deps ./..."),
    ("project", "list -m -u all"),
    ("project", "get -u ./..."),
    ("unpruned", "mod download"),
    ("outside", "install r.example/tool@v1.0.0"),
];

const DATABASE: &str = "sum.example.test";

/// Modules that need each other, and each other's older and newer versions.
fn catalogue() -> Catalogue {
    let module = |path: &str, version: &str| Module::new(format!("r.example/{path}"), version).go("1.17");
    let tests = "package a\n\nimport _ \"r.example/u\"\n";
    Catalogue::new().with_all([
        module("a", "v1.0.0")
            .requires("r.example/b", "v1.0.0")
            .requires("r.example/c", "v1.0.0")
            .requires("r.example/u", "v1.0.0")
            .file("uses_2.go", "package a\n")
            .file("a_test.go", tests),
        module("a", "v1.1.0").requires("r.example/b", "v1.1.0"),
        module("b", "v1.0.0").requires("r.example/d", "v1.0.0"),
        module("b", "v1.1.0").requires("r.example/d", "v1.0.0"),
        module("c", "v1.0.0").go("1.16").requires("r.example/e", "v1.0.0"),
        module("d", "v1.0.0"),
        module("d", "v1.2.0-rc.1"),
        module("e", "v1.0.0").go("1.16").requires("r.example/f", "v1.0.0"),
        module("e", "v1.0.1").go("1.16"),
        module("f", "v1.0.0"),
        module("Upper/g", "v1.0.0").requires("r.example/b", "v1.1.0"),
        module("n", "v1.0.0"),
        module("n/sub", "v1.0.0"),
        module("t", "v1.0.0").requires("r.example/d", "v1.0.0"),
        module("u", "v1.0.0"),
        module("tool", "v1.0.0")
            .requires("r.example/b", "v1.0.0")
            .requires("r.example/d", "v1.0.0")
            .file("tool.go", "package main\n\nfunc main() {}\n")
            .file("uses_0.go", "package main\n\nimport _ \"r.example/b\"\n")
            .file("uses_1.go", "package main\n"),
    ])
}

fn proxy() -> FaultProxy {
    let database = SumDb::new(DATABASE, &catalogue());
    FaultProxy::builder(catalogue()).sumdb(database).start().unwrap()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/requests")
}

fn sandbox(proxy: &FaultProxy, place: &str) -> Sandbox {
    let sandbox = Sandbox::new()
        .env("GOPROXY", proxy.url())
        .env("GOSUMDB", SumDb::new(DATABASE, &catalogue()).key());
    let from = match place {
        "without-sums" => "project",
        place => place,
    };
    for entry in fs::read_dir(fixtures().join(from))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().into_string().unwrap();
        sandbox.write(&name, fs::read(entry.path()).unwrap());
    }
    if place == "without-sums" {
        fs::remove_file(sandbox.project().join("go.sum")).unwrap();
    }
    sandbox
}

/// What go asks for, in its order, each file once.
fn asked(place: &str, command: &str) -> Vec<String> {
    let proxy = proxy();
    let command: Vec<&str> = command.split(' ').collect();
    sandbox(&proxy, place).plain_go(&command).output().expect_code(0);
    let mut seen = BTreeSet::new();
    let asked = proxy.requests().into_iter().map(|request| request.target);
    asked.filter(|target| seen.insert(target.clone())).collect()
}

#[test]
fn go_asks_for_what_the_fixtures_say() {
    let file = fixtures().join(format!("go1.{}.txt", go_minor()));
    let now: Vec<(String, Vec<String>)> = COMMANDS
        .iter()
        .map(|(place, command)| (format!("{place}: go {command}"), asked(place, command)))
        .collect();
    if std::env::var_os("__GOFIX_TEST_UPDATE").is_some() {
        let blocks = now
            .iter()
            .map(|(title, asked)| format!("{title}\n{}\n", asked.join("\n")));
        fs::write(&file, blocks.collect::<Vec<_>>().join("\n")).unwrap();
        return;
    }
    let Ok(kept) = fs::read_to_string(&file) else {
        crate::startup::skip("nothing is kept for this version of Go");
        return;
    };
    let kept: Vec<(&str, BTreeSet<&str>)> = kept
        .split("\n\n")
        .filter_map(|block| block.split_once('\n'))
        .map(|(title, asked)| (title, asked.lines().collect()))
        .collect();
    let now: Vec<(&str, BTreeSet<&str>)> = now
        .iter()
        .map(|(title, asked)| (title.as_str(), asked.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(now, kept);
}

/// The Go files of all the zips.
fn zips() -> BTreeMap<String, serde_json::Value> {
    let catalogue = catalogue();
    let files = |packed: &Packed| {
        let prefix = format!("{}@{}/", packed.path, packed.version);
        let mut zip = zip::ZipArchive::new(Cursor::new(packed.zip.to_vec())).unwrap();
        let mut files = serde_json::Map::new();
        for at in 0..zip.len() {
            let mut file = zip.by_index(at).unwrap();
            let name = file.name().unwrap().strip_prefix(&prefix).unwrap().to_owned();
            if name.ends_with(".go") {
                files.insert(name, io::read_to_string(&mut file).unwrap().into());
            }
        }
        files.into()
    };
    let target = |packed: &Packed| format!("/{}/@v/{}.zip", packed.path.replace('U', "%21u"), packed.version);
    catalogue
        .all()
        .map(|packed| (target(packed), files(packed)))
        .collect()
}

/// What the proxy has of all that go asks for, with the text of what a conclusion can be drawn from.
#[test]
fn the_answers_are_those_of_the_fixtures() {
    let proxy = proxy();
    let mut targets = BTreeSet::new();
    for entry in fs::read_dir(fixtures()).unwrap().flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "txt") {
            let text = fs::read_to_string(entry.path()).unwrap();
            targets.extend(
                text.lines()
                    .filter(|line| line.starts_with('/'))
                    .map(str::to_owned),
            );
        }
    }
    let address = proxy.address().to_string();
    let zips = zips();
    let answer = |target: &String| {
        let answer = get(&address, target)?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let answer = match zips.get(target) {
            Some(files) => files.clone(),
            None if target.contains("/tile/") => "".into(),
            None => body.into(),
        };
        head.contains(" 200 ").then(|| (target.clone(), answer))
    };
    let answers: serde_json::Map<_, _> = targets.iter().filter_map(answer).collect();
    let text = serde_json::to_string_pretty(&answers).unwrap() + "\n";
    let file = fixtures().join("answers.json");
    if std::env::var_os("__GOFIX_TEST_UPDATE").is_some() {
        fs::write(&file, text).unwrap();
    } else {
        assert_eq!(text, fs::read_to_string(&file).unwrap());
    }
}
