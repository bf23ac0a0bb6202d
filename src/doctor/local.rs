//! What can be told without asking a server: Go's variables, the variables of
//! HTTP proxies, git and credentials, which go runs.
//!
//! Known limitations: interactive shells may set variables and paths that
//! this process does not see; the table speaks of the process it runs in.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gofix_shim::path::CPath;
use gofix_shim::toolchain::{self, Entry, Myself};

use crate::go::env::{GoEnv, Layer, Lookup};
use crate::go::patterns;
use crate::go::proxy_list::{Element, ProxyList};
use crate::net::proxy_env::{ProxyRules, ProxyVars};
use crate::net::url::Scheme;
use crate::sys::run::{self, Ended};
use crate::text::safe;

use super::remedy::{self, Package};
use super::row::{Grade, Row};
use super::target::{Role, Target};
use super::words::StepError;

/// How long a helper program may take.
const PROGRAM: Duration = Duration::from_secs(3);

/// Everything that the checks read.
pub(super) struct Local<'a> {
    pub(super) env: Lookup<'a>,
    pub(super) goenv: &'a GoEnv,
    pub(super) real_go: Option<&'a Path>,
    pub(super) targets: &'a [Target],
}

impl Local<'_> {
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows = self.go_variables();
        rows.extend(self.proxy_variables());
        rows.extend(self.switches());
        rows.extend(self.go_command());
        rows.extend(self.shim());
        rows.extend(self.git());
        rows.extend(self.netrc());
        rows
    }

    fn var(&self, name: &str) -> Option<OsString> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.var(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn go_variables(&self) -> Vec<Row> {
        const SHOWN: &[&str] = &[
            "GOPROXY",
            "GOSUMDB",
            "GOPRIVATE",
            "GONOPROXY",
            "GONOSUMDB",
            "GOINSECURE",
            "GOFLAGS",
            "GOAUTH",
            "GOVCS",
            "GOTOOLCHAIN",
        ];
        SHOWN.iter().filter_map(|name| self.go_variable(name)).collect()
    }

    fn go_variable(&self, name: &str) -> Option<Row> {
        let (value, layer) = self.goenv.get(name);
        let derived = layer == Layer::Default;
        let always = matches!(name, "GOPROXY" | "GOSUMDB" | "GOPRIVATE" | "GOFLAGS");
        if !always && (derived || value.is_empty()) {
            return None;
        }
        let from = match (layer, self.goenv.user_file_path()) {
            (Layer::UserFile, Some(path)) => format!("{layer} {}", safe(path.as_os_str().as_bytes())),
            _ => layer.to_string(),
        };
        let value = value.to_string_lossy().into_owned();
        if self.real_go.is_none() && layer == Layer::Default && value.is_empty() {
            // What go has for it nobody can tell without a go.
            return None;
        }
        let (grade, remark) = judge_go_variable(name, &value);
        let shown = if name == "GOPROXY" {
            shown_list(&value)
        } else {
            safe(&value)
        };
        let shown = if shown.is_empty() {
            "(empty)".to_owned()
        } else {
            shown
        };
        let found = if remark.is_empty() {
            shown
        } else {
            format!("{shown}: {remark}")
        };
        let row = Row::new(grade, name, found, from);
        Some(match grade {
            Grade::Fine | Grade::Note => row,
            _ if is_pattern_list(name) && patterns::mended(&value) != value => {
                row.fix(remedy::set_go(name, &patterns::mended(&value), layer))
            }
            _ => row.fix(remedy::unset_go(name, layer)),
        })
    }

    fn proxy_variables(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for name in ["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
            let lower = name.to_ascii_lowercase();
            let (upper_value, lower_value) = (self.text(name), self.text(&lower));
            if let (Some(a), Some(b)) = (&upper_value, &lower_value)
                && a != b
            {
                let (a, b) = (shown_proxy(a), shown_proxy(b));
                let found =
                    format!("it is {a}, but {lower} is {b}: Go uses {name}, curl and git use {lower}");
                rows.push(
                    Row::new(Grade::Warning, name, found, "environment").fix(remedy::copy(&lower, name)),
                );
            } else if let Some(value) = upper_value.or(lower_value) {
                rows.push(match name != "NO_PROXY" && names_no_host(&value) {
                    true => {
                        let found = format!(
                            "{}: it has no host, so Go connects to this machine",
                            shown_proxy(&value)
                        );
                        Row::new(Grade::Warning, name, found, "environment")
                            .fix(remedy::unset(&[name, &lower]))
                    }
                    false => Row::new(Grade::Fine, name, shown_proxy(&value), "environment"),
                });
            }
        }
        if let (Some(http), None) = (self.spelling("HTTP_PROXY"), self.spelling("HTTPS_PROXY")) {
            let found =
                format!("it is not set, but {http} is: requests to https module proxies bypass the proxy");
            rows.push(
                Row::new(Grade::Note, "HTTPS_PROXY", found, "environment")
                    .fix(remedy::copy("HTTPS_PROXY", &http)),
            );
        }
        if let Some(all) = self.spelling("ALL_PROXY") {
            let value = self.text(&all).unwrap_or_default();
            let found = format!("{}: curl and git use it, Go does not", shown_proxy(&value));
            rows.push(
                Row::new(Grade::Note, "ALL_PROXY", found, "environment")
                    .fix(remedy::copy("HTTPS_PROXY", &all)),
            );
        }
        rows
    }

    /// The variable of this name that is set: in capitals, or in small letters.
    fn spelling(&self, name: &str) -> Option<String> {
        let lower = name.to_ascii_lowercase();
        [name.to_owned(), lower]
            .into_iter()
            .find(|name| self.var(name).is_some())
    }

    fn switches(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        if let Some(value) = self
            .text("GOFIX")
            .filter(|v| matches!(v.as_str(), "off" | "0" | "false"))
        {
            let found = format!("{value}: gofix is switched off and only runs go");
            rows.push(Row::new(Grade::Note, "GOFIX", found, "environment").fix(remedy::unset(&["GOFIX"])));
        }
        if Path::new("/etc/gofix/off").exists() {
            let found = "gofix is switched off on this machine and only runs go";
            rows.push(
                Row::new(Grade::Note, "/etc/gofix/off", found, "the file exists")
                    .fix(remedy::run(["rm", "/etc/gofix/off"])),
            );
        }
        rows
    }

    fn go_command(&self) -> Vec<Row> {
        let Some(go) = self.real_go else {
            let found = "there is no go after gofix in PATH";
            return vec![
                Row::new(Grade::Broken, "go", found, "PATH").fix(remedy::export("GOFIX_GO", "/path/to/go")),
            ];
        };
        let path = safe(go.as_os_str().as_bytes());
        let mut command = Command::new(go);
        command
            .arg("version")
            .env("GOTOOLCHAIN", "local")
            .env("GOFIX", "off");
        let goroot = self.goroot(go);
        match (output(command), goroot) {
            (Ok(text), goroot) => {
                let version = text.strip_prefix("go version ").unwrap_or(&text);
                let row = Row::new(Grade::Fine, "go", safe(version.trim()), path);
                std::iter::once(row).chain(goroot).collect()
            }
            // A GOROOT that is none is the reason, and go says nothing else.
            (Err(_), Some(goroot)) => vec![Row {
                grade: Grade::Broken,
                ..goroot
            }],
            (Err(error), None) => {
                let found = format!("`go version` fails: {error}");
                vec![Row::new(Grade::Broken, "go", found, path).id(error.id())]
            }
        }
    }

    /// GOROOT of another toolchain: `compile: version … does not match go tool version`.
    fn goroot(&self, go: &Path) -> Option<Row> {
        let goroot = PathBuf::from(self.var("GOROOT")?);
        let own = std::fs::canonicalize(go).ok()?;
        let own = own.parent()?.parent()?;
        let set = std::fs::canonicalize(&goroot);
        if set.as_ref().is_ok_and(|set| set == own) || !own.join("pkg/tool").is_dir() {
            return None;
        }
        let found = format!(
            "{} is not the GOROOT of this go ({}): the compiler may not match the go command",
            safe(goroot.as_os_str().as_bytes()),
            safe(own.as_os_str().as_bytes())
        );
        Some(Row::new(Grade::Warning, "GOROOT", found, "environment").fix(remedy::unset(&["GOROOT"])))
    }

    /// Which `go` a shell would run, and whether that is gofix.
    fn shim(&self) -> Option<Row> {
        let path = self.var("PATH")?;
        let me = Myself::current(b"go", &mut CPath::new());
        let mut real: Option<&OsStr> = None;
        for entry in toolchain::entries(path.as_bytes()) {
            match toolchain::look(entry, &me, &mut CPath::new()) {
                Entry::Gofix => {
                    let dir = safe(entry);
                    return Some(match real {
                        None => Row::new(Grade::Fine, "shim", format!("`go` is gofix, in {dir}"), "PATH"),
                        Some(real) => {
                            let found = format!(
                                "it is in {dir}, but {} comes first: plain `go` does not use gofix",
                                safe(real.as_bytes())
                            );
                            Row::new(Grade::Warning, "shim", found, "PATH").fix(remedy::first_in_path(&dir))
                        }
                    });
                }
                Entry::Go if real.is_none() => real = Some(OsStr::from_bytes(entry)),
                _ => {}
            }
        }
        let found = "plain `go` does not use gofix; `gofix go ...` does";
        Some(Row::new(Grade::Note, "shim", found, "PATH").fix(remedy::run(["gofix", "shim", "install"])))
    }

    fn git(&self) -> Vec<Row> {
        let direct =
            ProxyList::parse(&self.goenv.text("GOPROXY")).is_ok_and(|list| list.contains(&Element::Direct));
        let private: Vec<&Target> = self.targets.iter().filter(|t| t.role == Role::Host).collect();
        if !direct && private.is_empty() {
            return Vec::new();
        }
        let mut version = Command::new("git");
        version.arg("--version");
        let from = if direct {
            "GOPROXY contains direct"
        } else {
            "GOPRIVATE"
        };
        let mut rows = Vec::new();
        match output(version) {
            Ok(text) => rows.push(Row::new(Grade::Fine, "git", safe(text.trim()), from)),
            Err(error) => {
                let found =
                    format!("it cannot be run ({error}), and modules that no proxy has are fetched with git");
                let grade = if private.is_empty() {
                    Grade::Note
                } else {
                    Grade::Broken
                };
                rows.push(
                    Row::new(grade, "git", found, from)
                        .id(error.id())
                        .fix(remedy::install(Package::Git, self.env)),
                );
                return rows;
            }
        }
        let config = git_config();
        rows.extend(self.git_proxy(&config));
        rows.extend(self.git_authorities(&config));
        rows.extend(
            private
                .iter()
                .filter_map(|host| self.git_access(&host.url.host, &host.from, &config)),
        );
        rows
    }

    fn git_proxy(&self, config: &[(String, String)]) -> Option<Row> {
        let (key, value) = config.iter().find(|(key, _)| key == "http.proxy")?;
        let own = self.text("HTTPS_PROXY").or_else(|| self.text("https_proxy"));
        if own.as_deref() == Some(value) {
            return None;
        }
        let go = own.map_or_else(|| "no proxy".to_owned(), |own| shown_proxy(&own));
        let found = format!("git uses {}, Go uses {go}", shown_proxy(value));
        Some(
            Row::new(Grade::Note, key.clone(), found, "git config").fix(remedy::run([
                "git",
                "config",
                "--global",
                "--unset",
                "http.proxy",
            ])),
        )
    }

    /// go reads SSL_CERT_FILE, libcurl, and so git, does not.
    fn git_authorities(&self, config: &[(String, String)]) -> Option<Row> {
        let file = self.text("SSL_CERT_FILE").filter(|file| !file.is_empty())?;
        let is_told = ["GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY"]
            .iter()
            .any(|name| self.var(name).is_some())
            || config
                .iter()
                .any(|(key, _)| key.starts_with("http.") && key.contains("sslca"));
        if is_told {
            return None;
        }
        let found = "Go trusts the authorities in this file; git does not read it, and refuses servers that only they vouch for";
        Some(
            Row::new(
                Grade::Note,
                "git",
                found,
                format!("SSL_CERT_FILE={}", safe(&file)),
            )
            .fix(remedy::run([
                "git",
                "config",
                "--global",
                "http.sslCAInfo",
                &file,
            ])),
        )
    }

    /// How git would get into a private host.
    fn git_access(&self, host: &str, from: &str, config: &[(String, String)]) -> Option<Row> {
        let rewritten = config.iter().find(|(key, value)| {
            key.starts_with("url.") && key.ends_with(".insteadof") && value.contains(host)
        });
        if let Some((key, _)) = rewritten {
            let ssh = key.contains("ssh://") || key.contains("git@");
            return if ssh { self.ssh_access(host, from) } else { None };
        }
        let helper = config
            .iter()
            .any(|(key, _)| key.starts_with("credential") && key.ends_with("helper"));
        let netrc = self
            .netrc_path()
            .and_then(|path| read_small(&path))
            .is_some_and(|text| text.contains(host));
        if helper || netrc {
            return None;
        }
        let found = format!(
            "no credentials for {host}: no line in .netrc, no credential helper of git, no insteadOf to ssh"
        );
        let (key, value) = (
            format!("url.ssh://git@{host}/.insteadOf"),
            format!("https://{host}/"),
        );
        let mend = remedy::run(["git", "config", "--global", &key, &value]);
        Some(Row::new(Grade::Note, host, found, from).fix(mend))
    }

    fn ssh_access(&self, host: &str, from: &str) -> Option<Row> {
        let mut version = Command::new("ssh");
        version.arg("-V");
        if let Err(error) = output(version) {
            let found = format!("git is configured to use ssh for it, but ssh cannot be run ({error})");
            let row = Row::new(Grade::Broken, host, found, from).id(error.id());
            return Some(row.fix(remedy::install(Package::Ssh, self.env)));
        }
        let agent = self.var("SSH_AUTH_SOCK").is_some();
        let home = self.var("HOME").map(PathBuf::from)?;
        let key = std::fs::read_dir(home.join(".ssh")).is_ok_and(|dir| {
            dir.flatten()
                .any(|entry| entry.file_name().as_bytes().ends_with(b".pub"))
        });
        let config = home.join(".ssh/config").exists();
        if agent || key || config {
            return None;
        }
        let found = "git is configured to use ssh for it, but there is neither an agent nor a key";
        Some(Row::new(Grade::Warning, host, found, from).fix(remedy::run(["ssh-add"])))
    }

    fn netrc_path(&self) -> Option<PathBuf> {
        netrc_path(self.env)
    }

    fn netrc(&self) -> Option<Row> {
        let path = self.netrc_path()?;
        let metadata = std::fs::metadata(&path).ok()?;
        let shown = safe(path.as_os_str().as_bytes());
        if metadata.permissions().mode() & 0o077 != 0 {
            let found = "other users on this machine can read it";
            return Some(
                Row::new(Grade::Warning, shown.clone(), found, "netrc")
                    .fix(remedy::run(["chmod", "600", &shown])),
            );
        }
        None
    }
}

