//! `gofix help TOPIC`: what the documents say about a text or a matter, without a network.

use std::ffi::OsStr;
use std::io::Write as _;

use super::OK;
use super::reference::EXIT_STATUSES;
use crate::diagnose::topics::{TOPICS, Topic, named};
use crate::env_vars;
use crate::report::out;
use crate::text::wrap;

/// The word for a matter, what it is about, and the text.
type Matter = (&'static str, &'static str, fn() -> String);

/// Matters that are no text of go's.
const MATTERS: &[Matter] = &[
    ("topics", "every topic", topics),
    (
        "exit-status",
        "the exit status of a go command run by gofix, and of gofix's own commands",
        exit_status,
    ),
    ("variables", "the variables that gofix reads", variables),
    ("faults", "what is tried again, and what is not", faults),
    ("privacy", "who learns which modules you use", privacy),
    ("off", "how to switch gofix off", off),
];

/// Shows the topic of that name; `None` where there is none.
pub(super) fn topic(name: &OsStr) -> Option<i32> {
    let name = name.to_str()?;
    let text = match MATTERS.iter().find(|(known, ..)| *known == name) {
        Some((_, _, text)) => text(),
        None => of_a_text(named(name)?),
    };
    let columns = out::stdout_columns().unwrap_or(80).clamp(40, 100);
    let mut stdout = out::stdout();
    for line in text.lines().flat_map(|line| wrap(line, columns)) {
        let _ = writeln!(stdout, "{line}");
    }
    Some(OK)
}

fn of_a_text(topic: &Topic) -> String {
    let sample = match topic.sample {
        "" => String::new(),
        sample => format!("What go says:\n{}\n", indented(sample)),
    };
    let cure: String = topic.cure.iter().map(|step| format!("  - {step}\n")).collect();
    format!(
        "{}\n\n{sample}Why:\n{}\nWhat to do:\n{cure}",
        topic.words,
        indented(topic.cause)
    )
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn topics() -> String {
    let mut text = String::from("What go says, and the topic for `gofix help TOPIC`:\n");
    for topic in TOPICS {
        text.push_str(&format!("  {:<25} {}\n", topic.id, topic.words));
    }
    text.push_str("\nAbout gofix:\n");
    for (name, about, _) in MATTERS {
        text.push_str(&format!("  {name:<25} {about}\n"));
    }
    text
}

fn exit_status() -> String {
    EXIT_STATUSES
        .iter()
        .map(|(status, meaning)| format!("  {status:<9} {meaning}\n"))
        .collect()
}

fn variables() -> String {
    let mut text = String::new();
    for variable in env_vars::ALL {
        let default = match variable.default {
            "" => String::new(),
            default => format!(" Default: {default}."),
        };
        text.push_str(&format!(
            "{} ({}){default}\n  {}\n",
            variable.name,
            variable.values,
            variable.doc.trim()
        ));
    }
    for (name, doc) in env_vars::OTHERS {
        text.push_str(&format!("{name}\n  {doc}\n"));
    }
    text
}

fn faults() -> String {
    "\
Tried again, because the next try may succeed: connections that are reset, refused or time out, names that do not \
resolve, servers that fall silent, files that are cut off, HTTP/2 errors, 408, 425, 429 and 5xx, and pages that come in \
place of a module file.

Shown at once and never tried again, because they are answers: 404 and 410, 401, 403 and 451, a checksum that does not \
match, a version that does not exist, a certificate that does not verify (another route that you allowed may still \
serve), and everything that is about your code.

`gofix explain FILE` says which of the two a saved log is.
"
    .to_owned()
}

fn privacy() -> String {
    "\
Without routes of your own gofix asks exactly the servers that go asks. A route that you add (`gofix routes add LIST`) is asked \
only after a fault of the one before it, and only if every proxy of your GOPROXY is public or stands in your routes: the \
name of a private module does not go to a public proxy because your own was down. GOPRIVATE, GONOPROXY, GONOSUMDB and \
GOSUMDB are never changed. Else gofix sends something only to an OpenTelemetry \
collector that OTEL_EXPORTER_OTLP_ENDPOINT names: no telemetry of its own, no update check.

`gofix routes` names everybody who may be asked.
"
    .to_owned()
}

fn off() -> String {
    "\
For one command: `GOFIX=off go build`. For one shell: `export GOFIX=off`. For one machine: the file /etc/gofix/off. For good: \
`gofix shim uninstall`, which leaves everything as it was.
"
    .to_owned()
}
