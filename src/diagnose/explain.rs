//! Whole logs: what happened in them, for a person.

use super::{Diagnosis, Finding, Findings, Scanner, Verdict};

/// What a saved log says.
#[derive(Debug)]
pub struct Explanation {
    /// The diagnosis of everything in it.
    pub diagnosis: Diagnosis,
    /// The same faults with how often each was said and below which command; in
    /// the same order as those of the diagnosis.
    pub findings: Vec<Finding>,
    /// Lines read.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// A compiler, a test or a program failed as well.
    pub program: bool,
}

impl Explanation {
    /// Puts together what a scanner found.
    #[must_use]
    pub fn of(findings: &Findings) -> Self {
        Self {
            diagnosis: Diagnosis::of(findings),
            findings: findings.decisive(),
            lines: findings.lines,
            bytes: findings.bytes,
            program: findings.program,
        }
    }

    /// The findings whose own verdict is one of these.
    pub fn with_verdict(&self, verdicts: &[Verdict]) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(move |f| verdicts.contains(&f.fault.verdict))
    }
}

/// Explains a log that is in memory. For one that is not, feed a [`Scanner`]
/// piece by piece: its memory does not grow with the log.
#[must_use]
pub fn explain(log: &[u8]) -> Explanation {
    let mut scanner = Scanner::default();
    scanner.feed(log);
    Explanation::of(&scanner.finish())
}

/// Explains a line of which nothing else is known, as if it stood below what go
/// says of git, or behind `go: `: whoever asks about it alone takes it for go's.
/// `None` where it would mean nothing there either.
#[must_use]
pub fn explain_line(line: &str) -> Option<Explanation> {
    ["go: git fetch: exit status 128:\n\t", "go: "]
        .into_iter()
        .map(|before| explain(format!("{before}{line}\n").as_bytes()))
        .find(|explanation| explanation.diagnosis.verdict != Verdict::Unknown)
}
