//! What Linux tells in `/proc` of other processes: who holds a lock, and whether a process moves.
//!
//! Other systems have no such folder; there every question goes unanswered.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// A line of `/proc/locks` about a flock(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flock {
    /// The lock's number: those who wait for it have the one of its holder.
    pub(crate) id: u64,
    /// The process waits for the lock; else it holds it.
    pub(crate) waits: bool,
    /// The process.
    pub(crate) pid: i32,
    device: (u64, u64),
    inode: u64,
}

/// Every flock whose process can be seen from here.
pub(crate) fn flocks() -> Vec<Flock> {
    let table = fs::read(TABLE).unwrap_or_default();
    read_flocks(&String::from_utf8_lossy(&table))
}

const TABLE: &str = "/proc/locks";

fn read_flocks(table: &str) -> Vec<Flock> {
    table.lines().filter_map(Flock::parse).collect()
}

/// The process that holds the flock of this file.
pub(crate) fn flock_holder(flocks: &[Flock], file: &Metadata) -> Option<i32> {
    let holder = flocks.iter().find(|flock| !flock.waits && flock.is_on(file));
    holder.map(|flock| flock.pid)
}

impl Flock {
    /// Reads `3: -> FLOCK  ADVISORY  WRITE 4711 fe:00:524306 0 EOF`; the arrow stands before those who wait.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().peekable();
        let id = words.next()?.strip_suffix(':')?.parse().ok()?;
        let waits = words.next_if_eq(&"->").is_some();
        words.next_if_eq(&"FLOCK")?;
        let pid = words.nth(2)?.parse().ok().filter(|pid| *pid > 0)?;
        let mut place = words.next()?.split(':');
        let mut number = || u64::from_str_radix(place.next()?, 16).ok();
        let device = (number()?, number()?);
        let inode = place.next()?.parse().ok()?;
        Some(Self {
            id,
            waits,
            pid,
            device,
            inode,
        })
    }

    /// True where the lock is the one of this file. The table names the device of the mounted file system, stat(2) on
    /// overlayfs and btrfs another one; then it is the file that the process has open which tells.
    pub(crate) fn is_on(&self, file: &Metadata) -> bool {
        self.inode == file.ino()
            && (self.device == split_device(file.dev())
                || self.open_files().any(|(_, open)| open.dev() == file.dev()))
    }

    /// The locked file, as its process has it open.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let mut files = self.open_files();
        files.find_map(|(link, _)| fs::read_link(link).ok())
    }

    /// The open files of the process that have the inode of the lock.
    fn open_files(&self) -> impl Iterator<Item = (PathBuf, Metadata)> {
        let links = fs::read_dir(format!("/proc/{}/fd", self.pid));
        let links = links.into_iter().flatten().flatten().map(|entry| entry.path());
        let files = links.filter_map(|link| fs::metadata(&link).ok().map(|about| (link, about)));
        files.filter(|(_, about)| about.is_file() && about.ino() == self.inode)
    }
}

/// Major and minor as Linux packs them for stat(2).
fn split_device(device: u64) -> (u64, u64) {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & 0xffff_f000);
    let minor = (device & 0xff) | ((device >> 12) & 0xffff_ff00);
    (major, minor)
}

/// The bytes that a process has read and written by system calls.
pub(crate) fn bytes_moved(pid: i32) -> Option<(u64, u64)> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let counter = |name| {
        io.lines()
            .find_map(|line| line.strip_prefix(name))?
            .trim()
            .parse()
            .ok()
    };
    Some((counter("rchar:")?, counter("wchar:")?))
}

/// The name of a process, cut to 15 bytes by the kernel.
pub(crate) fn name(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}

/// Who started a process.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    stat_word(pid, 1)?.parse().ok()
}

/// A word of `/proc/PID/stat`, counted from the one behind the name.
pub(crate) fn stat_word(pid: i32, nth: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, a `)` too: what counts stands behind the last.
    let behind = stat.rsplit_once(')')?.1;
    behind.split_ascii_whitespace().nth(nth).map(str::to_owned)
}

