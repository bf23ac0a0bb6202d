//! The configuration: defaults, the system's file, the user's file, variables, flags; the later layer wins.
//!
//! There is no file of a project: a repository that somebody merely downloaded must not choose which servers learn module
//! names. Every value remembers which layer set it ([`Origin`]), because a route counts as allowed only through the words of
//! the user, and because `gofix config show` has to say where a value comes from.
//!
//! A mistake in the configuration never stops a go command: it becomes one [`Warning`] and the layer below holds. Loading is
//! on the way of every supervised command, so without files it costs two failed `open` calls and a look at the environment.
//!
//! Known to be imperfect: a file with a syntax error is ignored as a whole, since a half understood file is a guess.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml_edit::{Document, Item};

use crate::env_vars;
use crate::policy::presets;

/// The folder of the system's configuration.
pub const SYSTEM_DIR: &str = "/etc/gofix";

/// A file larger than this is no configuration and is not read: 1 MiB.
const MAX_FILE: u64 = 1 << 20;

/// Where variables are read from: the process's environment, or a table of a test.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Everything that can be configured, with the layer that each value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The routes behind the user's own GOPROXY, in order, presets already replaced by their lists.
    pub routes: Vec<RouteSpec>,
    /// Which layer set the routes as a whole (also where it set them to none).
    pub routes_origin: Origin,
    /// Further runs of go for one route after a fault; default 3.
    pub retry_count: Value<u32>,
    /// Connect clock for each address; default 5 s.
    pub connect_timeout: Value<Duration>,
    /// Stall clock; default 30 s.
    pub stall: Value<Duration>,
    /// Time for everything together, from the start; default 10 minutes.
    pub budget: Value<Duration>,
    /// What may be repaired.
    pub repair: Value<Repair>,
    /// Whether the relay is used.
    pub relay: Value<Relay>,
    /// Whether later routes may be used.
    pub widen: Value<Widen>,
    /// The JSON lines file that events are appended to.
    pub report: Value<Option<PathBuf>>,
    /// How much gofix says.
    pub log: Value<Log>,
    /// Faults in a row that open the breaker of one upstream; default 10.
    pub max_fails: Value<u32>,
    /// How long an open breaker waits before its next probe; default 10 s.
    pub fail_timeout: Value<Duration>,
}

/// One route: a list in the grammar of GOPROXY, written by the user or brought by a preset that the user named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// The list, with whatever credentials the user wrote into it: never print it unredacted.
    pub list: String,
    /// The preset that brought it.
    pub preset: Option<&'static str>,
    /// The layer that it was written in.
    pub origin: Origin,
}

/// A value and the layer that set it. It can be read like the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// The layer of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The system's file, with the line.
    SystemFile(PathBuf, usize),
    /// The user's file, with the line.
    UserFile(PathBuf, usize),
    /// A variable of the environment, by name.
    Variable(&'static str),
    /// A flag of gofix's own, as it is typed.
    Flag(&'static str),
}

/// What may be repaired in the module cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    Off,
    /// Single files and module versions that are proven bad.
    Module,
    /// The whole cache, by `go clean -modcache`.
    All,
}

/// Whether the relay stands between go and the proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relay {
    /// Never.
    Off,
    /// For every command that may fetch modules.
    On,
    /// For supervised commands only.
    Auto,
}

/// Whether a list may be left for a later route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Widen {
    /// Only where every proxy of the user's list is public or written out in the routes.
    Auto,
    /// Whatever the user's list holds.
    Always,
    /// Not at all.
    Never,
}

/// How much gofix says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Log {
    /// Warnings and the last word only.
    Quiet,
    /// One line for each trouble.
    Normal,
    /// Every step.
    Debug,
}

/// One mistake in the configuration, as one line: where it is, and what holds instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// `FILE:LINE`, `FILE`, or the name of a variable.
    pub place: String,
    /// The key of the file, where the mistake is at one.
    pub key: Option<String>,
    /// What is wrong, and what holds.
    pub message: String,
}

/// The files of the two layers below the variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The system's file.
    pub system: PathBuf,
    /// The user's file, if there is a place for one.
    pub user: Option<UserFile>,
}

