//! Signals: to gofix alone, to go alone, to both, at every stage; what is left afterwards;
//! and what a process is born with. The measure is always plain go under the same signal.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Kind, Module, Rule, When};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::support::wait::{LIMIT, expect_closed, wait_for_request, wait_until};
use crate::support::{Run, Running, Sandbox, child_of, real_go, status};

const A: &str = "example.com/a";
const REPORT: &str = "report.jsonl";

fn proxy_with(rules: impl IntoIterator<Item = Rule>) -> FaultProxy {
    let catalogue = Catalogue::new().with(Module::new(A, "v1.0.0"));
    FaultProxy::builder(catalogue).rules(rules).start().unwrap()
}

fn stalling() -> FaultProxy {
    proxy_with([Rule::new(Fault::StallHeader).on(Kind::Mod)])
}

fn sandbox(proxy: &FaultProxy) -> Sandbox {
    Sandbox::new()
        .env("GOPROXY", proxy.url())
        .env("GOFIX_STALL_MS", "600000")
        .env("GOFIX_RELAY", "off")
        .env("GOFIX_REPORT", REPORT)
        .requiring(&[(A, "v1.0.0")])
}

/// Sends a signal by its number, to a group where `pid` is negative.
fn send(pid: i32, number: i32) {
    #[expect(unsafe_code, reason = "nix has no names for the real-time signals")]
    // SAFETY: a plain system call.
    let rc = unsafe { libc::kill(pid, number) };
    assert_eq!(rc, 0, "signal {number} to {pid}");
}

fn reported(sandbox: &Sandbox, event: &str) -> bool {
    let name = format!("\"{event}\"");
    fs::read_to_string(sandbox.project().join(REPORT)).is_ok_and(|text| text.contains(&name))
}

/// The signals that end go, by signal or with status 2.
const DEADLY: [i32; 12] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGTERM,
    libc::SIGSTKFLT,
    libc::SIGSYS,
];

/// Those that would end most programs, but not go.
fn harmless() -> impl Iterator<Item = i32> {
    [
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGPIPE,
        libc::SIGALRM,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGIO,
        libc::SIGPWR,
        libc::SIGURG,
        libc::SIGWINCH,
        libc::SIGCHLD,
        libc::SIGCONT,
    ]
    .into_iter()
    .chain(libc::SIGRTMIN() + 2..=libc::SIGRTMAX())
}

/// Where a signal goes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum To {
    Gofix,
    Go,
    Group,
}

/// Starts `go mod download`, waits until it stands in a download that stalls, sends the
/// signals in order, and says how it ended. Nothing is left then.
fn status_after(plain: bool, relay: &str, to: To, numbers: impl IntoIterator<Item = i32>) -> ExitStatus {
    status_of(plain, relay, to, numbers, |_| {})
}

/// The same with something set up for the process.
fn status_of(
    plain: bool,
    relay: &str,
    to: To,
    numbers: impl IntoIterator<Item = i32>,
    set_up: impl Fn(&mut Run),
) -> ExitStatus {
    let proxy = stalling();
    let sandbox = sandbox(&proxy).env("GOFIX_RELAY", relay);
    let args = &["mod", "download"];
    let mut run = if plain {
        sandbox.plain_go(args)
    } else {
        sandbox.go(args)
    };
    run.command.process_group(0);
    set_up(&mut run);
    let running = run.spawn();
    wait_for_request(&proxy);
    let pid = running.pid();
    let target = match to {
        To::Go if !plain => child_of(pid).expect("gofix has a child"),
        To::Group => -pid.as_raw(),
        To::Gofix | To::Go => pid.as_raw(),
    };
    for number in numbers {
        send(target, number);
    }
    let outcome = running.wait();
    expect_closed(&proxy);
    sandbox.expect_nobody();
    assert!(!reported(&sandbox, "backoff"), "{outcome}");
    outcome.status
}

#[test]
fn what_ends_go_ends_gofix_in_the_same_way() {
    for number in DEADLY {
        let plain = status_after(true, "off", To::Gofix, [number]);
        assert_eq!(status_after(false, "off", To::Gofix, [number]), plain, "{number}");
    }
}

