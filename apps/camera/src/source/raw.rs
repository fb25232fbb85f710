//! Uncompressed frames one after the other, without anything to tell them apart.

use super::stream::Stream;
use super::{Delivery, Kind, Source, SourceError};
use crate::captured::{Captured, RawFormat};
use std::io::Read;
use std::time::{Duration, Instant};

/// Frames of one size and format.
#[derive(Debug)]
pub struct Raw<R> {
    stream: Stream<R>,
    kind: Kind,
    format: RawFormat,
}

impl<R: Read> Raw<R> {
    /// Frames of `format`.
    ///
    /// # Errors
    ///
    /// If there can be none of that format.
    pub fn new(stream: Stream<R>, kind: Kind, format: RawFormat) -> Result<Self, SourceError> {
        match format.frame_len() {
            Some(_) => Ok(Self { stream, kind, format }),
            None => Err(impossible(&format)),
        }
    }
}

/// No such frame.
pub(super) fn impossible(format: &RawFormat) -> SourceError {
    let RawFormat { pixels, width, height, stride, .. } = format;
    let what = format!("there is no {pixels} frame of {width}x{height} pixels with rows of {stride} bytes");
    SourceError::format(what, "give sides of 1 to 65535, a stride of a row at least, and 256 MiB at most")
}

/// Reads the bytes of one frame that was announced.
pub(super) fn read_frame<R: Read>(
    stream: &mut Stream<R>,
    format: &RawFormat,
    captured: &mut Captured,
    kind: &Kind,
) -> Result<usize, SourceError> {
    let out = captured.prepare(format).ok_or_else(|| impossible(format))?;
    stream.fill(out).map_err(|error| SourceError::reading(&error, kind.timeout))
}

impl<R: Read + Send> Source for Raw<R> {
    fn name(&self) -> &str {
        &self.kind.name
    }

    fn live(&self) -> bool {
        self.kind.live
    }

    fn interval(&self) -> Option<Duration> {
        self.kind.interval
    }

    fn next(&mut self, captured: &mut Captured) -> Result<Delivery, SourceError> {
        // The time of the first byte: waiting for a frame is not part of its latency, reading it is.
        let start = self.stream.peek(1).map(|bytes| (Instant::now(), bytes.is_empty()));
        let (at, ended) = start.map_err(|error| SourceError::reading(&error, self.kind.timeout))?;
        if ended {
            return Ok(Delivery::End);
        }
        let read = read_frame(&mut self.stream, &self.format, captured, &self.kind)?;
        let need = self.format.frame_len().unwrap_or(usize::MAX);
        if read < need {
            let mut what = cut(read, need);
            if !self.kind.live {
                what.push_str("; are --format, --size and --stride right?");
            }
            return Ok(Delivery::Damaged(what));
        }
        captured.filled(at);
        Ok(Delivery::Frame)
    }
}

/// The stream has ended within a frame.
pub(super) fn cut(read: usize, need: usize) -> String {
    format!("ended within a frame, after {read} of its {need} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captured::PixelFormat;
    use resnext::preprocess::{Yuv, YuvMatrix, YuvRange};

    #[test]
    fn frames_follow_each_other_and_the_last_may_be_cut() {
        let yuv = Yuv { matrix: YuvMatrix::Bt709, range: YuvRange::Limited };
        let format = RawFormat { stride: 6, ..RawFormat::tight(PixelFormat::I420, 5, 3, yuv) };
        let bytes: Vec<u8> = (0..2 * 30 + 7).collect();
        let mut raw = Raw::new(Stream::new(bytes.as_slice()), Kind::default(), format).unwrap();
        let mut captured = Captured::default();
        for _ in 0..2 {
            assert_eq!(raw.next(&mut captured), Ok(Delivery::Frame));
            let frame = captured.frame().unwrap();
            assert_eq!((frame.width(), frame.height()), (5, 3));
        }
        assert_eq!(captured.prepare(&format).unwrap()[0], 30, "the second one");
        let end = "ended within a frame, after 7 of its 30 bytes; are --format, --size and --stride right?";
        assert_eq!(raw.next(&mut captured), Ok(Delivery::Damaged(end.to_owned())));
        assert_eq!(raw.next(&mut captured), Ok(Delivery::End));
    }
}
