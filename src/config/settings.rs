//! The settings as one table: how each key is read from a file, a variable or a flag, and how it is shown.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use toml_edit::Item;

use super::{BadValue, Config, Log, Origin, Relay, Repair, RouteSpec, Value, Widen, shown_path};
use crate::go::proxy_list::ProxyList;
use crate::net::url::{Url, UrlError};
use crate::policy::presets;
use crate::text::{redact_url, safe};

/// A value as `gofix config show` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Nothing is set.
    Nothing,
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
    /// Routes, credentials already taken out.
    Lists(Vec<String>),
}

/// How one key is read from any layer and shown.
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) set: fn(&mut Config, &Given<'_>, &Origin, &mut Vec<BadValue>),
    pub(super) show: fn(&Config) -> (Shown, &Origin),
}

impl Setting {
    /// What is wrong with a value, and what holds in its place.
    pub(super) fn with_what_holds(&self, config: &Config, why: &BadValue) -> String {
        match (self.show)(config).0 {
            Shown::Number(number) => format!("{why}; keeping {number}"),
            Shown::Text(text) => format!("{why}; keeping {text}"),
            Shown::Nothing => format!("{why}; leaving it unset"),
            Shown::Lists(_) => format!("{why}; ignored"),
        }
    }
}

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "routes",
        set: set_routes,
        show: |c| {
            (
                Shown::Lists(c.routes.iter().map(|route| route.list.redacted()).collect()),
                &c.routes_origin,
            )
        },
    },
    Setting {
        key: "widen",
        set: |c, g, o, e| put(&mut c.widen, g.word(WIDEN_WORDS), o, e),
        show: |c| (Shown::Text(word_of(WIDEN_WORDS, *c.widen)), &c.widen.origin),
    },
    Setting {
        key: "relay",
        set: |c, g, o, e| put(&mut c.relay, g.word(RELAY_WORDS), o, e),
        show: |c| (Shown::Text(word_of(RELAY_WORDS, *c.relay)), &c.relay.origin),
    },
    Setting {
        key: "repair",
        set: |c, g, o, e| put(&mut c.repair, g.word(REPAIR_WORDS), o, e),
        show: |c| (Shown::Text(word_of(REPAIR_WORDS, *c.repair)), &c.repair.origin),
    },
    Setting {
        key: "retry_count",
        set: |c, g, o, e| put(&mut c.retry_count, g.integer(0, 100).map(|n| n as u32), o, e),
        show: |c| (Shown::Number((*c.retry_count).into()), &c.retry_count.origin),
    },
    Setting {
        key: "budget",
        set: |c, g, o, e| put(&mut c.budget, g.duration(Duration::from_secs(1), DAY), o, e),
        show: |c| (Shown::Text(write_duration(*c.budget)), &c.budget.origin),
    },
    Setting {
        key: "timeout_ms",
        set: |c, g, o, e| {
            put(
                &mut c.connect_timeout,
                g.integer(100, 600_000).map(Duration::from_millis),
                o,
                e,
            );
        },
        show: |c| (millis(*c.connect_timeout), &c.connect_timeout.origin),
    },
    Setting {
        key: "stall_ms",
        set: |c, g, o, e| {
            put(
                &mut c.stall,
                g.integer(100, 86_400_000).map(Duration::from_millis),
                o,
                e,
            );
        },
        show: |c| (millis(*c.stall), &c.stall.origin),
    },
    Setting {
        key: "max_fails",
        set: |c, g, o, e| put(&mut c.max_fails, g.integer(1, 1000).map(|n| n as u32), o, e),
        show: |c| (Shown::Number((*c.max_fails).into()), &c.max_fails.origin),
    },
    Setting {
        key: "fail_timeout",
        set: |c, g, o, e| {
            put(
                &mut c.fail_timeout,
                g.duration(Duration::from_millis(100), DAY),
                o,
                e,
            );
        },
        show: |c| {
            (
                Shown::Text(write_duration(*c.fail_timeout)),
                &c.fail_timeout.origin,
            )
        },
    },
    Setting {
        key: "report",
        set: |c, g, o, e| put(&mut c.report, g.path().map(Some), o, e),
        show: |c| {
            (
                c.report
                    .value
                    .as_deref()
                    .map_or(Shown::Nothing, |p| Shown::Text(shown_path(p))),
                &c.report.origin,
            )
        },
    },
    Setting {
        key: "log",
        set: |c, g, o, e| put(&mut c.log, g.word(LOG_WORDS), o, e),
        show: |c| (Shown::Text(word_of(LOG_WORDS, *c.log)), &c.log.origin),
    },
];

/// The keys that no variable sets: key, values, documentation.
pub const KEYS_WITHOUT_VARIABLE: &[(&str, &str, &str)] = &[
    (
        "max_fails",
        "1 to 1000",
        "After how many faults in a row the relay stops asking a proxy for a while.",
    ),
    (
        "fail_timeout",
        "`\"10s\"`, `10`",
        "How long the relay then waits before it asks that proxy again; from `100ms` to `24h`.",
    ),
];

