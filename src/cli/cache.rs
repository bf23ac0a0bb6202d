//! `gofix cache`: look at the module cache, repair it, and put back what was set aside.
//!
//! Everything that is decided or changed happens in [`crate::repair`]; this is what people and programs see of it.
//!
//! Exit status: 0 when nothing is bad (or all of it was repaired), 1 when something is or could not be looked at.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::args::{self, CacheAction, Settings};
use super::failure::Failure;
use super::{FAILED, OK, config_with_warnings_said};
use crate::config::Config;
use crate::go::env::GoEnv;
use crate::go::workspace;
use crate::repair::verify::{self, Problem, Progress, Verified};
use crate::repair::{self, CacheEnv, Cure, LockWait, ModCache, RepairError, Repairs, RunContext, Selection};
use crate::report::out::LiveLine;
use crate::report::{out, safe};
use crate::text::{bytes, count};

/// How often the line of progress is written anew.
const TICK: Duration = Duration::from_millis(100);

/// Runs the command.
pub(super) fn run(asked: &args::Cache, settings: &Settings) -> Result<i32, Failure> {
    let config = config_with_warnings_said(settings)?;
    let here = Here::find(&config);
    let done = match &asked.action {
        CacheAction::Verify { module, json } => verify(&here, &selection(module.as_deref())?, *json),
        CacheAction::Repair {
            module,
            dry_run,
            json,
        } => repair(&here, &selection(module.as_deref())?, *dry_run, *json),
        CacheAction::Restore { id, json } => restore(&here, id.as_deref(), *json),
        CacheAction::List { json } => list(&here, *json),
    };
    done.map_err(|error| Failure::new(error.to_string()))
}

fn selection(module: Option<&str>) -> Result<Selection, Failure> {
    module
        .map_or_else(|| Ok(Selection::default()), Selection::parse)
        .map_err(|error| Failure::usage(error.to_string()))
}

/// What holds where the command was typed.
struct Here {
    env: CacheEnv,
    go_sums: Vec<PathBuf>,
    can_fetch: bool,
    budget: Duration,
    stall: Duration,
}

impl Here {
    fn find(config: &Config) -> Self {
        let real_go = super::real_go();
        let env = GoEnv::load(&|name| std::env::var_os(name), real_go.as_deref());
        let start = workspace::working_dir(None).unwrap_or_default();
        Self {
            env: CacheEnv::from(&env),
            go_sums: workspace::go_sums(
                workspace::above(&start, "go.mod"),
                workspace::go_work(&start, &env.get("GOWORK").0),
            ),
            can_fetch: env.text("GOPROXY").trim() != "off",
            budget: *config.budget,
            stall: *config.stall,
        }
    }

