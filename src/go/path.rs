//! Paths by their letters alone, as go's path/filepath takes them.

use std::path::{Component, Path, PathBuf};

/// A path without `//`, `.` and `..` (`filepath.Clean`): where a path is looked for in a file of go's, it must be
/// spelled as go spells it.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                cleaned.pop();
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, cleaned) in [("/a//b/./c/", "/a/b/c"), ("/a/../b", "/b"), ("/..", "/")] {
            assert_eq!(clean(Path::new(path)), Path::new(cleaned), "{path}");
        }
    }
}
