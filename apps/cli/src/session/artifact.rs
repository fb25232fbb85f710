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
        let (file, bytes) = map(path, "give the path of a .rnx model")?;
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

    /// The bytes of the file, or what repacking made of them.
    pub(crate) fn bytes(&self) -> &[u8] {
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

/// Maps the file at `path`; `remedy` says what it should be.
pub(crate) fn map(path: &Path, remedy: &str) -> Result<(File, Mmap), Error> {
    let failed = |error: io::Error| Error::at(path, cannot_read(&error, remedy));
    // Looked at before it is opened: opening a named pipe would wait for a writer.
    let kind = fs::metadata(path).map_err(failed)?;
    if kind.is_dir() {
        return Err(Error::at(path, format_args!("is a directory; {remedy}")));
    }
    if !kind.is_file() {
        return Err(Error::at(path, format_args!("is not a regular file; {remedy}")));
    }
    let file = File::open(path).map_err(failed)?;
    // SAFETY: the mapping is read-only and private to its owner. What the type system cannot know is that
    // no other process changes the file meanwhile; models are replaced by renaming (`write_atomically`),
    // which leaves a mapped file as it was.
    let bytes = unsafe { Mmap::map(&file) }.map_err(failed)?;
    Ok((file, bytes))
}

/// Says why a file cannot be read and what to do about it; `remedy` is for a file that is not there.
pub(crate) fn cannot_read(error: &io::Error, remedy: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("no such file; {remedy}"),
        io::ErrorKind::PermissionDenied => "permission denied; make the file readable (chmod +r)".to_owned(),
        _ => format!("cannot be read: {error}; {remedy}"),
    }
}
