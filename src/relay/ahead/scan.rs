//! Reads what packages import: from a module's zip or from its folder, and of each file no more than go reads
//! before it decides which modules it needs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::go::env::goroot_version;
use crate::go::files::{self, Packed};
use crate::go::imports::{Head, Tags, head};
use crate::go::mod_file::{ModFile, minor};
use crate::sys::spool::Body;

/// What is read of a file at first, and at most.
const FIRST: usize = 4 << 10;
const LONGEST: usize = 256 << 10;
/// What is read for one scan, of a zip that has so many files at most; what has more is left to go.
const MOST: usize = 256 << 20;
const MOST_PACKED: usize = 100_000;
/// Folders that a pattern may lead through.
const MOST_FOLDERS: usize = 50_000;

/// The packages that a command names, and what it builds them for.
#[derive(Debug, Clone, Default)]
pub struct Packages {
    /// The main module's folder; empty where there is none.
    pub folder: PathBuf,
    /// What stands on the command line.
    pub roots: Vec<Root>,
    /// Their tests as well.
    pub tests: bool,
    /// What they are built for; the version of go is not among it.
    pub tags: Tags,
    /// Where the go is that builds them; `None` where another may be switched to whatever go.mod says.
    pub goroot: Option<PathBuf>,
}

impl Packages {
    /// The same with go's version, where go.mod asks for none that is newer.
    pub(super) fn with_version(&self, main: &ModFile) -> Self {
        let version = self.goroot.as_deref().and_then(goroot_version);
        let own = version.and_then(|text| minor(text.strip_prefix("go")?));
        let is_enough = |own: &(u32, u32)| main.go.max(main.toolchain) <= Some(*own);
        let mut packages = self.clone();
        packages.tags.minor = own.filter(is_enough).map(|(_, minor)| minor);
        packages
    }
}

/// What a command line says of packages. Folders are those of the main module, from its own on, with slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// A folder and all below it.
    Below(String),
    /// One folder.
    Folder(String),
    /// Files, whatever stands in them.
    Files(Vec<PathBuf>),
    /// A package by its path.
    Package(String),
}

/// Packages of one module that are to be read.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The module's path, as it is imported.
    pub(super) module: String,
    pub(super) source: Source,
    /// Their folders within the module.
    pub(super) packages: Vec<String>,
    /// Those that the command names, in the main module.
    pub(super) named: Option<Arc<Packages>>,
    /// Folders that no pattern matches.
    pub(super) ignores: Vec<String>,
    pub(super) tags: Tags,
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    Folder(PathBuf),
    /// A zip, and what stands in front of each name in it.
    Zip(Body, String),
    /// One that is in the module cache.
    Cached(PathBuf, String),
}

/// What a scan has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(super) module: String,
    /// The folders of the packages that were read.
    pub(super) read: Vec<String>,
    pub(super) imports: Vec<String>,
}

impl Scan {
    /// Reads the packages, and those of the same module that they lead to.
    pub(crate) fn run(self) -> Found {
        let mut found = Found {
            module: self.module.clone(),
            ..Found::default()
        };
        let Some(files) = Files::open(&self.source, &self.tags) else {
            return found;
        };
        let mut left = MOST;
        let (mut next, mut known) = (VecDeque::new(), HashSet::new());
        for root in self.named.iter().flat_map(|named| &named.roots) {
            let tests = self.named.as_ref().is_some_and(|named| named.tests);
            match root {
                Root::Below(folder) => {
                    next.extend(self.below(folder).into_iter().map(|folder| (folder, tests)));
                }
                Root::Folder(folder) => next.push_back((folder.clone(), tests)),
                Root::Files(named) => {
                    for file in named {
                        let takes = |_: &[u8], imports: &[String]| self.tags.has_cgo_for(imports);
                        let imports = open(file).and_then(|file| imports_of(file, &mut left, takes));
                        found.imports.extend(imports.unwrap_or_default());
                    }
                }
                Root::Package(_) => {}
            }
        }
        next.extend(self.packages.iter().map(|package| (package.clone(), false)));
        while let Some((package, tests)) = next.pop_front() {
            if !known.insert(package.clone()) {
                continue;
            }
            let imports = files.imports(&package, tests, &self.tags, &mut left);
            for path in imports {
                if let Some(own) = self.own(&path)
                    && files.have(own)
                {
                    next.push_back((own.to_owned(), false));
                }
                found.imports.push(path);
            }
            found.read.push(package);
        }
        found
    }

