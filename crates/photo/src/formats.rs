//! Formats other than JPEG: those that the `image` crate reads with Pillow's pixels, and the names of those that are not read.

use crate::{DecodeError, MAX_DECODED_BYTES, MAX_PHOTO_SIDE, Rgb8Image};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Cursor;
use std::path::Path;

/// What the extension of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// An image that [`Rgb8Image::decode`] reads.
    Photo,
    /// An image of a format that is not read, by the name of the format.
    OtherImage(&'static str),
}

/// Extensions of images that are read.
const READ: [&str; 8] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif"];

/// Extensions of images that are not read, with the name of the format.
const NOT_READ: [(&str, &[&str]); 16] = [
    ("HEIC", &["heic", "heics", "heif", "heifs", "hif"]),
    ("AVIF", &["avif", "avifs"]),
    ("TIFF", &["tif", "tiff"]),
    ("JPEG XL", &["jxl"]),
    ("JPEG 2000", &["jp2", "j2k", "j2c", "jpc", "jpf", "jpx"]),
    (
        "raw",
        &[
            "dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "sr2", "srf", "orf", "rw2", "rwl", "raf", "pef",
            "srw", "3fr", "erf", "kdc", "mrw", "x3f", "iiq",
        ],
    ),
    ("PPM", &["ppm", "pgm", "pbm", "pnm", "pam"]),
    ("PSD", &["psd"]),
    ("SVG", &["svg"]),
    ("TGA", &["tga"]),
    ("MPO", &["mpo"]),
    ("APNG", &["apng"]),
    ("DIB", &["dib"]),
    ("ICO", &["ico"]),
    ("PCX", &["pcx"]),
    ("HDR", &["hdr", "exr"]),
];

/// Returns what kind of image a file is by its extension, in any case; `None` if it is none.
pub fn file_kind(path: &Path) -> Option<FileKind> {
    let extension = path.extension()?.to_str()?;
    let is = |known: &&str| extension.eq_ignore_ascii_case(known);
    if READ.iter().any(is) {
        return Some(FileKind::Photo);
    }
    let other = NOT_READ.iter().find(|(_, extensions)| extensions.iter().any(is));
    other.map(|(name, _)| FileKind::OtherImage(name))
}

/// The images of a folder whose format is not read: their number by the name of the format. Displays as a list such as
/// `10 HEIC, 2 AVIF`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(BTreeMap<&'static str, usize>);

impl LeftOut {
    /// Counts an image of this format.
    pub fn add(&mut self, format: &'static str) {
        *self.0.entry(format).or_default() += 1;
    }

