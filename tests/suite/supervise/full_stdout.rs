//! A stdout that takes no more, or that nobody reads.

use super::*;

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
