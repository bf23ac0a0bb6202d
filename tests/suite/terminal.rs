//! Real terminals and real shells: keys, job control, sizes, colours, pipelines. Each is
//! tried with gofix first in PATH and, where the two can be compared, with plain go.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Kind, Module, Rule};

use crate::support::pty::Pty;
use crate::support::wait::{expect_closed, wait_for_request, wait_until};
use crate::support::{Run, Sandbox, real_go, status};

const A: &str = "example.com/a";

fn catalogue() -> Catalogue {
    Catalogue::new().with(Module::new(A, "v1.0.0"))
}

fn stalling() -> FaultProxy {
    let stall = Rule::new(Fault::StallHeader).on(Kind::Mod);
    FaultProxy::builder(catalogue()).rule(stall).start().unwrap()
}

fn healthy() -> FaultProxy {
    FaultProxy::healthy(catalogue()).unwrap()
}

fn sandbox(proxy: &FaultProxy) -> Sandbox {
    let sandbox = Sandbox::new()
        .env("GOPROXY", proxy.url())
        .env("GOFIX_STALL_MS", "600000")
        .env("TERM", "xterm")
        .env("PS1", "ready> ")
        .requiring(&[(A, "v1.0.0")]);
    sandbox.write("go.sum", catalogue().go_sum());
    sandbox
}

/// The PATH of a machine without gofix.
fn without_gofix(run: Run) -> Run {
    let real = real_go().parent().unwrap();
    run.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", real.display()))
}

/// The state letters of the processes in a sandbox that are go or gofix.
fn states(sandbox: &Sandbox) -> Vec<char> {
    let state = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.rsplit_once(')')?;
        let ours = name.ends_with("(go") || name.contains("(gofix");
        rest.trim_start().chars().next().filter(|_| ours)
    };
    sandbox.processes().into_iter().filter_map(state).collect()
}

/// Presses a key while go stands in a download that stalls; how it ended.
fn after_key(run: impl FnOnce(&Sandbox) -> Run, key: &str) -> ExitStatus {
    let proxy = stalling();
    let sandbox = sandbox(&proxy);
    let mut terminal = Pty::spawn(run(&sandbox));
    let before = terminal.settings();
    wait_for_request(&proxy);
    terminal.type_text(key);
    expect_closed(&proxy);
    assert_eq!(terminal.settings(), before, "the terminal as it was");
    let (status, _) = terminal.wait();
    sandbox.expect_nobody();
    status
}

#[test]
fn keys_end_gofix_as_they_end_go() {
    let args = &["mod", "download"];
    for key in ["\x03", "\x1c"] {
        let plain = after_key(|sandbox| sandbox.plain_go(args), key);
        assert_eq!(after_key(|sandbox| sandbox.go(args), key), plain, "{key:?}");
        let relayed = |sandbox: &Sandbox| sandbox.go(args).env("GOFIX_RELAY", "on");
        assert_eq!(after_key(relayed, key), plain, "{key:?}, relayed");
        // A prefetch is the same to the user.
        assert_eq!(
            after_key(|sandbox| sandbox.go(&["test", "./..."]), key),
            plain,
            "{key:?}, prefetch"
        );
    }
}

/// An interactive shell in a terminal of its own.
fn shell(sandbox: &Sandbox) -> Pty {
    sandbox.switch_telemetry_off();
    let run = sandbox
        .run("/bin/bash")
        .args(["--norc", "--noprofile", "--noediting", "-i"]);
    let terminal = Pty::spawn(run);
    terminal.expect("ready> ");
    terminal
}

