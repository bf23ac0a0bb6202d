//! Credentials as go has them: netrc and the userinfo of a URL, for https only.
//!
//! GOAUTH is read for one thing: whether it asks for more than netrc. What it
//! asks for otherwise (a command, git) go does itself, and such elements are
//! left to it.
//!
//! Known limitations: up to Go 1.23 an entry of netrc came before the
//! userinfo of the URL; since 1.24, and here, it is the other way round.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use base64::Engine;

use super::url::{Scheme, Url, UserInfo};

/// A netrc larger than this is none.
const NETRC_LIMIT: u64 = 1 << 20;

/// What GOAUTH means for the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoAuth {
    /// netrc is read.
    Netrc,
    /// No credentials but those of the URL.
    Off,
    /// Go must do it itself.
    Other,
}

impl GoAuth {
    /// Reads the variable; empty means netrc, as in Go.
    pub(crate) fn parse(value: &str) -> Self {
        if value.is_empty() {
            return Self::Netrc;
        }
        match value.split(';').map(str::trim).collect::<Vec<_>>().as_slice() {
            ["off"] => Self::Off,
            words if words.iter().all(|word| *word == "netrc") => Self::Netrc,
            _ => Self::Other,
        }
    }
}

/// The credentials of one invocation.
#[derive(Debug)]
pub(crate) struct Credentials {
    path: Option<PathBuf>,
    lines: OnceLock<Vec<Line>>,
}

#[derive(PartialEq, Eq, Default, Clone)]
struct Line {
    machine: String,
    login: String,
    password: String,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Line({})", self.machine)
    }
}

impl Credentials {
    /// `path` is that of the netrc file, `None` where none is to be read.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            lines: OnceLock::new(),
        }
    }

    /// The Authorization header for `url`: the URL's own, then netrc.
    pub(crate) fn header(&self, url: &Url) -> Option<String> {
        if url.scheme != Scheme::Https {
            return None;
        }
        url.user.as_ref().map(basic).or_else(|| self.netrc(url))
    }

    /// The entry with the longest machine that is a prefix of the URL in whole
    /// segments; `example.com:8443` and `example.com/path` are such, too.
    fn netrc(&self, url: &Url) -> Option<String> {
        let lines = self
            .lines
            .get_or_init(|| self.path.as_deref().map(read).unwrap_or_default());
        if lines.is_empty() {
            return None;
        }
        let whole = format!("{}{}", url.authority, url.path);
        let mut prefix = whole.trim_end_matches('/');
        loop {
            let known =
                |line: &&Line| line.machine.trim_start_matches("https://").trim_end_matches('/') == prefix;
            if let Some(line) = lines.iter().find(known) {
                return Some(basic(&UserInfo {
                    name: line.login.clone(),
                    password: Some(line.password.clone()),
                }));
            }
            prefix = &prefix[..prefix.rfind('/')?];
        }
    }
}

/// A Basic Authorization value.
pub(crate) fn basic(user: &UserInfo) -> String {
    let plain = format!("{}:{}", user.name, user.password.as_deref().unwrap_or_default());
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(plain)
    )
}

fn read(path: &Path) -> Vec<Line> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(NETRC_LIMIT).read_to_end(&mut bytes));
    match read {
        Ok(_) => parse(&String::from_utf8_lossy(&bytes)),
        Err(_) => Vec::new(),
    }
}

/// Go's reading of netrc: words in pairs, line by line; an entry is complete
/// when it has all three, whatever the order behind `machine`.
fn parse(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut entry = Line::default();
    let mut in_macro = false;
    for line in text.split('\n') {
        if in_macro {
            in_macro = !line.is_empty();
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let pairs = words.chunks_exact(2);
        let left = pairs.remainder().first();
        for pair in pairs {
            let [word, value] = pair else { continue };
            match *word {
                "machine" => {
                    entry = Line {
                        machine: (*value).to_owned(),
                        ..Line::default()
                    };
                }
                "login" => entry.login = (*value).to_owned(),
                "password" => entry.password = (*value).to_owned(),
                "macdef" => in_macro = true,
                _ => {}
            }
            if !entry.machine.is_empty() && !entry.login.is_empty() && !entry.password.is_empty() {
                lines.push(std::mem::take(&mut entry));
            }
        }
        if left == Some(&"default") {
            break;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(netrc: &str, url: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("netrc");
        std::fs::write(&path, netrc).unwrap();
        Credentials::new(Some(path)).header(&Url::parse(url).unwrap())
    }

    fn of(name: &str, password: &str) -> Option<String> {
        Some(basic(&UserInfo {
            name: name.to_owned(),
            password: Some(password.to_owned()),
        }))
    }

    #[test]
    fn netrc_matches_host_with_port_and_path() {
        let netrc = "machine h:8443 login a password b\nmachine h login c password d\n\
                     machine h/private login e\n password f\n";
        assert_eq!(header(netrc, "https://h:8443/m"), of("a", "b"));
        assert_eq!(header(netrc, "https://h/m/@v/list"), of("c", "d"));
        assert_eq!(header(netrc, "https://h/private/m"), of("e", "f"));
        assert_eq!(header(netrc, "https://h/privateer/m"), of("c", "d"));
        assert_eq!(header(netrc, "https://h:444/m"), None);
        assert_eq!(header(netrc, "https://o/m"), None);
        // Only over TLS.
        assert_eq!(header(netrc, "http://h/m"), None);
    }

    #[test]
    fn macros_defaults_and_the_first_of_two() {
        let netrc = "macdef init\nmachine h login x password y\n\nmachine h login a password b\n\
                     machine h login c password d\ndefault\nmachine o login e password f\n";
        assert_eq!(header(netrc, "https://h/"), of("a", "b"));
        assert_eq!(header(netrc, "https://o/"), None);
    }

    #[test]
    fn userinfo_comes_before_netrc() {
        assert_eq!(header("", "https://u:p@h/"), of("u", "p"));
        assert_eq!(
            header("machine h login a password b", "https://u:p@h/"),
            of("u", "p")
        );
        assert_eq!(
            Credentials::new(None).header(&Url::parse("http://u:p@h/").unwrap()),
            None
        );
    }

    #[test]
    fn goauth() {
        assert_eq!(GoAuth::parse(""), GoAuth::Netrc);
        assert_eq!(GoAuth::parse("netrc"), GoAuth::Netrc);
        assert_eq!(GoAuth::parse(" off "), GoAuth::Off);
        assert_eq!(GoAuth::parse("netrc; git /dir"), GoAuth::Other);
        assert_eq!(GoAuth::parse("mycmd"), GoAuth::Other);
    }
}
