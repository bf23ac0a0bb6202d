//! Takes what is bad out of the way, under go's own locks.
//!
//! The order of steps is such that a process that dies at any of them leaves
//! either what was there before or a cache that plain go heals by itself:
//! `.partial` stands before an extracted directory is touched (go then extracts
//! again), the zip goes before its `.ziphash` (a ziphash without a zip is
//! fetched again; a bad zip without a ziphash would be an error for ever), and
//! what go remembers of a directory goes before and after the directory.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::SystemTime;

use super::aside::{Aside, Item, Manifest, Root};
use super::dir::{Dir, Kind};
use super::examine::{Cure, Examined, Finding, Known, Part, Scope, examine};
use super::gosum::GoSum;
use super::module::ModuleVersion;
use super::vcs::Repository;
use super::{
    ModCache, Outcome, RepairError, RepairReport, RunContext, aside, index, known, lock, sumdb, vcs, verify,
};
use crate::sys::panics::checkpoint;

/// Looks at one module version and mends what is proven bad about it.
///
/// # Errors
/// What is bad and could not be mended, and why.
pub fn mend_module(
    cache: &ModCache,
    module: &ModuleVersion,
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    one(
        cache,
        module,
        &evidence(cache, module, ctx)?,
        Scope::default(),
        ctx,
    )
}

/// The same with files that stand in an extracted directory and in no zip counted as damage.
pub(crate) fn mend_wholly(
    cache: &ModCache,
    module: &ModuleVersion,
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    let scope = Scope {
        extra_files: true,
        ..Scope::default()
    };
    one(cache, module, &evidence(cache, module, ctx)?, scope, ctx)
}

/// After a checksum mismatch: only files that were there before the run.
pub(crate) fn mismatch(
    cache: &ModCache,
    module: &ModuleVersion,
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    let scope = Scope {
        before: ctx.started,
        ..Scope::default()
    };
    one(cache, module, &evidence(cache, module, ctx)?, scope, ctx)
}

/// After `zip: not a valid zip file` without a name: go says it so only for a
/// zip that has no usable ziphash beside it.
pub(crate) fn nameless_zip(cache: &ModCache, ctx: &RunContext<'_>) -> Result<Outcome, RepairError> {
    let mut outcome = Outcome::default();
    let mut modules = GoSum::read(ctx.go_sums.iter().map(|p| p.as_path())).modules();
    if modules.is_empty() {
        modules = verify::modules(cache)?;
    }
    for module in modules {
        let Some(download) = cache.dir.find(module.download_dir())? else {
            continue;
        };
        let stem = module.stem();
        let size = |part: Part| {
            download
                .meta(part.file(&stem))
                .ok()
                .flatten()
                .map(|meta| meta.size)
        };
        // A ziphash of another length is no hash, and go computes it again from the zip.
        if size(Part::Zip).is_some() && size(Part::ZipHash) != Some(47) {
            outcome.add(mend_module(cache, &module, ctx));
        }
    }
    Ok(outcome)
}

/// After `no required module provides package`: the modules of go.sum that could hold it.
pub(crate) fn extracted(
    cache: &ModCache,
    package: &str,
    ctx: &RunContext<'_>,
) -> Result<Outcome, RepairError> {
    let mut outcome = Outcome::default();
    let go_sum = GoSum::read(ctx.go_sums.iter().map(|p| p.as_path()));
    for module in go_sum.modules() {
        let below = package.strip_prefix(module.path());
        if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            outcome.add(mend_module(cache, &module, ctx));
        }
    }
    Ok(outcome)
}

fn evidence(cache: &ModCache, module: &ModuleVersion, ctx: &RunContext<'_>) -> Result<Known, RepairError> {
    let go_sum = GoSum::read(ctx.go_sums.iter().map(|p| p.as_path()));
    let databases = sumdb::databases(&cache.dir, &cache.settings.gosumdb)?;
    Ok(known(&go_sum, &databases, module))
}

