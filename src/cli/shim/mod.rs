//! `gofix shim`: puts the shim in front of go, takes it away, says which go wins.
//!
//! The shim stands in a folder of its own, as a link to the shim beside this gofix or, where there is none, to this gofix,
//! which behaves as the shim under the name `go`. A link and no copy: an update of gofix counts at once, gofix recognises
//! itself by device and inode, and when gofix is removed the link leads nowhere and every shell steps over it to the real go.
//!
//! Before the folder goes first in PATH the shim is run once. Known limitations: only a file that stands beside this gofix
//! can be the small shim; one that was installed elsewhere is not looked for.

mod lines;
mod status;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use self::lines::{Put, Shell, Surroundings, Target};
use super::args::{self, ShimAction, ShimInstall, ShimPlace};
use super::routes::{RoutesFile, Saved};
use crate::sys::files;

use super::OK;
use super::failure::Failure;
use crate::config::{BadValue, SYSTEM_DIR};
use crate::policy::presets;
use crate::report::{out, safe};
use crate::sys::run::{self, Ended};

/// What a process gets for PATH where nobody has set one.
const BARE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long the shim may take for one run.
const TRIAL: Duration = Duration::from_secs(20);

/// Runs the command.
pub(super) fn run(asked: &args::Shim) -> Result<i32, Failure> {
    match &asked.action {
        ShimAction::Install(asked) => install(asked)?,
        ShimAction::Uninstall(place) => uninstall(place)?,
        ShimAction::Status(asked) => return status::run(asked),
    }
    Ok(OK)
}

/// Where the shim is or goes.
struct Place {
    /// Its folder; absolute.
    dir: PathBuf,
    system: bool,
    /// It was named with `--dir`.
    named: bool,
}

impl Place {
    fn of(asked: &ShimPlace) -> Result<Self, Failure> {
        if let Some(dir) = &asked.dir {
            let dir = std::path::absolute(dir)
                .map_err(|error| Failure::new(format!("{}: {error}", files::shown(dir))))?;
            if dir
                .as_os_str()
                .as_bytes()
                .iter()
                .any(|byte| *byte == b':' || byte.is_ascii_control())
            {
                return Err(Failure::new(format!(
                    "{} cannot stand in PATH",
                    files::shown(&dir)
                )));
            }
            return Ok(Self {
                dir,
                system: asked.system,
                named: true,
            });
        }
        if asked.system {
            return Ok(Self {
                dir: system_root().join("usr/local/lib/gofix/shims"),
                system: true,
                named: false,
            });
        }
        let data = files::absolute("XDG_DATA_HOME")
            .or_else(|| files::absolute("HOME").map(|home| home.join(".local/share")))
            .ok_or_else(|| {
                Failure::new("HOME is not set, so there is no folder for the shim")
                    .hint("name one with --dir")
            })?;
        Ok(Self {
            dir: data.join("gofix/shims"),
            system: false,
            named: false,
        })
    }

    /// A folder that has the shim, whoever put it there.
    fn named(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            system: false,
            named: true,
        }
    }

    fn shim(&self) -> PathBuf {
        self.dir.join("go")
    }

    /// What a shell evaluates to have the shim first.
    fn print_command(&self) -> String {
        let system = if self.system { " --system" } else { "" };
        let dir = if self.named {
            format!(" --dir {}", lines::for_shell(&self.dir))
        } else {
            String::new()
        };
        // Said before gofix is in PATH, it must be found all the same.
        let is_found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|entry| entry.join("gofix").is_file());
        let gofix = match called().filter(|_| !is_found) {
            Some(path) => lines::for_shell(&path),
            None => "gofix".to_owned(),
        };
        format!("{gofix} shim install{system}{dir} --print")
    }

    /// The files that may hold the PATH lines, or those of them that should.
    fn targets(&self, wanted_only: bool) -> Vec<Target> {
        if self.system {
            return lines::system(&system_root(), wanted_only);
        }
        let around = Surroundings::current();
        around
            .map(|around| {
                if wanted_only {
                    around.wanted()
                } else {
                    around.all()
                }
            })
            .unwrap_or_default()
    }
}

