//! The patterns of GOPRIVATE, GONOPROXY, GONOSUMDB and GOINSECURE: no blank is dropped and no quotation mark, and a
//! pattern that no module path can match is no error.

/// Whether one of the patterns in `globs` (separated by commas) matches a prefix of `module`, as Go's
/// `module.MatchPrefixPatterns` has it: as many path elements are compared as the pattern has.
pub(crate) fn match_prefix_patterns(globs: &str, module: &str) -> bool {
    globs
        .split(',')
        // A malformed pattern matches nothing.
        .filter(|glob| !glob.is_empty())
        .any(|glob| {
            let glob = glob.strip_suffix('/').unwrap_or(glob);
            let elements: Vec<&str> = module.split('/').collect();
            let patterns: Vec<&str> = glob.split('/').collect();
            patterns.len() <= elements.len()
                && patterns
                    .iter()
                    .zip(&elements)
                    .all(|(pattern, element)| matches(pattern, element).unwrap_or(false))
        })
}

/// Go's `path.Match` within one element: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before what is meant as it stands.
/// `None` for a malformed pattern.
fn matches(pattern: &str, text: &str) -> Option<bool> {
    let Some(first) = pattern.chars().next() else {
        return Some(text.is_empty());
    };
    let rest = &pattern[first.len_utf8()..];
    if first == '*' {
        let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        let mut found = Some(false);
        for end in ends {
            match matches(rest, &text[end..]) {
                Some(true) => return Some(true),
                other => found = found.and(other),
            }
        }
        return found;
    }
    let next = text.chars().next();
    let behind = || next.map_or("", |next| &text[next.len_utf8()..]);
    let (fits, rest) = match first {
        '?' => (next.is_some(), rest),
        '[' => class(rest, next)?,
        '\\' => {
            let literal = rest.chars().next()?;
            (next == Some(literal), &rest[literal.len_utf8()..])
        }
        literal => (next == Some(literal), rest),
    };
    match fits {
        true => matches(rest, behind()),
        false => Some(false),
    }
}

/// Reads a class behind its `[`: whether `c` is in it, and what follows the `]`.
fn class(pattern: &str, c: Option<char>) -> Option<(bool, &str)> {
    let (negated, mut rest) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let mut found = false;
    let mut is_empty = true;
    loop {
        if let Some(rest) = rest.strip_prefix(']').filter(|_| !is_empty) {
            return Some((c.is_some() && found != negated, rest));
        }
        let (low, behind) = class_char(rest)?;
        rest = behind;
        let high = match rest.strip_prefix('-') {
            Some(behind) => {
                let (high, behind) = class_char(behind)?;
                rest = behind;
                high
            }
            None => low,
        };
        found |= c.is_some_and(|c| (low..=high).contains(&c));
        is_empty = false;
    }
}

fn class_char(pattern: &str) -> Option<(char, &str)> {
    let mut chars = pattern.chars();
    let c = match chars.next()? {
        '-' | ']' => return None,
        '\\' => chars.next()?,
        c => c,
    };
    Some((c, chars.as_str()))
}

/// Why a pattern matches no module path; `None` where it may match one.
pub(crate) fn flaw(pattern: &str) -> Option<&'static str> {
    // One slash at the end is dropped, and an empty pattern stepped over.
    let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
    if pattern.contains(char::is_whitespace) {
        return Some("a blank is part of the pattern");
    }
    if pattern.contains("://") {
        return Some("no scheme belongs there");
    }
    if pattern.contains(['"', '\'', '`']) {
        return Some("quotation marks are part of the pattern");
    }
    if pattern.starts_with('/') || pattern.contains("//") || pattern.ends_with('/') {
        return Some("no module path has an empty element");
    }
    if pattern.contains(':') {
        return Some("no module path has a port");
    }
    if pattern.contains('@') {
        return Some("neither a user nor a version belongs there");
    }
    // What may stand in a module path, and what stands for it.
    let possible = |c: char| c.is_ascii_alphanumeric() || "-._~/*?[]^\\".contains(c);
    if !pattern.chars().all(possible) {
        return Some("no module path has such a letter");
    }
    is_open(pattern).then_some("a bracket is not closed")
}

