//! Puts the upstream's URLs, and go's own words for a fault, back into what go
//! prints.
//!
//! The relay's URLs hold 128 random bits, so nothing else can be taken for one.
//! A fault goes to go as a status line of its own, and go prints it as
//! `reading URL: 599 relay fault N`; that text in whole is replaced.
//!
//! Works on a stream: what may be the beginning of such a text is held until
//! the rest of it is there, and nothing else is.

use std::sync::Arc;

use memchr::memmem;

use super::faults::{Ledger, STATUS, STATUS_WORDS};

/// What go puts in front of the URL where it says a status.
const READING: &[u8] = b"reading ";
/// What `go -x` puts in front of the URL where it says a status.
const TRACE: &[u8] = b"# get ";
/// What a URL of the relay begins with.
const SCHEME: &str = "http://";
/// The same where go has put a URL together as a path: Go 1.21 does in
/// `read "http:/HOST/@v/v1.0.0.zip": …` (modfetch/proxy.go).
const SCHEME_JOINED: &str = "http:/";
/// The longest URL that is waited for in whole.
const URL_LIMIT: usize = 8 << 10;

/// How the text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quoting {
    /// As it is, but for lines that begin as JSON does: `go mod download -json
    /// 2>&1` mixes both.
    #[default]
    Plain,
    /// Inside the strings of JSON: what is put in is escaped as Go escapes.
    Json,
}

/// What is known of the relay's own URLs.
#[derive(Debug)]
pub(crate) struct Names {
    /// `http://127.0.0.1:PORT/TOKEN/`.
    pub(crate) prefix: String,
    /// Per element, the URL to put in its place, redacted and without a slash
    /// at its end.
    pub(crate) bases: Vec<String>,
    pub(crate) ledger: Arc<Ledger>,
}

impl Names {
    /// What stands behind the scheme in a URL of the relay.
    fn host(&self) -> &str {
        &self.prefix[SCHEME.len()..]
    }
}

/// Rewrites one stream.
#[derive(Debug, Clone)]
pub struct Rewriter {
    names: Arc<Names>,
    /// All that a text to replace may begin with.
    beginnings: Arc<[Vec<u8>]>,
    quoting: Quoting,
    held: Vec<u8>,
    /// The first byte of the current line that is no blank, as far as the line
    /// has gone on already.
    lead: Option<u8>,
}

impl Rewriter {
    pub(crate) fn new(names: Arc<Names>, quoting: Quoting) -> Self {
        let host = names.host().as_bytes();
        let beginnings = [READING, TRACE, b""]
            .iter()
            .flat_map(|lead| [SCHEME, SCHEME_JOINED].map(|scheme| [lead, scheme.as_bytes(), host].concat()))
            .collect();
        Self {
            names,
            beginnings,
            quoting,
            held: Vec::new(),
            lead: None,
        }
    }

