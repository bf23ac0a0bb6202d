//! What a scenario is: data, read from `scenarios.toml`, which is part of gofix.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::faultproxy::{Door, Rule};

/// The scenarios as they lie in the source.
const SOURCE: &str = include_str!("scenarios.toml");

/// One bad network, and what has to come of it. It says so beforehand.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// What is wrong in it, in a few words.
    pub shows: String,
    /// What gofix must come to.
    pub outcome: Outcome,
    /// What go does by itself.
    #[serde(default)]
    pub plain: Plain,
    /// The go command.
    #[serde(default = "Scenario::download")]
    pub go: Vec<String>,
    /// The exit status gofix must end with: 0 for a win and 1 for a stop, if not said.
    pub exit: Option<i32>,
    /// How many times gofix must have run go: exactly.
    pub attempts: Option<u32>,
    /// The proxies that gofix must not have sent a single request to, as `good`.
    #[serde(default)]
    pub untouched: Vec<String>,
    /// The value of GOPROXY. `{bad}`, `{other}` and `{good}` stand for the proxies' URLs.
    #[serde(default = "Scenario::goproxy")]
    pub goproxy: String,
    /// The value of GOSUMDB: `{key}` is the key of the database of all modules, which
    /// go then looks for at its proxies, `{altered}` that of one with other hashes.
    #[serde(default = "Scenario::gosumdb")]
    pub gosumdb: String,
    /// The value of GOFIX_ROUTES, with the same placeholders.
    pub routes: Option<String>,
    /// The value of GOFIX_WIDEN.
    pub widen: Option<String>,
    /// The value of GOFIX_RELAY; gofix's own default if not said.
    pub relay: Option<String>,
    /// Files of the project in place of those that every scenario has.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What is done to a module cache that a healthy download has filled before; no
    /// cache at all if empty.
    #[serde(default)]
    pub damage: Vec<Damage>,
    /// The bad proxy.
    #[serde(default)]
    pub bad: Proxy,
    /// A second bad proxy.
    #[serde(default)]
    pub other: Proxy,
    /// Seconds after which plain go is ended and taken to hang.
    #[serde(default = "Scenario::patience")]
    pub patience: u64,
}

/// What gofix must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It ends well, with the same files as in a healthy network.
    Win,
    /// It ends as go ended, in go's own words.
    Stop,
}

/// What go does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plain {
    /// It ends with an error.
    #[default]
    Fails,
    /// It does not end.
    Hangs,
    /// It ends with exit status 0 and other files than in a healthy network.
    Wrong,
}

/// A bad proxy.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// What happens to connections.
    #[serde(default)]
    pub door: Door,
    /// What happens to requests.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// One change to the module cache; paths are relative to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Damage {
    /// The file is cut to half its length.
    Cut(String),
    /// The file or folder is removed.
    Remove(String),
}

impl Scenario {
    fn download() -> Vec<String> {
        ["mod", "download"].map(str::to_owned).to_vec()
    }

    fn goproxy() -> String {
        "{bad}".to_owned()
    }

    fn gosumdb() -> String {
        "{key}".to_owned()
    }

    fn patience() -> u64 {
        6
    }

    /// The exit status gofix must end with.
    pub fn expected_exit(&self) -> i32 {
        self.exit.unwrap_or(match self.outcome {
            Outcome::Win => 0,
            Outcome::Stop => 1,
        })
    }

    /// When plain go is taken to hang.
    pub fn patience_for_plain_go(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}

/// All scenarios, in their order in the file.
///
/// # Errors
/// The file does not parse, which a test of gofix forbids.
pub fn all() -> Result<Vec<Scenario>, toml_edit::de::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        scenario: Vec<Scenario>,
    }
    toml_edit::de::from_str(SOURCE).map(|file: File| file.scenario)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_file_holds_enough_of_both_kinds() {
        let all = all().unwrap();
        let names: BTreeSet<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names.len(), all.len(), "a name stands twice");
        let count = |outcome| all.iter().filter(|scenario| scenario.outcome == outcome).count();
        assert!(count(Outcome::Win) >= 12, "{}", count(Outcome::Win));
        assert!(count(Outcome::Stop) >= 6, "{}", count(Outcome::Stop));
    }

    #[test]
    fn names_and_texts_fit_a_table() {
        for scenario in all().unwrap() {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(
                scenario.name.len() <= 24 && scenario.name.chars().all(fits),
                "{}",
                scenario.name
            );
            assert!(
                scenario.shows.len() <= 76 && !scenario.shows.ends_with('.'),
                "{}",
                scenario.name
            );
        }
    }
}
