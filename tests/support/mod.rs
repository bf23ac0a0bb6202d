//! What the tests share: a sandbox that nothing of the user's reaches into, the real
//! go, commands with their outcome, a terminal, and tree comparison.
//!
//! A sandbox has its own HOME, GOPATH, module cache and build cache and an
//! environment made from nothing: no GO*, GOFIX* or proxy variable of the machine is
//! inherited, and GOPROXY is `off` until a test names a loopback proxy.

pub(crate) mod authority;
pub(crate) mod measured;
pub(crate) mod otlp;
pub(crate) mod pty;
pub(crate) mod wait;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Module, Rule, SumDb, Tls};
use ring::digest::{SHA256, digest};
use tempfile::TempDir;

/// The executable `gofix` under test.
pub(crate) fn gofix_exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_gofix"))
}

/// The shim under test: the executable `go` that lies beside `gofix`.
///
/// Cargo builds a test's own package only, so that it is asked for the shim once.
pub(crate) fn shim_exe() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let profile_dir = gofix_exe().parent().expect("gofix lies in a folder");
        let profile = match profile_dir.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        if let Some(cargo) = std::env::var_os("CARGO") {
            let status = Command::new(cargo)
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .args([
                    "build",
                    "--quiet",
                    "--package",
                    "gofix-shim",
                    "--profile",
                    profile,
                    "--target-dir",
                ])
                .arg(
                    profile_dir
                        .parent()
                        .expect("a profile's folder lies in the target folder"),
                )
                .status()
                .expect("cargo runs");
            assert!(status.success(), "the shim does not build: {status}");
        }
        let shim = profile_dir.join("go");
        assert!(shim.is_file(), "no shim at {}", shim.display());
        shim
    })
}

/// The real go: `GOFIX_TEST_GO`, else the first in PATH, else the one that
/// `scripts/get-go` put into target/. Always the file in its GOROOT.
pub(crate) fn real_go() -> &'static Path {
    static GO: OnceLock<PathBuf> = OnceLock::new();
    GO.get_or_init(|| {
        let in_path = || {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path)
                .map(|dir| dir.join("go"))
                .find(|go| is_executable(go))
        };
        let fetched = || Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/go/bin/go"));
        let found = std::env::var_os("GOFIX_TEST_GO")
            .map(PathBuf::from)
            .or_else(in_path)
            .or_else(|| fetched().filter(|go| is_executable(go)))
            .expect("a go in GOFIX_TEST_GO, PATH or target/go; `make test` gets one");
        let output = Command::new(&found)
            .args(["env", "GOROOT"])
            .env("GOTOOLCHAIN", "local")
            .env("GOFIX", "off")
            .output()
            .expect("go runs");
        let root = String::from_utf8(output.stdout).expect("GOROOT is text");
        let go = Path::new(root.trim()).join("bin/go");
        if is_executable(&go) { go } else { found }
    })
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A place and an environment of one's own.
#[derive(Debug)]
pub(crate) struct Sandbox {
    root: TempDir,
    env: BTreeMap<OsString, OsString>,
}

