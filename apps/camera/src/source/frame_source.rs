//! The trait of all sources of frames.

use super::signature::Content;
use crate::captured::Captured;
use std::time::Duration;

/// Delivers frames.
pub trait FrameSource: Send {
    /// Returns the name for messages.
    fn name(&self) -> &str;

    /// Returns whether frames arrive in real time, so that a late frame is worthless.
    fn live(&self) -> bool;

    /// Returns the time from one frame to the next, if the source states it.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// Waits for the next frame and writes it into `captured`, whose memory it reuses.
    ///
    /// Returns within a fraction of a second after the source is told to stop, and within its timeout if no data arrives.
    ///
    /// # Errors
    ///
    /// Returns an error if the source cannot deliver any more frames. Damage after which it can continue is a
    /// [`Delivery::Damaged`].
    fn next(&mut self, captured: &mut Captured) -> Result<Delivery, SourceError>;
}

/// The properties of a stream of bytes.
#[derive(Clone, Debug, Default)]
pub struct StreamInfo {
    /// See [`FrameSource::name`].
    pub name: String,
    /// See [`FrameSource::live`].
    pub live: bool,
    /// See [`FrameSource::interval`]. A stream that states its interval overrides this one.
    pub interval: Option<Duration>,
    /// How long the stream may stay silent.
    pub timeout: Option<Duration>,
    /// Number of bytes, if the stream is a file.
    pub bytes: Option<u64>,
}

/// What a source delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A frame.
    Frame,
    /// A damaged frame. Holds what is wrong with it.
    Damaged(String),
    /// News of the source, such as that a camera is being reopened.
    Note(String),
    /// The end.
    End,
}

/// Why a source delivers no more frames. Displays as `what is wrong; how to fix it`, to follow the name of the source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The source cannot be opened or read.
    #[error("{what}; {remedy}")]
    Unreadable {
        /// What is wrong.
        what: String,
        /// How to fix it.
        remedy: &'static str,
    },
    /// No data arrived within the timeout.
    #[error("no data for {} s; start or check the program that feeds it, or allow a longer timeout", .0.as_secs_f32())]
    Stalled(Duration),
    /// The content has another format than expected, or one that is not supported.
    #[error("{what}; {remedy}")]
    Format {
        /// What is wrong.
        what: String,
        /// How to fix it.
        remedy: &'static str,
    },
    /// The device is no camera. Holds what is wrong. [`v4l2::list`](super::v4l2::list) lists cameras.
    #[error("{0}; give the device of a camera that is listed")]
    NotACamera(String),
    /// The stream states another size than [`SourceOptions`](super::SourceOptions) ask for.
    #[error(
        "has frames of {}x{} pixels, not of {}x{}; leave out the size, which the stream states",
        .stated.0, .stated.1, .asked.0, .asked.1
    )]
    OtherSize {
        /// Width and height that the stream states.
        stated: (u32, u32),
        /// Width and height that the options ask for.
        asked: (u32, u32),
    },
    /// The source delivers raw frames, whose size [`SourceOptions`](super::SourceOptions) must state.
    #[error("raw frames have no size of their own; give it, such as 1280x720")]
    UnknownSize,
    /// The content is in no format that is recognised. It may be raw frames.
    #[error("is neither YUV4MPEG2, JPEG nor PNG; if it is uncompressed frames, state their format and size")]
    UnknownFormat,
    /// The content is recognised, and is not what can be read, such as compressed video.
    #[error("{0}")]
    Encoded(Content),
    /// The source is an address on the network, such as a URL.
    #[error(
        "addresses are not read; let another program fetch and decode it, such as ffmpeg, and read its output from a pipe"
    )]
    Address,
    /// There is no such file, and the name looks like that of this camera.
    #[error("no such file; a camera is named by its device, such as {0}")]
    NoSuchCamera(String),
}

impl SourceError {
    /// Makes a [`Format`](Self::Format).
    pub(crate) fn format(what: impl Into<String>, remedy: &'static str) -> Self {
        Self::Format { what: what.into(), remedy }
    }

    /// Makes the error for an input that cannot be opened or read.
    pub(super) fn reading(error: &std::io::Error, timeout: Option<Duration>) -> Self {
        use std::io::ErrorKind;
        let (what, remedy) = match (error.kind(), timeout) {
            (ErrorKind::TimedOut, Some(timeout)) => return Self::Stalled(timeout),
            (ErrorKind::NotFound, _) => (
                "no such file or device".to_owned(),
                "give a device, a file, a folder or - for standard input",
            ),
            (ErrorKind::PermissionDenied, _) => {
                ("permission denied".to_owned(), "make it readable (chmod +r)")
            }
            _ => (format!("cannot be read: {error}"), "check the device or file"),
        };
        Self::Unreadable { what, remedy }
    }
}
