//! A stream of bytes to findings: lines to blocks, blocks to faults.
//!
//! Memory does not grow with the stream: a line, a block and the list of
//! findings have limits, and the same fault said again is only counted.
//!
//! Known limitations: a program that prints go's own messages word for word
//! (a test of a tool around go) is told apart only by the frame that `go test`
//! or a panic puts around it; and where the lines of several jobs are mixed, the
//! one prefix that is remembered is that of the last message.

use std::collections::{HashMap, HashSet};

use super::block::{self, Block, Reading};
use super::gotext;
use super::lines::{self, Splitter};
use super::matcher::{self, RuleSet};
use super::rules::Follows;
use super::{Fault, Mend, Origin, Verdict};
use crate::go::progress::is_progress;

/// How many lines of a VCS's wait for a word of go's about them.
const PENDING_VCS_LIMIT: usize = 64;

/// How long what stands in front of go's messages may be, in bytes.
const PREFIX_LIMIT: usize = 200;

/// How often a string with escaped quotes may stand in another one.
const QUOTED_LIMIT: usize = 3;

/// How many lines of one string are read.
const QUOTED_LINES: usize = 256;

/// How many different faults are kept.
const FAULT_LIMIT: usize = 2000;

/// How many blocks are remembered.
const SEEN_BLOCKS_LIMIT: usize = 1000;

/// One fault, and how often it was said.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The fault.
    pub fault: Fault,
    /// How often.
    pub count: usize,
    /// A warning or trace: it counts only where nothing else was said.
    pub minor: bool,
    /// The command that the log shows above it.
    pub command: Option<String>,
    /// Only what stands around real causes: it counts only where nothing else was said of the same module.
    wrapper: bool,
    /// Go's own beginning stands in front.
    go: bool,
    /// The fault that it only follows from, where one stands beside it.
    follows: Option<Follows>,
}

/// Everything that a stream said.
#[derive(Debug, Default)]
pub struct Findings {
    /// The faults, in the order of the text.
    pub faults: Vec<Finding>,
    /// A compiler, a test or a program failed.
    pub program: bool,
    /// How many lines there were.
    pub lines: u64,
    /// How many bytes there were.
    pub bytes: u64,
}

impl Findings {
    /// Those that count: all but warnings and traces, or these where there is
    /// nothing else.
    #[must_use]
    pub fn decisive(&self) -> Vec<Finding> {
        let only_minor = self.faults.iter().all(|f| f.minor);
        let named: HashSet<&str> = self
            .faults
            .iter()
            .filter(|f| !f.wrapper && !f.minor)
            .filter_map(|f| f.fault.module.as_deref())
            .collect();
        let failed: Vec<&Fault> = self
            .faults
            .iter()
            .filter(|f| {
                !f.minor
                    && matches!(
                        f.fault.verdict,
                        Verdict::Retry | Verdict::Switch | Verdict::Repair
                    )
            })
            .map(|f| &f.fault)
            .collect();
        let follows = |f: &Finding| {
            f.follows.is_some_and(|kind| {
                failed.iter().any(|fault| match kind {
                    Follows::AnyFault => true,
                    // A damaged file is no fetch that failed.
                    _ if fault.verdict == Verdict::Repair => false,
                    Follows::AnyFetch => covers(fault, &f.fault),
                    Follows::DirectFetch => fault.origin == Origin::Direct && covers(fault, &f.fault),
                })
            })
        };
        let said = |f: &Finding| f.wrapper && f.fault.module.as_deref().is_some_and(|m| named.contains(m));
        self.faults
            .iter()
            .filter(|f| only_minor || !(f.minor || said(f) || follows(f)))
            .cloned()
            .collect()
    }
}

/// Whether one fault speaks of the module that another's module or package is, or lies in.
fn covers(fault: &Fault, other: &Fault) -> bool {
    let (Some(module), Some(path)) = (&fault.module, &other.module) else {
        return false;
    };
    let within = |outer: &str, inner: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within(module, path) || within(path, module)
}

/// What kind of output the stream is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Region {
    /// Anything.
    #[default]
    Open,
    /// Between `=== RUN` and `ok`, `PASS` or `FAIL`.
    Test,
    /// Indented lines under `--- FAIL`.
    TestTail,
    /// Under `panic:` or `goroutine N [`.
    Panic,
}

