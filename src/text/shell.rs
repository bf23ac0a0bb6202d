//! Words as somebody types them into a POSIX shell: what a screen tells people to run can be pasted as it stands.

/// One word.
pub(crate) fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@%:,=".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A command of these words.
pub(crate) fn command<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> String {
    let words: Vec<String> = words.into_iter().map(|each| word(each.as_ref())).collect();
    words.join(" ")
}

/// The command that sets a variable for what is run next.
pub(crate) fn export(name: &str, value: &str) -> String {
    format!("export {name}={}", word(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_means_something_to_a_shell_is_quoted() {
        assert_eq!(word("https://goproxy.cn,direct"), "https://goproxy.cn,direct");
        assert_eq!(word("https://a|https://b"), "'https://a|https://b'");
        assert_eq!(word("it's"), "'it'\\''s'");
        assert_eq!(word(""), "''");
        assert_eq!(command(["kill", "12"]), "kill 12");
        assert_eq!(export("GOPROXY", "a|b"), "export GOPROXY='a|b'");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]
        #[test]
        fn sh_reads_a_word_back(text in "[^\u{0}]{0,20}") {
            let script = format!("printf %s {}", word(&text));
            let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
            prop_assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        }
    }
}
