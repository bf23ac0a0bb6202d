//! Finds which rules fit a piece of text.
//!
//! The words of all rules stand in one automaton, built when the first block
//! is read (a run without a failure never builds it) and walked once over each
//! part, so that the cost grows with the text and not with the table.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use super::gotext::{self, NetShape};
use super::rules::{Part, Pattern, RULES, Rule, Shape, Weight};
use super::{FaultKind, Verdict};

/// Room for the words of the table, a bit each.
const WORDS: usize = 1024;

/// The automaton, and which of its words each rule needs.
struct Table {
    words: AhoCorasick,
    /// The rules of each part, in their order.
    parts: [Rules; 4],
}

/// The rules of one part. The first word of each stands by itself, close together:
/// most rules are out after a look at that.
#[derive(Default)]
struct Rules {
    firsts: Vec<u16>,
    entries: Vec<Entry>,
}

/// Stands for the first word of a rule that has none.
const NO_WORD: u16 = u16::MAX;

/// A rule, with its other words as numbers of the automaton's.
struct Entry {
    rule: &'static Rule,
    rest: Vec<usize>,
    unless: Vec<usize>,
}

static TABLE: LazyLock<Option<Table>> = LazyLock::new(Table::build);

impl Table {
    fn build() -> Option<Self> {
        let mut words: Vec<&'static str> = Vec::new();
        let mut known: HashMap<&'static str, usize> = HashMap::new();
        let mut index = |word: &'static str| {
            *known.entry(word).or_insert_with(|| {
                words.push(word);
                words.len() - 1
            })
        };
        let mut parts: [Rules; 4] = Default::default();
        for rule in RULES {
            let mut needed: Vec<usize> = match rule.pattern {
                Pattern::Words(all) => all.iter().map(|w| index(w)).collect(),
                Pattern::Shape(shape) => {
                    // Known to the first question, and needed by nothing.
                    if let Shape::Line(head) = shape {
                        index(head);
                    }
                    Vec::new()
                }
            };
            let first = (!needed.is_empty()).then(|| needed.remove(0));
            let part = &mut parts[rule.part as usize];
            part.firsts
                .push(first.and_then(|w| u16::try_from(w).ok()).unwrap_or(NO_WORD));
            part.entries.push(Entry {
                rule,
                rest: needed,
                unless: rule.unless.iter().map(|w| index(w)).collect(),
            });
        }
        if words.len() > WORDS {
            return None;
        }
        let automaton = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&words)
            .ok()?;
        Some(Self {
            words: automaton,
            parts,
        })
    }
}

/// The rules that are in force: all of them, or all but a few (which is how the
/// documentation measures what the rest would still recognise).
#[derive(Debug, Clone, Copy, Default)]
pub struct RuleSet<'a> {
    /// Names of rules that are left out.
    pub without: &'a [&'a str],
}

/// The words of the table that stand in one text.
struct Words {
    present: [u64; WORDS / 64],
}

impl Words {
    /// Walks a text once.
    fn of(table: &Table, text: &str) -> Self {
        let mut present = [0; WORDS / 64];
        for found in table.words.find_overlapping_iter(text) {
            let word = found.pattern().as_usize();
            present[word / 64] |= 1 << (word % 64);
        }
        Self { present }
    }

    fn has(&self, word: usize) -> bool {
        self.present[word / 64] & (1 << (word % 64)) != 0
    }

    fn fits(&self, entry: &Entry) -> bool {
        entry.rest.iter().all(|&w| self.has(w)) && !entry.unless.iter().any(|&w| self.has(w))
    }
}

/// True if any word of any rule stands in a text: the cheap first question.
#[must_use]
pub(super) fn any_word(text: &str) -> bool {
    TABLE.as_ref().is_some_and(|table| table.words.is_match(text))
}

