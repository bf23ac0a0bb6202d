//! One block of text (a message and the lines that belong to it) to a fault.

use crate::text::{host_of, redact};
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::gotext::{self, NetShape, Request, Wrapped};
use super::matcher::{self, RuleSet, weight};
use super::rules::{Follows, MendKind, Part, Pattern, Rule, Weight};
use super::words;
use super::{Fault, FaultKind, Hint, Mend, Origin, Verdict};

/// How many lines and bytes of one block are kept.
const BLOCK_LINES: usize = 128;
const BLOCK_BYTES: usize = 64 * 1024;

/// A message and the lines that belong to it.
#[derive(Debug, Default, Clone)]
pub(super) struct Block {
    lines: Vec<String>,
    bytes: usize,
    /// One of the lines holds a whole message.
    message: bool,
    /// One of the lines says that go ran a VCS, and that it failed.
    vcs: bool,
    /// A VCS's own words follow, whatever their indentation.
    open: bool,
}

impl Block {
    /// A block that begins with this line.
    #[must_use]
    pub(super) fn new(line: String) -> Self {
        let open = is_vcs_begin(&line) || opens_vcs(&line);
        Self {
            bytes: line.len(),
            message: is_message(&line),
            vcs: open || is_vcs_end(&line),
            open,
            lines: vec![line],
        }
    }

    /// Adds a line; past the limits it is dropped.
    pub(super) fn push(&mut self, line: String) {
        if self.lines.len() < BLOCK_LINES && self.bytes + line.len() <= BLOCK_BYTES {
            self.bytes += line.len();
            self.message |= is_message(&line);
            self.open = self.open || opens_vcs(&line);
            self.vcs = self.vcs || self.open || is_vcs_end(&line);
            self.lines.push(line);
        }
    }

    /// Every line.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The same, in one piece.
    pub(super) fn as_lines(&self) -> &[String] {
        &self.lines
    }

    /// The same, and nothing else of it.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines
    }

    /// The first line.
    #[must_use]
    pub(super) fn head(&self) -> &str {
        self.lines.first().map_or("", String::as_str)
    }

    /// The last line.
    #[must_use]
    pub(super) fn last(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }

    /// Takes up a line that a tool wrapped: behind `reading`, or behind a URL and
    /// its colon. True where it did.
    pub(super) fn unwrap_line(&mut self, text: &str) -> bool {
        let Some(last) = self.lines.last_mut() else {
            return false;
        };
        let before_url = last.ends_with(" reading") || last.ends_with(" Get");
        let before_cause =
            last.ends_with(':') && gotext::request(last).is_some_and(|request| request.cause.is_empty());
        // A console's edge inside the URL: the rest of it, with its colon, begins the next line.
        let word = text.split([' ', '\t']).next().unwrap_or("");
        let rest_of_url = word.len() < text.len() && word.ends_with(':') && word.contains(['/', '.', '?']);
        if rest_of_url
            && gotext::ends_in_url(last)
            && !is_go_line(text)
            && last.len() + text.len() < BLOCK_BYTES / 4
        {
            last.push_str(text);
            self.message |= is_message(last);
            return true;
        }
        let begins = text.trim_start_matches('"').starts_with("http");
        let joins = (before_url && begins) || (before_cause && !text.starts_with("server response"));
        if joins && last.len() + text.len() < BLOCK_BYTES / 4 {
            last.push(' ');
            last.push_str(text);
            self.message |= is_message(last);
            return true;
        }
        false
    }

    /// Whether a line without indentation is one of the VCS's that the block speaks of. Between `# cd DIR; git …`
    /// and `package M: exit status N` every line is.
    #[must_use]
    pub(super) fn accepts_vcs_line(&self, text: &str) -> bool {
        self.open && (is_vcs_line(text) || is_severe(text) || self.is_section())
    }

    /// The block began with `# cd DIR; git …`, and how that ended was not said yet.
    #[must_use]
    fn is_section(&self) -> bool {
        is_vcs_begin(self.head()) && !is_vcs_end(self.last())
    }

    /// Whether go's word that a VCS failed stands in the block, and the VCS's own words above it.
    #[must_use]
    pub(super) fn ends_vcs(&self) -> bool {
        self.vcs && !self.open
    }

    /// Whether these may be a VCS's own words, without go's.
    #[must_use]
    pub(super) fn may_be_vcs(&self) -> bool {
        !self.vcs
            && self
                .lines()
                .all(|line| is_vcs_line(line.trim_start()) || is_severe(line.trim_start()))
    }

    /// Puts a VCS's words in front of go's that it failed.
    pub(super) fn behind(mut self, words: Vec<Self>) -> Self {
        let own = std::mem::take(&mut self.lines);
        self.bytes = 0;
        for line in words.into_iter().flat_map(|block| block.lines).chain(own) {
            self.push(line);
        }
        self
    }

    /// Whether a line of the block holds a whole message already, so that a
    /// further indented message is one of its own.
    #[must_use]
    pub(super) fn is_complete(&self) -> bool {
        let last = self.last();
        self.message && !is_opener(last)
    }
}

/// `A imports`, `A requires`, `A tested by`, `… exit status 128:`: the message is still to come.
fn is_opener(line: &str) -> bool {
    let line = line.trim_end();
    [" imports", " requires", " tested by", ":"]
        .iter()
        .any(|end| line.ends_with(end))
}

/// A line that holds a failed request behind a module's name.
#[must_use]
pub(super) fn is_message(line: &str) -> bool {
    gotext::request(line).is_some_and(|r| {
        gotext::module_version(r.before).is_some() || gotext::module_word(r.before).is_some()
    })
}

