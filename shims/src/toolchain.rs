//! Finding the real go: the one that would have run without gofix.
//!
//! PATH is walked as a shell walks it, but from behind gofix itself, and what is found is executed under the
//! path it was found by, because version managers and snap look at that name. Nothing here allocates.
//!
//! A program found under the name `go` that is no toolchain may be a version manager's shim, and that may come
//! back to gofix. Only then a variable, [`GUARD`], goes along: it holds the process that went there and every such
//! program on the way. Whoever comes back, by exec or as a child, is sent behind these. A child for which nothing
//! is left is sent to the first once more, as it would be without gofix, at most [`MAX_AGAIN`] times: each may call
//! go more than once. Below a go of a toolchain the search begins anew: what that runs is no circle.
//!
//! Known limitations: whether something is a toolchain is read off the directory pkg/tool beside its bin.

use crate::path::{self, CPath, FileId, Stat};

/// The variable that goes along where what was found is no toolchain. Its value is `PID:AGAIN`, and for each program
/// on the way `:MARK`.
pub const GUARD: &str = "__GOFIX_GUARD";

/// [`GUARD`] as C wants it.
pub const GUARD_C: &core::ffi::CStr = c"__GOFIX_GUARD";

/// So many programs that are no toolchain may be gone through.
pub const MAX_HOPS: usize = 20;

/// So often may they be begun with anew by children for which nothing else is left.
pub const MAX_AGAIN: u32 = 2;

/// And no deeper than this in all: where each calls go twice, every level has twice the processes of the one above.
const MAX_LEVELS: usize = 4;

/// The longest value of [`GUARD`].
pub const GUARD_SIZE: usize = 2 * 10 + 1 + MAX_HOPS * 17;

/// The variables that decide which go is the real one, as bytes; empty counts as not set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search<'a> {
    /// PATH.
    pub path: Option<&'a [u8]>,
    /// GOFIX_GO, an absolute path that is taken instead of walking PATH.
    pub gofix_go: Option<&'a [u8]>,
    /// The variable [`GUARD`].
    pub guard: Option<&'a [u8]>,
    /// The process id that the guard is compared with and written with.
    pub pid: u32,
}

/// The executables that are gofix: the running one, and the other of the two beside it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Myself {
    ids: [Option<FileId>; 2],
}

impl Myself {
    /// Looks up the running executable and `sibling` beside it (`gofix` beside the shim, `go` beside gofix).
    /// `place` is set to the path of that sibling, whether it is there or not, or left empty.
    pub fn current(sibling: &[u8], place: &mut CPath) -> Self {
        let beside = path::current_exe(place) && place.set_file_name(sibling);
        if !beside {
            place.set(&[]);
        }
        // gofix may lie in a folder of programs, /usr/bin for one, and the go there is then a toolchain's.
        let shim_or_gofix = beside && !(sibling == b"go" && is_toolchain(place));
        let sibling = if shim_or_gofix {
            path::stat(place.as_c()).map(|stat| stat.id)
        } else {
            None
        };
        Self {
            ids: [path::current_exe_id(), sibling],
        }
    }

    fn is(&self, stat: &Stat) -> bool {
        self.ids.contains(&Some(stat.id))
    }
}

/// What the variable [`GUARD`] holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// The process that went on to a program that is no toolchain.
    pub pid: u32,
    /// How often the programs have been begun with anew.
    pub again: u32,
    /// The [marks](path::FileId::mark) of these programs; zero where there are no more.
    pub gone: [u64; MAX_HOPS],
}

