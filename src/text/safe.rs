//! Makes text from outside fit to be shown.
//!
//! Module paths, hosts, server answers, log lines and URLs come from people
//! nobody here has met. Before such text reaches a terminal, a CI log, a job
//! summary or a page it goes through one of these functions.

use super::redact::redact;

/// Most bytes of outside text that one message shows.
pub const MAX_BYTES: usize = 300;

pub(super) const CUT: &str = "...";

/// Outside text as one harmless line of at most [`MAX_BYTES`] bytes.
///
/// Tabs and line ends become spaces; other control characters, characters that
/// turn the direction of text or have no width, and bytes that are not UTF-8
/// become U+FFFD. `##[` and `##vso[`, which some CI systems obey in the middle
/// of a line, are broken up. Credentials in URLs are hidden. A longer text ends
/// in `...`, cut between characters.
pub fn safe<T: AsRef<[u8]> + ?Sized>(text: &T) -> String {
    let bytes = text.as_ref();
    // Nothing behind this can be shown, and a line may be 100 MB long. Hiding a
    // credential needs to see its `@`, hence the reserve.
    let head = &bytes[..bytes.len().min(MAX_BYTES * 8)];
    let visible: String = String::from_utf8_lossy(head).chars().map(visible).collect();
    let mut shown = disarm(&redact(&visible));
    if shown.len() > MAX_BYTES || head.len() < bytes.len() {
        let end = floor_char_boundary(&shown, MAX_BYTES - CUT.len());
        shown.truncate(end);
        shown.push_str(CUT);
    }
    shown
}

fn visible(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
            '\u{fffd}'
        }
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// Breaks the markers that runners look for anywhere in a line.
fn disarm(text: &str) -> String {
    text.replace("##[", "# #[").replace("##vso[", "# #vso[")
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|&i| text.is_char_boundary(i))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn controls_and_line_ends_are_replaced() {
        assert_eq!(safe("a\r\nb\tc"), "a  b c");
        assert_eq!(safe("\x1b[31mred\x07\x7f"), "\u{fffd}[31mred\u{fffd}\u{fffd}");
        assert_eq!(safe("a\u{202e}b\u{9b}c\u{2028}d"), "a\u{fffd}b\u{fffd}c d");
        assert_eq!(safe(b"ok\xff\0"), "ok\u{fffd}\u{fffd}");
    }

    #[test]
    fn runner_markers_are_broken_up() {
        assert_eq!(
            safe("x ##[error]y ##vso[task.x]z"),
            "x # #[error]y # #vso[task.x]z"
        );
        assert!(!safe("####[[").contains("##["));
    }

    #[test]
    fn a_credential_is_hidden_even_where_the_text_is_cut() {
        let text = format!("https://user:{}@host/", "p".repeat(1000));
        assert_eq!(safe(&text), "https://xxxxx@host/");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let cut = safe(&"ä".repeat(400));
        assert!(cut.len() <= MAX_BYTES && cut.ends_with(CUT));
        assert_eq!(safe(&"a".repeat(300)).len(), 300);
        assert!(!safe(&"a".repeat(300)).ends_with(CUT));
        let huge = vec![b'x'; 50_000_000];
        assert_eq!(safe(&huge).len(), MAX_BYTES);
    }

    proptest! {
        #[test]
        fn safe_is_one_short_harmless_line(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let shown = safe(&bytes);
            prop_assert!(shown.len() <= MAX_BYTES);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(!shown.contains("##["));
        }

        #[test]
        fn safe_text_stays_as_it_is(text in "[ -\"$-~]{0,200}") {
            prop_assume!(!text.contains("://"));
            prop_assert_eq!(safe(&text), text);
        }

    }
}
