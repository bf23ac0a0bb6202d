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
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::dir::{Dir, Kind, Meta};
use super::{RepairError, RepairReport};
use crate::sys::panics::checkpoint;

/// Where everything is kept, relative to GOMODCACHE.
pub(crate) const KEPT: &str = "cache/gofix";
const MANIFEST: &str = "repair.json";
/// Bytes kept at most.
const MAX_BYTES: u64 = 1 << 30;
/// Time kept at most.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The largest manifest that is read.
const MAX_MANIFEST: u64 = 4 << 20;

/// One thing that is (or is about to be) set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    /// Where it stood: relative to GOMODCACHE.
    pub(crate) path: String,
    /// The name that it is kept under.
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

impl Item {
    /// The directory that it stands in, and its name there.
    fn place(&self) -> Result<(&Path, &OsStr), RepairError> {
        let path = Path::new(&self.path);
        let bad = || RepairError::BadName {
            name: self.path.clone(),
        };
        path.parent().zip(path.file_name()).ok_or_else(bad)
    }
}

/// The manifest of one repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// What was mended, in one line.
    pub(crate) what: String,
    /// The module, where it was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) module: Option<(String, String)>,
    /// When (RFC 3339, UTC).
    pub(crate) at: String,
    pub(crate) items: Vec<Item>,
}

/// One set found on the disk.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct QuarantinedSet {
    /// `DATE/TIME-PID-N`: what `gofix cache restore` takes.
    pub(crate) id: String,
    /// What its manifest says.
    #[serde(flatten)]
    pub(crate) manifest: Manifest,
}

/// A set that is being filled.
pub(crate) struct Quarantine {
    dir: Dir,
    pub(crate) items: Vec<Item>,
    day: Dir,
    name: String,
}

impl Quarantine {
    /// Makes the set for what stands under some paths, and writes its
    /// manifest. Nothing has moved when this fails.
    pub(crate) fn make(cache: &Dir, report: &RepairReport, paths: &[String]) -> Result<Self, RepairError> {
        let now = jiff::Timestamp::now();
        let items = paths.iter().enumerate().map(|(i, path)| {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            let dir = cache.find(above).ok().flatten();
            Item {
                path: path.clone(),
                name: format!("{i}-{name}"),
                bytes: dir.map_or(0, |dir| dir.size_of(name)),
            }
        });
        let items: Vec<Item> = items.collect();
        let module = report.module.as_ref();
        let manifest = Manifest {
            what: report.what.clone(),
            module: module.map(|module| (module.path().to_owned(), module.version().to_owned())),
            at: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            items: items.clone(),
        };
        let day = cache.make(format!("{KEPT}/{}", now.strftime("%Y-%m-%d")))?;
        let (dir, name) = Self::new_set(&day, now)?;
        let set = Self {
            dir,
            items,
            day,
            name,
        };
        if let Err(e) = set.write(
            MANIFEST,
            &serde_json::to_vec_pretty(&manifest).unwrap_or_default(),
        ) {
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
                Err(e) if e.is_taken() => {}
                Err(e) => return Err(e),
            }
        }
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), RepairError> {
        let mut file = self.dir.new_file(name)?;
        file.write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(|e| RepairError::io(&self.dir.path().join(name), e))
    }

    /// Removes the set, into which nothing was moved.
    pub(crate) fn abandon(&self) {
        let _ = self.day.remove_tree(&self.name);
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Moves one item in, out of the directory that it stands in. What it was;
    /// `None` where it is gone already, and nothing is in the way any more.
    pub(crate) fn take(&self, item: &Item, from: &Dir) -> Result<Option<Meta>, RepairError> {
        let (_, name) = item.place()?;
        let Some(meta) = from.meta(name)? else {
            return Ok(None);
        };
        if !meta.is_mine() && meta.uid != 0 {
            return Err(RepairError::Foreign {
                path: from.path().join(name),
                uid: meta.uid,
            });
        }
        // Its `..` is rewritten, so the kernel wants a moved directory to be writable.
        let mode = from.permit(name, 0o200)?;
        let was_read_only = meta.kind == Kind::Dir && mode & 0o200 == 0;
        match from.rename(name, &self.dir, &item.name) {
            Ok(()) if was_read_only => self.dir.chmod(&item.name, mode)?,
            Ok(()) => {}
            Err(e) if e.is_missing() => return Ok(None),
            Err(e) => {
                if was_read_only {
                    let _ = from.chmod(name, mode);
                }
                return Err(e);
            }
        }
        Ok(Some(meta))
    }
}

