//! What go writes, on its way to the user.
//!
//! Stderr is streamed, but from the first line that is not progress it is
//! held, so that the error text of an attempt that is followed by a better
//! one is never seen. Stdout is spooled until it is known whose it is.
//!
//! Known limitations: where descriptors 1 and 2 are one file, what is
//! stdout and what stderr cannot be told apart; the order is kept, and the
//! whole is held from the first line that is no progress.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use nix::{errno::Errno, poll};

use super::signals;
use crate::go::progress::is_progress;

/// How much of stderr is held at most, in bytes.
const HELD_LIMIT: usize = 256 << 10;

/// How long stderr of a go that still runs is held.
pub(super) const HELD_FOR: Duration = Duration::from_millis(500);

/// How stderr goes on to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Every byte at once: the user asked for a trace (`-x`, `-v`, `-n`).
    Live,
    /// Held from the first line that is not progress.
    Hold,
    /// Held to the end of the attempt: stdout is in it.
    HoldToEnd,
    /// Only progress up to the first other line, from [`HELD_FOR`] on, and the rest
    /// never: a prefetch that fails sooner leaves every word to the real command.
    Ahead,
}

/// Decides which bytes of stderr may be shown, and when.
#[derive(Debug)]
pub(super) struct Gate {
    mode: Mode,
    partial: Vec<u8>,
    held: Vec<u8>,
    since: Option<Instant>,
    /// In [`Mode::Ahead`], that something else than progress has come.
    is_over: bool,
}

impl Gate {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            partial: Vec::new(),
            held: Vec::new(),
            since: None,
            is_over: false,
        }
    }

    /// Takes what go wrote and returns what may be shown now.
    pub(super) fn push(&mut self, bytes: &[u8], now: Instant) -> Vec<u8> {
        if self.mode == Mode::Live {
            return bytes.to_vec();
        }
        let mut show = Vec::new();
        let mut rest = bytes;
        while let Some(newline) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(newline + 1);
            rest = behind;
            self.partial.extend_from_slice(line);
            if self.mode == Mode::Ahead {
                self.is_over |= !is_progress(&self.partial);
                let line = std::mem::take(&mut self.partial);
                if !self.is_over && self.since.is_some_and(|since| now >= since + HELD_FOR) {
                    show.append(&mut self.held);
                    show.extend_from_slice(&line);
                } else if !self.is_over {
                    self.since.get_or_insert(now);
                    self.held.extend_from_slice(&line);
                }
            } else if self.since.is_none() && is_progress(&self.partial) {
                show.append(&mut self.partial);
            } else {
                self.since.get_or_insert(now);
                self.held.append(&mut self.partial);
            }
        }
        self.partial.extend_from_slice(rest);
        if self.mode == Mode::Ahead && self.partial.len() > HELD_LIMIT {
            self.is_over = true;
            self.partial.clear();
        }
        if self.held.len() + self.partial.len() > HELD_LIMIT && self.mode == Mode::Hold {
            // More than anybody would hold: from here on it is streamed.
            self.mode = Mode::Live;
            show.append(&mut self.held);
            show.append(&mut self.partial);
        }
        show
    }

    /// When held lines are to be shown although go still runs.
    pub(super) fn due(&self) -> Option<Instant> {
        let waits = match self.mode {
            Mode::Hold => true,
            Mode::Ahead => !self.held.is_empty(),
            Mode::Live | Mode::HoldToEnd => false,
        };
        waits.then_some(self.since?).map(|since| since + HELD_FOR)
    }

    /// Returns the whole lines that have been held too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<u8> {
        if self.due().is_none_or(|due| now < due) {
            return Vec::new();
        }
        if self.mode == Mode::Hold {
            self.since = None;
        }
        std::mem::take(&mut self.held)
    }

    /// All that has not been shown.
    pub(super) fn into_rest(mut self) -> Vec<u8> {
        if self.mode != Mode::Ahead {
            self.held.append(&mut self.partial);
        }
        self.held
    }

    /// How much is held, in bytes.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes the whole lines that are held, to be kept elsewhere.
    pub(super) fn take_held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

/// What is kept of a text for diagnosis: its beginning and its end.
#[derive(Debug, Default)]
pub(super) struct KeptText {
    head: Vec<u8>,
    tail: Vec<u8>,
    dropped: bool,
}

const KEPT_HEAD: usize = 128 << 10;
const KEPT_TAIL: usize = 384 << 10;

