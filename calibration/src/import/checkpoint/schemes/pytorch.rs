//! torchvision, timm (also with the weights of gluon) and mmcls: the module names of torchvision's ResNet. NVIDIA's
//! DeepLearningExamples list its stages, and the children of a network in an `nn.Sequential` have numbers.

use resnext_models::{Library, Stem};

use super::{ConvKeys, KeyScheme, Layer, LinearKeys, TORCH_NORM, keys, prefix};
use resnext_checkpoint::TensorFile;

pub(super) const ANCHOR: &str = "layer1.0.conv1.weight";

/// The first block where stages are listed.
pub(super) const LISTED: &str = "layers.0.0.conv1.weight";
/// The first block where the children of the network have numbers: `conv1`, `bn1`, the ReLU and the pooling come before it.
pub(super) const NUMBERED: &str = "4.0.conv1.weight";

/// The module names of torchvision's ResNet.
#[derive(Clone, Debug, Default)]
pub(crate) struct PyTorch {
    /// The prefix of every module but the classifier.
    prefix: String,
    /// The prefix of the classifier.
    head: String,
    stem: StemNames,
    stages: StageNames,
    /// The stages, from 1, in which `downsample.0` is a pooling or nothing and the convolution follows it.
    averaging: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum StemNames {
    #[default]
    Plain,
    /// That of timm: one `Sequential` of convolutions, batch norms and activations, with the last batch norm outside.
    Sequential,
    /// That of mmcls: named modules.
    Modules,
}

/// The names of the stages.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum StageNames {
    /// `layer1`
    #[default]
    Named,
    /// `layers.0`
    Listed,
    /// `4`; the stem is `0` and `1`.
    Numbered,
}

impl StageNames {
    /// Returns the name of `stage`, which counts from 1.
    fn stage(self, stage: usize) -> String {
        match self {
            Self::Named => format!("layer{stage}"),
            Self::Listed => format!("layers.{}", stage - 1),
            Self::Numbered => (stage + 3).to_string(),
        }
    }

    /// Returns the names of the first convolution and its batch norm.
    fn stem(self) -> [&'static str; 2] {
        if self == Self::Numbered { ["0", "1"] } else { ["conv1", "bn1"] }
    }
}

pub(super) fn recognise(file: &TensorFile) -> Option<Box<dyn KeyScheme>> {
    let anchors =
        [(ANCHOR, StageNames::Named), (LISTED, StageNames::Listed), (NUMBERED, StageNames::Numbered)];
    let (prefix, stages) =
        anchors.iter().find_map(|&(anchor, stages)| Some((prefix(file, anchor)?, stages)))?;
    let has = |name: &str| file.get(&format!("{prefix}{name}")).is_some();
    let [conv1, bn1] = stages.stem();
    if stages != StageNames::Named && !has(&format!("{bn1}.running_mean")) {
        return None;
    }
    let stem = match () {
        () if has(&format!("{conv1}.0.weight")) => StemNames::Sequential,
        () if has("stem.0.conv.weight") => StemNames::Modules,
        () => StemNames::Plain,
    };
    let averages = |stage: &usize| {
        let stage = stages.stage(*stage);
        let [first, second] = [0, 1].map(|index| format!("{prefix}{stage}.0.downsample.{index}.weight"));
        // The weight of a convolution has four dimensions, that of a batch norm has one.
        let is_conv = file.get(&second).is_some_and(|entry| entry.shape.len() == 4);
        file.get(&first).is_none() && (is_conv || stem == StemNames::Sequential)
    };
    let found = (1..).take_while(|&stage| has(&format!("{}.0.conv1.weight", stages.stage(stage))));
    let averaging = found.filter(averages).collect();
    let beside_backbone = prefix.strip_suffix("backbone.").map(|before| format!("{before}head."));
    let is_head = |head: &String| file.get(&format!("{head}fc.weight")).is_some();
    let head = beside_backbone.filter(is_head).unwrap_or_else(|| prefix.clone());
    Some(Box::new(PyTorch { prefix, head, stem, stages, averaging }))
}

impl KeyScheme for PyTorch {
    fn name(&self) -> &'static str {
        match (self.stem, self.prefix == self.head) {
            _ if self.stages == StageNames::Listed => "NVIDIA's DeepLearningExamples",
            _ if self.stages == StageNames::Numbered => "an nn.Sequential of torchvision's modules",
            (StemNames::Sequential, _) => "timm",
            (StemNames::Modules, _) | (_, false) => "mmcls",
            (StemNames::Plain, true) => "torchvision",
        }
    }

    fn libraries(&self) -> &'static [Library] {
        match (self.stem, self.prefix == self.head) {
            (StemNames::Sequential, _) => &[Library::Timm],
            (StemNames::Modules, _) | (_, false) => &[Library::Mmcls],
            (StemNames::Plain, true) => &[Library::Torchvision, Library::Timm, Library::Bundled],
        }
    }

    fn stem(&self) -> Stem {
        if self.stem == StemNames::Plain { Stem::Plain } else { Stem::Deep }
    }

    fn averages(&self, stage: usize) -> bool {
        self.averaging.contains(&stage)
    }

    fn conv(&self, layer: Layer) -> ConvKeys {
        let [conv1, bn1] = self.stages.stem();
        let (conv, norm) = match layer {
            Layer::Stem { index } => match self.stem {
                StemNames::Modules => (format!("stem.{index}.conv"), format!("stem.{index}.bn")),
                StemNames::Sequential if index < 2 => {
                    (format!("{conv1}.{}", 3 * index), format!("{conv1}.{}", 3 * index + 1))
                }
                StemNames::Sequential => (format!("{conv1}.{}", 3 * index), bn1.to_owned()),
                StemNames::Plain => (conv1.to_owned(), bn1.to_owned()),
            },
            Layer::Conv { stage, block, index } => {
                let stage = self.stages.stage(stage);
                (format!("{stage}.{block}.conv{index}"), format!("{stage}.{block}.bn{index}"))
            }
            Layer::Downsample { stage } => {
                let first = usize::from(self.averages(stage));
                let stage = self.stages.stage(stage);
                let module = |index: usize| format!("{stage}.0.downsample.{index}");
                (module(first), module(first + 1))
            }
        };
        let prefix = &self.prefix;
        keys(&format!("{prefix}{conv}"), &format!("{prefix}{norm}"), TORCH_NORM)
    }

    fn linear(&self) -> LinearKeys {
        let head = &self.head;
        LinearKeys { weight: format!("{head}fc.weight"), bias: format!("{head}fc.bias"), transposed: false }
    }
}
