//! Why a command of gofix's own could not do what it was asked to do.

use super::{FAILED, USAGE};
use crate::config::{BadFlag, BadValue};
use crate::report::out;
use crate::sys::files::Refusal;

/// A failure: one line for people, what to do about it, and the exit status.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}{}", .hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
pub(super) struct Failure {
    text: String,
    hint: Option<String>,
    exit_code: i32,
}

impl Failure {
    /// The command was understood and could not be carried out.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: None,
            exit_code: FAILED,
        }
    }

    /// The command line asks for something that makes no sense.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self {
            exit_code: USAGE,
            ..Self::new(text)
        }
    }

    /// The same failure, with what to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// The status that the program ends with.
    pub(super) fn exit_code(&self) -> i32 {
        self.exit_code
    }

    /// Says the line and returns the exit status.
    pub(super) fn say(&self) -> i32 {
        out::message(&self.to_string());
        self.exit_code()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.to_string())
    }
}

impl From<BadFlag> for Failure {
    fn from(flag: BadFlag) -> Self {
        Self::usage(flag.to_string())
    }
}

impl From<BadValue> for Failure {
    fn from(value: BadValue) -> Self {
        Self::new(value.to_string())
    }
}
