//! Frames as PNG files.

use super::canvas::Canvas;
use crate::reading::{Picture, Reading, Show, ShowError};
use core::fmt;
use embedded_graphics::geometry::OriginDimensions;
use std::time::{Duration, Instant};

/// Where snapshots go: takes a whole PNG, and replaces the one before so that a reader never sees half of it.
type Save = Box<dyn FnMut(&[u8]) -> Result<(), ShowError> + Send>;

/// Saves a frame with its overlay now and then: the first, and then the first after each interval.
pub struct Snapshots {
    every: Duration,
    last: Option<Instant>,
    save: Save,
    canvas: Canvas,
    encoded: Vec<u8>,
}

/// Pictures are enlarged until their short side has this many pixels, so that the text on them can be read.
const SHORT_SIDE: u32 = 240;

/// Pictures are reduced to fit.
const LONGEST: (u32, u32) = (1920, 1920);

impl Snapshots {
    /// Hands a PNG to `save` at most once in `every`.
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
            what: format!("cannot be encoded: {error}"),
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
