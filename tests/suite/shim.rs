//! The shim, and gofix under the name `go`: what they find, what they hand on, and that nobody can tell.
//!
//! Where a test has to look at a process from inside, the go is a toolchain folder whose `go` is a copy of sh:
//! `go -c SCRIPT` is a command that gofix does not know and passes through.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Kind, Module, Rule};
use gofix_shim::{Treatment, classify};
use nix::sys::signal::Signal;

use crate::support::{
    Outcome, Run, Sandbox, certificate, child_of, executable, gofix_exe, real_go, shim_exe, write_program,
};

/// The ways to come to a go, the plain one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Shim,
    Gofix,
}

const WAYS: [Way; 3] = [Way::Plain, Way::Shim, Way::Gofix];

/// A sandbox with a second go in front of the real one: a toolchain whose `go` is sh.
struct Probe {
    sandbox: Sandbox,
}

impl Probe {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        toolchain(&sandbox.path("probe"), Path::new("/bin/sh"));
        fs::create_dir(sandbox.path("as-go")).unwrap();
        symlink(gofix_exe(), sandbox.path("as-go/go")).unwrap();
        Self { sandbox }
    }

    /// `go -c SCRIPT`, run directly, through the shim, or through gofix under the name go.
    fn sh(&self, way: Way, script: &str) -> Run {
        self.go(way).args(["-c", script])
    }

    fn go(&self, way: Way) -> Run {
        let program = self.program(way);
        let mut run = self.sandbox.run(program).env("PATH", self.path_for(way));
        // As a shell calls what it found in PATH.
        run.command.arg0("go");
        run
    }

    fn program(&self, way: Way) -> PathBuf {
        self.sandbox.path(match way {
            Way::Plain => "probe/bin/go",
            Way::Shim => "shims/go",
            Way::Gofix => "as-go/go",
        })
    }

    /// A PATH of the same length for every way, so that environments can be compared.
    fn path_for(&self, way: Way) -> OsString {
        let first = match way {
            Way::Plain => "nothin",
            Way::Shim => "shims",
            Way::Gofix => "as-go",
        };
        let probe = self.sandbox.path("probe/bin");
        let mut path = self.sandbox.path(first).into_os_string();
        path.push(":");
        path.push(probe);
        path.push(":/usr/local/bin:/usr/bin:/bin");
        path
    }

    /// Runs the script all three ways after `prepare` and returns what it printed; the ways must agree.
    #[track_caller]
    fn same(&self, script: &str, prepare: impl Fn(&mut Command)) -> Outcome {
        self.same_line(&["-c", script], prepare)
    }

    /// The same for any command line.
    #[track_caller]
    fn same_line(&self, line: &[&str], prepare: impl Fn(&mut Command)) -> Outcome {
        let [plain, shim, gofix] = WAYS.map(|way| {
            let mut run = self.go(way).args(line).env("PATH", self.path_for(Way::Shim));
            // With gofix under the name go the PATH names the shim, which counts as gofix too.
            prepare(&mut run.command);
            run.output()
        });
        assert_same(&plain, &shim, &format!("shim: {line:?}"));
        assert_same(&plain, &gofix, &format!("gofix: {line:?}"));
        plain
    }
}

#[track_caller]
fn assert_same(plain: &Outcome, other: &Outcome, what: &str) {
    assert_eq!(
        other.stdout, plain.stdout,
        "stdout, {what}\nstderr: {}",
        other.stderr
    );
    assert_eq!(other.stderr, plain.stderr, "stderr, {what}");
    assert_eq!(other.status, plain.status, "status, {what}");
}

/// Makes a folder look like a toolchain whose `go` is a copy of `program`.
fn toolchain(root: &Path, program: &Path) -> PathBuf {
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("pkg/tool")).unwrap();
    let go = root.join("bin/go");
    fs::copy(program, &go).unwrap();
    executable(&go);
    go
}

fn path_of(dirs: &[&OsStr]) -> OsString {
    dirs.join(OsStr::new(":"))
}

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

