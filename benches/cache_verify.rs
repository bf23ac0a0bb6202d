//! How fast `gofix cache verify` hashes, beside `go mod verify` on the same modules:
//! `cargo bench --bench cache_verify [MODULES] [RUNS]`.
//!
//! The cache is made for the bench in a temporary folder, by the real go, from a
//! `file://` proxy of generated modules: with the default of 120 it holds more than 2 GB.
//! Interleaved runs; printed are the medians of wall and cpu time and the largest
//! resident size, and, to compare with what the machine can do, the time in which every
//! extracted file is read and hashed once by as many threads as there are cores. All of
//! it comes from the page cache after the first run. Nothing is asserted.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ring::digest::{Context, SHA256};
use zip::write::SimpleFileOptions;

#[path = "common/ratio.rs"]
mod ratio;

/// Files and bytes of one module: 14 MB of text that deflate makes a third of.
const FILES: usize = 200;
const FILE_SIZE: usize = 70_000;

fn main() {
    let numbers: Vec<usize> = std::env::args_os()
        .skip(1)
        .filter_map(|arg| arg.to_str()?.parse().ok())
        .collect();
    let modules = numbers.first().copied().unwrap_or(120);
    let runs = numbers.get(1).copied().unwrap_or(3);
    let mut text = String::from("| cache | command | wall | cpu | resident |\n|---|---|---|---|---|\n");
    // A small one first: what grows with the cache shows.
    for count in [(modules / 10).max(1), modules] {
        let cache = Cache::new(count);
        let held = format!("{:.2} GB", tree_size(&cache.path("mod")) as f64 / 1e9);
        let mut gofix = Vec::new();
        let mut go = Vec::new();
        for _ in 0..runs {
            gofix.push(cache.run(Path::new(env!("CARGO_BIN_EXE_gofix")), &["cache", "verify"]));
            go.push(cache.run(&real_go(), &["mod", "verify"]));
        }
        let least = |costs: &[Cost]| {
            costs
                .iter()
                .map(|cost| cost.wall)
                .min()
                .unwrap_or_default()
                .as_secs_f64()
        };
        ratio::tell(
            "cache_verify",
            &format!("{count} modules"),
            least(&gofix) / least(&go),
        );
        text += &row(&held, "gofix cache verify", gofix);
        text += &row(&held, "go mod verify", go);
        text += &format!(
            "| {held} | every extracted file hashed once | {:.2} s | | |\n",
            hash_all(&cache.path("mod/example.com")).as_secs_f64()
        );
    }
    write!(std::io::stdout(), "{text}").ok();
}

/// A module cache, and a project that requires all that is in it.
struct Cache {
    top: tempfile::TempDir,
}

