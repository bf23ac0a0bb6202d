//! What go asks for: the paths of Go's module proxy protocol.

use crate::go::escape::unescape;
use crate::text::percent_decode;

/// One file of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `@v/list`.
    List,
    /// `@latest`.
    Latest,
    /// `@v/V.info`.
    Info,
    /// `@v/V.mod`.
    Mod,
    /// `@v/V.zip`.
    Zip,
    /// `/sumdb/NAME/supported`.
    SumdbSupported,
    /// `/sumdb/NAME/lookup/M@V`.
    SumdbLookup,
    /// `/sumdb/NAME/latest`.
    SumdbLatest,
    /// `/sumdb/NAME/tile/H/L/N[.p/W]`, with the bytes that a hash tile has.
    SumdbTile(Option<u64>),
    /// Anything else.
    Other,
}

/// A request of go, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What it is.
    pub(crate) kind: Kind,
    /// The path as it goes on the wire, without a slash in front.
    pub(crate) path: String,
    /// The module path, unescaped (`!a` is `A`), where there is one.
    pub(crate) module: Option<String>,
    /// The version or revision, unescaped, where there is one.
    pub(crate) version: Option<String>,
}

impl Wanted {
    /// Reads the path behind the token and the element's number.
    ///
    /// `None` for anything that go would never ask: a broken escape, control
    /// characters, a backslash, empty and dot segments.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let plain = percent_decode(path)?;
        let clean = |segment: &str| !matches!(segment, "" | "." | "..");
        if !plain.split('/').all(clean)
            || plain.contains(['\\', '?', '#'])
            || plain.chars().any(char::is_control)
        {
            return None;
        }
        let mut wanted = Self {
            kind: Kind::Other,
            path: path.to_owned(),
            module: None,
            version: None,
        };
        if let Some(rest) = plain.strip_prefix("sumdb/") {
            wanted.read_sumdb(rest);
        } else {
            wanted.read_module(&plain);
        }
        Some(wanted)
    }

    fn read_module(&mut self, plain: &str) {
        if let Some(module) = plain.strip_suffix("/@latest") {
            self.kind = Kind::Latest;
            self.module = unescape(module);
            return;
        }
        let Some((module, file)) = plain.split_once("/@v/") else {
            return;
        };
        let (kind, version) = if file == "list" {
            (Kind::List, None)
        } else if let Some(version) = file.strip_suffix(".info") {
            (Kind::Info, Some(version))
        } else if let Some(version) = file.strip_suffix(".mod") {
            (Kind::Mod, Some(version))
        } else if let Some(version) = file.strip_suffix(".zip") {
            (Kind::Zip, Some(version))
        } else {
            return;
        };
        self.kind = kind;
        self.module = unescape(module);
        self.version = version.and_then(unescape);
    }

    /// The database's name may hold slashes, so the words behind it are looked
    /// for from the left.
    fn read_sumdb(&mut self, rest: &str) {
        if rest.ends_with("/supported") {
            self.kind = Kind::SumdbSupported;
        } else if let Some((_, lookup)) = rest.split_once("/lookup/") {
            self.kind = Kind::SumdbLookup;
            if let Some((module, version)) = lookup.rsplit_once('@') {
                self.module = unescape(module);
                self.version = unescape(version);
            }
        } else if let Some((_, tile)) = rest.split_once("/tile/") {
            self.kind = Kind::SumdbTile(tile_bytes(tile));
        } else if rest.ends_with("/latest") {
            self.kind = Kind::SumdbLatest;
        }
    }

    /// True for the checksum database's files.
    pub(crate) fn is_sumdb(&self) -> bool {
        matches!(
            self.kind,
            Kind::SumdbSupported | Kind::SumdbLookup | Kind::SumdbLatest | Kind::SumdbTile(_)
        ) || self.path.starts_with("sumdb/")
    }
}

