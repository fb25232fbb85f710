//! Sample images for calibration and evaluation: finding them, choosing among them, decoding them.
//!
//! Images are listed once, in an order that does not depend on the file system, and decoded one at a time,
//! so that a data set never has to fit in memory.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use resnext::preprocess::Preprocessing;
use resnext_photo::Rgb8Image;

/// File extensions that are taken for images, compared without regard to case.
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// A directory of images cannot be used. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplesError {
    /// The directory or one below it cannot be listed.
    #[error("{}: cannot be read ({source}); give a directory of sample images", .path.display())]
    Read {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The path is not a directory.
    #[error("{}: not a directory; give the directory that contains the sample images", .0.display())]
    NotADirectory(PathBuf),
    /// There is no image in the directory.
    #[error("{}: contains no .jpg, .jpeg or .png file; give a directory of sample images", .0.display())]
    Empty(PathBuf),
}

/// One image cannot be used. Displays as one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}; skip or replace this image")]
pub struct SampleError {
    /// Name of the sample.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// One image that has not been decoded yet.
#[derive(Clone, Debug)]
pub struct Sample {
    name: String,
    key: String,
    class: Option<String>,
    source: Source,
}

/// Where the bytes of an encoded image come from.
#[derive(Clone, Debug)]
enum Source {
    File(PathBuf),
    Memory(&'static [u8]),
    /// No bytes: it is drawn each time, from a seed.
    Drawn(fn(u64) -> Rgb8Image, u64),
}

impl Sample {
    /// An encoded (JPEG or PNG) image that is part of the program.
    pub fn embedded(name: impl Into<String>, class: Option<&str>, encoded: &'static [u8]) -> Self {
        let name = name.into();
        Self { key: name.clone(), name, class: class.map(str::to_owned), source: Source::Memory(encoded) }
    }

    /// An image file outside any [`Samples`].
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.display().to_string();
        Self { key: name.clone(), name, class: None, source: Source::File(path) }
    }

    /// An image that `draw` makes of `seed` whenever it is looked at.
    pub fn drawn(name: impl Into<String>, draw: fn(u64) -> Rgb8Image, seed: u64) -> Self {
        let name = name.into();
        Self { key: name.clone(), name, class: None, source: Source::Drawn(draw, seed) }
    }

    /// The path as it was listed, or the name it was embedded under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path below the directory that was opened, with `/` between folders: the same on every machine.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Name of the folder that contains the image, if that is not the directory that was opened: in the
    /// usual one-folder-per-class layout, the class.
    pub fn class(&self) -> Option<&str> {
        self.class.as_deref()
    }

    /// The encoded bytes.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or there is none.
    pub fn bytes(&self) -> Result<Cow<'static, [u8]>, SampleError> {
        match &self.source {
            Source::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Source::File(path) => fs::read(path).map(Cow::Owned).map_err(|e| self.error(e)),
            Source::Drawn(..) => Err(self.error("is drawn and has no file")),
        }
    }

    /// Decodes the image to 8-bit RGB as Pillow would, see [`Rgb8Image::decode`].
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is refused. The error names the sample, so that a caller can report it,
    /// count it and go on.
    pub fn decode(&self) -> Result<Rgb8Image, SampleError> {
        match &self.source {
            Source::Drawn(draw, seed) => Ok(draw(*seed)),
            _ => Rgb8Image::decode(&self.bytes()?).map_err(|e| self.error(e)),
        }
    }

    /// Decodes, resizes and crops the image: the pixels that both networks read, `height × width × 3` bytes.
    ///
    /// # Errors
    ///
    /// As of [`decode`](Self::decode), or the image is larger than the runtime's limit.
    pub fn pixels(&self, preprocessing: &Preprocessing) -> Result<Vec<u8>, SampleError> {
        self.decode()?.crop(preprocessing).map_err(|reason| self.error(reason))
    }

    fn error(&self, reason: impl std::fmt::Display) -> SampleError {
        let reason = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        SampleError { name: self.name.clone(), reason }
    }
}

/// An ordered list of samples.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    samples: Vec<Sample>,
}

impl Samples {
    /// Lists the images (`.jpg`, `.jpeg`, `.png`) in `directory` and all directories below it, sorted by
    /// path. Symbolic links are followed; a directory that was already listed is not listed again.
    ///
    /// # Errors
    ///
    /// `directory` does not exist, is not a directory, cannot be read, or has no image.
    pub fn open(directory: &Path) -> Result<Self, SamplesError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| SamplesError::Read { path, source }
        };
        if !fs::metadata(directory).map_err(failed(directory))?.is_dir() {
            return Err(SamplesError::NotADirectory(directory.to_owned()));
        }
        let mut files = Vec::new();
        let mut listed = HashSet::new();
        let mut pending = vec![directory.to_owned()];
        while let Some(folder) = pending.pop() {
            if !listed.insert(fs::canonicalize(&folder).map_err(failed(&folder))?) {
                continue;
            }
            for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
                let path = entry.map_err(failed(&folder))?.path();
                // A dangling link is neither; it shows up as an unreadable image if it is named like one.
                if path.is_dir() {
                    pending.push(path);
                } else if is_image(&path) {
                    files.push(path);
                }
            }
        }
        if files.is_empty() {
            return Err(SamplesError::Empty(directory.to_owned()));
        }
        files.sort_unstable();
        let sample = |path: PathBuf| {
            let folder = path.parent().filter(|&folder| folder != directory);
            let class = folder.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            let below = path.strip_prefix(directory).unwrap_or(&path);
            let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
            Sample {
                name: path.display().to_string(),
                key: parts.join("/"),
                class,
                source: Source::File(path),
            }
        };
        Ok(Self { samples: files.into_iter().map(sample).collect() })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The samples in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Sample> {
        self.samples.iter()
    }

    /// The distinct classes, sorted.
    pub fn classes(&self) -> Vec<&str> {
        let mut classes: Vec<_> = self.iter().filter_map(Sample::class).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// `count` samples evenly spaced over the list, or all if there are not more. The list is sorted by path,
    /// so classes of similar size get similar shares. The choice depends on nothing but the list.
    #[must_use]
    pub fn take_spread(&self, count: usize) -> Self {
        let picked = Self::spread(self.len(), count);
        Self { samples: picked.into_iter().map(|i| self.samples[i].clone()).collect() }
    }

    /// `count` of the indices below `len`, evenly spaced, or all if there are not more.
    pub(crate) fn spread(len: usize, count: usize) -> Vec<usize> {
        if count >= len {
            return (0..len).collect();
        }
        // The middle of each of `count` equal parts, in integers wide enough for any length.
        let middle = |i: usize| ((2 * i as u128 + 1) * len as u128 / (2 * count as u128)) as usize;
        (0..count).map(middle).collect()
    }

    /// Sample `index`.
    pub fn get(&self, index: usize) -> Option<&Sample> {
        self.samples.get(index)
    }
}

impl FromIterator<Sample> for Samples {
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> Self {
        Self { samples: samples.into_iter().collect() }
    }
}

impl<'a> IntoIterator for &'a Samples {
    type Item = &'a Sample;
    type IntoIter = std::slice::Iter<'a, Sample>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    extension.is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests;
