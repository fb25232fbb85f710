//! Decodes photos (JPEG, PNG, WebP, BMP and GIF files) to the pixels that a model reads. Calibration, evaluation and
//! classification share this crate, so that they see the same pixels and refuse the same files.
//!
//! ```no_run
//! let photo = resnext_photo::Rgb8Image::decode(&std::fs::read("cat.jpg")?)?;
//! let pixels = photo.crop(&resnext::preprocess::Preprocessing::imagenet(224, 256))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The pixels equal Pillow's, to the byte, or the file is refused. JPEGs are decoded here, as libjpeg-turbo does it: other
//! decoders interpolate chroma and round in other ways; see `benches/record/jpeg.md`. No file makes anything here panic.

#![forbid(unsafe_code)]

mod formats;
mod jpeg;
mod orientation;

pub use formats::{FileKind, LeftOut, file_kind};
pub use orientation::Exif;

use image::ImageError;
use resnext::Frame;
use resnext::preprocess::Preprocessing;

/// The longest side of an image that is accepted, in pixels.
pub const MAX_PHOTO_SIDE: u32 = 16_384;

/// The most memory that an image may take, in bytes, from its file to RGB. It is enough for any photo, and refuses files that
/// expand a thousandfold.
pub const MAX_DECODED_BYTES: u64 = 512 << 20;

/// An 8-bit RGB image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb8Image {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `[height][width][3]`, R, G, B.
    pub data: Vec<u8>,
}

/// Why an image was refused. Displays as what is wrong, to follow the name of the file. [`Self::remedy`] says how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The file is no image of a known format.
    #[error("is not a JPEG, PNG, WebP, BMP or GIF image")]
    Format,
    /// The file has a format that is not read. Holds its name.
    #[error("has a format that is not read ({0})")]
    OtherFormat(&'static str),
    /// The file has no bytes.
    #[error("is empty")]
    Empty,
    /// The image exceeds [`MAX_PHOTO_SIDE`] or [`MAX_DECODED_BYTES`].
    #[error("is larger than {MAX_PHOTO_SIDE}×{MAX_PHOTO_SIDE} pixels or {} MiB in memory", MAX_DECODED_BYTES >> 20)]
    TooLarge,
    /// The decoder does not support this variant of the format.
    #[error("cannot be decoded ({0})")]
    Unsupported(String),
    /// The contents are invalid or end early.
    #[error("is damaged ({0})")]
    Damaged(String),
}

impl DecodeError {
    /// Returns how to fix it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Format => "give the path of a JPEG or PNG image",
            Self::TooLarge => "shrink it first",
            Self::Unsupported(_) | Self::OtherFormat(_) => "convert it to JPEG or PNG",
            Self::Damaged(_) | Self::Empty => "skip or replace it",
        }
    }
}

/// Returns the message of a decoder as a part of a sentence. Some messages end with a full stop or a line break.
fn reason(error: &dyn std::error::Error) -> String {
    let words = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    words.trim_end_matches('.').to_owned()
}

impl From<ImageError> for DecodeError {
    fn from(error: ImageError) -> Self {
        let reason = reason(&error);
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            ImageError::Unsupported(_) => Self::Unsupported(reason),
            _ => Self::Damaged(reason),
        }
    }
}

impl Rgb8Image {
    /// Decodes `encoded` to 8-bit RGB like Pillow's `Image.open(file).convert("RGB")`, with which most libraries read their
    /// training images:
    ///
    /// - Grey is replicated. Alpha is dropped, not blended. Of an animation, the first picture is taken.
    /// - 16-bit colour keeps its high byte, but 16-bit grey is *clipped* to 255.
    /// - The EXIF orientation is **not** applied. See [`Self::decode_oriented`].
    /// - A JPEG that ends early or has invalid codes is refused. Pillow refuses the former, and fills unreadable parts of the
    ///   latter with grey.
    ///
    /// The content decides the format.
    ///
    /// # Errors
    ///
    /// Returns an error if the image is damaged, has another format, or exceeds [`MAX_PHOTO_SIDE`] or [`MAX_DECODED_BYTES`]. The
    /// header decides the latter, before anything is decoded.
    pub fn decode(encoded: &[u8]) -> Result<Self, DecodeError> {
        if jpeg::is_jpeg(encoded) { jpeg::decode(encoded) } else { formats::decode(encoded) }
    }

    /// Decodes `encoded` as [`Self::decode`] does, and then turns it as its EXIF orientation says, if `exif` says so. With
    /// [`Exif::Apply`] the pixels are those of OpenCV's `imread`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Self::decode`]; also if the turned image would exceed [`MAX_DECODED_BYTES`] with the other one.
    pub fn decode_oriented(encoded: &[u8], exif: Exif) -> Result<Self, DecodeError> {
        let image = Self::decode(encoded)?;
        if exif == Exif::Apply { orientation::apply(image, orientation::of(encoded)) } else { Ok(image) }
    }

    /// Returns whether the EXIF orientation of an encoded image says that it is to be turned or mirrored. The beginning of the
    /// file is enough, up to its pixels. Of a file that cannot be decoded the answer is `false`.
    pub fn is_rotated(encoded: &[u8]) -> bool {
        orientation::of(encoded) != image::metadata::Orientation::NoTransforms
    }

    /// Encodes the image as a JPEG for people, with `quality` 1..=100. It has baseline coding and 4:2:0 chroma, which every viewer
    /// supports. Returns `None` if the image has no pixels, or more than a JPEG can have.
    pub fn to_jpeg(&self, quality: u8) -> Option<Vec<u8>> {
        jpeg::encode(self, quality)
    }

    /// Resizes and crops the image. Returns the `crop_height × crop_width × 3` bytes that
    /// [`Runner::load_pixels`](resnext::Runner::load_pixels) takes.
    ///
    /// A runner does this by itself for frames of a camera, in its arena. A photo may need more scratch than the arena has.
    ///
    /// # Errors
    ///
    /// Returns a message if the image is larger than the limit of the runtime.
    pub fn crop(&self, preprocessing: &Preprocessing) -> Result<Vec<u8>, String> {
        let (width, height) = (self.width, self.height);
        let frame = Frame::rgb8(&self.data, width, height, width as usize * 3).map_err(|e| e.to_string())?;
        let mut scratch = vec![0; preprocessing.scratch_len(width, height).unwrap_or(0)];
        let mut pixels =
            Vec::with_capacity(preprocessing.crop_height as usize * preprocessing.crop_width as usize * 3);
        preprocessing
            .run(&frame, &mut scratch, |_, row| pixels.extend_from_slice(row))
            .map_err(|e| e.to_string())?;
        Ok(pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_to_be_looked_at_looks_the_same() {
        let pixel = |i: usize| [(i % 50 * 5) as u8, (i / 50 * 6) as u8, 90];
        let image = Rgb8Image { width: 50, height: 40, data: (0..2000).flat_map(pixel).collect() };
        let again = Rgb8Image::decode(&image.to_jpeg(90).expect("encodes")).expect("decodes");
        assert_eq!((again.width, again.height), (50, 40));
        let off = |(a, b): (&u8, &u8)| u64::from(a.abs_diff(*b));
        let mean = image.data.iter().zip(&again.data).map(off).sum::<u64>() as f64 / image.data.len() as f64;
        assert!(mean < 4.0, "{mean} levels off");
        assert_eq!(Rgb8Image { width: 0, ..image.clone() }.to_jpeg(90), None);
        assert_eq!(Rgb8Image { width: 51, ..image }.to_jpeg(90), None);
    }
}
