//! Directory handles: every step inside the cache is taken relative to one.
//!
//! GOPATH is world-writable in the official container images and CI runs as
//! root there, so a name below the cache may be a link that somebody planted.
//! Nothing in this module follows one: each component is opened with
//! `O_NOFOLLOW` relative to the directory above it, and what was opened is
//! what is looked at, changed and renamed. Only the root itself (`GOMODCACHE`,
//! `GOCACHE`, the sumdb directory) is opened as the user wrote it, links and
//! all: people do put their cache behind a link.
//!
//! Known limitation: where the system or the file system has no `renameat2`, a directory that is put
//! back may replace an empty directory that appeared in the same instant.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::dir::Dir as Listing;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::RepairError;

/// How deep a tree may be before it is left alone: no module tree comes near,
/// and every level holds a descriptor.
const MAX_DEPTH: usize = 128;

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Dir,
    Link,
    Other,
}

impl Kind {
    fn of(mode: libc::mode_t) -> Self {
        match mode & libc::S_IFMT {
            libc::S_IFREG => Self::File,
            libc::S_IFDIR => Self::Dir,
            libc::S_IFLNK => Self::Link,
            _ => Self::Other,
        }
    }

    /// The word for it in a message, with its article.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Dir => "a directory",
            Self::Link => "a link",
            Self::Other => "not a regular file",
        }
    }
}

/// What `stat` says, as far as a repair needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) kind: Kind,
    /// Permission bits only.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) size: u64,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    /// Last change of the content.
    pub(crate) mtime: SystemTime,
    /// Last change of the content, the name or the mode.
    pub(crate) ctime: SystemTime,
}

impl Meta {
    #[expect(
        clippy::unnecessary_cast,
        reason = "the fields of stat differ in type between systems"
    )]
    #[cfg_attr(target_os = "linux", expect(clippy::useless_conversion, reason = "as above"))]
    fn from_stat(stat: &FileStat) -> Self {
        Self {
            kind: Kind::of(stat.st_mode),
            mode: u32::from(stat.st_mode) & 0o7777,
            uid: stat.st_uid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            mtime: time(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime: time(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }

    /// True for what belongs to the user of this process.
    pub(crate) fn is_mine(&self) -> bool {
        self.uid == nix::unistd::geteuid().as_raw()
    }

    /// True where the name held this file before `start`.
    pub(crate) fn before(&self, start: SystemTime) -> bool {
        self.mtime < start || self.ctime < start
    }
}

fn time(secs: i64, nanos: i64) -> SystemTime {
    let nanos = u32::try_from(nanos).unwrap_or(0);
    match u64::try_from(secs) {
        Ok(secs) => SystemTime::UNIX_EPOCH + Duration::new(secs, nanos),
        Err(_) => SystemTime::UNIX_EPOCH,
    }
}

/// Called with a directory, a name in it, its path below the start, and its kind.
type Visitor<'a> = dyn FnMut(&Dir, &OsStr, &[u8], Kind) -> Result<(), RepairError> + 'a;

/// An open directory, and the path it is shown under in messages.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    /// Refuse directories of another owner on the way down.
    own: bool,
}

const OPEN_DIR: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NONBLOCK);

impl Dir {
    /// Opens a root as the user names it. Directories below it that belong
    /// neither to the user nor to root are refused if `own` is set.
    pub(crate) fn root(path: &Path, own: bool) -> Result<Self, RepairError> {
        let fd = nix::fcntl::open(path, OPEN_DIR, Mode::empty()).map_err(|e| fail(path, e))?;
        Self {
            fd,
            path: path.to_owned(),
            own,
        }
        .checked()
    }

    /// The same directory for changes: an owner who is neither the user nor root is refused.
    pub(crate) fn owned(&self) -> Result<Self, RepairError> {
        let mut dir = self.again()?;
        dir.own = true;
        dir.checked()
    }

    fn checked(self) -> Result<Self, RepairError> {
        if self.own {
            let meta = self.this()?;
            if !meta.is_mine() && meta.uid != 0 {
                return Err(RepairError::Foreign {
                    path: self.path,
                    uid: meta.uid,
                });
            }
        }
        Ok(self)
    }

