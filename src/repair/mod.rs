//! Mends the module cache: only what is proven bad, only what go makes or
//! fetches again, under go's own locks.
//!
//! go never repairs what it once took into its cache, and people answer by
//! deleting all of it. Here one piece is judged by what should be equal to it
//! (see [`examine`]), taken out of the way in an order that leaves a cache that
//! go can use wherever the process dies, and kept for a while (see [`aside`]).
//! go itself then fetches, extracts or computes it again, with all its own
//! verification; nothing here writes a module file, and go.sum is never
//! touched.
//!
//! This is the only place of the project that removes anything. It prints
//! nothing: what was done comes back as [`Outcome`].
//!
//! ```text
//! mod.rs      what callers see: ModCache, RunContext, mend()
//! examine.rs  what is bad about one module version     (reads only)
//! vcs.rs, sumdb.rs, index.rs                           (the same for the other parts of the cache)
//! mend.rs     takes it out of the way
//! aside.rs    where it is kept, and how it comes back
//! verify.rs   the whole cache, in parallel
//! dir.rs, lock.rs, module.rs, dirhash.rs, gosum.rs, modfile.rs
//! ```
//!
//! Known to be imperfect: a process that reads an extracted directory while it
//! is mended may miss a file, as it may when go itself extracts again (go has
//! no lock for readers).

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

pub mod aside;
mod dir;
pub(crate) mod dirhash;
mod examine;
pub(crate) mod gosum;
mod index;
mod lock;
mod mend;
pub(crate) mod modfile;
mod module;
mod stamp;
pub(crate) mod sumdb;
mod vcs;
pub mod verify;

pub use examine::{Cure, Finding, Part};
pub use lock::LockWait;
pub use mend::mend_module;
pub use module::{InvalidModule, ModuleVersion, check_module_path};

use crate::diagnose::Mend;
use crate::go::env::GoEnv;
use dir::Dir;
use gosum::GoSum;

/// Why a repair (or a look at the cache) could not be made. One line each.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// A directory of another owner.
    #[error("{} belongs to another user (uid {uid}) and is left alone", shown(.path))]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// A read-only file system.
    #[error("{} is on a read-only file system", shown(.path))]
    ReadOnly {
        /// Where it showed.
        path: PathBuf,
    },
    /// No space or no quota left.
    #[error("no space is left for {}", shown(.path))]
    NoSpace {
        /// Where it showed.
        path: PathBuf,
    },
    /// Permission denied.
    #[error("permission denied: {}", shown(.path))]
    Denied {
        /// Where it showed.
        path: PathBuf,
    },
    /// Nothing is there.
    #[error("{} is not there", shown(.path))]
    Missing {
        /// What is not there.
        path: PathBuf,
    },
    /// Something is there already.
    #[error("{} is there already", shown(.path))]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// Something else than what was looked for stands there.
    #[error("{} is {kind}", shown(.path))]
    WrongKind {
        /// Where.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// Another process holds the lock and did not free it in time.
    #[error("{}", lock::words(.path, *.pid))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Its holder, where it can be seen.
        pid: Option<i32>,
    },
    /// Nothing could be fetched again, so nothing is taken away.
    #[error("{what} is bad, but nothing can be fetched again with GOPROXY=off; it is left where it is")]
    CannotFetch {
        /// What is bad.
        what: String,
    },
    /// go.sum and the cache say different things, and neither is proven.
    #[error("{module} in the cache is not what go.sum says; {}", by_name(.module))]
    Disputed {
        /// The module version.
        module: String,
    },
    /// A directory tree deeper than any module.
    #[error("{} is nested too deeply", shown(.path))]
    TooDeep {
        /// Where.
        path: PathBuf,
    },
    /// A name that climbs or is no name.
    #[error("`{}` is no name inside the cache", crate::text::safe(.name))]
    BadName {
        /// The name.
        name: String,
    },
    /// A module path or version that go would not take.
    #[error(transparent)]
    Invalid(#[from] InvalidModule),
    /// No such set of files set aside.
    #[error("nothing is kept under `{}`", crate::text::safe(.id))]
    NoSuchSet {
        /// What was asked for.
        id: String,
    },
    /// go has no module cache here.
    #[error("neither GOMODCACHE nor GOPATH is set")]
    NoCache,
    /// GOMODCACHE is relative; go refuses that as well.
    #[error("GOMODCACHE is no absolute path: {}", shown(.path))]
    Relative {
        /// Its value.
        path: PathBuf,
    },
    /// Any other failure of the system.
    #[error("{}: {source}", shown(.path))]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A path, fit to stand in a line.
fn shown(path: &Path) -> String {
    crate::text::safe(path.as_os_str().as_bytes())
}

impl RepairError {
    /// Sorts an error of the system into the ones that deserve their own words.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.raw_os_error() {
            Some(libc::ENOENT) => Self::Missing { path },
            Some(libc::EEXIST) => Self::Exists { path },
            Some(libc::EROFS) => Self::ReadOnly { path },
            Some(libc::EACCES | libc::EPERM) => Self::Denied { path },
            Some(libc::ENOSPC | libc::EDQUOT) => Self::NoSpace { path },
            Some(libc::ELOOP) => Self::WrongKind { path, kind: "a link" },
            Some(libc::ENOTDIR) => Self::WrongKind {
                path,
                kind: "no directory",
            },
            Some(libc::EISDIR) => Self::WrongKind {
                path,
                kind: "a directory",
            },
            _ => Self::Io { path, source },
        }
    }

    /// True where what was looked for is simply not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