/// `/`, but for tests.
fn system_root() -> PathBuf {
    std::env::var_os("__GOFIX_TEST_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

fn install(asked: &ShimInstall) -> Result<(), Failure> {
    let place = Place::of(&asked.place)?;
    let routes = asked.routes.as_deref().map(preset).transpose()?;
    let program = program()?;
    let mut made = Made::read(&place);
    made.add(link(&place, &program)?);
    out::message(&format!(
        "the shim is {} -> {}",
        files::shown(&place.shim()),
        files::shown(&program)
    ));
    if let Some(name) = routes {
        let saved = write_routes(&place, name)?;
        made.add(saved.made);
        let path = files::shown(&saved.path);
        out::message(&format!(
            "the routes of {path} are now those of the preset {name}; `gofix routes` says who is asked"
        ));
    }
    match &asked.print {
        Some(shell) => print_lines(&place, shell),
        None => write_lines(&place, &mut made)?,
    }
    Ok(made.write(&place)?)
}

/// The folders that gofix made, so that taking the shim away removes those and no other.
struct Made(Vec<PathBuf>);

impl Made {
    fn file(place: &Place) -> PathBuf {
        place.dir.join(".gofix-made")
    }

    fn read(place: &Place) -> Self {
        let text = files::read(&Self::file(place)).ok().flatten().unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Self(lines.map(|line| PathBuf::from(OsStr::from_bytes(line))).collect())
    }

    fn add(&mut self, folder: Option<PathBuf>) {
        self.0.extend(folder);
    }

    fn write(&self, place: &Place) -> Result<(), files::Refusal> {
        if self.0.is_empty() {
            return Ok(());
        }
        let lines: Vec<&[u8]> = self
            .0
            .iter()
            .map(|folder| folder.as_os_str().as_bytes())
            .collect();
        files::write(&Self::file(place), &lines.join(&b'\n'), 0o644).map(|_| ())
    }

    /// Removes what is empty of them; only above `leaves`, whatever somebody wrote into the file.
    fn remove(&self, leaves: &[&Path]) {
        for leaf in leaves {
            for top in self
                .0
                .iter()
                .filter(|top| top.is_absolute() && leaf.starts_with(top))
            {
                files::remove_empty(leaf, top);
            }
        }
    }
}

fn preset(name: &str) -> Result<&'static str, Failure> {
    let preset = presets::find(name).ok_or_else(|| BadValue::Preset(safe(name)))?;
    Ok(preset.name)
}

/// The program that the shim is: the one beside this gofix, if it is a shim, else this gofix.
fn program() -> Result<PathBuf, Failure> {
    let gofix = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .map_err(|error| Failure::new(format!("the path of gofix itself cannot be found: {error}")))?;
    let beside = gofix.with_file_name("go");
    Ok(if beside.is_file() && try_out(&beside).is_ok() {
        beside
    } else {
        gofix
    })
}

/// Makes the link, runs it once, and only then gives it its name. Returns the topmost folder that was made for it.
fn link(place: &Place, program: &Path) -> Result<Option<PathBuf>, Failure> {
    let shim = place.shim();
    if shim.symlink_metadata().is_ok() && !is_ours(&shim) {
        return Err(
            Failure::new(format!("{} is there and is not gofix's", files::shown(&shim)))
                .hint("choose another folder with --dir"),
        );
    }
    let made = files::make_folder(&place.dir)?;
    let trial = place.dir.join(format!(".go-{}", std::process::id()));
    let done = symlink(program, &trial)
        .map_err(|error| Failure::new(format!("{}: {error}", files::shown(&trial))))
        .and_then(|()| try_out(&trial))
        .and_then(|()| compare_with_real_go(&trial))
        .and_then(|()| {
            std::fs::rename(&trial, &shim)
                .map_err(|error| Failure::new(format!("{}: {error}", files::shown(&shim))))
        });
    if done.is_err() {
        let _ = files::remove(&trial);
        if let Some(top) = &made {
            files::remove_empty(&place.dir, top);
        }
    }
    done.map(|()| made)
        .map_err(|failure| failure.hint("nothing was changed"))
}

/// A link that gofix made: one to something called gofix or go that answers as the shim does, or that leads nowhere.
fn is_ours(shim: &Path) -> bool {
    let Ok(target) = std::fs::read_link(shim) else {
        return false;
    };
    let name = target.file_name().unwrap_or_default();
    (name == "gofix" || name == "go") && (!shim.exists() || try_out(shim).is_ok())
}

/// Runs a program under the name `go` with a GOFIX_GO that says a word: a shim executes that, a go does not.
fn try_out(program: &Path) -> Result<(), Failure> {
    let cannot = |what: String| {
        Failure::new(format!(
            "{} cannot be the shim here: {what}",
            files::shown(program)
        ))
    };
    let folder = tempfile::tempdir().map_err(|error| Failure::new(format!("a temporary folder: {error}")))?;
    let go = folder.path().join("go");
    // Not through a descriptor that is open for writing: the kernel would say "text file busy".
    std::fs::write(&go, "#!/bin/sh\necho \"the shim runs $1\"\n")
        .and_then(|()| std::fs::set_permissions(&go, std::fs::Permissions::from_mode(0o700)))
        .map_err(|error| Failure::new(format!("{}: {error}", files::shown(&go))))?;
    let mut command = as_go(program);
    command
        .arg("gofix-trial")
        .env_clear()
        .env("GOFIX_GO", &go)
        .env("PATH", "/usr/bin:/bin");
    match run::within(TRIAL, command, None) {
        Ended::Said(output, Some(status)) if status.success() && output == b"the shim runs gofix-trial\n" => {
            Ok(())
        }
        Ended::Said(_, Some(status)) => Err(cannot(format!("it does not run the go behind it ({status})"))),
        Ended::Said(_, None) => Err(cannot("it says too much".to_owned())),
        Ended::NotStarted(error) => Err(cannot(format!("it does not start: {error}"))),
        Ended::TooLate => Err(cannot(format!("it did not end within {} s", TRIAL.as_secs()))),
    }
}

/// `go version` through the shim says what the real go says.
fn compare_with_real_go(shim: &Path) -> Result<(), Failure> {
    let Some(real) = super::real_go() else {
        out::message("warning: there is no go in PATH yet; the shim will say so until there is one");
        return Ok(());
    };
    let folder = tempfile::tempdir().map_err(|error| Failure::new(format!("a temporary folder: {error}")))?;
    // Go counts its runs in the user's configuration folder; these are none of the user's. Nor may it count them here, in a
    // process that outlives go and would put a folder back that has been removed.
    let telemetry = folder.path().join("go/telemetry");
    std::fs::create_dir_all(&telemetry)
        .and_then(|()| std::fs::write(telemetry.join("mode"), "off"))
        .map_err(|error| Failure::new(format!("{}: {error}", files::shown(&telemetry))))?;
    let version = |mut command: Command| {
        command
            .arg("version")
            .env("GOTOOLCHAIN", "local")
            .env("XDG_CONFIG_HOME", folder.path())
            .current_dir("/");
        match run::within(TRIAL, command, None) {
            Ended::Said(output, Some(status)) => Ok((output, status)),
            _ => Err(Failure::new(format!(
                "`go version` of {} does not end",
                files::shown(&real)
            ))),
        }
    };
    let mut through = as_go(shim);
    through.env("GOFIX_GO", &real);
    if version(through)? == version(Command::new(&real))? {
        return Ok(());
    }
    Err(Failure::new(format!(
        "`go version` through the shim differs from that of {}",
        files::shown(&real)
    )))
}

fn as_go(program: &Path) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    command.arg0("go");
    command
}

