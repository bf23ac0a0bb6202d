//! Module paths and versions, and how they become names in the cache.
//!
//! What a server or a log calls a module becomes a path only after the checks
//! that go itself makes (`golang.org/x/mod/module`): so a name can neither
//! climb out of the cache nor hit a file that go would not make.

use std::fmt;

use super::escape::{escape, unescape};

/// A module version that passed Go's own checks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleVersion {
    path: String,
    version: String,
}

/// A module path or version that go would not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{}` is not valid: {why}", crate::text::safe(.text))]
pub struct InvalidModule {
    what: &'static str,
    text: String,
    why: &'static str,
}

impl ModuleVersion {
    /// Checks a module path and a canonical version (`v1.2.3`, `v1.2.3-pre`, `v2.0.0+incompatible`).
    ///
    /// # Errors
    /// What go itself would refuse.
    pub fn new(path: &str, version: &str) -> Result<Self, InvalidModule> {
        check_path(path).map_err(|why| InvalidModule {
            what: "module path",
            text: path.to_owned(),
            why,
        })?;
        check_version(version).map_err(|why| InvalidModule {
            what: "version",
            text: version.to_owned(),
            why,
        })?;
        Ok(Self {
            path: path.to_owned(),
            version: version.to_owned(),
        })
    }

    /// The reverse of the cache's names: `github.com/!azure/x`, `v1.0.0-!r!c1`.
    #[must_use]
    pub(crate) fn from_escaped(path: &str, version: &str) -> Option<Self> {
        Self::new(&unescape(path)?, &unescape(version)?).ok()
    }

    /// The module path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `cache/download/PATH/@v`, relative to GOMODCACHE.
    pub(crate) fn download_dir(&self) -> String {
        format!("cache/download/{}/@v", escape(&self.path))
    }

    /// The escaped version: the stem of every file in the download directory.
    pub(crate) fn stem(&self) -> String {
        escape(&self.version)
    }

    /// Where the module is extracted, relative to GOMODCACHE.
    pub(crate) fn extracted(&self) -> String {
        format!("{}@{}", escape(&self.path), self.stem())
    }

    /// The name of go's lock in the download directory.
    pub(crate) fn lock(&self) -> String {
        format!("{}.lock", self.stem())
    }

    /// The name of go's mark, in the download directory, of a directory that is not whole.
    pub(crate) fn partial(&self) -> String {
        format!("{}.partial", self.stem())
    }

    /// `PATH@VERSION/`: what every name in the zip begins with.
    pub(crate) fn prefix(&self) -> String {
        format!("{}@{}/", self.path, self.version)
    }

    /// True for `golang.org/toolchain`, whose extracted tree go changes after the fact.
    pub(crate) fn is_toolchain(&self) -> bool {
        self.path == "golang.org/toolchain"
    }
}

impl fmt::Display for ModuleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.path, self.version)
    }
}

/// Checks a module path alone.
///
/// # Errors
/// What go itself would refuse.
pub fn check_module_path(path: &str) -> Result<(), InvalidModule> {
    check_path(path).map_err(|why| InvalidModule {
        what: "module path",
        text: path.to_owned(),
        why,
    })
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("it is empty");
    }
    for element in path.split('/') {
        check_element(element)?;
    }
    let first = path.split('/').next().unwrap_or(path);
    if !first.contains('.') {
        return Err("its first element has no dot");
    }
    if first.starts_with('-') {
        return Err("it begins with a dash");
    }
    if !first
        .bytes()
        .all(|b| matches!(b, b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z'))
    {
        return Err("its first element has a character that no host name has");
    }
    check_major(path)
}

fn check_element(element: &str) -> Result<(), &'static str> {
    if element.is_empty() {
        return Err("it has an empty element");
    }
    if element.starts_with('.') || element.ends_with('.') {
        return Err("an element begins or ends with a dot");
    }
    let ok = |b| matches!(b, b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z');
    if !element.bytes().all(ok) {
        return Err("it has a character that go does not take");
    }
    let short = element.split('.').next().unwrap_or(element);
    if is_windows_device(short) {
        return Err("an element is a device name on Windows");
    }
    if let Some((_, digits)) = short.rsplit_once('~')
        && !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
    {
        return Err("an element looks like a short name of Windows");
    }
    Ok(())
}

fn is_windows_device(short: &str) -> bool {
    let upper = short.to_ascii_uppercase();
    match upper.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" => true,
        _ => {
            let number = upper.strip_prefix("COM").or_else(|| upper.strip_prefix("LPT"));
            number.is_some_and(|n| n.len() == 1 && matches!(n.as_bytes()[0], b'1'..=b'9'))
        }
    }
}

