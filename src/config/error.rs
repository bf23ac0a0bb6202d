//! What can be wrong with a setting, and with a file that holds settings.

use std::time::Duration;

use thiserror::Error;

use super::write_duration;
use crate::go::proxy_list::ListError;
use crate::policy::presets;
use crate::text::{errno_text, safe};

/// Why a value is not taken. What it shows of the value is fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadValue {
    /// Another type than the one the key has.
    #[error("expected {expected}, found {found}")]
    Type {
        /// The type of the key, with its article.
        expected: &'static str,
        /// What was found, with its article.
        found: String,
    },
    /// Bytes that are no text.
    #[error("not valid UTF-8")]
    Encoding,
    /// A number outside the bounds.
    #[error("must be a whole number from {0} to {1}")]
    OutOfRange(u64, u64),
    /// A duration outside the bounds.
    #[error("must be from {} to {}", write_duration(*.0), write_duration(*.1))]
    TooLongOrShort(Duration, Duration),
    /// A text that is no duration.
    #[error("`{0}` is not a duration; write `10m`, `1h30m`, `90s`, or plain seconds")]
    NoDuration(String),
    /// A word that the key does not know.
    #[error("`{found}` is not one of {}", .known.join(", "))]
    Word {
        /// The word.
        found: String,
        /// The words that the key knows, quoted.
        known: Vec<String>,
    },
    /// A relative path in a file, which would be another file in each folder.
    #[error("must be an absolute path")]
    RelativePath,
    /// A preset that there is not.
    #[error("no preset `{}`; presets: {}", .0, preset_names())]
    Preset(String),
    /// Control characters in a list.
    #[error("a list cannot contain control characters")]
    ControlCharacters,
    /// A list that go would refuse.
    #[error("{}", safe(&.0.to_string()))]
    List(#[from] ListError),
    /// A proxy in a list that nobody could ask.
    #[error("{url}: {why}")]
    Url {
        /// Its URL without credentials.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// `off` as a route.
    #[error("`off` is not a route; `widen = \"never\"` switches later routes off")]
    Off,
}

fn preset_names() -> String {
    let names: Vec<&str> = presets::PRESETS.iter().map(|preset| preset.name).collect();
    names.join(", ")
}

impl BadValue {
    /// A value of another type: `expected` with its article, `found` as TOML names it.
    pub(super) fn of_type(expected: &'static str, found: &str) -> Self {
        let article = if found.starts_with(['a', 'e', 'i', 'o', 'u']) {
            "an"
        } else {
            "a"
        };
        Self::Type {
            expected,
            found: format!("{article} {found}"),
        }
    }
}

/// A flag whose value is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{flag}: {why}")]
pub struct BadFlag {
    /// The flag as it is typed.
    pub flag: &'static str,
    /// What is wrong.
    pub why: BadValue,
}

/// Why a configuration file is ignored as a whole.
#[derive(Debug, Error)]
pub(super) enum UnreadFile {
    #[error("cannot be read: {}", errno_text(.0))]
    Io(#[from] std::io::Error),
    #[error("is a folder, not a file")]
    Folder,
    #[error("is not a regular file")]
    Special,
    #[error("is larger than {0} bytes")]
    Large(u64),
    #[error("belongs to user {owner}, not to user {me} or root")]
    Stranger { owner: u32, me: u32 },
    #[error("may be written by everybody")]
    WorldWritable,
    #[error("line {0} is not valid UTF-8")]
    Encoding(usize),
    #[error("invalid TOML: {0}")]
    Syntax(String),
}
