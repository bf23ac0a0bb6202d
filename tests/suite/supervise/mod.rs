//! The main job: the real go, over real sockets, through faults, and otherwise exactly go.

mod attempts;
mod faults;
mod full_stdout;
mod prefetch;
mod process;
mod relayed;
mod routes;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Seek as _;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use gofix::faultproxy::{Catalogue, Door, Fault, FaultProxy, Framing, Kind, Module, Rule, SumDb};
use nix::sys::signal::Signal;

use crate::support::wait::{wait_for_request, wait_until};
use crate::support::{
    Outcome, Run, Sandbox, go_minor, gofix_exe, proxy_of, real_go, shim_exe, status, toolchain, tree,
};

const A: &str = "example.com/a";
const B: &str = "example.com/b";

/// a needs b v1.0.0; b has a newer version.
fn catalogue() -> Catalogue {
    Catalogue::new()
        .with(Module::new(A, "v1.0.0").requires(B, "v1.0.0"))
        .with(Module::new(B, "v1.0.0"))
        .with(Module::new(B, "v1.1.0"))
}

fn proxy_with(rules: impl IntoIterator<Item = Rule>) -> FaultProxy {
    proxy_of(catalogue(), rules)
}

/// A project that imports a and b, without requirements yet.
fn to_tidy(proxy: &FaultProxy) -> Sandbox {
    quick(Sandbox::new().proxy(proxy).importing(&[A, B]))
}

/// A project that requires both.
fn to_download(proxy: &FaultProxy) -> Sandbox {
    quick(
        Sandbox::new()
            .proxy(proxy)
            .requiring(&[(A, "v1.0.0"), (B, "v1.1.0")]),
    )
}

/// Waits for nothing longer than a test may take.
fn quick(sandbox: Sandbox) -> Sandbox {
    sandbox
        .env("GOFIX_STALL_MS", "1500")
        .env("GOFIX_RELAY", "off")
        .env("GOFIX_REPORT", REPORT)
}

/// Relative to the project folder.
const REPORT: &str = "report.jsonl";

/// How often go ran, by the report.
fn attempts(sandbox: &Sandbox) -> usize {
    events(sandbox)
        .get("attempt_started")
        .copied()
        .unwrap_or_default()
}

fn events(sandbox: &Sandbox) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(sandbox.project().join(REPORT)).unwrap_or_default();
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let name = event["event"].as_str().expect("a name").to_owned();
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn go_mod_of_a_healthy_tidy() -> (String, String) {
    let proxy = proxy_with([]);
    let sandbox = to_tidy(&proxy);
    sandbox.plain_go(&["mod", "tidy"]).output().expect_code(0);
    (sandbox.read("go.mod"), sandbox.read("go.sum"))
}

/// `503 Service Unavailable`.
fn unavailable(retry_after: Option<&str>) -> Fault {
    status(503, retry_after)
}

/// Faults of a host that answers; each is met once.
fn passing_faults() -> Vec<Fault> {
    vec![
        Fault::CloseBeforeHeader,
        Fault::ResetBeforeHeader,
        Fault::ResetBody { after: None },
        Fault::CloseBody {
            after: None,
            framing: Framing::Length,
        },
        Fault::CloseBody {
            after: None,
            framing: Framing::Chunked,
        },
        unavailable(None),
        status(500, None),
        status(408, None),
        Fault::Garbage,
        Fault::ShortBody { after: None },
        Fault::StallHeader,
        Fault::StallBody { after: None },
    ]
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// The same with the relay in between.
fn relayed(sandbox: Sandbox) -> Sandbox {
    sandbox.env("GOFIX_RELAY", "on")
}
