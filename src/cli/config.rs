//! `gofix config`: what holds, where it comes from, and what is wrong with it.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Map, Value, json};

use super::args::{self, ConfigAction, Settings};
use super::failure::Failure;
use super::{FAILED, OK, load_config, say_warnings, variable};
use crate::config::{Config, Files, Origin, Shown, Warning};
use crate::env_vars;
use crate::report::out;

/// Runs the command.
pub(super) fn run(asked: &args::Config, settings: &Settings) -> Result<i32, Failure> {
    match asked.action {
        None => show(settings, asked.json),
        Some(ConfigAction::Show { json }) => show(settings, json || asked.json),
        Some(ConfigAction::Check { json }) => check(settings, json || asked.json),
        Some(ConfigAction::Path) => path(),
    }
}

fn show(settings: &Settings, json: bool) -> Result<i32, Failure> {
    let (config, warnings) = load_config(settings)?;
    let mut stdout = out::stdout();
    if json {
        let _ = writeln!(stdout, "{:#}", as_json(&config, &warnings));
        return Ok(OK);
    }
    say_warnings(&warnings);
    let entries = config.entries();
    let rows: Vec<(&str, String, String)> = entries
        .iter()
        .flat_map(|(key, shown, origin)| rows(key, shown, origin))
        .collect();
    let width = rows
        .iter()
        .map(|(_, value, _)| value.chars().count())
        .max()
        .unwrap_or(0)
        .min(48);
    for (key, value, origin) in rows {
        let _ = writeln!(stdout, "{key:<13} {value:<width$}  {origin}");
    }
    Ok(OK)
}

/// The lines of one setting; the routes have one for each list.
fn rows<'a>(key: &'a str, shown: &Shown, origin: &Origin) -> Vec<(&'a str, String, String)> {
    let row = |key, value: String| (key, value, origin.to_string());
    match shown {
        Shown::Nothing => vec![row(key, "-".to_owned())],
        Shown::Number(number) => vec![row(key, number.to_string())],
        Shown::Text(text) => vec![row(key, text.clone())],
        Shown::Lists(lists) if lists.is_empty() => vec![row(key, "-".to_owned())],
        Shown::Lists(lists) => {
            let names = std::iter::once(key).chain(std::iter::repeat(""));
            names
                .zip(lists)
                .map(|(name, list)| row(name, list.clone()))
                .collect()
        }
    }
}

fn as_json(config: &Config, warnings: &[Warning]) -> Value {
    let settings: Map<String, Value> = config
        .entries()
        .into_iter()
        .map(|(key, shown, origin)| {
            let value = match shown {
                Shown::Nothing => Value::Null,
                Shown::Number(number) => json!(number),
                Shown::Text(text) => json!(text),
                Shown::Lists(lists) => json!(lists),
            };
            (
                key.to_owned(),
                json!({ "value": value, "origin": origin_json(origin) }),
            )
        })
        .collect();
    json!({ "settings": settings, "warnings": warnings_json(warnings) })
}

/// An origin for programs.
pub(super) fn origin_json(origin: &Origin) -> Value {
    let file = |layer: &str, path: &std::path::Path, line: &usize| json!({ "layer": layer, "file": path.to_string_lossy(), "line": line });
    match origin {
        Origin::Default => json!({ "layer": "default" }),
        Origin::SystemFile(path, line) => file("system file", path, line),
        Origin::UserFile(path, line) => file("user file", path, line),
        Origin::Variable(name) => json!({ "layer": "variable", "name": name }),
        Origin::Flag(name) => json!({ "layer": "flag", "name": name }),
    }
}

fn warnings_json(warnings: &[Warning]) -> Value {
    warnings
        .iter()
        .map(|warning| json!({ "place": warning.place, "key": warning.key, "message": warning.message }))
        .collect()
}

fn check(settings: &Settings, json: bool) -> Result<i32, Failure> {
    let (_, warnings) = load_config(settings)?;
    let status = if warnings.is_empty() { OK } else { FAILED };
    let mut stdout = out::stdout();
    if json {
        let _ = writeln!(
            stdout,
            "{:#}",
            json!({ "ok": status == OK, "errors": warnings_json(&warnings) })
        );
        return Ok(status);
    }
    for warning in &warnings {
        out::message(&format!("error: {warning}"));
    }
    if warnings.is_empty() {
        let _ = writeln!(stdout, "no mistake in {}", what_was_read());
    }
    Ok(status)
}

/// The files and variables that there are, in words.
fn what_was_read() -> String {
    let files = Files::locate(&variable, &mut Vec::new());
    let paths = std::iter::once(&files.system).chain(files.user.as_ref().map(|user| &user.path));
    let mut read: Vec<String> = paths
        .filter(|path| path.exists())
        .map(|path| path.display().to_string())
        .collect();
    let set = env_vars::ALL
        .iter()
        .filter(|v| v.key.is_some() && variable(v.name).is_some_and(|text| !text.is_empty()));
    read.extend(set.map(|v| v.name.to_owned()));
    if read.is_empty() {
        "the configuration: there is no file and no variable".to_owned()
    } else {
        read.join(", ")
    }
}

fn path() -> Result<i32, Failure> {
    let mut warnings = Vec::new();
    let files = Files::locate(&variable, &mut warnings);
    say_warnings(&warnings);
    let user = files.user.ok_or_else(no_place)?;
    let mut stdout = out::stdout();
    let _ = stdout.write_all(user.path.as_os_str().as_bytes());
    let _ = stdout.write_all(b"\n");
    Ok(OK)
}

/// Nothing says where the user's own file would be.
pub(super) fn no_place() -> Failure {
    Failure::new("there is no place for your configuration file")
        .hint("set HOME, XDG_CONFIG_HOME or GOFIX_CONFIG to an absolute path")
}