    /// Returns whether no image was left out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the formats, by name, and the number of images of each.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.0.iter().map(|(&format, &images)| (format, images))
    }

    /// Returns the number of images.
    pub fn images(&self) -> usize {
        self.0.values().sum()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut formats: Vec<_> = self.0.iter().collect();
        formats.sort_by_key(|&(_, &count)| std::cmp::Reverse(count));
        for (i, (format, count)) in formats.into_iter().enumerate() {
            write!(f, "{}{count} {format}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Returns what `bytes` begin like, if that is a format that people take for a photo and that is not read.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    let begins = |with: &[u8]| bytes.starts_with(with);
    Some(match bytes.get(4..12) {
        Some(b"ftypavif" | b"ftypavis") => "AVIF",
        Some(
            b"ftypheic" | b"ftypheix" | b"ftyphevc" | b"ftypheim" | b"ftypheis" | b"ftypmif1" | b"ftypmsf1",
        ) => "HEIC",
        Some(b"ftypcrx ") => "raw",
        Some([b'f', b't', b'y', b'p', ..]) => "video",
        Some(b"JXL \r\n\x87\n") => "JPEG XL",
        Some(b"jP  \r\n\x87\n") => "JPEG 2000",
        _ if begins(b"\xff\x0a") => "JPEG XL",
        _ if begins(b"\xff\x4f\xff\x51") => "JPEG 2000",
        _ if begins(b"II*\0") || begins(b"MM\0*") => "TIFF",
        _ if begins(b"8BPS") => "PSD",
        _ if begins(b"%PDF") => "PDF",
        _ if begins(b"<svg") || begins(b"<?xml") => "SVG",
        _ if bytes
            .get(..5)
            .is_some_and(|b| b.eq_ignore_ascii_case(b"<html") || b.eq_ignore_ascii_case(b"<!doc")) =>
        {
            "HTML"
        }
        _ => return None,
    })
}

/// Returns what an image is, if it is of a kind that the `image` crate reads with other pixels than Pillow does.
fn unlike_pillow(format: ImageFormat, bytes: &[u8]) -> Option<&'static str> {
    match format {
        ImageFormat::Bmp => {
            let [bits, _, runs, ..] = *bytes.get(28..34)? else { return None };
            // The masks of red, green and blue, as everyone stores them.
            let usual = bytes.get(54..66) == Some(&[0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0][..]);
            match (bits, runs) {
                (16, _) => Some("a BMP of 16 bits a pixel"),
                (_, 0) => None,
                (32, 3) if usual => None,
                _ => Some("a BMP that is compressed, or has colour masks of its own"),
            }
        }
        // Pillow fills the rest with the background, and `image` with black.
        ImageFormat::Gif => {
            (!fills_the_screen(bytes)?).then_some("a GIF whose first picture does not fill it")
        }
        _ => None,
    }
}

/// Returns whether the first picture of a GIF is as large as its screen; `None` if there is no picture.
fn fills_the_screen(bytes: &[u8]) -> Option<bool> {
    let screen = bytes.get(6..10)?;
    let palette = |flags: u8| if flags & 0x80 != 0 { 6usize << (flags & 7) } else { 0 };
    let mut at = 13 + palette(*bytes.get(10)?);
    loop {
        match bytes.get(at)? {
            // An extension: a label and blocks, the last of which is empty.
            0x21 => {
                at += 2;
                while *bytes.get(at)? != 0 {
                    at += 1 + usize::from(bytes[at]);
                }
                at += 1;
            }
            0x2c => {
                return Some(bytes.get(at + 1..at + 5)? == [0; 4] && bytes.get(at + 5..at + 9)? == screen);
            }
            _ => return None,
        }
    }
}

/// Returns the decoder of an image, which has read its header.
fn decoder(encoded: &[u8]) -> Result<(ImageFormat, impl ImageDecoder + '_), DecodeError> {
    if encoded.is_empty() {
        return Err(DecodeError::Empty);
    }
    if let Some(name) = other_format(encoded) {
        return Err(DecodeError::OtherFormat(name));
    }
    let mut reader = ImageReader::new(Cursor::new(encoded))
        .with_guessed_format()
        .map_err(|error| DecodeError::Damaged(error.to_string()))?;
    let format = reader.format().ok_or(DecodeError::Format)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_PHOTO_SIDE);
    limits.max_image_height = Some(MAX_PHOTO_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    Ok((format, reader.into_decoder()?))
}

/// Decodes an image other than a JPEG.
pub(crate) fn decode(encoded: &[u8]) -> Result<Rgb8Image, DecodeError> {
    let (format, decoder) = decoder(encoded)?;
    if let Some(what) = unlike_pillow(format, encoded) {
        return Err(DecodeError::Unsupported(what.to_owned()));
    }
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    let converted = if decoder.color_type() == ColorType::Rgb8 { 0 } else { 3 * pixels };
    // WebP and GIF decode into a picture of their own, of up to four bytes a pixel.
    let scratch = if matches!(format, ImageFormat::WebP | ImageFormat::Gif) { 4 * pixels } else { 0 };
    if decoder.total_bytes().saturating_add(converted).saturating_add(scratch) > MAX_DECODED_BYTES {
        return Err(DecodeError::TooLarge);
    }
    let image = DynamicImage::from_decoder(decoder)?;
    Ok(Rgb8Image { width, height, data: rgb8(image, is_deep_grey_png(encoded)) })
}

/// Returns the EXIF orientation of an image other than a JPEG.
pub(crate) fn orientation(encoded: &[u8]) -> Option<Orientation> {
    let (_, mut decoder) = decoder(encoded).ok()?;
    decoder.orientation().ok()
}

/// Returns whether an image is a PNG of 16-bit grey levels without alpha.
fn is_deep_grey_png(encoded: &[u8]) -> bool {
    encoded.starts_with(b"\x89PNG") && encoded.get(24..26) == Some(&[16, 0])
}

/// Converts an image to RGB, by the rules of [`Rgb8Image::decode`]. `deep_grey` says whether it has grey levels of 16 bits and no
/// alpha; it may still state a transparent level, which `image` makes an alpha of.
fn rgb8(image: DynamicImage, deep_grey: bool) -> Vec<u8> {
    let high = |v: u16| (v >> 8) as u8;
    let clipped = |v: u16| u8::try_from(v).unwrap_or(u8::MAX);
    match image {
        DynamicImage::ImageLuma16(grey) => {
            grey.into_raw().into_iter().flat_map(|v| [clipped(v); 3]).collect()
        }
        DynamicImage::ImageLumaA16(grey) if deep_grey => {
            grey.pixels().flat_map(|p| [clipped(p.0[0]); 3]).collect()
        }
        DynamicImage::ImageLumaA16(grey) => grey.pixels().flat_map(|p| [high(p.0[0]); 3]).collect(),
        DynamicImage::ImageRgb16(rgb) => rgb.into_raw().into_iter().map(high).collect(),
        DynamicImage::ImageRgba16(rgba) => {
            rgba.pixels().flat_map(|p| [high(p.0[0]), high(p.0[1]), high(p.0[2])]).collect()
        }
        eight_bit => eight_bit.into_rgb8().into_raw(),
    }
}