/// Where the pieces are that a repair may touch.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// GOMODCACHE, absolute.
    pub gomodcache: Option<PathBuf>,
    /// `pkg/sumdb` below the first entry of GOPATH.
    pub sumdb_dir: Option<PathBuf>,
    /// GOCACHE.
    pub gocache: Option<PathBuf>,
    /// go binaries whose module index is to be mended with a directory.
    pub go_binaries: Vec<PathBuf>,
    /// GOSUMDB, for the key of the database.
    pub gosumdb: String,
}

impl Settings {
    /// What holds for a real go in its environment.
    #[must_use]
    pub fn from_env(env: &GoEnv, real_go: Option<&Path>) -> Self {
        let in_goroot = env.goroot().map(|root| root.join("bin/go"));
        Self {
            gomodcache: env.gomodcache(),
            sumdb_dir: env.sumdb_dir(),
            gocache: env.gocache(),
            go_binaries: real_go.map(Path::to_owned).into_iter().chain(in_goroot).collect(),
            gosumdb: env.text("GOSUMDB"),
        }
    }
}

/// An open module cache.
#[derive(Debug)]
pub struct ModCache {
    dir: Dir,
    settings: Settings,
    gocache: Option<Dir>,
    versions: OnceCell<BTreeSet<String>>,
}

impl ModCache {
    /// Opens it for looking. Its not being there is [`RepairError::Missing`].
    ///
    /// # Errors
    /// No module cache by the settings, or one that cannot be opened.
    pub fn open(settings: Settings) -> Result<Self, RepairError> {
        let path = settings.gomodcache.as_deref().ok_or(RepairError::NoCache)?;
        let path = clean(path);
        if !path.is_absolute() {
            return Err(RepairError::Relative { path });
        }
        let dir = Dir::root(&path, false)?;
        let gocache = settings.gocache.as_deref().filter(|path| path.is_absolute());
        // Never a reason to fail: without it there is no index to mend.
        let gocache = gocache.and_then(|path| Dir::root(&clean(path), true).ok());
        Ok(Self {
            dir,
            gocache,
            settings,
            versions: OnceCell::new(),
        })
    }

    /// GOMODCACHE.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn index(&self) -> Option<examine::IndexView<'_>> {
        let versions = self.versions.get_or_init(|| {
            let cached = index::toolchains(&self.dir);
            let binaries = self.settings.go_binaries.iter().chain(&cached);
            index::versions(binaries.map(PathBuf::as_path))
        });
        self.gocache
            .as_ref()
            .map(|gocache| examine::IndexView { gocache, versions })
    }

    /// Everything that is set aside, oldest first.
    ///
    /// # Errors
    /// A cache that cannot be read.
    pub fn kept(&self) -> Result<Vec<aside::Kept>, RepairError> {
        aside::list(&self.dir)
    }

    /// Puts the files of one set back where nothing is now.
    ///
    /// # Errors
    /// No such set, or a cache that cannot be changed.
    pub fn restore(&self, id: &str) -> Result<Vec<aside::Restored>, RepairError> {
        aside::restore(&self.dir.owned()?, id, self)
    }

    /// Puts a set back as a whole, if nothing has come in its place. False
    /// where something has.
    ///
    /// # Errors
    /// No such set, a lock that cannot be had, or a cache that cannot be changed.
    pub fn give_back(
        &self,
        set: &Path,
        module: &ModuleVersion,
        wait: &LockWait<'_>,
    ) -> Result<bool, RepairError> {
        let owned = self.dir.owned()?;
        let id = aside::id_of(set);
        let download = owned.make(module.download_dir())?;
        let _held = lock::take(&download, Part::Lock.file(&module.stem()).as_ref(), wait)?;
        let is_free = aside::is_free(&owned, &id)?;
        if is_free {
            aside::restore(&owned, &id, self)?;
        }
        Ok(is_free)
    }
}

