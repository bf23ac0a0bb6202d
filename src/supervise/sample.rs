//! What can be seen of a go from outside, on a system that shows it.

use std::path::PathBuf;

/// What a go waits for, other than the network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "only what can be seen is ever made")
)]
pub(super) enum BlockedOn {
    /// Nothing else: the stall clock runs.
    Nothing,
    /// A child that is no VCS runs, one reads the terminal, or somebody has
    /// stopped go.
    Child,
    /// flock(2) on a file, held by a process where that can be seen.
    Lock {
        path: Option<PathBuf>,
        holder: Option<i32>,
    },
}

/// A version control program that go runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vcs {
    pub(super) name: String,
    /// Where it fetches from, where that can be seen.
    pub(super) from: Option<String>,
    /// It may ask for a password on the terminal.
    pub(super) may_ask: bool,
}

/// What a go and its children did since the last sample.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) bytes: u64,
    pub(super) blocked_on: BlockedOn,
    /// Something that is no VCS was among its children.
    pub(super) other_child: bool,
    pub(super) vcs: Option<Vcs>,
    /// It computes, waits for a processor or for a disk: no server's doing.
    pub(super) busy: bool,
}
