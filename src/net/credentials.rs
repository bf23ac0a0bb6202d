//! Credentials as go has them: the userinfo of a URL, netrc, and what the programs of GOAUTH say, for https only.
//!
//! They are kept in memory alone. What cannot be had here as go would have it (a program that fails without a terminal,
//! an output that only go understands) is remembered, so that the server can be left to go.
//!
//! Known limitations: up to Go 1.23 an entry of netrc came before the
//! userinfo of the URL; since 1.24, and here, it is the other way round. A
//! URL with userinfo is never given to a program.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::Engine;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::OnceCell;

use super::helper::Helpers;
use super::url::{Scheme, Url, UserInfo};
use crate::go::goauth::{self, Method};

/// A netrc larger than this is none.
const NETRC_LIMIT: u64 = 1 << 20;

/// The credentials of one invocation.
#[derive(Debug)]
pub(crate) struct Credentials {
    methods: Vec<Method>,
    netrc: Option<PathBuf>,
    helpers: Option<Arc<Helpers>>,
    lines: OnceLock<Vec<Line>>,
    /// By URL without scheme: what is sent to everything below it.
    known: Mutex<HashMap<String, HeaderMap>>,
    /// Every method has been asked once.
    first: OnceCell<()>,
    failed: AtomicBool,
}

/// What git said of its own, to be told whether it holds.
#[derive(Debug)]
pub(crate) struct FromGit {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    said: Vec<u8>,
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
    /// `methods` in the order of GOAUTH. Without `helpers` no program is run.
    pub(crate) fn new(
        mut methods: Vec<Method>,
        netrc: Option<PathBuf>,
        helpers: Option<Arc<Helpers>>,
    ) -> Self {
        // What comes first in GOAUTH wins: it is stored last.
        methods.reverse();
        Self {
            methods,
            netrc,
            helpers,
            lines: OnceLock::new(),
            known: Mutex::default(),
            first: OnceCell::new(),
            failed: AtomicBool::new(false),
        }
    }

    /// The Authorization header for `url` that can be had without running a program.
    pub(crate) fn header(&self, url: &Url) -> Option<String> {
        if url.scheme != Scheme::Https {
            return None;
        }
        if url.user.is_none() && self.methods.contains(&Method::Netrc) {
            self.store_netrc();
        }
        let headers = own(url).unwrap_or_else(|| self.load(url));
        let value = headers.get(header::AUTHORIZATION)?;
        value.to_str().ok().map(str::to_owned)
    }

    /// What is sent along to `url`.
    pub(crate) async fn headers(&self, url: &Url) -> HeaderMap {
        if url.scheme != Scheme::Https {
            return HeaderMap::new();
        }
        if let Some(own) = own(url) {
            return own;
        }
        self.first
            .get_or_init(async || drop(self.ask(None, Vec::new()).await))
            .await;
        self.load(url)
    }

    /// Whether a program may know more, once a server has refused.
    pub(crate) fn can_be_asked_again(&self, url: &Url) -> bool {
        let runs = |method: &Method| *method != Method::Netrc;
        url.scheme == Scheme::Https
            && url.user.is_none()
            && self.helpers.is_some()
            && self.methods.iter().any(runs)
    }

    /// Asks every method for `url`, and shows the programs how it was `refused`.
    pub(crate) async fn ask_again(&self, url: &Url, refused: Vec<u8>) -> Option<FromGit> {
        self.ask(Some(url), refused).await
    }

    /// A program that might have known a login for `url` has failed, or said what only go may understand.
    pub(crate) fn have_failed_for(&self, url: &Url) -> bool {
        self.can_be_asked_again(url) && self.failed.load(Ordering::Relaxed)
    }

    /// Tells git whether what it said was right.
    pub(crate) async fn tell_git(&self, from: FromGit, right: bool) {
        if let Some(helpers) = &self.helpers {
            let action = if right { "approve" } else { "reject" };
            helpers.run(&["git", "credential", action], None, from.said).await;
        }
    }

    async fn ask(&self, url: Option<&Url>, refused: Vec<u8>) -> Option<FromGit> {
        let mut from_git = None;
        for method in &self.methods {
            let worked = match (method, &self.helpers) {
                (Method::Netrc, _) => {
                    self.store_netrc();
                    true
                }
                (Method::Git(dir), Some(helpers)) => match url {
                    Some(url) => {
                        from_git = self.ask_git(helpers, dir, url).await;
                        from_git.is_some()
                    }
                    // Git can be asked for one URL only.
                    None => true,
                },
                (Method::Command(words), Some(helpers)) => self
                    .ask_command(helpers, words, url, refused.clone())
                    .await
                    .is_some(),
                (_, None) => true,
            };
            if !worked {
                self.failed.store(true, Ordering::Relaxed);
            }
        }
        from_git
    }

