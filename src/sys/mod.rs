//! This machine: files, networks, clocks.

pub(crate) mod clock;
pub(crate) mod files;
pub(crate) mod network;