const DAY: Duration = Duration::from_secs(24 * 3600);
const WIDEN_WORDS: &[(&str, Widen)] = &[
    ("auto", Widen::Auto),
    ("always", Widen::Always),
    ("never", Widen::Never),
];
const RELAY_WORDS: &[(&str, Relay)] = &[("off", Relay::Off), ("on", Relay::On), ("auto", Relay::Auto)];
const REPAIR_WORDS: &[(&str, Repair)] = &[
    ("off", Repair::Off),
    ("module", Repair::Module),
    ("all", Repair::All),
];
const LOG_WORDS: &[(&str, Log)] = &[
    ("quiet", Log::Quiet),
    ("normal", Log::Normal),
    ("debug", Log::Debug),
];

fn put<T>(slot: &mut Value<T>, read: Result<T, BadValue>, origin: &Origin, complaints: &mut Vec<BadValue>) {
    match read {
        Ok(value) => {
            *slot = Value {
                value,
                origin: origin.clone(),
            }
        }
        Err(complaint) => complaints.push(complaint),
    }
}

fn set_routes(config: &mut Config, given: &Given<'_>, origin: &Origin, complaints: &mut Vec<BadValue>) {
    let Some(lists) = given.lists(complaints) else {
        return;
    };
    let mut routes = Vec::new();
    // A password that holds a `;` has been cut by it.
    let may_hold_secrets = lists.iter().any(|list| list.contains('@'));
    for list in lists {
        match expand_route(&list, origin) {
            Ok(mut specs) => routes.append(&mut specs),
            Err(BadValue::List(why)) if may_hold_secrets => complaints.push(why.without_text().into()),
            Err(complaint) => complaints.push(complaint),
        }
    }
    config.routes = routes;
    config.routes_origin = origin.clone();
}

/// The routes that one entry stands for: itself, or the lists of the preset that it names.
///
/// # Errors
/// An unknown preset, or a list that go would refuse.
pub fn expand_route(entry: &str, origin: &Origin) -> Result<Vec<RouteSpec>, BadValue> {
    if let Some(name) = entry.strip_prefix("preset:") {
        let preset = presets::find(name).ok_or_else(|| BadValue::Preset(safe(name)))?;
        return Ok(preset
            .lists
            .iter()
            .filter_map(|list| ProxyList::parse(list).ok())
            .map(|list| RouteSpec {
                list,
                preset: Some(preset.name),
                origin: origin.clone(),
            })
            .collect());
    }
    if entry.chars().any(char::is_control) {
        return Err(BadValue::ControlCharacters);
    }
    let list = ProxyList::parse(entry)?;
    for url in list.proxies() {
        Url::parse(url).map_err(|error| BadValue::Url {
            url: safe(&redact_url(url)),
            why: match error {
                UrlError::NoHost => "a URL needs a host",
                UrlError::Scheme(_) | UrlError::Malformed => "not a URL that can be asked",
            },
        })?;
    }
    if list.is_off() {
        return Err(BadValue::Off);
    }
    Ok(vec![RouteSpec {
        list,
        preset: None,
        origin: origin.clone(),
    }])
}

