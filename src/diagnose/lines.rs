//! Bytes to lines of text, whatever wrote them down.
//!
//! A stream is cut into lines at LF, CR and CRLF; UTF-16 (PowerShell's `>`) is
//! decoded, known by its byte order mark or by the NULs between its first
//! letters; escape sequences and what CI systems put in front of each line
//! (timestamps, step names, build step numbers) are taken off. A line longer than [`LINE_LIMIT`] keeps its beginning only. How the
//! stream was cut into pieces changes nothing.
//!
//! Known limitations: UTF-16 without a byte order mark that does not begin in
//! ASCII is read as binary, and a prefix that no rule here knows stays (the scanner
//! then takes it from a message of go's behind it).

use crate::text::redact;
use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::gotext;

/// How much of one line is kept, in bytes.
pub(super) const LINE_LIMIT: usize = 16 * 1024;

/// How many bytes the encoding is decided by, where the stream has as many.
const SAMPLE: usize = 16;

/// How the stream is encoded; decided by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// Too few bytes so far.
    Undecided,
    /// UTF-8, or something like it.
    Bytes,
    /// UTF-16, little endian.
    Utf16Le,
    /// UTF-16, big endian.
    Utf16Be,
}

/// Cuts a byte stream into lines, in memory that does not grow with it.
#[derive(Debug)]
pub(super) struct Splitter {
    encoding: Encoding,
    /// Bytes that wait for more: a byte order mark or half a UTF-16 unit.
    pending: Vec<u8>,
    /// A high surrogate that waits for its other half.
    surrogate: Option<u16>,
    line: Vec<u8>,
    /// The last character was CR: an LF right behind it ends no further line.
    after_cr: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            encoding: Encoding::Undecided,
            pending: Vec::new(),
            surrogate: None,
            line: Vec::new(),
            after_cr: false,
        }
    }
}

