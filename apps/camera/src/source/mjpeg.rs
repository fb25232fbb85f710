//! Motion JPEG: JPEGs in sequence in a file or from a pipe, also with headers between them as in the
//! `multipart/x-mixed-replace` of network cameras.

use super::frame_source::{Delivery, FrameSource, SourceError, StreamInfo};
use super::signature::{Certainty, Content, recognise};
use super::stream::Stream;
use crate::captured::Captured;
use resnext_photo::Rgb8Image;
use std::io::{BufRead, Read};
use std::time::{Duration, Instant};

/// The most bytes of a picture. A longer one counts as damaged.
pub(super) const MAX_JPEG_BYTES: usize = 32 << 20;

/// Reads the pictures of a Motion JPEG stream.
#[derive(Debug)]
pub struct Mjpeg<R> {
    stream: Stream<R>,
    info: StreamInfo,
    scanner: Scanner,
    start: Start,
}

/// What is known of a stream by its first bytes. A container may hold Motion JPEG, whose pictures can be read.
#[derive(Debug)]
enum Start {
    /// Nothing has been read.
    Unread,
    /// The content that the first bytes are of. No picture has been read.
    Recognised(Content),
    /// There was a picture, or the content is not recognised.
    Fine,
}

impl<R: Read> Mjpeg<R> {
    /// Reads the pictures of `stream`.
    pub fn new(stream: Stream<R>, info: StreamInfo) -> Self {
        Self { stream, info, scanner: Scanner::default(), start: Start::Unread }
    }
}

impl<R: Read + Send> FrameSource for Mjpeg<R> {
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
        loop {
            let bytes = self.stream.fill_buf();
            let bytes = bytes.map_err(|error| SourceError::reading(&error, self.info.timeout))?;
            if matches!(self.start, Start::Unread) {
                let content = recognise(bytes, Certainty::Unreadable);
                self.start = content.map_or(Start::Fine, Start::Recognised);
            }
            if bytes.is_empty() {
                if let Start::Recognised(content) = self.start {
                    return Err(SourceError::Encoded(content));
                }
                let cut = std::mem::take(&mut self.scanner).has_begun();
                return Ok(if cut {
                    Delivery::Damaged("ended within a picture".into())
                } else {
                    Delivery::End
                });
            }
            let (read, found) = self.scanner.read(bytes);
            self.stream.consume(read);
            match found {
                None => {}
                Some(Found::Damage(what)) => match self.start {
                    Start::Recognised(content) => return Err(SourceError::Encoded(content)),
                    _ => return Ok(Delivery::Damaged(what.into())),
                },
                Some(Found::Picture { at }) => {
                    self.start = Start::Fine;
                    return Ok(decode(&self.scanner.bytes, at, captured));
                }
            }
        }
    }
}

/// Decodes a picture into `captured`.
pub(super) fn decode(jpeg: &[u8], at: Instant, captured: &mut Captured) -> Delivery {
    match Rgb8Image::decode(jpeg) {
        Ok(image) => {
            captured.take(image, at);
            Delivery::Frame
        }
        Err(error) => Delivery::Damaged(format!("a picture {error}")),
    }
}

/// Finds where pictures begin and end, byte by byte.
#[derive(Debug, Default)]
struct Scanner {
    /// The bytes of the current picture.
    bytes: Vec<u8>,
    state: State,
    /// When the current picture began.
    begun: Option<Instant>,
    /// Number of bytes since the last picture.
    between: usize,
}

/// The position of the next byte in a picture (ITU-T T.81, annex B).
#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Between two pictures.
    #[default]
    Outside,
    /// After a byte FF there.
    OutsideMarker,
    /// Between the segments of a picture.
    Segments,
    /// After a byte FF there.
    Marker,
    /// In the length of a segment. `high` is its first byte, if that has been read.
    Length { scan: bool, high: Option<u8> },
    /// In a segment that has `left` more bytes.
    Segment { scan: bool, left: u16 },
    /// In the entropy-coded data of a scan.
    Scan,
    /// After a byte FF there.
    ScanMarker,
}

