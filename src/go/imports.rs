//! What a Go file imports, and for which systems it is meant: as much of a file as go itself reads before it
//! decides which modules it needs.
//!
//! What is not known here (whether cgo is on, say) is neither true nor false, and a file that depends on it is not
//! counted: whoever concludes from this what go will ask for must not ask for more.

use std::collections::HashSet;

/// A longer constraint is nobody's.
const LONGEST_CONSTRAINT: usize = 1000;

const SYSTEMS: [&str; 18] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
];

/// Those that are no Unix.
const NO_UNIX: [&str; 6] = ["js", "nacl", "plan9", "wasip1", "windows", "zos"];

const ARCHITECTURES: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

/// What a build is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags {
    /// GOOS.
    pub os: String,
    /// GOARCH.
    pub arch: String,
    /// Whether cgo is on, where that is known.
    pub cgo: Option<bool>,
    /// Those of `-tags`, and `race` and its like where they are on.
    pub set: HashSet<String>,
    /// Go's version, 26 for 1.26; `None` where another one may be switched to.
    pub minor: Option<u32>,
}

impl Tags {
    /// Those of this machine.
    pub(crate) fn host() -> Self {
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            os => os,
        };
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "loongarch64" => "loong64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            arch => arch,
        };
        Self {
            os: os.to_owned(),
            arch: arch.to_owned(),
            ..Self::default()
        }
    }

    /// Whether a tag is satisfied.
    fn is(&self, tag: &str) -> Option<bool> {
        if self.set.contains(tag) || tag == self.os || tag == self.arch || tag == "gc" {
            return Some(true);
        }
        if let Some(minor) = tag
            .strip_prefix("go1.")
            .and_then(|minor| minor.parse::<u32>().ok())
        {
            /// The oldest that gofix runs with.
            const OLDEST: u32 = 21;
            return match self.minor {
                Some(own) => Some(minor <= own),
                None => (minor <= OLDEST).then_some(true),
            };
        }
        match (tag, self.os.as_str()) {
            ("linux", "android") | ("solaris", "illumos") | ("darwin", "ios") => Some(true),
            ("unix", os) => Some(SYSTEMS.contains(&os) && !NO_UNIX.contains(&os)),
            ("cgo", _) => self.cgo,
            // Go's own experiments, and what a processor can do.
            _ if tag.starts_with("goexperiment.") => None,
            _ if tag
                .strip_prefix(&self.arch)
                .is_some_and(|rest| rest.starts_with('.')) =>
            {
                None
            }
            ("boringcrypto", _) => None,
            _ => Some(false),
        }
    }

    /// Whether a file of this name belongs to the build: `_GOOS`, `_GOARCH`, `_GOOS_GOARCH`, each with `_test` behind it.
    pub(crate) fn take_name(&self, name: &str) -> bool {
        if name.starts_with(['_', '.']) {
            return false;
        }
        let Some(stem) = name.strip_suffix(".go") else {
            return false;
        };
        let stem = stem.split('.').next().unwrap_or_default();
        let stem = stem.strip_suffix("_test").unwrap_or(stem);
        // What stands in front of the first is a name, whatever it is.
        let mut words = stem.split('_').skip(1).collect::<Vec<_>>().into_iter().rev();
        let (last, before) = (words.next(), words.next());
        let is = |tag: &str| self.is(tag) == Some(true);
        match (before, last) {
            (Some(os), Some(arch)) if SYSTEMS.contains(&os) && ARCHITECTURES.contains(&arch) => {
                is(os) && is(arch)
            }
            (_, Some(last)) if SYSTEMS.contains(&last) || ARCHITECTURES.contains(&last) => is(last),
            _ => true,
        }
    }

    /// Whether the build takes a file with this text (at least all in front of `package`) and these imports.
    pub(crate) fn take_text(&self, text: &[u8], imports: &[String]) -> bool {
        self.has_cgo_for(imports) && self.is_meant(text) == Some(true)
    }

    /// Where cgo is needed, it is there. Go looks at this even in files that are named on the command line.
    pub(crate) fn has_cgo_for(&self, imports: &[String]) -> bool {
        self.cgo == Some(true) || !imports.iter().any(|path| path == "C")
    }

    /// What the build constraints in front of `package` say.
    fn is_meant(&self, text: &[u8]) -> Option<bool> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut constraint = None;
        let mut old = Vec::new();
        // Old constraints count only with a blank line behind them.
        let mut confirmed = 0;
        let (mut ended, mut in_block) = (false, false);
        'lines: for line in text.split(|byte| *byte == b'\n') {
            let mut line = line.trim_ascii();
            if line.is_empty() && !ended {
                confirmed = old.len();
                continue;
            }
            ended |= !line.starts_with(b"//");
            if !in_block
                && let Some(found) = behind(line, b"//go:build")
                && constraint.replace(found).is_some()
            {
                return Some(false);
            }
            if !ended && let Some(found) = behind(line[2..].trim_ascii_start(), b"+build") {
                old.push(found);
            }
            while !line.is_empty() {
                if in_block {
                    let Some(end) = memchr::memmem::find(line, b"*/") else {
                        continue 'lines;
                    };
                    in_block = false;
                    line = line[end + 2..].trim_ascii();
                } else if line.starts_with(b"//") {
                    continue 'lines;
                } else if line.starts_with(b"/*") {
                    in_block = true;
                    line = &line[2..];
                } else {
                    break 'lines;
                }
            }
        }
        match constraint {
            Some(constraint) => match Constraint::new(constraint)?.parse(self) {
                Ok(value) => value,
                // Go takes no file whose constraint it does not understand.
                Err(NoConstraint) => Some(false),
            },
            None => old[..confirmed]
                .iter()
                .map(|line| self.old_constraint(line))
                .fold(Some(true), and),
        }
    }

    /// The alternatives of a `// +build` line, each a list of tags that must all be satisfied.
    fn old_constraint(&self, line: &[u8]) -> Option<bool> {
        let line = String::from_utf8_lossy(line);
        let tag = |text: &str| match text.strip_prefix('!') {
            Some(tag) if tag.is_empty() || tag.starts_with('!') => Some(false),
            Some(tag) if is_tag(tag) => self.is(tag).map(|is| !is),
            Some(_) => Some(true),
            None if is_tag(text) => self.is(text),
            None => Some(false),
        };
        line.split_whitespace()
            .map(|all| all.split(',').map(tag).fold(Some(true), and))
            .fold(Some(false), or)
    }
}