/// The user's file, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFile {
    /// Its path; absolute.
    pub path: PathBuf,
    /// It was named by `GOFIX_CONFIG`: then it has to exist, and may belong to anybody.
    pub named: bool,
}

impl Config {
    /// Reads both files and the variables. It cannot fail: what is wrong is in the warnings, and the layer below holds.
    pub fn load(env: Env<'_>) -> (Self, Vec<Warning>) {
        let mut warnings = Vec::new();
        let files = Files::locate(env, &mut warnings);
        let config = Self::load_files(&files, env, &mut warnings);
        (config, warnings)
    }

    /// As [`Config::load`], with the files given.
    pub fn load_files(files: &Files, env: Env<'_>, warnings: &mut Vec<Warning>) -> Self {
        let mut config = Self::default();
        read_file(&mut config, &files.system, Layer::System, warnings);
        if let Some(user) = &files.user {
            read_file(
                &mut config,
                &user.path,
                Layer::User { named: user.named },
                warnings,
            );
        }
        config.read_variables(env, warnings);
        config
    }

    /// Sets one value from a flag that was given on gofix's own command line.
    ///
    /// # Errors
    /// The message says what is wrong with the text; the value stays as it was.
    pub fn set_flag(&mut self, key: &str, flag: &'static str, text: &OsStr) -> Result<(), String> {
        let setting = SETTINGS
            .iter()
            .find(|s| s.key == key)
            .ok_or_else(|| format!("no setting {key}"))?;
        let mut complaints = Vec::new();
        (setting.set)(self, &Given::Text(text), &Origin::Flag(flag), &mut complaints);
        complaints.pop().map_or(Ok(()), Err)
    }

    /// Every setting in the order of the reference: key, value as it would be written, origin.
    pub fn entries(&self) -> Vec<(&'static str, Shown, &Origin)> {
        SETTINGS
            .iter()
            .map(|setting| {
                let (shown, origin) = (setting.show)(self);
                (setting.key, shown, origin)
            })
            .collect()
    }

    fn read_variables(&mut self, env: Env<'_>, warnings: &mut Vec<Warning>) {
        for variable in env_vars::ALL {
            let Some(setting) = variable
                .key
                .and_then(|key| SETTINGS.iter().find(|s| s.key == key))
            else {
                continue;
            };
            let Some(text) = env(variable.name).filter(|text| !text.is_empty()) else {
                continue;
            };
            let mut complaints = Vec::new();
            (setting.set)(
                self,
                &Given::Text(&text),
                &Origin::Variable(variable.name),
                &mut complaints,
            );
            warnings.extend(complaints.into_iter().map(|complaint| Warning {
                place: variable.name.to_owned(),
                key: None,
                message: setting.with_what_holds(self, complaint),
            }));
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            routes_origin: Origin::Default,
            retry_count: Value::built_in(3),
            connect_timeout: Value::built_in(Duration::from_millis(5000)),
            stall: Value::built_in(Duration::from_millis(30_000)),
            budget: Value::built_in(Duration::from_secs(600)),
            repair: Value::built_in(Repair::Module),
            relay: Value::built_in(Relay::Off),
            widen: Value::built_in(Widen::Auto),
            report: Value::built_in(None),
            log: Value::built_in(Log::Normal),
            max_fails: Value::built_in(10),
            fail_timeout: Value::built_in(Duration::from_secs(10)),
        }
    }
}

impl Files {
    /// Finds the files of this environment; what is wrong with `GOFIX_CONFIG` becomes a warning.
    pub fn locate(env: Env<'_>, warnings: &mut Vec<Warning>) -> Self {
        // Tests put a folder of their own in place of /etc/gofix, so that the machine's file does not decide them.
        let system_dir =
            env("__GOFIX_TEST_SYSTEM_DIR").map_or_else(|| PathBuf::from(SYSTEM_DIR), PathBuf::from);
        Self {
            system: system_dir.join("config.toml"),
            user: user_file(env, warnings),
        }
    }
}

fn user_file(env: Env<'_>, warnings: &mut Vec<Warning>) -> Option<UserFile> {
    let Some(named) = env(env_vars::GOFIX_CONFIG).filter(|value| !value.is_empty()) else {
        return default_user_file(env).map(|path| UserFile { path, named: false });
    };
    if named == "off" {
        return None;
    }
    let path = PathBuf::from(named);
    if path.is_absolute() {
        return Some(UserFile { path, named: true });
    }
    // A relative path would make it a file of whatever project one happens to stand in.
    warnings.push(Warning {
        place: env_vars::GOFIX_CONFIG.to_owned(),
        key: None,
        message: format!(
            "`{}` is not an absolute path; no user's file is read",
            shown_path(&path)
        ),
    });
    None
}

