//! The lines that put the shim first in PATH, and the files that they go into.
//!
//! A line in a shell's own file stands between two marks, so that it is found again: it is never written twice, and taking it
//! away gives the bytes back that were there before. Files of gofix's own (`conf.d/gofix.fish`, `profile.d/gofix.sh`) hold
//! nothing else and are removed whole.
//!
//! The lines *move* the folder to the front instead of adding it once more: gofix looks for the real go behind its last place
//! in PATH, so a second copy behind the real go would hide it.
//!
//! Known limitations: what stands below the lines in the same file may put something else in front again; `gofix shim
//! status` shows that.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::sys::files::{self, Refusal};

/// A kind of shell, by the grammar of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shell {
    /// bash, zsh, dash, ksh and every other POSIX shell.
    Posix,
    /// fish.
    Fish,
}

const POSIX: &str = include_str!("../../../shims/path.sh");
const FISH: &str = include_str!("../../../shims/path.fish");

/// What may stand behind them: a folder that belongs last in PATH, unless it is there. For the whole machine it is that of the
/// go that was there: a login shell's `/etc/profile` makes PATH anew, without the folders that an image or an installer has
/// put there. For one user it is that of `gofix` itself, since `~/.local/bin` often is not in PATH.
const POSIX_LAST: &str = "case \":${PATH}:\" in *:@DIR@:*) ;; *) PATH=\"${PATH}:\"@DIR@ ;; esac\n";
const FISH_LAST: &str = "contains -- @DIR@ $PATH; or set -gx PATH $PATH @DIR@\n";

impl Shell {
    /// The lines that put `dir` first, and another folder last.
    pub(super) fn lines(self, dir: &Path, last: Option<&Path>) -> Vec<u8> {
        let (move_first, add_last) = match self {
            Self::Posix => (POSIX, POSIX_LAST),
            Self::Fish => (FISH, FISH_LAST),
        };
        let mut lines = self.filled(move_first, dir);
        if let Some(last) = last {
            lines.extend(self.filled(add_last, last));
        }
        lines
    }

    fn filled(self, template: &str, dir: &Path) -> Vec<u8> {
        let quoted = match self {
            Self::Posix => quote(dir, b"'\\''"),
            Self::Fish => quote(dir, b"\\'"),
        };
        let mut lines = Vec::new();
        let mut parts = template.split("@DIR@");
        lines.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            lines.extend_from_slice(&quoted);
            lines.extend_from_slice(part.as_bytes());
        }
        lines
    }
}

/// A path as somebody types it into a POSIX shell.
pub(super) fn for_shell(path: &Path) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@%".contains(byte);
    if path.as_os_str().as_bytes().iter().all(plain) {
        return files::shown(path);
    }
    String::from_utf8_lossy(&quote(path, b"'\\''")).into_owned()
}

/// A path in single quotes; `escape` stands for a quote inside.
fn quote(path: &Path, escape: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'\'' => quoted.extend_from_slice(escape),
            // fish reads a backslash inside single quotes.
            b'\\' if escape.starts_with(b"\\'") => quoted.extend_from_slice(b"\\\\"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// A file that gets the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Its path.
    pub(super) path: PathBuf,
    /// The grammar of the lines.
    pub(super) shell: Shell,
    /// Nothing but gofix's lines is ever in it.
    pub(super) own: bool,
}

impl Target {
    fn shared(path: PathBuf) -> Self {
        Self {
            path,
            shell: Shell::Posix,
            own: false,
        }
    }

    fn own(path: PathBuf, shell: Shell) -> Self {
        Self {
            path,
            shell,
            own: true,
        }
    }
}

/// What of the environment decides which files a user's shells read.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    /// HOME.
    pub(super) home: PathBuf,
    /// The name of the login shell: the last part of SHELL.
    pub(super) shell: OsString,
    /// ZDOTDIR.
    pub(super) zdotdir: Option<PathBuf>,
    /// XDG_CONFIG_HOME.
    pub(super) config: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process; none where HOME is not an absolute path.
    pub(super) fn current() -> Option<Self> {
        let shell = std::env::var_os("SHELL").map(PathBuf::from);
        Some(Self {
            home: files::absolute("HOME")?,
            shell: shell
                .as_deref()
                .and_then(Path::file_name)
                .map(OsStr::to_owned)
                .unwrap_or_default(),
            zdotdir: files::absolute("ZDOTDIR"),
            config: files::absolute("XDG_CONFIG_HOME"),
        })
    }

    fn zsh(&self) -> &Path {
        self.zdotdir.as_deref().unwrap_or(&self.home)
    }

    fn fish(&self) -> PathBuf {
        self.config
            .clone()
            .unwrap_or_else(|| self.home.join(".config"))
            .join("fish")
    }

    /// Every file of the user's that may hold the lines.
    pub(super) fn all(&self) -> Vec<Target> {
        let bash = [".profile", ".bash_profile", ".bash_login", ".bashrc"].map(|name| self.home.join(name));
        let zsh = [".zprofile", ".zshrc"].map(|name| self.zsh().join(name));
        let mut targets: Vec<Target> = bash.into_iter().chain(zsh).map(Target::shared).collect();
        targets.push(Target::own(self.fish().join("conf.d/gofix.fish"), Shell::Fish));
        targets
    }

    /// The files that should hold them: those that the user's shells read, as login shells and as interactive ones.
    pub(super) fn wanted(&self) -> Vec<Target> {
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        let uses = |name: &str| self.shell == name;
        // The first of these is what bash reads as a login shell; .profile is also what desktops read.
        let login = [".bash_profile", ".bash_login"].map(|name| self.home.join(name));
        let mut wanted = vec![self.home.join(".profile")];
        wanted.extend(login.into_iter().filter(|path| is_there(path)).take(1));
        let bashrc = self.home.join(".bashrc");
        if uses("bash") || is_there(&bashrc) {
            wanted.push(bashrc);
        }
        let zsh = [".zprofile", ".zshrc"].map(|name| self.zsh().join(name));
        if uses("zsh") || zsh.iter().any(|path| is_there(path)) {
            wanted.extend(zsh);
        }
        let mut targets: Vec<Target> = wanted.into_iter().map(Target::shared).collect();
        if uses("fish") || is_there(&self.fish()) {
            targets.push(Target::own(self.fish().join("conf.d/gofix.fish"), Shell::Fish));
        }
        targets
    }
}

