//! What a repair takes out of the way is set aside, not deleted.
//!
//! Each repair makes one directory, `GOMODCACHE/cache/gofix/DATE/TIME-PID-N/`
//! (UTC), with a manifest, `repair.json`, written before anything moves, and
//! the files under the names that the manifest gives them. Being inside the
//! cache it is one file system away at most, no go command looks there, and
//! `go clean -modcache` takes it along.
//!
//! At most 1 GiB is kept, and nothing for longer than 7 days: the oldest goes
//! first. What one run sets aside stays until it ends, however large it is.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::RepairError;
use super::dir::{Dir, Kind};
use crate::sys::panics::checkpoint;

/// Where everything is kept, relative to GOMODCACHE.
pub(crate) const KEPT: &str = "cache/gofix";
const MANIFEST: &str = "repair.json";
/// Bytes kept at most.
const MAX_BYTES: u64 = 1 << 30;
/// Time kept at most.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What cannot be renamed across file systems is copied up to this size.
const MAX_COPY: u64 = 4 << 20;

/// The directory that an item's path is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Root {
    /// GOMODCACHE.
    ModCache,
    /// The first GOPATH entry's `pkg/sumdb`.
    Sumdb,
    /// GOCACHE.
    GoCache,
}

/// One thing that is (or is about to be) set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What `path` is relative to.
    pub root: Root,
    /// Where it stood.
    pub path: String,
    /// The name that it is kept under.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}

/// The manifest of one repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What was mended, in one line.
    pub what: String,
    /// The module, where it was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module: Option<(String, String)>,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// What was set aside.
    pub items: Vec<Item>,
}

/// One set found on the disk.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// `DATE/TIME-PID-N`: what `gofix cache restore` takes.
    pub id: String,
    /// What its manifest says.
    #[serde(flatten)]
    pub manifest: Manifest,
}

/// A set being filled.
#[derive(Debug)]
pub(crate) struct Aside {
    dir: Dir,
    items: Vec<Item>,
    day: Dir,
    name: String,
}

impl Aside {
    /// Makes the set and writes its manifest. Nothing has moved when this fails.
    pub(crate) fn make(cache: &Dir, mut manifest: Manifest) -> Result<Self, RepairError> {
        let now = jiff::Timestamp::now();
        manifest.at = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        for (i, item) in manifest.items.iter_mut().enumerate() {
            let last = item.path.rsplit('/').next().unwrap_or(&item.path);
            item.name = format!("{i}-{last}");
        }
        let date = now.strftime("%Y-%m-%d").to_string();
        let day = cache.make(format!("{KEPT}/{date}"))?;
        let (dir, name) = Self::new_set(&day, now)?;
        let set = Self {
            dir,
            items: manifest.items.clone(),
            day,
            name,
        };
        if let Err(e) = set.write(&manifest) {
            // A full disk: leave nothing behind.
            set.abandon();
            return Err(e);
        }
        checkpoint("set-made");
        Ok(set)
    }

