//! The configuration: defaults, the system's file, the user's file, variables, flags; the later layer wins.
//!
//! There is no file of a project: a repository that somebody merely downloaded must not choose which servers learn module
//! names. Every value remembers which layer set it ([`Origin`]), because a route counts as allowed only through the words of
//! the user, and because `gofix config show` has to say where a value comes from.
//!
//! A mistake in the configuration never stops a go command: it becomes one [`Warning`] and the layer below holds. Loading is
//! on the way of every supervised command, so without files it costs two failed `open` calls and a look at the environment.
//!
//! Known limitations: a file with a syntax error is ignored as a whole, since a half understood file is a guess.

mod error;
mod file;
mod settings;

use std::ffi::OsString;
use std::fmt;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::error::{BadFlag, BadValue};
pub use self::file::{Files, SYSTEM_DIR, UserFile};
pub use self::settings::{KEYS_WITHOUT_VARIABLE, Shown, expand_route, parse_duration, write_duration};
pub use crate::policy::widen::Widen;

use self::file::{Layer, read_file};
use self::settings::{Given, SETTINGS};
use crate::env_vars;
use crate::go::env::Lookup;
use crate::go::proxy_list::ProxyList;
use crate::text::safe;

/// Everything that can be configured, with the layer that each value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The routes behind the user's own GOPROXY, in order, presets already replaced by their lists.
    pub routes: Vec<RouteSpec>,
    /// Which layer set the routes as a whole (also where it set them to none).
    pub routes_origin: Origin,
    /// How often to run go again on one route after a fault; default 3.
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
    /// How much gofix prints.
    pub log: Value<Log>,
    /// Faults in a row that open the breaker of one upstream; default 10.
    pub max_fails: Value<u32>,
    /// How long an open breaker waits before its next probe; default 10 s.
    pub fail_timeout: Value<Duration>,
}

/// One route: a list in the grammar of GOPROXY, written by the user or brought by a preset that the user named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// The list, with whatever credentials the user wrote into it: show it by [`ProxyList::redacted`].
    pub list: ProxyList,
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

/// How much gofix prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Log {
    /// Warnings and the last word only.
    Quiet,
    /// One line for each trouble.
    Normal,
    /// Every step.
    Debug,
}

/// The settings that were given as flags on gofix's own command line, the topmost layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags(pub Vec<Flag>);

/// One setting given as a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The key of the configuration files that says the same.
    pub key: &'static str,
    /// The flag as it is typed.
    pub flag: &'static str,
    /// Its value.
    pub value: OsString,
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

impl Config {
    /// The lists of the configured routes, in their order.
    #[must_use]
    pub(crate) fn route_lists(&self) -> Vec<ProxyList> {
        self.routes.iter().map(|route| route.list.clone()).collect()
    }

    /// Reads both files and the variables. It cannot fail: what is wrong is in the warnings, and the layer below holds.
    pub fn load(env: Lookup<'_>) -> (Self, Vec<Warning>) {
        let mut warnings = Vec::new();
        let files = Files::locate(env, &mut warnings);
        let config = Self::load_files(&files, env, &mut warnings);
        (config, warnings)
    }