/// The files of the whole machine, below `root` (`/`, but for tests).
pub(super) fn system(root: &Path, wanted_only: bool) -> Vec<Target> {
    let fish = root.join("etc/fish");
    let zsh = ["etc/zsh/zprofile", "etc/zsh/zshrc"].map(|name| root.join(name));
    let mut targets = vec![Target::own(root.join("etc/profile.d/gofix.sh"), Shell::Posix)];
    targets.extend(
        zsh.into_iter()
            .filter(|path| !wanted_only || path.exists())
            .map(Target::shared),
    );
    if !wanted_only || fish.exists() {
        targets.push(Target::own(fish.join("conf.d/gofix.fish"), Shell::Fish));
    }
    targets
}

/// The mark above the lines; which one says what has to be undone beside them.
const BEGIN: &[u8] = b"# >>> gofix shim >>>\n";
/// The file had no line end before the mark.
const BEGIN_JOINED: &[u8] = b"# >>> gofix shim (joined) >>>\n";
/// There was no such file.
const BEGIN_NEW: &[u8] = b"# >>> gofix shim (new file) >>>\n";
const END: &[u8] = b"# <<< gofix shim <<<\n";

/// What putting the lines into a file came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// They are there already, for the same folder.
    Already,
    /// They were written; the topmost folder that was made for the file.
    Written(Option<PathBuf>),
}

/// Puts the lines into a file, in place of those for another folder.
pub(super) fn put(target: &Target, dir: &Path, last: Option<&Path>) -> Result<Put, Refusal> {
    let was = files::read(&target.path)?;
    let text = if target.own {
        target.shell.lines(dir, last)
    } else {
        with_block(was.as_deref(), target, &target.shell.lines(dir, last))?
    };
    if was.as_ref() == Some(&text) {
        return Ok(Put::Already);
    }
    files::write(&target.path, &text, 0o644).map(Put::Written)
}

fn with_block(was: Option<&[u8]>, target: &Target, lines: &[u8]) -> Result<Vec<u8>, Refusal> {
    let Some(Without { mut text, new }) = was.map_or_else(|| Some(Without::nothing()), without_block) else {
        return Err(broken(&target.path));
    };
    let joined = text.last().is_some_and(|byte| *byte != b'\n');
    if joined {
        text.push(b'\n');
    }
    text.extend_from_slice(match (new, joined) {
        (true, _) => BEGIN_NEW,
        (false, true) => BEGIN_JOINED,
        (false, false) => BEGIN,
    });
    text.extend_from_slice(lines);
    text.extend_from_slice(END);
    Ok(text)
}

/// Takes the lines away; false where there are none. A file that gofix made is removed with them.
pub(super) fn take(target: &Target) -> Result<bool, Refusal> {
    let was = match files::read(&target.path) {
        Ok(Some(was)) => was,
        Ok(None) => return Ok(false),
        // gofix never writes through a link or into something odd, so there is nothing of its in it.
        Err(Refusal::Link(..) | Refusal::Odd(_) | Refusal::Large(_)) => return Ok(false),
        Err(refusal) => return Err(refusal),
    };
    if target.own {
        files::remove(&target.path)?;
        return Ok(true);
    }
    let Without { text, new } = without_block(&was).ok_or_else(|| broken(&target.path))?;
    if text == was {
        return Ok(false);
    }
    if new && text.is_empty() {
        files::remove(&target.path)?;
    } else {
        files::write(&target.path, &text, 0o644)?;
    }
    Ok(true)
}

