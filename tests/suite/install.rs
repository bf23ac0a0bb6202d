//! install.sh: with every shell that is here, over a bad line, and with everything that can be wrong.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use crate::support::{Outcome, Run, Sandbox, gofix_exe, shim_exe, tree};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh")
}

fn name() -> String {
    let system = if cfg!(target_os = "macos") {
        "darwin"
    } else {
        "linux"
    };
    let arch = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    };
    format!("gofix-{system}-{arch}")
}

fn archive() -> String {
    format!("{}.tar.gz", name())
}

fn must(command: &mut Command) {
    let outcome = command.output().unwrap();
    assert!(outcome.status.success(), "{command:?}: {outcome:?}");
}

/// A release of the programs under test: the archive and its checksum, in a folder.
fn release() -> &'static Path {
    static RELEASE: OnceLock<tempfile::TempDir> = OnceLock::new();
    RELEASE
        .get_or_init(|| {
            let folder = tempfile::Builder::new()
                .prefix("gofix-release-")
                .tempdir()
                .unwrap();
            let lib = folder.path().join(name()).join("lib/gofix");
            fs::create_dir_all(&lib).unwrap();
            for (program, from) in [("gofix", gofix_exe()), ("go", shim_exe())] {
                let to = lib.join(program);
                let stripped = Command::new("strip").arg("-o").args([&to, from]).status();
                if !stripped.is_ok_and(|status| status.success()) {
                    fs::copy(from, to).unwrap();
                }
            }
            let share = folder.path().join(name()).join("share/man/man1");
            fs::create_dir_all(&share).unwrap();
            fs::write(share.join("gofix.1"), "a manual\n").unwrap();
            pack(folder.path());
            folder
        })
        .path()
}

/// Packs the folder of the release and notes its checksum.
fn pack(folder: &Path) {
    must(
        Command::new("tar")
            .env("GZIP", "-1")
            .current_dir(folder)
            .args(["-czf", &archive(), &name()]),
    );
    note_sum(folder, &archive());
}

fn note_sum(folder: &Path, file: &str) {
    let sum = ring::digest::digest(&ring::digest::SHA256, &fs::read(folder.join(file)).unwrap());
    let hex: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(folder.join("SHA256SUMS"), format!("{hex}  {file}\n")).unwrap();
}

/// A sandbox without the shim, with a HOME that has nothing in it, and a folder for temporary files.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::remove_dir_all(sandbox.path("home")).unwrap();
    fs::create_dir_all(sandbox.path("home")).unwrap();
    fs::create_dir_all(sandbox.path("tmp")).unwrap();
    sandbox
}

/// `sh install.sh ARGS`, with this shell.
fn install(sandbox: &Sandbox, shell: &[&str], args: &[&str]) -> Run {
    sandbox
        .run(shell[0])
        .args(&shell[1..])
        .args([script()])
        .args(args)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("SHELL", "/bin/sh")
        .env("TMPDIR", sandbox.path("tmp"))
}

fn prefix(sandbox: &Sandbox) -> String {
    sandbox.path("home/.local").display().to_string()
}

/// One line says why, and nothing is left.
fn refused(sandbox: &Sandbox, outcome: &Outcome, why: &str) {
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    let last = outcome.stderr.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("gofix: ") && last.contains(why),
        "{why}: {outcome}"
    );
    assert!(tree(&sandbox.path("tmp")).is_empty(), "{outcome}");
}

fn shells() -> Vec<Vec<&'static str>> {
    let all: [&[&str]; 5] = [
        &["sh"],
        &["dash"],
        &["bash"],
        &["busybox", "sh"],
        &["zsh", "--emulate", "sh"],
    ];
    let is_here = |shell: &&[&str]| {
        let asked = Command::new(shell[0])
            .args(&shell[1..])
            .args(["-c", ":"])
            .status();
        asked.is_ok_and(|status| status.success())
    };
    all.into_iter().filter(is_here).map(<[&str]>::to_vec).collect()
}

#[test]
fn every_shell_installs_updates_and_uninstalls() {
    let from = release().to_str().unwrap();
    for shell in shells() {
        let sandbox = sandbox();
        let before = tree(&sandbox.path("home"));
        for _ in ["new", "once more"] {
            install(&sandbox, &shell, &["--from", from, "--prefix", &prefix(&sandbox)])
                .output()
                .expect_code(0);
        }
        let version = sandbox
            .run(sandbox.path("home/.local/bin/gofix"))
            .args(["--version"])
            .output()
            .expect_code(0);
        assert_eq!(version.stdout, format!("gofix {}\n", env!("CARGO_PKG_VERSION")));
        let shim = fs::canonicalize(sandbox.path("home/.local/share/gofix/shims/go")).unwrap();
        let installed = fs::canonicalize(sandbox.path("home/.local/lib/gofix/go")).unwrap();
        assert_eq!(shim, installed, "the small shim, not gofix itself");
        assert!(sandbox.path("home/.local/share/man/man1/gofix.1").exists());
        // A new shell finds both, though nobody has `~/.local/bin` in PATH here.
        let found = sandbox
            .run("sh")
            .args(["-c", ". ~/.profile; command -v gofix; command -v go"])
            .env("PATH", "/usr/bin:/bin")
            .output();
        let home = sandbox.path("home/.local").display().to_string();
        assert_eq!(
            found.stdout,
            format!("{home}/bin/gofix\n{home}/share/gofix/shims/go\n"),
            "{found}"
        );

        install(&sandbox, &shell, &["--uninstall", "--prefix", &prefix(&sandbox)])
            .output()
            .expect_code(0);
        assert_eq!(tree(&sandbox.path("home")), before, "{shell:?}");
        assert!(tree(&sandbox.path("tmp")).is_empty(), "{shell:?}");
    }
}

