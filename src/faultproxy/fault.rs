//! What can go wrong, and when: faults, and the rules that choose them.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;

use crate::go::escape::unescape;

/// What a request asks for, by Go's module proxy protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `MODULE/@v/list`
    List,
    /// `MODULE/@v/VERSION.info`
    Info,
    /// `MODULE/@v/VERSION.mod`
    Mod,
    /// `MODULE/@v/VERSION.zip`
    Zip,
    /// `MODULE/@latest`
    Latest,
    /// `sumdb/NAME/supported`
    Supported,
    /// `sumdb/NAME/lookup/MODULE@VERSION`
    Lookup,
    /// `sumdb/NAME/tile/…` and `sumdb/NAME/latest`
    Tile,
    /// Anything else.
    Other,
}

/// A request path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What is asked for.
    pub kind: Kind,
    /// The module path, unescaped, where the request names one.
    pub module: Option<String>,
    /// The version, unescaped, where the request names one.
    pub version: Option<String>,
    /// The path below `/sumdb/NAME`, and NAME, where it is for a checksum database.
    pub sumdb: Option<(String, String)>,
}

impl Asked {
    /// Reads the path of a request target (no query, no proxy prefix). Percent
    /// escapes are undone: go writes the `!` of an escaped capital as `%21`.
    pub fn parse(path: &str) -> Self {
        let path = &percent_decode(path);
        Self::sumdb(path).or_else(|| Self::module(path)).unwrap_or(Self {
            kind: Kind::Other,
            module: None,
            version: None,
            sumdb: None,
        })
    }

    fn sumdb(path: &str) -> Option<Self> {
        let (name, rest) = path.strip_prefix("/sumdb/")?.split_once('/')?;
        let lookup = rest
            .strip_prefix("lookup/")
            .and_then(|wanted| wanted.split_once('@'));
        let kind = match rest {
            "supported" => Kind::Supported,
            "latest" => Kind::Tile,
            _ if rest.starts_with("tile/") => Kind::Tile,
            _ if lookup.is_some() => Kind::Lookup,
            _ => Kind::Other,
        };
        Some(Self {
            kind,
            module: lookup.and_then(|(module, _)| unescape(module)),
            version: lookup.and_then(|(_, version)| unescape(version)),
            sumdb: Some((name.to_owned(), format!("/{rest}"))),
        })
    }

    fn module(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let asked = |kind, module: &str, version: Option<&str>| {
            Some(Self {
                kind,
                module: Some(unescape(module)?),
                version: version.map_or(Some(None), |version| unescape(version).map(Some))?,
                sumdb: None,
            })
        };
        if let Some(module) = path.strip_suffix("/@latest") {
            return asked(Kind::Latest, module, None);
        }
        let (module, file) = path.split_once("/@v/")?;
        if file == "list" {
            return asked(Kind::List, module, None);
        }
        let (version, ending) = file.rsplit_once('.')?;
        let kind = match ending {
            "info" => Kind::Info,
            "mod" => Kind::Mod,
            "zip" => Kind::Zip,
            _ => return None,
        };
        asked(kind, module, Some(version))
    }
}

