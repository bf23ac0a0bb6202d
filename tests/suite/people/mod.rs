//! What a person meets: the command line, the configuration, the routes, the shim's place, the documents.

mod command_line;
mod configuration;
mod documents;
mod generated;
mod reference;
mod shim;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Outcome, Run, Sandbox, gofix_exe, real_go, tree};

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}\n{outcome}"))
}

/// What `go mod tidy` says about a module without packages.
fn tidy_words() -> &'static str {
    "go: warning: \"all\" matched no packages\n"
}

fn gofix(sandbox: &Sandbox, args: &[&str]) -> Run {
    sandbox.run(gofix_exe()).args(args)
}

fn is_there(program: &str) -> bool {
    ["/bin", "/usr/bin", "/usr/local/bin"]
        .iter()
        .any(|dir| Path::new(dir).join(program).exists())
}
