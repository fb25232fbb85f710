//! Uncompressed frames in sequence, with nothing between them.

use super::frame_source::{Delivery, FrameSource, SourceError, StreamInfo};
use super::padding::{self, PaddingWatch};
use super::signature::{Certainty, SEARCHED, recognise};
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
    watch: PaddingWatch,
    /// Bytes read so far.
    read: u64,
    /// What to say before the next frame.
    note: Option<String>,
    /// Whether it has been said how the frames are padded.
    told: bool,
}

/// The bytes of the first frame in which encoded video is looked for. H.264 may be joined at any point, and states what it is
/// about once a second.
const MAX_SEARCHED: usize = 1 << 20;

impl<R: Read> Raw<R> {
    /// Reads frames of `format` from `stream`.
    ///
    /// # Errors
    ///
    /// Returns an error if no frame can have this format.
    pub fn new(stream: Stream<R>, info: StreamInfo, format: RawFormat) -> Result<Self, SourceError> {
        let len = format.frame_len().ok_or_else(|| impossible(&format))? as u64;
        let partial = info.bytes.filter(|bytes| *bytes > len && !bytes.is_multiple_of(len));
        let note = partial.map(|bytes| {
            format!(
                "its {bytes} bytes are no whole number of frames of {len} bytes{}",
                advice(&format, bytes)
            )
        });
        let told = partial.is_some_and(|bytes| padding::fitting(&format, bytes).is_some());
        Ok(Self { stream, info, format, watch: PaddingWatch::new(&format), read: 0, note, told })
    }
}

/// Returns an error if a stream that is said to be frames begins as something else.
fn refuse_encoded(start: &[u8]) -> Result<(), SourceError> {
    recognise(start, Certainty::AmongFrames).map_or(Ok(()), |content| Err(SourceError::Encoded(content)))
}

/// Returns what to do about `bytes` that are no whole number of frames.
fn advice(format: &RawFormat, bytes: u64) -> String {
    match padding::fitting(format, bytes) {
        Some(padding) => format!("; planes may be padded, and they would be with {padding}"),
        None => "; check the format, the size, the stride and the rows".to_owned(),
    }
}

/// Returns the error for a format that no frame can have.
pub(super) fn impossible(format: &RawFormat) -> SourceError {
    let RawFormat { pixels, width, height, stride, rows, .. } = format;
    let what =
        format!("there is no {pixels} frame of {width}x{height} pixels in {rows} rows of {stride} bytes");
    let remedy = "give sides of 1 to 65535, a stride of at least one row, at least as many rows as the height, and at most \
                  256 MiB";
    SourceError::format(what, remedy)
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
        if let Some(note) = self.note.take() {
            if self.read == 0 {
                // A file that is no frames at all is not worth a remark on their number.
                let start = self.stream.peek(SEARCHED);
                let start = start.map_err(|error| SourceError::reading(&error, self.info.timeout))?;
                refuse_encoded(start)?;
            }
            return Ok(Delivery::Note(note));
        }
        // Latency starts with the first byte: reading a frame counts, waiting for it does not.
        let start = self.stream.peek(1).map(|bytes| (Instant::now(), bytes.is_empty()));
        let (at, ended) = start.map_err(|error| SourceError::reading(&error, self.info.timeout))?;
        if ended {
            return Ok(Delivery::End);
        }
        let read = read_frame(&mut self.stream, &self.format, captured, &self.info)?;
        let need = self.format.frame_len().unwrap_or(usize::MAX);
        if self.read == 0 {
            refuse_encoded(&captured.bytes()[..read.min(MAX_SEARCHED)])?;
        }
        self.read += read as u64;
        if read < need {
            let mut what = cut(read, need);
            // A longer file was remarked on at its start. Whoever feeds a pipe is often stopped within a frame, so a pipe is
            // remarked on only if padding would explain it.
            if self.info.live
                && !self.told
                && self.read > need as u64
                && padding::fitting(&self.format, self.read).is_some()
                || !self.info.live && self.read < need as u64
            {
                what.push_str(&advice(&self.format, self.read));
            }
            return Ok(Delivery::Damaged(what));
        }
        let padded = self.watch.next(captured.bytes()).filter(|_| !self.told);
        if let Some((distance, padding)) = padded {
            self.told = true;
            self.note = Some(format!(
                "frames are {distance} bytes apart and not {need}, so each is read further from where it begins; state their \
                 padding ({padding})"
            ));
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
        let end = "ended within a frame, after 7 of its 30 bytes";
        assert_eq!(raw.next(&mut captured), Ok(Delivery::Damaged(end.to_owned())));
        assert_eq!(raw.next(&mut captured), Ok(Delivery::End));
    }

    #[test]
    fn bytes_that_are_no_whole_number_of_frames_are_told_first() {
        let yuv = Yuv { matrix: YuvMatrix::Bt709, range: YuvRange::Limited };
        let format = RawFormat::tight(PixelFormat::Nv12, 98, 74, yuv);
        let bytes: Vec<u8> = (0..2 * 98 * 120u32).map(|i| (i * i % 251) as u8).collect();
        let read = |bytes: &[u8], live: bool| {
            let info =
                StreamInfo { live, bytes: (!live).then_some(bytes.len() as u64), ..StreamInfo::default() };
            let mut raw = Raw::new(Stream::new(bytes), info, format).unwrap();
            let mut captured = Captured::default();
            let mut said = Vec::new();
            loop {
                match raw.next(&mut captured).unwrap() {
                    Delivery::Frame => said.push("frame".to_owned()),
                    Delivery::Damaged(what) | Delivery::Note(what) => said.push(what),
                    Delivery::End => return said,
                }
            }
        };
        let cut = "ended within a frame, after 1764 of its 10878 bytes";
        let whole = "; planes may be padded, and they would be with rows 80";
        let first = format!("its 23520 bytes are no whole number of frames of 10878 bytes{whole}");
        assert_eq!(read(&bytes, false), [first.as_str(), "frame", "frame", cut]);
        assert_eq!(read(&bytes, true), ["frame", "frame", &format!("{cut}{whole}")]);
        // Half a frame says nothing about the others.
        assert_eq!(
            read(&bytes[..10878 + 5000], true),
            ["frame", "ended within a frame, after 5000 of its 10878 bytes"]
        );
        let short = read(&bytes[..77], false);
        assert_eq!(
            short,
            [
                "ended within a frame, after 77 of its 10878 bytes; check the format, the size, the stride and the rows"
            ]
        );
    }
}
