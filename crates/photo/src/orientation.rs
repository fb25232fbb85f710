//! The EXIF orientation: how a camera was held.
//!
//! Pillow's `Image.open` does not apply it, so torchvision and timm trained and measured on images as stored. OpenCV's `imread`
//! and `imdecode` do, and therefore PaddleClas and mmcls. A few photos of ImageNet have one.

use crate::{DecodeError, MAX_DECODED_BYTES, Rgb8Image, formats, jpeg};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

/// What becomes of the EXIF orientation of a photo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Exif {
    /// The pixels stay as they are stored, as Pillow reads them.
    #[default]
    Ignore,
    /// The picture is turned upright, as OpenCV reads it.
    Apply,
}

impl Exif {
    /// Both rules.
    pub const ALL: [Self; 2] = [Self::Ignore, Self::Apply];

    /// Returns the name in options and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Apply => "apply",
        }
    }
}

/// Returns the orientation that an encoded image states. Without one, or if it is invalid, the image stays as it is.
pub(crate) fn of(encoded: &[u8]) -> Orientation {
    let found = if jpeg::is_jpeg(encoded) {
        jpeg::exif(encoded).and_then(Orientation::from_exif_chunk)
    } else {
        formats::orientation(encoded)
    };
    found.unwrap_or(Orientation::NoTransforms)
}

/// Turns `image`.
pub(crate) fn apply(image: Rgb8Image, orientation: Orientation) -> Result<Rgb8Image, DecodeError> {
    if orientation == Orientation::NoTransforms {
        return Ok(image);
    }
    if 2 * image.data.len() as u64 > MAX_DECODED_BYTES {
        return Err(DecodeError::TooLarge);
    }
    let Rgb8Image { width, height, data } = image;
    let pixels = RgbImage::from_raw(width, height, data)
        .ok_or_else(|| DecodeError::Damaged("it has too few pixels".to_owned()))?;
    let mut image = DynamicImage::ImageRgb8(pixels);
    image.apply_orientation(orientation);
    Ok(Rgb8Image { width: image.width(), height: image.height(), data: image.into_rgb8().into_raw() })
}
