//! What an extracted directory holds, streamed like a zip (see [`crate::go::dirhash`]).

use super::RepairError;
use super::dir::{Dir, Kind};
use crate::go::dirhash::{Entry, h1, stream};

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
    use std::io::{Seek, Write};

    use super::*;
    use crate::go::dirhash::read_zip;

    #[test]
    fn a_tree_hashes_as_its_zip() {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir(top.path().join("a")).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        let mut zip = zip::ZipWriter::new(&mut file);
        // `a-b` sorts before `a/c` as text, though a walk meets it later.
        for name in ["a/c.go", "a-b.go", "go.mod"] {
            std::fs::write(top.path().join(name), name).unwrap();
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(format!("p@v/{name}"), options).unwrap();
            zip.write_all(name.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        file.rewind().unwrap();
        let tree = read_tree(&Dir::root(top.path(), false).unwrap()).unwrap();
        assert_eq!(tree.h1("p@v/"), read_zip(file, "p@v/").unwrap().h1);
    }
}
