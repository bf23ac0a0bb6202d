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
//! Known limitation: who holds a lock can be seen on Linux only (`/proc/locks`), and
//! only if the holder is in this or a child pid namespace.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::RepairError;
use super::dir::Dir;

/// How long the first wait for a busy lock is, and the longest between two looks.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// A lock that is free within this time is not worth a word.
const SILENT: Duration = Duration::from_secs(1);

/// How long a lock may be waited for, and whom to tell.
#[derive(Clone, Copy)]
pub struct LockWait<'a> {
    /// No wait goes past this.
    pub deadline: Instant,
    /// A holder that does not move for this long is not waited for any longer.
    pub stall: Duration,
    /// Told once for each lock that has to be waited for: the file, and the process
    /// that holds it where that can be seen.
    pub waiting: &'a dyn Fn(&Path, Option<i32>),
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
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    let mut moved = start;
    let mut last = None;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(RepairError::io(&path, e)),
        }
        let now = Instant::now();
        let pid = holder(file);
        let seen = progress(pid, dir, name);
        if last.as_ref() != Some(&seen) {
            moved = now;
            last = Some(seen);
        }
        if now >= wait.deadline || now.duration_since(moved) >= wait.stall {
            return Err(RepairError::Locked { path, pid });
        }
        if !told && now.duration_since(start) >= SILENT {
            (wait.waiting)(&path, pid);
            told = true;
        }
        let left = wait.deadline.saturating_duration_since(now);
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Everything by which a holder shows that it is alive: bytes through the
/// process, and the temporary zip that it writes beside the lock.
fn progress(pid: Option<i32>, dir: &Dir, name: &OsStr) -> (Option<String>, u64) {
    let counters = pid.and_then(|pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        let lines = text
            .lines()
            .filter(|l| l.starts_with("rchar") || l.starts_with("wchar"));
        Some(lines.collect())
    });
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

/// The process that holds an flock on this file, as `/proc/locks` tells.
fn holder(file: &File) -> Option<i32> {
    use std::os::unix::fs::MetadataExt;
    let meta = file.metadata().ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    holder_in(&locks, meta.dev(), meta.ino())
}

/// Reads lines such as `3: FLOCK  ADVISORY  WRITE 4711 fe:00:524306 0 EOF`.
/// Waiters have a `->` behind the number. Some file systems show another device
/// than `stat` does, so a single holder of the same inode is taken as well.
fn holder_in(locks: &str, dev: u64, ino: u64) -> Option<i32> {
    let mut by_inode = Vec::new();
    for line in locks.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words.as_slice() else {
            continue;
        };
        let mut place = place.split(':');
        let (Some(major), Some(minor), Some(inode)) = (place.next(), place.next(), place.next()) else {
            continue;
        };
        if inode.parse() != Ok(ino) {
            continue;
        }
        let Some(pid) = pid.parse::<i32>().ok().filter(|pid| *pid > 0) else {
            continue;
        };
        let number = |hex| u64::from_str_radix(hex, 16).ok();
        if let (Some(major), Some(minor)) = (number(major), number(minor))
            && (major, minor) == split_dev(dev)
        {
            return Some(pid);
        }
        by_inode.push(pid);
    }
    match by_inode.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

/// Major and minor as Linux packs them.
fn split_dev(dev: u64) -> (u64, u64) {
    let major = ((dev >> 8) & 0xfff) | ((dev >> 32) & !0xfff);
    let minor = (dev & 0xff) | ((dev >> 12) & !0xff);
    (major & 0xffff_ffff, minor & 0xffff_ffff)
}

/// How a lock is named in a message: path, holder's pid and program.
pub(crate) fn words(path: &Path, pid: Option<i32>) -> String {
    let path = super::shown(path);
    match pid {
        None => format!("{path} is locked by another process"),
        Some(pid) => {
            let name = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/comm")));
            match name.as_deref().map(str::trim) {
                Ok(name) if !name.is_empty() => {
                    format!("{path} is locked by process {pid} ({})", crate::text::safe(name))
                }
                _ => format!("{path} is locked by process {pid}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_read_from_proc_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:00:77 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 4711 fe:00:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 4712 fe:00:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 5000 00:2a:78 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 0 00:2a:79 0 EOF\n";
        assert_eq!(holder_in(locks, 0xfe00, 77), Some(4711));
        assert_eq!(holder_in(locks, 0x1234, 78), Some(5000));
        assert_eq!(holder_in(locks, 0x1234, 79), None);
        assert_eq!(holder_in(locks, 0xfe00, 80), None);
    }

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
