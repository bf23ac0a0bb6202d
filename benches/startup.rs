//! What standing in front of go costs: wall-clock time of the same command through gofix's shim, through a
//! ten-line C program, through a shell script and directly, in pairs that follow each other closely.
//!
//! `cargo bench --bench startup [-- PAIRS]`; at least 100 pairs for each comparison, 200 by default. Medians in
//! microseconds; the ratio and the difference are those of one run against the C program. A laden machine makes
//! all figures worse, and the difference noisier than the ratio.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let pairs = std::env::args_os()
        .skip(1)
        .find_map(|word| word.to_str()?.parse::<usize>().ok())
        .unwrap_or(200)
        .max(100);
    match measure(pairs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "startup: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(pairs: usize) -> io::Result<()> {
    let place = Place::new()?;
    let mut out = io::stdout().lock();
    writeln!(out, "{pairs} pairs each, medians in microseconds\n")?;
    writeln!(
        out,
        "{:<44} {:>9} {:>9} {:>7} {:>9}",
        "", "C shim", "this", "ratio", "more"
    )?;
    for case in place.cases() {
        let (c, own) = compare(&case, pairs)?;
        let ratio = own.as_secs_f64() / c.as_secs_f64();
        let more = own.as_secs_f64() * 1e6 - c.as_secs_f64() * 1e6;
        writeln!(
            out,
            "{:<44} {:>9} {:>9} {ratio:>7.3} {more:>+9.0}",
            case.name,
            c.as_micros(),
            own.as_micros()
        )?;
    }
    Ok(())
}

/// The same command through the C program and through something else.
struct Case<'a> {
    name: &'static str,
    place: &'a Place,
    c_shim: &'a Path,
    program: PathBuf,
    args: &'static [&'static str],
}

impl Case<'_> {
    fn time(&self, program: &Path) -> io::Result<Duration> {
        let mut command = self.place.command(program);
        command.args(self.args);
        let start = Instant::now();
        let status = command.status()?;
        let time = start.elapsed();
        if !status.success() {
            return Err(io::Error::other(format!("{command:?}: {status}")));
        }
        Ok(time)
    }
}

