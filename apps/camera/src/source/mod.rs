//! Where frames come from: one trait, one file for each kind of source.
//!
//! | module | source | dropped when late |
//! |---|---|---|
//! | `v4l2` | a camera that Linux drives, `/dev/video0` | yes |
//! | `raw` | uncompressed frames one after the other, from a pipe or a file | from a pipe |
//! | `y4m` | YUV4MPEG2, which says itself what its frames are | from a pipe |
//! | `mjpeg` | JPEGs one after the other, with anything between them | from a pipe |
//! | `image_files` | a JPEG or PNG file, or a folder of them | no |
//!
//! [`open`] tells them apart, by the kind of file and by its first bytes.

mod image_files;
mod mjpeg;
mod open;
mod paced;
mod raw;
mod stream;
pub mod v4l2;
mod y4m;

pub use image_files::Pictures;
pub use mjpeg::Mjpeg;
pub use open::{Colours, Container, Wanted, open};
pub use paced::Paced;
pub use raw::Raw;
pub use stream::{Input, Stream};
pub use y4m::Y4m;

use crate::captured::Captured;
use std::time::Duration;

/// Something that frames come from.
pub trait Source: Send {
    /// What it is called in messages.
    fn name(&self) -> &str;

    /// Whether frames come when they come, so that those which nobody has looked at in time are worth nothing.
    fn live(&self) -> bool;

    /// Time from one frame to the next, if the source says: of a file, when it is played as it was recorded.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// Waits for the next frame and writes it into `captured`, whose memory is used again.
    ///
    /// Returns within a fraction of a second after the source was told to stop, and within its timeout when nothing comes.
    ///
    /// # Errors
    ///
    /// If there is nothing more to be had from this source. Damage that it can get over is a [`Delivery::Damaged`].
    fn next(&mut self, captured: &mut Captured) -> Result<Delivery, SourceError>;
}

/// What the sources that read a stream of bytes have in common.
#[derive(Clone, Debug, Default)]
pub struct Kind {
    /// [`Source::name`].
    pub name: String,
    /// [`Source::live`].
    pub live: bool,
    /// [`Source::interval`], unless the stream says it.
    pub interval: Option<Duration>,
    /// For the error.
    pub timeout: Option<Duration>,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A frame.
    Frame,
    /// Something that should have been a frame; why it is none.
    Damaged(String),
    /// Something to tell, such as that a camera is being opened again.
    Note(String),
    /// Nothing any more.
    End,
}

/// Why a source gives nothing more. Displays as `what is wrong; how to mend it`, to follow the source's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It cannot be opened or read.
    #[error("{what}; {remedy}")]
    Unreadable {
        /// What is wrong.
        what: String,
        /// How to mend it.
        remedy: &'static str,
    },
    /// Nothing came for too long.
    #[error("no data for {} s; start or check what feeds it, or allow more with --timeout", .0.as_secs_f32())]
    Stalled(Duration),
    /// It is not what it was taken for, or something that is not read here.
    #[error("{what}; {remedy}")]
    Format {
        /// What is wrong.
        what: String,
        /// How to mend it.
        remedy: &'static str,
    },
}

impl SourceError {
    pub(crate) fn format(what: impl Into<String>, remedy: &'static str) -> Self {
        Self::Format { what: what.into(), remedy }
    }

    /// Of opening or reading.
    fn reading(error: &std::io::Error, timeout: Option<Duration>) -> Self {
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