/// Reads a stream piece by piece.
#[derive(Default)]
pub struct Scanner<'r> {
    rules: RuleSet<'r>,
    splitter: Splitter,
    reader: Reader,
}

/// What is known so far.
#[derive(Default)]
struct Reader {
    block: Option<Block>,
    /// A line that says nothing of itself, as long as no other follows it, and
    /// how often it has come.
    repeated: String,
    repeat_count: usize,
    /// What stands in front of go's messages on their lines, as the last of them showed: the outer one, and one
    /// behind it.
    prefixes: [String; 2],
    /// A VCS's words that nothing of go's was said about yet.
    pending_vcs: Vec<Block>,
    region: Region,
    /// How a panic began.
    panic: String,
    command: Option<String>,
    /// The JSON object in which an `"Error"` stands: module and version.
    object: (Option<String>, Option<String>),
    known: HashMap<Key, usize>,
    /// Blocks that were read, and the fault that each of them told: a log says
    /// the same many times over.
    seen_blocks: HashMap<Vec<String>, Option<usize>>,
    found: Findings,
    /// How many faults there were when the last package's tests had ended.
    before_tests: usize,
}

/// What makes two faults the same.
type Key = (
    &'static str,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

impl<'r> Scanner<'r> {
    /// A scanner with some rules left out.
    #[must_use]
    pub fn with_rules(rules: RuleSet<'r>) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        let (reader, rules) = (&mut self.reader, self.rules);
        reader.found.bytes += bytes.len() as u64;
        self.splitter.feed(bytes, &mut |line| reader.line(line, rules));
    }

    /// One stream of several is at its end (stderr before stdout).
    pub fn end_stream(&mut self) {
        let (reader, rules) = (&mut self.reader, self.rules);
        self.splitter.finish(&mut |line| reader.line(line, rules));
        reader.flush_repeated(rules, false);
        reader.close(rules);
        reader.read_pending(rules);
        self.splitter = Splitter::default();
    }

    /// Everything was fed.
    #[must_use]
    pub fn finish(mut self) -> Findings {
        self.end_stream();
        self.reader.found
    }
}

impl Reader {
    fn line(&mut self, raw: &[u8], rules: RuleSet<'_>) {
        self.found.lines += 1;
        if raw.is_empty() || self.is_plain_repeat(raw, rules) {
            return;
        }
        self.flush_repeated(rules, true);
        self.text(&lines::clean(raw), QUOTED_LIMIT, rules);
    }

    /// Takes a line that begins as go's do and holds neither a word of a rule nor
    /// anything else to go by. It is read as others are as soon as another line
    /// follows, which may belong to it; what is saved is to read a great many of
    /// them one by one.
    fn is_plain_repeat(&mut self, raw: &[u8], rules: RuleSet<'_>) -> bool {
        const LONGEST: usize = 64;
        let Some(rest) = raw.strip_prefix(b"go: ").filter(|rest| rest.len() <= LONGEST) else {
            return false;
        };
        let plain = rest
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ');
        let alone = self.block.is_none()
            && self.pending_vcs.is_empty()
            && self.region == Region::Open
            && self.prefixes.iter().all(String::is_empty);
        let text = std::str::from_utf8(raw).unwrap_or_default();
        if !plain || !alone || is_progress(text.as_bytes()) || matcher::any_word(text) {
            return false;
        }
        if self.repeat_count == 0 || self.repeated != text {
            self.flush_repeated(rules, false);
            self.repeated.clear();
            self.repeated.push_str(text);
        }
        self.repeat_count += 1;
        true
    }

    /// Reads the line that was held. Where another follows that may belong to it,
    /// the last of its kind is left as the block that stands open.
    fn flush_repeated(&mut self, rules: RuleSet<'_>, open: bool) {
        let times = std::mem::take(&mut self.repeat_count);
        let closed = if open { times.saturating_sub(1) } else { times };
        // What comes after so many is not kept anyway.
        if closed > 0 && self.found.faults.len() < FAULT_LIMIT {
            self.block = Some(Block::new(self.repeated.clone()));
            let before = self.found.faults.len();
            self.close(rules);
            let said = match self.found.faults.len() > before {
                true => self.found.faults.last_mut(),
                false => {
                    let unknown = |finding: &&mut Finding| {
                        finding.fault.rule.is_empty() && finding.fault.line == self.repeated
                    };
                    self.found.faults.iter_mut().find(unknown)
                }
            };
            if let Some(finding) = said {
                finding.count += closed - 1;
            }
        }
        if open && times > 0 {
            self.block = Some(Block::new(self.repeated.clone()));
        }
    }

    /// Takes a line; `quoted` is how often strings in it may still be opened.
    fn text(&mut self, line: &str, quoted: usize, rules: RuleSet<'_>) {
        let mut text = line;
        let mut carried = 0;
        for prefix in self.prefixes.iter().filter(|prefix| !prefix.is_empty()) {
            let Some(rest) = behind(prefix, text) else {
                break;
            };
            text = lines::strip_prefixes(rest);
            carried += 1;
        }
        let trimmed = text.trim_start();
        if trimmed.is_empty() {
            return;
        }
        let indented = trimmed.len() < text.len();
        // What a test prints indented may be the transcript of a script.
        let of_test = indented && matches!(self.region, Region::Test | Region::TestTail);
        if let Some(command) = command_of(trimmed).filter(|_| !of_test) {
            self.close(rules);
            self.pending_vcs.clear();
            self.region = Region::Open;
            self.command = Some(command.to_owned());
            return;
        }
        if self.in_program(trimmed, indented) {
            self.close(rules);
            self.pending_vcs.clear();
            return;
        }
        if self.json(trimmed, quoted, rules) {
            return;
        }
        if lines::is_server_log(trimmed) {
            self.close(rules);
            return;
        }
        if quoted > 0
            && let Some(plain) = lines::unquoted(trimmed).or_else(|| lines::unfolded(trimmed))
        {
            for line in plain.lines().take(QUOTED_LINES) {
                self.text(line, quoted - 1, rules);
            }
            return;
        }
        let text = self.without_prefix(text, carried);
        let trimmed = text.trim_start();
        let indented = trimmed.len() < text.len();
        if is_progress(trimmed.as_bytes()) {
            self.close(rules);
            return;
        }
        let failure = is_program_failure(trimmed);
        self.found.program |= failure;
        if let Some(block) = &mut self.block
            && block.unwrap_line(trimmed)
        {
            return;
        }
        match &mut self.block {
            Some(block) if !failure && continues(block, trimmed, indented) => block.push(text.to_owned()),
            _ => {
                self.close(rules);
                self.block = Some(Block::new(text.to_owned()));
            }
        }
        if failure {
            self.pending_vcs.clear();
        }
    }

    /// A line without what stands in front of the message of go's in it, `carried` known prefixes being off
    /// already. Whatever that is (`build-image:<TAB>`,
    /// `#STDERR> `), the lines that belong to the message carry it as well.
    fn without_prefix<'a>(&mut self, line: &'a str, carried: usize) -> &'a str {
        let Some(at) = block::go_message(line).or_else(|| block::prefixed_message(line)) else {
            return line;
        };
        let (prefix, message) = line.split_at(at);
        if !is_prefix(prefix) {
            return line;
        }
        // A line that carries the outer one keeps it: the next may have nothing more.
        let (_, dropped) = self.prefixes.split_at_mut(carried.min(1));
        for prefix in &mut *dropped {
            prefix.clear();
        }
        if let Some(first) = dropped.first_mut() {
            first.push_str(prefix);
        }
        message
    }

    /// Follows the frames that `go test` and the runtime put around a program's
    /// own output; true for lines inside of one.
    fn in_program(&mut self, text: &str, indented: bool) -> bool {
        // The cheap question first: this is asked of every line.
        let may_frame = text
            .bytes()
            .next()
            .is_some_and(|first| b"=-FPo?epfg".contains(&first));
        if may_frame && let Some(inside) = self.frame(text, indented) {
            return inside;
        }
        match self.region {
            Region::Open => false,
            Region::Test => true,
            Region::TestTail if indented => true,
            Region::Panic if !block::is_go_line(text) => {
                self.crash(text);
                true
            }
            Region::TestTail | Region::Panic => {
                self.region = Region::Open;
                false
            }
        }
    }

    /// A line of a trace: where it is that of the go command, that is a finding.
    fn crash(&mut self, text: &str) {
        if !(text.starts_with("cmd/go/internal/") || text.contains("/src/cmd/go/")) || self.panic.is_empty() {
            return;
        }
        let panic = std::mem::take(&mut self.panic);
        let fault = block::crash(&panic);
        self.add(Reading {
            fault,
            minor: true,
            wrapper: false,
            go: true,
            follows: None,
        });
    }

    /// A line that begins or ends such a frame, and whether it is inside of one.
    fn frame(&mut self, text: &str, indented: bool) -> Option<bool> {
        let framed = ["=== RUN", "=== PAUSE", "=== CONT", "=== NAME"]
            .iter()
            .any(|f| text.starts_with(f));
        if framed {
            self.region = Region::Test;
            return Some(true);
        }
        if ["--- FAIL:", "--- PASS:", "--- SKIP:", "--- BENCH:"]
            .iter()
            .any(|f| text.starts_with(f))
        {
            self.found.program |= text.starts_with("--- FAIL:");
            if self.region != Region::Test {
                self.region = Region::TestTail;
            }
            return Some(true);
        }
        let verdict_line = ["ok  \t", "ok      ", "?   \t"]
            .iter()
            .any(|f| text.starts_with(f))
            || matches!(text.split([' ', '\t']).next(), Some("FAIL" | "PASS"));
        if !indented && verdict_line {
            self.end_of_package(text);
        }
        if !indented && (verdict_line || text.starts_with("exit status ")) {
            self.found.program |= text.starts_with("FAIL") || text.starts_with("exit status ");
            self.region = Region::Open;
            return Some(verdict_line);
        }
        if !indented
            && (text.starts_with("panic: ")
                || text.starts_with("fatal error: ")
                || (text.starts_with("goroutine ") && text.ends_with("]:")))
        {
            self.found.program = true;
            if self.region != Region::Test {
                self.region = Region::Panic;
                if !text.starts_with("goroutine ") {
                    text.clone_into(&mut self.panic);
                }
            }
            return Some(true);
        }
        None
    }

    /// `FAIL<TAB>package<TAB>1.234s`: the tests of a package have run, and what was said since the
    /// last package without go's own beginning was said by them.
    fn end_of_package(&mut self, text: &str) {
        let seconds = |text: &str| {
            let number = text.strip_suffix('s').unwrap_or("");
            number.contains('.') && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        };
        let mut words = text.split_ascii_whitespace();
        if words.next() == Some("FAIL") && words.next().is_some() && words.next().is_some_and(seconds) {
            if self
                .block
                .as_ref()
                .is_some_and(|block| !block::is_go_line(block.head()))
            {
                self.block = None;
            }
            self.seen_blocks.clear();
            for finding in self.found.faults.split_off(self.before_tests) {
                let key = key(&finding.fault);
                self.known.remove(&key);
                if finding.go {
                    self.known.insert(key, self.found.faults.len());
                    self.found.faults.push(finding);
                }
            }
        }
        self.before_tests = self.found.faults.len();
    }

    /// JSON of `-json` commands and of loggers; true where the line was that.
    fn json(&mut self, text: &str, quoted: usize, rules: RuleSet<'_>) -> bool {
        if text == "{" || text == "}" || text == "}," {
            self.close(rules);
            self.object = (None, None);
            return true;
        }
        if text.starts_with("{\"") && text.ends_with('}') {
            self.json_line(text, quoted, rules);
            return true;
        }
        // What a tool puts in front of an object: `fatal: [host]: FAILED! => {"msg": …}`.
        if quoted > 0
            && text.ends_with('}')
            && let Some(at) = text.find(" {\"")
            && let Ok(object) = serde_json::from_str(&text[at + 1..])
        {
            self.json_strings(&object, quoted, rules);
            return true;
        }
        let Some((name, value)) = json_field(text) else {
            return false;
        };
        match name {
            "Path" => self.object.0 = json_string(value),
            "Version" => self.object.1 = json_string(value),
            "Error" | "Err" => {
                if let Some(message) = json_string(value) {
                    self.message(&message, rules);
                }
            }
            _ if is_message_field(name) && quoted > 0 => {
                if let Some(message) = json_string(value) {
                    self.close(rules);
                    self.lines(&message, quoted, rules);
                    self.close(rules);
                }
            }
            _ => {}
        }
        true
    }

    /// One object on one line: `go build -json`, `go test -json`, and what a container or a logger writes.
    fn json_line(&mut self, text: &str, quoted: usize, rules: RuleSet<'_>) {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
            return;
        };
        let field = |name: &str| value.get(name).and_then(serde_json::Value::as_str);
        match field("Action") {
            Some("build-output") => self.lines(field("Output").unwrap_or(""), quoted, rules),
            Some(action) => {
                self.close(rules);
                self.found.program |= action == "fail" || action == "build-fail";
            }
            None => {
                let object = (
                    field("Path").map(str::to_owned),
                    field("Version").map(str::to_owned),
                );
                if object != self.object {
                    self.close(rules);
                    self.object = object;
                }
                self.json_strings(&value, quoted, rules);
            }
        }
    }

    /// The words of another program in a logger's object, wherever in it they stand. A logger may write each line of
    /// a message into an object of its own, so that the first string goes on with the block that stands open.
    fn json_strings(&mut self, value: &serde_json::Value, quoted: usize, rules: RuleSet<'_>) {
        let mut strings = Vec::new();
        message_strings(value, &mut strings, QUOTED_LIMIT);
        for (index, string) in strings.iter().enumerate() {
            if index > 0 {
                self.close(rules);
            }
            self.lines(string, quoted, rules);
        }
        if strings.len() > 1 {
            self.close(rules);
        }
    }

    /// The lines of a string that stood in another one.
    fn lines(&mut self, string: &str, quoted: usize, rules: RuleSet<'_>) {
        for line in string.lines().take(QUOTED_LINES) {
            self.text(&lines::clean(line.as_bytes()), quoted.saturating_sub(1), rules);
        }
    }

    /// A message out of JSON: a block of its own.
    fn message(&mut self, message: &str, rules: RuleSet<'_>) {
        self.close(rules);
        let mut lines = message.lines();
        let mut block = Block::new(format!("go: {}", lines.next().unwrap_or("")));
        for line in lines {
            block.push(line.to_owned());
        }
        self.block = Some(block);
        self.close(rules);
    }

    /// The block is whole: reads it.
    fn close(&mut self, rules: RuleSet<'_>) {
        let Some(mut block) = self.block.take() else {
            return;
        };
        let by_itself = self.object == (None, None) && (self.pending_vcs.is_empty() || !block.ends_vcs());
        if by_itself && let Some(fault_at) = self.seen_blocks.get(block.as_lines()) {
            if let Some(finding) = fault_at.and_then(|at| self.found.faults.get_mut(at)) {
                finding.count += 1;
            }
            return;
        }
        if !block.may_speak() {
            return;
        }
        if block.may_be_vcs() {
            if self.pending_vcs.len() < PENDING_VCS_LIMIT {
                self.pending_vcs.push(block);
            }
            return;
        }
        if block.ends_vcs() {
            block = block.behind(std::mem::take(&mut self.pending_vcs));
        }
        let fault_at = block::read(&block, rules).and_then(|reading| self.add(reading));
        if by_itself && self.seen_blocks.len() < SEEN_BLOCKS_LIMIT {
            self.seen_blocks.insert(block.into_lines(), fault_at);
        }
    }

    /// A VCS's words that go said nothing about. With go's indentation in front they were cut out of a message of
    /// go's, unless a program has failed: git is run by many.
    fn read_pending(&mut self, rules: RuleSet<'_>) {
        let pending = std::mem::take(&mut self.pending_vcs);
        if self.found.program {
            return;
        }
        for block in pending {
            if let Some(reading) = block::read_cut_out_vcs(&block, rules) {
                self.add(reading);
            }
        }
    }

    /// Keeps a fault, or counts it; where it stands.
    fn add(&mut self, reading: Reading) -> Option<usize> {
        let Reading {
            mut fault,
            minor,
            wrapper,
            go,
            follows,
        } = reading;
        if fault.module.is_none() {
            fault.module = self.object.0.clone();
            fault.version = self.object.1.clone();
            if let (Some(Mend::Zip { module, .. }), Some(m), Some(v)) =
                (&mut fault.mend, &fault.module, &fault.version)
            {
                *module = Some((m.clone(), v.clone()));
            }
        }
        let key = key(&fault);
        if let Some(&at) = self.known.get(&key) {
            let finding = &mut self.found.faults[at];
            finding.count += 1;
            finding.minor &= minor;
            finding.go |= go;
            return Some(at);
        }
        if self.found.faults.len() >= FAULT_LIMIT {
            return None;
        }
        self.known.insert(key, self.found.faults.len());
        self.found.faults.push(Finding {
            fault,
            count: 1,
            minor,
            command: self.command.clone(),
            wrapper,
            go,
            follows,
        });
        Some(self.found.faults.len() - 1)
    }
}