impl Sandbox {
    /// A sandbox with an empty project folder, the shim first in PATH and no network.
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("gofix-test-")
            .tempdir()
            .expect("a temporary folder");
        let sandbox = Self {
            env: BTreeMap::new(),
            root,
        };
        for dir in ["home", "gopath", "gocache", "tmp", "shims", "project"] {
            fs::create_dir(sandbox.path(dir)).expect("a folder in the sandbox");
        }
        symlink(shim_exe(), sandbox.path("shims/go")).expect("a link to the shim");
        symlink(gofix_exe(), sandbox.path("shims/gofix")).expect("a link to gofix");
        sandbox.with_default_env()
    }

    fn with_default_env(self) -> Self {
        let real = real_go().parent().expect("go lies in a folder");
        let system = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
        let dirs = [self.path("shims"), real.to_path_buf()].into_iter().chain(system);
        let path = std::env::join_paths(dirs).expect("no colon in the folders' names");
        let own = ["home", "gopath", "gopath/pkg/mod", "gocache", "tmp", "etc"].map(|dir| self.path(dir));
        let [home, gopath, modcache, gocache, tmp, etc] = own;
        self.env("PATH", path)
            .env("HOME", home)
            .env("GOPATH", gopath)
            .env("GOMODCACHE", modcache)
            .env("GOCACHE", gocache)
            .env("TMPDIR", tmp)
            .env("GOENV", "off")
            .env("GOFLAGS", "")
            .env("GOTOOLCHAIN", "local")
            .env("GOPROXY", "off")
            .env("GOSUMDB", "off")
            .env("__GOFIX_TEST_SYSTEM_DIR", etc)
            .env("LC_ALL", "C")
    }

    /// Switches Go's telemetry off, which a file in HOME alone can do. It runs in a process
    /// that outlives go and would write into a sandbox that is being removed. What runs go
    /// in a test calls this by itself.
    pub(crate) fn switch_telemetry_off(&self) {
        for dir in ["home/.config", "home/Library/Application Support"] {
            let dir = self.path(dir).join("go/telemetry");
            fs::create_dir_all(&dir).expect("a folder in the sandbox");
            fs::write(dir.join("mode"), "off").expect("a file in the sandbox");
        }
    }

    /// Sets a variable for everything that runs in the sandbox.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Sends go to this proxy and to its checksum database, if it has one.
    pub(crate) fn proxy(self, proxy: &FaultProxy) -> Self {
        self.env("GOPROXY", proxy.url()).env("GOSUMDB", proxy.gosumdb())
    }

    /// Uses a build cache that all tests share, so that the standard library is not
    /// compiled anew. Nothing of the module cache is in it.
    pub(crate) fn shared_build_cache(self) -> Self {
        self.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("gocache"))
    }

    /// A path in the sandbox.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(relative)
    }

    /// A text that names paths of this sandbox, as it would be in any other.
    pub(crate) fn without_place(&self, text: &str) -> String {
        text.replace(
            self.path("").to_str().expect("a path of ours is text"),
            "SANDBOX/",
        )
    }

    /// The module cache.
    pub(crate) fn modcache(&self) -> PathBuf {
        self.path("gopath/pkg/mod")
    }

    /// The project folder, in which commands run.
    pub(crate) fn project(&self) -> PathBuf {
        self.path("project")
    }

    /// Writes a file into the project, with the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let file = self.project().join(name);
        fs::create_dir_all(file.parent().expect("a file lies in a folder")).expect("a folder");
        fs::write(file, content).expect("a file");
    }

    /// A file of the project, as text.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.project().join(name)).expect("a text file of the project")
    }

    /// Writes a script for /bin/sh that can be executed, with the folders above it.
    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        let file = self.path(name);
        write_program(&file, &format!("#!/bin/sh\n{body}\n"));
        file
    }

    /// With a go of one's own: a script in a toolchain folder.
    pub(crate) fn scripted(self, body: &str) -> Self {
        fs::create_dir_all(self.path("scripted/pkg/tool")).expect("a folder in the sandbox");
        let go = self.script("scripted/bin/go", body);
        self.env("GOFIX_GO", go)
    }

    /// Writes a program that imports these packages, and a go.mod that requires
    /// nothing yet: what `go mod tidy` is for.
    pub(crate) fn importing(self, packages: &[&str]) -> Self {
        self.switch_telemetry_off();
        let imports: String = packages
            .iter()
            .map(|package| format!("\t_ \"{package}\"\n"))
            .collect();
        self.write(
            "main.go",
            format!("package main\n\nimport (\n{imports})\n\nfunc main() {{}}\n"),
        );
        self.write("go.mod", "module example.com/main\n\ngo 1.21\n");
        self
    }

    /// The same with these requirements in go.mod: what `go mod download` is for.
    pub(crate) fn requiring(self, modules: &[(&str, &str)]) -> Self {
        let packages: Vec<&str> = modules.iter().map(|(path, _)| *path).collect();
        let sandbox = self.importing(&packages);
        let lines: String = modules
            .iter()
            .map(|(path, version)| format!("\t{path} {version}\n"))
            .collect();
        sandbox.write(
            "go.mod",
            format!("module example.com/main\n\ngo 1.21\n\nrequire (\n{lines})\n"),
        );
        sandbox
    }

    /// `go ARGS`, found in PATH as a user's shell finds it: the shim.
    pub(crate) fn go(&self, args: &[&str]) -> Run {
        self.switch_telemetry_off();
        self.run(self.path("shims/go")).args(args)
    }

    /// `go ARGS` without gofix.
    pub(crate) fn plain_go(&self, args: &[&str]) -> Run {
        self.switch_telemetry_off();
        self.run(real_go()).args(args)
    }

    /// `gofix ARGS`.
    pub(crate) fn gofix(&self, args: &[&str]) -> Run {
        self.run(self.path("shims/gofix")).args(args)
    }

    /// Any program, in the sandbox's environment and in its project folder.
    pub(crate) fn run(&self, program: impl AsRef<OsStr>) -> Run {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(&self.env)
            .current_dir(self.project())
            .stdin(Stdio::null());
        start_with_default_signals(&mut command);
        Run { command }
    }
}