/// What a block turned out to be.
#[derive(Debug)]
pub(super) struct Reading {
    /// The fault.
    pub(super) fault: Fault,
    /// A warning or a trace: it counts only where nothing else was said.
    pub(super) minor: bool,
    /// Only what stands around real causes was found.
    pub(super) wrapper: bool,
    /// The block begins as go's own messages do.
    pub(super) go: bool,
    /// The fault that it only follows from, where one stands beside it.
    pub(super) follows: Option<Follows>,
}

/// The parts of a block, told apart.
#[derive(Debug, Default)]
struct Parts<'a> {
    requests: Vec<(usize, Request<'a>)>,
    /// Go's own words.
    answer: String,
    /// What a VCS said.
    vcs: String,
    /// The VCS's command line.
    command: &'a str,
    /// Under `server response:`.
    response: String,
    /// Causes without a URL, behind go's own wrapping.
    bare: Vec<(usize, Wrapped<'a>)>,
    /// The line the VCS's words begin at.
    vcs_line: usize,
}

/// A rule that fits, and where.
struct Candidate<'a> {
    rule: &'static Rule,
    line: usize,
    request: Option<Request<'a>>,
    /// What the rule was read from, where that is a cause.
    cause: &'a str,
}

/// Reads a block; `None` where it says nothing that could be go's.
#[must_use]
pub(super) fn read(block: &Block, rules: RuleSet<'_>) -> Option<Reading> {
    let parts = split(block);
    let candidates = candidates(block, &parts, rules);
    let chosen = candidates
        .into_iter()
        .reduce(|a, b| if weight(b.rule) > weight(a.rule) { b } else { a });
    // A warning or a hint holds a fault at most, never an answer.
    let answers = |rule: &Rule| rule.part == Part::Answer && !rule.system;
    match chosen {
        Some(candidate) if answers(candidate.rule) && is_remark_line(block.head().trim_start()) => None,
        Some(candidate) => Some(Reading {
            minor: is_minor(block.head()),
            wrapper: candidate.rule.weight == Weight::Wrapper,
            follows: candidate.rule.follows,
            go: is_go_line(block.head()),
            fault: fault(block, &parts, &candidate),
        }),
        None => unrecognised(block),
    }
}

/// Reads a VCS's words without go's, each line indented by a tab as go indents them. Only an answer counts, and only
/// where nothing else was said: another program may have printed them.
#[must_use]
pub(super) fn read_cut_out_vcs(block: &Block, rules: RuleSet<'_>) -> Option<Reading> {
    if !block.lines().all(|line| line.starts_with('\t')) {
        return None;
    }
    let mut parts = Parts::default();
    for line in block.lines() {
        append(&mut parts.vcs, line.trim_start());
    }
    let rule = rules
        .vcs(&parts.vcs)
        .filter(|rule| rule.verdict == Verdict::Final)?;
    let candidate = Candidate {
        rule,
        line: vcs_line(block, &parts, rule, rules),
        request: None,
        cause: "",
    };
    Some(Reading {
        minor: true,
        wrapper: rule.weight == Weight::Wrapper,
        follows: rule.follows,
        go: false,
        fault: fault(block, &parts, &candidate),
    })
}

fn split(block: &Block) -> Parts<'_> {
    let mut parts = Parts::default();
    let mut in_vcs = false;
    let mut in_response = false;
    let in_section = is_vcs_begin(block.head());
    for (index, line) in block.lines.iter().enumerate() {
        let text = line.trim_start();
        let indented = text.len() < line.len();
        // What `go get` does next about a module it could not take is not what it speaks of.
        if indented && (text.starts_with("trying ") || text.starts_with("removing ")) {
            continue;
        }
        if index == 0 && in_section {
            in_vcs = true;
            parts.command = line.split_once("; ").map_or("", |(_, command)| command);
            parts.vcs_line = 1;
        } else if in_response && (indented || text.is_empty()) {
            append(&mut parts.response, text);
        } else if let Some(words) = text.strip_prefix("server response:") {
            in_response = true;
            append(&mut parts.response, words);
        } else if let Some((before, command, said)) = vcs_command(line) {
            in_vcs = true;
            parts.command = command;
            parts.vcs_line = if said.is_empty() { index + 1 } else { index };
            append(&mut parts.answer, before);
            append(&mut parts.vcs, said);
        } else if in_section && is_vcs_end(line) {
            append(&mut parts.answer, line);
        } else if (in_vcs && (indented || in_section || is_boilerplate(text)))
            || is_vcs_line(text)
            || (block.vcs && is_severe(text))
        {
            if parts.vcs.is_empty() {
                parts.vcs_line = index;
            }
            append(&mut parts.vcs, text);
        } else if let Some(request) = gotext::request(line) {
            in_response = false;
            append(&mut parts.answer, request.before);
            parts.requests.push((index, request));
        } else {
            in_response = false;
            if let Some(wrapped) = gotext::wrapped(line) {
                parts.bare.push((index, wrapped));
            }
            append(&mut parts.answer, line);
        }
    }
    parts
}

