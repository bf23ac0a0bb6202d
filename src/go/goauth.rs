//! GOAUTH (`go help goauth`): its value, and what the programs that it names print. As `cmd/go/internal/auth` reads them.
//!
//! Whatever is not plainly understood is `None`: go reads it then, or says in its own words what is wrong with it.

use std::path::{Path, PathBuf};

/// One of the commands in GOAUTH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Method {
    /// The netrc file.
    Netrc,
    /// `git credential fill` in this folder.
    Git(PathBuf),
    /// A program and its arguments.
    Command(Vec<String>),
}

/// The commands of a value, none for `off`; an empty value means netrc.
pub(crate) fn methods(value: &str) -> Option<Vec<Method>> {
    if value.is_empty() {
        return Some(vec![Method::Netrc]);
    }
    let commands: Vec<&str> = value.split(';').map(str::trim).collect();
    let mut methods = Vec::new();
    for command in &commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        methods.push(match *words.as_slice() {
            ["off", ..] if commands.len() == 1 => return Some(Vec::new()),
            [] | ["off", ..] => return None,
            ["netrc", ..] => Method::Netrc,
            ["git", dir] if Path::new(dir).is_absolute() => Method::Git(PathBuf::from(dir)),
            ["git", ..] => return None,
            _ => Method::Command(split(command)?),
        });
    }
    Some(methods)
}

/// Go's `quoted.Split`: a word may stand in single or double quotes as a whole.
fn split(text: &str) -> Option<Vec<String>> {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while let Some(first) = rest.chars().next() {
        let (word, behind) = match first {
            '"' | '\'' => rest.get(1..)?.split_once(first)?,
            _ => rest.split_at(rest.find(is_space).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = behind.trim_start_matches(is_space);
    }
    words
        .first()
        .is_some_and(|name| !name.is_empty())
        .then_some(words)
}

/// A URL without its scheme, and the header lines for everything below it.
pub(crate) type CredentialSet = (String, Vec<(String, String)>);

/// The credentials that a command printed: of two sets for one URL the last holds.
pub(crate) fn credential_sets(output: &str) -> Option<Vec<CredentialSet>> {
    let mut sets = Vec::new();
    let mut rest = output;
    while !rest.is_empty() {
        let urls = block(&mut rest, prefix)?;
        let headers = block(&mut rest, header_line)?;
        sets.extend(urls.into_iter().map(|url| (url, headers.clone())));
    }
    Some(sets)
}

/// The lines up to an empty one.
fn block<T>(rest: &mut &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let mut lines = Vec::new();
    loop {
        let (line, behind) = rest.split_once('\n')?;
        *rest = behind;
        if line.is_empty() {
            return Some(lines);
        }
        lines.push(read(line)?);
    }
}

/// A URL that go keeps as it is written, without its scheme.
fn prefix(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let all = |text: &str, others: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
    };
    let plain = !host.is_empty() && all(host, "-._") && port.bytes().all(|byte| byte.is_ascii_digit());
    (plain && all(path, "-._~!$&'()*+,;=:@/")).then(|| rest.to_owned())
}

fn header_line(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(": ")?;
    let value = value.trim();
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let valid = !name.is_empty()
        && name.chars().all(is_token)
        && value.chars().all(|c| c == '\t' || !c.is_ascii_control());
    valid.then(|| (name.to_owned(), value.to_owned()))
}

/// What `git credential fill` found: the URL that it holds for, the user's name and the password.
pub(crate) fn git_credential<'a>(output: &'a str, asked: &str) -> Option<(String, &'a str, &'a str)> {
    let value = |key: &str| {
        let mut values = output
            .lines()
            .filter_map(|line| line.trim().split_once('='))
            .filter(|(name, _)| *name == key);
        values.next_back().map_or("", |(_, value)| value)
    };
    let path = value("path").trim_start_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    let url = format!("{}://{}{slash}{path}", value("protocol"), value("host"));
    let holds = value("url").is_empty() && asked.starts_with(&url) && prefix(&url).is_some();
    holds.then(|| (url, value("username"), value("password")))
}

/// Go's canonical spelling of a header's name: `www-authenticate` is `Www-Authenticate`.
pub(crate) fn canonical(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|c| {
            let c = if upper {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            };
            upper = c == '-';
            c
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> Method {
        Method::Command(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn values() {
        let some = |methods: &[Method]| Some(methods.to_vec());
        assert_eq!(methods(""), some(&[Method::Netrc]));
        assert_eq!(methods(" off "), some(&[]));
        assert_eq!(
            methods("netrc; git /dir ;a --arg \"b c\" 'd' e'f"),
            some(&[
                Method::Netrc,
                Method::Git("/dir".into()),
                command(&["a", "--arg", "b c", "d", "e'f"])
            ])
        );
        for go_refuses in [";", "netrc;", "off;netrc", "git", "git rel", "git /a /b"] {
            assert_eq!(methods(go_refuses), None, "{go_refuses}");
        }
        // And these fail each time they are to run.
        assert_eq!(methods("a 'b"), None);
        assert_eq!(methods("'' a"), None);
    }

    #[test]
    fn sets_of_credentials() {
        let both = "https://example.com\nhttps://example.net:8443/api/\n\nAuthorization: Basic eA==\nA: \t b \n\n\
                    https://h\n\n\n";
        let headers = vec![
            ("Authorization".to_owned(), "Basic eA==".to_owned()),
            ("A".to_owned(), "b".to_owned()),
        ];
        assert_eq!(
            credential_sets(both),
            Some(vec![
                ("example.com".to_owned(), headers.clone()),
                ("example.net:8443/api/".to_owned(), headers),
                ("h".to_owned(), Vec::new())
            ])
        );
        assert_eq!(credential_sets(""), Some(Vec::new()));
        for wrong in [
            "https://example.com\nA: b\n\n",
            "A: b\n\n",
            "https://example.com\n",
            "https://example.com\n\n",
            "https://example.com\n\nA: b\n",
            "https://example.com\n\nA: b\n C: d\n\n",
            " https://example.com\n\nA: b\n\n",
            "https://example.com\n\n\nA: b\n\n",
            "https://example.com\r\n\r\nA: b\r\n\r\n",
            // Go reads these, and may keep them otherwise than they are written.
            "https://u:p@example.com\n\nA: b\n\n",
            "https://example.com/%41\n\nA: b\n\n",
            "http://example.com\n\nA: b\n\n",
        ] {
            assert_eq!(credential_sets(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_git_filled_in() {
        let output = "protocol=https\nhost=h:8443\nusername=me\npassword=a=b\n";
        let of = |output, asked| git_credential(output, asked).map(|(url, ..)| url);
        assert_eq!(
            git_credential(output, "https://h:8443/m/@v/list"),
            Some(("https://h:8443".to_owned(), "me", "a=b"))
        );
        assert_eq!(of(output, "https://o/m"), None);
        let deeper = "protocol=https\nhost=h\npath=m/n\n";
        assert_eq!(
            of(deeper, "https://h/m/n/@v/list").as_deref(),
            Some("https://h/m/n")
        );
        assert_eq!(of("", "https://h/"), None);
        assert_eq!(of("protocol=https\nhost=h\nurl=https://h/\n", "https://h/"), None);
    }

    #[test]
    fn names_as_go_spells_them() {
        assert_eq!(canonical("www-authenticate"), "Www-Authenticate");
        assert_eq!(canonical("X-GitLab-token"), "X-Gitlab-Token");
    }
}
