//! The recipes of docs/ci.md, as they stand there: in a healthy network, in one whose proxy resets, stalls and cuts (plain go
//! beside), and with an answer that must stay red.
//!
//! `make test-dropin` prepares a folder with a release, images and tools, and names it in `__GOFIX_TEST_DROPIN`; without it
//! these tests have nothing to run with and say so. Of a recipe only OWNER and the place of the release are filled in.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Framing, Kind, Module, Rule, When};

use crate::support::{Outcome, Run, Sandbox, real_go, tree};

/// What `make test-dropin` has prepared.
struct Place(PathBuf);

impl Place {
    /// None where the tests run without it.
    fn prepared() -> Option<Self> {
        let place = std::env::var_os("__GOFIX_TEST_DROPIN").map(|dir| Self(dir.into()));
        if place.is_none() {
            say("skipped: make test-dropin runs the recipes");
        }
        place
    }

    /// A tool that may be missing on this machine; that is said.
    fn has(&self, what: &str) -> bool {
        let there = self.0.join("has").join(what).exists();
        if !there {
            say(&format!("skipped: there is no {what} on this machine"));
        }
        there
    }
}

/// For whoever watches: what was run, and what was not.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A recipe of docs/ci.md.
fn recipe(name: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md")).unwrap();
    let (_, rest) = text
        .split_once(&format!("<!-- recipe: {name} -->\n"))
        .unwrap_or_else(|| panic!("no recipe {name}"));
    let (_, block) = rest.split_once("```").unwrap().1.split_once('\n').unwrap();
    block.split_once("```").unwrap().0.replace("OWNER", "owner")
}

/// The modules of the program that the recipes build.
fn catalogue() -> Catalogue {
    let all = (0..6).map(|nth| Module::new(format!("example.com/m{nth}"), "v1.0.0").ballast(20_000));
    Catalogue::new().with_all(all)
}

/// What the proxy of a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Healthy,
    /// Every request breaks off once or falls silent, in one way or another.
    Bad,
    /// A module is not there: an answer.
    NotFound,
    /// go.sum says something else: an answer.
    Mismatch,
}

fn proxy(line: Line) -> FaultProxy {
    let rule = |nth: usize, fault| {
        Rule::new(fault)
            .on(Kind::Zip)
            .module(format!("example.com/m{nth}"))
            .when(When::First(1))
    };
    let rules = match line {
        Line::Bad => vec![
            rule(0, Fault::ResetBeforeHeader),
            rule(1, Fault::ResetBody { after: None }),
            rule(
                2,
                Fault::CloseBody {
                    after: None,
                    framing: Framing::Length,
                },
            ),
            rule(3, Fault::StallBody { after: None }),
        ],
        _ => Vec::new(),
    };
    let catalogue = match line {
        Line::NotFound => catalogue().without("example.com/m5", "v1.0.0"),
        _ => catalogue(),
    };
    FaultProxy::builder(catalogue).rules(rules).start().unwrap()
}

/// A project with a program and a test, as the recipes expect it, in the sandbox's project folder.
fn project(line: Line) -> Sandbox {
    let sandbox = Sandbox::new();
    let modules: Vec<String> = (0..6).map(|nth| format!("example.com/m{nth}")).collect();
    let requires: String = modules
        .iter()
        .map(|module| format!("\t{module} v1.0.0\n"))
        .collect();
    let imports: String = modules
        .iter()
        .map(|module| format!("\t_ \"{module}\"\n"))
        .collect();
    fs::create_dir_all(sandbox.project().join("cmd/app")).unwrap();
    sandbox.write(
        "go.mod",
        format!("module example.com/app\n\ngo 1.21\n\nrequire (\n{requires})\n"),
    );
    let mut sums = catalogue().go_sum();
    if line == Line::Mismatch {
        let first = sums
            .lines()
            .find(|line| line.starts_with("example.com/m5 v1.0.0 h1:"))
            .unwrap();
        let wrong = format!("example.com/m5 v1.0.0 h1:{}=", "A".repeat(43));
        sums = sums.replace(first, &wrong);
    }
    sandbox.write("go.sum", sums);
    sandbox.write(
        "cmd/app/main.go",
        format!("package main\n\nimport (\n{imports})\n\nfunc main() {{}}\n"),
    );
    sandbox.write(
        "cmd/app/main_test.go",
        "package main\n\nimport \"testing\"\n\nfunc TestNothing(t *testing.T) {}\n",
    );
    sandbox
}

