//! The English of faults: short phrases, likely causes, next commands.
//!
//! Known limitations: a cause is a guess from the kind of fault that was
//! seen most; `gofix doctor` measures instead of guessing.

use crate::diagnose::{Fault, FaultKind, Origin, Verdict};
use crate::policy::GaveUp;
use crate::report::event::AskedAhead;
use crate::text::{bytes, count, safe};

/// What tools say of a fault, most telling first. Shown as they stand, since
/// these are the words that people search for.
const TOOL_WORDS: &[&str] = &[
    "Proxy Authentication Required",
    "no such host",
    "server misbehaving",
    "Temporary failure in name resolution",
    "Could not resolve host",
    "Could not resolve hostname",
    "connection refused",
    "Connection refused",
    "network is unreachable",
    "no route to host",
    "cannot assign requested address",
    "too many open files",
    "TLS handshake timeout",
    "connection timed out",
    "operation timed out",
    "Client.Timeout exceeded",
    "context deadline exceeded",
    "fetch timed out",
    "i/o timeout",
    "connection reset by peer",
    "broken pipe",
    "transport endpoint is not connected",
    "socket is not connected",
    "server sent GOAWAY",
    "REFUSED_STREAM",
    "INTERNAL_ERROR",
    "PROTOCOL_ERROR",
    "ENHANCE_YOUR_CALM",
    "http2: client connection lost",
    "certificate signed by unknown authority",
    "certificate has expired or is not yet valid",
    "certificate is valid for",
    "first record does not look like a TLS handshake",
    "server gave HTTP response to HTTPS client",
    "stopped after 10 redirects",
    "a web page instead of",
    "invalid response from proxy",
    "zip: not a valid zip file",
    "zip: checksum error",
    "checksum mismatch",
    "no space left on device",
    "disk quota exceeded",
    "read-only file system",
    "permission denied",
    "unknown revision",
    "terminal prompts disabled",
    "unexpected EOF",
    "EOF",
];

/// One fault as a short phrase: `proxy.golang.org: connection refused`.
pub(super) fn fault(fault: &Fault) -> String {
    with_host(fault.host.as_deref(), &words_of(fault))
}

/// A phrase with the host that it speaks of.
pub(super) fn with_host(host: Option<&str>, phrase: &str) -> String {
    match host {
        Some(host) => format!("{}: {phrase}", safe(host)),
        None => phrase.to_owned(),
    }
}

fn words_of(fault: &Fault) -> String {
    if let Some(words) = tool_words(&fault.line) {
        return words;
    }
    // Not a text of go's: what gofix itself found, in its own words.
    if fault.kind == FaultKind::Unknown && fault.verdict == Verdict::Retry {
        return safe(&fault.line);
    }
    kind_phrase(fault.kind).to_owned()
}

/// The telling words of one line that a tool printed, if there are any.
pub(super) fn tool_words(line: &str) -> Option<String> {
    http_status(line).or_else(|| {
        let words = TOOL_WORDS.iter().find(|words| line.contains(**words))?;
        Some(match *words {
            // The names follow.
            "a web page instead of" => "a web page in place of a file".to_owned(),
            "certificate is valid for" => "the certificate is for another name".to_owned(),
            words => words.to_owned(),
        })
    })
}

/// `503 Service Unavailable` out of `reading URL: 503 Service Unavailable`.
fn http_status(line: &str) -> Option<String> {
    let bytes = line.as_bytes();
    let start = line.match_indices(": ").map(|(at, _)| at + 2).find(|&at| {
        bytes.len() > at + 4
            && matches!(bytes[at], b'4' | b'5')
            && bytes[at + 1..at + 3].iter().all(u8::is_ascii_digit)
            && bytes[at + 3] == b' '
            && bytes[at + 4].is_ascii_uppercase()
    })?;
    let words: String = line[start..]
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-'))
        .collect();
    let words = words.trim_end();
    (words.len() <= 40).then(|| words.to_owned())
}

/// A kind of fault in plain words.
pub(super) fn kind_phrase(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Dns => "name resolution failed",
        FaultKind::Connect => "could not connect",
        FaultKind::Timeout => "no answer in time",
        FaultKind::TlsHandshake => "the TLS handshake was cut",
        FaultKind::Certificate => "the certificate does not verify",
        FaultKind::Reset => "the connection was reset",
        FaultKind::Eof => "the connection ended early",
        FaultKind::Http2 => "an HTTP/2 error",
        FaultKind::RateLimit => "too many requests",
        FaultKind::ServerError => "a server error",
        FaultKind::Garbage => "not a module proxy's answer",
        FaultKind::ProxyConnect => "the proxy in HTTPS_PROXY did not connect",
        FaultKind::Vcs => "the version control system failed on the network",
        FaultKind::Auth => "access was refused",
        FaultKind::NotFound => "not found",
        FaultKind::Refused => "the request was refused",
        FaultKind::Security => "a checksum does not match",
        FaultKind::Sumdb => "the checksum database failed",
        FaultKind::Cache => "a damaged file in the module cache",
        FaultKind::Disk => "a disk or permission problem",
        FaultKind::Config => "a problem in Go's configuration",
        FaultKind::Toolchain => "the requested toolchain",
        FaultKind::User => "the module or its code",
        FaultKind::Unknown => "not recognised",
    }
}

