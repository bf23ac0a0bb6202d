//! The main job: the real go, over real sockets, through faults, and otherwise exactly go.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Seek as _;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use gofix::faultproxy::{Catalogue, Door, Fault, FaultProxy, Framing, Kind, Module, Rule, SumDb};
use nix::sys::signal::Signal;

use crate::support::wait::{wait_for_request, wait_until};
use crate::support::{Outcome, Run, Sandbox, go_minor, gofix_exe, real_go, shim_exe, toolchain, tree};

const A: &str = "example.com/a";
const B: &str = "example.com/b";

/// a needs b v1.0.0; b has a newer version.
fn catalogue() -> Catalogue {
    Catalogue::new()
        .with(Module::new(A, "v1.0.0").requires(B, "v1.0.0"))
        .with(Module::new(B, "v1.0.0"))
        .with(Module::new(B, "v1.1.0"))
}

fn proxy_with(rules: impl IntoIterator<Item = Rule>) -> FaultProxy {
    let catalogue = catalogue();
    let sumdb = SumDb::new("sum.example.test", &catalogue);
    FaultProxy::builder(catalogue)
        .sumdb(sumdb)
        .rules(rules)
        .start()
        .unwrap()
}

/// A project that imports a and b, without requirements yet.
fn to_tidy(proxy: &FaultProxy) -> Sandbox {
    quick(Sandbox::new().proxy(proxy).importing(&[A, B]))
}

/// A project that requires both.
fn to_download(proxy: &FaultProxy) -> Sandbox {
    quick(
        Sandbox::new()
            .proxy(proxy)
            .requiring(&[(A, "v1.0.0"), (B, "v1.1.0")]),
    )
}

/// Waits for nothing longer than a test may take.
fn quick(sandbox: Sandbox) -> Sandbox {
    sandbox
        .env("GOFIX_STALL_MS", "1500")
        .env("GOFIX_RELAY", "off")
        .env("GOFIX_REPORT", REPORT)
}

/// Relative to the project folder.
const REPORT: &str = "report.jsonl";

/// How often go ran, by the report.
fn attempts(sandbox: &Sandbox) -> usize {
    events(sandbox)
        .get("attempt_started")
        .copied()
        .unwrap_or_default()
}

fn events(sandbox: &Sandbox) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(sandbox.project().join(REPORT)).unwrap_or_default();
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let name = event["event"].as_str().expect("a name").to_owned();
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn go_mod_of_a_healthy_tidy() -> (String, String) {
    let proxy = proxy_with([]);
    let sandbox = to_tidy(&proxy);
    sandbox.plain_go(&["mod", "tidy"]).output().expect_code(0);
    (sandbox.read("go.mod"), sandbox.read("go.sum"))
}

/// `503 Service Unavailable`.
fn unavailable(retry_after: Option<&str>) -> Fault {
    Fault::Status {
        code: 503,
        retry_after: retry_after.map(str::to_owned),
        body: None,
    }
}

/// Faults of a host that answers; each is met once.
fn passing_faults() -> Vec<Fault> {
    vec![
        Fault::CloseBeforeHeader,
        Fault::ResetBeforeHeader,
        Fault::ResetBody { after: None },
        Fault::CloseBody {
            after: None,
            framing: Framing::Length,
        },
        Fault::CloseBody {
            after: None,
            framing: Framing::Chunked,
        },
        unavailable(None),
        Fault::Status {
            code: 500,
            retry_after: None,
            body: None,
        },
        Fault::Status {
            code: 408,
            retry_after: None,
            body: None,
        },
        Fault::Garbage,
        Fault::ShortBody { after: None },
        Fault::StallHeader,
        Fault::StallBody { after: None },
    ]
}

#[test]
fn tidy_survives_every_passing_fault_with_the_same_result() {
    let healthy = go_mod_of_a_healthy_tidy();
    for fault in passing_faults() {
        let proxy = proxy_with([Rule::new(fault.clone()).on(Kind::Zip).first(1)]);
        let sandbox = to_tidy(&proxy);
        let outcome = sandbox.go(&["mod", "tidy"]).output();
        assert_eq!(outcome.code(), Some(0), "{fault:?}: {outcome}");
        assert_eq!(
            (sandbox.read("go.mod"), sandbox.read("go.sum")),
            healthy,
            "{fault:?}"
        );
        // Go itself asks again where a connection that it used before has ended.
        let ends = matches!(fault, Fault::CloseBeforeHeader | Fault::ResetBeforeHeader);
        let expected = if ends { 1..=2 } else { 2..=2 };
        assert!(expected.contains(&attempts(&sandbox)), "{fault:?}: {outcome}");
        assert_eq!(
            outcome.gofix_lines().is_empty(),
            attempts(&sandbox) == 1,
            "{fault:?}: {outcome}"
        );
    }
}

#[test]
fn download_survives_every_passing_fault_of_every_kind_of_request() {
    for kind in [Kind::Info, Kind::Mod, Kind::Zip, Kind::Lookup] {
        for fault in [
            Fault::ResetBeforeHeader,
            Fault::CloseBody {
                after: None,
                framing: Framing::Length,
            },
            Fault::Status {
                code: 502,
                retry_after: None,
                body: None,
            },
            Fault::StallBody { after: None },
        ] {
            let proxy = proxy_with([Rule::new(fault.clone()).on(kind).first(1)]);
            let sandbox = to_download(&proxy);
            let outcome = sandbox.go(&["mod", "download"]).output();
            assert_eq!(outcome.code(), Some(0), "{kind:?} {fault:?}: {outcome}");
            assert!(
                sandbox.modcache().join("example.com/b@v1.1.0/go.mod").is_file(),
                "{kind:?} {fault:?}"
            );
        }
    }
}