fn millis(duration: Duration) -> Shown {
    Shown::Number(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn word_of<T: PartialEq + Copy>(words: &[(&str, T)], value: T) -> String {
    words
        .iter()
        .find(|(_, v)| *v == value)
        .map_or_else(String::new, |(word, _)| (*word).to_owned())
}

/// A value as the user gave it.
pub(super) enum Given<'a> {
    Toml(&'a Item),
    Text(&'a OsStr),
}

impl Given<'_> {
    fn text(&self) -> Result<&str, BadValue> {
        match self {
            Self::Toml(item) => item
                .as_str()
                .ok_or_else(|| BadValue::of_type("a string", item.type_name())),
            Self::Text(text) => text.to_str().ok_or(BadValue::Encoding),
        }
    }

    fn integer(&self, low: u64, high: u64) -> Result<u64, BadValue> {
        let number = match self {
            Self::Toml(item) => match item.as_integer() {
                Some(number) => u64::try_from(number).ok(),
                None => return Err(BadValue::of_type("an integer", item.type_name())),
            },
            Self::Text(_) => {
                let text = self.text()?.trim();
                match text.parse::<u64>() {
                    Ok(number) => Some(number),
                    Err(_) if is_digits(text.strip_prefix('-').unwrap_or(text)) => None,
                    Err(_) => {
                        return Err(BadValue::Type {
                            expected: "an integer",
                            found: format!("`{}`", safe(text)),
                        });
                    }
                }
            }
        };
        number
            .filter(|number| (low..=high).contains(number))
            .ok_or(BadValue::OutOfRange(low, high))
    }

    fn duration(&self, low: Duration, high: Duration) -> Result<Duration, BadValue> {
        let duration = match self {
            Self::Toml(item) => match item.as_integer() {
                Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
                None => Some(parse_duration(self.text()?)?),
            },
            Self::Text(_) => Some(parse_duration(self.text()?)?),
        };
        duration
            .filter(|duration| (low..=high).contains(duration))
            .ok_or(BadValue::TooLongOrShort(low, high))
    }

    fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, BadValue> {
        let text = self.text()?.trim();
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        Err(BadValue::Word {
            found: safe(text),
            known: words.iter().map(|(word, _)| format!("`{word}`")).collect(),
        })
    }

    fn path(&self) -> Result<PathBuf, BadValue> {
        match self {
            Self::Text(text) => Ok(PathBuf::from(text)),
            Self::Toml(_) => {
                let path = PathBuf::from(self.text()?);
                // A file is read from everywhere, so a relative path in it would mean another file each time.
                if path.is_absolute() {
                    Ok(path)
                } else {
                    Err(BadValue::RelativePath)
                }
            }
        }
    }

    /// The lists as written: an array of texts in a file, separated by `;` in a variable or a flag.
    fn lists(&self, complaints: &mut Vec<BadValue>) -> Option<Vec<String>> {
        match self {
            Self::Text(_) => match self.text() {
                Ok(text) => Some(
                    text.split(';')
                        .map(str::trim)
                        .filter(|s| !s.is_empty())
                        .map(str::to_owned)
                        .collect(),
                ),
                Err(complaint) => {
                    complaints.push(complaint);
                    None
                }
            },
            Self::Toml(item) => {
                let Some(array) = item.as_array() else {
                    complaints.push(BadValue::of_type("an array of lists", item.type_name()));
                    return None;
                };
                let mut lists = Vec::new();
                for value in array {
                    match value.as_str() {
                        Some(text) => lists.push(text.trim().to_owned()),
                        None => {
                            complaints.push(BadValue::of_type("a list in quotes", value.type_name()));
                        }
                    }
                }
                Some(lists)
            }
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A duration as Go writes it (`1h30m`, `90s`, `1.5h`, `250ms`), or plain seconds.
///
/// # Errors
/// The message names the text and what it should look like.
pub fn parse_duration(text: &str) -> Result<Duration, BadValue> {
    let text = text.trim();
    let nanos = if is_digits(text) {
        nanoseconds(text, 1_000_000_000)
    } else {
        sum_of_parts(text)
    };
    // Go's own durations end there, after 292 years.
    let nanos = nanos.filter(|nanos| *nanos <= i64::MAX.unsigned_abs());
    nanos
        .map(Duration::from_nanos)
        .ok_or_else(|| BadValue::NoDuration(safe(text)))
}

/// `1h2.5s` in nanoseconds.
fn sum_of_parts(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 6] = [
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
    ];
    let mut sum = 0u64;
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let (unit, length) = UNITS.into_iter().find(|(unit, _)| behind.starts_with(unit))?;
        sum = sum.checked_add(nanoseconds(number, length)?)?;
        rest = &behind[unit.len()..];
        if rest.is_empty() {
            return Some(sum);
        }
    }
}

/// A number of units, each `unit` nanoseconds long; what is less than a nanosecond is cut off.
fn nanoseconds(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // An hour has less than 10^13 nanoseconds: no later digit counts.
    let fraction = &fraction[..fraction.len().min(13)];
    let tenths: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let part = tenths * u128::from(unit) / 10u128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_mul(unit)?.checked_add(u64::try_from(part).ok()?)
}

/// The shortest way in which [`parse_duration`] reads the same duration, to the millisecond.
pub fn write_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if !millis.is_multiple_of(1000) {
        return format!("{millis}ms");
    }
    let seconds = millis / 1000;
    let mut text = String::new();
    for (unit, length) in [("h", 3600), ("m", 60)] {
        let count = seconds / length % if unit == "h" { u128::MAX } else { 60 };
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if !seconds.is_multiple_of(60) || text.is_empty() {
        text.push_str(&format!("{}s", seconds % 60));
    }
    text
}

pub(super) fn unknown_key(name: &str) -> String {
    let near = SETTINGS
        .iter()
        .map(|setting| (edit_distance(name, setting.key), setting.key))
        .min()
        .filter(|(distance, key)| *distance <= key.len() / 3);
    match near {
        Some((_, key)) => format!("no such key; did you mean `{key}`?"),
        None => "no such key".to_owned(),
    }
}

/// Levenshtein's distance, on bytes; long names are cut, they are no slip of the finger anyway.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<u8> = a
        .bytes()
        .take(40)
        .map(|byte| {
            if byte == b'-' {
                b'_'
            } else {
                byte.to_ascii_lowercase()
            }
        })
        .collect();
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
