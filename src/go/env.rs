//! The effective values of Go's own variables, read without running go.
//!
//! Go's precedence: process environment if not empty, then the user's file
//! (`GOENV`), then `GOROOT/go.env`, then what go has built in. A key that
//! stands in the user's file with an empty value hides the one in `go.env`.
//!
//! Known limitations: a toolchain that go switches to may carry another
//! `go.env`; and a version manager's shim may set variables that are not seen
//! here. The relay pins the list that is read here.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fmt,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use super::mod_file;

/// Where a value was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The process environment.
    Environment,
    /// The user's file, that `go env -w` writes.
    UserFile,
    /// `GOROOT/go.env`.
    Goroot,
    /// What go has built in, or what follows from other values.
    Default,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "environment",
            Self::UserFile => "GOENV file",
            Self::Goroot => "GOROOT/go.env",
            Self::Default => "default",
        })
    }
}

/// A seam for reading the process environment.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The effective values.
#[derive(Debug, Clone, Default)]
pub struct GoEnv {
    environment: HashMap<&'static str, OsString>,
    user_file: HashMap<Vec<u8>, OsString>,
    user_file_path: Option<PathBuf>,
    is_unread: bool,
    goroot_file: HashMap<Vec<u8>, OsString>,
    goroot: Option<PathBuf>,
    home: Option<OsString>,
}

