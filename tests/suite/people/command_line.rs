//! The command line: what is go's, what is gofix's, and help.

use super::*;

#[test]
fn a_go_command_gets_its_arguments_untouched() {
    let sandbox = Sandbox::new();
    sandbox.write("go.mod", "module example.com/main\n\ngo 1.21\n");
    let bytes = |run: Run, args: &[&OsStr]| {
        let outcome = run.args(args).command.output().unwrap();
        (outcome.status.code(), outcome.stdout, outcome.stderr)
    };
    fn words(text: &[&'static str]) -> Vec<&'static OsStr> {
        text.iter().map(|word| OsStr::new(*word)).collect()
    }
    let odd = OsStr::from_bytes(b"./\xff\xfe");
    for (short, long) in [
        (words(&["tidy", "-h"]), words(&["mod", "tidy", "-h"])),
        (
            words(&["download", "-json", "--", "-x"]),
            words(&["mod", "download", "-json", "--", "-x"]),
        ),
        (
            words(&["list", "-m", "-f", "{{.Path}} --help"]),
            words(&["list", "-m", "-f", "{{.Path}} --help"]),
        ),
        (
            words(&["go", "env", "GOFLAGS", "GOPROXY"]),
            words(&["env", "GOFLAGS", "GOPROXY"]),
        ),
        (words(&["go", "--version"]), words(&["--version"])),
        (words(&["go"]), words(&[])),
        (words(&["go", "--"]), words(&["--"])),
        (vec![OsStr::new("list"), odd], vec![OsStr::new("list"), odd]),
        (
            vec![OsStr::new("go"), OsStr::new("list"), odd],
            vec![OsStr::new("list"), odd],
        ),
    ] {
        assert_eq!(
            bytes(sandbox.gofix(&[]), &short),
            bytes(sandbox.plain_go(&[]), &long),
            "{short:?}"
        );
    }
}

#[test]
fn settings_stand_before_the_go_command() {
    let sandbox = Sandbox::new();
    sandbox.write("go.mod", "module example.com/main\n\ngo 1.21\n");
    let tidy = sandbox
        .gofix(&["--budget", "3m", "--widen=never", "tidy"])
        .output()
        .expect_code(0);
    assert_eq!((tidy.stdout.as_str(), tidy.stderr.as_str()), ("", tidy_words()));
    let wrong = sandbox
        .gofix(&["--budget", "soon", "tidy"])
        .output()
        .expect_code(2);
    assert_eq!(
        wrong.stderr,
        "gofix: --budget: `soon` is not a duration; write `10m`, `1h30m`, `90s`, or plain seconds\n"
    );
    let shown = json(
        &sandbox
            .gofix(&["--retry-count", "7", "config", "--json"])
            .output()
            .expect_code(0),
    );
    assert_eq!(shown["settings"]["retry_count"]["value"], 7);
    assert_eq!(
        shown["settings"]["retry_count"]["origin"]["name"],
        "--retry-count"
    );
}

#[test]
fn it_says_that_it_is_not_go_fix() {
    let sandbox = Sandbox::new();
    for word in ["./...", ".", "main.go", "example.com/x/..."] {
        let outcome = sandbox.gofix(&[word]).output().expect_code(2);
        assert_eq!(outcome.stdout, "");
        assert!(
            outcome
                .stderr
                .contains(&format!("gofix: for Go's own fixer, type: go fix {word}\n")),
            "{outcome}"
        );
    }
    let outcome = sandbox.gofix(&["fmt"]).output().expect_code(2);
    assert_eq!(
        outcome.stderr,
        "gofix: gofix adds nothing to `go fmt`; type `go fmt` or `gofix go fmt`\n"
    );
    let outcome = sandbox.gofix(&["tiddy"]).output().expect_code(2);
    assert!(outcome.stderr.contains("'tidy'"), "{outcome}");
    assert_eq!(
        outcome.gofix_lines().len(),
        outcome.stderr.lines().count(),
        "{outcome}"
    );
}

#[test]
fn help_teaches_and_goes_to_stdout() {
    let sandbox = Sandbox::new();
    for args in [&["--help"][..], &["-h"], &["help"]] {
        let help = sandbox.gofix(args).output().expect_code(0);
        assert_eq!(help.stderr, "");
        assert!(help.stdout.contains("\nExamples:\n  gofix tidy "), "{help}");
        assert!(!help.stdout.contains('\x1b'), "no colour into a pipe");
    }
    let nothing = sandbox.gofix(&[]).output().expect_code(2);
    assert_eq!(nothing.stdout, "");
    assert!(nothing.stderr.contains("Usage: gofix"), "{nothing}");
    for command in [
        "doctor",
        "explain",
        "routes",
        "cache",
        "shim",
        "rehearse",
        "report",
        "config",
        "completions",
        "man",
    ] {
        let help = sandbox.gofix(&["help", command]).output().expect_code(0);
        assert!(help.stdout.contains("Usage: gofix"), "{help}");
    }
    let version = sandbox.gofix(&["--version"]).output().expect_code(0);
    assert_eq!(version.stdout, format!("gofix {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_went_away_is_no_trouble() {
    let sandbox = Sandbox::new();
    let (read, write) = nix::unistd::pipe().unwrap();
    drop(read);
    let mut run = sandbox.gofix(&["--help"]);
    run.command.stdout(Stdio::from(write)).stderr(Stdio::piped());
    let outcome = run.command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&outcome.stderr), "");
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let mut run = sandbox.gofix(&["config"]);
    run.command.stdout(full()).stderr(full());
    assert_eq!(run.command.status().unwrap().code(), Some(0));
}

/// Without a network: what a text of go's means, and the matters of gofix itself.
#[test]
fn help_knows_topics() {
    let sandbox = Sandbox::new();
    let help = |words: &[&str]| sandbox.gofix(&[&["help"], words].concat()).output();
    let topics = help(&["topics"]).expect_code(0).stdout;
    let whole = sandbox.gofix(&["--help"]).output().stdout;
    assert_eq!(help(&["--help"]).expect_code(0).stdout, whole);
    for topic in gofix::diagnose::topics::TOPICS {
        assert!(
            topics.contains(&format!("  {} ", topic.id)),
            "{}: {topics}",
            topic.id
        );
        let shown = help(&[topic.id]).expect_code(0);
        assert_eq!(shown.stderr, "");
        let whole = shown.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = |text: &str| whole.contains(&text.split_whitespace().collect::<Vec<_>>().join(" "));
        assert!(
            said(topic.cause) && topic.cure.iter().all(|step| said(step)),
            "{shown}"
        );
    }
    for (topic, word) in [
        ("exit-status", "124"),
        ("variables", "GOFIX_BUDGET"),
        ("faults", "408, 425, 429"),
        ("privacy", "GOPRIVATE"),
        ("off", "GOFIX=off"),
    ] {
        let shown = help(&[topic]).expect_code(0);
        assert!(shown.stdout.contains(word) && topics.contains(topic), "{shown}");
        assert!(
            shown
                .stdout
                .lines()
                .all(|line| line.len() <= 80 || !line.trim().contains(' ')),
            "{shown}"
        );
    }
    let saved = "go: a.b/m@v1.0.0: reading https://proxy.golang.org/a.b/m/@v/v1.0.0.mod: 502 Bad Gateway\n";
    sandbox.write("build.log", saved);
    let explained = sandbox.gofix(&["explain", "build.log"]).output().expect_code(0);
    assert!(
        explained.stdout.ends_with("\n  More: gofix help server-error\n"),
        "{explained}"
    );
    let unknown = help(&["conection-reset"]).expect_code(2);
    assert_eq!(
        unknown.stderr,
        "gofix: no command and no topic has that name; `gofix help topics` lists the topics\n"
    );
}
