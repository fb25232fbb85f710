//! YUV4MPEG2, which `ffmpeg` writes as `.y4m`: a line of text, and frames with a short line before each.
//!
//! The format is defined by `yuv4mpeg(5)` of mjpegtools, and `XCOLORRANGE` by ffmpeg. This is our own reader, because the crate
//! `y4m` copies every frame once more, reports neither range nor interlacing, and takes a cut frame for the end of the file.

use super::frame_source::{Delivery, FrameSource, SourceError, StreamInfo};
use super::options::{Colours, default_matrix};
use super::raw::{cut, impossible, read_frame};
use super::signature::{Certainty, SEARCHED, recognise};
use super::stream::Stream;
use crate::captured::Captured;
use crate::raw_format::{PixelFormat, RawFormat};
use resnext::preprocess::{Yuv, YuvRange};
use std::io::Read;
use std::time::{Duration, Instant};

/// The start of every file.
pub(super) const MAGIC: &[u8] = b"YUV4MPEG2 ";

/// The start of the line before every frame.
const FRAME: &[u8] = b"FRAME";

/// Bytes of the longest line that is read.
const MAX_LINE: usize = 1024;

/// Reads the frames of a YUV4MPEG2 stream.
#[derive(Debug)]
pub struct Y4m<R> {
    stream: Stream<R>,
    info: StreamInfo,
    format: RawFormat,
    frame: u64,
}

impl<R: Read> Y4m<R> {
    /// Reads the first line of `stream`. `colours` override what it states.
    ///
    /// # Errors
    ///
    /// Returns an error if the stream is no YUV4MPEG2, ends within its first line, or is in a format that is not supported:
    /// interlaced video, 4:1:1, transparency, or more than 8 bits per sample.
    pub fn new(mut stream: Stream<R>, mut info: StreamInfo, colours: Colours) -> Result<Self, SourceError> {
        let remedy = "give a YUV4MPEG2 stream, such as `ffmpeg -i IN -pix_fmt yuv420p OUT.y4m` writes";
        let line = take_line(&mut stream, &info)?;
        let Some(words) = line.strip_prefix(MAGIC) else {
            // If no more bytes arrive, those that did must do.
            let _ = stream.peek(SEARCHED);
            let start = [&line[..], stream.buffered()].concat();
            let content = recognise(&start, Certainty::Unreadable);
            return Err(content.map_or(SourceError::format("is not YUV4MPEG2", remedy), SourceError::Encoded));
        };
        let words = words
            .strip_suffix(b"\n")
            .ok_or_else(|| SourceError::format("does not end its first line", "make the file again"))?;
        let header = Header::parse(words)?;
        let matrix = colours.matrix.unwrap_or_else(|| default_matrix(header.width, header.height));
        let yuv = Yuv { matrix, range: colours.range.unwrap_or(header.range) };
        let format = RawFormat::tight(header.pixels, header.width, header.height, yuv);
        if format.frame_len().is_none() {
            return Err(impossible(&format));
        }
        info.interval = header.interval.or(info.interval);
        Ok(Self { stream, info, format, frame: 0 })
    }

    /// Returns the width and the height of the frames.
    pub fn size(&self) -> (u32, u32) {
        (self.format.width, self.format.height)
    }
}

impl<R: Read + Send> FrameSource for Y4m<R> {
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
        let start = self.stream.peek(1).map(|bytes| (Instant::now(), bytes.is_empty()));
        let (at, ended) = start.map_err(|error| SourceError::reading(&error, self.info.timeout))?;
        if ended {
            return Ok(Delivery::End);
        }
        skip_frame_line(&mut self.stream, &self.info, self.frame)?;
        self.frame += 1;
        let read = read_frame(&mut self.stream, &self.format, captured, &self.info)?;
        let need = self.format.frame_len().unwrap_or(usize::MAX);
        if read < need {
            return Ok(Delivery::Damaged(cut(read, need)));
        }
        captured.filled(at);
        Ok(Delivery::Frame)
    }
}

