//! `gofix rehearse`: shows what gofix does in a bad network, on loopback.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::args;
use super::failure::Failure;
use super::{FAILED, OK};
use crate::rehearse::scenario::{self, Plain, Scenario};
use crate::rehearse::{Played, Players, Report, play};
use crate::report::out::{self, Out};
use crate::sys::run::{self, Ended};
use crate::text::safe;

/// How long a version manager's shim may take to say where its go is.
const ASKED: Duration = Duration::from_secs(30);

/// Runs the command. Of the settings only `--relay` counts: it takes the place of what the
/// scenarios say.
pub(super) fn run(asked: &args::Rehearse, settings: &args::Settings) -> Result<i32, Failure> {
    let mut chosen = choose(&asked.scenarios)?;
    if settings.relay.is_some() {
        chosen
            .iter_mut()
            .for_each(|scenario| scenario.relay.clone_from(&settings.relay));
    }
    if asked.list {
        list(&chosen, asked.json);
        return Ok(OK);
    }
    let done = players().and_then(|players| rehearse(&chosen, &players, asked.json));
    match done {
        Ok(true) => Ok(OK),
        Ok(false) => Ok(FAILED),
        Err(error) => Err(Failure::new(format!(
            "the rehearsal cannot go on: {}",
            safe(&error.to_string())
        ))),
    }
}

/// The scenarios of these names, in their own order; all if there is no name.
fn choose(names: &[String]) -> Result<Vec<Scenario>, Failure> {
    let mut all =
        scenario::all().map_err(|error| Failure::new(format!("the scenarios do not parse: {error}")))?;
    if let Some(unknown) = names
        .iter()
        .find(|name| all.iter().all(|known| known.name != **name))
    {
        return Err(
            Failure::usage(format!("there is no scenario `{}`", safe(unknown)))
                .hint("`gofix rehearse --list` lists them"),
        );
    }
    all.retain(|scenario| names.is_empty() || names.contains(&scenario.name));
    Ok(all)
}

fn list(scenarios: &[Scenario], as_json: bool) {
    let mut out = out::stdout();
    if as_json {
        let entry = |s: &Scenario| json!({ "scenario": s.name, "shows": s.shows, "command": command(s) });
        let entries: Vec<_> = scenarios.iter().map(entry).collect();
        let _ = writeln!(out, "{}", json!({ "scenarios": entries }));
        return;
    }
    for scenario in scenarios {
        let _ = writeln!(out, "{:24} {}", scenario.name, scenario.shows);
    }
}

fn command(scenario: &Scenario) -> String {
    format!("go {}", scenario.go.join(" "))
}

/// The real go as a path that needs nothing of the user's environment, and gofix.
fn players() -> io::Result<Players> {
    let found = super::real_go().ok_or_else(|| io::Error::other("there is no go in PATH"))?;
    Ok(Players {
        go: go_of_goroot(&found),
        gofix: std::env::current_exe()?,
    })
}

/// A version manager's shim needs the user's environment; the go in its GOROOT does not.
/// It is asked only where the path does not tell, since go writes into HOME as it runs.
fn go_of_goroot(found: &Path) -> PathBuf {
    let resolved = found.canonicalize().unwrap_or_default();
    let is_goroot = |dir: &Path| dir.join("VERSION").is_file() && dir.join("pkg/tool").is_dir();
    if resolved.parent().and_then(Path::parent).is_some_and(is_goroot) {
        return resolved;
    }
    let mut command = Command::new(found);
    command.args(["env", "GOROOT"]).env("GOTOOLCHAIN", "local");
    let goroot = match run::within(ASKED, command, None) {
        Ended::Said(goroot, _) => goroot,
        Ended::NotStarted(_) | Ended::TooLate => Vec::new(),
    };
    let go = Path::new(OsStr::from_bytes(goroot.trim_ascii())).join("bin/go");
    if go.is_file() { go } else { found.to_owned() }
}

/// Plays the scenarios and shows what came of them; true if all ended as declared.
fn rehearse(scenarios: &[Scenario], players: &Players, as_json: bool) -> io::Result<bool> {
    let mut out = out::stdout();
    let mut reports = Vec::new();
    if !as_json {
        let _ = writeln!(out, "{:24} {:24} GOFIX", "SCENARIO", "PLAIN GO");
    }
    play(scenarios, players, |report| {
        if !as_json {
            show(&mut out, scenarios, &report);
        }
        reports.push(report);
    })?;
    let ok = reports.iter().all(|report| report.problems.is_empty());
    if as_json {
        let _ = writeln!(out, "{}", json!({ "ok": ok, "scenarios": reports }));
    } else {
        sum_up(&mut out, &reports);
    }
    Ok(ok)
}

fn show(out: &mut Out, scenarios: &[Scenario], report: &Report) {
    let scenario = scenarios.iter().find(|scenario| scenario.name == report.scenario);
    let go = plain_words(scenario.map(|scenario| scenario.plain), &report.go);
    let mark = if report.problems.is_empty() {
        ""
    } else {
        "   NOT AS DECLARED"
    };
    let gofix = gofix_words(report);
    let _ = writeln!(out, "{:24} {:24} {gofix}{mark}", report.scenario, go);
    for problem in &report.problems {
        let _ = writeln!(out, "    {problem}");
    }
    if !report.problems.is_empty() {
        for line in report.gofix.output.lines().take(40) {
            let _ = writeln!(out, "    | {}", safe(line));
        }
    }
}

fn plain_words(declared: Option<Plain>, go: &Played) -> String {
    let seconds = seconds(go);
    match (go.end.as_str(), declared) {
        ("hang", _) => format!("hangs (ended at {seconds})"),
        ("exit 0", _) if !go.result_is_right => format!("wrong result, {seconds}"),
        ("exit 0", _) => format!("ends well, {seconds}"),
        (end, _) => format!("fails, {end}, {seconds}"),
    }
}

fn gofix_words(report: &Report) -> String {
    let gofix = &report.gofix;
    let runs = match gofix.attempts {
        1 => "1 run".to_owned(),
        count => format!("{count} runs"),
    };
    let what = match gofix.end.as_str() {
        "exit 0" => "gets the modules".to_owned(),
        end if report.declared == "stop" => format!("stops, {end}"),
        end => format!("fails, {end}"),
    };
    format!("{what}, {runs} of go, {}", seconds(gofix))
}

fn seconds(played: &Played) -> String {
    format!("{:.1} s", played.ms as f64 / 1000.0)
}

fn sum_up(out: &mut Out, reports: &[Report]) {
    let count = |declared: &str| {
        reports
            .iter()
            .filter(|report| report.declared == declared && report.problems.is_empty())
            .count()
    };
    let otherwise = reports
        .iter()
        .filter(|report| !report.problems.is_empty())
        .count();
    let _ = writeln!(
        out,
        "\n{} scenarios: {} in which gofix gets the modules and go does not, {} in which gofix stops with go's answer, \
         {otherwise} not as declared",
        reports.len(),
        count("win"),
        count("stop"),
    );
}