#[test]
fn a_healthy_command_is_exactly_go() {
    let proxy = proxy_with([]);
    let sandbox = to_tidy(&proxy);
    let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(0);
    assert_eq!(outcome.gofix_lines(), [""; 0]);
    let twin = to_tidy(&proxy);
    let plain = twin.plain_go(&["mod", "tidy"]).output().expect_code(0);
    assert_eq!(sorted(&outcome.stderr), sorted(&plain.stderr));
    assert_eq!(tree(&sandbox.modcache()), tree(&twin.modcache()));
    for args in [
        &["list", "-m", "all"][..],
        &["mod", "graph"],
        &["mod", "why", B],
        &["mod", "verify"],
        &["mod", "download", "-json"],
        &["list", "-json", "./..."],
        &["mod", "tidy", "-diff"],
        &["list", "nosuch/..."],
        &["build", "./nosuch"],
        &["mod", "download", "example.com/a@v9.9.9"],
        &["mod", "why"],
        &["vet", "-nosuchflag"],
    ] {
        let (with, without) = (sandbox.go(args).output(), sandbox.plain_go(args).output());
        assert_eq!(with.status, without.status, "{args:?}: {with}\n{without}");
        assert_eq!(with.stdout, without.stdout, "{args:?}");
        assert_eq!(with.stderr, without.stderr, "{args:?}");
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn stdout_is_that_of_the_last_attempt_only() {
    let fault = unavailable(None);
    let proxy = proxy_with([Rule::new(fault).on(Kind::Zip).module(B).first(1)]);
    let sandbox = to_download(&proxy);
    sandbox.write("go.sum", catalogue().go_sum());
    let outcome = sandbox.go(&["mod", "download", "-json"]).output().expect_code(0);
    assert_eq!(attempts(&sandbox), 2);
    assert_eq!(outcome.stdout.matches("\"Path\"").count(), 2, "{outcome}");
    assert!(!outcome.stdout.contains("Error"), "{outcome}");
}

#[test]
fn an_error_that_heals_is_never_seen() {
    let proxy = proxy_with([Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip).first(1)]);
    let sandbox = to_tidy(&proxy);
    let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(0);
    let others: Vec<&str> = outcome
        .stderr
        .lines()
        .filter(|line| !line.starts_with("gofix: ") && !line.starts_with("go: downloading"))
        .filter(|line| !line.starts_with("go: finding") && !line.starts_with("go: found"))
        .collect();
    assert_eq!(others, [""; 0], "{outcome}");
}

#[test]
fn a_dead_first_route_is_left_for_the_next() {
    // Nobody there: the next route at once. A host that closes or resets may
    // be asked again before.
    for (door, expected) in [
        (Door::Refuse, 2..=2),
        (Door::Stall, 2..=2),
        (Door::Close, 2..=5),
        (Door::Reset, 2..=5),
    ] {
        let dead = FaultProxy::builder(catalogue()).door(door).start().unwrap();
        let healthy = proxy_with([]);
        let routes = format!("{};{}", dead.url(), healthy.url());
        let sandbox = to_tidy(&dead)
            .env("GOSUMDB", healthy.gosumdb())
            .env("GOFIX_ROUTES", routes);
        let outcome = sandbox.go(&["mod", "tidy"]).output();
        assert_eq!(outcome.code(), Some(0), "{door:?}: {outcome}");
        assert!(expected.contains(&attempts(&sandbox)), "{door:?}: {outcome}");
    }
}

#[test]
fn no_request_leaves_what_the_user_allowed() {
    let cases = [
        ("direct", false),
        ("file:///nonexistent", false),
        ("PRIVATE", false),
        ("PRIVATE|direct", false),
        ("PRIVATE,off", false),
        ("https://proxy.golang.org,PRIVATE", false),
        ("PRIVATE", true),
    ];
    for (list, listed) in cases {
        let private = FaultProxy::builder(catalogue())
            .door(Door::Refuse)
            .start()
            .unwrap();
        let second = proxy_with([]);
        let list = list.replace("PRIVATE", private.url());
        let routes = if listed {
            format!("{};{}", private.url(), second.url())
        } else {
            second.url().to_owned()
        };
        let sandbox = quick(Sandbox::new().requiring(&[(A, "v1.0.0")]))
            .env("GOPROXY", &list)
            .env("GOSUMDB", second.gosumdb())
            .env("GOFIX_ROUTES", routes)
            .env("GOFIX_RETRY_COUNT", "0")
            // Nothing but loopback: the public proxy is a dead port as well.
            .env("HTTPS_PROXY", private.url())
            .env("GIT_ALLOW_PROTOCOL", "none");
        let outcome = sandbox.go(&["mod", "download"]).output();
        if listed {
            assert_eq!(outcome.code(), Some(0), "{outcome}");
            assert!(!second.requests().is_empty());
        } else {
            assert_eq!(outcome.code(), Some(1), "{list}: {outcome}");
            assert_eq!(second.requests().len(), 0, "{list}: {outcome}");
        }
    }
}

#[test]
fn a_checksum_database_is_asked_only_where_go_asks_it() {
    let catalogue = catalogue();
    let sumdb = SumDb::new("sum.example.test", &catalogue);
    let first = FaultProxy::builder(catalogue.clone())
        .door(Door::Refuse)
        .start()
        .unwrap();
    let second = FaultProxy::builder(catalogue).sumdb(sumdb).start().unwrap();
    let sandbox = quick(Sandbox::new().requiring(&[(A, "v1.0.0")]))
        .env("GOPROXY", first.url())
        .env("GOSUMDB", second.gosumdb())
        .env("GONOSUMDB", "example.com")
        .env("GOFIX_ROUTES", format!("{};{}", first.url(), second.url()));
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let asked: Vec<String> = second
        .requests()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert!(asked.iter().all(|target| !target.contains("sumdb")), "{asked:?}");
}

#[test]
fn a_stalled_go_is_ended_and_says_so() {
    let proxy = proxy_with([Rule::new(Fault::StallHeader).on(Kind::Mod)]);
    let sandbox = to_download(&proxy).env("GOFIX_RETRY_COUNT", "1");
    let outcome = sandbox.go(&["mod", "download"]).output().expect_code(124);
    assert_eq!(attempts(&sandbox), 2, "{outcome}");
    assert!(!outcome.gofix_lines().is_empty());
    // Every connection of go's is gone.
    assert!(proxy.wait_for(Duration::from_secs(30), |requests| {
        requests.iter().all(|request| request.took.is_some())
    }));
}

#[test]
fn an_older_version_is_not_taken_for_the_answer() {
    let healthy = go_mod_of_a_healthy_tidy();
    let fault = unavailable(None);
    let proxy = proxy_with([Rule::new(fault.clone()).on(Kind::List).module(B).first(1)]);
    let plain = to_tidy(&proxy);
    plain.plain_go(&["mod", "tidy"]).output().expect_code(0);
    assert!(
        plain.read("go.mod").contains("example.com/b v1.0.0"),
        "plain go takes the older one"
    );

    proxy.set_rules([Rule::new(fault.clone()).on(Kind::List).module(B).first(1)]);
    let sandbox = to_tidy(&proxy);
    let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(0);
    assert_eq!(
        (sandbox.read("go.mod"), sandbox.read("go.sum")),
        healthy,
        "{outcome}"
    );

    // The same bytes twice are the answer, with a word about it.
    proxy.set_rules([Rule::new(fault).on(Kind::List).module(B)]);
    let sandbox = to_tidy(&proxy);
    let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(0);
    assert!(sandbox.read("go.mod").contains("example.com/b v1.0.0"));
    assert_eq!(attempts(&sandbox), 2, "{outcome}");
    let lines = outcome.gofix_lines();
    assert!(lines.iter().any(|line| line.contains(B)), "{outcome}");
}

/// What the user saved between two runs of go is the user's, whatever is put back.
#[test]
fn what_is_saved_between_two_runs_is_kept() {
    let fault = unavailable(None);
    let proxy = proxy_with([
        Rule::new(Fault::StallHeader).first(1),
        Rule::new(fault).on(Kind::List).module(B),
    ]);
    let sandbox = to_tidy(&proxy);
    let edited = sandbox.read("go.mod") + "\n// saved meanwhile\nretract v0.0.1\n";
    let run = sandbox.go(&["mod", "tidy"]).spawn();
    wait_for_request(&proxy);
    sandbox.write("go.mod", &edited);
    let outcome = run.wait().expect_code(0);
    // One that stalled, one that was doubted, and one that came to the same.
    assert_eq!(attempts(&sandbox), 3, "{outcome}");
    let go_mod = sandbox.read("go.mod");
    assert!(go_mod.contains("// saved meanwhile"), "{go_mod}{outcome}");
    assert!(go_mod.contains("example.com/b v1.0.0"), "{go_mod}{outcome}");
}

#[test]
fn an_answer_is_never_asked_for_again() {
    for (fault, kind) in [
        (
            Fault::Status {
                code: 404,
                retry_after: None,
                body: None,
            },
            Kind::Zip,
        ),
        (
            Fault::Status {
                code: 410,
                retry_after: None,
                body: None,
            },
            Kind::Mod,
        ),
        (
            Fault::Status {
                code: 403,
                retry_after: None,
                body: None,
            },
            Kind::Zip,
        ),
        (
            Fault::Status {
                code: 401,
                retry_after: None,
                body: None,
            },
            Kind::Info,
        ),
        (
            Fault::Status {
                code: 451,
                retry_after: None,
                body: None,
            },
            Kind::Zip,
        ),
    ] {
        let proxy = proxy_with([Rule::new(fault.clone()).on(kind)]);
        let second = proxy_with([]);
        let routes = format!("{};{}", proxy.url(), second.url());
        let sandbox = to_download(&proxy).env("GOFIX_ROUTES", routes);
        let outcome = sandbox.go(&["mod", "download"]).output().expect_code(1);
        assert_eq!(attempts(&sandbox), 1, "{fault:?}: {outcome}");
        assert_eq!(second.requests().len(), 0, "{fault:?}");
        assert_eq!(outcome.gofix_lines(), [""; 0], "{fault:?}: {outcome}");
    }
}

#[test]
fn the_users_own_mistakes_are_left_to_go() {
    let proxy = proxy_with([]);
    for (name, content) in [
        ("go.mod", "module example.com/main\n\ngo 1.21\n\nbroken\n"),
        ("main.go", "package main\n\nfunc main() { undefined() }\n"),
    ] {
        let sandbox = to_download(&proxy);
        sandbox.write("main.go", "package main\n\nfunc main() {}\n");
        sandbox.write(name, content);
        let with = sandbox.go(&["build", "./..."]).output().expect_code(1);
        let without = sandbox.plain_go(&["build", "./..."]).output().expect_code(1);
        assert_eq!((with.stdout, with.stderr), (without.stdout, without.stderr));
        assert_eq!(attempts(&sandbox), 1);
    }
}

#[test]
fn gofix_dies_of_what_go_died_of_and_leaves_nobody() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let proxy = proxy_with([Rule::new(Fault::StallHeader).on(Kind::Mod)]);
        let sandbox = to_download(&proxy).env("GOFIX_STALL_MS", "600000");
        let running = sandbox.go(&["mod", "download"]).spawn();
        assert!(proxy.wait_for(Duration::from_secs(60), |requests| !requests.is_empty()));
        running.signal(signal);
        let outcome = running.wait();
        assert_eq!(outcome.signal(), Some(signal as i32), "{outcome}");
        assert_eq!(attempts(&sandbox), 1);
        assert!(proxy.wait_for(Duration::from_secs(60), |requests| {
            requests.iter().all(|request| request.took.is_some())
        }));
    }
}