/// What marks routes that came with the shim, and go with it.
const WITH_SHIM: &str = " # by gofix shim install";

fn write_routes(place: &Place, preset: &str) -> Result<Saved, Failure> {
    let mut file = routes_file(place)?;
    if file.entries() != [format!("preset:{preset}")] {
        file.replace(&[format!("preset:{preset}")]);
        file.remark(WITH_SHIM);
    }
    file.save()
}

fn routes_file(place: &Place) -> Result<RoutesFile, Failure> {
    if place.system {
        return RoutesFile::at(
            system_root()
                .join(SYSTEM_DIR.trim_start_matches('/'))
                .join("config.toml"),
        );
    }
    RoutesFile::open()
}

fn print_lines(place: &Place, shell: &str) {
    let login = std::env::var_os("SHELL").map(PathBuf::from);
    let fish = match shell {
        "auto" => login.as_deref().and_then(Path::file_name) == Some("fish".as_ref()),
        name => name == "fish",
    };
    let shell = if fish { Shell::Fish } else { Shell::Posix };
    let last = folder_of_gofix().filter(|_| !place.system);
    let _ = out::stdout().write_all(&shell.lines(&place.dir, last.as_deref()));
}

fn write_lines(place: &Place, made: &mut Made) -> Result<(), Failure> {
    if let Some(file) = github_path() {
        return append_github_path(&file, &place.dir);
    }
    let last = match place.system {
        true => folder_of_go(),
        false => folder_of_gofix(),
    };
    let mut failed = Vec::new();
    for target in place.targets(true) {
        match lines::put(&target, &place.dir, last.as_deref()) {
            Ok(Put::Written(folder)) => {
                made.add(folder);
                out::message(&format!("put the PATH lines into {}", files::shown(&target.path)));
            }
            Ok(Put::Already) => out::message(&format!(
                "the PATH lines are in {} already",
                files::shown(&target.path)
            )),
            Err(refusal) => failed.push(refusal.to_string()),
        }
    }
    for complaint in &failed {
        out::message(&format!("warning: {complaint}"));
    }
    if !failed.is_empty() {
        out::message(&format!(
            "`{}` prints the lines to put there",
            place.print_command()
        ));
    }
    let dir = files::shown(&place.dir);
    if place.system {
        out::message(&format!(
            "in a Dockerfile, which no shell's file reaches: ENV PATH={dir}:$PATH"
        ));
    }
    let print = place.print_command();
    out::message(&format!(
        "shells that start from now on have it; for this one: `eval \"$({print})\"`"
    ));
    out::message(
        "`gofix shim status` shows which go runs where; `gofix shim uninstall` undoes the installation",
    );
    Ok(())
}