/// Undoes `%XX`; what is no escape stays as it is.
fn percent_decode(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        match piece
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(piece.get(2..).unwrap_or_default().as_bytes());
            }
            None => {
                bytes.push(b'%');
                bytes.extend_from_slice(piece.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How the end of a body that is cut by a close was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// `Content-Length` of the whole body: the cut can be seen.
    #[default]
    Length,
    /// Chunked, without the last chunk: the cut can be seen.
    Chunked,
    /// Neither: the close is the end, and the cut cannot be seen.
    Close,
}

/// One thing that goes wrong with one request. Every `after` counts bytes of the
/// body that arrive before the fault, at most all but one; half the body if absent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// The request is read, then the connection is closed in order (EOF).
    CloseBeforeHeader,
    /// The request is read, then the connection is reset.
    ResetBeforeHeader,
    /// The connection is reset in the middle of the body.
    ResetBody {
        /// Body bytes sent before.
        after: Option<u64>,
    },
    /// The connection is closed in order in the middle of the body.
    CloseBody {
        /// Body bytes sent before.
        after: Option<u64>,
        /// How the body's end was announced.
        #[serde(default)]
        framing: Framing,
    },
    /// Only the first bytes of the body, under a Content-Length that fits them.
    ShortBody {
        /// Body bytes kept.
        after: Option<u64>,
    },
    /// No byte of an answer; the connection stays open.
    StallHeader,
    /// The answer stops in the middle of the body; the connection stays open.
    StallBody {
        /// Body bytes sent before.
        after: Option<u64>,
    },
    /// The right answer, slowly.
    Drip {
        /// Bytes sent at a time.
        bytes: usize,
        /// Milliseconds between them.
        every_ms: u64,
    },
    /// The right answer, late.
    Delay {
        /// Milliseconds before the first byte.
        ms: u64,
    },
    /// A status of one's choice in place of the answer.
    Status {
        /// The status code.
        code: u16,
        /// The value of a `Retry-After` header.
        retry_after: Option<String>,
        /// The text of the body; the status's name if absent.
        body: Option<String>,
    },
    /// A whole answer of one's choice.
    Respond {
        /// The status code.
        code: u16,
        /// Header lines, name and value.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body.
        #[serde(default)]
        body: String,
    },
    /// Bytes that are no HTTP.
    Garbage,
    /// A page of HTML with status 200, as a captive portal sends it.
    Portal,
    /// The right body with one bit flipped in its middle, of the right length.
    BitFlip,
    /// An `.info` or `@latest` that names another version.
    WrongVersion {
        /// The version named.
        version: String,
    },
    /// Status 200 and nothing.
    EmptyBody,
    /// 302 to the same URL, for ever.
    RedirectLoop,
    /// 302 to another place: the request path is appended to it if it ends in `/`.
    Redirect {
        /// The URL redirected to.
        to: String,
    },
    /// Header lines without end.
    EndlessHeaders,
    /// A chunked body without end.
    EndlessBody,
    /// A small gzip body that unpacks to this many MiB of zeros.
    GzipBomb {
        /// Unpacked size in MiB.
        mib: u32,
    },
    /// HTTP/2: a GOAWAY frame in place of an answer, then the connection is closed.
    /// Over HTTP/1.1 the connection is closed without an answer.
    Goaway {
        /// The HTTP/2 error code; 0 is NO_ERROR.
        code: u32,
    },
    /// HTTP/2: the stream is reset in the middle of the body (before the header with
    /// `after = 0`). Over HTTP/1.1 the connection is reset there.
    RstStream {
        /// The HTTP/2 error code; 7 is REFUSED_STREAM, 2 is INTERNAL_ERROR.
        code: u32,
        /// Body bytes sent before.
        after: Option<u64>,
    },
}

/// Which of the requests that a rule is about it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum When {
    /// All of them.
    #[default]
    Always,
    /// The first so many.
    First(usize),
    /// Only this one, counted from 1.
    Nth(usize),
    /// All behind the first so many.
    After(usize),
    /// Each with this probability, drawn from this seed and the number of the request.
    Chance(f64, u64),
}

impl When {
    fn strikes(self, nth: usize) -> bool {
        match self {
            Self::Always => true,
            Self::First(count) => nth <= count,
            Self::Nth(wanted) => nth == wanted,
            Self::After(count) => nth > count,
            Self::Chance(probability, seed) => {
                let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(nth as u64);
                fastrand::Rng::with_seed(seed).f64() < probability
            }
        }
    }
}

/// A fault, the requests it is about, and which of those it strikes.
///
/// A request goes through the rules in order and meets the fault of the first that
/// strikes. Each rule counts the requests that reach it and match it, struck or not.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The kinds of request it is about; all if empty.
    #[serde(default, rename = "on")]
    kinds: Vec<Kind>,
    /// The one module it is about.
    module: Option<String>,
    /// The one version it is about.
    version: Option<String>,
    /// Which of these requests it strikes.
    #[serde(default)]
    when: When,
    /// What happens to them.
    fault: Fault,
}

impl Rule {
    /// This fault for every request.
    pub fn new(fault: Fault) -> Self {
        Self {
            kinds: Vec::new(),
            module: None,
            version: None,
            when: When::Always,
            fault,
        }
    }

    /// Faults of a bad line, each as likely as the others: together they strike `chance` of all requests.
    pub fn mixed(chance: f64, seed: u64) -> Vec<Self> {
        let faults = [
            Fault::CloseBeforeHeader,
            Fault::ResetBeforeHeader,
            Fault::ResetBody { after: None },
            Fault::CloseBody {
                after: None,
                framing: Framing::Length,
            },
            Fault::Status {
                code: 503,
                retry_after: None,
                body: None,
            },
        ];
        if chance <= 0.0 {
            return Vec::new();
        }
        let each = chance / faults.len() as f64;
        let rule = |(nth, fault)| Self::new(fault).when(When::Chance(each, seed * 100 + nth));
        (0..).zip(faults).map(rule).collect()
    }

