//! Go's escaping of module paths and versions in proxy URLs and cache names
//! (`golang.org/x/mod/module`, `EscapePath`): `!a` for `A`, since not every file
//! system tells them apart.

/// Upper-case letters become `!` and the lower-case letter.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    escaped
}

/// The reverse of [`escape`]; `None` for what [`escape`] never makes. Whether
/// the result is a module path is another question.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '!' => plain.push(
                chars
                    .next()
                    .filter(char::is_ascii_lowercase)?
                    .to_ascii_uppercase(),
            ),
            'A'..='Z' => return None,
            c => plain.push(c),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_are_marked_and_come_back() {
        let (plain, escaped) = ("github.com/BurntSushi/toml", "github.com/!burnt!sushi/toml");
        assert_eq!(escape(plain), escaped);
        assert_eq!(unescape(escaped).as_deref(), Some(plain));
        for never_made in ["github.com/BurntSushi", "A", "a!", "a!1", "a!B", "a!!b"] {
            assert_eq!(unescape(never_made), None, "{never_made}");
        }
    }
}