/// True where a bracket is not closed: `path.Match` takes that for no match.
fn is_open(pattern: &str) -> bool {
    let mut open = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '[' => open = true,
            ']' => open = false,
            _ => {}
        }
    }
    open
}

/// The patterns as they were most likely meant.
pub(crate) fn mended(patterns: &str) -> String {
    let meant = |pattern: &str| {
        let pattern = pattern.trim_matches(|c: char| c.is_whitespace() || "\"'`".contains(c));
        let pattern = pattern.split_once("://").map_or(pattern, |(_, rest)| rest);
        let pattern = pattern.trim_matches('/');
        let (host, path) = match pattern.split_once('/') {
            Some((host, path)) => (host, Some(path.trim_matches('/'))),
            None => (pattern, None),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let host = host.split_once(':').map_or(host, |(host, _)| host);
        match path.filter(|path| !path.is_empty()) {
            Some(path) => format!("{host}/{path}"),
            None => host.to_owned(),
        }
    };
    let patterns = patterns.trim_matches(|c: char| c.is_whitespace() || "\"'`".contains(c));
    let all: Vec<String> = patterns
        .split(',')
        .map(meant)
        .filter(|one| !one.is_empty())
        .collect();
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of Go's own test of MatchPrefixPatterns, and some of path.Match.
    #[test]
    fn as_go_matches() {
        for (globs, module, want) in [
            (
                "*.corp.example.com,rsc.io/private",
                "git.corp.example.com/xyzzy",
                true,
            ),
            ("*.corp.example.com,rsc.io/private", "rsc.io/private/quux", true),
            ("*.corp.example.com,rsc.io/private", "rsc.io/privateer", false),
            ("*.corp.example.com", "corp.example.com", false),
            ("", "rsc.io/quote", false),
            ("/", "rsc.io/quote", false),
            ("*/quote", "rsc.io/quote", true),
            ("*/quote", "rsc.io/quote/v3", true),
            ("*", "rsc.io/quote/v3", true),
            ("rsc.io/quote/v3/x", "rsc.io/quote/v3", false),
            ("example.com/x/", "example.com/x/y", true),
            ("[", "rsc.io", false),
            ("a[", "ab", false),
            ("[a-c]?.example", "bx.example/m", true),
            ("[^a-c]x.example", "bx.example/m", false),
            ("a\\*.example", "a*.example/m", true),
            ("a*b*.example", "axxbyy.example", true),
            ("[]a]", "]", false),
            (",,example.com", "example.com/m", true),
        ] {
            assert_eq!(match_prefix_patterns(globs, module), want, "{globs} {module}");
        }
    }

    #[test]
    fn patterns_that_match_nothing() {
        for good in [
            "corp.example",
            "*.corp.example/x",
            "corp.example/",
            "",
            "*",
            "c[a-z]rp.example",
            "a\\[b",
        ] {
            assert_eq!(flaw(good), None, "{good}");
        }
        for bad in [
            "https://corp.example",
            " corp.example",
            "corp.example ",
            "\"corp.example",
            "'corp.example'",
            "corp.example:8443/x",
            "git@corp.example",
            "corp.example//x",
            "/corp.example",
            "corp.exämple",
            "c[rp.example",
        ] {
            assert!(flaw(bad).is_some(), "{bad}");
            let mended = mended(bad);
            assert!(
                bad.contains(['ä', '[']) || flaw(&mended).is_none(),
                "{bad}: {mended}"
            );
        }
        assert_eq!(
            mended("\"https://git.corp.example:8443/x/, other.example\""),
            "git.corp.example/x,other.example"
        );
    }
}
