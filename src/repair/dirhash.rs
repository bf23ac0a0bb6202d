//! Go's h1 hash of a zip, of an extracted directory and of a go.mod file.
//!
//! h1 is the SHA-256 of one line per file, sorted by name: the file's own
//! SHA-256 in hex, two spaces, the name as it stands in the zip; written as
//! `h1:` and base64. Files are streamed: memory holds one buffer and the list
//! of names, however large the module is.
//!
//! Imperfect: a zip with two entries of one name hashes differently here than
//! in go (the last one counts). go never makes such a zip.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};

use super::RepairError;
use super::dir::{Dir, Kind};

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

/// What an extracted directory holds.
#[derive(Debug, Default)]
pub(crate) struct TreeSum {
    /// Sorted by name.
    pub(crate) entries: Vec<Entry>,
    /// Names that are neither file nor directory, or that cannot be read.
    pub(crate) odd: Vec<(Vec<u8>, String)>,
}

impl TreeSum {
    /// The h1 hash of the tree, names prefixed as in the zip.
    pub(crate) fn h1(&self, prefix: &str) -> String {
        h1(prefix, &self.entries)
    }
}

/// Why a zip is no module zip: bad content, or a disk that does not read.
#[derive(Debug)]
pub(crate) enum ZipTrouble {
    /// The content is bad; why, in words.
    Bad(String),
    /// Reading failed: nothing is proven.
    Io(io::Error),
}

/// True for `h1:` and the base64 of 32 bytes.
pub(crate) fn is_h1(text: &str) -> bool {
    text.strip_prefix("h1:")
        .and_then(|b| STANDARD.decode(b).ok())
        .is_some_and(|b| b.len() == 32)
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

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
            // Writing to a String does not fail.
            let _ = write!(text, "{b:02x}");
            text
        })
}

/// Lines sorted by the whole name; entries are sorted by the name below the prefix, which is the same order.
fn h1(prefix: &str, entries: &[Entry]) -> String {
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
pub(crate) fn read_zip(file: File, prefix: &str) -> Result<ZipSum, ZipTrouble> {
    let failed = Rc::new(Cell::new(None));
    let watched = Watched {
        file,
        failed: Rc::clone(&failed),
    };
    read_watched(watched, prefix).map_err(|why| match failed.get() {
        Some(errno) => ZipTrouble::Io(io::Error::from_raw_os_error(errno)),
        None => ZipTrouble::Bad(why),
    })
}

/// A file that remembers that the disk failed, whatever the reader of the zip makes of it.
struct Watched {
    file: File,
    failed: Rc<Cell<Option<i32>>>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).inspect_err(|e| {
            if e.kind() != io::ErrorKind::Interrupted {
                self.failed.set(e.raw_os_error());
            }
        })
    }
}

impl Seek for Watched {
    // A seek fails only if the zip points to a negative place: that is content.
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn read_watched(file: Watched, prefix: &str) -> Result<ZipSum, String> {
    let mut archive =
        zip::ZipArchive::new(BufReader::with_capacity(32 << 10, file)).map_err(|e| e.to_string())?;
    let mut entries = Vec::with_capacity(archive.len());
    let mut go_mod = None;
    let mut buffer = vec![0; 64 << 10];
    let mut left = MAX_INFLATED;
    for i in 0..archive.len() {
        let mut member = archive.by_index(i).map_err(|e| e.to_string())?;
        let Some(name) = member
            .name_raw()
            .strip_prefix(prefix.as_bytes())
            .map(<[u8]>::to_vec)
        else {
            let name = String::from_utf8_lossy(member.name_raw()).into_owned();
            return Err(format!("it holds the foreign file {}", crate::text::safe(&name)));
        };
        let keep = name == b"go.mod" && member.size() <= MAX_GO_MOD;
        let mut kept = Vec::new();
        let (sum, size) = stream(&mut member, &mut buffer, left, |bytes| {
            if keep {
                kept.extend_from_slice(bytes);
            }
        })
        .map_err(|e| e.to_string())?;
        left = left
            .checked_sub(size)
            .ok_or("it inflates to more than any module")?;
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
fn stream(
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

/// Reads an extracted module to its end.
pub(crate) fn read_tree(dir: &Dir) -> Result<TreeSum, RepairError> {
    let mut tree = TreeSum::default();
    let mut odd = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    dir.visit(
        &mut |here, name, path, kind| {
            match kind {
                Kind::Dir => {}
                Kind::File => match here.file(name) {
                    Ok(mut file) => {
                        let (sum, size) = stream(&mut file, &mut buffer, u64::MAX, |_| {})
                            .map_err(|e| RepairError::io(&here.path().join(name), e))?;
                        tree.entries.push(Entry {
                            name: path.to_vec(),
                            sum,
                            size,
                        });
                    }
                    Err(e) => tree.odd.push((path.to_vec(), e.to_string())),
                },
                Kind::Link | Kind::Other => tree.odd.push((path.to_vec(), format!("it is {}", kind.words()))),
            }
            Ok(())
        },
        &mut |path, error| odd.push((path.to_vec(), error.to_string())),
    )?;
    tree.odd.append(&mut odd);
    tree.entries.sort();
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use io::{Seek, Write};

    use super::*;

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
    fn a_tree_hashes_as_its_zip() {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir(top.path().join("a")).unwrap();
        // `a-b` sorts before `a/c` as text, though a walk meets it later.
        for (name, content) in [("a/c.go", "c"), ("a-b.go", "b"), ("go.mod", "m")] {
            std::fs::write(top.path().join(name), content).unwrap();
        }
        let tree = read_tree(&Dir::root(top.path(), false).unwrap()).unwrap();
        let zip = zip_of(&[("p@v/a/c.go", "c"), ("p@v/a-b.go", "b"), ("p@v/go.mod", "m")]);
        assert_eq!(tree.h1("p@v/"), read_zip(zip, "p@v/").unwrap().h1);
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

    #[test]
    fn hash_texts() {
        assert!(is_h1("h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY="));
        for bad in [
            "",
            "h1:",
            "h2:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=",
            "h1:AAAA",
            "<html>",
        ] {
            assert!(!is_h1(bad), "{bad}");
        }
    }
}