fn append(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

/// The programs that go runs to fetch.
const VCS: &[&str] = &["git ", "hg ", "svn ", "bzr ", "fossil "];

/// What stands before a VCS's command, the command, and what stands behind its
/// exit status: nothing as a rule, `signal: killed`, or (where a tool has made
/// one line of many) what the VCS said.
fn vcs_command(line: &str) -> Option<(&str, &str, &str)> {
    // The cheap question first: this is asked of every line.
    if !line.contains("status ") && !line.contains("signal: ") {
        return None;
    }
    let status = line.find(": exit status ").map(|at| (at, ": exit status "));
    let signal = line.find(": signal: ").map(|at| (at, ": "));
    let (ended, word) = status.or(signal)?;
    let is_vcs = |at: &usize| VCS.iter().any(|name| line[*at..].starts_with(name));
    let start = std::iter::once(0)
        .chain(
            line[..ended]
                .match_indices(": ")
                .map(|(at, colon)| at + colon.len()),
        )
        .find(is_vcs)?;
    let said = line[ended + word.len()..]
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == ':')
        .trim();
    Some((&line[..start], &line[start..ended], said))
}

/// Lines that git, ssh and hg print, whatever stands around them.
#[must_use]
pub(super) fn is_vcs_line(text: &str) -> bool {
    const HEADS: &[&str] = &[
        "fatal: unable to ",
        "fatal: Could not read ",
        "fatal: could not read ",
        "fatal: couldn't find remote ",
        "fatal: repository ",
        "fatal: remote ",
        "fatal: the remote end ",
        "fatal: The remote end ",
        "fatal: Remote branch ",
        "fatal: early EOF",
        "fatal: index-pack ",
        "fatal: fetch-pack",
        "fatal: expected flush",
        "fatal: protocol error",
        "fatal: Authentication failed",
        "fatal: bad config",
        "fatal: bad object",
        "fatal: not a git repository",
        "fatal: detected dubious ownership",
        "fatal: unexpected line in ",
        "fatal: http",
        "fatal: read error: ",
        "error: RPC failed",
        "error: remote",
        "error: git-remote",
        "error: inflate",
        "error: object file",
        "ssh: ",
        "kex_exchange_identification",
        "ssh_exchange_identification",
        "banner exchange:",
        "Connection closed by ",
        "Connection reset by ",
        "Connection timed out during banner",
        "Timeout, server ",
        "client_loop: ",
        "packet_write_wait",
        "ssh_dispatch_run_fatal",
        "Host key verification failed",
        "remote: ",
        "ERROR: Repository not found",
        "abort: ",
        "svn: E",
        "bzr: ERROR: ",
        "bzr: warning: ",
        "brz: ERROR: ",
        "brz: warning: ",
        "Not checking SSL certificate for ",
        "fetch-pack: ",
        "Please make sure you have the correct access rights",
        "and the repository exists.",
        "Confirm the import path was entered correctly",
        "If this is a private repository, see ",
    ];
    // The cheap question first: this is asked of every line.
    let first = text.bytes().next();
    let begins = first.is_some_and(|first| HEADS.iter().any(|head| head.as_bytes()[0] == first));
    (begins && HEADS.iter().any(|head| text.starts_with(head)))
        || (text.starts_with("error: ") && text.ends_with("bytes of body are still expected"))
        || text.contains("Permission denied (publickey")
        || text == "remote:"
        // Git in another language: its URL stays in quotes, with the cause behind it.
        || (text.starts_with("fatal: ") && text.contains("'http") && text.contains("': "))
}

/// Lines without indentation that belong to the message above them.
#[must_use]
pub(super) fn is_boilerplate(text: &str) -> bool {
    const HEADS: &[&str] = &[
        "Confirm the import path was entered correctly",
        "If this is a private repository, see ",
        "SECURITY ERROR",
        "This download does NOT match",
        "The bits may have been replaced",
        "have intercepted the download",
        "For more information, see 'go help module-auth'",
        "go.sum database server misbehavior",
        "note:",
        "tree:",
        "module declares its path as:",
        "but was required as:",
        "and the repository exists.",
        "Please make sure you have the correct access rights",
        "server response:",
    ];
    HEADS.iter().any(|head| text.starts_with(head))
}

/// `/path/go.mod:5:2: …`: a place in a go.mod or go.work.
pub(super) fn is_place(text: &str) -> bool {
    ["go.mod:", "go.work:"].iter().any(|file| {
        text.find(file).is_some_and(|at| {
            let number = text.as_bytes().get(at + file.len());
            number.is_some_and(u8::is_ascii_digit)
        })
    })
}

fn candidates<'a>(block: &Block, parts: &Parts<'a>, rules: RuleSet<'_>) -> Vec<Candidate<'a>> {
    let mut found = Vec::new();
    let is_go = is_go_line(block.head());
    for (line, request) in &parts.requests {
        if is_go || is_go_request(request) {
            found.extend(of_request(*line, *request, parts, rules));
        }
    }
    if !parts.vcs.is_empty()
        && is_vcs_of_go(block, parts, is_go, rules)
        && let Some(rule) = rules.vcs(&parts.vcs)
    {
        found.push(Candidate {
            rule,
            line: vcs_line(block, parts, rule, rules),
            request: None,
            cause: "",
        });
    }
    // What the operating system says of a connection is no word about this machine's files.
    let of_net = || {
        parts.bare.iter().any(|(_, wrapped)| {
            let shape = gotext::shape(wrapped.cause);
            matches!(
                shape,
                Some(NetShape::Dial | NetShape::Lookup | NetShape::Transfer)
            )
        })
    };
    // A word that any program could print hides none of go's own.
    let of_go = is_go || names_module(&parts.answer);
    if let Some(rule) = rules.answer_of(&parts.answer, |rule| of_go || rule.alone)
        && !(rule.system && of_net())
    {
        found.push(Candidate {
            rule,
            line: answer_line(block, rule),
            request: None,
            cause: "",
        });
    }
    if found.iter().all(|c| c.rule.weight < Weight::Strong) {
        found.extend(parts.bare.iter().filter_map(|(line, wrapped)| {
            Some(Candidate {
                rule: rules.bare(wrapped)?,
                line: *line,
                request: None,
                cause: wrapped.cause,
            })
        }));
    }
    if found.is_empty() && parts.requests.is_empty() && !parts.response.is_empty() {
        found.extend(of_response(block, &parts.response, rules));
    }
    found
}

