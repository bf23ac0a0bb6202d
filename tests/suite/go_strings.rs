//! Every string that go 1.21 to 1.27 can print about modules, in the frame in which it prints it.
//!
//! fixtures/go-strings.jsonl is generated (scripts/go-strings); the class of each string was read from go's source:
//!
//! - `answer`: stop; `retry`, `switch`, `fault` (either of the two): not an answer; `disk`: the module cache decides;
//! - `warning`, `hint`, `progress`: neither fault nor answer; `trace`: nothing beside a fault;
//! - `wrapper`: what stands inside of it decides;
//! - `hidden`: go has thrown the cause away;
//! - `part`: stands only inside of others; `apart`: nobody who fetches modules is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use gofix::diagnose::{Verdict, explain};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct GoString {
    text: String,
    #[serde(default)]
    verbs: Vec<String>,
    class: String,
    frame: Option<String>,
    #[serde(default)]
    with: Vec<String>,
}

fn strings() -> Vec<GoString> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/go-strings.jsonl");
    let text = fs::read_to_string(path).unwrap();
    let strings: Vec<GoString> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert!(strings.len() > 1500, "the strings are there");
    strings
}

/// What go prints around a string, by name. A frame that is none of these is written out.
const FRAMES: &[(&str, &str)] = &[
    ("line", "{}"),
    ("go", "go: {}"),
    ("module", "go: example.com/m@v1.2.3: {}"),
    ("version", "go: example.com/m@v1.2.3: invalid version: {}"),
    (
        "verify",
        "go: example.com/m@v1.2.3: verifying module: example.com/m@v1.2.3: {}",
    ),
    (
        "unzip",
        "go: unzip /root/go/pkg/mod/cache/download/example.com/m/@v/v1.2.3.zip: {}",
    ),
    ("zip", "go: example.com/m@v1.2.3: create zip: {}"),
    ("mod", "go: errors parsing go.mod:\n/src/app/go.mod:5:2: {}"),
    ("import", "main.go:3:2: {}"),
    (
        "vendor",
        "go: inconsistent vendoring in /src/app:\n\texample.com/m@v1.2.3: {}",
    ),
    (
        "discover",
        "go: example.com/m@v1.2.3: unrecognized import path \"example.com/m\": {}",
    ),
    (
        "page",
        "go: example.com/m@v1.2.3: unrecognized import path \"example.com/m\": parse https://example.com/m?go-get=1: {}",
    ),
    (
        "xml",
        "go: example.com/m@v1.2.3: unrecognized import path \"example.com/m\": parse https://example.com/m?go-get=1: XML syntax error on line 4: {}",
    ),
    (
        "response",
        "go: example.com/m@v1.2.3: invalid response from proxy \"https://proxy.example.com/example.com/m/@v/v1.2.3.info\": {}",
    ),
    (
        "json",
        "go: example.com/m@v1.2.3: invalid response from proxy \"https://proxy.example.com/example.com/m/@v/v1.2.3.info\": invalid character 'x' {}",
    ),
    (
        "parse",
        "go: example.com/m@v1.2.3: parse \"https://proxy.example.com\": {}",
    ),
    (
        "get",
        "go: example.com/m@v1.2.3: Get \"https://proxy.example.com/example.com/m/@v/v1.2.3.info\": {}",
    ),
    (
        "tls",
        "go: example.com/m@v1.2.3: Get \"https://proxy.example.com/example.com/m/@v/v1.2.3.info\": tls: {}",
    ),
    (
        "alert",
        "go: example.com/m@v1.2.3: Get \"https://proxy.example.com/example.com/m/@v/v1.2.3.info\": remote error: tls: {}",
    ),
    (
        "cert",
        "go: example.com/m@v1.2.3: Get \"https://proxy.example.com/example.com/m/@v/v1.2.3.info\": tls: failed to verify certificate: {}",
    ),
    (
        "stream",
        "go: example.com/m@v1.2.3: Get \"https://proxy.example.com/example.com/m/@v/v1.2.3.info\": stream error: stream ID 7; {}; received from peer",
    ),
    (
        "lookup",
        "go: example.com/m@v1.2.3: Get \"https://proxy.example.com/example.com/m/@v/v1.2.3.info\": dial tcp: lookup proxy.example.com on 192.0.2.53:53: {}",
    ),
    (
        "dial",
        "go: example.com/m@v1.2.3: Get \"https://proxy.example.com/example.com/m/@v/v1.2.3.info\": dial tcp 192.0.2.1:443: {}",
    ),
    (
        "transfer",
        "go: example.com/m@v1.2.3: Get \"https://proxy.example.com/example.com/m/@v/v1.2.3.info\": read tcp 192.0.2.7:50000->192.0.2.1:443: {}",
    ),
    (
        "socks",
        "go: example.com/m@v1.2.3: Get \"https://proxy.example.com/example.com/m/@v/v1.2.3.info\": socks connect tcp 192.0.2.9:1080->proxy.example.com:443: {}",
    ),
];

