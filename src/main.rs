//! The executable `gofix`.
//!
//! `main` is C's own: before a Rust `main` std's runtime would have changed SIGPIPE and opened closed
//! descriptors, and the go that gofix executes or starts must find both as the user left them.

#![no_main]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

use gofix_shim::StartState;

#[expect(unsafe_code, reason = "the C runtime calls main by this name")]
#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let start = StartState::capture();
    let count = usize::try_from(argc).unwrap_or(0);
    // std's own `args_os` has them on some systems only where std's runtime has started the program.
    let args = (0..count).map(|index| {
        // SAFETY: C's argv holds argc strings that end with a NUL.
        let word = unsafe { CStr::from_ptr(*argv.add(index)) };
        OsString::from(OsStr::from_bytes(word.to_bytes()))
    });
    gofix::entry::main(args.collect(), &start)
}
