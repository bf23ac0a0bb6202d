//! Go's own locks, taken with a clock.
//!
//! go guards each module version with flock(2) on `VERSION.lock`, each
//! repository with `HASH.lock`, and waits for them for ever and in silence.
//! std's [`File::try_lock`] is the same flock(2), so gofix and go exclude each
//! other. A lock file is made where it is not there, as go makes it, and never
//! removed: a second go that found it gone would run beside the first and
//! delete its temporary files.
//!
//! A holder that moves (its counters of bytes read and written grow, or the
//! temporary zip beside the lock does) is waited for until the deadline; one
//! that stands still is waited for no longer than the stall time.
//!
//! Known limitation: who holds a lock can be seen on Linux only, and only if the holder
//! is in this or a child pid namespace.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use super::RepairError;
use super::dir::Dir;
use crate::sys::lock::flock;
use crate::sys::proc;

/// A lock that is free within this time is not worth a word.
const SILENT: Duration = Duration::from_secs(1);

/// How long a lock may be waited for, and whom to tell.
#[derive(Clone, Copy)]
pub(crate) struct LockWait<'a> {
    /// No wait goes past this.
    pub(crate) deadline: Instant,
    /// A holder that does not move for this long is not waited for any longer.
    pub(crate) stall: Duration,
    /// Told once for each lock that has to be waited for: the file, and the process
    /// that holds it where that can be seen.
    pub(crate) waiting: &'a dyn Fn(&Path, Option<i32>),
}

/// Takes the lock `name` in `dir`, made where it is not there, until the file is dropped.
pub(crate) fn take(dir: &Dir, name: &OsStr, wait: &LockWait<'_>) -> Result<File, RepairError> {
    loop {
        let file = dir.lock_file(name)?;
        wait_for(&file, dir, name, wait)?;
        // `go clean -modcache` takes no lock: the file may have been replaced meanwhile,
        // and a lock on a file without a name keeps nobody out.
        if same_file(&file, dir, name)? {
            return Ok(file);
        }
    }
}

/// Takes the flock of an open file.
pub(crate) fn wait_for(file: &File, dir: &Dir, name: &OsStr, wait: &LockWait<'_>) -> Result<(), RepairError> {
    let path = dir.path().join(name);
    let start = Instant::now();
    let (mut moved, mut last) = (start, None);
    let (mut told, mut pid) = (false, None);
    let is_taken = flock(file, || {
        let now = Instant::now();
        let about = file.metadata().ok();
        pid = about.and_then(|about| proc::flock_holder(&proc::flocks(), &about));
        let seen = progress(pid, dir, name);
        if last.as_ref() != Some(&seen) {
            moved = now;
            last = Some(seen);
        }
        if now >= wait.deadline || now.duration_since(moved) >= wait.stall {
            return None;
        }
        if !told && now.duration_since(start) >= SILENT {
            (wait.waiting)(&path, pid);
            told = true;
        }
        Some(wait.deadline.saturating_duration_since(now))
    });
    match is_taken {
        Ok(true) => Ok(()),
        Ok(false) => Err(RepairError::Locked { path, pid }),
        Err(error) => Err(RepairError::io(&path, error)),
    }
}

/// Everything by which a holder shows that it is alive: bytes through the
/// process, and the temporary zip that it writes beside the lock.
fn progress(pid: Option<i32>, dir: &Dir, name: &OsStr) -> (Option<(u64, u64)>, u64) {
    let counters = pid.and_then(proc::bytes_moved);
    let stem = name.to_string_lossy();
    let stem = stem.strip_suffix(".lock").unwrap_or(&stem);
    let zip = format!("{stem}.zip");
    let entries = dir.entries().unwrap_or_default();
    let bytes = entries.iter().map(|(name, _)| {
        let text = name.to_string_lossy();
        let temporary = text.starts_with(&zip) && text.ends_with(".tmp");
        if temporary { dir.size_of(name) } else { 0 }
    });
    (counters, bytes.sum())
}

fn same_file(file: &File, dir: &Dir, name: &OsStr) -> Result<bool, RepairError> {
    use std::os::unix::fs::MetadataExt;
    let open = file
        .metadata()
        .map_err(|e| RepairError::io(&dir.path().join(name), e))?;
    let named = dir.meta(name)?;
    Ok(named.is_some_and(|named| (named.dev, named.ino) == (open.dev(), open.ino())))
}

/// How a lock is named in a message: path, holder's pid and program.
pub(crate) fn words(path: &Path, pid: Option<i32>) -> String {
    let path = super::shown(path);
    let Some(pid) = pid else {
        return format!("{path} is locked by another process");
    };
    match proc::name(pid).filter(|name| !name.is_empty()) {
        Some(name) => format!("{path} is locked by process {pid} ({})", crate::text::safe(&name)),
        None => format!("{path} is locked by process {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_ends_the_wait_and_names_its_holder() {
        let top = tempfile::tempdir().unwrap();
        let dir = Dir::root(top.path(), true).unwrap();
        let none = |_: &Path, _: Option<i32>| {};
        let wait = LockWait {
            deadline: Instant::now() + Duration::from_millis(60),
            stall: Duration::from_secs(60),
            waiting: &none,
        };
        let name = OsStr::new("v1.0.0.lock");
        let held = take(&dir, name, &wait).unwrap();
        match take(&dir, name, &wait) {
            Err(RepairError::Locked { path, pid }) => {
                assert!(path.ends_with("v1.0.0.lock"));
                if cfg!(target_os = "linux") {
                    assert_eq!(pid, i32::try_from(std::process::id()).ok());
                }
            }
            other => panic!("{other:?}"),
        }
        drop(held);
        take(&dir, name, &wait).unwrap();
    }
}
