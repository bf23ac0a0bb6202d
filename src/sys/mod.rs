//! This machine and this process: files, locks, networks, clocks, other processes, panics.

pub(crate) mod clock;
pub(crate) mod files;
pub(crate) mod lock;
pub(crate) mod network;
pub(crate) mod panics;
pub(crate) mod proc;
pub(crate) mod run;
pub(crate) mod spool;
