//! The whole module cache, in parallel: every zip, hash, go.mod and extracted
//! directory, the cached pieces of checksum databases, and the repositories.
//!
//! `go mod verify` looks at the dependencies of the current module and compares
//! zip and directory with `.ziphash`. Here the whole cache is looked at, the
//! hash is also compared with go.sum and with the checksum database's cached
//! records, and go.mod files and everything else are looked at as well.
//!
//! Memory is flat: a worker holds one module's list of names and two buffers.
//! What looks bad while another process holds the module's lock is not judged.

use std::fs::TryLockError;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::dir::{Dir, Kind};
use super::examine::{Cure, Known, Part, Scope, examine, versions};
use super::gosum::GoSum;
use super::module::{ModuleVersion, check_module_path};
use super::vcs::Repository;
use super::{ModCache, Outcome, RepairError, RunContext, known, mend, sumdb, vcs};
use crate::go::escape::unescape;
use crate::sys::panics::checkpoint;

/// Temporary files younger than this may have a living writer.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// [`Problem::what`] for something of the wrong kind.
const IN_THE_WAY: &str = "path";

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only this module.
    pub module: Option<String>,
    /// Only this version of it.
    pub version: Option<String>,
}

impl Selection {
    /// Reads `MODULE` or `MODULE@VERSION`.
    ///
    /// # Errors
    /// What go would not take as a module path or version.
    pub fn parse(text: &str) -> Result<Self, RepairError> {
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
        self.module.as_deref().is_none_or(|path| path == module.path())
            && self
                .version
                .as_deref()
                .is_none_or(|version| version == module.version())
    }
}

/// How far the look has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Module versions looked at.
    pub done: usize,
    /// Module versions in all.
    pub total: usize,
    /// Bytes hashed.
    pub bytes: u64,
}

/// One thing that is wrong in the cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// `MODULE@VERSION`, where it is one.
    pub module: Option<String>,
    /// What it is: `zip`, `go.mod`, `repository`, ….
    pub what: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// The proof, in words.
    pub why: String,
    /// How it becomes good again.
    pub cure: Cure,
    /// Nothing but a line of go.sum speaks against it.
    pub disputed: bool,
}

impl Problem {
    /// True where go stumbles over it, or would use what is wrong without a word.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.cure != Cure::Itself
    }
}

/// What the look came to.
#[derive(Debug, Default)]
pub struct Verified {
    /// Module versions looked at.
    pub modules: usize,
    /// Bytes hashed.
    pub bytes: u64,
    /// What is wrong, sorted.
    pub problems: Vec<Problem>,
    /// Files that dead processes left: how many, and their bytes.
    pub leftovers: (u64, u64),
    /// Modules that another process was working on; not judged.
    pub in_use: Vec<String>,
    /// What could not be looked at, one line each, sorted.
    pub unreadable: Vec<String>,
}

/// Looks at the cache with as many threads as there are cores.
///
/// # Errors
/// A cache whose list of modules cannot be read. What cannot be read further
/// down is told in [`Verified::unreadable`].
pub fn verify(
    cache: &ModCache,
    selection: &Selection,
    go_sums: &[PathBuf],
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Verified, RepairError> {
    let mut found = Verified::default();
    let modules = list(cache, selection, &mut found)?;
    let go_sum = GoSum::read(go_sums.iter().map(PathBuf::as_path));
    let shared = Shared {
        dir: &cache.dir,
        index: cache.index(),
        databases: sumdb::databases(&cache.dir, &cache.settings.gosumdb)?,
        go_sum,
        modules,
        next: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        bytes: AtomicU64::new(0),
        found: Mutex::new(found),
        progress,
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..workers.min(shared.modules.len().max(1)) {
            scope.spawn(|| shared.work());
        }
        shared.work();
    });
    let mut found = shared
        .found
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    found.modules = shared.done.into_inner();
    found.bytes = shared.bytes.into_inner();
    if selection.module.is_none() {
        rest(cache, &shared.databases, &mut found);
    }
    found.problems.sort();
    found.problems.dedup();
    found.in_use.sort();
    found.unreadable.sort();
    Ok(found)
}

