//! Photo files.

use super::cannot_read;
use crate::terminal::Error;
use resnext_photo::{Exif, Rgb8Image};
use std::fs;
use std::path::Path;

/// Reads and decodes an image file. Its content decides the format. Also returns whether it has an EXIF orientation.
pub(crate) fn open(path: &Path, exif: Exif) -> Result<(Rgb8Image, bool), Error> {
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
    let image = Rgb8Image::decode_oriented(&encoded, exif)
        .map_err(|error| Error::at(path, format_args!("{error}; {}", error.remedy())))?;
    Ok((image, Rgb8Image::is_rotated(&encoded)))
}
