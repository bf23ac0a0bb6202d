//! The recipes of docs/ci.md and the README, as they stand there: in a healthy network, in one whose proxy resets, stalls and
//! cuts (plain go beside), and with an answer that must stay red. What a release consists of, used where it is to be used.
//!
//! `make test-dropin` prepares a folder with a release, images and tools, and names it in `__GOFIX_TEST_DROPIN`; without it
//! these tests have nothing to run with and say so. Of a recipe only OWNER and the place of the release are filled in.

mod buildkit;
mod devcontainer;
mod shells;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use self::buildkit::BuildKit;
use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Framing, Kind, Module, Packed, Rule, When};

use crate::support::{Outcome, Run, Sandbox, certificate, real_go, tree};

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

/// A file of the repository.
fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// A recipe of docs/ci.md.
fn recipe(name: &str) -> String {
    let text = document("docs/ci.md");
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
    // What the standard library takes to compile is nobody's doing.
    let sandbox = Sandbox::new().shared_build_cache();
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
        let start = std::time::Instant::now();
        let (sandbox, proxy) = (project(line), proxy(line));
        let outcome = run(&sandbox, &proxy, true);
        let mut beside = String::new();
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        match line {
            Line::Healthy => {
                assert!(outcome.status.success(), "{name}, {line:?}: {outcome}");
                assert!(!said.contains("gofix: go "), "{name}, {line:?}: {outcome}");
            }
            Line::Bad => {
                assert!(outcome.status.success(), "{name}, {line:?}: {outcome}");
                assert!(
                    said.contains("gofix: go mod download succeeded; "),
                    "{name}, {line:?}: {outcome}"
                );
                let (sandbox, proxy) = (project(line), self::proxy(line));
                let plain = run(&sandbox, &proxy, false);
                // 126 and 127 would be a shell that finds no go.
                assert!(
                    !matches!(plain.code(), Some(0 | 126 | 127)),
                    "{name}, plain go: {plain}"
                );
                beside = format!(" (plain go: {})", plain.status);
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
        let seconds = start.elapsed().as_secs();
        say(&format!("{name}: {line:?} as it should be{beside}, {seconds} s"));
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
    fs::write(sandbox.path("netrc"), "machine example.com login a password b\n").unwrap();
    let secret = format!("id=netrc,src={}", sandbox.path("netrc").display());
    let more = ["--secret", &secret].map(ToOwned::to_owned);
    build_folder(place, sandbox, proxy, dockerfile, &sandbox.project(), &more)
}

fn build_folder(
    place: &Place,
    sandbox: &Sandbox,
    proxy: &FaultProxy,
    dockerfile: &str,
    folder: &Path,
    more: &[String],
) -> Outcome {
    fs::write(sandbox.path("Dockerfile"), dockerfile).unwrap();
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
    let volumes = [
        (sandbox.path("go-env"), "/root/.config/go:ro"),
        (sandbox.path("gofix-etc"), "/etc/gofix:ro"),
        (place.0.join("gocache"), "/root/.cache/go-build"),
    ];
    let volumes = volumes.map(|(from, to)| format!("{}:{to}", from.display()));
    buildah(place, sandbox)
        .args(["bud", "--isolation", "chroot", "--network", "host"])
        .args(["--pull-never", "--no-cache"])
        .args(more)
        .args(volumes.iter().flat_map(|pair| ["-v", pair]))
        .args(["-f".into(), sandbox.path("Dockerfile"), folder.to_owned()])
        .output()
}

/// The Dockerfile without the line of gofix.
fn without_the_line(dockerfile: &str) -> String {
    let lines = dockerfile.lines().filter(|line| !line.contains("owner/gofix"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The same, with a limit for what has no clock of its own. What it takes to run is a fraction of that.
fn plain(dockerfile: &str) -> String {
    without_the_line(dockerfile).replace("go mod download", "timeout 10 go mod download")
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

/// The second image of the Dockerfile at the root.
#[test]
fn golang_with_gofix_in_it() {
    let Some(place) = Place::prepared().filter(|place| place.has("debian")) else {
        return;
    };
    let text = without_the_line(&recipe("docker"));
    three_times("golang with gofix in it", &|sandbox, proxy, with_gofix| {
        let text = match with_gofix {
            true => text.replace("golang:1.26-bookworm", "owner/gofix:golang"),
            false => plain(&text),
        };
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

/// The workflow with gofix's step or without it.
fn workflow(place: &Place, name: &str, sandbox: &Sandbox, proxy: &FaultProxy, with_gofix: bool) -> Outcome {
    let mut text = recipe(name);
    if !with_gofix {
        text = text.replace("      - uses: owner/gofix@v1\n", "");
        text = text.replace("go mod download", "timeout 10 go mod download");
    }
    act(place, sandbox, proxy, &text)
}

/// Runs a workflow on this machine, as act does it without containers.
fn act(place: &Place, sandbox: &Sandbox, proxy: &FaultProxy, workflow: &str) -> Outcome {
    fs::create_dir_all(sandbox.project().join(".github/workflows")).unwrap();
    sandbox.write(".github/workflows/ci.yml", workflow);
    git(sandbox);
    let local = |action: &str, folder: &str| format!("{action}={}", place.0.join(folder).display());
    let go = real_go().parent().unwrap().display();
    sandbox
        .run(place.0.join("bin/act"))
        .args(["push", "-P", "ubuntu-latest=-self-hosted"])
        .args(["-W", ".github/workflows/ci.yml"])
        // Its servers for caches and artefacts are nobody's here, and there is no address but loopback to be found.
        .args(["--cache-server-addr", "127.0.0.1"])
        .args(["--artifact-server-addr", "127.0.0.1"])
        .args(["--container-daemon-socket", "-"])
        .args(["--local-repository", &local("actions/setup-go@v7", "stub")])
        .args(["--local-repository", &local("actions/upload-artifact@v7", "stub")])
        .args(["--local-repository", &local("owner/gofix@v1", "action")])
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
        workflow(&place, "github", sandbox, proxy, with_gofix)
    });
}

/// The outputs, the variables that the inputs set, and the report with what happened on a bad line.
#[test]
fn what_the_action_gives() {
    let Some(place) = Place::prepared().filter(|place| place.has("act")) else {
        return;
    };
    let (sandbox, proxy) = (project(Line::Bad), proxy(Line::Bad));
    let outcome = act(
        &place,
        &sandbox,
        &proxy,
        r#"on: [push]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v7
      - uses: owner/gofix@v1
        id: gofix
        with:
          budget: 8m
          relay: "on"
          routes: http://127.0.0.1:9
          report: ${{ github.workspace }}/gofix.jsonl
      - run: go mod download
      - env:
          VERSION: ${{ steps.gofix.outputs.version }}
          PROGRAM: ${{ steps.gofix.outputs.gofix }}
          SHIM: ${{ steps.gofix.outputs.shim }}
          REPORT: ${{ steps.gofix.outputs.report }}
        run: |
          test "$("$PROGRAM" --version)" = "gofix $VERSION" && echo "the version is that of the program"
          test "$(command -v go)" = "$SHIM" && echo "the shim is the go in PATH"
          test "$REPORT" = "$GOFIX_REPORT" && echo "the report is where it was asked for"
          echo "set: $GOFIX_BUDGET $GOFIX_RELAY $GOFIX_ROUTES"
          "$PROGRAM" report "$REPORT"
          cat "$REPORT"
"#,
    );
    assert!(outcome.status.success(), "{outcome}");
    for said in [
        "the version is that of the program",
        "the shim is the go in PATH",
        "the report is where it was asked for",
        "set: 8m on http://127.0.0.1:9",
        "example.com/m0",
    ] {
        assert!(outcome.stdout.contains(said), "{said}: {outcome}");
    }
    let events = outcome
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(&line[line.find('{')?..]).ok())
        .filter(|event| event.get("event").is_some());
    assert!(events.count() > 1, "{outcome}");
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
            text = jobs.replace("go mod download", "timeout 10 go mod download");
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

// --- the lines of the tables ------------------------------------------------------------------------------------------

/// What stands between backticks in the tables of a document.
fn in_tables(name: &str) -> Vec<String> {
    let rows = document(name);
    let rows = rows.lines().filter(|line| line.starts_with('|'));
    rows.flat_map(|row| {
        row.split('`')
            .skip(1)
            .step_by(2)
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    })
    .collect()
}

/// So the recipes' tests have run the lines, too.
#[test]
fn the_lines_of_the_tables_are_those_of_the_recipes() {
    for name in ["README.md", "README.zh-CN.md", "docs/ci.md"] {
        for (begin, of) in [("COPY --from=", "docker"), ("- uses: ", "github")] {
            let lines: Vec<String> = in_tables(name)
                .into_iter()
                .filter(|line| line.starts_with(begin))
                .collect();
            assert_eq!(lines.len(), 1, "{name}: {lines:?}");
            let line = lines[0].replace("OWNER", "owner");
            assert!(
                recipe(of).lines().any(|of_recipe| of_recipe.trim() == line),
                "{name}: the recipe {of} has no line {line}"
            );
        }
    }
    let gitlab = recipe("gitlab");
    assert!(gitlab.starts_with("include:\n  - component: "), "{gitlab}");
}

/// The line that installs gofix on a machine, run on this one: where that is root's, on a copy of /usr/local.
#[test]
fn the_readmes_lines() {
    let Some(place) = Place::prepared().filter(|place| place.has("machine")) else {
        return;
    };
    let releases = format!("file://{}", place.0.join("site").display());
    let lines: Vec<String> = in_tables("README.md")
        .into_iter()
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = lines[0].replace("https://github.com/OWNER/gofix/releases", &releases);
    three_times("the README's line", &|sandbox, proxy, with_gofix| {
        let user = nix::unistd::geteuid();
        let (upper, work) = (sandbox.path("upper"), sandbox.path("work"));
        fs::create_dir_all(&upper).unwrap();
        fs::create_dir_all(&work).unwrap();
        let own = format!(
            "mount -t overlay overlay -o lowerdir=/usr/local,upperdir={},workdir={} /usr/local && ",
            upper.display(),
            work.display()
        );
        let own = if user.is_root() { own } else { String::new() };
        let line = if with_gofix { line.as_str() } else { "true" };
        let script = format!(
            "{own} {{ {line}; }} && PATH=$(sh -lc 'echo $PATH'):$PATH && timeout 30 go mod download && go test ./..."
        );
        let go = real_go().parent().unwrap().display();
        let shell = if user.is_root() {
            vec!["unshare", "--mount", "sh", "-c", &script]
        } else {
            vec!["sh", "-c", &script]
        };
        sandbox
            .run("env")
            .args(shell)
            .env(
                "PATH",
                format!("{go}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),
            )
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
                text.replace("$(GO) mod", "timeout 10 $(GO) mod")
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

// --- the release, where it is to be used ------------------------------------------------------------------------------

/// The userlands that have been prepared: scratch, busybox, Debian's.
fn userlands(place: &Place, debian_only: bool) -> Vec<PathBuf> {
    let roots = fs::read_dir(place.0.join("roots")).unwrap();
    let mut roots: Vec<PathBuf> = roots.map(|root| root.unwrap().path()).collect();
    roots.retain(|root| !debian_only || root.join("usr/bin/dpkg").exists());
    roots.sort();
    roots
}

/// Runs a program in a userland with this PATH there, and with /proc as a container has it.
fn inside(sandbox: &Sandbox, root: &Path, path: &str, words: &[&str]) -> Run {
    inside_with(sandbox, root, "true", path, words)
}

/// The same after further mounts. In their commands $0 is the userland.
fn inside_with(sandbox: &Sandbox, root: &Path, mounts: &str, path: &str, words: &[&str]) -> Run {
    let script = format!(
        "mount -t proc proc \"$0/proc\" && {mounts} && path=$1 chroot=$(command -v chroot) && shift \
         && PATH=$path exec \"$chroot\" \"$0\" \"$@\""
    );
    sandbox
        .run("timeout")
        .args(["20", "unshare", "--mount", "sh", "-c", &script])
        .args([root])
        .args([path])
        .args(words)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("TMPDIR", "/tmp")
        .env("GOPATH", "/go")
        .env("GOMODCACHE", "/app/modcache")
        .env("GOFLAGS", "-modcacherw")
        .env("GOFIX_STALL_MS", "1500")
}

/// Puts the project into the userland, as /app.
fn bring_project(sandbox: &Sandbox, root: &Path) {
    let app = root.join("app");
    let _ = fs::remove_dir_all(&app);
    let copied = sandbox
        .run("cp")
        .args(["-R"])
        .args([sandbox.project(), app])
        .output();
    copied.expect_code(0);
}

/// Puts both programs into the userland, as /gofix.
fn bring_programs(place: &Place, root: &Path) {
    let programs = root.join("gofix");
    let _ = fs::remove_dir_all(&programs);
    fs::create_dir(&programs).unwrap();
    for program in ["go", "gofix"] {
        let from = place.0.join("programs/lib/gofix").join(program);
        fs::copy(from, programs.join(program)).unwrap();
    }
}

#[test]
fn the_programs_run_in_every_userland() {
    let Some(place) = Place::prepared().filter(|place| place.has("chroot")) else {
        return;
    };
    for root in userlands(&place, false) {
        let name = format!("static, {}", root.file_name().unwrap().display());
        bring_programs(&place, &root);
        three_times(&name, &|sandbox, proxy, with_gofix| {
            bring_project(sandbox, &root);
            let go = if with_gofix {
                "/gofix/go"
            } else {
                "/usr/local/go/bin/go"
            };
            let path = "/gofix:/usr/local/go/bin";
            inside(sandbox, &root, path, &[go, "-C", "/app", "mod", "download"])
                .env("GOPROXY", proxy.url())
                .output()
        });
    }
}

/// PATH as Debian's login gives it to root, and go behind it.
const ROOTS_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin";

/// install.sh as root, with what each userland has of shells and tools: installed, used, removed. What is wrong is told in the
/// last line and leaves nothing behind.
#[test]
fn the_installer_in_every_userland() {
    let Some(place) = Place::prepared().filter(|place| place.has("release") && place.has("chroot")) else {
        return;
    };
    // scratch has no shell.
    let roots = userlands(&place, false)
        .into_iter()
        .filter(|root| root.join("bin/sh").exists());
    for root in roots {
        let name = root.file_name().unwrap().display().to_string();
        let sandbox = Sandbox::new();
        let release = root.join("release");
        let _ = fs::remove_dir_all(&release);
        fs::create_dir_all(&release).unwrap();
        fs::create_dir_all(root.join("small")).unwrap();
        for file in fs::read_dir(place.0.join("release")).unwrap() {
            let file = file.unwrap().path();
            let wanted = ["gz", "sh"]
                .map(Some)
                .contains(&file.extension().and_then(|end| end.to_str()));
            if wanted || file.ends_with("SHA256SUMS") {
                fs::copy(&file, release.join(file.file_name().unwrap())).unwrap();
            }
        }
        // Where go counts for its telemetry, files come and go.
        fs::create_dir_all(root.join("root/.config/go")).unwrap();
        let files = || {
            let script = "find /usr /etc /root /tmp /small \\( -path /usr/local/go -o -path /root/.config/go \\) -prune \
                          -o -print | sort; cat /root/.[bp]*";
            inside(&sandbox, &root, ROOTS_PATH, &["sh", "-c", script])
                .output()
                .stdout
        };
        let install = |shell: &str, mounts: &str, words: &[&str]| {
            let all = [&[shell, "/release/install.sh", "--from", "/release"], words].concat();
            inside_with(&sandbox, &root, mounts, ROOTS_PATH, &all).output()
        };
        // A run that failed may have left it there.
        install("sh", "true", &["--uninstall"]);
        let before = files();
        for shell in ["sh", "bash"] {
            if !root.join("bin").join(shell).exists() {
                continue;
            }
            let installed = install(shell, "true", &[]);
            assert!(installed.status.success(), "{name}, {shell}: {installed}");
            if shell == "sh" {
                three_times(&format!("install.sh, {name}"), &|sandbox, proxy, with_gofix| {
                    bring_project(sandbox, &root);
                    let shims = if with_gofix {
                        "/root/.local/share/gofix/shims:"
                    } else {
                        ""
                    };
                    let words = ["env", "go", "-C", "/app", "mod", "download"];
                    inside(sandbox, &root, &format!("{shims}{ROOTS_PATH}"), &words)
                        .env("GOPROXY", proxy.url())
                        .output()
                });
            }
            let removed = install(shell, "true", &["--uninstall"]);
            assert!(removed.status.success(), "{name}, {shell}: {removed}");
            assert_eq!(files(), before, "{name}, {shell}");
        }
        let other = if cfg!(target_arch = "x86_64") {
            "arm64"
        } else {
            "amd64"
        };
        let mut wrong: Vec<(&str, &[&str], &str)> = vec![
            (
                "mount --bind -o ro \"$0/root\" \"$0/root\"",
                &[],
                "the shim could not be put in front of go; nothing was installed",
            ),
            (
                "mount -t tmpfs -o size=1m tmpfs \"$0/tmp\"",
                &[],
                "no room for gofix-",
            ),
            (
                "mount -t tmpfs -o size=6m tmpfs \"$0/tmp\"",
                &[],
                "cannot be unpacked",
            ),
            (
                "mount -t tmpfs -o size=1m tmpfs \"$0/small\"",
                &["--prefix", "/small"],
                "no room in /small/lib; nothing was installed",
            ),
        ];
        let foreign = ["--arch", other];
        if release.join(format!("gofix-linux-{other}.tar.gz")).exists() && !runs_foreign_programs() {
            wrong.push(("true", &foreign, "does not run on this machine"));
        }
        for (mounts, words, why) in wrong {
            // What a mount hides is looked for under it.
            let look = "sh /release/install.sh --from /release \"$@\"; status=$?; \
                        find /tmp /small -mindepth 1; exit $status";
            let all = [&["sh", "-c", look, "sh"], words].concat();
            let refused = inside_with(&sandbox, &root, mounts, ROOTS_PATH, &all).output();
            assert_eq!(refused.stdout, "", "{name}: {refused}");
            assert_eq!(refused.code(), Some(1), "{name}: {refused}");
            let last = refused.stderr.lines().last().unwrap_or_default();
            assert!(
                last.starts_with("gofix: ") && last.contains(why),
                "{name}, {why}: {refused}"
            );
            assert_eq!(files(), before, "{name}, {why}");
        }
        fs::remove_dir_all(release).unwrap();
        fs::remove_dir(root.join("small")).unwrap();
        say(&format!(
            "install.sh, {name}: installed, used, removed; refused where it must"
        ));
    }
}

/// This machine's kernel hands programs of another architecture to an emulator.
fn runs_foreign_programs() -> bool {
    fs::read_dir("/proc/sys/fs/binfmt_misc").is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("qemu-"))
    })
}

/// Names come from /etc/hosts and roots from where the system keeps them, for the relay as for go, with no C library's files.
#[test]
fn names_and_roots_are_those_of_the_userland() {
    let Some(place) = Place::prepared().filter(|place| place.has("chroot")) else {
        return;
    };
    let (tls, pem) = certificate();
    for root in userlands(&place, false) {
        let name = root.file_name().unwrap().display();
        bring_programs(&place, &root);
        let sandbox = project(Line::Healthy);
        bring_project(&sandbox, &root);
        let proxy = FaultProxy::builder(catalogue()).tls(tls.clone()).start().unwrap();
        let mut mounts = "true".to_owned();
        for (file, content) in [
            ("etc/hosts", "127.0.0.1 proxy.test\n"),
            ("etc/ssl/certs/ca-certificates.crt", pem.as_str()),
        ] {
            let place = root.join(file);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::File::options()
                .append(true)
                .create(true)
                .open(&place)
                .unwrap();
            let own = sandbox.path(place.file_name().unwrap());
            fs::write(&own, content).unwrap();
            mounts += &format!(" && mount --bind {} \"$0/{file}\"", own.display());
        }
        let words = ["/gofix/go", "-C", "/app", "mod", "download"];
        let outcome = inside_with(&sandbox, &root, &mounts, "/gofix:/usr/local/go/bin", &words)
            .env("GOPROXY", proxy.url_as("proxy.test"))
            .env("GOFIX_RELAY", "on")
            .env("GOFIX_REPORT", "/app/report.jsonl")
            .output();
        assert!(outcome.status.success(), "{name}: {outcome}");
        // The relay has asked, so its own client found the name and trusted the root.
        let report = fs::read_to_string(root.join("app/report.jsonl")).unwrap();
        let asked = report
            .lines()
            .filter(|line| line.contains("\"upstream_request\""));
        assert_eq!(asked.count(), proxy.requests().len(), "{name}: {report}");
        assert!(!proxy.requests().is_empty(), "{name}: {outcome}");
        say(&format!("names and roots, {name}: as go finds them"));
    }
}

/// Installed, used, removed and purged; afterwards every file is there that was, and no other.
#[test]
fn the_deb() {
    let Some(place) = Place::prepared().filter(|place| place.has("release") && place.has("chroot")) else {
        return;
    };
    let arch = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    };
    let deb = format!("gofix_{}_{arch}.deb", env!("CARGO_PKG_VERSION"));
    let readme = format!("gofix_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
    assert!(in_tables("README.md").contains(&format!("dpkg -i {readme}")));
    for root in userlands(&place, true) {
        let sandbox = Sandbox::new();
        let name = root.file_name().unwrap().display().to_string();
        fs::copy(place.0.join("release").join(&deb), root.join(&deb)).unwrap();
        let path = &format!("/usr/lib/gofix/shims:{ROOTS_PATH}");
        let dpkg = |option: &str, what: &str| {
            let done = inside(&sandbox, &root, path, &["dpkg", option, what])
                .env("DEBIAN_FRONTEND", "noninteractive")
                .output();
            assert!(done.status.success(), "{name}: dpkg {option}: {done}");
        };
        let files = || {
            let script = "find /usr /etc /opt /srv -path /usr/local/go -prune -o -print | sort";
            inside(&sandbox, &root, path, &["sh", "-c", script])
                .output()
                .stdout
        };
        // A run that failed may have left it there.
        dpkg("-P", "gofix");
        let before = files();
        dpkg("-i", &format!("/{deb}"));
        let run = |words: &[&str]| inside(&sandbox, &root, path, words).output();
        let status = run(&["gofix", "shim", "status", "--json"]);
        assert!(
            status.stdout.contains("\"shim\": \"/usr/lib/gofix/shims/go\""),
            "{name}: {status}"
        );
        assert!(
            run(&["sh", "-c", "zcat /usr/share/man/man1/gofix.1.gz"])
                .stdout
                .contains(".TH GOFIX")
        );
        three_times(&format!("deb, {name}"), &|sandbox, proxy, with_gofix| {
            bring_project(sandbox, &root);
            let path = if with_gofix { path } else { "/usr/local/go/bin" };
            let words = ["/usr/bin/env", "go", "-C", "/app", "mod", "download"];
            inside(sandbox, &root, path, &words)
                .env("GOPROXY", proxy.url())
                .output()
        });
        fs::write(root.join("etc/gofix/config.toml"), "budget = \"9m\"\n").unwrap();
        dpkg("-i", &format!("/{deb}"));
        dpkg("-r", "gofix");
        assert_eq!(
            fs::read_to_string(root.join("etc/gofix/config.toml")).unwrap(),
            "budget = \"9m\"\n",
            "{name}: what somebody has set stays"
        );
        dpkg("-P", "gofix");
        assert_eq!(files(), before, "{name}");
        say(&format!("deb, {name}: installed, used, removed"));
    }
}

#[test]
fn the_rpm() {
    let Some(place) = Place::prepared().filter(|place| place.has("rpm")) else {
        return;
    };
    let arch = std::env::consts::ARCH;
    let rpm = place
        .0
        .join("release")
        .join(format!("gofix-{}-1.{arch}.rpm", env!("CARGO_PKG_VERSION")));
    let sandbox = Sandbox::new();
    let query = |words: &[&str]| {
        let done = sandbox.run("rpm").args(words).args([&rpm]).output();
        assert!(done.status.success(), "rpm {words:?}: {done}");
        done.stdout
    };
    query(&["-K", "--nosignature"]);
    assert_eq!(query(&["-qp", "--configfiles"]), "/etc/gofix/config.toml\n");
    assert_eq!(query(&["-qp", "--scripts"]), "");
    assert_eq!(
        query(&["-qp", "--queryformat", "%{NAME} %{VERSION} %{LICENSE}"]),
        format!("gofix {} MIT OR Apache-2.0", env!("CARGO_PKG_VERSION"))
    );
    let list = query(&["-qpl"]);
    for file in [
        "/usr/bin/gofix",
        "/usr/lib/gofix/go",
        "/usr/lib/gofix/gofix",
        "/usr/lib/gofix/shims/go",
        "/usr/share/bash-completion/completions/gofix",
        "/usr/share/doc/gofix/copyright",
        "/usr/share/man/man1/gofix.1.gz",
    ] {
        assert!(list.lines().any(|line| line == file), "no {file} in {list}");
    }
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let root = sandbox.path("root");
    fs::create_dir(&root).unwrap();
    let installed = sandbox
        .run("rpm")
        .args(["--root"])
        .args([&root])
        .args(["--nodeps", "-i"])
        .args([&rpm])
        .output();
    assert!(installed.status.success(), "{installed}");
    let version = sandbox
        .run(root.join("usr/lib/gofix/gofix"))
        .args(["--version"])
        .output();
    assert_eq!(version.stdout, format!("gofix {}\n", env!("CARGO_PKG_VERSION")));
    let removed = sandbox
        .run("rpm")
        .args(["--root"])
        .args([&root])
        .args(["--nodeps", "-e", "gofix"])
        .output();
    assert!(removed.status.success(), "{removed}");
    for folder in ["usr/lib/gofix", "usr/share/doc/gofix", "etc/gofix"] {
        assert!(!root.join(folder).exists(), "{folder} is left behind");
    }
}

/// The programs for ARM under qemu, in front of this machine's go: to gofix that is any program.
#[test]
fn the_programs_for_arm() {
    let Some(place) = Place::prepared().filter(|place| place.has("arm64")) else {
        return;
    };
    let programs = place.0.join("arm64/lib/gofix");
    three_times("arm64", &|sandbox, proxy, with_gofix| {
        let gofix = [
            "qemu-aarch64-static".into(),
            programs.join("gofix").into_os_string(),
            "go".into(),
        ];
        let words = if with_gofix { &gofix[..] } else { &["go".into()] };
        sandbox
            .run("timeout")
            .args(["60"])
            .args(words)
            .args(["mod", "download"])
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", real_go().parent().unwrap().display()),
            )
            .env("GOPROXY", proxy.url())
            .env("GOFIX_STALL_MS", "1500")
            .output()
    });
    let sandbox = Sandbox::new();
    let passed = sandbox
        .run("qemu-aarch64-static")
        .args([programs.join("go")])
        .args(["version"])
        .output();
    assert_eq!(
        passed.stdout,
        sandbox.plain_go(&["version"]).output().stdout,
        "{passed}"
    );
}

// --- a real project ---------------------------------------------------------------------------------------------------

/// The modules of a module cache, as the proxy served them that they came from.
fn modules_of(cache: &Path) -> Catalogue {
    let mut catalogue = Catalogue::new();
    let mut folders = vec![cache.join("cache/download")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                folders.push(file);
            } else if file.extension().is_some_and(|extension| extension == "mod") {
                let path = folder
                    .parent()
                    .unwrap()
                    .strip_prefix(cache.join("cache/download"));
                let version = file.file_stem().unwrap().to_str().unwrap();
                let named = |extension: &str| fs::read(folder.join(format!("{version}.{extension}")));
                let info = format!("{{\"Version\":\"{}\"}}", unescaped(version));
                catalogue = catalogue.with_packed(Packed {
                    path: unescaped(path.unwrap().to_str().unwrap()),
                    version: unescaped(version),
                    info: named("info").unwrap_or_else(|_| info.into()).into(),
                    go_mod: named("mod").unwrap().into(),
                    zip: named("zip").unwrap_or_default().into(),
                    zip_hash: String::new(),
                    mod_hash: String::new(),
                });
            }
        }
    }
    catalogue
}

/// `!a` stands for `A` in the names of a module cache.
fn unescaped(name: &str) -> String {
    let mut parts = name.split('!');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| name + &part[..1].to_uppercase() + &part[1..])
}

/// A project that many run, its Dockerfile as it is and with the line. With BENCH_WRITE=1 the table of docs/ci.md is written.
#[test]
fn a_real_projects_image() {
    const TIMES: u64 = 20;
    let Some(place) = Place::prepared().filter(|place| place.has("project")) else {
        return;
    };
    let project = place.0.join("real/project");
    let catalogue = std::sync::Arc::new(modules_of(&place.0.join("real/modcache")));
    let plain = fs::read_to_string(project.join("Dockerfile")).unwrap();
    let from = plain
        .lines()
        .find(|line| line.starts_with("FROM golang:"))
        .unwrap();
    let line = recipe("docker");
    let line = line
        .lines()
        .find(|line| line.starts_with("COPY --from="))
        .unwrap();
    let with_line = plain.replacen(from, &format!("{from}\n{line}"), 1);
    let arch = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    };
    let arguments = ["--build-arg".to_owned(), format!("ARCH={arch}")];
    let once = |dockerfile: &str, rules: Vec<Rule>| {
        let sandbox = Sandbox::new();
        let proxy = FaultProxy::builder(std::sync::Arc::clone(&catalogue))
            .rules(rules)
            .start()
            .unwrap();
        let start = std::time::Instant::now();
        let outcome = build_folder(&place, &sandbox, &proxy, dockerfile, &project, &arguments);
        (outcome, start.elapsed().as_secs_f64(), proxy.requests().len())
    };
    // The first one compiles what all have in common.
    let (outcome, ..) = once(&plain, Vec::new());
    assert!(outcome.status.success(), "on a healthy line: {outcome}");

    let mut rows = Vec::new();
    let mut well = Vec::new();
    for (name, dockerfile) in [("as it is", &plain), ("with the line", &with_line)] {
        let (outcome, healthy, requests) = once(dockerfile, Vec::new());
        assert!(outcome.status.success(), "{name}, on a healthy line: {outcome}");
        let mut seconds = Vec::new();
        let mut ended_well = 0;
        for seed in 1..=TIMES {
            let (outcome, took, _) = once(dockerfile, Rule::mixed(0.05, seed));
            let good = outcome.status.success();
            ended_well += u64::from(good);
            seconds.push(took);
            say(&format!(
                "{name}, {seed}: {} after {took:.0} s",
                if good { "built" } else { "failed" }
            ));
            if !good && dockerfile == &with_line {
                say(&outcome.to_string());
            }
        }
        rows.push(format!(
            "| {name} | {requests} | {healthy:.0} s | {ended_well} of {TIMES} | {:.0} s |\n",
            median(seconds)
        ));
        well.push(ended_well);
    }
    let table = format!(
        "\n| Dockerfile | requests | healthy | built with 5 % failing | median |\n|---|---|---|---|---|\n{}",
        rows.concat()
    );
    say(&table);
    write_measured("image", &table);
    assert!(well[0] <= TIMES / 10, "plain go: {table}");
    assert_eq!(well[1], TIMES, "{table}");
}

/// What the line adds to the time of a build on a healthy line: builds without it and with it in turn, with nothing in their
/// caches. With BENCH_WRITE=1 the table of docs/ci.md is written.
#[test]
fn what_the_line_adds() {
    const PAIRS: usize = 10;
    let Some(place) = Place::prepared().filter(|place| place.has("buildah")) else {
        return;
    };
    let home = Sandbox::new();
    let kit = BuildKit::start(&home);
    type Builder<'a> = &'a dyn Fn(&Sandbox, &FaultProxy, &str) -> Outcome;
    let of_buildah: Builder<'_> = &|sandbox, proxy, text| build(&place, sandbox, proxy, text);
    let of_buildkit: Option<Builder<'_>> = match &kit {
        Some(kit) => Some(&|sandbox, proxy, text| kit.build(sandbox, &BuildKit::settings(proxy), text)),
        None => None,
    };
    let with_line = recipe("docker");
    let without = without_the_line(&with_line);
    let mut table =
        String::from("\n| built by | without the line | with it | ratio | added |\n|---|---|---|---|---|\n");
    for (name, builder) in [("buildah", Some(of_buildah)), ("BuildKit", of_buildkit)] {
        let Some(builder) = builder else { continue };
        let once = |dockerfile: &str| {
            let (sandbox, proxy) = (project(Line::Healthy), proxy(Line::Healthy));
            let start = std::time::Instant::now();
            let outcome = builder(&sandbox, &proxy, dockerfile);
            assert!(outcome.status.success(), "{name}: {outcome}");
            start.elapsed().as_secs_f64()
        };
        // The first of each unpacks and compiles what all have in common.
        let pairs = (0..=PAIRS).map(|_| (once(&without), once(&with_line))).skip(1);
        let (before, after): (Vec<f64>, Vec<f64>) = pairs.unzip();
        let ratio = median(after.iter().zip(&before).map(|(after, before)| after / before));
        let added = median(after.iter().zip(&before).map(|(after, before)| after - before));
        // Rounded to -0.0 it would look like a gain.
        let added = (added * 10.0).round() / 10.0 + 0.0;
        table.push_str(&format!(
            "| {name} | {:.1} s | {:.1} s | {ratio:.2} | {added:+.1} s |\n",
            median(before),
            median(after)
        ));
    }
    say(&table);
    write_measured("line", &table);
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// With BENCH_WRITE=1, puts a table into its place in docs/ci.md.
fn write_measured(name: &str, table: &str) {
    if std::env::var_os("BENCH_WRITE").is_none() {
        return;
    }
    let text = document("docs/ci.md");
    let mark = format!("<!-- measured: {name} -->\n");
    let (above, rest) = text.split_once(&mark).unwrap();
    let (_, below) = rest.split_once("<!-- end -->").unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md");
    fs::write(file, format!("{above}{mark}{table}\n<!-- end -->{below}")).unwrap();
}

// --- before and after -------------------------------------------------------------------------------------------------

/// The loop that docs/ci.md opens with.
fn the_loop() -> String {
    let text = document("docs/ci.md");
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
    write_measured("loop", &table);
}
