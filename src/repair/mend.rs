//! Takes what is bad out of the way, under go's own locks.
//!
//! The order of steps is such that a process that dies at any of them leaves
//! either what was there before or a cache that plain go heals by itself:
//! `.partial` stands before an extracted directory is touched (go then extracts
//! again), the zip goes before its `.ziphash` (a ziphash without a zip is
//! fetched again; a bad zip without a ziphash would be an error for ever), and
//! what go remembers of a directory goes before and after the directory.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::dir::{Dir, Kind};
use super::examine::{Cure, Examined, Part, Scope, examine};
use super::quarantine::Quarantine;
use super::vcs::Repository;
use super::{
    ModCache, RepairError, RepairReport, Repairs, RunContext, Selection, known, lock, quarantine, shown,
    sumdb, vcs, walk,
};
use crate::go::module::ModuleVersion;
use crate::go::path::clean;
use crate::sys::panics::checkpoint;

/// Looks at one module version and repairs what is proven bad about it.
pub(crate) fn module(
    cache: &ModCache,
    module: &ModuleVersion,
    scope: Scope,
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    let known = known(&ctx.go_sum(), &sumdb::databases(cache)?, module);
    let look = |dir: &Dir| {
        let mut seen = examine(dir, module, &known, scope, cache.index.as_ref())?;
        let disputed = !ctx.disputed && seen.disputed();
        if disputed {
            seen.findings.retain(|finding| !finding.disputed);
        }
        match seen.curable() {
            false if disputed => Err(RepairError::Disputed {
                module: module.to_string(),
            }),
            curable => Ok(curable.then_some(seen)),
        }
    };
    let Some(seen) = look(&cache.dir)? else {
        return Ok(None);
    };
    if ctx.dry_run {
        return Ok(Some(report(module, &seen)));
    }
    let owned = cache.dir.owned()?;
    let download = owned.walk(module.download_dir())?;
    let _held = lock::take(&download, module.lock().as_ref(), &ctx.lock)?;
    // A neighbour may have repaired it while we waited.
    let Some(seen) = look(&owned)? else {
        return Ok(None);
    };
    let mut report = report(module, &seen);
    ctx.can_fetch_again(&report, || module.to_string())?;
    take_away(cache, &download, module, &seen, &mut report, ctx)?;
    Ok(Some(report))
}

fn report(module: &ModuleVersion, seen: &Examined) -> RepairReport {
    let taken = seen.findings.iter().filter(|f| f.cure != Cure::Itself);
    let list: Vec<String> = taken
        .map(|f| format!("bad {} ({})", f.part.words(), f.why))
        .collect();
    RepairReport {
        module: Some(module.clone()),
        findings: seen.findings.clone(),
        disputed: seen.disputed(),
        ..RepairReport::new(&format!("{module}: {}", list.join(", ")), seen.needs_fetch())
    }
}

fn take_away(
    cache: &ModCache,
    download: &Dir,
    module: &ModuleVersion,
    seen: &Examined,
    report: &mut RepairReport,
    ctx: &RunContext<'_>,
) -> Result<(), RepairError> {
    let tree = cache.path().join(module.extracted());
    let takes_tree = seen.takes(Part::Extracted);
    let index = cache.index.as_ref();
    let index = index.filter(|_| takes_tree || seen.takes(Part::Index));
    let forget = || index.map_or(Ok(()), |index| index.forget(&tree));
    let made_partial = takes_tree && download.new_file(module.partial()).is_ok();
    checkpoint("partial-made");
    let forgotten = forget();
    checkpoint("index-forgotten");
    let files = Part::FILES.iter().filter(|part| seen.takes(**part));
    let paths: Vec<String> = files.map(|part| part.path(module)).collect();
    let moved = set_aside(cache, &paths, report, ctx);
    // A go that was in the directory while it went may have listed it once more.
    let forgotten = forgotten.and_then(|()| forget());
    // Gone, it needs no mark; still there after a failure, it is as it was.
    let unmarked = if made_partial && (report.moved.contains(&tree) || report.moved.is_empty()) {
        download.unlink(module.partial())
    } else {
        Ok(())
    };
    checkpoint("done");
    moved.and(forgotten).and(unmarked)
}

