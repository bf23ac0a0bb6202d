//! System errors in the words that Go uses for them.

use std::io;

/// What kept a connection from coming about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// Somebody said no: the host is there, the port is not.
    Refused,
    /// Nobody said anything: what was sent is dropped on the way.
    Dropped,
    /// No way there from this machine.
    Unreachable,
    /// No local port is left (EADDRNOTAVAIL).
    NoPorts,
    /// No descriptor is left (EMFILE, ENFILE).
    NoDescriptors,
    /// Not allowed by this machine (EPERM, EACCES): its own firewall or sandbox.
    Forbidden,
    /// Reset while connecting, or anything else.
    Other,
}

impl Refusal {
    pub(super) fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => Self::Refused,
            Some(libc::ETIMEDOUT) => Self::Dropped,
            Some(
                libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::ENETDOWN
                | libc::EHOSTDOWN
                | libc::EAFNOSUPPORT,
            ) => Self::Unreachable,
            Some(libc::EADDRNOTAVAIL) => Self::NoPorts,
            Some(libc::EMFILE | libc::ENFILE) => Self::NoDescriptors,
            Some(libc::EPERM | libc::EACCES) => Self::Forbidden,
            _ if error.kind() == io::ErrorKind::TimedOut => Self::Dropped,
            _ => Self::Other,
        }
    }
}

/// `connection refused`, `no route to host`: without the number, with a small letter.
pub(super) fn io(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "EOF".to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if chars.as_str().starts_with(|c: char| c.is_lowercase()) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}
