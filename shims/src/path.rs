//! C paths in a fixed buffer: joining, links, and the few questions to the file system that finding go takes.
//!
//! Known limitations: a path of 4096 bytes or more counts as one that is not there, as the kernel sees it.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;

/// PATH_MAX of Linux, the closing NUL included.
const SIZE: usize = 4096;

/// A path with a NUL behind it, in a buffer of its own. The rest of the buffer is never touched: zeroing some
/// of these would cost as much as everything else that the shim does.
pub struct CPath {
    bytes: [MaybeUninit<u8>; SIZE],
    /// Below SIZE; so many bytes are filled in, and the NUL behind them.
    len: usize,
}

impl CPath {
    /// The empty path.
    pub const fn new() -> Self {
        let mut bytes = [MaybeUninit::uninit(); SIZE];
        bytes[0] = MaybeUninit::new(0);
        Self { bytes, len: 0 }
    }

    /// Sets it to the given parts, one behind the other. Returns false, and leaves it empty, where they do not
    /// fit or hold a NUL.
    pub fn set(&mut self, parts: &[&[u8]]) -> bool {
        self.truncate(0);
        self.append(parts)
    }

    fn append(&mut self, parts: &[&[u8]]) -> bool {
        for part in parts {
            let room = self
                .bytes
                .get_mut(self.len..SIZE - 1)
                .and_then(|room| room.get_mut(..part.len()));
            let Some(room) = room.filter(|_| !part.contains(&0)) else {
                self.truncate(0);
                return false;
            };
            // Two slices of one length; `copy_from_slice` would have a way to panic.
            for (to, from) in room.iter_mut().zip(*part) {
                to.write(*from);
            }
            self.len += part.len();
        }
        self.truncate(self.len);
        true
    }

    /// `len` is at most as long as what is filled in.
    fn truncate(&mut self, len: usize) {
        if let Some(end) = self.bytes.get_mut(len) {
            end.write(0);
            self.len = len;
        }
    }

    /// The path without its NUL.
    #[expect(unsafe_code, reason = "the part of the buffer that is filled in")]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `append` and `truncate` count only what they have written.
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr().cast(), self.len) }
    }

    /// The path as C wants it.
    #[expect(
        unsafe_code,
        reason = "the buffer has its NUL, and no way to panic is wanted here"
    )]
    pub fn as_c(&self) -> &CStr {
        // SAFETY: `truncate` keeps a NUL behind the path.
        unsafe { CStr::from_ptr(self.as_ptr()) }
    }

    /// The path as a pointer that lives as long as self.
    pub fn as_ptr(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }

    /// Sets it to where the symbolic link `link` points; false where it is none.
    #[expect(unsafe_code, reason = "readlink(2) without an allocation")]
    fn set_target(&mut self, link: &CStr) -> bool {
        // SAFETY: one byte less than the buffer has, so that there is room for the NUL.
        let len = unsafe { libc::readlink(link.as_ptr(), self.bytes.as_mut_ptr().cast(), SIZE - 1) };
        match usize::try_from(len) {
            Ok(len) if len > 0 && len < SIZE - 1 => {
                self.truncate(len);
                true
            }
            _ => {
                self.truncate(0);
                false
            }
        }
    }

    /// Cuts off what stands behind the last slash and puts `name` there. Returns false where there is no slash
    /// or no room.
    pub fn set_file_name(&mut self, name: &[u8]) -> bool {
        let Some(slash) = self.bytes().iter().rposition(|&byte| byte == b'/') else {
            return false;
        };
        self.truncate(slash + 1);
        self.append(&[name])
    }

    /// Replaces the path by where it points to, for as long as it is a symbolic link. Only the last component
    /// is looked at; the kernel follows the others by itself.
    pub fn follow_links(&mut self) {
        let mut target = Self::new();
        // 40 is where the kernel gives up as well.
        for _ in 0..40 {
            if !target.set_target(self.as_c()) {
                return;
            }
            let followed = if target.bytes().starts_with(b"/") {
                self.set(&[target.bytes()])
            } else {
                self.set_file_name(target.bytes())
            };
            if !followed {
                return;
            }
        }
    }
}

impl Default for CPath {
    fn default() -> Self {
        Self::new()
    }
}

/// What makes two paths one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    dev: u64,
    ino: u64,
}

impl FileId {
    /// A number that tells it from others, and is not 0.
    pub fn mark(self) -> u64 {
        (self.dev.rotate_left(40) ^ self.ino).max(1)
    }
}

/// The program that a process runs.
#[cfg(target_os = "linux")]
pub fn program_of(pid: u32, program: &mut CPath) -> bool {
    let mut link = CPath::new();
    link.set(&[b"/proc/", digits(pid, &mut [0; 10]), b"/exe"]) && program.set_target(link.as_c())
}

