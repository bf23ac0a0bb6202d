//! What standing in front of go costs: wall-clock time of the same command through gofix's shim, through a
//! ten-line C program, through a shell script, and directly, in pairs that follow each other closely. Beside them
//! what others who stand in front of a program cost: rustup's proxies, and mise's shims where mise is in PATH.
//!
//! `cargo bench --bench startup [-- PAIRS]`; at least 100 pairs for each comparison, 200 by default. The 25th
//! percentile of each in microseconds, which a laden machine disturbs less than the median; ratio and difference are
//! those of one run. What stands in front is compared with what it leads to, or with the C program.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

#[path = "common/ratio.rs"]
mod ratio;

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
    writeln!(
        out,
        "{pairs} pairs each, 25th percentiles in microseconds\n\n{:<52} {:>9} {:>9} {:>7} {:>9}",
        "", "before", "through", "ratio", "more"
    )?;
    for case in place.cases() {
        let (base, own) = compare(&case, pairs)?;
        let ratio = own.as_secs_f64() / base.as_secs_f64();
        ratio::tell("startup", case.name, ratio);
        let more = own.as_secs_f64() * 1e6 - base.as_secs_f64() * 1e6;
        writeln!(
            out,
            "{:<52} {:>9} {:>9} {ratio:>7.3} {more:>+9.0}",
            case.name,
            base.as_micros(),
            own.as_micros()
        )?;
    }
    for missing in &place.missing {
        writeln!(out, "\nnot measured: {missing}")?;
    }
    Ok(())
}

/// The same command through one thing and through another.
struct Case<'a> {
    name: &'static str,
    place: &'a Place,
    base: PathBuf,
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

/// The 25th percentiles of both, run in turn; who begins alternates as well.
fn compare(case: &Case<'_>, pairs: usize) -> io::Result<(Duration, Duration)> {
    let (mut base, mut own) = (Vec::with_capacity(pairs), Vec::with_capacity(pairs));
    for _ in 0..5 {
        case.time(&case.base)?;
        case.time(&case.program)?;
    }
    for pair in 0..pairs {
        if pair % 2 == 0 {
            base.push(case.time(&case.base)?);
            own.push(case.time(&case.program)?);
        } else {
            own.push(case.time(&case.program)?);
            base.push(case.time(&case.base)?);
        }
    }
    Ok((quarter(base), quarter(own)))
}

fn quarter(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 4).copied().unwrap_or_default()
}

/// A folder with both executables, the C program, an empty program under the name go and a module.
struct Place {
    dir: tempfile::TempDir,
    go: PathBuf,
    c_empty: PathBuf,
    c_go: PathBuf,
    /// rustup's proxy for rustc, and the rustc that it leads to.
    rustup: Option<(PathBuf, PathBuf)>,
    /// mise's shim for go.
    mise: Option<PathBuf>,
    /// What cannot be measured here, and why.
    missing: Vec<String>,
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
        let mut place = Self {
            rustup: None,
            mise: None,
            missing: Vec::new(),
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
        match rustup() {
            Ok(both) => place.rustup = Some(both),
            Err(why) => place.missing.push(format!("rustup's proxies: {why}")),
        }
        match place.install_mise() {
            Ok(shim) => place.mise = Some(shim),
            Err(why) => place.missing.push(format!("mise's shims: {why}")),
        }
        Ok(place)
    }

    /// A mise with a folder of its own and this go as its only version.
    fn install_mise(&self) -> io::Result<PathBuf> {
        let mise = in_path("mise").ok_or_else(|| io::Error::other("no mise in PATH"))?;
        let root = self.go.ancestors().nth(2).unwrap_or_else(|| Path::new("/"));
        for words in [&["link", MISE_GO][..], &["reshim"]] {
            let mut command = self.command(&mise);
            command.args(words);
            if words.len() > 1 {
                command.arg(root);
            }
            let status = command.status()?;
            if !status.success() {
                return Err(io::Error::other(format!("mise {}: {status}", words.join(" "))));
            }
        }
        Ok(self.path("mise/shims/go"))
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
        // `--` is no go command, so the shim passes it through.
        let (empty, nothing) = (self.empty(), &["--"][..]);
        let (shim, version) = (self.path("shims/go"), &["version"][..]);
        let tidy = &["mod", "tidy"][..];
        let mut rows = vec![
            ("empty program: C program", &empty, &self.c_empty, nothing),
            (
                "empty program: shell script",
                &empty,
                &self.path("sh/empty"),
                nothing,
            ),
            ("empty program: shim", &empty, &self.path("shims/empty"), nothing),
            (
                "empty program: shim, before that the C program",
                &self.c_empty,
                &self.path("shims/empty"),
                nothing,
            ),
            ("go version: C program", &self.go, &self.c_go, version),
            ("go version: shell script", &self.go, &self.path("sh/go"), version),
            ("go version: shim", &self.go, &shim, version),
            (
                "go version: shim, before that the C program",
                &self.c_go,
                &shim,
                version,
            ),
            ("go mod tidy, warm: C program", &self.go, &self.c_go, tidy),
            ("go mod tidy, warm: shim and gofix", &self.go, &shim, tidy),
        ]
        .into_iter()
        .map(|(name, base, program, args)| (name, base.clone(), program.clone(), args))
        .collect::<Vec<_>>();
        if let Some(mise) = &self.mise {
            rows.push(("go version: mise's shim", self.go.clone(), mise.clone(), version));
        }
        if let Some((proxy, rustc)) = &self.rustup {
            rows.push((
                "rustc --version: rustup's proxy",
                rustc.clone(),
                proxy.clone(),
                &["--version"],
            ));
        }
        let cases = rows.into_iter().map(|(name, base, program, args)| Case {
            name,
            place: self,
            base,
            program,
            args,
        });
        cases.collect()
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
            .envs([("MISE_GO_VERSION", MISE_VERSION), ("MISE_OFFLINE", "1")])
            .env("MISE_DATA_DIR", self.path("mise"))
            .envs(rustup_homes())
            .current_dir(self.path("module"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

/// The version that mise takes this go for.
const MISE_VERSION: &str = "1.99.0";
const MISE_GO: &str = "go@1.99.0";

/// The first program of this name in PATH.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|dir| dir.join(name));
    found.into_iter().find(|file| file.is_file())
}

/// Where rustup keeps its things, for a command whose HOME is another.
fn rustup_homes() -> Vec<(&'static str, PathBuf)> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")]
        .into_iter()
        .map(|(name, folder)| {
            let set = std::env::var_os(name).map(PathBuf::from);
            (name, set.unwrap_or_else(|| home.join(folder)))
        })
        .collect()
}

/// rustup's proxy for rustc, and the rustc of the toolchain that it chooses where nothing else is said.
fn rustup() -> io::Result<(PathBuf, PathBuf)> {
    let homes = rustup_homes();
    let cargo_home = homes.iter().find(|(name, _)| *name == "CARGO_HOME");
    let proxy = cargo_home
        .map(|(_, home)| home.join("bin/rustc"))
        .unwrap_or_default();
    let answer = Command::new(&proxy)
        .args(["--print", "sysroot"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .current_dir("/")
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", proxy.display())))?;
    let rustc = Path::new(String::from_utf8_lossy(&answer.stdout).trim()).join("bin/rustc");
    // Where the two are one file nobody stands in front.
    let same = fs::canonicalize(&rustc).ok() == fs::canonicalize(&proxy).ok();
    if same || !rustc.is_file() {
        return Err(io::Error::other(format!("{} is no proxy", proxy.display())));
    }
    Ok((proxy, rustc))
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
