//! What can go wrong between the relay and an upstream, in the words that go
//! itself has for it.
//!
//! Sources of the words: Go's `net`, `net/http`, `crypto/tls` and `syscall`.
//! Known to be imperfect: where Go names bytes that the libraries used here do
//! not hand out (`malformed HTTP response "…"`), the part that it quotes is
//! missing; Go's own resolver names the server that it asked, the system's
//! does not.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::diagnose::FaultKind;
use crate::text::errno_text;

use super::spool::Body;

/// What becomes of a request after one failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// The same route may heal.
    Here,
    /// The same route will not; another may.
    Elsewhere,
    /// It is an answer: nobody else is asked.
    Nowhere,
}

/// Where in a request it went wrong: go words the two differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before the header was whole: `Get "URL": …`.
    Get,
    /// In the body: `read "URL": …`.
    Read,
    /// The body was whole and is not what was asked for.
    Content,
}

/// An HTTP answer that may go to go as it is.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The words behind the status, where they are not the usual ones.
    pub(crate) reason: Option<Vec<u8>>,
    /// The Content-Type, by which go decides whether to show an error's body.
    pub(crate) content_type: Option<Vec<u8>>,
    /// The body.
    pub(crate) body: Body,
}

/// One failed try.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// What kind of trouble it is.
    pub(crate) kind: FaultKind,
    /// Nobody was there at all.
    pub(crate) nobody: bool,
    /// Go's words for it, without the URL.
    pub(crate) text: String,
    /// Where it went wrong.
    pub(crate) phase: Phase,
    /// The URL of the last redirect, where there was one.
    pub(crate) url: Option<String>,
    /// Whether and where to try again.
    pub(crate) again: Again,
    /// The body broke after a good part of it had arrived: what follows is
    /// resumed and is no further try.
    pub(crate) progress: bool,
    /// What the server said about when to come back.
    pub(crate) retry_after: Option<Duration>,
    /// What goes to go when every try is spent, where that is no fault.
    pub(crate) answer: Option<Box<Answer>>,
}

const PAUSED: &str = "context deadline exceeded while waiting for a proxy that failed before";

impl Trouble {
    /// A failure of a host that answers.
    pub(crate) fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            nobody: false,
            text: text.into(),
            phase: Phase::Get,
            url: None,
            again: Again::Here,
            progress: false,
            retry_after: None,
            answer: None,
        }
    }

    /// A failure that says nobody is there.
    pub(crate) fn nobody(kind: FaultKind, text: impl Into<String>) -> Self {
        Self {
            nobody: true,
            ..Self::new(kind, text)
        }
    }

    /// The same, with another rule for what follows.
    pub(crate) fn then(mut self, again: Again) -> Self {
        self.again = again;
        self
    }

    /// The server has asked for fewer requests.
    pub(crate) fn asks_for_less(&self) -> bool {
        self.kind == FaultKind::RateLimit || self.retry_after.is_some()
    }

    /// The same, met in the body.
    pub(crate) fn in_body(mut self) -> Self {
        self.phase = Phase::Read;
        self.nobody = false;
        self
    }

    /// A clock struck: before anybody had said anything, or over a body of which
    /// next to nothing came. Who else can be asked is asked.
    pub(crate) fn is_in_vain(&self) -> bool {
        self.kind == FaultKind::Timeout && !self.progress
    }

    /// Somebody else may have what nobody gives here.
    pub(crate) fn sends_elsewhere(&self) -> bool {
        self.nobody || self.is_in_vain()
    }

    /// For a request that was not made, since the proxy failed before.
    pub(crate) fn paused() -> Self {
        Self::nobody(FaultKind::Timeout, PAUSED)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.text == PAUSED
    }

    /// The TLS library does not speak what the server does. Go's own may.
    pub(crate) fn is_refused_tls(&self) -> bool {
        self.kind == FaultKind::TlsHandshake && self.again == Again::Elsewhere
    }

    /// What holds for every request to the host: neither the URL of one file nor
    /// the time that was named for it. The server's words stay, go shows them.
    pub(crate) fn of_the_host(&self) -> Self {
        Self {
            url: None,
            retry_after: None,
            ..self.clone()
        }
    }

    /// The same, with words put in front.
    pub(crate) fn prefixed(mut self, words: &str) -> Self {
        self.text = format!("{words}{}", self.text);
        self
    }
}

/// The two ends of a connection, as they stand in Go's errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// This side.
    pub(crate) local: SocketAddr,
    /// The other side.
    pub(crate) peer: SocketAddr,
}

/// `dial tcp A: connect: connection refused`.
pub(crate) fn dial_trouble(address: SocketAddr, err: &io::Error) -> Trouble {
    let text = format!("dial tcp {address}: connect: {}", errno_text(err));
    Trouble::nobody(FaultKind::Connect, text)
}

/// Words for a failed read or write on an established connection.
pub(crate) fn io_trouble(err: &io::Error, ends: Option<Ends>, in_body: bool) -> Trouble {
    if let Some(tls) = find::<rustls::Error>(err) {
        return crate::net::tls::trouble(tls);
    }
    let at = |call: &str, verb: &str| match ends {
        Some(Ends { local, peer }) => format!("{call} tcp {local}->{peer}: {verb}: {}", errno_text(err)),
        None => format!("{call} tcp: {verb}: {}", errno_text(err)),
    };
    match err.kind() {
        io::ErrorKind::UnexpectedEof => Trouble::new(FaultKind::Eof, eof(in_body)),
        io::ErrorKind::BrokenPipe => Trouble::new(FaultKind::Reset, at("write", "write")),
        _ => Trouble::new(FaultKind::Reset, at("read", "read")),
    }
}

