//! What to read from a source.

use crate::raw_format::PixelFormat;
use crate::stop::Stop;
use resnext::preprocess::{Yuv, YuvMatrix, YuvRange};
use std::str::FromStr;
use std::time::Duration;

/// What the frames of a source are packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Nothing: one after the other.
    Raw(PixelFormat),
    /// YUV4MPEG2.
    Y4m,
    /// JPEG each.
    Mjpeg,
}

impl FromStr for Container {
    type Err = ();

    /// `y4m`, `mjpeg`, or the name of a [`PixelFormat`].
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "y4m" => Ok(Self::Y4m),
            "mjpeg" | "mjpg" => Ok(Self::Mjpeg),
            _ => text.parse().map(Self::Raw),
        }
    }
}

/// What the user says about colours; `None` is for the source to say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Colours {
    /// Weights of red, green and blue.
    pub matrix: Option<YuvMatrix>,
    /// Levels.
    pub range: Option<YuvRange>,
}

impl Colours {
    /// With what is usual for frames of that size.
    pub(crate) fn or_usual(self, width: u32, height: u32) -> Yuv {
        Yuv {
            matrix: self.matrix.unwrap_or_else(|| default_matrix(width, height)),
            range: self.range.unwrap_or(YuvRange::Limited),
        }
    }
}

/// BT.709 from 720p on, as libcamera's programs choose it, and BT.601 below.
pub(crate) fn default_matrix(width: u32, height: u32) -> YuvMatrix {
    if width >= 1280 || height >= 720 { YuvMatrix::Bt709 } else { YuvMatrix::Bt601 }
}

/// What the user wants of a source.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// What the frames are packed in; `None` to find out.
    pub container: Option<Container>,
    /// Width and height, which a device may change to what it can do.
    pub size: Option<(u32, u32)>,
    /// Bytes from row to row of raw frames, if there is more than the pixels.
    pub stride: Option<usize>,
    /// Frames a second: to ask of a device, or of a recording that does not say.
    pub rate: Option<f64>,
    /// What the numbers mean.
    pub colours: Colours,
    /// How long nothing may come.
    pub timeout: Duration,
    /// Whether a recording is to be played at its rate, and frames dropped that come too late.
    pub realtime: bool,
    /// Ends the source.
    pub stop: Stop,
}