/// Moves what stands under some paths into a new set, in their order, up to the first failure.
fn set_aside(
    cache: &ModCache,
    paths: &[String],
    report: &mut RepairReport,
    ctx: &RunContext<'_>,
) -> Result<(), RepairError> {
    if paths.is_empty() {
        return Ok(());
    }
    let owned = cache.dir.owned()?;
    let set = Quarantine::make(&owned, report, paths)?;
    let moved = fill(&set, &owned, report, ctx);
    if report.moved.is_empty() {
        set.abandon();
    } else {
        report.kept_in = Some(set.path().to_owned());
        // What is kept is trimmed when it can be; that it cannot be is no failure of the repair.
        let _ = quarantine::prune(&owned, SystemTime::now());
    }
    moved
}

fn fill(
    set: &Quarantine,
    owned: &Dir,
    report: &mut RepairReport,
    ctx: &RunContext<'_>,
) -> Result<(), RepairError> {
    for item in &set.items {
        let path = Path::new(&item.path);
        let step = step(&item.path);
        if let Some(dir) = owned.find(path.parent().unwrap_or(path))?
            && let Some(meta) = set.take(item, &dir)?
        {
            // A file as proxies serve it that was not there before the run.
            report.came_bad |= matches!(step, "zip" | "mod" | "info")
                && meta.kind == Kind::File
                && ctx.started.is_some_and(|start| !meta.before(start));
            report.moved.push(owned.path().join(path));
        }
        checkpoint(&format!("{step}-aside"));
    }
    Ok(())
}

/// The name of a step: the suffix of a file, or what else it is.
fn step(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((_, suffix @ ("zip" | "ziphash" | "mod" | "info" | "lock"))) => suffix,
        _ if path.starts_with(vcs::VCS) => "repository",
        _ if path.starts_with(sumdb::CACHED) => "sumdb",
        _ => "tree",
    }
}

/// After `zip: not a valid zip file` without a name: go says it so only for a
/// zip that has no usable ziphash beside it.
pub(crate) fn nameless_zip(cache: &ModCache, ctx: &RunContext<'_>) -> Result<Repairs, RepairError> {
    let mut repairs = Repairs::default();
    let mut modules = ctx.go_sum().modules();
    if modules.is_empty() {
        modules = walk::list(cache, &Selection::default())?.modules;
    }
    for module in modules {
        let size = |part: Part| {
            let path = part.path(&module);
            let (above, name) = path.rsplit_once('/')?;
            let meta = cache.dir.find(above).ok()??.meta(name).ok()??;
            Some(meta.size)
        };
        // A ziphash of another length is no hash, and go computes it again from the zip.
        if size(Part::Zip).is_some() && size(Part::ZipHash) != Some(47) {
            repairs.add(self::module(cache, &module, Scope::default(), ctx));
        }
    }
    Ok(repairs)
}

/// After `no required module provides package`: the modules of go.sum that could hold it.
pub(crate) fn extracted(cache: &ModCache, package: &str, ctx: &RunContext<'_>) -> Repairs {
    let mut repairs = Repairs::default();
    for module in ctx.go_sum().modules() {
        let below = package.strip_prefix(module.path());
        if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            repairs.add(self::module(cache, &module, Scope::default(), ctx));
        }
    }
    repairs
}

/// Repositories below `cache/vcs`: the one of a hash, those that a module comes
/// from by their URL, or all.
pub(crate) fn repositories(
    cache: &ModCache,
    hash: Option<&str>,
    module: Option<&str>,
    ctx: &RunContext<'_>,
) -> Result<Repairs, RepairError> {
    let mut repairs = Repairs::default();
    let Some((vcs, hashes)) = vcs::repositories(cache)? else {
        return Ok(repairs);
    };
    let all = hashes.into_iter().map(|hash| Repository { vcs: &vcs, hash });
    let mut chosen: Vec<Repository<'_>> = all.filter(|r| hash.is_none_or(|hash| hash == r.hash)).collect();
    // A vanity path says nothing about its repository: where no URL fits, every one may be it.
    if let Some(module) = module.filter(|_| hash.is_none()) {
        // `github.com/owner/name` of a path below it.
        let end = module
            .match_indices('/')
            .nth(2)
            .map_or(module.len(), |(at, _)| at);
        let root = module[..end].trim_end_matches(".git");
        let fits = |r: &Repository<'_>| r.key().is_some_and(|key| key.contains(root));
        if chosen.iter().any(fits) {
            chosen.retain(fits);
        }
    }
    for repository in &chosen {
        repairs.add(self::repository(cache, repository, ctx));
    }
    Ok(repairs)
}