/// What all workers share.
struct Shared<'a> {
    dir: &'a Dir,
    index: Option<super::examine::IndexView<'a>>,
    databases: Vec<sumdb::Database>,
    go_sum: GoSum,
    modules: Vec<ModuleVersion>,
    next: AtomicUsize,
    done: AtomicUsize,
    bytes: AtomicU64,
    found: Mutex<Verified>,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl Shared<'_> {
    fn work(&self) {
        while let Some(module) = self.modules.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            checkpoint("verify");
            self.look(module);
            let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
            (self.progress)(Progress {
                done,
                total: self.modules.len(),
                bytes: self.bytes.load(Ordering::Relaxed),
            });
        }
    }

    fn look(&self, module: &ModuleVersion) {
        let known = known(&self.go_sum, &self.databases, module);
        let scope = Scope {
            extra_files: true,
            ..Scope::default()
        };
        let result = self.examined(module, &known, scope);
        let mut found = self
            .found
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match result {
            Ok(None) => found.in_use.push(module.to_string()),
            Ok(Some(problems)) => found.problems.extend(problems),
            Err(e) => found.unreadable.push(format!("{module}: {e}")),
        }
    }

    /// `None` where another process works on the module, so that nothing is proven.
    fn examined(
        &self,
        module: &ModuleVersion,
        known: &Known,
        scope: Scope,
    ) -> Result<Option<Vec<Problem>>, RepairError> {
        let mut seen = examine(self.dir, module, known, scope, self.index.as_ref())?;
        self.bytes.fetch_add(seen.bytes, Ordering::Relaxed);
        if !seen.findings.is_empty()
            && let Some(download) = self.dir.find(module.download_dir())?
            && let Ok(lock) = download.file(Part::Lock.file(&module.stem()))
        {
            if let Err(TryLockError::WouldBlock) = lock.try_lock_shared() {
                return Ok(None);
            }
            seen = examine(self.dir, module, known, scope, self.index.as_ref())?;
        }
        let problems = seen.findings.into_iter().map(|finding| Problem {
            module: Some(module.to_string()),
            what: finding.part.words(),
            path: self.dir.path().join(place(module, finding.part)),
            why: finding.why,
            cure: finding.cure,
            disputed: finding.disputed,
        });
        Ok(Some(problems.collect()))
    }
}

fn place(module: &ModuleVersion, part: Part) -> String {
    match part {
        Part::Extracted | Part::Index => {
            let (above, name) = module.extracted();
            if above.is_empty() {
                name
            } else {
                format!("{above}/{name}")
            }
        }
        _ => format!("{}/{}", module.download_dir(), part.file(&module.stem())),
    }
}

/// Every module version that the cache has files of.
pub(crate) fn modules(cache: &ModCache) -> Result<Vec<ModuleVersion>, RepairError> {
    list(cache, &Selection::default(), &mut Verified::default())
}

/// Every module version that the cache has files of, the largest zip first, so
/// that no worker ends long after the others.
fn list(
    cache: &ModCache,
    selection: &Selection,
    found: &mut Verified,
) -> Result<Vec<ModuleVersion>, RepairError> {
    let Some(top) = cache.dir.find("cache/download")? else {
        return Ok(Vec::new());
    };
    let mut modules = Vec::new();
    let mut unreadable = Vec::new();
    top.visit(
        &mut |here, name, path, kind| {
            if name != "@v" || path.starts_with(b"sumdb/") {
                return Ok(());
            }
            let path = String::from_utf8_lossy(path.strip_suffix(b"/@v").unwrap_or(path)).into_owned();
            let Some(module) = unescape(&path).filter(|module| check_module_path(module).is_ok()) else {
                return Ok(());
            };
            if selection.module.as_ref().is_some_and(|only| *only != module) {
                return Ok(());
            }
            if kind != Kind::Dir {
                if kind != Kind::Link {
                    found.problems.push(in_the_way(here.path().join(name), kind));
                }
                return Ok(());
            }
            let download = here.sub(name)?;
            for module in versions(&download, &path)? {
                if selection.takes(&module) {
                    let zip = download.meta(Part::Zip.file(&module.stem()))?;
                    modules.push((zip.map_or(0, |meta| meta.size), module));
                }
            }
            leftovers(&download, found)
        },
        &mut |path, e| {
            unreadable.push(format!("{}: {e}", crate::text::safe(path)));
        },
    )?;
    found.unreadable.append(&mut unreadable);
    modules.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(modules.into_iter().map(|(_, module)| module).collect())
}

fn in_the_way(path: PathBuf, kind: Kind) -> Problem {
    Problem {
        module: None,
        what: IN_THE_WAY,
        path,
        why: format!("it is {} where go wants a directory", kind.words()),
        cure: Cure::Recompute,
        disputed: false,
    }
}

