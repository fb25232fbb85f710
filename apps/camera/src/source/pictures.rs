//! JPEG and PNG files, each a frame.

use super::{Delivery, Source, SourceError};
use crate::captured::{Captured, MOST_BYTES};
use resnext_photo::Rgb8Image;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A picture, or those of a folder and the folders in it, in the order of their paths.
#[derive(Debug)]
pub struct Pictures {
    name: String,
    paths: std::vec::IntoIter<PathBuf>,
}

/// Names of pictures end so, in any case. Other files of a folder are none.
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];

impl Pictures {
    /// One file, whatever its name.
    pub fn file(path: &Path) -> Self {
        Self { name: path.display().to_string(), paths: vec![path.to_owned()].into_iter() }
    }

    /// Finds the pictures of a folder.
    ///
    /// # Errors
    ///
    /// If a folder cannot be read, or there is no picture.
    pub fn folder(path: &Path) -> Result<Self, SourceError> {
        let mut paths = Vec::new();
        find(path, &mut paths).map_err(|error| SourceError::reading(&error, None))?;
        if paths.is_empty() {
            return Err(SourceError::format("has no pictures", "give a folder of .jpg or .png files"));
        }
        paths.sort_unstable();
        Ok(Self { name: path.display().to_string(), paths: paths.into_iter() })
    }
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        // A link to a folder may lead round in a circle; a link to a file cannot.
        if entry.file_type()?.is_dir() {
            find(&path, paths)?;
        } else if path.extension().is_some_and(|end| ENDINGS.iter().any(|e| end.eq_ignore_ascii_case(e))) {
            paths.push(path);
        }
    }
    Ok(())
}

/// The bytes of a file, unless it is a pipe, which may have none for ever, or too large for any picture.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("cannot be read: {error}");
    let kind = fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        return Err("is no file".to_owned());
    }
    if kind.len() > MOST_BYTES as u64 {
        return Err(format!("is larger than {} MiB", MOST_BYTES >> 20));
    }
    fs::read(path).map_err(failed)
}

impl Source for Pictures {
    fn name(&self) -> &str {
        &self.name
    }

    fn live(&self) -> bool {
        false
    }

    fn next(&mut self, captured: &mut Captured) -> Result<Delivery, SourceError> {
        let Some(path) = self.paths.next() else { return Ok(Delivery::End) };
        let at = Instant::now();
        let decoded =
            read(&path).and_then(|bytes| Rgb8Image::decode(&bytes).map_err(|error| error.to_string()));
        Ok(match decoded {
            Ok(image) => {
                captured.take(image, at);
                Delivery::Frame
            }
            Err(error) => Delivery::Damaged(format!("{} {error}", path.display())),
        })
    }
}
