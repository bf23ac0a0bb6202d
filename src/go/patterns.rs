//! The patterns of GOPRIVATE, GONOPROXY and GONOSUMDB.

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
}
