//! How the bytes of an uncompressed frame are laid out.

use resnext::Frame;
use resnext::preprocess::{FrameError, MAX_FRAME_SIDE, Packed, Plane, Yuv, YuvMatrix, YuvRange};
use std::fmt;
use std::str::FromStr;

/// The order of the samples of an uncompressed frame. Planes follow each other without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// 4:2:0: a plane of luma and a plane of pairs U, V.
    Nv12,
    /// 4:2:0: a plane of luma and a plane of pairs V, U.
    Nv21,
    /// 4:2:0: planes of luma, U and V. libcamera calls it `yuv420`, V4L2 YU12.
    I420,
    /// 4:2:0: planes of luma, V and U.
    Yv12,
    /// 4:2:2: planes of luma, U and V.
    I422,
    /// 4:4:4: planes of luma, U and V.
    I444,
    /// 4:2:2: bytes Y, U, Y, V.
    Yuyv,
    /// 4:2:2: bytes U, Y, V, Y.
    Uyvy,
    /// Luma only.
    Grey,
    /// Bytes red, green, blue.
    Rgb,
    /// Bytes blue, green, red.
    Bgr,
    /// Bytes red, green, blue, and one that is ignored.
    Rgbx,
    /// Bytes blue, green, red, and one that is ignored.
    Bgrx,
}

/// All names of all formats. A format prints as its first name.
pub(crate) const NAMES: [(PixelFormat, &[&str]); 13] = [
    (PixelFormat::Nv12, &["nv12"]),
    (PixelFormat::Nv21, &["nv21"]),
    (PixelFormat::I420, &["yuv420", "yuv420p", "i420", "yu12"]),
    (PixelFormat::Yv12, &["yv12"]),
    (PixelFormat::I422, &["yuv422p", "i422"]),
    (PixelFormat::I444, &["yuv444p", "i444"]),
    (PixelFormat::Yuyv, &["yuyv", "yuyv422", "yuy2"]),
    (PixelFormat::Uyvy, &["uyvy", "uyvy422"]),
    (PixelFormat::Grey, &["grey", "gray"]),
    (PixelFormat::Rgb, &["rgb24", "rgb"]),
    (PixelFormat::Bgr, &["bgr24", "bgr"]),
    (PixelFormat::Rgbx, &["rgb0", "rgbx"]),
    (PixelFormat::Bgrx, &["bgr0", "bgrx"]),
];

impl PixelFormat {
    /// Returns the first name of each format.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, names)| names[0])
    }

    /// Returns the bytes of a row of `width` pixels in the first plane, without padding.
    fn row(self, width: u32) -> usize {
        let width = width as usize;
        match self {
            Self::Nv12 | Self::Nv21 | Self::I420 | Self::Yv12 | Self::I422 | Self::I444 | Self::Grey => width,
            Self::Yuyv | Self::Uyvy => width.div_ceil(2) * 4,
            Self::Rgb | Self::Bgr => width * 3,
            Self::Rgbx | Self::Bgrx => width * 4,
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(format, _)| format == self).map_or("", |(_, names)| names[0]);
        f.write_str(name)
    }
}

impl FromStr for PixelFormat {
    type Err = ();

    /// Parses any name of a format, in any case.
    fn from_str(text: &str) -> Result<Self, ()> {
        let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
        NAMES.iter().find(|(_, names)| is(names)).map(|&(format, _)| format).ok_or(())
    }
}

/// The layout of an uncompressed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawFormat {
    /// The order of the samples.
    pub pixels: PixelFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from one row of the first plane to the next. The other planes have the same stride (NV12, 4:4:4), or half of it,
    /// rounded up.
    pub stride: usize,
    /// Rows of the first plane in memory, at least the height. The chroma planes of 4:2:0 have half as many, rounded up, and those
    /// of other formats as many. Hardware decoders pad planes below to a multiple of 16 or 64 rows.
    pub rows: usize,
    /// The colours of YUV. For [`PixelFormat::Grey`] only the range matters, for RGB nothing.
    pub yuv: Yuv,
}

impl RawFormat {
    /// Describes frames without padding beside or below them.
    pub fn tight(pixels: PixelFormat, width: u32, height: u32, yuv: Yuv) -> Self {
        Self { pixels, width, height, stride: pixels.row(width), rows: height as usize, yuv }
    }