    /// As [`Config::load`], with the files given.
    pub fn load_files(files: &Files, env: Lookup<'_>, warnings: &mut Vec<Warning>) -> Self {
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

    /// Puts the flags of gofix's own command line on top.
    ///
    /// # Errors
    /// The message names the flag and says what is wrong with its value; the setting stays as it was.
    pub fn apply(&mut self, flags: &Flags) -> Result<(), BadFlag> {
        for Flag { key, flag, value } in &flags.0 {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.key == *key) else {
                continue;
            };
            let mut complaints = Vec::new();
            (setting.set)(self, &Given::Text(value), &Origin::Flag(flag), &mut complaints);
            if let Some(why) = complaints.into_iter().next() {
                return Err(BadFlag { flag, why });
            }
        }
        Ok(())
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

    fn read_variables(&mut self, env: Lookup<'_>, warnings: &mut Vec<Warning>) {
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
                message: setting.with_what_holds(self, &complaint),
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
            relay: Value::built_in(Relay::Auto),
            widen: Value::built_in(Widen::Auto),
            report: Value::built_in(None),
            log: Value::built_in(Log::Normal),
            max_fails: Value::built_in(10),
            fail_timeout: Value::built_in(Duration::from_secs(10)),
        }
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

fn shown_path(path: &Path) -> String {
    safe(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder with a system's file and a user's file, and variables.
    struct World {
        folder: tempfile::TempDir,
        variables: Vec<(&'static str, OsString)>,
    }

    impl World {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
                variables: Vec::new(),
            }
        }

        fn system(self, text: &str) -> Self {
            fs::write(self.folder.path().join("config.toml"), text).unwrap();
            self
        }

        fn user_path(&self) -> PathBuf {
            self.folder.path().join("xdg/gofix/config.toml")
        }

        fn user(self, text: impl AsRef<[u8]>) -> Self {
            fs::create_dir_all(self.folder.path().join("xdg/gofix")).unwrap();
            fs::write(self.user_path(), text).unwrap();
            self
        }

        fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
            self.variables.push((name, value.into()));
            self
        }

        fn load(&self) -> (Config, Vec<String>) {
            let env = |name: &str| match name {
                "__GOFIX_TEST_SYSTEM_DIR" => Some(self.folder.path().into()),
                "XDG_CONFIG_HOME" => Some(self.folder.path().join("xdg").into()),
                _ => self
                    .variables
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| value.clone()),
            };
            let (config, warnings) = Config::load(&env);
            let folder = self.folder.path().to_str().unwrap();
            (
                config,
                warnings
                    .iter()
                    .map(|w| w.to_string().replace(folder, ""))
                    .collect(),
            )
        }
    }

    fn lists(config: &Config) -> Vec<String> {
        config.routes.iter().map(|route| route.list.value()).collect()
    }

    #[test]
    fn without_files_and_variables_the_defaults_hold_silently() {
        let (config, warnings) = World::new().load();
        assert_eq!(config, Config::default());
        assert_eq!(warnings, [""; 0]);
    }

    #[test]
    fn a_later_layer_wins_and_every_value_knows_its_layer() {
        let world = World::new()
            .system("retry_count = 1\nbudget = \"5m\"\nroutes = [\"https://a.example\"]\n")
            .user("# mine\nbudget = 90\nwiden = \"never\"\nroutes = [\"https://b.example|direct\", \"preset:cn\"]\n")
            .variable("GOFIX_WIDEN", "always")
            .variable("GOFIX_REPORT", "out.jsonl")
            .variable("GOFIX_RELAY", "");
        let (mut config, warnings) = world.load();
        assert_eq!(warnings, [""; 0]);
        config
            .apply(&Flags(vec![Flag {
                key: "relay",
                flag: "--relay",
                value: "on".into(),
            }]))
            .unwrap();
        let wrong = Flags(vec![Flag {
            key: "budget",
            flag: "--budget",
            value: "soon".into(),
        }]);
        assert!(
            config
                .apply(&wrong)
                .unwrap_err()
                .to_string()
                .starts_with("--budget: `soon` is not a duration")
        );
        assert_eq!(*config.retry_count, 1);
        assert_eq!(
            config.retry_count.origin,
            Origin::SystemFile(world.folder.path().join("config.toml"), 1)
        );
        assert_eq!(*config.budget, Duration::from_secs(90));
        assert_eq!(config.budget.origin, Origin::UserFile(world.user_path(), 2));
        assert_eq!(
            (*config.widen, &config.widen.origin),
            (Widen::Always, &Origin::Variable("GOFIX_WIDEN"))
        );
        assert_eq!(
            (*config.relay, &config.relay.origin),
            (Relay::On, &Origin::Flag("--relay"))
        );
        assert_eq!(config.report.value.as_deref(), Some(Path::new("out.jsonl")));
        assert_eq!(
            lists(&config),
            [
                "https://b.example|direct",
                "https://goproxy.cn,direct",
                "https://mirrors.aliyun.com/goproxy/,direct",
                "https://goproxy.io,direct"
            ]
        );
        assert_eq!(config.routes[0].preset, None);
        assert_eq!(config.routes[1].preset, Some("cn"));
        assert_eq!(config.routes_origin, Origin::UserFile(world.user_path(), 4));
    }