fn of_request<'a>(
    line: usize,
    request: Request<'a>,
    parts: &Parts<'_>,
    rules: RuleSet<'_>,
) -> Option<Candidate<'a>> {
    let mut rule = rules.cause(request.cause, Some(&request))?;
    // `# get URL: 200 OK`: a trace of `-x`, and no fault.
    let fine = matches!(gotext::status(request.cause), Some(100..400));
    if fine && request.before.trim_end().ends_with('#') {
        return None;
    }
    let not_found = matches!(gotext::status(request.cause), Some(404 | 410));
    if not_found && let Some(hidden) = rules.response(&parts.response) {
        rule = hidden;
    }
    Some(Candidate {
        rule,
        line,
        request: Some(request),
        cause: request.cause,
    })
}

/// A `server response:` whose first line was cut off.
fn of_response<'a>(block: &Block, response: &str, rules: RuleSet<'_>) -> Option<Candidate<'a>> {
    if !matcher::any_word(response) {
        return None;
    }
    let rule = rules
        .response(response)
        .or_else(|| rules.answer(response))
        .or_else(|| rules.vcs(response))?;
    // What a server says it does not find is not for this machine's disk to decide.
    let rule = if rule.verdict == Verdict::Repair {
        rules.answer("not found: ")?
    } else {
        rule
    };
    let line = block.lines.len() - 1;
    Some(Candidate {
        rule,
        line: line.min(1),
        request: None,
        cause: "",
    })
}

/// The line of the VCS's words that the rule was read from.
fn vcs_line(block: &Block, parts: &Parts<'_>, rule: &Rule, rules: RuleSet<'_>) -> usize {
    let says_it = |line: &str| match rule.pattern {
        Pattern::Words(words) => words.iter().all(|w| gotext::contains_ignoring_case(line, w)),
        Pattern::Shape(_) => rules.vcs(line).is_some_and(|found| found.id == rule.id),
    };
    (parts.vcs_line..block.lines.len())
        .find(|&i| says_it(&block.lines[i]))
        .unwrap_or_else(|| parts.vcs_line.min(block.lines.len() - 1))
}

/// The line that holds the last of the rule's words.
fn answer_line(block: &Block, rule: &Rule) -> usize {
    let Pattern::Words(words) = rule.pattern else {
        return 0;
    };
    if rule.kind == FaultKind::Security
        && let Some(line) = block.lines.iter().position(|l| l.contains("verifying "))
    {
        return line;
    }
    block
        .lines
        .iter()
        .position(|line| words.iter().any(|w| gotext::contains_ignoring_case(line, w)))
        .unwrap_or(0)
}

/// A line that begins as go's own messages do, or has such a beginning behind
/// what another tool put in front.
#[must_use]
pub(super) fn is_go_line(line: &str) -> bool {
    go_message(line).is_some()
}

/// Where in a line go's own message begins.
#[must_use]
pub(super) fn go_message(line: &str) -> Option<usize> {
    let text = line.trim_start();
    const HEADS: &[&str] = &[
        "go: ",
        "go get ",
        "go get: ",
        "go mod ",
        "go mod: ",
        "go install ",
        "go build ",
        "go list ",
        "go run ",
        "go test ",
        "go vet ",
        "go work ",
        "go work: ",
        "go tool ",
        "cmd/go: ",
        "verifying ",
        "-> unzip ",
        "can't load package: ",
        "# get ",
    ];
    let indentation = line.len() - text.len();
    // The cheap question first: this is asked of every line.
    let first = text.bytes().next();
    let begins = |head: &&str| head.bytes().next() == first && text.starts_with(*head);
    if HEADS.iter().any(begins) {
        return Some(indentation);
    }
    memchr::memmem::find_iter(text.as_bytes(), b"go: ")
        .find(|&start| {
            let before = text[..start].trim_end_matches(['"', '\'', '`', '(']);
            start > 0 && (before.is_empty() || before.ends_with([' ', '\t', ':', '|', '>', ']', '│', '=']))
        })
        .map(|start| indentation + start)
}

/// Where in a line a message begins that has no `go: ` in front, behind what a tool put there: a module with its
/// version, or one of the other beginnings.
#[must_use]
pub(super) fn prefixed_message(line: &str) -> Option<usize> {
    // What is indented belongs to a message already.
    if line.starts_with([' ', '\t']) {
        return None;
    }
    static BEGINNINGS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        words::few_words(&[
            "@",
            "verifying ",
            "# cd ",
            "package ",
            "can't load package: ",
            "go get ",
        ])
    });
    let starts = BEGINNINGS.as_ref()?.find_iter(line).map(|found| {
        if line.as_bytes()[found.start()] == b'@' {
            gotext::module_start(line, found.start())
        } else {
            Some(found.start())
        }
    });
    // What ends in a letter is a sentence, or a word of go's own (`module M@V`).
    starts
        .flatten()
        .take(PREFIX_TRIES)
        .find(|&start| {
            let prefix = line[..start].trim_end_matches([' ', '\t']);
            prefix.len() < start
                && prefix.ends_with(|c: char| !c.is_alphanumeric() && !matches!(c, '"' | ',' | ')'))
        })
        .filter(|&start| !line[..start].contains(".go:") && gotext::leading_path(line).is_none())
}

