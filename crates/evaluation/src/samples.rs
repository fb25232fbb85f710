//! Finds, selects and decodes sample images for calibration and evaluation.
//!
//! Images are listed once, in an order that does not depend on the file system. They are decoded one at a time, so that a data
//! set need not fit in memory.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use resnext::preprocess::Preprocessing;
use resnext_photo::{Exif, FileKind, LeftOut, Rgb8Image, file_kind};

/// The most bytes before the pixels of a JPEG. EXIF data take up to 64 KiB, and a colour profile as much.
const HEADER_BYTES: u64 = 256 << 10;

/// Why a directory of images cannot be used. Displays as one line that begins with the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplesError {
    /// The directory, or one below it, cannot be listed.
    #[error("{}: cannot be read ({source}); give a directory of sample images", .path.display())]
    Read {
        /// The directory.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The path is not a directory.
    #[error("{}: not a directory; give the directory that contains the sample images", .0.display())]
    NotADirectory(PathBuf),
    /// The directory has no image.
    #[error("{}: contains no .jpg, .jpeg or .png file{}; give a directory of sample images", .path.display(), but(.left_out))]
    Empty {
        /// The directory.
        path: PathBuf,
        /// The images in it whose format is not read.
        left_out: LeftOut,
    },
}

/// Returns the end of a sentence that says what a directory has instead of images.
fn but(left_out: &LeftOut) -> String {
    if left_out.is_empty() {
        String::new()
    } else {
        format!(", but {left_out}, which must be converted first")
    }
}

/// Why an image cannot be used. Displays as one line that begins with the name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}; skip or replace this image")]
pub struct SampleError {
    /// Name of the sample.
    pub name: String,
    /// What is wrong with the image.
    pub reason: String,
}

/// An image that is not decoded yet.
#[derive(Clone, Debug)]
pub struct Sample {
    name: String,
    key: String,
    class: Option<String>,
    origin: Origin,
    exif: Exif,
}

/// Where an image comes from.
#[derive(Clone, Debug)]
enum Origin {
    File(PathBuf),
    Memory(&'static [u8]),
    /// A function makes the image from a seed, each time that it is needed.
    Synthetic(fn(u64) -> Rgb8Image, u64),
}

impl Sample {
    /// Makes a sample of an encoded image that is part of the program.
    pub fn embedded(name: impl Into<String>, class: Option<&str>, encoded: &'static [u8]) -> Self {
        let name = name.into();
        Self { class: class.map(str::to_owned), ..Self::new(name, Origin::Memory(encoded)) }
    }

    /// Makes a sample of a single image file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::new(path.display().to_string(), Origin::File(path))
    }

    /// Makes a synthetic sample, which `draw` makes from `seed` each time that it is needed.
    pub fn synthetic(name: impl Into<String>, draw: fn(u64) -> Rgb8Image, seed: u64) -> Self {
        Self::new(name.into(), Origin::Synthetic(draw, seed))
    }

    fn new(name: String, origin: Origin) -> Self {
        Self { key: name.clone(), name, class: None, origin, exif: Exif::Ignore }
    }

    /// Returns the path of the file, or the name of an embedded image.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the path below the listed directory, with `/` between folders. It is the same on every machine.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the name of the folder of the image, unless that is the listed directory itself. Where each class has a folder,
    /// this is the class.
    pub fn class(&self) -> Option<&str> {
        self.class.as_deref()
    }

    /// Returns the encoded image.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or the sample has no file.
    pub fn bytes(&self) -> Result<Cow<'static, [u8]>, SampleError> {
        match &self.origin {
            Origin::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            // To read a named pipe would wait for a writer.
            Origin::File(path) if path.metadata().is_ok_and(|found| !found.is_file()) => {
                Err(self.error("is not a regular file"))
            }
            Origin::File(path) => fs::read(path).map(Cow::Owned).map_err(|e| self.error(e)),
            Origin::Synthetic(..) => Err(self.error("is synthetic and has no file")),
        }
    }

    /// Returns what becomes of the EXIF orientation.
    pub fn exif(&self) -> Exif {
        self.exif
    }

    /// Returns whether the image is a file whose EXIF orientation says that it is to be turned or mirrored. Of a JPEG, only the
    /// beginning is read. Of a file that cannot be read the answer is `false`.
    pub fn is_rotated(&self) -> bool {
        let Origin::File(path) = &self.origin else { return false };
        // To open a named pipe would wait for a writer.
        if !path.is_file() {
            return false;
        }
        let read = || -> std::io::Result<Vec<u8>> {
            let (mut file, mut bytes) = (File::open(path)?, Vec::new());
            (&mut file).take(HEADER_BYTES).read_to_end(&mut bytes)?;
            // Other formats may have their EXIF data at the end.
            if !bytes.starts_with(&[0xff, 0xd8]) {
                file.read_to_end(&mut bytes)?;
            }
            Ok(bytes)
        };
        read().is_ok_and(|bytes| Rgb8Image::is_rotated(&bytes))
    }

    /// Decodes the image to 8-bit RGB as Pillow does; see [`Rgb8Image::decode_oriented`].
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or decoded. The error names the sample, so that a caller can report it and
    /// continue.
    pub fn decode(&self) -> Result<Rgb8Image, SampleError> {
        match &self.origin {
            Origin::Synthetic(draw, seed) => Ok(draw(*seed)),
            _ => Rgb8Image::decode_oriented(&self.bytes()?, self.exif).map_err(|e| self.error(e)),
        }
    }

    /// Decodes, resizes and crops the image. Returns the pixels that both networks read, `height × width × 3` bytes.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`decode`](Self::decode), and an error if the image is larger than the limit of the runtime.
    pub fn pixels(&self, preprocessing: &Preprocessing) -> Result<Vec<u8>, SampleError> {
        self.pixels_and_size(preprocessing).map(|(pixels, _)| pixels)
    }

    /// Returns the [`pixels`](Self::pixels), and the width and the height of the whole image.
    ///
    /// # Errors
    ///
    /// As [`pixels`](Self::pixels).
    pub fn pixels_and_size(
        &self,
        preprocessing: &Preprocessing,
    ) -> Result<(Vec<u8>, (u32, u32)), SampleError> {
        let image = self.decode()?;
        let size = (image.width, image.height);
        Ok((image.crop(preprocessing).map_err(|reason| self.error(reason))?, size))
    }

    fn error(&self, reason: impl std::fmt::Display) -> SampleError {
        let reason = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        SampleError { name: self.name.clone(), reason }
    }
}

