//! The views of a real go, supervised, on real terminals and in CI.

use std::fs;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Kind, Module, Rule, SumDb};
use nix::sys::signal::Signal;

use super::render;
use crate::support::pty::Pty;
use crate::support::{Sandbox, proxy_of};

const A: (&str, &str) = ("example.com/a", "v1.0.0");

fn proxy(rules: impl IntoIterator<Item = Rule>) -> FaultProxy {
    proxy_of(Catalogue::new().with(Module::new(A.0, A.1)), rules)
}

fn status(code: u16) -> Rule {
    Rule::new(Fault::Status {
        code,
        retry_after: None,
        body: None,
    })
    .on(Kind::Mod)
}

fn sandbox(proxy: &FaultProxy) -> Sandbox {
    Sandbox::new()
        .proxy(proxy)
        .requiring(&[A])
        .env("GOFIX_RELAY", "off")
}

/// What a terminal shows in the end, without colours and empty lines.
fn screen(text: &str) -> Vec<String> {
    render(text.as_bytes())
        .into_iter()
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn a_wait_on_a_terminal_shows_a_live_line_that_ctrl_c_takes_away() {
    // 429 is waited for long enough to be seen.
    let proxy = proxy([status(429)]);
    let sandbox = sandbox(&proxy);
    let mut pty = Pty::spawn(sandbox.go(&["mod", "download"]).env("TERM", "xterm"));
    pty.expect("429 Too Many Requests; route 1 again in ");
    pty.type_text("\x03");
    let (status, text) = pty.wait();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(2),
        "{text}"
    );
    let lines = screen(&text);
    assert!(!lines.iter().any(|line| line.contains("again in")), "{lines:#?}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("gofix: gave up on go mod download after 1 attempt")),
        "{lines:#?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("go: ") && line.contains("429")),
        "{lines:#?}"
    );
}

/// go knows nothing of the relay's wait and says nothing; gofix does.
#[test]
fn a_wait_of_the_relay_shows_a_live_line_while_go_runs() {
    let limited = Rule::new(Fault::Status {
        code: 429,
        retry_after: Some("4".to_owned()),
        body: None,
    });
    let proxy = proxy([limited.on(Kind::Mod).first(1)]);
    let sandbox = sandbox(&proxy).env("GOFIX_RELAY", "on");
    let pty = Pty::spawn(sandbox.go(&["mod", "download"]).env("TERM", "xterm"));
    pty.expect(": 429 Too Many Requests; asking again in ");
    let (status, text) = pty.wait();
    assert!(status.success(), "{text}");
    let lines = screen(&text);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].starts_with("gofix: go mod download succeeded"),
        "{lines:#?}"
    );
}

/// A server that took the connection and says nothing is named while it is waited for, and no more once it speaks.
#[test]
fn a_server_that_says_nothing_is_named_on_a_terminal() {
    let late = Rule::new(Fault::Delay { ms: 9000 }).on(Kind::Mod).first(1);
    let proxy = proxy([late]);
    let sandbox = sandbox(&proxy)
        .env("GOFIX_RELAY", "on")
        .env("GOFIX_STALL_MS", "600000");
    let pty = Pty::spawn(sandbox.go(&["mod", "download"]).env("TERM", "xterm"));
    pty.expect("no response from ");
    let (status, text) = pty.wait();
    assert!(status.success(), "{text}");
    assert!(text.contains("s: go.mod of example.com/a@v1.0.0"), "{text}");
    assert_eq!(screen(&text), Vec::<String>::new());
}