/// The user's file in the XDG folder; none where neither `XDG_CONFIG_HOME` nor `HOME` is an absolute path.
fn default_user_file(env: Env<'_>) -> Option<PathBuf> {
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(base.join("gofix").join("config.toml"))
}

#[derive(Clone, Copy)]
enum Layer {
    System,
    User { named: bool },
}

impl Layer {
    fn origin(self, path: &Path, line: usize) -> Origin {
        match self {
            Self::System => Origin::SystemFile(path.to_owned(), line),
            Self::User { .. } => Origin::UserFile(path.to_owned(), line),
        }
    }
}

fn read_file(config: &mut Config, path: &Path, layer: Layer, warnings: &mut Vec<Warning>) {
    let text = match read_text(path, layer) {
        Ok(Some(text)) => text,
        Ok(None) => return,
        Err(message) => {
            warnings.push(Warning {
                place: shown_path(path),
                key: None,
                message: format!("{message}; nothing in it holds"),
            });
            return;
        }
    };
    apply_text(config, path, layer, &text, warnings);
}

/// The text of a configuration file; `None` where there is no file.
fn read_text(path: &Path, layer: Layer) -> Result<Option<String>, String> {
    let named = matches!(layer, Layer::User { named: true });
    // O_NONBLOCK: a fifo without a writer must not hold up a go command.
    let file = match File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if !named && is_absent(&error) => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {}", os_words(&error))),
    };
    let about = file
        .metadata()
        .map_err(|error| format!("cannot be read: {}", os_words(&error)))?;
    if about.is_dir() {
        return Err("is a folder, not a file".to_owned());
    }
    if !about.is_file() {
        // /dev/null is the usual way to say "no file".
        return if path == Path::new("/dev/null") {
            Ok(None)
        } else {
            Err("is not a regular file".to_owned())
        };
    }
    if about.len() > MAX_FILE {
        return Err(format!("has {} bytes; at most {MAX_FILE} are read", about.len()));
    }
    if !named {
        refuse_strangers(&about)?;
    }
    let mut bytes = Vec::new();
    // The length may have grown since it was asked for.
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {}", os_words(&error)))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("has more than {MAX_FILE} bytes"));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let line =
            1 + memchr::memchr_iter(b'\n', &error.as_bytes()[..error.utf8_error().valid_up_to()]).count();
        format!("line {line} is not UTF-8")
    })
}

/// No file, or nothing that could hold one.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// Whoever may write the file chooses which servers learn module names, so it has to be the user's or root's.
fn refuse_strangers(about: &std::fs::Metadata) -> Result<(), String> {
    let me = nix::unistd::geteuid().as_raw();
    if about.uid() != me && about.uid() != 0 {
        return Err(format!(
            "belongs to user {}, not to user {me} or root",
            about.uid()
        ));
    }
    if about.mode() & 0o002 != 0 {
        return Err("may be written by everybody".to_owned());
    }
    Ok(())
}

fn apply_text(config: &mut Config, path: &Path, layer: Layer, text: &str, warnings: &mut Vec<Warning>) {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            warnings.push(Warning {
                place: format!("{}:{line}", shown_path(path)),
                key: None,
                message: format!(
                    "no TOML: {}; nothing in this file holds",
                    one_line(error.message())
                ),
            });
            return;
        }
    };
    let table = document.as_table();
    for (name, item) in table.iter() {
        let key_span = table.get_key_value(name).and_then(|(key, _)| key.span());
        let line = key_span
            .or_else(|| item.span())
            .map_or(1, |span| line_of(text, span.start));
        let warn = |message: String| Warning {
            place: format!("{}:{line}", shown_path(path)),
            key: Some(one_line(name)),
            message,
        };
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == name) else {
            warnings.push(warn(unknown_key(name)));
            continue;
        };
        let mut complaints = Vec::new();
        (setting.set)(
            config,
            &Given::Toml(item),
            &layer.origin(path, line),
            &mut complaints,
        );
        for complaint in complaints {
            let message = setting.with_what_holds(config, complaint);
            warnings.push(warn(message));
        }
    }
}

