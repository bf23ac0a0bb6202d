//! Repairs the module cache: only what is proven bad, only what go makes or
//! fetches again, under go's own locks.
//!
//! go never repairs what it once took into its cache, and people answer by
//! deleting all of it. Here a module version, a repository or the copy of a
//! checksum database is judged by what should be equal in it (see [`examine`]),
//! taken out of the way in an order that leaves a cache that go can use
//! wherever the process dies, and kept for a while (see [`quarantine`]).
//! go itself then fetches, extracts or computes it again, with all its own
//! verification; nothing here writes a module file, and go.sum is never
//! touched.
//!
//! Nothing else in gofix touches the module cache. Nothing is printed here:
//! what was done comes back as [`Repairs`].
//!
//! ```text
//! mod.rs         what callers see: ModCache, RunContext, mend()
//! walk.rs        what the cache has
//! examine.rs     what is bad about one module version  (reads only)
//! vcs.rs, sumdb.rs, index.rs                           (the same for the other parts of the cache)
//! mend.rs        takes it out of the way
//! quarantine.rs  where it is kept, and how it comes back
//! verify.rs      the whole cache, in parallel
//! dir.rs, lock.rs, tree.rs
//! ```
//!
//! Known limitation: a process that reads an extracted directory while it is
//! repaired may miss a file, as it may when go itself extracts again (go has
//! no lock for readers).

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

mod dir;
mod examine;
mod index;
mod lock;
mod mend;
pub(crate) mod quarantine;
mod stamp;
mod sumdb;
mod tree;
mod vcs;
pub(crate) mod verify;
mod walk;

pub(crate) use examine::{Cure, Finding};
pub(crate) use lock::LockWait;
pub(crate) use walk::Selection;

use crate::diagnose::Mend;
use crate::go::env::GoEnv;
use crate::go::module::{InvalidModule, ModuleVersion};
use crate::go::path::clean;
use crate::go::sums::GoSum;
use dir::{Dir, Kind};
use examine::Scope;
use index::ModuleIndex;

/// Why a repair (or a look at the cache) could not be made. One line each.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RepairError {
    /// A directory of another owner.
    #[error("{} belongs to another user (uid {uid}) and is left alone", shown(.path))]
    Foreign { path: PathBuf, uid: u32 },
    /// Something else than what was looked for stands there.
    #[error("{} is {kind}", shown(.path))]
    WrongKind {
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// Another process holds the lock and did not free it in time.
    #[error("{}", lock::words(.path, *.pid))]
    Locked {
        path: PathBuf,
        /// Its holder, where it can be seen.
        pid: Option<i32>,
    },
    /// Nothing could be fetched again, so nothing is taken away.
    #[error("{what} is damaged, but with GOPROXY=off nothing can be fetched again; it stays where it is")]
    CannotFetch { what: String },
    /// go.sum and the cache say different things, and neither is proven.
    #[error("{module} in the cache does not match go.sum; {}", by_name(.module))]
    Disputed { module: String },
    /// A directory tree deeper than any module.
    #[error("{} is nested too deeply", shown(.path))]
    TooDeep { path: PathBuf },
    /// A name that climbs or is no name.
    #[error("`{}` is not a name inside the cache", crate::text::safe(.name))]
    BadName { name: String },
    /// A module path or version that go would not take.
    #[error(transparent)]
    Invalid(#[from] InvalidModule),
    /// No such set of files set aside.
    #[error("nothing is kept under `{}`", crate::text::safe(.id))]
    NoSuchSet { id: String },
    /// go has no module cache here.
    #[error("neither GOMODCACHE nor GOPATH is set")]
    NoCache,
    /// GOMODCACHE is relative; go refuses that as well.
    #[error("GOMODCACHE is not an absolute path: {}", shown(.path))]
    Relative { path: PathBuf },
    /// A failure of the system.
    #[error("{}", io_words(.path, .source))]
    Io { path: PathBuf, source: io::Error },
}

fn io_words(path: &Path, error: &io::Error) -> String {
    let path = shown(path);
    match error.kind() {
        io::ErrorKind::NotFound => format!("{path} does not exist"),
        io::ErrorKind::AlreadyExists => format!("{path} already exists"),
        io::ErrorKind::ReadOnlyFilesystem => format!("{path} is on a read-only file system"),
        io::ErrorKind::PermissionDenied => format!("permission denied: {path}"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!("no space left for {path}"),
        _ => format!("{path}: {}", crate::text::errno_text(error)),
    }
}

/// A path, fit to stand in a line.
fn shown(path: &Path) -> String {
    crate::text::safe(path.as_os_str().as_bytes())
}

impl RepairError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.raw_os_error() {
            Some(libc::ELOOP) => Self::WrongKind {
                path,
                kind: Kind::Link.words(),
            },
            _ => Self::Io { path, source },
        }
    }

    /// What the system said, where it was the system.
    fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }

    /// True where what was looked for is simply not there.
    #[must_use]
    pub(crate) fn is_missing(&self) -> bool {
        self.kind() == Some(io::ErrorKind::NotFound)
    }

    /// True where something stands there already.
    fn is_taken(&self) -> bool {
        self.kind() == Some(io::ErrorKind::AlreadyExists)
    }

    fn is_denied(&self) -> bool {
        self.kind() == Some(io::ErrorKind::PermissionDenied)
    }
}

