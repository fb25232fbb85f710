//! YUV4MPEG2, what `ffmpeg` writes as `.y4m`: a line of text, then frames with a short line before each.
//!
//! The definition is mjpegtools' `yuv4mpeg(5)`; `XCOLORRANGE` is ffmpeg's. Read here, and not with the crate `y4m`,
//! because that one copies every frame once more, says neither range nor interlacing, and ends at a cut frame as at
//! the end of the file.

use super::raw::{cut, impossible, read_frame};
use super::stream::Stream;
use super::{Delivery, Kind, Source, SourceError};
use crate::captured::{Captured, PixelFormat, RawFormat};
use crate::source::open::{Colours, default_matrix};
use resnext::preprocess::{Yuv, YuvRange};
use std::io::Read;
use std::time::{Duration, Instant};

/// How every file starts.
pub(super) const MAGIC: &[u8] = b"YUV4MPEG2 ";

/// How the line before every frame starts.
const FRAME: &[u8] = b"FRAME";

/// The longest line that is read.
const MOST_LINE: usize = 1024;

/// Frames of a YUV4MPEG2 stream.
#[derive(Debug)]
pub struct Y4m<R> {
    stream: Stream<R>,
    kind: Kind,
    format: RawFormat,
    frame: u64,
}

impl<R: Read> Y4m<R> {
    /// Reads the first line. `colours` overrules what it says, and fills in what it does not say.
    ///
    /// # Errors
    ///
    /// If it is not such a stream, ends before its first line does, or holds what is not read here: interlaced video,
    /// 4:1:1, transparency, more than 8 bits a sample.
    pub fn new(mut stream: Stream<R>, mut kind: Kind, colours: Colours) -> Result<Self, SourceError> {
        let remedy = "give a YUV4MPEG2 stream, such as `ffmpeg -i IN -pix_fmt yuv420p OUT.y4m` writes";
        let line = take_line(&mut stream, &kind)?;
        let words =
            line.strip_prefix(MAGIC).ok_or_else(|| SourceError::format("is not YUV4MPEG2", remedy))?;
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
        kind.interval = header.interval.or(kind.interval);
        Ok(Self { stream, kind, format, frame: 0 })
    }

    /// Width and height of its frames.
    pub fn size(&self) -> (u32, u32) {
        (self.format.width, self.format.height)
    }
}

impl<R: Read + Send> Source for Y4m<R> {
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
        let start = self.stream.peek(1).map(|bytes| (Instant::now(), bytes.is_empty()));
        let (at, ended) = start.map_err(|error| SourceError::reading(&error, self.kind.timeout))?;
        if ended {
            return Ok(Delivery::End);
        }
        skip_frame_line(&mut self.stream, &self.kind, self.frame)?;
        self.frame += 1;
        let read = read_frame(&mut self.stream, &self.format, captured, &self.kind)?;
        let need = self.format.frame_len().unwrap_or(usize::MAX);
        if read < need {
            return Ok(Delivery::Damaged(cut(read, need)));
        }
        captured.filled(at);
        Ok(Delivery::Frame)
    }
}

/// The next line with its end; whatever there is if there is no end within reach.
fn take_line<R: Read>(stream: &mut Stream<R>, kind: &Kind) -> Result<Vec<u8>, SourceError> {
    let mut line = Vec::new();
    while let [byte] = *stream.peek(1).map_err(|error| SourceError::reading(&error, kind.timeout))? {
        std::io::BufRead::consume(stream, 1);
        line.push(byte);
        if byte == b'\n' || line.len() == MOST_LINE {
            break;
        }
    }
    Ok(line)
}

/// Takes `FRAME`, parameters that do not matter here, and the end of the line; allocates nothing.
fn skip_frame_line<R: Read>(stream: &mut Stream<R>, kind: &Kind, frame: u64) -> Result<(), SourceError> {
    let damaged = || {
        let what = format!(
            "frame {frame} does not start as one; what comes before it is damaged or of another size"
        );
        SourceError::format(what, "make the file again")
    };
    // Byte by byte beyond the usual: a pipe gives no more than there is, and waiting for more would be waiting for the
    // next frame.
    for len in FRAME.len() + 1..MOST_LINE {
        let ahead = stream.peek(len).map_err(|error| SourceError::reading(&error, kind.timeout))?;
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
                    return Err(SourceError::format("is interlaced, which is not read", remedy));
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

/// Layout of a `C` parameter, and the range, which some writers imply by it.
fn colours(value: &str, range: YuvRange) -> Result<(PixelFormat, YuvRange), SourceError> {
    Ok(match value {
        // Chroma lies elsewhere between the pixels, by less than matters to samples that are replicated.
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => (PixelFormat::I420, range),
        "422" => (PixelFormat::I422, range),
        "444" => (PixelFormat::I444, range),
        "mono" => (PixelFormat::Grey, range),
        _ => {
            let what = format!("has frames of the kind {value:?}, which is not read");
            return Err(SourceError::format(
                what,
                "convert it, such as with `ffmpeg -i IN -pix_fmt yuv420p OUT.y4m`",
            ));
        }
    })
}

/// Of a rate `30000:1001`.
fn interval(value: &str) -> Option<Duration> {
    let (frames, seconds) = value.split_once(':')?;
    let (frames, seconds): (u32, u32) = (frames.parse().ok()?, seconds.parse().ok()?);
    if frames == 0 || seconds == 0 {
        return None;
    }
    // At most an hour: a pause longer than that is no video.
    let interval = Duration::from_secs_f64(f64::from(seconds) / f64::from(frames));
    Some(interval).filter(|interval| *interval <= Duration::from_secs(3600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnext::preprocess::YuvMatrix;

    fn open(text: &str) -> Result<Y4m<&[u8]>, SourceError> {
        Y4m::new(Stream::new(text.as_bytes()), Kind::default(), Colours::default())
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
        let y4m = Y4m::new(Stream::new(&b"YUV4MPEG2 W5 H3\n"[..]), Kind::default(), colours).unwrap();
        assert_eq!(y4m.format.yuv, Yuv { matrix: YuvMatrix::Bt709, range: YuvRange::Full });
    }

    #[test]
    fn what_is_not_read_is_named() {
        let cases = [
            ("YUV4MPEG W5 H3\n", "is not YUV4MPEG2; "),
            ("", "is not YUV4MPEG2; "),
            ("YUV4MPEG2 W5 H3 It\n", "is interlaced, which is not read; "),
            (
                "YUV4MPEG2 W5 H3 C420p10 XYSCSS=420P10\n",
                "has frames of the kind \"420p10\", which is not read; ",
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
