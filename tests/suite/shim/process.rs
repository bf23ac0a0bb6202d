//! The process that go becomes: its status, signals, descriptors, arguments and environment.

use super::*;

#[test]
fn commands_of_the_real_go_end_the_same() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("as-go")).unwrap();
    symlink(gofix_exe(), sandbox.path("as-go/go")).unwrap();
    sandbox.write("sub/go.mod", "module example.com/sub\n\ngo 1.21\n");
    sandbox.write("sub/sub.go", "package sub\n");
    for line in [
        "version",
        "help",
        "help mod tidy",
        "",
        "frob",
        "-v",
        "-h",
        "mod",
        "mod frob",
        "mod help tidy",
        "env GOROOT GOPATH",
        "env -json GOPROXY",
        "tool compile -V",
        "fmt -n sub/sub.go",
        "-C sub env GOMOD",
        "-C=sub env GOMOD",
        "-C nowhere version",
        "-C sub -C sub env GOMOD",
        "mod -C sub edit -json",
        "mod edit -C sub -json",
        "mod edit -json -C sub",
        "mod -C",
        "-C sub list",
        "list -C sub",
        "list -C=sub ./...",
        "-C sub mod tidy",
        "mod tidy -C sub",
        "mod tidy",
        "build -C sub -unknown",
        "mod download -h",
        "test -C sub -run X",
    ] {
        let args: Vec<&str> = line.split_whitespace().collect();
        let plain = sandbox.plain_go(&args).output();
        assert_same(&plain, &sandbox.go(&args).output(), &format!("shim: go {line}"));
        let as_go = sandbox.run(sandbox.path("as-go/go")).args(&args).output();
        assert_same(&plain, &as_go, &format!("gofix as go: go {line}"));
    }
}

/// What a process can see of how it was started, without what is different in every process. The shell reads its
/// own status by itself: while it starts a program all signals are blocked.
const STATE: &str = "while read -r line; do case $line in \
    Umask*|Groups*|SigPnd*|SigBlk*|SigIgn*|SigCgt*|ShdPnd*|Cap*|NoNewPrivs*|Seccomp*|Threads*) echo \"$line\";; \
    esac; done </proc/$$/status; \
    ulimit -a; umask; nice; pwd -P 2>&1; \
    for fd in /proc/$$/fd/*; do echo \"${fd##*/} $(readlink $fd | sed 's/:.*//')\"; done";

#[test]
fn the_process_starts_as_it_would_without_gofix() {
    let probe = Probe::new();
    probe.same(STATE, |_| {});
    let ignored = probe.same(STATE, |command| {
        on_start(command, || set_signal(libc::SIGPIPE, libc::SIG_IGN));
    });
    let mask = |signal: i32| 1_u64 << (signal - 1);
    assert_eq!(
        field(&ignored, "SigIgn:") & mask(libc::SIGPIPE),
        mask(libc::SIGPIPE)
    );
    let default = probe.same(STATE, |command| {
        on_start(command, || set_signal(libc::SIGPIPE, libc::SIG_DFL));
    });
    assert_eq!(field(&default, "SigIgn:") & mask(libc::SIGPIPE), 0);
    probe.same(STATE, |command| {
        on_start(command, || {
            set_signal(libc::SIGINT, libc::SIG_IGN);
            set_signal(libc::SIGHUP, libc::SIG_IGN);
            set_signal(libc::SIGCHLD, libc::SIG_IGN);
        });
    });
    let blocked = probe.same(STATE, |command| {
        on_start(command, || block(&[libc::SIGUSR1, libc::SIGTERM]));
    });
    let both = mask(libc::SIGUSR1) | mask(libc::SIGTERM);
    assert_eq!(field(&blocked, "SigBlk:") & both, both);
    probe.same(STATE, |command| on_start(command, limit_files));
    let umask = probe.same(STATE, |command| on_start(command, || set_umask(0o137)));
    assert!(umask.stdout.contains("0137\n"), "{umask}");
    probe.same(STATE, |command| on_start(command, be_nice));
}

impl Probe {
    /// The same for go WORD, where no proxy answers, started after this change to the process.
    #[track_caller]
    fn same_after(&self, change: fn(), word: &str) -> Outcome {
        self.same_line(&[word], |command| {
            command.env("GOPROXY", "http://127.0.0.1:9");
            on_start(command, change);
        })
    }
}

