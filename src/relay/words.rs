//! The words that go itself has for what goes wrong between the relay and an upstream.
//!
//! Sources: Go's `net`, `net/http`, `crypto/tls`, `crypto/x509` and `syscall`.
//! Known limitations: where Go names bytes that the libraries used here do
//! not hand out (`malformed HTTP response "…"`), the part that it quotes is
//! missing; Go's own resolver names the server that it asked, the system's
//! does not.

use std::error::Error as StdError;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use super::request_error::{Again, RequestError};
use crate::diagnose::FaultKind;
use crate::net::dial::{DialError, Ends, LookupError};
use crate::net::limits::{self, Flood};
use crate::net::proxy_env::ProxyScheme;
use crate::net::redirect::RedirectError;
use crate::net::tunnel::TunnelError;
use crate::text::errno_text;

impl From<DialError> for RequestError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Lookup { host, error } => lookup_error(&host, &error),
            DialError::LinkLocal { host } => Self::new(
                FaultKind::Garbage,
                format!("redirected to link-local address of {host}, refused"),
            ),
            DialError::Connect { address, error } => match error.raw_os_error() {
                None if error.kind() == io::ErrorKind::TimedOut => {
                    Self::nobody(FaultKind::Timeout, format!("dial tcp {address}: i/o timeout"))
                }
                _ => Self::nobody(
                    FaultKind::Connect,
                    format!("dial tcp {address}: connect: {}", errno_text(&error)),
                ),
            },
            DialError::Broken(error) => io_error(&error, None, false),
            DialError::Library(error) => Self::new(
                FaultKind::TlsHandshake,
                format!("tls: {}", crate::text::safe(&error.to_string())),
            )
            .refused(),
            DialError::ServerName { host } => {
                Self::new(FaultKind::Certificate, format!("tls: invalid server name {host}")).refused()
            }
            DialError::Handshake { error, ends } => handshake_error(&error, ends),
            DialError::HandshakeTimeout => {
                Self::nobody(FaultKind::Timeout, "net/http: TLS handshake timeout")
            }
            DialError::ToProxy(error) => Self::from(*error).prefixed("proxyconnect tcp: "),
            DialError::Tunnel {
                error,
                scheme: ProxyScheme::Socks5,
                target,
                ends,
            } => tunnel_error(&error, ends).prefixed(&format!("socks connect tcp {}->{target}: ", ends.peer)),
            DialError::Tunnel { error, ends, .. } => tunnel_error(&error, ends),
            DialError::TunnelTimeout => Self::nobody(FaultKind::Timeout, "context deadline exceeded"),
        }
    }
}

impl From<RedirectError> for RequestError {
    fn from(error: RedirectError) -> Self {
        let mut request_error = Self::new(FaultKind::Garbage, error.text);
        request_error.url = Some(error.url);
        request_error
    }
}

/// The host is not known, or the resolver is in trouble.
fn lookup_error(host: &str, error: &LookupError) -> RequestError {
    let (kind, words) = match error {
        LookupError::NoSuchHost => (FaultKind::Dns, "no such host"),
        LookupError::Timeout => (FaultKind::Timeout, "i/o timeout"),
        LookupError::Other(words) => (FaultKind::Dns, words.as_str()),
    };
    RequestError::nobody(kind, format!("dial tcp: lookup {host}: {words}"))
}

/// Everything that ends a handshake but a bad certificate says that nobody
/// is there.
fn handshake_error(error: &io::Error, ends: Ends) -> RequestError {
    let is_tls = find::<rustls::Error>(error).is_some();
    let mut request_error = io_error(error, Some(ends), false);
    if request_error.kind != FaultKind::Certificate {
        request_error.nobody = true;
        if is_tls {
            request_error.kind = FaultKind::TlsHandshake;
        }
    }
    request_error
}

/// A proxy that refuses has answered, and nobody is asked again. One that could
/// not reach the host itself (5xx) has not.
fn tunnel_error(error: &TunnelError, ends: Ends) -> RequestError {
    let nobody = RequestError::nobody(FaultKind::ProxyConnect, error.to_string());
    match error {
        TunnelError::Broken(error) => RequestError {
            nobody: true,
            ..io_error(error, Some(ends), true)
        },
        TunnelError::Status(408 | 425 | 429 | 500.., _) => nobody,
        // The rules of a SOCKS proxy.
        TunnelError::Status(..) | TunnelError::Login(_) | TunnelError::Reply(2) => RequestError {
            nobody: false,
            ..nobody.then(Again::Nowhere)
        },
        TunnelError::Unspeakable(_) => RequestError {
            nobody: false,
            kind: FaultKind::Config,
            ..nobody.then(Again::Elsewhere)
        },
        TunnelError::Malformed(_)
        | TunnelError::TooLong
        | TunnelError::Reply(_)
        | TunnelError::Protocol(_) => nobody,
    }
}