/// What a reader of a result should know of the files behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Photos {
    /// The number of photos with an EXIF orientation.
    pub rotated: usize,
    /// What became of the orientation.
    pub exif: Exif,
    /// The images that were left out, because their format is not read.
    pub left_out: LeftOut,
}

/// An ordered list of samples.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    samples: Vec<Sample>,
    left_out: LeftOut,
}

impl Samples {
    /// Lists the images in `directory` and in all directories below it, sorted by path. The extension tells images from other
    /// files ([`file_kind`]). Follows symbolic links, but lists no directory twice.
    ///
    /// # Errors
    ///
    /// Returns an error if `directory` does not exist, is not a directory, cannot be read, or has no image.
    pub fn open(directory: &Path) -> Result<Self, SamplesError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| SamplesError::Read { path, source }
        };
        if !fs::metadata(directory).map_err(failed(directory))?.is_dir() {
            return Err(SamplesError::NotADirectory(directory.to_owned()));
        }
        let mut files = Vec::new();
        let mut left_out = LeftOut::default();
        let mut listed = HashSet::new();
        let mut pending = vec![directory.to_owned()];
        while let Some(folder) = pending.pop() {
            if !listed.insert(fs::canonicalize(&folder).map_err(failed(&folder))?) {
                continue;
            }
            for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
                let path = entry.map_err(failed(&folder))?.path();
                // A dangling link with the name of an image becomes an unreadable image.
                if path.is_dir() {
                    pending.push(path);
                    continue;
                }
                match file_kind(&path) {
                    Some(FileKind::Photo) => files.push(path),
                    Some(FileKind::OtherImage(format)) => left_out.add(format),
                    None => {}
                }
            }
        }
        if files.is_empty() {
            return Err(SamplesError::Empty { path: directory.to_owned(), left_out });
        }
        files.sort_unstable();
        let sample = |path: PathBuf| {
            let folder = path.parent().filter(|&folder| folder != directory);
            let class = folder.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            let below = path.strip_prefix(directory).unwrap_or(&path);
            let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
            Sample { key: parts.join("/"), class, ..Sample::file(path.as_path()) }
        };
        Ok(Self { samples: files.into_iter().map(sample).collect(), left_out })
    }

    /// Decides what becomes of the EXIF orientation; by default it is ignored.
    #[must_use]
    pub fn with_exif(mut self, exif: Exif) -> Self {
        self.samples.iter_mut().for_each(|sample| sample.exif = exif);
        self
    }

    /// Returns the images in the listed directory whose format is not read.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// Returns the number of samples whose EXIF orientation says that they are to be turned or mirrored.
    pub fn rotated(&self) -> usize {
        self.iter().filter(|sample| sample.is_rotated()).count()
    }

    /// Returns the number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Returns whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Iterates over the samples in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Sample> {
        self.samples.iter()
    }

    /// Returns the distinct classes, sorted.
    pub fn classes(&self) -> Vec<&str> {
        let mut classes: Vec<_> = self.iter().filter_map(Sample::class).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Returns `count` samples, evenly spaced over the list, or all if there are fewer. The list is sorted by path, so classes of
    /// similar size get similar shares. The choice depends on the list alone.
    #[must_use]
    pub fn take_spread(&self, count: usize) -> Self {
        let picked = Self::spread(self.len(), count);
        picked.into_iter().map(|i| self.samples[i].clone()).collect()
    }

    /// Returns `count` of the indices below `len`, evenly spaced, or all if there are fewer.
    pub(crate) fn spread(len: usize, count: usize) -> Vec<usize> {
        if count >= len {
            return (0..len).collect();
        }
        // The middle of each of `count` equal parts. The integers are wide enough for any length.
        let middle = |i: usize| ((2 * i as u128 + 1) * len as u128 / (2 * count as u128)) as usize;
        (0..count).map(middle).collect()
    }

    /// Returns sample `index`.
    pub fn get(&self, index: usize) -> Option<&Sample> {
        self.samples.get(index)
    }
}

impl FromIterator<Sample> for Samples {
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> Self {
        Self { samples: samples.into_iter().collect(), left_out: LeftOut::default() }
    }
}

impl<'a> IntoIterator for &'a Samples {
    type Item = &'a Sample;
    type IntoIter = std::slice::Iter<'a, Sample>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