/// In how many places of a line a message is looked for behind what a tool put in front.
const PREFIX_TRIES: usize = 8;

/// A request that only a module fetch makes, or that stands behind a module's name.
fn is_go_request(request: &Request<'_>) -> bool {
    gotext::is_module_url(request.url)
        || gotext::module_version(request.before).is_some()
        || gotext::module_word(request.before).is_some()
        || gotext::wrapped(request.before).is_some_and(|wrapped| wrapped.named)
        || request.before.contains("unrecognized import path")
        || request.before.contains("verifying ")
}

/// A message that names a module version, a file of the module cache or of go's own temporary folder, a package that
/// could not be loaded, or an import's place or path together with a file that could not be used.
fn names_module(answer: &str) -> bool {
    let placed = || {
        gotext::file_position(answer).is_some()
            || answer.lines().any(|line| gotext::leading_path(line).is_some())
    };
    gotext::module_version(answer).is_some()
        || gotext::module_word(answer).is_some()
        || gotext::cache_path(answer).is_some()
        || answer.contains("cannot load ")
        || answer.contains("/go-build")
        || answer.contains("\\go-build")
        || answer.lines().any(names_package)
        || (gotext::is_path_error(answer) && placed())
}

/// `package P: …`, `imports P: …`, `import "P": …`: what `go get` says of a package, at the end of a chain of imports.
fn names_package(line: &str) -> bool {
    let line = line.trim_start();
    let named = ["package ", "imports "]
        .iter()
        .filter_map(|word| line.strip_prefix(word))
        .any(|rest| gotext::leading_path(rest).is_some());
    let quoted = || {
        let (path, rest) = line.strip_prefix("import \"")?.split_once('"')?;
        Some(rest.starts_with(": ") && gotext::is_import(path))
    };
    named || quoted() == Some(true)
}

/// Whether what a VCS said was said to go: it stands in a message of go's, under words that only go prints, behind
/// a command that go runs, or under one of the lines by which `go get` told of a VCS. Git is run by many programs.
fn is_vcs_of_go(block: &Block, parts: &Parts<'_>, is_go: bool, rules: RuleSet<'_>) -> bool {
    is_go
        || block.vcs
        || names_module(&parts.answer)
        || gotext::vcs_dir(parts.command).is_some()
        || rules.answer(&parts.answer).is_some_and(|rule| rule.alone)
}

/// `# cd DIR; git pull --ff-only`: what `go get` writes above the words of a VCS that failed.
#[must_use]
pub(super) fn is_vcs_begin(line: &str) -> bool {
    line.trim_start()
        .strip_prefix("# cd ")
        .and_then(|rest| rest.split_once("; "))
        .is_some_and(|(_, command)| VCS.iter().any(|name| command.starts_with(name)))
}

/// The path in `package M: exit status 128`, `imports M: exit status 1`, `go: M: exit status 128`: what `go get`
/// writes below the words of a VCS that failed, where it does not quote them.
fn vcs_end(line: &str) -> Option<&str> {
    // The cheap question first: this is asked of every line.
    let line = line.trim().trim_end_matches('.');
    line.ends_with(|c: char| c.is_ascii_digit()).then_some(())?;
    let (before, status) = line.rsplit_once(": exit status ")?;
    if status.is_empty() || !status.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let path = ["package ", "imports ", "go: ", "go get "]
        .iter()
        .find_map(|word| before.strip_prefix(word))?;
    let module = path.split('@').next()?;
    gotext::is_import(module).then_some(module)
}

/// Whether go says in a line that a VCS has failed, or gives the hint that it puts below git's words.
fn is_vcs_end(line: &str) -> bool {
    const HINTS: &[&str] = &[
        "Confirm the import path was entered correctly",
        "If this is a private repository, see ",
    ];
    let text = line.trim_start();
    HINTS.iter().any(|hint| text.starts_with(hint)) || vcs_end(text).is_some()
}

/// `M@V: git fetch … in DIR: exit status 128:`: the VCS's own words follow.
fn opens_vcs(line: &str) -> bool {
    vcs_command(line).is_some_and(|(before, command, _)| {
        is_go_line(line) || names_module(before) || gotext::vcs_dir(command).is_some()
    })
}

/// A line that any program could begin so; behind go's word for a VCS that failed it is the VCS's.
#[must_use]
pub(super) fn is_severe(text: &str) -> bool {
    (text.starts_with("fatal: ") || text.starts_with("error: "))
        && gotext::module_version(text).is_none()
        && gotext::request(text).is_none_or(|request| !gotext::is_module_url(request.url))
}

/// What go says beside its errors: traces of `-x`, warnings, hints, what it writes and chooses. None of it is a
/// fault or an answer, whatever words stand in it.
fn is_minor(head: &str) -> bool {
    const TRACES: &[&str] = &["# get ", "-> "];
    let text = head.trim_start();
    TRACES.iter().any(|begin| text.starts_with(begin)) || is_remark_line(text)
}

/// A remark of go's, behind whatever a tool put in front; or what `go mod tidy` says last.
fn is_remark_line(text: &str) -> bool {
    const HINTS: &[&str] = &[
        "For information about 'go mod tidy' compatibility, ",
        "For other options, see:",
        "If reproducibility with go ",
        "To proceed despite packages unresolved in go ",
        "To upgrade to the versions selected by go ",
    ];
    HINTS.iter().any(|begin| text.starts_with(begin))
        || go_message(text).is_some_and(|at| is_remark(&text[at..]))
}

