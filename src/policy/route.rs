//! GOPROXY lists in Go's own grammar, and which of them may be asked.
//!
//! The grammar is that of `proxyList` in Go's `modfetch/proxy.go`: elements
//! stand between `,` and `|`, the separator *after* an element says when the
//! next one is asked, white space round an element is dropped, empty elements
//! are stepped over, and `off` and `direct` end the list.

use std::fmt;

use thiserror::Error;

/// When the element behind is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sep {
    /// `,`: only after 404 or 410.
    NotFound,
    /// `|`: after any error.
    AnyError,
}

/// One element of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Element {
    /// A module proxy: the URL as the user wrote it, `https://` added where it had no scheme.
    Proxy(String),
    /// A proxy in the file system.
    File(String),
    /// The version control system itself.
    Direct,
    /// No further look-up.
    Off,
}

impl Element {
    /// The URL of an http or https proxy.
    #[must_use]
    pub fn proxy_url(&self) -> Option<&str> {
        match self {
            Self::Proxy(url) => Some(url),
            Self::File(_) | Self::Direct | Self::Off => None,
        }
    }
}

/// One GOPROXY value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProxyList {
    entries: Vec<(Element, Sep)>,
}

/// Why a GOPROXY value is none.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ListError {
    /// No element at all.
    #[error("the list contains no entries")]
    Empty,
    /// An element with a scheme that go does not know.
    #[error("invalid proxy URL scheme (must be https, http, file): {0}")]
    Scheme(String),
    /// An element that is neither a URL nor a host with a path.
    #[error("invalid proxy URL missing scheme: {0}")]
    NoScheme(String),
}

impl ProxyList {
    /// Parses a GOPROXY value.
    ///
    /// # Errors
    /// Where go itself would refuse the value: no entries, or a scheme other
    /// than https, http and file.
    pub fn parse(value: &str) -> Result<Self, ListError> {
        let mut entries = Vec::new();
        let mut rest = value;
        while !rest.is_empty() {
            let end = rest.find([',', '|']);
            let (text, sep) = match end {
                Some(at) if rest.as_bytes().get(at) == Some(&b'|') => (&rest[..at], Sep::AnyError),
                Some(at) => (&rest[..at], Sep::NotFound),
                None => (rest, Sep::NotFound),
            };
            rest = end.map_or("", |at| &rest[at + 1..]);
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let element = parse_element(text)?;
            let last = matches!(element, Element::Direct | Element::Off);
            entries.push((element, sep));
            if last {
                break;
            }
        }
        if entries.is_empty() {
            Err(ListError::Empty)
        } else {
            Ok(Self { entries })
        }
    }

    /// The elements in order, each with the separator that follows it. The
    /// last one's separator has no meaning.
    #[must_use]
    pub fn entries(&self) -> &[(Element, Sep)] {
        &self.entries
    }

    /// The URLs of the http and https proxies, in order.
    pub fn proxies(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|(element, _)| element.proxy_url())
    }

    /// True where the list names at least one http or https proxy.
    #[must_use]
    pub fn has_proxy(&self) -> bool {
        self.proxies().next().is_some()
    }

    /// True where `element` stands in the list.
    #[must_use]
    pub fn contains(&self, element: &Element) -> bool {
        self.entries.iter().any(|(entry, _)| entry == element)
    }

    /// True where the list is `off` before anything else could be asked.
    #[must_use]
    pub fn is_off(&self) -> bool {
        matches!(self.entries.first(), Some((Element::Off, _)))
    }

    /// The list with credentials removed, for showing.
    #[must_use]
    pub fn redacted(&self) -> String {
        self.render(&|url| redact_url(url))
    }

    fn render(&self, url: &dyn Fn(&str) -> String) -> String {
        let mut text = String::new();
        for (index, (element, sep)) in self.entries.iter().enumerate() {
            match element {
                Element::Proxy(proxy) => text.push_str(&url(proxy)),
                Element::File(path) => text.push_str(path),
                Element::Direct => text.push_str("direct"),
                Element::Off => text.push_str("off"),
            }
            if index + 1 < self.entries.len() {
                text.push(match sep {
                    Sep::NotFound => ',',
                    Sep::AnyError => '|',
                });
            }
        }
        text
    }
}

impl fmt::Display for ProxyList {
    /// The list as it goes into GOPROXY, credentials and all: for showing use
    /// [`ProxyList::redacted`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&str::to_owned))
    }
}

