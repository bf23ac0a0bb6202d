//! Writing to files of the user's: whole or not at all, never through a link, never in somebody else's home.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::text::safe;

/// No file that gofix edits is larger.
const MAX_FILE: u64 = 16 << 20;

/// Why a file was not touched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is a link: what it points to is somebody's choice that a rename would undo.
    #[error("{0} is a link to {1}; gofix writes through no link, so change that file by hand")]
    Link(String, String),
    /// A folder above it belongs to somebody else.
    #[error("{folder} belongs to user {owner}, not to user {me}; run this as that user, or set HOME")]
    Stranger {
        /// The nearest folder that there is.
        folder: String,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        me: u32,
    },
    /// It would lie in a HOME that is not there: as a rule the name of one that is not to be, such as /nonexistent.
    #[error("{0}, which HOME names, is not there; make it first, or set HOME")]
    NoHome(String),
    /// It is no regular file.
    #[error("{0} is no regular file")]
    Odd(String),
    /// One of the two marks round gofix's lines is gone.
    #[error(
        "{0} holds half of gofix's lines; remove what is between `# >>> gofix shim` and `# <<< gofix shim` by hand"
    )]
    Block(String),
    /// It is larger than any file that gofix edits.
    #[error("{0} is larger than 16 MiB; gofix does not edit such a file")]
    Large(String),
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// What it was about.
        path: String,
        /// What it said.
        error: io::Error,
    },
}

/// A path, fit to stand in a line.
pub(crate) fn shown(path: &Path) -> String {
    safe(path.as_os_str().as_bytes())
}

fn io_error(path: &Path, error: io::Error) -> Refusal {
    Refusal::Io {
        path: shown(path),
        error,
    }
}

/// The bytes of a file that may be replaced; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Refusal> {
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, error)),
    };
    if about.is_symlink() {
        let target = fs::read_link(path).unwrap_or_default();
        return Err(Refusal::Link(shown(path), shown(&target)));
    }
    if !about.is_file() {
        return Err(Refusal::Odd(shown(path)));
    }
    let mut file = fs::File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| io_error(path, error))?;
    let mut bytes = Vec::new();
    Read::by_ref(&mut file)
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| io_error(path, error))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Refusal::Large(shown(path)));
    }
    Ok(Some(bytes))
}

/// Replaces a file, or makes it with `mode`; one that is there keeps its mode. Folders that are missing are made (0755); the
/// topmost of those is returned.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<Option<PathBuf>, Refusal> {
    read_link_free(path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let made = make_folder(folder)?;
    let mode = fs::symlink_metadata(path).map_or(mode, |about| about.permissions().mode() & 0o7777);
    let mut file = tempfile::Builder::new()
        .prefix(".gofix-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(folder)
        .map_err(|error| io_error(folder, error))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().set_permissions(fs::Permissions::from_mode(mode)))
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| io_error(path, error))?;
    file.persist(path).map_err(|error| io_error(path, error.error))?;
    Ok(made)
}

fn read_link_free(path: &Path) -> Result<(), Refusal> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_symlink() => Err(Refusal::Link(
            shown(path),
            shown(&fs::read_link(path).unwrap_or_default()),
        )),
        Ok(about) if !about.is_file() => Err(Refusal::Odd(shown(path))),
        _ => Ok(()),
    }
}

/// Makes a folder and those above it, if the nearest one that there is belongs to the one who asks; returns the topmost one
/// that was made.
pub(crate) fn make_folder(folder: &Path) -> Result<Option<PathBuf>, Refusal> {
    owned(folder)?;
    let missing = folder
        .ancestors()
        .take_while(|above| fs::metadata(above).is_err())
        .last()
        .map(Path::to_owned);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .map_err(|error| io_error(folder, error))?;
    Ok(missing)
}

/// Refuses a place whose nearest existing folder belongs to neither the one who asks nor root: above all somebody else's home
/// that root finds in HOME; and a place in a HOME that is not there, which root could make anywhere. What a user may do in
/// folders of root's, such as /tmp, the system decides.
pub(crate) fn owned(place: &Path) -> Result<(), Refusal> {
    if let Some(home) = absolute("HOME")
        && place.starts_with(&home)
        && fs::metadata(&home).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    {
        return Err(Refusal::NoHome(shown(&home)));
    }
    let me = nix::unistd::geteuid().as_raw();
    for folder in place.ancestors() {
        match fs::metadata(folder) {
            Ok(about) if about.uid() == me || about.uid() == 0 => return Ok(()),
            Ok(about) => {
                return Err(Refusal::Stranger {
                    folder: shown(folder),
                    owner: about.uid(),
                    me,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error(folder, error)),
        }
    }
    Ok(())
}

/// Removes a file or link that gofix made; it is fine where it is gone already.
pub(crate) fn remove(path: &Path) -> Result<(), Refusal> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

/// Removes `folder` and those above it up to `top`, as far as they are empty.
pub(crate) fn remove_empty(folder: &Path, top: &Path) {
    for folder in folder.ancestors().take_while(|above| above.starts_with(top)) {
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

/// The folder that a variable names, if it is an absolute path.
pub(crate) fn absolute(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}
