//! The bytes of Pillow and OpenCV themselves.

use super::*;
use std::format;

/// Written by `make.py` beside it.
const GOLDEN: &str = include_str!("../../../tests/fixtures/preprocess/golden.txt");

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

#[test]
fn equals_pillow_and_opencv_to_the_byte() {
    let mut cases = [0; INTERPOLATIONS.len()];
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [width, height, short_side, crop_height, crop_width, interpolation, rules, crc, first] =
            fields[..]
        else {
            panic!("malformed line {line}");
        };
        let number = |field: &str| field.parse::<u32>().unwrap();
        let (side_rounding, crop_rounding) = match rules {
            "torchvision" => RULES[0],
            "paddle" => RULES[1],
            _ => panic!("unknown rules {rules}"),
        };
        let interpolation = ["bilinear", "bicubic", "opencv-bilinear"]
            .iter()
            .position(|&name| name == interpolation)
            .unwrap();
        let preprocessing = Preprocessing {
            short_side: number(short_side),
            crop_height: number(crop_height),
            crop_width: number(crop_width),
            interpolation: INTERPOLATIONS[interpolation],
            side_rounding,
            crop_rounding,
            ..IMAGENET
        };
        let (width, height) = (number(width), number(height));
        for gap in [0, 13] {
            let stride = width as usize * CHANNELS + gap;
            let data = source(width, height, stride);
            // The last row ends with its last pixel.
            let frame = Frame::rgb8(&data[..data.len() - gap], width, height, stride).unwrap();
            let result = run(&preprocessing, &frame);
            let head: Vec<_> = result[..first.len() / 2].iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(head.concat(), first, "first pixels, {width}x{height} {preprocessing:?}");
            assert_eq!(format!("{:08x}", crc32(&result)), crc, "{width}x{height} {preprocessing:?}");
        }
        cases[interpolation] += 1;
    }
    assert!(cases.iter().all(|&cases| cases > 25), "the fixture has {cases:?} cases");
}