fn one(
    cache: &ModCache,
    module: &ModuleVersion,
    known: &Known,
    scope: Scope,
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    let index = cache.index();
    let look = |dir: &Dir| {
        let mut seen = examine(dir, module, known, scope, index.as_ref())?;
        let disputed = !ctx.disputed && seen.disputed();
        if disputed {
            seen.findings.retain(|finding| !finding.disputed);
        }
        if disputed && !seen.curable() {
            return Err(RepairError::Disputed {
                module: module.to_string(),
            });
        }
        Ok(seen)
    };
    let seen = look(&cache.dir)?;
    if !seen.curable() {
        return Ok(None);
    }
    if ctx.dry_run {
        return Ok(Some(report(module, &seen)));
    }
    let owned = cache.dir.owned()?;
    let download = owned.walk(module.download_dir())?;
    let stem = module.stem();
    if seen.takes(Part::Lock) {
        // A directory in its place is no lock that anybody could hold.
        let set = Aside::make(
            &owned,
            manifest(module, &seen, &[item(&owned, module, Part::Lock)]),
        )?;
        set.take(0, &download)?;
    }
    let _held = lock::take(&download, Part::Lock.file(&stem).as_ref(), &ctx.lock)?;
    // A neighbour may have mended it while we waited.
    let seen = look(&owned)?;
    if !seen.curable() {
        return Ok(None);
    }
    if !ctx.can_fetch && needs_fetch(&seen) {
        return Err(RepairError::CannotFetch {
            what: module.to_string(),
        });
    }
    let mut report = report(module, &seen);
    take_away(cache, &owned, &download, module, &seen, &mut report, ctx)?;
    // What is kept is trimmed when it can be; that it cannot be is no failure of the repair.
    let _ = aside::prune(&owned, SystemTime::now());
    Ok(Some(report))
}

/// The order in which the pieces of a module leave.
const ORDER: [Part; 5] = [Part::Zip, Part::Extracted, Part::ZipHash, Part::GoMod, Part::Info];

fn take_away(
    cache: &ModCache,
    owned: &Dir,
    download: &Dir,
    module: &ModuleVersion,
    seen: &Examined,
    report: &mut RepairReport,
    ctx: &RunContext<'_>,
) -> Result<(), RepairError> {
    let parts: Vec<Part> = ORDER.into_iter().filter(|part| seen.takes(*part)).collect();
    let (above, name) = module.extracted();
    let tree = cache.dir.path().join(&above).join(name);
    let index = cache
        .index()
        .filter(|_| seen.takes(Part::Extracted) || seen.takes(Part::Index));
    let entries = index.as_ref().map_or_else(Vec::new, |view| {
        index::entries(view.gocache, view.versions, &tree)
    });
    let remembered = entries.iter().map(|(above, name)| Item {
        root: Root::GoCache,
        path: format!("{above}/{name}"),
        name: String::new(),
        bytes: 0,
    });
    let items: Vec<Item> = remembered
        .chain(parts.iter().map(|part| item(owned, module, *part)))
        .collect();
    let set = Aside::make(owned, manifest(module, seen, &items))?;
    report.kept_in = Some(set.path().to_owned());
    let partial = format!("{}.partial", module.stem());
    let made_partial = parts.contains(&Part::Extracted) && download.new_file(&partial).is_ok();
    checkpoint("partial-made");
    let result = move_all(&set, &items, report, ctx, |item| match (&index, item.root) {
        (Some(view), Root::GoCache) => view.gocache.walk(parent(&item.path)),
        _ => owned.walk(parent(&item.path)),
    });
    // A go that was in the directory while it went may have listed it once more.
    let forgotten = index.map_or(Ok(()), |view| index::forget(view.gocache, view.versions, &tree));
    // Gone, it needs no mark; still there after a failure, it is as it was.
    let tree_is_gone = report.moved.contains(&tree);
    let unmarked = if made_partial && (tree_is_gone || report.moved.is_empty()) {
        download.unlink(&partial)
    } else {
        Ok(())
    };
    checkpoint("done");
    result.and(forgotten).and(unmarked)
}