/// A carried command goes through gofix, which has looked around by then, and through its exec.
#[test]
fn a_carried_command_starts_as_it_would_without_gofix() {
    let probe = Probe::new();
    // sh takes the word for a script; where there is no module nothing can be missing.
    probe.sandbox.write("generate", STATE);
    let same = |change: fn()| {
        probe.same_line(&["generate"], |command| {
            command.env("GOPROXY", "http://127.0.0.1:9");
            on_start(command, change);
        })
    };
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
    let same = |change: fn()| {
        probe.same_line(&["build"], |command| {
            command.env("GOPROXY", "http://127.0.0.1:9");
            on_start(command, change);
        })
    };
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
    for has_go in [true, false] {
        let probe = Probe::new();
        let sandbox = &probe.sandbox;
        let log = sandbox.path("log");
        write_program(
            &sandbox.path("scripts/go"),
            &format!(
                "#!/bin/sh\necho asked >>{}\ngo \"$@\"\ngo \"$@\"\n",
                log.display()
            ),
        );
        let (shims, scripts, go) = (
            sandbox.path("shims"),
            sandbox.path("scripts"),
            sandbox.path("probe/bin"),
        );
        let mut dirs = vec![shims.as_os_str(), scripts.as_os_str()];
        if has_go {
            dirs.push(go.as_os_str());
        }
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

/// What takes a value and what is a switch is read off the real go: a flag at the very end that wants a value is
/// refused by go in so many words.
#[test]
fn flags_are_parsed_as_this_go_parses_them() {
    let sandbox = Sandbox::new();
    let usage = |topic: &str| {
        let args: Vec<&str> = ["help"].into_iter().chain(topic.split(' ')).collect();
        sandbox.plain_go(&args).output().stdout
    };
    let mut checked = 0;
    for command in [
        "build",
        "install",
        "get",
        "list",
        "run",
        "vet",
        "mod tidy",
        "mod download",
        "mod vendor",
        "mod why",
        "mod graph",
        "work sync",
    ] {
        let mut text = usage(command);
        if !command.contains(' ') {
            text.push_str(&usage("build"));
        }
        let mut names: Vec<&str> = text.lines().filter_map(documented_flag).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let words: Vec<&str> = command.split(' ').collect();
            let flag = format!("-{name}");
            let answer = sandbox
                .plain_go(&words)
                .args([&flag])
                .dir(sandbox.path("tmp"))
                .output();
            if answer.stderr.contains("flag provided but not defined") || name == "C" {
                continue;
            }
            let wants_value = answer
                .stderr
                .contains(&format!("flag needs an argument: -{name}\n"));
            // `-h` behind a flag that takes a value is that value, and help otherwise.
            let line: Vec<OsString> = words
                .iter()
                .copied()
                .chain([flag.as_str(), "-h"])
                .map(OsString::from)
                .collect();
            let taken = classify(&line, None).treatment != Treatment::Pass;
            assert_eq!(taken, wants_value, "go {command} -{name}: {answer}");
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} flags were found in go's own help");
}

/// A flag at the beginning of a line of go's help, with a value behind it or without.
fn documented_flag(line: &str) -> Option<&str> {
    let name = line.strip_prefix("\t-")?.split([' ', '=', ',']).next()?;
    let plain = |letter: char| letter.is_ascii_alphanumeric();
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// Every command that this go knows is in the table, and none is there that no go knew.
#[test]
fn the_commands_of_this_go_are_known() {
    let sandbox = Sandbox::new();
    // Go 1.21 has four commands below work.
    for (group, topic, least) in [("", "help", 5), ("mod", "help mod", 5), ("work", "help work", 4)] {
        let args: Vec<&str> = topic.split(' ').collect();
        let text = sandbox.plain_go(&args).output().stdout;
        let names = listed_commands(&text);
        assert!(names.len() >= least, "{text}");
        for name in names.into_iter().filter(|name| !["mod", "work"].contains(name)) {
            let words: Vec<&str> = [group, name]
                .into_iter()
                .filter(|word| !word.is_empty())
                .collect();
            let line: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert_eq!(classify(&line, None).words, words, "go {words:?}");
        }
    }
}

/// The names in the list that go's help has under "The commands are:".
fn listed_commands(help: &str) -> Vec<&str> {
    let list = help
        .split("The commands are:")
        .nth(1)
        .and_then(|rest| rest.split("\nUse ").next());
    list.unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect()
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

#[test]
fn the_real_go_is_not_the_shim() {
    assert_ne!(
        fs::canonicalize(real_go()).unwrap(),
        fs::canonicalize(shim_exe()).unwrap()
    );
}
