//! The shim, and gofix under the name `go`: what they find, what they hand on, and that nobody can tell.
//!
//! Where a test has to look at a process from inside, the go is a toolchain folder whose `go` is a copy of sh:
//! `go -c SCRIPT` is a command that gofix does not know and passes through.

mod command_line;
mod finding_go;
mod handing_over;
mod process;

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
