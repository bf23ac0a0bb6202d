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
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::examine::{Cure, Scope, examine};
use super::vcs::Repository;
use super::{ModCache, RepairError, Repairs, RunContext, Selection, known, mend, sumdb, vcs, walk};
use crate::go::module::ModuleVersion;
use crate::go::sums::GoSum;
use crate::sys::panics::checkpoint;

/// What is judged by hand: files that an extracted directory has too many as well.
const SCOPE: Scope = Scope {
    before: None,
    extra_files: true,
};

/// [`Problem::what`] for something of the wrong kind.
const OBSTACLE: &str = "path";

/// How far the look has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) done: usize,
    pub(crate) total: usize,
    /// Bytes hashed.
    pub(crate) bytes: u64,
}

/// One thing that is wrong in the cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    pub(crate) module: Option<ModuleVersion>,
    /// What it is: `zip`, `go.mod`, `repository`, ….
    pub(crate) what: &'static str,
    pub(crate) path: PathBuf,
    /// The proof, in words.
    pub(crate) why: String,
    /// How it becomes good again.
    pub(crate) cure: Cure,
    /// Nothing but a line of go.sum speaks against it.
    pub(crate) disputed: bool,
}

impl Problem {
    /// True where go stumbles over it, or would use what is wrong without a word.
    #[must_use]
    pub(crate) fn is_bad(&self) -> bool {
        self.cure != Cure::Itself
    }
}

/// What the look came to.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    pub(crate) modules: usize,
    /// Bytes hashed.
    pub(crate) bytes: u64,
    /// What is wrong, sorted.
    pub(crate) problems: Vec<Problem>,
    /// Modules that another process was working on; not judged.
    pub(crate) in_use: Vec<String>,
    /// What could not be looked at, one line each, sorted.
    pub(crate) unreadable: Vec<String>,
}

impl Verified {
    /// Of what is no module version.
    fn add(&mut self, what: &'static str, path: PathBuf, why: impl Into<String>, cure: Cure) {
        self.problems.push(Problem {
            module: None,
            what,
            path,
            why: why.into(),
            cure,
            disputed: false,
        });
    }
}

/// Looks at the cache with as many threads as there are cores.
///
/// # Errors
/// A cache whose list of modules cannot be read. What cannot be read further
/// down is told in [`Verified::unreadable`].
pub(crate) fn verify(
    cache: &ModCache,
    selection: &Selection,
    go_sums: &[PathBuf],
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Verified, RepairError> {
    let listing = walk::list(cache, selection)?;
    let mut found = Verified {
        unreadable: listing.unreadable,
        ..Verified::default()
    };
    for (path, why) in listing.obstacles {
        found.add(OBSTACLE, path, why, Cure::Recompute);
    }
    let shared = Shared {
        cache,
        databases: sumdb::databases(cache)?,
        go_sum: GoSum::read(go_sums.iter().map(PathBuf::as_path)),
        modules: listing.modules,
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
    let mut found = shared.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.modules = shared.done.into_inner();
    found.bytes = shared.bytes.into_inner();
    if selection.module.is_none() {
        for looked in [
            databases(cache, &mut found),
            tree_heads(cache, &mut found),
            repositories(cache, &mut found),
        ] {
            if let Err(e) = looked {
                found.unreadable.push(e.to_string());
            }
        }
    }
    found.problems.sort();
    found.problems.dedup();
    found.in_use.sort();
    found.unreadable.sort();
    Ok(found)
}

/// What all workers share.
struct Shared<'a> {
    cache: &'a ModCache,
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
            let problems = self.problems(module);
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            match problems {
                Ok(None) => found.in_use.push(module.to_string()),
                Ok(Some(problems)) => found.problems.extend(problems),
                Err(e) => found.unreadable.push(format!("{module}: {e}")),
            }
            drop(found);
            let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
            (self.progress)(Progress {
                done,
                total: self.modules.len(),
                bytes: self.bytes.load(Ordering::Relaxed),
            });
        }
    }

    /// `None` where another process works on the module, so that nothing is proven.
    fn problems(&self, module: &ModuleVersion) -> Result<Option<Vec<Problem>>, RepairError> {
        let known = known(&self.go_sum, &self.databases, module);
        let dir = &self.cache.dir;
        let look = || examine(dir, module, &known, SCOPE, self.cache.index.as_ref());
        let mut seen = look()?;
        self.bytes.fetch_add(seen.bytes, Ordering::Relaxed);
        if !seen.findings.is_empty()
            && let Some(download) = dir.find(module.download_dir())?
            && let Ok(lock) = download.file(module.lock())
        {
            if let Err(TryLockError::WouldBlock) = lock.try_lock_shared() {
                return Ok(None);
            }
            seen = look()?;
        }
        let problems = seen.findings.into_iter().map(|finding| Problem {
            module: Some(module.clone()),
            what: finding.part.words(),
            path: dir.path().join(finding.part.path(module)),
            why: finding.why,
            cure: finding.cure,
            disputed: finding.disputed,
        });
        Ok(Some(problems.collect()))
    }
}