/// A carried command goes through gofix, which has looked around by then, and through its exec.
#[test]
fn a_carried_command_starts_as_it_would_without_gofix() {
    let probe = Probe::new();
    // sh takes the word for a script; where there is no module nothing can be missing.
    probe.sandbox.write("generate", STATE);
    let same = |change: fn()| probe.same_after(change, "generate");
    same(|| {});
    same(|| set_signal(libc::SIGPIPE, libc::SIG_IGN));
    same(|| set_signal(libc::SIGPIPE, libc::SIG_DFL));
    same(|| set_signal(libc::SIGINT, libc::SIG_IGN));
    same(|| set_signal(libc::SIGCHLD, libc::SIG_IGN));
    same(|| block(&[libc::SIGTERM, libc::SIGCHLD, libc::SIGUSR2]));
    same(|| close(&[0]));
    same(|| close(&[2]));
    same(|| close(&[0, 2]));
    same(limit_files);
    same(|| set_umask(0o077));
}

/// What a supervised go sees of signals, limits and masks is what the user set; its output goes through pipes.
#[test]
fn a_supervised_command_starts_with_the_users_signals() {
    let probe = Probe::new();
    let script = "while read -r line; do case $line in Umask*|SigBlk*|SigIgn*|NoNewPrivs*) echo \"$line\";; esac; \
        done </proc/$$/status; ulimit -a; nice; pwd -P; readlink /proc/$$/fd/0";
    probe.sandbox.write("build", script);
    let same = |change: fn()| probe.same_after(change, "build");
    same(|| {});
    same(|| set_signal(libc::SIGPIPE, libc::SIG_IGN));
    same(|| set_signal(libc::SIGPIPE, libc::SIG_DFL));
    same(|| set_signal(libc::SIGINT, libc::SIG_IGN));
    same(|| set_signal(libc::SIGHUP, libc::SIG_IGN));
    same(|| block(&[libc::SIGTERM, libc::SIGUSR2]));
    same(|| block(&[libc::SIGCHLD]));
    same(|| set_signal(libc::SIGCHLD, libc::SIG_IGN));
    same(|| close(&[0]));
    same(limit_files);
    same(be_nice);
}

#[test]
fn descriptors_stay_open_or_closed() {
    let probe = Probe::new();
    for closed in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]] {
        let list = probe.sandbox.path("list");
        // With stdout closed the script has to write somewhere else.
        let look = format!("exec 9>{}; cd /proc/$$/fd; echo * >&9", list.display());
        let mut seen = Vec::new();
        for way in WAYS {
            let mut run = probe.sh(way, &look);
            on_start(&mut run.command, || close(closed));
            let outcome = run.output();
            seen.push((fs::read_to_string(&list).unwrap_or_default(), outcome.status));
            fs::remove_file(&list).unwrap();
        }
        assert_eq!(seen[1], seen[0], "shim, closed: {closed:?}");
        assert_eq!(seen[2], seen[0], "gofix, closed: {closed:?}");
    }
    let file = File::open("/dev/null").unwrap();
    let kept = probe.same(STATE, |command| {
        let fd = file.as_raw_fd();
        on_start(command, move || duplicate(fd, &[40, 57, 63]));
    });
    for line in ["40 /dev/null", "57 /dev/null", "63 /dev/null"] {
        assert!(kept.stdout.lines().any(|found| found == line), "{line} in {kept}");
    }
}

#[test]
fn a_deleted_working_directory_is_no_obstacle() {
    let probe = Probe::new();
    let gone = probe.sandbox.path("gone");
    let path = CString::new(gone.as_os_str().as_bytes()).unwrap();
    probe.same("pwd -P; ls; echo here", |command| {
        fs::create_dir_all(&gone).unwrap();
        let path = path.clone();
        on_start(command, move || delete_working_directory(&path));
    });
}

#[test]
fn the_process_id_is_kept_and_signals_end_it_as_go_would_be_ended() {
    let probe = Probe::new();
    for way in WAYS {
        let running = probe.sh(way, "echo $$").spawn();
        let pid = running.pid().to_string();
        assert_eq!(running.wait().stdout.trim(), pid, "{way:?}");
        for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGPIPE, libc::SIGHUP] {
            let outcome = probe.sh(way, &format!("kill -{signal} $$")).output();
            assert_eq!(outcome.signal(), Some(signal), "{way:?}: {outcome}");
        }
        assert_eq!(probe.sh(way, "exit 77").output().code(), Some(77), "{way:?}");
    }
}

