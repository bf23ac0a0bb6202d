//! The whole life of the program `go`: find the real go, decide, execute that or the gofix beside the shim.

use core::ffi::{c_char, c_int};

use crate::command::{self, Decision, Treatment};
use crate::path::{self, CPath};
use crate::process::{self, CArgs, Stderr, Variables};
use crate::toolchain::{self, Guard, Missing, Myself, Search};

/// The word in the shim's hand-over that tells gofix who is calling. The protocol number, the real go, the guard
/// (empty where none has to go along) and the arguments follow it.
pub const PROTOCOL_WORD: &core::ffi::CStr = c"--gofix-shim-protocol";

/// The number of the hand-over spoken here.
pub const PROTOCOL: &core::ffi::CStr = c"1";

/// Runs the shim. Returns only where there is nothing to execute, with the exit status.
///
/// # Safety
/// `argc` and `argv` must be those that C's `main` got, and this process must have no other thread.
#[expect(unsafe_code, reason = "works on C's argv as it is")]
pub unsafe fn run(argc: c_int, argv: *mut *const c_char) -> c_int {
    // SAFETY: as promised by the caller.
    let args = unsafe { CArgs::new(argc, argv) };
    let variables = Variables::read();
    let search = search(&variables);
    let mut gofix = CPath::new();
    let me = Myself::current(b"gofix", &mut gofix);
    let mut go = CPath::new();
    let guard = match toolchain::find(&search, &me, &mut go) {
        Ok(guard) => guard,
        Err(why) => return refuse(why, &search, &me),
    };
    let decision = command::decide(&args, variables.goflags);
    if wants_gofix(&decision, &variables) && !gofix.bytes().is_empty() {
        hand_over(&gofix, &go, guard, &args);
    }
    match guard {
        Some(guard) => set_guard(guard),
        // Left by another gofix in front of this one: it is nobody's business behind the toolchain.
        // SAFETY: the shim is one thread.
        None if variables.guard.is_some() => unsafe { process::unset_variable(toolchain::GUARD_C) },
        None => {}
    }
    // SAFETY: argv is C's, with a null pointer behind the last string; where it is empty, it has room for one
    // string only if the null pointer counts, so an empty one gets an argv of its own.
    unsafe {
        if argc < 1 {
            let own = [go.as_ptr(), core::ptr::null()];
            return cannot_execute(&go, process::exec(&go, own.as_ptr(), 1));
        }
        // A name without a slash is what PATH lookup leaves, and the same for the real go. One with a slash
        // names gofix.
        if core::ffi::CStr::from_ptr(*argv).to_bytes().contains(&b'/') {
            *argv = go.as_ptr();
        }
        cannot_execute(&go, process::exec(&go, argv, args.len() + 1))
    }
}

#[expect(unsafe_code, reason = "getpid(2)")]
fn search<'a>(variables: &Variables<'a>) -> Search<'a> {
    Search {
        path: variables.path,
        gofix_go: variables.gofix_go,
        guard: variables.guard,
        // SAFETY: cannot fail.
        pid: unsafe { libc::getpid() }.unsigned_abs(),
    }
}

/// The command is one for gofix, and nobody has switched gofix off.
fn wants_gofix(decision: &Decision, variables: &Variables<'_>) -> bool {
    decision.treatment != Treatment::Pass && !is_switched_off(variables.gofix, variables.goproxy)
}

/// GOFIX is `off`, `0` or `false`, GOPROXY is `off`, or the file [`OFF_FILE`] is there.
pub fn is_switched_off(gofix: Option<&[u8]>, goproxy: Option<&[u8]>) -> bool {
    let gofix = gofix.unwrap_or_default();
    let words: [&[u8]; 3] = [b"off", b"0", b"false"];
    words.iter().any(|word| gofix.eq_ignore_ascii_case(word))
        || goproxy.is_some_and(|list| list.trim_ascii() == b"off")
        || path::access(OFF_FILE, libc::F_OK)
}

/// The file whose presence switches gofix off for the whole machine.
pub const OFF_FILE: &core::ffi::CStr = c"/etc/gofix/off";

/// Executes the gofix beside the shim. Returns where that failed: then the real go runs by itself.
#[expect(unsafe_code, reason = "builds an argv of C without a copy of the arguments")]
fn hand_over(gofix: &CPath, go: &CPath, guard: Option<Guard>, args: &CArgs) {
    let mut buffer = [0; toolchain::GUARD_SIZE];
    let mut text = CPath::new();
    if let Some(guard) = guard {
        text.set(&[guard.format(&mut buffer)]);
    }
    let first = [
        c"gofix".as_ptr(),
        PROTOCOL_WORD.as_ptr(),
        PROTOCOL.as_ptr(),
        go.as_ptr(),
        text.as_ptr(),
    ];
    // SAFETY: room for the first ones, the arguments and the closing null pointer is asked for, and used.
    unsafe {
        let size = size_of::<*const c_char>();
        let argv = libc::malloc((first.len() + args.len() + 1) * size).cast::<*const c_char>();
        if argv.is_null() {
            return;
        }
        for (index, pointer) in first.iter().enumerate() {
            *argv.add(index) = *pointer;
        }
        for index in 0..=args.len() {
            *argv.add(first.len() + index) = args.pointer(index);
        }
        libc::execve(gofix.as_ptr(), argv, process::environment());
        libc::free(argv.cast());
    }
}

#[expect(unsafe_code, reason = "the environment is changed")]
fn set_guard(guard: Guard) {
    let mut buffer = [0; toolchain::GUARD_SIZE];
    let mut text = CPath::new();
    text.set(&[guard.format(&mut buffer)]);
    // SAFETY: the shim is one thread.
    unsafe { process::set_variable(toolchain::GUARD_C, text.as_c()) };
}

#[cold]
fn refuse(why: Missing, search: &Search<'_>, me: &Myself) -> c_int {
    let mut stderr = Stderr::new();
    toolchain::explain(why, search, me, &mut |text| stderr.put(text));
    stderr.flush();
    why.status()
}

#[cold]
pub(crate) fn cannot_execute(go: &CPath, error: c_int) -> c_int {
    let mut stderr = Stderr::new();
    stderr.put(b"gofix: cannot execute ");
    for byte in go.bytes().iter().take(300) {
        stderr.put(&[if byte.is_ascii_control() { b'?' } else { *byte }]);
    }
    stderr.put(b": ");
    stderr.put(process::error_text(error));
    stderr.put(b"\n");
    stderr.flush();
    126
}
