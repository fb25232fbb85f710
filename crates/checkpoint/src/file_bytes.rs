//! The bytes of a file, mapped into memory.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

/// The bytes of a checkpoint: a mapped file, or memory that holds one. Clones share them.
#[derive(Clone)]
pub struct FileBytes(Arc<Storage>);

enum Storage {
    Mapped(Mmap),
    Owned(Vec<u8>),
    Static(&'static [u8]),
}

impl FileBytes {
    /// Maps the file at `path`.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be opened or mapped, or if `path` is not a regular file.
    pub fn map(path: &Path) -> io::Result<Self> {
        // The kind comes first, because opening a named pipe would wait for a writer.
        let kind = fs::metadata(path)?;
        if kind.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
        }
        if !kind.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let file = File::open(path)?;
        // SAFETY: the mapping is read-only and private to this struct. `Mmap` further requires that nobody truncates
        // the file while it is mapped, which every user of a model file relies on.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self(Arc::new(Storage::Mapped(map))))
    }

    /// Returns all bytes.
    pub fn bytes(&self) -> &[u8] {
        match &*self.0 {
            Storage::Mapped(map) => map,
            Storage::Owned(bytes) => bytes,
            Storage::Static(bytes) => bytes,
        }
    }

    /// Gives the pages of `range` back to the operating system.
    ///
    /// Pages of a mapping count as memory of this process from the first access on. For the largest models they would
    /// be most of its memory.
    pub(crate) fn release(&self, range: &Range<usize>) {
        #[cfg(unix)]
        if let Storage::Mapped(map) = &*self.0 {
            // SAFETY: the mapping is of a file and is never written, so a dropped page reads the same at the next access.
            let advised = unsafe {
                map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
            };
            // This is advice: if it fails, the bytes are still there.
            drop(advised);
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

impl From<Vec<u8>> for FileBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Storage::Owned(bytes)))
    }
}

impl From<&'static [u8]> for FileBytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Arc::new(Storage::Static(bytes)))
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileBytes({} bytes)", self.bytes().len())
    }
}