#[test]
fn arguments_are_kept_to_the_byte() {
    let probe = Probe::new();
    let odd = [
        &b"\xff\xfe"[..],
        b"",
        b" ",
        b"a\nb",
        b"\x1b[0m",
        "\u{e9}".as_bytes(),
        b"-C",
        b"--",
    ];
    for way in WAYS {
        let args = odd.iter().map(|arg| OsStr::from_bytes(arg));
        let mut run = probe
            .sh(way, "for arg; do printf '%s|' \"$arg\"; done")
            .args(["name"])
            .args(args);
        let stdout = run.command.output().unwrap().stdout;
        let expected: Vec<u8> = odd.iter().flat_map(|arg| [arg, &b"|"[..]].concat()).collect();
        assert_eq!(stdout, expected, "{way:?}");
    }
}

#[test]
fn as_many_arguments_as_the_system_takes_are_not_too_many() {
    let probe = Probe::new();
    for way in WAYS {
        let many = (0..100_000).map(|number| format!("{number:06}"));
        let outcome = probe
            .sh(way, "echo $# ${100000}")
            .args(["name"])
            .args(many)
            .output();
        assert_eq!(outcome.stdout, "100000 099999\n", "{way:?}");
    }
}

#[test]
fn the_environment_is_kept_to_the_byte() {
    let probe = Probe::new();
    let path = probe.path_for(Way::Shim);
    let path = [b"PATH=", path.as_bytes()].concat();
    let entries: Vec<CString> = [
        &b"ZED=last first"[..],
        b"ODD=\xff\xfe\n",
        b"no equals sign",
        b"TWICE=1",
        b"TWICE=2",
        b"EMPTY=",
        b"=nameless",
        b"",
        &path,
        b"GOFLAGS=-mod=mod",
        b"_=x",
        b"G=",
        b"P=",
        b"PATH=/second",
    ]
    .iter()
    .map(|entry| CString::new(*entry).unwrap())
    .collect();
    let seen = WAYS.map(|way| {
        let mut run = probe.sh(way, "/bin/cat /proc/$$/environ");
        let program = probe.program(way);
        let program = CString::new(program.as_os_str().as_bytes()).unwrap();
        let argv = ["go", "-c", "/bin/cat /proc/$$/environ"].map(|word| CString::new(word).unwrap());
        let entries = entries.clone();
        on_start(&mut run.command, move || execute(&program, &argv, &entries));
        run.command.output().unwrap()
    });
    let expected: Vec<u8> = entries
        .iter()
        .flat_map(|entry| entry.as_bytes_with_nul().to_vec())
        .collect();
    for (way, output) in WAYS.iter().zip(&seen) {
        assert_eq!(
            output.stdout.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "{way:?}"
        );
    }
}

/// The environment of a process, entry by entry.
fn environment_of(pid: i32) -> Vec<String> {
    let text = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let text = text.strip_suffix(b"\0").unwrap_or(&text);
    text.split(|byte| *byte == 0)
        .map(|entry| entry.escape_ascii().to_string())
        .collect()
}

