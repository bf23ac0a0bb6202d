//! This machine and this process: files, networks, clocks, panics.

pub(crate) mod clock;
pub(crate) mod files;
pub(crate) mod network;
pub(crate) mod panics;
pub(crate) mod spool;