fn parse_element(text: &str) -> Result<Element, ListError> {
    match text {
        "direct" => return Ok(Element::Direct),
        "off" => return Ok(Element::Off),
        _ => {}
    }
    // Go keeps single words for itself, and takes what holds `:/` or starts
    // with `/` as a whole URL. All else is a host with a path.
    if text.contains(['.', ':', '/']) && !text.contains(":/") && !text.starts_with('/') {
        return Ok(Element::Proxy(format!("https://{text}")));
    }
    let Some((scheme, _)) = text.split_once(':') else {
        return Err(ListError::NoScheme(redact_url(text)));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => Ok(Element::Proxy(text.to_owned())),
        "file" => Ok(Element::File(text.to_owned())),
        _ => Err(ListError::Scheme(redact_url(text))),
    }
}

/// A URL without its userinfo, for showing.
#[must_use]
pub fn redact_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return match url.rsplit_once('@') {
            Some((_, host)) => format!("xxxxx@{host}"),
            None => url.to_owned(),
        };
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://xxxxx@{host}{path}"),
        None if is_half_a_password(authority) => match path.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://xxxxx@{host}"),
            None => format!("{scheme}://xxxxx"),
        },
        None => url.to_owned(),
    }
}

/// True where what should be `HOST:PORT` has no port: `USER:PASS`, cut off at a
/// `/`, `?` or `#` of the password that nobody escaped.
#[must_use]
pub(crate) fn is_half_a_password(authority: &str) -> bool {
    let behind = authority.rsplit_once(':').filter(|_| !authority.starts_with('['));
    behind.is_some_and(|(_, port)| !port.bytes().all(|b| b.is_ascii_digit()))
}

/// A public module proxy: everybody may ask it, and everybody's module names
/// may be known to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicProxy {
    /// Host name; scheme is https and the port the default one.
    pub host: &'static str,
    /// Path prefix without a slash at the end; empty for none.
    pub path: &'static str,
}

impl PublicProxy {
    /// True where `url` is this proxy: https, this host, default port, this path.
    #[must_use]
    pub fn is(&self, url: &str) -> bool {
        let Some(rest) = strip_prefix_ignore_case(url, "https://") else {
            return false;
        };
        let authority_end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        let host = authority.strip_suffix(":443").unwrap_or(authority);
        host.eq_ignore_ascii_case(self.host) && path.trim_end_matches('/') == self.path
    }
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Whether routes behind the user's own may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Widen {
    /// Only where the rule of [`may_widen`] allows it.
    #[default]
    Auto,
    /// Wherever there is a route.
    Always,
    /// Not at all.
    Never,
}

/// Why later routes are not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Narrow {
    /// The user said `never`.
    Never,
    /// The user's list names no http or https proxy: a decision against proxies.
    NoProxy,
    /// The user's list holds `off`.
    Off,
    /// The user's list holds a `file://` element.
    File,
    /// This proxy of the user's list (credentials removed) is neither public
    /// nor written out in the routes.
    Private(String),
}

impl fmt::Display for Narrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("widen is \"never\""),
            Self::NoProxy => f.write_str("GOPROXY names no proxy, which is a decision against proxies"),
            Self::Off => f.write_str("GOPROXY holds `off`"),
            Self::File => f.write_str("GOPROXY holds a file:// element"),
            Self::Private(url) => write!(f, "{url} is not a public proxy and stands in no route of yours"),
        }
    }
}

/// Decides whether routes behind the user's own list may be used.
///
/// A company's proxy being down must not send its module names to a public
/// one: so every proxy of the user's list has to be public, or be written out
/// in the routes by the user.
///
/// # Errors
/// The reason why not.
pub fn may_widen(
    list: &ProxyList,
    widen: Widen,
    public: &[PublicProxy],
    routes: &[ProxyList],
) -> Result<(), Narrow> {
    match widen {
        Widen::Never => return Err(Narrow::Never),
        Widen::Always => return Ok(()),
        Widen::Auto => {}
    }
    if list.contains(&Element::Off) {
        return Err(Narrow::Off);
    }
    if list
        .entries()
        .iter()
        .any(|(element, _)| matches!(element, Element::File(_)))
    {
        return Err(Narrow::File);
    }
    if !list.has_proxy() {
        return Err(Narrow::NoProxy);
    }
    let known = |url: &str| {
        public.iter().any(|proxy| proxy.is(url))
            || routes
                .iter()
                .any(|route| route.proxies().any(|own| same_proxy(own, url)))
    };
    match list.proxies().find(|url| !known(url)) {
        Some(url) => Err(Narrow::Private(redact_url(url))),
        None => Ok(()),
    }
}

