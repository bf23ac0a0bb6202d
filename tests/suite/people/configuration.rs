//! The configuration, and the routes in it.

use super::*;

fn config_file(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("home/.config/gofix/config.toml")
}

fn write_config(sandbox: &Sandbox, text: &str) {
    let file = config_file(sandbox);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

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
