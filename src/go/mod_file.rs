//! What stands in a go.mod, for those who want to know what go will ask for.
//! What cannot be understood is left out: nobody may conclude from this that a
//! file is wrong.

/// As go: a larger one it does not read.
pub(crate) const LIMIT: usize = 16 << 20;
/// More lines than this no go.mod has.
const MOST: usize = 20_000;

/// One go.mod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ModFile {
    /// The module's own path.
    pub(crate) module: String,
    /// The go line: major and minor.
    pub(crate) go: Option<(u32, u32)>,
    /// The toolchain line: the same.
    pub(crate) toolchain: Option<(u32, u32)>,
    /// In the order in which they stand there.
    pub(crate) requires: Vec<Require>,
    pub(crate) replaces: Vec<Replace>,
    /// Paths with versions.
    pub(crate) excludes: Vec<(String, String)>,
    /// Folders that no pattern matches: those that begin with `./` from the module's own on, others anywhere.
    pub(crate) ignores: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Require {
    pub(crate) path: String,
    pub(crate) version: String,
    pub(crate) indirect: bool,
}

/// A module that another stands in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replace {
    pub(crate) path: String,
    /// Every version where there is none.
    pub(crate) version: Option<String>,
    /// Another module's path and version; a folder where there is none.
    pub(crate) by: Option<(String, String)>,
    /// The folder.
    pub(crate) folder: Option<String>,
}

impl ModFile {
    /// Reads a go.mod; `None` for one that is out of all proportion.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > LIMIT {
            return None;
        }
        let mut file = Self::default();
        let mut count = 0;
        statements(text, |verb, words, comment| {
            count += 1;
            if count <= MOST {
                file.read(verb, words, comment);
            }
        });
        (count <= MOST).then_some(file)
    }

    fn read(&mut self, verb: Verb, words: &[&str], comment: &str) {
        match (verb, words) {
            (Verb::Module, [path]) => self.module = (*path).to_owned(),
            (Verb::Go, [version]) => self.go = minor(version),
            (Verb::Toolchain, [name]) => self.toolchain = name.strip_prefix("go").and_then(minor),
            (Verb::Require, [path, version]) => self.requires.push(Require {
                path: (*path).to_owned(),
                version: (*version).to_owned(),
                indirect: comment.split_whitespace().next() == Some("indirect")
                    || comment.starts_with("indirect;"),
            }),
            (Verb::Exclude, [path, version]) => {
                self.excludes.push(((*path).to_owned(), (*version).to_owned()));
            }
            (Verb::Ignore, [folder]) => self.ignores.push((*folder).to_owned()),
            (Verb::Replace, _) => {
                let mut sides = words.splitn(2, |word| *word == "=>");
                let (Some(&[path, ref version @ ..]), Some(by)) = (sides.next(), sides.next()) else {
                    return;
                };
                self.replaces.push(Replace {
                    path: path.to_owned(),
                    version: version.first().map(|version| (*version).to_owned()),
                    by: match by {
                        [path, version] => Some(((*path).to_owned(), (*version).to_owned())),
                        _ => None,
                    },
                    folder: match by {
                        [folder] => Some((*folder).to_owned()),
                        _ => None,
                    },
                });
            }
            _ => {}
        }
    }

    /// Whether the graph of requirements ends at this module's own (since Go 1.17).
    pub(crate) fn is_pruned(&self) -> bool {
        self.go.is_some_and(|go| go >= (1, 17))
    }
}

/// Says why a file cannot be the go.mod of a dependency; `None` where it may be one. `is_cut`: there is more of it.
///
/// Much less than go's parser: only what go refuses in every version of itself is called bad.
pub(crate) fn complaint(text: &[u8], is_cut: bool) -> Option<&'static str> {
    let mut has_module = false;
    let is_closed = statements(text, |verb, words, _| {
        has_module |= matches!((verb, words), (Verb::Module, [_, ..]));
    });
    if !has_module {
        Some("no module line in the go.mod")
    } else if !is_closed && !is_cut {
        Some("the go.mod ends inside a block")
    } else {
        None
    }
}