/// Where the pieces are that a repair may touch.
#[derive(Debug, Clone, Default)]
pub(crate) struct CacheEnv {
    /// GOMODCACHE, absolute.
    pub(crate) gomodcache: Option<PathBuf>,
    /// `pkg/sumdb` below the first entry of GOPATH.
    pub(crate) sumdb_dir: Option<PathBuf>,
    pub(crate) gocache: Option<PathBuf>,
    /// GOROOT of the go whose module index is repaired with a directory.
    pub(crate) goroot: Option<PathBuf>,
    /// GOSUMDB, for the key of the database.
    pub(crate) gosumdb: String,
}

impl From<&GoEnv> for CacheEnv {
    fn from(env: &GoEnv) -> Self {
        Self {
            gomodcache: env.gomodcache(),
            sumdb_dir: env.sumdb_dir(),
            gocache: env.gocache(),
            goroot: env.goroot().map(Path::to_owned),
            gosumdb: env.text("GOSUMDB"),
        }
    }
}

/// An open module cache.
#[derive(Debug)]
pub(crate) struct ModCache {
    dir: Dir,
    env: CacheEnv,
    index: Option<ModuleIndex>,
}

impl ModCache {
    /// Opens it for looking. Its not being there is [`RepairError::Missing`].
    ///
    /// # Errors
    /// No module cache by the settings, or one that cannot be opened.
    pub(crate) fn open(env: CacheEnv) -> Result<Self, RepairError> {
        let path = clean(env.gomodcache.as_deref().ok_or(RepairError::NoCache)?);
        if !path.is_absolute() {
            return Err(RepairError::Relative { path });
        }
        let dir = Dir::root(&path, false)?;
        let gocache = env.gocache.as_deref().filter(|path| path.is_absolute());
        // Never a reason to fail: without it there is no index to repair.
        let gocache = gocache.and_then(|path| Dir::root(&clean(path), true).ok());
        let index = gocache.map(|gocache| ModuleIndex::new(gocache, env.goroot.as_deref(), &dir));
        Ok(Self { dir, env, index })
    }

    /// GOMODCACHE.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Everything that is set aside, oldest first.
    pub(crate) fn kept(&self) -> Result<Vec<quarantine::QuarantinedSet>, RepairError> {
        quarantine::list(&self.dir)
    }

    /// Puts the files of one set back where nothing is now.
    pub(crate) fn restore(&self, id: &str) -> Result<Vec<quarantine::Restored>, RepairError> {
        quarantine::restore(&self.dir.owned()?, id)
    }

    /// Puts a set back as a whole, if nothing has come in its place. False
    /// where something has.
    pub(crate) fn restore_if_free(
        &self,
        set: &Path,
        module: &ModuleVersion,
        wait: &LockWait<'_>,
    ) -> Result<bool, RepairError> {
        let owned = self.dir.owned()?;
        let id = quarantine::id_of(set);
        let download = owned.make(module.download_dir())?;
        let _held = lock::take(&download, module.lock().as_ref(), wait)?;
        let is_free = quarantine::is_free(&owned, &id)?;
        if is_free {
            quarantine::restore(&owned, &id)?;
        }
        Ok(is_free)
    }
}

/// What a run of go was given, and how long a repair may take.
#[derive(Clone, Copy)]
pub(crate) struct RunContext<'a> {
    /// The go.sum files in force (`go.sum`, `go.work.sum`, those of workspace modules). Read, never written.
    pub(crate) go_sums: &'a [PathBuf],
    /// When the run began: a checksum mismatch is mended only for files that were there before.
    pub(crate) started: Option<SystemTime>,
    /// False where go could not fetch anything again (GOPROXY=off).
    pub(crate) can_fetch: bool,
    pub(crate) lock: LockWait<'a>,
    /// Look and say, change nothing.
    pub(crate) dry_run: bool,
    /// Set aside also what nothing but go.sum speaks against.
    pub(crate) disputed: bool,
}

impl RunContext<'_> {
    /// All lines of the go.sum files in force.
    fn go_sum(&self) -> GoSum {
        GoSum::read(self.go_sums.iter().map(PathBuf::as_path))
    }

    /// Refuses a repair after which something would have to be fetched and cannot be.
    fn can_fetch_again(
        &self,
        report: &RepairReport,
        what: impl FnOnce() -> String,
    ) -> Result<(), RepairError> {
        if report.fetches && !self.can_fetch {
            return Err(RepairError::CannotFetch { what: what() });
        }
        Ok(())
    }
}