/// Where gofix has to change a variable for go, the real one, nothing but that entry is another.
#[cfg(target_os = "linux")]
#[test]
fn the_environment_of_a_supervised_go_is_kept_to_the_byte() {
    let reset = Rule::new(Fault::RstStream { code: 2, after: None })
        .on(Kind::Mod)
        .first(1);
    let stall = Rule::new(Fault::StallHeader).on(Kind::Mod);
    let catalogue = Catalogue::new().with(Module::new("example.com/a", "v1.0.0"));
    // No toolchain beside it, as with a version manager's program: the guard goes along.
    let place = Sandbox::new();
    fs::create_dir(place.path("alone")).unwrap();
    let alone = place.path("alone/go");
    fs::copy(real_go(), &alone).unwrap();
    executable(&alone);
    let goroot = real_go().ancestors().nth(2).unwrap().to_owned();
    let (tls, root) = certificate();
    for (what, relay, go, http2, changed) in [
        ("nothing", "off", real_go(), false, &[][..]),
        ("relay", "on", real_go(), false, &["GOPROXY="]),
        ("guard", "off", &alone, false, &["__GOFIX_GUARD="]),
        ("both", "on", &alone, false, &["GOPROXY=", "__GOFIX_GUARD="]),
        ("http/1.1", "off", real_go(), true, &["GODEBUG="]),
    ] {
        let mut builder = FaultProxy::builder(catalogue.clone());
        if http2 {
            builder = builder.rule(reset.clone()).tls(tls.clone());
        }
        let proxy = builder.rule(stall.clone()).start().unwrap();
        let sandbox = Sandbox::new().requiring(&[("example.com/a", "v1.0.0")]);
        fs::write(sandbox.path("root.pem"), &root).unwrap();
        let pairs: [(&str, OsString); 14] = [
            ("HOME", sandbox.path("home").into()),
            ("GOPATH", sandbox.path("gopath").into()),
            ("GOCACHE", sandbox.path("gocache").into()),
            ("GOROOT", goroot.clone().into()),
            ("GOFIX_GO", go.into()),
            ("GOFIX_RELAY", relay.into()),
            ("GOFIX_STALL_MS", "600000".into()),
            ("SSL_CERT_FILE", sandbox.path("root.pem").into()),
            ("PATH", "/usr/bin:/bin".into()),
            ("GOENV", "off".into()),
            ("GOSUMDB", "off".into()),
            ("GOTOOLCHAIN", "local".into()),
            ("GOPROXY", proxy.url().into()),
            ("GODEBUG", "netdns=go".into()),
        ];
        let odd = [
            &b"ZED=last first"[..],
            b"no equals sign",
            b"TWICE=2",
            b"",
            b"TWICE=1",
            b"ODD=\xff\xfe\n",
            b"=nameless",
            b"ABC=",
            b"GOPROXY=https://second.example",
            b"GODEBUG=",
            b"GOPROXY",
        ];
        let pairs = pairs
            .iter()
            .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
        let entries: Vec<CString> = pairs
            .chain(odd.into_iter().map(<[u8]>::to_vec))
            .map(|entry| CString::new(entry).unwrap())
            .collect();
        let run = |program: &Path| {
            let mut run = sandbox.run(program);
            let program = CString::new(program.as_os_str().as_bytes()).unwrap();
            let argv = ["go", "mod", "download"].map(|word| CString::new(word).unwrap());
            let entries = entries.clone();
            on_start(&mut run.command, move || execute(&program, &argv, &entries));
            run.spawn()
        };
        let running = run(&sandbox.path("shims/go"));
        let stalled = proxy.wait_for(Duration::from_secs(60), |requests| {
            requests
                .iter()
                .any(|request| request.took.is_none() && matches!(request.fault, Some(Fault::StallHeader)))
        });
        assert!(stalled, "{what}: {:?}", proxy.requests());
        let seen = environment_of(child_of(running.pid()).unwrap());
        running.signal(Signal::SIGKILL);
        running.wait();
        let mut expected: Vec<String> = entries
            .iter()
            .map(|entry| entry.to_bytes().escape_ascii().to_string())
            .collect();
        for name in changed {
            let now = seen.iter().find(|entry| entry.starts_with(name));
            let now = now.unwrap_or_else(|| panic!("{what}: no {name} in {seen:#?}"));
            assert!(!expected.contains(now), "{what}: {now} has not changed");
            match expected.iter_mut().find(|entry| entry.starts_with(name)) {
                Some(entry) => entry.clone_from(now),
                None => expected.push(now.clone()),
            }
        }
        assert_eq!(seen, expected, "{what}");
    }
}

/// What go writes right before it ends is in the pipe when its death is noticed.
#[test]
fn the_last_words_of_a_short_run_are_never_lost() {
    let probe = Probe::new();
    let words = "echo out; echo words >&2; exit 1\n";
    probe.sandbox.write("build", words);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let run = probe
                        .go(Way::Shim)
                        .args(["build"])
                        .env("GOPROXY", "http://127.0.0.1:9");
                    let outcome = run.output();
                    assert_eq!(outcome.stdout, "out\n", "{outcome}");
                    assert_eq!(outcome.stderr, "words\n", "{outcome}");
                    assert_eq!(outcome.code(), Some(1));
                }
            });
        }
    });
}

#[test]
fn a_deep_path_is_one_that_is_not_there() {
    let probe = Probe::new();
    let long = format!("/{}", "x".repeat(5000));
    let path = path_of(&[OsStr::new(&long), &probe.path_for(Way::Shim)]);
    assert_eq!(
        probe
            .sh(Way::Shim, "echo found")
            .env("PATH", path)
            .output()
            .stdout,
        "found\n"
    );
}