    /// Returns the bytes of each plane, 0 for planes that the format lacks.
    fn planes(&self) -> Option<[usize; 3]> {
        let (rows, half_rows) = (self.rows, self.rows.div_ceil(2));
        let luma = self.stride.checked_mul(rows)?;
        let chroma = match self.pixels {
            PixelFormat::Nv12 | PixelFormat::Nv21 => [self.chroma_stride().checked_mul(half_rows)?, 0],
            PixelFormat::I420 | PixelFormat::Yv12 => [self.chroma_stride().checked_mul(half_rows)?; 2],
            PixelFormat::I422 => [self.chroma_stride().checked_mul(rows)?; 2],
            PixelFormat::I444 => [luma; 2],
            _ => [0; 2],
        };
        Some([luma, chroma[0], chroma[1]])
    }

    fn chroma_stride(&self) -> usize {
        match self.pixels {
            // For an odd width, the last pair is still complete.
            PixelFormat::Nv12 | PixelFormat::Nv21 => self.stride.saturating_add(self.stride & 1),
            PixelFormat::I444 => self.stride,
            _ => self.stride.div_ceil(2),
        }
    }

    /// Returns the bytes of a frame. Returns `None` if it has no pixels, a side above the limit of the runtime, rows longer than
    /// the stride, more rows than its planes, or more than [`MAX_FRAME_BYTES`] bytes.
    pub fn frame_len(&self) -> Option<usize> {
        let sides = [self.width, self.height].iter().all(|side| (1..=MAX_FRAME_SIDE).contains(side));
        if !sides || self.stride < self.pixels.row(self.width) || self.rows < self.height as usize {
            return None;
        }
        let [luma, u, v] = self.planes()?;
        luma.checked_add(u)?.checked_add(v).filter(|&len| len <= MAX_FRAME_BYTES)
    }

    /// Returns the frame in `bytes`, which are at least [`Self::frame_len`].
    pub(crate) fn frame<'a>(&self, bytes: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        let (width, height, yuv) = (self.width, self.height, self.yuv);
        let [luma, u, v] = self.planes().unwrap_or_default();
        let mut rest = bytes;
        // `Frame` reports missing bytes.
        let mut take = |len: usize| rest.split_off(..len.min(rest.len())).unwrap_or_default();
        let luma = Plane::new(take(luma), self.stride);
        let u = Plane::new(take(u), self.chroma_stride());
        let v = Plane::new(take(v), self.chroma_stride());
        match self.pixels {
            PixelFormat::Nv12 => Frame::nv12(luma, u, width, height, yuv),
            PixelFormat::Nv21 => Frame::nv21(luma, u, width, height, yuv),
            PixelFormat::I420 => Frame::i420([luma, u, v], width, height, yuv),
            PixelFormat::Yv12 => Frame::i420([luma, v, u], width, height, yuv),
            PixelFormat::I422 => Frame::i422([luma, u, v], width, height, yuv),
            PixelFormat::I444 => Frame::i444([luma, u, v], width, height, yuv),
            // `Captured::filled` has swapped the bytes.
            PixelFormat::Yuyv | PixelFormat::Uyvy => Frame::yuyv(luma, width, height, yuv),
            PixelFormat::Grey => Frame::grey(luma, width, height, yuv.range),
            PixelFormat::Rgb => Frame::packed(Packed::Rgb, luma, width, height),
            PixelFormat::Bgr => Frame::packed(Packed::Bgr, luma, width, height),
            PixelFormat::Rgbx => Frame::packed(Packed::Rgbx, luma, width, height),
            PixelFormat::Bgrx => Frame::packed(Packed::Bgrx, luma, width, height),
        }
    }
}

/// The most bytes of a frame. 4:4:4 of 8K UHD takes 95 MiB.
pub const MAX_FRAME_BYTES: usize = 256 << 20;

/// The colours of RGB frames. The matrix does not matter.
pub(crate) const RGB: Yuv = Yuv { matrix: YuvMatrix::Bt601, range: YuvRange::Full };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_and_printed() {
        for (format, names) in NAMES {
            for name in names {
                assert_eq!(name.parse(), Ok(format));
                assert_eq!(name.to_uppercase().parse(), Ok(format));
            }
            assert_eq!(format.to_string(), names[0]);
        }
        assert_eq!("h264".parse::<PixelFormat>(), Err(()));
    }
}
