//! Every command that a screen prints can be pasted: a shell reads it, its program is known, and go and gofix take
//! its flags. Commands for what is not ours (git, ssh, docker …) meet stand-ins that do nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gofix::diagnose::topics::TOPICS;
use gofix::diagnose::{FaultKind, Input, Verdict, diagnose};
use gofix::report::GaveUp;

use super::{OWN, fault, settings, stage};
use crate::support::Sandbox;

/// Programs that are not ours.
const OTHERS: &[&str] = &[
    "apk",
    "apt-get",
    "chown",
    "df",
    "docker",
    "git",
    "jq",
    "kill",
    "ls",
    "man",
    "rm",
    "ssh",
    "ssh-keyscan",
    "sudo",
    "xcode-select",
    "xcodebuild",
];
/// What is no program of a person's, and runs as it is.
const PLAIN: &[&str] = &["echo", "eval", "export", "mkdir", "ulimit", "unset", "$EDITOR"];
/// What stands in capitals for a word of the reader's.
const PLACEHOLDERS: &[(&str, &str)] = &[
    ("MODULE@VERSION", "example.com/m@v1.0.0"),
    ("MODULE", "example.com/m"),
    ("COMMIT", "0123456789ab"),
    ("LIST", "https://proxy.example"),
    ("TOPIC", "stall"),
    ("DIR", "/nonexistent"),
    ("ID", "1"),
    ("NAME", "cn"),
];