/// A file that takes long is on the screen with how much of it has come, and leaves nothing there.
#[test]
fn a_long_download_is_seen_on_a_terminal_and_nowhere_else() {
    let catalogue = Catalogue::new().with(Module::new(A.0, A.1).ballast(4 << 20));
    let drip = Rule::new(Fault::Drip {
        bytes: 80 << 10,
        every_ms: 100,
    });
    let slow = FaultProxy::builder(catalogue)
        .rule(drip.on(Kind::Zip))
        .start()
        .unwrap();
    let sandbox = || {
        let sandbox = Sandbox::new()
            .shared_build_cache()
            .env("GOPROXY", slow.url())
            .env("GOSUMDB", "off")
            .requiring(&[A]);
        sandbox.write(
            "main.go",
            "package main\n\nimport _ \"example.com/a\"\n\nfunc main() {}\n",
        );
        sandbox
    };
    let seen = sandbox();
    let pty = Pty::spawn(seen.go(&["build", "-mod=mod"]).env("TERM", "xterm"));
    pty.expect("gofix: fetching ");
    pty.expect(" MiB of ");
    pty.expect("KiB/s, ");
    let (status, text) = pty.wait();
    assert!(status.success(), "{text}");
    let lines = screen(&text);
    assert!(
        !lines.is_empty() && lines.iter().all(|line| line.starts_with("go: ")),
        "{lines:#?}"
    );
    // go speaks first: its line is not written over.
    assert_eq!(lines[0], "go: downloading example.com/a v1.0.0", "{lines:#?}");
    // The same on a dumb terminal and in a pipe.
    let dumb = sandbox();
    let (status, text) = Pty::spawn(dumb.go(&["build", "-mod=mod"]).env("TERM", "dumb")).wait();
    assert!(status.success() && !text.contains("gofix"), "{text:?}");
    let piped = sandbox().go(&["build", "-mod=mod"]).output().expect_code(0);
    assert!(!piped.stderr.contains("gofix"), "{piped}");
}

/// A toolchain comes as one file of 70 MB and more, and go says one line about it.
#[test]
fn a_toolchain_on_its_way_is_seen_and_ctrl_c_takes_the_line_away() {
    let stall = Rule::new(Fault::StallBody { after: Some(2 << 20) }).on(Kind::Zip);
    let catalogue = Catalogue::new().with(crate::support::toolchain().ballast(5 << 20));
    let sumdb = SumDb::new("sum.example.test", &catalogue);
    let proxy = FaultProxy::builder(catalogue)
        .sumdb(sumdb)
        .rule(stall)
        .start()
        .unwrap();
    let sandbox = Sandbox::new()
        .env("GOPROXY", proxy.url())
        .env("GOTOOLCHAIN", "go1.99.0")
        .env("GOFIX_STALL_MS", "600000")
        .env("GOSUMDB", proxy.gosumdb())
        .requiring(&[A]);
    let mut pty = Pty::spawn(sandbox.go(&["mod", "download"]).env("TERM", "xterm"));
    pty.expect("2.0 MiB of 5.0 MiB");
    pty.expect("no response from ");
    pty.type_text("\x03");
    let (_, text) = pty.wait();
    assert!(text.contains("s: go1.99.0 ("), "{text}");
    let lines = screen(&text);
    assert!(lines[0].starts_with("go: downloading go1."), "{lines:#?}");
    assert!(
        !lines.iter().any(|line| line.contains("nothing for")),
        "{lines:#?}"
    );
}

/// Without the relay only go itself can be watched: that it waits is said, and how much it reads.
#[test]
fn without_the_relay_a_wait_is_seen_on_a_terminal_and_nowhere_else() {
    let late = || [Rule::new(Fault::Delay { ms: 5000 }).on(Kind::Mod).first(1)];
    let go = |proxy: &FaultProxy| {
        let sandbox = sandbox(proxy).env("GOFIX_STALL_MS", "600000");
        let run = sandbox.go(&["mod", "download"]);
        (sandbox, run)
    };
    let slow = proxy(late());
    let (_sandbox, run) = go(&slow);
    let pty = Pty::spawn(run.env("TERM", "xterm"));
    pty.expect("gofix: go has printed nothing for ");
    pty.expect(" and reads nothing");
    let (status, text) = pty.wait();
    assert!(status.success(), "{text}");
    assert_eq!(screen(&text), Vec::<String>::new());
    let slow = proxy(late());
    let (_sandbox, run) = go(&slow);
    let (status, text) = Pty::spawn(run.env("TERM", "dumb")).wait();
    assert!(status.success() && text.is_empty(), "{text:?}");
    let slow = proxy(late());
    let (_sandbox, run) = go(&slow);
    let piped = run.output().expect_code(0);
    assert_eq!(piped.stderr, "");
}

