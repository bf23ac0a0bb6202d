//! Reports as files: read, summed up, shown.

use std::io::{self, BufRead, Write};

use crate::report::{html, read, summary};

/// Any number of JSON reports, read and added up.
#[derive(Debug, Default)]
pub struct Reports(read::Reports);

impl Reports {
    /// Adds one report. Lines that are no events are counted, not refused.
    ///
    /// # Errors
    /// Those of reading; what was read before them counts.
    pub fn add(&mut self, file: impl BufRead) -> io::Result<()> {
        self.0.add(file)
    }

    /// Writes the summary for a terminal.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn summary(&self, out: &mut impl Write) -> io::Result<()> {
        summary::write(&self.0, out)
    }

    /// One JSON object.
    pub fn json(&self) -> serde_json::Value {
        summary::json(&self.0)
    }

    /// One self-contained HTML page.
    pub fn html(&self) -> String {
        html::page(&self.0)
    }
}