fn unknown_key(name: &str) -> String {
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

/// A value as the user gave it.
enum Given<'a> {
    Toml(&'a Item),
    Text(&'a OsStr),
}

impl Given<'_> {
    fn text(&self) -> Result<&str, String> {
        match self {
            Self::Toml(item) => item
                .as_str()
                .ok_or_else(|| format!("{} where a text belongs", type_of(item))),
            Self::Text(text) => text.to_str().ok_or_else(|| "the value is not UTF-8".to_owned()),
        }
    }

    fn integer(&self, low: u64, high: u64) -> Result<u64, String> {
        let number = match self {
            Self::Toml(item) => match item.as_integer() {
                Some(number) => u64::try_from(number).ok(),
                None => return Err(format!("{} where a whole number belongs", type_of(item))),
            },
            Self::Text(_) => {
                let text = self.text()?.trim();
                match text.parse::<u64>() {
                    Ok(number) => Some(number),
                    Err(_) if is_digits(text.strip_prefix('-').unwrap_or(text)) => None,
                    Err(_) => return Err(format!("`{}` is not a whole number", one_line(text))),
                }
            }
        };
        number
            .filter(|number| (low..=high).contains(number))
            .ok_or_else(|| format!("it must be a whole number from {low} to {high}"))
    }

    fn duration(&self, low: Duration, high: Duration) -> Result<Duration, String> {
        let duration = match self {
            Self::Toml(item) => match item.as_integer() {
                Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
                None => Some(parse_duration(self.text()?)?),
            },
            Self::Text(_) => Some(parse_duration(self.text()?)?),
        };
        duration
            .filter(|duration| (low..=high).contains(duration))
            .ok_or_else(|| {
                format!(
                    "it must be from {} to {}",
                    write_duration(low),
                    write_duration(high)
                )
            })
    }

    fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, String> {
        let text = self.text()?.trim();
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        Err(format!("`{}` is none of {}", one_line(text), known.join(", ")))
    }

    fn path(&self) -> Result<PathBuf, String> {
        match self {
            Self::Text(text) => Ok(PathBuf::from(text)),
            Self::Toml(_) => {
                let path = PathBuf::from(self.text()?);
                // A file is read from everywhere, so a relative path in it would mean another file each time.
                if path.is_absolute() {
                    Ok(path)
                } else {
                    Err("it must be an absolute path".to_owned())
                }
            }
        }
    }

    /// The lists as written: an array of texts in a file, separated by `;` in a variable or a flag.
    fn lists(&self, complaints: &mut Vec<String>) -> Option<Vec<String>> {
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
                    complaints.push(format!(
                        "{} where an array of lists belongs: routes = [\"LIST\", \"LIST\"]",
                        type_of(item)
                    ));
                    return None;
                };
                let mut lists = Vec::new();
                for value in array {
                    match value.as_str() {
                        Some(text) => lists.push(text.trim().to_owned()),
                        None => {
                            complaints.push(format!("{} where a list in quotes belongs", value.type_name()))
                        }
                    }
                }
                Some(lists)
            }
        }
    }
}