/// Medians of the C program and of the other one, run in turn; who begins alternates as well.
fn compare(case: &Case<'_>, pairs: usize) -> io::Result<(Duration, Duration)> {
    let (mut c, mut own) = (Vec::with_capacity(pairs), Vec::with_capacity(pairs));
    for _ in 0..5 {
        case.time(case.c_shim)?;
        case.time(&case.program)?;
    }
    for pair in 0..pairs {
        if pair % 2 == 0 {
            c.push(case.time(case.c_shim)?);
            own.push(case.time(&case.program)?);
        } else {
            own.push(case.time(&case.program)?);
            c.push(case.time(case.c_shim)?);
        }
    }
    Ok((median(c), median(own)))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A folder with both executables, the C program, an empty program under the name go and a module.
struct Place {
    dir: tempfile::TempDir,
    go: PathBuf,
    c_empty: PathBuf,
    c_go: PathBuf,
}

impl Place {
    fn new() -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("gofix-bench-").tempdir()?;
        let go = real_go()?;
        for name in ["shims", "sh", "empty/bin", "empty/pkg/tool", "home", "module"] {
            fs::create_dir_all(dir.path().join(name))?;
        }
        let gofix = Path::new(env!("CARGO_BIN_EXE_gofix"));
        symlink(gofix, dir.path().join("shims/gofix"))?;
        symlink(build_shim(gofix)?, dir.path().join("shims/go"))?;
        let place = Self {
            go,
            c_empty: dir.path().join("c-empty"),
            c_go: dir.path().join("c-go"),
            dir,
        };
        fs::copy("/bin/true", place.empty())?;
        compile(&place.empty(), &place.c_empty)?;
        compile(&place.go, &place.c_go)?;
        place.shell_script("sh/empty", &place.empty())?;
        place.shell_script("sh/go", &place.go)?;
        fs::write(place.path("module/go.mod"), "module example.com/m\n\ngo 1.21\n")?;
        fs::write(place.path("module/m.go"), "package m\n\nimport _ \"fmt\"\n")?;
        Ok(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn empty(&self) -> PathBuf {
        self.path("empty/bin/go")
    }

    fn shell_script(&self, name: &str, go: &Path) -> io::Result<()> {
        let file = self.path(name);
        fs::write(&file, format!("#!/bin/sh\nexec {} \"$@\"\n", go.display()))?;
        fs::set_permissions(file, fs::Permissions::from_mode(0o755))
    }

    fn cases(&self) -> Vec<Case<'_>> {
        let case = |name, c_shim, program, args| Case {
            name,
            place: self,
            c_shim,
            program,
            args,
        };
        let (shim, sh) = (self.path("shims/go"), "sh/empty");
        let version = &["version"][..];
        let nothing = &["--"][..];
        vec![
            case("empty program, directly", &self.c_empty, self.empty(), nothing),
            case(
                "empty program, through a shell script",
                &self.c_empty,
                self.path(sh),
                nothing,
            ),
            // `--` is no go command, so the shim passes it through.
            case(
                "empty program, through the shim",
                &self.c_empty,
                self.path("shims/empty"),
                nothing,
            ),
            case("go version, directly", &self.c_go, self.go.clone(), version),
            case(
                "go version, through a shell script",
                &self.c_go,
                self.path("sh/go"),
                version,
            ),
            case("go version, through the shim", &self.c_go, shim.clone(), version),
            case(
                "go mod tidy, warm, through the shim",
                &self.c_go,
                shim,
                &["mod", "tidy"],
            ),
        ]
    }

    /// A command with an environment of its own. What is called shims/empty is the shim with the empty program
    /// as the real go.
    fn command(&self, program: &Path) -> Command {
        let empty = program.ends_with("shims/empty");
        let program = if empty {
            self.path("shims/go")
        } else {
            program.to_owned()
        };
        let go = if empty { self.empty() } else { self.go.clone() };
        let dirs = [
            self.path("shims"),
            go.parent().unwrap_or_else(|| Path::new("/")).to_owned(),
            "/usr/bin".into(),
            "/bin".into(),
        ];
        let mut command = Command::new(program);
        command
            .env_clear()
            .env(
                "PATH",
                std::env::join_paths(dirs).unwrap_or_else(|_| OsString::new()),
            )
            .env("HOME", self.path("home"))
            .env("GOPATH", self.path("home/go"))
            .env("GOCACHE", self.path("home/cache"))
            .envs([
                ("GOENV", "off"),
                ("GOTOOLCHAIN", "local"),
                ("GOFLAGS", ""),
                ("GOTELEMETRY", "off"),
            ])
            // Not `off`, which would switch gofix off; nothing is fetched all the same.
            .envs([
                ("GOPROXY", "http://127.0.0.1:9"),
                ("GOSUMDB", "off"),
                ("LC_ALL", "C"),
            ])
            .current_dir(self.path("module"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

fn compile(go: &Path, program: &Path) -> io::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/cshim.c");
    let define = format!("-DREAL_GO=\"{}\"", go.display());
    let status = Command::new("cc")
        .arg("-O2")
        .arg(define)
        .arg("-o")
        .args([program, &source])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other("benches/cshim.c does not compile"))
    }
}

/// The shim of the profile that gofix was built with.
fn build_shim(gofix: &Path) -> io::Result<PathBuf> {
    let profile_dir = gofix.parent().unwrap_or_else(|| Path::new("."));
    let target = profile_dir.parent().unwrap_or_else(|| Path::new("."));
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
        .status()?;
    if status.success() {
        Ok(target.join("release/go"))
    } else {
        Err(io::Error::other("the shim does not build"))
    }
}

/// The go to measure with: GOFIX_TEST_GO, else the one in PATH, as the file in its GOROOT.
fn real_go() -> io::Result<PathBuf> {
    let go = std::env::var_os("GOFIX_TEST_GO").unwrap_or_else(|| "go".into());
    let output = Command::new(go)
        .args(["env", "GOROOT"])
        .env("GOFIX", "off")
        .output()?;
    let root = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(Path::new(&root).join("bin/go"))
}
