//! Decodes JPEGs (ITU-T T.81) to the same bytes as Pillow, which uses libjpeg-turbo.
//!
//! Supported is what Pillow reads and what occurs: 8-bit samples, Huffman coding, sequential and progressive, one, three or four
//! components with any sampling factors that divide the largest one. `benches/record/jpeg.md` says why this is not a library.

mod annex_k;
mod color;
mod frame;
mod huffman;
mod idct;
mod scan;
mod segments;
mod upsample;

use crate::{DecodeError, Rgb8Image};
use color::ColorSpace;
use frame::Frame;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use segments::{Marker, Segments, Tables};

/// Returns whether `bytes` begin like a JPEG.
pub(crate) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// The most scans of a progressive JPEG. Encoders write about ten. Without a limit, a small file could keep a decoder busy for
/// hours, since a scan of a few bytes visits every block.
const MAX_SCANS: usize = 200;

/// Returns the error of a file that contradicts the format.
fn damaged(what: &str) -> DecodeError {
    DecodeError::Damaged(what.to_owned())
}

/// Decodes a JPEG like `Image.open(file).convert("RGB")`.
pub(crate) fn decode(bytes: &[u8]) -> Result<Rgb8Image, DecodeError> {
    let mut segments = Segments::new(bytes);
    let mut tables = Tables::default();
    let mut frame: Option<Frame> = None;
    let mut scans = 0;
    loop {
        match segments.next()? {
            Marker::Frame { progressive, header } => {
                if frame.is_some() {
                    return Err(damaged("two pictures in one"));
                }
                frame = Some(Frame::new(header, progressive)?);
            }
            Marker::Scan(header) => {
                let frame = frame.as_mut().ok_or_else(|| damaged("a scan without a picture"))?;
                scans += 1;
                if scans > MAX_SCANS {
                    return Err(DecodeError::Unsupported(format!("more than {MAX_SCANS} scans")));
                }
                scan::decode(frame, header, &tables, &mut segments)?;
            }
            Marker::Table(kind, content) => tables.read(kind, content)?,
            Marker::Application1(_) | Marker::Skipped => {}
            Marker::End => break,
        }
    }
    let mut frame = frame.ok_or_else(|| damaged("it has no picture"))?;
    frame.finish()?;
    let color = ColorSpace::of(&frame, &tables);
    let data = upsample::rows(&frame, color);
    Ok(Rgb8Image { width: frame.width as u32, height: frame.height as u32, data })
}

/// Returns the EXIF data of a JPEG, without the name that they begin with.
pub(crate) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut segments = Segments::new(bytes);
    loop {
        match segments.next().ok()? {
            Marker::Application1(contents) => {
                if let Some(exif) = contents.strip_prefix(b"Exif\0\0") {
                    return Some(exif);
                }
            }
            Marker::Scan(_) | Marker::End => return None,
            Marker::Frame { .. } | Marker::Table(..) | Marker::Skipped => {}
        }
    }
}

/// Encodes a JPEG for people.
pub(crate) fn encode(image: &Rgb8Image, quality: u8) -> Option<Vec<u8>> {
    let (width, height) = (u16::try_from(image.width).ok()?, u16::try_from(image.height).ok()?);
    if width == 0 || height == 0 || image.data.len() != usize::from(width) * usize::from(height) * 3 {
        return None;
    }
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, quality.clamp(1, 100));
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(&image.data, width, height, ColorType::Rgb).ok()?;
    Some(jpeg)
}