    /// The path for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the directory itself is.
    pub(crate) fn this(&self) -> Result<Meta, RepairError> {
        let stat = fstat(&self.fd).map_err(|e| fail(&self.path, e))?;
        Ok(Meta::from_stat(&stat))
    }

    /// Opens one directory below; a link is an error.
    pub(crate) fn sub(&self, name: impl AsRef<OsStr>) -> Result<Self, RepairError> {
        let name = one_name(name.as_ref())?;
        let path = self.path.join(name);
        let fd = openat(&self.fd, name, OPEN_DIR | OFlag::O_NOFOLLOW, Mode::empty())
            .map_err(|e| fail(&path, e))?;
        Self {
            fd,
            path,
            own: self.own,
        }
        .checked()
    }

    /// Opens a directory several levels below.
    pub(crate) fn walk(&self, below: impl AsRef<Path>) -> Result<Self, RepairError> {
        let mut here = self.again()?;
        for name in names(below.as_ref())? {
            here = here.sub(name)?;
        }
        Ok(here)
    }

    /// [`Dir::walk`], with `None` where one of the directories is not there.
    pub(crate) fn find(&self, below: impl AsRef<Path>) -> Result<Option<Self>, RepairError> {
        match self.walk(below) {
            Ok(dir) => Ok(Some(dir)),
            Err(e) if e.is_missing() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Opens a directory several levels below, making what is not there.
    pub(crate) fn make(&self, below: impl AsRef<Path>) -> Result<Self, RepairError> {
        let mut here = self.again()?;
        for name in names(below.as_ref())? {
            here = match here.sub(name) {
                Err(e) if e.is_missing() => {
                    match here.make_new(name) {
                        Err(e) if !e.is_taken() => return Err(e),
                        _ => {}
                    }
                    here.sub(name)?
                }
                other => other?,
            };
        }
        Ok(here)
    }

    /// Makes one directory; its being there already is an error.
    pub(crate) fn make_new(&self, name: impl AsRef<OsStr>) -> Result<(), RepairError> {
        let name = one_name(name.as_ref())?;
        mkdirat(&self.fd, name, Mode::from_bits_truncate(0o777)).map_err(|e| fail(&self.path.join(name), e))
    }

    fn again(&self) -> Result<Self, RepairError> {
        Ok(Self {
            fd: self.fd.try_clone().map_err(|e| RepairError::io(&self.path, e))?,
            path: self.path.clone(),
            own: self.own,
        })
    }

    /// What stands under a name, itself and not what it points to. `None` where nothing does.
    pub(crate) fn meta(&self, name: impl AsRef<OsStr>) -> Result<Option<Meta>, RepairError> {
        let name = one_name(name.as_ref())?;
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Meta::from_stat(&stat))),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(fail(&self.path.join(name), e)),
        }
    }

    /// The names in this directory with their kinds, sorted.
    pub(crate) fn entries(&self) -> Result<Vec<(OsString, Kind)>, RepairError> {
        let error = |e| fail(&self.path, e);
        // A handle of its own: reading a directory moves the offset that duplicates share.
        let fd = openat(&self.fd, ".", OPEN_DIR, Mode::empty()).map_err(error)?;
        let mut listing = Listing::from_fd(fd).map_err(error)?;
        let mut found = Vec::new();
        for entry in listing.iter() {
            let entry = entry.map_err(error)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                Some(nix::dir::Type::File) => Kind::File,
                Some(nix::dir::Type::Directory) => Kind::Dir,
                Some(nix::dir::Type::Symlink) => Kind::Link,
                Some(_) => Kind::Other,
                // Some file systems do not say; and it may be gone by now.
                None => match self.meta(name)? {
                    Some(meta) => meta.kind,
                    None => continue,
                },
            };
            found.push((name.to_owned(), kind));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// Opens a regular file for reading. Links, pipes and devices are errors,
    /// and never block.
    pub(crate) fn file(&self, name: impl AsRef<OsStr>) -> Result<File, RepairError> {
        let name = one_name(name.as_ref())?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        self.regular(name, flags, Mode::empty())
    }

    /// The content of a regular file, up to a limit.
    pub(crate) fn read(&self, name: impl AsRef<OsStr>, limit: u64) -> Result<Vec<u8>, RepairError> {
        let name = name.as_ref();
        let mut content = Vec::new();
        self.file(name)?
            .take(limit)
            .read_to_end(&mut content)
            .map_err(|e| RepairError::io(&self.path.join(name), e))?;
        Ok(content)
    }

    /// Opens a lock file as go does: read-write, made where it is not there.
    pub(crate) fn lock_file(&self, name: impl AsRef<OsStr>) -> Result<File, RepairError> {
        let name = one_name(name.as_ref())?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        self.regular(name, flags, Mode::from_bits_truncate(0o666))
    }

    /// Makes a file that was not there.
    pub(crate) fn new_file(&self, name: impl AsRef<OsStr>) -> Result<File, RepairError> {
        let name = one_name(name.as_ref())?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        self.regular(name, flags, Mode::from_bits_truncate(0o666))
    }

    fn regular(&self, name: &OsStr, flags: OFlag, mode: Mode) -> Result<File, RepairError> {
        let path = self.path.join(name);
        let fd = openat(&self.fd, name, flags, mode).map_err(|e| fail(&path, e))?;
        let stat = fstat(&fd).map_err(|e| fail(&path, e))?;
        let kind = Meta::from_stat(&stat).kind;
        if kind != Kind::File {
            return Err(RepairError::WrongKind {
                path,
                kind: kind.words(),
            });
        }
        Ok(File::from(fd))
    }

    /// Renames one name into another directory. What has the new name already is replaced as `rename(2)` does.
    pub(crate) fn rename(
        &self,
        name: impl AsRef<OsStr>,
        to: &Self,
        new: impl AsRef<OsStr>,
    ) -> Result<(), RepairError> {
        let (name, new) = (one_name(name.as_ref())?, one_name(new.as_ref())?);
        nix::fcntl::renameat(&self.fd, name, &to.fd, new).map_err(|e| fail(&self.path.join(name), e))
    }

    /// Renames only if nothing has the new name.
    pub(crate) fn rename_if_free(
        &self,
        name: impl AsRef<OsStr>,
        to: &Self,
        new: impl AsRef<OsStr>,
    ) -> Result<(), RepairError> {
        let (name, new) = (one_name(name.as_ref())?, one_name(new.as_ref())?);
        #[cfg(target_os = "linux")]
        match rename_no_replace(&self.fd, name, &to.fd, new) {
            // Not every file system has the flag.
            Err(Errno::EINVAL | Errno::ENOSYS) => {}
            Ok(()) => return Ok(()),
            Err(e) => return Err(fail(&to.path.join(new), e)),
        }
        if to.meta(new)?.is_some() {
            return Err(fail(&to.path.join(new), Errno::EEXIST));
        }
        self.rename(name, to, new)
    }

    pub(crate) fn unlink(&self, name: impl AsRef<OsStr>) -> Result<(), RepairError> {
        let name = one_name(name.as_ref())?;
        unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir).map_err(|e| fail(&self.path.join(name), e))
    }

    pub(crate) fn remove_empty(&self, name: impl AsRef<OsStr>) -> Result<(), RepairError> {
        let name = one_name(name.as_ref())?;
        unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir).map_err(|e| fail(&self.path.join(name), e))
    }

    /// Adds permission bits for the owner to a directory below, by what stands
    /// under the name and not by what it points to. Returns the bits it had.
    pub(crate) fn permit(&self, name: impl AsRef<OsStr>, bits: u32) -> Result<u32, RepairError> {
        let name = one_name(name.as_ref())?;
        let Some(meta) = self.meta(name)? else {
            return Err(fail(&self.path.join(name), Errno::ENOENT));
        };
        if meta.kind == Kind::Dir && meta.mode & bits != bits {
            self.chmod(name, meta.mode | bits)?;
        }
        Ok(meta.mode)
    }

    /// Sets the permission bits of what stands below if it is a directory.
    pub(crate) fn chmod_if_dir(&self, name: impl AsRef<OsStr>, mode: u32) -> Result<(), RepairError> {
        let name = name.as_ref();
        match self.meta(name)? {
            Some(meta) if meta.kind == Kind::Dir => self.chmod(name, mode),
            _ => Ok(()),
        }
    }

    pub(crate) fn chmod(&self, name: impl AsRef<OsStr>, mode: u32) -> Result<(), RepairError> {
        let name = one_name(name.as_ref())?;
        self.chmod_dir(name, mode)
            .map_err(|e| fail(&self.path.join(name), e))
    }

    #[cfg(target_os = "linux")]
    fn chmod_dir(&self, name: &OsStr, mode: u32) -> Result<(), Errno> {
        use std::os::fd::{AsFd, AsRawFd};
        use std::os::unix::fs::PermissionsExt;
        // fchmod wants a descriptor opened for reading, which a directory without
        // read permission does not give; the name in /proc of an O_PATH descriptor
        // reaches the same inode and nothing else.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty())?;
        let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))
    }

    #[cfg(not(target_os = "linux"))]
    fn chmod_dir(&self, name: &OsStr, mode: u32) -> Result<(), Errno> {
        use nix::sys::stat::{FchmodatFlags, fchmodat};
        let mode = Mode::from_bits_truncate(mode as libc::mode_t);
        fchmodat(&self.fd, name, mode, FchmodatFlags::NoFollowSymlink)
    }

    /// Removes whatever stands under a name, read-only trees included; links are
    /// removed and not followed. Its not being there is no error.
    pub(crate) fn remove_tree(&self, name: impl AsRef<OsStr>) -> Result<(), RepairError> {
        self.remove_below(name.as_ref(), 0)
    }

    fn remove_below(&self, name: &OsStr, depth: usize) -> Result<(), RepairError> {
        let Some(meta) = self.meta(name)? else {
            return Ok(());
        };
        if meta.kind != Kind::Dir {
            return gone_is_fine(self.unlink(name));
        }
        if depth > MAX_DEPTH {
            return Err(RepairError::TooDeep {
                path: self.path.join(name),
            });
        }
        self.permit(name, 0o700)?;
        let dir = self.sub(name)?;
        for (below, kind) in dir.entries()? {
            match kind {
                Kind::Dir => dir.remove_below(&below, depth + 1)?,
                _ => gone_is_fine(dir.unlink(&below))?,
            }
        }
        gone_is_fine(self.remove_empty(name))
    }

    /// Bytes of the files below a name, as far as they can be read.
    pub(crate) fn size_of(&self, name: impl AsRef<OsStr>) -> u64 {
        let name = name.as_ref();
        let mut bytes = 0;
        let mut add = |here: &Self, name: &OsStr| match here.meta(name) {
            Ok(Some(meta)) if meta.kind == Kind::File => bytes += meta.size,
            _ => {}
        };
        add(self, name);
        if let Ok(dir) = self.sub(name) {
            let each = &mut |here: &Self, name: &OsStr, _: &[u8], _| {
                add(here, name);
                Ok(())
            };
            let _ = dir.visit(each, &mut |_, _| {});
        }
        bytes
    }

    /// Calls `each` with every name below this directory: the directory it stands in,
    /// its path relative to this one (`/` between names) and its kind. A directory
    /// that cannot be opened is passed to `broken`.
    pub(crate) fn visit(
        &self,
        each: &mut Visitor<'_>,
        broken: &mut dyn FnMut(&[u8], &RepairError),
    ) -> Result<(), RepairError> {
        self.visit_below(&mut Vec::new(), 0, each, broken)
    }

    fn visit_below(
        &self,
        prefix: &mut Vec<u8>,
        depth: usize,
        each: &mut Visitor<'_>,
        broken: &mut dyn FnMut(&[u8], &RepairError),
    ) -> Result<(), RepairError> {
        if depth > MAX_DEPTH {
            return Err(RepairError::TooDeep {
                path: self.path.clone(),
            });
        }
        let entries = match self.entries() {
            Ok(entries) => entries,
            Err(e) => {
                broken(prefix, &e);
                return Ok(());
            }
        };
        for (name, kind) in entries {
            let length = prefix.len();
            if length > 0 {
                prefix.push(b'/');
            }
            prefix.extend_from_slice(name.as_bytes());
            each(self, &name, prefix, kind)?;
            if kind == Kind::Dir {
                match self.sub(&name) {
                    Ok(dir) => dir.visit_below(prefix, depth + 1, each, broken)?,
                    Err(e) => broken(prefix, &e),
                }
            }
            prefix.truncate(length);
        }
        Ok(())
    }
}

