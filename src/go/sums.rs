//! The lines of go.sum, which are those of a checksum database's records too.
//! Read only: gofix never edits a go.sum.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::module::ModuleVersion;

/// No go.sum comes near this size; what is larger is not read.
const MAX_GO_SUM: u64 = 256 << 20;

/// True for `h1:` and the base64 of 32 bytes.
pub(crate) fn is_h1(text: &str) -> bool {
    text.strip_prefix("h1:")
        .and_then(|b| STANDARD.decode(b).ok())
        .is_some_and(|b| b.len() == 32)
}

/// The hashes that one module version may have, and where they stand.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Of the zip (and of the extracted directory).
    pub(crate) zip: Vec<String>,
    /// Of the go.mod file.
    pub(crate) go_mod: Vec<String>,
}

/// All lines of some go.sum files.
#[derive(Debug, Default)]
pub(crate) struct GoSum {
    lines: HashMap<(String, String), Sums>,
}

impl GoSum {
    /// Reads some files; one that is not there, is no file or cannot be read counts as empty.
    pub(crate) fn read<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut all = Self::default();
        for path in files {
            // To open a pipe is to wait for whoever writes to it.
            if !path.is_file() {
                continue;
            }
            let mut content = Vec::new();
            let read =
                std::fs::File::open(path).and_then(|file| file.take(MAX_GO_SUM).read_to_end(&mut content));
            if read.is_ok() {
                all.add(&content);
            }
        }
        all
    }

    /// Adds the lines of one file. What is no line of go.sum is stepped over.
    pub(crate) fn add(&mut self, content: &[u8]) {
        for line in String::from_utf8_lossy(content).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [path, version, hash] = words.as_slice() else {
                continue;
            };
            if !is_h1(hash) {
                continue;
            }
            let (version, go_mod) = match version.strip_suffix("/go.mod") {
                Some(version) => (version, true),
                None => (*version, false),
            };
            let sums = self
                .lines
                .entry((path.to_string(), version.to_owned()))
                .or_default();
            let list = if go_mod { &mut sums.go_mod } else { &mut sums.zip };
            list.push((*hash).to_owned());
        }
    }

    /// The hashes of one module version; empty lists where there is no line.
    pub(crate) fn sums(&self, module: &ModuleVersion) -> Sums {
        let key = (module.path().to_owned(), module.version().to_owned());
        self.lines.get(&key).cloned().unwrap_or_default()
    }

    /// Every module version that has a line for its zip.
    pub(crate) fn modules(&self) -> Vec<ModuleVersion> {
        let with_zip = self.lines.iter().filter(|(_, sums)| !sums.zip.is_empty());
        let mut all: Vec<_> = with_zip
            .filter_map(|((path, version), _)| ModuleVersion::new(path, version).ok())
            .collect();
        all.sort();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_rubbish_is_not() {
        let hash = format!("h1:{}=", "A".repeat(43));
        let other = format!("h1:{}=", "B".repeat(42) + "A");
        let mut sum = GoSum::default();
        sum.add(
            format!(
                "example.com/a v1.0.0 {hash}\nexample.com/a v1.0.0 {other}\nexample.com/a v1.0.0/go.mod {hash}\n\
                 example.com/b v1.0.0/go.mod {hash}\nexample.com/c v1.0.0 h2:what\n<<<<<<< HEAD\n\0\n"
            )
            .as_bytes(),
        );
        let a = ModuleVersion::new("example.com/a", "v1.0.0").unwrap();
        assert_eq!(
            sum.sums(&a),
            Sums {
                zip: vec![hash.clone(), other],
                go_mod: vec![hash]
            }
        );
        assert_eq!(sum.modules(), [a]);
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