impl Splitter {
    /// Takes the next bytes; calls `each` with every line that they complete.
    pub(super) fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        match self.encoding {
            Encoding::Bytes => self.feed_bytes(bytes, each),
            Encoding::Utf16Le | Encoding::Utf16Be => self.feed_utf16(bytes, each),
            Encoding::Undecided => {
                let (sample, rest) = bytes.split_at(bytes.len().min(SAMPLE - self.pending.len()));
                self.pending.extend_from_slice(sample);
                if self.pending.len() == SAMPLE {
                    self.decide(each);
                    self.feed(rest, each);
                }
            }
        }
    }

    /// The stream is at its end: calls `each` with the last line, if there is one.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(&[u8])) {
        if self.encoding == Encoding::Undecided {
            self.decide(each);
        }
        if !self.line.is_empty() {
            each(&self.line);
            self.line.clear();
        }
    }

    /// Decides on the encoding by what is pending, and reads that.
    fn decide(&mut self, each: &mut dyn FnMut(&[u8])) {
        let start = std::mem::take(&mut self.pending);
        match start.as_slice() {
            [0xff, 0xfe, rest @ ..] => {
                self.encoding = Encoding::Utf16Le;
                self.feed_utf16(rest, each);
            }
            [0xfe, 0xff, rest @ ..] => {
                self.encoding = Encoding::Utf16Be;
                self.feed_utf16(rest, each);
            }
            other => {
                self.encoding = without_mark(other);
                self.feed(other, each);
            }
        }
    }

    fn feed_bytes(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.keep(bytes);
                return;
            };
            if self.line.is_empty() {
                each(&bytes[..end.min(LINE_LIMIT)]);
            } else {
                self.keep(&bytes[..end]);
                each(&self.line);
                self.line.clear();
            }
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
        }
    }

    fn feed_utf16(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        let unit = match self.encoding {
            Encoding::Utf16Be => u16::from_be_bytes,
            _ => u16::from_le_bytes,
        };
        let mut bytes = bytes;
        let mut utf8 = String::with_capacity(bytes.len());
        if let ([first], [second, rest @ ..]) = (self.pending.as_slice(), bytes) {
            let whole = unit([*first, *second]);
            self.pending.clear();
            self.push_unit(whole, &mut utf8);
            bytes = rest;
        }
        let pairs = bytes.chunks_exact(2);
        self.pending.extend_from_slice(pairs.remainder());
        for pair in pairs {
            self.push_unit(unit([pair[0], pair[1]]), &mut utf8);
        }
        self.feed_bytes(utf8.as_bytes(), each);
    }

    /// Adds a unit's character to the text; the first half of a pair waits for the other.
    fn push_unit(&mut self, unit: u16, utf8: &mut String) {
        let high = self.surrogate.take();
        if (0xd800..0xdc00).contains(&unit) {
            if high.is_some() {
                utf8.push(char::REPLACEMENT_CHARACTER);
            }
            self.surrogate = Some(unit);
            return;
        }
        for c in char::decode_utf16(high.into_iter().chain([unit])) {
            utf8.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_LIMIT.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// UTF-16 without a byte order mark, by the NULs beside its letters: every whole unit of the
/// sample is ASCII.
fn without_mark(sample: &[u8]) -> Encoding {
    let units = sample.chunks_exact(2);
    let letter = |b: u8| b.is_ascii_graphic() || b.is_ascii_whitespace() || b == 0x1b;
    let all = |text: usize, nul: usize| units.clone().all(|u| u[nul] == 0 && letter(u[text]));
    match sample.len() {
        0..4 => Encoding::Bytes,
        _ if all(0, 1) => Encoding::Utf16Le,
        _ if all(1, 0) => Encoding::Utf16Be,
        _ => Encoding::Bytes,
    }
}

/// One line without escape sequences, without what a CI system put in front, and without credentials: nothing that is
/// read out of it holds any.
#[must_use]
pub(super) fn clean(line: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(line);
    let dirty = memchr::memchr3(0x1b, 0x08, 0, line).is_some()
        || memchr::memmem::find(line, "\u{feff}".as_bytes()).is_some();
    if dirty {
        let plain = without_escapes(&text);
        return Cow::Owned(redact(bare(&plain)).into_owned());
    }
    match text {
        Cow::Borrowed(text) => redact(bare(text)),
        Cow::Owned(text) => Cow::Owned(redact(bare(&text)).into_owned()),
    }
}

/// A line without its prefixes, the blanks at its end, and the end of a colour whose ESC was lost on the way.
fn bare(line: &str) -> &str {
    let text = strip_prefixes(line).trim_end();
    text.strip_suffix("[0m").unwrap_or(text)
}

/// What a line says where a tool has put the words of another into quotes: `msg="go: …: Get \"URL\": …\n\tfatal: …"`.
/// `None` where no such string stands in it.
#[must_use]
pub(super) fn unquoted(line: &str) -> Option<String> {
    memchr::memchr(b'\\', line.as_bytes())?;
    let bytes = line.as_bytes();
    let mut plain = String::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(open) = memchr::memchr(b'"', &bytes[at..]).map(|found| at + found) {
        let Some((string, end)) = opened(&line[open + 1..]) else {
            break;
        };
        let end = open + 1 + end;
        if let Some(string) = string
            && introduces_string(&line[..open])
            && !is_drive(&line[open + 1..])
        {
            plain.push_str(&line[kept..open]);
            plain.push_str(&string);
            plain.push('\n');
            kept = end;
        }
        at = end;
    }
    (kept > 0).then(|| {
        plain.push_str(&line[kept..]);
        plain
    })
}

/// The string up to its closing quote or the end of the line, where anything in it is escaped, and where it ends.
fn opened(text: &str) -> Option<(Option<String>, usize)> {
    let mut string = String::new();
    let mut escaped = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((escaped.then_some(string), at + 1)),
            '\\' => match chars.next() {
                Some((_, c @ ('n' | 't' | 'r' | '"'))) => {
                    escaped = true;
                    string.push(match c {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        other => other,
                    });
                }
                Some((_, '\\')) => string.push('\\'),
                Some((_, other)) => string.extend(['\\', other]),
                None => break,
            },
            other => string.push(other),
        }
    }
    Some((escaped.then_some(string), text.len()))
}