fn key(fault: &Fault) -> Key {
    (
        fault.rule,
        fault.module.clone(),
        fault.version.clone(),
        fault.url.clone(),
        if fault.rule.is_empty() {
            Some(fault.line.clone())
        } else {
            fault.host.clone()
        },
    )
}

impl Block {
    /// The cheap question before a block is read: could it be go's at all?
    fn may_speak(&self) -> bool {
        self.ends_vcs()
            || self.lines().any(|line| {
                memchr::memchr(b'@', line.as_bytes()).is_some()
                    || memchr::memmem::find(line.as_bytes(), b"http").is_some()
                    || memchr::memmem::find(line.as_bytes(), b"go: ").is_some()
                    || block::is_go_line(line)
                    || matcher::any_word(line)
                    || block::is_vcs_line(line.trim_start())
                    || gotext::wrapped(line).is_some()
            })
    }
}

/// Whether a line belongs to the block above it.
fn continues(block: &Block, text: &str, indented: bool) -> bool {
    if block::is_boilerplate(text) {
        return true;
    }
    if !indented && block.accepts_vcs_line(text) && !block::is_go_line(text) && !block::is_vcs_begin(text) {
        return true;
    }
    // `errors parsing go.mod:` and then, without indentation, the places in it.
    if block.head().trim_end().ends_with(':')
        && block.head().contains("errors parsing")
        && block::is_place(text)
    {
        return true;
    }
    if !indented {
        return false;
    }
    if block::is_go_line(text) && !text.starts_with("go get ") && !text.starts_with("go mod ") {
        return false;
    }
    !(block.is_complete() && block::is_message(text))
}