/// Takes the next line with its line break. If there is none within [`MAX_LINE`] bytes, takes these bytes.
fn take_line<R: Read>(stream: &mut Stream<R>, info: &StreamInfo) -> Result<Vec<u8>, SourceError> {
    let mut line = Vec::new();
    while let [byte] = *stream.peek(1).map_err(|error| SourceError::reading(&error, info.timeout))? {
        std::io::BufRead::consume(stream, 1);
        line.push(byte);
        if byte == b'\n' || line.len() == MAX_LINE {
            break;
        }
    }
    Ok(line)
}

/// Takes the line before a frame: `FRAME`, parameters, which do not matter here, and the line break. Allocates nothing.
fn skip_frame_line<R: Read>(
    stream: &mut Stream<R>,
    info: &StreamInfo,
    frame: u64,
) -> Result<(), SourceError> {
    let damaged = || {
        let what = format!(
            "frame {frame} does not start as one; what comes before it is damaged or of another size"
        );
        SourceError::format(what, "make the file again")
    };
    // Peeks byte by byte. Waiting for more bytes than the line has would mean waiting for the next frame.
    for len in FRAME.len() + 1..MAX_LINE {
        let ahead = stream.peek(len).map_err(|error| SourceError::reading(&error, info.timeout))?;
        if !ahead.starts_with(FRAME) || ahead.len() < len {
            return Err(damaged());
        }
        if ahead.ends_with(b"\n") {
            std::io::BufRead::consume(stream, len);
            return Ok(());
        }
    }
    Err(damaged())
}

struct Header {
    pixels: PixelFormat,
    width: u32,
    height: u32,
    range: YuvRange,
    interval: Option<Duration>,
}

impl Header {
    fn parse(words: &[u8]) -> Result<Self, SourceError> {
        let mut header =
            Self { pixels: PixelFormat::I420, width: 0, height: 0, range: YuvRange::Limited, interval: None };
        for word in words.split(|&byte| byte == b' ') {
            let Some((&key, value)) = word.split_first() else { continue };
            let value = str::from_utf8(value).unwrap_or_default();
            match key {
                b'W' => header.width = value.parse().unwrap_or(0),
                b'H' => header.height = value.parse().unwrap_or(0),
                b'F' => header.interval = interval(value),
                b'C' => (header.pixels, header.range) = colours(value, header.range)?,
                b'I' if !matches!(value, "p" | "?" | "") => {
                    let remedy = "deinterlace it, such as with `ffmpeg -i IN -vf yadif OUT.y4m`";
                    return Err(SourceError::format("is interlaced, which is not supported", remedy));
                }
                b'X' if value == "COLORRANGE=FULL" => header.range = YuvRange::Full,
                b'X' if value == "COLORRANGE=LIMITED" => header.range = YuvRange::Limited,
                _ => {}
            }
        }
        if header.width == 0 || header.height == 0 {
            let what = "does not say how wide and high its frames are";
            return Err(SourceError::format(what, "make the file again"));
        }
        Ok(header)
    }
}

/// Returns the pixel format of a `C` parameter, and the range, which some writers imply by it.
fn colours(value: &str, range: YuvRange) -> Result<(PixelFormat, YuvRange), SourceError> {
    Ok(match value {
        // These differ in the position of chroma between the pixels, by less than matters to samples that are replicated.
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => (PixelFormat::I420, range),
        "422" => (PixelFormat::I422, range),
        "444" => (PixelFormat::I444, range),
        "mono" => (PixelFormat::Grey, range),
        _ => {
            let what = format!("has frames of the kind {value:?}, which is not supported");
            return Err(SourceError::format(
                what,
                "convert it, such as with `ffmpeg -i IN -pix_fmt yuv420p OUT.y4m`",
            ));
        }
    })
}