impl KeptText {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = KEPT_HEAD.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(room);
        self.head.extend_from_slice(head);
        self.tail.extend_from_slice(rest);
        if self.tail.len() > 2 * KEPT_TAIL {
            let cut = self.tail.len() - KEPT_TAIL;
            self.tail.drain(..cut);
            self.dropped = true;
        }
    }

    /// The text, with a line's end where something is missing.
    pub(super) fn into_text(mut self) -> Vec<u8> {
        if self.dropped {
            self.head.push(b'\n');
        }
        self.head.append(&mut self.tail);
        self.head
    }
}

/// Stdout of an attempt, until it is known whose it is: in memory while it is
/// small, then in a file that has no name.
#[derive(Debug, Default)]
pub(super) struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    gone: bool,
    delivered: u64,
}

const SPOOL_MEMORY: usize = 64 << 10;

impl Spool {
    /// Takes what go wrote. False where it could not be kept: then the
    /// attempt is the one that counts, and what comes is passed on.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        if self.gone {
            return false;
        }
        self.memory.extend_from_slice(bytes);
        if self.memory.len() <= SPOOL_MEMORY {
            return true;
        }
        if self.file.is_none() {
            self.file = tempfile::tempfile().ok();
        }
        let Some(file) = self.file.as_mut() else {
            return false;
        };
        if write_counting(file, &mut self.memory).is_err() {
            return false;
        }
        true
    }

    /// Writes all that was kept to `fd`, and passes on what comes from now on.
    pub(super) fn deliver(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.gone = true;
        if let Some(mut file) = self.file.take() {
            file.seek(SeekFrom::Start(0))?;
            let mut buffer = vec![0; 128 << 10];
            loop {
                match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => write_counted(fd, &buffer[..count], &mut self.delivered)?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        write_counted(fd, &std::mem::take(&mut self.memory), &mut self.delivered)
    }

    /// How much of it has been written, in bytes.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The beginning of what was kept, at most `limit` bytes.
    pub(super) fn peek(&mut self, limit: u64) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(file) = self.file.as_mut() {
            let read = file
                .seek(SeekFrom::Start(0))
                .and_then(|_| Read::by_ref(file).take(limit).read_to_end(&mut text));
            let end = file.seek(SeekFrom::End(0));
            if read.is_err() || end.is_err() {
                return Vec::new();
            }
        }
        let room = usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .saturating_sub(text.len());
        text.extend_from_slice(&self.memory[..room.min(self.memory.len())]);
        text
    }
}