#[test]
fn go_dies_with_gofix() {
    let proxy = proxy_with([Rule::new(Fault::StallHeader).on(Kind::Mod)]);
    let sandbox = to_download(&proxy).env("GOFIX_STALL_MS", "600000");
    let running = sandbox.go(&["mod", "download"]).spawn();
    assert!(proxy.wait_for(Duration::from_secs(60), |requests| !requests.is_empty()));
    running.signal(Signal::SIGKILL);
    assert_eq!(running.wait().signal(), Some(9));
    assert!(proxy.wait_for(Duration::from_secs(60), |requests| {
        requests.iter().all(|request| request.took.is_some())
    }));
}

#[test]
fn a_signal_during_the_wait_ends_it() {
    let proxy = proxy_with([Rule::new(Fault::Status {
        code: 429,
        retry_after: None,
        body: None,
    })
    .on(Kind::Mod)]);
    let sandbox = to_download(&proxy);
    let running = sandbox.go(&["mod", "download"]).spawn();
    let report = sandbox.project().join(REPORT);
    wait_until(|| fs::read_to_string(&report).is_ok_and(|text| text.contains("\"backoff\"")));
    running.signal(Signal::SIGTERM);
    let outcome = running.wait();
    assert_eq!(outcome.signal(), Some(15), "{outcome}");
    assert!(
        outcome.stderr.contains("429"),
        "go's own words are there: {outcome}"
    );
}

