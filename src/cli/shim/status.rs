//! `gofix shim status`: every go in PATH, which one wins where, and why.
//!
//! What a login shell and an interactive shell have in PATH is asked of the shells themselves, started as a terminal and a
//! desktop start them. What an editor has is read from editors that run, where the system shows it (Linux), and otherwise
//! asked the way Visual Studio Code asks, by an interactive login shell.
//!
//! Known limitations: editors that ask for PATH in another way of their own are not foreseen; `/etc/sudoers` is readable by
//! root alone, so for others the line about sudo says what sudo does by default.

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
use crate::sys::files;
use crate::sys::run::{self, Ended};

/// How long a shell may take for its start-up files.
const SHELL_TIME: Duration = Duration::from_secs(10);

/// Runs the command: 0 where `go` is the shim here, else 1.
pub(super) fn run(asked: &ShimStatus) -> i32 {
    let views = views();
    let place = match place(&asked.place, &views) {
        Ok(place) => place,
        Err(failure) => return failure.say(),
    };
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
    if reached { OK } else { FAILED }
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
    path: Result<OsString, String>,
    gos: Vec<Go>,
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
    fn new(name: impl Into<String>, path: Result<OsString, String>) -> Self {
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
            Err(why) => return why.clone(),
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
            "error": self.path.as_ref().err(),
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
    let own = variable("PATH").ok_or_else(|| "PATH is not set".to_owned());
    let mut views = vec![View::new("This process", own)];
    let shell = variable("SHELL")
        .map(PathBuf::from)
        .filter(|shell| shell.is_absolute());
    let shell = shell.unwrap_or_else(|| PathBuf::from("/bin/sh"));
    let name = files::shown(&shell);
    let login = ask_shell(&shell, &["-l"], OsStr::new(BARE_PATH));
    let base = session_path()
        .or_else(|| login.clone().ok())
        .unwrap_or_else(|| OsString::from(BARE_PATH));
    views.push(View::new(format!("A login shell ({name} -l)"), login));
    views.push(View::new(
        format!("An interactive shell ({name} -i)"),
        ask_shell(&shell, &["-i"], &base),
    ));
    let editors = editors();
    if editors.is_empty() {
        let asked = ask_shell(&shell, &["-i", "-l"], &base);
        views.push(View::new(
            "An editor (none runs; asked as Visual Studio Code does)",
            asked,
        ));
    }
    views.extend(editors.into_iter().map(|(name, path)| View::new(name, Ok(path))));
    if let Some(path) = sudo_path() {
        views.push(View::new("sudo (secure_path of /etc/sudoers)", Ok(path)));
    }
    views
}

const BEGIN: &str = "<gofix:PATH:";
const END: &str = ":gofix>";

/// PATH as the shell has it after its start-up files.
fn ask_shell(shell: &Path, flags: &[&str], path: &OsStr) -> Result<OsString, String> {
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
        Ended::NotStarted(error) => return Err(format!("cannot be asked: {error}")),
        Ended::TooLate => {
            return Err(format!(
                "did not say within {} s; its start-up files wait for something",
                SHELL_TIME.as_secs()
            ));
        }
    };
    let begin = memchr::memmem::rfind(&said, BEGIN.as_bytes()).map(|at| at + BEGIN.len());
    let end = memchr::memmem::rfind(&said, END.as_bytes());
    match (begin, end) {
        (Some(begin), Some(end)) if begin <= end => Ok(OsString::from_vec(
            said.get(begin..end).unwrap_or_default().to_vec(),
        )),
        _ => Err("did not say its PATH".to_owned()),
    }
}

/// PATH as this session was started with: what a new terminal inherits. It is that of the uppermost process above this one
/// that belongs to the same user and can be read (a desktop's session, a container's first process).
fn session_path() -> Option<OsString> {
    let me = nix::unistd::geteuid().as_raw();
    let mut path = None;
    let mut pid = std::os::unix::process::parent_id();
    while pid > 0 {
        let process = PathBuf::from(format!("/proc/{pid}"));
        if std::os::unix::fs::MetadataExt::uid(&fs::metadata(&process).ok()?) != me {
            break;
        }
        path = environment_path(&process).or(path);
        let stat = fs::read_to_string(process.join("stat")).ok()?;
        // The name in parentheses may hold anything, blanks and parentheses included.
        pid = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    }
    path
}

/// PATH as a process was started with, where it can be read.
fn environment_path(process: &Path) -> Option<OsString> {
    let environment = fs::read(process.join("environ")).ok()?;
    let path = environment
        .split(|byte| *byte == 0)
        .find_map(|line| line.strip_prefix(b"PATH="))?;
    Some(OsStr::from_bytes(path).to_owned())
}

/// The names that editors and their language server run under, as the kernel cuts them.
const EDITORS: &[&str] = &[
    "code",
    "code-server",
    "codium",
    "cursor",
    "emacs",
    "goland",
    "gopls",
    "hx",
    "idea",
    "kate",
    "nvim",
    "subl",
    "vim",
    "zed",
    "zed-editor",
];

