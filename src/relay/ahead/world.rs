//! What is known of the project that go works on. It is read when go asks for
//! its first file, and only read.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::go::mod_file::{self, ModFile};
use crate::go::module::ModuleVersion;
use crate::go::patterns::match_prefix_patterns;

use super::graph::Graph;
use super::name::Name;
use super::scan::Packages;

/// A larger go.sum is read by nobody but go.
const SUM_LIMIT: u64 = 64 << 20;
/// So are more lines than these.
const MOST_SUMS: usize = 100_000;

/// The command that go was started with, as far as it shows what go will want.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Command {
    /// `mod download` of everything that go.mod requires.
    Download,
    /// `mod tidy`.
    Tidy,
    /// `mod vendor`.
    Vendor,
    /// `list -m`, with `-u` or without.
    Modules {
        /// Newer versions are looked for.
        updates: bool,
        /// Nothing is wanted of a version but its name.
        versions: bool,
    },
    /// `get`.
    Get,
    /// What loads packages and shows their modules: `build`, `list`, `test` and their kin.
    Packages,
    /// `install` or `run` of a package at a version, outside of any module.
    Install,
    /// Anything else.
    #[default]
    Other,
}

/// Where to look, and what must not go out.
#[derive(Debug, Clone, Default)]
pub struct Project {
    /// The command.
    pub command: Command,
    /// The main module's go.mod; `None` in a workspace, and where there is none.
    pub go_mod: Option<PathBuf>,
    /// Go is in a workspace: which sums it has is not looked up.
    pub workspace: bool,
    /// GOMODCACHE.
    pub cache: Option<PathBuf>,
    /// GONOPROXY.
    pub no_proxy: String,
    /// The checksum database that go asks through its proxies.
    pub sumdb: Option<String>,
    /// GONOSUMDB.
    pub no_sumdb: String,
    /// The packages that the command names, where anybody but go can tell.
    pub packages: Option<Packages>,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) project: Arc<Project>,
    /// The main module's go.mod; empty where there is none, or where it is out of all proportion.
    pub(super) main: ModFile,
    replaced: HashMap<String, Vec<Replaced>>,
    /// What go.sum has, `None` for what is no go.sum to rely on.
    sums: Option<Sums>,
    pub(super) graph: Graph,
    pub(super) packages: Option<Arc<Packages>>,
    /// The checksum database's name, once one was found to be supported.
    pub(super) database: Option<String>,
}

/// What stands in for a version of a module.
#[derive(Debug)]
struct Replaced {
    /// The version; `None` for all.
    version: Option<String>,
    /// Another module, where it is no folder.
    by: Option<ModuleVersion>,
    folder: Option<String>,
}

#[derive(Debug, Default)]
struct Sums {
    zips: Vec<ModuleVersion>,
    zip_set: HashSet<ModuleVersion>,
    mods: HashSet<ModuleVersion>,
}

impl World {
    pub(super) fn read(project: &Arc<Project>) -> Self {
        let go_mod = project.go_mod.as_deref();
        let main = go_mod
            .and_then(|path| read(path, mod_file::LIMIT as u64))
            .and_then(|text| ModFile::parse(&text))
            .unwrap_or_default();
        let sums = match go_mod.map(|path| path.with_extension("sum")) {
            _ if project.workspace => None,
            Some(path) if path.exists() => read(&path, SUM_LIMIT).and_then(|text| Sums::parse(&text)),
            _ => Some(Sums::default()),
        };
        let mut replaced: HashMap<_, Vec<_>> = HashMap::new();
        for replace in &main.replaces {
            let by = replace.by.as_ref();
            replaced.entry(replace.path.clone()).or_default().push(Replaced {
                version: replace.version.clone(),
                by: by.and_then(|(path, version)| ModuleVersion::new(path, version).ok()),
                folder: replace.folder.clone(),
            });
        }
        Self {
            project: Arc::clone(project),
            packages: project
                .packages
                .as_ref()
                .map(|packages| Arc::new(packages.with_version(&main))),
            main,
            replaced,
            sums,
            graph: Graph::default(),
            database: None,
        }
    }

