//! go's module index: what go remembers of an extracted module in GOCACHE.
//!
//! go lists a module's packages and files once and keeps the list in the build
//! cache, under a name that only the toolchain's version and the module's
//! directory decide. If the directory had lost files by then, the list stays
//! wrong after the directory is whole again, and go goes on saying that no
//! module provides the package. The name can be computed, so this one entry is
//! taken away; go makes it anew.
//!
//! An entry is the file `XX/HASH-a`, with `XX` the first byte of the hash in
//! hex and HASH the SHA-256 of the toolchain's version (without experiments) and the line
//! `module index VERSION go index v2 DIR`. It names the list, `YY/OTHER-d`.
//!
//! Imperfect: the list of a toolchain that is neither the real go nor one in
//! the module cache (one found in PATH as `go1.X.Y`) is not found.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::dir::{Dir, Kind};
use super::dirhash::{hex, sha256};
use super::{RepairError, sumdb};

/// The format that every toolchain since 1.21 writes.
const FORMAT: &str = "go index v2";
/// A list is at most a few megabytes.
const MAX_LIST: u64 = 256 << 20;
/// How much of a go binary is searched for its version.
const MAX_BINARY: u64 = 256 << 20;

/// The versions (as `runtime.Version()` says them) of some go binaries.
pub(crate) fn versions<'a>(binaries: impl IntoIterator<Item = &'a Path>) -> BTreeSet<String> {
    binaries.into_iter().filter_map(version_of).collect()
}

/// The go binaries of the toolchains in a module cache.
pub(crate) fn toolchains(cache: &Dir) -> Vec<PathBuf> {
    let Ok(dir) = cache.sub("golang.org") else {
        return Vec::new();
    };
    let entries = dir.entries().unwrap_or_default();
    let toolchains = entries
        .iter()
        .filter(|(name, kind)| *kind == Kind::Dir && name.as_bytes().starts_with(b"toolchain@"));
    toolchains
        .map(|(name, _)| dir.path().join(name).join("bin/go"))
        .collect()
}

/// Reads the version that the linker left in a go binary (`debug/buildinfo`):
/// a magic at a multiple of 16, flags, and at 32 a length and the text.
fn version_of(binary: &Path) -> Option<String> {
    // In two halves, so that this program does not hold the magic itself.
    const MAGIC: [&[u8]; 2] = [b"\xff Go build", b"inf:"];
    let magic = MAGIC.concat();
    let file = std::fs::File::open(binary).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut reader = file.take(MAX_BINARY);
    let mut window = Vec::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let n = reader.read(&mut chunk).ok()?;
        if n == 0 {
            return None;
        }
        window.extend_from_slice(&chunk[..n]);
        if let Some(at) = memchr::memmem::find(&window, &magic) {
            let more = at + 32 + 2 + 256;
            while window.len() < more {
                let n = reader.read(&mut chunk).ok()?;
                if n == 0 {
                    break;
                }
                window.extend_from_slice(&chunk[..n]);
            }
            return inline_version(&window[at..]).or_else(|| version_file(binary));
        }
        // What is left overlaps the next chunk by the length of the magic.
        let keep = window.len().min(magic.len());
        window.drain(..window.len() - keep);
    }
}

fn inline_version(info: &[u8]) -> Option<String> {
    const INLINE: u8 = 2;
    if info.get(15)? & INLINE == 0 {
        return None;
    }
    let (length, used) = uvarint(info.get(32..)?)?;
    let start = 32 + used;
    let text = info.get(start..start.checked_add(length)?)?;
    let text = std::str::from_utf8(text).ok()?;
    (text.starts_with("go") || text.starts_with("devel")).then(|| text.to_owned())
}

/// `GOROOT/VERSION`, for a binary that does not say it.
fn version_file(binary: &Path) -> Option<String> {
    let text = std::fs::read_to_string(binary.parent()?.parent()?.join("VERSION")).ok()?;
    Some(text.lines().next()?.trim().to_owned())
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

/// The entries that are there for one extracted directory: paths relative to GOCACHE.
pub(crate) fn entries(gocache: &Dir, versions: &BTreeSet<String>, extracted: &Path) -> Vec<(String, String)> {
    let all = versions.iter().map(|version| entry_name(version, extracted));
    all.filter(|(above, name)| {
        let dir = gocache.sub(above);
        dir.is_ok_and(|dir| matches!(dir.meta(name), Ok(Some(meta)) if meta.kind == Kind::File))
    })
    .collect()
}

/// True where a list does not know a `.go` file that the directory has. What
/// cannot be read is no proof.
pub(crate) fn is_stale(gocache: &Dir, entry: &(String, String), tree: &[Vec<u8>]) -> bool {
    let Some(list) = read_list(gocache, entry) else {
        return false;
    };
    let Some(known) = files_in(&list) else {
        return false;
    };
    tree.iter()
        .any(|path| indexed(path, tree) && !known.contains(path))
}

fn read_list(gocache: &Dir, entry: &(String, String)) -> Option<Vec<u8>> {
    let action = sumdb::read(&gocache.sub(&entry.0).ok()?, OsStr::new(&entry.1)).ok()?;
    let action = std::str::from_utf8(&action).ok()?;
    let output = action.strip_prefix("v1 ")?.split(' ').nth(1)?;
    if output.len() != 64 || !output.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut list = Vec::new();
    let file = gocache.sub(&output[..2]).ok()?.file(format!("{output}-d")).ok()?;
    file.take(MAX_LIST).read_to_end(&mut list).ok()?;
    Some(list)
}

/// True for a file that go lists: `.go`, not hidden, and not below another go.mod.
fn indexed(path: &[u8], tree: &[Vec<u8>]) -> bool {
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
    if !name.ends_with(b".go") || matches!(name.first(), Some(b'_' | b'.')) {
        return false;
    }
    let mut above = path;
    while let Some(at) = above.iter().rposition(|b| *b == b'/') {
        above = &above[..at];
        let go_mod = [above, b"/go.mod"].concat();
        if tree.binary_search(&go_mod).is_ok() {
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

/// Unlinks the entries of one extracted directory: derived data that go computes again.
pub(crate) fn forget(
    gocache: &Dir,
    versions: &BTreeSet<String>,
    extracted: &Path,
) -> Result<(), RepairError> {
    for (above, name) in entries(gocache, versions, extracted) {
        match gocache.sub(above)?.unlink(name) {
            Err(e) if e.is_missing() => {}
            other => other?,
        }
    }
    Ok(())
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
        let tree: Vec<Vec<u8>> = ["a.go", "sub/b.go", "sub/go.mod", "t/_x.go", "t/y.txt"]
            .iter()
            .map(|s| s.as_bytes().to_vec())
            .collect();
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