/// renameat2(2) with `RENAME_NOREPLACE`: the C libraries have no function for it that all of them share.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "nix has renameat2(2) for one C library only")]
fn rename_no_replace(from: &OwnedFd, name: &OsStr, to: &OwnedFd, new: &OsStr) -> nix::Result<()> {
    use nix::NixPath;
    use std::os::fd::AsRawFd;
    let result = name.with_nix_path(|name| {
        new.with_nix_path(|new| {
            // SAFETY: two open directories, and two strings with a NUL behind them.
            unsafe {
                libc::syscall(
                    libc::SYS_renameat2,
                    from.as_raw_fd(),
                    name.as_ptr(),
                    to.as_raw_fd(),
                    new.as_ptr(),
                    libc::RENAME_NOREPLACE,
                )
            }
        })
    })??;
    Errno::result(result).map(drop)
}

/// A name is one component and nothing that climbs.
fn one_name(name: &OsStr) -> Result<&OsStr, RepairError> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(name),
        _ => Err(RepairError::BadName {
            name: name.to_string_lossy().into_owned(),
        }),
    }
}

/// The components of a relative path; `..`, `/` and the like are errors.
fn names(path: &Path) -> Result<Vec<&OsStr>, RepairError> {
    path.components()
        .map(|part| match part {
            Component::Normal(name) => Ok(name),
            _ => Err(RepairError::BadName {
                name: path.to_string_lossy().into_owned(),
            }),
        })
        .collect()
}