/// Words for a failed read or write on an established connection.
pub(crate) fn io_error(err: &io::Error, ends: Option<Ends>, in_body: bool) -> RequestError {
    if let Some(tls) = find::<rustls::Error>(err) {
        return tls_error(tls);
    }
    if find::<Flood>(err).is_some() {
        return RequestError::new(FaultKind::Garbage, flood(in_body));
    }
    let at = |call: &str, verb: &str| match ends {
        Some(Ends { local, peer }) => format!("{call} tcp {local}->{peer}: {verb}: {}", errno_text(err)),
        None => format!("{call} tcp: {verb}: {}", errno_text(err)),
    };
    match err.kind() {
        io::ErrorKind::UnexpectedEof => RequestError::new(FaultKind::Eof, eof(in_body)),
        // The HTTP library's own, about chunks; those that are only too long for it go may take.
        kind @ (io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) if err.raw_os_error().is_none() => {
            RequestError {
                is_refused: kind == io::ErrorKind::InvalidData,
                ..RequestError::new(FaultKind::Garbage, "malformed chunked encoding")
            }
        }
        io::ErrorKind::BrokenPipe => RequestError::new(FaultKind::Reset, at("write", "write")),
        _ => RequestError::new(FaultKind::Reset, at("read", "read")),
    }
}

fn flood(in_body: bool) -> String {
    match in_body {
        true => "chunked encoding contains too much non-data".to_owned(),
        false => format!(
            "net/http: server response headers exceeded {} bytes; aborted",
            limits::HEADER
        ),
    }
}

fn eof(in_body: bool) -> &'static str {
    if in_body { "unexpected EOF" } else { "EOF" }
}

