//! Sample images for calibration and evaluation: finding them, choosing among them, decoding them.
//!
//! Images are listed once, in an order that does not depend on the file system, and decoded one at a time,
//! so that a data set never has to fit in memory.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageReader, Limits};

/// The largest accepted width or height of an image, in pixels.
pub const MAX_IMAGE_SIDE: u32 = 16_384;

/// The most memory that decoding one image may take, in bytes. Large enough for any photo, small enough that
/// a file which expands a thousandfold is refused rather than served.
pub const MAX_IMAGE_BYTES: u64 = 512 << 20;

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
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}; skip or replace this image")]
pub struct SampleError {
    /// Name of the sample.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// An 8-bit RGB image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb8Image {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `[height][width][3]`, R, G, B.
    pub data: Vec<u8>,
}

/// One image that has not been decoded yet.
#[derive(Clone, Debug)]
pub struct Sample {
    name: String,
    class: Option<String>,
    source: Source,
}

/// Where the bytes of an encoded image come from.
#[derive(Clone, Debug)]
enum Source {
    File(PathBuf),
    Memory(&'static [u8]),
}

impl Sample {
    /// An encoded (JPEG or PNG) image that is part of the program.
    pub fn embedded(name: impl Into<String>, class: Option<&str>, encoded: &'static [u8]) -> Self {
        Self { name: name.into(), class: class.map(str::to_owned), source: Source::Memory(encoded) }
    }

    /// An image file outside any [`Samples`].
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: path.display().to_string(), class: None, source: Source::File(path) }
    }

    /// The path as it was listed, or the name it was embedded under.
    pub fn name(&self) -> &str {
        &self.name
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
    /// The file cannot be read.
    pub fn bytes(&self) -> Result<Cow<'static, [u8]>, SampleError> {
        match &self.source {
            Source::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Source::File(path) => fs::read(path).map(Cow::Owned).map_err(|e| self.error(e)),
        }
    }

    /// Decodes the image to 8-bit RGB the way Pillow's `Image.open(file).convert("RGB")` does, which is how
    /// every source library reads its training images:
    ///
    /// - grey is replicated, alpha is dropped (not blended);
    /// - 16-bit colour keeps its high byte, but 16-bit grey is *clipped* to 255;
    /// - the EXIF orientation is **not** applied: Pillow does not apply it either, so the published accuracies
    ///   were measured on images as stored.
    ///
    /// The format is recognised by content, not by extension.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is damaged, or is larger than [`MAX_IMAGE_SIDE`] or [`MAX_IMAGE_BYTES`]
    /// allow. The error names the sample, so that a caller can report it, count it and go on.
    pub fn decode(&self) -> Result<Rgb8Image, SampleError> {
        let bytes = self.bytes()?;
        if is_cut_jpeg(&bytes) {
            return Err(self.error("the JPEG ends early"));
        }
        let mut reader =
            ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| self.error(e))?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_IMAGE_SIDE);
        limits.max_image_height = Some(MAX_IMAGE_SIDE);
        limits.max_alloc = Some(MAX_IMAGE_BYTES);
        reader.limits(limits);
        let image = reader.decode().map_err(|e| self.error(e))?;
        let (width, height) = (image.width(), image.height());
        Ok(Rgb8Image { width, height, data: rgb8(image) })
    }

    fn error(&self, reason: impl std::fmt::Display) -> SampleError {
        let reason = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        SampleError { name: self.name.clone(), reason }
    }
}

/// `image` as RGB triples; see [`Sample::decode`] for the rules.
fn rgb8(image: DynamicImage) -> Vec<u8> {
    let high = |v: u16| (v >> 8) as u8;
    match image {
        DynamicImage::ImageLuma16(grey) => {
            grey.into_raw().into_iter().flat_map(|v| [u8::try_from(v).unwrap_or(u8::MAX); 3]).collect()
        }
        DynamicImage::ImageLumaA16(grey) => grey.pixels().flat_map(|p| [high(p.0[0]); 3]).collect(),
        DynamicImage::ImageRgb16(rgb) => rgb.into_raw().into_iter().map(high).collect(),
        DynamicImage::ImageRgba16(rgba) => {
            rgba.pixels().flat_map(|p| [high(p.0[0]), high(p.0[1]), high(p.0[2])]).collect()
        }
        eight_bit => eight_bit.into_rgb8().into_raw(),
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
            Sample { name: path.display().to_string(), class, source: Source::File(path) }
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
        let len = self.len();
        if count >= len {
            return self.clone();
        }
        // The middle of each of `count` equal parts, in integers wide enough for any length.
        let middle = |i: usize| ((2 * i as u128 + 1) * len as u128 / (2 * count as u128)) as usize;
        Self { samples: (0..count).map(|i| self.samples[middle(i)].clone()).collect() }
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

/// Whether `bytes` are a JPEG without the end of its picture. The decoder would fill the rest with grey; Pillow
/// refuses such a file, and a half-grey photo would widen ranges that no real photo needs.
///
/// Inside entropy-coded data FF is never followed by a marker's byte, so the last start of scan (FF DA) and the last
/// end of image (FF D9) are real ones, a thumbnail's or the picture's: the picture's end comes after its start.
fn is_cut_jpeg(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    bytes.starts_with(&[0xff, 0xd8, 0xff]) && last(0xd9) <= last(0xda)
}

#[cfg(test)]
mod tests;
