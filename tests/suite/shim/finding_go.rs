//! Which go is the real one: PATH, toolchain folders, version managers and shims that lead back.

use super::*;

#[test]
fn the_go_behind_the_last_gofix_in_path_is_taken() {
    let sandbox = Sandbox::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        let root = sandbox.path(name);
        toolchain(&root, Path::new("/bin/sh"));
        root.join("bin").into_os_string()
    });
    let shims = sandbox.path("shims").into_os_string();
    let link = sandbox.path("link").into_os_string();
    symlink(&shims, &link).unwrap();
    let real = sandbox.path("by-gofix").into_os_string();
    fs::create_dir(&real).unwrap();
    symlink(gofix_exe(), Path::new(&real).join("go")).unwrap();
    let nowhere = OsString::from("/nowhere");
    let as_file = gofix_exe().as_os_str().to_owned();
    let shim = sandbox.path("shims/go");
    for (dirs, expected) in [
        (&[&shims, &a, &b][..], Some(&a)),
        (&[&a, &shims, &b, &c], Some(&b)),
        (&[&shims, &a, &shims, &b], Some(&b)),
        (&[&shims, &a, &link, &b], Some(&b)),
        (&[&shims, &a, &real, &b], Some(&b)),
        (&[&nowhere, &shims, &as_file, &nowhere, &c], Some(&c)),
        (&[&a, &b], Some(&a)),
        // Called by its own path: without gofix, a would have run.
        (&[&a, &shims], Some(&a)),
        (&[&a, &shims, &b, &link], Some(&a)),
        (&[&shims], None),
        (&[&nowhere], None),
    ] {
        let dirs: Vec<&OsStr> = dirs.iter().map(|dir| dir.as_os_str()).collect();
        let outcome = sandbox
            .run(&shim)
            .args(["-c", "/bin/readlink /proc/$$/exe"])
            .env("PATH", path_of(&dirs))
            .output();
        match expected {
            Some(dir) => {
                let go = fs::canonicalize(Path::new(dir).join("go")).unwrap();
                assert_eq!(
                    outcome.stdout.trim_end(),
                    go.to_str().unwrap(),
                    "{dirs:?}: {outcome}"
                );
            }
            None => {
                assert_eq!(outcome.code(), Some(127), "{dirs:?}: {outcome}");
                for dir in &dirs {
                    assert!(
                        outcome.stderr.contains(dir.to_str().unwrap()),
                        "{dirs:?}: {outcome}"
                    );
                }
                assert_eq!(
                    outcome.gofix_lines().len(),
                    outcome.stderr.lines().count(),
                    "{outcome}"
                );
            }
        }
    }
}

#[test]
fn relative_and_empty_entries_are_stepped_over() {
    let probe = Probe::new();
    write_program(&probe.sandbox.project().join("go"), "#!/bin/sh\necho wrong\n");
    write_program(&probe.sandbox.project().join("bin/go"), "#!/bin/sh\necho wrong\n");
    let mut path = OsString::from(":.:bin:./bin::");
    path.push(probe.path_for(Way::Shim));
    let outcome = probe.sh(Way::Shim, "echo right").env("PATH", &path).output();
    assert_eq!(outcome.stdout, "right\n", "{outcome}");
    let mut path = probe.sandbox.path("shims").into_os_string();
    path.push("::.:bin:");
    let outcome = probe
        .sh(Way::Shim, "echo right")
        .env("PATH", &path)
        .output()
        .expect_code(127);
    assert_eq!(outcome.stdout, "");
    assert!(
        outcome.stderr.contains(".: not absolute, stepped over"),
        "{outcome}"
    );
    assert!(
        outcome.stderr.contains("(empty entry): stepped over"),
        "{outcome}"
    );
}

#[test]
fn no_path_at_all_is_said() {
    let sandbox = Sandbox::new();
    for way in ["shims/go", "gofix-as-go/go"] {
        fs::create_dir_all(sandbox.path("gofix-as-go")).unwrap();
        let _ = symlink(gofix_exe(), sandbox.path("gofix-as-go/go"));
        let mut run = sandbox.run(sandbox.path(way)).args(["version"]);
        run.command.env_remove("PATH");
        let outcome = run.output().expect_code(127);
        assert!(outcome.stderr.contains("gofix:   PATH is not set\n"), "{outcome}");
    }
}

