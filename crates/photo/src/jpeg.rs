//! Decodes JPEGs to the same bytes as Pillow.

use crate::{DecodeError, MAX_DECODED_BYTES, MAX_PHOTO_SIDE, Rgb8Image, reason};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, Encoder, JpegError, PixelFormat, Subsampling, compress};
use std::ops::Range;

/// Returns whether `bytes` begin like a JPEG.
pub(crate) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// Decodes a JPEG like `Image.open(file).convert("RGB")`.
pub(crate) fn decode(bytes: &[u8]) -> Result<Rgb8Image, DecodeError> {
    if is_cut(bytes) {
        return Err(DecodeError::Damaged("the JPEG ends early".to_owned()));
    }
    let limits = DecodeLimits {
        max_width: MAX_PHOTO_SIDE as usize,
        max_height: MAX_PHOTO_SIDE as usize,
        max_memory: Some(MAX_DECODED_BYTES),
        ..DecodeLimits::default()
    };
    let with_tables = lacks_tables(bytes).then(|| add_tables(bytes));
    let bytes = with_tables.as_deref().unwrap_or(bytes);
    let mut decoder = Decoder::new_with_limits(bytes, limits)?;
    let inks = decoder.header().components.len() == 4;
    decoder.set_output_format(if inks { PixelFormat::Cmyk } else { PixelFormat::Rgb });
    let image = decoder.decode_image()?;
    let data = if inks { image.data.as_chunks().0.iter().flat_map(rgb).collect() } else { image.data };
    Ok(Rgb8Image { width: image.width as u32, height: image.height as u32, data })
}

/// Encodes a JPEG for people.
pub(crate) fn encode(image: &Rgb8Image, quality: u8) -> Option<Vec<u8>> {
    let (width, height) = (image.width as usize, image.height as usize);
    if width == 0 || height == 0 || image.data.len() != width * height * 3 {
        return None;
    }
    compress(&image.data, width, height, PixelFormat::Rgb, quality.clamp(1, 100), Subsampling::S420).ok()
}

/// Converts CMYK as Pillow does: with a naive formula, from values that are inverted, as Adobe stores them.
fn rgb(&[c, m, y, k]: &[u8; 4]) -> [u8; 3] {
    [c, m, y].map(|ink| {
        // The product of ink and black over 255, rounded.
        let product = u32::from(255 - ink) * u32::from(k) + 128;
        (u32::from(k) - ((product + (product >> 8)) >> 8)) as u8
    })
}

/// Iterates over the segments of a JPEG up to its first scan. Items are the marker and the range of a segment.
fn segments(bytes: &[u8]) -> impl Iterator<Item = (u8, Range<usize>)> {
    let mut at = 2;
    std::iter::from_fn(move || {
        let &[0xff, marker, high, low] = bytes.get(at..at + 4)? else { return None };
        let start = at;
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
        (at <= bytes.len()).then_some((marker, start..at))
    })
}

const HUFFMAN_TABLES: u8 = 0xc4;
const SCAN: u8 = 0xda;

/// Returns whether a JPEG has no Huffman tables. Cameras leave them out in Motion JPEG, where they are those of ITU-T T.81,
/// annex K. libjpeg-turbo uses these tables too.
fn lacks_tables(bytes: &[u8]) -> bool {
    segments(bytes)
        .find(|(marker, _)| [HUFFMAN_TABLES, SCAN].contains(marker))
        .is_some_and(|found| found.0 == SCAN)
}

/// Returns the JPEG with the standard Huffman tables.
fn add_tables(bytes: &[u8]) -> Vec<u8> {
    let tables = Encoder::new(&[0; 3], 1, 1, PixelFormat::Rgb).write_tables();
    let mut whole = bytes[..2].to_vec();
    for (_, range) in segments(&tables).filter(|(marker, _)| *marker == HUFFMAN_TABLES) {
        whole.extend_from_slice(&tables[range]);
    }
    whole.extend_from_slice(&bytes[2..]);
    whole
}

/// Returns whether a JPEG lacks the end of its picture. The decoder would fill the rest with grey. Pillow refuses such a file, and
/// in calibration a half-grey photo would widen ranges that no real photo needs.
///
/// Entropy-coded data never contains FF before the byte of a marker. The last start of scan (FF DA) and the last end of image
/// (FF D9) are therefore real markers, of the picture or of a thumbnail. In a whole picture the end comes last.
fn is_cut(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) <= last(0xda)
}

impl From<JpegError> for DecodeError {
    fn from(error: JpegError) -> Self {
        match error {
            JpegError::LimitExceeded { .. } | JpegError::AllocationFailed { .. } => Self::TooLarge,
            JpegError::Unsupported(what) => Self::Unsupported(what),
            error => Self::Damaged(reason(&error)),
        }
    }
}