impl Cache {
    fn new(modules: usize) -> Self {
        let cache = Self {
            top: tempfile::tempdir().expect("a temporary folder"),
        };
        for dir in ["proxy", "project", "home"] {
            fs::create_dir(cache.path(dir)).expect("a folder");
        }
        let mut go_mod = String::from("module example.org/main\n\ngo 1.21\n\nrequire (\n");
        for n in 0..modules {
            let name = format!("example.com/m{n:04}");
            publish(&cache.path("proxy"), &name, n as u64);
            go_mod += &format!("\t{name} v1.0.0\n");
        }
        go_mod += ")\n";
        fs::write(cache.path("project/go.mod"), go_mod).expect("a file");
        let made = cache.run(&real_go(), &["mod", "download", "all"]);
        assert!(made.ok, "go mod download");
        fs::remove_dir_all(cache.path("proxy")).expect("the proxy goes");
        cache
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    fn run(&self, program: &Path, args: &[&str]) -> Cost {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.path("project"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path("home"))
            .env("GOPATH", self.path("home"))
            .env("GOMODCACHE", self.path("mod"))
            .env("GOCACHE", self.path("home/cache"))
            .env("GOENV", "off")
            .env("GOTOOLCHAIN", "local")
            .env("GOSUMDB", "off")
            .env("GOTELEMETRY", "off")
            .env("GOPROXY", format!("file://{}", self.path("proxy").display()))
            .env("GOFIX_GO", real_go())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        cost_of(&mut command)
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        make_writable(&self.path("mod"));
    }
}

fn make_writable(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).ok();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

/// Writes one module as a `file://` proxy has it.
fn publish(proxy: &Path, name: &str, seed: u64) {
    let dir = proxy.join(name).join("@v");
    fs::create_dir_all(&dir).expect("a folder");
    let go_mod = format!("module {name}\n\ngo 1.21\n");
    fs::write(dir.join("v1.0.0.mod"), &go_mod).expect("a file");
    fs::write(
        dir.join("v1.0.0.info"),
        r#"{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}"#,
    )
    .expect("a file");
    let file = fs::File::create(dir.join("v1.0.0.zip")).expect("a file");
    let mut zip = zip::ZipWriter::new(std::io::BufWriter::new(file));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut add = |name: String, content: &[u8]| {
        zip.start_file(name, SimpleFileOptions::default())
            .expect("an entry");
        zip.write_all(content).expect("an entry");
    };
    add(format!("{name}@v1.0.0/go.mod"), go_mod.as_bytes());
    for n in 0..FILES {
        let content = source(&mut random);
        add(
            format!("{name}@v1.0.0/pkg{}/file{n}.go", n % 20),
            content.as_bytes(),
        );
    }
    zip.finish().expect("a zip");
}

/// Text that looks to deflate as source code does.
fn source(random: &mut fastrand::Rng) -> String {
    const WORDS: [&str; 16] = [
        "func",
        "return",
        "if err != nil {",
        "}",
        "\n",
        "\t",
        "string",
        "context.Context",
        "range",
        ":=",
        "len(",
        ")",
        "struct {",
        "interface",
        "// comment",
        "error",
    ];
    let mut text = String::from("package pkg\n\n");
    while text.len() < FILE_SIZE {
        if random.u8(..) < 80 {
            text += &format!("v{:x} ", random.u32(..));
        }
        text += WORDS[random.usize(..WORDS.len())];
        text.push(' ');
    }
    text
}

#[derive(Debug, Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
    resident_kib: i64,
    ok: bool,
}

#[expect(
    unsafe_code,
    clippy::zombie_processes,
    reason = "only wait4 tells the largest resident size of one child, and it reaps it"
)]
fn cost_of(command: &mut Command) -> Cost {
    let start = Instant::now();
    let child = command.spawn().expect("the program starts");
    let pid = libc::pid_t::try_from(child.id()).expect("a process id");
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right types; the child is waited for here only.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec.unsigned_abs()) + Duration::from_micros(t.tv_usec.unsigned_abs())
    };
    Cost {
        wall: start.elapsed(),
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        resident_kib: usage.ru_maxrss,
        ok: waited == pid && status == 0,
    }
}

fn row(held: &str, name: &str, mut costs: Vec<Cost>) -> String {
    let failed = if costs.iter().all(|cost| cost.ok) {
        ""
    } else {
        " (failed)"
    };
    let middle = costs.len() / 2;
    costs.sort_by_key(|cost| cost.cpu);
    let cpu = costs[middle].cpu;
    costs.sort_by_key(|cost| cost.wall);
    let wall = costs[middle].wall;
    let resident = costs.iter().map(|cost| cost.resident_kib).max().unwrap_or(0);
    format!(
        "| {held} | {name}{failed} | {:.2} s | {:.2} s | {:.0} MiB |\n",
        wall.as_secs_f64(),
        cpu.as_secs_f64(),
        resident as f64 / 1024.0
    )
}

fn tree_size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => tree_size(&entry.path()),
            _ => entry.metadata().map_or(0, |meta| meta.len()),
        })
        .sum()
}

/// Reads and hashes every file below a folder once, with a thread for each core.
fn hash_all(dir: &Path) -> Duration {
    let mut files = Vec::new();
    collect(dir, &mut files);
    let start = Instant::now();
    let queue = Mutex::new(files);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut buffer = vec![0; 64 << 10];
                loop {
                    let Some(path) = queue.lock().ok().and_then(|mut queue| queue.pop()) else {
                        return;
                    };
                    let Ok(mut file) = fs::File::open(path) else {
                        continue;
                    };
                    let mut context = Context::new(&SHA256);
                    while let Ok(n @ 1..) = file.read(&mut buffer) {
                        context.update(&buffer[..n]);
                    }
                    context.finish();
                }
            });
        }
    });
    start.elapsed()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

fn real_go() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|dir| dir.join("go"));
    let given = std::env::var_os("GOFIX_TEST_GO").map(PathBuf::from);
    given
        .or_else(|| found.find(|go| go.is_file()))
        .expect("a go in GOFIX_TEST_GO or PATH")
}
