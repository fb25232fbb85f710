//! `ResNeXt` and `ResNeXt_vd` of PaddleClas: the structured names of their state dictionaries.

use resnext_models::{Library, Stem};

use super::{ConvKeys, KeyScheme, Layer, LinearKeys, PADDLE_NORM, keys, prefix};
use resnext_checkpoint::TensorFile;

pub(super) const ANCHOR: &str = "bb_0_0.conv0._conv.weight";

struct Ppcls {
    prefix: String,
    /// Whether it is a `vd` network, with a deep stem and averaging shortcuts.
    deep: bool,
}

pub(super) fn recognise(file: &TensorFile) -> Option<Box<dyn KeyScheme>> {
    let prefix = prefix(file, ANCHOR)?;
    let deep = file.get(&format!("{prefix}conv1_1._conv.weight")).is_some();
    Some(Box::new(Ppcls { prefix, deep }))
}

impl KeyScheme for Ppcls {
    fn name(&self) -> &'static str {
        "ppcls"
    }

    fn libraries(&self) -> &'static [Library] {
        &[Library::Ppcls]
    }

    fn stem(&self) -> Stem {
        if self.deep { Stem::Deep } else { Stem::Plain }
    }

    fn averages(&self, _: usize) -> bool {
        self.deep
    }

    fn conv(&self, layer: Layer) -> ConvKeys {
        let module = match layer {
            Layer::Stem { index } if self.deep => format!("conv1_{}", index + 1),
            Layer::Stem { .. } => "conv".to_owned(),
            Layer::Conv { stage, block, index } => format!("bb_{}_{block}.conv{}", stage - 1, index - 1),
            Layer::Downsample { stage } => format!("bb_{}_0.short", stage - 1),
        };
        let prefix = &self.prefix;
        keys(&format!("{prefix}{module}._conv"), &format!("{prefix}{module}._batch_norm"), PADDLE_NORM)
    }

    fn linear(&self) -> LinearKeys {
        let prefix = &self.prefix;
        LinearKeys {
            weight: format!("{prefix}out.weight"),
            bias: format!("{prefix}out.bias"),
            transposed: true,
        }
    }
}
