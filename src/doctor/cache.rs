//! The module cache: whether it can be used, how much room there is, and who
//! holds its locks.
//!
//! Only looked at, never changed; `gofix cache verify` reads every file.
//! Known limitations: who holds a lock is told by Linux alone, and another
//! user's processes are seen by number only.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use nix::sys::statfs::{FsType, NFS_SUPER_MAGIC};

use crate::go::env::{GoEnv, Layer};
use crate::go::files;
use crate::go::protocol::{Kind, Wanted};
use crate::sys::proc::{self, Flock};
use crate::sys::spool::Body;
use crate::text::safe;
use crate::text::{bytes, count};

use super::remedy;
use super::row::{Grade, ROOM, Row};

/// Less room than this is not enough for one larger module.
const LITTLE_ROOM: u64 = 200 << 20;
const SOME_ROOM: u64 = 2 << 30;
/// How long the search for damaged files may take.
const LOOK: Duration = Duration::from_secs(2);
/// Entries of the cache that are looked at.
const MAX_FILES: usize = 50_000;
/// `f_type` of a network share, in the width that this system has for it.
#[cfg(target_os = "linux")]
const SMB2: FsType = FsType(0xfe53_4d42_u32 as _);

/// Every row of this module.
pub(super) fn rows(goenv: &GoEnv) -> Vec<Row> {
    let Some(cache) = goenv.gomodcache() else {
        let found = "it has no location: none of GOMODCACHE, GOPATH and HOME is set";
        return vec![
            Row::new(Grade::Broken, "module cache", found, "environment")
                .fix(remedy::below_home("GOPATH", "go")),
        ];
    };
    let look = Look {
        cache,
        layer: goenv.get("GOMODCACHE").1,
    };
    let mut rows = look.place();
    rows.extend(look.locks());
    rows
}

struct Look {
    cache: PathBuf,
    layer: Layer,
}

impl Look {
    fn row(&self, grade: Grade, found: impl Into<String>) -> Row {
        Row::new(
            grade,
            format!("module cache {}", self.shown()),
            found,
            format!("GOMODCACHE ({})", self.layer),
        )
    }

    fn shown(&self) -> String {
        safe(self.cache.as_os_str().as_bytes())
    }