/// What the scanner finds.
enum Found {
    /// A whole picture, which began at `at`.
    Picture { at: Instant },
    /// A damaged picture.
    Damage(&'static str),
}

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;

impl Scanner {
    fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Scans `input` until something is found. Returns the number of bytes read and what was found.
    fn read(&mut self, input: &[u8]) -> (usize, Option<Found>) {
        let mut at = 0;
        while at < input.len() {
            at += self.skip(&input[at..]);
            if self.bytes.len() > MAX_JPEG_BYTES {
                self.leave();
                return (at, Some(Found::Damage("a picture does not end")));
            }
            let Some(&byte) = input.get(at) else { break };
            at += 1;
            if let Some(found) = self.step(byte) {
                return (at, Some(found));
            }
        }
        if !self.has_begun() {
            self.between += at;
            if self.between > MAX_JPEG_BYTES {
                self.between = 0;
                return (at, Some(Found::Damage("there is no picture in 32 MiB")));
            }
        }
        (at, None)
    }

    /// Takes all bytes that do not change the state. Returns their number.
    fn skip(&mut self, input: &[u8]) -> usize {
        let to_marker = || input.iter().position(|&byte| byte == 0xff).unwrap_or(input.len());
        let len = match &mut self.state {
            State::Outside => return to_marker(),
            State::Scan => to_marker(),
            // `step` takes the last byte of a segment.
            State::Segment { left, .. } => {
                let len = input.len().min(usize::from(*left).saturating_sub(1));
                *left -= len as u16;
                len
            }
            _ => 0,
        };
        self.bytes.extend_from_slice(&input[..len]);
        len
    }

    /// Takes one byte.
    fn step(&mut self, byte: u8) -> Option<Found> {
        if self.has_begun() {
            self.bytes.push(byte);
        }
        self.state = match (self.state, byte) {
            (State::Outside, 0xff) => State::OutsideMarker,
            (State::OutsideMarker, START) => return self.begin(),
            (State::OutsideMarker, 0xff) => State::OutsideMarker,
            (State::Outside | State::OutsideMarker, _) => State::Outside,

            (State::Segments, 0xff) => State::Marker,
            (State::Segments, _) => return self.damage(),
            (State::Marker | State::ScanMarker, 0xff) => self.state,
            (State::Marker | State::ScanMarker, START) => return self.begin(),
            (State::Marker | State::ScanMarker, END) => return self.end(),
            // A stuffed byte, or a restart marker.
            (State::ScanMarker, 0x00 | 0xd0..=0xd7) => State::Scan,
            (State::Marker, 0x00) => return self.damage(),
            // These markers have no length.
            (State::Marker, 0x01 | 0xd0..=0xd7) => State::Segments,
            (State::Marker | State::ScanMarker, marker) => State::Length { scan: marker == SCAN, high: None },

            (State::Length { scan, high: None }, high) => State::Length { scan, high: Some(high) },
            (State::Length { scan, high: Some(high) }, low) => match u16::from_be_bytes([high, low]) {
                0 | 1 => return self.damage(),
                2 => State::after(scan),
                len => State::Segment { scan, left: len - 2 },
            },
            (State::Segment { scan, left: 0 | 1 }, _) => State::after(scan),
            (State::Segment { scan, left }, _) => State::Segment { scan, left: left - 1 },

            (State::Scan, 0xff) => State::ScanMarker,
            (State::Scan, _) => State::Scan,
        };
        None
    }

    /// Begins a picture. If another one has not ended, that one is damaged.
    fn begin(&mut self) -> Option<Found> {
        let cut = self.has_begun().then_some(Found::Damage("a picture is cut"));
        self.bytes.clear();
        self.bytes.extend([0xff, START]);
        (self.state, self.begun, self.between) = (State::Segments, Some(Instant::now()), 0);
        cut
    }

    /// Ends the picture.
    fn end(&mut self) -> Option<Found> {
        self.state = State::Outside;
        self.begun.take().map(|at| Found::Picture { at })
    }

