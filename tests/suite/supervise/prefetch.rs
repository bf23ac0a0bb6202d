//! Commands that run the user's code: modules are fetched first, and the command runs once.

use super::*;

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