/// A line of go's that goes on after it.
fn is_remark(message: &str) -> bool {
    const REMARKS: &[&str] = &[
        "warning: ",
        "note: ",
        // Every hint begins so: `to add module requirements and sums:`, `to switch to the latest unretracted version, run:`.
        "to ",
        "creating ",
        "copying ",
        "no module dependencies to download",
        "no dependencies to vendor",
        "skipping download of ",
        "dropping requirement on excluded version ",
        "toolchain upgrade needed to resolve ",
        "default toolchain set to ",
        "upgrading toolchain to ",
        "GOAUTH encountered errors for ",
        "get \"",
        // The errors of GOAUTH's commands are listed with two blanks in front.
        "  ",
        "trying ",
        "accepting ",
        "unlocking",
        "ignoring ",
        "disabling ",
        "using ",
        "writing ",
        "build output",
        "finding ",
        "GOPATH set to GOROOT ",
        // What go before 1.14 says at the end of every list of real errors.
        "error loading module requirements",
    ];
    let message = message
        .strip_prefix("go: ")
        .or_else(|| message.strip_prefix("go get: "))
        .unwrap_or(message);
    REMARKS.iter().any(|begin| message.starts_with(begin))
        || (message.starts_with("module ") && message.contains(" is deprecated"))
        // `updating go.mod: …` is an error.
        || (message.starts_with("updating ") && !message.contains(": "))
        || message.contains(" flag is deprecated")
        || message.contains(" flag is a no-op")
        || message.contains(": unknown hashes in go.sum: ")
        || message.starts_with("installing executables with 'go get'")
}

/// Messages of go's that no rule knows are shown, not guessed at.
fn unrecognised(block: &Block) -> Option<Reading> {
    let head = block.head().trim_start();
    if !head.starts_with("go: ") || is_remark(head) {
        return None;
    }
    let mut fault = Fault::new(FaultKind::Unknown, Verdict::Unknown, &redact(head));
    fault.module = gotext::module_version(head).map(|(m, _)| m.to_owned());
    fault.version = gotext::module_version(head).map(|(_, v)| v.to_owned());
    Some(Reading {
        fault,
        minor: false,
        wrapper: false,
        go: true,
        follows: None,
    })
}

fn fault(block: &Block, parts: &Parts<'_>, candidate: &Candidate<'_>) -> Fault {
    let rule = candidate.rule;
    let line = block.lines[candidate.line].trim();
    let mut fault = Fault::new(rule.kind, rule.verdict, &redact(line));
    fault.rule = rule.id;
    fault.nobody = rule.nobody;
    let (module, version) = module(block, parts, candidate);
    fault.module = module;
    fault.version = version;
    let url = candidate.request.map(|r| r.url).or_else(|| vcs_url(parts));
    fault.url = url.map(|url| redact(url).into_owned());
    fault.host = host(parts, candidate, url);
    fault.origin = origin(parts, candidate, url);
    fault.status = status(parts, candidate);
    fault.no_network = rule.no_network;
    fault.mend = rule.mend.and_then(|kind| mend(kind, block, parts, &fault));
    fault.hint = rule.hint.or_else(|| hint(&fault));
    if rule.mend == Some(MendKind::OtherModule) && is_rename(block) {
        fault.verdict = Verdict::Final;
        fault.hint = Some(Hint::Renamed);
        fault.declares = declared(block, "declares its path as:");
        fault.mend = None;
    }
    fault
}

/// The go command crashed, by the line that begins its trace.
#[must_use]
pub(super) fn crash(panic: &str) -> Fault {
    let memory = ["out of memory", "cannot allocate memory"]
        .iter()
        .any(|word| panic.contains(word));
    let (kind, hint) = if memory {
        (FaultKind::Disk, Hint::Memory)
    } else {
        (FaultKind::Toolchain, Hint::GoCrashed)
    };
    Fault {
        origin: Origin::Local,
        hint: Some(hint),
        ..Fault::new(kind, Verdict::Final, panic)
    }
}

/// The HTTP status that was answered.
fn status(parts: &Parts<'_>, candidate: &Candidate<'_>) -> Option<u16> {
    if candidate.rule.part == Part::Vcs {
        return parts.vcs.lines().rev().find_map(gotext::git_status);
    }
    gotext::status(candidate.cause)
}

/// Advice that the kind of a fault, the one who answered and the place of the question give together.
fn hint(fault: &Fault) -> Option<Hint> {
    let url = fault.url.as_deref().unwrap_or("");
    let host = fault.host.as_deref().unwrap_or("");
    let refused = matches!(fault.kind, FaultKind::Auth | FaultKind::Refused);
    match fault.kind {
        _ if fault.status.is_some() && fault.origin == Origin::Proxy && gotext::is_proxy_port(host) => {
            Some(Hint::HttpProxy)
        }
        _ if refused && fault.status.is_some() && crate::go::public::is_public(host) => {
            Some(Hint::PublicRefusal)
        }
        FaultKind::NotFound | FaultKind::ServerError
            if fault.origin == Origin::Sumdb && matches!(fault.status, Some(404 | 410)) =>
        {
            Some(Hint::PrivateSum)
        }
        FaultKind::NotFound | FaultKind::Dns if url.contains("?go-get=1") => Some(Hint::DeadHost),
        FaultKind::Config if fault.origin == Origin::Direct => Some(Hint::GitConfig),
        _ => None,
    }
}

