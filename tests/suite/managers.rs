//! Version managers and wrappers between gofix and go, each scripted as the real one works, around the real go:
//! gofix in front of it, behind it, and not there at all.
//!
//! What is compared is what a user sees (`go version`, `go env`, what `go generate` runs), how often the manager
//! was asked, and whether a fetch over a faulty line is mended where gofix comes first.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Kind, Module, Rule};

use crate::support::{Outcome, Sandbox, executable, real_go, write_program};

const VERSION: &str = "1.98.7";

/// A manager that is installed in a sandbox.
struct Manager {
    sandbox: Sandbox,
    /// What it puts in front of PATH.
    dirs: Vec<PathBuf>,
    /// Its `go` is a program of its own, which writes a line into `asked` each time.
    asks: bool,
    /// Where gofix stands behind it, it is asked all the same: the manager looks in PATH itself.
    finds_gofix: bool,
}

/// Where gofix stands in PATH.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Gofix {
    Absent,
    InFront,
    Behind,
}

impl Manager {
    fn go(&self, gofix: Gofix, args: &[&str]) -> Outcome {
        let shims = self.sandbox.path("shims");
        let mut dirs = self.dirs.clone();
        match gofix {
            Gofix::Absent => {}
            Gofix::InFront => dirs.insert(0, shims),
            Gofix::Behind => dirs.push(shims),
        }
        dirs.push(real_go().parent().unwrap().to_owned());
        dirs.extend(["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from));
        let path = std::env::join_paths(dirs).unwrap();
        fs::remove_file(self.sandbox.path("asked")).ok();
        self.sandbox.switch_telemetry_off();
        // As a user's shell finds it.
        self.sandbox
            .run("/bin/sh")
            .args(["-c", "exec go \"$@\"", "sh"])
            .args(args)
            .env("PATH", path)
            .output()
    }

    /// How often it was asked by the last command.
    fn asked(&self) -> usize {
        let text = fs::read_to_string(self.sandbox.path("asked")).unwrap_or_default();
        text.lines().count()
    }
}

/// A GOROOT of its own, whose go finds it by where it lies itself.
fn goroot(place: &Path) {
    let real = real_go().ancestors().nth(2).unwrap();
    fs::create_dir_all(place.join("bin")).unwrap();
    for entry in fs::read_dir(real).unwrap().flatten() {
        if entry.file_name() != "bin" {
            symlink(entry.path(), place.join(entry.file_name())).unwrap();
        }
    }
    let go = place.join("bin/go");
    fs::copy(real_go(), &go).unwrap();
    executable(&go);
}

fn bash(file: &Path, text: &str) {
    write_program(file, &format!("#!/usr/bin/env bash\n{text}\n"));
}

/// asdf: a shim that asks `asdf exec`, which finds the version, sets what the plugin wants to have set, puts the
/// tool's folders first in PATH and execs. For `system` it takes its own shims out of PATH and looks there.
fn asdf(sandbox: Sandbox, version: &str) -> Manager {
    let data = sandbox.path("home/.asdf");
    goroot(&data.join(format!("installs/golang/{VERSION}/go")));
    bash(
        &data.join("shims/go"),
        &format!("# asdf-plugin: golang {VERSION}\nexec asdf exec \"go\" \"$@\""),
    );
    let asked = sandbox.path("asked");
    bash(
        &data.join("bin/asdf"),
        &format!(
            r#"echo "$*" >>'{asked}'
[ "$1" = exec ] || exit 64
name=$2
shift 2
version=$ASDF_GOLANG_VERSION
if [ "$version" = system ]; then
    rest=:$PATH:
    rest=${{rest//:"$ASDF_DATA_DIR/shims":/:}}
    program=$(PATH=$rest type -P "$name") || exit 126
    exec "$program" "$@"
fi
home=$ASDF_DATA_DIR/installs/golang/$version
export GOROOT=$home/go GOPATH=${{GOPATH:-$home/packages}} GOBIN=${{GOBIN:-$home/bin}}
export PATH=$home/go/bin:$home/bin:$PATH
exec "$home/go/bin/$name" "$@""#,
            asked = asked.display()
        ),
    );
    Manager {
        dirs: vec![data.join("shims"), data.join("bin")],
        asks: true,
        finds_gofix: version == "system",
        sandbox: sandbox
            .env("ASDF_DATA_DIR", data)
            .env("ASDF_GOLANG_VERSION", version),
    }
}

/// goenv: every shim is one script that looks at its own name and at its arguments; `goenv exec` asks its other
/// programs in substitutions, exports GOROOT and GOPATH and execs under the name that was called.
fn goenv(sandbox: Sandbox, version: &str) -> Manager {
    let root = sandbox.path("home/.goenv");
    goroot(&root.join("versions").join(VERSION));
    bash(
        &root.join("shims/go"),
        &format!(
            r#"set -e
name=${{0##*/}}
if [[ $name = go* ]]; then
    for word; do
        case $word in
        -c* | --) break ;;
        */*)
            if [ -f "$word" ]; then
                export GOENV_FILE_ARG=$word
                break
            fi
            ;;
        esac
    done
fi
export GOENV_ROOT='{root}'
exec '{root}/bin/goenv' exec "$name" "$@""#,
            root = root.display()
        ),
    );
    bash(
        &root.join("libexec/goenv-which"),
        r#"if [ "$GOENV_VERSION" = system ]; then
    rest=:$PATH:
    rest=${rest//:"$GOENV_ROOT/shims":/:}
    PATH=$rest type -P "$1"
else
    echo "$GOENV_ROOT/versions/$GOENV_VERSION/bin/$1"
fi"#,
    );
    let asked = sandbox.path("asked");
    bash(
        &root.join("bin/goenv"),
        &format!(
            r#"set -e
echo "$*" >>'{asked}'
[ "$1" = exec ]
name=$2
shift 2
export PATH=$GOENV_ROOT/libexec:$PATH
program=$(goenv-which "$name")
if [ "$GOENV_VERSION" != system ]; then
    export GOROOT=$GOENV_ROOT/versions/$GOENV_VERSION
    export GOPATH=$HOME/go/$GOENV_VERSION
fi
export PATH=${{program%/*}}:$GOROOT/bin:$PATH
exec -a "$name" "$program" "$@""#,
            asked = asked.display()
        ),
    );
    Manager {
        dirs: vec![root.join("shims"), root.join("bin")],
        asks: true,
        finds_gofix: version == "system",
        sandbox: sandbox.env("GOENV_ROOT", root).env("GOENV_VERSION", version),
    }
}

/// gvm: no program at all, but what its shell function leaves in the environment.
fn gvm(sandbox: Sandbox) -> Manager {
    let root = sandbox.path("home/.gvm");
    let name = format!("go{VERSION}");
    let (go, set) = (root.join("gos").join(&name), root.join("pkgsets").join(&name));
    goroot(&go);
    let set = set.join("global");
    Manager {
        dirs: vec![set.join("bin"), go.join("bin"), root.join("bin")],
        asks: false,
        finds_gofix: false,
        sandbox: sandbox
            .env("GVM_ROOT", &root)
            .env("gvm_go_name", name)
            .env("gvm_pkgset_name", "global")
            .env("GOROOT", go)
            .env("GOPATH", set),
    }
}

/// What golang.org/dl installs: a program that stays, hears the keyboard's signals in go's stead, and runs the go
/// of an SDK folder as its child with GOROOT and PATH set. In PATH as `go` by a link, as people do it.
fn dl(sandbox: Sandbox) -> Manager {
    const WRAPPER: &str = r#"package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	home, _ := os.UserHomeDir()
	root := home + "/sdk/goVERSION"
	if asked, err := os.OpenFile("ASKED", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666); err == nil {
		asked.WriteString("asked\n")
		asked.Close()
	}
	child := exec.Command(root+"/bin/go", os.Args[1:]...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Env = append(os.Environ(), "GOROOT="+root, "PATH="+root+"/bin:"+os.Getenv("PATH"))
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGQUIT)
	err := child.Run()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		os.Exit(failed.ExitCode())
	} else if err != nil {
		os.Exit(1)
	}
}
"#;
    let sandbox = sandbox.shared_build_cache();
    sandbox.switch_telemetry_off();
    goroot(&sandbox.path(format!("home/sdk/go{VERSION}")));
    let source = sandbox.path("wrapper");
    fs::create_dir(&source).unwrap();
    let asked = sandbox.path("asked");
    let text = WRAPPER
        .replace("VERSION", VERSION)
        .replace("ASKED", asked.to_str().unwrap());
    fs::write(source.join("main.go"), text).unwrap();
    let bin = sandbox.path("home/go/bin");
    let program = bin.join(format!("go{VERSION}"));
    sandbox
        .plain_go(&["build", "-o"])
        .args([&program, &source.join("main.go")])
        .output()
        .expect_code(0);
    let links = sandbox.path("home/bin");
    fs::create_dir(&links).unwrap();
    symlink(&program, links.join("go")).unwrap();
    Manager {
        dirs: vec![links, bin],
        asks: true,
        finds_gofix: false,
        sandbox,
    }
}

/// A wrapper of nix: a script that sets something and execs the hidden program beside it under its own name.
fn nix(sandbox: Sandbox) -> Manager {
    let store = sandbox.path(format!("nix/store/00-go-{VERSION}"));
    goroot(&store.join("share/go"));
    fs::create_dir_all(store.join("bin")).unwrap();
    symlink("../share/go/bin/go", store.join("bin/.go-wrapped")).unwrap();
    let asked = sandbox.path("asked");
    write_program(
        &store.join("bin/go"),
        &format!(
            "#!/bin/bash -e\necho \"$*\" >>'{}'\nexport GOTELEMETRYDIR=\nexec -a \"$0\" \"{}\"  \"$@\"\n",
            asked.display(),
            store.join("bin/.go-wrapped").display()
        ),
    );
    // A profile is a folder of links into the store.
    let profile = sandbox.path("home/.nix-profile/bin");
    fs::create_dir_all(&profile).unwrap();
    symlink(store.join("bin/go"), profile.join("go")).unwrap();
    Manager {
        dirs: vec![profile],
        asks: true,
        finds_gofix: false,
        sandbox,
    }
}

/// snap: a link named after the program to the one that starts them all, and that looks at its own name.
fn snap(sandbox: Sandbox) -> Manager {
    let snap = sandbox.path("snap");
    goroot(&snap.join("go/10000"));
    symlink("10000", snap.join("go/current")).unwrap();
    let asked = sandbox.path("asked");
    bash(
        &sandbox.path("usr/bin/snap"),
        &format!(
            r#"name=${{0##*/}}
[ "$name" != snap ] || exit 64
echo "$*" >>'{asked}'
export SNAP='{snap}'/$name/current SNAP_NAME=$name SNAP_REVISION=10000
exec "$SNAP/bin/$name" "$@""#,
            asked = asked.display(),
            snap = snap.display()
        ),
    );
    fs::create_dir(snap.join("bin")).unwrap();
    symlink(sandbox.path("usr/bin/snap"), snap.join("bin/go")).unwrap();
    Manager {
        dirs: vec![snap.join("bin")],
        asks: true,
        finds_gofix: false,
        sandbox,
    }
}

/// mise, the real one, with a version that is linked into its folder; only where it is in PATH.
fn mise(sandbox: Sandbox, program: &Path) -> Manager {
    let data = sandbox.path("home/.local/share/mise");
    let go = sandbox.path("linked");
    goroot(&go);
    let sandbox = sandbox
        .env("MISE_DATA_DIR", &data)
        .env("MISE_GO_VERSION", VERSION)
        .env("MISE_OFFLINE", "1");
    let link = format!("go@{VERSION}");
    let run = |words: &[&str]| sandbox.run(program).args(words);
    run(&["link", &link]).args([&go]).output().expect_code(0);
    run(&["reshim"]).output().expect_code(0);
    Manager {
        dirs: vec![data.join("shims")],
        asks: false,
        finds_gofix: false,
        sandbox,
    }
}

const MODULE: (&str, &str) = ("example.com/a", "v1.0.0");

fn catalogue() -> Catalogue {
    Catalogue::new().with(Module::new(MODULE.0, MODULE.1))
}

/// A proxy that resets the first request for a go.mod.
fn faulty() -> FaultProxy {
    let reset = Rule::new(Fault::ResetBeforeHeader).on(Kind::Mod).first(1);
    FaultProxy::builder(catalogue()).rule(reset).start().unwrap()
}

#[track_caller]
fn prove(install: impl Fn(Sandbox) -> Manager) {
    if !Path::new("/bin/bash").exists() {
        return crate::startup::skip("no bash here");
    }
    let manager = install(Sandbox::new().env("GOPROXY", "http://127.0.0.1:9"));
    let sandbox = &manager.sandbox;
    sandbox.write("go.mod", "module example.com/main\n\ngo 1.21\n");
    sandbox.write(
        "main.go",
        "package main\n\n//go:generate go version\n//go:generate go env GOROOT GOPATH GOBIN\n\
         //go:generate go list -m\n\nfunc main() {}\n",
    );
    for args in [
        &["version"][..],
        &["env", "GOROOT", "GOPATH", "GOBIN", "GOPROXY"],
        &["generate", "./..."],
        &["list", "-m"],
        &["list", "./nosuch"],
        &["frob"],
    ] {
        let plain = manager.go(Gofix::Absent, args);
        let asked = manager.asked();
        assert_eq!(asked, usize::from(manager.asks), "{args:?}: {plain}");
        for gofix in [Gofix::InFront, Gofix::Behind] {
            let with = manager.go(gofix, args);
            assert_eq!(with.status, plain.status, "{gofix:?} {args:?}: {with}\n{plain}");
            assert_eq!(with.stdout, plain.stdout, "{gofix:?} {args:?}: {with}");
            assert_eq!(with.stderr, plain.stderr, "{gofix:?} {args:?}: {with}");
            assert_eq!(manager.asked(), asked, "{gofix:?} {args:?}: {with}");
        }
        assert!(!plain.stdout.is_empty() || plain.code() != Some(0), "{plain}");
    }
    for relay in ["off", "on"] {
        for gofix in [Gofix::Absent, Gofix::InFront, Gofix::Behind] {
            let proxy = faulty();
            let sandbox = Sandbox::new()
                .env("GOPROXY", proxy.url())
                .env("GOFIX_RELAY", relay)
                .requiring(&[MODULE]);
            sandbox.write("go.sum", catalogue().go_sum());
            let manager = install(sandbox);
            let outcome = manager.go(gofix, &["mod", "download"]);
            let mended = gofix == Gofix::InFront || gofix == Gofix::Behind && manager.finds_gofix;
            assert_eq!(
                outcome.code(),
                Some(i32::from(!mended)),
                "{gofix:?}, relay {relay}: {outcome}"
            );
        }
    }
}

#[test]
fn asdf_with_a_version_of_its_own() {
    prove(|sandbox| asdf(sandbox, VERSION));
}

#[test]
fn asdf_with_the_systems_go() {
    prove(|sandbox| asdf(sandbox, "system"));
}

#[test]
fn goenv_with_a_version_of_its_own() {
    prove(|sandbox| goenv(sandbox, VERSION));
}

#[test]
fn goenv_with_the_systems_go() {
    prove(|sandbox| goenv(sandbox, "system"));
}

#[test]
fn gvm_which_is_a_shell_function() {
    prove(gvm);
}

#[test]
fn a_version_from_golang_org_dl() {
    prove(dl);
}

#[test]
fn a_wrapper_of_nix() {
    prove(nix);
}

#[test]
fn a_snap() {
    prove(snap);
}

#[test]
fn mise_where_it_is_installed() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("mise"));
    match found.into_iter().find(|file| file.is_file()) {
        Some(program) => prove(|sandbox| mise(sandbox, &program)),
        None => crate::startup::skip("no mise in PATH"),
    }
}
