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
        fn fit_fits(text in ".{0,80}", columns in 0usize..60) {
            prop_assert!(width(&fit(&text, columns)) <= columns);
        }
    }
}