/// What stands behind a prefix that a line carries; the numbers in it may be others (`[pull:L7:0s] `).
fn behind<'a>(prefix: &str, line: &'a str) -> Option<&'a str> {
    let (prefix, bytes) = (prefix.as_bytes(), line.as_bytes());
    let digits = |of: &[u8]| of.iter().take_while(|b| b.is_ascii_digit()).count();
    let (mut i, mut j) = (0, 0);
    while i < prefix.len() {
        let (number, other) = (digits(&prefix[i..]), digits(&bytes[j..]));
        if number > 0 && other > 0 {
            i += number;
            j += other;
        } else if bytes.get(j) == Some(&prefix[i]) {
            i += 1;
            j += 1;
        } else {
            // The blank at its end is gone where the line is empty behind it.
            let nothing = j == bytes.len() && prefix[i..].iter().all(u8::is_ascii_whitespace);
            return nothing.then_some("");
        }
    }
    line.get(j..)
}

/// Whether what stands in front of a message of go's is only a prefix of the line: not a message itself, nor
/// the indentation of a line that belongs to one.
fn is_prefix(prefix: &str) -> bool {
    let blank = prefix.trim_start().is_empty();
    !prefix.is_empty()
        && prefix.len() <= PREFIX_LIMIT
        && !prefix.starts_with('\t')
        && (!blank || (prefix.len() >= 3 && prefix.bytes().all(|b| b == b' ')))
        && !prefix.contains("://")
        && !prefix.contains("server response")
        && !prefix.contains("not found:")
        && !prefix.ends_with("usage: ")
        && gotext::module_version(prefix).is_none()
}