impl Guard {
    /// Reads the variable; anything that gofix did not write counts as nothing.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut parts = value.split(|&byte| byte == b':');
        let mut guard = Self {
            pid: u32::try_from(number(parts.next()?, 10)?).ok()?,
            again: u32::try_from(number(parts.next()?, 10)?).ok()?,
            gone: [0; MAX_HOPS],
        };
        let mut places = guard.gone.iter_mut();
        for part in parts {
            *places.next()? = number(part, 16)?;
        }
        Some(guard)
    }

    /// Writes the variable's value into `buffer` and returns it.
    pub fn format<'b>(&self, buffer: &'b mut [u8; GUARD_SIZE]) -> &'b [u8] {
        let mut at = buffer.len();
        for mark in self.gone.iter().rev().filter(|mark| **mark != 0) {
            put_before(buffer, &mut at, *mark, 16);
            put_byte_before(buffer, &mut at, b':');
        }
        put_before(buffer, &mut at, self.again.into(), 10);
        put_byte_before(buffer, &mut at, b':');
        put_before(buffer, &mut at, self.pid.into(), 10);
        buffer.get(at..).unwrap_or_default()
    }

    /// The program was gone through on the way here.
    fn holds(&self, program: &CPath) -> bool {
        let is_empty = self.gone.first() == Some(&0);
        !is_empty && mark_of(program).is_some_and(|mark| self.gone.contains(&mark))
    }

    /// What was gone through may not be begun with once more.
    fn is_spent(&self) -> bool {
        let gone = self.gone.iter().filter(|mark| **mark != 0).count();
        self.again > MAX_AGAIN || self.again > 0 && gone + self.again as usize > MAX_LEVELS
    }

    /// Adds a program. False where there is no room for it.
    fn add(&mut self, program: &CPath) -> bool {
        let Some(mark) = mark_of(program) else {
            return false;
        };
        if self.gone.contains(&mark) {
            return true;
        }
        let place = self.gone.iter_mut().find(|place| **place == 0);
        place.map(|place| *place = mark).is_some()
    }
}

fn mark_of(program: &CPath) -> Option<u64> {
    path::stat(program.as_c()).map(|stat| stat.id.mark())
}

fn put_before(buffer: &mut [u8], at: &mut usize, number: u64, base: u64) {
    let mut left = number;
    loop {
        let digit = (left % base) as u8;
        put_byte_before(
            buffer,
            at,
            if digit < 10 {
                b'0' + digit
            } else {
                b'a' - 10 + digit
            },
        );
        left /= base;
        if left == 0 {
            break;
        }
    }
}

fn put_byte_before(buffer: &mut [u8], at: &mut usize, byte: u8) {
    *at = at.saturating_sub(1);
    if let Some(place) = buffer.get_mut(*at) {
        *place = byte;
    }
}

fn number(digits: &[u8], base: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(base)?;
        number.checked_mul(base.into())?.checked_add(digit.into())
    })
}

/// Why there is no go to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing named go stands behind gofix in PATH.
    NotFound,
    /// What is there may not be executed.
    NotExecutable,
    /// More than [`MAX_HOPS`] programs sent each other in a circle.
    Circle,
    /// GOFIX_GO is not an absolute path.
    SettingRelative,
    /// GOFIX_GO names nothing, or no file.
    SettingNotFound,
    /// GOFIX_GO names a file that may not be executed.
    SettingNotExecutable,
    /// GOFIX_GO names gofix itself.
    SettingIsGofix,
}

impl Missing {
    /// The exit status that a shell gives: 126 where something is there that cannot be executed, else 127.
    pub const fn status(self) -> i32 {
        match self {
            Self::NotExecutable | Self::SettingNotExecutable => 126,
            _ => 127,
        }
    }
}

/// Finds the real go and puts its path into `go`. Returns the guard that has to go along, if one has to.
pub fn find(search: &Search<'_>, me: &Myself, go: &mut CPath) -> Result<Option<Guard>, Missing> {
    let mut guard = search.guard.and_then(Guard::parse).unwrap_or_default();
    let is_child = guard.pid != search.pid;
    if is_child && guard.pid != 0 && is_below_toolchain(guard.pid) {
        guard = Guard::default();
    }
    match pick(search, me, &guard, go) {
        Err(Missing::NotFound) if is_child && guard.pid != 0 => {
            pick(search, me, &Guard::default(), go)?;
            guard.again = guard.again.saturating_add(1);
        }
        picked => picked?,
    }
    if is_toolchain(go) {
        return Ok(None);
    }
    if guard.is_spent() || !guard.add(go) {
        return Err(Missing::Circle);
    }
    guard.pid = search.pid;
    Ok(Some(guard))
}

