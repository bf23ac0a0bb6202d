//! Go's h1 hash of a module's zip, of its files and of a go.mod file.
//!
//! h1 is the SHA-256 of one line per file, sorted by name: the file's own
//! SHA-256 in hex, two spaces, the name as it stands in the zip; written as
//! `h1:` and base64. Files are streamed: memory holds one buffer and the list
//! of names, however large the module is.
//!
//! Known limitation: a zip with two entries of one name hashes differently here than
//! in go (the last one counts). go never makes such a zip.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};

use crate::text::hex;

/// go takes no zip with more than 500 MB inside; what inflates to more than
/// this is no module zip, and is not inflated to its end.
const MAX_INFLATED: u64 = 4 << 30;
/// go takes no larger go.mod.
pub(crate) const MAX_GO_MOD: u64 = 16 << 20;

/// One file of a module: its name below the module's root, SHA-256 and size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) sum: [u8; 32],
    pub(crate) size: u64,
}

/// What a readable module zip holds.
#[derive(Debug)]
pub(crate) struct ZipSum {
    pub(crate) h1: String,
    /// Sorted by name.
    pub(crate) entries: Vec<Entry>,
    /// The go.mod at the root of the module.
    pub(crate) go_mod: Option<Vec<u8>>,
}

/// Why a zip is no module zip: bad content, or a disk that does not read.
#[derive(Debug)]
pub(crate) enum ZipTrouble {
    /// The content is bad.
    Bad(BadZip),
    /// Reading failed: nothing is proven.
    Io(io::Error),
}

/// What is bad about the content of a zip.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadZip {
    #[error(transparent)]
    Archive(#[from] zip::result::ZipError),
    #[error(transparent)]
    Member(#[from] io::Error),
    #[error("it holds the foreign file {0}")]
    ForeignFile(String),
    #[error("it inflates to more than any module")]
    TooLarge,
}

/// The h1 hash of a go.mod file, as it stands on the `/go.mod` lines of go.sum.
pub(crate) fn go_mod_h1(content: &[u8]) -> String {
    let sum = sha256(content);
    let entry = Entry {
        name: b"go.mod".to_vec(),
        sum,
        size: 0,
    };
    h1("", &[entry])
}

/// SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(bytes);
    finish(context)
}

fn finish(context: Context) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(context.finish().as_ref());
    sum
}

/// Lines sorted by the whole name; entries are sorted by the name below the prefix, which is the same order.
pub(crate) fn h1(prefix: &str, entries: &[Entry]) -> String {
    let mut context = Context::new(&SHA256);
    for entry in entries {
        context.update(hex(&entry.sum).as_bytes());
        context.update(b"  ");
        context.update(prefix.as_bytes());
        context.update(&entry.name);
        context.update(b"\n");
    }
    format!("h1:{}", STANDARD.encode(finish(context)))
}

/// Reads a module zip to its end. `prefix` is `PATH@VERSION/`.
pub(crate) fn read_zip(mut file: File, prefix: &str) -> Result<ZipSum, ZipTrouble> {
    read_whole_zip(&file, prefix).map_err(|why| {
        // A disk that does not read is no proof against the zip.
        let readable = file.rewind().and_then(|()| io::copy(&mut file, &mut io::sink()));
        readable.map_or_else(ZipTrouble::Io, |_| ZipTrouble::Bad(why))
    })
}

fn read_whole_zip(file: &File, prefix: &str) -> Result<ZipSum, BadZip> {
    let mut archive = zip::ZipArchive::new(BufReader::with_capacity(32 << 10, file))?;
    let mut entries = Vec::with_capacity(archive.len());
    let mut go_mod = None;
    let mut buffer = vec![0; 64 << 10];
    let mut left = MAX_INFLATED;
    for i in 0..archive.len() {
        let mut member = archive.by_index(i)?;
        let Some(name) = member
            .name_raw()
            .strip_prefix(prefix.as_bytes())
            .map(<[u8]>::to_vec)
        else {
            let name = String::from_utf8_lossy(member.name_raw()).into_owned();
            return Err(BadZip::ForeignFile(crate::text::safe(&name)));
        };
        let keep = name == b"go.mod" && member.size() <= MAX_GO_MOD;
        let mut kept = Vec::new();
        let (sum, size) = stream(&mut member, &mut buffer, left, |bytes| {
            if keep {
                kept.extend_from_slice(bytes);
            }
        })?;
        left = left.checked_sub(size).ok_or(BadZip::TooLarge)?;
        if keep {
            go_mod = Some(kept);
        }
        entries.push(Entry { name, sum, size });
    }
    entries.sort();
    Ok(ZipSum {
        h1: h1(prefix, &entries),
        entries,
        go_mod,
    })
}

