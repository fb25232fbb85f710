//! Uncompressed frames in sequence, with nothing between them.

use super::frame_source::{Delivery, FrameSource, SourceError, StreamInfo};
use super::stream::Stream;
use crate::captured::Captured;
use crate::raw_format::RawFormat;
use std::io::Read;
use std::time::{Duration, Instant};

/// Reads frames of one size and format.
#[derive(Debug)]
pub struct Raw<R> {
    stream: Stream<R>,
    info: StreamInfo,
    format: RawFormat,
}

impl<R: Read> Raw<R> {
    /// Reads frames of `format` from `stream`.
    ///
    /// # Errors
    ///
    /// Returns an error if no frame can have this format.
    pub fn new(stream: Stream<R>, info: StreamInfo, format: RawFormat) -> Result<Self, SourceError> {
        match format.frame_len() {
            Some(_) => Ok(Self { stream, info, format }),
            None => Err(impossible(&format)),
        }
    }
}

/// Returns the error for a format that no frame can have.
pub(super) fn impossible(format: &RawFormat) -> SourceError {
    let RawFormat { pixels, width, height, stride, .. } = format;
    let what = format!("there is no {pixels} frame of {width}x{height} pixels with rows of {stride} bytes");
    SourceError::format(what, "give sides of 1 to 65535, a stride of at least one row, and at most 256 MiB")
}

/// Reads the bytes of one frame. Returns how many there were.
pub(super) fn read_frame<R: Read>(
    stream: &mut Stream<R>,
    format: &RawFormat,
    captured: &mut Captured,
    info: &StreamInfo,
) -> Result<usize, SourceError> {
    let out = captured.prepare(format).ok_or_else(|| impossible(format))?;
    stream.fill(out).map_err(|error| SourceError::reading(&error, info.timeout))
}

impl<R: Read + Send> FrameSource for Raw<R> {
    fn name(&self) -> &str {
        &self.info.name
    }

    fn live(&self) -> bool {
        self.info.live
    }

    fn interval(&self) -> Option<Duration> {
        self.info.interval
    }

    fn next(&mut self, captured: &mut Captured) -> Result<Delivery, SourceError> {
        // Latency starts with the first byte: reading a frame counts, waiting for it does not.
        let start = self.stream.peek(1).map(|bytes| (Instant::now(), bytes.is_empty()));
        let (at, ended) = start.map_err(|error| SourceError::reading(&error, self.info.timeout))?;
        if ended {
            return Ok(Delivery::End);
        }
        let read = read_frame(&mut self.stream, &self.format, captured, &self.info)?;
        let need = self.format.frame_len().unwrap_or(usize::MAX);
        if read < need {
            let mut what = cut(read, need);
            if !self.info.live {
                what.push_str("; check the format, the size and the stride");
            }
            return Ok(Delivery::Damaged(what));
        }
        captured.filled(at);
        Ok(Delivery::Frame)
    }
}

/// Describes a stream that ends within a frame.
pub(super) fn cut(read: usize, need: usize) -> String {
    format!("ended within a frame, after {read} of its {need} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw_format::PixelFormat;
    use resnext::preprocess::{Yuv, YuvMatrix, YuvRange};

    #[test]
    fn frames_follow_each_other_and_the_last_may_be_cut() {
        let yuv = Yuv { matrix: YuvMatrix::Bt709, range: YuvRange::Limited };
        let format = RawFormat { stride: 6, ..RawFormat::tight(PixelFormat::I420, 5, 3, yuv) };
        let bytes: Vec<u8> = (0..2 * 30 + 7).collect();
        let mut raw = Raw::new(Stream::new(bytes.as_slice()), StreamInfo::default(), format).unwrap();
        let mut captured = Captured::default();
        for _ in 0..2 {
            assert_eq!(raw.next(&mut captured), Ok(Delivery::Frame));
            let frame = captured.frame().unwrap();
            assert_eq!((frame.width(), frame.height()), (5, 3));
        }
        assert_eq!(captured.prepare(&format).unwrap()[0], 30, "the second one");
        let end = "ended within a frame, after 7 of its 30 bytes; check the format, the size and the stride";
        assert_eq!(raw.next(&mut captured), Ok(Delivery::Damaged(end.to_owned())));
        assert_eq!(raw.next(&mut captured), Ok(Delivery::End));
    }
}
