//! go's module index: what go remembers of an extracted module in GOCACHE.
//!
//! go lists a module's packages and files once and keeps the list in the build
//! cache, under a name that only the toolchain's version and the module's
//! directory decide. If the directory had lost files by then, the list stays
//! wrong after the directory is whole again, and go goes on saying that no
//! module provides the package. The list is derived data: it is removed, and go
//! makes it again.
//!
//! An entry is the file `XX/HASH-a`, with `XX` the first byte of the hash in
//! hex and HASH the SHA-256 of the toolchain's version (without experiments) and the line
//! `module index VERSION go index v2 DIR`. It names the list, `YY/OTHER-d`.
//!
//! Known limitation: the lists of a toolchain are found only if it is the real
//! go or one in the module cache, and says its version in `GOROOT/VERSION`.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::RepairError;
use super::dir::{Dir, Kind};
use crate::go::dirhash::sha256;
use crate::go::env::goroot_version;
use crate::text::hex;

/// The format that every toolchain since 1.21 writes.
const FORMAT: &str = "go index v2";
/// A list is at most a few megabytes.
const MAX_LIST: u64 = 256 << 20;

/// The build cache, and the versions of the toolchains that keep lists in it.
#[derive(Debug)]
pub(crate) struct ModuleIndex {
    gocache: Dir,
    versions: BTreeSet<String>,
}

impl ModuleIndex {
    /// Of the toolchain in `goroot` and of those in a module cache.
    pub(crate) fn new(gocache: Dir, goroot: Option<&Path>, cache: &Dir) -> Self {
        let dir = cache.sub("golang.org").ok();
        let entries = dir
            .as_ref()
            .and_then(|dir| dir.entries().ok())
            .unwrap_or_default();
        let cached = entries
            .iter()
            .filter(|(name, _)| name.as_bytes().starts_with(b"toolchain@"));
        let goroots = cached.map(|(name, _)| cache.path().join("golang.org").join(name));
        Self {
            gocache,
            versions: goroots
                .chain(goroot.map(Path::to_owned))
                .filter_map(|goroot: PathBuf| goroot_version(&goroot))
                .collect(),
        }
    }

    /// The entries of one extracted directory: the folder and the name of each.
    fn entries(&self, extracted: &Path) -> Vec<(Dir, String)> {
        let all = self.versions.iter().map(|version| entry_name(version, extracted));
        all.filter_map(|(above, name)| {
            let dir = self.gocache.sub(above).ok()?;
            let is_there = matches!(dir.meta(&name), Ok(Some(meta)) if meta.kind == Kind::File);
            is_there.then_some((dir, name))
        })
        .collect()
    }

    /// True where a list does not know a `.go` file that the directory has. What
    /// cannot be read is no proof.
    pub(crate) fn is_stale(&self, extracted: &Path, tree: &[&[u8]]) -> bool {
        let entries = self.entries(extracted);
        let mut lists = entries.iter().filter_map(|(dir, name)| {
            let action = dir.read(name, MAX_LIST).ok()?;
            files_in(&self.list(&action)?)
        });
        lists.any(|known| {
            tree.iter()
                .any(|path| indexed(path, tree) && !known.contains(*path))
        })
    }

    /// The list that an entry names: its second word behind `v1`.
    fn list(&self, action: &[u8]) -> Option<Vec<u8>> {
        let output = std::str::from_utf8(action).ok()?.split(' ').nth(2)?;
        self.gocache
            .sub(output.get(..2)?)
            .ok()?
            .read(format!("{output}-d"), MAX_LIST)
            .ok()
    }

    /// Removes the entries of one extracted directory.
    pub(crate) fn forget(&self, extracted: &Path) -> Result<(), RepairError> {
        for (dir, name) in self.entries(extracted) {
            match dir.unlink(name) {
                Err(e) if e.is_missing() => {}
                other => other?,
            }
        }
        Ok(())
    }
}

/// The entry of one extracted directory: `XX` and `HASH-a`.
fn entry_name(version: &str, extracted: &Path) -> (String, String) {
    let salt = version
        .find(" X:")
        .or_else(|| version.find("-X:"))
        .map_or(version, |at| &version[..at]);
    let mut input = salt.as_bytes().to_vec();
    input.extend_from_slice(format!("module index {version} {FORMAT} ").as_bytes());
    input.extend_from_slice(extracted.as_os_str().as_bytes());
    input.push(b'\n');
    let hash = sha256(&input);
    (hex(&hash[..1]), format!("{}-a", hex(&hash)))
}

/// True for a file that go lists: `.go`, not hidden, and not below another go.mod.
fn indexed(path: &[u8], tree: &[&[u8]]) -> bool {
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
    if !name.ends_with(b".go") || matches!(name.first(), Some(b'_' | b'.')) {
        return false;
    }
    let mut above = path;
    while let Some(at) = above.iter().rposition(|b| *b == b'/') {
        above = &above[..at];
        let go_mod = [above, b"/go.mod"].concat();
        if tree.binary_search(&go_mod.as_slice()).is_ok() {
            return false;
        }
    }
    true
}

/// Reads the paths of all source files out of a list. Numbers are 32 bits,
/// little endian; a string is an offset into the table at the end.
fn files_in(list: &[u8]) -> Option<BTreeSet<Vec<u8>>> {
    let header = format!("{FORMAT}\n");
    let rest = list.strip_prefix(header.as_bytes())?;
    let strings = list.get(number(rest, 0)?..)?;
    let packages = number(rest, 4)?;
    let mut known = BTreeSet::new();
    for i in 0..packages {
        let package = number(rest, 8 + 8 * i + 4)?;
        let dir = string(strings, number(list, package + 4)?)?;
        for f in 0..number(list, package + 8)? {
            let file = number(list, package + 12 + 4 * f)?;
            let name = string(strings, number(list, file + 12)?)?;
            let slash: &[u8] = if dir.is_empty() { b"" } else { b"/" };
            known.insert([dir.as_slice(), slash, &name].concat());
        }
    }
    Some(known)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(four)).ok()
}

fn string(table: &[u8], at: usize) -> Option<Vec<u8>> {
    let (length, used) = uvarint(table.get(at..)?)?;
    let start = at + used;
    Some(table.get(start..start.checked_add(length)?)?.to_vec())
}

fn uvarint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (i, b) in bytes.iter().take(4).enumerate() {
        value |= usize::from(b & 0x7f) << (7 * i);
        if b & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_names_leave_experiments_out_of_the_salt_only() {
        let dir = Path::new("/m/example.com/a@v1.0.0");
        let (plain, experiment) = (entry_name("go1.26.8", dir), entry_name("go1.26.8 X:foo", dir));
        assert_ne!(plain, experiment);
        assert_eq!(plain.1.len(), 66);
        assert!(plain.1.starts_with(&plain.0));
    }

    #[test]
    fn nested_modules_are_not_indexed() {
        let tree = ["a.go", "sub/b.go", "sub/go.mod", "t/_x.go", "t/y.txt"].map(str::as_bytes);
        let listed: Vec<_> = tree.iter().filter(|path| indexed(path, &tree)).collect();
        assert_eq!(listed, [b"a.go"]);
    }

    #[test]
    fn rubbish_is_no_list() {
        for bad in [
            &b""[..],
            b"go index v2\n",
            b"go index v2\n\xff\xff\xff\xff\xff\xff\xff\xff",
            b"<html>",
        ] {
            assert!(files_in(bad).is_none_or(|files| files.is_empty()));
        }
    }
}
