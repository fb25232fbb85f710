//! `ResNeXt101_*_wsl` of PaddleClas: the structured names of their state dictionaries.

use resnext_models::{Library, Stem};

use super::{ConvKeys, KeyScheme, Layer, LinearKeys, PADDLE_NORM, keys, prefix};
use resnext_checkpoint::TensorFile;

pub(super) const ANCHOR: &str = "_conv1_0._conv0._conv.weight";

struct Wsl {
    prefix: String,
}

pub(super) fn recognise(file: &TensorFile) -> Option<Box<dyn KeyScheme>> {
    Some(Box::new(Wsl { prefix: prefix(file, ANCHOR)? }))
}

impl KeyScheme for Wsl {
    fn name(&self) -> &'static str {
        "ppcls (wsl)"
    }

    fn libraries(&self) -> &'static [Library] {
        &[Library::Ppcls]
    }

    fn stem(&self) -> Stem {
        Stem::Plain
    }

    fn averages(&self, _: usize) -> bool {
        false
    }

    fn conv(&self, layer: Layer) -> ConvKeys {
        let module = match layer {
            Layer::Stem { .. } => "_conv_stem".to_owned(),
            Layer::Conv { stage, block, index } => format!("_conv{stage}_{block}._conv{}", index - 1),
            Layer::Downsample { stage } => format!("_conv{stage}_0._short._conv"),
        };
        let prefix = &self.prefix;
        keys(&format!("{prefix}{module}._conv"), &format!("{prefix}{module}._bn"), PADDLE_NORM)
    }

    fn linear(&self) -> LinearKeys {
        let prefix = &self.prefix;
        LinearKeys {
            weight: format!("{prefix}_out.weight"),
            bias: format!("{prefix}_out.bias"),
            transposed: true,
        }
    }
}