/// The variables that gofix asks for.
const NAMES: &[&str] = &[
    "GOENV",
    "GOROOT",
    "GOPROXY",
    "GOSUMDB",
    "GOPRIVATE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOINSECURE",
    "GOAUTH",
    "GOVCS",
    "GOFLAGS",
    "GOTOOLCHAIN",
    "GOMODCACHE",
    "GOPATH",
    "GOCACHE",
    "GOCACHEPROG",
    "GO111MODULE",
    "GOOS",
    "GOARCH",
    "CGO_ENABLED",
    "GOWORK",
    "GODEBUG",
    "NETRC",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "REQUEST_METHOD",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Read only from the process environment, whatever stands in the files.
const ENVIRONMENT_ONLY: &[&str] = &["GOENV", "GODEBUG", "NETRC"];

/// A GOENV file larger than this is no GOENV file.
const FILE_LIMIT: u64 = 1 << 20;

impl GoEnv {
    /// Reads the values that hold for `real_go` in the given environment.
    #[must_use]
    pub fn load(env: Lookup<'_>, real_go: Option<&Path>) -> Self {
        let mut values = Self {
            environment: NAMES
                .iter()
                .filter_map(|name| Some((*name, env(name)?)))
                .collect(),
            home: env("HOME"),
            ..Self::default()
        };
        values.user_file_path = user_file_path(env);
        let user_file = values.user_file_path.as_deref().map(read_file);
        if let Some(text) = values.known(user_file) {
            values.user_file = lines(&text).collect();
        }
        values.goroot = values.find_goroot(real_go);
        let goroot_file = values
            .goroot
            .as_deref()
            .map(|root| read_file(&root.join("go.env")));
        if let Some(text) = values.known(goroot_file) {
            // Of two lines with one key go takes the first here, and the last in the user's file (cmd/go/internal/cfg).
            let all: Vec<_> = lines(&text).collect();
            values.goroot_file = all.into_iter().rev().collect();
        }
        values
    }

    /// What was read of a file that go may read, and takes note where nothing was.
    fn known(&mut self, file: Option<Option<Vec<u8>>>) -> Option<Vec<u8>> {
        self.is_unread |= matches!(file, Some(None));
        file.flatten()
    }

    /// True where a file that go reads was not read here: a pipe, which only
    /// one can read, or one that is too large. Then nobody but go knows.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.is_unread
    }

    /// The effective value of `name` and where it stands.
    #[must_use]
    pub fn get(&self, name: &str) -> (OsString, Layer) {
        if let Some(value) = self.environment.get(name).filter(|value| !value.is_empty()) {
            return (value.clone(), Layer::Environment);
        }
        if !ENVIRONMENT_ONLY.contains(&name) {
            if let Some(value) = self.user_file.get(name.as_bytes()) {
                if !value.is_empty() {
                    return (value.clone(), Layer::UserFile);
                }
                // An empty value in the user's file hides the one of GOROOT.
                return (self.builtin(name), Layer::UserFile);
            }
            if let Some(value) = self
                .goroot_file
                .get(name.as_bytes())
                .filter(|value| !value.is_empty())
            {
                return (value.clone(), Layer::Goroot);
            }
        }
        (self.builtin(name), Layer::Default)
    }

    /// The value in the user's file, whatever the environment says.
    #[must_use]
    pub(crate) fn in_user_file(&self, name: &str) -> &OsStr {
        self.user_file
            .get(name.as_bytes())
            .map_or_else(|| OsStr::new(""), OsString::as_os_str)
    }

    /// The effective value as text; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.get(name).0.to_string_lossy().into_owned()
    }

    /// The user's file, where there may be one.
    #[must_use]
    pub fn user_file_path(&self) -> Option<&Path> {
        self.user_file_path.as_deref()
    }

    /// GOROOT of the real go, where it can be seen without running it.
    #[must_use]
    pub fn goroot(&self) -> Option<&Path> {
        self.goroot.as_deref()
    }

    /// Whether the go that does the work reads GOAUTH, as go does since 1.24; `None` where that is not known: another
    /// toolchain than the one that is there may be switched to.
    #[must_use]
    pub(crate) fn speaks_goauth(&self) -> Option<bool> {
        let toolchain = self.text("GOTOOLCHAIN");
        let (name, switches) = match toolchain.split_once('+') {
            Some((name, _)) => (name, true),
            None => (
                toolchain.as_str(),
                matches!(toolchain.as_str(), "" | "auto" | "path"),
            ),
        };
        let version = match name.starts_with("go1.") {
            true => name.to_owned(),
            false => goroot_version(self.goroot.as_deref()?)?,
        };
        match mod_file::minor(version.strip_prefix("go")?)? >= (1, 24) {
            true => Some(true),
            false => (!switches).then_some(false),
        }
    }

    /// The user's home, where there is one.
    #[must_use]
    pub(crate) fn home(&self) -> Option<&Path> {
        self.home
            .as_deref()
            .filter(|home| !home.is_empty())
            .map(Path::new)
    }

    /// The module cache.
    #[must_use]
    pub fn gomodcache(&self) -> Option<PathBuf> {
        let value = self.get("GOMODCACHE").0;
        (!value.is_empty()).then(|| PathBuf::from(value))
    }

    /// Where go keeps the signed tree heads of checksum databases:
    /// `pkg/sumdb` below the first entry of GOPATH, not below GOMODCACHE.
    #[must_use]
    pub fn sumdb_dir(&self) -> Option<PathBuf> {
        Some(self.first_gopath()?.join("pkg/sumdb"))
    }

    /// The build cache.
    #[must_use]
    pub fn gocache(&self) -> Option<PathBuf> {
        let value = self.get("GOCACHE").0;
        if !value.is_empty() {
            return Some(PathBuf::from(value));
        }
        let home = self.home()?;
        let cache = std::env::var_os("XDG_CACHE_HOME").filter(|dir| Path::new(dir).is_absolute());
        let dir = cache.map_or_else(
            || {
                home.join(if cfg!(target_os = "macos") {
                    "Library/Caches"
                } else {
                    ".cache"
                })
            },
            PathBuf::from,
        );
        Some(dir.join("go-build"))
    }

    fn first_gopath(&self) -> Option<PathBuf> {
        let value = self.get("GOPATH").0;
        let first = value
            .as_bytes()
            .split(|byte| *byte == b':')
            .find(|entry| !entry.is_empty())?;
        Some(PathBuf::from(OsStr::from_bytes(first)))
    }

    /// What go has built in, or derives from other values.
    fn builtin(&self, name: &str) -> OsString {
        match name {
            "GONOPROXY" | "GONOSUMDB" => self.get("GOPRIVATE").0,
            "GOAUTH" => "netrc".into(),
            "GOPATH" => self
                .home()
                .map(|home| home.join("go"))
                .filter(|gopath| Some(gopath) != self.goroot.as_ref())
                .map(PathBuf::into_os_string)
                .unwrap_or_default(),
            "GOMODCACHE" => self
                .first_gopath()
                .map(|dir| dir.join("pkg/mod").into_os_string())
                .unwrap_or_default(),
            _ => OsString::new(),
        }
    }

    /// GOROOT as go finds it: the user's file, the environment, then two
    /// directories above the executable, as found and with symlinks resolved.
    fn find_goroot(&self, real_go: Option<&Path>) -> Option<PathBuf> {
        let named = self
            .user_file
            .get(b"GOROOT".as_slice())
            .or_else(|| self.environment.get("GOROOT"))
            .filter(|value| !value.is_empty());
        if let Some(root) = named {
            return Some(PathBuf::from(root));
        }
        let real_go = real_go?;
        let is_goroot = |root: &PathBuf| root.join("pkg/tool").is_dir() || root.join("go.env").is_file();
        let above = |path: &Path| Some(path.parent()?.parent()?.to_path_buf());
        above(real_go)
            .filter(is_goroot)
            .or_else(|| above(&std::fs::canonicalize(real_go).ok()?).filter(is_goroot))
    }
}