/// The words that a process was started with; none where they cannot be read.
pub(crate) fn arguments(pid: i32) -> Vec<OsString> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = text.strip_suffix(b"\0").unwrap_or(&text);
    let words = text.split(|byte| *byte == 0);
    words.map(|word| OsStr::from_bytes(word).to_owned()).collect()
}

/// A variable as a process was started with it, where its environment can be read.
pub(crate) fn variable(pid: i32, name: &str) -> Option<OsString> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut entries = environment.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(OsStr::from_bytes(value).to_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn flocks_are_read_and_nothing_else() {
        let table = "1: POSIX  ADVISORY  WRITE 11 fe:00:77 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 4711 fe:01:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 4712 fe:01:77 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 0 00:2a:79 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE -1 00:2a:79 0 EOF\n\
                     garbage\n";
        let flock = |waits, pid| Flock {
            id: 2,
            waits,
            pid,
            device: (0xfe, 1),
            inode: 77,
        };
        assert_eq!(read_flocks(table), [flock(false, 4711), flock(true, 4712)]);
    }

    #[test]
    fn devices_are_split_as_the_kernel_packs_them() {
        for (major, minor) in [(0xfe, 1), (0, 0x2a), (0xabc, 0x12345), (0x1234_5678, 0x9abc_def0)] {
            let device = libc::makedev(major, minor);
            assert_eq!(split_device(device), (u64::from(major), u64::from(minor)));
        }
    }

    #[test]
    fn a_lock_of_this_process_is_found_with_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().lock().unwrap();
        let about = file.as_file().metadata().unwrap();
        let me = std::process::id().cast_signed();
        let flocks = flocks();
        assert_eq!(flock_holder(&flocks, &about), Some(me));
        let own = flocks.iter().find(|flock| flock.is_on(&about)).unwrap();
        assert_eq!(
            own.path().unwrap().canonicalize().unwrap(),
            file.path().canonicalize().unwrap()
        );
    }

    /// On overlayfs the table has the device of the mount, stat(2) that of a layer.
    #[test]
    fn where_the_device_is_another_one_the_open_file_decides() {
        let open = tempfile::NamedTempFile::new().unwrap();
        let about = open.as_file().metadata().unwrap();
        let closed = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let other = fs::metadata(&closed).unwrap();
        let (me, mut elsewhere) = (std::process::id().cast_signed(), split_device(about.dev()));
        elsewhere.1 += 1;
        let flock = |inode| {
            vec![Flock {
                id: 1,
                waits: false,
                pid: me,
                device: elsewhere,
                inode,
            }]
        };
        assert_eq!(flock_holder(&flock(about.ino()), &about), Some(me));
        assert_eq!(flock_holder(&flock(other.ino()), &other), None);
        assert_eq!(flock_holder(&flock(other.ino()), &about), None);
    }

    #[test]
    fn a_process_shows_what_it_was_started_with() {
        let mut child = std::process::Command::new("/bin/cat")
            .arg("-")
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // What it answers, it runs; before that its words may still be those of this process.
        let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        to.write_all(b"x").unwrap();
        from.read_exact(&mut [0]).unwrap();
        let pid = child.id().cast_signed();
        assert_eq!(arguments(pid), ["/bin/cat", "-"]);
        assert_eq!(variable(pid, "GIT_TERMINAL_PROMPT"), Some("0".into()));
        assert_eq!(variable(pid, "GIT_TERMINAL"), None);
        drop(to);
        child.wait().unwrap();
    }

    #[test]
    fn this_process_moves_and_has_a_name() {
        let me = std::process::id().cast_signed();
        assert!(bytes_moved(me).is_some_and(|(read, _)| read > 0));
        assert!(name(me).is_some_and(|name| !name.is_empty()));
    }
}
