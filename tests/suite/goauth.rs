//! GOAUTH: plain go and gofix ask a proxy that wants a login for the same, and run the same programs for it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use gofix::faultproxy::{Fault, FaultProxy, Kind, Rule};

use crate::support::wait::wait_until;
use crate::support::{Outcome, Sandbox, certificate, go_minor, two_modules, write_program};

const LOGIN: &str = "me:s3cr3t";
/// What stands for it in a header, in two halves: whole it stands in no file of the tests.
const HALVES: [&str; 2] = ["bWU6", "czNjcjN0"];
const LIMIT: Duration = Duration::from_secs(60);

/// A proxy that wants the login.
struct Private {
    proxy: FaultProxy,
    roots: tempfile::NamedTempFile,
}

impl Private {
    fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let (tls, pem) = certificate();
        let builder = FaultProxy::builder(two_modules(1000)).tls(tls).basic_auth(LOGIN);
        let roots = tempfile::NamedTempFile::new().unwrap();
        fs::write(roots.path(), pem).unwrap();
        Self {
            proxy: builder.rules(rules).start().unwrap(),
            roots,
        }
    }

    /// A sandbox whose GOAUTH this is. In it `$URL` stands for the proxy.
    fn sandbox(&self, goauth: &str) -> Sandbox {
        let sandbox = Sandbox::new()
            .requiring(&[("example.com/a", "v1.0.0")])
            .env("GOPROXY", self.proxy.url())
            .env("URL", self.proxy.url())
            .env("SSL_CERT_FILE", self.roots.path())
            .env("SSL_CERT_DIR", "/nowhere")
            .env("GOFIX_RETRY_COUNT", "0");
        let bin = sandbox.path("bin");
        let goauth = goauth.replace("BIN", bin.to_str().unwrap());
        let helper = |name: &str, body: &str| drop(sandbox.script(&format!("bin/{name}"), body));
        // Each writes down how it was run: its arguments and the first line that it read.
        let log = format!("echo \"$*|$(head -n 1)\" >>'{}'\n", sandbox.path("log").display());
        let say = format!(
            "printf '%s\\n\\nAuthorization: Basic %s%s\\n\\n' \"$URL\" {} {}",
            HALVES[0], HALVES[1]
        );
        helper(
            "says",
            &format!("{log}env >'{}'\n{say}", sandbox.path("env").display()),
        );
        helper("waits", &format!("{log}case \"$2\" in \"$URL\"/*) {say} ;; esac"));
        helper("fails", &format!("{log}exit 3"));
        helper(
            "needs-a-terminal",
            &format!(
                "{log}[ \"$(wc -l <'{}')\" -gt 2 ] || exit 1\n{say}",
                sandbox.path("log").display()
            ),
        );
        helper(
            "git-helper",
            &format!(
                "cat >/dev/null; echo \"$1\" >>'{}'\n[ \"$1\" != get ] || printf 'username=me\\npassword=s3%s\\n' cr3t",
                sandbox.path("log").display()
            ),
        );
        if goauth.contains("bin/set") {
            let url = self.proxy.url();
            let set = format!("{url}\n\nAuthorization: Basic {}\n\n", HALVES.concat());
            fs::write(bin.join("set"), set).unwrap();
        }
        fs::write(sandbox.path("log"), "").unwrap();
        let config = format!("[credential]\n\thelper = {}\n", bin.join("git-helper").display());
        fs::write(sandbox.path("home/.gitconfig"), config).unwrap();
        sandbox.env("GOAUTH", goauth)
    }

    fn netrc(&self, sandbox: &Sandbox, password: &str) {
        let host = self.proxy.url().strip_prefix("https://").unwrap();
        fs::write(
            sandbox.path("home/.netrc"),
            format!("machine {host} login me password {password}\n"),
        )
        .unwrap();
    }
}

/// What was asked with which Authorization, but for git's own question.
fn asked(proxy: &FaultProxy) -> BTreeSet<(String, Option<String>, u16)> {
    let requests = proxy.requests();
    let of = |request: &gofix::faultproxy::Request| {
        (
            request.target.clone(),
            request.header("authorization").map(str::to_owned),
            request.status,
        )
    };
    let gets = requests.iter().filter(|request| request.method == "GET");
    // Who else was refused while a program was still running is chance.
    gets.map(of).filter(|(.., status)| *status != 401).collect()
}

fn log(sandbox: &Sandbox, proxy: &FaultProxy) -> BTreeSet<String> {
    let text = fs::read_to_string(sandbox.path("log")).unwrap();
    let without_path = |line: &str| {
        let (args, read) = line.split_once('|').unwrap_or((line, ""));
        let args = args.replace(proxy.url(), "URL");
        format!(
            "{}|{read}",
            args.split_once("/example.com")
                .map_or(args.as_str(), |(url, _)| url)
        )
    };
    text.lines().map(without_path).collect()
}