/// git is named with the repository that it fetches, and the line goes when Ctrl-C comes.
#[test]
fn a_git_that_waits_is_named_on_a_terminal() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sandbox = Sandbox::new()
        .env("GOPROXY", "direct")
        .env("GOFIX_STALL_MS", "600000")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .requiring(&[("git.example.com/a.git", "v1.0.0")]);
    if sandbox.run("git").args(["--version"]).command.output().is_err() {
        return;
    }
    let config = format!(
        "[url \"http://{}/\"]\n\tinsteadOf = https://git.example.com/\n",
        silent.local_addr().unwrap()
    );
    fs::write(sandbox.path("home/.gitconfig"), config).unwrap();
    let mut pty = Pty::spawn(sandbox.go(&["mod", "download"]).env("TERM", "xterm"));
    pty.expect("gofix: git has been running for ");
    pty.expect("s: https://git.example.com/a");
    pty.type_text("\x03");
    let (_, text) = pty.wait();
    let lines = screen(&text);
    assert!(
        !lines.iter().any(|line| line.contains("has been running")),
        "{lines:#?}"
    );
    sandbox.expect_nobody();
    // A git that may ask for a password could ask at any time: nothing is drawn where the question would stand.
    let asking = sandbox
        .go(&["mod", "download"])
        .env("TERM", "xterm")
        .env("GIT_TERMINAL_PROMPT", "1")
        .env("GOFIX_STALL_MS", "4000")
        .env("GOFIX_RETRY_COUNT", "0");
    let (_, text) = Pty::spawn(asking).wait();
    assert!(
        text.contains("gofix: gave up") && !text.contains("has been running"),
        "{text}"
    );
}

/// The terminal belongs to the job in front.
#[test]
fn in_the_background_no_line_is_drawn() {
    if !std::path::Path::new("/bin/bash").exists() {
        return;
    }
    let late = Rule::new(Fault::Delay { ms: 6000 }).on(Kind::Mod).first(1);
    let proxy = proxy([late]);
    let sandbox = sandbox(&proxy)
        .env("GOFIX_RELAY", "on")
        .env("GOFIX_STALL_MS", "600000");
    sandbox.switch_telemetry_off();
    let line = "set -m; stty tostop; go mod download & wait $!; echo gave=$?";
    let shell = sandbox.run("/bin/bash").args(["-c", line]).env("TERM", "xterm");
    let (_, text) = Pty::spawn(shell).wait();
    assert!(text.contains("gave=0"), "{text}");
    assert!(!text.contains("gofix"), "{text}");
}

/// The relay walks all routes within one run of go: the screen names them all, and why the others are not used.
#[test]
fn the_screen_names_the_routes_that_the_relay_walked() {
    let (one, two) = (proxy([status(502)]), proxy([status(502)]));
    let both = format!("{};{}", one.url(), two.url());
    let give_up = |routes: &str| {
        let sandbox = sandbox(&one)
            .env("GOFIX_RELAY", "on")
            .env("GOFIX_RETRY_COUNT", "1")
            .env("GOFIX_BUDGET", "5s")
            .env("GOFIX_ROUTES", routes);
        sandbox.go(&["mod", "download"]).output().expect_code(1).stderr
    };
    let walked = give_up(&both);
    assert!(walked.contains(&format!("route 2 is {}", two.url())), "{walked}");
    assert!(!walked.contains("no other route"), "{walked}");
    let unused = give_up(two.url());
    assert!(
        unused.contains("other routes are configured but not used: "),
        "{unused}"
    );
    assert!(!unused.contains("route 2 is"), "{unused}");
    assert!(!two.requests().is_empty());
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    let proxy = proxy([status(503).first(1)]);
    let sandbox = sandbox(&proxy);
    let (status, text) = Pty::spawn(sandbox.go(&["mod", "download"]).env("TERM", "dumb")).wait();
    assert!(status.success(), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(
        text.contains("gofix: go mod download succeeded on attempt 2"),
        "{text:?}"
    );
}

#[test]
fn on_a_terminal_a_recovered_command_leaves_one_line() {
    let proxy = proxy([status(503).first(1)]);
    let sandbox = sandbox(&proxy);
    let (status, text) = Pty::spawn(sandbox.go(&["mod", "download"]).env("TERM", "xterm")).wait();
    assert!(status.success(), "{text}");
    let lines = screen(&text);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].starts_with("gofix: go mod download succeeded on attempt 2"),
        "{lines:#?}"
    );
}