    fn place(&self) -> Vec<Row> {
        if self.cache.is_relative() {
            let found = "the path is relative, which go refuses";
            return vec![
                self.row(Grade::Broken, found)
                    .fix(remedy::unset_go("GOMODCACHE", self.layer)),
            ];
        }
        let metadata = match std::fs::metadata(&self.cache) {
            Ok(metadata) if metadata.is_dir() => metadata,
            Ok(_) => {
                let found = "it is not a directory";
                return vec![
                    self.row(Grade::Broken, found)
                        .fix(remedy::run(["rm", &self.shown()])),
                ];
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return vec![self.absent()],
            Err(e) => return vec![self.row(Grade::Broken, super::words::io(&e))],
        };
        let mut rows = Vec::new();
        rows.extend(self.owner(&metadata));
        let writable = nix::unistd::access(&self.cache, nix::unistd::AccessFlags::W_OK);
        if let Err(e) = writable {
            let found = format!(
                "it is not writable ({}): only modules that are already there can be used",
                errno(e)
            );
            rows.push(
                self.row(Grade::Broken, found)
                    .fix(remedy::below_home("GOMODCACHE", "go/pkg/mod")),
            );
        }
        rows.push(self.room(&self.cache));
        rows.extend(self.damaged());
        rows
    }

    /// Not there yet: the nearest folder that is decides.
    fn absent(&self) -> Row {
        let parent = self
            .cache
            .ancestors()
            .find(|dir| dir.is_dir())
            .unwrap_or_else(|| Path::new("/"));
        match nix::unistd::access(parent, nix::unistd::AccessFlags::W_OK) {
            Ok(()) => self.room(parent),
            Err(e) => {
                let parent = safe(parent.as_os_str().as_bytes());
                let found = format!(
                    "it does not exist, and go cannot make it in {parent} ({})",
                    errno(e)
                );
                self.row(Grade::Broken, found)
                    .fix(remedy::below_home("GOMODCACHE", "go/pkg/mod"))
            }
        }
    }

    fn owner(&self, metadata: &std::fs::Metadata) -> Option<Row> {
        let me = nix::unistd::geteuid().as_raw();
        if metadata.uid() == me || me == 0 {
            return None;
        }
        let found = format!(
            "it belongs to user {}, not to you ({me}): this often happens after `sudo go`",
            metadata.uid()
        );
        Some(self.row(Grade::Warning, found).fix(remedy::run([
            "sudo",
            "chown",
            "-R",
            &me.to_string(),
            &self.shown(),
        ])))
    }

    fn room(&self, place: &Path) -> Row {
        let Ok(fs) = nix::sys::statvfs::statvfs(place) else {
            return self.row(Grade::Note, "the free space cannot be determined");
        };
        let free = wide(fs.fragment_size()) * wide(fs.blocks_available());
        // Some file systems count no inodes at all.
        let no_inodes = wide(fs.files()) > 0 && wide(fs.files_available()) < 1000;
        let found = format!("{} free", bytes(free));
        // The build cache first: nothing of it has to be fetched again.
        let little = |grade, found| {
            self.row(grade, found)
                .id(ROOM)
                .fix(remedy::run(["go", "clean", "-cache"]))
        };
        if no_inodes {
            return little(Grade::Broken, format!("{found}, but no inodes are left"));
        }
        if free < LITTLE_ROOM {
            return little(Grade::Broken, format!("only {found}"));
        }
        if free < SOME_ROOM {
            return little(Grade::Warning, format!("only {found}"));
        }
        match remote(place) {
            Some(kind) => self.row(
                Grade::Note,
                format!("{found}; it is on {kind}, where locks are slow or do not work"),
            ),
            None => self.row(Grade::Fine, found),
        }
    }

    /// Zips that cannot be zips and go.mod files that cannot be such.
    fn damaged(&self) -> Option<Row> {
        let mut search = Search {
            download: self.cache.join("cache/download"),
            deadline: Instant::now() + LOOK,
            left: MAX_FILES,
            found: Vec::new(),
        };
        search.folder(&search.download.clone(), 0);
        let first = search.found.first()?;
        let number = search.found.len() as u64;
        let shown = safe(
            first
                .strip_prefix(&self.cache)
                .unwrap_or(first)
                .as_os_str()
                .as_bytes(),
        );
        let found = format!("{} in it: {shown}", count(number, "damaged file"));
        Some(
            self.row(Grade::Broken, found)
                .fix(remedy::run(["gofix", "cache", "repair"])),
        )
    }

    fn locks(&self) -> Vec<Row> {
        let flocks = proc::flocks();
        let held = flocks.iter().filter(|flock| !flock.waits).take(10_000);
        let ours = held.filter_map(|holder| {
            let waits = |flock: &&Flock| flock.waits && flock.id == holder.id;
            let waiting = flocks.iter().filter(waits).count();
            Some((self.lock_file(holder)?, holder.pid, waiting))
        });
        let mut ours: Vec<(PathBuf, i32, usize)> = ours.collect();
        ours.sort();
        ours.iter()
            .map(|(path, pid, waiting)| self.lock_row(path, *pid, *waiting))
            .collect()
    }

    fn lock_row(&self, path: &Path, pid: i32, waiting: usize) -> Row {
        let name = safe(
            path.strip_prefix(&self.cache)
                .unwrap_or(path)
                .as_os_str()
                .as_bytes(),
        );
        let command = command_of(pid);
        let queue = match waiting {
            0 => String::new(),
            1 => "; 1 process waits for it".to_owned(),
            n => format!("; {n} processes wait for it"),
        };
        let found = format!("the lock {name} is held by process {pid} ({command}){queue}");
        if waiting == 0 {
            return self.row(Grade::Note, found);
        }
        self.row(Grade::Warning, format!("{found}; if that process hangs, end it"))
            .fix(remedy::run(["kill", &pid.to_string()]))
    }

    /// The lock's file, where it is one of this cache. What another user's process has open is not to be seen, but
    /// that it holds the lock of the whole cache is.
    fn lock_file(&self, flock: &Flock) -> Option<PathBuf> {
        let whole = self.cache.join("cache/lock");
        if std::fs::metadata(&whole).is_ok_and(|about| flock.is_on(&about)) {
            return Some(whole);
        }
        flock.path().filter(|path| path.starts_with(&self.cache))
    }
}

fn command_of(pid: i32) -> String {
    let words = proc::arguments(pid);
    let words = words.iter().map(|word| word.as_bytes());
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .take(4)
        .map(|word| safe(&word[..word.len().min(60)]))
        .collect();
    if words.is_empty() {
        "another user's".to_owned()
    } else {
        words.join(" ")
    }
}

/// A walk that ends in time, however large the cache.
struct Search {
    download: PathBuf,
    deadline: Instant,
    left: usize,
    found: Vec<PathBuf>,
}

impl Search {
    fn folder(&mut self, dir: &Path, depth: usize) {
        let Ok(entries) = std::fs::read_dir(dir) else {
            return;
        };
        for entry in entries.flatten() {
            if self.left == 0 || depth > 64 || Instant::now() > self.deadline {
                return;
            }
            self.left -= 1;
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() {
                if path.file_name() != Some(OsStr::new("sumdb")) {
                    self.folder(&path, depth + 1);
                }
            } else if kind.is_file() && dir.ends_with("@v") && is_damaged(&self.download, &path) {
                self.found.push(path);
            }
        }
    }
}

/// True for a zip or a go.mod that go would trip over; it asks by itself for a list or an `.info` that it cannot read.
/// The cache's folder `download` has the paths of the proxy protocol.
fn is_damaged(download: &Path, path: &Path) -> bool {
    let wanted = path.strip_prefix(download).ok().and_then(Path::to_str);
    let Some(wanted) = wanted.and_then(Wanted::parse) else {
        return false;
    };
    let body = std::fs::File::open(path).and_then(Body::from_file);
    matches!(wanted.kind, Kind::Zip | Kind::Mod)
        && body.is_ok_and(|body| files::complaint(&wanted, &body).is_some())
}

/// Counts of file systems are wider on some platforms than on others.
fn wide(n: impl Into<u64>) -> u64 {
    n.into()
}

/// The kind of file system, where it is one of another machine.
#[cfg(target_os = "linux")]
fn remote(place: &Path) -> Option<&'static str> {
    match nix::sys::statfs::statfs(place).ok()?.filesystem_type() {
        NFS_SUPER_MAGIC => Some("NFS"),
        SMB2 => Some("a network share"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn remote(_place: &Path) -> Option<&'static str> {
    None
}

fn errno(e: nix::Error) -> String {
    super::words::io(&std::io::Error::from(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_told_from_good_ones() {
        let download = tempfile::tempdir().unwrap();
        let file = |path: &str, content: &[u8]| {
            let path = download.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            is_damaged(download.path(), &path)
        };
        let zip = |name: &str| {
            let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
            zip.start_file(name, zip::write::SimpleFileOptions::default())
                .unwrap();
            zip.finish().unwrap().into_inner()
        };
        let good = zip("example.com/M@v1.0.0/go.mod");
        assert!(!file("example.com/!m/@v/v1.0.0.zip", &good));
        // go takes it with something in front, too.
        let behind = [b"#!/bin/sh\n", &good[..]].concat();
        assert!(!file("example.com/!m/@v/v1.0.0.zip", &behind));
        assert!(!file(
            "e.x/m/@v/v1.0.0.zip",
            b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        ));
        for bad in [
            &b""[..],
            b"<html>",
            b"PK\x03\x04 cut",
            &zip("e.x/m@v1.0.1/go.mod"),
        ] {
            assert!(file("e.x/m/@v/v1.0.0.zip", bad), "{bad:?}");
        }
        for good in [&b"module x\n"[..], b"module x // caf\xe9\n"] {
            assert!(!file("e.x/m/@v/v1.0.0.mod", good), "{good:?}");
        }
        for bad in [&b""[..], b" <!DOCTYPE html>", b"module x\nrequire (\n"] {
            assert!(file("e.x/m/@v/v1.0.0.mod", bad), "{bad:?}");
        }
        // A toolchain's is never read, and no other module is one.
        assert!(!file(
            "golang.org/toolchain/@v/v0.0.1-go1.99.0.linux-amd64.mod",
            b""
        ));
        assert!(file("golang.org/toolchain/v2/@v/v2.0.0.mod", b""));
        assert!(!file("e.x/m/@v/v1.0.0.info", b""));
        assert!(!file("e.x/m/@v/list", b"<html>"));
    }
}
