//! When go runs again, when it does not, and what becomes of the user's files in between.

use super::*;

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
        (status(404, None), Kind::Zip),
        (status(410, None), Kind::Mod),
        (status(403, None), Kind::Zip),
        (status(401, None), Kind::Info),
        (status(451, None), Kind::Zip),
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
        assert!(
            outcome.stderr.contains("accepts the result as it is"),
            "{outcome}"
        );
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
