//! The environment of a child: that of this process byte for byte and in its order, but for what has to change.
//!
//! std builds a child's environment anew as soon as one variable is set for it: sorted, without entries that have
//! no `=`, and with one entry of each name. Here only the entry that changes is another.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use crate::process::{self, Argv};
use crate::toolchain::{GUARD, GUARD_SIZE, Guard};

/// The longest entry of the guard: its name, the sign, its value and a NUL.
const ENTRY: usize = GUARD.len() + 1 + GUARD_SIZE + 1;

/// What a child's `environ` points to.
struct Environment {
    /// Pointers to `_entries`, a null pointer behind the last.
    pointers: Vec<*const libc::c_char>,
    _entries: Vec<CString>,
    guard: Option<Guarded>,
}

#[expect(unsafe_code, reason = "the pointers are to strings that go along")]
// SAFETY: nothing is ever changed through them, and what they point to is owned by the same value.
unsafe impl Send for Environment {}
#[expect(unsafe_code, reason = "the pointers are to strings that go along")]
// SAFETY: as above.
unsafe impl Sync for Environment {}

/// The guard of a child: it has to hold the child's own process id, which nobody knows before the fork.
struct Guarded {
    /// Which of the entries it is.
    index: usize,
    guard: Guard,
    text: [u8; ENTRY],
}

impl Environment {
    /// Makes it the environment of this process. Allocates nothing, so it may run between fork and exec.
    #[expect(unsafe_code, reason = "environ is a variable of C")]
    fn install(&mut self) {
        if let Some(own) = &mut self.guard {
            own.guard.pid = std::process::id();
            let mut buffer = [0; GUARD_SIZE];
            let parts = [GUARD.as_bytes(), b"=", own.guard.format(&mut buffer), b"\0"];
            for (to, from) in own.text.iter_mut().zip(parts.into_iter().flatten()) {
                *to = *from;
            }
            if let Some(entry) = self.pointers.get_mut(own.index) {
                *entry = own.text.as_ptr().cast();
            }
        }
        // SAFETY: the pointers end with a null pointer, and are to strings that live as long as `self`, which the
        // command owns.
        unsafe { process::set_environment(self.pointers.as_ptr()) }
    }
}

/// Gives `command` the environment of this process with these variables set, and the guard where there is one;
/// one that another gofix has left is taken away. The first entry of a
/// name is the one that changes, since it is the one that go reads; a name that is not there comes last. Nothing
/// may be set on the command by std's own methods beside this.
///
/// # Errors
/// `InvalidInput` where a value holds a NUL.
#[expect(unsafe_code, reason = "environ is set between fork and exec")]
pub(crate) fn set(
    command: &mut Command,
    changes: &[(&str, OsString)],
    guard: Option<Guard>,
) -> io::Result<()> {
    let entries = current();
    let leaves_guard = guard.is_none() && entries.iter().any(|entry| is_named(entry, GUARD));
    if changes.is_empty() && guard.is_none() && !leaves_guard {
        return Ok(());
    }
    let placeholder = guard.map(|_| (GUARD, OsString::new()));
    let changes: Vec<_> = changes.iter().cloned().chain(placeholder).collect();
    let mut entries = changed(entries, &changes)?;
    entries.retain(|entry| guard.is_some() || !is_named(entry, GUARD));
    let mut pointers: Vec<_> = entries.iter().map(|entry| entry.as_ptr()).collect();
    pointers.push(ptr::null());
    let index = entries.iter().position(|entry| is_named(entry, GUARD));
    let guard = guard.zip(index).map(|(guard, index)| Guarded {
        index,
        guard,
        text: [0; ENTRY],
    });
    let mut environment = Environment {
        pointers,
        _entries: entries,
        guard,
    };
    // SAFETY: stores to memory of the child, and getpid(2).
    unsafe {
        command.pre_exec(move || {
            let environment = &mut environment;
            environment.install();
            Ok(())
        });
    }
    Ok(())
}

fn is_named(entry: &CString, name: &str) -> bool {
    let rest = entry.to_bytes().strip_prefix(name.as_bytes());
    rest.is_some_and(|rest| rest.starts_with(b"="))
}

/// The entries of this process's environment.
#[expect(unsafe_code, reason = "environ comes as a pointer")]
fn current() -> Vec<CString> {
    let mut entries = Vec::new();
    let mut next: Argv = process::environment();
    if next.is_null() {
        return entries;
    }
    // SAFETY: environ ends with a null pointer and its strings with a NUL; gofix changes it nowhere but right
    // before an exec of its own.
    unsafe {
        while !(*next).is_null() {
            entries.push(CStr::from_ptr(*next).to_owned());
            next = next.add(1);
        }
    }
    entries
}

fn changed(mut entries: Vec<CString>, changes: &[(&str, OsString)]) -> io::Result<Vec<CString>> {
    for (name, value) in changes {
        let entry = CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?;
        match entries.iter_mut().find(|entry| is_named(entry, name)) {
            Some(old) => *old = entry,
            None => entries.push(entry),
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(before: &[&str], changes: &[(&str, &str)]) -> Vec<String> {
        let before = before.iter().map(|entry| CString::new(*entry).unwrap());
        let changes: Vec<_> = changes
            .iter()
            .map(|(name, value)| (*name, OsString::from(value)))
            .collect();
        let after = changed(before.collect(), &changes).unwrap();
        after
            .into_iter()
            .map(|entry| entry.into_string().unwrap())
            .collect()
    }

    #[test]
    fn only_the_entry_that_changes_is_another() {
        let before = ["Z=1", "no sign", "A=1", "", "A=2", "=x", "AB=", "A"];
        assert_eq!(
            after(&before, &[("A", "new"), ("B", ""), ("A", "newer")]),
            ["Z=1", "no sign", "A=newer", "", "A=2", "=x", "AB=", "A", "B="]
        );
        assert_eq!(after(&before, &[]), before);
    }

    #[test]
    fn a_value_that_cannot_be_one_is_refused() {
        assert!(changed(Vec::new(), &[("A", OsString::from("a\0b"))]).is_err());
    }
}
