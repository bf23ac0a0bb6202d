//! Waiting for a file lock, but not for ever.

use std::fs::{File, TryLockError};
use std::io;
use std::time::Duration;

/// How long the first wait for a busy lock is, and the longest between two looks.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Takes the flock(2) of an open file, as go does. While somebody else holds it, `left` is asked how long the wait may
/// still be; false where that is `None`.
pub(crate) fn flock(file: &File, mut left: impl FnMut() -> Option<Duration>) -> io::Result<bool> {
    let mut pause = FIRST_PAUSE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let Some(left) = left() else { return Ok(false) };
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_taken_as_soon_as_it_is_free() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let mut held = Some(File::open(named.path()).unwrap());
        held.as_ref().unwrap().lock().unwrap();
        let file = File::open(named.path()).unwrap();
        assert!(!flock(&file, || None).unwrap());
        let taken = flock(&file, || {
            held = None;
            Some(Duration::from_millis(1))
        });
        assert!(taken.unwrap());
    }
}
