//! Streams with damage anywhere, in pieces of any size, cause no panic and no endless loop, and memory stays bounded.

use proptest::prelude::*;
use resnext_camera::source::{Colours, Delivery, FrameSource, Mjpeg, Stream, StreamInfo, Y4m};
use resnext_camera::{Captured, MAX_FRAME_BYTES};
use resnext_photo::Rgb8Image;
use std::io::{self, Read};

/// Returns at most `step` bytes at once, as pipes do.
struct Pieces<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = self.bytes.len().min(out.len()).min(self.step);
        out[..len].copy_from_slice(&self.bytes[..len]);
        self.bytes = &self.bytes[len..];
        Ok(len)
    }
}

fn y4m() -> Vec<u8> {
    let mut stream = b"YUV4MPEG2 W7 H5 F25:1 Ip A1:1 C420jpeg XCOLORRANGE=FULL\n".to_vec();
    for frame in 0..4u8 {
        stream.extend(b"FRAME\n");
        stream.extend((0..7 * 5 + 2 * 4 * 3).map(|i: u8| i.wrapping_mul(frame + 3)));
    }
    stream
}

fn mjpeg() -> Vec<u8> {
    let jpeg = |side: u32| {
        let data = (0..side * side * 3).map(|i| (i * i / 31) as u8).collect();
        Rgb8Image { width: side, height: side, data }.to_jpeg(80).unwrap()
    };
    [16, 17, 40, 24].iter().flat_map(|&side| [jpeg(side), b"\r\n--next\r\n\r\n".to_vec()].concat()).collect()
}

/// Reads a stream to its end.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        4 => (place(), prop_oneof![any::<u8>(), Just(0xff), Just(b'\n'), Just(b'9')])
            .prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => place().prop_map(Damage::Cut),
        1 => (place(), 1..200usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        1 => (place(), 1..400usize).prop_map(|(at, len)| Damage::Repeat(at, len)),
        1 => (place(), prop::collection::vec(any::<u8>(), 1..80)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ]
}

fn apply(stream: &mut Vec<u8>, damage: &Damage) {
    if stream.is_empty() {
        return;
    }
    let len = stream.len();
    match damage {
        Damage::Set(at, byte) => stream[at.index(len)] = *byte,
        Damage::Cut(at) => stream.truncate(at.index(len)),
        Damage::Remove(at, count) => drop(stream.drain(at.index(len)..(at.index(len) + count).min(len))),
        Damage::Repeat(at, count) => {
            let part = stream[at.index(len)..(at.index(len) + count).min(len)].to_vec();
            stream.splice(at.index(len)..at.index(len), part);
        }
        Damage::Insert(at, bytes) => drop(stream.splice(at.index(len)..at.index(len), bytes.iter().copied())),
    }
}

/// Reads a source to its end. A delivery takes at least a byte of the stream, so there are at most as many as bytes.
fn drain(mut source: impl FrameSource, most: usize) -> usize {
    let mut captured = Captured::default();
    let mut frames = 0;
    for _ in 0..=most {
        match source.next(&mut captured) {
            Ok(Delivery::Frame) => {
                let frame = captured.frame().expect("what is delivered is whole");
                assert!(frame.width() > 0 && captured.bytes().len() <= MAX_FRAME_BYTES);
                frames += 1;
            }
            Ok(Delivery::Damaged(what)) => assert!(!what.is_empty()),
            Ok(Delivery::Note(what)) => panic!("{what}"),
            Ok(Delivery::End) => return frames,
            Err(error) => {
                assert!(error.to_string().contains("; "), "no remedy: {error}");
                return frames;
            }
        }
    }
    panic!("does not end");
}

fn read_y4m(bytes: &[u8], step: usize) -> usize {
    let stream = Stream::new(Pieces { bytes, step });
    Y4m::new(stream, StreamInfo::default(), Colours::default()).map_or(0, |y4m| drain(y4m, bytes.len()))
}

fn read_mjpeg(bytes: &[u8], step: usize) -> usize {
    drain(Mjpeg::new(Stream::new(Pieces { bytes, step }), StreamInfo::default()), bytes.len())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn y4m_whole_in_pieces(step in 1..100usize) {
        prop_assert_eq!(read_y4m(&y4m(), step), 4);
    }

    #[test]
    fn mjpeg_whole_in_pieces(step in 1..100usize) {
        prop_assert_eq!(read_mjpeg(&mjpeg(), step), 4);
    }

    #[test]
    fn y4m_damaged(damages in prop::collection::vec(damage(), 1..6), step in 1..5000usize) {
        let mut stream = y4m();
        damages.iter().for_each(|damage| apply(&mut stream, damage));
        read_y4m(&stream, step);
    }

    #[test]
    fn mjpeg_damaged(damages in prop::collection::vec(damage(), 1..6), step in 1..5000usize) {
        let mut stream = mjpeg();
        damages.iter().for_each(|damage| apply(&mut stream, damage));
        read_mjpeg(&stream, step);
    }

    #[test]
    fn anything_at_all(bytes in prop::collection::vec(any::<u8>(), 0..600), step in 1..700usize) {
        read_y4m(&[b"YUV4MPEG2 W3 H3 Cmono\n", &bytes[..]].concat(), step);
        read_mjpeg(&[b"\xff\xd8", &bytes[..]].concat(), step);
        read_mjpeg(&bytes, step);
    }
}

/// A stream without any picture is reported, however long it is.
#[test]
fn endless_garbage_does_not_go_unnoticed() {
    for start in [&b""[..], b"\xff\xd8\xff\xda\x00\x02"] {
        let stream = Stream::new(start.chain(io::repeat(b'y')));
        let mut mjpeg = Mjpeg::new(stream, StreamInfo::default());
        assert!(matches!(mjpeg.next(&mut Captured::default()), Ok(Delivery::Damaged(_))), "{start:?}");
    }
}
