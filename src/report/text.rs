//! Makes text from outside fit to be shown.
//!
//! Module paths, hosts, server answers, log lines and URLs come from people
//! nobody here has met. Before such text reaches a terminal, a CI log, a job
//! summary or a page it goes through one of these functions.
//!
//! Known limits: widths are guessed (every character outside ASCII counts as
//! two columns), which cuts a live line a little early and never too late.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use crate::policy::route::is_half_a_password;

/// Most bytes of outside text that one message shows.
pub const MAX_BYTES: usize = 300;

const CUT: &str = "...";
/// What Go itself puts in place of credentials.
const HIDDEN: &str = "xxxxx";

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
    let mut shown = disarm(&hide_userinfo(&visible));
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

/// Replaces the userinfo of every URL in `text` by what Go puts there.
///
/// Producers of events hide credentials themselves; this is the second net, for
/// a URL inside a line that some tool printed.
fn hide_userinfo(text: &str) -> Cow<'_, str> {
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

fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|&i| text.is_char_boundary(i))
        .unwrap_or(0)
}

/// `text` for the inside of an HTML element or a quoted attribute.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// `text` for a cell of a Markdown table.
///
/// Everything that is not a letter, a digit or a space is written as a numeric
/// entity, so that nothing in it is taken for markup, a link, a mention or the
/// end of the cell.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == ' ' || !c.is_ascii() {
            out.push(c);
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "&#{};", u32::from(c));
        }
    }
    out
}

/// `text` as the message of a GitHub workflow command.
pub fn workflow_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// `text` as a property (`title=…`) of a GitHub workflow command.
pub fn workflow_property(text: &str) -> String {
    workflow_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A duration as people write it: `0.4s`, `12s`, `2m05s`, `1h02m`.
pub fn duration(d: Duration) -> String {
    let tenths = (d.as_millis() + 50) / 100;
    let secs = (d.as_millis() + 500) / 1000;
    match secs {
        _ if tenths < 100 => format!("{}.{}s", tenths / 10, tenths % 10),
        0..60 => format!("{secs}s"),
        60..3600 => format!("{}m{:02}s", secs / 60, secs % 60),
        _ => format!("{}h{:02}m", secs / 3600, secs % 3600 / 60),
    }
}

/// A count with its noun: `1 attempt`, `3 attempts`.
pub fn count(n: u64, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

/// A number of bytes as people write it: `512 B`, `1.5 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `text` cut to at most `columns` columns of a terminal.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(CUT.len());
    let mut used = 0;
    let mut out = String::new();
    for c in text.chars() {
        used += char_width(c);
        if used > room {
            break;
        }
        out.push(c);
    }
    out.push_str(&CUT[..CUT.len().min(columns)]);
    out
}

/// Columns that `text` takes at most.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    if c.is_ascii() { 1 } else { 2 }
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

    #[test]
    fn escapes() {
        assert_eq!(html("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(markdown("a|b `c` @x"), "a&#124;b &#96;c&#96; &#64;x");
        assert_eq!(workflow_data("50%\r\n::error::"), "50%25%0D%0A::error::");
        assert_eq!(workflow_property("a:b,c"), "a%3Ab%2Cc");
    }

    #[test]
    fn durations_and_sizes() {
        let cases = [
            (40, "0.0s"),
            (450, "0.5s"),
            (9_940, "9.9s"),
            (9_960, "10s"),
            (59_400, "59s"),
            (59_600, "1m00s"),
            (125_000, "2m05s"),
            (3_720_000, "1h02m"),
        ];
        for (ms, want) in cases {
            assert_eq!(duration(Duration::from_millis(ms)), want, "{ms} ms");
        }
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
        assert_eq!(bytes(1024 * 1024), "1.0 MiB");
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

        #[test]
        fn fit_fits(text in ".{0,80}", columns in 0usize..60) {
            prop_assert!(width(&fit(&text, columns)) <= columns);
        }
    }
}
