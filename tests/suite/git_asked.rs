//! Where go drops git's words (`no secure protocol found for repository`), gofix asks git itself: a real git, and a
//! server on loopback that resets, refuses or serves.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Run, Sandbox};

const MODULE: &str = "gitlab.corp.example/team/lib.git";

/// What the server does with its first requests; the rest it serves from a folder.
#[derive(Clone, Copy)]
enum First {
    Reset(usize),
    Status(&'static str),
}

/// A server of git's dumb protocol: files.
struct Server {
    port: u16,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start(first: First, folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let number = seen.fetch_add(1, Ordering::SeqCst);
                let _ = answer(stream.unwrap(), number, first, &folder);
            }
        });
        Self { port, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, number: usize, first: First, folder: &Path) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head
        .split([' ', '?'])
        .nth(1)
        .unwrap_or("/")
        .trim_start_matches('/');
    let file = fs::read(folder.join(path));
    let (status, body) = match (first, file) {
        (First::Reset(count), _) if number < count => {
            let linger = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger)?;
            return Ok(());
        }
        (First::Status(status), _) => (status, Vec::new()),
        (_, Ok(body)) => ("200 OK", body),
        (_, Err(_)) => ("404 Not Found", Vec::new()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

/// A sandbox whose git finds the module's repository on that server by every protocol, and the server.
/// `None` where there is no git.
fn stage(first: First) -> Option<(Sandbox, Server)> {
    let sandbox = Sandbox::new()
        .env("GOPROXY", "direct")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GOFIX_RETRY_COUNT", "1")
        .env("GOFIX_REPORT", "report.jsonl")
        .requiring(&[(MODULE, "v1.0.0")]);
    let work = sandbox.path("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("go.mod"), format!("module {MODULE}\n\ngo 1.21\n")).unwrap();
    fs::write(work.join("lib.go"), "package lib\n").unwrap();
    let folder = sandbox.path("served");
    let bare = folder.join("team/lib");
    fs::create_dir_all(bare.parent().unwrap()).unwrap();
    let bare = bare.display().to_string();
    let identity = "[user]\n\tname = t\n\temail = t@example.test\n[init]\n\tdefaultBranch = main\n";
    fs::write(sandbox.path("home/.gitconfig"), identity).unwrap();
    let commands: [&[&str]; 6] = [
        &["init", "-q"],
        &["add", "."],
        &["commit", "-q", "-m", "one"],
        &["tag", "v1.0.0"],
        &["clone", "-q", "--bare", ".", &bare],
        &["--git-dir", &bare, "update-server-info"],
    ];
    for args in commands {
        let output = sandbox.run("git").args(args).dir(&work).command.output().ok()?;
        assert!(output.status.success(), "{output:?}");
    }
    let server = Server::start(first, folder);
    let instead: String = ["https", "ssh", "git+ssh"]
        .iter()
        .map(|protocol| format!("\tinsteadOf = {protocol}://gitlab.corp.example/\n"))
        .collect();
    let config = format!("[url \"http://127.0.0.1:{}/\"]\n{instead}", server.port);
    fs::write(sandbox.path("home/.gitconfig"), config).unwrap();
    Some((sandbox, server))
}

/// How often go ran, and what the last diagnosis was read from.
fn history(sandbox: &Sandbox) -> (usize, String) {
    let text = fs::read_to_string(sandbox.project().join("report.jsonl")).unwrap_or_default();
    let events: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let named = |name: &str| {
        events
            .iter()
            .filter(|event| event["event"] == name)
            .collect::<Vec<_>>()
    };
    let line = named("fault")
        .last()
        .map_or(String::new(), |event| event["line"].to_string());
    (named("attempt_started").len(), line)
}

fn download(sandbox: &Sandbox) -> Run {
    sandbox.go(&["mod", "download", MODULE])
}

#[test]
fn one_reset_of_each_protocol_is_healed() {
    // Three for go, one for the question that follows.
    let Some((sandbox, server)) = stage(First::Reset(4)) else {
        return;
    };
    download(&sandbox).output().expect_code(0);
    assert_eq!(history(&sandbox).0, 2);
    assert!(server.requests() > 4);
}

#[test]
fn a_server_that_always_resets_is_a_fault_with_gits_own_words() {
    let Some((sandbox, _server)) = stage(First::Reset(usize::MAX)) else {
        return;
    };
    let outcome = download(&sandbox).output();
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    let (attempts, line) = history(&sandbox);
    assert_eq!(attempts, 2, "{outcome}");
    assert!(line.contains("Connection reset by peer"), "{line}");
    // What stands on the screen of go's is go's.
    assert!(
        outcome.stderr.contains("no secure protocol found for repository"),
        "{outcome}"
    );
}

#[test]
fn what_git_was_answered_is_an_answer() {
    for (status, words) in [
        ("401 Unauthorized", "could not read Username"),
        ("403 Forbidden", "returned error: 403"),
        ("404 Not Found", "not found"),
    ] {
        let Some((sandbox, _server)) = stage(First::Status(status)) else {
            return;
        };
        let outcome = download(&sandbox).output();
        assert_eq!(outcome.code(), Some(1), "{outcome}");
        let (attempts, line) = history(&sandbox);
        assert_eq!(attempts, 1, "{status}: {outcome}");
        assert!(line.contains(words), "{status}: {line}");
    }
}