#[test]
fn through_the_relay_as_well() {
    for number in [libc::SIGINT, libc::SIGTERM, libc::SIGQUIT] {
        let plain = status_after(true, "off", To::Gofix, [number]);
        for to in [To::Gofix, To::Go, To::Group] {
            assert_eq!(status_after(false, "on", to, [number]), plain, "{number} {to:?}");
        }
    }
}

#[test]
fn a_signal_to_go_alone_or_to_both_has_the_same_end() {
    for number in [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGSEGV,
        libc::SIGTERM,
        libc::SIGKILL,
    ] {
        let plain = status_after(true, "off", To::Go, [number]);
        assert_eq!(
            status_after(false, "off", To::Go, [number]),
            plain,
            "{number} to go"
        );
        assert_eq!(
            status_after(false, "off", To::Group, [number]),
            plain,
            "{number} to both"
        );
    }
}

#[test]
fn what_go_does_not_mind_does_not_end_gofix() {
    let then_term = || harmless().chain([libc::SIGTERM]);
    for to in [To::Gofix, To::Go, To::Group] {
        assert_eq!(
            status_after(true, "off", to, then_term()).signal(),
            Some(15),
            "plain {to:?}"
        );
        assert_eq!(
            status_after(false, "off", to, then_term()).signal(),
            Some(15),
            "{to:?}"
        );
    }
}

/// A parent that waits for signals by itself blocks them: go's runtime unblocks what ends it.
#[test]
fn what_was_blocked_ends_gofix_as_it_ends_go() {
    let block = |run: &mut Run| {
        #[expect(unsafe_code, reason = "a mask is set between fork and exec")]
        // SAFETY: plain system calls.
        unsafe {
            run.command.pre_exec(|| {
                let mut all = std::mem::zeroed();
                libc::sigfillset(&raw mut all);
                libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
                Ok(())
            });
        }
    };
    for number in DEADLY {
        // What go does not unblock comes first, and is no end of anything.
        let numbers = || [libc::SIGUSR1, number];
        let plain = status_of(true, "off", To::Gofix, numbers(), block);
        for relay in ["off", "on"] {
            let with = status_of(false, relay, To::Gofix, numbers(), block);
            assert_eq!(with, plain, "{number}, relay {relay}");
        }
    }
}

/// go could make something of them, so they reach it.
#[test]
fn what_does_not_end_go_reaches_it() {
    let proxy = proxy_with([]);
    let sandbox = sandbox(&proxy);
    let (says, hangs, got) = (sandbox.path("says"), sandbox.path("hangs"), sandbox.path("got"));
    let mut said = BufReader::new(fifo(&sandbox, "says"));
    nix::unistd::mkfifo(&hangs, Mode::S_IRWXU).unwrap();
    let _hangs = File::options().read(true).write(true).open(&hangs).unwrap();
    let sandbox = sandbox.scripted(&format!(
        "for name in USR1 USR2 CONT ALRM; do trap \"echo $name >>{got}\" $name; done; trap 'exit 7' TERM\n\
        echo started >{says}; while :; do read line <{hangs}; done",
        got = got.display(),
        says = says.display(),
        hangs = hangs.display(),
    ));
    let running = sandbox.go(&["mod", "download"]).spawn();
    assert_eq!(first_line(&mut said), "started\n");
    let mut expected = String::new();
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGCONT, Signal::SIGALRM] {
        running.signal(signal);
        expected += &format!("{}\n", signal.as_str().trim_start_matches("SIG"));
        wait_until(|| fs::read_to_string(&got).is_ok_and(|got| got == expected));
    }
    running.signal(Signal::SIGTERM);
    running.wait().expect_code(7);
}