impl Sandbox {
    /// The processes that run in this sandbox now, by their environment. Empty where the
    /// system does not show it.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let place = self.path("").into_os_string().into_encoded_bytes();
        let is_here = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.windows(place.len()).any(|window| window == place)
        };
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_here).collect()
    }

    /// Waits until nothing runs in this sandbox any more; panics with what does if that
    /// never comes.
    #[track_caller]
    pub(crate) fn expect_nobody(&self) {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            let name = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let names: Vec<String> = left.iter().map(name).collect();
            assert!(Instant::now() < limit, "still running: {names:?}");
            std::thread::yield_now();
        }
    }
}

/// A test run that is itself in the background of a script, or under nohup, has signals ignored that a user's
/// shell has not. What a test sets itself comes behind this.
#[expect(unsafe_code, reason = "dispositions between fork and exec")]
fn start_with_default_signals(command: &mut Command) {
    // SAFETY: signal(2) only.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        make_writable(self.root.path());
    }
}

/// Go makes the folders of its module cache read-only, which keeps a plain user
/// from removing them.
fn make_writable(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    if let Ok(meta) = fs::symlink_metadata(dir)
        && meta.permissions().mode() & 0o700 != 0o700
    {
        let mode = meta.permissions().mode() | 0o700;
        fs::set_permissions(dir, fs::Permissions::from_mode(mode)).ok();
    }
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

/// Makes a file that a test has just written one that can be executed: a copy of its own, made by another process.
/// A file that this process had open for writing may be so still in the fork of another test's thread, and then the
/// kernel refuses to execute it (ETXTBSY).
pub(crate) fn executable(file: &Path) {
    let script = "cp \"$1\" \"$1.new\" && chmod 755 \"$1.new\" && mv -f \"$1.new\" \"$1\"";
    let status = Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .arg(file)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{} stays as it is",
        file.display()
    );
}

/// Writes a text that can be executed, with the folders above it.
pub(crate) fn write_program(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().expect("a file lies in a folder")).expect("a folder");
    fs::write(file, text).expect("a file");
    executable(file);
}

/// The first child of a process, where the system shows it.
pub(crate) fn child_of(pid: nix::unistd::Pid) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_ascii_whitespace().next()?.parse().ok()
}

/// Two modules, one of which has two versions and this many bytes more in its newest.
pub(crate) fn two_modules(ballast: usize) -> Catalogue {
    Catalogue::new()
        .with(
            Module::new("example.com/a", "v1.0.0")
                .requires("example.com/Upper/b", "v1.1.0")
                .ballast(5000),
        )
        .with(Module::new("example.com/Upper/b", "v1.0.0"))
        .with(Module::new("example.com/Upper/b", "v1.1.0").ballast(ballast))
}

/// A proxy with these modules and their checksum database, which follows `rules`.
pub(crate) fn proxy_of(catalogue: Catalogue, rules: impl IntoIterator<Item = Rule>) -> FaultProxy {
    let sumdb = SumDb::new("sum.example.test", &catalogue);
    FaultProxy::builder(catalogue)
        .sumdb(sumdb)
        .rules(rules)
        .start()
        .unwrap()
}

/// An answer of this status, with its name as the body.
pub(crate) fn status(code: u16, retry_after: Option<&str>) -> Fault {
    Fault::Status {
        code,
        retry_after: retry_after.map(str::to_owned),
        body: None,
    }
}