#[test]
fn a_held_lock_is_named_and_waited_for_no_longer_than_the_budget() {
    let proxy = proxy_with([]);
    let sandbox = to_tidy(&proxy).env("GOFIX_BUDGET", "2s");
    fs::create_dir_all(sandbox.modcache().join("cache")).unwrap();
    let lock = File::create(sandbox.modcache().join("cache/lock")).unwrap();
    lock.lock().unwrap();
    let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(124);
    let holder = std::process::id().to_string();
    assert!(
        outcome
            .gofix_lines()
            .iter()
            .any(|line| line.contains("cache/lock") && line.contains(&holder)),
        "{outcome}"
    );
}

/// The status of a command, and what it wrote to a file that is its stdout and its stderr.
fn into_one_file(sandbox: &Sandbox, mut run: Run) -> (ExitStatus, String) {
    let path = sandbox.path("both");
    let file = File::create(&path).unwrap();
    run.command.stdout(file.try_clone().unwrap()).stderr(file);
    let status = run.command.status().unwrap();
    (status, fs::read_to_string(path).unwrap())
}

#[test]
fn one_file_for_both_streams_keeps_the_order() {
    let proxy = proxy_with([]);
    let sandbox = to_download(&proxy);
    sandbox.plain_go(&["mod", "download"]).output().expect_code(0);
    let args = &["list", "-deps", "./nosuch", "./...", "fmt"];
    assert_eq!(
        into_one_file(&sandbox, sandbox.go(args)),
        into_one_file(&sandbox, sandbox.plain_go(args))
    );
}

/// JSON for stdout and text for stderr, as a CI log gets both.
#[test]
fn one_file_keeps_the_order_of_json_and_text() {
    let proxy = proxy_with([]);
    let sandbox = to_download(&proxy).shared_build_cache();
    sandbox.write(
        "good/good.go",
        "package good\n\nimport \"fmt\"\n\nfunc F() { fmt.Printf(\"%d\", \"a\") }\n",
    );
    sandbox.write("bad/bad.go", "package bad\n\nvar x int = \"a\"\n");
    sandbox.plain_go(&["mod", "download"]).output().expect_code(0);
    for args in [
        &["vet", "-json", "./good"][..],
        &["vet", "-json", "./bad"],
        &["vet", "-json", "-p=1", "./good", "./bad"],
        &["build", "-json", "./bad"],
        &["list", "-e", "-json=ImportPath", "./bad", "./nosuch"],
    ] {
        let plain = into_one_file(&sandbox, sandbox.plain_go(args));
        for relay in ["off", "on"] {
            let run = sandbox.go(args).env("GOFIX_RELAY", relay);
            assert_eq!(into_one_file(&sandbox, run), plain, "{args:?} {relay}");
        }
    }
}

/// A go that the user's own programs start below a go: below a test and below a generator.
#[test]
fn a_go_below_the_users_program_is_the_same() {
    let proxy = proxy_with([]);
    let sandbox = to_download(&proxy).shared_build_cache();
    sandbox.write("go.sum", catalogue().go_sum());
    sandbox.write(
        "main.go",
        "package main\n\n//go:generate sh nested.sh\n\nimport _ \"example.com/a\"\n\nfunc main() {}\n",
    );
    sandbox.write(
        "nested.sh",
        "go env GOMOD GOPROXY GOFLAGS && go list -m all && go vet ./... && go list -deps . | tail -1; echo ended with $?\n",
    );
    sandbox.write(
        "main_test.go",
        "package main\n\nimport (\n\t\"os\"\n\t\"os/exec\"\n\t\"testing\"\n)\n\nfunc TestNested(t *testing.T) {\n\
        \tout, err := exec.Command(\"sh\", \"nested.sh\").CombinedOutput()\n\
        \tif err != nil {\n\t\tt.Fatal(err)\n\t}\n\tos.WriteFile(\"out\", out, 0o600)\n}\n",
    );
    let real = format!("{}:/usr/bin:/bin", real_go().parent().unwrap().display());
    for relay in ["off", "on", "auto"] {
        for args in [&["test", "-count=1", "."][..], &["generate", "./..."]] {
            let seen = |run: Run| {
                sandbox.write("out", "");
                let stdout = run.env("GOFIX_RELAY", relay).output().expect_code(0).stdout;
                let said = if args[0] == "test" {
                    sandbox.read("out")
                } else {
                    stdout
                };
                // With the relay on a carried command sees it in front of the list, as the documentation says.
                said.lines()
                    .map(|line| line.rsplit('|').next().unwrap_or(line).to_owned())
                    .collect::<Vec<_>>()
            };
            let plain = seen(sandbox.plain_go(args).env("PATH", &real));
            assert_eq!(seen(sandbox.go(args)), plain, "{relay} {args:?}");
            assert_eq!(plain.last().map(String::as_str), Some("ended with 0"));
        }
    }
    sandbox.expect_nobody();
}

#[test]
fn the_toolchain_is_chosen_as_without_gofix() {
    let proxy = proxy_with([]);
    for choice in [
        "local",
        "path",
        "auto",
        "go1.99.9",
        "go1.99.9+path",
        "go1.21.0+auto",
        "no",
    ] {
        for args in [
            &["list", "-m"][..],
            &["version"],
            &["test", "-n", "."],
            &["mod", "download"],
        ] {
            let ended = |is_gofix: bool, relay: &str| {
                let sandbox = to_download(&proxy).env("GOTOOLCHAIN", choice);
                let run = if is_gofix {
                    sandbox.go(args)
                } else {
                    sandbox.plain_go(args)
                };
                let outcome = run.env("GOFIX_RELAY", relay).output();
                let said = |text: &str| {
                    let own = text.lines().filter(|line| !line.starts_with("gofix: "));
                    sandbox.without_place(&own.collect::<Vec<_>>().join("\n"))
                };
                (outcome.code(), said(&outcome.stdout), said(&outcome.stderr))
            };
            let plain = ended(false, "off");
            for relay in ["off", "on"] {
                assert_eq!(ended(true, relay), plain, "{choice} {args:?} {relay}");
            }
        }
    }
}

/// What stands in stdin is for whoever reads it next.
#[test]
fn stdin_is_left_as_it_is() {
    let proxy = proxy_with([Rule::new(Fault::ResetBeforeHeader).on(Kind::Mod).first(1)]);
    let sandbox = to_download(&proxy);
    sandbox.write("words", "for the next\n");
    for args in [
        &["mod", "download"][..],
        &["list", "-m", "all"],
        &["mod", "verify"],
    ] {
        let mut words = File::open(sandbox.project().join("words")).unwrap();
        let mut run = sandbox.go(args);
        run.command.stdin(words.try_clone().unwrap());
        run.output().expect_code(0);
        assert_eq!(words.stream_position().unwrap(), 0, "{args:?}");
    }
}