/// Words for a failure that the HTTP library reports. `stream` is the number
/// that the HTTP/2 stream had, 0 for HTTP/1.
pub(crate) fn http_error(err: &hyper::Error, ends: Ends, stream: u32, in_body: bool) -> RequestError {
    let request_error = if let Some(h2) = find::<h2::Error>(err) {
        http2_error(h2, ends, stream, in_body)
    } else if let Some(io) = find::<io::Error>(err) {
        io_error(io, Some(ends), in_body)
    } else if err.is_parse_too_large() {
        // Too much for the library, and perhaps not for go.
        RequestError {
            is_refused: true,
            ..RequestError::new(FaultKind::Garbage, flood(false))
        }
    } else if err.is_parse() || err.is_user() {
        RequestError::new(
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
        RequestError::new(FaultKind::Garbage, "malformed chunked encoding")
    } else {
        RequestError::new(FaultKind::Eof, eof(in_body))
    };
    if in_body {
        request_error.in_body()
    } else {
        request_error
    }
}

fn http2_error(err: &h2::Error, ends: Ends, stream: u32, in_body: bool) -> RequestError {
    if let Some(io) = err.get_io() {
        return match io.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::NotConnected => {
                RequestError::new(FaultKind::Eof, eof(in_body))
            }
            _ if find::<rustls::Error>(io).is_none() && io.raw_os_error().is_none() => {
                RequestError::new(FaultKind::Http2, "http2: client connection lost")
            }
            _ => io_error(io, Some(ends), in_body),
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
    RequestError::new(FaultKind::Http2, text)
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

/// Go's words for what went wrong in TLS.
fn tls_error(err: &rustls::Error) -> RequestError {
    match err {
        rustls::Error::InvalidCertificate(err) => RequestError::new(
            match certificate_text(err) {
                Some(_) => FaultKind::Certificate,
                None => FaultKind::TlsHandshake,
            },
            format!(
                "tls: failed to verify certificate: x509: {}",
                certificate_text(err).unwrap_or_else(|| "unsupported certificate".to_owned())
            ),
        )
        .refused(),
        rustls::Error::AlertReceived(alert) => {
            let request_error = RequestError::nobody(
                FaultKind::TlsHandshake,
                format!("remote error: tls: {}", alert_text(*alert)),
            );
            // The two have nothing in common, and will not have next time.
            match alert {
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity => request_error.refused(),
                _ => request_error,
            }
        }
        rustls::Error::InvalidMessage(_) => RequestError::nobody(
            FaultKind::TlsHandshake,
            "tls: first record does not look like a TLS handshake",
        ),
        rustls::Error::PeerIncompatible(_) | rustls::Error::PeerMisbehaved(_) => RequestError::nobody(
            FaultKind::TlsHandshake,
            "tls: server selected unsupported protocol version or cipher suite",
        )
        .refused(),
        other => RequestError::nobody(
            FaultKind::TlsHandshake,
            format!("tls: {}", crate::text::safe(&other.to_string())),
        ),
    }
}

/// `None` where the library does not understand the certificate.
fn certificate_text(err: &CertificateError) -> Option<String> {
    let text = match err {
        CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => format!(
            "certificate has expired or is not yet valid: current time {} is after {}",
            stamp(*time),
            stamp(*not_after)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "certificate has expired or is not yet valid: current time {} is before {}",
            stamp(*time),
            stamp(*not_before)
        ),
        CertificateError::Expired | CertificateError::NotValidYet => {
            "certificate has expired or is not yet valid".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = presented
                .iter()
                .map(|name| name.split('"').nth(1).unwrap_or(name))
                .collect::<Vec<_>>()
                .join(", ");
            if names.is_empty() {
                format!(
                    "certificate is not valid for any names, but wanted to match {}",
                    expected.to_str()
                )
            } else {
                format!(
                    "certificate is valid for {}, not {}",
                    crate::text::safe(&names),
                    expected.to_str()
                )
            }
        }
        CertificateError::NotValidForName => "certificate is not valid for this name".to_owned(),
        CertificateError::BadSignature => "signature of the certificate does not verify".to_owned(),
        _ => return None,
    };
    Some(text)
}

/// RFC 3339 in UTC, as Go prints a certificate's times.
fn stamp(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|secs| jiff::Timestamp::from_second(secs).ok())
        .map_or_else(|| time.as_secs().to_string(), |stamp| stamp.to_string())
}

/// `crypto/tls/alert.go`.
fn alert_text(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::HandshakeFailure => "handshake failure".to_owned(),
        AlertDescription::ProtocolVersion => "protocol version not supported".to_owned(),
        AlertDescription::UnrecognisedName => "unrecognized name".to_owned(),
        AlertDescription::InternalError => "internal error".to_owned(),
        AlertDescription::CertificateRequired => "certificate required".to_owned(),
        AlertDescription::BadCertificate => "bad certificate".to_owned(),
        AlertDescription::NoApplicationProtocol => "no application protocol".to_owned(),
        AlertDescription::AccessDenied => "access denied".to_owned(),
        AlertDescription::DecodeError => "error decoding message".to_owned(),
        other => format!("alert({})", u8::from(other)),
    }
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
            io_error(&reset, Some(ends()), false).text,
            "read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer"
        );
        let refused = DialError::Connect {
            address: ends().peer,
            error: io::Error::from_raw_os_error(libc::ECONNREFUSED),
        };
        assert_eq!(
            RequestError::from(refused).text,
            "dial tcp 127.0.0.1:2: connect: connection refused"
        );
    }

    #[test]
    fn an_early_end_is_worded_by_where_it_came() {
        let eof = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(io_error(&eof, None, false).text, "EOF");
        assert_eq!(io_error(&eof, None, true).text, "unexpected EOF");
    }

    #[test]
    fn names_that_do_not_resolve() {
        let text = |error| {
            let host = "h".to_owned();
            RequestError::from(DialError::Lookup { host, error }).text
        };
        assert_eq!(text(LookupError::NoSuchHost), "dial tcp: lookup h: no such host");
        assert_eq!(text(LookupError::Timeout), "dial tcp: lookup h: i/o timeout");
    }

    #[test]
    fn what_a_proxy_says_and_what_follows() {
        let tunnel = |error, scheme| {
            RequestError::from(DialError::Tunnel {
                error,
                scheme,
                target: "h:443".to_owned(),
                ends: ends(),
            })
        };
        let status = |code| {
            tunnel(
                TunnelError::Status(code, Some("words".to_owned())),
                ProxyScheme::Http,
            )
        };
        assert_eq!(
            (status(407).text.as_str(), status(407).again),
            ("words", Again::Nowhere)
        );
        assert_eq!((status(502).again, status(502).nobody), (Again::Here, true));
        assert_eq!(
            tunnel(TunnelError::Reply(5), ProxyScheme::Socks5).text,
            "socks connect tcp 127.0.0.1:2->h:443: unknown error connection refused"
        );
    }

    #[test]
    fn the_words_of_tls() {
        let text = |err| tls_error(&rustls::Error::InvalidCertificate(err)).text;
        assert_eq!(
            text(CertificateError::UnknownIssuer),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        );
        let at = |secs| UnixTime::since_unix_epoch(std::time::Duration::from_secs(secs));
        assert_eq!(
            text(CertificateError::ExpiredContext {
                time: at(86_400),
                not_after: at(0)
            }),
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: \
             current time 1970-01-02T00:00:00Z is after 1970-01-01T00:00:00Z"
        );
        let alert = tls_error(&rustls::Error::AlertReceived(AlertDescription::HandshakeFailure));
        assert_eq!(alert.text, "remote error: tls: handshake failure");
        assert!(alert.nobody && alert.is_refused);
    }
}