#[test]
fn what_others_have_put_there_stays() {
    let sandbox = sandbox();
    let from = release().to_str().unwrap();
    fs::create_dir_all(sandbox.path("home/.local/bin")).unwrap();
    fs::create_dir_all(sandbox.path("home/.local/share/man")).unwrap();
    let before = tree(&sandbox.path("home"));
    let args = ["--from", from, "--prefix", &prefix(&sandbox)];
    install(&sandbox, &["sh"], &args).output().expect_code(0);
    fs::write(sandbox.path("home/.local/share/man/man1/other.1"), "").unwrap();
    let args = ["--uninstall", "--prefix", &prefix(&sandbox)];
    install(&sandbox, &["sh"], &args).output().expect_code(0);
    assert!(sandbox.path("home/.local/share/man/man1/other.1").exists());
    fs::remove_dir_all(sandbox.path("home/.local/share/man/man1")).unwrap();
    assert_eq!(tree(&sandbox.path("home")), before);
}

#[test]
fn what_is_wrong_is_said_in_one_line_and_leaves_nothing() {
    let from = release().to_str().unwrap();
    let mine = |change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(release().join(archive()), folder.path().join(archive())).unwrap();
        fs::copy(release().join("SHA256SUMS"), folder.path().join("SHA256SUMS")).unwrap();
        change(folder.path());
        folder
    };
    let cut = mine(&|folder| {
        let file = fs::File::options()
            .write(true)
            .open(folder.join(archive()))
            .unwrap();
        file.set_len(1000).unwrap();
    });
    let no_archive = mine(&|folder| {
        fs::write(folder.join(archive()), "<html>").unwrap();
        note_sum(folder, &archive());
    });
    let other_machine = mine(&|folder| {
        let lib = folder.join(name()).join("lib/gofix");
        fs::create_dir_all(&lib).unwrap();
        for program in ["go", "gofix"] {
            crate::support::write_program(&lib.join(program), "#!/lib/ld-of-another-machine.so\n");
        }
        pack(folder);
    });
    let nameless = mine(&|folder| fs::write(folder.join("SHA256SUMS"), "").unwrap());
    let empty = tempfile::tempdir().unwrap();
    let at = |folder: &tempfile::TempDir| folder.path().to_str().unwrap().to_owned();

    let cases: [(Vec<String>, &str); 9] = [
        (vec!["--from".into(), at(&cut)], "has the checksum"),
        (vec!["--from".into(), at(&no_archive)], "cannot be unpacked"),
        (
            vec!["--from".into(), at(&other_machine)],
            "does not run on this machine",
        ),
        (vec!["--from".into(), at(&nameless)], "SHA256SUMS does not name"),
        (vec!["--from".into(), at(&empty)], "there is no gofix-"),
        (
            vec!["--from".into(), from.into(), "--sha256".into(), "0".repeat(64)],
            "has the checksum",
        ),
        (
            vec!["--from".into(), from.into(), "--version".into(), "9.9.9".into()],
            "and not 9.9.9",
        ),
        (vec!["--arch".into(), "sparc".into()], "no release for sparc"),
        (vec!["--form".into(), from.into()], "unknown option --form"),
    ];
    for (args, why) in cases {
        let sandbox = sandbox();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let outcome = install(&sandbox, &["sh"], &args)
            .args(["--prefix", &prefix(&sandbox)])
            .output();
        refused(&sandbox, &outcome, why);
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
        assert!(tree(&sandbox.path("home")).is_empty(), "{outcome}");
    }
}

#[test]
fn a_place_that_is_not_gofixs_is_left_alone() {
    let from = release().to_str().unwrap();
    let other = |path: &str, why: &str| {
        let sandbox = sandbox();
        let file = sandbox.path("home").join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "somebody else's\n").unwrap();
        let before = tree(&sandbox.path("home"));
        let args = ["--from", from, "--prefix", &prefix(&sandbox)];
        refused(&sandbox, &install(&sandbox, &["sh"], &args).output(), why);
        assert_eq!(tree(&sandbox.path("home")), before, "{path}");
    };
    other(
        ".local/share/gofix/shims/go",
        "the shim could not be put in front of go",
    );
    other(".local/bin/gofix", "is there and is not ours");
    other(".local/lib/gofix/file", "is there and is not gofix's");
    other(".local/lib", "may not be written");
}