/// Where Go and git look for netrc.
pub(super) fn netrc_path(env: Lookup<'_>) -> Option<PathBuf> {
    let var = |name: &str| env(name).filter(|value| !value.is_empty());
    var("NETRC")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(var("HOME")?).join(".netrc")))
}

/// The first `go` in PATH that is not gofix: what a shell runs where the shim
/// stands behind it.
pub(super) fn first_go(env: Lookup<'_>) -> Option<PathBuf> {
    let path = env("PATH")?;
    let me = Myself::current(b"go", &mut CPath::new());
    let is_go = |entry: &&[u8]| toolchain::look(entry, &me, &mut CPath::new()) == Entry::Go;
    let entry = toolchain::entries(path.as_bytes()).find(is_go)?;
    Some(Path::new(OsStr::from_bytes(entry)).join("go"))
}

fn judge_go_variable(name: &str, value: &str) -> (Grade, &'static str) {
    if value.ends_with('\r') || value.trim() != value {
        return (
            Grade::Broken,
            "it ends in a space or a carriage return, which go treats as part of the value",
        );
    }
    if is_pattern_list(name)
        && let Some(flaw) = value.split(',').find_map(patterns::flaw)
    {
        // It would be taken for a public one, and its name sent to the proxy.
        return (Grade::Warning, flaw);
    }
    let all = || {
        value
            .split(',')
            .any(|pattern| matches!(pattern.trim(), "*" | "**"))
    };
    match name {
        "GOPROXY" if value == "off" => (Grade::Note, "go fetches no modules"),
        "GOPROXY" if value == "direct" => (
            Grade::Note,
            "every module is fetched from its own host, with git or another version control system",
        ),
        "GOPROXY" if insecure_proxy(value) => (
            Grade::Warning,
            "http is not encrypted; modules can be changed in transit",
        ),
        "GOSUMDB" if value == "off" => (
            Grade::Warning,
            "modules that are not in go.sum yet are not verified",
        ),
        "GOPRIVATE" | "GONOSUMDB" if all() => (
            Grade::Warning,
            "it matches every module: new modules are not verified",
        ),
        "GOINSECURE" if !value.is_empty() => {
            (Grade::Warning, "TLS certificates of these hosts are not verified")
        }
        "GOFLAGS" if value.contains("-mod=vendor") => (
            Grade::Note,
            "modules come from the vendor folder, not from the network",
        ),
        "GOFLAGS" if value.contains("-insecure") => (Grade::Warning, "go no longer supports -insecure"),
        _ => (Grade::Fine, ""),
    }
}