    /// `None` where there is no cache yet; that is nothing wrong.
    fn open(&self) -> Result<Option<ModCache>, RepairError> {
        match ModCache::open(self.env.clone()) {
            Ok(cache) => Ok(Some(cache)),
            Err(e) if e.is_missing() => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn verify(here: &Here, selection: &Selection, as_json: bool) -> Result<i32, RepairError> {
    let start = Instant::now();
    let found = match here.open()? {
        Some(cache) => {
            let live = Live::new();
            verify::verify(&cache, selection, &here.go_sums, &|p| live.show(p))?
        }
        None => Verified::default(),
    };
    let bad = found.problems.iter().filter(|p| p.is_bad()).count();
    let mut stdout = out::stdout();
    if as_json {
        let _ = writeln!(stdout, "{}", verified_json(&found));
    } else {
        for problem in &found.problems {
            let _ = writeln!(stdout, "{}", problem_line(problem));
        }
        for module in &found.in_use {
            let _ = writeln!(
                stdout,
                "{}: another process works on it; not judged",
                safe(module)
            );
        }
        for line in &found.unreadable {
            let _ = writeln!(stdout, "not looked at: {line}");
        }
        let _ = writeln!(stdout, "{}", summary(&found, bad, start.elapsed()));
    }
    let fine = bad == 0 && found.unreadable.is_empty();
    Ok(if fine { OK } else { FAILED })
}

/// `example.com/a@v1.0.0: bad zip: its hash …; go fetches it again (PATH)`.
fn problem_line(problem: &Problem) -> String {
    let path = safe(std::os::unix::ffi::OsStrExt::as_bytes(problem.path.as_os_str()));
    let what = problem.what;
    let subject = problem
        .module
        .as_ref()
        .map_or_else(String::new, |module| format!("{module}: "));
    let cure = match &problem.module {
        Some(module) if problem.disputed => repair::by_name(&module.to_string()),
        _ => cure_words(problem.cure).to_owned(),
    };
    format!("{subject}bad {what}: {}; {cure} ({path})", safe(&problem.why))
}

fn cure_words(cure: Cure) -> &'static str {
    match cure {
        Cure::Itself => "go repairs it by itself",
        Cure::Recompute => "go can make it again",
        Cure::Fetch => "go can fetch it again",
    }
}

/// The command that mends it, as in doctor's JSON; `None` where go needs none.
fn fix(problem: &Problem) -> Option<String> {
    match &problem.module {
        _ if !problem.is_bad() => None,
        Some(module) if problem.disputed => Some(format!("gofix cache repair {module}")),
        _ => Some("gofix cache repair".to_owned()),
    }
}

fn summary(found: &Verified, bad: usize, took: Duration) -> String {
    let mut text = format!(
        "{} looked at, {} in {:.1} s: ",
        count(found.modules as u64, "module version"),
        bytes(found.bytes),
        took.as_secs_f64()
    );
    text += &match bad {
        0 => "nothing is bad".to_owned(),
        _ => format!("{bad} bad; `gofix cache repair` sets aside what go can get again"),
    };
    text
}

fn verified_json(found: &Verified) -> Json {
    json!({
        "modules": found.modules,
        "bytes": found.bytes,
        "problems": found.problems.iter().map(problem_json).collect::<Vec<_>>(),
        "in_use": found.in_use,
        "unreadable": found.unreadable,
    })
}

fn problem_json(problem: &Problem) -> Json {
    json!({
        "module": problem.module.as_ref().map(ToString::to_string),
        "what": problem.what,
        "path": problem.path.to_string_lossy(),
        "why": problem.why,
        "fix": fix(problem),
        "bad": problem.is_bad(),
        "disputed": problem.disputed,
    })
}

fn repair(here: &Here, selection: &Selection, dry_run: bool, as_json: bool) -> Result<i32, RepairError> {
    let waiting = |path: &Path, pid: Option<i32>| {
        let waiting = RepairError::Locked {
            path: path.to_owned(),
            pid,
        };
        out::message(&format!("waiting: {waiting}"));
    };
    let ctx = RunContext {
        go_sums: &here.go_sums,
        started: None,
        can_fetch: here.can_fetch,
        lock: LockWait {
            deadline: Instant::now() + here.budget,
            stall: here.stall,
            waiting: &waiting,
        },
        dry_run,
        // Whoever names it has decided between it and go.sum.
        disputed: selection.module.is_some(),
    };
    let repairs = match here.open()? {
        Some(cache) => {
            let live = Live::new();
            verify::repair(&cache, selection, &ctx, &|p| live.show(p))?
        }
        None => Repairs::default(),
    };
    let mut stdout = out::stdout();
    if as_json {
        let _ = writeln!(stdout, "{}", repairs_json(&repairs, dry_run));
    } else {
        for report in &repairs.done {
            let _ = writeln!(stdout, "{}", report.what);
        }
        let done = if dry_run { "would be made" } else { "made" };
        let made = count(repairs.done.len() as u64, "repair");
        let _ = writeln!(stdout, "{made} {done}");
    }
    for error in &repairs.failed {
        out::message(&format!("not repaired: {error}"));
    }
    Ok(if repairs.failed.is_empty() { OK } else { FAILED })
}

fn repairs_json(repairs: &Repairs, dry_run: bool) -> Json {
    let done = repairs.done.iter().map(|report| {
        json!({
            "what": report.what,
            "module": report.module.as_ref().map(ToString::to_string),
            "findings": report.findings.iter().map(|f| {
                json!({ "part": f.part.words(), "why": f.why, "disputed": f.disputed })
            }).collect::<Vec<_>>(),
            "moved": report.moved.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>(),
            "kept_in": report.kept_in.as_ref().map(|p| p.to_string_lossy()),
            "fetches": report.fetches,
        })
    });
    json!({
        "dry_run": dry_run,
        "repairs": done.collect::<Vec<_>>(),
        "failed": repairs.failed.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn list(here: &Here, as_json: bool) -> Result<i32, RepairError> {
    let kept = match here.open()? {
        Some(cache) => cache.kept()?,
        None => Vec::new(),
    };
    let mut stdout = out::stdout();
    if as_json {
        let _ = writeln!(stdout, "{}", json!({ "kept": kept }));
        return Ok(OK);
    }
    for set in &kept {
        let size = set.manifest.items.iter().map(|item| item.bytes).sum();
        let _ = writeln!(
            stdout,
            "{}  {}  {}",
            set.id,
            bytes(size),
            safe(&set.manifest.what)
        );
    }
    if kept.is_empty() {
        let _ = writeln!(stdout, "nothing is set aside");
    } else {
        let _ = writeln!(
            stdout,
            "kept for 7 days, 1 GiB in all; `gofix cache restore ID` puts it back"
        );
    }
    Ok(OK)
}

fn restore(here: &Here, id: Option<&str>, as_json: bool) -> Result<i32, RepairError> {
    let Some(cache) = here.open()? else {
        return nothing_kept(as_json);
    };
    let last = cache.kept()?.pop().map(|set| set.id);
    let Some(id) = id.map(str::to_owned).or(last) else {
        return nothing_kept(as_json);
    };
    let items = cache.restore(&id)?;
    let mut stdout = out::stdout();
    if as_json {
        let _ = writeln!(stdout, "{}", json!({ "id": id, "items": items }));
    } else {
        for item in &items {
            let path = safe(std::os::unix::ffi::OsStrExt::as_bytes(item.path.as_os_str()));
            let _ = match &item.refused {
                None => writeln!(stdout, "put back: {path}"),
                Some(why) => writeln!(stdout, "left aside: {path}: {why}"),
            };
        }
    }
    Ok(if items.iter().all(|item| item.refused.is_none()) {
        OK
    } else {
        FAILED
    })
}

fn nothing_kept(as_json: bool) -> Result<i32, RepairError> {
    let text = if as_json {
        json!({ "id": null, "items": [] }).to_string()
    } else {
        "nothing is set aside".into()
    };
    let _ = writeln!(out::stdout(), "{text}");
    Ok(OK)
}

/// One line of progress on a terminal, and nothing anywhere else.
struct Live {
    line: LiveLine,
    shown: Mutex<Instant>,
}

impl Live {
    fn new() -> Self {
        Self {
            line: LiveLine::on_stderr(true),
            shown: Mutex::new(Instant::now()),
        }
    }

    fn show(&self, progress: Progress) {
        let Ok(mut shown) = self.shown.try_lock() else {
            return;
        };
        if shown.elapsed() >= TICK {
            *shown = Instant::now();
            let Progress { done, total, .. } = progress;
            let read = bytes(progress.bytes);
            self.line
                .show(&format!("{done} of {total} module versions, {read}"));
        }
    }
}
