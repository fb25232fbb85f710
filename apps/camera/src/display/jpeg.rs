//! Encodes the canvas as a JPEG.

use super::canvas::Canvas;
use embedded_graphics::geometry::OriginDimensions;
use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

/// The usual quality for video, of 1..=100.
pub(super) const FOR_VIDEO: u8 = 80;

/// The quality for pictures that are kept.
pub(super) const FOR_KEEPING: u8 = 92;

/// Encodes a baseline JPEG with chroma in half the resolution.
pub(super) fn encode(canvas: &Canvas, quality: u8) -> Result<Vec<u8>, EncodingError> {
    let size = canvas.size();
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    let mut encoded = Vec::with_capacity(canvas.rgb().len() / 16);
    let mut encoder = Encoder::new(&mut encoded, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(canvas.rgb(), side(size.width), side(size.height), ColorType::Rgb)?;
    Ok(encoded)
}