/// Lines of compilers, tests and programs that failed.
fn is_program_failure(text: &str) -> bool {
    (text.starts_with("# ") && !text.contains(": ") && !text.contains("; ") && !text.starts_with("# get "))
        || text.starts_with("exit status ")
        || text.starts_with("vet: ")
}

/// The command behind a shell's or CI system's echo of it.
fn command_of(text: &str) -> Option<&str> {
    memchr::memmem::find(text.as_bytes(), b"go ")
        .or_else(|| memchr::memmem::find(text.as_bytes(), b"gofix "))?;
    for mark in ["##[group]Run ", "Run ", "+ ", "$ ", "> ", "# "] {
        if let Some(command) = text.strip_prefix(mark) {
            return (is_go_command(command) && !command.contains(": ")).then_some(command);
        }
    }
    // A shell's prompt: `user@host:~$ go …`, `C:\\src>go …`.
    let prompted = [" # go ", "]# go ", "$ go ", ">go ", "> go "]
        .iter()
        .filter_map(|mark| text.find(mark).map(|at| (at, at + mark.len() - 3)))
        .min();
    if let Some((at, start)) = prompted
        && at < 80
        && !text[..at].contains(": ")
    {
        let command = &text[start..];
        return (is_go_command(command) && !command.contains(": ")).then_some(command);
    }
    let at = text.find("RUN ")?;
    let command = text[at + 4..].trim_end_matches(':');
    (text[..at].len() < 40 && is_go_command(command)).then_some(command)
}