const RESET: &str = "Get \"https://proxy.example.com/example.com/m/@v/v1.2.3.info\": read tcp 192.0.2.7:50000->192.0.2.1:443: read: connection reset by peer";
const GONE: &str = "reading https://proxy.example.com/example.com/m/@v/v1.2.3.info: 404 Not Found\n\tserver response: not found: example.com/m@v1.2.3: no such version";
const ELSEWHERE: &str = "go: example.com/other@v1.0.0: reading https://proxy.example.com/example.com/other/@v/v1.0.0.zip: 502 Bad Gateway";

impl GoString {
    /// The string as go prints it, with this in place of an error.
    fn printed(&self, error: &str) -> String {
        let frame = self.frame.as_deref().unwrap_or("line");
        let frame = FRAMES
            .iter()
            .find(|(name, _)| *name == frame)
            .map_or(frame, |(_, frame)| frame);
        assert!(frame.contains("{}"), "no such frame: {frame}");
        format!("{}\n", frame.replacen("{}", self.filled(error).trim_end(), 1))
    }

    fn filled(&self, error: &str) -> String {
        let mut out = String::new();
        let mut count = 0;
        let mut rest = self.text.as_str();
        while let Some((before, behind)) = rest.split_once('%') {
            out.push_str(before);
            let end = behind
                .bytes()
                .take_while(|b| b"+-# .*[]0123456789".contains(b))
                .count();
            let (flags, verb) = (
                &behind[..end],
                behind.as_bytes().get(end).copied().unwrap_or(b'%'),
            );
            if !b"vswqdxXfTU".contains(&verb) {
                // `%%`, or no verb at all: `%PATH%`.
                out.push('%');
                rest = behind.strip_prefix('%').unwrap_or(behind);
                continue;
            }
            rest = &behind[end + 1..];
            let value = self.value(count, verb, error);
            count += 1;
            match verb {
                b'q' if flags.contains('#') => write!(out, "`{value}`").unwrap(),
                b'q' => write!(out, "\"{value}\"").unwrap(),
                _ => out.push_str(&value),
            }
        }
        out + rest
    }

    fn value(&self, at: usize, verb: u8, error: &str) -> String {
        if let Some(given) = self.with.get(at) {
            return given.replace("ERR", error);
        }
        let kind = self.verbs.get(at).map_or("", String::as_str);
        let value = match (verb, kind) {
            (b'd' | b'f', _) => "7",
            (b'x' | b'X', _) => "1f",
            (b'T', _) => "*tls.certificateMsg",
            (b'U', _) => "U+003C",
            (_, "err") => error,
            (_, "url") => "https://proxy.example.com/example.com/m/@v/list",
            (_, "file") => "/src/app/go.mod",
            (_, "dir") => "/src/app",
            (_, "version") => "v1.2.3",
            (_, "path") => "example.com/m",
            _ => "word",
        };
        value.to_owned()
    }
}