/// What a recipe must come to: `run` carries it out with the variables that lead go to the proxy, with gofix or without.
fn three_times(name: &str, run: &dyn Fn(&Sandbox, &FaultProxy, bool) -> Outcome) {
    for line in [Line::Healthy, Line::Bad, Line::NotFound, Line::Mismatch] {
        let (sandbox, proxy) = (project(line), proxy(line));
        let outcome = run(&sandbox, &proxy, true);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        match line {
            Line::Healthy => {
                assert!(outcome.status.success(), "{name}, {line:?}: {outcome}");
                assert!(!said.contains("gofix: go "), "{name}, {line:?}: {outcome}");
            }
            Line::Bad => {
                assert!(outcome.status.success(), "{name}, {line:?}: {outcome}");
                assert!(
                    said.contains("gofix: go mod download went through"),
                    "{name}, {line:?}: {outcome}"
                );
                let (sandbox, proxy) = (project(line), self::proxy(line));
                let plain = run(&sandbox, &proxy, false);
                assert!(!plain.status.success(), "{name}, plain go: {plain}");
            }
            Line::NotFound => {
                assert!(!outcome.status.success(), "{name}, {line:?}: {outcome}");
                assert!(said.contains("404 Not Found"), "{name}, {line:?}: {outcome}");
            }
            Line::Mismatch => {
                assert!(!outcome.status.success(), "{name}, {line:?}: {outcome}");
                assert!(said.contains("SECURITY ERROR"), "{name}, {line:?}: {outcome}");
            }
        }
        let zip = |request: &&gofix::faultproxy::Request| request.target.ends_with("m5/@v/v1.0.0.zip");
        let asked = proxy.requests().iter().filter(zip).count();
        assert!(
            asked <= 1,
            "{name}, {line:?}: an answer was asked for {asked} times"
        );
        say(&format!("{name}: {line:?} as it should be"));
    }
}

// --- Docker -----------------------------------------------------------------------------------------------------------

fn buildah(place: &Place, sandbox: &Sandbox) -> Run {
    let storage = place.0.join("storage");
    let driver = fs::read_to_string(place.0.join("driver")).unwrap();
    sandbox
        .run("buildah")
        .args([
            "--root".into(),
            storage.join("root"),
            "--runroot".into(),
            storage.join("run"),
        ])
        .args(["--storage-driver", driver.trim()])
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("CONTAINERS_CONF", place.0.join("containers.conf"))
        .env("TMPDIR", sandbox.path("tmp"))
}

/// Builds the project with this Dockerfile; the network of RUN is that of this process.
fn build(place: &Place, sandbox: &Sandbox, proxy: &FaultProxy, dockerfile: &str) -> Outcome {
    fs::write(sandbox.path("Dockerfile"), dockerfile).unwrap();
    fs::write(sandbox.path("netrc"), "machine example.com login a password b\n").unwrap();
    let secret = format!("id=netrc,src={}", sandbox.path("netrc").display());
    // Files that go and gofix read, so that the recipe need not be touched.
    fs::create_dir_all(sandbox.path("go-env")).unwrap();
    fs::create_dir_all(sandbox.path("gofix-etc")).unwrap();
    fs::write(
        sandbox.path("go-env/env"),
        format!("GOPROXY={}\nGOSUMDB=off\n", proxy.url()),
    )
    .unwrap();
    // Plain go would wait for ever for what has fallen silent; gofix's clock strikes after this.
    fs::write(sandbox.path("gofix-etc/config.toml"), "stall_ms = 1500\n").unwrap();
    let volumes = [("go-env", "/root/.config/go"), ("gofix-etc", "/etc/gofix")];
    let volumes = volumes.map(|(from, to)| format!("{}:{to}:ro", sandbox.path(from).display()));
    buildah(place, sandbox)
        .args([
            "bud",
            "--isolation",
            "chroot",
            "--network",
            "host",
            "--pull-never",
            "--no-cache",
            "--secret",
            &secret,
        ])
        .args(volumes.iter().flat_map(|pair| ["-v", pair]))
        .args(["-f".into(), sandbox.path("Dockerfile"), sandbox.project()])
        .output()
}

