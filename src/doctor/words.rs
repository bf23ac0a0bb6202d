//! What keeps a connection from coming about, in words for people.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError};

use crate::net::dial::{DialError, LookupError};
use crate::net::proxy_env::ProxyScheme;
use crate::net::tunnel::TunnelError;
use crate::text::errno_text;

use super::row::TIMEOUT;

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
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return handshake(tls);
    }
    errno_text(error)
}

/// What the resolver says.
pub(super) fn lookup(error: &LookupError) -> String {
    match error {
        LookupError::NoSuchHost => "no such host".to_owned(),
        LookupError::Timeout => "the resolver does not answer".to_owned(),
        LookupError::Other(words) if is_silence(words) => {
            "temporary failure in name resolution (no resolver answers)".to_owned()
        }
        LookupError::Other(words) => words.clone(),
    }
}

/// Nobody has answered the question, rather than denied that there is such a name.
pub(super) fn is_resolver_silent(error: &LookupError) -> bool {
    match error {
        LookupError::NoSuchHost => false,
        LookupError::Timeout => true,
        LookupError::Other(words) => is_silence(words),
    }
}

/// EAI_AGAIN, in the words of glibc and musl.
fn is_silence(words: &str) -> bool {
    matches!(words, "Temporary failure in name resolution" | "Try again")
}

/// Why there is no way to a server although it, or the proxy in front of it, takes connections.
pub(super) fn dial(error: &DialError) -> String {
    match error {
        DialError::Lookup { error, .. } => lookup(error),
        DialError::LinkLocal { host } => format!("{host} is an address of this link"),
        DialError::Connect { error, .. } | DialError::Broken(error) | DialError::Handshake { error, .. } => {
            io(error)
        }
        DialError::Library(error) => error.to_string(),
        DialError::ServerName { .. } => "no certificate can be for this name".to_owned(),
        DialError::HandshakeTimeout => "no answer to the TLS handshake".to_owned(),
        DialError::ToProxy(error) => format!("TLS to the proxy: {}", dial(error)),
        DialError::Tunnel { error, scheme, .. } => match error {
            TunnelError::Broken(error) => io(error),
            TunnelError::Status(status, Some(words)) => format!("{status} {words}"),
            TunnelError::Status(status, None) => status.to_string(),
            other if *scheme == ProxyScheme::Socks5 => format!("SOCKS: {other}"),
            other => other.to_string(),
        },
        DialError::TunnelTimeout => "it does not answer".to_owned(),
    }
}

/// Why a step came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StepError {
    /// Its time ran out.
    TimedOut(&'static str),
    /// This machine has no trusted certificate authorities.
    NoRoots,
    /// In words that are fit to be shown.
    Other(String),
}

impl StepError {
    pub(super) fn unaskable() -> Self {
        Self::Other("the URL cannot be asked".to_owned())
    }

    /// Of an attempt to connect.
    pub(super) fn of_connect(error: &io::Error) -> Self {
        match Refusal::of(error) {
            Refusal::Dropped => Self::TimedOut("no answer to connection attempts"),
            _ => Self::Other(io(error)),
        }
    }

    /// The `id` of a finding that it leads to.
    pub(super) fn id(&self) -> Option<&'static str> {
        matches!(self, Self::TimedOut(_)).then_some(TIMEOUT)
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(words) => f.write_str(words),
            Self::NoRoots => f.write_str("this machine has no trusted certificate authorities"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// The same as the error of a step.
pub(super) fn step(error: &DialError) -> StepError {
    match error {
        DialError::HandshakeTimeout => StepError::TimedOut("no answer to the TLS handshake"),
        error => StepError::Other(crate::text::safe(&dial(error))),
    }
}

/// True where a proxy wants to know who asks.
pub(super) fn wants_login(error: &DialError) -> bool {
    matches!(
        error,
        DialError::Tunnel {
            error: TunnelError::Status(407, _) | TunnelError::Login(_),
            ..
        }
    )
}

/// What is wrong with a certificate.
pub(super) fn certificate(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(why) = error else {
        return error.to_string();
    };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => UNKNOWN_ISSUER.to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name".to_owned()
        }
        other => other.to_string(),
    }
}

pub(super) const UNKNOWN_ISSUER: &str = "its issuer is not trusted here";

/// What a failed handshake means where it was no matter of the certificate.
fn handshake(error: &rustls::Error) -> String {
    match error {
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(_) => {
            "the server supports only TLS 1.1 or older, which Go refuses".to_owned()
        }
        rustls::Error::InvalidMessage(_) => "the server that answers does not speak TLS".to_owned(),
        rustls::Error::AlertReceived(alert) => {
            format!("the server refused the TLS handshake ({alert:?})")
        }
        other => other.to_string(),
    }
}
