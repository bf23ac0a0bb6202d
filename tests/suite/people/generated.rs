//! What is generated: completions and the manual.

use super::*;

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
        let examples = text.rsplit("SH \"EXAMPLES\"").next().unwrap();
        assert!(!examples.contains("Exit status"), "{name}: {text}");
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