#[test]
fn a_flood_goes_through_with_flat_memory() {
    for (script, stream) in [
        ("head -c 100000000 /dev/zero | tr '\\0' '\\n'", "stdout"),
        ("head -c 100000000 /dev/zero | tr '\\0' '\\n' >&2", "stderr"),
        ("head -c 100000000 /dev/zero >&2", "stderr without lines"),
    ] {
        // The last thing the child does is to look at its parent.
        let script = format!("{script}; grep VmHWM /proc/$PPID/status > peak");
        let proxy = proxy_with([]);
        let sandbox = to_download(&proxy).scripted(&script);
        let mut run = sandbox.go(&["list"]);
        let sink = File::create(sandbox.path("sink")).unwrap();
        let null = File::options().write(true).open("/dev/null").unwrap();
        if stream == "stdout" {
            run.command.stdout(sink).stderr(null);
        } else {
            run.command.stdout(null).stderr(sink);
        }
        assert!(run.command.status().unwrap().success());
        assert_eq!(
            fs::metadata(sandbox.path("sink")).unwrap().len(),
            100_000_000,
            "{stream}"
        );
        let peak: u64 = sandbox
            .read("peak")
            .split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        // In kB; a debug build is larger than what is shipped.
        assert!(peak < 32 << 10, "{stream}: {peak} kB");
    }
}

#[test]
fn a_go_below_a_supervised_one_is_passed_through() {
    let proxy = proxy_with([]);
    let sandbox = to_download(&proxy);
    let shim = sandbox.path("shims/go");
    // The outer go is a script that calls the shim again.
    let script = format!("exec 3>&1; echo outer; GOFIX_GO= {} list -m", shim.display());
    let sandbox = sandbox.scripted(&script);
    let outcome = sandbox.go(&["list"]).output().expect_code(0);
    assert_eq!(outcome.stdout, "outer\nexample.com/main\n");
    assert_eq!(attempts(&sandbox), 1, "{outcome}");
}

#[test]
fn a_reader_that_goes_away_ends_it_as_it_ends_go() {
    let proxy = proxy_with([]);
    let sandbox = to_download(&proxy);
    let closed = |mut run: Run| {
        let (read_end, write_end) = nix::unistd::pipe().unwrap();
        drop(read_end);
        run.command.stdout(write_end);
        let outcome = run.command.output().unwrap();
        outcome.status
    };
    assert_eq!(
        closed(sandbox.go(&["list", "-m"])),
        closed(sandbox.plain_go(&["list", "-m"]))
    );
}

#[test]
fn a_full_or_closed_stderr_changes_nothing() {
    let healthy = go_mod_of_a_healthy_tidy();
    for closed in [&[][..], &[2], &[0, 1, 2]] {
        let fault = Fault::ResetBody { after: None };
        let proxy = proxy_with([Rule::new(fault).on(Kind::Zip).module(B).first(2)]);
        let sandbox = to_tidy(&proxy);
        let mut run = sandbox.go(&["mod", "tidy"]);
        if closed.is_empty() {
            run.command
                .stderr(File::options().write(true).open("/dev/full").unwrap());
        }
        #[expect(unsafe_code, reason = "closing descriptors of the child")]
        // SAFETY: close(2) only.
        unsafe {
            run.command.pre_exec(move || {
                for fd in closed {
                    libc::close(*fd);
                }
                Ok(())
            });
        }
        assert!(run.command.status().unwrap().success(), "{closed:?}");
        assert_eq!((sandbox.read("go.mod"), sandbox.read("go.sum")), healthy);
        assert!(attempts(&sandbox) > 1, "{closed:?}");
    }
}

#[test]
fn a_full_disk_for_the_spool_loses_nothing() {
    let proxy = proxy_with([]);
    let sandbox = to_download(&proxy)
        .scripted("head -c 1000000 /dev/zero; exit 3")
        .env("TMPDIR", "/nonexistent/folder");
    let mut run = sandbox.go(&["list"]);
    let sink: PathBuf = sandbox.path("sink");
    run.command.stdout(File::create(&sink).unwrap());
    assert_eq!(run.command.status().unwrap().code(), Some(3));
    assert_eq!(fs::metadata(sink).unwrap().len(), 1_000_000);
}

#[test]
fn carried_commands_fetch_first_and_run_once() {
    let proxy = proxy_with([Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip).first(1)]);
    let sandbox = to_tidy(&proxy).shared_build_cache();
    sandbox.write(
        "go.mod",
        "module example.com/main\n\ngo 1.21\n\nrequire example.com/b v1.1.0\n",
    );
    sandbox.write("go.sum", catalogue().go_sum());
    sandbox.write(
        "main.go",
        "package main\n\nimport (\n\t\"os\"\n\t_ \"example.com/b\"\n)\n\nfunc main() {\n\tf, _ := os.OpenFile(os.Args[1], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)\n\tf.WriteString(\"ran\\n\")\n\tprintln(\"dial tcp: connection refused\")\n\tos.Exit(7)\n}\n",
    );
    let outcome: Outcome = sandbox.go(&["run", ".", "ran.txt"]).output().expect_code(1);
    assert_eq!(sandbox.read("ran.txt"), "ran\n", "{outcome}");
    assert!(outcome.stderr.ends_with("exit status 7\n"), "{outcome}");
    assert!(outcome.stderr.contains("connection refused"), "{outcome}");
}