fn done(run: &Outcome) -> (Option<i32>, String) {
    let not_gos = |line: &&str| line.starts_with("go: downloading ") || line.starts_with("gofix: ");
    let errors: Vec<&str> = run.stderr.lines().filter(|line| !not_gos(line)).collect();
    (run.status.code(), errors.join("\n"))
}

/// The name, GOAUTH, the password in netrc, the exit status.
const CASES: [(&str, Option<&str>, i32); 10] = [
    ("BIN/says --flag 'a b'", None, 0),
    ("BIN/waits x", None, 0),
    ("sh -c 'cat BIN/set'", None, 0),
    ("git BIN", None, 0),
    ("BIN/fails; git BIN", None, 0),
    ("BIN/fails; netrc", Some("s3cr3t"), 0),
    // What comes first wins.
    ("netrc; BIN/says", Some("wrong"), 1),
    ("BIN/says; netrc", Some("wrong"), 0),
    ("off", Some("s3cr3t"), 1),
    ("BIN/fails", None, 1),
];

#[test]
fn go_and_gofix_ask_the_same() {
    if go_minor() < 24 {
        return;
    }
    for (goauth, netrc, code) in CASES {
        let run = |gofix: bool| {
            let private = Private::new([]);
            let sandbox = private.sandbox(goauth);
            if let Some(password) = netrc {
                private.netrc(&sandbox, password);
            }
            let args = ["mod", "download"];
            let run = if gofix {
                sandbox.go(&args)
            } else {
                sandbox.plain_go(&args)
            };
            let (status, errors) = done(&run.output());
            let errors = errors.replace(private.proxy.url(), "URL");
            let logged = match goauth.contains("git") {
                // Whether git hears of its success before go ends is chance.
                true => BTreeSet::new(),
                false => log(&sandbox, &private.proxy),
            };
            (status, errors, asked(&private.proxy), logged)
        };
        let (plain, ours) = (run(false), run(true));
        assert_eq!(plain.0, Some(code), "{goauth}: {plain:?}");
        assert_eq!(plain, ours, "{goauth}");
    }
}

/// One zip is reset: without the relay the command would fail.
#[test]
fn the_relay_stands_in_front_of_it() {
    if go_minor() < 24 {
        return;
    }
    for goauth in ["BIN/says", "BIN/waits x", "git BIN", "BIN/fails; BIN/waits x"] {
        let run = |gofix: bool| {
            let private = Private::new([Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip).first(1)]);
            let sandbox = private.sandbox(goauth);
            let args = ["mod", "download"];
            let run = if gofix {
                sandbox.go(&args)
            } else {
                sandbox.plain_go(&args)
            };
            run.output()
        };
        run(false).expect_code(1);
        run(true).expect_code(0);
    }
}

