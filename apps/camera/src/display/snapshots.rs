//! Saves frames as PNG or JPEG files.

use super::canvas::Canvas;
use super::jpeg;
use crate::reading::{Picture, Reading, Show, ShowError};
use core::fmt;
use embedded_graphics::geometry::OriginDimensions;
use std::time::{Duration, Instant};

/// Saves a picture. It must replace the previous one at once, so that a reader never sees half a file.
type Save = Box<dyn FnMut(&[u8]) -> Result<(), ShowError> + Send>;

/// The file format of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFormat {
    /// PNG, without loss.
    Png,
    /// JPEG, of a tenth of the size.
    Jpeg,
}

/// Saves the first frame with its overlay, and then the first frame after each interval.
pub struct Snapshots {
    every: Duration,
    format: SnapshotFormat,
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
    /// Passes a file of this `format` to `save` once in each interval `every`.
    pub fn new(
        every: Duration,
        format: SnapshotFormat,
        save: impl FnMut(&[u8]) -> Result<(), ShowError> + Send + 'static,
    ) -> Self {
        let save = Box::new(save);
        Self { every, format, last: None, save, canvas: Canvas::new(1, 1), encoded: Vec::new() }
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
        let failed = |error: &dyn fmt::Display| ShowError::Failed {
            subject: "snapshot".to_owned(),
            what: format!("cannot be encoded: {error}; use smaller frames"),
        };
        self.encoded.clear();
        match self.format {
            SnapshotFormat::Png => {
                encode(&self.canvas, &mut self.encoded).map_err(|error| failed(&error))?;
            }
            SnapshotFormat::Jpeg => {
                self.encoded =
                    jpeg::encode(&self.canvas, jpeg::FOR_KEEPING).map_err(|error| failed(&error))?;
            }
        }
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
