//! Notes in the module cache that a prefetch of some inputs ended well. They
//! are empty files named by a digest of the inputs, so `go clean -modcache`
//! takes them along with what they vouch for.

use std::path::Path;

use super::{ModCache, RepairError};

const FOLDER: &str = "cache/gofix/prefetch";

/// More notes than this are thrown away together; each costs one prefetch.
const LIMIT: usize = 512;

impl ModCache {
    /// True where this note is there.
    #[must_use]
    pub(crate) fn has_stamp(&self, digest: &str) -> bool {
        let folder = self.dir.find(Path::new(FOLDER));
        matches!(folder, Ok(Some(folder)) if matches!(folder.meta(digest), Ok(Some(_))))
    }

    /// Leaves a note.
    pub(crate) fn stamp(&self, digest: &str) -> Result<(), RepairError> {
        let cache = self.dir.owned()?;
        let folder = cache.make(Path::new(FOLDER))?;
        let notes = folder.entries()?;
        if notes.len() >= LIMIT {
            for (name, _) in notes {
                folder.unlink(name)?;
            }
        }
        if folder.meta(digest)?.is_none() {
            folder.new_file(digest)?;
        }
        Ok(())
    }
}
