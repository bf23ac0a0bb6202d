//! Diagnosis against the fixtures: texts with what they mean, logs of CI systems, and output that is no fault.

mod cut;
mod document;
mod explain;
mod fixtures;
mod logs;
mod wrappers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gofix::diagnose::rules::{Part, Pattern, RULES, Rule, Shape};
use gofix::diagnose::{Diagnosis, Fault, Input, RuleSet, Scanner, Verdict, diagnose, diagnose_with, explain};
use proptest::prelude::*;
use serde::Deserialize;

/// One text and what it means.
#[derive(Debug, Clone, Deserialize)]
struct Fixture {
    name: String,
    source: String,
    text: String,
    stdout: Option<String>,
    verdict: String,
    rule: String,
    kind: String,
    module: Option<String>,
    version: Option<String>,
    host: Option<String>,
    url: Option<String>,
    #[serde(default)]
    nobody: bool,
}

impl Fixture {
    fn input(&self) -> Input<'_> {
        Input {
            stderr: self.text.as_bytes(),
            stdout_json: self.stdout.as_deref().map(str::as_bytes),
        }
    }

    /// Whether go printed it somewhere, as against a text put together from what a program's source says.
    fn is_real(&self) -> bool {
        !self.source.starts_with("written from")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The fixtures, by family.
fn families() -> BTreeMap<String, Vec<Fixture>> {
    let folder = root().join("fixtures/stderr");
    let mut families = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let family = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let fixtures: Vec<Fixture> = text
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {e}: {line}", path.display()))
            })
            .collect();
        families.insert(family, fixtures);
    }
    assert!(families.len() > 10, "the fixtures are there");
    families
}

fn fixtures() -> Vec<Fixture> {
    families().into_values().flatten().collect()
}

/// The fault that the verdict comes from.
fn deciding(diagnosis: &Diagnosis) -> Option<&Fault> {
    diagnosis
        .faults
        .iter()
        .find(|fault| fault.verdict == diagnosis.verdict)
}
