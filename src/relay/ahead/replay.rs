//! What was asked ahead, had go been behind the relay: its requests as
//! `fixtures/requests` keeps them for each version, and every answer as fast as
//! it can be. `tests/suite/go_requests.rs` holds the fixtures against the real go.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::go::imports::Tags;
use crate::go::protocol::Wanted;
use crate::sys::spool::Body;

use super::tests::zip_of;
use super::{Command, Name, Packages, Project, Room, Root, Went};

const DATABASE: &str = "sum.example.test";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/requests")
}

fn name(target: &str) -> Name {
    let wanted = Wanted::parse(target.trim_start_matches('/')).expect(target);
    Name::of(&wanted).expect(target)
}

/// Where the command ran, as the relay is told of it.
fn project(place: &str, command: &str, minor: u32, empty: &Path) -> Project {
    fs::write(empty.join("VERSION"), format!("go1.{minor}\n")).unwrap();
    let operand = command.rsplit(' ').next().unwrap();
    let root = match operand.split_once('@') {
        Some((path, _)) => Root::Package(path.to_owned()),
        None => Root::Below(String::new()),
    };
    let packages = Packages {
        folder: fixtures().join(place),
        roots: vec![root],
        tests: false,
        tags: Tags::host(),
        goroot: Some(empty.to_owned()),
    };
    let go_mod = match place {
        "without-sums" => {
            let go_mod = empty.join("go.mod");
            fs::copy(fixtures().join("project/go.mod"), &go_mod).unwrap();
            Some(go_mod)
        }
        "outside" => None,
        place => Some(fixtures().join(place).join("go.mod")),
    };
    let command = match command.split(' ').next().unwrap() {
        "get" => Command::Get,
        "install" => Command::Install,
        "list" if command.contains("-m") => Command::Modules {
            updates: true,
            versions: false,
        },
        "list" => Command::Packages,
        _ if command.ends_with("download") => Command::Download,
        _ if command.ends_with("tidy") => Command::Tidy,
        _ if command.ends_with("vendor") => Command::Vendor,
        _ => panic!("{command}"),
    };
    Project {
        command,
        go_mod,
        cache: Some(empty.join("cache")),
        sumdb: Some(DATABASE.to_owned()),
        packages: Some(packages),
        ..Project::default()
    }
}

/// How many files go asks for, how many of them had been asked for before, and
/// which go never comes for.
fn replay(project: Project, asked: &[Name], answers: &HashMap<Name, Body>) -> (usize, Vec<Name>) {
    let room = Room::new(project, true, 1);
    let mut ahead = HashSet::new();
    let mut hits = 0;
    for name in asked {
        room.asked(0, &name.wanted(DATABASE).unwrap());
        hits += usize::from(ahead.contains(name));
        if let Some(body) = answers.get(name).filter(|_| !ahead.contains(name)) {
            room.served(0, &name.wanted(DATABASE).unwrap(), body);
        }
        loop {
            while let Some(scan) = room.scan() {
                room.scanned(&scan.run());
            }
            let due = room.due(|_| false);
            if due.is_empty() {
                break;
            }
            for job in due {
                room.over(0, &job.name, Went::Well, answers.get(&job.name));
                job.taker.give(());
                ahead.insert(job.name);
            }
        }
    }
    let unused = ahead.into_iter().filter(|name| !asked.contains(name));
    (hits, unused.collect())
}

/// By command: how many files go finds asked for already, whatever its version,
/// and those that it may never come for.
const EXPECTED: [(&str, usize, &[&str]); 9] = [
    ("project: go mod download", 25, &[]),
    ("project: go mod tidy", 18, &[]),
    ("without-sums: go mod tidy", 29, &[]),
    ("project: go mod vendor", 25, &[]),
    ("project: go list -deps ./...", 23, &[]),
    ("project: go list -m -u all", 34, &[]),
    ("project: go get -u ./...", 24, &[]),
    ("unpruned: go mod download", 27, &[]),
    ("outside: go install r.example/tool@v1.0.0", 13, &[]),
];

#[test]
fn what_is_asked_ahead_is_what_go_comes_for() {
    let answers = fs::read_to_string(fixtures().join("answers.json")).unwrap();
    let answers: BTreeMap<String, Value> = serde_json::from_str(&answers).unwrap();
    let answers: HashMap<Name, Body> = answers
        .into_iter()
        .map(|(at, answer)| {
            let name = name(&at);
            let body = match (&name, answer) {
                (_, Value::String(text)) => Body::from_bytes(text),
                (Name::Zip(module), Value::Object(files)) => {
                    let files = files
                        .iter()
                        .map(|(name, text)| (name.as_str(), text.as_str().unwrap()));
                    zip_of(&module.prefix(), files)
                }
                (name, answer) => panic!("{name:?} {answer}"),
            };
            (name, body)
        })
        .collect();
    for minor in 21..=27 {
        let log = fs::read_to_string(fixtures().join(format!("go1.{minor}.txt"))).unwrap();
        let blocks = log.split("\n\n").filter_map(|block| block.split_once('\n'));
        let blocks: Vec<_> = blocks.collect();
        assert_eq!(blocks.len(), EXPECTED.len(), "Go 1.{minor}");
        for ((title, asked), (expected, least, may_be_left)) in blocks.into_iter().zip(EXPECTED) {
            let (place, command) = title.split_once(": go ").unwrap();
            let asked: Vec<Name> = asked.lines().map(name).collect();
            let empty = tempfile::tempdir().unwrap();
            let (hits, mut left) = replay(project(place, command, minor, empty.path()), &asked, &answers);
            left.retain(|name| !may_be_left.iter().any(|may| self::name(may) == *name));
            assert_eq!((title, &left[..]), (expected, &[][..]), "Go 1.{minor}");
            assert!(hits >= least, "Go 1.{minor}: {title}: {hits} of {}", asked.len());
        }
    }
}