/// Moves items in their order, up to the first failure. A set into which nothing went is removed again.
fn move_all(
    set: &Aside,
    items: &[Item],
    report: &mut RepairReport,
    ctx: &RunContext<'_>,
    stands_in: impl Fn(&Item) -> Result<Dir, RepairError>,
) -> Result<(), RepairError> {
    let mut result = Ok(());
    for (i, item) in items.iter().enumerate() {
        let moved = match stands_in(item) {
            Ok(dir) => {
                report.came_bad |= has_just_come(item, &dir, ctx);
                set.take(i, &dir)
                    .map(|moved| moved.then(|| dir.path().join(file_name(&item.path))))
            }
            // Gone with all above it: there is nothing in the way any more.
            Err(e) if e.is_missing() => Ok(None),
            Err(e) => Err(e),
        };
        match moved {
            Ok(path) => report.moved.extend(path),
            Err(e) => {
                result = Err(e);
                break;
            }
        }
        checkpoint(&format!("{}-aside", step(item)));
    }
    if report.moved.is_empty() {
        set.abandon();
        report.kept_in = None;
    }
    result
}

/// True for a file as proxies serve them that was not there before the run.
fn has_just_come(item: &Item, dir: &Dir, ctx: &RunContext<'_>) -> bool {
    matches!(step(item), "zip" | "mod" | "info")
        && ctx.started.is_some_and(|start| {
            let meta = dir.meta(file_name(&item.path)).ok().flatten();
            meta.is_some_and(|meta| meta.kind == Kind::File && !meta.before(start))
        })
}