impl RuleSet<'_> {
    /// The rules of a part of which at least the first word stands in a text.
    fn entries<'t>(&self, table: &'t Table, part: Part, words: &Words) -> impl Iterator<Item = &'t Entry> {
        let rules = &table.parts[part as usize];
        rules
            .firsts
            .iter()
            .zip(&rules.entries)
            .filter(|(first, _)| **first == NO_WORD || words.has(usize::from(**first)))
            .map(|(_, entry)| entry)
            .filter(|entry| self.without.is_empty() || !self.without.contains(&entry.rule.id))
    }

    /// The rule for the cause of a request of this operation, or (without one)
    /// for a bare network error, where the shapes that need a URL in front do
    /// not count.
    #[must_use]
    pub(super) fn cause(&self, cause: &str, op: Option<&str>) -> Option<&'static Rule> {
        let cause = cause.trim();
        if cause.is_empty() {
            return None;
        }
        let table = TABLE.as_ref()?;
        let words = Words::of(table, cause);
        let net = LazyCell::new(|| gotext::shape(cause));
        self.entries(table, Part::Cause, &words)
            .find(|entry| {
                words.fits(entry)
                    && match entry.rule.pattern {
                        Pattern::Words(_) => true,
                        Pattern::Shape(shape) => fits_shape(shape, cause, &net, op),
                    }
            })
            .map(|entry| entry.rule)
    }

    /// The weightiest rule for what a VCS said.
    #[must_use]
    pub(super) fn vcs(&self, text: &str) -> Option<&'static Rule> {
        let table = TABLE.as_ref()?;
        let words = Words::of(table, text);
        // A server's own words (`remote: `) are not the client's.
        let statuses = LazyCell::new(|| -> Vec<u16> {
            text.lines()
                .filter(|line| !line.trim_start().starts_with("remote:"))
                .filter_map(gotext::git_status)
                .collect()
        });
        self.heaviest(table, Part::Vcs, &words, |entry| {
            words.fits(entry)
                && match entry.rule.pattern {
                    Pattern::Words(_) => true,
                    Pattern::Shape(Shape::Status(from, to)) => statuses
                        .iter()
                        .filter(|status| from == to || !matches!(status, 408 | 425 | 429))
                        .any(|status| (from..=to).contains(status)),
                    Pattern::Shape(shape) => fits_vcs_shape(shape, text),
                }
        })
    }

    /// The weightiest rule for go's own message.
    #[must_use]
    pub(super) fn answer(&self, text: &str) -> Option<&'static Rule> {
        let table = TABLE.as_ref()?;
        let words = Words::of(table, text);
        self.heaviest(table, Part::Answer, &words, |entry| words.fits(entry))
    }

    /// The rule for a fault behind the server that answered 404.
    #[must_use]
    pub(super) fn response(&self, text: &str) -> Option<&'static Rule> {
        let table = TABLE.as_ref()?;
        let words = Words::of(table, text);
        self.entries(table, Part::Response, &words)
            .find(|entry| match entry.rule.pattern {
                Pattern::Words(_) => words.fits(entry),
                Pattern::Shape(_) => self.is_origin_fault(text),
            })
            .map(|entry| entry.rule)
    }

    /// Whether a server's words speak of a fault on its own way to the module.
    fn is_origin_fault(&self, text: &str) -> bool {
        if !any_word(text) {
            return false;
        }
        let rule = self.vcs(text).or_else(|| {
            if let Some(request) = text.lines().rev().find_map(gotext::request) {
                return self.cause(request.cause, Some(request.op));
            }
            let behind = text.split_once(": ").map_or(text, |(_, rest)| rest);
            let last = text.trim_end().rsplit(": ").next()?;
            self.cause(behind, None).or_else(|| self.cause(last, None))
        });
        rule.is_some_and(|rule| rule.verdict == Verdict::Retry && rule.kind != FaultKind::Dns)
    }

    /// By weight, then by verdict, then the earlier row.
    fn heaviest(
        &self,
        table: &Table,
        part: Part,
        words: &Words,
        fits: impl Fn(&Entry) -> bool,
    ) -> Option<&'static Rule> {
        let mut best: Option<&'static Rule> = None;
        for entry in self.entries(table, part, words) {
            if best.is_none_or(|b| weight(entry.rule) > weight(b)) && fits(entry) {
                best = Some(entry.rule);
            }
        }
        best
    }
}

/// How much a rule counts against others of the same block.
#[must_use]
pub(super) fn weight(rule: &Rule) -> (Weight, u8) {
    let verdict = match (rule.verdict, rule.kind) {
        (Verdict::Final, FaultKind::Security) => 6,
        (Verdict::Repair, FaultKind::Security) => 5,
        (Verdict::Final, _) => 4,
        (Verdict::Repair, _) => 3,
        (Verdict::Switch, _) => 2,
        (Verdict::Retry | Verdict::Unknown, _) => 1,
    };
    (rule.weight, verdict)
}