/// A program of the user's that go starts by itself with each command (from Go 1.24 on).
#[test]
fn a_program_for_the_build_cache_is_started_as_often_as_by_go() {
    let proxy = proxy_with([]);
    for in_file in [false, true] {
        let starts = |is_gofix: bool| {
            let mut sandbox = to_download(&proxy);
            let program = sandbox.script("program", "echo started >>started\nexit 1\n");
            let started = sandbox.project().join("started");
            fs::write(&started, "").unwrap();
            sandbox = if in_file {
                sandbox.write("env", format!("GOCACHEPROG={}\n", program.display()));
                let file = sandbox.project().join("env");
                sandbox.env("GOENV", file)
            } else {
                sandbox.env("GOCACHEPROG", program)
            };
            sandbox.write("go.sum", catalogue().go_sum());
            let args = &["test", "./..."];
            let run = if is_gofix {
                sandbox.go(args)
            } else {
                sandbox.plain_go(args)
            };
            let code = run.output().code();
            let fetches = sandbox.project().join(REPORT).exists();
            (code, sandbox.read("started"), fetches)
        };
        let (plain, with) = (starts(false), starts(true));
        assert_eq!((&with.0, &with.1), (&plain.0, &plain.1), "in a file: {in_file}");
        assert!(go_minor() < 24 || plain.1 == "started\n", "{plain:?}");
        // What can be kept out of the prefetch is, and the prefetch is made.
        assert_eq!(with.2, !in_file);
    }
}

#[test]
fn what_go_test_could_not_set_up_is_fetched_again() {
    let fault = unavailable(None);
    let proxy = proxy_with([Rule::new(fault).on(Kind::Zip).module(B).first(1)]);
    let sandbox = to_download(&proxy).shared_build_cache();
    sandbox.write("go.sum", catalogue().go_sum());
    let outcome = sandbox.go(&["test", "./..."]).output().expect_code(0);
    assert_eq!(attempts(&sandbox), 2, "{outcome}");
}

/// A package that is named on the line fails without a place in a file in front.
#[test]
fn what_go_run_could_not_set_up_is_fetched_again() {
    let fault = unavailable(None);
    let catalogue = Catalogue::new().with(Module::new(A, "v1.0.0").file(
        "cmd/x/x.go",
        "package main\n\nfunc main() { println(\"x runs\") }\n",
    ));
    let sum = catalogue.go_sum();
    let proxy = FaultProxy::builder(catalogue)
        .rules([Rule::new(fault).on(Kind::Zip).first(1)])
        .start()
        .unwrap();
    let sandbox = quick(
        Sandbox::new()
            .env("GOPROXY", proxy.url())
            .requiring(&[(A, "v1.0.0")]),
    )
    .shared_build_cache();
    sandbox.write("go.sum", sum);
    let outcome = sandbox
        .go(&["run", "example.com/a/cmd/x"])
        .output()
        .expect_code(0);
    assert!(outcome.stderr.ends_with("x runs\n"), "{outcome}");
    assert_eq!(attempts(&sandbox), 2, "{outcome}");
}

/// A prefetch that failed is no reason to leave out the next one.
#[test]
fn a_prefetch_that_failed_is_not_remembered() {
    let fault = |count| {
        let fault = unavailable(None);
        Rule::new(fault).on(Kind::Zip).module(B).first(count)
    };
    let proxy = proxy_with([fault(100)]);
    let sandbox = to_download(&proxy)
        .shared_build_cache()
        .env("GOFIX_RETRY_COUNT", "1");
    sandbox.write("go.sum", catalogue().go_sum());
    sandbox.write("main_test.go", "package main\n\nimport (\n\t\"testing\"\n\n\t_ \"example.com/b\"\n)\n\nfunc TestMain(t *testing.T) {}\n");
    sandbox.write("main.go", "package main\n\nfunc main() {}\n");
    sandbox.go(&["test", "example.com/b"]).output().expect_code(1);
    proxy.set_rules([fault(1)]);
    sandbox.go(&["test", "example.com/b"]).output().expect_code(0);
}

/// What is too much for stdout is told in go's own words, and with its status.
#[test]
fn a_stdout_that_takes_no_more_is_told_as_go_tells_it() {
    let proxy = proxy_with([]);
    let sandbox = to_download(&proxy).env("GOFIX_REPORT", "");
    for line in [
        "\"$0\" list std >/dev/full",
        "\"$0\" list -deps -json fmt >/dev/full",
        "\"$0\" list std 1</dev/null",
        "ulimit -f 1; \"$0\" list std >out",
    ] {
        let run = |go: &str| {
            let script = format!("{line}; echo $?");
            let outcome = sandbox.run("/bin/sh").args(["-c", &script, go]).output();
            (outcome.stdout, outcome.stderr)
        };
        assert_eq!(run("go"), run(real_go().to_str().unwrap()), "{line}");
    }
}

/// Where go runs again in gofix's place to say it in its own words, gofix has neither given up nor finished.
#[test]
fn a_full_stdout_is_left_to_go_without_a_word() {
    let proxy = proxy_with([Rule::new(unavailable(None)).on(Kind::Zip).module(B)]);
    let sandbox = to_download(&proxy).env("GOFIX_RETRY_COUNT", "0");
    for arguments in ["mod download -json", "list -m -json all"] {
        let run = |go: &str| {
            let script = format!("\"$0\" {arguments} >/dev/full; echo $?");
            let outcome = sandbox.run("/bin/sh").args(["-c", &script, go]).output();
            (outcome.stdout, outcome.stderr)
        };
        assert_eq!(run("go"), run(real_go().to_str().unwrap()), "{arguments}");
        let events = events(&sandbox);
        assert_eq!(events.get("gave_up"), None, "{arguments}");
        assert_eq!(events.get("finished"), None, "{arguments}");
    }
}

/// A command that was asked to end does not run again because nobody takes what it had printed.
#[test]
fn a_full_stdout_starts_nothing_after_a_signal() {
    let sandbox = quick(Sandbox::new().importing(&[]))
        .env("GOPROXY", "http://127.0.0.1:1")
        .scripted("if [ -e asked ]; then echo again >>asked; exit; fi\necho first >asked; echo words; kill -INT $PPID $$");
    let mut run = sandbox.go(&["list"]);
    run.command
        .stdout(File::options().write(true).open("/dev/full").unwrap());
    let status = run.command.status().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGINT), "{status}");
    assert_eq!(sandbox.read("asked"), "first\n");
}

/// Go's runtime ends itself where nobody reads, even where SIGPIPE was ignored when it started.
#[test]
fn a_reader_that_is_gone_ends_both_in_the_same_way() {
    let proxy = proxy_with([]);
    let sandbox = to_download(&proxy);
    for (trap, arguments) in [
        ("", "list std"),
        ("trap '' PIPE; ", "list std"),
        ("trap '' PIPE; ", "build ./nowhere"),
    ] {
        let run = |go: &str| {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let script = format!("{trap}exec \"$0\" {arguments} 2>&1");
            let mut run = sandbox.run("/bin/sh").args(["-c", &script, go]);
            run.command.stdout(writer).status().unwrap()
        };
        let plain = run(real_go().to_str().unwrap());
        assert_eq!(run("go"), plain, "{trap}{arguments}");
        assert_eq!(plain.signal(), Some(libc::SIGPIPE), "{trap}{arguments}");
    }
}

