//! The vocabulary that describes one published ResNeXt.

use core::fmt;

/// One published model: a topology, how images are prepared for it, and the accuracy its source reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variant {
    /// The library that published the weights.
    pub source: Source,
    /// The library's name for the model, in lower case.
    pub name: &'static str,
    /// The shape of the network.
    pub architecture: Architecture,
    /// What happens to an image before the network sees it.
    pub preprocess: Preprocessing,
    /// The source's own fp32 accuracy on its own validation set, not ours.
    pub published: Accuracy,
}

/// Writes `source/name`, which [`find`](crate::find) reads.
impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.name)
    }
}

/// Where weights come from; it decides how the keys of a checkpoint are spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// PyTorch's torchvision.
    Torchvision,
    /// timm (PyTorch Image Models), including the weights it took over from GluonCV and torchvision.
    Timm,
    /// OpenMMLab's mmcls, since renamed mmpretrain.
    Mmcls,
    /// PaddlePaddle's PaddleClas.
    Ppcls,
    /// Trained for this project; see [`reference`](crate::reference).
    Bundled,
}

impl Source {
    /// The sources, in the order of the zoo.
    pub const ALL: [Self; 5] = [Self::Torchvision, Self::Timm, Self::Mmcls, Self::Ppcls, Self::Bundled];

    /// The name used on the command line and in artifacts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Torchvision => "torchvision",
            Self::Timm => "timm",
            Self::Mmcls => "mmcls",
            Self::Ppcls => "ppcls",
            Self::Bundled => "bundled",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The parameters from which every layer of a ResNeXt follows; see [`Architecture::layers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Architecture {
    /// Bottleneck blocks in each of the four stages.
    pub blocks: [u8; 4],
    /// Groups of the 3×3 convolutions: the 32 of 32x4d.
    pub cardinality: u16,
    /// Channels a group in the first stage, per 64 [`planes`](Self::planes): the 4 of 32x4d.
    pub base_width: u16,
    /// A quarter of the first stage's output channels, 64 in every published variant; doubles with each stage.
    pub planes: u16,
    /// The layers before the first max pooling.
    pub stem: Stem,
    /// How a block that changes its resolution or channel count brings its input to the same shape.
    pub shortcut: Shortcut,
    /// Outputs of the classifier.
    pub classes: u16,
}

impl Architecture {
    /// The family's usual shape: 7×7 stem, projection shortcuts, 1000 classes.
    pub const fn resnext(blocks: [u8; 4], cardinality: u16, base_width: u16) -> Self {
        Self {
            blocks,
            cardinality,
            base_width,
            planes: 64,
            stem: Stem::Plain,
            shortcut: Shortcut::Projection,
            classes: 1000,
        }
    }

    /// The same network with a deep stem and average-pooled shortcuts: timm's `d`, Paddle's `vd`.
    pub const fn vd(self) -> Self {
        Self { stem: Stem::Deep, shortcut: Shortcut::AvgPool, ..self }
    }

    /// Weighted layers on the longest path, the number in the network's name: stem + 3 a block + classifier.
    pub const fn depth(&self) -> usize {
        let [a, b, c, d] = self.blocks;
        2 + 3 * (a as usize + b as usize + c as usize + d as usize)
    }
}

/// The layers before the first max pooling. Both halve the resolution and give 64 channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stem {
    /// One 7×7 convolution, stride 2.
    Plain,
    /// Three 3×3 convolutions of 32, 32 and 64 channels, stride 2 on the first.
    Deep,
}

/// The shortcut of the first block of each stage. The first stage keeps its resolution, so there both are a 1×1
/// convolution; they differ in stages 2 to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shortcut {
    /// 1×1 convolution, stride 2.
    Projection,
    /// 2×2 average pooling, stride 2 (ceil mode, padding not counted), then a 1×1 convolution, stride 1.
    AvgPool,
}

/// From a decoded image to the network's input: resize, centre crop, scale to 0..1, normalise. Always RGB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocessing {
    /// Side in pixels of the square the network sees.
    pub size: u16,
    /// Length in pixels to which the image's shorter side is resized; the aspect ratio is kept.
    pub resize: u16,
    /// `size / resize` as the source states it, before `resize` was rounded down to a pixel.
    pub crop: f32,
    /// Whose resampling the source measured its accuracy with.
    pub interpolation: Interpolation,
    /// Mean of each channel, of values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, of values in 0..1.
    pub std: [f32; 3],
}

impl Preprocessing {
    /// Mean of ImageNet's training images, R, G, B.
    pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    /// Standard deviation of ImageNet's training images, R, G, B.
    pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

    /// The evaluation transform nearly every source uses: shorter side to 256, centre 224×224.
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

/// A resampling filter, and the library whose arithmetic defines it. The two differ more than fp32 and int8 do:
/// Pillow widens the filter when it shrinks an image, OpenCV does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// Pillow's `BILINEAR`: antialiased triangle filter.
    PillowBilinear,
    /// Pillow's `BICUBIC`: antialiased cubic filter, a = −0.5.
    PillowBicubic,
    /// OpenCV's `INTER_LINEAR`: two by two pixels, whatever the scale.
    OpenCvBilinear,
}

impl Interpolation {
    /// The name used in reports and artifacts.
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

/// Classification accuracy in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Percentage of images whose class has the highest score.
    pub top1: f32,
    /// Percentage of images whose class is among the five highest scores.
    pub top5: f32,
}