#[test]
fn a_signal_between_two_runs_ends_it_as_it_ends_go() {
    let busy = status(429, None);
    for (numbers, code, signal) in [
        (vec![libc::SIGINT], None, Some(2)),
        (vec![libc::SIGHUP], None, Some(1)),
        (vec![libc::SIGQUIT], Some(2), None),
        (harmless().chain([libc::SIGTERM]).collect(), None, Some(15)),
    ] {
        let proxy = proxy_with([Rule::new(busy.clone()).on(Kind::Mod)]);
        let sandbox = sandbox(&proxy);
        let running = sandbox.go(&["mod", "download"]).spawn();
        wait_until(|| reported(&sandbox, "backoff"));
        for number in &numbers {
            send(running.pid().as_raw(), *number);
        }
        let outcome = running.wait();
        assert_eq!(
            (outcome.code(), outcome.signal()),
            (code, signal),
            "{numbers:?}: {outcome}"
        );
        assert!(outcome.stderr.contains("429"), "go's own words: {outcome}");
        assert_eq!(proxy.requests().len(), 1, "nothing new was started");
        sandbox.expect_nobody();
    }
}

#[test]
fn a_signal_during_a_repair_ends_it() {
    let proxy = proxy_with([]);
    let sandbox = sandbox(&proxy);
    let dir = sandbox.modcache().join("cache/download/example.com/a/@v");
    fs::create_dir_all(&dir).unwrap();
    let zip = dir.join("v1.0.0.zip");
    fs::write(&zip, "no zip").unwrap();
    let lock = File::create(dir.join("v1.0.0.lock")).unwrap();
    lock.lock().unwrap();
    let words = format!(
        "echo 'go: example.com/a@v1.0.0: unzip {}: zip: not a valid zip file' >&2; exit 1",
        zip.display()
    );
    let sandbox = sandbox.scripted(&words);
    let running = sandbox.go(&["mod", "download"]).spawn();
    wait_until(|| reported(&sandbox, "diagnosis"));
    running.signal(Signal::SIGTERM);
    let outcome = running.wait();
    assert_eq!(outcome.signal(), Some(15), "{outcome}");
    assert_eq!(
        fs::read_to_string(zip).unwrap(),
        "no zip",
        "the lock was held by somebody else"
    );
    assert!(outcome.stderr.contains("not a valid zip file"), "{outcome}");
}

/// A pipe with a name that a script writes to: what it says, and that it has ended.
fn fifo(sandbox: &Sandbox, name: &str) -> File {
    let path = sandbox.path(name);
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    let end = nix::fcntl::open(
        &path,
        OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC,
        Mode::empty(),
    );
    let end = end.unwrap();
    nix::fcntl::fcntl(&end, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    File::from(end)
}

/// Waits for the first line; without a writer there is nothing to read yet.
fn first_line(reader: &mut BufReader<File>) -> String {
    let mut line = String::new();
    wait_until(|| reader.read_line(&mut line).unwrap() > 0);
    line
}

#[test]
fn a_git_that_go_leaves_is_asked_to_end_and_does() {
    for (number, again) in [
        (libc::SIGTERM, "off"),
        (libc::SIGINT, "off"),
        (libc::SIGTERM, "on"),
    ] {
        let sandbox = Sandbox::new()
            .env("GOPROXY", "direct")
            .env("GOFIX_RELAY", again)
            .env("GOFIX_STALL_MS", "600000")
            .env("GOFIX_REPORT", REPORT)
            .requiring(&[("example.com/a.git", "v1.0.0")]);
        let says = fifo(&sandbox, "says");
        let hangs = sandbox.path("hangs");
        nix::unistd::mkfifo(&hangs, Mode::S_IRWXU).unwrap();
        // Open for reading and writing, so that the script's open does not wait.
        let _hangs = File::options().read(true).write(true).open(&hangs).unwrap();
        sandbox.script(
            "shims/git",
            &format!(
                "exec 9>{}; trap 'echo asked >&9; exit 1' TERM; echo started >&9; read line < {}",
                sandbox.path("says").display(),
                hangs.display()
            ),
        );
        let running = sandbox.go(&["mod", "download"]).spawn();
        let mut says = BufReader::new(says);
        assert_eq!(first_line(&mut says), "started\n");
        send(running.pid().as_raw(), number);
        let outcome = running.wait();
        assert_eq!(outcome.signal(), Some(number), "{outcome}");
        let mut rest = String::new();
        // To the end of file: nobody has it open any more.
        says.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "asked\n", "{outcome}");
        sandbox.expect_nobody();
    }
}