/// The Dockerfile without the line of gofix, and with a limit for what has no clock of its own.
fn plain(dockerfile: &str) -> String {
    dockerfile
        .lines()
        .filter(|line| !line.contains("owner/gofix"))
        .map(|line| line.replace("go mod download", "timeout 20 go mod download") + "\n")
        .collect()
}

fn dockerfile(name: &str) {
    let Some(place) = Place::prepared().filter(|place| place.has("buildah")) else {
        return;
    };
    let text = recipe(name);
    three_times(name, &|sandbox, proxy, with_gofix| {
        let text = if with_gofix { text.clone() } else { plain(&text) };
        build(&place, sandbox, proxy, &text)
    });
}

#[test]
fn the_line_in_a_dockerfile() {
    dockerfile("docker");
}

#[test]
fn the_line_for_other_images() {
    dockerfile("docker-other");
}

#[test]
fn cache_mounts_and_secrets() {
    dockerfile("docker-mounts");
}

/// The same line in an image whose C library is musl and whose shell is busybox.
#[test]
fn the_line_in_alpine() {
    let Some(place) = Place::prepared().filter(|place| place.has("alpine")) else {
        return;
    };
    let text = recipe("docker").replace("1.26-bookworm", "1.26-alpine");
    three_times("docker, alpine", &|sandbox, proxy, with_gofix| {
        let text = if with_gofix { text.clone() } else { plain(&text) };
        build(&place, sandbox, proxy, &text)
    });
}

#[test]
fn what_goes_together_with_the_line() {
    let Some(place) = Place::prepared().filter(|place| place.has("buildah")) else {
        return;
    };
    let (sandbox, proxy) = (project(Line::Healthy), proxy(Line::Healthy));
    let head = "FROM golang:1.26-bookworm\nCOPY --from=owner/gofix /golang/ /\nWORKDIR /app\nCOPY . .\n";
    // What a login shell finds, what the status says, who may write to /go/bin, what a vendored build has of it.
    let looks = "RUN sh -l -c 'command -v go && go version' && gofix shim status --json >/status.json \
                 && grep -q '\"shim\": \"/go/bin/go\"' /status.json && test \"$(stat -c %a /go/bin)\" = 1777\n\
                 RUN go mod vendor && GOPROXY=http://127.0.0.1:9 GOFLAGS=-mod=vendor go build ./...\n";
    let outcome = build(&place, &sandbox, &proxy, &format!("{head}{looks}"));
    assert!(outcome.status.success(), "{outcome}");
    assert!(outcome.stdout.contains("/go/bin/go\n"), "{outcome}");
    assert!(!outcome.stderr.contains("gofix: "), "{outcome}");

    // A volume on all of /go hides the shim, and go is plain go.
    let hidden = "RUN --mount=type=cache,target=/go command -v go && go mod download\n";
    let outcome = build(&place, &sandbox, &proxy, &format!("{head}{hidden}"));
    assert!(outcome.stdout.contains("/usr/local/go/bin/go\n"), "{outcome}");
    assert!(outcome.status.success(), "{outcome}");
}

// --- GitHub -----------------------------------------------------------------------------------------------------------

/// Runs a workflow on this machine, as act does it without containers.
fn workflow(place: &Place, name: &str, sandbox: &Sandbox, proxy: &FaultProxy, with_gofix: bool) -> Outcome {
    let mut text = recipe(name);
    if !with_gofix {
        text = text.replace("      - uses: owner/gofix@v1\n", "");
        text = text.replace("go mod download", "timeout 20 go mod download");
    }
    sandbox.write(".github/workflows/ci.yml", text);
    git(sandbox);
    let stub = |action: &str| format!("{action}={}", place.0.join("stub").display());
    let go = real_go().parent().unwrap().display();
    sandbox
        .run(place.0.join("bin/act"))
        .args([
            "push",
            "-P",
            "ubuntu-latest=-self-hosted",
            "-W",
            ".github/workflows/ci.yml",
        ])
        // Its servers for caches and artefacts are nobody's here, and there is no address but loopback to be found.
        .args([
            "--cache-server-addr",
            "127.0.0.1",
            "--artifact-server-addr",
            "127.0.0.1",
        ])
        .args(["--container-daemon-socket", "-"])
        .args(["--local-repository", &stub("actions/setup-go@v7")])
        .args(["--local-repository", &stub("actions/upload-artifact@v7")])
        .args([
            "--local-repository",
            &format!("owner/gofix@v1={}", place.0.join("action").display()),
        ])
        .env("PATH", format!("{go}:/usr/local/bin:/usr/bin:/bin"))
        .env("XDG_CACHE_HOME", sandbox.path("cache"))
        .env("GOPROXY", proxy.url())
        .env("GOFIX_STALL_MS", "1500")
        .output()
}

