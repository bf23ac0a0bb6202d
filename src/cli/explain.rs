//! `gofix explain`: what happened in a saved log, which of it was the network,
//! which was an answer, and what to do.
//!
//! The log is read in pieces and never held, so its size does not matter.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::OK;
use super::failure::Failure;
use crate::diagnose::topics;
use crate::diagnose::{Explanation, Fault, Finding, Needs, Scanner, Verdict, explain_line};
use crate::report::{out, safe};

/// How much of a line a program is given, in bytes.
const JSON_LINE: usize = 4096;

/// The longest line that is asked about alone, in bytes.
const LONE_LINE: usize = 4096;

/// Runs the command: reads `file` (standard input where it is missing or `-`),
/// and says what is in it. 0 when it could be read, whatever it holds; 1 else.
pub(super) fn run(file: Option<&Path>, json: bool) -> Result<i32, Failure> {
    let file = file.filter(|file| *file != Path::new("-"));
    let explanation = read(file).map_err(|error| {
        let name = file.map_or_else(|| "standard input".into(), Path::to_string_lossy);
        Failure::new(format!("cannot read {}: {error}", safe(name.as_bytes())))
    })?;
    let text = match json {
        true => format!("{}\n", as_json(&explanation)),
        false => screen(&explanation),
    };
    let _ = out::stdout().write_all(text.as_bytes());
    Ok(OK)
}

fn read(file: Option<&Path>) -> io::Result<Explanation> {
    match file {
        Some(file) => read_from(File::open(file)?),
        None => {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                out::message("paste the output of go here, then press Ctrl-D");
            }
            read_from(stdin.lock())
        }
    }
}

fn read_from(mut source: impl Read) -> io::Result<Explanation> {
    let mut scanner = Scanner::default();
    let mut piece = vec![0; 64 * 1024];
    let mut beginning = Vec::new();
    loop {
        match source.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => {
                scanner.feed(&piece[..n]);
                if beginning.len() <= LONE_LINE {
                    beginning.extend_from_slice(&piece[..n]);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let explanation = Explanation::of(&scanner.finish());
    let is_unknown = explanation.diagnosis.verdict == Verdict::Unknown;
    let line = lone_line(&beginning).filter(|_| is_unknown);
    Ok(line.and_then(explain_line).unwrap_or(explanation))
}

/// The only line of a log.
fn lone_line(log: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(log).ok()?.trim();
    (log.len() <= LONE_LINE && !line.contains(['\n', '\r'])).then_some(line)
}

/// The one JSON object; the order of its keys is the one that is documented.
#[derive(Serialize)]
struct Object<'a> {
    verdict: &'a str,
    faults: Vec<FaultObject<'a>>,
    advice: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<&'a str>,
}

#[derive(Serialize)]
struct FaultObject<'a> {
    kind: &'a str,
    module: Option<&'a str>,
    version: Option<&'a str>,
    host: Option<&'a str>,
    url: Option<&'a str>,
    line: String,
}

fn as_json(explanation: &Explanation) -> String {
    let diagnosis = &explanation.diagnosis;
    let object = Object {
        verdict: diagnosis.verdict.as_str(),
        faults: diagnosis.faults.iter().map(FaultObject::of).collect(),
        advice: &diagnosis.advice,
        needs: (diagnosis.needs == Some(Needs::Disk)).then_some("disk"),
    };
    // Nothing in it can fail to be JSON.
    serde_json::to_string(&object).unwrap_or_default()
}

impl<'a> FaultObject<'a> {
    fn of(fault: &'a Fault) -> Self {
        let mut line: String = fault.line.chars().filter(|c| !c.is_control()).collect();
        if line.len() > JSON_LINE {
            line.truncate(boundary(&line, JSON_LINE));
        }
        Self {
            kind: fault.kind.as_str(),
            module: fault.module.as_deref(),
            version: fault.version.as_deref(),
            host: fault.host.as_deref(),
            url: fault.url.as_deref(),
            line,
        }
    }
}

/// One screen for a person.
fn screen(explanation: &Explanation) -> String {
    let diagnosis = &explanation.diagnosis;
    let mut text = String::new();
    let bold = Style::new().bold();
    text.push_str(&format!(
        "{bold}{}{bold:#}: {}\n",
        diagnosis.verdict,
        meaning(explanation)
    ));
    let groups: [(&str, AnsiColor, &[Verdict]); 4] = [
        ("Answers", AnsiColor::Red, &[Verdict::Final]),
        ("Decided by the disk", AnsiColor::Magenta, &[Verdict::Repair]),
        (
            "The network",
            AnsiColor::Yellow,
            &[Verdict::Retry, Verdict::Switch],
        ),
        ("Not recognised", AnsiColor::Cyan, &[Verdict::Unknown]),
    ];
    let sorted: Vec<(&str, AnsiColor, Vec<&Finding>)> = groups
        .into_iter()
        .map(|(title, colour, verdicts)| (title, colour, explanation.with_verdict(verdicts).collect()))
        .filter(|(_, _, found): &(_, _, Vec<_>)| !found.is_empty())
        .collect();
    for (title, colour, found) in &sorted {
        text.push_str(&group(title, *colour, found, room(sorted.len())));
    }
    if explanation.program && !explanation.findings.is_empty() {
        text.push_str(
            "\nA compiler, a test or a program failed as well; that is not about loading modules.\n",
        );
    }
    text.push_str(&format!("\n{bold}What to do{bold:#}\n  {}\n", diagnosis.advice));
    let deciding = diagnosis
        .faults
        .iter()
        .find(|fault| fault.verdict == diagnosis.verdict);
    if let Some(topic) = deciding.and_then(|fault| topics::of_rule(fault.rule)) {
        text.push_str(&format!("  More: gofix help {}\n", topic.id));
    }
    text
}

fn meaning(explanation: &Explanation) -> &'static str {
    match explanation.diagnosis.verdict {
        Verdict::Retry => "the network failed; the same command may work now",
        Verdict::Switch => "this server cannot deliver; only another route can",
        Verdict::Repair => "either an answer, or a damaged file in the module cache: the disk decides",
        Verdict::Final if explanation.findings.is_empty() => {
            "what failed is a program, not the loading of modules"
        }
        Verdict::Final => "an answer, not a fault; running it again changes nothing",
        Verdict::Unknown if explanation.bytes == 0 => "there is nothing to read",
        Verdict::Unknown if explanation.findings.is_empty() => "no failure of go's is in it",
        Verdict::Unknown => "go failed in words that gofix does not know",
    }
}