/// The text in backticks, wherever lines are broken.
fn quoted(text: &str) -> Vec<String> {
    let words = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let paragraphs = text.split("\n\n").map(words);
    paragraphs
        .flat_map(|text| {
            text.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The first word behind the assignments.
fn program(command: &str) -> &str {
    let is_assignment = |word: &&str| {
        word.split_once('=')
            .is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
    };
    command
        .split_whitespace()
        .find(|word| !is_assignment(word))
        .unwrap_or_default()
}

fn is_command(text: &str) -> bool {
    let program = program(text);
    let is_known =
        ["go", "gofix"].contains(&program) || OTHERS.contains(&program) || PLAIN.contains(&program);
    let is_line_of_go_mod = text.starts_with("go 1.");
    // A program's name alone is about the program.
    is_known && !is_line_of_go_mod && !NO_COMMANDS.contains(&text) && text != program
}

/// What diagnosis advises about every text that is known, and the topics of the manual.
fn of_diagnosis() -> BTreeSet<String> {
    let mut texts: Vec<String> = Vec::new();
    for topic in TOPICS {
        texts.push(topic.cause.to_owned());
        texts.extend(topic.cure.iter().map(|step| (*step).to_owned()));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/stderr");
    for file in fs::read_dir(folder).unwrap() {
        for line in fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            let fixture: serde_json::Value = serde_json::from_str(line).unwrap();
            let input = Input {
                stderr: fixture["text"].as_str().unwrap().as_bytes(),
                stdout_json: fixture["stdout"].as_str().map(str::as_bytes),
            };
            texts.push(diagnose(&input).advice);
        }
    }
    let all: BTreeSet<&String> = texts.iter().collect();
    for text in &all {
        let outside: String = text.split('`').step_by(2).collect();
        for name in [
            "go env",
            "go mod",
            "go get ",
            "gofix ",
            "git config",
            "ssh-keyscan",
            "xcode-select ",
        ] {
            assert!(
                !outside.contains(&format!("({name}")),
                "a command without backticks: {text}"
            );
            assert!(
                !outside.contains(&format!(": {name}")),
                "a command without backticks: {text}"
            );
        }
    }
    all.into_iter().flat_map(|text| quoted(text)).collect()
}

/// What the last screen says to type next, whatever it was.
fn of_the_last_screen() -> BTreeSet<String> {
    let mut commands = BTreeSet::new();
    let reasons = [
        GaveUp::Final,
        GaveUp::TriesSpent,
        GaveUp::BudgetSpent,
        GaveUp::Offline,
        GaveUp::Interrupted,
        GaveUp::Doubted,
    ];
    for why in reasons {
        for kind in FaultKind::ALL {
            let mut stage = stage(settings());
            let mut fault = fault(*kind, "proxy.golang.org", "words");
            fault.verdict = Verdict::Retry;
            for attempt in 1..=2 {
                stage.started(attempt, (1, OWN));
                stage.failed(attempt, std::slice::from_ref(&fault));
            }
            stage.gave_up(why, vec![fault]);
            stage.finished(2, false);
            let screen = stage.screen.text();
            let next = screen.lines().filter_map(|line| {
                let line = line.strip_prefix("gofix: ")?;
                line.strip_prefix("next: ")
                    .or_else(|| line.strip_prefix("more: "))
            });
            commands.extend(next.map(str::to_owned));
            commands.extend(quoted(&screen));
        }
    }
    assert!(commands.len() > 6, "{commands:?}");
    commands
}

/// What gofix's own commands print, and the examples of their help.
fn of_the_commands() -> BTreeSet<String> {
    let sandbox = sandbox();
    sandbox.switch_telemetry_off();
    let mut commands = BTreeSet::new();
    let of = |words: &[&str]| {
        let outcome = sandbox.gofix(words).output();
        format!("{}\n{}", outcome.stdout, outcome.stderr)
    };
    let help = of(&["--help"]);
    let (_, own) = help.split_once("Commands of gofix:\n").unwrap();
    let names = own.lines().map_while(|line| line.split_whitespace().next());
    let pages = names.map(|name| of(&["help", name])).chain([help.clone()]);
    for page in pages {
        let (_, examples) = page.split_once("Examples:\n").unwrap();
        let lines = examples.lines().map_while(|line| line.strip_prefix("  "));
        let shells = lines.filter(|line| !line.contains("Invoke-Expression"));
        commands.extend(
            shells
                .filter_map(|line| line.split("  ").next())
                .map(str::to_owned),
        );
        commands.extend(quoted(&page));
    }
    assert!(commands.len() > 30, "{commands:?}");
    for words in [
        &["routes"][..],
        &["routes", "presets"],
        &["routes", "edit", "1"],
        &["routes", "remove", "1"],
        &["routes", "remove", "9"],
        &["routes", "use", "cn"],
        &["routes"],
        &["routes", "remove", "2"],
        &["routes", "reset"],
        &["shim", "status"],
        &["shim", "install"],
        &["shim", "status"],
        &["shim", "uninstall"],
        &["cache", "verify"],
        &["cache", "repair"],
        &["cache", "list"],
        &["cache", "restore"],
        &["wait", "example.com/m@v1.0.0"],
        &["wait", "nonsense"],
        &["rehearse", "no-such"],
        &["config"],
        &["config", "check"],
        &["explain", "/nonexistent"],
        &["fix"],
        &["vet"],
        &["nonsense"],
        &["help", "nonsense"],
        &["help", "off"],
        &["help", "faults"],
        &["help", "privacy"],
        &["help", "variables"],
        &["help", "exit-status"],
        &["help", "topics"],
    ] {
        commands.extend(quoted(&of(words)));
    }
    commands
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new()
        .env("GOFIX_TIMEOUT_MS", "400")
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .env("HTTP_PROXY", "http://127.0.0.1:1");
    sandbox.write("go.mod", "module example.com/main\n\ngo 1.21\n");
    sandbox.write("main.go", "package main\n\nfunc main() {}\n");
    sandbox.write("build.log", "go: unexpected EOF\n");
    sandbox.write("run.jsonl", "");
    sandbox.write("artifacts/a.jsonl", "");
    // Who has that shell has its folder.
    for folder in [
        ".local/share/bash-completion/completions",
        ".zfunc",
        ".config/fish/completions",
        ".config/elvish/lib",
    ] {
        fs::create_dir_all(sandbox.path("home").join(folder)).unwrap();
    }
    for program in OTHERS {
        sandbox.script(&format!("stubs/{program}"), "exit 0");
    }
    sandbox.script("stubs/mkdir", "exec /bin/mkdir \"$@\"");
    sandbox
}

/// What stands in backticks, has a blank in it, and is no command.
const NO_COMMANDS: &[&str] = &[
    "config check",
    "cache verify",
    "shim status",
    // A line of a Dockerfile.
    "ENV GOMODCACHE=/tmp/mod",
    "machine github.com login x password TOKEN",
    "gofix wait",
    "gofix report",
];

/// Says why a command cannot be pasted.
fn complaint(command: &str) -> Option<String> {
    let mut command = command.to_owned();
    for (name, value) in PLACEHOLDERS {
        command = command.replace(name, value);
    }
    let sandbox = sandbox().env("GOENV", "goenv");
    sandbox.switch_telemetry_off();
    let path = std::env::join_paths(["stubs", "shims"].map(|dir| sandbox.path(dir))).unwrap();
    // What plays for long is read by the shell alone.
    let flags = if command.contains("gofix rehearse") {
        "-nc"
    } else {
        "-euc"
    };
    let outcome = sandbox
        .run("/bin/sh")
        .args([flags, &command])
        .env("PATH", path)
        .env("EDITOR", ":")
        .env("GOFIX_GO", crate::support::real_go())
        .output();
    let misused = match outcome.code() {
        Some(2 | 126 | 127) | None => true,
        Some(_) => false,
    };
    let words = [
        "flag provided but not defined",
        "unknown command",
        "syntax error",
        "usage: ",
    ];
    let complained = words.iter().any(|words| outcome.stderr.contains(words));
    (misused || complained).then(|| format!("{command}: {outcome}"))
}

#[test]
fn every_command_of_a_screen_can_be_pasted() {
    let mut all = of_diagnosis();
    all.extend(of_the_last_screen());
    all.extend(of_the_commands());
    let (commands, others): (BTreeSet<&String>, BTreeSet<&String>) =
        all.iter().partition(|text| is_command(text));
    let unknown: Vec<_> = others
        .into_iter()
        .filter(|text| {
            text.contains(' ') && !NO_COMMANDS.contains(&text.as_str()) && !text.starts_with("go 1.")
        })
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(commands.len() > 60, "{commands:?}");
    let commands: Vec<&String> = commands.into_iter().collect();
    let complaints: Vec<String> = std::thread::scope(|scope| {
        let share = commands.len().div_ceil(8);
        let shares = commands.chunks(share);
        let workers: Vec<_> = shares
            .map(|share| {
                scope.spawn(move || {
                    share
                        .iter()
                        .filter_map(|command| complaint(command))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(
        complaints.is_empty(),
        "{}\n of {commands:#?}",
        complaints.join("\n\n")
    );
}
