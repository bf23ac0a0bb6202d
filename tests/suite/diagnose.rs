//! Diagnosis against the fixtures: texts with what they mean, logs of CI systems, and output that is no fault.
//!
//! docs/diagnosis.md is made from the same data; `UPDATE_DOCS=1 cargo test --test suite diagnose::` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gofix::diagnose::rules::{Part, Pattern, RULES, Rule, Shape};
use gofix::diagnose::{Diagnosis, Fault, Input, RuleSet, Scanner, Verdict, diagnose, diagnose_with, explain};
use proptest::prelude::*;
use serde::Deserialize;

/// One text and what it means.
#[derive(Debug, Clone, Deserialize)]
struct Fixture {
    name: String,
    source: String,
    text: String,
    stdout: Option<String>,
    verdict: String,
    rule: String,
    kind: String,
    module: Option<String>,
    version: Option<String>,
    host: Option<String>,
    url: Option<String>,
    #[serde(default)]
    nobody: bool,
}

impl Fixture {
    fn input(&self) -> Input<'_> {
        Input {
            stderr: self.text.as_bytes(),
            stdout_json: self.stdout.as_deref().map(str::as_bytes),
        }
    }

    /// Whether go printed it somewhere, as against a text put together from what a program's source says.
    fn is_real(&self) -> bool {
        !self.source.starts_with("written from")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The fixtures, by family.
fn families() -> BTreeMap<String, Vec<Fixture>> {
    let folder = root().join("fixtures/stderr");
    let mut families = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let family = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let fixtures: Vec<Fixture> = text
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {e}: {line}", path.display()))
            })
            .collect();
        families.insert(family, fixtures);
    }
    assert!(families.len() > 10, "the fixtures are there");
    families
}

fn fixtures() -> Vec<Fixture> {
    families().into_values().flatten().collect()
}

/// The fault that the verdict comes from.
fn deciding(diagnosis: &Diagnosis) -> Option<&Fault> {
    diagnosis
        .faults
        .iter()
        .find(|fault| fault.verdict == diagnosis.verdict)
}