#[test]
fn a_git_that_does_not_listen_is_ended() {
    let sandbox = Sandbox::new()
        .env("GOPROXY", "direct")
        .env("GOFIX_STALL_MS", "300")
        .env("GOFIX_RETRY_COUNT", "0")
        .requiring(&[("example.com/a.git", "v1.0.0")]);
    let mut says = BufReader::new(fifo(&sandbox, "says"));
    let hangs = sandbox.path("hangs");
    nix::unistd::mkfifo(&hangs, Mode::S_IRWXU).unwrap();
    let _hangs = File::options().read(true).write(true).open(&hangs).unwrap();
    sandbox.script(
        "shims/git",
        &format!(
            "exec 9>{}; trap '' TERM; echo started >&9; read line < {}",
            sandbox.path("says").display(),
            hangs.display()
        ),
    );
    let outcome = sandbox.go(&["mod", "download"]).output().expect_code(124);
    let mut rest = String::new();
    says.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "started\n", "{outcome}");
    sandbox.expect_nobody();
}

/// A go that has ended well while its output does not fit into the pipe, which nobody reads.
fn with_output_nobody_reads() -> (Sandbox, Running, OwnedFd) {
    let proxy = proxy_with([]);
    let sandbox = sandbox(&proxy).scripted("head -c 300000 /dev/zero");
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let mut run = sandbox.go(&["list"]);
    run.command.stdout(writer).stderr(Stdio::null()).process_group(0);
    let running = Running::of(run);
    let mut wanted = [nix::poll::PollFd::new(
        std::os::fd::AsFd::as_fd(&reader),
        nix::poll::PollFlags::POLLIN,
    )];
    // The first byte of stdout comes when go has ended.
    assert_eq!(
        nix::poll::poll(&mut wanted, nix::poll::PollTimeout::try_from(LIMIT).unwrap()),
        Ok(1)
    );
    (sandbox, running, reader)
}

#[test]
fn a_signal_while_the_output_is_written_ends_it() {
    for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let (sandbox, running, _reader) = with_output_nobody_reads();
        send(running.pid().as_raw(), number);
        assert_eq!(running.wait().signal(), Some(number));
        sandbox.expect_nobody();
    }
}

#[test]
fn a_stop_while_the_output_is_written_stops_and_goes_on() {
    let (_sandbox, running, reader) = with_output_nobody_reads();
    let pid = running.pid();
    send(pid.as_raw(), libc::SIGTSTP);
    // Its parent is in the same session and another group, so that the kernel does stop it.
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGTSTP));
    send(pid.as_raw(), libc::SIGCONT);
    let mut all = Vec::new();
    File::from(reader).read_to_end(&mut all).unwrap();
    assert_eq!((all.len(), running.wait().code()), (300_000, Some(0)));
}

#[test]
fn kill_9_leaves_no_lock_and_no_port() {
    for relay in ["off", "on"] {
        let proxy = proxy_with([Rule::new(Fault::StallHeader).on(Kind::Zip)]);
        let sandbox = sandbox(&proxy).env("GOFIX_RELAY", relay);
        let running = sandbox.go(&["mod", "download"]).spawn();
        wait_for_request(&proxy);
        running.signal(Signal::SIGKILL);
        assert_eq!(running.wait().signal(), Some(9));
        expect_closed(&proxy);
        sandbox.expect_nobody();
        // The relay may ask for a zip before go does, which holds this lock then.
        let place = sandbox.modcache().join("cache/download/example.com/a/@v");
        fs::create_dir_all(&place).unwrap();
        let place = place.join("v1.0.0.lock");
        assert!(relay == "on" || place.exists(), "go was at the zip");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(place)
            .unwrap();
        // A process that shows nothing of itself any more may not have closed its files yet.
        let limit = Instant::now() + LIMIT;
        while lock.try_lock().is_err() {
            assert!(Instant::now() < limit, "somebody holds it");
            std::thread::yield_now();
        }
    }
}

