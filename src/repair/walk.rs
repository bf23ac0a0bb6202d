//! Which module versions the cache has files of, and what stands where go wants something else.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::dir::{Dir, Kind};
use super::{ModCache, RepairError, sumdb};
use crate::go::escape::unescape;
use crate::go::module::{ModuleVersion, check_module_path};

/// What to look at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub(crate) module: Option<String>,
    pub(crate) version: Option<String>,
}

impl Selection {
    /// Reads `MODULE` or `MODULE@VERSION`.
    pub(crate) fn parse(text: &str) -> Result<Self, RepairError> {
        match text.split_once('@') {
            Some((module, version)) => {
                ModuleVersion::new(module, version)?;
                Ok(Self {
                    module: Some(module.to_owned()),
                    version: Some(version.to_owned()),
                })
            }
            None => {
                check_module_path(text)?;
                Ok(Self {
                    module: Some(text.to_owned()),
                    version: None,
                })
            }
        }
    }

    fn takes(&self, module: &ModuleVersion) -> bool {
        let version = self.version.as_deref();
        self.takes_path(module.path()) && version.is_none_or(|version| version == module.version())
    }

    fn takes_path(&self, path: &str) -> bool {
        self.module.as_deref().is_none_or(|module| module == path)
    }
}

/// What the names in the cache say.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The largest zip first, so that no worker ends long after the others.
    pub(crate) modules: Vec<ModuleVersion>,
    /// Where go wants a file or a directory and something else is.
    pub(crate) obstacles: Vec<(PathBuf, String)>,
    /// What could not be looked at, one line each.
    pub(crate) unreadable: Vec<String>,
}

/// Lists what is selected.
pub(crate) fn list(cache: &ModCache, selection: &Selection) -> Result<Listing, RepairError> {
    let mut listing = Listing::default();
    let Some(top) = cache.dir.find("cache/download")? else {
        return Ok(listing);
    };
    let mut modules = Vec::new();
    top.visit(
        &mut |here, name, path, kind| {
            let Some(escaped) = path
                .strip_suffix(b"/@v")
                .filter(|path| !path.starts_with(b"sumdb/"))
            else {
                return Ok(());
            };
            let escaped = String::from_utf8_lossy(escaped);
            let module = unescape(&escaped).filter(|module| check_module_path(module).is_ok());
            if module.is_none_or(|module| !selection.takes_path(&module)) || kind == Kind::Link {
                return Ok(());
            }
            let mut in_the_way = |place: &Dir, name: &OsStr, kind: Kind| {
                let path = place.path().join(name);
                listing.obstacles.push((path, wrong_kind(kind)));
            };
            if kind != Kind::Dir {
                in_the_way(here, name, kind);
                return Ok(());
            }
            let download = here.sub(name)?;
            let entries = download.entries()?;
            for (name, kind) in &entries {
                if name.to_string_lossy().ends_with(".lock") && !matches!(kind, Kind::File | Kind::Link) {
                    in_the_way(&download, name, *kind);
                }
            }
            for module in versions(&entries, &escaped) {
                if selection.takes(&module) {
                    modules.push((download.size_of(format!("{}.zip", module.stem())), module));
                }
            }
            Ok(())
        },
        &mut |path, e| {
            let path = crate::text::safe(path);
            listing.unreadable.push(format!("{path}: {e}"));
        },
    )?;
    modules.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    listing.modules = modules.into_iter().map(|(_, module)| module).collect();
    Ok(listing)
}

/// Every version that has a file in a download directory.
fn versions(entries: &[(OsString, Kind)], path: &str) -> BTreeSet<ModuleVersion> {
    const SUFFIXES: [&str; 5] = [".zip", ".ziphash", ".mod", ".info", ".partial"];
    let names = entries.iter().filter_map(|(name, _)| name.to_str());
    names
        .filter_map(|name| SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)))
        .filter_map(|stem| ModuleVersion::from_escaped(path, stem))
        .collect()
}

/// `it is a file where go wants a directory`.
pub(crate) fn wrong_kind(kind: Kind) -> String {
    let wanted = match kind {
        Kind::Dir => "file",
        _ => "directory",
    };
    format!("it is {} where go expects a {wanted}", kind.words())
}

/// The first thing on the way to a path that is of the wrong kind. Only names that go
/// itself gives decide: all of `cache/download` are directories down to `@v`,
/// and there the files of versions.
pub(crate) fn obstacle(owned: &Dir, below: &Path) -> Result<Option<(PathBuf, Kind)>, RepairError> {
    const FILES: [&str; 5] = ["zip", "ziphash", "mod", "info", "lock"];
    let names: Vec<&OsStr> = below.iter().collect();
    let downloads = below.starts_with("cache/download") && !below.starts_with(sumdb::CACHED);
    let mut dir = owned.walk("")?;
    for (i, name) in names.iter().enumerate() {
        let Some(meta) = dir.meta(name)? else {
            return Ok(None);
        };
        let last = i + 1 == names.len();
        let inside = downloads && i > 1 && names[i - 1] == "@v";
        let wrong = match meta.kind {
            Kind::File => !last || (downloads && !inside),
            Kind::Dir => {
                let suffix = Path::new(name).extension().and_then(OsStr::to_str);
                last && inside && suffix.is_some_and(|suffix| FILES.contains(&suffix))
            }
            Kind::Link => return Ok(None),
            Kind::Other => true,
        };
        if wrong {
            return Ok(Some((names[..=i].iter().collect(), meta.kind)));
        }
        if last {
            break;
        }
        dir = dir.sub(name)?;
    }
    Ok(None)
}
