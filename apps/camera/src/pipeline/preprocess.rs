//! Preprocessing outside the arena of the model.

use crate::reading::Picture;
use resnext::preprocess::{PreprocessError, Preprocessing};
use resnext::{Frame, RunError, Runner};

/// Preprocesses frames that are too large for the arena of the model, in which the runtime preprocesses other frames.
#[derive(Default)]
pub(super) struct Preprocessor {
    scratch: Vec<u8>,
    pixels: Vec<u8>,
}

impl Preprocessor {
    /// Runs the model on a frame.
    pub(super) fn infer(
        &mut self,
        runner: &mut Runner<'_>,
        frame: &Frame<'_>,
        logits: &mut [f32],
    ) -> Result<(), RunError> {
        match runner.load_frame(frame) {
            Err(RunError::Preprocess(PreprocessError::Scratch { .. })) => {
                let preprocessing = *runner.model().preprocessing();
                crop(&preprocessing, frame, &mut self.scratch, &mut self.pixels)?;
                runner.load_pixels(&self.pixels)?;
            }
            loaded => loaded?,
        }
        runner.infer(logits)
    }
}

/// Resizes and crops a frame. The memory grows to what the frame needs.
fn crop(
    preprocessing: &Preprocessing,
    frame: &Frame<'_>,
    scratch: &mut Vec<u8>,
    pixels: &mut Vec<u8>,
) -> Result<(), PreprocessError> {
    let need = preprocessing.scratch_len(frame.width(), frame.height()).unwrap_or(0);
    scratch.resize(need.max(scratch.len()), 0);
    pixels.clear();
    preprocessing.run(frame, scratch, |_, row| pixels.extend_from_slice(row))
}

/// Converts frames to pictures for displays.
#[derive(Default)]
pub(super) struct PictureConverter {
    scratch: Vec<u8>,
    rgb: Vec<u8>,
}

impl PictureConverter {
    /// Converts a frame to RGB.
    pub(super) fn convert(&mut self, frame: &Frame<'_>) -> Result<Picture<'_>, RunError> {
        let (width, height) = (frame.width(), frame.height());
        // Resizing a frame to its own size changes no pixel.
        let preprocessing = Preprocessing {
            crop_height: height,
            crop_width: width,
            ..Preprocessing::imagenet(width, width.min(height))
        };
        crop(&preprocessing, frame, &mut self.scratch, &mut self.rgb)?;
        Ok(Picture { width, height, rgb: &self.rgb })
    }
}
