//! Signals, streams, descriptors and children: as go has them.

use super::*;

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
    let proxy = proxy_with([Rule::new(status(429, None)).on(Kind::Mod)]);
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
