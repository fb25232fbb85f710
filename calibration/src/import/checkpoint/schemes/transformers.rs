//! `ResNetForImageClassification` of transformers.

use resnext_models::{Library, Stem};

use super::{ConvKeys, KeyScheme, Layer, LinearKeys, TORCH_NORM, keys, prefix};
use resnext_checkpoint::TensorFile;

pub(super) const ANCHOR: &str = "encoder.stages.0.layers.0.layer.0.convolution.weight";

struct Transformers {
    /// The prefix of every module but the classifier.
    prefix: String,
}

pub(super) fn recognise(file: &TensorFile) -> Option<Box<dyn KeyScheme>> {
    Some(Box::new(Transformers { prefix: prefix(file, ANCHOR)? }))
}

impl KeyScheme for Transformers {
    fn name(&self) -> &'static str {
        "transformers"
    }

    fn libraries(&self) -> &'static [Library] {
        &[]
    }

    fn stem(&self) -> Stem {
        Stem::Plain
    }

    fn averages(&self, _: usize) -> bool {
        false
    }

    fn conv(&self, layer: Layer) -> ConvKeys {
        let module = match layer {
            Layer::Stem { .. } => "embedder.embedder".to_owned(),
            Layer::Conv { stage, block, index } => {
                format!("encoder.stages.{}.layers.{block}.layer.{}", stage - 1, index - 1)
            }
            Layer::Downsample { stage } => format!("encoder.stages.{}.layers.0.shortcut", stage - 1),
        };
        let prefix = &self.prefix;
        keys(&format!("{prefix}{module}.convolution"), &format!("{prefix}{module}.normalization"), TORCH_NORM)
    }

    fn linear(&self) -> LinearKeys {
        let around = self.prefix.strip_suffix("resnet.").unwrap_or(&self.prefix);
        LinearKeys {
            weight: format!("{around}classifier.1.weight"),
            bias: format!("{around}classifier.1.bias"),
            transposed: false,
        }
    }
}