/// The editors of this user that run, with the PATH that they were started with; one for each name and PATH.
fn editors() -> Vec<(String, OsString)> {
    let mut found: Vec<(String, OsString)> = Vec::new();
    let Ok(processes) = fs::read_dir("/proc") else {
        return found;
    };
    for process in processes.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(name) = fs::read_to_string(process.path().join("comm")) else {
            continue;
        };
        let name = name.trim();
        if !EDITORS.contains(&name) {
            continue;
        }
        // Of somebody else's processes it cannot be read.
        let Some(path) = environment_path(&process.path()) else {
            continue;
        };
        let name = format!("An editor's process ({} {pid})", safe(name));
        if !found.iter().any(|(_, known)| *known == path) {
            found.push((name, path));
        }
    }
    found
}

/// `secure_path` of sudo, where the file can be read.
fn sudo_path() -> Option<OsString> {
    let text = fs::read(super::system_root().join("etc/sudoers")).ok()?;
    let line = text.split(|byte| *byte == b'\n').rfind(|line| {
        let line = line.trim_ascii();
        line.starts_with(b"Defaults") && memchr::memmem::find(line, b"secure_path").is_some()
    })?;
    let value = line.splitn(2, |byte| *byte == b'=').nth(1)?.trim_ascii();
    let value = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""))
        .unwrap_or(value);
    Some(OsString::from_vec(value.to_vec()))
}

/// What never comes by PATH, and what of that was found here.
fn notes() -> Vec<String> {
    let mut notes = Vec::new();
    if gofix_is_off() {
        notes.push("everything: GOFIX is off, or /etc/gofix/off is there".to_owned());
    }
    if let Some(go) = variable("GOFIX_GO").filter(|go| !go.is_empty()) {
        notes.push(format!("GOFIX_GO names the real go: {}", safe(go.as_bytes())));
    }
    notes.extend(project_notes(Path::new(".")));
    notes.extend(
        code_settings()
            .into_iter()
            .filter_map(|path| settings_note(&path)),
    );
    if super::system_root().join("etc/sudoers").exists() && sudo_path().is_none() {
        notes.push("sudo go ...: sudo has a PATH of its own (secure_path); sudo env \"PATH=$PATH\" go ... keeps yours".to_owned());
    }
    notes.push(
        "a go that `go generate`, `go test` or `go run` starts: go puts GOROOT/bin first in their PATH"
            .to_owned(),
    );
    notes
        .push("GoLand and IntelliJ: they call the go of the GOROOT in their settings by its path".to_owned());
    notes.push("Bazel's rules_go: it calls the go of its own toolchain by its path".to_owned());
    notes
}

fn gofix_is_off() -> bool {
    let (gofix, none) = (variable("GOFIX"), None);
    gofix_shim::shim::is_switched_off(gofix.as_deref().map(OsStr::as_bytes), none)
}

/// What the folder that one stands in says about go by absolute path.
fn project_notes(folder: &Path) -> Vec<String> {
    let mut notes = Vec::new();
    for name in ["Makefile", "makefile", "GNUmakefile", "Taskfile.yml", "justfile"] {
        if let Some(go) = read_some(&folder.join(name)).as_deref().and_then(absolute_go) {
            notes.push(format!("{name} here calls {} by its path", safe(go)));
        }
    }
    if ["MODULE.bazel", "WORKSPACE", "WORKSPACE.bazel"]
        .iter()
        .any(|name| folder.join(name).exists())
    {
        notes.push("this folder is built by Bazel".to_owned());
    }
    if folder.join(".idea").is_dir() {
        notes.push("this folder is opened in GoLand or IntelliJ (.idea)".to_owned());
    }
    notes.extend(settings_note(&folder.join(".vscode/settings.json")));
    notes
}

/// The settings of Visual Studio Code that name a go.
fn settings_note(path: &Path) -> Option<String> {
    let text = read_some(path)?;
    let keys = ["go.alternateTools", "go.goroot", "go.toolsEnvVars"];
    let found: Vec<&str> = keys
        .into_iter()
        .filter(|key| memchr::memmem::find(&text, key.as_bytes()).is_some())
        .collect();
    (!found.is_empty()).then(|| {
        format!(
            "{} sets {}: look there if the editor's go is not the shim",
            files::shown(path),
            found.join(", ")
        )
    })
}

fn code_settings() -> Vec<PathBuf> {
    let home = files::absolute("HOME");
    let config = files::absolute("XDG_CONFIG_HOME").or_else(|| home.map(|home| home.join(".config")));
    let Some(config) = config else { return Vec::new() };
    ["Code", "VSCodium", "Cursor"]
        .iter()
        .map(|name| config.join(name).join("User/settings.json"))
        .collect()
}

/// The beginning of a file: enough for what is looked for, harmless for what is not.
fn read_some(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    let file = fs::File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut text = Vec::new();
    file.take(1 << 20).read_to_end(&mut text).ok()?;
    Some(text)
}

/// The first word of a text that is the absolute path of a go.
fn absolute_go(text: &[u8]) -> Option<&[u8]> {
    text.split(|byte| byte.is_ascii_whitespace() || b"=:;\"'()@&|".contains(byte))
        .find(|word| word.starts_with(b"/") && word.ends_with(b"/bin/go"))
}