/// What is wrong with how a string is read.
fn wrong(string: &GoString) -> Option<String> {
    let verdict = |text: &str| explain(text.as_bytes()).diagnosis.verdict;
    let text = string.printed("some reason");
    let expect = |text: &str, fits: &dyn Fn(Verdict) -> bool| {
        let got = verdict(text);
        (!fits(got)).then(|| format!("{got}: {text}"))
    };
    match string.class.as_str() {
        "answer" => expect(&text, &|v| v == Verdict::Final),
        "retry" => expect(&text, &|v| v == Verdict::Retry),
        "switch" => expect(&text, &|v| v == Verdict::Switch),
        "fault" => expect(&text, &|v| matches!(v, Verdict::Retry | Verdict::Switch)),
        "disk" => expect(&text, &|v| v == Verdict::Repair),
        "hidden" => expect(&text, &|v| v != Verdict::Unknown),
        "wrapper" => expect(&string.printed(RESET), &|v| v == Verdict::Retry)
            .or_else(|| expect(&string.printed(GONE), &|v| v == Verdict::Final)),
        "warning" | "hint" | "progress" | "trace" => {
            let alone = explain(text.as_bytes()).diagnosis.faults;
            let beside = explain(format!("{text}{ELSEWHERE}\n").as_bytes()).diagnosis;
            let behind = explain(format!("{ELSEWHERE}\n{text}").as_bytes()).diagnosis;
            let fault = |d: &gofix::diagnose::Diagnosis| d.verdict == Verdict::Retry && d.faults.len() == 1;
            if !alone.is_empty() && string.class != "trace" {
                Some(format!("a {}: {text}", alone[0].rule))
            } else if !fault(&beside) || !fault(&behind) {
                Some(format!("counts beside a fault: {text}"))
            } else {
                None
            }
        }
        "part" | "apart" => None,
        class => Some(format!("no class: {class}: {text}")),
    }
}

#[test]
fn every_string_of_go_is_read_as_what_it_is() {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut all = String::new();
    for string in strings() {
        let count = counts.entry(string.class.clone()).or_default();
        count.0 += 1;
        if let Some(wrong) = wrong(&string) {
            count.1 += 1;
            writeln!(all, "{} is {wrong}", string.class).unwrap();
        }
    }
    assert!(all.is_empty(), "{all}{counts:?}");
}

/// The rules that decide one of the strings.
pub(crate) fn deciding_rules() -> impl Iterator<Item = String> {
    strings().into_iter().flat_map(|string| {
        let faults = explain(string.printed("some reason").as_bytes()).diagnosis.faults;
        faults.into_iter().map(|fault| fault.rule.to_owned())
    })
}

#[test]
fn a_log_in_which_a_string_stands_alone_changes_nothing() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/logs/prefixes.txt");
    let prefixes = fs::read_to_string(path).unwrap();
    let mut wrong = String::new();
    let told = strings()
        .into_iter()
        .filter(|string| !matches!(string.class.as_str(), "part" | "apart"));
    for (string, prefix) in told.zip(prefixes.lines().cycle()) {
        let text = string.printed(RESET);
        let json = serde_json::to_string(&text).unwrap();
        let log: String = if prefix.contains("\"{}") {
            format!("{}\n", prefix.replace("{}", json.trim_matches('"')))
        } else {
            text.lines()
                .map(|line| format!("{}\n", prefix.replace("{}", line)))
                .collect()
        };
        let (plain, dressed) = (explain(text.as_bytes()), explain(log.as_bytes()));
        let (plain, dressed) = (plain.diagnosis.verdict, dressed.diagnosis.verdict);
        // Where nothing shows that go speaks, it is not recognised.
        let hidden = dressed == Verdict::Unknown && !text.starts_with("go: ");
        if plain != dressed && !hidden {
            writeln!(wrong, "{plain} -> {dressed}: {log}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