#[test]
fn what_cannot_be_executed_is_126() {
    let sandbox = Sandbox::new();
    let shims = sandbox.path("shims");
    let dir = sandbox.path("plain");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("go"), "no program").unwrap();
    let path = path_of(&[shims.as_os_str(), dir.as_os_str()]);
    let outcome = sandbox
        .go(&["version"])
        .env("PATH", &path)
        .output()
        .expect_code(126);
    assert!(outcome.stderr.contains("go may not be executed"), "{outcome}");
    // One that can be executed comes behind it: as for a shell, that one is taken.
    let next = toolchain(&sandbox.path("next"), Path::new("/bin/sh"));
    let both = path_of(&[&path, next.parent().unwrap().as_os_str()]);
    assert_eq!(
        sandbox
            .go(&["-c", "echo next"])
            .env("PATH", &both)
            .output()
            .stdout,
        "next\n"
    );

    write_program(&dir.join("go"), "#!/nowhere/interpreter\n");
    let outcome = sandbox
        .go(&["version"])
        .env("PATH", &path)
        .output()
        .expect_code(126);
    assert!(outcome.gofix_lines()[0].contains("cannot execute"), "{outcome}");
    // A script that does not say what runs it: a shell runs it, and so does gofix.
    write_program(&dir.join("go"), "echo \"$0 $1 $2\"\n");
    let outcome = sandbox
        .go(&["frob", "x y"])
        .env("PATH", &path)
        .output()
        .expect_code(0);
    assert_eq!(outcome.stdout, format!("{} frob x y\n", dir.join("go").display()));
    // A folder of that name is no go.
    fs::remove_file(dir.join("go")).unwrap();
    fs::create_dir(dir.join("go")).unwrap();
    sandbox
        .go(&["version"])
        .env("PATH", &path)
        .output()
        .expect_code(127);
}

#[test]
fn gofix_go_names_the_real_go() {
    let probe = Probe::new();
    let other = toolchain(&probe.sandbox.path("other"), Path::new("/bin/sh"));
    let run = |setting: &OsStr| {
        let script = "/bin/readlink /proc/$$/exe; echo \"${__GOFIX_GUARD-unset}\"";
        [Way::Shim, Way::Gofix].map(|way| probe.sh(way, script).env("GOFIX_GO", setting).output())
    };
    let expected = format!("{}\nunset\n", fs::canonicalize(&other).unwrap().display());
    for outcome in run(other.as_os_str()) {
        assert_eq!(outcome.stdout, expected, "{outcome}");
    }
    let probes = fs::canonicalize(probe.sandbox.path("probe/bin/go")).unwrap();
    for outcome in run(OsStr::new("")) {
        assert_eq!(
            outcome.stdout,
            format!("{}\nunset\n", probes.display()),
            "{outcome}"
        );
    }
    let plain = probe.sandbox.path("plain");
    fs::write(&plain, "").unwrap();
    let shim = probe.sandbox.path("shims/go");
    for (setting, code, words) in [
        (OsStr::new("bin/go"), 127, "must be an absolute path"),
        (OsStr::new("/nowhere/go"), 127, "names no file"),
        (OsStr::from_bytes(b"/\xff\x1b[2J"), 127, "names no file"),
        (OsStr::new("/"), 127, "names no file"),
        (plain.as_os_str(), 126, "may not be executed"),
        (shim.as_os_str(), 127, "names gofix itself"),
        (gofix_exe().as_os_str(), 127, "names gofix itself"),
        (shim_exe().as_os_str(), 127, "names gofix itself"),
    ] {
        for outcome in run(setting) {
            assert_eq!(outcome.code(), Some(code), "{setting:?}: {outcome}");
            assert_eq!(outcome.stdout, "");
            let [line] = outcome.gofix_lines()[..] else {
                panic!("one line: {outcome}")
            };
            assert!(line.contains(words) && line.contains("GOFIX_GO"), "{line}");
            assert!(!line.contains('\x1b'), "{line:?}");
        }
    }
}

#[test]
fn a_version_managers_shim_is_asked_under_its_own_name() {
    let probe = Probe::new();
    let sandbox = &probe.sandbox;
    // As snap and mise do it: one program, links to it, and the name decides.
    write_program(
        &sandbox.path("snap/dispatch"),
        "#!/bin/sh\necho \"${0##*/} $*\"\n",
    );
    fs::create_dir(sandbox.path("snap/bin")).unwrap();
    symlink("../dispatch", sandbox.path("snap/bin/go")).unwrap();
    let path = path_of(&[
        sandbox.path("shims").as_os_str(),
        sandbox.path("snap/bin").as_os_str(),
        OsStr::new("/usr/bin:/bin"),
    ]);
    let outcome = sandbox
        .go(&["version", "-m"])
        .env("PATH", &path)
        .output()
        .expect_code(0);
    assert_eq!(outcome.stdout, "go version -m\n");
    // The link is what is executed, not what it points to.
    assert_eq!(outcome.stderr, "");
}