/// The project as a repository with one commit.
fn git(sandbox: &Sandbox) {
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["remote", "add", "origin", "https://gitlab.com/owner/gofix.git"],
        &["add", "-A"],
        &[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.com",
            "commit",
            "-q",
            "-m",
            "a",
        ],
    ] {
        sandbox.run("git").args(args).output().expect_code(0);
    }
}

#[test]
fn the_step_in_a_workflow() {
    let Some(place) = Place::prepared().filter(|place| place.has("act")) else {
        return;
    };
    three_times("github", &|sandbox, proxy, with_gofix| {
        fs::create_dir_all(sandbox.project().join(".github/workflows")).unwrap();
        workflow(&place, "github", sandbox, proxy, with_gofix)
    });
}

// --- GitLab -----------------------------------------------------------------------------------------------------------

/// The component is one of the project itself here: another project's would have to come from its server.
#[test]
fn the_component_in_a_pipeline() {
    let Some(place) = Place::prepared().filter(|place| place.has("gitlab-ci-local")) else {
        return;
    };
    three_times("gitlab", &|sandbox, proxy, with_gofix| {
        let mut text =
            recipe("gitlab").replace("owner/gofix/gofix@1", "$CI_PROJECT_PATH/gofix@$CI_COMMIT_SHA");
        if !with_gofix {
            let (_, jobs) = text.split_once("\n\n").unwrap();
            text = jobs.replace("go mod download", "timeout 20 go mod download");
        }
        sandbox.write(".gitlab-ci.yml", text);
        fs::create_dir_all(sandbox.project().join("templates")).unwrap();
        fs::copy(
            place.0.join("gofix.yml"),
            sandbox.project().join("templates/gofix.yml"),
        )
        .unwrap();
        git(sandbox);
        let go = real_go().parent().unwrap().display();
        sandbox
            .run(place.0.join("bin/gitlab-ci-local"))
            .args(["--force-shell-executor"])
            .env("PATH", format!("{go}:/usr/local/bin:/usr/bin:/bin"))
            .env("GOPROXY", proxy.url())
            .env("GOFIX_STALL_MS", "1500")
            .output()
    });
}

// --- what needs nothing but the release -------------------------------------------------------------------------------

#[test]
fn the_makefile() {
    let Some(place) = Place::prepared().filter(|place| place.has("make")) else {
        return;
    };
    three_times("make", &|sandbox, proxy, with_gofix| {
        let text = recipe("make");
        sandbox.write(
            "Makefile",
            if with_gofix {
                text
            } else {
                text.replace("$(GO) mod", "timeout 20 $(GO) mod")
            },
        );
        let go = real_go().parent().unwrap().display();
        let gofix = if with_gofix {
            place.0.join("programs/bin")
        } else {
            "/nowhere".into()
        };
        sandbox
            .run("make")
            .env("PATH", format!("{}:{go}:/usr/bin:/bin", gofix.display()))
            .env("GOPROXY", proxy.url())
            .env("GOFIX_STALL_MS", "1500")
            .output()
    });
}

/// Both programs together, as they are released.
#[test]
fn the_programs_are_static_and_small() {
    let Some(place) = Place::prepared().filter(|place| place.has("release")) else {
        return;
    };
    let mut together = 0;
    for program in ["go", "gofix"] {
        let bytes = fs::read(place.0.join("programs/lib/gofix").join(program)).unwrap();
        together += bytes.len();
        assert!(
            memchr::memmem::find(&bytes, b"/ld-").is_none()
                && memchr::memmem::find(&bytes, b"libc.so").is_none(),
            "{program} asks for a loader"
        );
    }
    assert!(together <= 8_000_000, "{together} bytes");
    assert!(!tree(&place.0.join("programs/share")).is_empty());
}

// --- before and after -------------------------------------------------------------------------------------------------

/// The loop that docs/ci.md opens with.
fn the_loop() -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md")).unwrap();
    let (_, block) = text.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

