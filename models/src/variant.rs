//! Published models.

use crate::architecture::Architecture;
use crate::preprocessing::Preprocessing;
use core::fmt;

/// A published model: its architecture, its preprocessing, and the accuracy that its library reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variant {
    /// The library that published the weights.
    pub library: Library,
    /// The name that the library gives the model, in lower case. Where the library publishes several weights of a model, the tag of
    /// one of them follows a dot, such as `resnext50_32x4d.a1_in1k`; a name without a tag is that of the weights that the model
    /// zoo's page lists.
    pub name: &'static str,
    /// The shape of the network.
    pub architecture: Architecture,
    /// How images are prepared for the network.
    pub preprocessing: Preprocessing,
    /// The second input size at which the library evaluates the weights, if it names one.
    pub test: Option<TestSize>,
    /// The accuracy of fp32 that the library reports for its own validation set, with this preprocessing.
    pub published: Accuracy,
    /// The cost that the model zoo's page states, if it does. [`Architecture::params`] and [`Architecture::macs`] count it.
    pub stated: Option<Cost>,
}

/// Writes `library/name`, which [`find`](crate::find) reads.
impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.library, self.name)
    }
}

/// The library that published weights. It decides how the keys of a checkpoint are spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Library {
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

impl Library {
    /// All libraries, in the order of the zoo.
    pub const ALL: [Self; 5] = [Self::Torchvision, Self::Timm, Self::Mmcls, Self::Ppcls, Self::Bundled];

    /// Returns the name in identifiers and artifacts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Torchvision => "torchvision",
            Self::Timm => "timm",
            Self::Mmcls => "mmcls",
            Self::Ppcls => "ppcls",
            Self::Bundled => "bundled",
        }
    }

    /// Returns whether the library turned photos upright by their EXIF orientation when it trained and measured. Those that
    /// read photos with OpenCV do (`cv2.imdecode`), and those that use Pillow do not.
    pub const fn applies_exif(self) -> bool {
        matches!(self, Self::Mmcls | Self::Ppcls)
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An input size, and what of the resized image it shows: timm's `test_input_size` and `test_crop_pct`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TestSize {
    /// Side of the square that the network reads, in pixels.
    pub size: u16,
    /// `size` divided by the length of the shorter side of the resized image.
    pub crop: f32,
}

/// What somebody else has counted for one inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-accumulates; PaddleClas counts floating-point operations, about two for each.
    pub operations: u64,
    /// Parameters.
    pub params: u64,
    /// Side of the input, in pixels.
    pub size: u16,
}

/// Classification accuracy in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Percentage of images whose class has the highest score.
    pub top1: f32,
    /// Percentage of images whose class is among the five highest scores.
    pub top5: f32,
}