/// A shell that says what it was born with.
///
/// Nothing is started before the exec: a shell changes its signal mask round a fork.
const BORN_WITH: &str = r#"ulimit -n; ulimit -c; umask; read -r line < /proc/$$/stat; set -- $line; echo ${19}
exec grep -E '^Sig(Blk|Ign)' /proc/self/status"#;

#[test]
fn go_is_born_with_what_gofix_was_born_with() {
    let proxy = proxy_with([]);
    let sandbox = sandbox(&proxy).scripted(BORN_WITH);
    let set_up = |mut run: Run| {
        #[expect(
            unsafe_code,
            reason = "what a process is born with is set between fork and exec"
        )]
        // SAFETY: plain system calls.
        unsafe {
            run.command.pre_exec(|| {
                for number in [
                    libc::SIGHUP,
                    libc::SIGPIPE,
                    libc::SIGINT,
                    libc::SIGCHLD,
                    libc::SIGUSR1,
                ] {
                    libc::signal(number, libc::SIG_IGN);
                }
                let mut blocked = std::mem::zeroed();
                libc::sigemptyset(&raw mut blocked);
                for number in [
                    libc::SIGTERM,
                    libc::SIGUSR2,
                    libc::SIGCHLD,
                    libc::SIGALRM,
                    libc::SIGPIPE,
                ] {
                    libc::sigaddset(&raw mut blocked, number);
                }
                libc::sigprocmask(libc::SIG_SETMASK, &raw const blocked, std::ptr::null_mut());
                libc::umask(0o137);
                libc::nice(7);
                let files = libc::rlimit {
                    rlim_cur: 200,
                    rlim_max: 300,
                };
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const files);
                Ok(())
            });
        }
        run.output().expect_code(0).stdout
    };
    let straight = set_up(sandbox.run(sandbox.path("scripted/bin/go")));
    assert_eq!(straight.lines().count(), 6, "{straight}");
    for args in [
        &["mod", "download"][..],
        &["test", "example.com/a@v1.0.0"],
        &["version"],
    ] {
        let with = set_up(sandbox.go(args));
        // A prefetch says the same, on stdout, which is not shown.
        assert_eq!(with, straight, "{args:?}");
    }
}

#[test]
fn nohup_and_a_trap_are_kept() {
    let proxy = stalling();
    let sandbox = sandbox(&proxy);
    let shell = |line: &str| sandbox.run("/bin/sh").args(["-c", line]).spawn();
    let running = shell("trap '' HUP USR1; exec go mod download");
    wait_for_request(&proxy);
    send(running.pid().as_raw(), libc::SIGHUP);
    send(running.pid().as_raw(), libc::SIGUSR1);
    send(running.pid().as_raw(), libc::SIGTERM);
    let outcome = running.wait();
    assert_eq!(outcome.signal(), Some(15), "{outcome}");
    expect_closed(&proxy);
}

/// Go's runtime leaves an ignored INT or HUP alone, and dies of the rest all the same: of QUIT, for one, which a
/// shell without job control ignores for what it starts with `&`.
#[test]
fn what_ends_go_although_it_was_ignored_ends_gofix() {
    for number in [libc::SIGTERM, libc::SIGQUIT, libc::SIGABRT, libc::SIGSYS] {
        let ended = |shim: bool| {
            let proxy = stalling();
            let sandbox = sandbox(&proxy);
            let go = if shim {
                "go".to_owned()
            } else {
                real_go().display().to_string()
            };
            let line = format!("trap '' {number}; exec {go} mod download");
            let running = sandbox.run("/bin/sh").args(["-c", &line]).spawn();
            wait_for_request(&proxy);
            send(running.pid().as_raw(), number);
            let outcome = running.wait();
            expect_closed(&proxy);
            (outcome.code(), outcome.signal())
        };
        assert_eq!(ended(true), ended(false), "signal {number}");
    }
}

