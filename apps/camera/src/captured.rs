//! Captured frames.

use crate::raw_format::{PixelFormat, RGB, RawFormat};
use resnext::Frame;
use resnext::preprocess::FrameError;
use std::time::Instant;

/// A captured frame. Its memory grows to the largest frame and is reused.
#[derive(Debug)]
pub struct Captured {
    bytes: Vec<u8>,
    format: RawFormat,
    pub(crate) at: Instant,
    pub(crate) number: u64,
    /// Number of frames that the source lost just before this one.
    pub(crate) lost: u64,
}

impl Default for Captured {
    fn default() -> Self {
        let format = RawFormat::tight(PixelFormat::Rgb, 0, 0, RGB);
        Self { bytes: Vec::new(), format, at: Instant::now(), number: 0, lost: 0 }
    }
}

impl Captured {
    /// Returns the bytes of a frame of this format. The source writes them and then calls [`Self::filled`].
    ///
    /// Returns `None` if no frame can have this format, or if there is not enough memory.
    pub fn prepare(&mut self, format: &RawFormat) -> Option<&mut [u8]> {
        let len = format.frame_len()?;
        self.format = *format;
        if self.bytes.len() < len {
            self.bytes.try_reserve_exact(len - self.bytes.len()).ok()?;
            self.bytes.resize(len, 0);
        }
        Some(&mut self.bytes[..len])
    }

    /// Completes the frame after its bytes are written. It was captured at `at`.
    pub fn filled(&mut self, at: Instant) {
        (self.at, self.lost) = (at, 0);
        if self.format.pixels == PixelFormat::Uyvy {
            let len = self.format.frame_len().unwrap_or(0);
            self.bytes[..len].as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.reverse());
        }
    }

    /// Takes a decoded picture as the frame.
    pub(crate) fn take(&mut self, image: resnext_photo::Rgb8Image, at: Instant) {
        self.format = RawFormat::tight(PixelFormat::Rgb, image.width, image.height, RGB);
        self.bytes = image.data;
        (self.at, self.lost) = (at, 0);
    }

    /// Returns the frame.
    ///
    /// # Errors
    ///
    /// Returns an error if there are fewer bytes than the format needs.
    pub fn frame(&self) -> Result<Frame<'_>, FrameError> {
        self.format.frame(&self.bytes)
    }

    /// Returns the layout of the bytes.
    pub fn format(&self) -> &RawFormat {
        &self.format
    }

    /// Returns the bytes of the frame.
    pub fn bytes(&self) -> &[u8] {
        let len = self.format.frame_len().unwrap_or(0);
        &self.bytes[..len.min(self.bytes.len())]
    }

    /// Returns the sequence number, from 0. Lost and dropped frames count.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the time of the capture, as far as the source knows it.
    pub fn at(&self) -> Instant {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw_format::NAMES;
    use resnext::preprocess::{MAX_FRAME_SIDE, Yuv, YuvMatrix, YuvRange};

    const LIMITED: Yuv = Yuv { matrix: YuvMatrix::Bt601, range: YuvRange::Limited };

    #[test]
    fn frames_of_every_format_are_as_long_as_they_are_read() {
        for (pixels, _) in NAMES {
            for (width, height) in [(1, 1), (5, 3), (6, 4), (641, 479)] {
                for (beside, below) in [(0, 0), (1, 0), (7, 0), (0, 1), (0, 6), (3, 5)] {
                    let mut format = RawFormat::tight(pixels, width, height, LIMITED);
                    format.stride += beside;
                    format.rows += below;
                    let mut captured = Captured::default();
                    let len = captured.prepare(&format).unwrap().len();
                    assert_eq!(len, format.frame_len().unwrap());
                    captured.filled(Instant::now());
                    let frame = captured.frame().unwrap();
                    assert_eq!((frame.width(), frame.height()), (width, height));
                }
            }
        }
        let lens = [(PixelFormat::Nv12, 5 * 3 + 6 * 2), (PixelFormat::I420, 5 * 3 + 2 * 3 * 2)];
        for (pixels, len) in lens {
            assert_eq!(RawFormat::tight(pixels, 5, 3, LIMITED).frame_len(), Some(len));
        }
    }

    #[test]
    fn impossible_frames_take_no_memory() {
        let mut captured = Captured::default();
        let sizes = [(0, 3), (3, 0), (MAX_FRAME_SIDE + 1, 1), (u32::MAX, u32::MAX), (60_000, 60_000)];
        for (pixels, _) in NAMES {
            for (width, height) in sizes {
                assert!(captured.prepare(&RawFormat::tight(pixels, width, height, LIMITED)).is_none());
            }
            let narrow = RawFormat { stride: 4, ..RawFormat::tight(pixels, 5, 5, LIMITED) };
            assert!(captured.prepare(&narrow).is_none());
            let endless = RawFormat { stride: usize::MAX, ..narrow };
            assert!(captured.prepare(&endless).is_none());
            let tight = RawFormat::tight(pixels, 5, 5, LIMITED);
            for rows in [0, 4, usize::MAX] {
                assert!(captured.prepare(&RawFormat { rows, ..tight }).is_none(), "{rows} rows");
            }
        }
        assert_eq!(captured.bytes.capacity(), 0);
    }

    #[test]
    fn uyvy_is_yuyv_swapped() {
        let mut captured = Captured::default();
        let format = RawFormat::tight(PixelFormat::Uyvy, 2, 1, LIMITED);
        captured.prepare(&format).unwrap().copy_from_slice(&[1, 2, 3, 4]);
        captured.filled(Instant::now());
        assert_eq!(captured.bytes(), [2, 1, 4, 3]);
    }
}
