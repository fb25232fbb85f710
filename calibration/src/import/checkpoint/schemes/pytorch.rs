//! torchvision, timm (also with the weights of gluon) and mmcls: the module names of torchvision's ResNet.

use resnext_models::{Library, Stem};

use super::{ConvKeys, KeyScheme, Layer, LinearKeys, TORCH_NORM, keys, prefix};
use resnext_checkpoint::TensorFile;

pub(super) const ANCHOR: &str = "layer1.0.conv1.weight";

/// The module names of torchvision's ResNet.
#[derive(Clone, Debug, Default)]
pub(crate) struct PyTorch {
    /// The prefix of every module but the classifier.
    prefix: String,
    /// The prefix of the classifier.
    head: String,
    stem: StemNames,
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

pub(super) fn recognise(file: &TensorFile) -> Option<Box<dyn KeyScheme>> {
    let prefix = prefix(file, ANCHOR)?;
    let has = |name: &str| file.get(&format!("{prefix}{name}")).is_some();
    let stem = match () {
        () if has("conv1.0.weight") => StemNames::Sequential,
        () if has("stem.0.conv.weight") => StemNames::Modules,
        () => StemNames::Plain,
    };
    let averages = |stage: &usize| {
        let [first, second] = [0, 1].map(|index| format!("{prefix}layer{stage}.0.downsample.{index}.weight"));
        // The weight of a convolution has four dimensions, that of a batch norm has one.
        let is_conv = file.get(&second).is_some_and(|entry| entry.shape.len() == 4);
        file.get(&first).is_none() && (is_conv || stem == StemNames::Sequential)
    };
    let stages = (1..).take_while(|stage| has(&format!("layer{stage}.0.conv1.weight")));
    let averaging = stages.filter(averages).collect();
    let beside_backbone = prefix.strip_suffix("backbone.").map(|before| format!("{before}head."));
    let is_head = |head: &String| file.get(&format!("{head}fc.weight")).is_some();
    let head = beside_backbone.filter(is_head).unwrap_or_else(|| prefix.clone());
    Some(Box::new(PyTorch { prefix, head, stem, averaging }))
}

impl KeyScheme for PyTorch {
    fn name(&self) -> &'static str {
        match (self.stem, self.prefix == self.head) {
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
        let (conv, norm) = match layer {
            Layer::Stem { index } => match self.stem {
                StemNames::Modules => (format!("stem.{index}.conv"), format!("stem.{index}.bn")),
                StemNames::Sequential if index < 2 => {
                    (format!("conv1.{}", 3 * index), format!("conv1.{}", 3 * index + 1))
                }
                StemNames::Sequential => (format!("conv1.{}", 3 * index), "bn1".to_owned()),
                StemNames::Plain => ("conv1".to_owned(), "bn1".to_owned()),
            },
            Layer::Conv { stage, block, index } => {
                (format!("layer{stage}.{block}.conv{index}"), format!("layer{stage}.{block}.bn{index}"))
            }
            Layer::Downsample { stage } => {
                let first = usize::from(self.averages(stage));
                let module = |index: usize| format!("layer{stage}.0.downsample.{index}");
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