/// `*.tmp` files that nobody can be writing any more.
fn leftovers(download: &Dir, found: &mut Verified) -> Result<(), RepairError> {
    for (name, kind) in download.entries()? {
        if kind != Kind::File || !name.to_string_lossy().ends_with(".tmp") {
            continue;
        }
        let Some(meta) = download.meta(&name)? else {
            continue;
        };
        let age = SystemTime::now().duration_since(meta.mtime).unwrap_or_default();
        if age > LEFTOVER_AGE {
            found.leftovers.0 += 1;
            found.leftovers.1 += meta.size;
        }
    }
    Ok(())
}

/// What belongs to no module: checksum databases, their tree heads, repositories.
fn rest(cache: &ModCache, databases: &[sumdb::Database], found: &mut Verified) {
    for database in databases {
        if let Err(e) = one_database(cache, database, found) {
            found.unreadable.push(e.to_string());
        }
    }
    if let Err(e) = tree_heads(cache, found) {
        found.unreadable.push(e.to_string());
    }
    if let Err(e) = repositories(cache, found) {
        found.unreadable.push(e.to_string());
    }
}

fn one_database(
    cache: &ModCache,
    database: &sumdb::Database,
    found: &mut Verified,
) -> Result<(), RepairError> {
    for bad in mend::bad_pieces(cache, database)? {
        found.problems.push(Problem {
            module: None,
            what: "checksum database",
            path: cache.path().join(sumdb::CACHED).join(bad.path),
            why: bad.why,
            cure: Cure::Fetch,
            disputed: false,
        });
    }
    Ok(())
}

fn tree_heads(cache: &ModCache, found: &mut Verified) -> Result<(), RepairError> {
    let Some(path) = cache.settings.sumdb_dir.as_deref() else {
        return Ok(());
    };
    let top = match Dir::root(path, false) {
        Err(e) if e.is_missing() => return Ok(()),
        other => other?,
    };
    for (name, kind) in top.entries()? {
        let Some(name) = name.to_str().filter(|_| kind == Kind::Dir) else {
            continue;
        };
        if let Some(why) = mend::latest_trouble(cache, &top, name)? {
            found.problems.push(Problem {
                module: None,
                what: "tree head",
                path: path.join(name).join("latest"),
                why: why.to_owned(),
                cure: Cure::Fetch,
                disputed: false,
            });
        }
    }
    Ok(())
}

fn repositories(cache: &ModCache, found: &mut Verified) -> Result<(), RepairError> {
    let Some(dir) = cache.dir.find(vcs::VCS)? else {
        return Ok(());
    };
    for hash in vcs::repositories(&dir)? {
        let path = dir.path().join(&hash);
        let busy = dir
            .file(format!("{hash}.lock"))
            .ok()
            .filter(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)));
        if busy.is_some() {
            found.in_use.push(format!("cache/vcs/{hash}"));
            continue;
        }
        match (Repository { vcs: &dir, hash }).trouble() {
            Ok(None) => {}
            Ok(Some(why)) => found.problems.push(Problem {
                module: None,
                what: "repository",
                path,
                why,
                cure: Cure::Fetch,
                disputed: false,
            }),
            Err(e) => found.unreadable.push(e.to_string()),
        }
    }
    Ok(())
}

/// Mends what is bad in the cache, or in what is selected.
///
/// # Errors
/// As [`verify`]; what was bad and could not be mended is in [`Outcome::failed`].
pub fn repair(
    cache: &ModCache,
    selection: &Selection,
    ctx: &RunContext<'_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome, RepairError> {
    let found = verify(cache, selection, ctx.go_sums, progress)?;
    let mut outcome = Outcome::default();
    let bad = |problem: &&Problem| matches!(problem.cure, Cure::Fetch | Cure::Recompute);
    let mut modules: Vec<&String> = found
        .problems
        .iter()
        .filter(bad)
        .filter_map(|p| p.module.as_ref())
        .collect();
    // Those too that another process works on: its lock is waited for.
    modules.extend(&found.in_use);
    modules.dedup();
    for module in modules {
        if let Some((path, version)) = module.split_once('@')
            && let Ok(module) = ModuleVersion::new(path, version)
        {
            outcome.add(mend::mend_wholly(cache, &module, ctx));
        }
    }
    for problem in found.problems.iter().filter(|problem| problem.what == IN_THE_WAY) {
        outcome.add(mend::in_the_way(cache, &problem.path, ctx));
    }
    if selection.module.is_none() {
        outcome.add_all(mend::checksum_databases(cache, ctx));
        outcome.add_all(mend::latest(cache, ctx));
        outcome.add_all(mend::repositories(cache, None, None, ctx));
    }
    Ok(outcome)
}
