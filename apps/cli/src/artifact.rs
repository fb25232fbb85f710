//! Model files: mapped into memory, so that loading copies nothing and several processes share one copy.

use crate::error::Error;
use memmap2::{Mmap, MmapMut, MmapOptions};
use resnext::Model;
use resnext::pack::{Packing, repack};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// An open `.rnx` file.
pub(crate) struct Artifact {
    path: PathBuf,
    file: File,
    bytes: Bytes,
}

enum Bytes {
    /// As the file has them.
    Mapped(Mmap),
    /// Repacked; pages that changed are this process's own.
    Repacked(MmapMut),
}

impl Artifact {
    /// Maps the file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::at(path, cannot_read(&error, "give the path of a .rnx model"));
        // Looked at before it is opened: opening a named pipe would wait for a writer.
        let kind = fs::metadata(path).map_err(failed)?;
        if kind.is_dir() {
            return Err(Error::at(path, "is a directory; give the path of a .rnx model"));
        }
        if !kind.is_file() {
            return Err(Error::at(path, "is not a regular file; give the path of a .rnx model"));
        }
        let file = File::open(path).map_err(failed)?;
        // SAFETY: the mapping is read-only and private to this value. What the type system cannot know is that
        // no other process changes the file meanwhile; models are replaced by renaming (`write_atomically`),
        // which leaves a mapped file as it was.
        let bytes = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, bytes: Bytes::Mapped(bytes) })
    }

    /// With the weights in another order, if they are not in this one; the file stays as it is.
    pub(crate) fn packed(mut self, packing: Packing) -> Result<Self, Error> {
        if Packing::of(self.bytes()).is_none_or(|found| found == packing) {
            return Ok(self);
        }
        let failed = |error: io::Error| Error::at(&self.path, format!("cannot be read: {error}"));
        // SAFETY: a private copy, page by page as it is written; otherwise as above.
        let mut bytes = unsafe { MmapOptions::new().map_copy(&self.file) }.map_err(failed)?;
        repack(&mut bytes, packing).map_err(|error| Error::at(&self.path, error))?;
        self.bytes = Bytes::Repacked(bytes);
        Ok(self)
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(bytes) => bytes,
            Bytes::Repacked(bytes) => bytes,
        }
    }

    /// Checks the whole file and borrows it as a model.
    pub(crate) fn model(&self) -> Result<Model<'_>, Error> {
        Model::from_bytes(self.bytes()).map_err(|error| Error::at(&self.path, error))
    }

    /// The path, as it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Says why a file cannot be read and what to do about it; `remedy` is for a file that is not there.
pub(crate) fn cannot_read(error: &io::Error, remedy: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("no such file; {remedy}"),
        io::ErrorKind::PermissionDenied => "permission denied; make the file readable (chmod +r)".to_owned(),
        _ => format!("cannot be read: {error}; {remedy}"),
    }
}