/// Another copy of gofix further down in PATH is passed through by the first.
#[test]
fn a_second_copy_of_gofix_does_not_supervise_again() {
    let proxy = proxy_with([Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip)]);
    let sandbox = to_download(&proxy).env("GOFIX_RETRY_COUNT", "1");
    let second = sandbox.path("second");
    fs::create_dir(&second).unwrap();
    for (from, name) in [(shim_exe(), "go"), (gofix_exe(), "gofix")] {
        fs::copy(from, second.join(name)).unwrap();
    }
    let path = std::env::join_paths([
        sandbox.path("shims"),
        second,
        real_go().parent().unwrap().to_path_buf(),
        "/usr/bin".into(),
        "/bin".into(),
    ]);
    let run = sandbox
        .go(&["mod", "download", "example.com/b"])
        .env("PATH", path.unwrap());
    run.output().expect_code(1);
    let zips = proxy
        .requests()
        .iter()
        .filter(|request| request.kind() == Kind::Zip)
        .count();
    assert_eq!((zips, attempts(&sandbox)), (2, 2));
}

#[test]
fn json_in_goflags_is_read_as_on_the_line() {
    let proxy = proxy_with([Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip).first(1)]);
    let sandbox = to_download(&proxy).env("GOFLAGS", "-json");
    sandbox
        .go(&["mod", "download", "example.com/b@v1.1.0"])
        .output()
        .expect_code(0);
    assert_eq!(attempts(&sandbox), 2);
}

/// go fetches a toolchain before it looks at the command; what it says of a fault there is read like any other.
#[test]
fn a_switch_of_the_toolchain_comes_through_faults() {
    let catalogue = catalogue().with(toolchain());
    for (kind, every) in [(Kind::Zip, 1), (Kind::Lookup, 3), (Kind::Tile, 3)] {
        for fault in passing_faults().into_iter().step_by(every) {
            let project = |rule: Option<Rule>| {
                let sumdb = SumDb::new("sum.example.test", &catalogue);
                let proxy = FaultProxy::builder(catalogue.clone())
                    .sumdb(sumdb)
                    .rules(rule)
                    .start()
                    .unwrap();
                let sandbox = to_download(&proxy).env("GOTOOLCHAIN", "auto");
                sandbox.write("go.mod", "module example.com/main\n\ngo 1.99.0\n");
                (proxy, sandbox)
            };
            let rule = || Some(Rule::new(fault.clone()).on(kind).first(1));
            let (_proxy, sandbox) = project(None);
            let expected = sandbox.plain_go(&["mod", "download"]).output().expect_code(0);
            assert_eq!(expected.stdout, "go version go1.99.0 fake/fake\n");
            // Go itself asks again where a connection that it used before has ended.
            let ends = matches!(fault, Fault::CloseBeforeHeader | Fault::ResetBeforeHeader);
            if !ends && !matches!(fault, Fault::StallHeader | Fault::StallBody { .. }) {
                let (_proxy, sandbox) = project(rule());
                let plain = sandbox.plain_go(&["mod", "download"]).output();
                assert_eq!(plain.code(), Some(1), "{kind:?} {fault:?}: {plain}");
            }
            let (_proxy, sandbox) = project(rule());
            let outcome = sandbox.go(&["mod", "download"]).output();
            assert_eq!(outcome.code(), Some(0), "{kind:?} {fault:?}: {outcome}");
            assert_eq!(outcome.stdout, expected.stdout, "{kind:?} {fault:?}: {outcome}");
            let expected = if ends { 1..=2 } else { 2..=2 };
            assert!(
                expected.contains(&attempts(&sandbox)),
                "{kind:?} {fault:?}: {outcome}"
            );
        }
    }
}

#[test]
fn inherited_descriptors_reach_go() {
    let proxy = proxy_with([]);
    let sandbox = to_download(&proxy).scripted("echo through >&5; ls -1 /proc/self/fd | wc -l");
    let file = File::create(sandbox.path("five")).unwrap();
    let fd = file.as_fd().as_raw_fd();
    let with_five = |mut run: Run| {
        #[expect(unsafe_code, reason = "handing a descriptor on")]
        // SAFETY: dup2(2) only.
        unsafe {
            run.command.pre_exec(move || {
                if libc::dup2(fd, 5) < 0 {
                    Err(std::io::Error::last_os_error())
                } else {
                    Ok(())
                }
            });
        }
        run.output().expect_code(0).stdout
    };
    let with = with_five(sandbox.go(&["list"]));
    let without = with_five(sandbox.run(sandbox.path("scripted/bin/go")));
    assert_eq!(
        fs::read_to_string(sandbox.path("five")).unwrap(),
        "through\nthrough\n"
    );
    // As many as without gofix: nothing of its own goes on.
    assert_eq!(with, without);
}

/// The same with the relay in between.
fn relayed(sandbox: Sandbox) -> Sandbox {
    sandbox.env("GOFIX_RELAY", "on")
}

#[test]
fn with_the_relay_one_run_of_go_is_enough() {
    let healthy = go_mod_of_a_healthy_tidy();
    let whole = |fault: &Fault| !matches!(fault, Fault::ShortBody { .. });
    // A go.mod that is cut and says so nowhere is for go's checksums to find.
    for fault in passing_faults().into_iter().filter(whole) {
        let rules = [Kind::List, Kind::Mod, Kind::Zip].map(|kind| Rule::new(fault.clone()).on(kind).first(1));
        let proxy = proxy_with(rules);
        let sandbox = relayed(to_tidy(&proxy)).env("GOFIX_TIMEOUT_MS", "1000");
        let outcome = sandbox.go(&["mod", "tidy"]).output();
        assert_eq!(outcome.code(), Some(0), "{fault:?}: {outcome}");
        assert_eq!(
            (sandbox.read("go.mod"), sandbox.read("go.sum")),
            healthy,
            "{fault:?}: {outcome}"
        );
        assert_eq!(attempts(&sandbox), 1, "{fault:?}: {outcome}");
    }
}