    /// The folder of a package that may be this module's.
    fn own<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&self.module)?;
        if rest.is_empty() {
            Some(rest)
        } else {
            rest.strip_prefix('/')
        }
    }

    /// The folders that a pattern matches.
    fn below(&self, top: &str) -> Vec<String> {
        let Source::Folder(root) = &self.source else {
            return Vec::new();
        };
        let (mut matched, mut next) = (Vec::new(), vec![top.to_owned()]);
        while let Some(folder) = next.pop() {
            if matched.len() + next.len() > MOST_FOLDERS {
                return Vec::new();
            }
            for entry in fs::read_dir(root.join(&folder)).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let (Some(name), Ok(kind)) = (name.to_str(), entry.file_type()) else {
                    continue;
                };
                let is_package = !name.starts_with(['.', '_']) && !matches!(name, "testdata" | "vendor");
                let path = join(&folder, name);
                if kind.is_dir()
                    && is_package
                    && !self.is_ignored(&path)
                    && !root.join(&path).join("go.mod").is_file()
                {
                    next.push(path);
                }
            }
            matched.push(folder);
        }
        matched
    }

    fn is_ignored(&self, folder: &str) -> bool {
        self.ignores
            .iter()
            .any(|ignored| match ignored.strip_prefix("./") {
                Some(ignored) => ignored.trim_end_matches('/') == folder,
                None => format!("/{folder}").ends_with(&format!("/{}", ignored.trim_matches('/'))),
            })
    }
}

/// A path below another, with slashes.
pub(super) fn join(folder: &str, name: &str) -> String {
    match (folder, name) {
        ("", name) => name.to_owned(),
        (folder, "") => folder.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

/// The Go files of a module, by their folder.
enum Files {
    Folder(PathBuf),
    Zip(Body, HashMap<String, Vec<(String, Packed)>>),
}

impl Files {
    fn open(source: &Source, tags: &Tags) -> Option<Self> {
        let (zip, prefix) = match source {
            Source::Folder(folder) => return Some(Self::Folder(folder.clone())),
            Source::Zip(zip, prefix) => (zip.clone(), prefix),
            Source::Cached(path, prefix) => (Body::from_file(open(path)?).ok()?, prefix),
        };
        let mut count = 0;
        let mut folders: HashMap<_, Vec<_>> = HashMap::new();
        files::zip_files(&zip, |name, packed| {
            let name = std::str::from_utf8(name).ok();
            let Some(path) = name.and_then(|name| name.strip_prefix(prefix.as_str())) else {
                return;
            };
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            // Of other modules than the main one go never needs the tests.
            if count < MOST_PACKED && !name.ends_with("_test.go") && tags.take_name(name) {
                count += 1;
                let files = folders.entry(folder.to_owned()).or_default();
                files.push((name.to_owned(), packed));
            }
        });
        (count < MOST_PACKED).then_some(Self::Zip(zip, folders))
    }

    /// Whether a folder is there, and no other module's.
    fn have(&self, folder: &str) -> bool {
        match self {
            Self::Folder(root) => {
                let mut parts = Path::new(folder).ancestors();
                root.join(folder).is_dir()
                    && !parts.any(|part| part != Path::new("") && root.join(part).join("go.mod").is_file())
            }
            Self::Zip(_, folders) => folders.contains_key(folder),
        }
    }

    /// What a package imports.
    fn imports(&self, folder: &str, tests: bool, tags: &Tags, left: &mut usize) -> Vec<String> {
        let takes = |text: &[u8], imports: &[String]| tags.take_text(text, imports);
        let mut all = Vec::new();
        match self {
            Self::Folder(root) => {
                let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
                for entry in entries {
                    let name = entry.file_name();
                    let is_wanted = name
                        .to_str()
                        .is_some_and(|name| tags.take_name(name) && (tests || !name.ends_with("_test.go")));
                    if is_wanted && let Some(file) = open(&entry.path()) {
                        all.extend(imports_of(file, left, takes).unwrap_or_default());
                    }
                }
            }
            Self::Zip(zip, folders) => {
                for (_, packed) in folders.get(folder).into_iter().flatten() {
                    if let Ok(file) = packed.open(zip) {
                        all.extend(imports_of(file, left, takes).unwrap_or_default());
                    }
                }
            }
        }
        all
    }
}

/// A file, and nothing that only looks like one.
fn open(path: &Path) -> Option<File> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    File::open(path).ok()
}

/// What a file imports, where `takes` says of its text and its imports that it counts. `left` is what may be read yet.
fn imports_of(
    mut file: impl Read,
    left: &mut usize,
    takes: impl Fn(&[u8], &[String]) -> bool,
) -> Option<Vec<String>> {
    let mut text = Vec::new();
    let mut want = FIRST;
    loop {
        let before = text.len();
        *left = left.checked_sub(want - before)?;
        file.by_ref()
            .take((want - before) as u64)
            .read_to_end(&mut text)
            .ok()?;
        match head(&text, text.len() < want) {
            Head::Imports(imports) => return takes(&text, &imports).then_some(imports),
            Head::Longer if want < LONGEST => want *= 4,
            Head::Longer | Head::Bad => return None,
        }
    }
}