/// SHA-256 and length of a stream; one byte over `limit` is the most that is read.
pub(crate) fn stream(
    reader: &mut impl Read,
    buffer: &mut [u8],
    limit: u64,
    mut each: impl FnMut(&[u8]),
) -> io::Result<([u8; 32], u64)> {
    let mut context = Context::new(&SHA256);
    let mut size = 0;
    loop {
        let n = match reader.read(buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        context.update(&buffer[..n]);
        each(&buffer[..n]);
        size += n as u64;
        if size > limit {
            break;
        }
    }
    Ok((finish(context), size))
}

#[cfg(test)]
mod tests {
    use io::{Seek, Write};

    use super::*;
    use crate::go::files;
    use crate::go::protocol::Wanted;
    use crate::go::sums::is_h1;
    use crate::sys::spool::Body;

    fn zip_of(files: &[(&str, &str)]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let mut zip = zip::ZipWriter::new(&mut file);
        for (name, content) in files {
            zip.start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn hashes_are_go_s_own() {
        // Computed by golang.org/x/mod/sumdb/dirhash for these two files.
        let content = b"module example.com/m\n";
        assert_eq!(go_mod_h1(b""), "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=");
        assert!(is_h1(&go_mod_h1(content)));
        let zip = read_zip(
            zip_of(&[
                ("example.com/m@v1.0.0/go.mod", "module example.com/m\n"),
                ("example.com/m@v1.0.0/a.go", "package m\n"),
            ]),
            "example.com/m@v1.0.0/",
        )
        .unwrap();
        assert_eq!(zip.go_mod.as_deref(), Some(&content[..]));
        let lines = format!(
            "{}  example.com/m@v1.0.0/a.go\n{}  example.com/m@v1.0.0/go.mod\n",
            hex(&sha256(b"package m\n")),
            hex(&sha256(content))
        );
        assert_eq!(
            zip.h1,
            format!("h1:{}", STANDARD.encode(sha256(lines.as_bytes())))
        );
    }

    #[test]
    fn odd_zips_are_read_as_go_reads_them() {
        let name = "p@v/go.mod";
        let mut good = Vec::new();
        zip_of(&[(name, "module p\n"), ("p@v/a.go", "package p\n")])
            .read_to_end(&mut good)
            .unwrap();
        let end = good.len() - 22;
        let mut commented = [&good[..], b"abc"].concat();
        commented[end + 20] = 3;
        let mut renamed = good.clone();
        renamed[30..30 + name.len()].copy_from_slice(b"q@v/go.sum");
        for odd in [
            &good,
            &commented,
            &[b"#!/bin/sh\n", &good[..]].concat(),
            &[&good[..end], b"stray", &good[end..]].concat(),
            // The directory's names count, not those in front of each file.
            &renamed,
        ] {
            let wanted = Wanted::parse("p/@v/v.zip").unwrap();
            assert_eq!(files::complaint(&wanted, &Body::from_bytes(odd.clone())), None);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(odd).unwrap();
            file.rewind().unwrap();
            let sum = read_zip(file, "p@v/").unwrap_or_else(|why| panic!("{why:?}"));
            assert_eq!(sum.go_mod.as_deref(), Some(&b"module p\n"[..]));
        }
    }

    #[test]
    fn bad_zips_are_told_from_bad_disks() {
        for bytes in [&b""[..], b"<html>", b"PK\x05\x06", &[0; 4096]] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file.rewind().unwrap();
            assert!(matches!(read_zip(file, "p@v/"), Err(ZipTrouble::Bad(_))));
        }
        let foreign = zip_of(&[("q@v/a.go", "")]);
        assert!(matches!(read_zip(foreign, "p@v/"), Err(ZipTrouble::Bad(_))));
        let directory = File::open("/").unwrap();
        assert!(matches!(read_zip(directory, "p@v/"), Err(ZipTrouble::Io(_))));
    }
}
