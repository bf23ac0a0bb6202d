//! Which commands the shim hands to gofix, and what happens where gofix is off or cannot run.

use super::*;

/// A shim with a gofix beside it that only says how it was called.
fn shim_with_recorder(sandbox: &Sandbox) -> PathBuf {
    let dir = sandbox.path("recorder");
    fs::create_dir(&dir).unwrap();
    fs::copy(shim_exe(), dir.join("go")).unwrap();
    executable(&dir.join("go"));
    write_program(
        &dir.join("gofix"),
        "#!/bin/sh\nfor arg; do printf '<%s>' \"$arg\"; done; echo; env -0 >$RECORD\n",
    );
    dir.join("go")
}

#[test]
fn only_commands_that_fetch_are_handed_over() {
    let probe = Probe::new();
    let go = shim_with_recorder(&probe.sandbox);
    let real = probe.sandbox.path("probe/bin/go");
    let record = probe.sandbox.path("record");
    let run = |args: &[&str]| {
        let path = path_of(&[
            go.parent().unwrap().as_os_str(),
            real.parent().unwrap().as_os_str(),
            OsStr::new("/usr/bin:/bin"),
        ]);
        probe
            .sandbox
            .run(&go)
            .args(args)
            .env("PATH", path)
            .env("GOPROXY", "https://proxy.example")
            .env("RECORD", &record)
    };
    for args in [
        &["mod", "tidy"][..],
        &["-C", "d", "build", "./..."],
        &["test"],
        &["get", "a b", ""],
    ] {
        let outcome = run(args).output().expect_code(0);
        let words: String = args.iter().map(|arg| format!("<{arg}>")).collect();
        assert_eq!(
            outcome.stdout,
            format!("<--gofix-shim-protocol><1><{}><>{words}\n", real.display())
        );
        let environment = fs::read(&record).unwrap();
        let guard = gofix_shim::toolchain::GUARD.as_bytes();
        let entries: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
        assert!(
            !entries.iter().any(|entry| entry.starts_with(guard)),
            "nothing is added to the environment"
        );
    }
    let goflags = run(&["build"]).env("GOFLAGS", "-mod=vendor").output();
    assert!(!goflags.stdout.contains("protocol"), "{goflags}");
    // sh takes the word for a script, which is not there.
    for args in [
        &["version"][..],
        &["mod", "init"],
        &["frob"],
        &["build", "-mod=vendor"],
        &["tool", "compile"],
    ] {
        let outcome = run(args).output();
        assert!(!outcome.stdout.contains("protocol"), "{args:?}: {outcome}");
        assert!(outcome.stderr.contains("go: "), "{args:?}: {outcome}");
    }
}

#[test]
fn switched_off_it_is_not_there() {
    let probe = Probe::new();
    let go = shim_with_recorder(&probe.sandbox);
    let real = probe.sandbox.path("probe/bin");
    let run = |name: &str, value: &str| {
        let path = path_of(&[
            go.parent().unwrap().as_os_str(),
            real.as_os_str(),
            OsStr::new("/usr/bin:/bin"),
        ]);
        probe
            .sandbox
            .run(&go)
            .args(["build", "x"])
            .env("PATH", path)
            .env("RECORD", probe.sandbox.path("record"))
            .env("GOPROXY", "https://proxy.example")
            .env(name, value)
            .output()
            .stdout
            .contains("protocol")
    };
    for (name, value) in [
        ("GOFIX", "off"),
        ("GOFIX", "0"),
        ("GOFIX", "false"),
        ("GOPROXY", "off"),
        ("GOPROXY", " off"),
    ] {
        assert!(!run(name, value), "{name}={value}");
    }
    for (name, value) in [
        ("GOFIX", ""),
        ("GOFIX", "on"),
        ("GOFIX", "1"),
        ("GOPROXY", ""),
        ("GOPROXY", "direct"),
        ("GOPROXY", "https://x,off"),
    ] {
        assert!(run(name, value), "{name}={value}");
    }
}