#[test]
fn a_link_to_a_toolchain_is_a_toolchain() {
    let probe = Probe::new();
    let sandbox = &probe.sandbox;
    for (name, target) in [
        ("abs", sandbox.path("probe/bin/go")),
        ("rel", PathBuf::from("../probe/bin/go")),
    ] {
        fs::create_dir(sandbox.path(name)).unwrap();
        symlink(&target, sandbox.path(name).join("go")).unwrap();
        let again = sandbox.path(format!("{name}2"));
        fs::create_dir(&again).unwrap();
        symlink(format!("../{name}/go"), again.join("go")).unwrap();
        for dir in [sandbox.path(name), again] {
            let path = path_of(&[sandbox.path("shims").as_os_str(), dir.as_os_str()]);
            let outcome = sandbox
                .go(&["-c", "echo ${__GOFIX_GUARD-unset}"])
                .env("PATH", path)
                .output();
            assert_eq!(outcome.stdout, "unset\n", "{}: {outcome}", dir.display());
        }
    }
}

/// Version managers that come back to gofix, by exec and by a child of their own.
#[test]
fn a_manager_that_comes_back_is_stepped_over() {
    for come_back in ["exec go \"$@\"", "go \"$@\""] {
        let probe = Probe::new();
        let sandbox = &probe.sandbox;
        write_program(
            &sandbox.path("manager/go"),
            &format!(
                "#!/bin/sh\necho asked >>{}\n{come_back}\n",
                sandbox.path("log").display()
            ),
        );
        let path = path_of(&[
            sandbox.path("shims").as_os_str(),
            sandbox.path("manager").as_os_str(),
            sandbox.path("probe/bin").as_os_str(),
            OsStr::new("/usr/bin:/bin"),
        ]);
        let outcome = sandbox.go(&["-c", "echo found"]).env("PATH", &path).output();
        let asked = fs::read_to_string(sandbox.path("log")).unwrap().lines().count();
        assert_eq!(outcome.stdout, "found\n", "{outcome}");
        assert_eq!(asked, 1);
    }
}

/// Each of them calls go twice, so that a chain as long as one that calls it once would be a million processes.
#[test]
fn a_script_that_calls_go_twice_starts_few_processes() {
    for (has_go, scripts) in [(true, 1), (false, 1), (false, 2), (false, 3), (false, 4)] {
        let probe = Probe::new();
        let sandbox = &probe.sandbox;
        let log = sandbox.path("log");
        let mut dirs = vec![sandbox.path("shims")];
        for number in 0..scripts {
            dirs.push(sandbox.path(format!("scripts{number}")));
            let twice = format!(
                "#!/bin/sh\n# {number}\necho asked >>{}\ngo \"$@\"\ngo \"$@\"\n",
                log.display()
            );
            write_program(&dirs[number + 1].join("go"), &twice);
        }
        if has_go {
            dirs.push(sandbox.path("probe/bin"));
        }
        let dirs: Vec<&OsStr> = dirs.iter().map(|dir| dir.as_os_str()).collect();
        let command = ["-c", "echo found"];
        let outcome = sandbox.go(&command).env("PATH", path_of(&dirs)).output();
        let asked = fs::read_to_string(&log).unwrap().lines().count();
        if has_go {
            assert_eq!(outcome.stdout, "found\nfound\n", "{outcome}");
            assert_eq!(asked, 1, "what is its own descendant is stepped over");
        } else {
            // Each is one process, and so are the last that gofix refuses.
            let refused = outcome.stderr.matches("in a circle").count();
            assert!(asked + refused < 40, "{asked} and {refused}");
            assert_eq!(outcome.code(), Some(127), "{outcome}");
        }
    }
}

/// A program that go runs may come back to gofix with the user's PATH: that is no circle.
#[cfg(target_os = "linux")]
#[test]
fn below_a_real_go_a_manager_is_asked_again() {
    let probe = Probe::new();
    let sandbox = &probe.sandbox;
    sandbox.switch_telemetry_off();
    let log = sandbox.path("log");
    write_program(
        &sandbox.path("manager/go"),
        &format!(
            "#!/bin/sh\necho asked >>{}\n{{ {} \"$@\"; }}\n",
            log.display(),
            real_go().display()
        ),
    );
    let path = path_of(&[
        sandbox.path("shims").as_os_str(),
        sandbox.path("manager").as_os_str(),
        sandbox.path("probe/bin").as_os_str(),
        OsStr::new("/usr/bin:/bin"),
    ]);
    sandbox.write("go.mod", "module m\n\ngo 1.21\n");
    sandbox.write(
        "m.go",
        "package m\n\n//go:generate sh -c \"PATH=$USERS_PATH; go env GOVERSION\"\n",
    );
    sandbox
        .go(&["generate"])
        .env("PATH", &path)
        .env("USERS_PATH", &path)
        .env("GOFIX", "off")
        .output()
        .expect_code(0);
    let asked = fs::read_to_string(&log).unwrap().lines().count();
    assert_eq!(asked, 2);
}

