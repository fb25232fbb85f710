//! Video without a container: units after start codes (MPEG), or with their lengths (AV1).

use super::{Content, Kind};

const H264: Content = Content::new(Kind::Video, "H.264 video");
const H265: Content = Content::new(Kind::Video, "H.265 (HEVC) video");
const H266: Content = Content::new(Kind::Video, "H.266 (VVC) video");
const AV1: Content = Content::new(Kind::Video, "AV1 video");
const PROGRAM_STREAM: Content = Content::new(Kind::Video, "an MPEG program stream");
const MPEG2: Content = Content::new(Kind::Video, "MPEG-1 or MPEG-2 video");
const MPEG4: Content = Content::new(Kind::Video, "MPEG-4 video");
const VC1: Content = Content::new(Kind::Video, "VC-1 video");

/// Profiles of H.264 (ITU-T H.264, annex A and later).
const H264_PROFILES: [u8; 14] = [44, 66, 77, 83, 86, 88, 100, 110, 118, 122, 128, 134, 138, 244];

/// Levels of H.264 (table A-1), ten times the number; 9 is level 1b.
const H264_LEVELS: [u8; 20] = [9, 10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52, 60, 61, 62];

/// Recognises an elementary stream. Such streams are often joined at any point, so the units that state what follows are looked
/// for in all bytes. They have at least five bytes in common, which no noise of a dark picture has.
pub(super) fn recognise(start: &[u8]) -> Option<Content> {
    at_start(start).or_else(|| units(start).find_map(parameters)).or_else(|| is_av1(start).then_some(AV1))
}

/// Returns what follows each start code 00 00 01 (ITU-T H.264, annex B).
fn units(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let codes = bytes.windows(3).enumerate().filter(|(_, code)| *code == [0, 0, 1]);
    codes.map(|(at, _)| &bytes[at + 3..])
}

/// Recognises units that state the parameters of a sequence.
fn parameters(unit: &[u8]) -> Option<Content> {
    match *unit {
        // A sequence parameter set: profile, constraints with two reserved zeros, level.
        [0x27 | 0x47 | 0x67, profile, constraints, level, ..]
            if H264_PROFILES.contains(&profile) && constraints & 3 == 0 && H264_LEVELS.contains(&level) =>
        {
            Some(H264)
        }
        // A video parameter set, with 16 reserved ones (ITU-T H.265, section 7.3.2.1).
        [0x40, 0x01, _, _, 0xff, 0xff, ..] => Some(H265),
        // A sequence and a picture parameter set, close to each other (ITU-T H.266, section 7.3.1.2).
        [0, 0x79, ..] => {
            let near = &unit[..unit.len().min(1024)];
            units(near).any(|unit| unit.starts_with(&[0, 0x81])).then_some(H266)
        }
        _ => None,
    }
}

/// Recognises older streams, which begin with a start code and a header.
fn at_start(start: &[u8]) -> Option<Content> {
    match *start {
        // A pack, with the marker bits of MPEG-2 or MPEG-1.
        [0, 0, 1, 0xba, marker, ..] if marker & 0xc4 == 0x44 || marker & 0xf1 == 0x21 => Some(PROGRAM_STREAM),
        // A sequence: width and height of 12 bits each, aspect ratio, frame rate.
        [0, 0, 1, 0xb3, w, wh, h, rates, ..]
            if (w, wh >> 4) != (0, 0)
                && (wh & 15, h) != (0, 0)
                && (1..=8).contains(&(rates & 15))
                && (1..=14).contains(&(rates >> 4)) =>
        {
            Some(MPEG2)
        }
        // A visual object sequence with its profile, and then a visual object; or the object itself.
        [0, 0, 1, 0xb0, _, 0, 0, 1, 0xb5, ..] | [0, 0, 1, 0x00, 0, 0, 1, 0x20..=0x2f, ..] => Some(MPEG4),
        // A sequence header of the advanced profile.
        [0, 0, 1, 0x0f, profile, ..] if profile >> 6 == 3 => Some(VC1),
        _ => None,
    }
}

/// Returns whether the bytes are AV1 (section 5 of its specification): a temporal delimiter, a sequence header, and another unit.
fn is_av1(start: &[u8]) -> bool {
    let [0x12, 0, 0x0a, length @ 1..0x80, header, rest @ ..] = start else { return false };
    // Of the profile there are three.
    let next = rest.get(usize::from(*length) - 1);
    // Each unit has a type, a length, and two zeros.
    header >> 5 <= 2 && next.is_none_or(|unit| unit & 0x83 == 0x02 && matches!(unit >> 3, 3..=7 | 15))
}