    /// Takes bytes of the stream and appends what can go on to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.held.is_empty() {
            let used = self.scan(bytes, false, out);
            self.held.extend_from_slice(&bytes[used..]);
            self.lead = self.lead_at(&bytes[..used]);
            return;
        }
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(bytes);
        let used = self.scan(&text, false, out);
        self.lead = self.lead_at(&text[..used]);
        text.drain(..used);
        self.held = text;
    }

    /// What was taken and has not gone on yet.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// The stream has ended, or nothing may be held any longer.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let text = std::mem::take(&mut self.held);
        self.scan(&text, true, out);
        self.lead = self.lead_at(&text);
    }

    /// The first byte that is no blank of the line in which `text`, gone on
    /// from what came before it, ends.
    fn lead_at(&self, text: &[u8]) -> Option<u8> {
        let first = |line: &[u8]| line.trim_ascii_start().first().copied();
        match memchr::memrchr(b'\n', text) {
            Some(newline) => first(&text[newline + 1..]),
            None => self.lead.or_else(|| first(text)),
        }
    }

    /// A whole text at once.
    #[must_use]
    pub fn rewrite(mut self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        self.push(text, &mut out);
        self.finish(&mut out);
        out
    }

    /// Rewrites as much of `text` as is certain; says how much that is.
    fn scan(&self, text: &[u8], last: bool, out: &mut Vec<u8>) -> usize {
        let host = self.names.host().as_bytes();
        let mut done = 0;
        while let Some(found) = memmem::find(&text[done..], host).map(|at| at + done) {
            let scheme = [SCHEME, SCHEME_JOINED]
                .into_iter()
                .find(|scheme| text[done..found].ends_with(scheme.as_bytes()));
            let Some(scheme) = scheme else {
                out.extend_from_slice(&text[done..found + host.len()]);
                done = found + host.len();
                continue;
            };
            let at = found - scheme.len();
            let start = [READING, TRACE]
                .iter()
                .find(|lead| text[done..at].ends_with(lead))
                .map_or(at, |lead| at - lead.len());
            out.extend_from_slice(&text[done..start]);
            match self.place(text, start, at, scheme, last) {
                Some(place) => {
                    out.extend_from_slice(&place.text);
                    done = place.end;
                }
                None => return start,
            }
        }
        let keep = if last { 0 } else { self.beginning(&text[done..]) };
        let end = text.len() - keep;
        out.extend_from_slice(&text[done..end]);
        end
    }

    /// The length of the longest end of `text` that may be the beginning of a
    /// text to replace.
    fn beginning(&self, text: &[u8]) -> usize {
        let longest = |needle: &[u8]| {
            (1..needle.len().min(text.len() + 1))
                .rev()
                .find(|len| text.ends_with(&needle[..*len]))
                .unwrap_or(0)
        };
        self.beginnings
            .iter()
            .map(|needle| longest(needle))
            .max()
            .unwrap_or(0)
    }

    /// What stands in place of the text from `start` on, whose URL begins at
    /// `at`. `None` where more of the stream is needed to say.
    fn place(&self, text: &[u8], start: usize, at: usize, scheme: &str, last: bool) -> Option<Place> {
        let path = at + scheme.len() + self.names.host().len();
        let url_end = text[path..]
            .iter()
            .position(|b| ends_url(*b))
            .map(|len| path + len);
        let all = || (last || text.len() - at > URL_LIMIT).then_some(text.len());
        let url_end = url_end.or_else(all)?;
        let Some(url) = self.upstream(&text[path..url_end], scheme) else {
            // The token without an element: left as it is.
            return Some(Place {
                text: text[start..url_end].to_vec(),
                end: url_end,
            });
        };
        match self.fault(&text[url_end..], last) {
            Read::More => None,
            Read::No => {
                let mut put = text[start..at].to_vec();
                put.extend_from_slice(self.quoted(&url, &text[..start]).as_bytes());
                Some(Place {
                    text: put,
                    end: url_end,
                })
            }
            Read::Fault { words, len } => {
                let mut end = url_end + len;
                // `go -x` names the URL first and then the error.
                let put = if &text[start..at] == TRACE {
                    end += trace_time(&text[end..], last)?;
                    format!("# get {url}: {words}")
                } else {
                    words
                };
                Some(Place {
                    text: self.quoted(&put, &text[..start]).into_bytes(),
                    end,
                })
            }
        }
    }

    /// The upstream's URL for one of the relay's: what follows the token.
    fn upstream(&self, rest: &[u8], scheme: &str) -> Option<String> {
        let rest = std::str::from_utf8(rest).ok()?;
        let (number, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let base = self.names.bases.get(number.parse::<usize>().ok()?)?;
        Some(match scheme {
            SCHEME_JOINED => format!("{}{path}", base.replacen("://", ":/", 1)),
            _ => format!("{base}{path}"),
        })
    }

    /// Reads `: 599 relay fault N`.
    fn fault(&self, text: &[u8], last: bool) -> Read {
        let lead = format!(": {STATUS} {STATUS_WORDS} ");
        let lead = lead.as_bytes();
        if text.len() < lead.len() {
            return if !last && lead.starts_with(text) {
                Read::More
            } else {
                Read::No
            };
        }
        let Some(rest) = text.strip_prefix(lead) else {
            return Read::No;
        };
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == rest.len() && !last {
            return Read::More;
        }
        let id = std::str::from_utf8(&rest[..digits])
            .ok()
            .and_then(|digits| digits.parse().ok());
        match id.and_then(|id| self.names.ledger.words(id)) {
            Some(words) => Read::Fault {
                words,
                len: lead.len() + digits,
            },
            None => Read::No,
        }
    }

    /// `text` as it stands behind `before`.
    fn quoted(&self, text: &str, before: &[u8]) -> String {
        let json = self.quoting == Quoting::Json || matches!(self.lead_at(before), Some(b'"' | b'{'));
        if !json {
            return text.to_owned();
        }
        let json = serde_json::Value::from(text).to_string();
        json[1..json.len() - 1]
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
    }
}

struct Place {
    text: Vec<u8>,
    end: usize,
}

enum Read {
    /// The stream must go on first.
    More,
    /// No fault stands here.
    No,
    Fault {
        words: String,
        len: usize,
    },
}

fn ends_url(byte: u8) -> bool {
    !byte.is_ascii_graphic()
        || matches!(
            byte,
            b'"' | b'\'' | b'\\' | b',' | b'|' | b'<' | b'>' | b')' | b'`'
        )
        || byte == b':'
}

