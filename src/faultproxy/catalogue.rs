//! Modules made in memory: what a GOPROXY serves for them, byte for byte.
//!
//! A [`Module`] is one version of one module. From its files come the zip with
//! the `path@version/` prefix, the `.mod`, the `.info` and the `h1:` hashes that
//! go.sum and a checksum database hold. A [`Catalogue`] holds many of them and
//! answers the requests of Go's module proxy protocol
//! (<https://go.dev/ref/mod#goproxy-protocol>).
//!
//! Known limitations: versions are ordered as far as `vX.Y.Z` with an
//! optional pre-release goes; pseudo-versions are served when asked for by name
//! but no branch or commit names are resolved to them.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// One version of one module, before it is packed.
#[derive(Debug, Clone)]
pub struct Module {
    path: String,
    version: String,
    go: String,
    time: String,
    go_mod: Option<Vec<u8>>,
    zip_has_go_mod: bool,
    requires: Vec<(String, String)>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Module {
    /// A module of this path and version that holds one package of the last
    /// path element's name with the constant `Version`. [`Module::file`]
    /// replaces or adds files.
    pub fn new(path: impl Into<String>, version: impl Into<String>) -> Self {
        let (path, version) = (path.into(), version.into());
        let package = package_name(&path);
        let source = format!(
            "// Package {package} is served by a loopback proxy.\npackage {package}\n\n\
             // Version is the version of this module.\nconst Version = \"{version}\"\n"
        );
        let files = BTreeMap::from([(format!("{package}.go"), source.into_bytes())]);
        Self {
            path,
            version,
            go: "1.21".to_owned(),
            time: "2024-01-02T03:04:05Z".to_owned(),
            go_mod: None,
            zip_has_go_mod: true,
            requires: Vec::new(),
            files,
        }
    }

    /// A module `golang.org/toolchain` for `go_version` (`go1.99.0`) and `platform`
    /// (`linux-amd64`) whose `bin/go` is `script`. Go marks it executable itself.
    pub fn toolchain(go_version: &str, platform: &str, script: impl Into<Vec<u8>>) -> Self {
        let mut module = Self::new("golang.org/toolchain", format!("v0.0.1-{go_version}.{platform}"));
        module.files.clear();
        module.zip_has_go_mod = false;
        module
            .go_mod("module golang.org/toolchain\n")
            .file("bin/go", script)
            .file("bin/gofmt", "")
            .file("VERSION", format!("{go_version}\n"))
            .file("go.env", "GOTOOLCHAIN=local\n")
            .file("pkg/tool/.keep", "")
            .file("lib/.keep", "")
    }

    /// Adds or replaces a file; `name` is relative to the module's root.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.into(), content.into());
        self
    }

    /// Adds a file of `size` bytes that deflate cannot shrink, the same on every run.
    #[must_use]
    pub fn ballast(self, size: usize) -> Self {
        let mut noise = fastrand::Rng::with_seed(size as u64);
        let bytes: Vec<u8> = std::iter::repeat_with(|| noise.u8(..)).take(size).collect();
        self.file("ballast.bin", bytes)
    }

    /// Adds a requirement, which is also imported by the package so that it stays
    /// in the build and in what `go mod tidy` keeps.
    #[must_use]
    pub fn requires(mut self, path: impl Into<String>, version: impl Into<String>) -> Self {
        let (path, version) = (path.into(), version.into());
        let package = package_name(&self.path);
        let source = format!("package {package}\n\nimport _ \"{path}\"\n");
        self.files
            .insert(format!("uses_{}.go", self.requires.len()), source.into_bytes());
        self.requires.push((path, version));
        self
    }

    /// The language version of the `go` line (default `1.21`).
    #[must_use]
    pub fn go(mut self, version: impl Into<String>) -> Self {
        self.go = version.into();
        self
    }

    /// The commit time in the `.info`, in RFC 3339.
    #[must_use]
    pub fn time(mut self, time: impl Into<String>) -> Self {
        self.time = time.into();
        self
    }

    /// The whole go.mod, in place of the one made from path, go line and requirements.
    #[must_use]
    pub fn go_mod(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.go_mod = Some(content.into());
        self
    }

    fn go_mod_bytes(&self) -> Vec<u8> {
        if let Some(content) = &self.go_mod {
            return content.clone();
        }
        let mut text = format!("module {}\n\ngo {}\n", self.path, self.go);
        if !self.requires.is_empty() {
            text.push_str("\nrequire (\n");
            for (path, version) in &self.requires {
                text.push_str(&format!("\t{path} {version}\n"));
            }
            text.push_str(")\n");
        }
        text.into_bytes()
    }

    fn pack(self) -> Packed {
        let go_mod = self.go_mod_bytes();
        let mut files = self.files;
        if self.zip_has_go_mod {
            files.insert("go.mod".to_owned(), go_mod.clone());
        }
        let prefix = format!("{}@{}/", self.path, self.version);
        let named: BTreeMap<String, Vec<u8>> = files
            .into_iter()
            .map(|(name, content)| (format!("{prefix}{name}"), content))
            .collect();
        let info = serde_json::json!({ "Version": &self.version, "Time": &self.time });
        Packed {
            zip_hash: h1(named
                .iter()
                .map(|(name, content)| (name.as_str(), content.as_slice()))),
            mod_hash: h1([("go.mod", go_mod.as_slice())]),
            zip: zip_of(&named).into(),
            go_mod: go_mod.into(),
            info: info.to_string().into_bytes().into(),
            path: self.path,
            version: self.version,
        }
    }
}