/// True for the URL of a proxy that names nobody.
fn names_no_host(value: &str) -> bool {
    let rules = ProxyRules::new(&ProxyVars {
        https: value.to_owned(),
        ..ProxyVars::default()
    });
    matches!(rules.proxy_for(Scheme::Https, "host", 443), Ok(Some(proxy)) if proxy.host.is_empty())
}

/// A list of patterns for module paths.
fn is_pattern_list(name: &str) -> bool {
    matches!(name, "GOPRIVATE" | "GONOPROXY" | "GONOSUMDB" | "GOINSECURE")
}

fn insecure_proxy(list: &str) -> bool {
    list.split([',', '|']).map(str::trim).any(|element| {
        let Some(rest) = element.strip_prefix("http://") else {
            return false;
        };
        let host = rest.split('/').next().unwrap_or(rest);
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        !(host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]"))
    })
}

fn shown_list(value: &str) -> String {
    match ProxyList::parse(value) {
        Ok(list) => safe(&list.redacted()),
        Err(_) => safe(value),
    }
}

fn shown_proxy(value: &str) -> String {
    safe(&crate::text::redact_url(value))
}

/// Keys (in small letters) and values of git's own configuration.
fn git_config() -> Vec<(String, String)> {
    let mut command = Command::new("git");
    command.args([
        "config",
        "--null",
        "--get-regexp",
        r"^(url\..*\.insteadof|http\.proxy|http\.(.*\.)?sslca(info|path)|credential\..*)$",
    ]);
    let Ok(text) = output(command) else {
        return Vec::new();
    };
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('\n'));
    pairs
        .map(|(key, value)| (key.to_ascii_lowercase(), value.to_owned()))
        .collect()
}

