//! Published models.

use crate::architecture::Architecture;
use crate::preprocessing::Preprocessing;
use core::fmt;

/// A published model: its architecture, its preprocessing, and the accuracy that its library reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variant {
    /// The library that published the weights.
    pub library: Library,
    /// The name that the library gives the model, in lower case.
    pub name: &'static str,
    /// The shape of the network.
    pub architecture: Architecture,
    /// How images are prepared for the network.
    pub preprocessing: Preprocessing,
    /// The accuracy of fp32 that the library reports for its own validation set.
    pub published: Accuracy,
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

/// Classification accuracy in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Percentage of images whose class has the highest score.
    pub top1: f32,
    /// Percentage of images whose class is among the five highest scores.
    pub top5: f32,
}
