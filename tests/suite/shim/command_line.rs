//! The shim's tables of commands and flags against those of this go.

use super::*;

/// What takes a value and what is a switch is read off the real go: a flag at the very end that wants a value is
/// refused by go in so many words.
#[test]
fn flags_are_parsed_as_this_go_parses_them() {
    let sandbox = Sandbox::new();
    let usage = |topic: &str| {
        let args: Vec<&str> = ["help"].into_iter().chain(topic.split(' ')).collect();
        sandbox.plain_go(&args).output().stdout
    };
    let mut checked = 0;
    for command in [
        "build",
        "install",
        "get",
        "list",
        "run",
        "vet",
        "mod tidy",
        "mod download",
        "mod vendor",
        "mod why",
        "mod graph",
        "work sync",
    ] {
        let mut text = usage(command);
        if !command.contains(' ') {
            text.push_str(&usage("build"));
        }
        let mut names: Vec<&str> = text.lines().filter_map(documented_flag).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let words: Vec<&str> = command.split(' ').collect();
            let flag = format!("-{name}");
            let answer = sandbox
                .plain_go(&words)
                .args([&flag])
                .dir(sandbox.path("tmp"))
                .output();
            if answer.stderr.contains("flag provided but not defined") || name == "C" {
                continue;
            }
            let wants_value = answer
                .stderr
                .contains(&format!("flag needs an argument: -{name}\n"));
            // `-h` behind a flag that takes a value is that value, and help otherwise.
            let line: Vec<OsString> = words
                .iter()
                .copied()
                .chain([flag.as_str(), "-h"])
                .map(OsString::from)
                .collect();
            let taken = classify(&line, None).treatment != Treatment::Pass;
            assert_eq!(taken, wants_value, "go {command} -{name}: {answer}");
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} flags were found in go's own help");
}

/// A flag at the beginning of a line of go's help, with a value behind it or without.
fn documented_flag(line: &str) -> Option<&str> {
    let name = line.strip_prefix("\t-")?.split([' ', '=', ',']).next()?;
    let plain = |letter: char| letter.is_ascii_alphanumeric();
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// Every command that this go knows is in the table, and none is there that no go knew.
#[test]
fn the_commands_of_this_go_are_known() {
    let sandbox = Sandbox::new();
    // Go 1.21 has four commands below work.
    for (group, topic, least) in [("", "help", 5), ("mod", "help mod", 5), ("work", "help work", 4)] {
        let args: Vec<&str> = topic.split(' ').collect();
        let text = sandbox.plain_go(&args).output().stdout;
        let names = listed_commands(&text);
        assert!(names.len() >= least, "{text}");
        for name in names.into_iter().filter(|name| !["mod", "work"].contains(name)) {
            let words: Vec<&str> = [group, name]
                .into_iter()
                .filter(|word| !word.is_empty())
                .collect();
            let line: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert_eq!(classify(&line, None).words, words, "go {words:?}");
        }
    }
}

/// The names in the list that go's help has under "The commands are:".
fn listed_commands(help: &str) -> Vec<&str> {
    let list = help
        .split("The commands are:")
        .nth(1)
        .and_then(|rest| rest.split("\nUse ").next());
    list.unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}
