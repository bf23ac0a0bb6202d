//! Machines on which something is missing, full, closed or forbidden: go behind gofix ends as go does alone, with
//! the same bytes; where gofix cannot do what it is for, it steps aside.
//!
//! Known limitations: what needs a mount or another user is tried as root only.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Kind, Module, Rule};

use crate::support::{Outcome, Run, Sandbox, real_go, tree};

const A: (&str, &str) = ("example.com/a", "v1.0.0");

/// Nobody else on the machine has this user id, so that limits for each user are this test's own.
const STRANGER: u32 = 64_357;

fn catalogue() -> Catalogue {
    Catalogue::new().with(Module::new(A.0, A.1).ballast(20_000))
}

fn proxy_with(rules: impl IntoIterator<Item = Rule>) -> FaultProxy {
    FaultProxy::builder(catalogue()).rules(rules).start().unwrap()
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// What is odd about a machine: a script that makes it so and then executes its arguments.
#[derive(Debug, Clone, Copy)]
struct Odd {
    name: &'static str,
    script: &'static str,
    /// Only root can make it so.
    mounts: bool,
    /// What go says then holds addresses and numbers of threads, so that only the status is compared.
    crashes: bool,
}

const fn odd(name: &'static str, script: &'static str) -> Odd {
    Odd {
        name,
        script,
        mounts: false,
        crashes: false,
    }
}

const fn mounted(name: &'static str, script: &'static str) -> Odd {
    Odd {
        mounts: true,
        ..odd(name, script)
    }
}

const ONE_PROCESS: &str = "one process";

const ODD: &[Odd] = &[
    odd("as it should be", r#"exec "$@""#),
    mounted(
        "TMPDIR is full",
        r#"mount -t tmpfs -o size=64k none "$TMPDIR"; chmod 1777 "$TMPDIR"; head -c 200k /dev/zero >"$TMPDIR/full" 2>&-; exec "$@""#,
    ),
    mounted(
        "TMPDIR has no inodes",
        r#"mount -t tmpfs -o nr_inodes=1 none "$TMPDIR"; chmod 1777 "$TMPDIR"; exec "$@""#,
    ),
    odd("TMPDIR is not there", r#"TMPDIR=$TMPDIR/not/there exec "$@""#),
    odd("TMPDIR is empty", r#"TMPDIR= exec "$@""#),
    mounted(
        "HOME is read-only",
        r#"mount -o bind "$HOME" "$HOME"; mount -o remount,bind,ro "$HOME"; exec "$@""#,
    ),
    odd("HOME is not set", r#"unset HOME; exec "$@""#),
    odd("HOME is empty", r#"HOME= exec "$@""#),
    odd("HOME is relative", r#"HOME=home exec "$@""#),
    odd(
        "HOME may not be searched",
        r#"mkdir "$TMPDIR/locked"; chmod 0 "$TMPDIR/locked"; HOME=$TMPDIR/locked exec "$@""#,
    ),
    odd(
        "HOME is a loop",
        r#"ln -s loop "$TMPDIR/loop"; HOME=$TMPDIR/loop exec "$@""#,
    ),
    odd("HOME is a file", r#"HOME=$PWD/go.mod exec "$@""#),
    mounted("no /proc", r#"mount -t tmpfs none /proc; exec "$@""#),
    mounted(
        "no /dev/null, no /dev/tty",
        r#"mount -t tmpfs none /dev; exec "$@""#,
    ),
    mounted(
        "a read-only project",
        r#"mount -o bind "$PWD" "$PWD"; mount -o remount,bind,ro "$PWD"; cd "$PWD"; exec "$@""#,
    ),
    mounted(
        "a read-only module cache",
        r#"mkdir -p "$GOMODCACHE"; mount -t tmpfs -o ro none "$GOMODCACHE"; exec "$@""#,
    ),
    mounted(
        "a full module cache",
        r#"mkdir -p "$GOMODCACHE"; mount -t tmpfs -o size=16k none "$GOMODCACHE"; chmod 777 "$GOMODCACHE"; exec "$@""#,
    ),
    odd("20 descriptors", r#"ulimit -n 20; exec "$@""#),
    odd("10 descriptors", r#"ulimit -n 10; exec "$@""#),
    odd("two gigabytes of addresses", r#"ulimit -v 2097152; exec "$@""#),
    Odd {
        crashes: true,
        ..odd("half a gigabyte of addresses", r#"ulimit -v 524288; exec "$@""#)
    },
    odd("no bytes in files", r#"ulimit -f 0; exec "$@""#),
    odd(
        "no core files, no locked memory",
        r#"ulimit -c 0 -l 0; exec "$@""#,
    ),
    odd("stdin is closed", r#"exec "$@" <&-"#),
    odd("stdout is closed", r#"exec "$@" >&-"#),
    odd("stderr is closed", r#"exec "$@" 2>&-"#),
    odd("stdout and stderr are closed", r#"exec "$@" >&- 2>&-"#),
    odd("all three are closed", r#"exec "$@" <&- >&- 2>&-"#),
    odd("stdout is full", r#"exec "$@" >/dev/full"#),
    odd("stderr is full", r#"exec "$@" 2>/dev/full"#),
    odd("both are full", r#"exec "$@" >/dev/full 2>&1"#),
    odd("stdout is read-only", r#"exec "$@" 1</dev/null"#),
    Odd {
        crashes: true,
        ..odd(ONE_PROCESS, r#"ulimit -u 1; exec "$@""#)
    },
];

/// Who runs it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum User {
    Own,
    Stranger,
}

/// A sandbox with a project that needs one module, and whose files belong to the user.
fn sandbox(proxy: &FaultProxy, user: User, relay: &str) -> Sandbox {
    let sandbox = Sandbox::new()
        .env("GOPROXY", proxy.url())
        .env("GOFIX_RELAY", relay)
        .env("GOFIX_RETRY_COUNT", "1")
        .requiring(&[A]);
    sandbox.write("go.sum", catalogue().go_sum());
    if user == User::Stranger {
        for (place, _) in tree(&sandbox.path("")) {
            if !sandbox.path(&place).is_symlink() {
                chown(sandbox.path(place), Some(STRANGER), Some(STRANGER)).unwrap();
            }
        }
        fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    }
    sandbox
}

/// A command on an odd machine.
fn on(odd: Odd, user: User, sandbox: &Sandbox, go: &Path, args: &[&str]) -> Run {
    let stranger = STRANGER.to_string();
    let drop = [
        "setpriv",
        "--clear-groups",
        "--reuid",
        &stranger,
        "--regid",
        &stranger,
    ];
    let unshare = ["unshare", "-m"];
    let mut words: Vec<&str> = Vec::new();
    if odd.mounts {
        words.extend(unshare);
    } else if user == User::Stranger {
        words.extend(drop);
    }
    words.extend(["/bin/bash", "-c", odd.script, "bash"]);
    if odd.mounts && user == User::Stranger {
        words.extend(drop);
    }
    sandbox.run(words[0]).args(&words[1..]).args([go]).args(args)
}

/// What is compared: without the places of this sandbox, and without the order of what go does at once.
fn said(outcome: &Outcome, sandbox: &Sandbox) -> (String, Vec<String>) {
    let place = sandbox.path("");
    let place = place.to_str().unwrap().trim_end_matches('/');
    // The name of a temporary file is another each time.
    let clean = |text: &str| {
        let text = text.replace(place, "SANDBOX");
        let parts: Vec<&str> = text
            .split(".tmp")
            .map(|part| part.trim_end_matches(|letter: char| letter.is_ascii_digit()))
            .collect();
        parts.join(".tmp")
    };
    let mut lines: Vec<String> = clean(&outcome.stderr).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    (clean(&outcome.stdout), lines)
}

/// True where another user can run what is tested.
fn strangers_can(sandbox: &Sandbox) -> bool {
    let go = sandbox.path("shims/go");
    let run = on(ODD[0], User::Stranger, sandbox, &go, &["version"]);
    run.output().code() == Some(0)
}

/// The odd machines that can be had here for this user.
fn machines(user: User) -> Vec<Odd> {
    if !Path::new("/bin/bash").exists() {
        crate::startup::skip("no bash here");
        return Vec::new();
    }
    if user == User::Stranger && !(is_root() && strangers_can(&sandbox(&proxy_with([]), user, "off"))) {
        crate::startup::skip("nobody can be another user here");
        return Vec::new();
    }
    // Root has no limit of processes.
    let can = |odd: &&Odd| (is_root() || !odd.mounts) && (odd.name != ONE_PROCESS || user == User::Stranger);
    ODD.iter().filter(can).copied().collect()
}

/// What does not end as it does with plain go on the same machine.
fn differences(user: User) -> Vec<String> {
    let healthy = proxy_with([]);
    let mut bad = Vec::new();
    for odd in machines(user) {
        for (args, relays) in [
            (&["list", "-m"][..], &["off"][..]),
            (&["env", "GOFLAGS"], &["off"]),
            (&["list", "./nosuch"], &["off"]),
            (&["mod", "download"], &["off", "on"]),
            (&["mod", "download", "-json"], &["off", "on"]),
        ] {
            let plain = sandbox(&healthy, user, "off");
            let expected = on(odd, user, &plain, real_go(), args).output();
            for relay in relays {
                let own = sandbox(&healthy, user, relay);
                let outcome = on(odd, user, &own, &own.path("shims/go"), args).output();
                let same = outcome.status == expected.status
                    && (odd.crashes || said(&outcome, &own) == said(&expected, &plain));
                if !same {
                    bad.push(format!(
                        "{}, relay {relay}, {args:?}: {outcome}\ninstead of\n{expected}",
                        odd.name
                    ));
                }
            }
        }
    }
    bad
}

#[test]
fn on_an_odd_machine_it_is_go() {
    let bad = differences(User::Own);
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

#[test]
fn on_an_odd_machine_it_is_go_for_a_plain_user() {
    let bad = differences(User::Stranger);
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

/// A fetch that meets one fault is mended wherever plain go ends well on a healthy line.
#[test]
fn on_an_odd_machine_a_fetch_is_mended_all_the_same() {
    let healthy = proxy_with([]);
    let args = &["mod", "download"];
    let mut bad = Vec::new();
    for user in [User::Own, User::Stranger] {
        for odd in machines(user) {
            let plain = sandbox(&healthy, user, "off");
            let expected = on(odd, user, &plain, real_go(), args).output();
            for relay in ["off", "on"] {
                let reset = Rule::new(Fault::ResetBeforeHeader).on(Kind::Zip).first(1);
                let proxy = proxy_with([reset]);
                let own = sandbox(&proxy, user, relay);
                let outcome = on(odd, user, &own, &own.path("shims/go"), args).output();
                if outcome.status != expected.status {
                    bad.push(format!(
                        "{}, {user:?}, relay {relay}: {outcome}\ninstead of\n{expected}",
                        odd.name
                    ));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

/// go itself makes a HOME that is not there, for its telemetry, so a script takes its part here.
#[test]
fn a_home_that_is_not_there_is_not_made() {
    for relay in ["off", "on"] {
        let proxy = proxy_with([]);
        let says = "echo 'go: example.com/a@v1.0.0: Get \"https://p/x\": read: connection reset by peer' >&2; exit 1";
        let own = sandbox(&proxy, User::Own, relay).scripted(says);
        let home = own.path("not/there");
        let nowhere = |run: Run| {
            let mut run = run.env("HOME", &home).env("SHELL", "/bin/bash");
            run.command.env_remove("GOENV").env_remove("XDG_CONFIG_HOME");
            run.output()
        };
        let failed = nowhere(own.go(&["mod", "download"])).expect_code(1);
        assert!(failed.gofix_lines().len() > 1, "it was tried again: {failed}");
        for args in [
            &["doctor"][..],
            &["routes"],
            &["config", "show"],
            &["shim", "status"],
            &["cache", "verify"],
            &["explain", "go.mod"],
        ] {
            nowhere(own.gofix(args));
        }
        for args in [&["shim", "install"][..], &["routes", "use", "preset:cn"]] {
            let refused = nowhere(own.gofix(args));
            assert_ne!(refused.code(), Some(0), "{args:?}: {refused}");
            assert_eq!(refused.stderr.lines().count(), 1, "{args:?}: {refused}");
            let place = home.to_str().unwrap();
            assert!(refused.stderr.contains(place), "{args:?}: {refused}");
        }
        assert!(!own.path("not").exists(), "{:?}", tree(&own.path("not")));
    }
}