    /// Drops a picture that is no valid JPEG.
    fn damage(&mut self) -> Option<Found> {
        self.leave();
        Some(Found::Damage("a picture is no valid JPEG"))
    }

    /// Drops the picture.
    fn leave(&mut self) {
        // The buffer may have grown to the limit, so its memory is freed.
        self.bytes = Vec::new();
        (self.state, self.begun) = (State::Outside, None);
    }
}

impl State {
    /// Returns the state after a segment.
    fn after(scan: bool) -> Self {
        if scan { Self::Scan } else { Self::Segments }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns three pictures of different widths.
    fn pictures() -> Vec<Vec<u8>> {
        let encode = |width: u32| {
            let data = vec![90; width as usize * 8 * 3];
            Rgb8Image { width, height: 8, data }.to_jpeg(90).unwrap()
        };
        [8, 9, 40].map(encode).into()
    }

    /// Returns the widths of the pictures that are found, and damage.
    fn read(bytes: &[u8]) -> Vec<Result<u32, String>> {
        let mut mjpeg = Mjpeg::new(Stream::new(bytes), StreamInfo::default());
        let mut captured = Captured::default();
        let mut found = Vec::new();
        loop {
            match mjpeg.next(&mut captured).unwrap() {
                Delivery::Frame => found.push(Ok(captured.frame().unwrap().width())),
                Delivery::Damaged(what) => found.push(Err(what)),
                Delivery::End => return found,
                Delivery::Note(note) => panic!("{note}"),
            }
        }
    }

    #[test]
    fn pictures_are_told_apart_whatever_lies_between() {
        let whole = [Ok(8), Ok(9), Ok(40)];
        assert_eq!(read(&pictures().concat()), whole);
        let parts: Vec<_> = pictures()
            .iter()
            .flat_map(|jpeg| {
                [b"--next\r\nContent-Type: image/jpeg\r\n\r\n", &jpeg[..], b"\r\n\xff\xff\x00"].concat()
            })
            .collect();
        assert_eq!(read(&parts), whole);
        assert_eq!(read(b""), []);
        assert_eq!(read(b"no picture here"), []);
    }

    #[test]
    fn a_picture_within_a_segment_is_none() {
        // A thumbnail, as cameras put them into APP1.
        let jpegs = pictures();
        let mut outer = jpegs[2][..2].to_vec();
        outer.extend([0xff, 0xe1]);
        outer.extend((jpegs[0].len() as u16 + 2).to_be_bytes());
        outer.extend(&jpegs[0]);
        outer.extend(&jpegs[2][2..]);
        assert_eq!(read(&outer), [Ok(40)]);
    }

    /// Webcams leave out the Huffman tables, which are always those of the standard's annex K.
    #[test]
    fn pictures_without_huffman_tables() {
        let jpeg = &pictures()[2];
        let mut lean = jpeg[..2].to_vec();
        let mut at = 2;
        while jpeg[at + 1] != SCAN {
            let len = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            if jpeg[at + 1] != 0xc4 {
                lean.extend(&jpeg[at..at + len]);
            }
            at += len;
        }
        lean.extend(&jpeg[at..]);
        assert!(lean.len() + 400 < jpeg.len());
        assert_eq!(read(&lean), [Ok(40)]);
    }

    #[test]
    fn damage_costs_a_picture_and_no_more() {
        let [a, b, c] = &pictures()[..] else { unreachable!() };
        let cut = [&a[..a.len() - 5], b, c].concat();
        assert_eq!(read(&cut), [Err("a picture is cut".into()), Ok(9), Ok(40)]);
        let late = [&a[..], b, &c[..c.len() / 2]].concat();
        assert_eq!(read(&late), [Ok(8), Ok(9), Err("ended within a picture".into())]);
        let mut wrong = a.clone();
        wrong[20..24].fill(7);
        let middle = [&wrong[..], b, c].concat();
        let found = read(&middle);
        assert_eq!(found[found.len() - 2..], [Ok(9), Ok(40)]);
        assert!(found[0].is_err());
    }
}