fn type_of(item: &Item) -> String {
    item.type_name().to_owned()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A duration as Go writes it (`1h30m`, `90s`, `1.5h`, `250ms`), or plain seconds.
///
/// # Errors
/// The message names the text and what it should look like.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let wrong = || {
        format!(
            "`{}` is no duration; write it as `10m`, `1h30m`, `90s` or in plain seconds",
            one_line(text)
        )
    };
    if is_digits(text) {
        return text.parse().map(Duration::from_secs).map_err(|_| wrong());
    }
    let mut seconds = 0f64;
    let mut rest = text;
    if rest.is_empty() || text.len() > 64 {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let number: f64 = rest[..end].parse().map_err(|_| wrong())?;
        rest = &rest[end..];
        let (unit, factor) = [
            ("ms", 1e-3),
            ("us", 1e-6),
            ("ns", 1e-9),
            ("h", 3600.0),
            ("m", 60.0),
            ("s", 1.0),
        ]
        .into_iter()
        .find(|(unit, _)| rest.starts_with(unit))
        .ok_or_else(wrong)?;
        seconds += number * factor;
        rest = &rest[unit.len()..];
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// The shortest way in which [`parse_duration`] reads the same duration, to the millisecond.
pub fn write_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis % 1000 != 0 {
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
    if seconds % 60 > 0 || text.is_empty() {
        text.push_str(&format!("{}s", seconds % 60));
    }
    text
}

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
struct Setting {
    key: &'static str,
    set: fn(&mut Config, &Given<'_>, &Origin, &mut Vec<String>),
    show: fn(&Config) -> (Shown, &Origin),
}

impl Setting {
    fn with_what_holds(&self, config: &Config, complaint: String) -> String {
        match (self.show)(config).0 {
            Shown::Number(number) => format!("{complaint}; it stays {number}"),
            Shown::Text(text) => format!("{complaint}; it stays {text}"),
            Shown::Nothing => format!("{complaint}; it stays unset"),
            Shown::Lists(_) => complaint,
        }
    }
}

const SETTINGS: &[Setting] = &[
    Setting {
        key: "routes",
        set: set_routes,
        show: |c| {
            (
                Shown::Lists(c.routes.iter().map(RouteSpec::redacted).collect()),
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
            )
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
            )
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
            )
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

fn put<T>(slot: &mut Value<T>, read: Result<T, String>, origin: &Origin, complaints: &mut Vec<String>) {
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

fn set_routes(config: &mut Config, given: &Given<'_>, origin: &Origin, complaints: &mut Vec<String>) {
    let Some(lists) = given.lists(complaints) else {
        return;
    };
    let mut routes = Vec::new();
    for list in lists {
        match expand_route(&list, origin) {
            Ok(mut specs) => routes.append(&mut specs),
            Err(complaint) => complaints.push(format!("{complaint}; this route is left out")),
        }
    }
    config.routes = routes;
    config.routes_origin = origin.clone();
}

/// The routes that one entry stands for: itself, or the lists of the preset that it names.
///
/// # Errors
/// An unknown preset, or a list that go would refuse.
pub fn expand_route(entry: &str, origin: &Origin) -> Result<Vec<RouteSpec>, String> {
    if let Some(name) = entry.strip_prefix("preset:") {
        let preset = presets::find(name).ok_or_else(|| {
            let known: Vec<&str> = presets::PRESETS.iter().map(|preset| preset.name).collect();
            format!("no preset `{}`; there are: {}", one_line(name), known.join(", "))
        })?;
        return Ok(preset
            .lists
            .iter()
            .map(|list| RouteSpec {
                list: (*list).to_owned(),
                preset: Some(preset.name),
                origin: origin.clone(),
            })
            .collect());
    }
    check_list(entry)?;
    Ok(vec![RouteSpec {
        list: entry.to_owned(),
        preset: None,
        origin: origin.clone(),
    }])
}

fn check_list(list: &str) -> Result<(), String> {
    if list.is_empty() || list.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("`{}` is no GOPROXY list", one_line(list)));
    }
    Ok(())
}

fn millis(duration: Duration) -> Shown {
    Shown::Number(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn word_of<T: PartialEq>(words: &[(&str, T)], value: T) -> String {
    words
        .iter()
        .find(|(_, v)| *v == value)
        .map_or_else(String::new, |(word, _)| (*word).to_owned())
}

impl RouteSpec {
    /// The list without passwords, safe to print.
    pub fn redacted(&self) -> String {
        self.list.clone()
    }
}

impl<T> Value<T> {
    fn built_in(value: T) -> Self {
        Self {
            value,
            origin: Origin::Default,
        }
    }
}

impl<T> Deref for Value<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::SystemFile(path, line) | Self::UserFile(path, line) => {
                write!(f, "{}:{line}", shown_path(path))
            }
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.message)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + memchr::memchr_iter(b'\n', before).count()
}

fn shown_path(path: &Path) -> String {
    one_line(&String::from_utf8_lossy(path.as_os_str().as_bytes()))
}

/// What the system says about an error, without the number behind it.
fn os_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// A text from a file or a variable, fit to stand inside one line.
fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(120)
        .collect();
    if line.len() < text.len() && text.chars().count() > 120 {
        line.push('…');
    }
    line
}
