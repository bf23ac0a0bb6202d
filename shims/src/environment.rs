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

/// What a child's `environ` points to.
struct Environment {
    /// Pointers to `_entries`, a null pointer behind the last.
    pointers: Vec<*const libc::c_char>,
    _entries: Vec<CString>,
}

#[expect(unsafe_code, reason = "the pointers are to strings that go along")]
// SAFETY: nothing is ever changed through them, and what they point to is owned by the same value.
unsafe impl Send for Environment {}
#[expect(unsafe_code, reason = "the pointers are to strings that go along")]
// SAFETY: as above.
unsafe impl Sync for Environment {}

/// Gives `command` the environment of this process with these variables set. The first entry of a name is the one
/// that changes, since it is the one that go reads; a name that is not there comes last. Nothing may be set on the
/// command by std's own methods beside this.
///
/// # Errors
/// `InvalidInput` where a value holds a NUL.
#[expect(unsafe_code, reason = "environ is set between fork and exec")]
pub(crate) fn set(command: &mut Command, changes: &[(&str, OsString)]) -> io::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let entries = changed(current(), changes)?;
    let mut pointers: Vec<_> = entries.iter().map(|entry| entry.as_ptr()).collect();
    pointers.push(ptr::null());
    let environment = Environment {
        pointers,
        _entries: entries,
    };
    // SAFETY: one store to memory of the child, which std's exec reads; what it points to lives as long as the
    // command does, and the child has a copy of it.
    unsafe {
        command.pre_exec(move || {
            let environment = &environment;
            process::set_environment(environment.pointers.as_ptr());
            Ok(())
        });
    }
    Ok(())
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
        let names = |entry: &&mut CString| {
            let rest = entry.to_bytes().strip_prefix(name.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b"="))
        };
        match entries.iter_mut().find(names) {
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