impl aside::Roots for ModCache {
    fn root(&self, root: aside::Root) -> Result<Option<Dir>, RepairError> {
        let path = match root {
            aside::Root::ModCache => return self.dir.owned().map(Some),
            aside::Root::Sumdb => self.settings.sumdb_dir.as_deref(),
            aside::Root::GoCache => self.settings.gocache.as_deref(),
        };
        path.map(|path| Dir::root(path, true)).transpose()
    }
}

/// A path without `//`, `.` and `..`, by its letters alone as go's `filepath.Clean` does it:
/// the module index is found under the path as go spells it.
fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                cleaned.pop();
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}

/// What a run of go was given, and how long a repair may take.
#[derive(Clone, Copy)]
pub struct RunContext<'a> {
    /// The go.sum files in force (`go.sum`, `go.work.sum`, those of workspace modules). Read, never written.
    pub go_sums: &'a [PathBuf],
    /// When the run began: a checksum mismatch is mended only for files that were there before.
    pub started: Option<SystemTime>,
    /// False where go could not fetch anything again (GOPROXY=off).
    pub can_fetch: bool,
    /// How long to wait for go's locks.
    pub lock: LockWait<'a>,
    /// Look and say, change nothing.
    pub dry_run: bool,
    /// Set aside also what nothing but go.sum speaks against.
    pub disputed: bool,
}

/// One piece of local state that was mended (or would be, in a dry run).
#[derive(Debug, Clone)]
pub struct RepairReport {
    /// What was bad and what was done, in one line fit to show.
    pub what: String,
    /// The module version, where it was one.
    pub module: Option<ModuleVersion>,
    /// What was proven.
    pub findings: Vec<Finding>,
    /// The files and directories that were set aside, by the paths they had.
    pub moved: Vec<PathBuf>,
    /// The directory they are kept in now.
    pub kept_in: Option<PathBuf>,
    /// True where go has to fetch something for it.
    pub fetches: bool,
    /// True where nothing but go.sum speaks against a part of it: it has to go
    /// back where nothing better comes.
    pub disputed: bool,
    /// True where a file of it had only come since the run began.
    pub came_bad: bool,
}

/// What a look at the disk came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was mended. Empty, with nothing failed: nothing is proven bad, and what go said is final.
    pub repairs: Vec<RepairReport>,
    /// What was bad and could not be mended.
    pub failed: Vec<RepairError>,
    /// What another gofix mended since the run began, so that go may have met the
    /// damage and this one found none; one line each.
    pub by_others: Vec<String>,
}

impl Outcome {
    /// True where running go again makes sense.
    #[must_use]
    pub fn mended(&self) -> bool {
        !self.repairs.is_empty() || !self.by_others.is_empty()
    }

    fn add(&mut self, result: Result<Option<RepairReport>, RepairError>) {
        match result {
            Ok(report) => self.repairs.extend(report),
            Err(e) => self.failed.push(e),
        }
    }

    /// Takes over what another look came to.
    pub fn merge(&mut self, other: Self) {
        self.repairs.extend(other.repairs);
        self.failed.extend(other.failed);
        self.by_others.extend(other.by_others);
    }

    fn add_all(&mut self, result: Result<Self, RepairError>) {
        match result {
            Ok(outcome) => self.merge(outcome),
            Err(e) => self.failed.push(e),
        }
    }
}