#[test]
fn every_fixture_is_read_as_it_says() {
    let mut wrong = String::new();
    for fixture in fixtures() {
        let diagnosis = diagnose(&fixture.input());
        let fault = deciding(&diagnosis);
        let got = fault.map(|f| {
            (
                diagnosis.verdict.as_str().to_owned(),
                f.rule.to_owned(),
                f.kind.as_str().to_owned(),
                f.module.clone(),
                f.version.clone(),
                f.host.clone(),
                f.url.clone(),
                f.nobody,
            )
        });
        let wanted = Some((
            fixture.verdict.clone(),
            fixture.rule.clone(),
            fixture.kind.clone(),
            fixture.module.clone(),
            fixture.version.clone(),
            fixture.host.clone(),
            fixture.url.clone(),
            fixture.nobody,
        ));
        if got != wanted {
            writeln!(
                wrong,
                "{} ({})\n  want {wanted:?}\n  got  {got:?}",
                fixture.name, fixture.source
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What somebody has brought, with the verdicts that are right and the words that the advice must and must not hold.
#[derive(Debug, Deserialize)]
struct Report {
    name: String,
    source: String,
    text: String,
    verdict: String,
    /// Other verdicts that do no harm.
    #[serde(default)]
    accept: Vec<String>,
    kind: Option<String>,
    module: Option<String>,
    version: Option<String>,
    host: Option<String>,
    #[serde(default)]
    advice: Vec<String>,
    #[serde(default)]
    advice_not: Vec<String>,
}

impl Report {
    /// Everything that is wrong with what is made of it.
    fn complaints(&self, diagnosis: &Diagnosis) -> Vec<String> {
        let mut wrong = Vec::new();
        let verdict = diagnosis.verdict.as_str();
        if verdict != self.verdict && !self.accept.iter().any(|other| other == verdict) {
            wrong.push(format!("verdict {verdict}, not {}", self.verdict));
        }
        let fault = deciding(diagnosis);
        let fields: [(&str, Option<&str>, Option<&str>); 4] = [
            ("kind", self.kind.as_deref(), fault.map(|f| f.kind.as_str())),
            (
                "module",
                self.module.as_deref(),
                fault.and_then(|f| f.module.as_deref()),
            ),
            (
                "version",
                self.version.as_deref(),
                fault.and_then(|f| f.version.as_deref()),
            ),
            (
                "host",
                self.host.as_deref(),
                fault.and_then(|f| f.host.as_deref()),
            ),
        ];
        for (name, wanted, got) in fields {
            if wanted.is_some() && wanted != got {
                wrong.push(format!("{name} {got:?}, not {wanted:?}"));
            }
        }
        let advice = diagnosis.advice.to_lowercase();
        let holds = |word: &String| advice.contains(&word.to_lowercase());
        wrong.extend(
            self.advice
                .iter()
                .filter(|word| !holds(word))
                .map(|word| format!("no {word:?} in: {advice}")),
        );
        wrong.extend(
            self.advice_not
                .iter()
                .filter(|word| holds(word))
                .map(|word| format!("{word:?} in: {advice}")),
        );
        wrong
    }
}

fn reports(file: &str) -> Vec<Report> {
    let text = fs::read_to_string(root().join("fixtures/reports").join(file)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_report_is_read_as_it_should_have_been() {
    let mut wrong = String::new();
    let mut exact = 0;
    let reports: Vec<Report> = ["reported.jsonl", "invented.jsonl", "unseen.jsonl"]
        .into_iter()
        .flat_map(reports)
        .collect();
    for report in &reports {
        let diagnosis = explain(report.text.as_bytes()).diagnosis;
        exact += usize::from(diagnosis.verdict.as_str() == report.verdict);
        for complaint in report.complaints(&diagnosis) {
            writeln!(wrong, "{} ({}): {complaint}", report.name, report.source).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(100 * exact >= 95 * reports.len(), "{exact} of {}", reports.len());
}

/// Advice about credentials is no help with a server that asks nobody for them.
#[test]
fn every_proxy_of_the_presets_is_known_as_public() {
    for mirror in gofix::policy::presets::MIRRORS {
        assert!(
            gofix::diagnose::gotext::is_public(mirror.proxy.host),
            "{}",
            mirror.proxy.host
        );
    }
}

#[test]
fn every_rule_decides_a_fixture() {
    let hit: BTreeSet<String> = fixtures()
        .into_iter()
        .map(|f| f.rule)
        .chain(crate::go_strings::deciding_rules())
        .collect();
    let idle: Vec<_> = RULES
        .iter()
        .map(|r| r.id)
        .filter(|id| !hit.contains(*id))
        .collect();
    assert!(
        idle.is_empty(),
        "no fixture and no string of go's is decided by {idle:?}"
    );
}

#[test]
fn advice_is_one_paragraph_and_never_empty() {
    for fixture in fixtures() {
        let diagnosis = diagnose(&fixture.input());
        assert!(!diagnosis.advice.is_empty(), "{}", fixture.name);
        assert!(!diagnosis.advice.contains('\n'), "{}", fixture.name);
    }
}

/// What a CI system or shell does to a line, given its number.
type Prefix = fn(usize, &str) -> String;

const CI_PREFIXES: &[(&str, Prefix)] = &[
    ("GitHub", |i, line| {
        format!("2026-09-01T12:00:{:02}.1234567Z {line}\n", i % 60)
    }),
    ("gh run view", |_, line| {
        format!("build\tRun go mod tidy\t2026-09-01T12:00:00.1234567Z {line}\n")
    }),
    ("GitLab", |_, line| {
        format!("2026-09-01T12:00:00.123456Z 01E {line}\n")
    }),
    ("Jenkins", |_, line| {
        format!("[2026-09-01T12:00:00.123Z] {line}\n")
    }),
    ("BuildKit", |i, line| format!("#12 {}.123 {line}\n", i)),
    ("CRLF", |_, line| format!("{line}\r\n")),
    ("colours", |_, line| format!("\u{1b}[31m{line}\u{1b}[0m\n")),
    ("compose", |_, line| format!("build-1  | {line}\n")),
    ("Cloud Build", |_, line| format!("Step #1 - \"build\": {line}\n")),
    ("Open Build Service", |i, line| format!("[{i:5}s] {line}\n")),
    ("old clock", |_, line| format!("2026/09/01 12:00:00 {line}\n")),
];

#[test]
fn what_a_ci_system_puts_in_front_changes_nothing() {
    let mut wrong = String::new();
    for fixture in fixtures() {
        let plain = explain(fixture.text.as_bytes());
        for (prefix, line) in CI_PREFIXES {
            let log: String = fixture
                .text
                .lines()
                .enumerate()
                .map(|(i, l)| line(i, l))
                .collect();
            let prefixed = explain(log.as_bytes());
            let rules = |e: &gofix::diagnose::Explanation| -> Vec<_> {
                e.diagnosis
                    .faults
                    .iter()
                    .map(|f| (f.rule, f.module.clone()))
                    .collect()
            };
            if plain.diagnosis.verdict != prefixed.diagnosis.verdict || rules(&plain) != rules(&prefixed) {
                writeln!(
                    wrong,
                    "{prefix}: {}: {:?} -> {:?}",
                    fixture.name,
                    rules(&plain),
                    rules(&prefixed)
                )
                .unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Prefixes that no rule knows.
const UNKNOWN_PREFIXES: &[(&str, Prefix)] = &[
    ("a job's name", |_, line| format!("build-image:\t{line}\n")),
    ("a stream's name", |_, line| format!("#STDERR> {line}\n")),
    ("a quotation", |_, line| format!("> {line}\n")),
    ("a buildpack", |_, line| format!("       {line}\n")),
    ("a tool of tomorrow", |i, line| {
        format!("job 7/9 · {i} » {line}\n")
    }),
];

#[test]
fn a_prefix_that_nobody_has_seen_changes_no_verdict() {
    let mut wrong = String::new();
    for fixture in fixtures() {
        let plain = explain(fixture.text.as_bytes()).diagnosis.verdict;
        for (prefix, line) in UNKNOWN_PREFIXES {
            let lines = fixture.text.lines().enumerate();
            let log: String = lines.map(|(i, l)| line(i, l)).collect();
            let prefixed = explain(log.as_bytes()).diagnosis.verdict;
            // Where nothing shows that go speaks, the message is not recognised; run again is only what was before.
            let shown = fixture.text.starts_with("go: ") || fixture.text.starts_with("verifying ");
            let again = matches!(prefixed, Verdict::Retry | Verdict::Switch);
            if prefixed != plain && (shown || again) {
                writeln!(wrong, "{prefix}: {}: {plain} -> {prefixed}\n{log}", fixture.name).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn utf16_as_powershell_writes_it_changes_nothing() {
    for fixture in fixtures() {
        let plain = explain(fixture.text.as_bytes());
        let bytes: Vec<u8> = fixture
            .text
            .replace('\n', "\r\n")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let marked = [&[0xff, 0xfe], bytes.as_slice()].concat();
        assert_eq!(plain.diagnosis, explain(&marked).diagnosis, "{}", fixture.name);
        // Without the mark (the rest of a file, or a tool that writes none) the NULs tell.
        if fixture.text.is_char_boundary(8) && fixture.text[..8].is_ascii() {
            assert_eq!(plain.diagnosis, explain(&bytes).diagnosis, "{}", fixture.name);
        }
    }
}

/// Output that is no fault of go's: a file of text each, and lines of JSON with the page that they were found at.
fn noises() -> Vec<(String, String)> {
    #[derive(Deserialize)]
    struct Noise {
        name: String,
        text: String,
    }
    let mut noises = Vec::new();
    for entry in fs::read_dir(root().join("fixtures/noise")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            noises.extend(text.lines().map(|line| {
                let noise: Noise = serde_json::from_str(line).unwrap();
                (noise.name, noise.text)
            }));
        } else {
            noises.push((path.display().to_string(), text));
        }
    }
    assert!(noises.len() > 40, "the fixtures are there");
    noises
}

#[test]
fn what_a_program_prints_is_never_a_fault() {
    for (name, text) in noises() {
        let explanation = explain(text.as_bytes());
        assert_eq!(explanation.diagnosis.faults, [], "{name}");
        assert!(
            matches!(explanation.diagnosis.verdict, Verdict::Final | Verdict::Unknown),
            "{name}: {}",
            explanation.diagnosis.verdict
        );
    }
}

#[test]
fn a_programs_output_beside_a_fault_changes_nothing() {
    let fault =
        "go: example.com/mod@v1.2.3: Get \"https://proxy.example.com/example.com/mod/@v/v1.2.3.mod\": EOF\n";
    for (name, noise) in noises() {
        let log = format!("+ go mod download\n{fault}+ go test ./...\n{noise}");
        let diagnosis = explain(log.as_bytes()).diagnosis;
        assert_eq!(diagnosis.verdict, Verdict::Retry, "{name}");
        assert_eq!(diagnosis.faults.len(), 1, "{name}");
    }
}

#[test]
fn logs_of_ci_systems() {
    for (log, verdict, commands) in [
        ("github.log", Verdict::Retry, vec!["go mod download"]),
        ("docker.log", Verdict::Retry, vec!["go mod download"]),
        ("gitlab.log", Verdict::Final, vec!["go mod tidy"]),
        (
            "jenkins.log",
            Verdict::Repair,
            vec!["go build ./...", "go vet ./..."],
        ),
    ] {
        let explanation = explain(&fs::read(root().join("fixtures/logs").join(log)).unwrap());
        assert_eq!(explanation.diagnosis.verdict, verdict, "{log}");
        let seen: Vec<_> = explanation
            .findings
            .iter()
            .filter_map(|f| f.command.as_deref())
            .collect();
        assert_eq!(seen, commands, "{log}");
    }
}

#[test]
fn a_security_error_settles_everything_but_an_answer() {
    let mismatch = "verifying example.com/a@v1.0.0: checksum mismatch\n\tdownloaded: h1:x\n\tgo.sum:     h1:y\n\nSECURITY ERROR\nThis download does NOT match an earlier download recorded in go.sum.\n";
    let reset = "go: example.com/b@v1.0.0: Get \"https://p.example/example.com/b/@v/v1.0.0.mod\": EOF\n";
    let missing =
        "go: example.com/c@v1.0.0: reading https://p.example/example.com/c/@v/v1.0.0.mod: 404 Not Found\n";
    let verdict = |text: &str| {
        diagnose(&Input {
            stderr: text.as_bytes(),
            stdout_json: None,
        })
        .verdict
    };
    assert_eq!(verdict(mismatch), Verdict::Repair);
    assert_eq!(verdict(&format!("{reset}{mismatch}")), Verdict::Repair);
    assert_eq!(verdict(&format!("{mismatch}{reset}")), Verdict::Repair);
    assert_eq!(verdict(&format!("{missing}{mismatch}")), Verdict::Final);
    assert_eq!(verdict(&format!("{reset}{missing}")), Verdict::Final);
}

#[test]
fn credentials_of_a_url_are_not_kept() {
    for text in [
        "go: example.com/a@v1.0.0: Get \"https://user:hunter2@p.example/example.com/a/@v/v1.0.0.mod\": EOF\n",
        "go: example.com/a@v1.0.0: invalid version: git ls-remote -q https://user:hunter2@git.example/a in /m/cache/vcs/0: exit status 128:\n\tfatal: unable to access 'https://user:hunter2@git.example/a/': Empty reply from server\n",
    ] {
        let diagnosis = diagnose(&Input {
            stderr: text.as_bytes(),
            stdout_json: None,
        });
        assert_eq!(diagnosis.verdict, Verdict::Retry);
        assert!(!format!("{diagnosis:?}").contains("hunter2"), "{diagnosis:?}");
    }
}

fn scanned(pieces: impl Iterator<Item = Vec<u8>>) -> Diagnosis {
    let mut scanner = Scanner::default();
    for piece in pieces {
        scanner.feed(&piece);
    }
    Diagnosis::of(&scanner.finish())
}

/// Bytes that look like go's: words of the rules and shapes, in any order.
fn go_like() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<String> = RULES
        .iter()
        .filter_map(|rule| match rule.pattern {
            Pattern::Words(words) => Some(words.join(" ")),
            Pattern::Shape(_) => None,
        })
        .chain(
            [
                "go: ",
                "\n",
                "\r\n",
                "\t",
                ": ",
                "example.com/m@v1.0.0: ",
                "Get \"https://p/x/@v/list\": ",
                "reading ",
                "https://p/x/@v/v1.0.0.zip: ",
                "server response:",
                " imports\n\t",
                "exit status 128:\n\t",
                "git ls-remote in /x: ",
                "dial tcp ",
                "lookup ",
                "\u{1b}[31m",
                "\u{feff}",
                "{\"",
                "\"Error\": \"",
                "=== RUN T\n",
                "--- FAIL: T\n",
                "'http://x': ",
                "msg=\"",
                "\\n",
                "\\\"",
                "\"",
                "pre 7: ",
                "# cd /x; git y\n",
                "fatal: ",
                "package a.b/c: exit status 1\n",
                "@",
                "/",
                "é",
                "\0",
            ]
            .map(str::to_owned),
        )
        .collect();
    prop::collection::vec(prop::sample::select(words), 0..60).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let _ = explain(&bytes);
        let _ = diagnose(&Input { stderr: &bytes, stdout_json: Some(&bytes) });
    }

    #[test]
    fn nothing_that_looks_like_go_makes_it_panic(bytes in go_like()) {
        let _ = explain(&bytes);
        let _ = diagnose(&Input { stderr: &bytes, stdout_json: Some(&bytes) });
    }

    #[test]
    fn how_the_stream_is_cut_changes_nothing(bytes in go_like(), cuts in prop::collection::vec(1usize..40, 1..50)) {
        let whole = scanned(std::iter::once(bytes.clone()));
        let mut rest = bytes.as_slice();
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = behind;
        }
        prop_assert_eq!(whole, scanned(pieces.into_iter()));
    }
}

#[test]
fn how_a_fixture_is_cut_changes_nothing() {
    for fixture in fixtures().into_iter().step_by(3) {
        let bytes = fixture.text.as_bytes();
        let whole = scanned(std::iter::once(bytes.to_vec()));
        for size in [1, 2, 3, 7, 64] {
            assert_eq!(
                whole,
                scanned(bytes.chunks(size).map(<[u8]>::to_vec)),
                "{} in pieces of {size}",
                fixture.name
            );
        }
    }
}

// ---- Every cause behind every wrapper ----

const MODULE: &str = "example.com/mod";

/// What a message of go's begins with, `{}` being a cause or a request that failed.
const WRAPPERS: &[&str] = &[
    "go: example.com/mod@v1.2.3: {}",
    "example.com/mod@v1.2.3: {}",
    "go: example.com/mod@v1.2.3/go.mod: {}",
    "go: example.com/mod@latest: {}",
    "go: example.com/mod@v1.2.3 (replaced by example.com/fork@v1.0.0): {}",
    "go: example.com/a@v1.0.0 requires\n\texample.com/mod@v1.2.3: {}",
    "go: example.com/a@v1.0.0 requires\n\texample.com/b@v1.0.0 requires\n\texample.com/mod@v1.2.3: {}",
    "go: module example.com/mod: {}",
    "module example.com/mod: {}",
    "go: loading module retractions for example.com/mod@v1.2.3: {}",
    "go: finding module for package example.com/mod/p\ngo: example.com/app imports\n\texample.com/mod/p: module example.com/mod/p: {}",
    "example.com/app imports\n\texample.com/mod/p: module example.com/mod/p: {}",
    "main.go:3:8: example.com/mod@v1.2.3: {}",
    "main.go:3:8: module example.com/mod: {}",
    "build example.com/app: cannot load example.com/mod: module example.com/mod: {}",
    "build command-line-arguments: cannot load example.com/mod/p: {}",
    "go: finding example.com/mod v1.2.3\ngo: example.com/mod@v1.2.3: {}\ngo: error loading module requirements",
    "go get example.com/mod@v1.2.3: {}",
    "go get example.com/mod: module example.com/mod: {}",
    "go get: example.com/mod@v1.2.3: {}",
    "go install: example.com/mod@v1.2.3: {}",
    "go list -m: example.com/mod@v1.2.3: {}",
    "go: download go1.25.0: {}",
    "go: golang.org/toolchain@v0.0.1-go1.25.0.linux-amd64: {}",
    "verifying example.com/mod@v1.2.3: {}",
    "verifying example.com/mod@v1.2.3/go.mod: {}",
    "go: example.com/mod@v1.2.3: verifying module: {}",
    "go: example.com/mod@v1.2.3: verifying go.mod: {}",
    "go: example.com/mod@v1.2.3: verifying example.com/mod@v1.2.3: {}",
    "go: example.com/mod@v1.2.3: unrecognized import path \"example.com/mod\": https fetch: {}",
    "package example.com/mod: unrecognized import path \"example.com/mod\": https fetch: {}",
    "package example.com/mod: unrecognized import path \"example.com/mod\" (https fetch: {})",
    "go: example.com/mod@v1.2.3: unrecognized import path \"example.com/mod\" (https fetch: {})",
];

/// How a request that failed is spelt; go before 1.14 quoted no URL.
const REQUESTS: &[&str] = &[
    "Get \"https://proxy.example.com/example.com/mod/@v/v1.2.3.info\": {}",
    "Get https://proxy.example.com/example.com/mod/@v/v1.2.3.info: {}",
    "reading https://proxy.example.com/example.com/mod/@v/v1.2.3.info: {}",
    "read \"https://proxy.example.com/example.com/mod/@v/v1.2.3.info\": {}",
    "read https://proxy.example.com/example.com/mod/@v/v1.2.3.info: {}",
    "reading https://proxy.example.com/example.com/mod/@v/v1.2.3.info: Get \"https://cdn.example.com/mod.info\": {}",
];

/// What tools put around the lines of a message; `{}` is a line, or the whole with its line ends escaped.
enum Around {
    Line(&'static str),
    Quoted(&'static str),
}

const AROUND: &[Around] = &[
    Around::Line("       {}"),
    Around::Line("##[error]{}"),
    Around::Line("> {}"),
    Around::Line("#STDERR> {}"),
    Around::Line("build-image:\t{}"),
    Around::Line("[pull:L7:0s] {}"),
    Around::Line("something nobody has seen 12/34 » {}"),
    Around::Quoted(
        "level=error msg=\"Running error: context loading failed: err: exit status 1: stderr: {}\\n\"",
    ),
    Around::Quoted("time=\"2026-09-01T12:00:00Z\" level=fatal msg=\"{}\" func=main.main"),
    Around::Quoted("dependency_file_not_resolvable {:message=>\"{}\"}"),
    Around::Quoted("{\"log\":\"{}\\n\",\"stream\":\"stderr\"}"),
    Around::Quoted("{\"level\":\"error\",\"msg\":\"{}\"}"),
];

impl Around {
    fn wrap(&self, text: &str) -> String {
        match self {
            Self::Line(prefix) => text
                .lines()
                .map(|line| prefix.replace("{}", line) + "\n")
                .collect(),
            Self::Quoted(prefix) => {
                let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
                prefix.replace("{}", &escaped.replace('\n', "\\n").replace('\t', "\\t")) + "\n"
            }
        }
    }
}

/// Causes and what they mean, each as net, net/http, crypto, encoding and go itself print it.
const CAUSES: &[(&str, Verdict)] = &[
    ("dial tcp: lookup proxy.example.com: no such host", Verdict::Retry),
    (
        "dial tcp: lookup proxy.example.com on 127.0.0.53:53: server misbehaving",
        Verdict::Retry,
    ),
    (
        "dial tcp: lookup proxy.example.com on [::1]:53: read udp [::1]:4000->[::1]:53: read: connection refused",
        Verdict::Retry,
    ),
    ("dial tcp: lookup proxy.example.com: i/o timeout", Verdict::Retry),
    (
        "dial tcp: lookup proxy.example.com: Temporary failure in name resolution",
        Verdict::Retry,
    ),
    ("dial tcp 192.0.2.1:443: i/o timeout", Verdict::Retry),
    (
        "dial tcp 192.0.2.1:443: connect: connection refused",
        Verdict::Retry,
    ),
    (
        "dial tcp 192.0.2.1:443: connect: connection timed out",
        Verdict::Retry,
    ),
    (
        "dial tcp 192.0.2.1:443: connect: permission denied",
        Verdict::Retry,
    ),
    (
        "dial tcp [2001:db8::1]:443: connect: network is unreachable",
        Verdict::Retry,
    ),
    (
        "dial tcp [2001:db8::1]:443: connect: cannot assign requested address",
        Verdict::Retry,
    ),
    (
        "dial tcp 192.0.2.1:443: connectex: Es konnte keine Verbindung hergestellt werden.",
        Verdict::Retry,
    ),
    (
        "read tcp 10.0.0.2:4000->192.0.2.1:443: read: connection reset by peer",
        Verdict::Retry,
    ),
    (
        "read tcp 10.0.0.2:4000->192.0.2.1:443: i/o timeout",
        Verdict::Retry,
    ),
    (
        "write tcp 10.0.0.2:4000->192.0.2.1:443: write: broken pipe",
        Verdict::Retry,
    ),
    (
        "read tcp 10.0.0.2:4000->192.0.2.1:443: wsarecv: An existing connection was forcibly closed by the remote host.",
        Verdict::Retry,
    ),
    ("EOF", Verdict::Retry),
    ("unexpected EOF", Verdict::Retry),
    ("http: server closed idle connection", Verdict::Retry),
    ("net/http: TLS handshake timeout", Verdict::Retry),
    (
        "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
        Verdict::Retry,
    ),
    (
        "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
        Verdict::Retry,
    ),
    ("context deadline exceeded", Verdict::Retry),
    (
        "net/http: HTTP/1.x transport connection broken: unexpected EOF",
        Verdict::Retry,
    ),
    (
        "net/http: HTTP/1.x transport connection broken: malformed HTTP status code \"<html>\"",
        Verdict::Switch,
    ),
    ("malformed HTTP response \"<html>\"", Verdict::Switch),
    ("malformed chunked encoding", Verdict::Retry),
    ("invalid byte in chunk length", Verdict::Retry),
    (
        "http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug=\"\"",
        Verdict::Retry,
    ),
    (
        "stream error: stream ID 7; INTERNAL_ERROR; received from peer",
        Verdict::Retry,
    ),
    ("http2: client connection lost", Verdict::Retry),
    ("connection error: PROTOCOL_ERROR", Verdict::Retry),
    ("remote error: tls: internal error", Verdict::Retry),
    ("remote error: tls: handshake failure", Verdict::Switch),
    ("local error: tls: bad record MAC", Verdict::Retry),
    (
        "tls: first record does not look like a TLS handshake",
        Verdict::Switch,
    ),
    ("http: server gave HTTP response to HTTPS client", Verdict::Switch),
    ("x509: certificate signed by unknown authority", Verdict::Switch),
    (
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-09-01T12:00:00Z is after 2026-08-01T00:00:00Z",
        Verdict::Switch,
    ),
    (
        "invalid character '<' looking for beginning of value",
        Verdict::Switch,
    ),
    (
        "invalid character 'e' in literal true (expecting 'r')",
        Verdict::Switch,
    ),
    ("unexpected end of JSON input", Verdict::Switch),
    (
        "json: cannot unmarshal number into Go value of type modfetch.RevInfo",
        Verdict::Switch,
    ),
    ("gzip: invalid header", Verdict::Switch),
    ("gzip: invalid checksum", Verdict::Switch),
    ("flate: corrupt input before offset 5", Verdict::Switch),
    ("stopped after 10 redirects", Verdict::Switch),
    (
        "proxyconnect tcp: dial tcp 192.0.2.9:3128: connect: connection refused",
        Verdict::Retry,
    ),
    ("proxyconnect tcp: EOF", Verdict::Final),
    ("500 Internal Server Error", Verdict::Retry),
    ("502 Bad Gateway", Verdict::Retry),
    ("503 Service Unavailable", Verdict::Retry),
    ("504 Gateway Timeout", Verdict::Retry),
    ("429 Too Many Requests", Verdict::Retry),
    ("408 Request Timeout", Verdict::Retry),
    ("401 Unauthorized", Verdict::Final),
    ("403 Forbidden", Verdict::Final),
    ("404 Not Found", Verdict::Final),
    ("410 Gone", Verdict::Final),
    ("451 Unavailable For Legal Reasons", Verdict::Final),
    (
        "dial tcp 192.0.2.1:443: socket: too many open files",
        Verdict::Final,
    ),
    (
        "write /home/user/go/pkg/mod/cache/download/example.com/mod/@v/v1.2.3.zip123.tmp: no space left on device",
        Verdict::Final,
    ),
    ("unsupported protocol scheme \"\"", Verdict::Final),
];

/// Go's own answers; none of them may be run again, whatever stands around it.
const ANSWERS: &[&str] = &[
    "unknown revision v1.2.3",
    "invalid version: unknown revision 0123456789ab",
    "invalid pseudo-version: does not match version-control timestamp (expected 20190101000000)",
    "invalid pseudo-version: revision is shorter than canonical (expected 0123456789ab)",
    "invalid pseudo-version: preceding tag (v1.2.2) not found",
    "invalid version: should be v0 or v1, not v2",
    "malformed module path \"example.com/MOD x\": invalid char ' '",
    "malformed file path \"a b\": chunk too long",
    "malformed something that go has never said",
    "no matching versions for query \"latest\"",
    "parsing go.mod: go.mod:3: unknown directive: chunk",
    "parsing go.mod:\n\tmodule declares its path as: example.com/other\n\t        but was required as: example.com/mod",
    "reading go.mod: open /home/user/go/pkg/mod/cache/download/example.com/mod/@v/v1.2.3.mod: permission denied",
    "missing go.sum entry",
    "module example.com/mod@v1.2.3 found, but does not contain package example.com/mod/chunk",
    "exec: \"git\": executable file not found in $PATH",
    "something that nobody has ever seen",
    "go.mod has post-v1 module path \"example.com/mod/v2\" at revision 0123456789ab",
    "checksum mismatch\n\tdownloaded: h1:x\n\tgo.sum:     h1:y",
    "invalid character U+0040 '@'",
    "line 300",
];

fn verdict_of(text: &str) -> (Verdict, &'static str) {
    let diagnosis = explain(text.as_bytes()).diagnosis;
    (
        diagnosis.verdict,
        deciding(&diagnosis).map_or("", |fault| fault.rule),
    )
}

/// The words of a rule, with more behind them where they end in a blank.
fn spelt(words: &[&str]) -> String {
    let words = words.join(" ");
    if words.ends_with(' ') { words + "it" } else { words }
}

/// The rule that takes a cause behind a URL, where it may take it without one too.
fn stands_alone(rule: &str) -> bool {
    RULES.iter().any(|r| r.id == rule && !r.at_url)
}

#[test]
fn a_cause_means_the_same_behind_every_wrapper() {
    let plain = format!("go: {MODULE}@v1.2.3: {}", REQUESTS[0]);
    // What the table of rules says by its words, beside what the standard library prints.
    let words: Vec<(String, Option<Verdict>)> = RULES
        .iter()
        .filter_map(|rule| match (rule.part, rule.pattern) {
            (Part::Cause, Pattern::Words(words)) => Some((spelt(words), None)),
            _ => None,
        })
        .chain(
            CAUSES
                .iter()
                .map(|(cause, verdict)| ((*cause).to_owned(), Some(*verdict))),
        )
        .collect();
    let mut wrong = String::new();
    for (cause, verdict) in &words {
        let reference = verdict_of(&plain.replace("{}", cause));
        let (meant, rule) = reference;
        assert!(verdict.is_none_or(|v| v == meant), "{cause}: {meant} by {rule}");
        for wrapper in WRAPPERS {
            for request in REQUESTS {
                let text = wrapper.replace("{}", &request.replace("{}", cause));
                if verdict_of(&text) != reference {
                    writeln!(wrong, "{:?}, not {reference:?}: {text}", verdict_of(&text)).unwrap();
                }
            }
            if stands_alone(rule) {
                let text = wrapper.replace("{}", cause);
                // What is said of a file has rules of its own where no URL is named: only the verdict is the same.
                let got = verdict_of(&text).0;
                if got != meant {
                    writeln!(wrong, "{:?}, not {reference:?}: {text}", verdict_of(&text)).unwrap();
                }
            }
        }
        for around in AROUND {
            for text in [
                plain.replace("{}", cause),
                WRAPPERS[5].replace("{}", REQUESTS[1]).replace("{}", cause),
            ] {
                let prefixed = around.wrap(&text);
                if verdict_of(&prefixed) != reference {
                    writeln!(
                        wrong,
                        "{:?}, not {reference:?}: {prefixed}",
                        verdict_of(&prefixed)
                    )
                    .unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn an_answer_is_run_again_behind_no_wrapper() {
    for answer in ANSWERS {
        for wrapper in WRAPPERS {
            let text = wrapper.replace("{}", answer);
            for text in std::iter::once(text.clone()).chain(AROUND.iter().map(|around| around.wrap(&text))) {
                let (verdict, rule) = verdict_of(&text);
                assert!(
                    !matches!(verdict, Verdict::Retry | Verdict::Switch),
                    "{verdict} by {rule}: {text}"
                );
            }
        }
    }
}

/// What go puts around the words of a VCS, `{}` being a line of it.
const VCS_FRAMES: &[&str] = &[
    "go: example.com/mod@v1.2.3: invalid version: git ls-remote -q origin in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "go: example.com/mod@v1.2.3: invalid pseudo-version: git fetch -f origin in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "go: example.com/mod@v1.2.3: git fetch -f origin refs/heads/*:refs/heads/* in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "go: example.com/mod@v1.2.3: git fetch -f origin in /m/cache/vcs/0a1b: exit status 128:\n{}",
    "example.com/mod@v1.2.3: git fetch -f origin in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "go: example.com/mod@v1.2.3: git fetch -f origin in /m/cache/vcs/0a1b: exit status 128: {}",
    "go: module example.com/mod: git ls-remote -q origin in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "go: example.com/a@v1.0.0 requires\n\texample.com/mod@v1.2.3: invalid version: git fetch -f origin in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "cannot find module providing package mod/p: module mod: git ls-remote -q https://git.example.com/mod: exit status 128:\n\t{}",
    "main.go:3:8: reading example.com/mod/go.mod at revision v1.2.3: git fetch -f origin in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "# cd .; git clone https://git.example.com/mod /go/src/example.com/mod\nCloning into '/go/src/example.com/mod'...\n{}\npackage example.com/mod: exit status 128",
    "# cd /go/src/example.com/mod; git pull --ff-only\n{}\npackage example.com/mod: exit status 1",
    "Cloning into '/go/src/example.com/mod'...\n{}\npackage example.com/mod: exit status 128",
    "{}\npackage example.com/app\n\timports example.com/mod: exit status 128",
];

/// What other programs put around the words of a VCS that they run themselves.
const VCS_ALONE: &[&str] = &[
    "{}",
    "{}\nexit status 128",
    "Cloning into 'x'...\n{}\nexit status 128",
    "Cloning into 'x'...\n{}\ngen.go:3: running \"git\": exit status 128",
    "{}\n2026/09/01 12:00:00 clone failed: exit status 128\nexit status 1",
    "{}\npanic: exit status 128\n\ngoroutine 1 [running]:",
    "# example.com/app\n./x.go:3:5: undefined: foo\n{}",
    "{}\nmake: *** [Makefile:3: vendor] Error 128",
    "+ git fetch origin\n{}",
];

#[test]
fn the_words_of_a_vcs_are_gos_only_in_a_frame_of_gos() {
    let mut wrong = String::new();
    for rule in RULES {
        let (Part::Vcs, Pattern::Words(words)) = (rule.part, rule.pattern) else {
            continue;
        };
        // Go's own hint is no word of a VCS's.
        if matches!(rule.id, "git-confirm" | "git-private") {
            continue;
        }
        let line = format!("fatal: {}", spelt(words));
        let reference = verdict_of(&VCS_FRAMES[0].replace("{}", &line));
        for frame in VCS_FRAMES {
            let text = frame.replace("{}", &line);
            if verdict_of(&text).0 != reference.0 {
                writeln!(wrong, "{:?}, not {reference:?}: {text}", verdict_of(&text)).unwrap();
            }
            for around in AROUND {
                let prefixed = around.wrap(&text);
                if text.starts_with("go: ") && verdict_of(&prefixed).0 != reference.0 {
                    writeln!(
                        wrong,
                        "{:?}, not {reference:?}: {prefixed}",
                        verdict_of(&prefixed)
                    )
                    .unwrap();
                }
            }
        }
        for alone in VCS_ALONE {
            let text = alone.replace("{}", &line);
            let diagnosis = explain(text.as_bytes()).diagnosis;
            if matches!(
                diagnosis.verdict,
                Verdict::Retry | Verdict::Switch | Verdict::Repair
            ) {
                writeln!(wrong, "{}: {text}", diagnosis.verdict).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

// ---- gofix explain ----

fn gofix_explain(args: &[&str], stdin: &[u8]) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gofix"))
        .arg("explain")
        .args(args)
        .env_remove("GOFIX_CONFIG")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = pipe.write_all(&bytes);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn explain_reads_a_file_or_standard_input() {
    let path = root().join("fixtures/logs/docker.log");
    let log = fs::read(&path).unwrap();
    let (status, from_file, stderr) = gofix_explain(&["--json", path.to_str().unwrap()], b"");
    assert_eq!((status, stderr.as_str()), (0, ""));
    let (status, from_stdin, _) = gofix_explain(&["--json"], &log);
    assert_eq!(status, 0);
    assert_eq!(from_file, from_stdin);
    let (status, from_dash, _) = gofix_explain(&["--json", "-"], &log);
    assert_eq!(status, 0);
    assert_eq!(from_dash, from_stdin);
    let object: serde_json::Value = serde_json::from_str(&from_file).unwrap();
    assert_eq!(object["verdict"], "retry");
    assert_eq!(object["faults"].as_array().unwrap().len(), 1);
    assert_eq!(object["faults"][0]["module"], "github.com/rs/zerolog");
    assert!(object.get("needs").is_none());
}

#[test]
fn explain_says_in_one_screen_what_happened() {
    let log = fs::read(root().join("fixtures/logs/jenkins.log")).unwrap();
    let (status, screen, stderr) = gofix_explain(&[], &log);
    assert_eq!((status, stderr.as_str()), (0, ""));
    insta::assert_snapshot!(screen);
}

#[test]
fn explain_takes_whatever_it_is_given() {
    for (input, verdict) in [
        (Vec::new(), "unknown"),
        (vec![0; 100_000], "unknown"),
        ((0..=255u8).cycle().take(300_000).collect(), "unknown"),
        (
            b"go: example.com/m@v1.0.0: Get \"https://p/x/@v/v1.0.0.mod\": E".to_vec(),
            "retry",
        ),
        (
            b"go: example.com/m@v1.0.0: reading https://p/x/@v/v1.0.0.mod: 40".to_vec(),
            "unknown",
        ),
    ] {
        let (status, json, _) = gofix_explain(&["--json"], &input);
        assert_eq!(status, 0);
        let object: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(object["verdict"], verdict, "{json}");
    }
}

#[test]
fn explain_says_what_it_cannot_read() {
    let (status, stdout, stderr) = gofix_explain(&["/nonexistent/x.log"], b"");
    assert_eq!((status, stdout.as_str()), (1, ""));
    assert!(
        stderr.starts_with("gofix: cannot read /nonexistent/x.log: "),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1);
    let (status, _, stderr) = gofix_explain(&["/"], b"");
    assert_eq!(status, 1);
    assert!(stderr.starts_with("gofix: cannot read /: "), "{stderr}");
}

/// A log that is larger than gofix may ever grow.
#[test]
#[cfg(target_os = "linux")]
fn explain_holds_no_log_in_memory() {
    let mut child = Command::new("/bin/sh")
        .args([
            "-c",
            "ulimit -v 65536; exec \"$0\" explain --json",
            env!("CARGO_BIN_EXE_gofix"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let line = b"2026-09-01T12:00:00.1234567Z go: downloading example.com/some/module/path v1.2.3 and more words\n";
        let block: Vec<u8> = line.repeat(10_000);
        for _ in 0..70 {
            if pipe.write_all(&block).is_err() {
                return;
            }
        }
        let _ = pipe.write_all(b"go: example.com/m@v1.0.0: Get \"https://p.example/x/@v/v1.0.0.mod\": EOF\n");
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("{\"verdict\":\"retry\""));
}

// ---- docs/diagnosis.md ----

/// What one family's texts are taken for by the rules of the others.
struct LeftOut {
    family: String,
    rules: usize,
    /// How many answers there are, how many of them are not run again, and how many of these are called answers.
    answers: (usize, usize),
    called: usize,
    /// How many texts there are that only the disk can decide, and how many of them are not run again blindly.
    disk: (usize, usize),
    /// How many faults there are, and how many of them are run again.
    faults: (usize, usize),
    /// Those that are taken for something else.
    wrong: Vec<String>,
}

/// Whether a rule is made of words, as against a shape that holds around any.
fn is_made_of_words(rule: &Rule) -> bool {
    matches!(
        rule.pattern,
        Pattern::Words(_) | Pattern::Shape(Shape::Line(_) | Shape::AnyOf(_) | Shape::Exactly(_))
    )
}

/// Whether the texts of one family are all that a rule could have been made from: no other family's
/// text is decided by it. The operating system's own words mean the same wherever they stand: one of
/// these is known from others as soon as a text that go has printed for another family holds it.
fn is_only_from(rule: &Rule, family: &str, families: &BTreeMap<String, Vec<Fixture>>) -> bool {
    let others = || {
        families
            .iter()
            .filter(|(name, _)| *name != family)
            .flat_map(|(_, fixtures)| fixtures)
    };
    let holds = |fixture: &Fixture| match rule.pattern {
        Pattern::Words(words) => {
            let text = fixture.text.to_lowercase();
            fixture.is_real() && words.iter().all(|word| text.contains(word))
        }
        Pattern::Shape(_) => false,
    };
    is_made_of_words(rule)
        && !others().any(|fixture| fixture.rule == rule.id || (rule.system && holds(fixture)))
}

fn leave_one_family_out() -> Vec<LeftOut> {
    let families = families();
    let mut rows = Vec::new();
    for (family, own) in &families {
        let without: Vec<&str> = RULES
            .iter()
            .filter(|rule| is_only_from(rule, family, &families))
            .map(|rule| rule.id)
            .collect();
        let mut row = LeftOut {
            family: family.clone(),
            rules: without.len(),
            answers: (0, 0),
            called: 0,
            disk: (0, 0),
            faults: (0, 0),
            wrong: Vec::new(),
        };
        for fixture in own.iter().filter(|f| f.is_real()) {
            let verdict = diagnose_with(&fixture.input(), RuleSet { without: &without }).verdict;
            let again = matches!(verdict, Verdict::Retry | Verdict::Switch);
            let (count, right) = match fixture.verdict.as_str() {
                "retry" | "switch" => (&mut row.faults, again),
                "repair" => (&mut row.disk, !again),
                _ => {
                    row.called += usize::from(verdict == Verdict::Final);
                    (&mut row.answers, !again)
                }
            };
            count.0 += 1;
            count.1 += usize::from(right);
            if !right {
                row.wrong.push(format!(
                    "{family}: {} is taken for {verdict}: {}\n{}",
                    fixture.rule, fixture.name, fixture.text
                ));
            }
        }
        if row.answers.0 + row.disk.0 + row.faults.0 > 0 {
            rows.push(row);
        }
    }
    rows
}

/// The floor under the table in the documentation: what shapes and the rules of other families must carry.
#[test]
fn texts_of_a_family_that_no_rule_was_made_for() {
    let rows = leave_one_family_out();
    let wrong = rows
        .iter()
        .flat_map(|r| r.wrong.clone())
        .collect::<Vec<_>>()
        .join("\n");
    let sum = |part: fn(&LeftOut) -> (usize, usize)| {
        rows.iter().map(part).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    };
    let (answers, kept) = sum(|r| r.answers);
    assert_eq!(kept, answers, "an answer is run again: {wrong}");
    let (disk, kept) = sum(|r| r.disk);
    assert_eq!(kept, disk, "{wrong}");
    let (faults, recognised) = sum(|r| r.faults);
    assert!(
        100 * recognised >= 98 * faults,
        "{recognised} of {faults}: {wrong}"
    );
}

fn left_out_table(rows: &[LeftOut]) -> String {
    let mut text = String::from(
        "| family left out | rules left out | answers not run again | of these called final | disk decides, not run again blindly | faults run again |\n|---|---|---|---|---|---|\n",
    );
    let cell = |(all, right): (usize, usize)| {
        if all == 0 {
            "–".to_owned()
        } else {
            format!("{right} of {all}")
        }
    };
    let called = |row: &LeftOut| (row.answers.0, row.called);
    let mut sums = [(0, 0); 4];
    for row in rows {
        let cells = [row.answers, called(row), row.disk, row.faults];
        for (sum, part) in sums.iter_mut().zip(cells) {
            sum.0 += part.0;
            sum.1 += part.1;
        }
        write!(text, "| {} | {} |", row.family, row.rules).unwrap();
        for part in cells {
            write!(text, " {} |", cell(part)).unwrap();
        }
        text.push('\n');
    }
    text.push_str("| **all** | |");
    for sum in sums {
        let percent = 100.0 * sum.1 as f64 / sum.0 as f64;
        write!(text, " **{} ({percent:.1} %)** |", cell(sum)).unwrap();
    }
    text.push('\n');
    text
}

fn rules_table() -> String {
    let mut text = String::from(
        "| rule | part | known by | kind | verdict | nobody there | seen in |\n|---|---|---|---|---|---|---|\n",
    );
    for rule in RULES {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            rule.id,
            rule.part.as_str(),
            rule.describe().replace('|', "\\|"),
            rule.kind,
            rule.verdict,
            if rule.nobody { "yes" } else { "" },
            rule.seen
        )
        .unwrap();
    }
    text
}

/// The document with its generated parts made anew.
fn renewed(document: &str) -> String {
    let parts = [
        ("left out", left_out_table(&leave_one_family_out())),
        ("rules", rules_table()),
    ];
    let mut text = String::new();
    let mut inside = false;
    for line in document.lines() {
        inside &= line != "<!-- end -->";
        if !inside {
            text.push_str(line);
            text.push('\n');
        }
        for (name, part) in &parts {
            if line == format!("<!-- generated: {name} -->") {
                text.push_str(part);
                inside = true;
            }
        }
    }
    text
}

#[test]
fn the_documentation_is_made_from_the_rules() {
    let path: &Path = &root().join("docs/diagnosis.md");
    let document = fs::read_to_string(path).unwrap();
    let renewed = renewed(&document);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, &renewed).unwrap();
        return;
    }
    assert!(
        document == renewed,
        "docs/diagnosis.md is not what the rules say; UPDATE_DOCS=1 cargo test --test suite diagnose:: writes it anew"
    );
}