/// A program runs in go's own folder, with the variables that go sets.
#[test]
fn programs_find_what_go_would_give_them() {
    if go_minor() < 24 {
        return;
    }
    let environment = |gofix: bool| {
        let private = Private::new([]);
        let sandbox = private.sandbox("BIN/says");
        let args = ["mod", "download", "-modcacherw"];
        let run = if gofix {
            sandbox.go(&args)
        } else {
            sandbox.plain_go(&args)
        };
        run.output().expect_code(0);
        let text = sandbox.without_place(&fs::read_to_string(sandbox.path("env")).unwrap());
        let text = text.replace(private.proxy.url(), "URL");
        let text = text.replace(private.roots.path().to_str().unwrap(), "ROOTS");
        // The shell's own.
        let lines = text.lines().filter(|line| !line.starts_with("_="));
        lines.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(environment(true), environment(false));
}

/// What fails without a terminal may work for go: it is left to it.
#[test]
fn what_cannot_be_done_here_is_left_to_go() {
    if go_minor() < 24 {
        return;
    }
    let private = Private::new([]);
    let sandbox = private.sandbox("BIN/needs-a-terminal");
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let runs = fs::read_to_string(sandbox.path("log")).unwrap().lines().count();
    assert!(runs > 2, "{runs}");
}

/// Behind a `|` any refusal sends go on. What the relay could not log in for must not: the next server would learn the
/// name of a module that plain go asks the first one for.
#[test]
fn a_refusal_for_want_of_a_login_sends_nobody_elsewhere() {
    if go_minor() < 24 {
        return;
    }
    let (private, public) = (
        Private::new([]),
        FaultProxy::builder(two_modules(1000)).start().unwrap(),
    );
    let list = format!("{}|{}", private.proxy.url(), public.url());
    let sandbox = private.sandbox("BIN/needs-a-terminal").env("GOPROXY", list);
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    assert_eq!(public.requests().len(), 0);
}

/// The recipe for Vault, with a login that has run out in between.
#[test]
fn vault_is_asked_again_after_a_refusal() {
    let has_curl = std::process::Command::new("curl")
        .arg("--version")
        .output()
        .is_ok();
    if go_minor() < 24 || !has_curl {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let vault = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&asked);
    std::thread::spawn(move || {
        let answers = std::iter::once(STANDARD.encode("me:old")).chain(std::iter::repeat(HALVES.concat()));
        for (mut client, login) in listener.incoming().map_while(Result::ok).zip(answers) {
            let lines = std::io::BufReader::new(client.try_clone().unwrap()).lines();
            let head: Vec<String> = lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            requests.lock().unwrap().push(head.join("\n"));
            let body = format!(
                "{{\"data\":{{\"data\":{{\"authorization\":\"Basic {login}\"}},\"metadata\":{{}}}}}}"
            );
            write!(
                client,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .ok();
        }
    });
    let private = Private::new([]);
    let sandbox = private.sandbox("BIN/vault").env("VAULT_ADDR", &vault);
    fs::write(sandbox.path("home/.vault-token"), "vault-t0ken\n").unwrap();
    let recipe =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/private-modules.md")).unwrap();
    let (_, recipe) = recipe
        .split_once("<!-- recipe: goauth-vault -->\n```bash\n")
        .unwrap();
    let (recipe, _) = recipe.split_once("```").unwrap();
    let recipe = recipe.replace("https://goproxy.corp.example", private.proxy.url());
    write_program(&sandbox.path("bin/vault"), &recipe);
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let asked = asked.lock().unwrap();
    assert!(asked.len() > 1, "{asked:?}");
    for head in asked.iter() {
        assert!(
            head.starts_with("GET /v1/secret/data/goproxy HTTP/1.1\n"),
            "{head}"
        );
        assert!(head.contains("\nX-Vault-Token: vault-t0ken"), "{head}");
    }
}

/// Git hears whether what it said was right.
#[test]
fn git_is_told() {
    if go_minor() < 24 {
        return;
    }
    let silent = Rule::new(Fault::StallHeader).on(Kind::Zip);
    let private = Private::new([silent]);
    let sandbox = private.sandbox("git BIN");
    // Else git speaks of the host alone, of which the proxy knows nothing.
    let config = sandbox.path("home/.gitconfig");
    let by_path = "\tuseHttpPath = true\n";
    fs::write(&config, fs::read_to_string(&config).unwrap() + by_path).unwrap();
    let running = sandbox.go(&["mod", "download"]).spawn();
    let heard = |method: &'static str| {
        private.proxy.wait_for(LIMIT, move |requests| {
            requests.iter().any(|request| request.method == method)
        })
    };
    assert!(heard("HEAD"));
    let log = || fs::read_to_string(sandbox.path("log")).unwrap();
    wait_until(|| log().lines().any(|line| line == "store"));
    drop(running);
}

/// While a login is in use it stands in no argument, no environment and no file.
#[test]
fn a_login_is_kept_in_memory() {
    if go_minor() < 24 {
        return;
    }
    let private = Private::new([Rule::new(Fault::StallHeader).on(Kind::Zip)]);
    let sandbox = private
        .sandbox("BIN/waits x; git BIN")
        .env("GOFIX_LOG", "debug")
        .env("GOFIX_REPORT", "report.jsonl")
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", "summary.md");
    let running = sandbox.go(&["mod", "download", "-x"]).spawn();
    let all =
        |requests: &[gofix::faultproxy::Request]| requests.iter().any(|request| request.kind() == Kind::Zip);
    assert!(private.proxy.wait_for(LIMIT, all));
    let hidden = |what: &Path, bytes: &[u8]| {
        for secret in [LOGIN, "s3cr3t", &HALVES.concat()] {
            let found = memchr::memmem::find(bytes, secret.as_bytes()).is_some();
            assert!(!found, "{secret} in {}", what.display());
        }
    };
    let processes = sandbox.processes();
    assert!(!cfg!(target_os = "linux") || processes.len() > 1, "{processes:?}");
    for pid in processes {
        for file in ["cmdline", "environ"] {
            let file = Path::new("/proc").join(pid.to_string()).join(file);
            hidden(&file, &fs::read(&file).unwrap_or_default());
        }
    }
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let ended = running.wait();
    hidden(Path::new("stdout"), ended.stdout.as_bytes());
    hidden(Path::new("stderr"), ended.stderr.as_bytes());
    assert!(!sandbox.read("report.jsonl").is_empty());
    let mut folders = vec![sandbox.path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => hidden(&entry.path(), &fs::read(entry.path()).unwrap()),
                _ => {}
            }
        }
    }
}