/// Two spellings of one proxy: scheme and host without case, a slash at the
/// end without meaning.
fn same_proxy(a: &str, b: &str) -> bool {
    fn split(url: &str) -> (String, &str) {
        let url = url.trim_end_matches('/');
        let path = url
            .find("://")
            .and_then(|at| url[at + 3..].find('/').map(|slash| at + 3 + slash));
        let (origin, path) = url.split_at(path.unwrap_or(url.len()));
        (origin.to_ascii_lowercase(), path)
    }
    split(a) == split(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(value: &str) -> ProxyList {
        ProxyList::parse(value).unwrap()
    }

    #[test]
    fn the_grammar_of_go() {
        use Sep::{AnyError, NotFound};
        let proxy = |url: &str| Element::Proxy(url.to_owned());
        assert_eq!(
            list("https://a, http://b|goproxy.example/x ,direct,https://never").entries(),
            [
                (proxy("https://a"), NotFound),
                (proxy("http://b"), AnyError),
                (proxy("https://goproxy.example/x"), NotFound),
                (Element::Direct, NotFound)
            ]
        );
        assert_eq!(list(",,|off|https://x").entries(), [(Element::Off, AnyError)]);
        assert_eq!(
            list("file:///srv/mod").entries(),
            [(Element::File("file:///srv/mod".to_owned()), NotFound)]
        );
        assert_eq!(ProxyList::parse(" , "), Err(ListError::Empty));
        assert_eq!(ProxyList::parse(""), Err(ListError::Empty));
        assert_eq!(
            ProxyList::parse("foo"),
            Err(ListError::NoScheme("foo".to_owned()))
        );
        assert_eq!(
            ProxyList::parse("ftp://x"),
            Err(ListError::Scheme("ftp://x".to_owned()))
        );
    }

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(redact_url("https://u:p@h/x@v"), "https://xxxxx@h/x@v");
        assert_eq!(redact_url("https://h/a@b"), "https://h/a@b");
        assert_eq!(redact_url("u:p@h"), "xxxxx@h");
        for odd in ["https://u:p/w@h/x", "https://u:p?w@h/x", "https://u:p#w@b@h/x"] {
            assert_eq!(redact_url(odd), "https://xxxxx@h/x", "{odd}");
        }
        // What a comma in a password leaves of its URL.
        assert_eq!(redact_url("https://u:p"), "https://xxxxx");
        assert_eq!(redact_url("https://h:80/x@v"), "https://h:80/x@v");
        assert_eq!(redact_url("https://[::1]/x@v"), "https://[::1]/x@v");
        assert_eq!(list("https://u:p@h,direct").redacted(), "https://xxxxx@h,direct");
        assert_eq!(list("https://u:p@h,direct").to_string(), "https://u:p@h,direct");
    }

    const PUBLIC: &[PublicProxy] = &[
        PublicProxy {
            host: "proxy.golang.org",
            path: "",
        },
        PublicProxy {
            host: "mirrors.aliyun.com",
            path: "/goproxy",
        },
    ];

    #[test]
    fn widening_needs_a_public_list_or_the_users_word() {
        let routes = [list("https://proxy.corp.example,direct")];
        let may = |value: &str, widen| may_widen(&list(value), widen, PUBLIC, &routes);
        assert_eq!(may("https://proxy.golang.org,direct", Widen::Auto), Ok(()));
        assert_eq!(
            may(
                "HTTPS://Proxy.Golang.Org:443/|https://mirrors.aliyun.com/goproxy/",
                Widen::Auto
            ),
            Ok(())
        );
        assert_eq!(may("https://PROXY.corp.example/,direct", Widen::Auto), Ok(()));
        assert_eq!(may("direct", Widen::Auto), Err(Narrow::NoProxy));
        assert_eq!(may("direct", Widen::Always), Ok(()));
        assert_eq!(may("https://proxy.golang.org,off", Widen::Auto), Err(Narrow::Off));
        assert_eq!(
            may("file:///x,https://proxy.golang.org", Widen::Auto),
            Err(Narrow::File)
        );
        assert_eq!(
            may("https://proxy.golang.org,direct", Widen::Never),
            Err(Narrow::Never)
        );
        for private in [
            "http://proxy.golang.org",
            "https://proxy.golang.org:8443",
            "https://proxy.golang.org/private",
            "https://u:p@proxy.golang.org",
            "https://proxy.golang.org.evil.example",
            "https://mirrors.aliyun.com/other",
            "https://proxy.golang.org,https://other.example",
        ] {
            assert!(
                matches!(may(private, Widen::Auto), Err(Narrow::Private(_))),
                "{private}"
            );
        }
    }
}
