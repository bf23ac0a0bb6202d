//! The lines by which go says that loading goes on.

/// The words behind `go: `. `extracting` is that of go 1.12.
const WORDS: [&[u8]; 8] = [
    b"downloading ",
    b"extracting ",
    b"finding ",
    b"found ",
    b"added ",
    b"upgraded ",
    b"downgraded ",
    b"removed ",
];

/// True for a line that says that loading goes on.
pub(crate) fn is_progress(line: &[u8]) -> bool {
    line.strip_prefix(b"go: ").is_some_and(|rest| {
        WORDS.iter().any(|word| rest.starts_with(word))
            // `golang.org/x/tools@v0.38.0 requires go >= 1.24.0; switching to go1.25.3`
            || memchr::memmem::find(rest, b"; switching to go").is_some()
            // What go cannot switch to, such as `go >= 1.99`, is an error.
            || (rest.starts_with(b"switching ") && !rest.starts_with(b"switching to go >= "))
    })
}

#[cfg(test)]
mod tests {
    use super::is_progress;

    #[test]
    fn progress_is_told_from_errors() {
        for line in [
            "go: downloading example.com/a v1.0.0",
            "go: extracting example.com/a v1.0.0",
            "go: finding module for package example.com/a",
            "go: added example.com/a v1.0.0\n",
            "go: switching to go1.25.3",
            "go: golang.org/x/tools@v0.38.0 requires go >= 1.24.0; switching to go1.25.3",
        ] {
            assert!(is_progress(line.as_bytes()), "{line}");
        }
        for line in [
            "go: example.com/a: EOF",
            "downloading example.com/a v1.0.0",
            "go: switching to go >= 1.99: EOF",
            "go: example.com/a@v1.0.0 requires go >= 1.24.0 (running go 1.23.0; GOTOOLCHAIN=local)",
        ] {
            assert!(!is_progress(line.as_bytes()), "{line}");
        }
    }
}
