//! `gofix rehearse`: a bad network on loopback, plain go and gofix side by side.
//!
//! Each scenario of `scenarios.toml` says beforehand what must come of it: that gofix
//! gets the modules where go fails or hangs, or that it stops with go's own answer.
//! Both run the real go against proxies of their own with the same faults, in
//! temporary folders. What counts as a win is measured on a third run: plain go in a
//! healthy network must leave the same go.mod, go.sum and zips.
//!
//! No network is used and nothing of the user's is touched.
//!
//! Known limitations: that plain go *hangs* is said when it has not ended within
//! the scenario's patience; go itself has no clock that would ever end it.

mod interrupt;
mod modules;
pub mod scenario;
mod stage;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use serde::Serialize;

use scenario::{Outcome, Plain, Scenario};
use stage::{End, Left, Ran, Stage, Supplies, healed};

/// How many scenarios run at a time: more would make the clocks of gofix strike on a
/// busy machine.
const AT_A_TIME: usize = 2;
/// No run of gofix takes longer: its budget in a rehearsal is shorter.
const GOFIX_LIMIT: Duration = Duration::from_secs(50);

/// The two programs that play.
#[derive(Debug, Clone)]
pub struct Players {
    /// The real go, as an absolute path.
    pub go: PathBuf,
    /// gofix itself.
    pub gofix: PathBuf,
}

/// What one program did in one scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Played {
    /// In words: `exit 1`, `signal 15`, `hang`.
    pub end: String,
    /// Milliseconds.
    pub ms: u128,
    /// How often go was run.
    pub attempts: usize,
    /// Requests to all proxies together.
    pub requests: usize,
    /// Whether what it left is what a healthy network would have left.
    pub result_is_right: bool,
    /// What it printed, with addresses and folders replaced by names.
    pub output: String,
}

/// What came of one scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// What is wrong in it.
    pub shows: String,
    /// The go command.
    pub command: String,
    /// What had to come of it: `win` or `stop`.
    pub declared: &'static str,
    /// Plain go.
    pub go: Played,
    /// gofix.
    pub gofix: Played,
    /// What is otherwise than declared; empty if nothing is.
    pub problems: Vec<String>,
}

/// Plays the scenarios and gives each report to `each`, in the order of `scenarios`.
///
/// # Errors
/// A stage cannot be set up, a program cannot be started, or the user interrupted.
pub fn play(scenarios: &[Scenario], players: &Players, mut each: impl FnMut(Report)) -> io::Result<()> {
    interrupt::watch();
    let supplies = Supplies::new();
    let next = AtomicUsize::new(0);
    let (reports, arriving) = mpsc::channel();
    let played = std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            let (reports, next, supplies) = (reports.clone(), &next, &supplies);
            scope.spawn(move || play_some(scenarios, players, supplies, next, &reports));
        }
        drop(reports);
        let played = in_order(&arriving, &mut each);
        // After an error nobody takes another scenario.
        next.store(scenarios.len(), Ordering::Relaxed);
        played
    });
    interrupt::die_of_it();
    played
}

type Numbered = (usize, io::Result<Report>);

/// Takes one scenario after another until none is left or one could not be played.
fn play_some(
    scenarios: &[Scenario],
    players: &Players,
    supplies: &Supplies,
    next: &AtomicUsize,
    reports: &mpsc::Sender<Numbered>,
) {
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(scenario) = scenarios.get(index) else {
            return;
        };
        let report = rehearse(scenario, supplies, players);
        let failed = report.is_err();
        if reports.send((index, report)).is_err() || failed {
            return;
        }
    }
}

/// Hands on the reports in the order of their scenarios.
fn in_order(arriving: &mpsc::Receiver<Numbered>, each: &mut impl FnMut(Report)) -> io::Result<()> {
    let mut early = BTreeMap::new();
    let mut due = 0;
    for (index, report) in arriving {
        early.insert(index, report?);
        while let Some(report) = early.remove(&due) {
            each(report);
            due += 1;
        }
    }
    Ok(())
}

/// Plays one scenario: plain go, gofix, and plain go in a healthy network.
fn rehearse(scenario: &Scenario, supplies: &Supplies, players: &Players) -> io::Result<Report> {
    let stage = |scenario: &Scenario| Stage::new(scenario, supplies, &players.go);
    let go = stage(scenario)?.run(&players.go, &scenario.go, scenario.patience_for_plain_go())?;
    let args: Vec<&str> = std::iter::once("go")
        .chain(scenario.go.iter().map(String::as_str))
        .collect();
    let gofix = stage(scenario)?.run(&players.gofix, &args, GOFIX_LIMIT)?;
    let right = match scenario.outcome {
        Outcome::Win => {
            stage(&healed(scenario))?
                .run(&players.go, &scenario.go, GOFIX_LIMIT)?
                .left
        }
        // Where go must fail, it must leave what it leaves by itself.
        Outcome::Stop => go.left.clone(),
    };
    Ok(Report {
        scenario: scenario.name.clone(),
        shows: scenario.shows.clone(),
        command: format!("go {}", scenario.go.join(" ")),
        declared: match scenario.outcome {
            Outcome::Win => "win",
            Outcome::Stop => "stop",
        },
        problems: problems(scenario, &go, &gofix, &right),
        go: Played::new(scenario, &go, &right),
        gofix: Played::new(scenario, &gofix, &right),
    })
}