    /// Only for this kind of request; several calls allow several kinds.
    #[must_use]
    pub fn on(mut self, kind: Kind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Only for this module path.
    #[must_use]
    pub fn module(mut self, path: impl Into<String>) -> Self {
        self.module = Some(path.into());
        self
    }

    /// Only for this version.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Which of the matching requests are struck.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// Strikes the first `count` matching requests.
    #[must_use]
    pub fn first(self, count: usize) -> Self {
        self.when(When::First(count))
    }

    fn matches(&self, asked: &Asked) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&asked.kind))
            && (self.module.is_none() || self.module == asked.module)
            && (self.version.is_none() || self.version == asked.version)
    }
}

/// Rules with their counters.
#[derive(Debug, Default)]
pub(super) struct Script(Vec<(Rule, AtomicUsize)>);

impl Script {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Self(
            rules
                .into_iter()
                .map(|rule| (rule, AtomicUsize::new(0)))
                .collect(),
        )
    }

    /// The fault that this request meets. Counts it.
    pub(super) fn choose(&self, asked: &Asked) -> Option<Fault> {
        self.0
            .iter()
            .filter(|(rule, _)| rule.matches(asked))
            .find_map(|(rule, count)| {
                let nth = count.fetch_add(1, Ordering::Relaxed) + 1;
                rule.when.strikes(nth).then(|| rule.fault.clone())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: Kind, module: &str, version: Option<&str>) -> Asked {
        Asked {
            kind,
            module: Some(module.to_owned()),
            version: version.map(str::to_owned),
            sumdb: None,
        }
    }

    #[test]
    fn takes_paths_apart() {
        assert_eq!(
            Asked::parse("/example.com/a/@v/list"),
            asked(Kind::List, "example.com/a", None)
        );
        assert_eq!(
            Asked::parse("/github.com/!a/b/@latest"),
            asked(Kind::Latest, "github.com/A/b", None)
        );
        assert_eq!(
            Asked::parse("/example.com/a/@v/v1.0.0-!r!c.1.zip"),
            asked(Kind::Zip, "example.com/a", Some("v1.0.0-RC.1"))
        );
        assert_eq!(
            Asked::parse("/github.com/%21a/b/@latest"),
            asked(Kind::Latest, "github.com/A/b", None)
        );
        assert_eq!(
            Asked::parse("/a.b/50%/x%zz/@latest"),
            asked(Kind::Latest, "a.b/50%/x%zz", None)
        );
        let lookup = Asked::parse("/sumdb/sum.example.test/lookup/example.com/!a@v1.0.0");
        assert_eq!(lookup.kind, Kind::Lookup);
        assert_eq!(lookup.module.as_deref(), Some("example.com/A"));
        assert_eq!(Asked::parse("/sumdb/x/tile/8/0/000.p/3").kind, Kind::Tile);
        assert_eq!(Asked::parse("/sumdb/x/supported").kind, Kind::Supported);
        assert_eq!(Asked::parse("/favicon.ico").kind, Kind::Other);
        assert_eq!(Asked::parse("/Example.com/@v/list").kind, Kind::Other);
    }

    #[test]
    fn the_first_rule_that_strikes_decides() {
        let script = Script::new(vec![
            Rule::new(Fault::StallHeader).on(Kind::Zip).first(1),
            Rule::new(Fault::Portal).when(When::Nth(2)),
        ]);
        let zip = asked(Kind::Zip, "example.com/a", Some("v1.0.0"));
        let list = asked(Kind::List, "example.com/a", None);
        assert_eq!(script.choose(&zip), Some(Fault::StallHeader));
        assert_eq!(script.choose(&list), None);
        assert_eq!(script.choose(&zip), Some(Fault::Portal));
        assert_eq!(script.choose(&zip), None);
    }

    #[test]
    fn chance_is_the_same_for_the_same_seed() {
        let draw = |seed| {
            (1..200)
                .filter(|n| When::Chance(0.3, seed).strikes(*n))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!((30..90).contains(&draw(7).len()), "{}", draw(7).len());
    }
}