#[test]
fn ctrl_z_stops_both_and_fg_goes_on() {
    if !Path::new("/bin/bash").exists() {
        return;
    }
    let proxy = stalling();
    let sandbox = sandbox(&proxy);
    let mut terminal = shell(&sandbox);
    let before = terminal.settings();
    terminal.type_text("go mod download\n");
    wait_for_request(&proxy);
    terminal.type_text("\x1a");
    terminal.expect("Stopped");
    wait_until(|| states(&sandbox) == ['T', 'T']);
    terminal.type_text("fg; echo fg-gave=$?\n");
    wait_until(|| states(&sandbox).iter().all(|state| "SRD".contains(*state)));
    // Twice, since the second time is where a signal too many would show.
    terminal.type_text("\x1a");
    wait_until(|| states(&sandbox) == ['T', 'T']);
    terminal.type_text("bg\n");
    wait_until(|| states(&sandbox).iter().all(|state| "SRD".contains(*state)));
    assert!(
        proxy
            .requests()
            .iter()
            .any(|request| request.fault.is_some() && request.took.is_none()),
        "it was never let go"
    );
    terminal.type_text("kill -INT %1; wait %1; echo wait-gave=$?\n");
    terminal.expect("wait-gave=130");
    expect_closed(&proxy);
    terminal.type_text("exit 7\n");
    wait_until(|| terminal.settings() == before || sandbox.processes().is_empty());
    let (status, shown) = terminal.wait();
    assert_eq!(status.code(), Some(7), "{shown}");
    sandbox.expect_nobody();
}

/// Where no go runs, and where a go runs that only fetches for the next one.
#[test]
fn ctrl_z_stops_what_waits_and_what_fetches_ahead() {
    if !Path::new("/bin/bash").exists() {
        return;
    }
    // Between two runs: the clock of a 429 has ten seconds.
    let limited = status(429, None);
    let proxy = FaultProxy::builder(catalogue())
        .rules([Rule::new(limited).on(Kind::Mod)])
        .start()
        .unwrap();
    let sandbox_of = |proxy: &FaultProxy| {
        sandbox(proxy)
            .env("GOFIX_RELAY", "off")
            .env("GOFIX_REPORT", "report.jsonl")
    };
    let waits = sandbox_of(&proxy);
    let mut terminal = shell(&waits);
    terminal.type_text("go mod download\n");
    wait_until(|| {
        let report = fs::read_to_string(waits.project().join("report.jsonl"));
        report.is_ok_and(|report| report.contains("\"backoff\""))
    });
    terminal.type_text("\x1a");
    terminal.expect("Stopped");
    wait_until(|| states(&waits) == ['T']);
    terminal.type_text("fg\n");
    wait_until(|| states(&waits) != ['T']);
    terminal.type_text("\x03");
    terminal.type_text("echo gave=$?\n");
    terminal.expect("gave=130");
    terminal.type_text("exit\n");
    terminal.wait();
    waits.expect_nobody();
    // During a prefetch.
    let proxy = stalling();
    let ahead = sandbox_of(&proxy);
    let mut terminal = shell(&ahead);
    terminal.type_text("go test ./...\n");
    wait_for_request(&proxy);
    terminal.type_text("\x1a");
    terminal.expect("Stopped");
    wait_until(|| states(&ahead) == ['T', 'T']);
    terminal.type_text("fg\n");
    wait_until(|| states(&ahead).iter().all(|state| "SRD".contains(*state)));
    terminal.type_text("\x03");
    terminal.type_text("echo gave=$?\n");
    terminal.expect("gave=130");
    expect_closed(&proxy);
    terminal.type_text("exit\n");
    terminal.wait();
    ahead.expect_nobody();
}

#[test]
fn in_the_background_it_runs_and_is_waited_for() {
    if !Path::new("/bin/bash").exists() {
        return;
    }
    let proxy = healthy();
    let sandbox = sandbox(&proxy);
    let mut terminal = shell(&sandbox);
    terminal.type_text("stty tostop; go mod download & wait $!; echo gave=$?\n");
    terminal.expect("gave=0");
    // Whoever writes stops there, as go does. Only what bash says tells that it knows (`set -b`: at once): /proc shows the
    // stop of the first thread, and a `fg` before that of the last one finds a running job, which it does not wake.
    terminal.type_text("set -b; go list -m &\n");
    terminal.expect("Stopped");
    assert_eq!(states(&sandbox), ['T']);
    terminal.type_text("fg; echo went=$?\n");
    terminal.expect("went=0");
    terminal.type_text("exit\n");
    let (_, shown) = terminal.wait();
    assert!(shown.contains("example.com/main"), "{shown}");
    sandbox.expect_nobody();
}