/// Stdout of a helper program that has [`PROGRAM`] to end well.
fn output(mut command: Command) -> Result<String, StepError> {
    command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    match run::within(PROGRAM, command, None) {
        Ended::Said(text, Some(status)) if status.success() => {
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        Ended::Said(_, Some(status)) => Err(StepError::Other(status.to_string())),
        Ended::NotStarted(error) => Err(StepError::Other(super::words::io(&error))),
        Ended::Said(_, None) | Ended::TooLate => Err(StepError::TimedOut("it did not end within 3 s")),
    }
}

/// A small regular file as text.
pub(super) fn read_small(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.size() > 1 << 20 {
        return None;
    }
    std::fs::read(path)
        .ok()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_go_are_judged() {
        let cases = [
            ("GOPROXY", "https://a,direct", Grade::Fine),
            ("GOPROXY", "http://a.example,direct", Grade::Warning),
            ("GOPROXY", "http://127.0.0.1:3000,direct", Grade::Fine),
            ("GOPROXY", "http://user@127.0.0.1:3000", Grade::Fine),
            ("GOPROXY", "off", Grade::Note),
            ("GOPROXY", "https://a\r", Grade::Broken),
            ("GOSUMDB", "off", Grade::Warning),
            ("GOSUMDB", "sum.golang.org", Grade::Fine),
            ("GOPRIVATE", "corp.example/x,*", Grade::Warning),
            ("GOPRIVATE", "*.corp.example", Grade::Fine),
            ("GOFLAGS", "-mod=vendor", Grade::Note),
        ];
        for (name, value, grade) in cases {
            assert_eq!(judge_go_variable(name, value).0, grade, "{name}={value}");
        }
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "exec sleep 100"]);
        assert!(output(command).unwrap_err().id().is_some());
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; sleep 100 & exit 0"]);
        assert!(output(command).unwrap_err().id().is_some());
        assert!(output(Command::new("/no/such/program")).is_err());
    }
}