/// Calls `each` for every statement, those of a block one by one, with its words and the comment behind them. False
/// where the text ends inside a block. Go does not mind what encoding a comment is in.
fn statements(text: &[u8], mut each: impl FnMut(Verb, &[&str], &str)) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut block = None;
    for line in text.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let (words, comment) = words(&line);
        match (block, words.as_slice()) {
            (_, []) => {}
            (Some(_), [")"]) => block = None,
            (Some(verb), words) => each(verb, words, comment),
            (None, [first, "("]) => block = Some(Verb::of(first)),
            (None, [first, rest @ ..]) => each(Verb::of(first), rest, comment),
        }
    }
    block.is_none()
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Module,
    Go,
    Toolchain,
    Require,
    Exclude,
    Replace,
    Ignore,
    Other,
}

impl Verb {
    fn of(word: &str) -> Self {
        match word {
            "module" => Self::Module,
            "go" => Self::Go,
            "toolchain" => Self::Toolchain,
            "require" => Self::Require,
            "exclude" => Self::Exclude,
            "replace" => Self::Replace,
            "ignore" => Self::Ignore,
            _ => Self::Other,
        }
    }
}

/// The words of a line, without quotation marks, and the comment behind them.
fn words(line: &str) -> (Vec<&str>, &str) {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    loop {
        if let Some(comment) = rest.strip_prefix("//") {
            return (words, comment.trim());
        }
        let Some(first) = rest.chars().next() else {
            return (words, "");
        };
        let is_mark = |c: char| "()[]{},".contains(c);
        let (word, behind) = if matches!(first, '"' | '`') {
            rest[1..].split_once(first).unwrap_or_else(|| (&rest[1..], ""))
        } else if is_mark(first) {
            rest.split_at(1)
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || is_mark(c));
            let end = end.unwrap_or(rest.len());
            rest.split_at(rest[..end].find("//").unwrap_or(end))
        };
        words.push(word);
        rest = behind.trim_start();
    }
}

/// `1.21` or `1.21.3`, or with a release candidate.
pub(crate) fn minor(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.split_once('.')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest[..end].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_go_mod() {
        let text = "\u{feff}// Deprecated: no\nmodule \"example.com/main\" // this\n\ngo 1.21rc2\n\ntoolchain go1.22.0\n\
            require a.example/a v1.0.0\nrequire (\n\tb.example/b v1.2.3 // indirect\n\n\t// c.example/no v1.0.0\n\
            \t`c.example/c` v0.0.0-20200101000000-abcdefabcdef //indirect; why\r\n)\n\
            exclude b.example/b v1.2.4\nretract [v1.0.0, v1.1.0]\ntool a.example/a/cmd\n\
            replace (\n\ta.example/a => ../a\n\tb.example/b v1.2.3 => d.example/d v1.0.0\n)\n";
        let file = ModFile::parse(text.as_bytes()).unwrap();
        assert_eq!(file.module, "example.com/main");
        assert_eq!(file.go, Some((1, 21)));
        assert!(file.is_pruned());
        let requires: Vec<_> = file
            .requires
            .iter()
            .map(|require| (require.path.as_str(), require.indirect))
            .collect();
        assert_eq!(
            requires,
            [
                ("a.example/a", false),
                ("b.example/b", true),
                ("c.example/c", true)
            ]
        );
        assert_eq!(file.excludes, [("b.example/b".to_owned(), "v1.2.4".to_owned())]);
        let by: Vec<_> = file
            .replaces
            .iter()
            .map(|replace| {
                (
                    replace.path.as_str(),
                    replace.version.as_deref(),
                    replace.by.is_some(),
                )
            })
            .collect();
        assert_eq!(
            by,
            [
                ("a.example/a", None, false),
                ("b.example/b", Some("v1.2.3"), true)
            ]
        );
    }

    #[test]
    fn any_bytes_are_read() {
        for text in [
            &b"require (\n"[..],
            b"require\nrequire (\n(\n)\n)\n\"",
            b"replace =>\nreplace a =>\nreplace a b c => d\n=> \n",
            b"go\ngo 1\ngo 99999999999.1\nmodule\n\xff\xfe\0",
        ] {
            assert!(ModFile::parse(text).is_some());
        }
        assert_eq!(ModFile::parse(&vec![b'\n'; LIMIT + 1]), None);
        let many = "require a.example/a v1.0.0\n".repeat(MOST + 1);
        assert_eq!(ModFile::parse(many.as_bytes()), None);
    }

    #[test]
    fn marks_need_no_blanks_around_them() {
        let file =
            ModFile::parse(b"module m\nrequire(// these\n\ta.example/a v1.0.0//indirect\n)\n").unwrap();
        assert_eq!(file.requires.len(), 1);
        assert_eq!(file.requires[0].version, "v1.0.0");
        assert!(file.requires[0].indirect);
    }
}
