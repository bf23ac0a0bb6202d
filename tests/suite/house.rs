//! The drawing of ARCHITECTURE.md, held against the code: rooms import downwards only, no two files import each
//! other, and what only some rooms may do only these do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the ground up: each may use those in front of it.
const FLOORS: [&str; 19] = [
    "text",
    "sys",
    "go",
    "env_vars",
    "net",
    "diagnose",
    "policy",
    "config",
    "report",
    "relay",
    "repair",
    "supervise",
    "faultproxy",
    "doctor",
    "rehearse",
    "cli",
    "fuzzing",
    "entry",
    "main",
];

/// A source file: its path below src/, its module path, and its code without comments, strings and tests.
struct Source {
    path: String,
    module: Vec<String>,
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let source = |file: &PathBuf| {
        let path = file.strip_prefix(&root).unwrap();
        let mut module: Vec<String> = path
            .with_extension("")
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        module.pop_if(|last| last == "mod" || last == "lib");
        Source {
            path: path.to_str().unwrap().to_owned(),
            module,
            code: bare(&fs::read_to_string(file).unwrap()),
        }
    };
    files.iter().map(source).collect()
}

/// The code that is built into the program: no comments, no contents of strings, no tests.
fn bare(text: &str) -> String {
    let text = text.split("\nmod tests {").next().unwrap_or_default();
    let mut code = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => {
                chars.by_ref().find(|c| *c == '\n');
                code.push('\n');
            }
            '"' => {
                code.push('"');
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                code.push('"');
            }
            // A character, not a lifetime.
            '\'' => {
                let rest: String = chars.clone().take(4).collect();
                let end = match rest.strip_prefix('\\') {
                    Some(escaped) => escaped.get(1..).and_then(|rest| rest.find('\'')).map(|at| at + 2),
                    None => rest.chars().nth(1).filter(|c| *c == '\'').map(|_| 1),
                };
                if let Some(end) = end {
                    chars.nth(end);
                }
                code.push('\'');
            }
            c => code.push(c),
        }
    }
    code
}

/// The paths that stand in the code: each `use` tree branch by branch, and what is named in place.
fn paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if !before.is_alphanumeric() && !matches!(before, '_' | ':' | '$') {
                branches("", &code[at..], &mut paths);
            }
        }
    }
    paths
}

/// Reads one path, or a tree of them, and returns what stands behind it.
fn branches<'a>(stem: &str, text: &'a str, paths: &mut Vec<String>) -> &'a str {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':'))
        .unwrap_or(text.len());
    let (head, mut rest) = text.split_at(end);
    let path = format!("{stem}{head}");
    let inside = rest.strip_prefix('{').filter(|_| path.ends_with("::"));
    let Some(inside) = inside else {
        paths.push(path);
        return rest;
    };
    rest = inside.trim_start();
    while !rest.is_empty() && !rest.starts_with('}') {
        rest = branches(&path, rest, paths);
        // ` as name`, commas, white space.
        let next = rest.find([',', '}']).unwrap_or(rest.len());
        rest = rest[next..].trim_start_matches(',').trim_start();
    }
    rest.strip_prefix('}').unwrap_or(rest)
}

/// The module path that a path in the code of `from` begins at the top with.
fn absolute(from: &Source, path: &str) -> Vec<String> {
    let mut module = from.module.clone();
    let mut words = path.split("::").peekable();
    while let Some(word) = words.next_if(|word| matches!(*word, "crate" | "self" | "super")) {
        match word {
            "crate" => module.clear(),
            "super" => drop(module.pop()),
            _ => {}
        }
    }
    module.extend(words.map(str::to_owned));
    module
}

