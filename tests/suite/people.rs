//! What a person meets: the command line, the configuration, the routes, the shim's place, the documents.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Outcome, Run, Sandbox, gofix_exe, real_go, tree};

fn config_file(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("home/.config/gofix/config.toml")
}

fn write_config(sandbox: &Sandbox, text: &str) {
    let file = config_file(sandbox);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}\n{outcome}"))
}

// --- the command line -------------------------------------------------------------------------------------------------

#[test]
fn a_go_command_gets_its_arguments_untouched() {
    let sandbox = Sandbox::new();
    sandbox.write("go.mod", "module example.com/main\n\ngo 1.21\n");
    let bytes = |run: Run, args: &[&OsStr]| {
        let outcome = run.args(args).command.output().unwrap();
        (outcome.status.code(), outcome.stdout, outcome.stderr)
    };
    fn words(text: &[&'static str]) -> Vec<&'static OsStr> {
        text.iter().map(|word| OsStr::new(*word)).collect()
    }
    let odd = OsStr::from_bytes(b"./\xff\xfe");
    for (short, long) in [
        (words(&["tidy", "-h"]), words(&["mod", "tidy", "-h"])),
        (
            words(&["download", "-json", "--", "-x"]),
            words(&["mod", "download", "-json", "--", "-x"]),
        ),
        (
            words(&["list", "-m", "-f", "{{.Path}} --help"]),
            words(&["list", "-m", "-f", "{{.Path}} --help"]),
        ),
        (
            words(&["go", "env", "GOFLAGS", "GOPROXY"]),
            words(&["env", "GOFLAGS", "GOPROXY"]),
        ),
        (words(&["go", "--version"]), words(&["--version"])),
        (words(&["go"]), words(&[])),
        (words(&["go", "--"]), words(&["--"])),
        (vec![OsStr::new("list"), odd], vec![OsStr::new("list"), odd]),
        (
            vec![OsStr::new("go"), OsStr::new("list"), odd],
            vec![OsStr::new("list"), odd],
        ),
    ] {
        assert_eq!(
            bytes(sandbox.gofix(&[]), &short),
            bytes(sandbox.plain_go(&[]), &long),
            "{short:?}"
        );
    }
}

#[test]
fn settings_stand_before_the_go_command() {
    let sandbox = Sandbox::new();
    sandbox.write("go.mod", "module example.com/main\n\ngo 1.21\n");
    let tidy = sandbox
        .gofix(&["--budget", "3m", "--widen=never", "tidy"])
        .output()
        .expect_code(0);
    assert_eq!((tidy.stdout.as_str(), tidy.stderr.as_str()), ("", tidy_words()));
    let wrong = sandbox
        .gofix(&["--budget", "soon", "tidy"])
        .output()
        .expect_code(2);
    assert_eq!(
        wrong.stderr,
        "gofix: --budget: `soon` is not a duration; write `10m`, `1h30m`, `90s`, or plain seconds\n"
    );
    let shown = json(
        &sandbox
            .gofix(&["--retry-count", "7", "config", "--json"])
            .output()
            .expect_code(0),
    );
    assert_eq!(shown["settings"]["retry_count"]["value"], 7);
    assert_eq!(
        shown["settings"]["retry_count"]["origin"]["name"],
        "--retry-count"
    );
}

/// What `go mod tidy` says about a module without packages.
fn tidy_words() -> &'static str {
    "go: warning: \"all\" matched no packages\n"
}

#[test]
fn it_says_that_it_is_not_go_fix() {
    let sandbox = Sandbox::new();
    for word in ["./...", ".", "main.go", "example.com/x/..."] {
        let outcome = sandbox.gofix(&[word]).output().expect_code(2);
        assert_eq!(outcome.stdout, "");
        assert!(
            outcome
                .stderr
                .contains(&format!("gofix: for Go's own fixer, type: go fix {word}\n")),
            "{outcome}"
        );
    }
    let outcome = sandbox.gofix(&["fmt"]).output().expect_code(2);
    assert_eq!(
        outcome.stderr,
        "gofix: gofix adds nothing to `go fmt`; type: go fmt (or gofix go fmt)\n"
    );
    let outcome = sandbox.gofix(&["tiddy"]).output().expect_code(2);
    assert!(outcome.stderr.contains("'tidy'"), "{outcome}");
    assert_eq!(
        outcome.gofix_lines().len(),
        outcome.stderr.lines().count(),
        "{outcome}"
    );
}

#[test]
fn help_teaches_and_goes_to_stdout() {
    let sandbox = Sandbox::new();
    for args in [&["--help"][..], &["-h"], &["help"]] {
        let help = sandbox.gofix(args).output().expect_code(0);
        assert_eq!(help.stderr, "");
        assert!(help.stdout.contains("\nExamples:\n  gofix tidy "), "{help}");
        assert!(!help.stdout.contains('\x1b'), "no colour into a pipe");
    }
    let nothing = sandbox.gofix(&[]).output().expect_code(2);
    assert_eq!(nothing.stdout, "");
    assert!(nothing.stderr.contains("Usage: gofix"), "{nothing}");
    for command in [
        "doctor",
        "explain",
        "routes",
        "cache",
        "shim",
        "rehearse",
        "report",
        "config",
        "completions",
        "man",
    ] {
        let help = sandbox.gofix(&["help", command]).output().expect_code(0);
        assert!(help.stdout.contains("Usage: gofix"), "{help}");
    }
    let version = sandbox.gofix(&["--version"]).output().expect_code(0);
    assert_eq!(version.stdout, format!("gofix {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_went_away_is_no_trouble() {
    let sandbox = Sandbox::new();
    let (read, write) = nix::unistd::pipe().unwrap();
    drop(read);
    let mut run = sandbox.gofix(&["--help"]);
    run.command.stdout(Stdio::from(write)).stderr(Stdio::piped());
    let outcome = run.command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&outcome.stderr), "");
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let mut run = sandbox.gofix(&["config"]);
    run.command.stdout(full()).stderr(full());
    assert_eq!(run.command.status().unwrap().code(), Some(0));
}

// --- the configuration ------------------------------------------------------------------------------------------------

#[test]
fn a_mistake_in_the_configuration_is_a_warning_and_for_check_an_error() {
    let sandbox = Sandbox::new();
    sandbox.write("go.mod", "module example.com/main\n\ngo 1.21\n");
    sandbox.gofix(&["config", "check"]).output().expect_code(0);
    write_config(&sandbox, "# mine\nretry_cuont = 4\nbudget = \"1h\"\n");
    let file = config_file(&sandbox);
    let complaint = format!(
        "{}:2: retry_cuont: no such key; did you mean `retry_count`?\n",
        file.display()
    );
    let check = sandbox.gofix(&["config", "check"]).output().expect_code(1);
    assert_eq!(
        (check.stdout.as_str(), check.stderr),
        ("", format!("gofix: error: {complaint}"))
    );
    let check = json(
        &sandbox
            .gofix(&["config", "check", "--json"])
            .output()
            .expect_code(1),
    );
    assert_eq!(
        (&check["ok"], &check["errors"][0]["key"]),
        (&Value::Bool(false), &"retry_cuont".into())
    );
    // With GOPROXY=off gofix would stand aside before it reads anything.
    let tidy = sandbox
        .gofix(&["tidy"])
        .env("GOPROXY", "http://127.0.0.1:1")
        .output()
        .expect_code(0);
    assert_eq!(
        tidy.stderr,
        format!("gofix: warning: {complaint}{}", tidy_words())
    );
    let show = sandbox.gofix(&["config"]).output().expect_code(0);
    let line = show
        .stdout
        .lines()
        .find(|line| line.starts_with("budget"))
        .unwrap();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["budget", "1h", &format!("{}:3", file.display())]
    );
    let path = sandbox.gofix(&["config", "path"]).output().expect_code(0);
    assert_eq!(path.stdout, format!("{}\n", file.display()));
}

