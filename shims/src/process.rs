//! What the shim reads from and does to its own process: environment, exec, the last words.
//!
//! All of it works on what the kernel handed over, without copies, so that the program that is executed gets
//! the same bytes. SIGPIPE, the signal mask, descriptors and everything else that exec keeps are left alone.

use core::ffi::{CStr, c_char, c_int};

use crate::command::ArgList;
use crate::path::CPath;

/// `argv` of C: pointers to strings, a null pointer behind the last.
pub type Argv = *const *const c_char;

/// The arguments behind the name of the program.
#[derive(Clone, Copy, Debug)]
pub struct CArgs {
    argv: Argv,
    count: usize,
}

impl CArgs {
    /// Takes what C's `main` got.
    ///
    /// # Safety
    /// `argv` must hold `argc` strings that live and stay as they are for as long as the value does.
    #[expect(unsafe_code, reason = "argv comes as a pointer")]
    pub unsafe fn new(argc: c_int, argv: Argv) -> Self {
        Self {
            argv,
            count: usize::try_from(argc).unwrap_or(0).saturating_sub(1),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The argument at `index` as C has it, null behind the last.
    #[expect(unsafe_code, reason = "argv comes as a pointer")]
    pub fn pointer(&self, index: usize) -> *const c_char {
        if index >= self.count {
            return core::ptr::null();
        }
        // SAFETY: `new` was told that there are `count` strings behind the first.
        unsafe { *self.argv.add(index + 1) }
    }
}

impl ArgList for CArgs {
    #[expect(unsafe_code, reason = "argv comes as a pointer")]
    fn word(&self, index: usize) -> Option<&[u8]> {
        let pointer = self.pointer(index);
        if pointer.is_null() {
            return None;
        }
        // SAFETY: the strings of argv end with a NUL and outlive self.
        Some(unsafe { CStr::from_ptr(pointer) }.to_bytes())
    }
}

#[expect(unsafe_code, reason = "the environment as the C runtime has it")]
unsafe extern "C" {
    static mut environ: Argv;
}

/// The environment as the process has it now.
#[expect(unsafe_code, reason = "environ is a variable of C")]
pub fn environment() -> Argv {
    // SAFETY: one thread, and nobody changes it meanwhile.
    unsafe { environ }
}

/// The variables that the shim looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Variables<'a> {
    /// PATH.
    pub path: Option<&'a [u8]>,
    /// GOFIX.
    pub gofix: Option<&'a [u8]>,
    /// GOFIX_GO.
    pub gofix_go: Option<&'a [u8]>,
    /// The guard of [`crate::toolchain`].
    pub guard: Option<&'a [u8]>,
    /// GOFLAGS.
    pub goflags: Option<&'a [u8]>,
    /// GOPROXY.
    pub goproxy: Option<&'a [u8]>,
}

impl Variables<'static> {
    /// Reads them; the first of a name wins, as it does for go.
    #[expect(unsafe_code, reason = "environ comes as a pointer")]
    pub fn read() -> Self {
        let mut found = Self::default();
        let mut next = environment();
        if next.is_null() {
            return found;
        }
        // SAFETY: environ ends with a null pointer, and its strings with a NUL.
        unsafe {
            while !(*next).is_null() {
                let first = **next.cast::<*const u8>();
                // Every name that matters begins so; the others are not even measured.
                if matches!(first, b'P' | b'G' | b'_') {
                    found.take(CStr::from_ptr(*next).to_bytes());
                }
                next = next.add(1);
            }
        }
        found
    }

    fn take(&mut self, entry: &'static [u8]) {
        let slots: [(&[u8], &mut Option<&[u8]>); 6] = [
            (b"PATH=", &mut self.path),
            (b"GOFIX=", &mut self.gofix),
            (b"GOFIX_GO=", &mut self.gofix_go),
            (b"__GOFIX_GUARD=", &mut self.guard),
            (b"GOFLAGS=", &mut self.goflags),
            (b"GOPROXY=", &mut self.goproxy),
        ];
        for (name, slot) in slots {
            if let Some(value) = entry.strip_prefix(name) {
                slot.get_or_insert(value);
                return;
            }
        }
    }
}