    async fn ask_git(&self, helpers: &Arc<Helpers>, dir: &Path, url: &Url) -> Option<FromGit> {
        let asked = url.redacted();
        let input = format!("url={asked}\n").into_bytes();
        let said = helpers
            .run(&["git", "credential", "fill"], Some(dir), input)
            .await?;
        let (url, name, password) = goauth::git_credential(std::str::from_utf8(&said).ok()?, &asked)?;
        let (name, password) = (name.to_owned(), Some(password.to_owned()));
        let headers = basic_header(&UserInfo { name, password })?;
        self.store(&url, headers.clone());
        let url = Url::parse(&url).ok()?;
        Some(FromGit { url, headers, said })
    }

    async fn ask_command(
        &self,
        helpers: &Arc<Helpers>,
        words: &[String],
        url: Option<&Url>,
        input: Vec<u8>,
    ) -> Option<()> {
        let url = url.map(Url::redacted);
        let words: Vec<&str> = words.iter().chain(&url).map(String::as_str).collect();
        let said = helpers.run(&words, None, input).await?;
        for (url, lines) in goauth::credential_sets(std::str::from_utf8(&said).ok()?)? {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(HeaderName::try_from(name).ok()?, secret(&value)?);
            }
            self.store(&url, headers);
        }
        Some(())
    }

    fn store_netrc(&self) {
        let lines = self
            .lines
            .get_or_init(|| self.netrc.as_deref().map(read).unwrap_or_default());
        // The first of two lines for one machine wins.
        for line in lines.iter().rev() {
            let user = UserInfo {
                name: line.login.clone(),
                password: Some(line.password.clone()),
            };
            self.store(&line.machine, basic_header(&user).unwrap_or_default());
        }
    }

    fn store(&self, url: &str, headers: HeaderMap) {
        let key = url.strip_prefix("https://").unwrap_or(url);
        let key = key.strip_suffix('/').unwrap_or(key).to_owned();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if headers.is_empty() {
            known.remove(&key);
        } else {
            known.insert(key, headers);
        }
    }

    /// What is stored for the longest URL that `url` lies below, in whole
    /// segments; `example.com:8443` and `example.com/path` are such, too.
    fn load(&self, url: &Url) -> HeaderMap {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = format!("{}{}", url.authority, url.path);
        let mut prefix = whole.strip_suffix('/').unwrap_or(&whole);
        loop {
            if let Some(headers) = known.get(prefix) {
                return headers.clone();
            }
            let Some(slash) = prefix.rfind('/') else {
                return HeaderMap::new();
            };
            prefix = &prefix[..slash];
        }
    }
}

/// The URL's own credentials.
pub(crate) fn own(url: &Url) -> Option<HeaderMap> {
    url.user
        .as_ref()
        .map(|user| basic_header(user).unwrap_or_default())
}

fn basic_header(user: &UserInfo) -> Option<HeaderMap> {
    Some(HeaderMap::from_iter([(
        header::AUTHORIZATION,
        secret(&basic(user))?,
    )]))
}

fn secret(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value)
        .or_else(|_| HeaderValue::from_bytes(value.as_bytes()))
        .ok()?;
    value.set_sensitive(true);
    Some(value)
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
        Credentials::new(vec![Method::Netrc], Some(path), None).header(&Url::parse(url).unwrap())
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
            Credentials::new(Vec::new(), None, None).header(&Url::parse("http://u:p@h/").unwrap()),
            None
        );
    }

    #[test]
    fn what_is_stored_for_a_longer_url_wins_and_nothing_takes_it_away() {
        let credentials = Credentials::new(Vec::new(), None, None);
        let header = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, secret(value).unwrap())]);
        let load = |url: &str| {
            let headers = credentials.load(&Url::parse(url).unwrap());
            headers
                .get(header::AUTHORIZATION)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        credentials.store("https://h/", header("a"));
        credentials.store("https://h/deep/er", header("b"));
        assert_eq!(load("https://h/deep/er/m").as_deref(), Some("b"));
        assert_eq!(load("https://h/deep/m").as_deref(), Some("a"));
        assert_eq!(load("https://h:8443/"), None);
        credentials.store("h", HeaderMap::new());
        assert_eq!(load("https://h/deep/m"), None);
        assert_eq!(load("https://h/deep/er").as_deref(), Some("b"));
    }
}