#[test]
fn where_nothing_can_be_written_nothing_is() {
    let from = release().to_str().unwrap();
    let sandbox = sandbox();
    let read_only = install(&sandbox, &["sh"], &["--from", from, "--prefix", "/proc/nowhere"]).output();
    refused(&sandbox, &read_only, "may not be written");

    // A limit on the size of a file is what a full disk is to a program: its write fails.
    let limited = format!(
        "trap '' XFSZ; ulimit -f 100; exec sh {} \"$@\"",
        script().display()
    );
    let outcome = install(
        &sandbox,
        &["sh", "-c", &limited],
        &["--from", from, "--prefix", &prefix(&sandbox)],
    )
    .output();
    refused(&sandbox, &outcome, "no room");
    assert!(tree(&sandbox.path("home")).is_empty(), "{outcome}");
}

#[test]
fn a_tool_that_is_missing_is_named() {
    let sandbox = sandbox();
    let tools = sandbox.path("tools");
    fs::create_dir_all(&tools).unwrap();
    for tool in [
        "sh", "id", "uname", "gzip", "find", "mktemp", "rm", "cp", "sed", "cat",
    ] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|dir| dir.join(tool))
            .find(|file| file.exists());
        symlink(found.unwrap(), tools.join(tool)).unwrap();
    }
    let from = release().to_str().unwrap();
    let outcome = install(
        &sandbox,
        &["sh"],
        &["--from", from, "--prefix", &prefix(&sandbox)],
    )
    .env("PATH", &tools)
    .output();
    refused(&sandbox, &outcome, "there is no tar here");
}

/// A web server of one thread for the files of a folder; what it does wrong with the first requests is told beforehand.
struct Web {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// The connection is closed with no answer.
    Silence,
    /// Half of the body, then the end.
    Half,
    /// A status and nothing else.
    Status(u16),
}

impl Web {
    fn new(folder: PathBuf, wrong: &'static [Wrong]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        std::thread::spawn(move || {
            let mut wrong = wrong.iter();
            for stream in listener.incoming() {
                let _ = answer(&mut stream.unwrap(), &folder, &log, wrong.next());
            }
        });
        Self { url, requests }
    }
}

fn answer(
    stream: &mut TcpStream,
    folder: &Path,
    log: &Mutex<Vec<String>>,
    wrong: Option<&Wrong>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let file = head
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .trim_start_matches('/')
        .to_owned();
    log.lock().unwrap().push(file.clone());
    let start = head
        .lines()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("range: bytes=")
                .map(str::to_owned)
        })
        .and_then(|range| range.trim_end_matches('-').parse::<usize>().ok());
    let body = fs::read(folder.join(&file)).unwrap_or_default();
    let status = match (wrong, start) {
        (Some(Wrong::Silence), _) => return Ok(()),
        (Some(Wrong::Status(code)), _) => {
            return write!(stream, "HTTP/1.1 {code} No\r\nContent-Length: 0\r\n\r\n");
        }
        (_, Some(_)) => "206 Partial Content",
        _ => "200 OK",
    };
    let rest = &body[start.unwrap_or(0).min(body.len())..];
    let range = start.map_or_else(String::new, |start| {
        format!(
            "Content-Range: bytes {start}-{}/{}\r\n",
            body.len() - 1,
            body.len()
        )
    });
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\n{range}Content-Length: {}\r\n\r\n",
        rest.len()
    )?;
    let end = if matches!(wrong, Some(Wrong::Half)) {
        rest.len() / 2
    } else {
        rest.len()
    };
    stream.write_all(&rest[..end])
}

#[test]
fn a_bad_line_is_tried_again_and_an_answer_is_not() {
    let tool = ["curl", "wget"].map(|tool| Command::new(tool).arg("--version").output().is_ok());
    if !tool[0] && !tool[1] {
        return;
    }
    let sandbox = sandbox();
    let faults: &[Wrong] = &[Wrong::Silence, Wrong::Half, Wrong::Status(503)];
    let web = Web::new(release().to_owned(), faults);
    install(
        &sandbox,
        &["sh"],
        &["--from", &web.url, "--prefix", &prefix(&sandbox)],
    )
    .output()
    .expect_code(0);
    assert_eq!(web.requests.lock().unwrap().len(), faults.len() + 2);
    assert!(sandbox.path("home/.local/bin/gofix").exists());

    let sandbox = self::sandbox();
    let web = Web::new(release().to_owned(), &[Wrong::Status(404)]);
    let outcome = install(
        &sandbox,
        &["sh"],
        &["--from", &web.url, "--prefix", &prefix(&sandbox)],
    )
    .output();
    refused(&sandbox, &outcome, "404");
    assert_eq!(*web.requests.lock().unwrap(), [archive()]);
    assert!(tree(&sandbox.path("home")).is_empty(), "{outcome}");
}
