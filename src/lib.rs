//! gofix: the go command, carried through a bad network.
//!
//! Data flows one way, and the folders show it:
//!
//! ```text
//! argv -> shim (decide, find go, exec)            crate gofix-shim
//!      -> supervise (attempts, child, streams, signals)
//!      -> diagnose  (text -> diagnosis)           pure
//!      -> policy    (diagnosis -> what next)      pure
//!      -> repair    (module cache)
//!      -> relay     (loopback GOPROXY)
//!      -> report    (events -> people, programs)
//! ```
//!
//! Below them all stand `text`, `go` (Go's own grammars), `sys` (this machine) and `net` (how go dials).

pub mod cli;
pub mod config;
pub mod diagnose;
mod doctor;
pub mod entry;
pub mod env_vars;
#[cfg(feature = "rehearse")]
pub mod faultproxy;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod go;
mod net;
pub mod policy;
#[cfg(feature = "rehearse")]
pub mod rehearse;
pub mod relay;
mod repair;
pub mod report;
mod supervise;
mod sys;
pub mod text;
