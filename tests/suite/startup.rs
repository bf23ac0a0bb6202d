//! What passing a command through costs, in system calls and instructions, against the least that a program
//! named go can do: benches/cshim.c. Neither count depends on the machine's speed or load.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Sandbox, gofix_exe};

/// System calls above the C program's: the process id, twice the own executable, the gofix beside it, then for the
/// go that was found access, readlink and access of pkg/tool. Each entry of PATH costs one stat more.
const SYSTEM_CALLS: usize = 7;

/// Instructions above the C program's, of some 120,000 that starting any dynamic program takes.
const INSTRUCTIONS: u64 = 40_000;

/// The release build of the shim, the C program and the go that both execute.
struct Subjects {
    sandbox: Sandbox,
    shim: PathBuf,
    c_shim: PathBuf,
    go: PathBuf,
}

impl Subjects {
    /// Says why where there is no C compiler.
    fn new() -> Result<Self, String> {
        let sandbox = Sandbox::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/cshim.c");
        fs::create_dir_all(sandbox.path("toolchain/bin")).unwrap();
        fs::create_dir_all(sandbox.path("toolchain/pkg/tool")).unwrap();
        let go = sandbox.path("toolchain/bin/go");
        fs::copy("/bin/true", &go).unwrap();
        crate::support::executable(&go);
        let c_shim = sandbox.path("cshim");
        let compiled = Command::new("cc")
            .arg("-O2")
            .arg(format!("-DREAL_GO=\"{}\"", go.display()))
            .arg("-o")
            .args([&c_shim, &source])
            .status();
        if !compiled.is_ok_and(|status| status.success()) {
            return Err("no C compiler here".to_owned());
        }
        fs::create_dir(sandbox.path("release")).unwrap();
        let shim = sandbox.path("release/go");
        fs::copy(release_shim(), &shim).unwrap();
        crate::support::executable(&shim);
        Ok(Self {
            sandbox,
            shim,
            c_shim,
            go,
        })
    }

    /// Folders of PATH, that of the shim first and that of go second.
    fn path(&self) -> (OsString, usize) {
        let dirs = [
            self.shim.parent().unwrap(),
            self.go.parent().unwrap(),
            Path::new("/usr/bin"),
            Path::new("/bin"),
        ];
        (std::env::join_paths(dirs).unwrap(), dirs.len())
    }

    /// System calls from the start of the program to the exec of go.
    fn system_calls(&self, program: &Path) -> Result<usize, String> {
        let log = self.sandbox.path("strace");
        let outcome = self.measure("strace", &[format!("-o{}", log.display())], program)?;
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let to_go = format!("execve(\"{}\"", self.go.display());
        let end = lines.iter().position(|line| line.starts_with(&to_go));
        end.map(|end| end - 1)
            .ok_or_else(|| format!("strace shows no exec of go: {outcome}"))
    }

    /// Instructions from the start of the program, the dynamic linker included, to the exec of go.
    fn instructions(&self, program: &Path) -> Result<u64, String> {
        let prefix = self.sandbox.path("callgrind.");
        let options = [
            "--tool=callgrind",
            "--dump-before=execve",
            &format!("--callgrind-out-file={}%p", prefix.display()),
        ];
        let outcome = self.measure("valgrind", &options.map(str::to_owned), program)?;
        let files = fs::read_dir(prefix.parent().unwrap())
            .unwrap()
            .flatten()
            .map(|entry| entry.path());
        let mut found = None;
        for file in files.filter(|file| file.to_string_lossy().starts_with(&*prefix.to_string_lossy())) {
            let text = fs::read_to_string(&file).unwrap();
            let sum = text.lines().find_map(|line| line.strip_prefix("summary: "));
            found = found.or_else(|| sum.and_then(|sum| sum.trim().parse().ok()));
            fs::remove_file(file).unwrap();
        }
        found.ok_or_else(|| format!("valgrind wrote no count: {outcome}"))
    }

    fn measure(&self, tool: &str, options: &[String], program: &Path) -> Result<String, String> {
        let mut run = self
            .sandbox
            .run(tool)
            .args(options)
            .args([program])
            .args(["version"])
            .env("PATH", self.path().0);
        let output = run
            .command
            .output()
            .map_err(|error| format!("no {tool} here ({error})"))?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The shim as `cargo build --release` makes it.
fn release_shim() -> PathBuf {
    let target = gofix_exe().ancestors().nth(2).unwrap();
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "gofix-shim",
            "--target-dir",
        ])
        .arg(target)
        .status()
        .unwrap();
    assert!(status.success(), "the shim does not build");
    target.join("release/go")
}

pub(crate) fn skip(reason: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

#[test]
fn passing_through_takes_hardly_more_than_a_c_program() {
    let subjects = match Subjects::new() {
        Ok(subjects) => subjects,
        Err(reason) => return skip(&reason),
    };
    let entries = subjects.path().1;
    match (
        subjects.system_calls(&subjects.c_shim),
        subjects.system_calls(&subjects.shim),
    ) {
        (Ok(c), Ok(shim)) => {
            assert!(
                shim <= c + SYSTEM_CALLS + entries,
                "system calls: {shim}, the C program {c}, {entries} PATH entries"
            );
        }
        (Err(reason), _) | (_, Err(reason)) => skip(&reason),
    }
    match (
        subjects.instructions(&subjects.c_shim),
        subjects.instructions(&subjects.shim),
    ) {
        (Ok(c), Ok(shim)) => {
            assert!(
                shim <= c + INSTRUCTIONS,
                "instructions: {shim}, the C program {c}"
            );
        }
        (Err(reason), _) | (_, Err(reason)) => skip(&reason),
    }
}

/// Instructions of a build without optimisations for the view for OpenTelemetry where no variable asks for it: it looks
/// for four of them. Starting any dynamic program takes more than twenty times as many.
const TELEMETRY: u64 = 5000;

/// No test of its own: what every supervised command reads of its environment, for [`telemetry_that_nobody_asks_for`].
#[test]
#[ignore = "run by other tests, as a process of its own"]
fn as_a_process() {
    let config = gofix::config::Config::default();
    let settings = gofix::report::Settings::detect(&config, "go build", &|name| std::env::var_os(name));
    assert!(settings.otel.is_none());
}

/// Behind this, every event costs the question whether there is anything to tell.
#[test]
fn telemetry_that_nobody_asks_for_costs_next_to_nothing() {
    let sandbox = Sandbox::new();
    let counts = sandbox.path("counts");
    let mut run = sandbox
        .run("valgrind")
        .args([
            "--tool=callgrind",
            "--toggle-collect=*report::otel::settings::Settings::detect",
        ])
        .args([format!("--callgrind-out-file={}", counts.display())])
        .args([std::env::current_exe().unwrap()])
        .args([
            "--exact",
            "startup::as_a_process",
            "--ignored",
            "--test-threads=1",
        ]);
    let Ok(output) = run.command.output() else {
        return skip("no valgrind here");
    };
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(&counts).unwrap();
    let sum = text.lines().find_map(|line| line.strip_prefix("summary: "));
    let sum: u64 = sum.unwrap().trim().parse().unwrap();
    assert!((1..=TELEMETRY).contains(&sum), "{sum} instructions");
}
