//! Image files. Each is a frame.

use super::frame_source::{Delivery, FrameSource, SourceError};
use crate::captured::Captured;
use crate::raw_format::MAX_FRAME_BYTES;
use crate::stop::Stop;
use resnext_photo::{Exif, FileKind, LeftOut, Rgb8Image, file_kind};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The first bytes of a PNG file.
pub(super) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// An image file, or all image files in a folder and the folders below it, sorted by path.
#[derive(Debug)]
pub struct ImageFiles {
    name: String,
    entries: std::vec::IntoIter<Entry>,
    /// Images whose format is not read, until this has been told.
    left_out: LeftOut,
    exif: Exif,
}

/// An image file, or a folder that cannot be read.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    path: PathBuf,
    /// Why the folder cannot be read.
    problem: Option<String>,
}

impl ImageFiles {
    /// Reads one file. Its extension does not matter.
    pub fn file(path: &Path, exif: Exif) -> Self {
        Self {
            name: path.display().to_string(),
            entries: vec![Entry { path: path.to_owned(), problem: None }].into_iter(),
            left_out: LeftOut::default(),
            exif,
        }
    }

    /// Finds the image files of a folder. The search may take long on a slow disk, so it ends when `stop` is set.
    ///
    /// # Errors
    ///
    /// Returns an error if the folder cannot be read or has no image file. A folder below it that cannot be read is reported as
    /// [`Delivery::Damaged`] later.
    pub fn folder(path: &Path, exif: Exif, stop: &Stop) -> Result<Self, SourceError> {
        let (mut entries, mut left_out) = (Vec::new(), LeftOut::default());
        find(path, stop, &mut entries, &mut left_out).map_err(|error| SourceError::reading(&error, None))?;
        entries.sort_unstable();
        if entries.iter().all(|entry| entry.problem.is_some()) {
            let what =
                entries.into_iter().find_map(|entry| entry.problem.map(|what| sentence(&entry.path, &what)));
            let mut what = what.map_or_else(String::new, |what| format!("; {what}"));
            if !left_out.is_empty() {
                what = format!(" that can be read, but {left_out}{what}");
            }
            return Err(SourceError::format(
                format!("has no pictures{what}"),
                "give a folder of .jpg or .png files",
            ));
        }
        Ok(Self { name: path.display().to_string(), entries: entries.into_iter(), left_out, exif })
    }
}

fn find(folder: &Path, stop: &Stop, entries: &mut Vec<Entry>, left_out: &mut LeftOut) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        if stop.is_set() {
            break;
        }
        let entry = entry?;
        let path = entry.path();
        // Links to folders are not followed, because they may form a circle. Links to files are.
        if entry.file_type()?.is_dir() {
            if let Err(error) = find(&path, stop, entries, left_out) {
                entries.push(Entry { path, problem: Some(format!("cannot be read: {error}")) });
            }
            continue;
        }
        match file_kind(&path) {
            Some(FileKind::Photo) => entries.push(Entry { path, problem: None }),
            Some(FileKind::OtherImage(format)) => left_out.add(format),
            None => {}
        }
    }
    Ok(())
}

/// Returns `what` is wrong with `path`, as a sentence.
fn sentence(path: &Path, what: &str) -> String {
    format!("{} {what}", path.display())
}

/// Returns the bytes of a file. Refuses a pipe, which may stay silent for ever, and a file that is too large for an image.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("cannot be read: {error}");
    let kind = fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if kind.len() > MAX_FRAME_BYTES as u64 {
        return Err(format!("is larger than {} MiB", MAX_FRAME_BYTES >> 20));
    }
    fs::read(path).map_err(failed)
}

impl FrameSource for ImageFiles {
    fn name(&self) -> &str {
        &self.name
    }

    fn live(&self) -> bool {
        false
    }

    fn next(&mut self, captured: &mut Captured) -> Result<Delivery, SourceError> {
        let left_out = std::mem::take(&mut self.left_out);
        if !left_out.is_empty() {
            let what =
                format!("{} files left out: {left_out}; convert them to JPEG or PNG", left_out.images());
            return Ok(Delivery::Note(what));
        }
        let Some(Entry { path, problem }) = self.entries.next() else { return Ok(Delivery::End) };
        if let Some(what) = problem {
            return Ok(Delivery::Damaged(sentence(&path, &what)));
        }
        let at = Instant::now();
        let decoded = read(&path)
            .and_then(|bytes| Rgb8Image::decode_oriented(&bytes, self.exif).map_err(|e| e.to_string()));
        Ok(match decoded {
            Ok(image) => {
                captured.take(image, at);
                Delivery::Frame
            }
            Err(error) => Delivery::Damaged(sentence(&path, &error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

    /// Makes a folder whose path is longer than Linux can open. It stands for a folder without permission, because root may read
    /// all of those.
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
    fn a_folder_that_cannot_be_read_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        too_deep(folder.path()).unwrap();
        let stop = Stop::default();
        let open = || ImageFiles::folder(folder.path(), Exif::Ignore, &stop);
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
        // A search ends when it is told to stop.
        stop.set();
        assert!(open().is_err());
    }
}
