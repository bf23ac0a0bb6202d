//! Finds which rules fit a piece of text.
//!
//! The words of all rules stand in one automaton, built when the first block
//! is read (a run without a failure never builds it) and walked once over each
//! part, so that the cost grows with the text and not with the table.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

use super::gotext::{self, NetShape};
use super::rules::{Part, Pattern, RULES, Rule, Shape, Weight};
use super::{FaultKind, Verdict};

/// The automaton, and which of its words each rule needs.
struct Table {
    words: AhoCorasick,
    count: usize,
    /// For each rule the words it needs, and those that must not stand there.
    needs: Vec<(Vec<usize>, Vec<usize>)>,
}

static TABLE: LazyLock<Option<Table>> = LazyLock::new(Table::build);

impl Table {
    fn build() -> Option<Self> {
        let mut words: Vec<&'static str> = Vec::new();
        let mut index = |word: &'static str| match words.iter().position(|w| *w == word) {
            Some(at) => at,
            None => {
                words.push(word);
                words.len() - 1
            }
        };
        let needs = RULES
            .iter()
            .map(|rule| {
                let all = match rule.pattern {
                    Pattern::Words(all) => all.iter().map(|w| index(w)).collect(),
                    Pattern::Shape(shape) => {
                        // Known to the first question, and needed by nothing.
                        if let Shape::Line(head) = shape {
                            index(head);
                        }
                        Vec::new()
                    }
                };
                (all, rule.unless.iter().map(|w| index(w)).collect())
            })
            .collect();
        let automaton = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(&words)
            .ok()?;
        Some(Self {
            words: automaton,
            count: words.len(),
            needs,
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
pub(super) struct Words {
    present: Vec<bool>,
}

impl Words {
    /// Walks a text once.
    #[must_use]
    pub(super) fn of(text: &str) -> Self {
        let Some(table) = TABLE.as_ref() else {
            return Self { present: Vec::new() };
        };
        let mut present = vec![false; table.count];
        for found in table.words.find_overlapping_iter(text) {
            present[found.pattern().as_usize()] = true;
        }
        Self { present }
    }

    fn fits(&self, rule: usize) -> bool {
        let Some(table) = TABLE.as_ref() else {
            return false;
        };
        let (all, unless) = &table.needs[rule];
        all.iter().all(|&w| self.present[w]) && !unless.iter().any(|&w| self.present[w])
    }
}

/// True if any word of any rule stands in a text: the cheap first question.
#[must_use]
pub(super) fn any_word(text: &str) -> bool {
    TABLE.as_ref().is_some_and(|table| table.words.is_match(text))
}

impl RuleSet<'_> {
    fn rules(&self, part: Part) -> impl Iterator<Item = (usize, &'static Rule)> {
        RULES
            .iter()
            .enumerate()
            .filter(move |(_, rule)| rule.part == part && !self.without.contains(&rule.id))
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
        let words = Words::of(cause);
        let net = gotext::shape(cause);
        self.rules(Part::Cause)
            .find(|(index, rule)| match rule.pattern {
                Pattern::Words(_) => words.fits(*index),
                Pattern::Shape(shape) => words.fits(*index) && fits_shape(shape, cause, net, op),
            })
            .map(|(_, rule)| rule)
    }

    /// The weightiest rule for what a VCS said.
    #[must_use]
    pub(super) fn vcs(&self, text: &str) -> Option<&'static Rule> {
        let words = Words::of(text);
        self.heaviest(Part::Vcs, |index, rule| match rule.pattern {
            Pattern::Words(_) => words.fits(index),
            Pattern::Shape(shape) => words.fits(index) && fits_vcs_shape(shape, text),
        })
    }

    /// The weightiest rule for go's own message.
    #[must_use]
    pub(super) fn answer(&self, text: &str) -> Option<&'static Rule> {
        let words = Words::of(text);
        self.heaviest(Part::Answer, |index, _| words.fits(index))
    }

    /// The rule for a fault behind the server that answered 404.
    #[must_use]
    pub(super) fn response(&self, text: &str) -> Option<&'static Rule> {
        let words = Words::of(text);
        self.rules(Part::Response)
            .find(|(index, rule)| match rule.pattern {
                Pattern::Words(_) => words.fits(*index),
                Pattern::Shape(_) => self.is_origin_fault(text),
            })
            .map(|(_, rule)| rule)
    }

    /// Whether a server's words speak of a fault on its own way to the module.
    fn is_origin_fault(&self, text: &str) -> bool {
        let of_request = text.lines().rev().find_map(gotext::request);
        let rule = match of_request {
            Some(request) if !request.url.is_empty() && self.vcs(text).is_none() => {
                self.cause(request.cause, Some(request.op))
            }
            _ => self.vcs(text).or_else(|| {
                let last = text.trim_end().rsplit(": ").next()?;
                let behind = text.split_once(": ").map_or(text, |(_, rest)| rest);
                self.cause(behind, None).or_else(|| self.cause(last, None))
            }),
        };
        rule.is_some_and(|rule| rule.verdict == Verdict::Retry && rule.kind != FaultKind::Dns)
    }

    /// By weight, then by verdict, then the earlier row.
    fn heaviest(&self, part: Part, fits: impl Fn(usize, &Rule) -> bool) -> Option<&'static Rule> {
        let mut best: Option<&'static Rule> = None;
        for (index, rule) in self.rules(part) {
            if fits(index, rule) && best.is_none_or(|b| weight(rule) > weight(b)) {
                best = Some(rule);
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

fn fits_shape(shape: Shape, cause: &str, net: Option<NetShape>, op: Option<&str>) -> bool {
    let whole = op.is_some();
    match shape {
        Shape::Eof => net == Some(NetShape::Eof),
        Shape::Lookup => net == Some(NetShape::Lookup),
        Shape::Dial => net == Some(NetShape::Dial),
        Shape::Transfer => net == Some(NetShape::Transfer),
        Shape::File => net == Some(NetShape::File),
        Shape::Status(from, to) => {
            matches!(net, Some(NetShape::Status(status)) if (from..=to).contains(&status))
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
        Shape::Status(from, to) => text
            .lines()
            .filter(|line| !line.trim_start().starts_with("remote:"))
            .filter_map(gotext::git_status)
            .filter(|status| from == to || !matches!(status, 408 | 425 | 429))
            .any(|status| (from..=to).contains(&status)),
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
