//! Finds which rules fit a piece of text.
//!
//! The words of all rules stand in one automaton, built when the first block
//! is read (a run without a failure never builds it) and walked once over each
//! part, so that the cost grows with the text and not with the table.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use super::gotext::{self, NetShape, Request, Wrapped};
use super::rules::{Part, Pattern, RULES, Rule, Shape, Weight};
use super::{FaultKind, Verdict};

/// Room for the words of the table, a bit each.
const WORDS: usize = 1536;

/// The automaton, and which of its words each rule needs.
struct Table {
    words: AhoCorasick,
    /// The rules of each part, in their order.
    parts: [Rules; 4],
}

/// The rules of one part, and where in them those stand whose first word is a
/// certain one: most rules are never looked at.
#[derive(Default)]
struct Rules {
    entries: Vec<Entry>,
    /// By first word.
    by_word: HashMap<usize, Vec<usize>>,
    /// Those that have none.
    wordless: Vec<usize>,
    /// The first words, a bit each.
    firsts: Bits,
}

/// A set of words of the table.
type Bits = [u64; WORDS / 64];

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
                    match shape {
                        Shape::Line(head) => drop(index(head)),
                        Shape::AnyOf(words) if rule.alone => {
                            for word in words {
                                index(word);
                            }
                        }
                        Shape::Exactly("SECURITY ERROR") => drop(index("security error")),
                        _ => {}
                    }
                    Vec::new()
                }
            };
            let first = (!needed.is_empty()).then(|| needed.remove(0));
            let part = &mut parts[rule.part as usize];
            let at = part.entries.len();
            match first {
                Some(word) if word < WORDS => {
                    part.by_word.entry(word).or_default().push(at);
                    part.firsts[word / 64] |= 1 << (word % 64);
                }
                Some(_) => {}
                None => part.wordless.push(at),
            }
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
    present: Bits,
}

impl Words {
    /// Walks a text once.
    fn of(table: &Table, text: &str) -> Self {
        let mut present = [0; WORDS / 64];
        let text = unfolded(text);
        for found in table.words.find_overlapping_iter(text.as_ref()) {
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

/// A text whose words stand beside each other wherever go, or a tool, ends its lines.
fn unfolded(text: &str) -> Cow<'_, str> {
    if !text.contains('\n') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.push_str(line.trim());
    }
    Cow::Owned(plain)
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
        let mut places = rules.wordless.clone();
        for (at, (present, firsts)) in words.present.iter().zip(&rules.firsts).enumerate() {
            let mut both = present & firsts;
            while both != 0 {
                let word = at * 64 + both.trailing_zeros() as usize;
                places.extend(rules.by_word.get(&word).into_iter().flatten());
                both &= both - 1;
            }
        }
        // In the order of the table, which decides.
        places.sort_unstable();
        places
            .into_iter()
            .filter_map(|place| rules.entries.get(place))
            .filter(|entry| self.without.is_empty() || !self.without.contains(&entry.rule.id))
    }