/// Takes GOFIX_GO, else walks PATH; what `guard` holds is stepped over.
fn pick(search: &Search<'_>, me: &Myself, guard: &Guard, go: &mut CPath) -> Result<(), Missing> {
    if let Some(setting) = search.gofix_go.filter(|value| !value.is_empty()) {
        take_setting(setting, me, go)?;
        if !guard.holds(go) {
            return Ok(());
        }
    }
    walk(search.path.unwrap_or_default(), me, guard, go)
}

/// The process `ancestor` has become a go of a toolchain, or one stands between it and this process.
fn is_below_toolchain(ancestor: u32) -> bool {
    let mut pid = path::parent_of(None);
    let mut program = CPath::new();
    // Deeper than any script goes.
    for _ in 0..64 {
        let Some(current) = pid else { break };
        if path::program_of(current, &mut program)
            && program.bytes().ends_with(b"/go")
            && is_toolchain(&program)
        {
            return true;
        }
        if current == ancestor {
            break;
        }
        pid = path::parent_of(Some(current));
    }
    false
}

fn take_setting(setting: &[u8], me: &Myself, go: &mut CPath) -> Result<(), Missing> {
    if !setting.starts_with(b"/") {
        return Err(Missing::SettingRelative);
    }
    if !go.set(&[setting]) {
        return Err(Missing::SettingNotFound);
    }
    match examine(go, me) {
        Entry::Go => Ok(()),
        Entry::Gofix => Err(Missing::SettingIsGofix),
        Entry::NotExecutable => Err(Missing::SettingNotExecutable),
        _ => Err(Missing::SettingNotFound),
    }
}

/// Takes the first go behind the last entry that is gofix; programs that `guard` holds are stepped over.
/// Where nothing named go stands behind, gofix was not called by its place in PATH (`gofix tidy`, an absolute
/// path), and the first toolchain in front is the go that would have run.
fn walk(path: &[u8], me: &Myself, guard: &Guard, go: &mut CPath) -> Result<(), Missing> {
    let mut found: Option<&[u8]> = None;
    let mut in_front: Option<&[u8]> = None;
    let mut not_executable = false;
    for entry in entries(path) {
        match look(entry, me, go) {
            Entry::Gofix => {
                if let Some(entry) = found.filter(|entry| set_candidate(entry, go) && is_toolchain(go)) {
                    in_front.get_or_insert(entry);
                }
                (found, not_executable) = (None, false);
            }
            Entry::NotExecutable => not_executable = true,
            Entry::Go if found.is_none() && (!guard.holds(go) || is_toolchain(go)) => found = Some(entry),
            _ => {}
        }
    }
    match found {
        Some(entry) if set_candidate(entry, go) => Ok(()),
        _ if not_executable => Err(Missing::NotExecutable),
        _ if in_front.is_some_and(|entry| set_candidate(entry, go)) => Ok(()),
        _ => Err(Missing::NotFound),
    }
}

/// What an entry of PATH has for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is empty, which means the working directory: stepped over.
    Empty,
    /// It is not absolute: stepped over.
    Relative,
    /// There is no file `go` in it.
    Nothing,
    /// Its `go` is gofix.
    Gofix,
    /// Its `go` may not be executed.
    NotExecutable,
    /// Its `go` can be run.
    Go,
}

/// The entries of a value of PATH.
pub fn entries(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b':')
}

/// Looks at one entry of PATH; `buffer` is overwritten.
pub fn look(entry: &[u8], me: &Myself, buffer: &mut CPath) -> Entry {
    if entry.is_empty() {
        return Entry::Empty;
    }
    if !entry.starts_with(b"/") {
        return Entry::Relative;
    }
    if !set_candidate(entry, buffer) {
        return Entry::Nothing;
    }
    examine(buffer, me)
}

fn set_candidate(entry: &[u8], go: &mut CPath) -> bool {
    let slash: &[u8] = if entry.ends_with(b"/") { b"" } else { b"/" };
    go.set(&[entry, slash, b"go"])
}

