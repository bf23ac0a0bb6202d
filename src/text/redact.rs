//! Hides credentials in URLs.
//!
//! What go reads as userinfo is hidden: all before the last `@` of the authority. So is what a person meant as a password
//! and did not escape: go ends the authority at the first `/`, `?` or `#` of it, refuses the rest as a port, and quotes both.
//!
//! Known limitation: a password of digits up to such a character, with another host behind its `@`, is a port by any reading.

use std::borrow::Cow;

use memchr::memmem;

/// What Go itself puts in place of credentials.
const HIDDEN: &str = "xxxxx";

/// Behind these words go quotes a piece of a URL that it could not read.
const QUOTES: [&str; 2] = ["invalid port \"", "invalid URL escape \""];

/// A text without the userinfo of the URLs in it.
#[must_use]
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(start) = next_authority(text, at) {
        let whole = &text[start..start + url_length(text, start)];
        at = start;
        if let Some(hidden) = userinfo(whole) {
            out.push_str(&text[copied..start]);
            out.push_str(HIDDEN);
            copied = start + hidden;
            at = copied;
        }
    }
    let hidden = match copied {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(out + &text[copied..]),
    };
    QUOTES.iter().fold(hidden, |text, words| hide_quoted(text, words))
}

/// A URL, or what somebody took for one, without its userinfo.
#[must_use]
pub(crate) fn redact_url(url: &str) -> String {
    let start = match next_authority(url, 0) {
        Some(start) => start,
        // An element of a list whose password held the comma.
        None if url.contains('@') => 0,
        None => return url.to_owned(),
    };
    let (scheme, rest) = url.split_at(start);
    let hidden = userinfo(rest).or_else(|| match start {
        0 => rest.rfind('@'),
        // The comma has cut off the host.
        _ => (authority(rest) == rest && is_half_a_password(rest)).then_some(rest.len()),
    });
    match hidden {
        Some(hidden) => format!("{scheme}{HIDDEN}{}", &rest[hidden..]),
        None => url.to_owned(),
    }
}

/// `host[:port]` of a URL, without its userinfo. Go 1.21 prints `http:/host/…` for broken bodies; that is understood too.
#[must_use]
pub(crate) fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once(":/")?;
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let rest = &rest[userinfo(rest).unwrap_or(0)..];
    let rest = rest.strip_prefix('@').unwrap_or(rest);
    let end = rest.find(['/', '?', '#', '"', '\'']).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|host| !host.is_empty())
}

/// Where the next URL's authority begins.
fn next_authority(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let colon = at + memmem::find(text.as_bytes().get(at..)?, b":/")?;
        let behind = colon + 2;
        if text[behind..].starts_with('/') {
            return Some(behind + 1);
        }
        if text[..colon].ends_with("http") || text[..colon].ends_with("https") {
            return Some(behind);
        }
        at = behind;
    }
}

/// How long a URL is that begins before `start`: to the quotation mark that closes it, else to a blank. A blank that nobody
/// escaped belongs to a password that it cuts in two.
fn url_length(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\');
    let scheme = text[..start]
        .trim_end_matches('/')
        .strip_suffix(':')
        .unwrap_or_default();
    let before = scheme.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let quote = before
        .chars()
        .next_back()
        .filter(|c| matches!(c, '"' | '\'' | '`'));
    if let Some(length) = quote.and_then(|quote| rest.find(quote)) {
        return rest[..length].trim_end_matches('\\').len();
    }
    let length = rest.find(is_end).unwrap_or(rest.len());
    // The next element of a list.
    let next = [",http", "|http", ";http"]
        .iter()
        .filter_map(|next| rest[..length].find(next))
        .min();
    let length = next.unwrap_or(length);
    let whole = &rest[..length];
    if whole.contains('@') || !is_half_a_password(authority(whole)) {
        return length;
    }
    match rest.find('@') {
        Some(sign) if !rest[..sign].contains("://") => {
            sign + rest[sign..].find(is_end).unwrap_or(rest.len() - sign)
        }
        _ => length,
    }
}

fn authority(rest: &str) -> &str {
    &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())]
}

/// How much of a URL, from its authority on, is to be hidden: up to the `@` in front of the host.
fn userinfo(rest: &str) -> Option<usize> {
    let authority = authority(rest);
    let own = authority.rfind('@');
    let has_colon = authority.contains(':') && !authority.starts_with('[');
    // `https://#half@host`: what is left of a password behind a character that cuts lists.
    let is_half = rest.starts_with(['?', '#']);
    if own.is_none() && !has_colon && !is_half {
        return None;
    }
    let mut signs = rest.rmatch_indices('@').map(|(at, _)| at);
    let last = signs.find(|at| !is_of_the_protocol(&rest[at + 1..]));
    last.max(own)
}

/// What stands behind an `@` of go's own: `/@v/list`, `/@latest`, `lookup/m@v1.0.0`.
fn is_of_the_protocol(behind: &str) -> bool {
    let version = behind.strip_prefix('v').map(|rest| rest.chars().next());
    behind.starts_with("latest")
        || version.is_some_and(|next| next.is_none_or(|c| c == '/' || c.is_ascii_digit()))
}

/// True where what should be `HOST:PORT` has no port: `USER:PASS`, cut off at a
/// `/`, `?` or `#` of the password that nobody escaped.
fn is_half_a_password(authority: &str) -> bool {
    let behind = authority.rsplit_once(':').filter(|_| !authority.starts_with('['));
    behind.is_some_and(|(_, port)| port.len() > 5 || !port.bytes().all(|b| b.is_ascii_digit()))
}

