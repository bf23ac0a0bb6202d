//! What CI systems, shells and other programs put around go's words or print themselves.

use super::*;

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