/// A text without gofix's lines.
struct Without {
    text: Vec<u8>,
    /// The file came with the lines, and goes with them if nobody has added to it.
    new: bool,
}

impl Without {
    fn nothing() -> Self {
        Self {
            text: Vec::new(),
            new: true,
        }
    }
}

/// The text without the lines between the marks; `None` where a mark has no partner.
fn without_block(text: &[u8]) -> Option<Without> {
    let found = [BEGIN, BEGIN_JOINED, BEGIN_NEW]
        .into_iter()
        .find_map(|mark| Some((memchr::memmem::find(text, mark)?, mark)));
    let Some((begin, mark)) = found else {
        let half = memchr::memmem::find(text, END.trim_ascii_end()).is_some();
        return (!half).then(|| Without {
            text: text.to_vec(),
            new: false,
        });
    };
    let body = begin + mark.len();
    let end = body + memchr::memmem::find(text.get(body..)?, END)? + END.len();
    let (before, after) = (text.get(..begin)?, text.get(end..)?);
    // What somebody wrote below must not end up in the line above.
    let joined = mark == BEGIN_JOINED && after.is_empty();
    let before = if joined {
        before.strip_suffix(b"\n").unwrap_or(before)
    } else {
        before
    };
    Some(Without {
        text: [before, after].concat(),
        new: mark == BEGIN_NEW,
    })
}

fn broken(path: &Path) -> Refusal {
    Refusal::Block(files::shown(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(path: &Path) -> Target {
        Target::shared(path.to_owned())
    }

    #[test]
    fn taking_the_lines_away_gives_the_bytes_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rc");
        for text in [&b""[..], b"a\n", b"a", b"a\n\n", b"\n", b"\xff\xfe no text\n"] {
            std::fs::write(&file, text).unwrap();
            assert!(matches!(
                put(&shared(&file), Path::new("/a/b"), None),
                Ok(Put::Written(None))
            ));
            assert_eq!(
                put(&shared(&file), Path::new("/a/b"), None).unwrap(),
                Put::Already,
                "never twice"
            );
            put(&shared(&file), Path::new("/other"), None).unwrap();
            let now = std::fs::read(&file).unwrap();
            assert_eq!(memchr::memmem::find_iter(&now, END).count(), 1);
            assert!(take(&shared(&file)).unwrap());
            assert_eq!(std::fs::read(&file).unwrap(), text);
        }
        std::fs::remove_file(&file).unwrap();
        put(&shared(&file), Path::new("/a"), None).unwrap();
        assert!(take(&shared(&file)).unwrap());
        assert!(!file.exists(), "a file that gofix made goes with the lines");
    }

    #[test]
    fn what_was_written_below_the_lines_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rc");
        std::fs::write(&file, "above").unwrap();
        put(&shared(&file), Path::new("/a"), None).unwrap();
        let text = [std::fs::read(&file).unwrap(), b"below\n".to_vec()].concat();
        std::fs::write(&file, text).unwrap();
        put(&shared(&file), Path::new("/b"), None).unwrap();
        take(&shared(&file)).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "above\nbelow\n");
    }

    #[test]
    fn half_a_block_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rc");
        for text in [&b"a\n# >>> gofix shim >>>\nb\n"[..], b"a\n# <<< gofix shim <<<\n"] {
            std::fs::write(&file, text).unwrap();
            assert!(matches!(
                put(&shared(&file), Path::new("/a"), None),
                Err(Refusal::Block(_))
            ));
            assert!(matches!(take(&shared(&file)), Err(Refusal::Block(_))));
            assert_eq!(std::fs::read(&file).unwrap(), text);
        }
    }

    #[test]
    fn only_the_files_of_shells_that_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        let names = |around: &Surroundings| -> Vec<String> {
            let name = |target: &Target| target.path.strip_prefix(home).unwrap().display().to_string();
            around.wanted().iter().map(name).collect()
        };
        let mut around = Surroundings {
            home: home.to_owned(),
            shell: "dash".into(),
            ..Surroundings::default()
        };
        assert_eq!(names(&around), [".profile"]);
        around.shell = "bash".into();
        assert_eq!(names(&around), [".profile", ".bashrc"]);
        std::fs::write(home.join(".bash_profile"), "").unwrap();
        std::fs::create_dir_all(home.join(".config/fish")).unwrap();
        around.shell = "zsh".into();
        assert_eq!(
            names(&around),
            [
                ".profile",
                ".bash_profile",
                ".zprofile",
                ".zshrc",
                ".config/fish/conf.d/gofix.fish"
            ]
        );
    }
}
