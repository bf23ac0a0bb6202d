//! Text for terminals of limited width.
//!
//! Known limits: widths are guessed (every character outside ASCII counts as
//! two columns), which cuts a live line a little early and never too late.

use super::safe::CUT;

/// `text` cut to at most `columns` columns of a terminal.
pub(crate) fn fit(text: &str, columns: usize) -> String {
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

/// `text` broken between words into lines of at most `columns`. What follows the first is indented two
/// columns further. A word that is longer stays whole, so that a URL can be copied.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let indent = text.len() - text.trim_start_matches(' ').len();
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    // Spaces belong to the word before them: tables keep their columns where they fit.
    for word in text.split_inclusive(' ') {
        let needed = width(word.trim_end_matches(' '));
        if used + needed > columns && !line.trim_start().is_empty() {
            lines.push(line.trim_end_matches(' ').to_owned());
            line = " ".repeat(indent + 2);
            used = line.len();
        }
        line.push_str(word);
        used += width(word);
    }
    lines.push(line.trim_end_matches(' ').to_owned());
    lines
}

/// Columns that `text` takes at most.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    if c.is_ascii() { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn wrap_fits_and_loses_nothing(words in "([a-z]{1,9} ){0,20}", columns in 12usize..80) {
            let lines = wrap(&words, columns);
            prop_assert!(lines.iter().all(|line| width(line) <= columns));
            let again: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
            prop_assert_eq!(again, words.split_whitespace().collect::<Vec<_>>());
        }

        #[test]
        fn fit_fits(text in ".{0,80}", columns in 0usize..60) {
            prop_assert!(width(&fit(&text, columns)) <= columns);
        }
    }
}
