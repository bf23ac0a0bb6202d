//! The pipes between go and the run loop.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use tokio::net::unix::pipe::Receiver;

/// A pipe that no exec keeps; its read end is for the run loop.
pub(super) fn pipe() -> io::Result<(Receiver, OwnedFd)> {
    let (read_end, write_end) = io::pipe()?;
    Ok((Receiver::from_owned_fd(read_end.into())?, write_end.into()))
}

/// Reads what stands in a pipe now. tokio alone would not look where it was
/// empty before and the loop has not turned since.
pub(super) fn read_now(pipe: &Receiver, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match nix::unistd::read(pipe, buffer) {
            Ok(count) => return Ok(count),
            Err(Errno::EINTR) => {}
            // Tells tokio, too, that it is empty.
            Err(Errno::EAGAIN) => return pipe.try_read(buffer),
            Err(error) => return Err(error.into()),
        }
    }
}
