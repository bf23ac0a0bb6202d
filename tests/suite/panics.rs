//! A panic of gofix's own, in each room: go's words, its status and its files stay as they are, and one line says it.

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Kind, Module, Rule};

use crate::support::{Outcome, Run, Sandbox, status, tree};

const A: &str = "example.com/a";

fn proxy() -> FaultProxy {
    let catalogue = Catalogue::new().with(Module::new(A, "v1.0.0").ballast(5000));
    FaultProxy::builder(catalogue).start().unwrap()
}

/// Cuts the next zip off; go alone fails of it.
fn cut_one(proxy: &FaultProxy) {
    proxy.set_rules([Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip).first(1)]);
}

/// The module is not there.
fn answer_404(proxy: &FaultProxy) {
    let gone = status(404, None);
    proxy.set_rules([Rule::new(gone).on(Kind::Zip)]);
}

fn sandbox(proxy: &FaultProxy, relay: &str) -> Sandbox {
    Sandbox::new()
        .proxy(proxy)
        .requiring(&[(A, "v1.0.0")])
        .env("GOFIX_RELAY", relay)
}

fn panicking(run: Run, room: &str) -> Outcome {
    run.env("__GOFIX_TEST_PANIC", room).output()
}

/// Takes the line about the panic away; there is exactly one.
#[track_caller]
fn without_its_line(mut outcome: Outcome) -> Outcome {
    let is_it = |line: &&str| line.starts_with("gofix: internal error at src/");
    let lines: Vec<&str> = outcome.stderr.split_inclusive('\n').collect();
    assert_eq!(lines.iter().filter(|line| is_it(line)).count(), 1, "{outcome}");
    outcome.stderr = lines.into_iter().filter(|line| !is_it(line)).collect();
    outcome
}

/// Two commands said and did the same.
#[track_caller]
fn expect_same(room: &str, outcome: Outcome, plain: &Outcome) {
    let outcome = without_its_line(outcome);
    assert_eq!(outcome.status, plain.status, "{room}: {outcome}");
    assert_eq!(outcome.stdout, plain.stdout, "{room}: {outcome}");
    assert_eq!(outcome.stderr, plain.stderr, "{room}: {outcome}");
}

/// Where gofix cannot go on, the command ends as go ended it.
#[test]
fn what_reads_gos_words_leaves_them_as_they_are() {
    let proxy = proxy();
    let json = ["mod", "download", "-json"];
    for room in ["supervise", "session", "diagnose", "policy", "judge"] {
        let run = |is_gofix: bool| {
            let sandbox = sandbox(&proxy, "off");
            cut_one(&proxy);
            let outcome = match is_gofix {
                true => panicking(sandbox.go(&json), room),
                false => sandbox.plain_go(&json).output(),
            };
            let text = sandbox.without_place(&outcome.stdout);
            let stdout = text.split("read tcp").next().unwrap_or_default().to_owned();
            (Outcome { stdout, ..outcome }, tree(&sandbox.project()))
        };
        let (plain, files) = run(false);
        assert_eq!(plain.code(), Some(1), "{plain}");
        let (outcome, files_then) = run(true);
        expect_same(room, outcome, &plain);
        assert_eq!(files_then, files, "{room}");
    }
}

/// What only shows, or only looks, is gone without; the fault is healed all the same.
#[test]
fn what_is_not_needed_is_gone_without() {
    let proxy = proxy();
    for (room, relay) in [
        ("report", "off"),
        ("report", "on"),
        ("watch", "off"),
        ("rewrite", "on"),
        ("rewrite-end", "on"),
        ("relay-ahead", "on"),
        ("restore", "off"),
        ("export", "on"),
    ] {
        // Nobody listens there.
        let sandbox = sandbox(&proxy, relay).env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
        cut_one(&proxy);
        let outcome = panicking(sandbox.go(&["mod", "download", "-x"]), room);
        let outcome = outcome.expect_code(0);
        let said = outcome.stderr.matches("gofix: internal error").count();
        // Nothing is looked at or asked ahead in a run so short.
        let may_be_idle = matches!(room, "watch" | "relay-ahead");
        assert!(said == 1 || said == 0 && may_be_idle, "{room}: {outcome}");
        assert!(sandbox.modcache().join("example.com/a@v1.0.0/go.mod").is_file());
    }
}

/// Go runs again without a relay that has failed by itself.
#[test]
fn a_relay_that_fails_is_stepped_round() {
    let proxy = proxy();
    for room in ["relay-listener", "relay-request"] {
        for command in [&["mod", "download"][..], &["mod", "tidy"]] {
            let run = |is_gofix: bool| {
                let sandbox = sandbox(&proxy, "on");
                sandbox.write(
                    "main.go",
                    format!("package main\n\nimport _ \"{A}\"\n\nfunc main() {{}}\n"),
                );
                let outcome = match is_gofix {
                    true => panicking(sandbox.go(command), room),
                    false => sandbox.plain_go(command).output(),
                };
                (outcome, tree(&sandbox.project()))
            };
            let (plain, files) = run(false);
            assert_eq!(plain.code(), Some(0), "{plain}");
            let (outcome, files_then) = run(true);
            assert_eq!(files_then, files, "{room}: {outcome}");
            let outcome = without_its_line(outcome.expect_code(0));
            assert!(outcome.gofix_lines().is_empty(), "{room}: {outcome}");
        }
    }
}

