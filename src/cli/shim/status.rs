//! `gofix shim status`: every go in PATH, which one wins where, and why.
//!
//! What a login shell and an interactive shell have in PATH is asked of the shells themselves, started as a terminal and a
//! desktop start them, and as Visual Studio Code asks: by an interactive login shell.
//!
//! Known limitation: an editor that gets its PATH in another way is not foreseen.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gofix_shim::path::CPath;
use gofix_shim::toolchain::{self, Myself};
use serde_json::{Value, json};

use super::{BARE_PATH, Place};
use crate::cli::args::{ShimPlace, ShimStatus};
use crate::cli::failure::Failure;
use crate::cli::{FAILED, OK, variable};
use crate::report::{out, safe};
use crate::sys::run::{self, Ended};
use crate::sys::{files, proc};

/// How long a shell may take for its start-up files.
const SHELL_TIME: Duration = Duration::from_secs(10);

/// Runs the command: 0 where `go` is the shim here, else 1.
pub(super) fn run(asked: &ShimStatus) -> Result<i32, Failure> {
    let views = views();
    let place = place(&asked.place, &views)?;
    let notes = notes();
    let reached = views.first().is_some_and(View::is_carried);
    let mut stdout = out::stdout();
    if asked.json {
        let shown: Vec<Value> = views.iter().map(View::json).collect();
        let object = json!({ "shim": place.shim(), "installed": place.shim().exists(), "reached": reached, "places": shown, "notes": notes });
        let _ = writeln!(stdout, "{object:#}");
    } else {
        show(&place, &views, &notes, &mut stdout);
    }
    Ok(if reached { OK } else { FAILED })
}

/// The place that was asked about; else the user's own, the one in PATH (an image's, a package's), the one of the whole machine,
/// whichever has a shim.
fn place(asked: &ShimPlace, views: &[View]) -> Result<Place, Failure> {
    let own = Place::of(asked);
    if asked.dir.is_some() || asked.system || own.as_ref().is_ok_and(|place| place.shim().exists()) {
        return own;
    }
    let in_path = views
        .first()
        .and_then(|view| view.gos.iter().find(|go| go.kind == toolchain::Entry::Gofix))
        .and_then(|go| go.path.parent())
        .map(Place::named);
    let system = || {
        Place::of(&ShimPlace {
            system: true,
            ..ShimPlace::default()
        })
        .ok()
    };
    let there = in_path.or_else(|| system().filter(|place| place.shim().exists()));
    there.map_or(own, Ok)
}

fn show(place: &Place, views: &[View], notes: &[String], stdout: &mut impl Write) {
    let state = if place.shim().exists() {
        "is there"
    } else {
        "is not installed (`gofix shim install`)"
    };
    let _ = writeln!(stdout, "The shim {} {state}.", files::shown(&place.shim()));
    for view in views {
        let _ = writeln!(stdout, "\n{}: {}", view.name, view.verdict(place));
        for go in &view.gos {
            let _ = writeln!(stdout, "  {}", go.line());
        }
    }
    let _ = writeln!(stdout, "\nWhat does not come by PATH, and so not by gofix:");
    for note in notes {
        let _ = writeln!(stdout, "  {note}");
    }
}

/// PATH as one kind of process has it.
struct View {
    name: String,
    path: Result<OsString, NoPath>,
    gos: Vec<Go>,
}

/// Why nobody can say what PATH is.
#[derive(Debug, thiserror::Error)]
enum NoPath {
    #[error("PATH is not set")]
    Unset,
    #[error("cannot be asked: {0}")]
    NotStarted(std::io::Error),
    #[error("did not say within {} s; its start-up files wait for something", SHELL_TIME.as_secs())]
    TooLate,
    #[error("did not say its PATH")]
    Silent,
}

/// One entry of PATH that has a go.
struct Go {
    path: PathBuf,
    kind: toolchain::Entry,
}