/// The version of the toolchain in a GOROOT: `go1.26.8`.
pub(crate) fn goroot_version(goroot: &Path) -> Option<String> {
    let text = std::fs::read_to_string(goroot.join("VERSION")).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

/// Where `go env -w` writes: `$GOENV`, or `go/env` in the configuration folder.
fn user_file_path(env: Lookup<'_>) -> Option<PathBuf> {
    match env("GOENV").filter(|value| !value.is_empty()) {
        Some(value) if value == "off" => None,
        Some(value) => Some(PathBuf::from(value)),
        None => Some(user_config_dir(env)?.join("go/env")),
    }
}

/// `os.UserConfigDir` of Go's standard library.
fn user_config_dir(env: Lookup<'_>) -> Option<PathBuf> {
    let home = || env("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    if cfg!(target_os = "macos") {
        return Some(home()?.join("Library/Application Support"));
    }
    match env("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()) {
        // A relative one is an error for go, which then reads no file at all.
        Some(dir) => Path::new(&dir).is_absolute().then(|| PathBuf::from(dir)),
        None => Some(home()?.join(".config")),
    }
}

/// The content of a file; `None` where only go can read it. What cannot be read
/// at all is empty, as it is for go.
fn read_file(path: &Path) -> Option<Vec<u8>> {
    let Ok(meta) = std::fs::metadata(path) else {
        return Some(Vec::new());
    };
    if meta.is_file() {
        return (meta.len() <= FILE_LIMIT).then(|| std::fs::read(path).unwrap_or_default());
    }
    let is_null = std::fs::metadata("/dev/null")
        .is_ok_and(|null| null.rdev() == meta.rdev() && null.ino() == meta.ino());
    (meta.is_dir() || is_null).then(Vec::new)
}

/// Lines `KEY=value`, the value verbatim; what is no such line is ignored.
fn lines(text: &[u8]) -> impl Iterator<Item = (Vec<u8>, OsString)> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| line.first().is_some_and(u8::is_ascii_uppercase))
        .filter_map(|line| {
            let equals = memchr::memchr(b'=', line)?;
            let (key, value) = line.split_at(equals);
            Some((key.to_vec(), OsString::from_vec(value.get(1..)?.to_vec())))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)], real_go: Option<&Path>) -> GoEnv {
        let lookup = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        };
        GoEnv::load(&lookup, real_go)
    }

    #[test]
    fn lines_are_taken_verbatim_and_later_ones_win() {
        let text = b"# no\nlower=1\nGOPROXY=a\nGOPROXY=\"b,c\"\r\nNOEQUALS\nGOFLAGS==x=y";
        let values: HashMap<_, _> = lines(text).collect();
        assert_eq!(values.len(), 2);
        assert_eq!(values[b"GOPROXY".as_slice()], "\"b,c\"\r");
        assert_eq!(values[b"GOFLAGS".as_slice()], "=x=y");
    }

    #[test]
    fn layers_in_gos_order() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("goroot");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::write(
            root.join("go.env"),
            "GOPROXY=https://root\nGOSUMDB=sum.golang.org\nGOPROXY=https://not.me\n",
        )
        .unwrap();
        let file = dir.path().join("env");
        std::fs::write(&file, "GOPROXY=https://file\nGOSUMDB=\nGODEBUG=x=1\n").unwrap();
        let file = file.to_str().unwrap();
        let go = root.join("bin/go");

        let values = load(&[("GOENV", file), ("GOPROXY", "https://env")], Some(&go));
        assert_eq!(values.get("GOPROXY"), ("https://env".into(), Layer::Environment));
        let values = load(&[("GOENV", file), ("GOPROXY", "")], Some(&go));
        assert_eq!(values.get("GOPROXY"), ("https://file".into(), Layer::UserFile));
        assert_eq!(values.get("GOSUMDB"), ("".into(), Layer::UserFile));
        assert_eq!(values.get("GODEBUG"), ("".into(), Layer::Default));
        let values = load(&[("GOENV", "off")], Some(&go));
        assert_eq!(values.get("GOPROXY"), ("https://root".into(), Layer::Goroot));
        assert_eq!(values.get("GOSUMDB"), ("sum.golang.org".into(), Layer::Goroot));
    }

    #[test]
    fn what_only_go_can_read_is_not_guessed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let unread = |path: &Path| load(&[("GOENV", path.to_str().unwrap())], None).is_unread();
        std::fs::write(at("file"), "GOPROXY=off\n").unwrap();
        std::fs::write(at("large"), "#".repeat(2 << 20)).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(unread(&at("pipe")) && unread(&at("large")));
        for known in [at("file"), at("missing"), at(""), "/dev/null".into()] {
            assert!(!unread(&known), "{}", known.display());
        }
    }

    #[test]
    fn derived_values() {
        let values = load(
            &[
                ("GOENV", "off"),
                ("HOME", "/home/u"),
                ("GOPRIVATE", "corp.example"),
                ("GOPATH", "/a:/b"),
            ],
            None,
        );
        assert_eq!(values.text("GONOSUMDB"), "corp.example");
        assert_eq!(values.gomodcache().unwrap(), Path::new("/a/pkg/mod"));
        assert_eq!(values.sumdb_dir().unwrap(), Path::new("/a/pkg/sumdb"));
        let values = load(&[("GOENV", "off"), ("HOME", "/home/u")], None);
        assert_eq!(values.gomodcache().unwrap(), Path::new("/home/u/go/pkg/mod"));
        let values = load(&[("GOENV", "off")], None);
        assert_eq!(values.gomodcache(), None);
    }

    #[test]
    fn who_reads_goauth() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let of = |version: &str, toolchain: &str| {
            std::fs::write(root.join("VERSION"), version).unwrap();
            let env = [
                ("GOENV", "off"),
                ("GOROOT", root.to_str().unwrap()),
                ("GOTOOLCHAIN", toolchain),
            ];
            load(&env, None).speaks_goauth()
        };
        for toolchain in [
            "local",
            "auto",
            "",
            "path",
            "go1.24.0",
            "go1.26rc1+auto",
            "local+path",
        ] {
            assert_eq!(of("go1.24.3\ntime 2025\n", toolchain), Some(true), "{toolchain}");
        }
        assert_eq!(of("go1.26.8", "go1.23.4"), Some(false));
        assert_eq!(of("go1.23.4", "local"), Some(false));
        // Another one may be switched to.
        assert_eq!(of("go1.23.4", "auto"), None);
        assert_eq!(of("go1.26.8", "go1.22.0+auto"), None);
        assert_eq!(of("devel go1.27-abc", "local"), None);
    }

    #[test]
    fn a_relative_configuration_folder_is_none() {
        let values = load(&[("XDG_CONFIG_HOME", "rel"), ("HOME", "/home/u")], None);
        assert_eq!(values.user_file_path(), None);
        let values = load(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/home/u")], None);
        assert_eq!(values.user_file_path(), Some(Path::new("/x/go/env")));
    }
}
