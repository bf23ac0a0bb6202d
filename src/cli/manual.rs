//! Completions and manual pages.
use super::args;
/// Completions.
pub(super) fn completions(_asked: &args::Completions) -> i32 {
    super::FAILED
}
/// Man.
pub(super) fn man(_asked: &args::Man) -> i32 {
    super::FAILED
}