/// Puts another environment in the place of the one that the process has.
///
/// # Safety
/// `entries` must hold strings with a NUL behind them, the last one a null pointer, that live as long as anybody
/// reads the environment; and no other thread may do so meanwhile.
#[expect(unsafe_code, reason = "environ is a variable of C")]
pub unsafe fn set_environment(entries: Argv) {
    // SAFETY: the caller's.
    unsafe { environ = entries }
}

/// execve(2) with the environment as it is now; returns only where that failed, with errno. A file without a
/// known format is handed to /bin/sh, as shells and execvp(3) do.
///
/// # Safety
/// `argv` must hold strings with a NUL behind them, the last one a null pointer, and at least one string.
#[expect(unsafe_code, reason = "execve(2) without a copy of anything")]
pub unsafe fn exec(program: &CPath, argv: Argv, argc: usize) -> c_int {
    // SAFETY: as promised by the caller; `script` has room for one more than `argv` has.
    unsafe {
        libc::execve(program.as_ptr(), argv, environment());
        let error = errno();
        if error != libc::ENOEXEC {
            return error;
        }
        let size = size_of::<*const c_char>();
        let script = libc::malloc((argc + 3) * size).cast::<*const c_char>();
        if script.is_null() {
            return error;
        }
        *script = c"/bin/sh".as_ptr();
        *script.add(1) = program.as_ptr();
        for index in 1..=argc {
            *script.add(index + 1) = *argv.add(index);
        }
        libc::execve(c"/bin/sh".as_ptr(), script, environment());
        error
    }
}

/// setenv(3).
///
/// # Safety
/// No other thread may use the environment meanwhile.
#[expect(unsafe_code, reason = "setenv(3)")]
pub unsafe fn set_variable(name: &CStr, value: &CStr) {
    // SAFETY: two strings with a NUL behind them; the rest is the caller's.
    unsafe {
        libc::setenv(name.as_ptr(), value.as_ptr(), 1);
    }
}

/// Takes a variable away.
///
/// # Safety
/// No other thread may use the environment meanwhile.
#[expect(unsafe_code, reason = "unsetenv(3)")]
pub unsafe fn unset_variable(name: &CStr) {
    // SAFETY: a string with a NUL behind it; the rest is the caller's.
    unsafe {
        libc::unsetenv(name.as_ptr());
    }
}

/// The last error of a system call.
pub fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or_default()
}

/// What a system error means, in the words of C.
#[expect(unsafe_code, reason = "strerror(3)")]
pub fn error_text(error: c_int) -> &'static [u8] {
    // SAFETY: one thread; the text is copied out before the next call.
    unsafe { CStr::from_ptr(libc::strerror(error)) }.to_bytes()
}

/// A buffer that gathers what goes to stderr, so that a message is one write. Errors are of no interest: there
/// is nobody left to tell.
pub struct Stderr {
    bytes: [u8; 1024],
    len: usize,
}

impl Stderr {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            bytes: [0; 1024],
            len: 0,
        }
    }

    /// Adds to the message.
    pub fn put(&mut self, text: &[u8]) {
        for byte in text {
            if self.len == self.bytes.len() {
                self.flush();
            }
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = *byte;
                self.len += 1;
            }
        }
    }

    /// Writes out what there is.
    #[expect(unsafe_code, reason = "write(2)")]
    pub fn flush(&mut self) {
        let mut left = self.bytes.get(..self.len).unwrap_or_default();
        while !left.is_empty() {
            // SAFETY: the bytes are there.
            let written = unsafe { libc::write(2, left.as_ptr().cast(), left.len()) };
            match usize::try_from(written) {
                Ok(written) if written > 0 => left = left.get(written..).unwrap_or_default(),
                _ if errno() == libc::EINTR => {}
                _ => break,
            }
        }
        self.len = 0;
    }
}

impl Default for Stderr {
    fn default() -> Self {
        Self::new()
    }
}