#[test]
fn the_machine_wide_switch_is_a_file() {
    let probe = Probe::new();
    let go = shim_with_recorder(&probe.sandbox);
    let etc = probe.sandbox.path("etc");
    fs::create_dir_all(etc.join("gofix")).unwrap();
    let source = CString::new(etc.as_os_str().as_bytes()).unwrap();
    let path = path_of(&[
        go.parent().unwrap().as_os_str(),
        probe.sandbox.path("probe/bin").as_os_str(),
        OsStr::new("/usr/bin:/bin"),
    ]);
    let run = |go: &Path| {
        let mut run = probe
            .sandbox
            .run(go)
            .args(["build", "x"])
            .env("PATH", &path)
            .env("RECORD", probe.sandbox.path("record"))
            .env("GOPROXY", "https://proxy.example");
        let source = source.clone();
        // SAFETY: system calls only.
        #[expect(unsafe_code, reason = "the child gets an /etc of its own")]
        unsafe {
            run.command.pre_exec(move || own_etc(&source));
        }
        run.command.output()
    };
    let without = match run(&go) {
        Ok(output) => output,
        Err(error) => {
            crate::startup::skip(&format!("no mount namespace here ({error})"));
            return;
        }
    };
    assert!(
        String::from_utf8_lossy(&without.stdout).contains("protocol"),
        "{without:?}"
    );
    fs::write(etc.join("gofix/off"), "").unwrap();
    let with = run(&go).unwrap();
    assert!(
        !String::from_utf8_lossy(&with.stdout).contains("protocol"),
        "{with:?}"
    );
}

#[test]
fn a_gofix_that_cannot_run_is_no_obstacle() {
    let probe = Probe::new();
    let sandbox = &probe.sandbox;
    sandbox.write("build", "echo plain \"$@\"\n");
    let dir = sandbox.path("alone");
    fs::create_dir(&dir).unwrap();
    fs::copy(shim_exe(), dir.join("go")).unwrap();
    executable(&dir.join("go"));
    let path = path_of(&[
        dir.as_os_str(),
        sandbox.path("probe/bin").as_os_str(),
        OsStr::new("/usr/bin:/bin"),
    ]);
    let run = || {
        sandbox
            .run(dir.join("go"))
            .args(["build", "a b"])
            .env("PATH", &path)
            .env("GOPROXY", "https://x")
            .output()
    };
    let check = |what: &str| {
        let outcome = run();
        assert_eq!(outcome.stdout, "plain a b\n", "{what}: {outcome}");
        assert_eq!(outcome.stderr, "", "{what}");
    };
    check("none there");
    fs::write(dir.join("gofix"), "text").unwrap();
    check("not executable");
    write_program(&dir.join("gofix"), "no known format");
    check("no known format");
    fs::remove_file(dir.join("gofix")).unwrap();
    fs::create_dir(dir.join("gofix")).unwrap();
    check("a folder");
    fs::remove_dir(dir.join("gofix")).unwrap();
    symlink("/nowhere", dir.join("gofix")).unwrap();
    check("a dead link");
}

#[test]
fn a_protocol_that_gofix_does_not_know_ends_in_go() {
    let probe = Probe::new();
    let go = probe.sandbox.path("probe/bin/go");
    for number in ["2", "0", "", "x"] {
        let outcome = probe
            .sandbox
            .gofix(&["--gofix-shim-protocol", number])
            .args([
                go.as_os_str(),
                OsStr::new(""),
                OsStr::new("-c"),
                OsStr::new("echo \"plain $0\""),
                OsStr::new("build"),
            ])
            .output()
            .expect_code(0);
        assert_eq!(outcome.stdout, "plain build\n");
        assert_eq!(outcome.stderr, "");
    }
}

/// Puts `source` in the place of /etc, for this process alone.
#[expect(unsafe_code, reason = "unshare(2), mount(2)")]
fn own_etc(source: &CString) -> io::Result<()> {
    // SAFETY: strings with a NUL behind them, and null where nothing is needed.
    unsafe {
        let spaces = if libc::geteuid() == 0 {
            libc::CLONE_NEWNS
        } else {
            libc::CLONE_NEWNS | libc::CLONE_NEWUSER
        };
        let none = std::ptr::null();
        if libc::unshare(spaces) != 0
            || libc::mount(
                none,
                c"/".as_ptr(),
                none,
                libc::MS_REC | libc::MS_PRIVATE,
                none.cast(),
            ) != 0
            || libc::mount(
                source.as_ptr(),
                c"/etc".as_ptr(),
                none,
                libc::MS_BIND,
                none.cast(),
            ) != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