#[test]
fn the_working_directory_may_have_any_name() {
    let probe = Probe::new();
    let odd = probe.sandbox.path(OsString::from_vec(b"\xff dir\n".to_vec()));
    fs::create_dir(&odd).unwrap();
    for way in WAYS {
        let outcome = probe
            .sh(way, "echo here; pwd | od -c")
            .dir(&odd)
            .output()
            .expect_code(0);
        assert!(outcome.stdout.starts_with("here\n"), "{way:?}: {outcome}");
    }
    let shims = probe.sandbox.path(OsString::from_vec(b"\xfe shims".to_vec()));
    fs::create_dir(&shims).unwrap();
    symlink(shim_exe(), shims.join("go")).unwrap();
    let path = path_of(&[shims.as_os_str(), probe.sandbox.path("probe/bin").as_os_str()]);
    let outcome = probe
        .sandbox
        .run(shims.join("go"))
        .args(["-c", "echo found"])
        .env("PATH", path)
        .output();
    assert_eq!(outcome.stdout, "found\n", "{outcome}");
}

fn field(outcome: &Outcome, name: &str) -> u64 {
    let line = outcome
        .stdout
        .lines()
        .find(|line| line.starts_with(name))
        .expect("a line of /proc/PID/status");
    u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap()
}

/// Runs `change` in the child, right before it becomes the program.
#[expect(unsafe_code, reason = "the child is prepared by system calls")]
fn on_start(command: &mut Command, change: impl Fn() + Send + Sync + 'static) {
    // SAFETY: the callers pass functions that make system calls only.
    unsafe {
        command.pre_exec(move || {
            change();
            Ok(())
        });
    }
}

#[expect(unsafe_code, reason = "signal(2)")]
fn set_signal(signal: i32, action: libc::sighandler_t) {
    // SAFETY: no handler, only the default or to ignore it.
    unsafe {
        libc::signal(signal, action);
    }
}

#[expect(unsafe_code, reason = "sigprocmask(2)")]
fn block(signals: &[i32]) {
    // SAFETY: the set is filled in before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}

#[expect(unsafe_code, reason = "setrlimit(2)")]
fn limit_files() {
    let limit = libc::rlimit {
        rlim_cur: 100,
        rlim_max: 200,
    };
    // SAFETY: a filled-in struct.
    unsafe {
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
}

#[expect(unsafe_code, reason = "umask(2)")]
fn set_umask(mask: libc::mode_t) {
    // SAFETY: a number.
    unsafe {
        libc::umask(mask);
    }
}

#[expect(unsafe_code, reason = "nice(2)")]
fn be_nice() {
    // SAFETY: a number.
    unsafe {
        libc::nice(3);
    }
}

#[expect(unsafe_code, reason = "close(2)")]
fn close(descriptors: &[i32]) {
    for descriptor in descriptors {
        // SAFETY: they belong to the child, which does not use them.
        unsafe {
            libc::close(*descriptor);
        }
    }
}

#[expect(unsafe_code, reason = "dup2(2)")]
fn duplicate(from: i32, to: &[i32]) {
    for to in to {
        // SAFETY: numbers that nothing else uses; what std keeps open in the child until exec is
        // below them.
        unsafe {
            libc::dup2(from, *to);
        }
    }
}

#[expect(unsafe_code, reason = "chdir(2), rmdir(2)")]
fn delete_working_directory(path: &CString) {
    // SAFETY: a string with a NUL behind it.
    unsafe {
        libc::chdir(path.as_ptr());
        libc::rmdir(path.as_ptr());
    }
}

/// execve(2) with exactly this environment, in place of std's own exec.
#[expect(unsafe_code, reason = "execve(2)")]
fn execute(program: &CString, argv: &[CString], environment: &[CString]) {
    let mut args = [std::ptr::null(); 16];
    let mut entries = [std::ptr::null(); 64];
    for (slot, word) in args.iter_mut().zip(argv) {
        *slot = word.as_ptr();
    }
    for (slot, word) in entries.iter_mut().zip(environment) {
        *slot = word.as_ptr();
    }
    // SAFETY: both arrays end with a null pointer.
    unsafe {
        libc::execve(program.as_ptr(), args.as_ptr(), entries.as_ptr());
    }
}