/// One piece of local state that was repaired (or would be, in a dry run).
#[derive(Debug, Clone, Default)]
pub(crate) struct RepairReport {
    /// What was bad and what was done, in one line fit to show.
    pub(crate) what: String,
    pub(crate) module: Option<ModuleVersion>,
    /// What was proven.
    pub(crate) findings: Vec<Finding>,
    /// The files and directories that were set aside, by the paths they had.
    pub(crate) moved: Vec<PathBuf>,
    pub(crate) kept_in: Option<PathBuf>,
    /// True where go has to fetch something for it.
    pub(crate) fetches: bool,
    /// True where nothing but go.sum speaks against a part of it: it has to go
    /// back where nothing better comes.
    pub(crate) disputed: bool,
    /// True where a file of it had only come since the run began.
    pub(crate) came_bad: bool,
}

impl RepairReport {
    fn new(what: &str, fetches: bool) -> Self {
        let then = if fetches { "fetches" } else { "makes" };
        Self {
            what: crate::text::safe(&format!("{what}; go {then} it again")),
            fetches,
            ..Self::default()
        }
    }
}

/// What a look at the disk came to.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    /// What was repaired. Empty, with nothing failed: nothing is proven bad, and what go said is final.
    pub(crate) done: Vec<RepairReport>,
    pub(crate) failed: Vec<RepairError>,
    /// What another gofix repaired since the run began, so that go may have met the
    /// damage and this one found none; one line each.
    pub(crate) by_others: Vec<String>,
}

impl Repairs {
    /// True where running go again makes sense.
    #[must_use]
    pub(crate) fn any(&self) -> bool {
        !self.done.is_empty() || !self.by_others.is_empty()
    }

    fn add(&mut self, result: Result<Option<RepairReport>, RepairError>) {
        match result {
            Ok(report) => self.done.extend(report),
            Err(e) => self.failed.push(e),
        }
    }

    /// Takes over what another look came to.
    pub(crate) fn merge(&mut self, other: Self) {
        self.done.extend(other.done);
        self.failed.extend(other.failed);
        self.by_others.extend(other.by_others);
    }

    fn add_all(&mut self, result: Result<Self, RepairError>) {
        match result {
            Ok(repairs) => self.merge(repairs),
            Err(e) => self.failed.push(e),
        }
    }
}

/// Decides by the disk what go's text left open, and repairs what is proven bad.
///
/// [`Repairs`] that did nothing mean that nothing bad was found: the text is final.
#[must_use]
pub(crate) fn mend(cache: &ModCache, suspect: &Mend, ctx: &RunContext<'_>) -> Repairs {
    let mut repairs = Repairs::default();
    let mut look = |module: &ModuleVersion, scope| repairs.add(mend::module(cache, module, scope, ctx));
    let named = |module: &str, version: &str| ModuleVersion::new(module, version).ok();
    match suspect {
        Mend::Zip { module, path } => {
            let by_path = path.as_deref().and_then(|path| module_of_zip(cache, path));
            let by_name = module.as_ref().and_then(|(m, v)| named(m, v));
            match by_path.or(by_name) {
                Some(module) => look(&module, Scope::default()),
                None if module.is_none() && path.is_none() => {
                    repairs.add_all(mend::nameless_zip(cache, ctx));
                }
                None => {}
            }
        }
        Mend::Mod { module, version } => {
            if let Some(module) = named(module, version) {
                look(&module, Scope::default());
            }
        }
        // Only files that were there before the run: a mismatch of what has just come is final.
        Mend::Checksum { module, version, .. } => {
            let scope = Scope {
                before: ctx.started,
                extra_files: false,
            };
            if let Some(module) = named(module, version) {
                look(&module, scope);
            }
        }
        Mend::Extracted { package } => repairs.merge(mend::extracted(cache, package, ctx)),
        Mend::Vcs { dir, module } => {
            let dir = dir.as_deref().map(|dir| dir.trim_end_matches('/'));
            let hash = dir.and_then(|dir| dir.rsplit('/').next());
            let module = module.as_ref().map(|(module, _)| module.as_str());
            let hash = hash.filter(|hash| vcs::is_hash(hash));
            repairs.add_all(mend::repositories(cache, hash, module, ctx));
        }
        // One text can come from either of the three, and each is judged by proof alone.
        Mend::SumdbTile | Mend::SumdbLookup { .. } | Mend::SumdbLatest => {
            repairs.add_all(mend::tree_heads(cache, ctx));
            repairs.add_all(mend::checksum_databases(cache, ctx));
        }
        Mend::Path { path } => repairs.add(mend::in_the_way(cache, Path::new(path), ctx)),
    }
    if let Some(start) = ctx.started.filter(|_| repairs.done.is_empty()) {
        repairs.by_others = quarantine::by_others(&cache.dir, start);
    }
    repairs
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
    let signed = databases.iter().find_map(|database| database.sums(module));
    examine::Known {
        signed: signed.is_some(),
        sums: signed.unwrap_or_else(|| go_sum.sums(module)),
    }
}
