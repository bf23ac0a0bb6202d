//! Bodies: small ones in memory, large ones in a file that has no name.
//!
//! The file is created with mode 0600 and is unlinked at birth, so that
//! nothing of it outlives the process. Reads and writes go to the page cache
//! and are done in place, without a thread of their own.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

/// What is kept in memory of one body.
pub(crate) const MEMORY_LIMIT: usize = 128 << 10;
/// What is read from a file at once.
const CHUNK: usize = 64 << 10;

/// Where files are made, the next where one is full.
#[derive(Debug, Clone)]
pub(crate) struct Folders(Arc<[PathBuf]>);

impl Folders {
    /// Those of `folders` in which a file can be made; `None` where there is
    /// none.
    pub(crate) fn usable(folders: impl IntoIterator<Item = PathBuf>) -> Option<Self> {
        let usable: Arc<[PathBuf]> = folders
            .into_iter()
            .filter(|folder| tempfile::tempfile_in(folder).is_ok())
            .collect();
        (!usable.is_empty()).then_some(Self(usable))
    }
}

/// A body that is still arriving.
#[derive(Debug)]
pub(crate) struct Spool {
    folders: Folders,
    /// The folder to make a file in when the next is needed.
    next: usize,
    memory: Vec<u8>,
    file: Option<File>,
    len: u64,
}

impl Spool {
    /// An empty spool; its file, should it need one, is made in `folders`.
    pub(crate) fn new(folders: Folders) -> Self {
        Self {
            folders,
            next: 0,
            memory: Vec::new(),
            file: None,
            len: 0,
        }
    }

    /// Bytes held.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Makes room for a body whose length was announced.
    pub(crate) fn expect(&mut self, len: u64) {
        if let Ok(len) = usize::try_from(len)
            && len <= MEMORY_LIMIT
        {
            self.memory.reserve_exact(len.saturating_sub(self.memory.len()));
        }
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// Where no folder can take them.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + bytes.len() <= MEMORY_LIMIT {
            self.memory.extend_from_slice(bytes);
        } else {
            self.push_to_file(bytes)?;
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn push_to_file(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut failed = match &self.file {
            Some(file) => match file.write_all_at(bytes, self.len) {
                Ok(()) => return Ok(()),
                Err(err) => err,
            },
            None => io::ErrorKind::NotFound.into(),
        };
        while let Some(folder) = self.folders.0.get(self.next) {
            self.next += 1;
            match self.moved_to(folder, bytes) {
                Ok(file) => {
                    self.file = Some(file);
                    self.memory = Vec::new();
                    return Ok(());
                }
                Err(err) => failed = err,
            }
        }
        Err(failed)
    }

    /// A file in `folder` with all that is held, and `bytes` behind it.
    fn moved_to(&self, folder: &Path, bytes: &[u8]) -> io::Result<File> {
        let mut file = tempfile::tempfile_in(folder)?;
        match self.file.as_ref() {
            Some(held) => {
                let mut held = held;
                held.seek(io::SeekFrom::Start(0))?;
                io::copy(&mut held.take(self.len), &mut file)?;
            }
            None => file.write_all(&self.memory)?,
        }
        file.write_all_at(bytes, self.len)?;
        Ok(file)
    }

    /// The finished body.
    pub(crate) fn finish(self) -> Body {
        Body {
            held: match self.file {
                Some(file) => Held::File(Arc::new(file)),
                None => Held::Memory(Bytes::from(self.memory)),
            },
            len: self.len,
        }
    }
}

/// A whole body.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    held: Held,
    len: u64,
}

#[derive(Debug, Clone)]
enum Held {
    Memory(Bytes),
    File(Arc<File>),
}

impl Body {
    /// What stands behind the first `at` bytes: all that is in memory, or a piece of the file.
    ///
    /// # Errors
    /// Those of reading the file.
    pub(crate) fn chunk_at(&self, at: u64) -> io::Result<Bytes> {
        match &self.held {
            Held::Memory(bytes) => {
                Ok(bytes.slice(usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len())..))
            }
            Held::File(_) => {
                let len = usize::try_from(self.len - at).unwrap_or(CHUNK).min(CHUNK);
                let mut buffer = vec![0; len];
                self.read_exact_at(&mut buffer, at)?;
                Ok(Bytes::from(buffer))
            }
        }
    }

    /// A body out of memory.
    pub(crate) fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            len: bytes.len() as u64,
            held: Held::Memory(bytes),
        }
    }

    /// A file that stands on the disk, of the length that it has now.
    ///
    /// # Errors
    /// Where nobody tells its length.
    pub(crate) fn from_file(file: File) -> io::Result<Self> {
        Ok(Self {
            len: file.metadata()?.len(),
            held: Held::File(Arc::new(file)),
        })
    }

    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// Where the body ends before the buffer is full, or cannot be read.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.held {
            Held::File(file) => file.read_exact_at(buffer, offset),
            Held::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(io::Error::other)?;
                let part = start
                    .checked_add(buffer.len())
                    .and_then(|end| bytes.get(start..end))
                    .ok_or(io::ErrorKind::UnexpectedEof)?;
                buffer.copy_from_slice(part);
                Ok(())
            }
        }
    }

    /// The first `limit` bytes at most.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(crate) fn head(&self, limit: usize) -> io::Result<Bytes> {
        if let Held::Memory(bytes) = &self.held {
            return Ok(bytes.slice(..bytes.len().min(limit)));
        }
        let len = usize::try_from(self.len).unwrap_or(limit).min(limit);
        let mut buffer = vec![0; len];
        self.read_exact_at(&mut buffer, 0)?;
        Ok(buffer.into())
    }

    /// A reader from the start.
    pub(crate) fn reader(&self) -> Reader<'_> {
        self.reader_at(0)
    }

    /// A reader from this place on.
    pub(crate) fn reader_at(&self, at: u64) -> Reader<'_> {
        Reader { body: self, at }
    }
}

/// Reads a [`Body`] to its end.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    body: &'a Body,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.body.len.saturating_sub(self.at);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.body.read_exact_at(&mut buffer[..len], self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spooled(len: usize) -> Body {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::usable([folder.path().to_owned()]).unwrap();
        let mut spool = Spool::new(folders);
        let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        for part in bytes.chunks(10_000) {
            spool.push(part).unwrap();
        }
        assert_eq!(spool.len(), len as u64);
        // Nothing of it has a name.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        spool.finish()
    }

    #[test]
    fn small_stays_in_memory_and_large_goes_to_a_file() {
        let small = spooled(MEMORY_LIMIT);
        assert!(matches!(small.held, Held::Memory(_)));
        let large = spooled(MEMORY_LIMIT + 1);
        assert!(matches!(large.held, Held::File(_)));
        for body in [small, large] {
            let mut read = Vec::new();
            body.reader().read_to_end(&mut read).unwrap();
            assert_eq!(read.len() as u64, body.len());
            assert!(read.iter().enumerate().all(|(n, b)| *b == (n % 251) as u8));
            assert_eq!(body.head(3).unwrap().as_ref(), [0, 1, 2]);
            assert!(body.read_exact_at(&mut [0; 2], body.len() - 1).is_err());
        }
    }
}