fn fits_shape<F: FnOnce() -> Option<NetShape>>(
    shape: Shape,
    cause: &str,
    net: &LazyCell<Option<NetShape>, F>,
    op: Option<&str>,
) -> bool {
    let whole = op.is_some();
    match shape {
        Shape::Eof => **net == Some(NetShape::Eof),
        Shape::Lookup => **net == Some(NetShape::Lookup),
        Shape::Dial => **net == Some(NetShape::Dial),
        Shape::Transfer => **net == Some(NetShape::Transfer),
        Shape::File => **net == Some(NetShape::File),
        Shape::Status(from, to) => {
            matches!(**net, Some(NetShape::Status(status)) if (from..=to).contains(&status))
        }
        Shape::Reason(from, to) => whole && reason(cause, from, to),
        Shape::OwnWords => whole && own_words(cause),
        // Not the beginning of a status that was cut off, nor a CONNECT answer.
        Shape::Anything => whole && !cause.bytes().all(|b| b.is_ascii_digit()) && !own_words(cause),
        Shape::Unparsable => op == Some("parse"),
        Shape::ProxyDial => cause.starts_with("proxyconnect ") && cause.contains(": dial "),
        Shape::ProxyConnect => cause.starts_with("proxyconnect "),
        Shape::GitUrl | Shape::Errno | Shape::Line(_) | Shape::Origin => false,
    }
}

fn fits_vcs_shape(shape: Shape, text: &str) -> bool {
    match shape {
        Shape::GitUrl => text
            .lines()
            .filter_map(gotext::request)
            // The repository's URL ends in a slash; a host that wants a password has none.
            .any(|r| r.url.ends_with('/') && !r.cause.is_empty()),
        Shape::Errno => text.contains("errno="),
        Shape::Line(head) => text.lines().any(|line| line.trim_start().starts_with(head)),
        _ => false,
    }
}

/// The reason phrases of RFC 9110 and its kin, as `net/http` and proxies write them.
const REASONS: &[(u16, &str)] = &[
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (407, "Proxy Authentication Required"),
    (408, "Request Timeout"),
    (408, "Request Time-out"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length Required"),
    (412, "Precondition Failed"),
    (413, "Request Entity Too Large"),
    (413, "Content Too Large"),
    (414, "Request URI Too Long"),
    (415, "Unsupported Media Type"),
    (417, "Expectation Failed"),
    (418, "I'm a teapot"),
    (421, "Misdirected Request"),
    (422, "Unprocessable Entity"),
    (423, "Locked"),
    (424, "Failed Dependency"),
    (425, "Too Early"),
    (426, "Upgrade Required"),
    (428, "Precondition Required"),
    (429, "Too Many Requests"),
    (431, "Request Header Fields Too Large"),
    (451, "Unavailable For Legal Reasons"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (503, "Service Temporarily Unavailable"),
    (504, "Gateway Timeout"),
    (504, "Gateway Time-out"),
    (505, "HTTP Version Not Supported"),
    (507, "Insufficient Storage"),
    (508, "Loop Detected"),
    (509, "Bandwidth Limit Exceeded"),
    (511, "Network Authentication Required"),
    (520, "Web Server Returned an Unknown Error"),
    (521, "Web Server Is Down"),
    (522, "Connection Timed Out"),
    (523, "Origin Is Unreachable"),
    (524, "A Timeout Occurred"),
];

fn reason(cause: &str, from: u16, to: u16) -> bool {
    REASONS
        .iter()
        .any(|(status, words)| (from..=to).contains(status) && cause.eq_ignore_ascii_case(words))
}

/// `Access Denied`, `Blocked by policy`: no colon, an upper case letter first
/// (every error of go's own begins in lower case, or is an acronym), a few words.
fn own_words(cause: &str) -> bool {
    let mut chars = cause.chars();
    let begins = chars.next().is_some_and(|c| c.is_ascii_uppercase())
        && chars.next().is_some_and(|c| c.is_ascii_lowercase());
    begins
        && cause.len() <= 80
        && cause
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || " -'._()".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut ids: Vec<_> = RULES.iter().map(|r| r.id).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn words_are_lower_case_and_sources_named() {
        for rule in RULES {
            assert!(!rule.seen.is_empty(), "{}", rule.id);
            if let Pattern::Words(words) = rule.pattern {
                assert!(!words.is_empty(), "{}", rule.id);
                for word in words {
                    assert_eq!(*word, word.to_ascii_lowercase(), "{}", rule.id);
                }
            }
            assert_eq!(
                rule.mend.is_some(),
                rule.verdict == Verdict::Repair,
                "{}: what to mend belongs to `repair` and to nothing else",
                rule.id
            );
        }
    }

    #[test]
    fn a_phrase_in_title_case_is_an_answer_of_the_https_proxy() {
        let rules = RuleSet::default();
        for (cause, verdict) in [
            ("Forbidden", Verdict::Final),
            ("Blocked by policy", Verdict::Final),
            ("Service Unavailable", Verdict::Retry),
            ("Too Many Requests", Verdict::Retry),
            ("EOF", Verdict::Retry),
            ("something nobody has ever seen", Verdict::Retry),
        ] {
            let rule = rules.cause(cause, Some("Get")).map(|r| r.verdict);
            assert_eq!(rule, Some(verdict), "{cause}");
        }
    }
}
