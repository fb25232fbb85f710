//! Encodes the canvas as a JPEG.

use super::canvas::Canvas;
use embedded_graphics::geometry::OriginDimensions;
use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

/// Quality, of 1..=100. This is the usual one for video.
const QUALITY: u8 = 80;

/// Encodes a baseline JPEG with chroma in half the resolution.
pub(super) fn encode(canvas: &Canvas) -> Result<Vec<u8>, EncodingError> {
    let size = canvas.size();
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    let mut encoded = Vec::with_capacity(canvas.rgb().len() / 16);
    let mut encoder = Encoder::new(&mut encoded, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(canvas.rgb(), side(size.width), side(size.height), ColorType::Rgb)?;
    Ok(encoded)
}
