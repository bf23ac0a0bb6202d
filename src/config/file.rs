//! The two files: where they lie, whether they may be believed, and what stands in them.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use toml_edit::Document;

use super::error::UnreadFile;
use super::settings::{Given, SETTINGS, unknown_key};
use super::{Config, Origin, Warning, shown_path};
use crate::env_vars;
use crate::go::env::Lookup;
use crate::text::safe;

/// The folder of the system's configuration.
pub const SYSTEM_DIR: &str = "/etc/gofix";

/// A file larger than this is no configuration and is not read: 1 MiB.
const MAX_FILE: u64 = 1 << 20;

/// The files of the two layers below the variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The system's file.
    pub system: PathBuf,
    /// The user's file, if there is a place for one.
    pub user: Option<UserFile>,
}

/// The user's file, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFile {
    /// Its path; absolute.
    pub path: PathBuf,
    /// It was named by `GOFIX_CONFIG`: then it has to exist, and may belong to anybody.
    pub named: bool,
}

impl Files {
    /// Finds the files of this environment; what is wrong with `GOFIX_CONFIG` becomes a warning.
    pub fn locate(env: Lookup<'_>, warnings: &mut Vec<Warning>) -> Self {
        // Tests put a folder of their own in place of /etc/gofix, so that the machine's file does not decide them.
        let system_dir =
            env("__GOFIX_TEST_SYSTEM_DIR").map_or_else(|| PathBuf::from(SYSTEM_DIR), PathBuf::from);
        Self {
            system: system_dir.join("config.toml"),
            user: user_file(env, warnings),
        }
    }
}

fn user_file(env: Lookup<'_>, warnings: &mut Vec<Warning>) -> Option<UserFile> {
    let Some(named) = env(env_vars::GOFIX_CONFIG).filter(|value| !value.is_empty()) else {
        return default_user_file(env).map(|path| UserFile { path, named: false });
    };
    if named == "off" {
        return None;
    }
    let path = PathBuf::from(named);
    if path.is_absolute() {
        return Some(UserFile { path, named: true });
    }
    // A relative path would make it a file of whatever project one happens to stand in.
    warnings.push(Warning {
        place: env_vars::GOFIX_CONFIG.to_owned(),
        key: None,
        message: format!(
            "`{}` is not an absolute path; no user's file is read",
            shown_path(&path)
        ),
    });
    None
}

/// The user's file in the XDG folder; none where neither `XDG_CONFIG_HOME` nor `HOME` is an absolute path.
fn default_user_file(env: Lookup<'_>) -> Option<PathBuf> {
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(base.join("gofix").join("config.toml"))
}

#[derive(Clone, Copy)]
pub(super) enum Layer {
    System,
    User { named: bool },
}

impl Layer {
    fn origin(self, path: &Path, line: usize) -> Origin {
        match self {
            Self::System => Origin::SystemFile(path.to_owned(), line),
            Self::User { .. } => Origin::UserFile(path.to_owned(), line),
        }
    }
}

pub(super) fn read_file(config: &mut Config, path: &Path, layer: Layer, warnings: &mut Vec<Warning>) {
    let text = match read_text(path, layer) {
        Ok(Some(text)) => text,
        Ok(None) => return,
        Err(error) => {
            warnings.push(Warning {
                place: shown_path(path),
                key: None,
                message: format!("{error}; the whole file is ignored"),
            });
            return;
        }
    };
    apply_text(config, path, layer, &text, warnings);
}

/// The text of a configuration file; `None` where there is no file.
fn read_text(path: &Path, layer: Layer) -> Result<Option<String>, UnreadFile> {
    let named = matches!(layer, Layer::User { named: true });
    // O_NONBLOCK: a fifo without a writer must not hold up a go command.
    let file = match File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if !named && (is_absent(&error) || !is_known(path)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(UnreadFile::Folder);
    }
    if !about.is_file() {
        // /dev/null is the usual way to say "no file".
        return if path == Path::new("/dev/null") {
            Ok(None)
        } else {
            Err(UnreadFile::Special)
        };
    }
    if about.len() > MAX_FILE {
        return Err(UnreadFile::Large(MAX_FILE));
    }
    if !named {
        refuse_strangers(&about)?;
    }
    let mut bytes = Vec::new();
    // The length may have grown since it was asked for.
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(UnreadFile::Large(MAX_FILE));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let line =
            1 + memchr::memchr_iter(b'\n', &error.as_bytes()[..error.utf8_error().valid_up_to()]).count();
        UnreadFile::Encoding(line)
    })
}

/// No file, or nothing that could hold one.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// False where nobody can tell whether there is such a file: a HOME that may
/// not be searched (`sudo -u`), or that is a loop. Nobody named it, so that there
/// is nothing to complain of.
fn is_known(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Whoever may write the file chooses which servers learn module names, so it has to be the user's or root's.
fn refuse_strangers(about: &std::fs::Metadata) -> Result<(), UnreadFile> {
    let me = nix::unistd::geteuid().as_raw();
    if about.uid() != me && about.uid() != 0 {
        return Err(UnreadFile::Stranger {
            owner: about.uid(),
            me,
        });
    }
    if about.mode() & 0o002 != 0 {
        return Err(UnreadFile::WorldWritable);
    }
    Ok(())
}

fn apply_text(config: &mut Config, path: &Path, layer: Layer, text: &str, warnings: &mut Vec<Warning>) {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            warnings.push(Warning {
                place: format!("{}:{line}", shown_path(path)),
                key: None,
                message: format!(
                    "{}; the whole file is ignored",
                    UnreadFile::Syntax(safe(error.message()))
                ),
            });
            return;
        }
    };
    let table = document.as_table();
    for (name, item) in table.iter() {
        let key_span = table.get_key_value(name).and_then(|(key, _)| key.span());
        let line = key_span
            .or_else(|| item.span())
            .map_or(1, |span| line_of(text, span.start));
        let warn = |message: String| Warning {
            place: format!("{}:{line}", shown_path(path)),
            key: Some(safe(name)),
            message,
        };
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == name) else {
            warnings.push(warn(unknown_key(name)));
            continue;
        };
        let mut complaints = Vec::new();
        (setting.set)(
            config,
            &Given::Toml(item),
            &layer.origin(path, line),
            &mut complaints,
        );
        for complaint in complaints {
            let message = setting.with_what_holds(config, &complaint);
            warnings.push(warn(message));
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + memchr::memchr_iter(b'\n', before).count()
}