/// What stands behind one of the words in a line of a block.
fn declared(block: &Block, word: &str) -> Option<String> {
    block.lines.iter().find_map(|line| {
        let at = line.find(word)?;
        Some(line[at + word.len()..].trim().to_owned())
    })
}

/// `declares its path as: A` / `was required as: B`: a module that was renamed,
/// forked or is written in another case (an answer), as against a file of quite
/// another module (which only a proxy that mixed them up delivers).
fn is_rename(block: &Block) -> bool {
    let value = |word: &str| declared(block, word).map(|path| path.to_ascii_lowercase());
    let (Some(declared), Some(required)) = (value("declares its path as:"), value("required as:")) else {
        return true;
    };
    // A name that no server could deliver (`go-eth`) stands in the module's own go.mod.
    if !declared.split('/').next().unwrap_or("").contains('.') {
        return true;
    }
    let elements = |path: &str| -> Vec<String> {
        let (host, rest) = path.split_once('/').unwrap_or((path, ""));
        let host = host.rsplit_once('.').map_or("", |(name, _)| name);
        host.split(['.', '-'])
            .chain(rest.split(['/', '.', '-', '_']))
            .filter(|e| e.len() > 2 && !matches!(*e, "github" | "gitlab" | "www"))
            .map(str::to_owned)
            .collect()
    };
    let declared = elements(&declared);
    elements(&required).iter().any(|e| {
        declared
            .iter()
            .any(|d| d.contains(e.as_str()) || e.contains(d.as_str()))
    })
}

/// The module to name: what the message names last before its cause, else what
/// the URL says.
fn module(block: &Block, parts: &Parts<'_>, candidate: &Candidate<'_>) -> (Option<String>, Option<String>) {
    let own = |(m, v): (&str, &str)| (Some(m.to_owned()), Some(v.to_owned()));
    let line = &block.lines[candidate.line];
    let near = candidate.request.map_or(line.as_str(), |r| r.before);
    // `zip for M@V has unexpected file OTHER@V/…` names two.
    let near = near.split(" has unexpected file").next().unwrap_or(near);
    let named = gotext::module_version(near).or_else(|| verify_form(near));
    if let Some(found) = named {
        return own(found);
    }
    if let Some((module, version)) =
        gotext::module_of_cache_path(line).or_else(|| gotext::module_of_folder(line))
    {
        return (Some(module), Some(version));
    }
    if let Some(module) = gotext::module_word(near) {
        return (Some(module.to_owned()), None);
    }
    if let Some((module, version)) = candidate.request.and_then(|r| gotext::module_of_url(r.url)) {
        return (Some(module), version);
    }
    if candidate.rule.part == Part::Vcs
        && let Some(module) = block.lines().find_map(vcs_end)
    {
        return (Some(module.to_owned()), None);
    }
    // `go get P: git ls-remote …`, `go get P: zip: …`: the package that was asked for.
    if let Some(path) = got(near).or_else(|| parts.answer.lines().rev().find_map(got)) {
        return own_query(path);
    }
    if candidate.rule.part != Part::Cause {
        if let Some(found) = gotext::module_version(&parts.answer) {
            return own(found);
        }
        if let Some(module) = gotext::module_word(&parts.answer) {
            return (Some(module.to_owned()), None);
        }
    }
    let toolchain = parts.answer.contains("download go") || line.contains("download go");
    if toolchain {
        return (Some("golang.org/toolchain".to_owned()), None);
    }
    if let Some((module, version)) = gotext::at_revision(&parts.answer) {
        return own((module, version));
    }
    let path = gotext::import_path(near)
        .or_else(|| gotext::import_path(&parts.answer))
        .or_else(|| gotext::leading_path(near))
        .or_else(|| parts.answer.lines().last().and_then(gotext::leading_path));
    (path.map(str::to_owned), None)
}

/// The path in `go get P: …` and `build P: cannot load Q: …`.
fn got(line: &str) -> Option<&str> {
    let rest = line.trim_start();
    let rest = match rest.strip_prefix("go get ") {
        Some(rest) => rest,
        None => rest.split_once(": cannot load ")?.1,
    };
    let (path, _) = rest.split_once(": ")?;
    gotext::is_import(path.split('@').next()?).then_some(path)
}

/// A path that may carry a version.
fn own_query(path: &str) -> (Option<String>, Option<String>) {
    let (module, version) = path.split_once('@').map_or((path, None), |(m, v)| (m, Some(v)));
    (Some(module.to_owned()), version.map(str::to_owned))
}

/// `M V: …`, as `go mod verify` writes it.
fn verify_form(line: &str) -> Option<(&str, &str)> {
    let mut words = line.trim_start().splitn(3, ' ');
    let (module, version) = (words.next()?, words.next()?);
    words.next()?;
    let version = version.strip_suffix(':')?;
    (module.contains('.') && version.starts_with('v')).then_some((module, version))
}

/// The URL in git's own words, or in its command line.
fn vcs_url<'a>(parts: &'a Parts<'_>) -> Option<&'a str> {
    // A server's own words (`remote: `) may name others.
    let of_words = parts
        .vcs
        .lines()
        .filter(|line| !line.starts_with("remote: "))
        .find_map(|line| {
            gotext::request(line)
                .map(|r| r.url)
                .or_else(|| gotext::quoted_url(line))
        });
    of_words.or_else(|| {
        let at = parts.command.find("://")?;
        let start = parts.command[..at].rfind([' ', '\'', '"'])? + 1;
        let end = parts.command[at..]
            .find([' ', '\'', '"'])
            .map_or(parts.command.len(), |e| at + e);
        Some(&parts.command[start..end])
    })
}