/// What stands behind a word that begins a line.
fn behind<'a>(line: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(word)?;
    (rest.is_empty() || rest[0].is_ascii_whitespace()).then_some(rest)
}

fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_of_tag)
}

fn is_of_tag(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.')
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn or(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    and(a.map(|a| !a), b.map(|b| !b)).map(|neither| !neither)
}

/// The text of a `//go:build` line that is left to be read.
struct Constraint<'a>(&'a str);

struct NoConstraint;

impl<'a> Constraint<'a> {
    /// `None` for what is out of all proportion.
    fn new(text: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        (text.len() <= LONGEST_CONSTRAINT).then_some(Self(text))
    }

    fn parse(mut self, tags: &Tags) -> Result<Option<bool>, NoConstraint> {
        let value = self.any(tags)?;
        match self.0.trim_start() {
            "" => Ok(value),
            _ => Err(NoConstraint),
        }
    }

    fn takes(&mut self, word: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(word);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn any(&mut self, tags: &Tags) -> Result<Option<bool>, NoConstraint> {
        let mut value = self.all(tags)?;
        while self.takes("||") {
            value = or(value, self.all(tags)?);
        }
        Ok(value)
    }

    fn all(&mut self, tags: &Tags) -> Result<Option<bool>, NoConstraint> {
        let mut value = self.one(tags)?;
        while self.takes("&&") {
            value = and(value, self.one(tags)?);
        }
        Ok(value)
    }

    fn one(&mut self, tags: &Tags) -> Result<Option<bool>, NoConstraint> {
        if self.takes("!") {
            // Go takes no `!!`.
            return match self.0.trim_start().starts_with('!') {
                true => Err(NoConstraint),
                false => Ok(self.one(tags)?.map(|value| !value)),
            };
        }
        if self.takes("(") {
            let value = self.any(tags)?;
            return self.takes(")").then_some(value).ok_or(NoConstraint);
        }
        let text = self.0.trim_start();
        let end = text.find(|c| !is_of_tag(c)).unwrap_or(text.len());
        let (tag, rest) = text.split_at(end);
        self.0 = rest;
        match tag {
            "" => Err(NoConstraint),
            tag => Ok(tags.is(tag)),
        }
    }
}

/// The beginning of a file: `package` and all the imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Head {
    /// What it imports.
    Imports(Vec<String>),
    /// It does not end within the text.
    Longer,
    /// It is not Go.
    Bad,
}