/// Decides by the disk what go's text left open, and mends what is proven bad.
///
/// An [`Outcome`] without repairs means that nothing bad was found: the text is final.
#[must_use]
pub fn mend(cache: &ModCache, suspect: &Mend, ctx: &RunContext<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let named = |module: &str, version: &str| ModuleVersion::new(module, version).ok();
    match suspect {
        Mend::Zip { module, path } => {
            let by_path = path.as_deref().and_then(|path| module_of_zip(cache, path));
            let by_name = module.as_ref().and_then(|(m, v)| named(m, v));
            match by_path.or(by_name) {
                Some(module) => outcome.add(mend_module(cache, &module, ctx)),
                None if module.is_none() && path.is_none() => {
                    outcome.add_all(mend::nameless_zip(cache, ctx));
                }
                None => {}
            }
        }
        Mend::Mod { module, version } => {
            if let Some(module) = named(module, version) {
                outcome.add(mend_module(cache, &module, ctx));
            }
        }
        Mend::Checksum { module, version, .. } => {
            if let Some(module) = named(module, version) {
                outcome.add(mend::mismatch(cache, &module, ctx));
            }
        }
        Mend::Extracted { package } => outcome.add_all(mend::extracted(cache, package, ctx)),
        Mend::Vcs { dir, module } => {
            let hash = dir.as_deref().map(|dir| dir.trim_end_matches('/'));
            let hash = hash
                .and_then(|dir| dir.rsplit('/').next())
                .filter(|hash| vcs::is_hash(hash));
            let module = module.as_ref().map(|(module, _)| module.as_str());
            outcome.add_all(mend::repositories(cache, hash, module, ctx));
        }
        // One text can come from either of the three, and each is judged by proof alone.
        Mend::SumdbTile | Mend::SumdbLookup { .. } | Mend::SumdbLatest => {
            outcome.add_all(mend::latest(cache, ctx));
            outcome.add_all(mend::checksum_databases(cache, ctx));
        }
        Mend::Path { path } => outcome.add(mend::in_the_way(cache, Path::new(path), ctx)),
    }
    if let Some(start) = ctx.started.filter(|_| outcome.repairs.is_empty()) {
        let others = aside::by_others(&cache.dir, start);
        outcome.by_others = others
            .into_iter()
            .filter(|set| concerns(set, suspect))
            .map(|set| set.what)
            .collect();
    }
    outcome
}

/// True where a set that another process made is about what go complained of.
fn concerns(set: &aside::Manifest, suspect: &Mend) -> bool {
    let below = |place: &str| set.items.iter().any(|item| item.path.starts_with(place));
    let of = |module: &str, version: &str| {
        set.module
            .as_ref()
            .is_some_and(|(m, v)| m == module && v == version)
    };
    match suspect {
        Mend::Zip {
            module: Some((module, version)),
            ..
        }
        | Mend::Mod { module, version }
        | Mend::Checksum { module, version, .. } => of(module, version),
        Mend::Zip { module: None, .. } => set.module.is_some(),
        Mend::Extracted { package } => set
            .module
            .as_ref()
            .is_some_and(|(module, _)| package.starts_with(module.as_str())),
        Mend::Vcs { .. } => below(vcs::VCS),
        Mend::SumdbTile | Mend::SumdbLookup { .. } | Mend::SumdbLatest => {
            below(sumdb::CACHED) || set.items.iter().any(|item| item.root == aside::Root::Sumdb)
        }
        Mend::Path { .. } => set.module.is_none(),
    }
}

/// What is left to whoever knows which of go.sum and the cache is right.
pub(crate) fn by_name(module: &str) -> String {
    format!("if go.sum is right, `gofix cache repair {module}` lets go fetch it again")
}

/// The module version of `GOMODCACHE/cache/download/PATH/@v/VERSION.zip`.
fn module_of_zip(cache: &ModCache, path: &str) -> Option<ModuleVersion> {
    let below = clean(Path::new(path));
    let below = below
        .strip_prefix(cache.path().join("cache/download"))
        .ok()?
        .to_str()?;
    let (module, file) = below.split_once("/@v/")?;
    ModuleVersion::from_escaped(module, file.strip_suffix(".zip")?)
}

/// What should hold for a module version. What a checksum database has signed
/// holds whatever a go.sum says.
fn known(go_sum: &GoSum, databases: &[sumdb::Database], module: &ModuleVersion) -> examine::Known {
    let lines = go_sum.sums(module);
    let has_lines = !lines.zip.is_empty() || !lines.go_mod.is_empty();
    let record = databases.iter().find_map(|database| database.sums(module));
    let says_the_same = |signed: &gosum::Sums| {
        let same = |signed: &[String], lines: &[String]| {
            lines.is_empty() || signed.iter().any(|sum| lines.contains(sum))
        };
        same(&signed.zip, &lines.zip) && same(&signed.go_mod, &lines.go_mod)
    };
    match record {
        Some(sums) => examine::Known {
            by: if has_lines && says_the_same(&sums) {
                "go.sum"
            } else {
                "the checksum database"
            },
            sums,
            signed: true,
        },
        None => examine::Known {
            by: "go.sum",
            sums: lines,
            signed: false,
        },
    }
}

/// Removes a file that was not there before a run of go, if it still holds
/// what that run wrote.
///
/// # Errors
/// A file that cannot be read or removed.
pub fn remove_written(path: &Path, written: &[u8]) -> io::Result<()> {
    match std::fs::read(path) {
        Ok(now) if now == written => std::fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, cleaned) in [("/a//b/./c/", "/a/b/c"), ("/a/../b", "/b"), ("/..", "/")] {
            assert_eq!(clean(Path::new(path)), Path::new(cleaned), "{path}");
        }
    }
}
