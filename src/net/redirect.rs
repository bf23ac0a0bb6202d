//! Where a redirect leads, by the rules of `cmd/go/internal/web` and `net/http`.

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};

use super::limits;
use super::url::{Scheme, Url, UrlError};
use crate::text::{redact_url, safe};

/// Why a redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedirectError {
    pub(crate) reason: Reason,
    /// Go's words for it.
    pub(crate) text: String,
    /// The URL that go names.
    pub(crate) url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There were ten.
    TooMany,
    /// From https to something else.
    Insecure,
    /// To a scheme that is not HTTP's.
    Scheme,
    /// To something that is no URL.
    Malformed,
}

/// The Location of an answer that is a redirect. One without is an answer like
/// any other, as in Go.
pub(crate) fn target(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = headers.get(header::LOCATION)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned()).filter(|text| !text.is_empty())
}

/// The URL that is asked next. `first` was asked first, `at` last, behind `hops` redirects.
pub(crate) fn follow(first: &Url, at: &Url, location: &str, hops: usize) -> Result<Url, RedirectError> {
    let shown = || match location.contains("//") {
        true => safe(&redact_url(location)),
        false => safe(location),
    };
    let refuse = |reason, text: String, url: String| Err(RedirectError { reason, text, url });
    let insecure = |to: &str| {
        format!(
            "redirected from secure URL {} to insecure URL {to}",
            at.redacted()
        )
    };
    if hops + 1 >= limits::REDIRECTS {
        let text = format!("stopped after {} redirects", limits::REDIRECTS);
        return refuse(Reason::TooMany, text, shown());
    }
    match at.join(location) {
        Ok(next) if first.scheme == Scheme::Https && next.scheme == Scheme::Http => {
            refuse(Reason::Insecure, insecure(&next.redacted()), shown())
        }
        Ok(next) => Ok(next),
        Err(UrlError::Scheme(scheme)) if first.scheme == Scheme::Https => refuse(
            Reason::Insecure,
            insecure(&shown()),
            format!("{}:", safe(&scheme)),
        ),
        Err(UrlError::Scheme(scheme)) => refuse(
            Reason::Scheme,
            format!("unsupported protocol scheme {:?}", safe(&scheme)),
            shown(),
        ),
        Err(UrlError::NoHost | UrlError::Malformed) => refuse(
            Reason::Malformed,
            format!("failed to parse Location header {:?}", shown()),
            at.stripped(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_https_nothing_leads_to_anything_else() {
        let (https, http) = (
            Url::parse("https://h/a").unwrap(),
            Url::parse("http://h/a").unwrap(),
        );
        let reason = |first: &Url, at: &Url, to, hops| follow(first, at, to, hops).map_err(|e| e.reason);
        assert_eq!(reason(&https, &https, "http://o/", 0), Err(Reason::Insecure));
        assert_eq!(reason(&https, &https, "file:///x", 0), Err(Reason::Insecure));
        assert_eq!(reason(&http, &http, "file:///x", 0), Err(Reason::Scheme));
        assert_eq!(reason(&http, &http, "https://", 0), Err(Reason::Malformed));
        assert!(reason(&http, &https, "http://o/", 0).is_ok());
        assert!(reason(&https, &https, "https://o/", 8).is_ok());
        assert_eq!(reason(&https, &https, "https://o/", 9), Err(Reason::TooMany));
    }
}
