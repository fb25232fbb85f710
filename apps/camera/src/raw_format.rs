//! How the bytes of an uncompressed frame are laid out.

use resnext::Frame;
use resnext::preprocess::{FrameError, MAX_FRAME_SIDE, Packed, Plane, Yuv, YuvMatrix, YuvRange};
use std::fmt;
use std::str::FromStr;

/// How the samples of an uncompressed frame follow each other. Planes lie one after the other without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// 4:2:0, luma, then pairs U, V.
    Nv12,
    /// 4:2:0, luma, then pairs V, U.
    Nv21,
    /// 4:2:0, luma, U, V: `yuv420` of libcamera, YU12.
    I420,
    /// 4:2:0, luma, V, U.
    Yv12,
    /// 4:2:2, luma, U, V.
    I422,
    /// 4:4:4, luma, U, V.
    I444,
    /// 4:2:2, bytes Y, U, Y, V.
    Yuyv,
    /// 4:2:2, bytes U, Y, V, Y.
    Uyvy,
    /// Luma alone.
    Grey,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Red, green, blue and a byte that is ignored.
    Rgbx,
    /// Blue, green, red and a byte that is ignored.
    Bgrx,
}

/// Every name of every format, the first of each being the one that it is printed by.
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
    /// The names that formats are printed by.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, names)| names[0])
    }

    /// Bytes of a row of `width` pixels in the first plane, without padding.
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

    /// By any of its names, in any case.
    fn from_str(text: &str) -> Result<Self, ()> {
        let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
        NAMES.iter().find(|(_, names)| is(names)).map(|&(format, _)| format).ok_or(())
    }
}

/// What the bytes of an uncompressed frame mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawFormat {
    /// How samples follow each other.
    pub pixels: PixelFormat,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from one row of the first plane to the next. In the other planes rows are as far apart (NV12, 4:4:4), or half
    /// as far, rounded upwards.
    pub stride: usize,
    /// What the numbers mean; of [`PixelFormat::Grey`] only the range, of RGB nothing.
    pub yuv: Yuv,
}

impl RawFormat {
    /// Rows without padding.
    pub fn tight(pixels: PixelFormat, width: u32, height: u32, yuv: Yuv) -> Self {
        Self { pixels, width, height, stride: pixels.row(width), yuv }
    }

    /// Bytes of the planes, in their order; those that the format lacks are 0.
    fn planes(&self) -> Option<[usize; 3]> {
        let stride = self.stride;
        let (rows, half_rows) = (self.height as usize, self.height.div_ceil(2) as usize);
        let luma = stride.checked_mul(rows)?;
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
            // Pairs are whole where the width is odd.
            PixelFormat::Nv12 | PixelFormat::Nv21 => self.stride.saturating_add(self.stride & 1),
            PixelFormat::I444 => self.stride,
            _ => self.stride.div_ceil(2),
        }
    }

    /// Bytes of a frame; `None` if it has no pixels, a side above [`MAX_FRAME_SIDE`], rows longer than the stride, or more than
    /// [`MAX_FRAME_BYTES`] bytes.
    pub fn frame_len(&self) -> Option<usize> {
        let sides = [self.width, self.height].iter().all(|side| (1..=MAX_FRAME_SIDE).contains(side));
        if !sides || self.stride < self.pixels.row(self.width) {
            return None;
        }
        let [luma, u, v] = self.planes()?;
        luma.checked_add(u)?.checked_add(v).filter(|&len| len <= MAX_FRAME_BYTES)
    }

    /// `bytes`, at least [`Self::frame_len`] of them, as a picture.
    pub(crate) fn frame<'a>(&self, bytes: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        let (width, height, yuv) = (self.width, self.height, self.yuv);
        let [luma, u, v] = self.planes().unwrap_or_default();
        let mut rest = bytes;
        // What is missing is for the frame to find.
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
            // Its bytes have been swapped: see `Captured::filled`.
            PixelFormat::Yuyv | PixelFormat::Uyvy => Frame::yuyv(luma, width, height, yuv),
            PixelFormat::Grey => Frame::grey(luma, width, height, yuv.range),
            PixelFormat::Rgb => Frame::packed(Packed::Rgb, luma, width, height),
            PixelFormat::Bgr => Frame::packed(Packed::Bgr, luma, width, height),
            PixelFormat::Rgbx => Frame::packed(Packed::Rgbx, luma, width, height),
            PixelFormat::Bgrx => Frame::packed(Packed::Bgrx, luma, width, height),
        }
    }
}

/// The most bytes of a frame: 4:4:4 of 8K UHD takes 95 MiB.
pub const MAX_FRAME_BYTES: usize = 256 << 20;

/// RGB pixels in full range; the matrix does not matter.
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