/// The words of a relay that nobody puts back are go's all the same.
#[test]
fn words_that_cannot_be_put_back_are_shown_as_they_came() {
    let proxy = proxy();
    answer_404(&proxy);
    for room in ["rewrite", "rewrite-end", "report", "diagnose"] {
        let outcome = panicking(sandbox(&proxy, "on").go(&["mod", "download"]), room);
        let outcome = without_its_line(outcome.expect_code(1));
        assert!(outcome.stderr.contains("404 Not Found"), "{room}: {outcome}");
    }
}

/// A damaged file stays, and so does what go says of it.
#[test]
fn a_repair_that_fails_leaves_the_cache_to_go() {
    let proxy = proxy();
    let run = |is_gofix: bool| {
        let sandbox = sandbox(&proxy, "off");
        sandbox.plain_go(&["mod", "download", A]).output().expect_code(0);
        let zip = sandbox
            .modcache()
            .join("cache/download/example.com/a/@v/v1.0.0.zip");
        std::fs::write(&zip, "no zip").unwrap();
        std::fs::remove_file(zip.with_extension("ziphash")).unwrap();
        let extracted = sandbox.modcache().join("example.com/a@v1.0.0");
        let status = std::process::Command::new("chmod")
            .args(["-R", "u+w"])
            .arg(&extracted)
            .status();
        assert!(status.unwrap().success());
        std::fs::remove_dir_all(extracted).unwrap();
        let command = ["mod", "download"];
        let mut outcome = match is_gofix {
            true => panicking(sandbox.go(&command), "repair"),
            false => sandbox.plain_go(&command).output(),
        };
        outcome.stderr = sandbox.without_place(&outcome.stderr);
        (outcome, std::fs::read(zip).unwrap())
    };
    let (plain, zip) = run(false);
    assert_eq!(plain.code(), Some(1), "{plain}");
    let (outcome, zip_then) = run(true);
    assert_eq!(zip_then, zip);
    let outcome = without_its_line(outcome);
    assert_eq!(outcome.status, plain.status, "{outcome}");
    assert!(outcome.stderr.contains(&plain.stderr), "{outcome}");
}

/// The command itself runs, once, and fetches what it needs.
#[test]
fn a_prefetch_that_fails_is_no_prefetch() {
    let proxy = proxy();
    for room in ["supervise", "session", "prefetch", "enough"] {
        let sandbox = sandbox(&proxy, "auto").shared_build_cache();
        sandbox.write(
            "go.sum",
            Catalogue::new()
                .with(Module::new(A, "v1.0.0").ballast(5000))
                .go_sum(),
        );
        sandbox.write(
            "main.go",
            format!("package main\n\nimport _ \"{A}\"\n\nfunc main() {{ println(\"ran\") }}\n"),
        );
        let outcome = panicking(sandbox.go(&["run", "."]), room);
        let outcome = without_its_line(outcome.expect_code(0));
        assert_eq!(outcome.stderr.matches("ran\n").count(), 1, "{room}: {outcome}");
    }
}

/// One line and status 1, and nothing that a kernel would keep of it.
#[test]
fn commands_of_gofix_itself_end_with_one_line_and_status_1() {
    let proxy = proxy();
    let sandbox = sandbox(&proxy, "off");
    sandbox.plain_go(&["mod", "download"]).output().expect_code(0);
    for (room, command) in [
        ("gofix", &["explain", "go.mod"][..]),
        ("gofix", &["explain", "--json", "go.mod"]),
        ("gofix", &["doctor"]),
        ("gofix", &["routes"]),
        ("gofix", &["cache", "verify"]),
        ("gofix", &["shim", "status"]),
        ("gofix", &["report", "go.mod"]),
        ("gofix", &["config", "show"]),
        ("gofix", &["rehearse"]),
        ("gofix", &["completions", "bash"]),
        ("gofix", &["man"]),
        ("gofix", &["tidy"]),
        ("probe", &["doctor"]),
        ("local", &["doctor"]),
        ("verify", &["cache", "verify"]),
    ] {
        let outcome = panicking(sandbox.gofix(command), room).expect_code(1);
        let outcome = without_its_line(outcome);
        assert_eq!(outcome.stdout, "", "{room}: {command:?}");
        assert_eq!(outcome.stderr, "", "{room}: {command:?}");
    }
}
