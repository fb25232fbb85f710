//! Saves frames as PNG files.

use super::canvas::Canvas;
use crate::reading::{Picture, Reading, Show, ShowError};
use core::fmt;
use embedded_graphics::geometry::OriginDimensions;
use std::time::{Duration, Instant};

/// Saves a PNG. It must replace the previous one at once, so that a reader never sees half a file.
type Save = Box<dyn FnMut(&[u8]) -> Result<(), ShowError> + Send>;

/// Saves the first frame with its overlay, and then the first frame after each interval.
pub struct Snapshots {
    every: Duration,
    last: Option<Instant>,
    save: Save,
    canvas: Canvas,
    encoded: Vec<u8>,
}

/// The least short side of a picture, in pixels. Smaller pictures are enlarged, so that the text on them is readable.
const SHORT_SIDE: u32 = 240;

/// The largest width and height of a picture. Larger pictures are reduced.
const LONGEST: (u32, u32) = (1920, 1920);

impl Snapshots {
    /// Passes a PNG to `save` once in each interval `every`.
    pub fn new(every: Duration, save: impl FnMut(&[u8]) -> Result<(), ShowError> + Send + 'static) -> Self {
        Self { every, last: None, save: Box::new(save), canvas: Canvas::new(1, 1), encoded: Vec::new() }
    }
}

impl Show for Snapshots {
    fn wants_picture(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= self.every)
    }

    fn show(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError> {
        let Some(picture) = picture.filter(|_| self.wants_picture()) else { return Ok(()) };
        self.last = Some(Instant::now());
        self.canvas.resize_for(picture, SHORT_SIDE, LONGEST);
        self.canvas.compose(reading, Some(picture));
        self.encoded.clear();
        encode(&self.canvas, &mut self.encoded).map_err(|error| ShowError::Failed {
            subject: "snapshot".to_owned(),
            what: format!("cannot be encoded: {error}; use smaller frames"),
        })?;
        (self.save)(&self.encoded)
    }
}

fn encode(canvas: &Canvas, out: &mut Vec<u8>) -> Result<(), png::EncodingError> {
    let size = canvas.size();
    let mut encoder = png::Encoder::new(out, size.width, size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(canvas.rgb())?;
    writer.finish()
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots")
            .field("every", &self.every)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}