/// The length of ` (0.123s)` in a line of `go -x`; go has none behind an
/// error. `None` where more of the stream is needed.
fn trace_time(text: &[u8], last: bool) -> Option<usize> {
    let line = text.iter().position(|b| *b == b'\n');
    if line.is_none() && !last {
        return None;
    }
    let line = &text[..line.unwrap_or(text.len())];
    let is_time = line.starts_with(b" (") && line.ends_with(b"s)");
    Some(if is_time { line.len() } else { 0 })
}

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultKind;

    use super::super::faults::Met;
    use super::super::request_error::RequestError;
    use super::*;
    use crate::go::protocol::Wanted;
    use crate::net::url::Url;

    fn rewriter(quoting: Quoting) -> Rewriter {
        let ledger = Arc::new(Ledger::default());
        let base = Url::parse("https://proxy.example/go").unwrap();
        let wanted = Wanted::parse("m/@v/v1.0.0.mod").unwrap();
        ledger.record(
            &wanted,
            &base,
            &RequestError::nobody(
                FaultKind::Connect,
                "dial tcp 1.2.3.4:443: connect: connection refused",
            ),
            Met::Spent,
        );
        let names = Names {
            prefix: "http://127.0.0.1:4321/0123456789abcdef/".to_owned(),
            bases: vec!["https://proxy.example/go".to_owned(), "http://other".to_owned()],
            ledger,
        };
        Rewriter::new(Arc::new(names), quoting)
    }

    const OWN: &str = "http://127.0.0.1:4321/0123456789abcdef/";

    fn check(text: &str, expected: &str) {
        check_as(Quoting::Plain, text, expected);
    }

    /// The same result however the stream is cut into pieces.
    fn check_as(quoting: Quoting, text: &str, expected: &str) {
        let text = text.replace("OWN/", OWN);
        let whole = rewriter(quoting).rewrite(text.as_bytes());
        assert_eq!(String::from_utf8_lossy(&whole), expected);
        for size in 1..text.len() {
            let mut rewriter = rewriter(quoting);
            let mut out = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                rewriter.push(piece, &mut out);
            }
            rewriter.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "pieces of {size}");
        }
    }

    #[test]
    fn urls() {
        // As Go 1.21 writes it.
        check(
            "read \"http:/127.0.0.1:4321/0123456789abcdef/0/@v/v1.0.0.zip\": unexpected EOF",
            "read \"https:/proxy.example/go/@v/v1.0.0.zip\": unexpected EOF",
        );
        check(
            "http:127.0.0.1:4321/0123456789abcdef/0",
            "http:127.0.0.1:4321/0123456789abcdef/0",
        );
        check("nothing here, reading on\n", "nothing here, reading on\n");
        check(
            "go: m@v1.0.0: reading OWN/0/m/@v/v1.0.0.mod: 503 Service Unavailable\n",
            "go: m@v1.0.0: reading https://proxy.example/go/m/@v/v1.0.0.mod: 503 Service Unavailable\n",
        );
        check(
            "invalid response from proxy \"OWN/1\": x",
            "invalid response from proxy \"http://other\": x",
        );
        check(
            "OWN/0,OWN/1|direct",
            "https://proxy.example/go,http://other|direct",
        );
        check(
            "reading OWN/0/a reading OWN/1/b",
            "reading https://proxy.example/go/a reading http://other/b",
        );
        check("OWN/0", "https://proxy.example/go");
        // Not an element.
        let own = format!("{OWN}7/x");
        check("OWN/7/x", &own);
    }

    #[test]
    fn faults() {
        let words = "Get \"https://proxy.example/go/m/@v/v1.0.0.mod\": dial tcp 1.2.3.4:443: connect: connection refused";
        check(
            "go: m@v1.0.0: reading OWN/0/m/@v/v1.0.0.mod: 599 relay fault 0\n",
            &format!("go: m@v1.0.0: {words}\n"),
        );
        check("reading OWN/0/m/@v/v1.0.0.mod: 599 relay fault 0", words);
        check(
            "# get OWN/0/m/@v/v1.0.0.mod: 599 relay fault 0 (0.123s)\nnext\n",
            &format!("# get https://proxy.example/go/m/@v/v1.0.0.mod: {words}\nnext\n"),
        );
        // `-json` and stderr in one file.
        let escaped = words.replace('"', "\\\"");
        check(
            "\t\"Error\": \"reading OWN/0/m/@v/v1.0.0.mod: 599 relay fault 0\"\n\
             reading OWN/0/m/@v/v1.0.0.mod: 599 relay fault 0\n",
            &format!("\t\"Error\": \"{escaped}\"\n{words}\n"),
        );
        // A fault that is not known is not invented.
        check(
            "reading OWN/0/m: 599 relay fault 9\n",
            "reading https://proxy.example/go/m: 599 relay fault 9\n",
        );
        check_as(
            Quoting::Json,
            "{\"Error\": \"m@v1.0.0: reading OWN/0/m/@v/v1.0.0.mod: 599 relay fault 0\"}",
            "{\"Error\": \"m@v1.0.0: Get \\\"https://proxy.example/go/m/@v/v1.0.0.mod\\\": dial tcp 1.2.3.4:443: connect: connection refused\"}",
        );
    }

    #[test]
    fn only_a_possible_beginning_is_held() {
        let mut rewriter = rewriter(Quoting::Plain);
        let mut out = Vec::new();
        rewriter.push(b"Password: ", &mut out);
        assert_eq!(out, b"Password: ");
        out.clear();
        rewriter.push(b"see http://127.0.0.1:4", &mut out);
        assert_eq!(out, b"see ");
        out.clear();
        rewriter.push(b"444/", &mut out);
        assert_eq!(out, b"http://127.0.0.1:4444/");
    }
}
