//! `gofix rehearse`, run as a user runs it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use gofix::rehearse::scenario::{self, Outcome, Scenario};
use gofix::rehearse::{Players, Report, play};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use serde_json::Value;

use crate::support::{Sandbox, real_go, tree};

fn json(sandbox: &Sandbox, args: &[&str]) -> Value {
    let outcome = sandbox.gofix(args).output();
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

#[test]
fn it_lists_every_scenario() {
    let sandbox = Sandbox::new();
    let shown = sandbox
        .gofix(&["rehearse", "--list"])
        .output()
        .expect_code(0)
        .stdout;
    let all = scenario::all().unwrap();
    assert_eq!(shown.lines().count(), all.len());
    for scenario in &all {
        assert!(
            shown
                .lines()
                .any(|line| line.starts_with(&scenario.name) && line.ends_with(&scenario.shows))
        );
    }
    let listed = json(&sandbox, &["rehearse", "--list", "--json"]);
    assert_eq!(listed["scenarios"].as_array().unwrap().len(), all.len());
}

#[test]
fn a_name_that_is_none_is_refused_in_one_line() {
    let outcome = Sandbox::new()
        .gofix(&["rehearse", "refused", "no\x1b[31msuch"])
        .output()
        .expect_code(2);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
    assert!(
        outcome.stderr.starts_with("gofix: there is no scenario `no"),
        "{outcome}"
    );
    assert!(!outcome.stderr.contains('\x1b'), "{outcome}");
    assert!(outcome.stdout.is_empty(), "{outcome}");
}

/// Plays these scenarios and gives back what came of each; nothing of the user's is touched.
fn as_declared(relay: &str, names: &[&str]) -> impl Fn(&str) -> Value + use<> {
    let sandbox = Sandbox::new();
    let home = tree(&sandbox.path("home"));
    let report = json(
        &sandbox,
        &[&["--relay", relay, "rehearse", "--json"], names].concat(),
    );
    assert_eq!(report["ok"], true, "{report:#}");
    let played = report["scenarios"].as_array().unwrap().clone();
    assert_eq!(played.len(), names.len());
    assert_eq!(
        fs::read_dir(sandbox.path("tmp")).unwrap().count(),
        0,
        "something is left"
    );
    assert_eq!(tree(&sandbox.path("home")), home, "the user's home was touched");
    move |name| {
        let mut named = played.iter().filter(|entry| entry["scenario"] == name);
        named.next().unwrap().clone()
    }
}

#[test]
fn what_is_declared_comes_to_pass() {
    let names = [
        "refused",
        "reset-body",
        "stalled-body",
        "silent-older-version",
        "not-found",
        "private-outage",
    ];
    let named = as_declared("off", &names);
    assert_eq!(named("stalled-body")["go"]["end"], "hang");
    assert_eq!(named("silent-older-version")["go"]["end"], "exit 0");
    assert_eq!(named("silent-older-version")["go"]["result_is_right"], false);
    assert_eq!(named("reset-body")["gofix"]["attempts"], 2);
}

/// With the relay go runs once, but where only the disk or a checksum shows the fault.
#[test]
fn what_is_declared_comes_to_pass_with_the_relay() {
    let once = [
        "refused",
        "dead-first-route",
        "reset-body",
        "stalled-body",
        "slow-drip",
        "too-many-requests",
        "portal",
        "portal-poisons-cache",
        "silent-older-version",
        "checksums-unavailable",
        "not-found",
        "forbidden",
        "go-sum-mismatch",
        "private-outage",
    ];
    let twice = ["flipped-bit", "truncated-zip"];
    let named = as_declared("on", &[&once[..], &twice].concat());
    for (names, runs) in [(&once[..], 1), (&twice, 2)] {
        for name in names {
            assert_eq!(named(name)["gofix"]["attempts"], runs, "{name}");
        }
    }
}

/// A program for the part of gofix.
fn impostor(sandbox: &Sandbox, script: &str) -> PathBuf {
    sandbox.script("impostor", script)
}

fn judged(names: &[&str], gofix: &Path) -> Vec<Report> {
    let chosen: Vec<Scenario> = scenario::all()
        .unwrap()
        .into_iter()
        .filter(|scenario| names.contains(&scenario.name.as_str()))
        .collect();
    assert_eq!(chosen.len(), names.len());
    let players = Players {
        go: real_go().to_owned(),
        gofix: gofix.to_owned(),
    };
    let mut reports = Vec::new();
    play(&chosen, &players, |report| reports.push(report)).unwrap();
    reports
}

#[test]
fn a_gofix_that_only_runs_go_does_not_pass() {
    let sandbox = Sandbox::new();
    let gofix = impostor(&sandbox, "shift; exec \"$GOFIX_GO\" \"$@\"");
    let names = ["refused", "cut-body", "silent-older-version", "truncated-zip"];
    for report in judged(&names, &gofix) {
        assert_eq!(report.declared, "win");
        assert!(!report.problems.is_empty(), "{report:?}");
        assert!(!report.gofix.result_is_right, "{report:?}");
    }
}

#[test]
fn a_gofix_that_asks_everybody_or_changes_words_does_not_pass() {
    let sandbox = Sandbox::new();
    let asks = "shift; GOPROXY=${GOFIX_ROUTES:-$GOPROXY} exec \"$GOFIX_GO\" \"$@\"";
    for report in judged(&["private-outage", "forbidden"], &impostor(&sandbox, asks)) {
        assert!(
            report
                .problems
                .iter()
                .any(|problem| problem.contains("not to be asked")),
            "{report:?}"
        );
        assert!(
            report.problems.iter().any(|problem| problem.contains("exit 1")),
            "{report:?}"
        );
    }
    let talks = "shift; \"$GOFIX_GO\" \"$@\"; status=$?; echo one more line >&2; exit $status";
    for report in judged(&["unknown-version"], &impostor(&sandbox, talks)) {
        assert!(
            report
                .problems
                .iter()
                .any(|problem| problem.contains("own words")),
            "{report:?}"
        );
    }
}

#[test]
fn plain_go_does_what_every_scenario_says() {
    // An impostor that does nothing leaves plain go as the only one to be judged.
    let sandbox = Sandbox::new();
    let gofix = impostor(&sandbox, "exit 0");
    let all = scenario::all().unwrap();
    let names: Vec<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
    for report in judged(&names, &gofix) {
        assert!(
            !report
                .problems
                .iter()
                .any(|problem| problem.starts_with("plain go")),
            "{report:?}"
        );
    }
    assert!(all.iter().any(|scenario| scenario.outcome == Outcome::Stop));
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let fifo = sandbox.path("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let script = format!(
        "test \"$1\" = env && exit\nexec 3>'{}'\necho started >&3\nexec sleep 1000",
        fifo.display()
    );
    let go = impostor(&sandbox, &script);
    let rehearsal = sandbox
        .gofix(&["rehearse", "refused"])
        .env("GOFIX_GO", &go)
        .spawn();
    let mut life = BufReader::new(fs::File::open(&fifo).unwrap());
    let mut line = String::new();
    life.read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    rehearsal.signal(Signal::SIGINT);
    let outcome = rehearsal.wait();
    assert_eq!(outcome.signal(), Some(Signal::SIGINT as i32), "{outcome}");
    assert_eq!(life.read_to_string(&mut line).unwrap(), 0, "go lives on");
    assert_eq!(
        fs::read_dir(sandbox.path("tmp")).unwrap().count(),
        0,
        "something is left"
    );
}