#[test]
fn a_project_has_no_say() {
    let sandbox = Sandbox::new();
    for name in [
        "gofix.toml",
        ".gofix.toml",
        "config.toml",
        ".config/gofix/config.toml",
    ] {
        sandbox.write(name, "retry_count = 99\n");
    }
    let show = sandbox
        .gofix(&["config", "--json"])
        .env("GOFIX_CONFIG", "gofix.toml")
        .output()
        .expect_code(0);
    assert_eq!(json(&show)["settings"]["retry_count"]["value"], 3);
    assert_eq!(json(&show)["warnings"][0]["place"], "GOFIX_CONFIG");
}

// --- routes -----------------------------------------------------------------------------------------------------------

const COMMENTED: &str = "\
# What I want of gofix.

budget = \"5m\" # enough

# The routes, best first.
routes = [
    # the office
    \"https://proxy.office.example\",
    \"https://goproxy.cn,direct\", # far away
]

# The end.
log = \"normal\"
";

#[test]
fn routes_change_only_what_they_are_asked_to() {
    let sandbox = Sandbox::new();
    write_config(&sandbox, COMMENTED);
    let text = || fs::read_to_string(config_file(&sandbox)).unwrap();
    let routes = |args: &[&str]| sandbox.gofix(&[&["routes"], args].concat()).output();

    routes(&["add", "https://goproxy.io|direct"]).expect_code(0);
    assert_eq!(
        text(),
        COMMENTED.replace("far away\n]", "far away\n    \"https://goproxy.io|direct\",\n]")
    );
    routes(&["remove", "4"]).expect_code(0);
    assert_eq!(text(), COMMENTED);
    routes(&["remove", "https://goproxy.cn,direct"]).expect_code(0);
    assert_eq!(
        text(),
        COMMENTED.replace("    \"https://goproxy.cn,direct\", # far away\n", "")
    );
    routes(&["add", "https://goproxy.cn,direct"]).expect_code(0);
    assert_eq!(text(), COMMENTED.replace(" # far away", ""));
    write_config(&sandbox, COMMENTED);
    routes(&["remove", "2"]).expect_code(0);
    assert_eq!(
        text(),
        COMMENTED.replace("    # the office\n    \"https://proxy.office.example\",\n", "")
    );
    write_config(&sandbox, COMMENTED);
    routes(&["add", "--first", "cn"]).expect_code(0);
    assert_eq!(
        text(),
        COMMENTED.replace("routes = [\n", "routes = [\n    \"preset:cn\",\n")
    );
    let whole = routes(&["remove", "3"]).expect_code(1);
    assert!(whole.stderr.contains("gofix routes remove preset:cn"), "{whole}");
    routes(&["remove", "preset:cn"]).expect_code(0);
    assert_eq!(text(), COMMENTED);
    routes(&["use", "global"]).expect_code(0);
    let used = text();
    assert!(
        used.contains("# The routes, best first.\nroutes = [\"preset:global\"]\n"),
        "{used}"
    );
    assert!(
        used.starts_with("# What I want of gofix.\n\nbudget = \"5m\" # enough\n"),
        "{used}"
    );
    routes(&["reset"]).expect_code(0);
    let reset = text();
    assert!(
        !reset.contains("routes = ") && reset.contains("# The routes, best first.\n"),
        "{reset}"
    );
    assert!(reset.ends_with("\n# The end.\nlog = \"normal\"\n"), "{reset}");
}

#[test]
fn the_last_route_takes_the_file_with_it_if_nothing_else_is_in_it() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("home/.config")).unwrap();
    let before = tree(&sandbox.path("home"));
    sandbox
        .gofix(&["routes", "add", "https://goproxy.cn,direct"])
        .output()
        .expect_code(0);
    let file = config_file(&sandbox);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "routes = [\"https://goproxy.cn,direct\"]\n"
    );
    assert_eq!(
        fs::metadata(&file).unwrap().mode() & 0o777,
        0o600,
        "a list may hold a password"
    );
    sandbox.gofix(&["routes", "remove", "2"]).output().expect_code(0);
    assert!(!file.exists());
    assert_eq!(tree(&sandbox.path("home")), before);
}

