//! Model files. They are mapped into memory, so that loading copies nothing and several processes share one copy.

use crate::files::cannot_read;
use crate::terminal::Error;
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
    /// The bytes of the file.
    Mapped(Mmap),
    /// A private copy with repacked weights. Only the pages that repacking changed take memory of their own.
    Repacked(MmapMut),
}

impl Artifact {
    /// Maps the file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let (file, bytes) = map(path, "give the path of a .rnx model")?;
        Ok(Self { path: path.to_owned(), file, bytes: Bytes::Mapped(bytes) })
    }

    /// Returns the model with its weights in the order of `packing`. The file itself does not change.
    pub(crate) fn packed(mut self, packing: Packing) -> Result<Self, Error> {
        if Packing::of(self.bytes()).is_none_or(|found| found == packing) {
            return Ok(self);
        }
        let failed = |error: io::Error| Error::at(&self.path, format!("cannot be read: {error}"));
        // SAFETY: the mapping is copy-on-write, so nothing that this process writes reaches the file. No other process changes
        // the file, as in `map`.
        let mut bytes = unsafe { MmapOptions::new().map_copy(&self.file) }.map_err(failed)?;
        repack(&mut bytes, packing).map_err(|error| Error::at(&self.path, error))?;
        self.bytes = Bytes::Repacked(bytes);
        Ok(self)
    }

    /// Returns the bytes of the artifact, repacked or not.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(bytes) => bytes,
            Bytes::Repacked(bytes) => bytes,
        }
    }

    /// Validates the whole file and borrows it as a model.
    pub(crate) fn model(&self) -> Result<Model<'_>, Error> {
        Model::from_bytes(self.bytes()).map_err(|error| Error::at(&self.path, error))
    }

    /// Returns the path as the user gave it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Maps the file at `path`. `remedy` says which file to give instead.
pub(crate) fn map(path: &Path, remedy: &str) -> Result<(File, Mmap), Error> {
    let failed = |error: io::Error| Error::at(path, cannot_read(&error, remedy));
    // The kind comes first, because to open a named pipe would wait for a writer.
    let kind = fs::metadata(path).map_err(failed)?;
    if kind.is_dir() {
        return Err(Error::at(path, format_args!("is a directory; {remedy}")));
    }
    if !kind.is_file() {
        return Err(Error::at(path, format_args!("is not a regular file; {remedy}")));
    }
    let file = File::open(path).map_err(failed)?;
    // SAFETY: the mapping is read-only and its owner keeps it private. The type system cannot know that no other process
    // changes the file; models are replaced by renaming (`write_atomically`), which leaves a mapped file as it was.
    let bytes = unsafe { Mmap::map(&file) }.map_err(failed)?;
    Ok((file, bytes))
}