/// Returns the interval of a rate such as `30000:1001`.
fn interval(value: &str) -> Option<Duration> {
    let (frames, seconds) = value.split_once(':')?;
    let (frames, seconds): (u32, u32) = (frames.parse().ok()?, seconds.parse().ok()?);
    if frames == 0 || seconds == 0 {
        return None;
    }
    // An interval of more than an hour is no video.
    let interval = Duration::from_secs_f64(f64::from(seconds) / f64::from(frames));
    Some(interval).filter(|interval| *interval <= Duration::from_secs(3600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnext::preprocess::YuvMatrix;

    fn open(text: &str) -> Result<Y4m<&[u8]>, SourceError> {
        Y4m::new(Stream::new(text.as_bytes()), StreamInfo::default(), Colours::default())
    }

    #[test]
    fn the_first_line_says_what_frames_are() {
        use PixelFormat::*;
        let cases = [
            ("W5 H3", I420, YuvRange::Limited, None),
            ("W5 H3 F25:1 Ip A1:1 C420jpeg XYSCSS=420JPEG", I420, YuvRange::Limited, Some(40_000)),
            ("W5 H3 F30000:1001 C422 XCOLORRANGE=FULL", I422, YuvRange::Full, Some(33_366)),
            ("XCOLORRANGE=FULL C444 H3 W5 F0:0 I?", I444, YuvRange::Full, None),
            ("W5 H3 Cmono XCOLORRANGE=LIMITED", Grey, YuvRange::Limited, None),
        ];
        for (words, pixels, range, micros) in cases {
            let text = format!("YUV4MPEG2 {words}\n");
            let y4m = open(&text).unwrap();
            let yuv = Yuv { matrix: YuvMatrix::Bt601, range };
            assert_eq!(y4m.format, RawFormat::tight(pixels, 5, 3, yuv), "{words}");
            assert_eq!(y4m.interval().map(|interval| interval.as_micros()), micros, "{words}");
        }
        assert_eq!(open("YUV4MPEG2 W1280 H720\n").unwrap().format.yuv.matrix, YuvMatrix::Bt709);
        let colours = Colours { matrix: Some(YuvMatrix::Bt709), range: Some(YuvRange::Full) };
        let y4m = Y4m::new(Stream::new(&b"YUV4MPEG2 W5 H3\n"[..]), StreamInfo::default(), colours).unwrap();
        assert_eq!(y4m.format.yuv, Yuv { matrix: YuvMatrix::Bt709, range: YuvRange::Full });
    }

    #[test]
    fn what_is_not_read_is_named() {
        let cases = [
            ("YUV4MPEG W5 H3\n", "is not YUV4MPEG2; "),
            ("", "is not YUV4MPEG2; "),
            ("YUV4MPEG2 W5 H3 It\n", "is interlaced, which is not supported; "),
            (
                "YUV4MPEG2 W5 H3 C420p10 XYSCSS=420P10\n",
                "has frames of the kind \"420p10\", which is not supported; ",
            ),
            ("YUV4MPEG2 W5 H3 C411\n", "has frames of the kind \"411\""),
            ("YUV4MPEG2 W5 H", "does not end its first line; "),
            ("YUV4MPEG2 W5\n", "does not say how wide and high its frames are; "),
            ("YUV4MPEG2 W-5 H3\n", "does not say how wide and high its frames are; "),
            ("YUV4MPEG2 W70000 H3\n", "there is no yuv420 frame of 70000x3 pixels"),
            ("YUV4MPEG2 W60000 H60000\n", "there is no yuv420 frame of 60000x60000 pixels"),
        ];
        for (text, start) in cases {
            let error = open(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with(start), "{text:?}: {error}");
            assert!(error.contains("; "), "{error}");
        }
    }

    #[test]
    fn frames_between_their_lines() {
        let mut y4m = open("YUV4MPEG2 W2 H2 Cmono\nFRAME\nabcdFRAME Ip\nefghFRAME\nij").unwrap();
        let mut captured = Captured::default();
        for expected in [b"abcd", b"efgh"] {
            assert_eq!(y4m.next(&mut captured), Ok(Delivery::Frame));
            assert_eq!(captured.prepare(&y4m.format).unwrap(), expected);
        }
        assert!(matches!(y4m.next(&mut captured), Ok(Delivery::Damaged(_))));
        assert_eq!(y4m.next(&mut captured), Ok(Delivery::End));

        let mut shifted = open("YUV4MPEG2 W2 H2 Cmono\nFRAME\nabcdeFRAME\n").unwrap();
        assert_eq!(shifted.next(&mut captured), Ok(Delivery::Frame));
        let error = shifted.next(&mut captured).unwrap_err().to_string();
        assert!(error.starts_with("frame 1 does not start as one"), "{error}");
    }
}