fn is_go_command(command: &str) -> bool {
    command
        .split([' ', ';', '&', '|', '('])
        .zip(command.split([' ', ';', '&', '|', '(']).skip(1))
        .any(|(word, next)| {
            (word == "go" || word.ends_with("/go") || word == "gofix")
                && next.starts_with(|c: char| c.is_ascii_lowercase())
        })
}

/// The fields in which loggers and tools put what another program has said.
fn is_message_field(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "error",
        "err",
        "log",
        "msg",
        "message",
        "stderr",
        "stdout",
        "stream",
        "output",
        "text",
        "line",
        "details",
        "reason",
        "content",
        "textpayload",
    ];
    let name = name.trim_start_matches('@');
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The strings of such fields, at any depth.
fn message_strings<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a str>, depth: usize) {
    let serde_json::Value::Object(object) = value else {
        return;
    };
    for (name, value) in object {
        match value {
            // `"stream": "stderr"` says where the words were printed.
            serde_json::Value::String(text)
                if is_message_field(name) && !matches!(text.as_str(), "stderr" | "stdout") =>
            {
                found.push(text);
            }
            serde_json::Value::Object(_) if depth > 0 => message_strings(value, found, depth - 1),
            _ => {}
        }
    }
}

/// `"Name": value` of indented JSON.
fn json_field(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('"')?;
    let (name, value) = rest.split_once("\": ")?;
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"@_".contains(&b));
    (plain && !name.is_empty()).then_some((name, value.trim_end_matches(',')))
}

fn json_string(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_off_the_prefix_that_a_message_showed() {
        for (prefix, line, rest) in [
            ("", "\tx", Some("\tx")),
            ("build:\t", "build:\t\tx", Some("\tx")),
            ("[L7:0s] ", "[L12:3s] \tx", Some("\tx")),
            ("#ERR> ", "#ERR>", Some("")),
            ("#ERR> ", "#OUT> x", None),
            ("a 1 ", "a ", None),
            ("é » ", "é » x", Some("x")),
        ] {
            assert_eq!(behind(prefix, line), rest, "{prefix:?} {line:?}");
        }
    }

    #[test]
    fn a_message_is_no_prefix_of_another() {
        for prefix in ["build-image:\t", "level=error msg=\"", "       ", "Error: "] {
            assert!(is_prefix(prefix), "{prefix:?}");
        }
        for prefix in [
            "",
            "\t",
            "\tserver response: ",
            "\tbuild: ",
            "x server response: not found: ",
            "a.b/c@v1.0.0: ",
            "Get \"https://p.example/x\": ",
        ] {
            assert!(!is_prefix(prefix), "{prefix:?}");
        }
    }
}