/// The parent of a process, or of this one.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "getppid(2), and a file read without an allocation")]
pub fn parent_of(pid: Option<u32>) -> Option<u32> {
    let Some(pid) = pid else {
        // SAFETY: cannot fail.
        return Some(unsafe { libc::getppid() }.unsigned_abs());
    };
    let mut name = CPath::new();
    name.set(&[b"/proc/", digits(pid, &mut [0; 10]), b"/stat"]);
    let mut text = [0_u8; 256];
    // SAFETY: a string with a NUL behind it, and a buffer as long as said.
    let read = unsafe {
        let file = libc::open(name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let read = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        read
    };
    let text = text.get(..usize::try_from(read).ok()?)?;
    // `PID (NAME) STATE PARENT …`, and the name may hold anything.
    let behind = text.iter().rposition(|&byte| byte == b')')?;
    let parent = text.get(behind + 1..)?.split(|&byte| byte == b' ').nth(2)?;
    core::str::from_utf8(parent).ok()?.parse().ok()
}

#[cfg(target_os = "linux")]
fn digits(number: u32, buffer: &mut [u8; 10]) -> &[u8] {
    let mut left = number;
    let mut start = buffer.len();
    for (at, place) in buffer.iter_mut().enumerate().rev() {
        *place = b'0' + (left % 10) as u8;
        start = at;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    buffer.get(start..).unwrap_or_default()
}

/// Not to be seen on this system.
#[cfg(not(target_os = "linux"))]
pub fn program_of(_pid: u32, _program: &mut CPath) -> bool {
    false
}

/// Not to be seen on this system.
#[cfg(not(target_os = "linux"))]
pub fn parent_of(_pid: Option<u32>) -> Option<u32> {
    None
}

/// A file as far as finding go needs it.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Its identity, links followed.
    pub id: FileId,
    /// It is a regular file.
    pub regular: bool,
    /// Somebody may execute it.
    pub executable: bool,
}

/// stat(2), links followed; `None` where there is nothing, or nothing that may be seen.
#[expect(unsafe_code, reason = "stat(2) without an allocation")]
pub fn stat(path: &CStr) -> Option<Stat> {
    let mut data = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the buffer is a struct stat, and read only where the call filled it in.
    let data = unsafe {
        if libc::stat(path.as_ptr(), data.as_mut_ptr()) != 0 {
            return None;
        }
        data.assume_init()
    };
    Some(Stat {
        id: FileId {
            dev: data.st_dev as u64,
            ino: data.st_ino as u64,
        },
        regular: data.st_mode & libc::S_IFMT == libc::S_IFREG,
        executable: data.st_mode & 0o111 != 0,
    })
}

/// access(2) with `mode`.
#[expect(unsafe_code, reason = "access(2) without an allocation")]
pub fn access(path: &CStr, mode: core::ffi::c_int) -> bool {
    // SAFETY: a string with a NUL behind it.
    unsafe { libc::access(path.as_ptr(), mode) == 0 }
}

/// Where the running executable is, links resolved.
#[cfg(target_os = "linux")]
pub fn current_exe(path: &mut CPath) -> bool {
    path.set_target(SELF) || exec_name(path)
}

/// The link that the kernel keeps to the running executable, deleted ones included.
#[cfg(target_os = "linux")]
const SELF: &CStr = c"/proc/self/exe";

/// The identity of the running executable.
#[cfg(target_os = "linux")]
pub fn current_exe_id() -> Option<FileId> {
    if let Some(me) = stat(SELF) {
        return Some(me.id);
    }
    let mut path = CPath::new();
    exec_name(&mut path);
    stat(path.as_c()).map(|me| me.id)
}

/// Where no /proc is mounted: the name that execve(2) was given.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "getauxval(3)")]
fn exec_name(path: &mut CPath) -> bool {
    // SAFETY: the kernel put a string there that lives as long as the process, or nothing.
    let name = unsafe {
        let name = libc::getauxval(libc::AT_EXECFN) as *const c_char;
        if name.is_null() {
            return false;
        }
        CStr::from_ptr(name)
    };
    if !path.set(&[name.to_bytes()]) {
        return false;
    }
    path.follow_links();
    true
}

/// Where the running executable is, links resolved.
#[cfg(target_os = "macos")]
#[expect(unsafe_code, reason = "_NSGetExecutablePath(3)")]
pub fn current_exe(path: &mut CPath) -> bool {
    unsafe extern "C" {
        fn _NSGetExecutablePath(buffer: *mut c_char, size: *mut u32) -> core::ffi::c_int;
    }
    let mut name = [0_u8; SIZE];
    let mut size = SIZE as u32;
    // SAFETY: the buffer is as long as said, and on success ends with a NUL.
    let name = unsafe {
        if _NSGetExecutablePath(name.as_mut_ptr().cast(), &mut size) != 0 {
            return false;
        }
        CStr::from_ptr(name.as_ptr().cast())
    };
    if !path.set(&[name.to_bytes()]) {
        return false;
    }
    path.follow_links();
    true
}

/// The identity of the running executable.
#[cfg(not(target_os = "linux"))]
pub fn current_exe_id() -> Option<FileId> {
    let mut path = CPath::new();
    if !current_exe(&mut path) {
        return None;
    }
    stat(path.as_c()).map(|me| me.id)
}

/// Where the running executable is, links resolved.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub fn current_exe(path: &mut CPath) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(name) = std::env::current_exe() else {
        return false;
    };
    if !path.set(&[name.as_os_str().as_bytes()]) {
        return false;
    }
    path.follow_links();
    true
}
