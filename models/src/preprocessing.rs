//! How images are prepared for a network.

use core::fmt;

/// From a decoded image to the network's input: resize, centre crop, scale to 0..1, normalise. Always RGB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocessing {
    /// Side of the square that the network reads, in pixels.
    pub size: u16,
    /// Length to which the shorter side of the image is resized, in pixels. The aspect ratio is kept.
    pub resize: u16,
    /// `size / resize` as the library states it, before `resize` is rounded down to a pixel.
    pub crop: f32,
    /// The resampling with which the library measured its accuracy.
    pub interpolation: Interpolation,
    /// Mean of each channel, for values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, for values in 0..1.
    pub std: [f32; 3],
}

impl Preprocessing {
    /// Mean of ImageNet's training images, R, G, B.
    pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    /// Standard deviation of ImageNet's training images, R, G, B.
    pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

    /// Returns the preprocessing of nearly every library: shorter side to 256, centre crop of 224×224.
    pub const fn imagenet(interpolation: Interpolation) -> Self {
        Self {
            size: 224,
            resize: 256,
            crop: 0.875,
            interpolation,
            mean: Self::IMAGENET_MEAN,
            std: Self::IMAGENET_STD,
        }
    }
}

/// A resampling filter, and the library whose arithmetic defines it. Pillow widens the filter when it shrinks an image, and
/// OpenCV does not. This difference costs more accuracy than the one between fp32 and int8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// Pillow's `BILINEAR`, an antialiased triangle filter.
    PillowBilinear,
    /// Pillow's `BICUBIC`, an antialiased cubic filter with a = −0.5.
    PillowBicubic,
    /// OpenCV's `INTER_LINEAR`, which reads two by two pixels at any scale.
    OpenCvBilinear,
}

impl Interpolation {
    /// Returns the name in reports and artifacts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PillowBilinear => "pillow-bilinear",
            Self::PillowBicubic => "pillow-bicubic",
            Self::OpenCvBilinear => "opencv-bilinear",
        }
    }
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