impl Go {
    fn line(&self) -> String {
        let path = files::shown(&self.path);
        let target = fs::read_link(&self.path)
            .map(|target| format!(" -> {}", files::shown(&target)))
            .unwrap_or_default();
        let kind = match self.kind {
            toolchain::Entry::Gofix => "gofix",
            toolchain::Entry::NotExecutable => "may not be executed",
            _ => "go",
        };
        format!("{path}{target}  ({kind})")
    }
}

impl View {
    fn new(name: impl Into<String>, path: Result<OsString, NoPath>) -> Self {
        let gos = path.as_deref().map(gos).unwrap_or_default();
        Self {
            name: name.into(),
            path,
            gos,
        }
    }

    fn winner(&self) -> Option<&Go> {
        self.gos
            .iter()
            .find(|go| go.kind != toolchain::Entry::NotExecutable)
    }

    fn is_carried(&self) -> bool {
        self.winner().is_some_and(|go| go.kind == toolchain::Entry::Gofix)
    }

    /// Which go wins, and why it is not the shim where it is not.
    fn verdict(&self, place: &Place) -> String {
        let path = match &self.path {
            Ok(path) => path,
            Err(why) => return why.to_string(),
        };
        let Some(winner) = self.winner() else {
            return "no go in PATH".to_owned();
        };
        let shown = files::shown(&winner.path);
        if winner.kind == toolchain::Entry::Gofix {
            let real = self.gos.iter().rposition(|go| go.kind == toolchain::Entry::Gofix);
            let behind = real.and_then(|at| {
                self.gos
                    .get(at + 1..)?
                    .iter()
                    .find(|go| go.kind == toolchain::Entry::Go)
            });
            return match behind {
                Some(go) => format!("gofix wins, and runs {}", files::shown(&go.path)),
                None => "gofix wins, but there is no go behind it (GOFIX_GO may name one)".to_owned(),
            };
        }
        let has_shim = std::env::split_paths(path).any(|entry| entry == place.dir);
        match (has_shim, place.shim().exists()) {
            (true, true) => format!(
                "{shown} wins: its folder stands in front of {}",
                files::shown(&place.dir)
            ),
            (true, false) => format!(
                "{shown} wins: {} is in PATH but has no shim",
                files::shown(&place.dir)
            ),
            (false, _) => format!("{shown} wins: {} is not in this PATH", files::shown(&place.dir)),
        }
    }

    fn json(&self) -> Value {
        let gos: Vec<Value> = self
            .gos
            .iter()
            .map(|go| json!({ "path": go.path, "gofix": go.kind == toolchain::Entry::Gofix, "executable": go.kind != toolchain::Entry::NotExecutable }))
            .collect();
        json!({
            "name": self.name,
            "error": self.path.as_ref().err().map(ToString::to_string),
            "winner": self.winner().map(|go| &go.path),
            "gofix_wins": self.is_carried(),
            "gos": gos,
        })
    }
}

/// Every go in this PATH, in order.
fn gos(path: &OsStr) -> Vec<Go> {
    let me = Myself::current(b"go", &mut CPath::new());
    let mut buffer = CPath::new();
    let mut gos = Vec::new();
    for entry in toolchain::entries(path.as_bytes()) {
        let kind = toolchain::look(entry, &me, &mut buffer);
        if matches!(
            kind,
            toolchain::Entry::Gofix | toolchain::Entry::Go | toolchain::Entry::NotExecutable
        ) {
            gos.push(Go {
                path: Path::new(OsStr::from_bytes(entry)).join("go"),
                kind,
            });
        }
    }
    gos
}

