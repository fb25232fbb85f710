use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Frames may begin with anything, and dark ones are full of start codes.
    #[test]
    fn noise_is_no_video(mut frame in prop::collection::vec(any::<u8>(), 6000), levels in 1..=64u8) {
        prop_assert_eq!(recognise(&frame, Certainty::AmongFrames), None);
        frame.iter_mut().for_each(|byte| *byte %= levels);
        prop_assert_eq!(recognise(&frame, Certainty::AmongFrames), None);
        frame[..4].copy_from_slice(&[0, 0, 0, 1]);
        prop_assert_eq!(recognise(&frame, Certainty::AmongFrames), None);
    }

    #[test]
    fn any_bytes_at_all(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0..=1u8], 0..600)) {
        let _ = recognise(&bytes, Certainty::AmongFrames);
        let _ = recognise(&bytes, Certainty::Unreadable);
    }
}

#[test]
fn flat_frames_and_gradients_are_no_video() {
    for width in [1, 47, 94, 188, 192, 204, 640] {
        for level in 0..=255u8 {
            let flat = vec![level; 12 * 1024];
            let falling: Vec<_> = (0..flat.len()).map(|at| level.wrapping_sub((at % width) as u8)).collect();
            for frame in [flat, falling] {
                assert_eq!(recognise(&frame, Certainty::AmongFrames), None, "{width} {level}");
            }
        }
    }
}

#[test]
fn what_can_be_read_is_named_among_frames_only() {
    let jpeg = b"\xff\xd8\xff\xe0\0\x10JFIF\0";
    for (start, name) in [
        (&b"YUV4MPEG2 W5 H3"[..], "is YUV4MPEG2 and not of the stated format; leave out the format"),
        (jpeg, "is JPEG and not of the stated format; leave out the format"),
    ] {
        assert_eq!(recognise(start, Certainty::AmongFrames).unwrap().to_string(), name);
        assert_eq!(recognise(start, Certainty::Unreadable), None);
    }
}

/// Files that Pillow, ffmpeg, gzip and bzip2 have written begin so.
#[test]
fn pictures_and_archives_are_no_frames() {
    let bmp = b"BM\x36\x10\x0e\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x80\x02\0\0\xe0\x01\0\0\x01\0\x18\0\0\0\0\0";
    let alone = ", and pictures are read from files, without a format; give its path alone";
    for (start, name) in [
        (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], format!("is a PNG picture{alone}")),
        (b"RIFF\x24\x10\0\0WEBPVP8 ", format!("is a WebP picture{alone}")),
        (b"GIF89a\x80\x02", format!("is a GIF picture{alone}")),
        (bmp, format!("is a BMP picture{alone}")),
        (
            b"P6\n640 480\n255\n",
            "is a PNM picture, which is not read here; convert it to PNG or JPEG".to_owned(),
        ),
        (b"\x1f\x8b\x08\x08\x11\x22\x33\x44\0\x03v.y4m", "is compressed with gzip; unpack it".to_owned()),
        (b"BZh91AY&SY\x11\x22", "is compressed with bzip2; unpack it".to_owned()),
    ] {
        for certainty in [Certainty::AmongFrames, Certainty::Unreadable] {
            assert_eq!(recognise(start, certainty).map(|found| found.to_string()), Some(name.clone()));
        }
    }
    // Levels of a frame may spell the first letters.
    for start in [
        &b"BM\x10\x10\x10\x10\x11\x11\x11\x11\x10\x10\x10\x10"[..],
        b"P6PPPPPP",
        b"\x1f\x8b\x08\x88\x88\x88",
        b"BZhhhhhhhhhh",
    ] {
        assert_eq!(recognise(start, Certainty::AmongFrames), None, "{start:?}");
    }
}