fn examine(candidate: &CPath, me: &Myself) -> Entry {
    match path::stat(candidate.as_c()) {
        Some(stat) if me.is(&stat) => Entry::Gofix,
        Some(stat) if !stat.regular => Entry::Nothing,
        Some(stat) if stat.executable && path::access(candidate.as_c(), libc::X_OK) => Entry::Go,
        Some(_) => Entry::NotExecutable,
        None => Entry::Nothing,
    }
}

/// A toolchain has pkg/tool beside its bin: cmd/go looks for its GOROOT by the same mark (cfg.go).
fn is_toolchain(go: &CPath) -> bool {
    let mut place = CPath::new();
    place.set(&[go.bytes()]);
    place.follow_links();
    place.set_file_name(b"../pkg/tool") && path::access(place.as_c(), libc::F_OK)
}

/// Says why there is no go to run, in whole lines, each with `gofix: ` in front, through `put`.
pub fn explain(why: Missing, search: &Search<'_>, me: &Myself, put: &mut impl FnMut(&[u8])) {
    let setting = search.gofix_go.unwrap_or_default();
    let said: &[u8] = match why {
        Missing::NotFound => b"there is no go to run: PATH has none behind gofix",
        Missing::NotExecutable => b"there is no go to run: what PATH has behind gofix may not be executed",
        Missing::Circle => b"there is no go to run: the programs of that name call each other in a circle",
        Missing::SettingRelative => b"GOFIX_GO must be an absolute path, and is ",
        Missing::SettingNotFound => b"GOFIX_GO names no file: ",
        Missing::SettingNotExecutable => b"GOFIX_GO names a file that may not be executed: ",
        Missing::SettingIsGofix => b"GOFIX_GO names gofix itself: ",
    };
    put(b"gofix: ");
    put(said);
    if !matches!(why, Missing::NotFound | Missing::NotExecutable | Missing::Circle) {
        put_safe(setting, put);
        put(b"\n");
        return;
    }
    put(b"\n");
    let Some(path) = search.path else {
        put(b"gofix:   PATH is not set\n");
        return;
    };
    let mut buffer = CPath::new();
    for entry in entries(path) {
        put(b"gofix:   ");
        put_safe(entry, put);
        put(match look(entry, me, &mut buffer) {
            Entry::Empty => b"(empty entry): stepped over\n",
            Entry::Relative => b": not absolute, stepped over\n",
            Entry::Nothing => b": no go\n",
            Entry::Gofix => b": gofix itself\n",
            Entry::NotExecutable => b": go may not be executed\n",
            Entry::Go if is_toolchain(&buffer) => b": go, a toolchain\n",
            Entry::Go => b": go, but no toolchain beside it\n",
        });
    }
    put(b"gofix: put the directory of go behind that of gofix in PATH, or set GOFIX_GO to the path of go\n");
}

/// Writes a path with control characters replaced, at most 300 bytes of it.
fn put_safe(text: &[u8], put: &mut impl FnMut(&[u8])) {
    for byte in text.iter().take(300) {
        put(&[if byte.is_ascii_control() { b'?' } else { *byte }]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_is_read_as_it_is_written() {
        let mut one = [0; MAX_HOPS];
        one[0] = 0xabc;
        for (pid, again, gone) in [
            (0, 0, [0; MAX_HOPS]),
            (4_194_304, 1, one),
            (u32::MAX, u32::MAX, [u64::MAX; MAX_HOPS]),
        ] {
            let guard = Guard { pid, again, gone };
            assert_eq!(Guard::parse(guard.format(&mut [0; GUARD_SIZE])), Some(guard));
        }
        let guard = Guard {
            pid: 10,
            again: 2,
            gone: one,
        };
        assert_eq!(guard.format(&mut [0; GUARD_SIZE]), b"10:2:abc");
    }

    #[test]
    fn a_guard_of_another_kind_counts_as_none() {
        let long = "1:1".to_owned() + &":1".repeat(MAX_HOPS + 1);
        for value in [
            "",
            "1",
            "1:2:",
            "a:1:1",
            "-1:1:1",
            "1:99999999999",
            "1::1",
            " 1:1:1",
            "1:1:g",
            &long,
        ] {
            assert_eq!(Guard::parse(value.as_bytes()), None, "{value}");
        }
    }
}
