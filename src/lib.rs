//! gofix: the go command, carried through a bad network.
//!
//! Data flows one way, and the folders show it:
//!
//! ```text
//! argv -> shim (decide, find go, exec)            crate gofix-shim
//!      -> supervise (attempts, child, streams, signals)
//!      -> diagnose  (text -> diagnosis)           pure
//!      -> policy    (diagnosis -> what next)      pure
//!      -> repair    (module cache)                the only place that deletes
//!      -> relay     (loopback GOPROXY)            the only place that speaks HTTP, doctor's probes aside
//!      -> report    (events -> people, programs)  the only place that prints
//! ```

pub mod cli;
pub mod config;
pub mod diagnose;
pub mod doctor;
pub mod entry;
pub mod env_vars;
mod errno;
mod escape;
pub mod faultproxy;
pub mod goenv;
mod offline;
pub mod policy;
pub mod rehearse;
pub mod relay;
pub mod repair;
pub mod report;
pub mod supervise;
mod workspace;