/// `exec go …` in a script keeps the script's children: a tunnel that the download needs is not go's to end.
#[test]
fn an_ssh_of_the_users_own_is_left_alone() {
    let proxy = stalling();
    let sandbox = sandbox(&proxy);
    std::os::unix::fs::symlink("/bin/sleep", sandbox.path("ssh")).unwrap();
    let line = format!(
        "{} 600 >/dev/null 2>&1 & echo $!; exec go mod download",
        sandbox.path("ssh").display()
    );
    let running = sandbox.run("/bin/sh").args(["-c", &line]).spawn();
    wait_for_request(&proxy);
    send(running.pid().as_raw(), libc::SIGTERM);
    let outcome = running.wait();
    assert_eq!(outcome.signal(), Some(15), "{outcome}");
    let ssh: i32 = outcome.stdout.trim().parse().unwrap();
    send(ssh, libc::SIGKILL);
}

#[test]
fn a_carried_command_is_no_subreaper() {
    let proxy = proxy_with([]);
    // An orphan says whose child it is now.
    let orphan = r#"case "$*" in *-n*) exit 0;; esac
mkfifo wait; sh -c 'sh -c "read line < wait; cut -d\" \" -f4 /proc/\$\$/stat" &'
echo $$; echo > wait"#;
    let sandbox = sandbox(&proxy).scripted(orphan);
    let outcome = sandbox.go(&["test", "./..."]).output().expect_code(0);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{outcome}");
    assert_ne!(lines[0], lines[1], "{outcome}");
    assert!(
        reported(&sandbox, "attempt_started"),
        "there was a prefetch: {outcome}"
    );
}

#[test]
fn a_signal_during_a_prefetch_ends_the_command() {
    for to in [To::Gofix, To::Go, To::Group] {
        let proxy = proxy_with([Rule::new(Fault::StallHeader).on(Kind::Zip)]);
        let sandbox = sandbox(&proxy);
        sandbox.write("go.sum", Catalogue::new().with(Module::new(A, "v1.0.0")).go_sum());
        let mut run = sandbox.go(&["test", "./..."]);
        run.command.process_group(0);
        let running = run.spawn();
        wait_for_request(&proxy);
        let pid = running.pid();
        match to {
            To::Gofix => send(pid.as_raw(), libc::SIGTERM),
            To::Go => send(child_of(pid).unwrap(), libc::SIGTERM),
            To::Group => send(-pid.as_raw(), libc::SIGTERM),
        }
        let outcome = running.wait();
        assert_eq!(outcome.signal(), Some(15), "{to:?}: {outcome}");
        expect_closed(&proxy);
        let requests = proxy.requests();
        let asked = requests.iter().filter(|request| request.kind() == Kind::Zip);
        assert_eq!(asked.count(), 1, "the command itself was not run");
        sandbox.expect_nobody();
    }
}

#[test]
fn a_go_behind_a_script_is_watched_as_go() {
    // Version managers start the real go as a child of a script.
    let proxy = proxy_with([Rule::new(Fault::StallHeader).on(Kind::Mod).first(1)]);
    let sandbox = sandbox(&proxy).env("GOFIX_STALL_MS", "400");
    let script = format!("{} \"$@\"; exit $?", real_go().display());
    let sandbox = sandbox.scripted(&script);
    let outcome = sandbox.go(&["mod", "download"]).output().expect_code(0);
    assert!(reported(&sandbox, "stalled"), "{outcome}");
    sandbox.expect_nobody();
}

/// Whether processes can be pid 1 of a namespace of their own here; says why not.
fn can_be_pid_1() -> bool {
    let allowed = std::process::Command::new("unshare")
        .args(["-pf", "true"])
        .status();
    let can = allowed.is_ok_and(|status| status.success());
    if !can {
        crate::startup::skip("no unshare, or not allowed");
    }
    can
}

/// `go mod download` as pid 1, with the /proc of the machine or one of its own.
fn as_pid_1(sandbox: &Sandbox, plain: bool, unshare: &[&str]) -> Running {
    sandbox.switch_telemetry_off();
    let go = if plain {
        real_go().to_owned()
    } else {
        sandbox.path("shims/go")
    };
    let run = sandbox.run("unshare").args(unshare).args([&go]);
    run.args(["mod", "download"]).spawn()
}