fn views() -> Vec<View> {
    let own = variable("PATH").ok_or(NoPath::Unset);
    let mut views = vec![View::new("This process", own)];
    let shell = variable("SHELL")
        .map(PathBuf::from)
        .filter(|shell| shell.is_absolute());
    let shell = shell.unwrap_or_else(|| PathBuf::from("/bin/sh"));
    let name = files::shown(&shell);
    let login = ask_shell(&shell, &["-l"], OsStr::new(BARE_PATH));
    let base = session_path()
        .or_else(|| login.as_ref().ok().cloned())
        .unwrap_or_else(|| OsString::from(BARE_PATH));
    views.push(View::new(format!("A login shell ({name} -l)"), login));
    views.push(View::new(
        format!("An interactive shell ({name} -i)"),
        ask_shell(&shell, &["-i"], &base),
    ));
    views.push(View::new(
        "An editor (asked as Visual Studio Code does)",
        ask_shell(&shell, &["-i", "-l"], &base),
    ));
    views
}

const BEGIN: &str = "<gofix:PATH:";
const END: &str = ":gofix>";

/// PATH as the shell has it after its start-up files.
fn ask_shell(shell: &Path, flags: &[&str], path: &OsStr) -> Result<OsString, NoPath> {
    let fish = shell.file_name().is_some_and(|name| name == "fish");
    let script = if fish {
        format!("printf '%s' '{BEGIN}' (string join : $PATH) '{END}'")
    } else {
        format!("printf '%s%s%s' '{BEGIN}' \"$PATH\" '{END}'")
    };
    let mut command = Command::new(shell);
    command
        .args(flags)
        .arg("-c")
        .arg(script)
        .env_clear()
        .env("PATH", path)
        .env("TERM", "dumb")
        .env("SHELL", shell);
    for name in [
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
        "ZDOTDIR",
    ] {
        if let Some(value) = variable(name) {
            command.env(name, value);
        }
    }
    let said = match run::within(SHELL_TIME, command, Some(END.as_bytes())) {
        Ended::Said(said, _) => said,
        Ended::NotStarted(error) => return Err(NoPath::NotStarted(error)),
        Ended::TooLate => return Err(NoPath::TooLate),
    };
    let begin = memchr::memmem::rfind(&said, BEGIN.as_bytes()).map(|at| at + BEGIN.len());
    let end = memchr::memmem::rfind(&said, END.as_bytes());
    match (begin, end) {
        (Some(begin), Some(end)) if begin <= end => Ok(OsString::from_vec(
            said.get(begin..end).unwrap_or_default().to_vec(),
        )),
        _ => Err(NoPath::Silent),
    }
}

/// PATH as this session was started with: what a new terminal inherits. It is that of the uppermost process above this one
/// that belongs to the same user and can be read (a desktop's session, a container's first process).
fn session_path() -> Option<OsString> {
    let me = nix::unistd::geteuid().as_raw();
    let mut path = None;
    let mut pid = nix::unistd::getppid().as_raw();
    while pid > 0 {
        let process = fs::metadata(format!("/proc/{pid}")).ok()?;
        if std::os::unix::fs::MetadataExt::uid(&process) != me {
            break;
        }
        path = proc::variable(pid, "PATH").or(path);
        pid = proc::parent(pid)?;
    }
    path
}

/// What does not come by PATH, or not here.
fn notes() -> Vec<String> {
    let mut notes = Vec::new();
    if gofix_is_off() {
        notes.push("everything: GOFIX is off, or /etc/gofix/off is there".to_owned());
    }
    if let Some(go) = variable("GOFIX_GO").filter(|go| !go.is_empty()) {
        notes.push(format!("GOFIX_GO names the real go: {}", safe(go.as_bytes())));
    }
    let always = [
        "a go that `go generate`, `go test` or `go run` starts: go puts GOROOT/bin first in their PATH",
        "what calls a go by its path: GoLand and IntelliJ (the GOROOT of their settings), Bazel's rules_go, some Makefiles",
        "sudo go ...: sudo has a PATH of its own (secure_path); sudo env \"PATH=$PATH\" go ... keeps yours",
    ];
    notes.extend(always.map(str::to_owned));
    notes
}

fn gofix_is_off() -> bool {
    let (gofix, none) = (variable("GOFIX"), None);
    gofix_shim::shim::is_switched_off(gofix.as_deref().map(OsStr::as_bytes), none)
}
