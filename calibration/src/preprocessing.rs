//! From photo to the two networks' inputs: the same cropped pixels for int8 and, normalised, for fp32.

use resnext::preprocess::{CropRounding, Interpolation, Preprocessing as Recipe, SideRounding};
use resnext_models::{Interpolation as Published, Preprocessing as Variant};
use resnext_photo::Rgb8Image;

/// What a checkpoint expects of its input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocessing {
    /// Resize and crop.
    pub recipe: Recipe,
    /// Mean of each RGB channel, of pixels in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each RGB channel, of pixels in 0..1.
    pub std: [f32; 3],
}

impl Preprocessing {
    /// torchvision's recipe for ImageNet: short side `resize`, centre crop `size`, bilinear.
    pub fn imagenet(size: u32, resize: u32) -> Self {
        let recipe = Recipe::imagenet(size, resize);
        Self { recipe, mean: recipe.mean, std: recipe.std }
    }

    /// The recipe of a published variant, to the byte: torchvision's, timm's and mmcls' round sizes as
    /// [`Self::imagenet`] does, PaddleClas, which alone resizes with OpenCV, by its own rules.
    pub fn of(variant: &Variant) -> Self {
        let imagenet = Self::imagenet(variant.size.into(), variant.resize.into()).recipe;
        let recipe = match variant.interpolation {
            Published::PillowBilinear => imagenet,
            Published::PillowBicubic => Recipe { interpolation: Interpolation::PillowBicubic, ..imagenet },
            Published::OpenCvBilinear => Recipe {
                interpolation: Interpolation::OpenCvBilinear,
                side_rounding: SideRounding::Nearest,
                crop_rounding: CropRounding::Floor,
                ..imagenet
            },
        };
        Self { recipe, mean: variant.mean, std: variant.std }
    }

    /// What a user of a network has to know to prepare images for it, as keys and values: the metadata of ONNX files.
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let list = |values: [f32; 3]| values.map(|value| value.to_string()).join(", ");
        vec![
            ("resize", self.recipe.short_side.to_string()),
            ("crop", self.recipe.crop_height.to_string()),
            ("interpolation", self.recipe.interpolation.as_str().to_owned()),
            ("mean", list(self.mean)),
            ("std", list(self.std)),
        ]
    }

    /// Resizes and crops `image` to `crop_height × crop_width × 3` bytes.
    ///
    /// # Errors
    ///
    /// If the image is larger than the runtime's limit; the text says so.
    pub fn crop(&self, image: &Rgb8Image) -> Result<Vec<u8>, String> {
        image.crop(&self.recipe)
    }

    /// Normalises cropped pixels to `[3][height][width]` floats.
    pub fn normalize(&self, pixels: &[u8]) -> Vec<f32> {
        let mut planes = Vec::with_capacity(pixels.len());
        for channel in 0..3 {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            planes
                .extend(pixels.iter().skip(channel).step_by(3).map(|&p| (f32::from(p) / 255.0 - mean) / std));
        }
        planes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by `sources.py` beside it, with the transforms of the variants' own libraries.
    const SOURCES: &str = include_str!("../../tests/fixtures/preprocess/sources.txt");

    /// The pixels of `make.py`.
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

    /// All variants, each by its own library, at odd sizes, as portraits, enlarged.
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
            let mut results: Vec<(Recipe, u32)> = vec![];
            for variant in &variants {
                let recipe = Preprocessing::of(&variant.preprocessing).recipe;
                if results.iter().all(|(known, _)| *known != recipe) {
                    results.push((recipe, crc32(&image.crop(&recipe).unwrap())));
                }
            }
            for (recipe, result) in results {
                assert_eq!(format!("{result:08x}"), crc, "{width}x{height} {recipe:?}");
            }
        }
        assert_eq!(seen, resnext_models::ZOO.len());
    }
}