#[test]
fn a_ci_job_that_is_ended_still_gets_the_screen() {
    let proxy = proxy([status(429)]);
    let sandbox = sandbox(&proxy)
        .env("CI", "true")
        .env("GOFIX_REPORT", "report.jsonl");
    let running = sandbox.go(&["mod", "download"]).spawn();
    let report = sandbox.project().join("report.jsonl");
    crate::views::until(|| fs::read_to_string(&report).is_ok_and(|text| text.contains("\"backoff\"")));
    running.signal(Signal::SIGTERM);
    let outcome = running.wait();
    let lines = outcome.gofix_lines();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("gave up on go mod download")),
        "{outcome}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("gofix: likely cause: 127.0.0.1:")),
        "{outcome}"
    );
    let [.., next, more] = &lines[..] else {
        panic!("{outcome}")
    };
    assert!(next.starts_with("gofix: next: go mod download"), "{outcome}");
    assert_eq!(*more, "gofix: more: gofix help too-many-requests", "{outcome}");
    assert!(!outcome.stderr.contains(['\x1b', '\r']), "{outcome}");
}

#[test]
fn github_actions_gets_its_annotation_from_a_real_run() {
    let proxy = proxy([status(503).first(1)]);
    let sandbox = sandbox(&proxy);
    let summary = sandbox.path("summary.md");
    let github = |sandbox: &Sandbox, args: &[&str]| {
        sandbox
            .go(args)
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_STEP_SUMMARY", &summary)
            .output()
    };
    let recovered = github(&sandbox, &["mod", "download"]).expect_code(0);
    let commands: Vec<&str> = recovered
        .stderr
        .lines()
        .filter(|line| line.starts_with("::"))
        .collect();
    assert_eq!(commands.len(), 1, "{recovered}");
    assert!(
        commands[0].starts_with("::warning title=gofix recovered%3A go mod download::"),
        "{recovered}"
    );
    assert!(recovered.stdout.is_empty(), "{recovered}");
    assert!(
        fs::read_to_string(&summary)
            .unwrap()
            .starts_with("### gofix recovered: go mod download\n")
    );
    fs::remove_file(&summary).unwrap();
    // The second time nothing goes wrong, and nothing is said.
    let fine = github(&sandbox, &["mod", "download"]).expect_code(0);
    assert_eq!(fine.stderr, "", "{fine}");
    assert!(!summary.exists());
}

#[test]
fn a_report_of_real_runs_can_be_read() {
    let proxy = proxy([status(503).first(1)]);
    let sandbox = sandbox(&proxy).env("GOFIX_REPORT", "report.jsonl");
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    sandbox
        .go(&["mod", "download", "-x", "example.com/none@v1.0.0"])
        .output();
    let found = sandbox
        .gofix(&["report", "--json", "report.jsonl"])
        .output()
        .expect_code(0);
    let found: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(found["unreadable_lines"], 0, "{found:#}");
    assert_eq!(found["runs"][0]["outcome"], "recovered", "{found:#}");
    assert_eq!(
        found["runs"][0]["attempts"][0]["faults"][0]["kind"], "server_error",
        "{found:#}"
    );
    assert_eq!(found["runs"][1]["outcome"], "failed", "{found:#}");
    // The words of the command only: arguments may hold secrets.
    assert_eq!(found["runs"][1]["command"], "go mod download", "{found:#}");
}