/// Reads the beginning of a file. `is_whole`: there is no more text.
pub(crate) fn head(text: &[u8], is_whole: bool) -> Head {
    let mut lexer = Lexer {
        text: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
        is_whole,
        between: false,
    };
    let mut imports = Vec::new();
    match lexer.read(&mut imports) {
        Ok(()) => Head::Imports(imports),
        Err(Stop::End) if !is_whole => Head::Longer,
        Err(Stop::End) if lexer.between => Head::Imports(imports),
        Err(Stop::End | Stop::Bad) => Head::Bad,
    }
}

struct Lexer<'a> {
    text: &'a [u8],
    is_whole: bool,
    /// Between two declarations, where a file may end.
    between: bool,
}

enum Stop {
    End,
    Bad,
}

impl<'a> Lexer<'a> {
    fn read(&mut self, imports: &mut Vec<String>) -> Result<(), Stop> {
        self.is("package")?;
        self.word()?;
        loop {
            self.between = true;
            if self.next()? != b'i' {
                return Ok(());
            }
            self.is("import")?;
            self.between = false;
            if self.next()? == b'(' {
                self.text = &self.text[1..];
                while self.next()? != b')' {
                    imports.push(self.import()?);
                }
                self.text = &self.text[1..];
            } else {
                imports.push(self.import()?);
            }
        }
    }

    /// The next byte that is neither blank nor comment.
    fn next(&mut self) -> Result<u8, Stop> {
        loop {
            let skipped = match self.text {
                [b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b';', ..] => 1,
                [b'/', b'/', ..] => memchr::memchr(b'\n', self.text).ok_or(Stop::End)?,
                [b'/', b'*', rest @ ..] => memchr::memmem::find(rest, b"*/").ok_or(Stop::End)? + 4,
                [b'/'] | [] => return Err(Stop::End),
                [first, ..] => return Ok(*first),
            };
            self.text = &self.text[skipped..];
        }
    }

