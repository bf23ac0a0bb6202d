//! The views for CI systems: annotations and a job summary for GitHub Actions,
//! folded sections for GitLab. Only after a fault.
//!
//! What servers said is escaped for each of them: a module may be named
//! `::set-env`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::go::env::Lookup;
use crate::report::phrase;
use crate::report::story::Story;
use crate::report::terminal::recovered;
use crate::text::{count, duration, markdown, safe, workflow_data, workflow_property};

/// Which CI system runs this.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ci {
    /// None.
    #[default]
    None,
    /// GitHub Actions, or a runner that speaks its language.
    GitHub {
        /// The file of GITHUB_STEP_SUMMARY.
        summary: Option<PathBuf>,
    },
    /// GitLab CI.
    GitLab,
    /// Another one: it only gets plain lines.
    Other,
}

impl Ci {
    /// Reads it from the environment. As elsewhere, `CI=false` means no.
    pub fn detect(env: Lookup<'_>) -> Self {
        let is_set =
            |name: &str| env(name).is_some_and(|value| !value.is_empty() && value != "false" && value != "0");
        if is_set("GITHUB_ACTIONS") {
            let summary = env("GITHUB_STEP_SUMMARY")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from);
            Self::GitHub { summary }
        } else if is_set("GITLAB_CI") {
            Self::GitLab
        } else if is_set("CI") {
            Self::Other
        } else {
            Self::None
        }
    }
}

/// What goes to stderr when the invocation ends, where anything does.
pub(super) fn at_end(
    ci: &Ci,
    story: &Story,
    command: &str,
    run: &str,
    time: jiff::Timestamp,
) -> Option<String> {
    let (ok, _) = story.finished?;
    let failed = !ok && story.wants_screen();
    if !(failed || ok && story.has_trouble()) {
        return None;
    }
    match ci {
        Ci::GitHub { summary } => {
            if let Some(path) = summary {
                append(path, &summary_table(story, command));
            }
            Some(annotation(story, command, ok))
        }
        Ci::GitLab => Some(section(story, command, run, time)),
        Ci::None | Ci::Other => None,
    }
}

fn annotation(story: &Story, command: &str, ok: bool) -> String {
    let (word, title) = if ok {
        ("warning", "gofix recovered")
    } else {
        ("error", "gofix gave up")
    };
    let title = workflow_property(&format!("{title}: {command}"));
    format!(
        "::{word} title={title}::{}\n",
        workflow_data(&headline(story, command))
    )
}

/// One sentence on how it ended.
fn headline(story: &Story, command: &str) -> String {
    let took = story.finished.map(|(_, took)| took).unwrap_or_default();
    let Some((why, _)) = story.gave_up else {
        return recovered(story, command, took);
    };
    let cause = story
        .leading()
        .and_then(|l| l.cause(why, story.hosts()))
        .map_or_else(String::new, |cause| format!("; likely cause: {cause}"));
    let attempts = count(story.tries.len() as u64, "attempt");
    format!(
        "{command} failed after {attempts} in {}: {}{cause}",
        duration(took),
        phrase::why(why)
    )
}

fn summary_table(story: &Story, command: &str) -> String {
    let ok = story.finished.is_some_and(|(ok, _)| ok);
    let outcome = if ok { "recovered" } else { "gave up" };
    let mut table = format!("### gofix {outcome}: {}\n\n", markdown(command));
    table.push_str("| attempt | route | fault | took | then waited |\n|---|---|---|---|---|\n");
    for one in story.tries.iter().take(100) {
        let fault = one.words();
        let took = one.took.map_or_else(String::new, duration);
        let wait = one.wait.map_or_else(String::new, duration);
        // Writing to a String does not fail.
        let _ = writeln!(
            table,
            "| {} | {}: {} | {} | {took} | {wait} |",
            one.attempt,
            one.route.0,
            markdown(&safe(&one.route.1)),
            markdown(&fault),
        );
    }
    for (host, upstream) in story.upstreams.iter().filter(|(_, u)| u.failed > 0).take(100) {
        let error = upstream.last_error.as_deref().unwrap_or("failed");
        let _ = writeln!(
            table,
            "\n{}: {} failed ({})",
            markdown(&safe(host)),
            count(upstream.failed, "request"),
            markdown(error)
        );
    }
    let _ = writeln!(table, "\n{}\n", markdown(&headline(story, command)));
    table
}

/// Appends to the runner's file; like the report it is evidence and no gate.
fn append(path: &Path, text: &str) {
    let file = File::options()
        .append(true)
        .create(true)
        .mode(0o644)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path);
    if let Ok(mut file) = file
        && file.metadata().is_ok_and(|m| m.is_file())
    {
        let _ = file.write_all(text.as_bytes());
    }
}

/// A section that GitLab's log viewer folds. Its markers need `\r` and `ESC[0K`.
fn section(story: &Story, command: &str, run: &str, time: jiff::Timestamp) -> String {
    let name = format!("gofix_{run}");
    let now = time.as_second();
    let mut text = format!(
        "\x1b[0Ksection_start:{now}:{name}[collapsed=true]\r\x1b[0Kgofix: {}\n",
        headline(story, command)
    );
    for one in story.tries.iter().take(100) {
        let took = one
            .took
            .map_or_else(String::new, |took| format!(" (in {})", duration(took)));
        let wait = one
            .wait
            .map_or_else(String::new, |wait| format!("; waited {}", duration(wait)));
        let _ = writeln!(
            text,
            "gofix: attempt {} on route {}: {}{took}{wait}",
            one.attempt,
            one.route.0,
            one.words()
        );
    }
    let _ = write!(text, "\x1b[0Ksection_end:{now}:{name}\r\x1b[0K\n");
    text
}