impl Played {
    fn new(scenario: &Scenario, ran: &Ran, right: &Left) -> Self {
        Self {
            end: ran.end.to_string(),
            ms: ran.took.as_millis(),
            attempts: ran.attempts.max(1),
            requests: ran.requests.values().sum(),
            result_is_right: wrong_files(scenario, &ran.left, right).is_empty(),
            output: ran.output.clone(),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(status) => write!(f, "exit {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Never => f.write_str("hang"),
        }
    }
}

/// What is otherwise than the scenario declares.
fn problems(scenario: &Scenario, go: &Ran, gofix: &Ran, right: &Left) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(plain_problem(scenario, go, right));
    if gofix.end != End::Exit(scenario.expected_exit()) {
        found.push(format!(
            "gofix had to end with exit {} and ended with {}",
            scenario.expected_exit(),
            gofix.end
        ));
    }
    if let Some(wanted) = scenario.attempts
        && gofix.attempts != wanted as usize
    {
        found.push(format!(
            "gofix had to run go {wanted} times and ran it {} times",
            gofix.attempts
        ));
    }
    for name in &scenario.untouched {
        let asked = gofix.requests.get(name.as_str()).copied().unwrap_or(0);
        if asked > 0 {
            found.push(format!(
                "the proxy `{name}` was not to be asked and got {asked} requests"
            ));
        }
    }
    let wrong = wrong_files(scenario, &gofix.left, right);
    if !wrong.is_empty() {
        found.push(format!(
            "gofix left other files than it had to: {}",
            wrong.join(", ")
        ));
    }
    if scenario.outcome == Outcome::Stop && gos_own_words(&gofix.output) != gos_own_words(&go.output) {
        found.push("gofix changed go's own words".to_owned());
    }
    found
}

/// What is otherwise with plain go: then the scenario does not show what it says.
fn plain_problem(scenario: &Scenario, go: &Ran, right: &Left) -> Option<String> {
    let as_declared = match scenario.plain {
        Plain::Fails => matches!(go.end, End::Exit(1..)),
        Plain::Hangs => go.end == End::Never,
        Plain::Wrong => go.end == End::Exit(0) && !wrong_files(scenario, &go.left, right).is_empty(),
    };
    let wanted = match scenario.plain {
        Plain::Fails => "fail",
        Plain::Hangs => "hang",
        Plain::Wrong => "end well with a wrong result",
    };
    (!as_declared).then(|| format!("plain go had to {wanted} and ended with {}", go.end))
}

/// The lines that go printed. The port of a connection's own end differs from run to
/// run, and so does the order in which downloads begin.
fn gos_own_words(output: &str) -> Vec<&str> {
    let of_go = |line: &&str| !line.starts_with("gofix: ");
    let mut lines: Vec<&str> = output
        .lines()
        .filter(of_go)
        .filter(|line| !line.contains("->"))
        .collect();
    lines.sort_unstable();
    lines
}

/// The files that are not as they should be. Where go must fail, what it had fetched
/// and added to go.sum until then differs from run to run; nothing may be lost.
fn wrong_files(scenario: &Scenario, left: &Left, right: &Left) -> Vec<String> {
    let differs = |name: &&&'static str| left.project.get(**name) != right.project.get(**name);
    match scenario.outcome {
        Outcome::Win => {
            let missing = |zip: &(&String, &String)| left.zips.get(zip.0) != Some(zip.1);
            let zips = right.zips.iter().filter(missing).map(|(name, _)| name.clone());
            right
                .project
                .keys()
                .filter(differs)
                .map(|name| (*name).to_owned())
                .chain(zips)
                .collect()
        }
        Outcome::Stop => {
            let kept = left.project.get("go.sum").map(String::as_str).unwrap_or_default();
            let given = scenario
                .files
                .get("go.sum")
                .map(String::as_str)
                .unwrap_or_default();
            let lost = given
                .lines()
                .any(|line| kept.lines().all(|have| have != line))
                .then(|| "go.sum".to_owned());
            ["go.mod"]
                .iter()
                .filter(differs)
                .map(|name| (*name).to_owned())
                .chain(lost)
                .collect()
        }
    }
}
