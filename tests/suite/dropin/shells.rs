//! The recipes for systems that cannot be had here: their commands, each step in a shell of its own as the system starts it.

use std::fs;

use super::{Place, recipe, three_times};
use crate::support::real_go;

/// The commands of a recipe, with this before each step.
struct Steps {
    shell: &'static str,
    before: String,
    steps: Vec<String>,
}

/// All commands in one shell. `$$` is how Buildkite is told a `$` of the shell's.
fn buildkite(text: &str) -> Steps {
    let commands = text.lines().filter_map(|line| line.strip_prefix("      - "));
    Steps {
        shell: "bash -e",
        before: String::new(),
        steps: vec![commands.collect::<Vec<_>>().join("\n").replace("$$", "$")],
    }
}

fn circleci(text: &str) -> Steps {
    let step = |run: &str| match run.strip_prefix("|\n") {
        Some(block) => {
            let lines = block.lines().map_while(|line| line.strip_prefix("          "));
            lines.collect::<Vec<_>>().join("\n")
        }
        None => run.lines().next().unwrap().to_owned(),
    };
    Steps {
        shell: "bash -eo pipefail",
        before: String::new(),
        steps: text.split("      - run: ").skip(1).map(step).collect(),
    }
}

fn jenkins(text: &str) -> Steps {
    let (_, environment) = text.split_once("environment {\n").unwrap();
    let (environment, _) = environment.split_once("\n  }").unwrap();
    let export = |line: &str| {
        let (name, value) = line.split_once(" = ").unwrap();
        format!("export {}={}\n", name.trim(), value.replace("${env.", "${"))
    };
    let step = |part: &str| {
        let (end, part) = part
            .strip_prefix("''")
            .map_or(("'", part), |block| ("'''", block));
        part.split_once(end).unwrap().0.to_owned()
    };
    Steps {
        shell: "sh -xe",
        before: environment.lines().map(export).collect(),
        steps: text.split("sh '").skip(1).map(step).collect(),
    }
}

/// What is left of a step, with a limit for what has no clock of its own.
fn without_gofix(step: &str) -> String {
    let lines = step.lines();
    let left = lines.filter(|line| !(line.contains("gofix") || line.contains("install.sh")));
    let left: String = left.map(|line| format!("{line}\n")).collect();
    left.replace("go mod download", "timeout 10 go mod download")
}

fn commands(name: &str, parse: fn(&str) -> Steps) {
    let Some(place) = Place::prepared().filter(|place| place.has("curl")) else {
        return;
    };
    let releases = format!("file://{}", place.0.join("site").display());
    let text = recipe(name).replace("https://github.com/owner/gofix/releases", &releases);
    let all = parse(&text);
    three_times(
        &format!("the commands of {name}"),
        &|sandbox, proxy, with_gofix| {
            let mut files = Vec::new();
            for (nth, step) in all.steps.iter().enumerate() {
                let own = if with_gofix {
                    step.clone()
                } else {
                    without_gofix(step)
                };
                let file = sandbox.path(format!("step{nth}"));
                fs::write(&file, format!("{}{own}\n", all.before)).unwrap();
                files.push(file);
            }
            fs::write(sandbox.path("bash_env"), "").unwrap();
            let go = real_go().parent().unwrap().display();
            sandbox
                .run("sh")
                .args([
                    "-e",
                    "-c",
                    &format!("for step; do {} \"$step\"; done", all.shell),
                    "sh",
                ])
                .args(files)
                .env("PATH", format!("{go}:/usr/local/bin:/usr/bin:/bin"))
                .env("BASH_ENV", sandbox.path("bash_env"))
                .env("WORKSPACE", sandbox.project())
                .env("WORKSPACE_TMP", sandbox.path("workspace_tmp"))
                .env("GOPROXY", proxy.url())
                .env("GOFIX_STALL_MS", "1500")
                .output()
        },
    );
}

#[test]
fn the_commands_of_buildkite() {
    commands("buildkite", buildkite);
}

#[test]
fn the_commands_of_circleci() {
    commands("circleci", circleci);
}

#[test]
fn the_commands_of_jenkins() {
    commands("jenkins", jenkins);
}