#[test]
fn two_managers_are_stepped_over_one_after_the_other() {
    let probe = Probe::new();
    let sandbox = &probe.sandbox;
    for name in ["first", "second"] {
        write_program(
            &sandbox.path(name).join("go"),
            &format!("#!/bin/sh\necho {name}\nexec go \"$@\"\n"),
        );
    }
    let path = path_of(&[
        sandbox.path("shims").as_os_str(),
        sandbox.path("first").as_os_str(),
        sandbox.path("second").as_os_str(),
        sandbox.path("probe/bin").as_os_str(),
    ]);
    let outcome = sandbox
        .go(&["-c", "echo found"])
        .env("PATH", &path)
        .output()
        .expect_code(0);
    assert_eq!(outcome.stdout, "first\nsecond\nfound\n");
    // A manager that GOFIX_GO names, too.
    let outcome = sandbox
        .go(&["-c", "echo found"])
        .env("PATH", &path)
        .env("GOFIX_GO", sandbox.path("second/go"))
        .output()
        .expect_code(0);
    assert_eq!(outcome.stdout, "second\nfirst\nfound\n");
}

#[test]
fn a_manager_that_finds_its_toolchain_is_left_alone() {
    let probe = Probe::new();
    let sandbox = &probe.sandbox;
    let go = sandbox.path("probe/bin/go");
    write_program(
        &sandbox.path("manager/go"),
        &format!("#!/bin/sh\nGOROOT=/chosen exec {} \"$@\"\n", go.display()),
    );
    let path = path_of(&[
        sandbox.path("shims").as_os_str(),
        sandbox.path("manager").as_os_str(),
        OsStr::new("/usr/bin:/bin"),
    ]);
    let script = "echo $GOROOT; case $__GOFIX_GUARD in $$:0:*) echo guarded;; esac";
    for args in [["-c", script], ["-c", script]] {
        let outcome = sandbox.go(&args).env("PATH", &path).output().expect_code(0);
        assert_eq!(outcome.stdout, "/chosen\nguarded\n");
    }
}

#[test]
fn two_shims_that_point_at_each_other_end_with_127_and_the_walk() {
    let sandbox = Sandbox::new();
    // Copies are other files: neither knows the other for gofix.
    for name in ["one", "two"] {
        fs::create_dir(sandbox.path(name)).unwrap();
        fs::copy(shim_exe(), sandbox.path(name).join("go")).unwrap();
        executable(&sandbox.path(name).join("go"));
    }
    let one = sandbox.path("one/go");
    let two = sandbox.path("two/go");
    let path = path_of(&[
        one.parent().unwrap().as_os_str(),
        two.parent().unwrap().as_os_str(),
    ]);
    for go in [&one, &two] {
        let outcome = sandbox
            .run(go)
            .args(["mod", "tidy"])
            .env("PATH", &path)
            .output()
            .expect_code(127);
        assert!(outcome.stderr.contains("gofix itself"), "{outcome}");
        assert!(outcome.stderr.lines().count() < 10, "{outcome}");
    }
    for (go, other) in [(&one, &two), (&two, &one)] {
        let outcome = sandbox
            .run(go)
            .args(["version"])
            .env("PATH", &path)
            .env("GOFIX_GO", other)
            .output();
        assert_eq!(outcome.code(), Some(127), "{outcome}");
    }
    // Scripts in front of each shim lead to the other one.
    write_program(
        &sandbox.path("to-one/go"),
        &format!("#!/bin/sh\n{} \"$@\"\n", one.display()),
    );
    write_program(
        &sandbox.path("to-two/go"),
        &format!("#!/bin/sh\n{} \"$@\"\n", two.display()),
    );
    let path = path_of(&[
        sandbox.path("to-one").as_os_str(),
        sandbox.path("to-two").as_os_str(),
    ]);
    let outcome = sandbox
        .run(&one)
        .args(["version"])
        .env("PATH", &path)
        .output()
        .expect_code(127);
    assert!(outcome.stderr.contains("in a circle"), "{outcome}");
    assert!(
        outcome.stderr.contains("to-one: go, but no toolchain beside it"),
        "{outcome}"
    );
    assert_eq!(outcome.gofix_lines().len(), outcome.stderr.lines().count());
}

#[test]
fn the_real_go_is_not_the_shim() {
    assert_ne!(
        fs::canonicalize(real_go()).unwrap(),
        fs::canonicalize(shim_exe()).unwrap()
    );
}
