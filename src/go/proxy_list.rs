//! GOPROXY lists in Go's own grammar.
//!
//! The grammar is that of `proxyList` in Go's `modfetch/proxy.go`: elements
//! stand between `,` and `|`, the separator *after* an element says when the
//! next one is asked, white space round an element is dropped, empty elements
//! are stepped over, and `off` and `direct` end the list.

use std::fmt;

use thiserror::Error;

use crate::text::redact_url;

/// When the element behind is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sep {
    /// `,`: only after 404 or 410.
    NotFound,
    /// `|`: after any error.
    AnyError,
}

/// One element of a list.
#[derive(Clone, PartialEq, Eq, Hash)]
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

impl ListError {
    /// The same without what it quotes, unless that is a URL, whose userinfo is hidden already.
    pub(crate) fn without_text(self) -> Self {
        match self {
            Self::Scheme(text) if !text.contains("://") => Self::Scheme("xxxxx".to_owned()),
            Self::NoScheme(text) if !text.contains("://") => Self::NoScheme("xxxxx".to_owned()),
            other => other,
        }
    }
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
            // A password that holds a comma has been cut by it.
            let element = parse_element(text).map_err(|why| match value.contains('@') {
                true => why.without_text(),
                false => why,
            })?;
            let last = matches!(element, Element::Direct | Element::Off);
            entries.push((element, sep));
            if last {
                break;
            }
        }
        let (_, last) = entries.last_mut().ok_or(ListError::Empty)?;
        // It separates nothing: lists that mean the same are equal.
        *last = Sep::NotFound;
        Ok(Self { entries })
    }

    /// The elements in order, each with the separator that follows it. The
    /// last one's has no meaning and is always [`Sep::NotFound`].
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

    /// The list as it goes into GOPROXY, credentials and all.
    #[must_use]
    pub fn value(&self) -> String {
        self.render(&str::to_owned)
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
    /// The list with credentials removed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxy(url) => f.debug_tuple("Proxy").field(&redact_url(url)).finish(),
            Self::File(url) => f.debug_tuple("File").field(url).finish(),
            Self::Direct => f.write_str("Direct"),
            Self::Off => f.write_str("Off"),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn list(value: &str) -> ProxyList {
        ProxyList::parse(value).unwrap()
    }

    #[test]
    fn a_separator_behind_the_last_element_is_none() {
        assert_eq!(list("https://a|"), list("https://a"));
        assert_eq!(list("https://a|direct|https://never"), list("https://a|direct"));
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
        assert_eq!(list(",,|off|https://x").entries(), [(Element::Off, NotFound)]);
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
        assert_eq!(list("https://u:p@h,direct").redacted(), "https://xxxxx@h,direct");
        let list = list("https://u:p@h,direct");
        assert_eq!(list.value(), "https://u:p@h,direct");
        assert_eq!(list.to_string(), list.redacted());
        assert!(!format!("{list:?}").contains("u:p"));
    }
}