/// `key="`, `key: "`, `=>"`, `["`: a string of a log's follows, and no name in a sentence.
fn introduces_string(before: &str) -> bool {
    let bare = before.trim_end_matches(' ');
    bare.is_empty() || bare.ends_with(['=', ':', '>', '[', '(', '{', ','])
}

/// A line with the line ends of a message written out: `…: exit status 128:\n\tfatal: …\n`. `None` where it has none.
/// In a path (`C:\new`) a backslash ends nothing.
#[must_use]
pub(super) fn unfolded(line: &str) -> Option<String> {
    memchr::memchr(b'\\', line.as_bytes())?;
    // Python quotes a string that holds `"` with `'`.
    let sure = line.contains(r"\n\t") || line.ends_with(r"\n'");
    let likely = line.contains(r":\n") || line.ends_with(r"\n");
    let folded = sure || likely && !line.contains('"');
    (folded && !line.contains(r":\\")).then(|| line.replace(r"\n", "\n").replace(r"\t", "\t"))
}

/// What a web server or a module proxy writes down about a request: `[ERROR 500 /M/@v/V.zip] …`,
/// `"GET /M/@v/list HTTP/1.1" 500`. It is not go's.
#[must_use]
pub(super) fn is_server_log(line: &str) -> bool {
    static LOG: LazyLock<Option<Regex>> = LazyLock::new(|| {
        gotext::regex(r#"(?:(?-u:\b)(?:GET|HEAD)|\[[A-Z]+ [0-9]{3}) ?"?/[^ "]*(?:/@v/|/@latest)"#)
    });
    // The cheap question first: this is asked of every line.
    memchr::memmem::find(line.as_bytes(), b"/@").is_some()
        && LOG.as_ref().is_some_and(|log| log.is_match(line))
}

/// `C:\new`: a path, in which a backslash escapes nothing.
fn is_drive(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes, [drive, b':', b'\\', next, ..] if drive.is_ascii_alphabetic() && *next != b'\\')
}

/// Takes off ANSI escape sequences (CSI, OSC, APC and the short ones), NUL,
/// backspaces and byte order marks.
fn without_escapes(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{8}' | '\u{feff}' | '\0' => {}
            _ => kept.push(c),
        }
    }
    kept
}

fn skip_escape(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => {
            for c in chars.by_ref() {
                if ('\u{40}'..='\u{7e}').contains(&c) {
                    return;
                }
            }
        }
        // OSC, DCS, APC, PM: up to BEL or ESC \.
        Some(']' | 'P' | '_' | '^') => {
            let mut escaped = false;
            for c in chars.by_ref() {
                if c == '\u{7}' || (escaped && c == '\\') {
                    return;
                }
                escaped = c == '\u{1b}';
            }
        }
        Some('(' | ')' | '#') => {
            chars.next();
        }
        _ => {}
    }
}

/// Takes off what stands in front of the tool's own line, as often as one of
/// the known shapes stands there.
#[must_use]
pub(super) fn strip_prefixes(line: &str) -> &str {
    let Some(prefix) = PREFIX.as_ref() else {
        return line;
    };
    let mut rest = line;
    for _ in 0..8 {
        match prefix.find(rest) {
            Some(found) => rest = &rest[found.end()..],
            None => break,
        }
    }
    rest
}