    fn new_set(day: &Dir, now: jiff::Timestamp) -> Result<(Dir, String), RepairError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{}-{n}", now.strftime("%H%M%S"), std::process::id());
            match day.make_new(&name) {
                Ok(()) => return Ok((day.sub(&name)?, name)),
                Err(RepairError::Exists { .. }) => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn write(&self, manifest: &Manifest) -> Result<(), RepairError> {
        let path = self.dir.path().join(MANIFEST);
        let text = serde_json::to_vec_pretty(manifest).map_err(|e| RepairError::io(&path, e.into()))?;
        let mut file = self.dir.new_file(MANIFEST)?;
        file.write_all(&text)
            .and_then(|()| file.sync_all())
            .map_err(|e| RepairError::io(&path, e))
    }

    /// Removes the set, into which nothing was moved.
    pub(crate) fn abandon(&self) {
        let _ = self.day.remove_tree(&self.name);
    }

    /// The directory of the set.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Moves item `i` in. `from` is the directory that it stands in. Its being
    /// gone already is no error: then there is nothing in the way any more.
    pub(crate) fn take(&self, i: usize, from: &Dir) -> Result<bool, RepairError> {
        let Some(item) = self.items.get(i) else {
            return Ok(false);
        };
        let name = Path::new(&item.path).file_name().unwrap_or_default();
        let Some(meta) = from.meta(name)? else {
            return Ok(false);
        };
        let me = nix::unistd::geteuid().as_raw();
        if meta.uid != me && meta.uid != 0 {
            return Err(RepairError::Foreign {
                path: from.path().join(name),
                uid: meta.uid,
            });
        }
        // Its `..` is rewritten, so the kernel wants a moved directory to be writable.
        let mode = from.permit(name, if meta.kind == Kind::Dir { 0o200 } else { 0 })?;
        let moved = match from.rename(name, &self.dir, &item.name) {
            Err(RepairError::Io { source, .. })
                if source.raw_os_error() == Some(libc::EXDEV)
                    && meta.kind == Kind::File
                    && meta.size <= MAX_COPY =>
            {
                self.copy(from, name, &item.name).and_then(|()| from.unlink(name))
            }
            other => other,
        };
        match moved {
            Ok(()) => {
                if meta.kind == Kind::Dir && mode & 0o200 == 0 {
                    self.dir.chmod(&item.name, mode)?;
                }
                Ok(true)
            }
            Err(e) if e.is_missing() => Ok(false),
            Err(e) => {
                if meta.kind == Kind::Dir && mode & 0o200 == 0 {
                    let _ = from.chmod(name, mode);
                }
                Err(e)
            }
        }
    }

    /// Copies item `i` in and leaves the original where it is.
    pub(crate) fn take_copy(&self, i: usize, from: &Dir) -> Result<(), RepairError> {
        let Some(item) = self.items.get(i) else {
            return Ok(());
        };
        let name = Path::new(&item.path).file_name().unwrap_or_default();
        self.copy(from, name, &item.name)
    }

    fn copy(&self, from: &Dir, name: &OsStr, to: &str) -> Result<(), RepairError> {
        let mut content = Vec::new();
        let source = from.file(name)?;
        source
            .take(MAX_COPY)
            .read_to_end(&mut content)
            .map_err(|e| RepairError::io(&from.path().join(name), e))?;
        let mut file = self.dir.new_file(to)?;
        file.write_all(&content)
            .and_then(|()| file.sync_all())
            .map_err(|e| RepairError::io(&self.dir.path().join(to), e))
    }
}

/// This process made the set of that name.
fn is_own(name: &str) -> bool {
    name.contains(&format!("-{}-", std::process::id()))
}

/// The manifests of sets that other processes made since some time.
pub(crate) fn by_others(cache: &Dir, since: SystemTime) -> Vec<Manifest> {
    let sets = sets(cache).unwrap_or_default();
    let fresh = sets.iter().filter(|(day, name)| {
        let meta = day.meta(name).ok().flatten();
        !is_own(name) && meta.is_some_and(|meta| !meta.before(since))
    });
    fresh
        .filter_map(|(day, name)| read(&day.sub(name).ok()?).ok())
        .collect()
}

/// The folder of one day: its date.
fn name_of(day: &Dir) -> String {
    let name = day.path().file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Every set in the cache, oldest first. Sets without a readable manifest are not listed.
pub(crate) fn list(cache: &Dir) -> Result<Vec<Kept>, RepairError> {
    let mut all = Vec::new();
    for (day, name) in sets(cache)? {
        let Ok(set) = day.sub(&name) else { continue };
        let Ok(mut manifest) = read(&set) else { continue };
        manifest
            .items
            .retain(|item| item.root != Root::GoCache && matches!(set.meta(&item.name), Ok(Some(_))));
        if manifest.items.is_empty() {
            continue;
        }
        let date = name_of(&day);
        all.push(Kept {
            id: format!("{date}/{name}"),
            manifest,
        });
    }
    Ok(all)
}

fn sets(cache: &Dir) -> Result<Vec<(Dir, String)>, RepairError> {
    let Some(kept) = cache.find(KEPT)? else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for (date, kind) in kept.entries()? {
        if kind != Kind::Dir {
            continue;
        }
        let Ok(day) = kept.sub(&date) else { continue };
        for (name, kind) in day.entries()? {
            if kind == Kind::Dir {
                all.push((kept.sub(&date)?, name.to_string_lossy().into_owned()));
            }
        }
    }
    Ok(all)
}

fn read(set: &Dir) -> Result<Manifest, RepairError> {
    let path = set.path().join(MANIFEST);
    let mut text = Vec::new();
    set.file(MANIFEST)?
        .take(MAX_COPY)
        .read_to_end(&mut text)
        .map_err(|e| RepairError::io(&path, e))?;
    serde_json::from_slice(&text).map_err(|e| RepairError::io(&path, e.into()))
}

/// Where items go back to.
pub(crate) trait Roots {
    /// The open directory of a root, where it is known and there.
    fn root(&self, root: Root) -> Result<Option<Dir>, RepairError>;
}

/// What [`restore`] calls the set in this directory.
pub(crate) fn id_of(set: &Path) -> String {
    let mut names = set.iter().rev().map(|name| name.to_string_lossy());
    let (name, date) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    format!("{date}/{name}")
}

/// True where nothing stands in the place of any file of a set.
pub(crate) fn is_free(cache: &Dir, id: &str) -> Result<bool, RepairError> {
    let (_, _, manifest) = open(cache, id)?;
    let of_the_cache = manifest.items.iter().filter(|item| item.root == Root::ModCache);
    for item in of_the_cache {
        let path = Path::new(&item.path);
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            continue;
        };
        if let Some(above) = cache.find(above)?
            && above.meta(name)?.is_some()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The day, the set and its manifest.
fn open(cache: &Dir, id: &str) -> Result<(Dir, Dir, Manifest), RepairError> {
    let unknown = || RepairError::NoSuchSet { id: id.to_owned() };
    let (date, name) = id.split_once('/').ok_or_else(unknown)?;
    let day = cache
        .find(KEPT)?
        .ok_or_else(unknown)?
        .find(date)?
        .ok_or_else(unknown)?;
    let set = day.find(name)?.ok_or_else(unknown)?;
    let manifest = read(&set)?;
    Ok((day, set, manifest))
}

/// What became of one item of a restored set.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// Where it stood.
    pub path: PathBuf,
    /// Why it was not put back; `None` where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Puts the items of a set back where nothing is now. A set that is empty afterwards is removed.
pub(crate) fn restore(cache: &Dir, id: &str, roots: &dyn Roots) -> Result<Vec<Restored>, RepairError> {
    let (day, set, manifest) = open(cache, id)?;
    let (date, name) = id.split_once('/').unwrap_or_default();
    let mut done = Vec::new();
    let mut left = false;
    for item in &manifest.items {
        // What go remembers of a directory is derived; put back beside another directory it would be a new fault.
        if set.meta(&item.name)?.is_none() || item.root == Root::GoCache {
            continue;
        }
        let Some(root) = roots.root(item.root)? else {
            left = true;
            continue;
        };
        let refused = put_back(&set, item, &root).err();
        left |= refused.is_some();
        done.push(Restored {
            path: root.path().join(&item.path),
            refused: refused.map(|e| e.to_string()),
        });
    }
    if !left {
        day.remove_tree(name)?;
        remove_if_empty(cache, date)?;
    }
    Ok(done)
}

fn put_back(set: &Dir, item: &Item, root: &Dir) -> Result<(), RepairError> {
    let path = Path::new(&item.path);
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(RepairError::BadName {
            name: item.path.clone(),
        });
    };
    // The manifest is a file that anybody may have written: its names pass the checks of `Dir` like all others.
    let above = root.make(above)?;
    let mode = set.permit(&item.name, 0o200)?;
    let put = match set.rename_if_free(&item.name, &above, name) {
        Err(RepairError::Io { source, .. }) if source.raw_os_error() == Some(libc::EXDEV) => {
            copy_back(set, &item.name, &above, name)
        }
        other => other,
    };
    let is_dir = |dir: &Dir, name: &OsStr| matches!(dir.meta(name), Ok(Some(m)) if m.kind == Kind::Dir);
    if mode & 0o200 == 0 {
        match &put {
            Ok(()) if is_dir(&above, name) => above.chmod(name, mode)?,
            Err(_) if is_dir(set, OsStr::new(&item.name)) => set.chmod(&item.name, mode)?,
            _ => {}
        }
    }
    put
}

fn copy_back(set: &Dir, kept: &str, above: &Dir, name: &OsStr) -> Result<(), RepairError> {
    let path = above.path().join(name);
    let mut source = set.file(kept)?;
    let mut file = above.new_file(name)?;
    std::io::copy(&mut source, &mut file).map_err(|e| RepairError::io(&path, e))?;
    set.unlink(kept)
}

/// Removes what is too old or too much, the oldest first. Sets of this process
/// may have to go back, and are kept until a later one removes them; so are
/// those that another gofix made within the last minute.
pub(crate) fn prune(cache: &Dir, now: SystemTime) -> Result<(), RepairError> {
    let mut all = Vec::new();
    for (day, name) in sets(cache)? {
        let Some(meta) = day.meta(&name)? else { continue };
        let age = now.duration_since(meta.mtime).unwrap_or_default();
        let bytes = day.size_of(&name);
        all.push((age, bytes, day, name));
    }
    all.sort_by_key(|(age, ..)| *age);
    let mut kept = 0;
    for (age, bytes, day, name) in all {
        kept += bytes;
        let in_use = is_own(&name) || age <= Duration::from_secs(60);
        if (kept > MAX_BYTES && !in_use) || age > MAX_AGE {
            kept -= bytes;
            day.remove_tree(&name)?;
            remove_if_empty(cache, &name_of(&day))?;
        }
    }
    Ok(())
}

fn remove_if_empty(cache: &Dir, date: &str) -> Result<(), RepairError> {
    let Some(kept) = cache.find(KEPT)? else {
        return Ok(());
    };
    match kept.remove_empty(date) {
        Err(RepairError::Io { source, .. })
            if matches!(source.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) =>
        {
            Ok(())
        }
        Err(RepairError::Exists { .. }) => Ok(()),
        Err(e) if e.is_missing() => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets of process 1 with a sparse file of `bytes` each, the last one the oldest.
    fn sets_of(top: &Path, bytes: u64, ages: &[Duration]) {
        sets_by(1, top, bytes, ages);
    }

    fn sets_by(pid: u32, top: &Path, bytes: u64, ages: &[Duration]) {
        for (n, age) in ages.iter().enumerate() {
            let dir = top.join(format!("{KEPT}/2026-01-0{}/120000-{pid}-{n}", n + 1));
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::File::create(dir.join("0-f"))
                .unwrap()
                .set_len(bytes)
                .unwrap();
            let handle = std::fs::File::open(&dir).unwrap();
            handle.set_modified(SystemTime::now() - *age).unwrap();
        }
    }

    fn left(top: &Path) -> usize {
        sets(&Dir::root(top, true).unwrap()).unwrap().len()
    }

    #[test]
    fn the_oldest_goes_first_and_nothing_stays_for_ever() {
        const HOUR: Duration = Duration::from_secs(3600);
        let top = tempfile::tempdir().unwrap();
        let cache = || Dir::root(top.path(), true).unwrap();
        prune(&cache(), SystemTime::now()).unwrap();
        sets_of(top.path(), 400 << 20, &[HOUR, HOUR * 2, HOUR * 3, HOUR * 4]);
        prune(&cache(), SystemTime::now()).unwrap();
        // Two of 400 MiB fit into 1 GiB, and the empty dates are gone too.
        assert_eq!(left(top.path()), 2);
        assert_eq!(std::fs::read_dir(top.path().join(KEPT)).unwrap().count(), 2);
        assert!(top.path().join(KEPT).join("2026-01-01/120000-1-0").exists());
        prune(&cache(), SystemTime::now() + MAX_AGE).unwrap();
        assert_eq!(left(top.path()), 0);
    }

    #[test]
    fn what_this_run_has_set_aside_stays_however_much_it_is() {
        const HOUR: Duration = Duration::from_secs(3600);
        let top = tempfile::tempdir().unwrap();
        sets_of(top.path(), 1 << 20, &[HOUR]);
        sets_by(
            std::process::id(),
            top.path(),
            900 << 20,
            &[HOUR * 2, HOUR * 3, HOUR * 4],
        );
        prune(&Dir::root(top.path(), true).unwrap(), SystemTime::now()).unwrap();
        assert_eq!(left(top.path()), 4);
        sets_of(top.path(), 900 << 20, &[HOUR * 5, HOUR * 6]);
        prune(&Dir::root(top.path(), true).unwrap(), SystemTime::now()).unwrap();
        assert_eq!(left(top.path()), 3, "others make room");
    }

    #[test]
    fn a_set_that_another_process_has_just_made_is_left_to_it() {
        let top = tempfile::tempdir().unwrap();
        sets_of(top.path(), 2 << 30, &[Duration::from_secs(1)]);
        prune(&Dir::root(top.path(), true).unwrap(), SystemTime::now()).unwrap();
        assert_eq!(left(top.path()), 1);
    }
}
