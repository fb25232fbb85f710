//! From photo to the two networks' inputs: the same cropped pixels for int8 and, normalised, for fp32.

use resnext::preprocess::{CropRounding, Filter, Recipe, SideRounding};
use resnext_models::{Interpolation, Preprocess};
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
        Self {
            recipe: Recipe {
                short_side: resize,
                crop_height: size,
                crop_width: size,
                filter: Filter::PillowBilinear,
                rounding: SideRounding::Truncate,
                crop: CropRounding::HalfEven,
            },
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }

    /// The recipe of a published variant.
    pub fn of(variant: &Preprocess) -> Self {
        let filter = match variant.interpolation {
            Interpolation::PillowBilinear => Filter::PillowBilinear,
            Interpolation::PillowBicubic => Filter::PillowBicubic,
            Interpolation::OpenCvBilinear => Filter::OpenCvBilinear,
        };
        let mut this = Self::imagenet(variant.size.into(), variant.resize.into());
        this.recipe.filter = filter;
        if filter == Filter::OpenCvBilinear {
            // Whoever resizes with OpenCV is PaddleClas, with roundings of its own.
            (this.recipe.rounding, this.recipe.crop) = (SideRounding::Nearest, CropRounding::Floor);
        }
        (this.mean, this.std) = (variant.mean, variant.std);
        this
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
