//! One finding, and how bad it is.

use serde::Serialize;

use super::remedy::Remedy;

/// How bad a finding is. The order is that of the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// As it should be.
    Fine,
    /// Worth knowing; nothing to fix.
    Note,
    /// It works, and may fail tomorrow or is slow.
    Warning,
    /// go cannot work like this.
    Broken,
}

impl Grade {
    /// The word in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Broken => "BROKEN",
        }
    }

    /// The exit status of `gofix doctor` where this is the worst that was found.
    /// 2 is left to a command line that makes no sense.
    pub(crate) fn exit_status(self) -> u8 {
        match self {
            Self::Fine | Self::Note => 0,
            Self::Warning => 1,
            Self::Broken => 3,
        }
    }
}

/// Findings that a busy or full machine may bring about, by the `id` that they have in the JSON: a step that ran out of
/// time, a server that is slow, little room on a disk.
pub(super) const TIMEOUT: &str = "timeout";
pub(super) const SLOW: &str = "slow";
pub(super) const ROOM: &str = "room";

/// One row of the table. All text is fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// What kind of finding it is, for those that depend on how busy or full the machine is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'static str>,
    pub(crate) grade: Grade,
    /// What it is about: a server, a variable, a folder.
    pub(crate) subject: String,
    pub(crate) found: String,
    /// Where that comes from: which variable, file or measurement.
    pub(crate) from: String,
    /// The one command that fixes it.
    pub(crate) fix: Option<Remedy>,
}

impl Row {
    pub(crate) fn new(
        grade: Grade,
        subject: impl Into<String>,
        found: impl Into<String>,
        from: impl Into<String>,
    ) -> Self {
        Self {
            id: None,
            grade,
            subject: subject.into(),
            found: found.into(),
            from: from.into(),
            fix: None,
        }
    }

    /// The same with an `id`.
    #[must_use]
    pub(super) fn id(mut self, id: impl Into<Option<&'static str>>) -> Self {
        self.id = id.into();
        self
    }

    /// The same with the command that fixes it.
    #[must_use]
    pub(crate) fn fix(mut self, command: impl Into<Option<Remedy>>) -> Self {
        self.fix = command.into();
        self
    }
}