fn repository(
    cache: &ModCache,
    repository: &Repository<'_>,
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    let Some(why) = repository.trouble()? else {
        return Ok(None);
    };
    let path = format!("{}/{}", vcs::VCS, repository.hash);
    let of = repository.key().map_or_else(String::new, |key| {
        let url = key.split_once(':').map_or(key.as_str(), |(_, url)| url);
        format!(" of {}", crate::text::redact_url(url))
    });
    let mut report = RepairReport::new(&format!("{path}{of}: bad repository ({why})"), true);
    if ctx.dry_run {
        return Ok(Some(report));
    }
    ctx.can_fetch_again(&report, || path.clone())?;
    let vcs = cache.dir.owned()?.walk(vcs::VCS)?;
    let hash = repository.hash.clone();
    let _held = lock::take(&vcs, format!("{hash}.lock").as_ref(), &ctx.lock)?;
    if (Repository { vcs: &vcs, hash }).trouble()?.is_none() {
        return Ok(None);
    }
    // Without .info go wipes the directory and starts again: so .info goes first.
    set_aside(cache, &[format!("{path}.info"), path], &mut report, ctx)?;
    Ok(Some(report))
}

/// The cached copies of checksum databases, each as a whole. go writes its files
/// anew under their names; one that writes into a copy that was moved loses nothing.
pub(crate) fn checksum_databases(cache: &ModCache, ctx: &RunContext<'_>) -> Result<Repairs, RepairError> {
    let mut repairs = Repairs::default();
    for database in sumdb::databases(cache)? {
        repairs.add(checksum_database(cache, &database, ctx));
    }
    Ok(repairs)
}

fn checksum_database(
    cache: &ModCache,
    database: &sumdb::Database,
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    let Some(why) = database.trouble(cache)? else {
        return Ok(None);
    };
    let name = &database.name;
    let mut report = RepairReport::new(&format!("{name}: bad cached copy ({why})"), true);
    if !ctx.dry_run {
        ctx.can_fetch_again(&report, || format!("the cached copy of {name}"))?;
        set_aside(cache, &[format!("{}/{name}", sumdb::CACHED)], &mut report, ctx)?;
    }
    Ok(Some(report))
}

/// An unreadable `GOPATH/pkg/sumdb/NAME/latest`: copied aside, then emptied under
/// its lock (go takes an empty one for none). One that can be read stays.
pub(crate) fn tree_heads(cache: &ModCache, ctx: &RunContext<'_>) -> Result<Repairs, RepairError> {
    let mut repairs = Repairs::default();
    for (dir, why) in sumdb::bad_tree_heads(cache)? {
        repairs.add(tree_head(cache, &dir, why, ctx));
    }
    Ok(repairs)
}

fn tree_head(
    cache: &ModCache,
    dir: &Dir,
    why: &str,
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    let path = dir.path().join("latest");
    let mut report = RepairReport::new(&format!("{}: bad tree head ({why})", shown(&path)), true);
    if ctx.dry_run {
        return Ok(Some(report));
    }
    let dir = dir.owned()?;
    let file = dir.lock_file("latest")?;
    lock::wait_for(&file, &dir, "latest".as_ref(), &ctx.lock)?;
    if sumdb::tree_head_trouble(cache, &dir)?.is_none() {
        return Ok(None);
    }
    let set = Quarantine::make(&cache.dir.owned()?, &report, &[])?;
    set.write("latest", &sumdb::tree_head_note(&dir)?)?;
    checkpoint("latest-copied");
    file.set_len(0).map_err(|e| RepairError::io(&path, e))?;
    checkpoint("latest-emptied");
    report.kept_in = Some(set.path().to_owned());
    report.moved.push(path);
    Ok(Some(report))
}

/// A file where go must have a directory, or a directory where it must have a
/// file: `path` is what go's text names, and what is in the way stands at it or above it.
pub(crate) fn in_the_way(
    cache: &ModCache,
    path: &Path,
    ctx: &RunContext<'_>,
) -> Result<Option<RepairReport>, RepairError> {
    let path = clean(path);
    let Ok(below) = path.strip_prefix(cache.path()) else {
        return Ok(None);
    };
    let Some((place, kind)): Option<(PathBuf, Kind)> = walk::obstacle(&cache.dir.owned()?, below)? else {
        return Ok(None);
    };
    let what = format!(
        "{}: {}",
        shown(&cache.path().join(&place)),
        walk::wrong_kind(kind)
    );
    let mut report = RepairReport::new(&what, false);
    if !ctx.dry_run {
        let paths = [place.to_string_lossy().into_owned()];
        set_aside(cache, &paths, &mut report, ctx)?;
    }
    Ok(Some(report))
}
