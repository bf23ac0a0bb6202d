//! The URLs of upstreams: enough of Go's `net/url` for http and https.
//!
//! Known limitations: host names outside ASCII are not put into punycode.
//! [`Url::parse`] refuses them, and such an element is left to go.

use std::fmt;

use crate::text::percent_decode;

/// The two schemes that the relay speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The port that holds where a URL names none.
    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// As it stands in a URL.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// User name and password of a URL, percent-decoded.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UserInfo {
    /// The user name.
    pub(crate) name: String,
    /// The password, where a colon stood.
    pub(crate) password: Option<String>,
}

impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserInfo(..)")
    }
}

/// One absolute http or https URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// http or https.
    pub(crate) scheme: Scheme,
    /// Host name or address in lower case, without brackets.
    pub(crate) host: String,
    /// The port, the scheme's own where none is written.
    pub(crate) port: u16,
    /// `host[:port]` as written: the Host header, and the key of netrc.
    pub(crate) authority: String,
    /// Credentials, where the URL has them.
    pub(crate) user: Option<UserInfo>,
    /// The path as it goes on the wire, `/` at least.
    pub(crate) path: String,
    /// The query without its question mark.
    pub(crate) query: Option<String>,
}

/// Why a reference is no URL that the relay can ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UrlError {
    /// A scheme other than http and https.
    Scheme(String),
    /// Nobody is named who could be asked.
    NoHost,
    /// Not a URL, or one with a host that cannot be asked.
    Malformed,
}

impl Url {
    /// Parses an absolute URL; the fragment is dropped.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once(':').ok_or(UrlError::Malformed)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(UrlError::Scheme(other.to_owned())),
        };
        let rest = rest.strip_prefix("//").ok_or(UrlError::Malformed)?;
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (path, query) = split_query(tail);
        if !on_the_wire(path) || !query.is_none_or(on_the_wire) {
            return Err(UrlError::Malformed);
        }
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(parse_user(user)?), authority),
            None => (None, authority),
        };
        let (host, port) = split_port(authority)?;
        Ok(Self {
            scheme,
            port: port.unwrap_or_else(|| scheme.default_port()),
            authority: authority.trim_end_matches(':').to_owned(),
            host,
            user,
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            query: query.map(str::to_owned),
        })
    }

    /// Resolves a `Location` against this URL.
    pub(crate) fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let reference = reference.trim();
        if let Some((scheme, _)) = reference.split_once(':')
            && is_scheme(scheme)
        {
            return Self::parse(reference);
        }
        if reference.starts_with("//") {
            return Self::parse(&format!("{}:{reference}", self.scheme.as_str()));
        }
        let reference = reference.split('#').next().unwrap_or(reference);
        let (path, query) = split_query(reference);
        if !on_the_wire(path) || !query.is_none_or(on_the_wire) {
            return Err(UrlError::Malformed);
        }
        let mut joined = self.clone();
        if path.is_empty() {
            joined.query = query.map(str::to_owned).or_else(|| self.query.clone());
            return Ok(joined);
        }
        joined.query = query.map(str::to_owned);
        joined.path = if path.starts_with('/') {
            without_dots(path)
        } else {
            let folder = self.path.rfind('/').map_or("/", |at| &self.path[..=at]);
            without_dots(&format!("{folder}{path}"))
        };
        Ok(joined)
    }

    /// The same base with `rest` (a path as it goes on the wire, without a
    /// slash in front) added as go adds it.
    pub(crate) fn below(&self, rest: &str) -> Self {
        let mut url = self.clone();
        url.path = clean(&format!("{}/{rest}", self.path));
        url.query = None;
        url
    }

    /// What stands in the request line of a request to the host itself.
    pub(crate) fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// True where both URLs lead to one host and port over one scheme.
    pub(crate) fn same_host(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }

    /// The URL with the password hidden behind `mask`; go uses `xxxxx` where
    /// it prints a URL itself and `***` where net/http does.
    fn show(&self, mask: &str) -> String {
        let user = match &self.user {
            Some(UserInfo {
                name,
                password: Some(_),
            }) => format!("{}:{mask}@", show_user(name)),
            Some(UserInfo { name, password: None }) => format!("{}@", show_user(name)),
            None => String::new(),
        };
        let path = if self.path == "/" && self.query.is_none() {
            String::new()
        } else {
            self.path_and_query()
        };
        format!("{}://{user}{}{path}", self.scheme.as_str(), self.authority)
    }

    /// As Go's `URL.Redacted` prints it.
    pub(crate) fn redacted(&self) -> String {
        self.show("xxxxx")
    }

    /// As the errors of Go's `net/http` print it.
    pub(crate) fn stripped(&self) -> String {
        self.show("***")
    }
}

/// Go's `net.JoinHostPort`.
pub(crate) fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

