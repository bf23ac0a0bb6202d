//! The shim's place: how it comes, stays first and goes.

use super::*;

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
        none.stdout.contains("is not installed (`gofix shim install`)"),
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
    let shown = status(&shims).output();
    for note in ["GOROOT/bin first", "what calls a go by its path", "secure_path"] {
        assert!(shown.stdout.contains(note), "{note}\n{shown}");
    }
}