/// The major version suffix: `/v2` and up, or `.vN` for `gopkg.in`.
fn check_major(path: &str) -> Result<(), &'static str> {
    const WRONG: &str = "its major version suffix is not one";
    if let Some(rest) = path.strip_prefix("gopkg.in/") {
        let rest = rest.strip_suffix("-unstable").unwrap_or(rest);
        let (before, digits) = rest.rsplit_once(".v").ok_or(WRONG)?;
        let ok = is_number(digits) && !before.is_empty();
        return if ok { Ok(()) } else { Err(WRONG) };
    }
    let last = path.rsplit('/').next().unwrap_or(path);
    let Some(digits) = last.strip_prefix('v') else {
        return Ok(());
    };
    if !path.contains('/') || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Ok(());
    }
    if is_number(digits) && digits != "0" && digits != "1" {
        Ok(())
    } else {
        Err(WRONG)
    }
}

fn is_number(digits: &str) -> bool {
    !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
}

/// A canonical semantic version, `+incompatible` being the only build part.
fn check_version(version: &str) -> Result<(), &'static str> {
    const WRONG: &str = "it is no canonical version such as v1.2.3";
    let rest = version.strip_prefix('v').ok_or(WRONG)?;
    let rest = rest.strip_suffix("+incompatible").unwrap_or(rest);
    let (numbers, pre) = match rest.split_once('-') {
        Some((numbers, pre)) => (numbers, Some(pre)),
        None => (rest, None),
    };
    let mut parts = numbers.split('.');
    let three = [parts.next(), parts.next(), parts.next()];
    if parts.next().is_some() || !three.iter().all(|n| n.is_some_and(is_number)) {
        return Err(WRONG);
    }
    let identifier = |id: &str| {
        let digits = id.bytes().all(|b| b.is_ascii_digit());
        !id.is_empty()
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && (!digits || is_number(id))
    };
    match pre {
        Some(pre) if !pre.split('.').all(identifier) => Err(WRONG),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_go_takes_them() {
        let good = [
            "github.com/Azure/azure-sdk-for-go",
            "gopkg.in/yaml.v2",
            "gopkg.in/check.v1",
            "example.com/a/v2",
            "example.com/v2x",
            "golang.org/x/text",
            "rsc.io/quote/v3",
            "example.com",
            "k8s.io/api",
        ];
        for path in good {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        let bad = [
            "",
            "nodot",
            "/example.com",
            "example.com/",
            "example.com//a",
            "example.com/..",
            "example.com/../../etc",
            "example.com/.hidden",
            "example.com/a.",
            "example.com/a b",
            "example.com/a\0b",
            "example.com/v1",
            "example.com/v0",
            "example.com/v02",
            "example.com/v2.0",
            "gopkg.in/yaml",
            "Example.com/a",
            "-example.com/a",
            "example.com/CON",
            "example.com/com1.go",
            "example.com/progra~1",
            "example.com/é",
            "example.com/a!b",
            "example.com/a\\b",
        ];
        for path in bad {
            assert!(check_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn versions_as_go_takes_them() {
        let good = [
            "v0.0.0",
            "v1.2.3",
            "v1.2.3-pre",
            "v1.2.3-pre.1",
            "v2.0.0+incompatible",
            "v0.0.0-20161208181325-20d25e280405",
            "v0.0.1-go1.26.8.linux-amd64",
            "v1.0.0-RC1",
        ];
        for version in good {
            assert_eq!(check_version(version), Ok(()), "{version}");
        }
        let bad = [
            "",
            "1.2.3",
            "v1.2",
            "v1",
            "v1.2.3.4",
            "v01.2.3",
            "v1.2.3-",
            "v1.2.3-01",
            "v1.2.3+meta",
            "v1.2.3/..",
            "v1.2.3-a/b",
            "v1.2.3-a..b",
            "latest",
            "v1.2.3 ",
            "v1.2.3-é",
        ];
        for version in bad {
            assert!(check_version(version).is_err(), "{version}");
        }
    }

    #[test]
    fn names_in_the_cache() {
        let m = ModuleVersion::new("github.com/Azure/x", "v1.0.0-RC1").unwrap();
        assert_eq!(m.download_dir(), "cache/download/github.com/!azure/x/@v");
        assert_eq!(m.stem(), "v1.0.0-!r!c1");
        assert_eq!(m.extracted(), "github.com/!azure/x@v1.0.0-!r!c1");
        assert_eq!(
            ModuleVersion::from_escaped("github.com/!azure/x", "v1.0.0-!r!c1"),
            Some(m)
        );
    }
}
