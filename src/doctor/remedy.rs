//! The commands that doctor tells people to run. Each can be pasted into a POSIX shell as it stands: they are made here
//! and nowhere else, of words that are quoted where they have to be, and the tests run them. Words in capitals are what
//! only the reader knows.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::go::env::{Layer, Lookup};
use crate::text::shell;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Remedy(String);

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A program and its arguments.
pub(super) fn run<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Remedy {
    Remedy(shell::command(words))
}

/// Sets a variable for what is run next.
pub(super) fn export(name: &str, value: &str) -> Remedy {
    Remedy(shell::export(name, value))
}

/// Unsets variables, in both of their spellings where there are two.
pub(super) fn unset(names: &[&str]) -> Remedy {
    run(["unset"].iter().chain(names))
}

/// Sets one of go's own variables where it stands: a value of the environment hides what `go env -w` writes.
pub(super) fn set_go(name: &str, value: &str, layer: Layer) -> Remedy {
    match layer {
        Layer::Environment => export(name, value),
        _ => run(["go", "env", "-w", &format!("{name}={value}")]),
    }
}

/// Takes one of go's own variables away where it stands.
pub(super) fn unset_go(name: &str, layer: Layer) -> Remedy {
    match layer {
        Layer::Environment => unset(&[name]),
        _ => run(["go", "env", "-u", name]),
    }
}

/// Sets a variable to the value of another.
pub(super) fn copy(name: &str, from: &str) -> Remedy {
    Remedy(format!("export {name}=\"${from}\""))
}

/// Adds a host to NO_PROXY.
pub(super) fn no_proxy(host: &str) -> Remedy {
    Remedy(format!(
        "export NO_PROXY=\"${{NO_PROXY:+$NO_PROXY,}}\"{}",
        shell::word(host)
    ))
}

/// Puts a folder in front of PATH.
pub(super) fn first_in_path(dir: &str) -> Remedy {
    Remedy(format!("export PATH={}:\"$PATH\"", shell::word(dir)))
}

/// Sets a variable to a path below the user's home.
pub(super) fn below_home(name: &str, path: &str) -> Remedy {
    Remedy(format!("export {name}=\"$HOME\"/{}", shell::word(path)))
}

/// Adds an entry to netrc.
pub(super) fn add_to_netrc(host: &str) -> Remedy {
    let entry = format!("machine {host} login USER password TOKEN");
    Remedy(format!("echo {} >> ~/.netrc", shell::word(&entry)))
}

/// Installs a program by what this machine has for that; `None` where it has none that is known.
pub(super) fn install(package: Package, env: Lookup<'_>) -> Option<Remedy> {
    let path = env("PATH")?;
    let is_there = |program: &str| std::env::split_paths(&path).any(|dir| is_program(&dir.join(program)));
    let (_, words, names) = MANAGERS.iter().find(|(program, _, _)| is_there(program))?;
    let name = match package {
        Package::Git => names.git,
        Package::Ssh => names.ssh,
        Package::Certificates => names.certificates,
    };
    Some(run(words.iter().copied().chain([name])))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What may have to be installed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Package {
    Git,
    Ssh,
    Certificates,
}

struct Names {
    git: &'static str,
    ssh: &'static str,
    certificates: &'static str,
}

const fn names(git: &'static str, ssh: &'static str, certificates: &'static str) -> Names {
    Names {
        git,
        ssh,
        certificates,
    }
}

const MANAGERS: &[(&str, &[&str], Names)] = &[
    (
        "apt-get",
        &["apt-get", "install"],
        names("git", "openssh-client", "ca-certificates"),
    ),
    (
        "apk",
        &["apk", "add"],
        names("git", "openssh-client", "ca-certificates"),
    ),
    (
        "dnf",
        &["dnf", "install"],
        names("git", "openssh-clients", "ca-certificates"),
    ),
    (
        "yum",
        &["yum", "install"],
        names("git", "openssh-clients", "ca-certificates"),
    ),
    (
        "zypper",
        &["zypper", "install"],
        names("git", "openssh-clients", "ca-certificates"),
    ),
    (
        "pacman",
        &["pacman", "-S"],
        names("git", "openssh", "ca-certificates"),
    ),
    (
        "brew",
        &["brew", "install"],
        names("git", "openssh", "ca-certificates"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    /// Runs a command in sh, where every program is one that tells its arguments.
    fn run_in_sh(remedy: &Remedy) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let program = remedy.0.split(' ').next().unwrap();
        if !matches!(program, "export" | "unset" | "echo" | "ulimit") {
            let file = dir.path().join(program);
            std::fs::write(&file, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let script = format!("{remedy}\nprintf '%s\\n' \"$NAME\" \"$NO_PROXY\" \"$PATH\"");
        let output = Command::new("/bin/sh")
            .args(["-euc", &script])
            .env_clear()
            .env("PATH", dir.path())
            .env("HOME", dir.path())
            .env("OTHER", "a b")
            .env("NAME", "")
            .env("NO_PROXY", "x y")
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{remedy}: {output:?}"
        );
        let netrc = std::fs::read_to_string(dir.path().join(".netrc")).unwrap_or_default();
        let text = format!("{netrc}{}", String::from_utf8_lossy(&output.stdout));
        text.lines().map(str::to_owned).collect()
    }

    /// What a value may hold that means something to a shell.
    const NASTY: &str = "a|b; c & $(d) `e` \"f\" 'g' * ? ~ # \\ <h> {i}";

    #[test]
    fn whatever_stands_in_a_command_reaches_the_program() {
        let cases = [
            (set_go("NAME", NASTY, Layer::UserFile), 2, format!("NAME={NASTY}")),
            (run(["program", NASTY]), 0, NASTY.to_owned()),
            (unset_go("NAME", Layer::Goroot), 2, "NAME".to_owned()),
            (
                add_to_netrc("h.example"),
                0,
                "machine h.example login USER password TOKEN".to_owned(),
            ),
        ];
        for (remedy, line, expected) in cases {
            assert_eq!(run_in_sh(&remedy)[line], expected, "{remedy}");
        }
        let exported = [
            (export("NAME", NASTY), NASTY),
            (set_go("NAME", NASTY, Layer::Environment), NASTY),
            (copy("NAME", "OTHER"), "a b"),
        ];
        for (remedy, expected) in exported {
            assert_eq!(run_in_sh(&remedy)[0], expected, "{remedy}");
        }
        assert_eq!(run_in_sh(&no_proxy("h.example"))[1], "x y,h.example");
        assert!(run_in_sh(&first_in_path("/a b"))[2].starts_with("/a b:/"));
        assert!(run_in_sh(&below_home("NAME", "go/pkg/mod"))[0].ends_with("/go/pkg/mod"));
        run_in_sh(&unset(&["NAME", "name"]).and_set_again());
    }

    impl Remedy {
        /// For a script that asks for it afterwards.
        fn and_set_again(self) -> Self {
            Self(format!("{self}; NAME="))
        }
    }

    #[test]
    fn what_is_missing_is_installed_by_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = OsString::from(dir.path());
        let env = |name: &str| (name == "PATH").then(|| path.clone());
        assert_eq!(install(Package::Git, &env), None);
        let file = dir.path().join("apk");
        std::fs::write(&file, "").unwrap();
        assert_eq!(install(Package::Git, &env), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let remedy = install(Package::Ssh, &env).unwrap();
        assert_eq!(remedy.0, "apk add openssh-client");
        assert_eq!(run_in_sh(&remedy)[..2], ["add", "openssh-client"]);
    }
}