/// What CI systems and other tools put in front of a line. The blank behind a prefix goes with it; what follows is
/// indentation of the line's own.
static PREFIX: LazyLock<Option<Regex>> = LazyLock::new(|| {
    const CLOCK: &str = "[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?";
    const DATE: &str = "[0-9]{4}(?:-[0-9]{2}-|/[0-9]{2}/)[0-9]{2}";
    let time = format!("{DATE}[T _]{CLOCK}(?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})?");
    let shapes = [
        // `job<TAB>step<TAB>2026-…Z text`, as `gh run view --log` prints it.
        &format!(r"[^\t]+\t[^\t]+\t\x{{feff}}?{time} ?"),
        // A date and time, or a time, bare or in brackets.
        &format!(r"(?:\[(?:{time}|{CLOCK})\]|{time}|{CLOCK}) ?"),
        // BuildKit: `#12 3.456 text`, `build #15 4.619 text`, and its last words `4.619 text`.
        r"(?:build )?#[0-9]+ (?:[0-9]+\.[0-9]{1,4} )?|[0-9]+\.[0-9]{1,4} ",
        // GitLab and Kubernetes name the stream behind the time: `00O text`, `01E+text`, `stderr F text`.
        "[0-9A-Fa-f]{2}[OE][ +]|std(?:out|err) [FP] ",
        // The Open Build Service: `[   34s] text`, `[  12.345] text`.
        r"\[ *[0-9][0-9.]*s?\] ?",
        // `[INFO] text`, `[builder 4/7] text`, `[Step 1/2] text`, `[error]text`.
        r"\[[A-Za-z][A-Za-z0-9 _/.:-]{0,39}\] ?",
        // Frames that tools draw around quoted output: `│ text`, `| text`.
        " *[│|┃║] ?",
        // Heroku and docker compose: `remote:        text`, `service-1  | text`.
        r"remote:     +|[A-Za-z0-9_.-]{1,64} +\| ",
        // Cloud Build: `Step #0: text`, `Step #1 - "build": text`, `stdout: text`.
        r#"std(?:out|err): |Step #[0-9]+(?: - "[^"]*")?: "#,
        // A colour whose ESC was lost on the way: `[36;1mtext`.
        r"\[[0-9;]{0,12}[mK]",
        // Commands of GitHub and Azure: `##[error]text`, `::error file=…::text`.
        r"##\[(?:error|warning|debug)\]|::(?:error|warning|notice)(?:[^:]|:[^:])*::",
    ];
    gotext::regex(&format!("^(?:{})", shapes.join("|")))
});

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(pieces: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        let mut each = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
        for piece in pieces {
            splitter.feed(piece, &mut each);
        }
        splitter.finish(&mut each);
        lines
    }

    #[test]
    fn ends_lines_at_lf_cr_and_crlf() {
        assert_eq!(lines_of(&[b"a\nb\r\nc\rd"]), ["a", "b", "c", "d"]);
        assert_eq!(lines_of(&[b"a\r", b"\nb\n", b"\n"]), ["a", "b", ""]);
        assert_eq!(lines_of(&[b""]), Vec::<String>::new());
        assert_eq!(lines_of(&[b"ab"]), ["ab"]);
    }

    #[test]
    fn decodes_utf16_with_a_byte_order_mark() {
        let text = "go: é 𝄞\r\nsecond";
        let mut le = vec![0xff, 0xfe];
        let mut be = vec![0xfe, 0xff];
        for unit in text.encode_utf16() {
            le.extend(unit.to_le_bytes());
            be.extend(unit.to_be_bytes());
        }
        for bytes in [le, be] {
            assert_eq!(lines_of(&[&bytes]), ["go: é 𝄞", "second"]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(lines_of(&single), ["go: é 𝄞", "second"]);
        }
    }

    #[test]
    fn knows_utf16_without_a_mark_by_its_nuls() {
        let text = "go: é 𝄞\nsecond and some more of it\n";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        // The sample is the beginning, and has to be ASCII: the é of a longer one stands behind it.
        let ascii = "go: downloading é\nsecond\n";
        let plain: Vec<u8> = ascii.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [plain.as_slice(), &plain[..plain.len() - 1]] {
            for size in [1, 3, 64] {
                let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
                assert_eq!(lines_of(&pieces), ["go: downloading é", "second"]);
            }
        }
        for bytes in [le, be] {
            assert_ne!(
                lines_of(&[&bytes])[0],
                "go: é 𝄞",
                "a letter in the sample is no ASCII"
            );
        }
        let be: Vec<u8> = ascii.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(lines_of(&[&be]), ["go: downloading é", "second"]);
        let short: Vec<u8> = "go\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(lines_of(&[&short]), ["go"]);
        // NULs alone are no text.
        assert_eq!(lines_of(&[&[0; 40]]), [String::from_utf8(vec![0; 40]).unwrap()]);
        assert_eq!(lines_of(&[b"a\0"]), ["a\0"]);
    }

    #[test]
    fn keeps_the_beginning_of_an_endless_line() {
        let long = vec![b'x'; 3 * LINE_LIMIT];
        let lines = lines_of(&[&long, b"\nshort"]);
        assert_eq!(lines[0].len(), LINE_LIMIT);
        assert_eq!(lines[1], "short");
        let whole = [long.as_slice(), b"\n"].concat();
        assert_eq!(lines_of(&[&whole])[0].len(), LINE_LIMIT);
    }

    #[test]
    fn takes_off_what_ci_systems_put_in_front() {
        for (line, bare) in [
            ("2026-09-01T12:00:00.1234567Z go: x", "go: x"),
            (
                "build\tRun go mod download\t2026-09-01T12:00:00.1234567Z go: x",
                "go: x",
            ),
            ("[2020-06-15T01:17:55.889Z] go: x", "go: x"),
            ("2026-09-01T12:00:00.123456Z 00O go: x", "go: x"),
            (
                "2026-09-01T12:00:00.123456Z 01E+\tserver response:",
                "\tserver response:",
            ),
            ("#12 3.456 go: x", "go: x"),
            (
                "build #15 4.619     google.golang.org/grpc@v1.47.0: x",
                "    google.golang.org/grpc@v1.47.0: x",
            ),
            ("4.619 go: x", "go: x"),
            ("    │ \tserver response: x", "\tserver response: x"),
            ("web-1  | go: x", "go: x"),
            ("\u{1b}[31;1mgo: x\u{1b}[0m", "go: x"),
            ("\u{1b}]0;title\u{7}go: x", "go: x"),
            ("\u{1b}_bk;t=1693\u{7}go: x", "go: x"),
            ("##[error]go: x", "go: x"),
            ("::error file=a.go,line=1::go: x", "go: x"),
            ("2026/09/01 12:00:00 go: x", "go: x"),
            ("12:00:00 go: x", "go: x"),
            ("remote:        go: x", "go: x"),
            ("Step #0: \tgo.sum: h1", "\tgo.sum: h1"),
            ("Step #1 - \"build\": go: x", "go: x"),
            ("[   34s] go: x", "go: x"),
            ("[   34s] \tfatal: x", "\tfatal: x"),
            ("[  12.345] go: x", "go: x"),
            // A zone that is none, in several bytes.
            ("2026-09-01T12:00:00+00:€ x", "+00:€ x"),
            ("2026-11-30T12:00:00.123456789Z stderr F \tfatal: x", "\tfatal: x"),
            ("[]go: x", "[]go: x"),
            ("go: x  ", "go: x"),
            ("\tm: y", "\tm: y"),
        ] {
            assert_eq!(clean(line.as_bytes()), bare, "{line:?}");
        }
    }

    #[test]
    fn opens_the_strings_of_a_log_and_nothing_else() {
        for (line, plain) in [
            (
                r#"level=error msg="err: go: a.b/c@v1: Get \"https://p/x\": EOF\n\tx" func=main"#,
                Some("level=error msg=err: go: a.b/c@v1: Get \"https://p/x\": EOF\n\tx\n func=main"),
            ),
            (r#"{:message=>"go: a\nb"}"#, Some("{:message=>go: a\nb\n}")),
            (r#"msg="cut off \"here"#, Some("msg=cut off \"here\n")),
            (r#"a="plain" b="x\ty""#, Some("a=\"plain\" b=x\ty\n")),
            // Nothing in these is escaped, or they are no strings of a log.
            (r#"msg="plain""#, None),
            (r#"go: exec: "C:\new\tools\git.exe": file does not exist"#, None),
            (r#"malformed HTTP response "\x00\x00\n""#, None),
            (r"C:\new", None),
            ("\\", None),
        ] {
            assert_eq!(unquoted(line).as_deref(), plain, "{line}");
        }
    }
}
