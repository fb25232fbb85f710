//! Any frame with any preprocessing is either served or refused with a message.

use super::*;
use std::string::ToString;

#[test]
fn serves_every_small_size() {
    let data = source(9, 9, 27);
    for (width, height) in (1..=9).flat_map(|width| (1..=9).map(move |height| (width, height))) {
        for gap in [0, 1] {
            let stride = width as usize * CHANNELS + gap;
            let need = stride * (height as usize - 1) + width as usize * CHANNELS;
            let Some(data) = data.get(..need) else { continue };
            let frame = Frame::rgb8(data, width, height, stride).unwrap();
            for short_side in 1..=10 {
                for (crop_height, crop_width) in [(1, 1), (2, 3), (8, 8), (11, 4), (4, 11)] {
                    for interpolation in INTERPOLATIONS {
                        for (side_rounding, crop_rounding) in RULES {
                            let preprocessing = Preprocessing {
                                short_side,
                                crop_height,
                                crop_width,
                                interpolation,
                                side_rounding,
                                crop_rounding,
                                ..IMAGENET
                            };
                            run(&preprocessing, &frame);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn serves_extreme_shapes() {
    let long = vec![200; MAX_FRAME_SIDE as usize * CHANNELS];
    let thin = |width, height| Frame::rgb8(&long, width, height, width as usize * CHANNELS).unwrap();
    for interpolation in INTERPOLATIONS {
        for (side_rounding, crop_rounding) in RULES {
            for short_side in [1, 256, MAX_FRAME_SIDE] {
                for side in [1, 224] {
                    let preprocessing = Preprocessing {
                        interpolation,
                        side_rounding,
                        crop_rounding,
                        ..Preprocessing::imagenet(side, short_side)
                    };
                    for frame in [thin(1, 1), thin(MAX_FRAME_SIDE, 1), thin(1, MAX_FRAME_SIDE)] {
                        // A flat picture stays flat, whatever the filter; what is black is padding.
                        let result = run(&preprocessing, &frame);
                        assert!(
                            result.iter().all(|&byte| byte == 200 || byte == 0),
                            "{frame:?} {preprocessing:?}"
                        );
                        assert!(result.contains(&200), "{frame:?} {preprocessing:?}");
                    }
                }
            }
        }
        let data = source(4096, 3000, 4096 * CHANNELS + 32);
        let frame = Frame::rgb8(&data, 4096, 3000, 4096 * CHANNELS + 32).unwrap();
        run(&Preprocessing { interpolation, ..IMAGENET }, &frame);
        run(
            &Preprocessing { short_side: 1, crop_height: 2, crop_width: 1, interpolation, ..IMAGENET },
            &frame,
        );
    }
}

#[test]
fn windows_stay_within_their_bounds() {
    let sizes = [1, 2, 3, 4, 5, 7, 31, 224, 255, 256, 257, 480, 1079, 1080, 4096, 65534, 65535];
    for (input, output) in sizes.iter().flat_map(|&input| sizes.map(|output| (input, output))) {
        for interpolation in INTERPOLATIONS {
            let axis = Axis::new(interpolation, input, output);
            let taps = axis.taps(&(0..output));
            let mut before = axis.window(0);
            for index in 0..output {
                let window = axis.window(index);
                assert!((1..=taps.max(1)).contains(&window.len), "{input} {output} {index}");
                assert!(window.end() <= input, "{input} {output} {index}");
                // The ring relies on windows never going back.
                assert!(window.start >= before.start && window.end() >= before.end());
                before = window;
            }
        }
    }
}

#[test]
fn scratch_is_as_small_as_documented() {
    assert_eq!(IMAGENET.scratch_len(640, 480), Some(15_964));
    assert_eq!(IMAGENET.scratch_len(1920, 1080), Some(33_416));
    // Nothing to resample: lines, a ring and a row.
    assert_eq!(IMAGENET.scratch_len(256, 256), Some(6_224));
}

#[test]
fn refuses_what_it_cannot_serve() {
    let data = [0; 64];
    assert_eq!(Frame::rgb8(&data, 0, 1, 3).unwrap_err(), FrameError::Side { width: 0, height: 1 });
    assert_eq!(Frame::rgb8(&data, 1, 65536, 3).unwrap_err(), FrameError::Side { width: 1, height: 65536 });
    assert_eq!(Frame::rgb8(&data, 4, 2, 11).unwrap_err(), FrameError::Stride { plane: 0, need: 12, got: 11 });
    assert_eq!(Frame::rgb8(&data, 4, 6, 12).unwrap_err(), FrameError::Short { plane: 0, need: 72, got: 64 });
    let endless = Frame::rgb8(&data, 1, 3, usize::MAX).unwrap_err();
    assert_eq!(endless, FrameError::Short { plane: 0, need: usize::MAX, got: 64 });
    // The last row needs no padding after it.
    assert!(Frame::rgb8(&data, 4, 4, 17).is_ok());
    assert!(Frame::rgb8(&data, 4, 1, usize::MAX).is_ok());

    let frame = Frame::rgb8(&data, 4, 5, 12).unwrap();
    let preprocessing = Preprocessing::imagenet(2, 3);
    let need = preprocessing.scratch_len(4, 5).unwrap();
    let refuse = |preprocessing: &Preprocessing, len: usize| {
        preprocessing.run(&frame, &mut vec![0; len], |_, _| panic!("no row before the checks")).unwrap_err()
    };
    for got in 0..need {
        assert_eq!(refuse(&preprocessing, got), PreprocessError::Scratch { need, got });
    }
    for bad in [
        Preprocessing { short_side: 0, ..preprocessing },
        Preprocessing { crop_height: 0, ..preprocessing },
        Preprocessing { crop_width: MAX_FRAME_SIDE + 1, ..preprocessing },
    ] {
        assert!(matches!(refuse(&bad, 1000), PreprocessError::OutOfRange { .. }));
        assert_eq!(bad.scratch_len(4, 5), None);
    }
    assert_eq!(preprocessing.scratch_len(0, 5), None);
    assert_eq!(preprocessing.scratch_len(4, MAX_FRAME_SIDE + 1), None);

    for message in [
        FrameError::Side { width: 0, height: 1 }.to_string(),
        FrameError::Stride { plane: 0, need: 12, got: 11 }.to_string(),
        endless.to_string(),
        refuse(&preprocessing, 0).to_string(),
        refuse(&Preprocessing { short_side: 0, ..preprocessing }, 0).to_string(),
    ] {
        assert!(!message.contains('\n') && message.contains(';'), "{message}");
    }
}
