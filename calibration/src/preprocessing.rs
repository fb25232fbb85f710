//! What calibration needs of a [`Preprocessing`] beyond the resizing and cropping of the runtime: fp32 reads the pixels that int8
//! reads, normalised.

use resnext::preprocess::{CropRounding, Interpolation, Preprocessing, SideRounding};
use resnext_models::{Interpolation as Published, Preprocessing as Variant};

/// Returns the preprocessing of a published variant, to the byte. That of torchvision, timm and mmcls rounds sizes as
/// [`Preprocessing::imagenet`] does; PaddleClas, which alone resizes with OpenCV, has rules of its own.
pub fn published(variant: &Variant) -> Preprocessing {
    let imagenet = Preprocessing {
        mean: variant.mean,
        std: variant.std,
        ..Preprocessing::imagenet(variant.size.into(), variant.resize.into())
    };
    match variant.interpolation {
        Published::PillowBilinear => imagenet,
        Published::PillowBicubic => Preprocessing { interpolation: Interpolation::PillowBicubic, ..imagenet },
        Published::OpenCvBilinear => Preprocessing {
            interpolation: Interpolation::OpenCvBilinear,
            side_rounding: SideRounding::Nearest,
            crop_rounding: CropRounding::Floor,
            ..imagenet
        },
    }
}

/// Returns what a user of a network has to know to prepare images for it, as keys and values: the metadata of ONNX files.
pub fn properties(preprocessing: &Preprocessing) -> Vec<(&'static str, String)> {
    let list = |values: [f32; 3]| values.map(|value| value.to_string()).join(", ");
    vec![
        ("resize", preprocessing.short_side.to_string()),
        ("crop", preprocessing.crop_height.to_string()),
        ("interpolation", preprocessing.interpolation.as_str().to_owned()),
        ("mean", list(preprocessing.mean)),
        ("std", list(preprocessing.std)),
    ]
}

/// Normalises cropped `pixels` (`[height][width][3]`) to `[3][height][width]` floats.
pub fn normalize(preprocessing: &Preprocessing, pixels: &[u8]) -> Vec<f32> {
    let mut planes = Vec::with_capacity(pixels.len());
    for channel in 0..3 {
        let (mean, std) = (preprocessing.mean[channel], preprocessing.std[channel]);
        planes.extend(pixels.iter().skip(channel).step_by(3).map(|&p| (f32::from(p) / 255.0 - mean) / std));
    }
    planes
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnext_photo::Rgb8Image;

    /// Checksums that `sources.py` beside it has written, with the transforms of the libraries that published the variants.
    const SOURCES: &str = include_str!("../../tests/fixtures/preprocess/sources.txt");

    /// Makes the pixels of `make.py`.
    fn frame(width: u32, height: u32) -> Rgb8Image {
        let mut state = width * 65536 + height;
        let mut data = Vec::new();
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            for _ in 0..3 {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                let value = (state >> 24) as u8;
                let edge = (x >> 4 ^ y >> 4) & 1 == 1;
                data.push(if edge { if value >= 128 { 255 } else { 0 } } else { value });
            }
        }
        Rgb8Image { width, height, data }
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let bit = |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
        !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
    }

    /// Covers all variants, each with the library that published it, at odd sizes, as portraits, and enlarged.
    #[test]
    fn equals_the_libraries_own_transforms() {
        let mut variants = vec![];
        let mut seen = 0;
        for line in SOURCES.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split(' ').collect();
            if line.contains('/') {
                seen += fields.len();
                variants = fields.iter().map(|id| resnext_models::find(id).expect(id)).collect();
                continue;
            }
            let [width, height, crc] = fields[..] else { panic!("malformed line {line}") };
            let image = frame(width.parse().unwrap(), height.parse().unwrap());
            let mut results: Vec<(Preprocessing, u32)> = vec![];
            for variant in &variants {
                let preprocessing = published(&variant.preprocessing);
                if results.iter().all(|(known, _)| *known != preprocessing) {
                    results.push((preprocessing, crc32(&image.crop(&preprocessing).unwrap())));
                }
            }
            for (preprocessing, result) in results {
                assert_eq!(format!("{result:08x}"), crc, "{width}x{height} {preprocessing:?}");
            }
        }
        assert_eq!(seen, resnext_models::ZOO.len());
    }
}