    /// What go.mod requires, in its order, as go will ask for it: what is
    /// replaced by what replaces it, and without what go will not ask for.
    pub(super) fn requires(&self) -> impl Iterator<Item = ModuleVersion> + '_ {
        let requires = self.main.requires.iter();
        requires.filter_map(|require| self.asked_as(&require.path, &require.version))
    }

    /// Begins to walk the graph; returned are the files that it begins with.
    pub(super) fn walk_graph(&mut self) -> Vec<Name> {
        let roots: Vec<_> = self.requires().collect();
        let wanted = self.graph.begin(roots.into_iter(), self.main.is_pruned());
        wanted.into_iter().map(Name::Mod).collect()
    }

    /// The same, what the module itself imports first.
    pub(super) fn in_order_of_imports(&self) -> Vec<ModuleVersion> {
        let of = |indirect: bool| {
            let requires = self.main.requires.iter();
            let requires = requires.filter(move |require| require.indirect == indirect);
            requires.filter_map(|require| self.asked_as(&require.path, &require.version))
        };
        of(false).chain(of(true)).collect()
    }

    /// The version of a module that go asks for where this one is required.
    pub(super) fn asked_as(&self, path: &str, version: &str) -> Option<ModuleVersion> {
        if path == self.main.module {
            return None;
        }
        let excluded = |(other, at): &(String, String)| other == path && at == version;
        if self.main.excludes.iter().any(excluded) {
            return None;
        }
        match self.replacement(path, version) {
            Some(replaced) => replaced.by.clone(),
            None => ModuleVersion::new(path, version).ok(),
        }
    }

    fn replacement(&self, path: &str, version: &str) -> Option<&Replaced> {
        let all = self.replaced.get(path)?;
        let of = |at: Option<&str>| all.iter().find(|replaced| replaced.version.as_deref() == at);
        of(Some(version)).or_else(|| of(None))
    }

    /// The folder that stands in for a module, as go.mod has it.
    pub(super) fn stands_in(&self, path: &str, version: &str) -> Option<&str> {
        self.replacement(path, version)?.folder.as_deref()
    }

    pub(super) fn is_replaced(&self, path: &str) -> bool {
        self.replaced.contains_key(path)
    }

    /// Whether go.sum has the hash that this file is held to; `None` where
    /// nobody can tell.
    pub(super) fn has_sum(&self, name: &Name) -> Option<bool> {
        let sums = self.sums.as_ref()?;
        match name {
            Name::Zip(module) => Some(sums.zip_set.contains(module)),
            Name::Mod(module) => Some(sums.mods.contains(module)),
            _ => None,
        }
    }

    /// The zips of go.sum, in its order.
    pub(super) fn zips_with_sums(&self) -> &[ModuleVersion] {
        self.sums.as_ref().map_or(&[], |sums| &sums.zips)
    }

    /// Whether the name may be told to the proxy that go asks first, or to the
    /// checksum database behind it.
    pub(super) fn may_go_out(&self, name: &Name) -> bool {
        let Some(path) = name.module() else {
            return true;
        };
        if path == self.main.module || match_prefix_patterns(&self.project.no_proxy, path) {
            return false;
        }
        if name.is_sumdb() && match_prefix_patterns(&self.project.no_sumdb, path) {
            return false;
        }
        let Some(replaced) = self.replaced.get(path) else {
            return true;
        };
        let version = match name {
            Name::Info(module) | Name::Mod(module) | Name::Zip(module) | Name::Lookup(module) => {
                Some(module.version())
            }
            _ => None,
        };
        // One that stands in for itself is asked for.
        let stands_for_itself = |replaced: &Replaced| {
            let by = replaced.by.as_ref();
            by.is_some_and(|by| by.path() == path && Some(by.version()) == version)
        };
        let is_for_others =
            |replaced: &Replaced| replaced.version.is_some() && replaced.version.as_deref() != version;
        replaced.iter().any(stands_for_itself) || version.is_some() && replaced.iter().all(is_for_others)
    }

    /// The file in the module cache, where it is there.
    pub(super) fn cached(&self, name: &Name) -> Option<PathBuf> {
        let database = self.database.as_deref().unwrap_or_default();
        let download = self.project.cache.as_ref()?.join("cache/download");
        let file = download.join(name.in_cache(database)?);
        if file.is_file() {
            return Some(file);
        }
        let Name::Tile(tile) = name else {
            return None;
        };
        // Of a whole tile go takes a part.
        let whole = Name::Tile(tile.split_once(".p/")?.0.to_owned());
        Some(download.join(whole.in_cache(database)?)).filter(|file| file.is_file())
    }
}

impl Sums {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut sums = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else {
                continue;
            };
            let mut words = line.split_ascii_whitespace();
            let (Some(path), Some(version)) = (words.next(), words.next()) else {
                continue;
            };
            let (version, is_mod) = match version.strip_suffix("/go.mod") {
                Some(version) => (version, true),
                None => (version, false),
            };
            let Ok(module) = ModuleVersion::new(path, version) else {
                continue;
            };
            if is_mod {
                sums.mods.insert(module);
            } else if sums.zip_set.insert(module.clone()) {
                sums.zips.push(module);
            }
            if sums.mods.len() + sums.zips.len() > MOST_SUMS {
                return None;
            }
        }
        Some(sums)
    }
}

/// A file that is no longer than `limit`.
fn read(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let meta = fs::metadata(path).ok()?;
    if !meta.is_file() || meta.len() > limit {
        return None;
    }
    let mut text = Vec::new();
    File::open(path).ok()?.take(limit).read_to_end(&mut text).ok()?;
    Some(text)
}
