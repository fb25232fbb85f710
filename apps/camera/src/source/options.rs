//! What to read from a source.

use crate::raw_format::PixelFormat;
use crate::stop::Stop;
use resnext::preprocess::{Yuv, YuvMatrix, YuvRange};
use resnext_photo::Exif;
use std::str::FromStr;
use std::time::Duration;

/// The container of the frames of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Container {
    /// No container: raw frames in sequence.
    Raw(PixelFormat),
    /// YUV4MPEG2.
    Y4m,
    /// A JPEG for each frame.
    Mjpeg,
}

impl FromStr for Container {
    type Err = ();

    /// Parses `y4m`, `mjpeg`, or the name of a [`PixelFormat`].
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "y4m" => Ok(Self::Y4m),
            "mjpeg" | "mjpg" => Ok(Self::Mjpeg),
            _ => text.parse().map(Self::Raw),
        }
    }
}

/// The colours of YUV frames. Where a field is `None`, the source decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Colours {
    /// The weights of red, green and blue.
    pub matrix: Option<YuvMatrix>,
    /// The range of the levels.
    pub range: Option<YuvRange>,
}

impl Colours {
    /// Fills in the usual values for frames of this size.
    pub(crate) fn or_default(self, width: u32, height: u32) -> Yuv {
        Yuv {
            matrix: self.matrix.unwrap_or_else(|| default_matrix(width, height)),
            range: self.range.unwrap_or(YuvRange::Limited),
        }
    }
}

/// Returns BT.709 from 720p on, as the programs of libcamera do, and BT.601 below.
pub(crate) fn default_matrix(width: u32, height: u32) -> YuvMatrix {
    if width >= 1280 || height >= 720 { YuvMatrix::Bt709 } else { YuvMatrix::Bt601 }
}

/// What to read from a source, and how.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The container. If it is `None`, the content decides.
    pub container: Option<Container>,
    /// Width and height. A device may choose other ones that it supports.
    pub size: Option<(u32, u32)>,
    /// Bytes from one row of a raw frame to the next, if rows are padded.
    pub stride: Option<usize>,
    /// Rows of the first plane of a raw frame in memory, if planes are padded below.
    pub rows: Option<usize>,
    /// Frames per second: a request to a device, or the rate of a recording that states none.
    pub rate: Option<f64>,
    /// The colours of YUV frames.
    pub colours: Colours,
    /// What becomes of the EXIF orientation of image files.
    pub exif: Exif,
    /// How long a source may stay silent.
    pub timeout: Duration,
    /// Whether to play a recording at its rate and drop late frames.
    pub realtime: bool,
    /// Stops the source.
    pub stop: Stop,
}
