//! The executable `go`.
//!
//! `main` is C's own: before a Rust `main` std's runtime would have changed SIGPIPE, opened closed descriptors
//! and set up a signal stack, and go would see some of it.

#![no_main]

use core::ffi::{c_char, c_int};

#[expect(unsafe_code, reason = "the C runtime calls main by this name")]
#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *mut *const c_char) -> c_int {
    // SAFETY: these are C's own argc and argv, and nothing has started a thread.
    unsafe { gofix_shim::shim::run(argc, argv) }
}
