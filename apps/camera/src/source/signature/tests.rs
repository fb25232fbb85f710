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
        (b"\x89PNG\r\n\x1a\n\0", "is a PNG picture and not of the stated format; leave out the format"),
        (jpeg, "is JPEG and not of the stated format; leave out the format"),
    ] {
        assert_eq!(recognise(start, Certainty::AmongFrames).unwrap().to_string(), name);
        assert_eq!(recognise(start, Certainty::Unreadable), None);
    }
}
