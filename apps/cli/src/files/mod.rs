//! Reading and writing files, with errors that name the file and the remedy.

pub(crate) mod photo;
pub(crate) mod temporary;
pub(crate) mod text;
pub(crate) mod write;

use crate::terminal::Error;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Opens a file that is neither a directory nor a device or pipe. `remedy` says which file to give instead.
pub(crate) fn open_regular(path: &Path, remedy: &str) -> Result<File, Error> {
    let failed = |error: io::Error| Error::at(path, cannot_read(&error, remedy));
    // The kind comes first, because to open a named pipe would wait for a writer.
    let kind = fs::metadata(path).map_err(failed)?;
    if kind.is_dir() {
        return Err(Error::at(path, format_args!("is a directory; {remedy}")));
    }
    if !kind.is_file() {
        return Err(Error::at(path, format_args!("is not a regular file; {remedy}")));
    }
    File::open(path).map_err(failed)
}

/// Says why a file cannot be read and how to fix that. `remedy` says which file to give instead.
pub(crate) fn cannot_read(error: &io::Error, remedy: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("no such file; {remedy}"),
        io::ErrorKind::PermissionDenied => "permission denied; make the file readable (chmod +r)".to_owned(),
        _ => format!("cannot be read: {error}; {remedy}"),
    }
}