#[test]
fn with_the_relay_a_healthy_command_is_exactly_go() {
    let proxy = proxy_with([]);
    let (with, without) = (relayed(to_tidy(&proxy)), to_tidy(&proxy));
    let relayed = with.go(&["mod", "tidy"]).output().expect_code(0);
    let plain = without.plain_go(&["mod", "tidy"]).output().expect_code(0);
    assert_eq!(sorted(&relayed.stderr), sorted(&plain.stderr));
    for args in [
        &["list", "-m", "-json", "all"][..],
        &["mod", "download", "-json", "example.com/b@latest"],
        &["mod", "download", "example.com/a@v9.9.9"],
        &["list", "-m", "-versions", "example.com/nosuch"],
        &["get", "example.com/b@v3.0.0"],
        &["mod", "download", "-x"],
    ] {
        let (relayed, plain) = (with.go(args).output(), without.plain_go(args).output());
        assert_eq!(relayed.status, plain.status, "{args:?}: {relayed}");
        assert_eq!(
            with.without_place(&relayed.stdout),
            without.without_place(&plain.stdout),
            "{args:?}"
        );
        assert_eq!(
            with.without_place(&relayed.stderr),
            without.without_place(&plain.stderr),
            "{args:?}"
        );
    }
}

#[test]
fn a_fault_past_the_relay_is_doubted_as_without_it() {
    // A GOSUMDB with a URL is asked straight by go, and tidy swallows its fault.
    let healthy = go_mod_of_a_healthy_tidy();
    let proxy = proxy_with([Rule::new(Fault::CloseBeforeHeader)
        .on(Kind::Lookup)
        .module(B)
        .first(1)]);
    let sandbox = relayed(to_tidy(&proxy));
    let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(0);
    assert_eq!(
        (sandbox.read("go.mod"), sandbox.read("go.sum")),
        healthy,
        "{outcome}"
    );
}

#[test]
fn faults_that_outlast_the_relay_are_not_taken_for_an_answer_of_tidy() {
    // Longer than anybody waits: the tries are spent at once.
    let fault = unavailable(Some("3600"));
    let proxy = proxy_with([Rule::new(fault).on(Kind::List).module(B)]);
    let sandbox = relayed(to_tidy(&proxy));
    let before = sandbox.read("go.mod");
    let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(1);
    assert_eq!(sandbox.read("go.mod"), before, "{outcome}");
    assert!(!sandbox.project().join("go.sum").exists());
    assert!(outcome.stderr.contains("takes the result as it is"), "{outcome}");
}

/// go writes through links, and goes by the name that the shell gives the directory.
#[test]
fn files_behind_links_are_put_back_as_well() {
    let fault = unavailable(Some("3600"));
    let proxy = proxy_with([Rule::new(fault).on(Kind::List).module(B)]);
    for link in ["go.mod", "go.sum"] {
        let sandbox = relayed(to_tidy(&proxy));
        let real = sandbox.path(format!("real-{link}"));
        if link == "go.mod" {
            fs::rename(sandbox.project().join(link), &real).unwrap();
        }
        std::os::unix::fs::symlink(&real, sandbox.project().join(link)).unwrap();
        let before = sandbox.read("go.mod");
        let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(1);
        assert_eq!(sandbox.read("go.mod"), before, "{link}: {outcome}");
        assert!(outcome.stderr.contains("takes the result as it is"), "{outcome}");
        assert!(sandbox.project().join(link).is_symlink(), "{link}");
        let sums = fs::read_to_string(sandbox.project().join("go.sum")).ok();
        assert_eq!(sums, None, "{link}: {outcome}");
    }

    // p/s leads to another module's folder, and its name is below this one.
    let sandbox = relayed(to_tidy(&proxy));
    let other = sandbox.path("other/sub");
    fs::create_dir_all(&other).unwrap();
    fs::write(sandbox.path("other/go.mod"), "module example.com/other\n").unwrap();
    fs::copy(sandbox.project().join("main.go"), other.join("main.go")).unwrap();
    fs::remove_file(sandbox.project().join("main.go")).unwrap();
    let named = sandbox.project().join("s");
    std::os::unix::fs::symlink(&other, &named).unwrap();
    let before = sandbox.read("go.mod");
    let run = sandbox.go(&["mod", "tidy"]).dir(&named).env("PWD", &named);
    let outcome = run.output();
    assert_eq!(sandbox.read("go.mod"), before, "{outcome}");
    assert!(!sandbox.project().join("go.sum").exists(), "{outcome}");
}

#[test]
fn with_the_relay_a_dead_route_is_answered_from_the_next() {
    let healthy = go_mod_of_a_healthy_tidy();
    for door in [Door::Refuse, Door::Close, Door::Reset] {
        let dead = FaultProxy::builder(catalogue()).door(door).start().unwrap();
        let second = proxy_with([]);
        let routes = format!("{};{}", dead.url(), second.url());
        let sandbox = relayed(to_tidy(&dead))
            .env("GOSUMDB", second.gosumdb())
            .env("GOFIX_ROUTES", routes);
        let outcome = sandbox.go(&["mod", "tidy"]).output();
        assert_eq!(outcome.code(), Some(0), "{door:?}: {outcome}");
        assert_eq!(
            (sandbox.read("go.mod"), sandbox.read("go.sum")),
            healthy,
            "{door:?}"
        );
        assert_eq!(attempts(&sandbox), 1, "{door:?}");
    }
}

#[test]
fn with_the_relay_on_a_carried_command_has_it_in_front_of_its_own_list() {
    let proxy = proxy_with([Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip).first(1)]);
    let sandbox = relayed(to_download(&proxy)).shared_build_cache();
    sandbox.write("go.sum", catalogue().go_sum());
    sandbox.write(
        "main.go",
        "package main\n\nimport (\n\t\"os\"\n\t_ \"example.com/b\"\n)\n\nfunc main() {\n\tprint(os.Getenv(\"GOPROXY\"))\n\tos.Exit(3)\n}\n",
    );
    let outcome = sandbox.go(&["run", "."]).output().expect_code(1);
    let list = outcome
        .stderr
        .lines()
        .find(|line| line.starts_with("http://127.0.0.1"))
        .unwrap_or_default();
    assert!(list.contains(&format!("|{}", proxy.url())), "{outcome}");
    assert!(outcome.stderr.ends_with("exit status 3\n"), "{outcome}");
}
