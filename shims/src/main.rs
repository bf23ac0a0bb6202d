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

/// The shim ends by abort where it would panic, so nothing is ever unwound: with the unwinder's entry points
/// defined here, libgcc_s, which std would bring along, is neither linked nor loaded, and that is a third of
/// what starting the shim costs.
#[cfg(target_os = "linux")]
mod no_unwinder {
    macro_rules! aborting {
        ($($name:ident)*) => {$(
            #[expect(unsafe_code, reason = "takes the place of a function of libgcc_s")]
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> ! {
                // SAFETY: abort takes no argument and does not come back.
                unsafe { libc::abort() }
            }
        )*};
    }
    aborting! {
        _Unwind_Backtrace
        _Unwind_DeleteException
        _Unwind_FindEnclosingFunction
        _Unwind_GetCFA
        _Unwind_GetDataRelBase
        _Unwind_GetIP
        _Unwind_GetIPInfo
        _Unwind_GetLanguageSpecificData
        _Unwind_GetRegionStart
        _Unwind_GetTextRelBase
        _Unwind_RaiseException
        _Unwind_Resume
        _Unwind_SetGR
        _Unwind_SetIP
    }
}
