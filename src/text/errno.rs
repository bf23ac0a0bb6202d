//! Errors of the system in Go's words.

use std::io;

/// Go's text of an errno (`syscall.Errno.Error`): as the C library's, with a
/// small letter.
pub(crate) fn text(err: &io::Error) -> String {
    let text = err.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if chars.as_str().starts_with(|c: char| !c.is_uppercase()) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}
