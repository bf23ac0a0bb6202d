//! Where the executable `gofix` begins: under which name it was called, and by whom.
//!
//! Run under the name `go` it behaves as the shim, and supervises in this process; called by the shim it
//! supervises what the shim hands over; otherwise it is the tool with its own command line.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use gofix_shim::{HandOver, StartState};

use crate::config::Flags;
use crate::sys::panics;
use crate::{cli, supervise};

/// Runs gofix with the arguments of the process, the name of the program first, and returns its exit status.
pub fn main(args: Vec<OsString>, start: &StartState) -> i32 {
    panics::report_in_one_line();
    let mut args = args.into_iter();
    let name = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    let status = if let Some(hand_over) = HandOver::read(&args) {
        supervise::take_over(&hand_over, start)
    } else if Path::new(&name).file_name() == Some(OsStr::new("go")) {
        supervise::go(&args, &Flags::default(), start)
    } else {
        panics::caught("gofix", || cli::run(&args, start)).unwrap_or(cli::FAILED)
    };
    crate::report::out::flush();
    status
}
