//! Words that are looked for in every line.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind};

/// An automaton for a few words that are asked of every line: lines are short, so that the set-up of a search
/// weighs more than the search.
#[must_use]
pub(super) fn few_words(words: &[&str]) -> Option<AhoCorasick> {
    AhoCorasickBuilder::new()
        .kind(Some(AhoCorasickKind::DFA))
        .prefilter(false)
        .build(words)
        .ok()
}