#[test]
fn a_running_job_is_brought_to_the_foreground() {
    if !Path::new("/bin/bash").exists() {
        return;
    }
    let proxy = stalling();
    let sandbox = sandbox(&proxy);
    let mut terminal = shell(&sandbox);
    terminal.type_text("go mod download &\n");
    wait_for_request(&proxy);
    terminal.type_text("fg\n");
    wait_until(|| terminal.foreground() != terminal.pid());
    terminal.type_text("\x03");
    terminal.type_text("echo gave=$?\n");
    terminal.expect("gave=130");
    expect_closed(&proxy);
    terminal.type_text("exit\n");
    terminal.wait();
    sandbox.expect_nobody();
}

/// Whoever asks with -x what go waits for sees it while it waits.
#[test]
fn a_trace_is_seen_while_go_waits() {
    for relay in ["off", "on"] {
        let proxy = stalling();
        let sandbox = sandbox(&proxy).env("GOFIX_RELAY", relay);
        for args in [
            &["list", "-m", "-x", "all"][..],
            &["mod", "download", "-json", "-x"],
        ] {
            let mut terminal = Pty::spawn(sandbox.go(args));
            terminal.expect("# get http");
            terminal.type_text("\x03");
            assert_eq!(terminal.wait().0.signal(), Some(libc::SIGINT), "{relay} {args:?}");
        }
        sandbox.expect_nobody();
    }
}

/// Says what it stands on, then waits for the terminal to change its size.
const ON_A_TERMINAL: &str = r#"package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"unsafe"
)

func isTerminal(fd uintptr) bool {
	var t [128]byte
	_, _, e := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TCGETS, uintptr(unsafe.Pointer(&t)))
	return e == 0
}