/// Only printable ASCII without blanks may stand in a request line.
fn on_the_wire(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

fn split_port(authority: &str) -> Result<(String, Option<u16>), UrlError> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(UrlError::Malformed)?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(UrlError::Malformed);
        }
        (
            host,
            rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")),
        )
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        }
    };
    let port = match port.ok_or(UrlError::Malformed)? {
        "" => None,
        digits => Some(digits.parse::<u16>().map_err(|_| UrlError::Malformed)?),
    };
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'~');
    if !host.bytes().all(plain) {
        return Err(UrlError::Malformed);
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn parse_user(text: &str) -> Result<UserInfo, UrlError> {
    // What `net/url` takes; an `@` belongs to whoever forgot to escape it.
    let takes = |b: u8| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b);
    if !text.bytes().all(takes) {
        return Err(UrlError::Malformed);
    }
    let (name, password) = match text.split_once(':') {
        Some((name, password)) => (name, Some(password)),
        None => (text, None),
    };
    Ok(UserInfo {
        name: percent_decode(name).ok_or(UrlError::Malformed)?,
        password: match password {
            Some(password) => Some(percent_decode(password).ok_or(UrlError::Malformed)?),
            None => None,
        },
    })
}

/// A user name as it may be shown: anything unusual is escaped again.
fn show_user(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b';' | b'='
            )
        {
            shown.push(char::from(byte));
        } else {
            shown.push_str(&format!("%{byte:02X}"));
        }
    }
    shown
}

/// Removes `.` and `..` segments as RFC 3986 5.2.4 says.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut folder = false;
    for segment in path.trim_start_matches('/').split('/') {
        folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut path = format!("/{}", kept.join("/"));
    if folder && !path.ends_with('/') {
        path.push('/');
    }
    path
}

/// Go's `path.Join` of base and rest: no empty and no dot segments.
fn clean(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn parts_of_a_url() {
        let parsed = url("HTTPS://Proxy.Example:8443/go//mod/?a=b#c");
        assert_eq!(parsed.scheme, Scheme::Https);
        assert_eq!(parsed.host, "proxy.example");
        assert_eq!(parsed.port, 8443);
        assert_eq!(parsed.authority, "Proxy.Example:8443");
        assert_eq!(parsed.path_and_query(), "/go//mod/?a=b");
        let v6 = url("http://[::1]:80");
        assert_eq!(join_host_port(&v6.host, v6.port), "[::1]:80");
        assert_eq!(url("http://h").path, "/");
    }

    #[test]
    fn what_is_no_url_for_the_relay() {
        for text in [
            "h/p",
            "http:h",
            "http://h:99999/",
            "http://h x/",
            "http://bücher.example/",
            "http://h/a b",
            "http://[::1",
            "http://[zz]/",
            "http://h/\r\nX: y",
        ] {
            assert_eq!(Url::parse(text), Err(UrlError::Malformed), "{text}");
        }
        for text in [
            "http://",
            "https:///x",
            "https://u:p@",
            "https://:443/x",
            "https://?x",
            "https://#x",
        ] {
            assert_eq!(Url::parse(text), Err(UrlError::NoHost), "{text}");
        }
        assert_eq!(Url::parse("ftp://h/"), Err(UrlError::Scheme("ftp".to_owned())));
    }

    #[test]
    fn credentials_are_parsed_and_hidden() {
        let parsed = url("https://me:s%40crt@h/p");
        let user = parsed.user.clone().unwrap();
        assert_eq!(
            (user.name.as_str(), user.password.as_deref()),
            ("me", Some("s@crt"))
        );
        assert_eq!(parsed.redacted(), "https://me:xxxxx@h/p");
        assert_eq!(parsed.stripped(), "https://me:***@h/p");
        assert_eq!(url("https://me@h").redacted(), "https://me@h");
        assert!(!format!("{parsed:?}").contains("crt"));
    }

    #[test]
    fn a_base_is_joined_as_go_joins_it() {
        assert_eq!(
            url("https://h").below("m/@v/list").redacted(),
            "https://h/m/@v/list"
        );
        assert_eq!(url("https://h/a//b/").below("m/@latest").path, "/a/b/m/@latest");
    }

    #[test]
    fn locations() {
        let base = url("https://h/a/b?x");
        assert_eq!(base.join("https://o/c").unwrap().redacted(), "https://o/c");
        assert_eq!(base.join("//o/c").unwrap().redacted(), "https://o/c");
        assert_eq!(base.join("/c?d").unwrap().redacted(), "https://h/c?d");
        assert_eq!(base.join("../c").unwrap().redacted(), "https://h/c");
        assert_eq!(base.join("c/./d/..").unwrap().redacted(), "https://h/a/c/");
        assert_eq!(base.join("?y").unwrap().redacted(), "https://h/a/b?y");
        assert_eq!(
            base.join("file:///etc/passwd"),
            Err(UrlError::Scheme("file".to_owned()))
        );
        assert_eq!(
            base.join("javascript:x"),
            Err(UrlError::Scheme("javascript".to_owned()))
        );
    }

    #[test]
    fn decoding_happens_once() {}
}