/// The host to blame: who could not be looked up or dialled through a proxy,
/// else the URL's.
fn host(parts: &Parts<'_>, candidate: &Candidate<'_>, url: Option<&str>) -> Option<String> {
    let cause = candidate.cause;
    let proxied = candidate.rule.origin == Some(Origin::HttpsProxy);
    if candidate.rule.kind == FaultKind::Dns || proxied {
        let name = gotext::lookup_host(cause).or_else(|| gotext::dialled(cause));
        if let Some(name) = name.or_else(|| vcs_host(&parts.vcs)) {
            return Some(name.to_owned());
        }
    }
    url.and_then(host_of)
        .map(str::to_owned)
        .or_else(|| vcs_host(&parts.vcs).map(str::to_owned))
        .or_else(|| gotext::ssh_host(parts.command).map(str::to_owned))
        .or_else(|| gotext::dialled(cause).map(str::to_owned))
        .or_else(|| repository_host(parts, candidate))
}

/// The host of a repository that go names by the module's path alone.
fn repository_host(parts: &Parts<'_>, candidate: &Candidate<'_>) -> Option<String> {
    let module = gotext::module_version(&parts.answer)
        .map(|(module, _)| module)
        .or_else(|| gotext::module_word(&parts.answer))?;
    let named = candidate.rule.hint == Some(Hint::NoSecureProtocol);
    named.then(|| module.split('/').next().unwrap_or(module).to_owned())
}

/// The host that git, curl or ssh names.
fn vcs_host(vcs: &str) -> Option<&str> {
    for word in [
        "Could not resolve host: ",
        "Could not resolve hostname ",
        "Failed to connect to ",
        "connect to host ",
        "Connection closed by ",
        "Connection reset by ",
        "Connection to ",
        "unable to connect to ",
        "unable to look up ",
        "host key is known for ",
    ] {
        if let Some(at) = vcs.find(word) {
            let rest = &vcs[at + word.len()..];
            let end = rest.find([' ', ':', ';', '\n', '\'']).unwrap_or(rest.len());
            let host = rest[..end].trim_end_matches('.');
            if !host.is_empty() {
                return Some(host);
            }
        }
    }
    gotext::ssh_host(vcs)
}

fn origin(parts: &Parts<'_>, candidate: &Candidate<'_>, url: Option<&str>) -> Origin {
    let rule = candidate.rule;
    if let Some(origin) = rule.origin {
        return origin;
    }
    if rule.part == Part::Vcs {
        return Origin::Direct;
    }
    if rule.kind == FaultKind::Sumdb
        || url.is_some_and(gotext::is_sumdb_url)
        || (rule.part == Part::Cause && parts.answer.contains("verifying "))
    {
        return Origin::Sumdb;
    }
    if url.is_some_and(|u| u.contains("?go-get=1"))
        || parts.answer.contains("unrecognized import path")
        || rule.mend == Some(MendKind::Vcs)
    {
        return Origin::Direct;
    }
    match rule.kind {
        FaultKind::Disk | FaultKind::Config | FaultKind::User | FaultKind::Toolchain => Origin::Local,
        FaultKind::Cache | FaultKind::Security if url.is_none() => Origin::Local,
        _ => Origin::Proxy,
    }
}

/// The details of what to mend.
fn mend(kind: MendKind, block: &Block, parts: &Parts<'_>, fault: &Fault) -> Option<Mend> {
    // `latest` and branches are queries: nothing in the cache has such a name.
    let version = fault.version.clone().filter(|v| is_version(v));
    let pair = fault.module.clone().zip(version);
    let text = block.lines.join("\n");
    let path = gotext::cache_path(&text).map(str::to_owned);
    Some(match kind {
        MendKind::Zip => Mend::Zip {
            module: pair,
            path: path.filter(|p| p.ends_with(".zip")),
        },
        MendKind::Mod | MendKind::OtherModule => {
            let (module, version) = pair?;
            Mend::Mod { module, version }
        }
        MendKind::Checksum => {
            let (module, version) = pair.or_else(|| checksum_pair(&text))?;
            let first = text.lines().find(|l| l.contains("verifying ")).unwrap_or("");
            Mend::Checksum {
                module,
                version,
                go_mod: first.contains("/go.mod:") || first.contains("verifying go.mod"),
            }
        }
        MendKind::Extracted => Mend::Extracted {
            package: gotext::import_path(&text)
                .map(str::to_owned)
                .or_else(|| fault.module.clone())?,
        },
        MendKind::Vcs => Mend::Vcs {
            dir: gotext::vcs_dir(parts.command)
                .or_else(|| gotext::vcs_dir(&text))
                .map(str::to_owned),
            module: pair,
        },
        MendKind::SumdbTile => Mend::SumdbTile,
        MendKind::SumdbLookup => Mend::SumdbLookup { module: pair },
        MendKind::SumdbLatest => Mend::SumdbLatest,
        MendKind::Path => Mend::Path { path: path? },
    })
}

fn is_version(version: &str) -> bool {
    version
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn checksum_pair(text: &str) -> Option<(String, String)> {
    text.lines()
        .filter(|line| line.contains("verifying "))
        .find_map(gotext::module_version)
        .map(|(m, v)| (m.to_owned(), v.to_owned()))
}