func main() {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	fmt.Println("terminal:", isTerminal(0), isTerminal(1), isTerminal(2), os.Getenv("TERM"))
	if len(os.Args) == 1 {
		return
	}
	<-changed
	var size struct{ rows, columns, x, y uint16 }
	syscall.Syscall(syscall.SYS_IOCTL, 1, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	fmt.Printf("size: %dx%d\n", size.columns, size.rows)
	var line string
	fmt.Scanln(&line)
	fmt.Println("typed:", line)
	os.Exit(3)
}
"#;

const A_TEST: &str = "package main\n\nimport \"testing\"\n\nfunc TestMain1(t *testing.T) { main() }\n";

#[cfg(target_os = "linux")]
#[test]
fn what_go_run_starts_has_the_terminal() {
    for relay in ["off", "on"] {
        let proxy = healthy();
        let sandbox = sandbox(&proxy).shared_build_cache().env("GOFIX_RELAY", relay);
        sandbox.write(
            "main.go",
            format!("{ON_A_TERMINAL}\nvar _ = a.Version\n").replacen(
                "import (",
                "import (\n\t\"example.com/a\"",
                1,
            ),
        );
        let mut terminal = Pty::spawn(sandbox.go(&["run", ".", "wait"]));
        terminal.expect("terminal: true true true xterm");
        terminal.resize(101, 37);
        terminal.expect("size: 101x37");
        terminal.type_text("words\n");
        terminal.expect("typed: words");
        let (status, shown) = terminal.wait();
        assert_eq!(status.code(), Some(1), "{shown}");
        assert!(shown.contains("exit status 3"), "{shown}");
        sandbox.expect_nobody();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_go_test_starts_stands_on_what_it_stands_on_with_plain_go() {
    let proxy = healthy();
    let sandbox = sandbox(&proxy).shared_build_cache();
    sandbox.write("main.go", ON_A_TERMINAL);
    sandbox.write("main_test.go", A_TEST.replace("main() ", "saveArgs(); main() "));
    sandbox.write(
        "args_test.go",
        "package main\n\nimport \"os\"\n\nfunc saveArgs() { os.Args = os.Args[:1] }\n",
    );
    let shown = |run: Run| {
        let (status, shown) = Pty::spawn(run).wait();
        let lines = shown
            .lines()
            .filter(|line| line.contains("terminal:"))
            .map(str::to_owned);
        (status.code(), lines.collect::<Vec<_>>())
    };
    for args in [
        &["test", "-v", "-count=1"][..],
        &["test", "-v", "-count=1", "./..."],
    ] {
        let plain = shown(sandbox.plain_go(args));
        assert_eq!(shown(sandbox.go(args)), plain, "{args:?}");
        assert_eq!((plain.0, plain.1.len()), (Some(0), 1), "{plain:?}");
    }
}

#[test]
fn what_shells_and_tools_do_with_it_is_the_same() {
    if !Path::new("/bin/bash").exists() {
        return;
    }
    let proxy = healthy();
    let sandbox = sandbox(&proxy);
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    for line in [
        "go list -m all | head -1; echo ${PIPESTATUS[@]}",
        "yes | go list -m | cat; echo ${PIPESTATUS[@]}",
        "go list -m all | true; echo ${PIPESTATUS[1]}",
        "nohup go list -m 2>&1; echo $?",
        "timeout 60 go list -m; echo $?",
        "timeout -s INT 60 go list nosuch/...; echo $?",
        "setsid -w go list -m; echo $?",
        "setsid -w go list ./nosuch; echo $?",
        "seq 8 | xargs -P 4 -n 1 sh -c 'go list -m; exit 0'; echo $?",
        "seq 3 | xargs -P 2 -n 1 go list nosuch 2>&1 | sort; echo ${PIPESTATUS[1]}",
        "x=$(go list -m) && echo got $x",
        "go list -m < /dev/null > out 2> err; cat out err",
        "(go list -m & wait $!; echo $?)",
        "go list -m >&- ; echo $?",
        "go list ./nosuch 2>&- ; echo $?",
        "exec go list -m",
        "nice -n 5 go list -m",
        "env -i PATH=\"$PATH\" HOME=\"$HOME\" GOFLAGS=-mod=mod go list -m",
        "cd / && go list -m; echo $?",
        "mkdir gone && cd gone && rmdir ../gone && go list -m; echo $?",
        "go list -m 3>&1 4<&0 | cat",
        "ulimit -n 64; go list -m all",
        "ulimit -f 0; go list -m; echo $?",
    ] {
        let run = || sandbox.run("/bin/bash").args(["-c", line]);
        let (with, plain) = (run().output(), without_gofix(run()).output());
        assert_eq!(with.status, plain.status, "{line}: {with}\n{plain}");
        assert_eq!(with.stdout, plain.stdout, "{line}: {with}\n{plain}");
        assert_eq!(with.stderr, plain.stderr, "{line}: {with}\n{plain}");
    }
    sandbox.expect_nobody();
}

#[test]
fn a_timeout_ends_all_of_it() {
    for options in ["", "-s INT", "-s KILL", "--foreground"] {
        let proxy = stalling();
        let sandbox = sandbox(&proxy);
        sandbox.switch_telemetry_off();
        let line = format!("timeout {options} 1.5 go mod download; echo $?");
        let outcome = sandbox.run("/bin/sh").args(["-c", &line]).output();
        let expected = if options == "-s KILL" { "137\n" } else { "124\n" };
        assert_eq!(outcome.stdout, expected, "{options}: {outcome}");
        expect_closed(&proxy);
        sandbox.expect_nobody();
    }
}

#[test]
fn a_terminal_that_goes_away_takes_go_with_it() {
    let proxy = stalling();
    let sandbox = sandbox(&proxy);
    let (mut child, terminal) = Pty::spawn_unread(sandbox.go(&["mod", "download"]));
    wait_for_request(&proxy);
    drop(terminal);
    wait_until(|| child.try_wait().unwrap().is_some());
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGHUP));
    expect_closed(&proxy);
    sandbox.expect_nobody();
}

/// A sandbox in which git asks for a password the first time; `None` where this machine has no git.
fn with_a_git_that_asks() -> Option<Sandbox> {
    let sandbox = Sandbox::new()
        .env("GOPROXY", "direct")
        .env("GOFIX_STALL_MS", "300")
        .env("GIT_TERMINAL_PROMPT", "1")
        .env("TERM", "xterm")
        .env("PS1", "ready> ")
        .importing(&["example.com/a.git"]);
    // A repository on this disk in the place of the one that asks for a password.
    let repository = sandbox.path("repository");
    let make = "git init -q -b main \"$0\" && cd \"$0\" && printf 'module example.com/a.git\\n' >go.mod && \
        printf 'package a\\n' >a.go && git add . && git -c user.name=a -c user.email=a@b commit -qm a && git tag v1.0.0";
    let made = sandbox
        .run("/bin/sh")
        .args(["-c", make, repository.to_str().unwrap()]);
    if made.output().code() != Some(0) {
        return None;
    }
    let script = format!(
        "#!/bin/sh\nif [ ! -e {asked} ]; then touch {asked}\n\
        old=$(stty -g </dev/tty); stty -echo </dev/tty; echo password? >/dev/tty\n\
        read line </dev/tty; stty $old </dev/tty; [ \"$line\" = secret ] || exit 1; fi\n\
        PATH=/usr/local/bin:/usr/bin:/bin exec git -c url.file://{}.insteadOf=https://example.com/a -c protocol.file.allow=always \"$@\"\n",
        repository.display(),
        asked = sandbox.path("asked").display(),
    );
    crate::support::write_program(&sandbox.path("shims/git"), &script);
    Some(sandbox)
}

/// git asks on the terminal, whatever stands on descriptors 0 to 2, and the clock leaves it the time to be answered.
#[test]
fn a_password_prompt_is_answered() {
    let Some(sandbox) = with_a_git_that_asks() else {
        return;
    };
    let mut terminal = Pty::spawn(sandbox.go(&["get", "example.com/a.git@v1.0.0"]));
    terminal.expect("password?");
    terminal.type_text("secret\n");
    let (status, shown) = terminal.wait();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(shown.contains("added example.com/a.git v1.0.0"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
    sandbox.expect_nobody();
}

/// A prompt in the background stops the whole job, as it does with plain go, and in front it is answered.
#[test]
fn a_password_prompt_in_the_background_waits_for_fg() {
    if !Path::new("/bin/bash").exists() {
        return;
    }
    let Some(sandbox) = with_a_git_that_asks() else {
        return;
    };
    let mut shell = shell(&sandbox);
    shell.type_text("set -b; go get example.com/a.git@v1.0.0 &\n");
    shell.expect("Stopped");
    wait_until(|| {
        let states = states(&sandbox);
        states.len() >= 2 && states.iter().all(|state| *state == 'T')
    });
    shell.type_text("fg\n");
    shell.expect("password?");
    shell.type_text("secret\n");
    shell.expect("added example.com/a.git v1.0.0");
    shell.expect("ready> ");
    shell.type_text("exit $?\n");
    let (status, shown) = shell.wait();
    assert_eq!(status.code(), Some(0), "{shown}");
    sandbox.expect_nobody();
}

#[test]
fn a_password_prompt_gets_its_terminal_back() {
    // What git and ssh do: no echo while they ask, and the echo back when a signal comes.
    let sandbox = Sandbox::new()
        .env("GOPROXY", "direct")
        .env("GOFIX_STALL_MS", "300")
        .requiring(&[("example.com/a.git", "v1.0.0")]);
    let git = sandbox.path("shims/git");
    let script = "#!/bin/sh\nexec </dev/tty >/dev/tty\nold=$(stty -g)\n\
        trap 'stty $old; echo restored; exit 1' INT TERM\nstty -echo\necho password?\nread line\nstty $old\nexit 1\n";
    fs::write(&git, script).unwrap();
    crate::support::executable(&git);
    for number in [libc::SIGINT, libc::SIGTERM] {
        let mut terminal = Pty::spawn(sandbox.go(&["mod", "download"]));
        let before = terminal.settings();
        terminal.expect("password?");
        assert_ne!(terminal.settings(), before);
        if number == libc::SIGINT {
            terminal.type_text("\x03");
        } else {
            nix::sys::signal::kill(terminal.pid(), nix::sys::signal::Signal::SIGTERM).unwrap();
        }
        terminal.expect("restored");
        assert_eq!(terminal.settings(), before);
        let (status, shown) = terminal.wait();
        assert_eq!(status.signal(), Some(number), "{shown}");
        sandbox.expect_nobody();
    }
}