/// Nothing kills pid 1 of a namespace from within: go exits with 2 instead.
#[test]
fn as_pid_1_it_ends_as_go_does() {
    if !can_be_pid_1() {
        return;
    }
    let own_proc = &["-pfm", "--mount-proc"][..];
    for (number, unshare, relay) in [
        (libc::SIGTERM, own_proc, "off"),
        (libc::SIGTERM, &["-pf"], "off"),
        (libc::SIGTERM, own_proc, "on"),
        (libc::SIGINT, own_proc, "off"),
        (libc::SIGHUP, own_proc, "off"),
        (libc::SIGQUIT, own_proc, "off"),
        (libc::SIGABRT, own_proc, "off"),
        (libc::SIGKILL, own_proc, "off"),
    ] {
        let ended = [true, false].map(|plain| {
            let proxy = stalling();
            let sandbox = sandbox(&proxy).env("GOFIX_RELAY", relay);
            let running = as_pid_1(&sandbox, plain, unshare);
            wait_for_request(&proxy);
            send(child_of(running.pid()).unwrap(), number);
            let outcome = running.wait();
            expect_closed(&proxy);
            sandbox.expect_nobody();
            assert!(!reported(&sandbox, "backoff"), "{outcome}");
            (outcome.code(), outcome.signal())
        });
        assert_eq!(ended[1], ended[0], "{number} {unshare:?}, relay {relay}");
    }
    // Between two runs no go is there to be asked.
    let busy = status(429, None);
    let proxy = proxy_with([Rule::new(busy).on(Kind::Mod)]);
    let sandbox = sandbox(&proxy);
    let running = as_pid_1(&sandbox, false, own_proc);
    wait_until(|| reported(&sandbox, "backoff"));
    send(child_of(running.pid()).unwrap(), libc::SIGTERM);
    running.wait().expect_code(2);
    sandbox.expect_nobody();
}

#[test]
fn as_pid_1_it_reaps() {
    if !can_be_pid_1() {
        return;
    }
    // What go leaves behind is reaped while it runs: until then there is a folder of it.
    let proxy = proxy_with([]);
    let leaves = "left=$(sh -c 'true & echo $!'); while [ -d /proc/$left ]; do :; done; echo $$ of $PPID";
    let sandbox = sandbox(&proxy).scripted(leaves);
    let go = sandbox.path("shims/go");
    let run = sandbox
        .run("timeout")
        .args(["60", "unshare", "-pfm", "--mount-proc"]);
    let outcome = run.args([&go]).args(["list"]).output().expect_code(0);
    assert!(outcome.stdout.ends_with(" of 1\n"), "{outcome}");
}

#[test]
fn an_editor_that_cancels_one_of_many_gets_the_others() {
    for relay in ["off", "on"] {
        an_editor_cancels_one_of_many(relay);
    }
}

fn an_editor_cancels_one_of_many(relay: &str) {
    let slow = Rule::new(Fault::Delay { ms: 20 }).when(When::Always);
    let proxy = proxy_with([slow]);
    let sandbox = sandbox(&proxy).shared_build_cache().env("GOFIX_RELAY", relay);
    sandbox.write("go.sum", Catalogue::new().with(Module::new(A, "v1.0.0")).go_sum());
    let list = || sandbox.go(&["list", "-m", "-json", "all"]);
    // The one that is cancelled stands in a download that never ends.
    let stalling = stalling();
    let cancelled = list().env("GOPROXY", stalling.url()).spawn();
    wait_for_request(&stalling);
    let all: Vec<Running> = (0..16).map(|_| list().spawn()).collect();
    cancelled.signal(Signal::SIGKILL);
    let others: Vec<_> = all.into_iter().map(Running::wait).collect();
    assert_eq!(cancelled.wait().signal(), Some(9));
    let plain = sandbox
        .plain_go(&["list", "-m", "-json", "all"])
        .output()
        .expect_code(0);
    for outcome in &others {
        assert_eq!(outcome.code(), Some(0), "{outcome}");
        assert_eq!(outcome.stdout, plain.stdout, "{outcome}");
    }
    sandbox.expect_nobody();
}
