//! Preprocessing outside the arena of the model.

use crate::reading::Picture;
use resnext::preprocess::{PreprocessError, Preprocessing};
use resnext::{Frame, RunError, Runner};

/// Memory to preprocess frames in that are too large for the model's arena, which is idle while the runtime does it there.
#[derive(Default)]
struct Spare {
    scratch: Vec<u8>,
    pixels: Vec<u8>,
}

impl Spare {
    fn infer(
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

/// Runs `preprocessing`, in memory that grows to what the frame needs.
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

/// The picture as somebody wants to see it.
#[derive(Default)]
struct View {
    scratch: Vec<u8>,
    rgb: Vec<u8>,
}

impl View {
    fn of(&mut self, frame: &Frame<'_>) -> Result<Picture<'_>, RunError> {
        let (width, height) = (frame.width(), frame.height());
        // A resizing to the size that it has leaves every pixel as it is.
        let preprocessing = Preprocessing {
            crop_height: height,
            crop_width: width,
            ..Preprocessing::imagenet(width, width.min(height))
        };
        crop(&preprocessing, frame, &mut self.scratch, &mut self.rgb)?;
        Ok(Picture { width, height, rgb: &self.rgb })
    }
}
