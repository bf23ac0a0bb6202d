//! Hides credentials in URLs.

use std::borrow::Cow;

/// What Go itself puts in place of credentials.
const HIDDEN: &str = "xxxxx";

/// Replaces the userinfo of every URL in `text` by what Go puts there.
///
/// Producers of events hide credentials themselves; this is the second net, for
/// a URL inside a line that some tool printed.
pub(super) fn hide_userinfo(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find("://") else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    let mut rest = &text[first..];
    while let Some(at) = rest.find("://") {
        let authority = at + 3;
        out.push_str(&rest[..authority]);
        rest = &rest[authority..];
        let is_quote = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\');
        let whole = rest.find(is_quote).unwrap_or(rest.len());
        let mut end = rest[..whole].find(['/', '?', '#']).unwrap_or(whole);
        if !rest[..end].contains('@') && is_half_a_password(&rest[..end]) && rest[..whole].contains('@') {
            end = whole;
        }
        if let Some(sign) = rest[..end].rfind('@') {
            out.push_str(HIDDEN);
            rest = &rest[sign..];
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// A URL without its userinfo, for showing.
#[must_use]
pub(crate) fn redact_url(url: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::super::safe;
    use super::*;

    #[test]
    fn credentials_in_urls_are_hidden() {
        assert_eq!(
            safe("Get \"https://bob:s3cret@h.example/a@v\": EOF"),
            "Get \"https://xxxxx@h.example/a@v\": EOF"
        );
        assert_eq!(
            safe("https://a@b@c/ https://d/e@f"),
            "https://xxxxx@c/ https://d/e@f"
        );
        assert_eq!(safe("https://h/m@v1.0.0"), "https://h/m@v1.0.0");
        for odd in ["a/b", "a?b", "a#b", "a/b@c"] {
            let text = format!("parse \"https://bob:{odd}@h.example/x\": invalid port");
            let shown = safe(&text);
            assert_eq!(
                shown, "parse \"https://xxxxx@h.example/x\": invalid port",
                "{odd}"
            );
        }
        assert_eq!(safe("https://h:8080/m@v1.0.0"), "https://h:8080/m@v1.0.0");
        assert_eq!(safe("https://[::1]:80/m@v1.0.0"), "https://[::1]:80/m@v1.0.0");
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
    }
}
