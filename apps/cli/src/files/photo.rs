//! Photo files.

use super::cannot_read;
use crate::terminal::Error;
use resnext_photo::Rgb8Image;
use std::fs;
use std::path::Path;

/// Reads and decodes a JPEG or PNG file. Its content decides which of the two it is.
pub(crate) fn open(path: &Path) -> Result<Rgb8Image, Error> {
    let remedy = "give the path of a JPEG or PNG image";
    let failed = |error: std::io::Error| Error::at(path, cannot_read(&error, remedy));
    let kind = fs::metadata(path).map_err(failed)?;
    if kind.is_dir() {
        return Err(Error::at(path, "is a directory; give the images in it (DIR/*.jpg)"));
    }
    if !kind.is_file() {
        return Err(Error::at(path, format_args!("is not a regular file; {remedy}")));
    }
    let encoded = fs::read(path).map_err(failed)?;
    Rgb8Image::decode(&encoded).map_err(|error| Error::at(path, format_args!("{error}; {}", error.remedy())))
}
