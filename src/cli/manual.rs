//! Completions and manual pages, made from the definition of the command line.

use std::io::Write;

use clap::Command;
use clap_complete::generate;
use clap_mangen::Man;

use super::args;
use super::reference::EXIT_STATUSES;
use crate::sys::files;

use super::OK;
use super::failure::Failure;
use crate::env_vars;
use crate::report::out;

/// `gofix completions`.
pub(super) fn completions(asked: &args::Completions) -> i32 {
    let mut script = Vec::new();
    let mut command = args::definition();
    generate(asked.shell, &mut command, "gofix", &mut script);
    let _ = out::stdout().write_all(&script);
    OK
}

/// `gofix man`.
pub(super) fn man(asked: &args::Man) -> Result<i32, Failure> {
    let mut command = args::definition();
    command.build();
    let Some(dir) = &asked.dir else {
        let _ = out::stdout().write_all(&page(&command, &examples_of(&command)));
        return Ok(OK);
    };
    for (name, text) in pages(&command) {
        files::write(&dir.join(name), &text, 0o644)?;
    }
    Ok(OK)
}

/// The page of gofix itself, and one for each command and those below it.
fn pages(command: &Command) -> Vec<(String, Vec<u8>)> {
    let mut pages = Vec::new();
    let mut waiting = vec![(command, examples_of(command))];
    while let Some((command, examples)) = waiting.pop() {
        let name = bin_name(command);
        pages.push((format!("{}.1", name.replace(' ', "-")), page(command, &examples)));
        for below in args::below(command) {
            let own = match args::is_go_command(below.get_name()) {
                true => go_examples(below.get_name()),
                false => examples_of(below),
            };
            let of_it = |line: &&str| line.trim_start().starts_with(bin_name(below));
            let inherited: Vec<&str> = examples.lines().filter(of_it).collect();
            let examples = match own.is_empty() {
                true if inherited.is_empty() => examples.clone(),
                true => inherited.join("\n"),
                false => own,
            };
            waiting.push((below, examples));
        }
    }
    pages
}

fn bin_name(command: &Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

/// What stands behind the help of a command.
fn examples_of(command: &Command) -> String {
    command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// The arguments of a go command are go's own.
fn go_examples(word: &str) -> String {
    let go = args::go_words(word).unwrap_or_default().join(" ");
    let (gofix, go) = match word {
        "go" => ("go build ./...", "go build ./...".to_owned()),
        word => (word, format!("go {go}")),
    };
    format!(
        "Examples:\n  gofix {gofix}                {go}, through whatever the network does\n  \
         gofix --budget 3m {gofix}    the same, in three minutes at most"
    )
}

/// The page of one command; that of gofix itself has the sections that hold for all.
fn page(command: &Command, examples: &str) -> Vec<u8> {
    let name = command.get_bin_name().unwrap_or("gofix").to_owned();
    let top = name == "gofix";
    // The list of commands and the examples have sections of their own.
    let bare = command
        .clone()
        .display_name(name.replace(' ', "-"))
        .before_help("")
        .after_help("")
        .version(env!("CARGO_PKG_VERSION"));
    let man = Man::new(bare)
        .title(name.replace(' ', "-").to_uppercase())
        .manual("gofix");
    let mut text = Vec::new();
    // Writing into memory cannot fail.
    let _ = man.render_title(&mut text);
    let _ = man.render_name_section(&mut text);
    let _ = man.render_synopsis_section(&mut text);
    let _ = man.render_description_section(&mut text);
    let (prose, examples) = examples.split_once("Examples:\n").unwrap_or(("", examples));
    for paragraph in prose.split("\n\n").filter(|text| !text.is_empty()) {
        text.extend_from_slice(b".PP\n");
        plain(paragraph, &mut text);
    }
    if top {
        go_commands(command, &mut text);
        own_commands(args::own_commands(command), &mut text);
    } else {
        own_commands(args::below(command), &mut text);
    }
    let _ = man.render_options_section(&mut text);
    if top {
        common_sections(&mut text);
    }
    example_section(examples, &mut text);
    text
}

fn go_commands(command: &Command, text: &mut Vec<u8>) {
    section("GO COMMANDS", text);
    plain(
        "Each is the go command of that name with its arguments untouched, carried through a bad network:",
        text,
    );
    for below in command
        .get_subcommands()
        .filter(|below| args::is_go_command(below.get_name()))
    {
        let about = below.get_about().map(ToString::to_string).unwrap_or_default();
        entry(&format!("gofix {}", below.get_name()), &about, text);
    }
}

fn own_commands<'a>(commands: impl Iterator<Item = &'a Command>, text: &mut Vec<u8>) {
    let mut commands = commands.peekable();
    if commands.peek().is_none() {
        return;
    }
    section("COMMANDS", text);
    for command in commands {
        let name = command
            .get_bin_name()
            .unwrap_or_else(|| command.get_name())
            .replace(' ', "-");
        entry(
            &format!("{name}(1)"),
            &command.get_about().map(ToString::to_string).unwrap_or_default(),
            text,
        );
    }
}

fn common_sections(text: &mut Vec<u8>) {
    section("EXIT STATUS", text);
    for (status, meaning) in EXIT_STATUSES {
        entry(status, meaning, text);
    }
    section("ENVIRONMENT", text);
    for variable in env_vars::ALL {
        let default = if variable.default.is_empty() {
            String::new()
        } else {
            format!(" Default: {}.", variable.default)
        };
        let doc = format!("{} Values: {}.{default}", variable.doc.trim(), variable.values);
        entry(variable.name, &doc, text);
    }
    for (name, doc) in env_vars::OTHERS {
        entry(name, doc, text);
    }
    section("FILES", text);
    entry(
        "/etc/gofix/config.toml",
        "The configuration of the machine.",
        text,
    );
    entry(
        "~/.config/gofix/config.toml",
        "The configuration of the user (below XDG_CONFIG_HOME, if that is set); it wins.",
        text,
    );
    entry(
        "/etc/gofix/off",
        "Where this file is, gofix stands aside for everybody.",
        text,
    );
    entry(
        "GOMODCACHE/cache/gofix",
        "What was set aside in the module cache: for seven days and at most 1 GiB.",
        text,
    );
    section("SEE ALSO", text);
    plain("go(1), https://go.dev/ref/mod#goproxy-protocol", text);
}

fn example_section(examples: &str, text: &mut Vec<u8>) {
    if examples.is_empty() {
        return;
    }
    section("EXAMPLES", text);
    text.extend_from_slice(b".nf\n");
    for line in examples.lines() {
        plain(line.strip_prefix("  ").unwrap_or(line), text);
    }
    text.extend_from_slice(b".fi\n");
}

fn section(name: &str, text: &mut Vec<u8>) {
    text.extend_from_slice(format!(".SH \"{name}\"\n").as_bytes());
}

fn entry(name: &str, meaning: &str, text: &mut Vec<u8>) {
    text.extend_from_slice(format!(".TP\n\\fB{}\\fR\n", roff(name)).as_bytes());
    plain(meaning, text);
}

fn plain(line: &str, text: &mut Vec<u8>) {
    let escaped = roff(line);
    // A line that starts with a dot or a quote would be a command.
    let guard = if escaped.starts_with(['.', '\'']) {
        "\\&"
    } else {
        ""
    };
    text.extend_from_slice(format!("{guard}{escaped}\n").as_bytes());
}

/// Text as roff reads it: escapes kept, Markdown's backquotes turned into quotes.
fn roff(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('`', "\\(aq")
        .replace('…', "...")
}