/// Whom a fault speaks of, as a word of the JSON report.
pub(super) fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Proxy => "proxy",
        Origin::Sumdb => "sumdb",
        Origin::Direct => "direct",
        Origin::HttpsProxy => "https_proxy",
        Origin::Local => "local",
    }
}

/// Why gofix stopped, as the end of the sentence `gave up on X after Y: …`.
pub(super) fn why(why: GaveUp) -> &'static str {
    match why {
        GaveUp::Final => "this error is final; retrying will not help",
        GaveUp::TriesSpent => "every allowed route failed",
        GaveUp::BudgetSpent => "the time budget is used up",
        GaveUp::Offline => "this machine has no network",
        GaveUp::Interrupted => "asked to stop",
        GaveUp::Doubted => "go succeeded, but some lookups failed",
    }
}

/// What stands for a cause where there is no guess.
pub(super) const UNKNOWN_CAUSE: &str = "see go's own message above";

/// The likely cause of the faults that were seen most, where the kind tells one.
pub(super) fn cause(
    why: GaveUp,
    kind: FaultKind,
    origin: Origin,
    host: Option<&str>,
    hosts: usize,
) -> Option<String> {
    if why == GaveUp::Offline {
        return Some("this machine is offline: no names resolve and no address can be reached".to_owned());
    }
    let host = host.map_or_else(|| "the server".to_owned(), safe);
    Some(match kind {
        FaultKind::Dns if hosts > 1 => {
            "name resolution does not work here (resolver, VPN or container network)".to_owned()
        }
        FaultKind::Dns => {
            format!("{host} does not resolve: the name is misspelled, or the resolver or a VPN is down")
        }
        FaultKind::ProxyConnect => {
            "the proxy in HTTPS_PROXY is down or does not allow this connection".to_owned()
        }
        FaultKind::Connect | FaultKind::Timeout if origin == Origin::HttpsProxy => {
            "the proxy in HTTPS_PROXY cannot be reached".to_owned()
        }
        FaultKind::Auth | FaultKind::Refused if origin == Origin::HttpsProxy => {
            "the proxy in HTTPS_PROXY does not allow connections to that host, or requires credentials"
                .to_owned()
        }
        FaultKind::Connect if is_loopback(&host) => {
            format!("nothing is listening on {host}: a local proxy is not running")
        }
        FaultKind::Connect | FaultKind::Timeout if hosts > 1 => {
            "no server could be reached: check the firewall, the VPN and the network".to_owned()
        }
        FaultKind::Connect => format!("{host} is down, or a firewall blocks it"),
        FaultKind::Timeout => {
            format!("{host} does not answer: it is overloaded, or a firewall drops the packets")
        }
        FaultKind::TlsHandshake => {
            format!("a firewall or a middlebox interrupts TLS handshakes with {host}")
        }
        FaultKind::Certificate => {
            format!(
                "a middlebox intercepts TLS to {host}, its certificate has expired, or this machine's clock is wrong"
            )
        }
        FaultKind::Reset | FaultKind::Eof => {
            format!("connections to {host} break: the network is unstable, or a middlebox resets them")
        }
        FaultKind::Http2 => format!("HTTP/2 to {host} breaks: often a middlebox; HTTP/1.1 may pass"),
        FaultKind::RateLimit => format!("{host} limits the rate of requests"),
        FaultKind::ServerError => format!("{host} itself is failing"),
        FaultKind::Garbage => format!(
            "something other than a module proxy answers for {host}: a captive portal, or a wrong GOPROXY"
        ),
        FaultKind::Vcs => format!("the version control system cannot reach {host}"),
        FaultKind::Sumdb => "the checksum database, or the proxy in front of it, does not answer".to_owned(),
        FaultKind::Cache => "a file in the module cache is damaged".to_owned(),
        FaultKind::Disk => "the disk is full, or a folder is not writable".to_owned(),
        _ => return None,
    })
}

fn is_loopback(host: &str) -> bool {
    host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
}

/// `made ahead of go: 12 requests (1.5 MiB), of which go used 11 (1.4 MiB)`.
pub(super) fn asked_ahead(ahead: &AskedAhead) -> String {
    format!(
        "made ahead of go: {} ({}), of which go used {} ({})",
        count(ahead.requests, "request"),
        bytes(ahead.bytes),
        ahead.used,
        bytes(ahead.used_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_tool_are_kept() {
        let cases = [
            (
                "Get \"https://h/x\": dial tcp 1.2.3.4:443: connect: connection refused",
                "connection refused",
            ),
            (
                "reading https://h/m/@v/list: 503 Service Unavailable",
                "503 Service Unavailable",
            ),
            (
                "reading https://h:404/m: 429 Too Many Requests\n\tserver response: slow down",
                "429 Too Many Requests",
            ),
            (
                "Get \"https://h/x\": dial tcp: lookup h on 1.1.1.1:53: no such host",
                "no such host",
            ),
            ("read \"https://h/x\": unexpected EOF", "unexpected EOF"),
        ];
        for (line, want) in cases {
            assert_eq!(tool_words(line).as_deref(), Some(want), "{line}");
        }
        assert_eq!(tool_words("go: something else: 12 apples"), None);
    }
}