struct Situation {
    name: &'static str,
    line: Line,
    rules: Vec<Rule>,
    test_fails: bool,
}

fn situations() -> Vec<Situation> {
    let zip = |fault| Rule::new(fault).on(Kind::Zip);
    let good = |name, rules| Situation {
        name,
        line: Line::Healthy,
        rules,
        test_fails: false,
    };
    vec![
        Situation {
            line: Line::NotFound,
            ..good("a module version that does not exist", Vec::new())
        },
        Situation {
            line: Line::Mismatch,
            ..good("a checksum that does not match", Vec::new())
        },
        Situation {
            test_fails: true,
            ..good("a test that fails", Vec::new())
        },
        good(
            "a zip that stops in the middle",
            vec![zip(Fault::StallBody { after: None }).when(When::First(1))],
        ),
        good(
            "every second connection is reset",
            (1..20)
                .map(|nth| zip(Fault::ResetBody { after: None }).when(When::Nth(2 * nth)))
                .collect(),
        ),
    ]
}

/// How it went, as a cell of the table.
fn cell(situation: &Situation, script: &str, with_gofix: bool) -> (Option<i32>, String) {
    let sandbox = project(situation.line);
    let fails = if situation.test_fails { "t.Fail()" } else { "" };
    sandbox.write(
        "cmd/app/main_test.go",
        format!(
            "package main\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestCounts(t *testing.T) {{\n\
             \tf, _ := os.OpenFile(os.Getenv(\"COUNT\"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)\n\
             \tf.WriteString(\".\")\n\tf.Close()\n\t{fails}\n}}\n"
        ),
    );
    let catalogue = match situation.line {
        Line::NotFound => catalogue().without("example.com/m5", "v1.0.0"),
        _ => catalogue(),
    };
    let proxy = FaultProxy::builder(catalogue)
        .rules(situation.rules.clone())
        .start()
        .unwrap();
    // What the standard library takes to compile is nobody's doing.
    let sandbox = sandbox.shared_build_cache();
    sandbox
        .go(&["test", "-run", "^$", "testing", "os"])
        .env("GOPROXY", "off")
        .output();
    let go = real_go().parent().unwrap().display().to_string();
    let shims = if with_gofix {
        sandbox.path("shims").display().to_string()
    } else {
        go.clone()
    };
    let count = sandbox.path("count");
    let start = std::time::Instant::now();
    let outcome = sandbox
        .run("timeout")
        .args(["60", "sh", "-c", script])
        .env("PATH", format!("{shims}:{go}:/usr/bin:/bin"))
        .env("GOPROXY", proxy.url())
        .env("COUNT", &count)
        .output();
    let seconds = start.elapsed().as_secs();
    let tests = fs::read(count).map_or(0, |dots| dots.len());
    let said = match outcome.code() {
        Some(124) => "hangs".to_owned(),
        Some(code) => format!("status {code}, {seconds} s, tests run {tests}×"),
        None => "killed".to_owned(),
    };
    (outcome.code(), said)
}

/// What each gets wrong. With BENCH_WRITE=1 the table of docs/ci.md is written.
#[test]
fn a_loop_and_gofix_side_by_side() {
    if Place::prepared().is_none() {
        return;
    }
    let looped = the_loop();
    let plain = "go mod download && go test ./...";
    let mut table = String::from("\n| | plain go | the loop | gofix |\n|---|---|---|---|\n");
    for situation in situations() {
        let (_, before) = cell(&situation, plain, false);
        let (_, around) = cell(&situation, &looped, false);
        let (status, after) = cell(&situation, plain, true);
        let answer = situation.line != Line::Healthy || situation.test_fails;
        assert_eq!(status == Some(0), !answer, "{}: {after}", situation.name);
        table.push_str(&format!(
            "| {} | {before} | {around} | {after} |\n",
            situation.name
        ));
    }
    say(&table);
    if std::env::var_os("BENCH_WRITE").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md");
        let text = fs::read_to_string(&file).unwrap();
        let (above, rest) = text.split_once("<!-- measured: loop -->\n").unwrap();
        let (_, below) = rest.split_once("<!-- end -->").unwrap();
        fs::write(
            file,
            format!("{above}<!-- measured: loop -->\n{table}\n<!-- end -->{below}"),
        )
        .unwrap();
    }
}