/// This process made the set of that name.
fn is_own(name: &str) -> bool {
    name.contains(&format!("-{}-", std::process::id()))
}

/// What other processes repaired since some time, one line each.
pub(crate) fn by_others(cache: &Dir, since: SystemTime) -> Vec<String> {
    let sets = sets(cache).unwrap_or_default();
    let fresh = sets.iter().filter(|(day, name)| {
        let meta = day.meta(name).ok().flatten();
        !is_own(name) && meta.is_some_and(|meta| !meta.before(since))
    });
    fresh
        .filter_map(|(day, name)| Some(read(&day.sub(name).ok()?).ok()?.what))
        .collect()
}

/// Every set in the cache, oldest first. Sets without a readable manifest are not listed.
pub(crate) fn list(cache: &Dir) -> Result<Vec<QuarantinedSet>, RepairError> {
    let mut all = Vec::new();
    for (day, name) in sets(cache)? {
        let Ok(set) = day.sub(&name) else { continue };
        let Ok(mut manifest) = read(&set) else { continue };
        manifest
            .items
            .retain(|item| matches!(set.meta(&item.name), Ok(Some(_))));
        if !manifest.items.is_empty() {
            let id = id_of(set.path());
            all.push(QuarantinedSet { id, manifest });
        }
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
    let text = set.read(MANIFEST, MAX_MANIFEST)?;
    serde_json::from_slice(&text).map_err(|e| RepairError::io(&set.path().join(MANIFEST), e.into()))
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
    for item in &manifest.items {
        let (above, name) = item.place()?;
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
pub(crate) struct Restored {
    pub(crate) path: PathBuf,
    /// Why it was not put back; `None` where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
}

/// Puts the items of a set back where nothing is now. A set that is empty afterwards is removed.
pub(crate) fn restore(cache: &Dir, id: &str) -> Result<Vec<Restored>, RepairError> {
    let (day, set, manifest) = open(cache, id)?;
    let mut done = Vec::new();
    for item in &manifest.items {
        if set.meta(&item.name)?.is_some() {
            done.push(Restored {
                path: cache.path().join(&item.path),
                refused: put_back(&set, item, cache).err().map(|e| e.to_string()),
            });
        }
    }
    if done.iter().all(|item| item.refused.is_none()) {
        remove(cache, &day, id.rsplit('/').next().unwrap_or(id))?;
    }
    Ok(done)
}

fn put_back(set: &Dir, item: &Item, root: &Dir) -> Result<(), RepairError> {
    // The manifest is a file that anybody may have written: its names pass the checks of `Dir` like all others.
    let (above, name) = item.place()?;
    let above = root.make(above)?;
    let mode = set.permit(&item.name, 0o200)?;
    let put = set.rename_if_free(&item.name, &above, name);
    if mode & 0o200 == 0 {
        match &put {
            Ok(()) => above.chmod_if_dir(name, mode)?,
            Err(_) => set.chmod_if_dir(&item.name, mode)?,
        }
    }
    put
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
            remove(cache, &day, &name)?;
        }
    }
    Ok(())
}

/// Removes a set, and the folder of its day if it was the last one there.
fn remove(cache: &Dir, day: &Dir, name: &str) -> Result<(), RepairError> {
    day.remove_tree(name)?;
    let (Some(kept), Some(date)) = (cache.find(KEPT)?, day.path().file_name()) else {
        return Ok(());
    };
    match kept.remove_empty(date) {
        Err(RepairError::Io { source, .. }) if source.raw_os_error() == Some(libc::ENOTEMPTY) => Ok(()),
        Err(e) if e.is_taken() || e.is_missing() => Ok(()),
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