/// The second number of the real go's version: 21 for go1.21.13.
pub(crate) fn go_minor() -> u32 {
    let version = Command::new(real_go())
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .output()
        .expect("go runs");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let minor = version.split('.').nth(1);
    let digits = minor.and_then(|minor| minor.split(|c: char| !c.is_ascii_digit()).next());
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("a version of go: {version}"))
}

/// A toolchain go1.99.0 for this machine, as a module; its go says its version, whatever it is asked.
pub(crate) fn toolchain() -> Module {
    let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", "aarch64") => "darwin-arm64",
        ("macos", _) => "darwin-amd64",
        (_, "aarch64") => "linux-arm64",
        _ => "linux-amd64",
    };
    let script = "#!/bin/sh\necho \"go version go1.99.0 fake/fake\"\n";
    Module::toolchain("go1.99.0", platform, script)
}

/// A certificate for loopback and `proxy.test`, and the same as the root that a client has to trust.
pub(crate) fn certificate() -> (Tls, String) {
    let names = ["localhost", "127.0.0.1", "proxy.test"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let pem = made.cert.pem();
    (
        Tls {
            chain_pem: pem.clone(),
            key_pem: made.signing_key.serialize_pem(),
            http2: true,
        },
        pem,
    )
}

/// A command to run in a sandbox.
#[derive(Debug)]
pub(crate) struct Run {
    /// For settings that have no method here.
    pub(crate) command: Command,
}

impl Run {
    /// Adds arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable for this command.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs in another folder.
    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs to the end and takes both outputs.
    pub(crate) fn output(mut self) -> Outcome {
        let output = self.command.output().expect("the program starts");
        Outcome {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts with both outputs in pipes; the process is killed if it is dropped
    /// before it was waited for.
    pub(crate) fn spawn(mut self) -> Running {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running {
            child: Some(self.command.spawn().expect("the program starts")),
        }
    }
}

/// A command under way.
#[derive(Debug)]
pub(crate) struct Running {
    child: Option<Child>,
}

impl Running {
    /// Starts with the outputs as they were set.
    pub(crate) fn of(mut run: Run) -> Self {
        Self {
            child: Some(run.command.spawn().expect("the program starts")),
        }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        let id = self.child.as_ref().expect("not waited for yet").id();
        nix::unistd::Pid::from_raw(id.try_into().expect("a process id"))
    }

    /// Sends a signal to this process alone.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(self.pid(), signal).expect("the process is there");
    }

    /// Waits for its end and takes both outputs.
    pub(crate) fn wait(mut self) -> Outcome {
        let child = self.child.take().expect("not waited for yet");
        let output = child.wait_with_output().expect("the process can be waited for");
        Outcome {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The exit status; `None` after a signal.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// The lines of stderr that gofix itself wrote.
    pub(crate) fn gofix_lines(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter(|line| line.starts_with("gofix: "))
            .collect()
    }

    /// Panics with both outputs unless the exit status is this one.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{self}");
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.status, self.stdout, self.stderr
        )
    }
}

/// Every file, folder and link below a folder, with its mode and content's hash; two
/// trees are the same if these are equal.
pub(crate) fn tree(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found
}

fn walk(root: &Path, dir: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let meta = fs::symlink_metadata(&path).expect("an entry of the tree");
        let content = if meta.is_symlink() {
            format!("-> {}", fs::read_link(&path).expect("a link").display())
        } else if meta.is_dir() {
            walk(root, &path, found);
            String::new()
        } else {
            let hash = digest(&SHA256, &fs::read(&path).expect("a file of the tree"));
            format!("{hash:?}")
        };
        let name = path.strip_prefix(root).expect("below the root").to_owned();
        found.insert(name, format!("{:o} {content}", meta.permissions().mode()));
    }
}

/// What `unshare` is told for a network namespace of its own. Whether one may be made, the caller tries.
pub(crate) fn network_namespace() -> &'static [&'static str] {
    match nix::unistd::geteuid().is_root() {
        true => &["-n"],
        false => &["-rn"],
    }
}

/// The answer to a plain GET, head and body; `None` where nobody answers.
pub(crate) fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}