/// The path by which this gofix was called.
fn called() -> Option<PathBuf> {
    let called = PathBuf::from(std::env::args_os().next()?);
    if called.components().count() > 1 {
        return std::path::absolute(called).ok();
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|entry| entry.join(&called))
        .find(|file| file.is_absolute() && file.is_file())
}

/// The folder of `gofix`, where no shell has it in PATH by default. One that holds a `go`, too, is nothing for PATH: behind
/// the real go it would hide that.
fn folder_of_gofix() -> Option<PathBuf> {
    let folder = called()?.parent()?.to_owned();
    let is_common = std::env::split_paths(BARE_PATH).any(|entry| entry == folder);
    (!is_common && folder.join("gofix").is_file() && !folder.join("go").exists()).then_some(folder)
}

/// The folder of the real go, where every user of the machine may have it in PATH and none has by default.
fn folder_of_go() -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let folder = super::real_go()?.parent()?.to_owned();
    let owner = std::fs::metadata(&folder).ok()?;
    let is_safe = [0, nix::unistd::geteuid().as_raw()].contains(&owner.uid()) && owner.mode() & 0o022 == 0;
    let is_common = std::env::split_paths(BARE_PATH).any(|entry| entry == folder);
    (is_safe && !is_common).then_some(folder)
}

/// The file whose lines GitHub Actions puts in front of PATH for the steps that follow.
fn github_path() -> Option<PathBuf> {
    std::env::var_os("GITHUB_ACTIONS").filter(|value| value == "true")?;
    files::absolute("GITHUB_PATH")
}