    #[test]
    fn an_empty_list_of_routes_takes_back_those_of_the_layer_below() {
        let world = World::new()
            .system("routes = [\"https://a.example\"]")
            .user("routes = []");
        assert_eq!(world.load().0.routes, []);
    }

    #[test]
    fn a_mistake_is_one_line_and_the_layer_below_holds() {
        let world = World::new()
            .system("retry_count = 5\nrelay = \"on\"\n")
            .user(
                "retry_count = \"many\"\nbudget = \"soon\"\nstall-ms = 7\nwiden = \"yes\"\nmax_fails = 0\n\
                 routes = [\"ftp://u:secret@x\", \"preset:moon\", 3, \"off\", \"https://ok.example\"]\n\
                 report = \"here.jsonl\"\n[relay]\non = true\n",
            )
            .variable("GOFIX_RETRY_COUNT", "-1")
            .variable("GOFIX_LOG", OsString::from_vec(vec![0xff]));
        let (config, warnings) = world.load();
        assert_eq!(
            warnings,
            [
                "/xdg/gofix/config.toml:1: retry_count: expected an integer, found a string; keeping 5",
                "/xdg/gofix/config.toml:2: budget: `soon` is not a duration; write `10m`, `1h30m`, `90s`, or plain \
                 seconds; keeping 10m",
                "/xdg/gofix/config.toml:3: stall-ms: no such key; did you mean `stall_ms`?",
                "/xdg/gofix/config.toml:4: widen: `yes` is not one of `auto`, `always`, `never`; keeping auto",
                "/xdg/gofix/config.toml:5: max_fails: must be a whole number from 1 to 1000; keeping 10",
                "/xdg/gofix/config.toml:6: routes: expected a list in quotes, found an integer; ignored",
                "/xdg/gofix/config.toml:6: routes: invalid proxy URL scheme (must be https, http, file): \
                 ftp://xxxxx@x; ignored",
                "/xdg/gofix/config.toml:6: routes: no preset `moon`; presets: cn, global; ignored",
                "/xdg/gofix/config.toml:6: routes: `off` is not a route; `widen = \"never\"` switches later routes off; \
                 ignored",
                "/xdg/gofix/config.toml:7: report: must be an absolute path; leaving it unset",
                "/xdg/gofix/config.toml:8: relay: expected a string, found a table; keeping on",
                "GOFIX_RETRY_COUNT: must be a whole number from 0 to 100; keeping 5",
                "GOFIX_LOG: not valid UTF-8; keeping normal",
            ]
        );
        assert_eq!(*config.retry_count, 5);
        assert_eq!(lists(&config), ["https://ok.example"]);
    }

