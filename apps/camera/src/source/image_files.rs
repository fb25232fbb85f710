//! JPEG and PNG files, each a frame.

use super::{Delivery, Source, SourceError};
use crate::captured::{Captured, MOST_BYTES};
use crate::stop::Stop;
use resnext_photo::Rgb8Image;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A picture, or those of a folder and the folders in it, in the order of their paths.
#[derive(Debug)]
pub struct Pictures {
    name: String,
    entries: std::vec::IntoIter<Entry>,
}

/// A picture, or a folder that could not be looked into and why.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    path: PathBuf,
    trouble: Option<String>,
}

/// Names of pictures end so, in any case. Other files of a folder are none.
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];

impl Pictures {
    /// One file, whatever its name.
    pub fn file(path: &Path) -> Self {
        Self {
            name: path.display().to_string(),
            entries: vec![Entry { path: path.to_owned(), trouble: None }].into_iter(),
        }
    }

    /// Finds the pictures of a folder. Finds no more once `stop` is set: on a slow disk it may take long.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read, or there is no picture. A folder in it that cannot be read is damage.
    pub fn folder(path: &Path, stop: &Stop) -> Result<Self, SourceError> {
        let mut entries = Vec::new();
        find(path, stop, &mut entries).map_err(|error| SourceError::reading(&error, None))?;
        entries.sort_unstable();
        if entries.iter().all(|entry| entry.trouble.is_some()) {
            let what =
                entries.into_iter().find_map(|entry| entry.trouble.map(|what| said(&entry.path, &what)));
            let what = what.map_or_else(String::new, |what| format!("; {what}"));
            return Err(SourceError::format(
                format!("has no pictures{what}"),
                "give a folder of .jpg or .png files",
            ));
        }
        Ok(Self { name: path.display().to_string(), entries: entries.into_iter() })
    }
}

fn find(folder: &Path, stop: &Stop, entries: &mut Vec<Entry>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        if stop.is_set() {
            break;
        }
        let entry = entry?;
        let path = entry.path();
        // A link to a folder may lead round in a circle; a link to a file cannot.
        if entry.file_type()?.is_dir() {
            if let Err(error) = find(&path, stop, entries) {
                entries.push(Entry { path, trouble: Some(format!("cannot be read: {error}")) });
            }
        } else if path.extension().is_some_and(|end| ENDINGS.iter().any(|e| end.eq_ignore_ascii_case(e))) {
            entries.push(Entry { path, trouble: None });
        }
    }
    Ok(())
}

fn said(path: &Path, what: &str) -> String {
    format!("{} {what}", path.display())
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
        let Some(Entry { path, trouble }) = self.entries.next() else { return Ok(Delivery::End) };
        if let Some(what) = trouble {
            return Ok(Delivery::Damaged(said(&path, &what)));
        }
        let at = Instant::now();
        let decoded =
            read(&path).and_then(|bytes| Rgb8Image::decode(&bytes).map_err(|error| error.to_string()));
        Ok(match decoded {
            Ok(image) => {
                captured.take(image, at);
                Delivery::Frame
            }
            Err(error) => Delivery::Damaged(said(&path, &error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

    /// A folder whose path is longer than Linux opens stands for one that may not be read: root may read all of them.
    fn too_deep(folder: &Path) -> rustix::io::Result<()> {
        let (name, mode) = ("n".repeat(250), Mode::RWXU);
        let mut at = openat(CWD, folder, OFlags::DIRECTORY, Mode::empty())?;
        for _ in 0..17 {
            mkdirat(&at, &name, mode)?;
            at = openat(&at, &name, OFlags::DIRECTORY, Mode::empty())?;
        }
        Ok(())
    }

    #[test]
    fn a_folder_that_cannot_be_looked_into_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        too_deep(folder.path()).unwrap();
        let stop = Stop::default();
        let open = || Pictures::folder(folder.path(), &stop);
        let error = open().unwrap_err().to_string();
        assert!(
            error.starts_with("has no pictures; /") && error.contains("n cannot be read: File name too long")
        );
        let image = Rgb8Image { width: 8, height: 8, data: vec![9; 192] };
        fs::write(folder.path().join("a.jpg"), image.to_jpeg(90).unwrap()).unwrap();
        let mut pictures = open().unwrap();
        let mut captured = Captured::default();
        assert_eq!(pictures.next(&mut captured), Ok(Delivery::Frame));
        let Ok(Delivery::Damaged(what)) = pictures.next(&mut captured) else { panic!("damage") };
        assert!(what.contains("n cannot be read: File name too long"), "{what}");
        assert_eq!(pictures.next(&mut captured), Ok(Delivery::End));
        // Nobody waits for a search when it is to end.
        stop.set();
        assert!(open().is_err());
    }
}
