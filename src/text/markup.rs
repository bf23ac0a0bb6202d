//! Text for the inside of pages, tables and workflow commands.

use std::fmt::Write as _;

/// `text` for the inside of an HTML element or a quoted attribute.
pub(crate) fn html(text: &str) -> String {
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
pub(crate) fn markdown(text: &str) -> String {
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
pub(crate) fn workflow_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// `text` as a property (`title=…`) of a GitHub workflow command.
pub(crate) fn workflow_property(text: &str) -> String {
    workflow_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(html("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(markdown("a|b `c` @x"), "a&#124;b &#96;c&#96; &#64;x");
        assert_eq!(workflow_data("50%\r\n::error::"), "50%25%0D%0A::error::");
        assert_eq!(workflow_property("a:b,c"), "a%3Ab%2Cc");
    }
}
