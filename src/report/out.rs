//! Writers that never fail, for a world in which stderr is a full disk, a closed
//! descriptor or the pipe of a reader that went away.
//!
//! Known limit: a descriptor in non-blocking mode whose reader sleeps is waited
//! for at most [`PATIENCE`] per message; what does not fit then is lost.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use terminal_size::{Height, Width, terminal_size_of};

use crate::text::{fit, safe};

/// How long one message waits for room in a non-blocking descriptor.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Writes all of `bytes` to `fd` past any buffer, and ignores every error.
pub fn write_all(fd: &impl AsFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match nix::unistd::write(fd.as_fd(), bytes) {
            Ok(0) => return,
            Ok(n) => bytes = &bytes[n..],
            Err(nix::Error::EINTR) => {}
            Err(nix::Error::EAGAIN) if has_room(fd) => {}
            Err(_) => return,
        }
    }
}

fn has_room(fd: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    let timeout = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::ZERO);
    matches!(poll(&mut fds, timeout), Ok(n) if n > 0)
}

/// Stdout of gofix's own commands: coloured only where a terminal wants it
/// (`NO_COLOR`, `CLICOLOR`, `TERM`), and silent once nobody reads.
///
/// Every write succeeds, so `let _ =` on `writeln!` hides nothing.
#[derive(Debug)]
pub struct Out {
    stream: anstream::AutoStream<io::Stdout>,
    gone: bool,
}

/// Opens [`Out`].
pub fn stdout() -> Out {
    Out {
        stream: anstream::stdout(),
        gone: false,
    }
}

/// Flushes stdout, which std does by itself only where its own runtime has called main.
pub fn flush() {
    let _ = io::stdout().flush();
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gone {
            return Ok(bytes.len());
        }
        match self.stream.write(bytes) {
            Err(e) if e.kind() != ErrorKind::Interrupted => {
                self.gone = true;
                Ok(bytes.len())
            }
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.gone && self.stream.flush().is_err() {
            self.gone = true;
        }
        Ok(())
    }
}

/// One `gofix: ` line on stderr, for commands that have no event stream.
///
/// `text` may hold outside text only after [`safe`].
pub fn message(text: &str) {
    write_all(&io::stderr(), format!("gofix: {text}\n").as_bytes());
}

/// Back to the first column, and the rest of the line away.
const ERASE: &str = "\r\x1b[K";

/// One line on a terminal, written again and again; nothing anywhere else. It is gone when this is dropped.
#[derive(Debug)]
pub struct LiveLine {
    live: bool,
}

impl LiveLine {
    /// A line on stderr, where that is a terminal and `wanted` holds.
    pub fn on_stderr(wanted: bool) -> Self {
        Self {
            live: wanted && stderr_is_live(),
        }
    }

    /// True where the line can be seen.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Shows `text`, cut to the width of the terminal, in place of what stood there. A job in the background leaves
    /// the terminal to the one in front.
    pub fn show(&self, text: &str) {
        if self.live && stderr_is_in_front() {
            let columns = stderr_size().map_or(80, |(columns, _)| columns);
            let line = fit(&format!("gofix: {}", safe(text)), columns.saturating_sub(1));
            write_all(&io::stderr(), format!("{ERASE}{line}").as_bytes());
        }
    }

    /// Takes the line away, for something else to be written.
    pub fn clear(&self) {
        if self.live && stderr_is_in_front() {
            write_all(&io::stderr(), ERASE.as_bytes());
        }
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Writes text that is no message of gofix's own, such as the parser's, to stderr.
pub fn stderr(text: &str) {
    write_all(&io::stderr(), text.as_bytes());
}

/// True where stderr is a terminal on which a line may be written again and again.
pub fn stderr_is_live() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !dumb && io::stderr().is_terminal()
}

/// True where this process belongs to the job in front of the terminal behind stderr.
pub fn stderr_is_in_front() -> bool {
    nix::unistd::tcgetpgrp(io::stderr()).is_ok_and(|front| front == nix::unistd::getpgrp())
}

/// Columns and rows of the terminal behind stderr, where it has any.
pub fn stderr_size() -> Option<(usize, usize)> {
    size_of(&io::stderr())
}

/// Columns of the terminal behind stdout, where it has any.
pub fn stdout_columns() -> Option<usize> {
    size_of(&io::stdout()).map(|(columns, _)| columns)
}

fn size_of(terminal: &impl AsFd) -> Option<(usize, usize)> {
    let (Width(columns), Height(rows)) = terminal_size_of(terminal)?;
    Some((columns.into(), rows.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::OwnedFd;

    #[test]
    fn a_dead_descriptor_is_no_trouble() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        write_all(&full, b"lost\n");
        let (read, write): (OwnedFd, OwnedFd) = nix::unistd::pipe().unwrap();
        drop(read);
        // The test harness ignores SIGPIPE as every Rust program with a std main does.
        write_all(&write, b"lost\n");
    }

    #[test]
    fn a_non_blocking_pipe_gets_everything_while_it_is_read() {
        let (read, write): (OwnedFd, OwnedFd) = nix::unistd::pipe().unwrap();
        nix::fcntl::fcntl(
            &write,
            nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK),
        )
        .unwrap();
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            io::Read::read_to_end(&mut File::from(read), &mut got).unwrap();
            got.len()
        });
        write_all(&write, &vec![b'x'; 1_000_000]);
        drop(write);
        assert_eq!(reader.join().unwrap(), 1_000_000);
    }
}