    #[test]
    fn a_file_that_cannot_be_believed_is_one_line() {
        let line = |world: &World| {
            let (config, warnings) = world.load();
            assert_eq!(config, Config::default());
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            warnings[0].replace("/xdg/gofix/config.toml", "FILE")
        };
        let syntax = line(&World::new().user("retry_count = 1\nbudget == 2\n"));
        assert!(syntax.starts_with("FILE:2: invalid TOML: "), "{syntax}");
        assert_eq!(
            line(&World::new().user(b"a = 1\n\xff = 2\n")),
            "FILE: line 2 is not valid UTF-8; the whole file is ignored"
        );
        let nested = line(&World::new().user(format!("routes = {}", "[".repeat(100_000))));
        assert!(nested.starts_with("FILE:1: invalid TOML: "), "{nested}");

        let folder = World::new();
        fs::create_dir_all(folder.user_path()).unwrap();
        assert_eq!(
            line(&folder),
            "FILE: is a folder, not a file; the whole file is ignored"
        );

        let huge = World::new().user("");
        fs::File::options()
            .write(true)
            .open(huge.user_path())
            .unwrap()
            .set_len(100 << 20)
            .unwrap();
        assert_eq!(
            line(&huge),
            "FILE: is larger than 1048576 bytes; the whole file is ignored"
        );

        let fifo = World::new().user("");
        fs::remove_file(fifo.user_path()).unwrap();
        nix::unistd::mkfifo(&fifo.user_path(), nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(
            line(&fifo),
            "FILE: is not a regular file; the whole file is ignored"
        );

        let open = World::new().user("retry_count = 1");
        fs::set_permissions(open.user_path(), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(
            line(&open),
            "FILE: may be written by everybody; the whole file is ignored"
        );

        let stranger = World::new().user("retry_count = 1");
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(stranger.user_path(), Some(65534), None).unwrap();
            assert_eq!(
                line(&stranger),
                "FILE: belongs to user 65534, not to user 0 or root; the whole file is ignored"
            );
        } else {
            fs::set_permissions(stranger.user_path(), fs::Permissions::from_mode(0o000)).unwrap();
            assert_eq!(
                line(&stranger),
                "FILE: cannot be read: permission denied; the whole file is ignored"
            );
        }
    }

    #[test]
    fn the_named_file_stands_in_for_the_users() {
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        fs::write(elsewhere.path(), "retry_count = 9").unwrap();
        let world = |value: &OsStr| {
            World::new()
                .user("retry_count = 1")
                .variable("GOFIX_CONFIG", value)
                .load()
        };
        assert_eq!(*world(elsewhere.path().as_os_str()).0.retry_count, 9);
        assert_eq!(world(OsStr::new("off")), (Config::default(), vec![]));
        assert_eq!(world(OsStr::new("/dev/null")), (Config::default(), vec![]));
        let (config, warnings) = world(OsStr::new("gofix.toml"));
        assert_eq!(config, Config::default());
        assert_eq!(
            warnings,
            ["GOFIX_CONFIG: `gofix.toml` is not an absolute path; no user's file is read"]
        );
        let (_, warnings) = world(OsStr::new("/nowhere/gofix.toml"));
        assert_eq!(
            warnings,
            ["/nowhere/gofix.toml: cannot be read: no such file or directory; the whole file is ignored"]
        );
    }

    #[test]
    fn every_key_of_a_variable_is_a_setting() {
        let keys: Vec<&str> = Config::default().entries().iter().map(|(key, ..)| *key).collect();
        for key in env_vars::ALL.iter().filter_map(|variable| variable.key) {
            assert!(keys.contains(&key), "{key}");
        }
    }

    #[test]
    fn durations_as_go_writes_them_and_plain_seconds() {
        for (text, millis) in [
            ("10m", 600_000),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            ("600", 600_000),
            (".5s", 500),
            ("1.s", 1_000),
            ("0.00000000000000000000000000000000000000000000000000001h", 0),
            ("2562047h47m16s", 9_223_372_036_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "m",
            "10 minutes",
            "10x",
            "-5s",
            "1e3s",
            "5s5",
            "∞",
            "99999999999999999999",
            "999999999957621562",
            "2562047h48m",
            "1..5s",
            ".s",
            "1.2.3s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_written_duration_is_read_back(millis in 0u64..=i64::MAX.unsigned_abs() / 1_000_000) {
            let duration = Duration::from_millis(millis);
            proptest::prop_assert_eq!(parse_duration(&write_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_loading_fail(text in "(\\PC|\n){0,80}") {
            let (config, _) = World::new().user(&text).load();
            proptest::prop_assert!(*config.retry_count <= 100);
        }
    }
}