#[test]
fn routes_say_who_learns_module_names_and_when_not() {
    let sandbox = Sandbox::new()
        .env("GOPROXY", "https://proxy.golang.org,direct")
        .env("GOSUMDB", "sum.golang.org");
    write_config(
        &sandbox,
        "routes = [\"preset:cn\", \"https://me:secret@proxy.office.example\"]\n",
    );
    let list = sandbox.gofix(&["routes"]).output().expect_code(0);
    assert_eq!(list.stderr, "");
    for line in [
        "1  https://proxy.golang.org,direct",
        "2  https://goproxy.cn,direct",
        "@proxy.office.example  ",
        "  https://goproxy.cn\n      the goproxy.cn project, at Qiniu Cloud; only after a fault of route 1\n",
        "      not one of the public proxies that gofix knows; only after a fault of route 4\n",
        "  direct\n      the servers that the modules themselves come from (github.com and others); for what those before it do not have",
        "  sum.golang.org\n",
    ] {
        assert!(list.stdout.contains(line), "{line}\n{list}");
    }
    let all = json(&sandbox.gofix(&["routes", "--json"]).output().expect_code(0));
    assert_eq!(
        (&all["narrow"], all["routes"].as_array().unwrap().len()),
        (&Value::Null, 5)
    );
    assert!(!all.to_string().contains("secret") && !list.stdout.contains("secret"));

    for (list, reason) in [
        ("direct", "a decision against proxies"),
        (
            "https://proxy.corp.example,direct",
            "https://proxy.corp.example is not a public proxy",
        ),
        ("https://proxy.golang.org,off", "holds `off`"),
    ] {
        let narrow = sandbox
            .gofix(&["routes"])
            .env("GOPROXY", list)
            .output()
            .expect_code(0);
        assert!(
            narrow.stdout.contains("Only route 1 is used") && narrow.stdout.contains(reason),
            "{narrow}"
        );
        assert!(!narrow.stdout.contains("Qiniu"), "{narrow}");
        let wide = sandbox
            .gofix(&["--widen", "always", "routes"])
            .env("GOPROXY", list)
            .output()
            .expect_code(0);
        assert!(wide.stdout.contains("Qiniu"), "{wide}");
    }
}

#[test]
fn a_route_counts_once_however_it_is_written() {
    let sandbox = Sandbox::new().env("GOPROXY", "https://proxy.golang.org,direct");
    write_config(&sandbox, "routes = [\"preset:global\", \"goproxy.cn,direct\"]\n");
    let list = sandbox.gofix(&["routes"]).output().expect_code(0);
    for line in [
        "1  https://proxy.golang.org,direct",
        "2  https://goproxy.io,direct",
        "3  https://goproxy.cn,direct",
        "-  https://proxy.golang.org,direct",
    ] {
        assert!(list.stdout.contains(line), "{line}\n{list}");
    }
    let again = sandbox
        .gofix(&["routes", "add", "https://goproxy.cn,direct"])
        .output()
        .expect_code(0);
    assert!(again.stdout.contains("is there already"), "{again}");
    sandbox.gofix(&["routes", "remove", "3"]).output().expect_code(0);
    assert_eq!(
        fs::read_to_string(config_file(&sandbox)).unwrap(),
        "routes = [\"preset:global\"]\n"
    );
}

#[test]
fn a_route_that_go_would_refuse_is_refused() {
    let sandbox = Sandbox::new();
    for (typed, complaint) in [
        ("moon", "no preset `moon`; presets: cn, global"),
        ("ftp://u:secret@x.example", "invalid proxy URL scheme"),
        ("off", "`off` is not a route"),
        ("", "contains no entries"),
        (" , ", "contains no entries"),
        ("https://a.example\n", ""),
    ] {
        let outcome = sandbox.gofix(&["routes", "add", typed]).output();
        if complaint.is_empty() {
            outcome.expect_code(0);
            continue;
        }
        assert!(
            outcome.stderr.contains(complaint) && !outcome.stderr.contains("secret"),
            "{typed}: {outcome}"
        );
        outcome.expect_code(1);
    }
}

#[test]
fn a_link_and_somebody_elses_home_are_left_alone() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("home/.config/gofix")).unwrap();
    fs::write(sandbox.path("dotfiles.toml"), "log = \"quiet\"\n").unwrap();
    symlink(sandbox.path("dotfiles.toml"), config_file(&sandbox)).unwrap();
    let refused = sandbox.gofix(&["routes", "use", "cn"]).output().expect_code(1);
    assert!(refused.stderr.contains("is a link to"), "{refused}");
    assert_eq!(
        fs::read_to_string(sandbox.path("dotfiles.toml")).unwrap(),
        "log = \"quiet\"\n"
    );

    if nix::unistd::geteuid().is_root() {
        let theirs = sandbox.path("theirs");
        fs::create_dir(&theirs).unwrap();
        std::os::unix::fs::chown(&theirs, Some(65534), None).unwrap();
        for args in [&["routes", "use", "cn"][..], &["shim", "install"]] {
            let refused = sandbox.gofix(args).env("HOME", &theirs).output().expect_code(1);
            assert!(
                refused.stderr.contains("belongs to user 65534, not to user 0"),
                "{refused}"
            );
        }
        assert!(tree(&theirs).is_empty());
    }
}

#[test]
fn a_file_that_is_no_toml_is_not_rewritten() {
    let sandbox = Sandbox::new();
    write_config(&sandbox, "log = \"quiet\"\nroutes = [\n");
    let refused = sandbox.gofix(&["routes", "add", "cn"]).output().expect_code(1);
    assert!(
        refused.stderr.contains("invalid TOML") && refused.stderr.contains("fix it first"),
        "{refused}"
    );
    assert_eq!(
        fs::read_to_string(config_file(&sandbox)).unwrap(),
        "log = \"quiet\"\nroutes = [\n"
    );
}

// --- the shim ---------------------------------------------------------------------------------------------------------