/// How many faults of each sort a screen of 24 lines has room for.
fn room(sorts: usize) -> usize {
    match sorts {
        0 | 1 => 6,
        2 => 3,
        _ => 1,
    }
}

fn group(title: &str, colour: AnsiColor, found: &[&Finding], room: usize) -> String {
    let style = Style::new().bold().fg_color(Some(colour.into()));
    let mut text = format!("\n{style}{title}{style:#} ({})\n", found.len());
    for finding in found.iter().take(room) {
        text.push_str(&one(finding));
    }
    if found.len() > room {
        text.push_str(&format!(
            "  … and {} more (--json lists all)\n",
            found.len() - room
        ));
    }
    text
}

fn one(finding: &Finding) -> String {
    let fault = &finding.fault;
    let mut head = vec![fault.kind.as_str().to_owned()];
    head.extend(fault.host.as_deref().map(safe));
    head.extend(fault.module.as_deref().map(|module| match &fault.version {
        Some(version) => format!("{}@{}", safe(module), safe(version)),
        None => safe(module),
    }));
    if finding.count > 1 {
        head.push(format!("{} times", finding.count));
    }
    if let Some(command) = &finding.command {
        head.push(format!("in: {}", safe(&shorten(command, 60))));
    }
    format!(
        "  {}\n      {}\n",
        head.join("  "),
        safe(&shorten(&fault.line, 240))
    )
}

/// The beginning and the end of a long line: what failed stands at its front,
/// why at its end.
fn shorten(line: &str, limit: usize) -> String {
    if line.len() <= limit {
        return line.to_owned();
    }
    let front = boundary(line, limit / 3);
    let back = boundary(line, line.len() - limit / 3 * 2);
    format!("{} … {}", &line[..front], &line[back..])
}

/// The last character boundary at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::FAILED;

    fn explained(log: &str) -> Explanation {
        read_from(log.as_bytes()).unwrap()
    }

    #[test]
    fn json_has_the_promised_keys_and_no_other() {
        let log = "go: example.com/a@v1.0.0: Get \"https://u:secret@proxy.test/example.com/a/@v/v1.0.0.mod\": EOF\n";
        let text = as_json(&explained(log));
        assert!(
            text.starts_with(r#"{"verdict":"retry","faults":[{"kind":"eof","module":"#),
            "{text}"
        );
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            json!({
                "verdict": "retry",
                "faults": [{
                    "kind": "eof",
                    "module": "example.com/a",
                    "version": "v1.0.0",
                    "host": "proxy.test",
                    "url": "https://xxxxx@proxy.test/example.com/a/@v/v1.0.0.mod",
                    "line": "go: example.com/a@v1.0.0: Get \"https://xxxxx@proxy.test/example.com/a/@v/v1.0.0.mod\": EOF",
                }],
                "advice": value["advice"],
            })
        );
        assert!(value["advice"].as_str().is_some_and(|a| !a.is_empty()));
    }

    #[test]
    fn says_what_the_disk_must_decide() {
        let text = as_json(&explained("go: zip: not a valid zip file\n"));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["verdict"], "repair");
        assert_eq!(value["needs"], "disk");
    }

    #[test]
    fn one_screen_whatever_the_log_holds() {
        let mut log = String::new();
        for i in 0..500 {
            log.push_str(&format!(
                "go: example.com/m{i}@v1.0.0: Get \"https://proxy.test/example.com/m{i}/@v/v1.0.0.zip\": EOF\n"
            ));
            log.push_str(&format!(
                "go: example.com/n{i}@v1.0.0: reading https://proxy.test/example.com/n{i}/@v/v1.0.0.zip: 404 Not Found\n"
            ));
        }
        let text = screen(&explained(&log));
        assert!(text.lines().count() <= 24, "{text}");
        assert!(text.contains("Answers"));
        assert!(text.contains("The network"));
    }

    #[test]
    fn an_empty_or_binary_log_is_no_trouble() {
        assert!(screen(&explained("")).contains("nothing to read"));
        let noise: Vec<u8> = (0..200_000u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let explanation = read_from(noise.as_slice()).unwrap();
        assert_eq!(explanation.diagnosis.verdict, Verdict::Unknown);
        assert!(!screen(&explanation).contains('\u{0}'));
    }

    #[test]
    fn control_characters_of_a_log_are_not_shown() {
        let log = "go: example.com/a@v1.0.0: Get \"https://proxy.test/\u{7}\u{9b}31m\": EOF\n";
        let text = screen(&explained(log));
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert!(!plain.contains(['\u{7}', '\u{9b}', '\u{1b}']), "{plain:?}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_status_1() {
        let folder = tempfile::tempdir().unwrap();
        for file in [folder.path(), &folder.path().join("absent")] {
            assert_eq!(run(Some(file), false).unwrap_err().exit_code(), FAILED);
        }
    }
}