fn hide_quoted<'a>(text: Cow<'a, str>, words: &str) -> Cow<'a, str> {
    let Some(at) = memmem::find(text.as_bytes(), words.as_bytes()) else {
        return text;
    };
    let start = at + words.len();
    let end = text[start..].find('"').map_or(text.len(), |end| start + end);
    Cow::Owned(format!("{}{HIDDEN}{}", &text[..start], &text[end..]))
}

/// Takes the query of every URL in `text` away: storage hosts sign their URLs, so that it is a credential.
pub(crate) fn redact_queries(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>');
    text.split_inclusive(is_end)
        .flat_map(|word| {
            let (word, end) = word.split_at(word.trim_end_matches(is_end).len());
            match word.split_once('?') {
                Some((url, _)) if word.contains("://") => [url, "?…", end],
                _ => [word, "", end],
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::safe;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_signed_url_loses_its_signature() {
        let text = r#"Get "https://h.example/x?X-Amz-Signature=a&b=c": reset; is it? https://h.example/y?z"#;
        let left = r#"Get "https://h.example/x?…": reset; is it? https://h.example/y?…"#;
        assert_eq!(redact_queries(text), left);
    }

    #[test]
    fn credentials_in_urls_are_hidden() {
        assert_eq!(
            safe("Get \"https://bob:s3cret@h.example/a/@v/list\": EOF"),
            "Get \"https://xxxxx@h.example/a/@v/list\": EOF"
        );
        assert_eq!(
            safe("https://a@b@c/ https://d/e@f http:/g:h@i/j"),
            "https://xxxxx@c/ https://d/e@f http:/xxxxx@i/j"
        );
        for odd in ["a/b", "a?b", "a#b", "a/b@c", "a b", "1/a@v1.0.0/@"] {
            let text = format!("parse \"https://bob:{odd}@h.example/x\": invalid port \":{odd}\" after host");
            assert_eq!(
                safe(&text),
                "parse \"https://xxxxx@h.example/x\": invalid port \"xxxxx\" after host",
                "{odd}"
            );
        }
        assert_eq!(
            safe("to https://bob:pa ss@h.example/x now"),
            "to https://xxxxx@h.example/x now"
        );
        assert_eq!(
            safe("https://a:80,https://u:p,w@h|https://c"),
            "https://a:80,https://xxxxx@h|https://c"
        );
        for plain in [
            "https://h/m@v1.0.0",
            "https://h:8080/m/@v/v1.0.0.zip",
            "https://[::1]:80/m@v1.0.0",
            "https://h:443: EOF, says me@h.example",
            "https://127.0.0.1:PORT/m/@v/list",
            "https://h:8080/lookup/m@v1.0.0+incompatible",
        ] {
            assert!(
                matches!(redact(plain), Cow::Borrowed(text) if text == plain),
                "{plain}"
            );
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(redact_url("https://u:p@h/x/@v/list"), "https://xxxxx@h/x/@v/list");
        assert_eq!(redact_url("https://h/a@b"), "https://h/a@b");
        assert_eq!(redact_url("u:p@h"), "xxxxx@h");
        for odd in [
            "https://u:p/w@h/x",
            "https://u:p?w@h/x",
            "https://u:p#w@b@h/x",
            "https://u:p@b/w@h/x",
        ] {
            assert_eq!(redact_url(odd), "https://xxxxx@h/x", "{odd}");
        }
        assert_eq!(redact_url("https://#w@h/x"), "https://xxxxx@h/x");
        // What a comma in a password leaves of its URL.
        assert_eq!(redact_url("https://u:p"), "https://xxxxx");
        for plain in ["https://h:80/x@v", "https://[::1]/x@v", "https://h:80"] {
            assert_eq!(redact_url(plain), plain);
        }
    }

    #[test]
    fn hosts() {
        for (url, host) in [
            ("https://u:p@h:80/x/@v/list", Some("h:80")),
            ("https://u:p/w@h/x", Some("h")),
            ("http:/h/x", Some("h")),
            ("https://h?x", Some("h")),
            ("h/x", None),
            ("https:///x", None),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    proptest! {
        /// Every piece of a password is gone, whatever stands between its pieces, quoted or in a list.
        #[test]
        fn no_piece_of_a_password_is_left(odd in "[/?#@:%; éü\u{4e2d}]{0,6}", other in "[/?#@:%;é]{0,6}") {
            let url = format!("https://bob:s3cr{odd}t0kn{other}w0rd@proxy.corp/m/@v/v1.0.0.zip");
            let is_gone = |text: &str| ["bob", "s3cr", "t0kn", "w0rd"].iter().all(|part| !text.contains(part));
            for text in [
                format!("go: reading \"{url}\": 404 Not Found"),
                format!("Get '{url}': EOF"),
                format!("{{\"Error\":\"Get \\\"{url}\\\": EOF\"}}"),
                format!("parse \"{url}\": invalid port \":s3cr{odd}t0kn\" after host"),
            ] {
                prop_assert!(is_gone(&redact(&text)), "{}", redact(&text));
                prop_assert!(redact(&text).contains("proxy.corp/m/@v/v1.0.0.zip"), "{}", redact(&text));
                prop_assert!(is_gone(&safe(&text)), "{}", safe(&text));
            }
            prop_assert_eq!(redact_url(&url), "https://xxxxx@proxy.corp/m/@v/v1.0.0.zip");
            prop_assert_eq!(host_of(&url), Some("proxy.corp"));
            if !odd.contains(char::is_whitespace) {
                let text = format!("GOPROXY={url},direct and more");
                prop_assert!(is_gone(&redact(&text)), "{}", redact(&text));
            }
        }
    }
}