/// The length of a tile of hashes: `H/L/N` holds 2^H of 32 bytes, `H/L/N.p/W`
/// W of them. `None` for tiles of data (`H/data/N`) and for what is no tile.
fn tile_bytes(tile: &str) -> Option<u64> {
    let mut parts = tile.split('/');
    let height: u32 = parts.next()?.parse().ok()?;
    let _level: u32 = parts.next()?.parse().ok()?;
    let width: u64 = match tile.rsplit_once(".p/") {
        Some((_, width)) => width.parse().ok()?,
        None => 1_u64.checked_shl(height)?,
    };
    (height <= 30).then_some(width.checked_mul(32)?)
}

/// True for a version in Go's canonical form: `vX.Y.Z`, with a pre-release and
/// `+incompatible` at most.
pub(crate) fn is_canonical(version: &str) -> bool {
    let Some(rest) = version.strip_prefix('v') else {
        return false;
    };
    let rest = rest.strip_suffix("+incompatible").unwrap_or(rest);
    let (numbers, pre) = match rest.split_once('-') {
        Some((numbers, pre)) => (numbers, Some(pre)),
        None => (rest, None),
    };
    let number =
        |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) && (n == "0" || !n.starts_with('0'));
    let word = |w: &str| {
        !w.is_empty()
            && w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && (!w.bytes().all(|b| b.is_ascii_digit()) || number(w))
    };
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && pre.is_none_or(|pre| pre.split('.').all(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> (Kind, Option<String>, Option<String>) {
        let wanted = Wanted::parse(path).unwrap();
        (wanted.kind, wanted.module, wanted.version)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn every_file_of_the_protocol() {
        assert_eq!(read("a.b/c/@v/list"), (Kind::List, some("a.b/c"), None));
        assert_eq!(read("a.b/!c/@latest"), (Kind::Latest, some("a.b/C"), None));
        assert_eq!(
            read("a.b/c/@v/v1.0.0.info"),
            (Kind::Info, some("a.b/c"), some("v1.0.0"))
        );
        assert_eq!(
            read("a.b/c/@v/v1.0.0+incompatible.mod"),
            (Kind::Mod, some("a.b/c"), some("v1.0.0+incompatible"))
        );
        assert_eq!(
            read("a.b/c/@v/v1.0.0-!r!c1.zip"),
            (Kind::Zip, some("a.b/c"), some("v1.0.0-RC1"))
        );
        assert_eq!(read("sumdb/sum.golang.org/supported").0, Kind::SumdbSupported);
        assert_eq!(read("sumdb/localhost/db/latest").0, Kind::SumdbLatest);
        assert_eq!(
            read("sumdb/s/lookup/a.b/!c@v1.0.0"),
            (Kind::SumdbLookup, some("a.b/C"), some("v1.0.0"))
        );
        assert_eq!(read("sumdb/s/tile/8/0/x001/234").0, Kind::SumdbTile(Some(8192)));
        assert_eq!(read("sumdb/s/tile/8/1/234.p/7").0, Kind::SumdbTile(Some(224)));
        assert_eq!(read("sumdb/s/tile/8/data/234").0, Kind::SumdbTile(None));
        assert_eq!(read("a.b/c").0, Kind::Other);
    }

    #[test]
    fn what_go_never_asks() {
        for path in [
            "",
            "a//b",
            "a/../b",
            "a/%2e%2e/b",
            "./a",
            "a/b%00",
            "a\\b",
            "a/%5c",
            "a%zz",
            "a/%0d%0ab",
            "a/b/",
            "a%3fb",
        ] {
            assert_eq!(Wanted::parse(path), None, "{path}");
        }
        // Decoded once: this one names a segment `%2e%2e`, which is a name like any other.
        assert!(Wanted::parse("a/%252e%252e/b").is_some());
    }

    #[test]
    fn canonical_versions() {
        for version in [
            "v1.2.3",
            "v0.0.0-20200101000000-abcdef123456",
            "v1.2.3-rc.1",
            "v2.0.0+incompatible",
            "v0.0.1-go1.22.0.linux-amd64",
        ] {
            assert!(is_canonical(version), "{version}");
        }
        for version in [
            "1.2.3",
            "v1",
            "v1.2",
            "master",
            "v1.2.3+meta",
            "v01.2.3",
            "v1.2.3-",
            "v1.2.3-01",
            "",
        ] {
            assert!(!is_canonical(version), "{version}");
        }
    }
}