fn eof(in_body: bool) -> &'static str {
    if in_body { "unexpected EOF" } else { "EOF" }
}

/// Words for a failure that the HTTP library reports. `stream` is the number
/// that the HTTP/2 stream had, 0 for HTTP/1.
pub(crate) fn http_trouble(err: &hyper::Error, ends: Ends, stream: u32, in_body: bool) -> Trouble {
    let trouble = if let Some(h2) = find::<h2::Error>(err) {
        http2_trouble(h2, ends, stream, in_body)
    } else if let Some(io) = find::<io::Error>(err) {
        io_trouble(io, Some(ends), in_body)
    } else if err.is_parse_too_large() {
        Trouble::new(
            FaultKind::Garbage,
            "net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded limit; aborted",
        )
    } else if err.is_parse() || err.is_user() {
        Trouble::new(
            FaultKind::Garbage,
            format!(
                "net/http: HTTP/1.x transport connection broken: malformed HTTP {}",
                if err.is_parse_status() {
                    "status code"
                } else {
                    "response"
                }
            ),
        )
    } else if in_body && stream == 0 && !err.is_incomplete_message() && !err.is_closed() && !err.is_canceled()
    {
        // A chunk that is none ends up here.
        Trouble::new(FaultKind::Garbage, "malformed chunked encoding")
    } else {
        Trouble::new(FaultKind::Eof, eof(in_body))
    };
    if in_body { trouble.in_body() } else { trouble }
}

fn http2_trouble(err: &h2::Error, ends: Ends, stream: u32, in_body: bool) -> Trouble {
    if let Some(io) = err.get_io() {
        return match io.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::NotConnected => {
                Trouble::new(FaultKind::Eof, eof(in_body))
            }
            _ if find::<rustls::Error>(io).is_none() && io.raw_os_error().is_none() => {
                Trouble::new(FaultKind::Http2, "http2: client connection lost")
            }
            _ => io_trouble(io, Some(ends), in_body),
        };
    }
    let reason = err
        .reason()
        .map_or_else(|| "INTERNAL_ERROR".to_owned(), |reason| format!("{reason:?}"));
    let text = if err.is_go_away() && err.is_remote() {
        format!(
            "http2: server sent GOAWAY and closed the connection; LastStreamID={stream}, ErrCode={reason}, debug=\"\""
        )
    } else if err.is_reset() {
        let side = if err.is_remote() {
            "; received from peer"
        } else {
            ""
        };
        format!("stream error: stream ID {stream}; {reason}{side}")
    } else {
        format!("http2: connection error: {reason}")
    };
    Trouble::new(FaultKind::Http2, text)
}

/// Looks through the sources of an error for one of type `E`.
pub(crate) fn find<'a, E: StdError + 'static>(err: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(err);
    while let Some(err) = next {
        if let Some(found) = err.downcast_ref::<E>() {
            return Some(found);
        }
        // An io::Error hides what it wraps from its own `source`.
        if let Some(inner) = err.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = inner.downcast_ref::<E>()
        {
            return Some(found);
        }
        next = err.source();
    }
    None
}

/// The host is not known, or the resolver is in trouble.
pub(crate) fn lookup_trouble(host: &str, err: &io::Error) -> Trouble {
    let text = err.to_string();
    let text = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text);
    let nobody_of_that_name = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "nodename nor servname provided",
    ];
    let text = if nobody_of_that_name.iter().any(|known| text.starts_with(known)) {
        "no such host"
    } else {
        text
    };
    Trouble::nobody(
        FaultKind::Dns,
        format!("dial tcp: lookup {host}: {}", crate::text::safe(text)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> Ends {
        Ends {
            local: "127.0.0.1:1".parse().unwrap(),
            peer: "127.0.0.1:2".parse().unwrap(),
        }
    }

    #[test]
    fn the_words_of_the_kernel() {
        let text = |code| errno_text(&io::Error::from_raw_os_error(code));
        assert_eq!(text(libc::ECONNREFUSED), "connection refused");
        assert_eq!(text(libc::EHOSTUNREACH), "no route to host");
        assert_eq!(text(libc::ENETUNREACH), "network is unreachable");
        let reset = io::Error::from_raw_os_error(libc::ECONNRESET);
        assert_eq!(
            io_trouble(&reset, Some(ends()), false).text,
            "read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer"
        );
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        assert_eq!(
            dial_trouble(ends().peer, &refused).text,
            "dial tcp 127.0.0.1:2: connect: connection refused"
        );
    }

    #[test]
    fn an_early_end_is_worded_by_where_it_came() {
        let eof = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(io_trouble(&eof, None, false).text, "EOF");
        assert_eq!(io_trouble(&eof, None, true).text, "unexpected EOF");
    }

    #[test]
    fn names_that_do_not_resolve() {
        let err = io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(lookup_trouble("h", &err).text, "dial tcp: lookup h: no such host");
        let err =
            io::Error::other("failed to lookup address information: Temporary failure in name resolution");
        assert_eq!(
            lookup_trouble("h", &err).text,
            "dial tcp: lookup h: Temporary failure in name resolution"
        );
    }
}
