//! Reading and writing files, with errors that name the file and the remedy.

pub(crate) mod photo;
pub(crate) mod text;
pub(crate) mod write;

use std::io;

/// Says why a file cannot be read and how to fix that. `remedy` says which file to give instead.
pub(crate) fn cannot_read(error: &io::Error, remedy: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("no such file; {remedy}"),
        io::ErrorKind::PermissionDenied => "permission denied; make the file readable (chmod +r)".to_owned(),
        _ => format!("cannot be read: {error}; {remedy}"),
    }
}
