//! What a pipeline found out about one frame, and who wants to know.

use std::io;

/// One class of the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess<'a> {
    /// Index of the class in the model.
    pub class: u32,
    /// Name of the class, as the model has it: it may hold control characters, and may be empty.
    pub label: &'a str,
    /// 0..1, after smoothing.
    pub probability: f32,
}

/// What is shown for one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading<'a> {
    /// Sequence number of the frame, from 0. Frames that were dropped count, so that numbers may be missing.
    pub frame: u64,
    /// Name of the model.
    pub model: &'a str,
    /// The most probable classes, most probable first.
    pub top: &'a [Guess<'a>],
    /// From the capture of the frame to its label, in milliseconds.
    pub latency_ms: f32,
    /// The part of it that converting, resizing and running the model took, in milliseconds.
    pub inference_ms: f32,
    /// Frames a second, of the last ones; 0 for the first.
    pub fps: f32,
    /// Frames so far that nobody looked at, because a newer one was there already.
    pub dropped: u64,
    /// What the machine says of itself, a second ago at most.
    pub health: Health,
}

/// What a machine says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Health {
    /// Of the processor, where the system says.
    pub temperature_c: Option<f32>,
    /// Why the processor is slower than it could be, in a word or two, such as `throttled`.
    pub slowed: Option<&'static str>,
}

/// The picture beside a reading, as RGB8 rows without gaps; converted only when somebody wants to look.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `[height][width][3]`, R, G, B.
    pub rgb: &'a [u8],
}

/// Whatever takes readings: a terminal, JSON lines, a screen, a web preview.
pub trait Show {
    /// Whether [`Self::show`] wants the picture of the frame at hand: to convert it takes time.
    fn wants_picture(&self) -> bool;

    /// Shows a reading, and its picture if it was wanted.
    ///
    /// Runs between two frames: what takes longer than a frame belongs on a thread of its own.
    ///
    /// # Errors
    ///
    /// [`ShowError::Closed`] if nobody looks any more, which ends the pipeline without a complaint, and
    /// [`ShowError::Failed`] for all else, which ends it too: what others can do without is wrapped in
    /// [`Retrying`](crate::display::Retrying).
    fn show(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError>;
}

/// Why a reading could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// Whoever was looking has left.
    #[error("nobody is looking any more")]
    Closed,
    /// Anything else.
    #[error("{subject}: {what}")]
    Failed {
        /// The device, file or address it is about.
        subject: String,
        /// What is wrong and how to mend it, as `what; remedy`.
        what: String,
    },
}

impl ShowError {
    /// Of writing to `subject`.
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
