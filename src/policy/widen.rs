//! Whether routes behind the user's own list may be asked.

use std::fmt;

use crate::go::proxy_list::{Element, ProxyList};
use crate::go::public::PublicProxy;
use crate::text::redact_url;

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