    fn word(&mut self) -> Result<&'a [u8], Stop> {
        self.next()?;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
        let end = self.text.iter().position(|byte| !is_part(byte));
        let end = end
            .or_else(|| self.is_whole.then_some(self.text.len()))
            .ok_or(Stop::End)?;
        let (word, rest) = self.text.split_at(end);
        self.text = rest;
        if word.is_empty() { Err(Stop::Bad) } else { Ok(word) }
    }

    fn is(&mut self, word: &str) -> Result<(), Stop> {
        if self.word()? == word.as_bytes() {
            Ok(())
        } else {
            Err(Stop::Bad)
        }
    }

    /// One import: a name or a dot, where there is one, and the path.
    fn import(&mut self) -> Result<String, Stop> {
        match self.next()? {
            b'.' => self.text = &self.text[1..],
            b'"' | b'`' => {}
            _ => drop(self.word()?),
        }
        let mark = self.next()?;
        if !matches!(mark, b'"' | b'`') {
            return Err(Stop::Bad);
        }
        let text = &self.text[1..];
        let end = memchr::memchr(mark, text).ok_or(Stop::End)?;
        let (path, rest) = (&text[..end], &text[end + 1..]);
        self.text = rest;
        // Nobody writes a path with an escape in it.
        match std::str::from_utf8(path) {
            Ok(path) if !path.contains(['\\', '\n']) => Ok(path.to_owned()),
            _ => Err(Stop::Bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linux() -> Tags {
        Tags {
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            cgo: None,
            set: HashSet::from(["mine".to_owned()]),
            minor: Some(24),
        }
    }

    fn imports(text: &str) -> Vec<String> {
        match head(text.as_bytes(), true) {
            Head::Imports(imports) => imports,
            other => panic!("{other:?} {text}"),
        }
    }

    #[test]
    fn what_a_file_imports() {
        for (text, expected) in [
            ("package a", &[][..]),
            ("\u{feff}package a;import \"b\"", &["b"]),
            (
                "package a\nimport `b`; import . \"c/d\"\nimport _ \"e\"\nvar x = 1",
                &["b", "c/d", "e"],
            ),
            (
                "// Copyright \"x\"\n\n/* package no\n import \"no\" */ package a // import \"a.example/a\"\n\nimport (\n\t\"b\" // c\n\
                 \n\td \"e.example/d/v2\" /* f */;é \"g\"\n)\nimport()\nfunc i() { _ = `import \"h\"` }\nimport \"no\"",
                &["b", "e.example/d/v2", "g"],
            ),
            ("package a\nimport \"C\"\n", &["C"]),
        ] {
            assert_eq!(imports(text), expected, "{text}");
        }
        for text in [
            "",
            "import \"a\"",
            "package",
            "package a\nimport",
            "package a\nimport (\"b\"",
            "package a\nimport \"b",
            "package a\nimport \"b\\x63\"",
            "package a\nimport \"b\n\"",
            "package a\ninteresting",
            "package a\nimport b",
            "/* package a",
            "<html>",
        ] {
            assert_eq!(head(text.as_bytes(), true), Head::Bad, "{text}");
        }
    }

    #[test]
    fn a_beginning_is_read_no_further_than_it_goes() {
        let text = "// a\npackage a /* b */\nimport (\n\t\"c\"\n\tf \"d\"\n)\nimport `e`\n\nvar x = 1";
        let all = head(text.as_bytes(), true);
        for end in 0..text.len() {
            let part = head(&text.as_bytes()[..end], false);
            assert!(part == Head::Longer || part == all, "{end}: {part:?}");
        }
    }

    #[test]
    fn names_that_belong_to_a_build() {
        let is_taken = |name: &str| linux().take_name(name);
        for name in [
            "a.go",
            "linux.go",
            "a_linux.go",
            "a_amd64.go",
            "a_linux_amd64.go",
            "a_linux_amd64_test.go",
            "a_test.go",
            "a_unix.go",
            "windows.go",
            "a_windows_x.go",
            "a_linux.pb.go",
            "windows_linux.go",
        ] {
            assert!(is_taken(name), "{name}");
        }
        for name in [
            "a.c",
            "a_windows.go",
            "a_arm64.go",
            "a_linux_arm64.go",
            "a_windows_amd64.go",
            "a_windows_test.go",
            "_a.go",
            ".a.go",
            "a_js.x.go",
            "_linux.go",
            "linux_windows.go",
        ] {
            assert!(!is_taken(name), "{name}");
        }
        let android = Tags {
            os: "android".to_owned(),
            ..linux()
        };
        assert!(android.take_name("a_linux.go") && android.take_name("a_android.go"));
    }

    #[test]
    fn texts_that_belong_to_a_build() {
        let takes = |text: &str| linux().is_meant(text.as_bytes());
        for (constraint, expected) in [
            ("linux", Some(true)),
            ("!linux", Some(false)),
            ("unix && !(windows || darwin)", Some(true)),
            ("linux,amd64", Some(false)),
            ("ignore", Some(false)),
            ("mine&&gc", Some(true)),
            ("go1.24", Some(true)),
            ("go1.25", Some(false)),
            ("!go1.25||x", Some(true)),
            ("cgo", None),
            ("!cgo", None),
            ("cgo && windows", Some(false)),
            ("cgo || linux", Some(true)),
            ("goexperiment.synctest", None),
            ("amd64.v3", None),
            ("arm64.v9", Some(false)),
            ("", Some(false)),
            ("!!linux", Some(false)),
            ("(linux", Some(false)),
            ("linux amd64", Some(false)),
        ] {
            let text = format!("// Copyright\n\n//go:build {constraint}\n\n// Package a\npackage a\n");
            assert_eq!(takes(&text), expected, "{constraint}");
        }
        for (text, expected) in [
            ("package a\n//go:build windows\n", Some(true)),
            ("//go:build linux\n//go:build linux\n\npackage a", Some(false)),
            ("/*\n//go:build windows\n*/\npackage a", Some(true)),
            ("/* a */ /* b\n*/\n//go:build windows\npackage a", Some(false)),
            ("//go:building windows\n\npackage a", Some(true)),
            ("//go:build linux\n// +build windows\n\npackage a", Some(true)),
            ("// +build linux darwin\n// +build amd64,!cgo\n\npackage a", None),
            ("// +build windows darwin\n\npackage a", Some(false)),
            ("// +build !windows,!plan9 x\n\npackage a", Some(true)),
            ("// +build !!linux\n\npackage a", Some(false)),
            ("// +build windows\npackage a", Some(true)),
            ("\u{feff}// +build ignore\n\npackage a", Some(false)),
        ] {
            assert_eq!(takes(text), expected, "{text}");
        }
        let deep = format!("//go:build {}linux\n\npackage a", "(".repeat(100_000));
        assert_eq!(takes(&deep), None);
    }

    #[test]
    fn what_needs_cgo_counts_where_cgo_is_on() {
        let needs = ["C".to_owned()];
        for (cgo, expected) in [(None, false), (Some(false), false), (Some(true), true)] {
            let tags = Tags { cgo, ..linux() };
            assert_eq!(tags.take_text(b"package a", &needs), expected);
            assert!(tags.take_text(b"package a", &[]));
        }
        // Another version of go may be switched to.
        let tags = Tags {
            minor: None,
            ..linux()
        };
        assert_eq!(tags.is("go1.18"), Some(true));
        assert_eq!(tags.is("go1.24"), None);
    }
}