/// One version of one module as a proxy serves it.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The module path, unescaped.
    pub path: String,
    /// The version, unescaped.
    pub version: String,
    /// The body of `VERSION.info`.
    pub info: Arc<[u8]>,
    /// The body of `VERSION.mod`.
    pub go_mod: Arc<[u8]>,
    /// The body of `VERSION.zip`.
    pub zip: Arc<[u8]>,
    /// The `h1:` hash of the zip, as go.sum has it.
    pub zip_hash: String,
    /// The `h1:` hash of the go.mod, as go.sum has it.
    pub mod_hash: String,
}

impl Packed {
    /// The two lines of go.sum (and of a checksum database record) for this version.
    pub fn sum_lines(&self) -> String {
        let Self {
            path,
            version,
            zip_hash,
            mod_hash,
            ..
        } = self;
        format!("{path} {version} {zip_hash}\n{path} {version}/go.mod {mod_hash}\n")
    }
}

/// All modules that a proxy knows.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    modules: BTreeMap<String, Vec<Arc<Packed>>>,
}

impl Catalogue {
    /// A catalogue with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one version of a module; the same path and version again replaces it.
    #[must_use]
    pub fn with(self, module: Module) -> Self {
        self.with_packed(module.pack())
    }

    /// Adds one version as a proxy has served it.
    #[must_use]
    pub fn with_packed(mut self, packed: Packed) -> Self {
        let versions = self.modules.entry(packed.path.clone()).or_default();
        versions.retain(|known| known.version != packed.version);
        versions.push(Arc::new(packed));
        versions.sort_by_cached_key(|known| version_key(&known.version));
        self
    }

    /// Adds every module of an iterator.
    #[must_use]
    pub fn with_all(self, modules: impl IntoIterator<Item = Module>) -> Self {
        modules.into_iter().fold(self, Self::with)
    }

    /// Removes one version, so that a proxy says 404 for it.
    #[must_use]
    pub fn without(mut self, path: &str, version: &str) -> Self {
        if let Some(versions) = self.modules.get_mut(path) {
            versions.retain(|known| known.version != version);
        }
        self
    }

    /// One version of a module.
    pub fn get(&self, path: &str, version: &str) -> Option<&Arc<Packed>> {
        self.modules
            .get(path)?
            .iter()
            .find(|known| known.version == version)
    }

    /// The highest version of a module; a release before any pre-release.
    pub fn latest(&self, path: &str) -> Option<&Arc<Packed>> {
        self.modules.get(path)?.last()
    }

    /// The versions of a module, lowest first.
    pub fn versions(&self, path: &str) -> impl Iterator<Item = &str> {
        self.modules
            .get(path)
            .into_iter()
            .flatten()
            .map(|known| known.version.as_str())
    }

    /// Every version of every module.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Packed>> {
        self.modules.values().flatten()
    }

    /// The text of a go.sum that covers every version of every module.
    pub fn go_sum(&self) -> String {
        self.all().map(|packed| packed.sum_lines()).collect()
    }
}

/// The last element of a module path that is no major version, made a package name.
fn package_name(path: &str) -> String {
    let is_major = |name: &&str| name.strip_prefix('v').is_some_and(|n| n.parse::<u32>().is_ok());
    let name = path.rsplit('/').find(|name| !is_major(name)).unwrap_or("pkg");
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase()
}

/// Go's `dirhash.Hash1`: SHA-256 over the sorted lines `hex(sha256)  name`.
fn h1<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut lines: Vec<(&str, &[u8])> = files.into_iter().collect();
    lines.sort_by_key(|(name, _)| *name);
    let summary: String = lines
        .iter()
        .map(|(name, content)| {
            format!(
                "{}  {name}\n",
                crate::text::hex(digest(&SHA256, content).as_ref())
            )
        })
        .collect();
    format!("h1:{}", STANDARD.encode(digest(&SHA256, summary.as_bytes())))
}

/// A zip of these files. A write into memory fails only for files larger than
/// zip can say without its 64-bit form; such an archive would be cut short,
/// which go then reports.
fn zip_of(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        if archive.start_file(name.as_str(), options).is_err() || archive.write_all(content).is_err() {
            break;
        }
    }
    archive.finish().map(Cursor::into_inner).unwrap_or_default()
}

/// Sorts `vX.Y.Z` by number, and every pre-release before every release, which is
/// also the order in which `@latest` prefers them.
fn version_key(version: &str) -> (bool, Vec<u64>, String) {
    let text = version.strip_prefix('v').unwrap_or(version);
    let text = text.split('+').next().unwrap_or(text);
    let (numbers, pre) = text.split_once('-').unwrap_or((text, ""));
    let numbers = numbers.split('.').map(|n| n.parse().unwrap_or(0)).collect();
    (pre.is_empty(), numbers, pre.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_is_the_highest_release() {
        let catalogue = Catalogue::new().with_all(
            ["v1.10.0", "v1.9.0", "v2.0.0-rc.1", "v1.2.0"]
                .map(|version| Module::new("example.com/a", version)),
        );
        assert_eq!(
            catalogue.latest("example.com/a").map(|m| m.version.as_str()),
            Some("v1.10.0")
        );
        assert_eq!(
            catalogue.versions("example.com/a").collect::<Vec<_>>(),
            ["v2.0.0-rc.1", "v1.2.0", "v1.9.0", "v1.10.0"]
        );
    }

    #[test]
    fn hashes_as_go_sum_has_them() {
        // The go.mod line of golang.org/x/text v0.3.0, which every checksum database serves.
        assert_eq!(
            h1([("go.mod", &b"module golang.org/x/text\n"[..])]),
            "h1:NqM8EUOU14njkJ3fqMW+pc6Ldnwhi/IjpwHt7yyuwOQ="
        );
    }
}
