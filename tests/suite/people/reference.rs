//! The generated parts of the documents, made from where the program itself has them.
//!
//! A document holds each part between two marks (`<!-- generated: NAME -->` and `<!-- end -->`).

use clap::Command;
use gofix::cli::args;
use gofix::cli::reference::EXIT_STATUSES;
use gofix::config::{Config, KEYS_WITHOUT_VARIABLE, Shown};
use gofix::diagnose::topics::{TOPICS, Topic};
use gofix::env_vars;
use gofix::policy::presets::{MIRRORS, PRESETS};

/// Every generated part of the documents, by name.
pub(super) fn parts() -> Vec<(&'static str, String)> {
    vec![
        ("variables", variables()),
        ("other variables", other_variables()),
        ("keys", keys()),
        ("exit status", exit_statuses()),
        ("presets", presets()),
        ("proxies", proxies()),
        ("commands", commands()),
        ("troubleshooting", troubleshooting()),
    ]
}

/// The document with its generated parts made anew; text between marks of an unknown name stays.
pub(super) fn renew(document: &str) -> String {
    let parts = parts();
    let mut renewed = String::new();
    let mut inside = false;
    for line in document.lines() {
        if line == END {
            inside = false;
        }
        if !inside {
            renewed.push_str(line);
            renewed.push('\n');
        }
        let name = line
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.strip_suffix(" -->"));
        if let Some((_, text)) = parts.iter().find(|(known, _)| Some(*known) == name) {
            renewed.push_str(text);
            inside = true;
        }
    }
    renewed
}

const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

fn variables() -> String {
    let mut table = String::from(
        "| variable | values | default | key in the files | what it does |\n|---|---|---|---|---|\n",
    );
    for v in env_vars::ALL {
        let key = v.key.map_or_else(|| "–".to_owned(), |key| format!("`{key}`"));
        table.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            v.name,
            v.values,
            v.default,
            key,
            v.doc.trim()
        ));
    }
    table
}

fn exit_statuses() -> String {
    let mut table = String::from("| status | meaning |\n|---|---|\n");
    for (status, meaning) in EXIT_STATUSES {
        table.push_str(&format!("| {status} | {meaning} |\n"));
    }
    table
}

fn other_variables() -> String {
    let mut table = String::from("| variable | what it does to gofix |\n|---|---|\n");
    for (name, doc) in env_vars::OTHERS {
        table.push_str(&format!("| `{name}` | {doc} |\n"));
    }
    table
}

fn keys() -> String {
    let mut table = String::from("| key | values | default | what it does |\n|---|---|---|---|\n");
    let config = Config::default();
    for (key, shown, _) in config.entries() {
        let variable = env_vars::ALL.iter().find(|variable| variable.key == Some(key));
        let (values, doc) = match (
            variable,
            KEYS_WITHOUT_VARIABLE.iter().find(|(name, ..)| *name == key),
        ) {
            (Some(variable), _) => (in_a_file(key, variable.values), variable.doc.trim()),
            (None, Some((_, values, doc))) => ((*values).to_owned(), *doc),
            (None, None) => continue,
        };
        let default = match shown {
            Shown::Number(number) => format!("`{number}`"),
            Shown::Text(text) => format!("`\"{text}\"`"),
            Shown::Lists(_) => "`[]`".to_owned(),
            Shown::Nothing => "none".to_owned(),
        };
        table.push_str(&format!("| `{key}` | {values} | {default} | {doc} |\n"));
    }
    table
}

/// How the values of a variable are written in TOML, where that differs.
fn in_a_file(key: &str, values: &str) -> String {
    match key {
        "routes" => "`[\"LIST\", \"preset:NAME\"]`".to_owned(),
        "report" => "`\"/absolute/path\"`".to_owned(),
        "budget" => "`\"10m\"`, `600`".to_owned(),
        _ if values.contains('`') => values
            .replace('`', "\"")
            .split(", ")
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", "),
        _ => values.to_owned(),
    }
}

fn presets() -> String {
    let mut table = String::from("| preset | routes, in order | for |\n|---|---|---|\n");
    for preset in PRESETS {
        let lists: Vec<String> = preset.lists.iter().map(|list| format!("`{list}`")).collect();
        table.push_str(&format!(
            "| `{}` | {} | {} |\n",
            preset.name,
            lists.join("<br>"),
            preset.about
        ));
    }
    table
}

fn proxies() -> String {
    let mut table = String::from(
        "| proxy | who runs it | checksum database | last seen | what was seen |\n|---|---|---|---|---|\n",
    );
    for mirror in MIRRORS {
        let database = match mirror.checksum_database {
            Some(true) => "yes",
            Some(false) => "no",
            None => "?",
        };
        table.push_str(&format!(
            "| `https://{}{}` | {} | {database} | {} | {} |\n",
            mirror.proxy.host, mirror.proxy.path, mirror.operator, mirror.seen, mirror.evidence
        ));
    }
    table
}

fn commands() -> String {
    let mut text = String::new();
    let mut command = args::definition().term_width(100);
    command.build();
    help_of(&command, &mut text);
    // The help of a go command is go's own.
    for own in args::own_commands(&command) {
        help_of(own, &mut text);
        for below in args::below(own) {
            help_of(below, &mut text);
        }
    }
    text
}

/// The topics, and in front of them which text leads to which.
fn troubleshooting() -> String {
    let mut text = String::from("| what go says | topic |\n|---|---|\n");
    for topic in TOPICS {
        let words: Vec<String> = topic
            .words
            .split(", ")
            .map(|words| format!("`{words}`"))
            .collect();
        let words = match topic.sample.is_empty() {
            true => topic.words.to_owned(),
            false => words.join(", "),
        };
        text.push_str(&format!("| {words} | [{id}](#{id}) |\n", id = topic.id));
    }
    for topic in TOPICS {
        text.push_str(&topic_in_markdown(topic));
    }
    text
}

fn topic_in_markdown(topic: &Topic) -> String {
    let sample = match topic.sample {
        "" => String::new(),
        sample => format!("```text\n{sample}\n```\n\n"),
    };
    let cure: String = topic.cure.iter().map(|step| format!("- {step}\n")).collect();
    format!("\n### {}\n\n{sample}{}\n\n{cure}", topic.id, topic.cause)
}

fn help_of(command: &Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or("gofix").to_owned();
    let help = command.clone().render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!(
        "\n### `{name}`\n\n```text\n{}\n```\n",
        lines.join("\n").trim()
    ));
}
