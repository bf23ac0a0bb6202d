//! The command line of the tool `gofix`.
//!
//! A go command (`gofix tidy`, `gofix go …`) goes to the supervisor with its arguments untouched; everything else is one of
//! gofix's own commands, each in a module of its own. What a command has to tell goes to stdout, what gofix has to say about
//! itself to stderr as `gofix: ` lines, both through [`crate::report::out`], which outlives readers that went away.

pub mod args;
mod cache;
mod ci;
mod config;
mod doctor;
mod explain;
mod failure;
mod help;
mod manual;
pub mod reference;
#[cfg(feature = "rehearse")]
mod rehearse;
mod report;
mod routes;
mod shim;
mod wait;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::FromArgMatches;
use clap::error::ErrorKind;
use gofix_shim::StartState;

use self::args::{Cli, Command, Settings, Split};
use self::failure::Failure;
use crate::config::{Config, Warning};
use crate::report::{out, safe};

/// The command did what it was asked to.
pub const OK: i32 = 0;
/// The command could not do it, or found what it was asked to look for.
pub const FAILED: i32 = 1;
/// The command line makes no sense; Go's own status for that.
pub const USAGE: i32 = 2;
/// The time was over.
pub const TIMED_OUT: i32 = 124;

/// Runs the command in `args` (without the program's name) and returns the exit status.
pub fn run(args: &[OsString], start: &StartState) -> i32 {
    let split = args::split(args);
    if let Some(word) = split.word.filter(|word| is_for_go_fix(word)) {
        return not_go_fix(word);
    }
    if let Some(status) = help_on_topic(&split) {
        return status;
    }
    let cli = match parse(&split) {
        Ok(cli) => cli,
        Err(error) => return show(&error, split.word),
    };
    let done = match cli.command {
        Command::Ci(asked) => ci::run(&asked),
        Command::Config(asked) => config::run(&asked, &cli.settings),
        Command::Report(asked) => Ok(report::run(&asked)),
        Command::Doctor(asked) => doctor::run(&asked, &cli.settings),
        Command::Routes(asked) => routes::run(&asked, &cli.settings),
        Command::Shim(asked) => shim::run(&asked),
        Command::Cache(asked) => cache::run(&asked, &cli.settings),
        Command::Completions(asked) => Ok(manual::completions(&asked)),
        Command::Man(asked) => manual::man(&asked),
        Command::Explain(asked) => explain::run(asked.file.as_deref(), asked.json),
        Command::Wait(asked) => wait::run(&asked, &cli.settings),
        #[cfg(feature = "rehearse")]
        Command::Rehearse(asked) => rehearse::run(&asked, &cli.settings),
        #[cfg(not(feature = "rehearse"))]
        Command::Rehearse(_) => Err(Failure::new(
            "this gofix was built without its rehearsal, to be small; a build with default features has it",
        )),
        _ => go(&split, &cli.settings, start),
    };
    done.unwrap_or_else(|failure| failure.say())
}

/// Answers `help TOPIC`; the help of commands is clap's.
fn help_on_topic(split: &Split<'_>) -> Option<i32> {
    let [word, topic] = split.own else { return None };
    if word == "help" && (topic == "-h" || topic == "--help") {
        let _ = write!(out::stdout(), "{}", args::definition().render_help().ansi());
        return Some(OK);
    }
    let is_command = || {
        let mut commands = args::definition();
        commands.build();
        topic
            .to_str()
            .is_some_and(|topic| commands.find_subcommand(topic).is_some())
    };
    match word == "help" && !is_command() {
        true => help::topic(topic),
        false => None,
    }
}

fn parse(split: &Split<'_>) -> Result<Cli, clap::Error> {
    let name = OsString::from("gofix");
    let matches = args::definition().try_get_matches_from(std::iter::once(&name).chain(split.own))?;
    Cli::from_arg_matches(&matches)
}

/// The go command behind `split`, supervised.
fn go(split: &Split<'_>, settings: &Settings, start: &StartState) -> Result<i32, Failure> {
    let words = split
        .word
        .and_then(OsStr::to_str)
        .and_then(args::go_words)
        .unwrap_or_default();
    let args: Vec<OsString> = words
        .iter()
        .map(OsString::from)
        .chain(split.go.iter().cloned())
        .collect();
    let flags = settings.flags();
    // A mistake in a flag is the user's own, made just now: here it stops the command, as a mistake in one of go's would.
    Config::default().apply(&flags)?;
    Ok(crate::supervise::go(&args, &flags, start))
}

/// A variable of this process.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The real go, where there is one.
fn real_go() -> Option<PathBuf> {
    gofix_shim::find_real_go(&gofix_shim::SearchEnv::current())
        .ok()
        .map(|go| go.path)
}

/// The configuration with the settings of the command line on top.
///
/// # Errors
/// A setting on the command line that makes no sense.
fn load_config(settings: &Settings) -> Result<(Config, Vec<Warning>), Failure> {
    let (mut config, warnings) = Config::load(&variable);
    config.apply(&settings.flags())?;
    Ok((config, warnings))
}

/// The same, with a line for each thing that is wrong in the files and variables.
fn config_with_warnings_said(settings: &Settings) -> Result<Config, Failure> {
    let (config, warnings) = load_config(settings)?;
    say_warnings(&warnings);
    Ok(config)
}

/// Says what is wrong in the configuration, a line each.
fn say_warnings(warnings: &[Warning]) {
    for warning in warnings {
        out::message(&format!("warning: {warning}"));
    }
}

/// What people type who take gofix for `go fix`: packages and Go files.
fn is_for_go_fix(word: &OsStr) -> bool {
    let word = word.to_string_lossy();
    word.starts_with('.') || word.contains('/') || word.ends_with(".go")
}

fn not_go_fix(word: &OsStr) -> i32 {
    let word = safe(word.as_bytes());
    out::message(
        "gofix carries the go command through a bad network; it does not rewrite code as `go fix` does",
    );
    out::message(&format!("for Go's own fixer, type: go fix {word}"));
    out::message("`gofix --help` says what gofix does");
    USAGE
}

/// Shows what clap has to say: help on stdout, a mistake on stderr in gofix's own way.
fn show(error: &clap::Error, word: Option<&OsStr>) -> i32 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = write!(out::stdout(), "{}", error.render().ansi());
            return OK;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            out::stderr(&error.render().to_string());
            return USAGE;
        }
        ErrorKind::InvalidSubcommand if word.is_some_and(|word| word == "help") => {
            out::message("no command and no topic has that name; `gofix help topics` lists the topics");
            return USAGE;
        }
        ErrorKind::InvalidSubcommand => {
            if let Some(line) = word.and_then(go_command_left_alone) {
                out::message(&line);
                return USAGE;
            }
        }
        _ => {}
    }
    let text = error.render().to_string();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let line = line.strip_prefix("error: ").unwrap_or(line);
        out::message(&safe(line));
    }
    USAGE
}

/// The go commands that gofix has no word for, because it has nothing to add to them.
fn go_command_left_alone(word: &OsStr) -> Option<String> {
    const LEFT: &[&str] = &["bug", "clean", "doc", "env", "fix", "fmt", "telemetry", "version"];
    let word = LEFT.iter().find(|known| **known == word)?;
    Some(format!(
        "gofix adds nothing to `go {word}`; type `go {word}` or `gofix go {word}`"
    ))
}