fn databases(cache: &ModCache, found: &mut Verified) -> Result<(), RepairError> {
    for database in sumdb::databases(cache)? {
        if let Some(why) = database.trouble(cache)? {
            let path = cache.path().join(sumdb::CACHED).join(database.name);
            found.add("checksum database", path, why, Cure::Fetch);
        }
    }
    Ok(())
}

fn tree_heads(cache: &ModCache, found: &mut Verified) -> Result<(), RepairError> {
    for (dir, why) in sumdb::bad_tree_heads(cache)? {
        found.add("tree head", dir.path().join("latest"), why, Cure::Fetch);
    }
    Ok(())
}

fn repositories(cache: &ModCache, found: &mut Verified) -> Result<(), RepairError> {
    let Some((vcs, hashes)) = vcs::repositories(cache)? else {
        return Ok(());
    };
    for hash in hashes {
        let lock = vcs.file(format!("{hash}.lock")).ok();
        if lock.is_some_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))) {
            found.in_use.push(format!("{}/{hash}", vcs::VCS));
            continue;
        }
        let path = vcs.path().join(&hash);
        match (Repository { vcs: &vcs, hash }).trouble() {
            Ok(None) => {}
            Ok(Some(why)) => found.add("repository", path, why, Cure::Fetch),
            Err(e) => found.unreadable.push(e.to_string()),
        }
    }
    Ok(())
}

/// Repairs what is bad in the cache, or in what is selected.
///
/// # Errors
/// As [`verify`]; what was bad and could not be repaired is in [`Repairs::failed`].
pub(crate) fn repair(
    cache: &ModCache,
    selection: &Selection,
    ctx: &RunContext<'_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Repairs, RepairError> {
    let found = verify(cache, selection, ctx.go_sums, progress)?;
    let mut repairs = Repairs::default();
    for obstacle in found.problems.iter().filter(|problem| problem.what == OBSTACLE) {
        repairs.add(mend::in_the_way(cache, &obstacle.path, ctx));
    }
    let bad = found.problems.iter().filter(|problem| problem.is_bad());
    let mut modules: Vec<ModuleVersion> = bad.filter_map(|problem| problem.module.clone()).collect();
    // Those too that another process works on: its lock is waited for.
    modules.extend(found.in_use.iter().filter_map(|module| {
        let (path, version) = module.split_once('@')?;
        ModuleVersion::new(path, version).ok()
    }));
    modules.dedup();
    for module in modules {
        repairs.add(mend::module(cache, &module, SCOPE, ctx));
    }
    if selection.module.is_none() {
        repairs.add_all(mend::checksum_databases(cache, ctx));
        repairs.add_all(mend::tree_heads(cache, ctx));
        repairs.add_all(mend::repositories(cache, None, None, ctx));
    }
    Ok(repairs)
}