#[test]
fn rooms_import_downwards_only() {
    let floor = |room: &str| FLOORS.iter().position(|known| *known == room);
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = floor(source.room()) else {
            assert_eq!(source.room(), "lib", "{} stands on no floor", source.path);
            continue;
        };
        for path in paths(&source.code) {
            let target = absolute(&source, &path);
            if let Some(room) = target.first()
                && room != source.room()
                && floor(room).is_some_and(|other| other >= own)
            {
                wrong.push(format!("{} uses {path}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that run up:\n{}", wrong.join("\n"));
}

#[test]
fn no_two_files_import_each_other() {
    let sources = sources();
    let files: BTreeMap<&[String], usize> = sources
        .iter()
        .enumerate()
        .map(|(at, source)| (source.module.as_slice(), at))
        .collect();
    let mut arrows: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); sources.len()];
    for (at, source) in sources.iter().enumerate() {
        for path in paths(&source.code) {
            let target = absolute(source, &path);
            let file = (1..=target.len()).rev().find_map(|len| files.get(&target[..len]));
            if let Some(file) = file
                // A module and what is inside it are one piece of Rust.
                && !source.module.starts_with(&sources[*file].module)
                && !sources[*file].module.starts_with(&source.module)
            {
                arrows[at].insert(*file);
            }
        }
    }
    // A file that no arrow leaves or reaches is in no circle; what cannot be taken away so, one by one, is.
    let mut left: BTreeSet<usize> = (0..sources.len()).collect();
    loop {
        let reached: BTreeSet<usize> = left.iter().flat_map(|at| arrows[*at].iter().copied()).collect();
        let kept: BTreeSet<usize> = left
            .iter()
            .copied()
            .filter(|at| reached.contains(at) && arrows[*at].intersection(&left).next().is_some())
            .collect();
        if kept == left {
            break;
        }
        left = kept;
    }
    let circle: Vec<String> = left
        .iter()
        .flat_map(|at| {
            let to = arrows[*at].intersection(&left);
            to.map(|to| format!("{} -> {}", sources[*at].path, sources[*to].path))
        })
        .collect();
    assert!(circle.is_empty(), "files in a circle:\n{}", circle.join("\n"));
}

/// What ARCHITECTURE.md reserves: the words by which it is done, and the files and folders that may hold them.
const RESERVED: [(&str, &[&str], &[&str]); 4] = [
    (
        "print",
        &[
            "io::stdout()",
            "io::stderr()",
            "print!(",
            "println!(",
            "eprint!(",
            "eprintln!(",
        ],
        &["report/", "supervise/", "sys/panics.rs"],
    ),
    (
        "remove or rename files",
        &[
            "remove_file(",
            "remove_dir(",
            "remove_dir_all(",
            "fs::rename(",
            "unlinkat(",
            "renameat(",
        ],
        &[
            "repair/",
            "supervise/tidy.rs",
            "sys/files.rs",
            "cli/shim/mod.rs",
            "rehearse/stage.rs",
        ],
    ),
    (
        "start processes",
        &["Command::new(", "fork(", "posix_spawn"],
        &[
            "supervise/",
            "sys/run.rs",
            "net/helper.rs",
            "doctor/local.rs",
            "rehearse/",
            "cli/rehearse.rs",
            "cli/shim/",
        ],
    ),
    (
        "speak HTTP",
        &["hyper::", "h2::"],
        &["relay/", "net/", "doctor/", "faultproxy/"],
    ),
];

#[test]
fn what_is_reserved_stays_where_it_belongs() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (what, words, places) in RESERVED {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            for word in words.iter().filter(|word| source.code.contains(**word)) {
                wrong.push(format!("{} may not {what}: {word}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn diagnose_and_policy_do_no_io() {
    let io = [
        "fs::",
        "env::",
        "std::net",
        "std::process",
        "::now()",
        "tokio",
        "std::thread",
        "fastrand",
        "std::io",
    ];
    for source in sources() {
        if matches!(source.room(), "diagnose" | "policy") {
            for word in io {
                assert!(!source.code.contains(word), "{} holds {word}", source.path);
            }
        }
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn every_crate_stands_in_the_table_and_no_other() {
    let manifest: toml_edit::DocumentMut = read("Cargo.toml").parse().unwrap();
    let mut used = BTreeSet::new();
    let mut add = |table: Option<&toml_edit::Item>| {
        let table = table.and_then(toml_edit::Item::as_table_like);
        used.extend(
            table
                .into_iter()
                .flat_map(|table| table.iter().map(|(name, _)| name.to_owned())),
        );
    };
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        add(manifest.get(kind));
        let targets = manifest.get("target").and_then(toml_edit::Item::as_table_like);
        for (_, target) in targets.into_iter().flat_map(|targets| targets.iter()) {
            add(target.get(kind));
        }
    }
    used.remove("gofix-shim");
    let text = read("ARCHITECTURE.md");
    let table = text.split("## Crates").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let named: BTreeSet<String> = rows
        .filter_map(|row| row.split('|').nth(2))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    let missing: Vec<_> = used.difference(&named).collect();
    let gone: Vec<_> = named.difference(&used).collect();
    assert!(
        missing.is_empty(),
        "in Cargo.toml and not in the table: {missing:?}"
    );
    assert!(gone.is_empty(), "in the table and not in Cargo.toml: {gone:?}");
}