fn gone_is_fine(result: Result<(), RepairError>) -> Result<(), RepairError> {
    match result {
        Err(e) if e.is_missing() => Ok(()),
        other => other,
    }
}

fn fail(path: &Path, errno: Errno) -> RepairError {
    RepairError::io(path, io::Error::from_raw_os_error(errno as i32))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn names_that_climb_are_refused() {
        for bad in ["..", ".", "", "a/b", "/a", "a/"] {
            assert!(one_name(OsStr::new(bad)).is_err(), "{bad:?}");
        }
        assert!(names(Path::new("a/../b")).is_err());
        assert!(names(Path::new("/a")).is_err());
        assert_eq!(names(Path::new("a/b")).unwrap().len(), 2);
    }

    #[test]
    fn links_are_not_followed() {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir(top.path().join("real")).unwrap();
        std::fs::write(top.path().join("real/f"), "x").unwrap();
        symlink("real", top.path().join("link")).unwrap();
        symlink("real/f", top.path().join("file")).unwrap();
        let dir = Dir::root(top.path(), false).unwrap();
        assert!(dir.sub("link").is_err());
        assert!(dir.file("file").is_err());
        assert!(dir.lock_file("file").is_err());
        assert!(dir.chmod("link", 0o700).is_err());
        dir.remove_tree("link").unwrap();
        assert!(top.path().join("real/f").exists());
    }

    #[test]
    fn a_pipe_is_refused_without_waiting() {
        let top = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&top.path().join("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
        let dir = Dir::root(top.path(), false).unwrap();
        assert!(matches!(dir.file("pipe"), Err(RepairError::WrongKind { .. })));
    }

    #[test]
    fn read_only_trees_are_removed() {
        let top = tempfile::tempdir().unwrap();
        let tree = top.path().join("t/a/b");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join("f"), "x").unwrap();
        for dir in ["t/a/b", "t/a", "t"] {
            let mode = if dir == "t/a/b" { 0o000 } else { 0o555 };
            std::fs::set_permissions(top.path().join(dir), PermissionsExt::from_mode(mode)).unwrap();
        }
        let dir = Dir::root(top.path(), true).unwrap();
        dir.remove_tree("t").unwrap();
        assert!(dir.meta("t").unwrap().is_none());
        dir.remove_tree("t").unwrap();
    }

    #[test]
    fn putting_back_never_replaces() {
        let top = tempfile::tempdir().unwrap();
        for name in ["old", "new"] {
            std::fs::write(top.path().join(name), name).unwrap();
        }
        let dir = Dir::root(top.path(), true).unwrap();
        assert!(
            dir.rename_if_free("old", &dir, "new")
                .is_err_and(|e| e.is_taken())
        );
        dir.rename_if_free("old", &dir, "free").unwrap();
        assert_eq!(std::fs::read_to_string(top.path().join("free")).unwrap(), "old");
    }
}
