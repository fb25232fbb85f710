//! The result for one frame, and the trait of whatever shows it.

use std::io;

/// A class and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction<'a> {
    /// Index of the class in the model.
    pub class: u32,
    /// Name of the class in the model. It may be empty or hold control characters.
    pub label: &'a str,
    /// Probability, 0..1, after smoothing.
    pub probability: f32,
}

/// The result for one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading<'a> {
    /// Sequence number of the frame, from 0. Dropped frames count, so numbers may be missing.
    pub frame: u64,
    /// Name of the model.
    pub model: &'a str,
    /// The most probable classes, most probable first.
    pub top: &'a [Prediction<'a>],
    /// Time from the capture of the frame to its label, in milliseconds.
    pub latency_ms: f32,
    /// The part of the latency in which the frame was converted, resized and classified, in milliseconds.
    pub inference_ms: f32,
    /// Rate of the last frames, in frames per second. It is 0 for the first one.
    pub fps: f32,
    /// Number of frames so far that were dropped because a newer one had arrived.
    pub dropped: u64,
    /// Health of the machine, at most a second old.
    pub health: Health,
}

/// Health of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Health {
    /// Temperature of the processor in degrees Celsius, if the system reports it.
    pub temperature_c: Option<f32>,
    /// Why the processor runs slower than it could, in a word or two, such as `throttled`.
    pub slowed: Option<&'static str>,
}

/// The picture of a frame, as RGB8 rows without gaps. It is converted only for a [`Show`] that wants it.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `[height][width][3]`, R, G, B.
    pub rgb: &'a [u8],
}

/// Shows readings: on a terminal, as JSON lines, on a screen, or in a web preview.
pub trait Show {
    /// Returns whether [`Self::show`] wants the picture of the current frame. Converting it takes time.
    fn wants_picture(&self) -> bool;

    /// Shows a reading, and its picture if it was wanted.
    ///
    /// This runs between two frames, so work that takes longer than a frame belongs on another thread, as in
    /// [`Detached`](crate::display::Detached).
    ///
    /// # Errors
    ///
    /// Returns [`ShowError::Closed`] if the viewer has left, and [`ShowError::Failed`] otherwise. Both end the pipeline.
    /// [`Retrying`](crate::display::Retrying) keeps a failing display from that.
    fn show(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError>;
}

/// Why a reading could not be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShowError {
    /// The viewer has left.
    #[error("the viewer has left")]
    Closed,
    /// The reading could not be shown.
    #[error("{subject}: {what}")]
    Failed {
        /// The device, file or address.
        subject: String,
        /// What is wrong and how to fix it, as `what; remedy`.
        what: String,
    },
}

impl ShowError {
    /// Makes the error for a write to `subject` that failed.
    pub fn writing(subject: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed {
                subject: subject.to_owned(),
                what: format!("cannot be written: {error}; send the output elsewhere"),
            },
        }
    }
}