/// The name of a step: the suffix of a file, or what else it is.
fn step(item: &Item) -> &str {
    let last = file_name(&item.path);
    match (item.root, last.rsplit_once('.')) {
        (Root::GoCache, _) => "index",
        (_, Some((_, suffix @ ("zip" | "ziphash" | "mod" | "info" | "lock")))) => suffix,
        _ if item.path.starts_with(vcs::VCS) => "repository",
        _ if item.path.starts_with(sumdb::CACHED) => "sumdb",
        _ => "tree",
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn item(owned: &Dir, module: &ModuleVersion, part: Part) -> Item {
    let (above, name) = match part {
        Part::Extracted => module.extracted(),
        _ => (module.download_dir(), part.file(&module.stem())),
    };
    let bytes = owned.walk(&above).map_or(0, |dir| dir.size_of(&name));
    Item {
        root: Root::ModCache,
        path: if above.is_empty() {
            name
        } else {
            format!("{above}/{name}")
        },
        name: String::new(),
        bytes,
    }
}

fn manifest(module: &ModuleVersion, seen: &Examined, items: &[Item]) -> Manifest {
    Manifest {
        what: words(module, seen),
        module: Some((module.path().to_owned(), module.version().to_owned())),
        at: String::new(),
        items: items.to_vec(),
    }
}

fn needs_fetch(seen: &Examined) -> bool {
    seen.findings.iter().any(|f| f.cure == Cure::Fetch)
}

fn report(module: &ModuleVersion, seen: &Examined) -> RepairReport {
    RepairReport {
        what: words(module, seen),
        module: Some(module.clone()),
        findings: seen.findings.clone(),
        moved: Vec::new(),
        kept_in: None,
        fetches: needs_fetch(seen),
        disputed: seen.disputed(),
        came_bad: false,
    }
}

/// Of a piece of the cache that is no module version.
fn report_of(what: String, fetches: bool) -> RepairReport {
    RepairReport {
        what,
        module: None,
        findings: Vec::new(),
        moved: Vec::new(),
        kept_in: None,
        fetches,
        disputed: false,
        came_bad: false,
    }
}

fn manifest_of(report: &RepairReport, items: &[Item]) -> Manifest {
    Manifest {
        what: report.what.clone(),
        module: None,
        at: String::new(),
        items: items.to_vec(),
    }
}

/// `example.com/a@v1.0.0: bad zip (it is …), bad ziphash; go fetches it again`.
fn words(module: &ModuleVersion, seen: &Examined) -> String {
    let taken = seen
        .findings
        .iter()
        .filter(|f| matches!(f.cure, Cure::Fetch | Cure::Recompute));
    let list: Vec<String> = taken
        .map(|f: &Finding| format!("bad {} ({})", f.part.words(), f.why))
        .collect();
    let then = if needs_fetch(seen) {
        "go fetches it again"
    } else {
        "go makes it again"
    };
    crate::text::safe(&format!("{module}: {}; {then}", list.join(", ")))
}

/// Repositories below `cache/vcs`: the one of a hash, those that a module comes
/// from by their URL, or all.
pub(crate) fn repositories(
    cache: &ModCache,
    hash: Option<&str>,
    module: Option<&str>,
    ctx: &RunContext<'_>,
) -> Result<Outcome, RepairError> {
    let mut outcome = Outcome::default();
    let Some(dir) = cache.dir.find(vcs::VCS)? else {
        return Ok(outcome);
    };
    let all = vcs::repositories(&dir)?
        .into_iter()
        .map(|hash| Repository { vcs: &dir, hash });
    let mut looked_at: Vec<Repository<'_>> = all.filter(|r| hash.is_none_or(|hash| hash == r.hash)).collect();
    // A vanity path says nothing about its repository: where no URL fits, every one may be it.
    if let Some(module) = module.filter(|_| hash.is_none()) {
        let fits = |r: &Repository<'_>| r.key().is_some_and(|key| key.contains(repository_path(module)));
        if looked_at.iter().any(fits) {
            looked_at.retain(fits);
        }
    }
    for repository in &looked_at {
        outcome.add(mend_repository(cache, repository, ctx));
    }
    Ok(outcome)
}

/// `github.com/owner/name` of a path below it.
fn repository_path(module: &str) -> &str {
    let end = module
        .match_indices('/')
        .nth(2)
        .map_or(module.len(), |(at, _)| at);
    let path = &module[..end];
    path.strip_suffix(".git").unwrap_or(path)
}

pub(crate) fn mend_repository(
    cache: &ModCache,
    repository: &Repository<'_>,
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    let Some(why) = repository.trouble()? else {
        return Ok(None);
    };
    let hash = &repository.hash;
    let of = repository.key().map_or_else(String::new, |key| {
        let url = key.split_once(':').map_or(key.as_str(), |(_, url)| url);
        format!(" of {}", crate::text::redact_url(url))
    });
    let what = crate::text::safe(&format!(
        "cache/vcs/{hash}{of}: bad repository ({why}); go fetches it again"
    ));
    let mut report = report_of(what, true);
    if ctx.dry_run {
        return Ok(Some(report));
    }
    if !ctx.can_fetch {
        return Err(RepairError::CannotFetch {
            what: format!("cache/vcs/{hash}"),
        });
    }
    let owned = cache.dir.owned()?;
    let dir = owned.walk(vcs::VCS)?;
    let _held = lock::take(&dir, format!("{hash}.lock").as_ref(), &ctx.lock)?;
    if (Repository {
        vcs: &dir,
        hash: hash.clone(),
    })
    .trouble()?
    .is_none()
    {
        return Ok(None);
    }
    // Without .info go wipes the directory and starts again: so .info goes first.
    let names = [format!("{hash}.info"), hash.clone()];
    let items = names.map(|name| Item {
        root: Root::ModCache,
        path: format!("{}/{name}", vcs::VCS),
        bytes: dir.size_of(&name),
        name: String::new(),
    });
    let set = Aside::make(&owned, manifest_of(&report, &items))?;
    report.kept_in = Some(set.path().to_owned());
    move_all(&set, &items, &mut report, ctx, |_| dir.walk(""))?;
    let _ = aside::prune(&owned, SystemTime::now());
    Ok(Some(report))
}

/// Lookups and tiles of every checksum database in the cache.
pub(crate) fn checksum_databases(cache: &ModCache, ctx: &RunContext<'_>) -> Result<Outcome, RepairError> {
    let mut outcome = Outcome::default();
    for database in sumdb::databases(&cache.dir, &cache.settings.gosumdb)? {
        let bad = bad_pieces(cache, &database)?;
        outcome.add(sumdb_files(cache, &database.name, &bad, ctx));
    }
    Ok(outcome)
}

/// What is bad in one database's cached pieces; each file once.
pub(crate) fn bad_pieces(
    cache: &ModCache,
    database: &sumdb::Database,
) -> Result<Vec<sumdb::Bad>, RepairError> {
    let mut bad = database.bad_lookups()?;
    bad.extend(database.bad_tiles(tree_head(cache, &database.name).as_ref())?);
    bad.sort();
    bad.dedup_by(|a, b| a.path == b.path);
    Ok(bad)
}

/// The signed tree head that this user has seen last, if it can be read.
fn tree_head(cache: &ModCache, database: &str) -> Option<sumdb::TreeHead> {
    let dir = Dir::root(cache.settings.sumdb_dir.as_deref()?, false).ok()?;
    let note = sumdb::read(&dir.sub(database).ok()?, "latest".as_ref()).ok()?;
    sumdb::tree_head(&note, None).ok()
}

fn sumdb_files(
    cache: &ModCache,
    database: &str,
    bad: &[sumdb::Bad],
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    let Some(first) = bad.first() else {
        return Ok(None);
    };
    let what = format!(
        "{database}: {} cached {} bad ({}: {}); go fetches it again",
        bad.len(),
        if bad.len() == 1 { "piece" } else { "pieces" },
        first.path,
        first.why
    );
    let mut report = report_of(crate::text::safe(&what), true);
    if ctx.dry_run {
        return Ok(Some(report));
    }
    if !ctx.can_fetch {
        return Err(RepairError::CannotFetch {
            what: format!("the cached copy of {database}"),
        });
    }
    let owned = cache.dir.owned()?;
    let items = bad.iter().map(|bad| Item {
        root: Root::ModCache,
        path: format!("{}/{}", sumdb::CACHED, bad.path),
        name: String::new(),
        bytes: 0,
    });
    let items: Vec<Item> = items.collect();
    let set = Aside::make(&owned, manifest_of(&report, &items))?;
    report.kept_in = Some(set.path().to_owned());
    // go writes these files anew under their names; one that writes into the renamed one loses nothing.
    move_all(&set, &items, &mut report, ctx, |item| {
        owned.walk(parent(&item.path))
    })?;
    let _ = aside::prune(&owned, SystemTime::now());
    Ok(Some(report))
}

/// An unreadable `GOPATH/pkg/sumdb/NAME/latest`: copied aside, then emptied under
/// its lock (go takes an empty one for none). One that can be read stays.
pub(crate) fn latest(cache: &ModCache, ctx: &RunContext<'_>) -> Result<Outcome, RepairError> {
    let mut outcome = Outcome::default();
    let Some(path) = cache.settings.sumdb_dir.as_deref() else {
        return Ok(outcome);
    };
    let top = match Dir::root(path, true) {
        Err(e) if e.is_missing() => return Ok(outcome),
        other => other?,
    };
    for (name, kind) in top.entries()? {
        if kind != Kind::Dir {
            continue;
        }
        let Some(name) = name.to_str() else { continue };
        outcome.add(one_latest(cache, &top, name, ctx));
    }
    Ok(outcome)
}

/// Why a `latest` is no memory of anything, if it is none.
pub(crate) fn latest_trouble(
    cache: &ModCache,
    top: &Dir,
    name: &str,
) -> Result<Option<&'static str>, RepairError> {
    let dir = top.sub(name)?;
    if dir.meta("latest")?.is_none_or(|meta| meta.kind == Kind::Link) {
        return Ok(None);
    }
    let note = sumdb::read(&dir, "latest".as_ref())?;
    if note.is_empty() {
        return Ok(None);
    }
    let key = sumdb::Key::from_gosumdb(&cache.settings.gosumdb).filter(|key| key.is_of(name));
    Ok(sumdb::tree_head(&note, key.as_ref()).err())
}

fn one_latest(
    cache: &ModCache,
    top: &Dir,
    name: &str,
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    let Some(why) = latest_trouble(cache, top, name)? else {
        return Ok(None);
    };
    let dir = top.sub(name)?;
    let path = dir.path().join("latest");
    let mut report = report_of(
        crate::text::safe(&format!(
            "{}: bad tree head ({why}); go fetches it again",
            super::shown(&path)
        )),
        true,
    );
    if ctx.dry_run {
        return Ok(Some(report));
    }
    let owned = cache.dir.owned()?;
    let file = dir.file_for_change("latest")?;
    lock::take_file(&file, &dir, "latest".as_ref(), &ctx.lock)?;
    if latest_trouble(cache, top, name)?.is_none() {
        return Ok(None);
    }
    let items = [Item {
        root: Root::Sumdb,
        path: format!("{name}/latest"),
        name: String::new(),
        bytes: dir.size_of("latest"),
    }];
    let set = Aside::make(&owned, manifest_of(&report, &items))?;
    set.take_copy(0, &dir)?;
    checkpoint("latest-copied");
    file.set_len(0).map_err(|e| RepairError::io(&path, e))?;
    checkpoint("latest-emptied");
    report.kept_in = Some(set.path().to_owned());
    report.moved.push(Path::new(&path).to_owned());
    Ok(Some(report))
}

/// A file where go must have a directory, or a directory where it must have a
/// file: `path` is what go's text names, and what is in the way stands at it or above it.
pub(crate) fn in_the_way(
    cache: &ModCache,
    path: &Path,
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    let path = super::clean(path);
    let Ok(below) = path.strip_prefix(cache.path()) else {
        return Ok(None);
    };
    let owned = cache.dir.owned()?;
    let Some((above, name, kind)) = obstacle(&owned, below)? else {
        return Ok(None);
    };
    let place = above.path().join(&name);
    let wanted = if kind == Kind::Dir {
        "a file"
    } else {
        "a directory"
    };
    let what = format!(
        "{}: it is {} where go wants {wanted}; go makes it again",
        super::shown(&place),
        kind.words()
    );
    let mut report = report_of(crate::text::safe(&what), false);
    if ctx.dry_run {
        return Ok(Some(report));
    }
    let relative = place.strip_prefix(cache.path()).unwrap_or(below);
    let items = [Item {
        root: Root::ModCache,
        path: relative.to_string_lossy().into_owned(),
        name: String::new(),
        bytes: above.size_of(&name),
    }];
    let set = Aside::make(&owned, manifest_of(&report, &items))?;
    report.kept_in = Some(set.path().to_owned());
    move_all(&set, &items, &mut report, ctx, |_| above.walk(""))?;
    Ok(Some(report))
}

/// The first thing on the way that is of the wrong kind. Only names that go
/// itself gives decide: all of `cache/download` are directories down to `@v`,
/// and there the files of versions.
fn obstacle(owned: &Dir, below: &Path) -> Result<Option<(Dir, OsString, Kind)>, RepairError> {
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
            return Ok(Some((dir, (*name).to_owned(), meta.kind)));
        }
        if last {
            break;
        }
        dir = dir.sub(name)?;
    }
    Ok(None)
}