fn append_github_path(file: &Path, dir: &Path) -> Result<(), Failure> {
    let was = files::read(file)?.unwrap_or_default();
    let dir = dir.as_os_str().as_bytes();
    if was.split(|byte| *byte == b'\n').any(|line| line == dir) {
        out::message(&format!("{} has the folder already", files::shown(file)));
        return Ok(());
    }
    let gap: &[u8] = if was.last().is_some_and(|byte| *byte != b'\n') {
        b"\n"
    } else {
        b""
    };
    let line = [gap, dir, b"\n"].concat();
    // The runner made this file and reads it by its path: it is appended to, as GitHub asks, not replaced.
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .and_then(|mut open| open.write_all(&line))
        .map_err(|error| Failure::new(format!("{}: {error}", files::shown(file))))?;
    out::message(&format!(
        "put the folder into {}: it is first in PATH from the next step on",
        files::shown(file)
    ));
    Ok(())
}

fn uninstall(asked: &ShimPlace) -> Result<(), Failure> {
    let place = Place::of(asked)?;
    let shim = place.shim();
    let mut said = Vec::new();
    if shim.symlink_metadata().is_ok() {
        if !is_ours(&shim) {
            return Err(
                Failure::new(format!("{} is not gofix's", files::shown(&shim))).hint("nothing was changed")
            );
        }
        files::remove(&shim)?;
        said.push(format!("removed {}", files::shown(&shim)));
    }
    let targets = place.targets(false);
    for target in &targets {
        match lines::take(target) {
            Ok(true) => said.push(format!(
                "took the PATH lines out of {}",
                files::shown(&target.path)
            )),
            Ok(false) => {}
            Err(refusal) => said.push(format!("warning: {refusal}")),
        }
    }
    let config = take_routes(&place, &mut said)?;
    let made = Made::read(&place);
    files::remove(&Made::file(&place))?;
    let leaves = targets
        .iter()
        .map(|target| target.path.as_path())
        .chain(config.as_deref())
        .filter_map(Path::parent);
    made.remove(&leaves.chain([place.dir.as_path()]).collect::<Vec<_>>());
    if said.is_empty() {
        said.push(format!(
            "there is no shim in {} and no PATH line",
            files::shown(&place.dir)
        ));
    }
    for line in said {
        out::message(&line);
    }
    Ok(())
}

/// Takes the routes away that came with the shim, unless somebody has changed them since; returns the file's path.
fn take_routes(place: &Place, said: &mut Vec<String>) -> Result<Option<PathBuf>, Failure> {
    let Ok(mut file) = routes_file(place) else {
        return Ok(None);
    };
    if file.has_remark(WITH_SHIM) && file.entries().len() == 1 {
        file.clear();
        let path = file.save()?.path;
        said.push(format!(
            "took the routes that came with the shim out of {}",
            files::shown(&path)
        ));
        return Ok(Some(path));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_that_runs_the_go_behind_it_is_a_shim() {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        // What a program for another C library looks like to the kernel: its loader is not there.
        let foreign = try_out(&program("foreign", "#!/lib/ld-nowhere.so.1\n"))
            .unwrap_err()
            .to_string();
        assert!(
            foreign.contains("cannot be the shim here: it does not start: No such file"),
            "{foreign}"
        );
        let other = try_out(&program("other", "#!/bin/sh\necho go version\n"))
            .unwrap_err()
            .to_string();
        assert!(other.contains("it does not run the go behind it"), "{other}");
        let noisy = program("noisy", "#!/bin/sh\necho hello; exec \"$GOFIX_GO\" \"$@\"\n");
        assert!(
            try_out(&noisy)
                .unwrap_err()
                .to_string()
                .contains("it does not run the go behind it")
        );
        assert_eq!(
            try_out(&program("shim", "#!/bin/sh\nexec \"$GOFIX_GO\" \"$@\"\n")),
            Ok(())
        );
    }
}