    /// The rule for the cause of this request, or (without one) for a bare network error, where the shapes that need a URL in front do
    /// not count.
    #[must_use]
    pub(super) fn cause(&self, cause: &str, request: Option<&Request<'_>>) -> Option<&'static Rule> {
        let cause = cause.trim();
        let op = request.map(|request| request.op);
        let of_page = request.is_some_and(|request| request.url.contains("?go-get=1"));
        if cause.is_empty() {
            return None;
        }
        let table = TABLE.as_ref()?;
        let words = Words::of(table, cause);
        let net = LazyCell::new(|| gotext::shape(cause));
        self.entries(table, Part::Cause, &words)
            .find(|entry| {
                words.fits(entry)
                    && (op.is_some() || !entry.rule.at_url)
                    && (of_page || !entry.rule.at_page)
                    && match entry.rule.pattern {
                        Pattern::Words(_) => true,
                        Pattern::Shape(shape) => fits_shape(shape, cause, &net, op),
                    }
            })
            .map(|entry| entry.rule)
    }

    /// The rule for a cause behind go's own wrapping, without a URL. Every row that names its cause has the same
    /// standing there; those that are only told by the URL in front have none. Where go names no module, what
    /// it says of a broken answer may be one of its own files.
    #[must_use]
    pub(super) fn bare(&self, wrapped: &Wrapped<'_>) -> Option<&'static Rule> {
        let cause = wrapped.cause.trim();
        // What stands alone in the shapes (`EOF`, a status with its reason) may have other words in front.
        let last = cause.rsplit_once(": ").map(|(_, last)| last);
        let last = last.filter(|words| words.contains(|c: char| c.is_ascii_alphabetic()));
        // Cheaper than a look at the shapes, most of which hold a colon.
        if !wrapped.named && last.is_none() && !any_word(cause) {
            return None;
        }
        std::iter::once(cause)
            .chain(last)
            .find_map(|cause| self.cause(cause, None))
            .filter(|rule| wrapped.named || !matches!(rule.kind, FaultKind::Garbage | FaultKind::Eof))
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
        self.answer_of(text, |_| true)
    }

    /// The same among the rules that may count there.
    #[must_use]
    pub(super) fn answer_of(&self, text: &str, counts: impl Fn(&Rule) -> bool) -> Option<&'static Rule> {
        let table = TABLE.as_ref()?;
        let words = Words::of(table, text);
        self.heaviest(table, Part::Answer, &words, |entry| {
            counts(entry.rule)
                && words.fits(entry)
                && match entry.rule.pattern {
                    Pattern::Words(_) => true,
                    Pattern::Shape(shape) => fits_answer_shape(shape, text),
                }
        })
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
        if !any_word(text) || !is_go_report(text) {
            return false;
        }
        // What a proxy puts in front of whatever it could not fetch.
        let text = text.trim_start();
        let text = text.strip_prefix("not found: ").unwrap_or(text);
        // An answer settles it, however many faults are told beside it.
        let answer = self.answer(text);
        if answer.is_some_and(|r| r.weight > Weight::Wrapper && r.verdict != Verdict::Retry) {
            return false;
        }
        let rule = self.vcs(text).or_else(|| {
            if let Some(request) = text.lines().rev().find_map(gotext::request) {
                return self.cause(request.cause, Some(&request));
            }
            let behind = text.split_once(": ").map_or(text, |(_, rest)| rest);
            let last = text.trim_end().rsplit(": ").next()?;
            [text, behind, last]
                .iter()
                .find_map(|part| self.cause(part, None))
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

/// Whether a server's words are what go, or a proxy that runs go, says of a fetch: `not found: …`, a
/// module with its version in front, a VCS's exit status, a request. A page for people is none of
/// these, whatever words stand in it.
fn is_go_report(text: &str) -> bool {
    let text = text.trim_start();
    !text.starts_with('<')
        && (text.starts_with("not found: ")
            || text.contains(": exit status ")
            || text
                .lines()
                .any(|line| gotext::request(line).is_some() || gotext::module_version(line).is_some()))
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
            // Without a URL in front a number is a status only alone, or with its reason behind it.
            matches!(**net, Some(NetShape::Status(status)) if (from..=to).contains(&status)
                && (whole || cause.get(3..).is_some_and(|words| words.is_empty() || reason(words.trim(), status, status))))
        }
        Shape::Reason(from, to) => whole && reason(cause, from, to),
        Shape::OwnWords => whole && own_words(cause),
        // Not the beginning of a status that was cut off, nor a CONNECT answer.
        Shape::Anything => whole && !cause.bytes().all(|b| b.is_ascii_digit()) && !own_words(cause),
        Shape::Unparsable => op == Some("parse"),
        Shape::ProxyDial => cause.starts_with("proxyconnect ") && cause.contains(": dial "),
        Shape::ProxyConnect => cause.starts_with("proxyconnect "),
        Shape::ProxyLookup => {
            let silent = ["timeout", "misbehaving", "emporary"];
            cause.starts_with("proxyconnect ")
                && **net == Some(NetShape::Lookup)
                && !silent.iter().any(|word| cause.contains(word))
        }
        Shape::Socket => **net == Some(NetShape::Socket),
        Shape::NetPackage => cause.starts_with("net/http: "),
        Shape::Decoder => {
            let package = cause.split_once(": ").map(|(package, _)| package);
            package.is_some_and(|package| DECODERS.contains(&package))
                || cause.starts_with("invalid character '")
        }
        _ => false,
    }
}

fn fits_vcs_shape(shape: Shape, text: &str) -> bool {
    match shape {
        Shape::GitUrl => text
            .lines()
            .filter_map(gotext::request)
            // The repository's URL ends in a slash; a host that wants a password has none.
            .any(|r| r.url.ends_with('/') && !r.cause.is_empty()),
        Shape::GitUrlAnswer => text.lines().any(is_answer_about_url),
        Shape::Redirected => text.lines().zip(text.lines().skip(1)).any(|(asked, sent)| {
            gotext::behind_last_colon(asked).is_some_and(gotext::is_asked)
                && gotext::behind_last_colon(sent).is_some()
        }),
        Shape::OwnConfig => text.lines().any(is_own_config),
        Shape::Errno => text.contains("errno="),
        Shape::Line(head) => text.lines().any(|line| line.trim_start().starts_with(head)),
        Shape::GitTransport => text.lines().any(is_transport),
        Shape::CurlCode => text.lines().filter_map(gotext::curl_code).any(|code| {
            // Names, connecting, HTTP/2 and 3, TLS that was cut, a body that was cut, a clock, sending, receiving.
            matches!(code, 6 | 7 | 16 | 18 | 28 | 35 | 52 | 55 | 56 | 92 | 95 | 96)
        }),
        Shape::SshConnection => text.lines().any(gotext::is_ssh_connection),
        Shape::OpenSsl => text.lines().any(gotext::is_openssl),
        Shape::LocalFile => text.lines().any(gotext::is_local_file),
        Shape::AnyOf(words) => words.iter().any(|word| text.contains(word)),
        _ => false,
    }
}

fn fits_answer_shape(shape: Shape, text: &str) -> bool {
    match shape {
        Shape::Exactly(words) => text.contains(words),
        Shape::AnyOf(words) => words.iter().any(|word| text.contains(word)),
        Shape::Advice => text.lines().zip(text.lines().skip(1)).any(|(line, next)| {
            line.trim_end().ends_with(':') && !line.eq_ignore_ascii_case("usage:") && {
                let next = next.trim_start();
                ["go get ", "go mod ", "go work ", "go install "]
                    .iter()
                    .any(|command| next.starts_with(command))
            }
        }),
        Shape::Parse => text.lines().any(|line| {
            // The string may hold quotation marks of its own.
            line.rsplit_once("parse \"")
                .and_then(|(_, rest)| rest.rsplit_once("\": "))
                .is_some_and(|(_, behind)| !behind.is_empty())
        }),
        Shape::AnswerStatus(from, to) => text.lines().any(|line| {
            line.contains("status code ")
                && gotext::git_status(line).is_some_and(|status| (from..=to).contains(&status))
        }),
        _ => false,
    }
}

/// `fatal: … 'https://host/repository/' …`, and no cause behind the URL: what git asked there was answered.
fn is_answer_about_url(line: &str) -> bool {
    let line = line.trim_start();
    !line.starts_with("remote:")
        && line.is_char_boundary(5)
        && gotext::request(line).is_none()
        && gotext::quoted_url(line).is_some_and(|url| {
            let behind = line.rsplit_once(url).map_or("", |(_, behind)| behind);
            url.ends_with('/') && !behind.contains([':', '：'])
        })
}

/// `bad config line N in file /home/user/.gitconfig`: a file of the user's or of the system's.
fn is_own_config(line: &str) -> bool {
    let file = line
        .split_once("bad ")
        .filter(|(_, rest)| rest.contains("config"))
        .and_then(|(_, rest)| rest.split_once(" in file "))
        .map(|(_, file)| file.trim_start_matches(['\'', '"']));
    file.is_some_and(|file| gotext::is_absolute(file) && !file.contains("vcs"))
}

/// A line of git's behind its `fatal: ` or `error: `, in whatever language.
fn behind_severity(line: &str) -> &str {
    let line = line.trim_start();
    if line.starts_with("remote:") {
        return "";
    }
    line.char_indices()
        .take(24)
        .find(|(_, c)| matches!(c, ':' | '：'))
        .map_or(line, |(at, colon)| {
            let program = TRANSPORTS.iter().any(|name| line.starts_with(name));
            let rest = &line[at + colon.len_utf8()..];
            if program || rest.starts_with("//") {
                line
            } else {
                rest.trim_start()
            }
        })
}

/// Git's programs that talk to the other side, and what it calls the exchange.
const TRANSPORTS: &[&str] = &[
    "fetch-pack",
    "index-pack",
    "remote-curl",
    "git-remote-http",
    "git fetch-pack",
    "RPC ",
];

/// What git says of an exchange that did not come to its end.
fn is_transport(line: &str) -> bool {
    const HEADS: &[&str] = &[
        "expected ",
        "error reading ",
        "error processing ",
        "remote did not ",
        "http://",
        "https://",
    ];
    let said = behind_severity(line);
    let local = [
        "config file",
        "fork",
        "died of signal",
        "unable to create",
        "unable to write",
    ];
    let number = said.bytes().take_while(u8::is_ascii_digit).count();
    let speaks = TRANSPORTS.iter().any(|name| said.starts_with(name))
        || HEADS.iter().any(|head| said.starts_with(head))
        || (number > 0 && said[number..].starts_with(" bytes of "))
        || gotext::contains_ignoring_case(said, "remote end hung up")
        || said
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word == "EOF");
    speaks && !local.iter().any(|word| said.contains(word))
}

/// The packages of Go's library that read what a server has sent.
const DECODERS: &[&str] = &[
    "json",
    "xml",
    "gzip",
    "zlib",
    "flate",
    "bzip2",
    "textproto",
    "mime",
    "multipart",
    "base64",
];

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
            let line = format!("Get \"https://p.example/x\": {cause}");
            let request = gotext::request(&line).unwrap();
            let rule = rules.cause(cause, Some(&request)).map(|r| r.verdict);
            assert_eq!(rule, Some(verdict), "{cause}");
        }
    }
}