/// Writes `bytes` to the file and takes away what was written, so that a full
/// disk loses nothing.
fn write_counting(file: &mut File, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut written = 0;
    let result = loop {
        match file.write(&bytes[written..]) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                written += count;
                if written == bytes.len() {
                    break Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    bytes.drain(..written);
    result
}

/// How much is written at once: what a pipe that has room takes without
/// waiting (`PIPE_BUF`).
const WRITTEN_AT_ONCE: usize = 4096;

/// How long a write that hangs goes without a look at the signals, in
/// milliseconds; one that arrives meanwhile ends the wait at once.
const LOOK_UP: u16 = 200;

/// Writes all of `bytes`, waiting where there is no room. Gives up where it
/// hangs and the user has asked to stop, and stops where the terminal has
/// stopped go.
///
/// # Errors
/// What write(2) says: `BrokenPipe` where the reader has gone, `StorageFull`
/// where the disk is full.
pub(super) fn write_all(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    write_counted(fd, bytes, &mut 0)
}

/// The same, and adds up what has been written.
fn write_counted(fd: BorrowedFd<'_>, mut bytes: &[u8], written: &mut u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let mut wanted = [poll::PollFd::new(fd.as_fd(), poll::PollFlags::POLLOUT)];
        if let Ok(0) | Err(Errno::EINTR) = poll::poll(&mut wanted, LOOK_UP) {
            signals::stop_with_go()?;
            if signals::ending() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            continue;
        }
        match nix::unistd::write(fd, &bytes[..bytes.len().min(WRITTEN_AT_ONCE)]) {
            Ok(count) => {
                *written += count as u64;
                bytes = &bytes[count..];
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn progress_is_shown_and_what_follows_is_held() {
        let now = Instant::now();
        let mut gate = Gate::new(Mode::Hold);
        assert_eq!(
            text(&gate.push(b"go: downloading a v1\ngo: find", now)),
            "go: downloading a v1\n"
        );
        assert_eq!(text(&gate.push(b"ing module\nbad", now)), "go: finding module\n");
        assert_eq!(text(&gate.push(b" news\ngo: downloading b v1\nhalf", now)), "");
        assert_eq!(text(&gate.expire(now + HELD_FOR / 2)), "");
        assert_eq!(
            text(&gate.expire(now + HELD_FOR)),
            "bad news\ngo: downloading b v1\n"
        );
        assert_eq!(gate.due(), None);
        assert_eq!(text(&gate.into_rest()), "half");
    }

    #[test]
    fn a_trace_is_not_held_and_a_flood_is_let_go() {
        let now = Instant::now();
        assert_eq!(text(&Gate::new(Mode::Live).push(b"WORK=/tmp", now)), "WORK=/tmp");
        let mut gate = Gate::new(Mode::Hold);
        let line = [b"x".repeat(999), b"\n".to_vec()].concat();
        let mut shown = 0;
        for _ in 0..1000 {
            shown += gate.push(&line, now).len();
            assert!(gate.held() <= HELD_LIMIT);
        }
        assert_eq!(shown, 1_000_000);
    }

    #[test]
    fn of_a_prefetch_only_progress_is_seen_and_not_at_once() {
        let now = Instant::now();
        let mut gate = Gate::new(Mode::Ahead);
        assert_eq!(text(&gate.push(b"go: downloading a v1\ngo: down", now)), "");
        assert_eq!(text(&gate.expire(now + HELD_FOR / 2)), "");
        assert_eq!(text(&gate.expire(now + HELD_FOR)), "go: downloading a v1\n");
        assert_eq!(gate.due(), None);
        let later = now + HELD_FOR * 2;
        assert_eq!(
            text(&gate.push(b"loading b v1\n", later)),
            "go: downloading b v1\n"
        );
        assert_eq!(text(&gate.push(b"x: EOF\ngo: downloading c v1\n", later)), "");
        assert_eq!(gate.due(), None);
        assert_eq!(text(&gate.into_rest()), "");
        // What came first is seen first, also where nobody has looked in between.
        let mut gate = Gate::new(Mode::Ahead);
        gate.push(b"go: downloading a v1\n", now);
        assert_eq!(
            text(&gate.push(b"go: downloading b v1\n", now + HELD_FOR)),
            "go: downloading a v1\ngo: downloading b v1\n"
        );
        // One that ends sooner.
        let mut gate = Gate::new(Mode::Ahead);
        gate.push(b"go: downloading a v1\nmkdir -p $WORK/b001/\nmore", now);
        assert_eq!(text(&gate.into_rest()), "go: downloading a v1\n");
        let mut gate = Gate::new(Mode::Ahead);
        gate.push(&vec![b'x'; 3 * HELD_LIMIT], now);
        assert!(gate.partial.is_empty());
    }

    #[test]
    fn splitting_changes_nothing() {
        let now = Instant::now();
        let whole = b"go: downloading a v1\ngo: x: EOF\n\tmore\ngo: found y\nend";
        for at in 0..whole.len() {
            let mut gate = Gate::new(Mode::Hold);
            let mut shown = gate.push(&whole[..at], now);
            shown.extend(gate.push(&whole[at..], now));
            assert_eq!(text(&shown), "go: downloading a v1\n", "{at}");
            assert_eq!(
                text(&gate.into_rest()),
                "go: x: EOF\n\tmore\ngo: found y\nend",
                "{at}"
            );
        }
    }

    #[test]
    fn kept_text_is_bounded_and_has_both_ends() {
        let mut kept = KeptText::default();
        kept.push(b"first\n");
        for _ in 0..3000 {
            kept.push(&[b'x'; 1000]);
        }
        kept.push(b"last");
        let text = kept.into_text();
        assert!(text.starts_with(b"first\n") && text.ends_with(b"last") && text.len() < 1 << 20);
    }

    #[test]
    fn a_spool_gives_back_what_it_took() {
        for size in [10, SPOOL_MEMORY, 3 * SPOOL_MEMORY + 7] {
            let mut spool = Spool::default();
            let data: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            for chunk in data.chunks(1000) {
                assert!(spool.push(chunk));
            }
            assert_eq!(spool.peek(5), data[..5]);
            let mut out = tempfile::tempfile().unwrap();
            spool.deliver(out.as_fd()).unwrap();
            assert!(!spool.push(b"more"));
            let mut back = Vec::new();
            out.seek(SeekFrom::Start(0)).unwrap();
            out.read_to_end(&mut back).unwrap();
            assert!(back == data);
        }
    }
}
