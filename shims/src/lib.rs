//! The program that stands in `PATH` under the name `go`, as a library.
//!
//! ```text
//! argv, environment -> toolchain (which go is the real one)
//!                   -> command   (what to do with this command line)
//!                   -> shim      (exec of the real go, or of the gofix beside the shim)
//! ```
//!
//! The modules below are all that the executable `go` uses: no allocation, no panic, nothing of std's runtime.
//! The items of `tool`, which stand here too, are the same things in std's types, for gofix itself.

#[cfg(not(unix))]
compile_error!("gofix works on Unix-like systems only: on Windows go cannot be replaced by exec");

#[cfg(unix)]
pub mod command;
#[cfg(unix)]
mod environment;
#[cfg(unix)]
pub mod path;
#[cfg(unix)]
pub mod process;
#[cfg(unix)]
pub mod shim;
#[cfg(unix)]
mod start;
#[cfg(unix)]
mod tool;
#[cfg(unix)]
pub mod toolchain;

#[cfg(unix)]
pub use {command::Treatment, start::StartState, tool::*};