/// A sandbox as a user has it before the shim: go in PATH, no gofix.
fn without_shim() -> Sandbox {
    let real = real_go().parent().unwrap();
    let path = std::env::join_paths([real, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    Sandbox::new().env("PATH", path)
}

/// The sandbox's own home holds settings of go.
fn empty_home(sandbox: &Sandbox) {
    fs::remove_dir_all(sandbox.path("home")).unwrap();
    fs::create_dir(sandbox.path("home")).unwrap();
}

fn gofix(sandbox: &Sandbox, args: &[&str]) -> Run {
    sandbox.run(gofix_exe()).args(args)
}

fn is_there(program: &str) -> bool {
    ["/bin", "/usr/bin", "/usr/local/bin"]
        .iter()
        .any(|dir| Path::new(dir).join(program).exists())
}

#[test]
fn the_shim_comes_and_goes_without_a_trace() {
    let sandbox = without_shim().env("SHELL", "/bin/bash");
    let home = sandbox.path("home");
    fs::write(home.join(".profile"), "echo from profile\nPATH=/usr/bin:/bin").unwrap();
    fs::write(home.join(".bashrc"), "# nothing\n").unwrap();
    fs::write(home.join(".zshrc"), "").unwrap();
    fs::create_dir_all(home.join(".config/fish")).unwrap();
    let before = tree(&home);

    let first = gofix(&sandbox, &["shim", "install", "--routes", "cn"])
        .output()
        .expect_code(0);
    assert_eq!(first.stdout, "");
    for file in [
        ".profile",
        ".bashrc",
        ".zprofile",
        ".zshrc",
        ".config/fish/conf.d/gofix.fish",
    ] {
        let said = format!("put the PATH lines into {}\n", home.join(file).display());
        assert!(first.stderr.contains(&said), "{said}{first}");
    }
    let installed = tree(&home);
    let second = gofix(&sandbox, &["shim", "install", "--routes", "cn"])
        .output()
        .expect_code(0);
    assert!(!second.stderr.contains("put the PATH"), "{second}");
    assert_eq!(tree(&home), installed, "never twice");
    let routes = sandbox.gofix(&["config", "--json"]).output();
    assert_eq!(
        json(&routes)["settings"]["routes"]["value"][0],
        "https://goproxy.cn,direct"
    );

    gofix(&sandbox, &["shim", "uninstall"]).output().expect_code(0);
    assert_eq!(tree(&home), before);
    let again = gofix(&sandbox, &["shim", "uninstall"]).output().expect_code(0);
    assert!(again.stderr.contains("there is no shim"), "{again}");
    assert_eq!(tree(&home), before);
}

#[test]
fn an_empty_home_is_empty_again() {
    let sandbox = without_shim();
    empty_home(&sandbox);
    gofix(&sandbox, &["shim", "install", "--routes", "global"])
        .env("SHELL", "/usr/bin/fish")
        .output()
        .expect_code(0);
    assert!(sandbox.path("home/.config/fish/conf.d/gofix.fish").exists());
    gofix(&sandbox, &["shim", "uninstall"]).output().expect_code(0);
    assert!(tree(&sandbox.path("home")).is_empty());
}

#[test]
fn every_shell_finds_the_shim_first_and_once() {
    let sandbox = without_shim();
    let shim = sandbox.path("home/it's a $HOME/shims");
    fs::write(sandbox.path("home/.zshrc"), "").unwrap();
    fs::create_dir_all(sandbox.path("home/.config/fish")).unwrap();
    gofix(&sandbox, &["shim", "install", "--dir"])
        .args([&shim])
        .env("SHELL", "/bin/bash")
        .output()
        .expect_code(0);
    let shells: &[(&str, &[&str])] = &[
        ("bash", &["-l"]),
        ("bash", &["-i"]),
        ("dash", &["-l"]),
        ("zsh", &["-l"]),
        ("zsh", &["-i"]),
        ("fish", &[]),
    ];
    let mut asked = 0;
    for (shell, flags) in shells.iter().filter(|(shell, _)| is_there(shell)) {
        // The lines are read twice: by the shell itself and, where it starts another, by that again.
        let script = format!("command -v go; {shell} -c 'echo \"$PATH\"'");
        let run = sandbox.run(shell).args(*flags).args(["-c", &script]);
        // dash reads .profile only as a login shell, and a PATH that has the shim in the middle is put right.
        let path = format!("{}:{}", real_go().parent().unwrap().display(), shim.display());
        let said = run
            .env("PATH", format!("{path}:/usr/bin:/bin"))
            .output()
            .expect_code(0);
        let lines: Vec<&str> = said.stdout.lines().collect();
        assert_eq!(
            lines.first().copied(),
            shim.join("go").to_str(),
            "{shell} {flags:?}: {said}"
        );
        let path = lines.get(1).expect("a PATH").replace(' ', ":");
        let shown = shim.to_str().unwrap().replace(' ', ":");
        assert_eq!(path.matches(&shown).count(), 1, "{shell} {flags:?}: {said}");
        asked += 1;
    }
    assert!(asked >= 1, "there is a shell on this machine");
    let go = sandbox
        .run(shim.join("go"))
        .args(["env", "GOVERSION"])
        .output()
        .expect_code(0);
    assert_eq!(go.stdout, sandbox.plain_go(&["env", "GOVERSION"]).output().stdout);
}

#[test]
fn print_edits_no_file_and_can_be_evaluated() {
    let sandbox = without_shim();
    empty_home(&sandbox);
    let printed = gofix(&sandbox, &["shim", "install", "--print=bash"])
        .output()
        .expect_code(0);
    let shim = sandbox.path("home/.local/share/gofix/shims/go");
    let names: Vec<PathBuf> = tree(&sandbox.path("home"))
        .into_keys()
        .filter(|name| !name.starts_with(".local"))
        .collect();
    assert_eq!(names, [] as [PathBuf; 0]);
    let script = format!("{}command -v go", printed.stdout);
    let said = sandbox.run("sh").args(["-c", &script]).output().expect_code(0);
    assert_eq!(said.stdout, format!("{}\n", shim.display()));
}

#[test]
fn in_github_actions_the_folder_goes_into_the_file_for_it() {
    let sandbox = without_shim();
    let file = sandbox.path("github_path");
    fs::write(&file, "/first").unwrap();
    for _ in 0..2 {
        let run = gofix(&sandbox, &["shim", "install"])
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_PATH", &file);
        run.output().expect_code(0);
    }
    let dir = sandbox.path("home/.local/share/gofix/shims");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        format!("/first\n{}\n", dir.display())
    );
    assert!(!sandbox.path("home/.profile").exists());
}

#[test]
fn a_go_that_is_not_gofixs_is_never_replaced() {
    let sandbox = without_shim();
    empty_home(&sandbox);
    let dir = sandbox.path("bin");
    fs::create_dir(&dir).unwrap();
    symlink(real_go(), dir.join("go")).unwrap();
    for command in ["install", "uninstall"] {
        let refused = gofix(&sandbox, &["shim", command, "--dir"])
            .args([&dir])
            .output()
            .expect_code(1);
        assert!(refused.stderr.contains("not gofix's"), "{refused}");
        assert_eq!(fs::read_link(dir.join("go")).unwrap(), real_go());
    }
    assert!(tree(&sandbox.path("home")).is_empty());
}

#[test]
fn gofix_may_lie_beside_the_real_go() {
    let sandbox = Sandbox::new();
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    symlink(real_go(), bin.join("go")).unwrap();
    fs::copy(gofix_exe(), bin.join("gofix")).unwrap();
    crate::support::executable(&bin.join("gofix"));
    let sandbox = sandbox.env(
        "PATH",
        std::env::join_paths([bin.as_path(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap(),
    );
    let version = sandbox
        .run(bin.join("gofix"))
        .args(["go", "version"])
        .output()
        .expect_code(0);
    assert_eq!(version.stdout, sandbox.plain_go(&["version"]).output().stdout);
    sandbox
        .run(bin.join("gofix"))
        .args(["shim", "install"])
        .output()
        .expect_code(0);
    let shim = sandbox.path("home/.local/share/gofix/shims/go");
    assert_eq!(
        fs::read_link(&shim).unwrap(),
        bin.join("gofix"),
        "the real go is no shim"
    );
    let path = std::env::join_paths([shim.parent().unwrap(), bin.as_path()]).unwrap();
    let version = sandbox
        .run(&shim)
        .args(["version"])
        .env("PATH", path)
        .output()
        .expect_code(0);
    assert_eq!(version.stdout, sandbox.plain_go(&["version"]).output().stdout);
}

#[test]
fn a_shim_that_does_not_prove_itself_changes_nothing() {
    let sandbox = without_shim();
    let before = tree(&sandbox.path("home"));
    let refused = gofix(&sandbox, &["shim", "install"])
        .env("TMPDIR", "/nowhere")
        .output()
        .expect_code(1);
    assert!(refused.stderr.contains("nothing was changed"), "{refused}");
    // A go that never says the same twice.
    sandbox.write("go", "#!/bin/sh\necho $$\n");
    crate::support::executable(&sandbox.project().join("go"));
    let run = gofix(&sandbox, &["shim", "install"]).env("GOFIX_GO", sandbox.project().join("go"));
    let refused = run.output().expect_code(1);
    assert!(
        refused.stderr.contains("`go version` through the shim differs"),
        "{refused}"
    );
    assert_eq!(tree(&sandbox.path("home")), before);
}

#[test]
fn when_gofix_is_gone_every_shell_steps_over_the_shim() {
    let sandbox = without_shim();
    let moved = sandbox.path("away/gofix");
    fs::create_dir(sandbox.path("away")).unwrap();
    fs::copy(gofix_exe(), &moved).unwrap();
    crate::support::executable(&moved);
    sandbox
        .run(&moved)
        .args(["shim", "install", "--dir"])
        .args([sandbox.path("dir")])
        .output()
        .expect_code(0);
    fs::remove_file(&moved).unwrap();
    let path = std::env::join_paths([
        &sandbox.path("dir"),
        real_go().parent().unwrap(),
        Path::new("/bin"),
    ])
    .unwrap();
    let version = sandbox
        .run("sh")
        .args(["-c", "go version"])
        .env("PATH", path)
        .output()
        .expect_code(0);
    assert_eq!(version.stdout, sandbox.plain_go(&["version"]).output().stdout);
    gofix(&sandbox, &["shim", "uninstall", "--dir"])
        .args([sandbox.path("dir")])
        .output()
        .expect_code(0);
    assert!(!sandbox.path("dir").exists());
}

#[test]
fn a_file_behind_a_link_is_named_and_not_edited() {
    let sandbox = without_shim();
    fs::write(sandbox.path("dotprofile"), "# kept elsewhere\n").unwrap();
    symlink(sandbox.path("dotprofile"), sandbox.path("home/.profile")).unwrap();
    let said = gofix(&sandbox, &["shim", "install"])
        .env("SHELL", "/bin/sh")
        .output()
        .expect_code(0);
    assert!(said.stderr.contains(".profile is a link to"), "{said}");
    assert!(said.stderr.contains("gofix shim install --print"), "{said}");
    assert_eq!(
        fs::read_to_string(sandbox.path("dotprofile")).unwrap(),
        "# kept elsewhere\n"
    );
}

#[test]
fn the_whole_machine_gets_files_of_its_own() {
    let sandbox = without_shim();
    empty_home(&sandbox);
    let root = sandbox.path("root");
    fs::create_dir_all(root.join("etc/fish")).unwrap();
    let before = tree(&root);
    let system = |args: &[&str]| {
        gofix(&sandbox, args)
            .env("__GOFIX_TEST_ROOT", &root)
            .output()
            .expect_code(0)
    };
    let said = system(&["shim", "install", "--system", "--routes", "global"]);
    assert!(said.stderr.contains("ENV PATH="), "{said}");
    let script = format!(
        ". {}; command -v go",
        root.join("etc/profile.d/gofix.sh").display()
    );
    let shell = sandbox.run("sh").args(["-c", &script]).output().expect_code(0);
    assert_eq!(
        shell.stdout,
        format!("{}\n", root.join("usr/local/lib/gofix/shims/go").display())
    );
    // A login shell's /etc/profile makes PATH anew; the go of an image is found all the same, behind the shim.
    let gofix = gofix_exe().display();
    let login = format!("PATH=/usr/bin:/bin; {script}; go env GOROOT; {gofix} shim status --json");
    let shell = sandbox
        .run("sh")
        .args(["-c", &login])
        .env("HOME", sandbox.path("tmp"))
        .env("__GOFIX_TEST_ROOT", &root)
        .output();
    let (first, rest) = shell.stdout.split_once('\n').unwrap();
    let (goroot, status) = rest.split_once('\n').unwrap();
    let shim = root.join("usr/local/lib/gofix/shims/go");
    assert_eq!(first, shim.display().to_string(), "{shell}");
    assert_eq!(Path::new(goroot).join("bin/go"), real_go(), "{shell}");
    let status: Value = serde_json::from_str(status).unwrap();
    assert_eq!(status["shim"], shim.display().to_string(), "{shell}");
    assert_eq!(status["installed"], true, "{shell}");
    assert!(root.join("etc/fish/conf.d/gofix.fish").exists());
    let config = fs::read_to_string(root.join("etc/gofix/config.toml")).unwrap();
    assert!(config.starts_with("routes = [\"preset:global\"]"), "{config}");
    system(&["shim", "uninstall", "--system"]);
    assert_eq!(tree(&root), before);
    assert!(tree(&sandbox.path("home")).is_empty());
}

#[test]
fn status_names_every_go_and_says_which_wins() {
    let sandbox = without_shim().env("SHELL", "/bin/bash");
    let real = real_go().parent().unwrap();
    fs::write(
        sandbox.path("home/.bashrc"),
        format!("PATH=\"{}:$PATH\"\n", real.display()),
    )
    .unwrap();
    let status = |path: &Path| {
        let path = std::env::join_paths([path, real, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
        gofix(&sandbox, &["shim", "status"]).env("PATH", path)
    };
    let shims = sandbox.path("home/.local/share/gofix/shims");
    let none = status(&shims).output().expect_code(1);
    assert!(
        none.stdout.contains("is not installed (gofix shim install)"),
        "{none}"
    );

    gofix(&sandbox, &["shim", "install"]).output().expect_code(0);
    let shown = status(&shims).output().expect_code(0);
    let wins = format!("This process: gofix wins, and runs {}\n", real_go().display());
    assert!(shown.stdout.contains(&wins), "{wins}{shown}");
    let all = json(&status(&shims).args(["--json"]).output().expect_code(0));
    assert_eq!(
        (&all["installed"], &all["reached"]),
        (&Value::Bool(true), &Value::Bool(true))
    );
    let gos: Vec<&str> = all["places"][0]["gos"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|go| go["path"].as_str())
        .collect();
    assert_eq!(
        gos[..2],
        [shims.join("go").to_str().unwrap(), real_go().to_str().unwrap()]
    );
    if is_there("bash") {
        assert_eq!(all["places"][1]["gofix_wins"], true, "a login shell: {all:#}");
        assert_eq!(
            all["places"][2]["gofix_wins"], true,
            "an interactive shell: {all:#}"
        );
    }

    // Something puts another go in front again, below gofix's lines.
    let bashrc = fs::read_to_string(sandbox.path("home/.bashrc")).unwrap();
    fs::write(
        sandbox.path("home/.bashrc"),
        format!("{bashrc}PATH=\"{}:$PATH\"\n", real.display()),
    )
    .unwrap();
    let shown = status(real).output().expect_code(1);
    if is_there("bash") {
        let line = shown
            .stdout
            .lines()
            .find(|line| line.starts_with("An interactive shell"))
            .unwrap();
        let why = format!(
            "{} wins: its folder stands in front of {}",
            real_go().display(),
            shims.display()
        );
        assert!(line.ends_with(&why), "{why}\n{shown}");
    }
    sandbox.write("Makefile", "build:\n\t/opt/go/bin/go build ./...\n");
    sandbox.write(
        ".vscode/settings.json",
        "{\"go.alternateTools\": {\"go\": \"/x/go\"}}",
    );
    sandbox.write("MODULE.bazel", "");
    let shown = status(&shims).output();
    for note in [
        "Makefile here calls /opt/go/bin/go by its path",
        "sets go.alternateTools",
        "built by Bazel",
        "GOROOT/bin first",
    ] {
        assert!(shown.stdout.contains(note), "{note}\n{shown}");
    }
}

// --- what is generated ------------------------------------------------------------------------------------------------

#[test]
fn completions_complete() {
    let sandbox = Sandbox::new();
    let bash = sandbox.gofix(&["completions", "bash"]).output().expect_code(0);
    if is_there("bash") {
        let script = format!(
            "{}\ncomplete() {{ :; }}\n\
             ask() {{ COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _gofix gofix \"${{@: -1}}\" \"${{@: -2:1}}\"; \
             echo \"${{COMPREPLY[@]}}\"; }}\n\
             ask gofix ro; ask gofix routes re; ask gofix --widen a; ask gofix ti\n",
            bash.stdout
        );
        let said = sandbox
            .run("bash")
            .args(["--norc", "-c", &script])
            .output()
            .expect_code(0);
        assert_eq!(said.stdout, "routes\nremove reset\nauto always\ntidy\n", "{said}");
    }
    let zsh = sandbox.gofix(&["completions", "zsh"]).output().expect_code(0);
    assert!(zsh.stdout.starts_with("#compdef gofix\n"));
    let fish = sandbox.gofix(&["completions", "fish"]).output().expect_code(0);
    assert!(fish.stdout.contains("complete -c gofix"));
    // Elvish and PowerShell: that the words are there, and, where a machine has the shell, that it reads them.
    for (shell, program, check) in [
        ("elvish", "elvish", &["-compileonly", "elvish"][..]),
        (
            "powershell",
            "pwsh",
            &[
                "-NoProfile",
                "-Command",
                "[void][ScriptBlock]::Create((Get-Content -Raw powershell))",
            ],
        ),
    ] {
        let script = sandbox
            .gofix(&["completions", shell])
            .output()
            .expect_code(0)
            .stdout;
        for word in ["doctor", "routes", "wait", "--budget", "tidy"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        sandbox.write(shell, &script);
        if is_there(program) {
            sandbox.run(program).args(check).output().expect_code(0);
        }
    }
    for (shell, text) in [("zsh", &zsh.stdout), ("fish", &fish.stdout)] {
        sandbox.write(shell, text);
        if is_there(shell) {
            sandbox.run(shell).args(["-n", shell]).output().expect_code(0);
        }
    }
    sandbox.gofix(&["completions", "tcsh"]).output().expect_code(2);
}

#[test]
fn the_manual_has_every_command_variable_and_status() {
    let sandbox = Sandbox::new();
    let page = sandbox.gofix(&["man"]).output().expect_code(0).stdout;
    for variable in gofix::env_vars::ALL {
        assert!(
            page.contains(&format!("\\fB{}\\fR", variable.name)),
            "{}",
            variable.name
        );
    }
    for (status, _) in gofix::cli::reference::EXIT_STATUSES {
        assert!(page.contains(&format!("\\fB{status}\\fR")), "{status}");
    }
    sandbox.gofix(&["man", "--dir", "man1"]).output().expect_code(0);
    let pages: Vec<String> = fs::read_dir(sandbox.project().join("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in [
        "gofix",
        "gofix-shim-install",
        "gofix-cache-verify",
        "gofix-routes-list",
        "gofix-wait",
        "gofix-tidy",
    ] {
        assert!(pages.contains(&format!("{name}.1")), "{name}: {pages:?}");
    }
    for name in &pages {
        let text = sandbox.read(&format!("man1/{name}"));
        let is_whole = [".TH ", "SH SYNOPSIS", "SH \"EXAMPLES\""]
            .iter()
            .all(|part| text.contains(part));
        assert!(is_whole, "{name}: {text}");
        if is_there("groff") {
            let file = format!("man1/{name}");
            let warned = sandbox
                .run("groff")
                .args(["-man", "-Tutf8", "-ww", "-z", &file])
                .output()
                .expect_code(0);
            assert_eq!(warned.stderr, "", "{name}");
        }
    }
}

/// Without a network: what a text of go's means, and the matters of gofix itself.
#[test]
fn help_knows_topics() {
    let sandbox = Sandbox::new();
    let help = |words: &[&str]| sandbox.gofix(&[&["help"], words].concat()).output();
    let topics = help(&["topics"]).expect_code(0).stdout;
    for topic in gofix::diagnose::topics::TOPICS {
        assert!(
            topics.contains(&format!("  {} ", topic.id)),
            "{}: {topics}",
            topic.id
        );
        let shown = help(&[topic.id]).expect_code(0);
        assert_eq!(shown.stderr, "");
        let whole = shown.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = |text: &str| whole.contains(&text.split_whitespace().collect::<Vec<_>>().join(" "));
        assert!(
            said(topic.cause) && topic.cure.iter().all(|step| said(step)),
            "{shown}"
        );
    }
    for (topic, word) in [
        ("exit-status", "124"),
        ("variables", "GOFIX_BUDGET"),
        ("faults", "408, 425, 429"),
        ("privacy", "GOPRIVATE"),
        ("off", "GOFIX=off"),
    ] {
        let shown = help(&[topic]).expect_code(0);
        assert!(shown.stdout.contains(word) && topics.contains(topic), "{shown}");
        assert!(
            shown
                .stdout
                .lines()
                .all(|line| line.len() <= 80 || !line.trim().contains(' ')),
            "{shown}"
        );
    }
    let saved = "go: a.b/m@v1.0.0: reading https://proxy.golang.org/a.b/m/@v/v1.0.0.mod: 502 Bad Gateway\n";
    sandbox.write("build.log", saved);
    let explained = sandbox.gofix(&["explain", "build.log"]).output().expect_code(0);
    assert!(
        explained.stdout.ends_with("\n  More: gofix help server-error\n"),
        "{explained}"
    );
    let unknown = help(&["conection-reset"]).expect_code(2);
    assert_eq!(
        unknown.stderr,
        "gofix: no command and no topic has that name; `gofix help topics` lists the topics\n"
    );
}

// --- the documents ----------------------------------------------------------------------------------------------------

/// Every Markdown file of the project's own.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    [root.to_owned(), root.join("docs")]
        .iter()
        .flat_map(|dir| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension() == Some(OsStr::new("md")))
        .collect()
}

#[test]
fn generated_parts_of_documents_are_up_to_date() {
    let mut seen = String::new();
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let renewed = gofix::cli::reference::renew(&text);
        if std::env::var_os("__GOFIX_TEST_UPDATE").is_some() {
            fs::write(&path, &renewed).unwrap();
        } else {
            assert!(
                text == renewed,
                "{} is out of date; see ARCHITECTURE.md for how to renew it",
                path.display()
            );
        }
        seen.push_str(&text);
    }
    for (name, _) in gofix::cli::reference::parts() {
        assert!(
            seen.contains(&format!("<!-- generated: {name} -->")),
            "{name} is in no document"
        );
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(link, _)| link)
        {
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.with_file_name("").join(file)
            };
            assert!(target.exists(), "{}: {link}", path.display());
            let text = fs::read_to_string(&target).unwrap_or_default();
            let anchors = |line: &str| {
                line.trim_start_matches('#')
                    .trim()
                    .to_lowercase()
                    .replace([' '], "-")
            };
            let found = anchor.is_empty()
                || text
                    .lines()
                    .any(|line| line.starts_with('#') && anchors(line) == anchor);
            assert!(found, "{}: {link}", path.display());
        }
    }
}

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// What two documents in two languages must have in common: the levels of their headings, their commands without the
/// remarks, and in each row of their tables the columns and what stands in code.
fn skeleton(text: &str) -> Vec<String> {
    let code = |line: &str| {
        line.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ` ")
    };
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
            found.push(line.to_owned());
        } else if inside {
            found.push(line.split(" #").next().unwrap_or_default().trim_end().to_owned());
        } else if line.starts_with('#') {
            found.push(line.chars().take_while(|c| *c == '#').collect());
        } else if line.starts_with('|') {
            found.push(format!("{} columns: {}", line.matches(" |").count(), code(line)));
        } else if line.starts_with("![") {
            found.push(line.rsplit('(').next().unwrap_or_default().to_owned());
        }
    }
    found
}

#[test]
fn the_readme_says_the_same_in_both_languages() {
    let (english, chinese) = (document("README.md"), document("README.zh-CN.md"));
    assert_eq!(skeleton(&english), skeleton(&chinese));
    let links = |text: &str| {
        let links: std::collections::BTreeSet<String> = text
            .split("](")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
            .filter(|link| !link.starts_with("README"))
            .collect();
        links
    };
    assert_eq!(links(&english), links(&chinese));
}

/// What the README says of itself and of others was measured.
#[test]
fn the_comparison_is_what_was_measured() {
    let measured = document("docs/relay-measured.md");
    let (_, faults) = measured.split_once("<!-- measured: faults -->").unwrap();
    let (five, twenty) = faults.split_once("20 % faults").unwrap();
    let ended = |part: &str, way: &str| {
        let row = part
            .lines()
            .find(|line| line.starts_with(&format!("| {way} |")))
            .unwrap_or_default();
        row.split('|')
            .nth(if way.contains("a|a") { 3 } else { 2 })
            .unwrap_or_default()
            .trim()
            .replace('/', " of ")
    };
    for (way, shown) in [
        ("plain go", "plain go"),
        ("plain go, a|a", "`GOPROXY=a\\|b`"),
        ("shell loop of 5", "a shell loop of five"),
        ("gofix", "gofix"),
    ] {
        let row = format!("| {shown} | {} | {} |", ended(five, way), ended(twenty, way));
        assert!(document("README.md").contains(&row), "{row}");
        let row = row
            .replace(" of ", " / ")
            .replace("plain go", "原生 go")
            .replace("a shell loop / five", "五次的 shell 循环");
        assert!(document("README.zh-CN.md").contains(&row), "{row}");
    }
    let (_, healthy) = measured.split_once("<!-- measured: healthy -->").unwrap();
    let cost = healthy
        .lines()
        .find(|line| line.starts_with("| gofix |"))
        .and_then(|row| row.split('|').nth(4))
        .unwrap();
    assert!(
        document("README.md").contains(&format!("What it costs: {} of", cost.trim())),
        "{cost}"
    );
    assert!(
        document("README.zh-CN.md").contains(&format!("原生 go 的 {} 倍", cost.trim())),
        "{cost}"
    );
}

/// The pictures load nothing, say in words what they show, and the recording shows what gofix says today.
#[test]
fn pictures_stand_alone() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut seen = 0;
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension() != Some(OsStr::new("svg")) {
            continue;
        }
        seen += 1;
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("role=\"img\" aria-label=\""), "{}", path.display());
        let outside = text.replace("http://www.w3.org/2000/svg", "");
        for forbidden in [
            "<script",
            "<image",
            "href=",
            "url(http",
            "@import",
            "<foreignObject",
        ] {
            assert!(!outside.contains(forbidden), "{}: {forbidden}", path.display());
        }
        assert_eq!(
            text.matches("<g ").count() + text.matches("<g>").count(),
            text.matches("</g>").count()
        );
    }
    assert_eq!(seen, 2);
    let recording = document("docs/recording.svg");
    for said in [
        ">gofix: fetching ",
        ">gofix: go mod download went through; 2 requests were made again",
        "connection reset by peer",
        "prefers-reduced-motion",
    ] {
        assert!(recording.contains(said), "{said}: `make recording`");
    }
}

/// Every target of make and every script that a document names is there.
#[test]
fn targets_and_scripts_in_the_documents_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let makefile = document("Makefile");
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_./=%".contains(c)));
        let words: Vec<&str> = words.collect();
        for line in text.lines().map(str::trim) {
            let line = line.strip_prefix('`').unwrap_or(line);
            let Some(target) = line
                .strip_prefix("make ")
                .and_then(|rest| rest.split(['`', ' ']).next())
            else {
                continue;
            };
            let is_target = target.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            assert!(
                !is_target
                    || makefile
                        .lines()
                        .any(|line| line.starts_with(&format!("{target}:"))),
                "{}: make {target}",
                path.display()
            );
        }
        for script in words
            .iter()
            .filter(|word| word.starts_with("scripts/") && word.len() > 8)
        {
            let script = script.trim_end_matches(['.', '/']);
            assert!(root.join(script).exists(), "{}: {script}", path.display());
        }
    }
}

#[test]
fn commands_in_the_documents_are_understood() {
    let sandbox = Sandbox::new();
    let mut tried = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().map(str::trim) {
            let line = line.strip_prefix("- run: ").unwrap_or(line);
            let Some(rest) = line.strip_prefix("gofix ") else {
                continue;
            };
            let rest = rest
                .split(" #")
                .next()
                .unwrap_or(rest)
                .split("  ")
                .next()
                .unwrap_or(rest);
            let words: Vec<&str> = rest
                .split_whitespace()
                .map(|word| word.trim_matches('\''))
                .collect();
            // Whether the words make sense is asked by adding a flag that makes clap stop before anything is done.
            if words
                .iter()
                .any(|word| word.contains(['|', '>', '<', '$', '"', '.']))
                || words.len() > 4
            {
                continue;
            }
            let is_go = gofix::cli::args::go_words(words[0]).is_some();
            if is_go || words[0].starts_with('-') || !words[0].chars().all(char::is_lowercase) {
                continue;
            }
            let run = sandbox.gofix(&words);
            let run = if words[0] == "help" {
                run
            } else {
                run.args(["--help"])
            };
            let help = run.output();
            assert_eq!(help.code(), Some(0), "{}: gofix {rest}\n{help}", path.display());
            tried += 1;
        }
    }
    assert!(tried > 10, "{tried}");
}
