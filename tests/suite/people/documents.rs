//! The documents: links, paths, commands and tables against the code.

use super::*;

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
        let renewed = reference::renew(&text);
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
    for (name, _) in reference::parts() {
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
    let (_, servers) = measured.split_once("<!-- measured: servers -->").unwrap();
    for way in ["Athens", "goproxy"] {
        let row = servers
            .lines()
            .find(|line| line.starts_with(&format!("| {way} |")))
            .unwrap();
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let row = format!("| {way} in between | {} | {} |", cells[2], cells[3]);
        assert!(document("README.md").contains(&row), "{row}");
        let row = format!("| 中间放 {way} | {} | {} |", cells[2], cells[3]).replace(" of ", " / ");
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
    assert_eq!(seen, 4);
    let recording = document("docs/recording.svg");
    for said in [
        ">gofix: fetching ",
        ">gofix: go mod download succeeded; 2 requests were retried",
        "connection reset by peer",
        "prefers-reduced-motion",
    ] {
        assert!(recording.contains(said), "{said}: `make recording`");
    }
}

/// What stands in them is named in documents by its path from the root.
const FOLDERS: [&str; 9] = [
    ".ci",
    "benches",
    "fixtures",
    "fuzz",
    "packaging",
    "scripts",
    "shims",
    "src",
    "tests",
];

/// Every target of make and every file of the project's own that a document names is there.
#[test]
fn targets_and_paths_in_the_documents_are_there() {
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
        for named in words.iter().map(|word| word.trim_end_matches(['.', '/'])) {
            let is_ours = named
                .split_once('/')
                .is_some_and(|(folder, _)| FOLDERS.contains(&folder));
            assert!(
                !is_ours || root.join(named).exists(),
                "{}: {named}",
                path.display()
            );
        }
    }
}

/// Where CONTRIBUTING.md says that something is decided, a function or a table of that name stands; it names every
/// target of make.
#[test]
fn what_contributors_are_sent_to_is_there() {
    let text = document("CONTRIBUTING.md");
    let mut seen = 0;
    for (file, name) in text
        .lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(|line| line.split_once(".rs`: `"))
    {
        let file = format!("{}.rs", file.rsplit('`').next().unwrap());
        let name = name.split('`').next().unwrap();
        let code = document(&file);
        let is_there = ["fn", "const", "static"].iter().any(|keyword| {
            let declared = format!("{keyword} {name}");
            code.split(&declared)
                .skip(1)
                .any(|rest| rest.starts_with(['(', '<', ':']))
        });
        assert!(is_there, "{file}: {name}");
        seen += 1;
    }
    assert!(seen >= 20, "{seen}");
    for line in document("Makefile").lines() {
        let target = line.split(':').next().unwrap();
        let is_target = line.contains(':') && target.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        let is_told = text.contains(&format!("make {target}`")) || text.contains(&format!("make {target} "));
        assert!(!is_target || is_told, "make {target}");
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

/// The starts of lines of `sh` blocks that other tests run, or that would leave the sandbox.
const RUN_ELSEWHERE: &[(&str, &str)] = &[
    ("make ", "targets_and_paths_in_the_documents_are_there"),
    ("sh install.sh", "install::"),
    ("dpkg -i", "make test-dropin"),
    (
        "gofix shim install --system",
        "shim::the_whole_machine_gets_files_of_its_own",
    ),
    ("gofix rehearse", "rehearse::"),
    ("gofix wait", "wait_for_release::"),
    ("GOFIX_REPORTS=", "fleet::the_reports_are_as_fluent_bit_is_told"),
    (
        "__GOFIX_TEST_UPDATE=1",
        "generated_parts_of_documents_are_up_to_date",
    ),
    ("for try in", "the loop that gofix replaces"),
];

/// The `sh` blocks of a document, each with the number of its first line.
fn shell_blocks(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == "```sh" {
            let block = lines.by_ref().map(|(_, line)| line);
            blocks.push((number + 2, block.take_while(|line| *line != "```").collect()));
        }
    }
    blocks
}

/// A reader pastes these blocks. Each runs as it stands, on a machine without a network: the shell, go and gofix
/// understand every line, whatever they then say about the network.
#[test]
fn shell_blocks_of_the_documents_can_be_pasted() {
    let namespace = crate::support::network_namespace();
    let may = std::process::Command::new("unshare")
        .args(namespace)
        .arg("true")
        .output();
    if !may.is_ok_and(|output| output.status.success()) {
        return crate::startup::skip("no network namespace may be made here");
    }
    let mut pasted = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, block) in shell_blocks(&text) {
            let sandbox = Sandbox::new().env("GOFIX_BUDGET", "1s");
            let goenv = sandbox.path("goenv");
            let sandbox = sandbox
                .env("GOENV", goenv)
                .env("GOPROXY", "https://proxy.golang.org,direct")
                .env("GOSUMDB", "sum.golang.org");
            sandbox.write(
                "build.log",
                "go: github.com/a/b@v1.0.0: connection reset by peer\n",
            );
            let lines = block.iter().filter(|line| {
                !RUN_ELSEWHERE
                    .iter()
                    .any(|(start, _)| line.trim_start().starts_with(start))
            });
            let mut script = String::new();
            for line in lines.filter(|line| !line.trim().is_empty()) {
                pasted += 1;
                // 2: not understood. 126 and 127: no program. Everything else is about this machine.
                script.push_str(&format!("{line}\ncase $? in 2|126|127) exit 99;; esac\n"));
            }
            let path_variable = format!(
                "{}:{}",
                gofix_exe().parent().unwrap().display(),
                std::env::var("PATH").unwrap()
            );
            let outcome = sandbox
                .run("unshare")
                .args(namespace)
                .args(["sh", "-xc", &script])
                .env("PATH", &path_variable)
                .output();
            assert_ne!(outcome.code(), Some(99), "{}:{number}\n{outcome}", path.display());
        }
    }
    assert!(pasted > 20, "{pasted}");
}
