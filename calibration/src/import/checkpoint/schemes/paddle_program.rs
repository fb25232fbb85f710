//! Exported Paddle programs: the names that PaddleClas gives the parameters of `ResNeXt` and `ResNeXt_vd`, after those of the
//! original Caffe ResNet. The parameters of the WSL models have the names of PyTorch.

use resnext_models::{Library, Stem};

use super::{ConvKeys, KeyScheme, Layer, LinearKeys, prefix};
use resnext_checkpoint::TensorFile;

pub(super) const ANCHOR: &str = "res2a_branch2a_weights";

struct Program {
    prefix: String,
    /// The name of the convolution of a plain stem; `None` for a deep stem, whose networks have averaging shortcuts.
    stem: Option<&'static str>,
    /// Whether the blocks of stage 3 are `4a`, `4b1`, `4b2`, …, as in networks of depth 101 and 152, and not `4a`, `4b`, `4c`, ….
    numbered: bool,
}

pub(super) fn recognise(file: &TensorFile) -> Option<Box<dyn KeyScheme>> {
    let prefix = prefix(file, ANCHOR)?;
    let has = |name: &str| file.get(&format!("{prefix}{name}")).is_some();
    let stem = match () {
        () if has("conv1_1_weights") => None,
        // The programs of Paddle 1.
        () if has("conv1_weights") => Some("conv1"),
        () => Some("res_conv1"),
    };
    let numbered = has("res4b1_branch2a_weights");
    Some(Box::new(Program { prefix, stem, numbered }))
}

impl Program {
    /// Returns the name of a block, such as `2a` or `4b1`.
    fn block(&self, stage: usize, block: usize) -> String {
        let stage_name = stage + 1;
        if self.numbered && stage == 3 && block > 0 {
            return format!("{stage_name}b{block}");
        }
        // No network goes beyond `z`. Any name will do there, since it will not be found.
        let letter = u8::try_from(block).ok().and_then(|block| b'a'.checked_add(block)).unwrap_or(b'?');
        format!("{stage_name}{}", char::from(letter))
    }
}

impl KeyScheme for Program {
    fn name(&self) -> &'static str {
        "an exported Paddle program"
    }

    fn libraries(&self) -> &'static [Library] {
        &[Library::Ppcls]
    }

    fn stem(&self) -> Stem {
        if self.stem.is_some() { Stem::Plain } else { Stem::Deep }
    }

    fn averages(&self, _: usize) -> bool {
        self.stem.is_none()
    }

    fn conv(&self, layer: Layer) -> ConvKeys {
        let (conv, norm) = match (layer, self.stem) {
            (Layer::Stem { .. }, Some(stem)) => (stem.to_owned(), "bn_conv1".to_owned()),
            (Layer::Stem { index }, None) => (format!("conv1_{}", index + 1), format!("bnv1_{}", index + 1)),
            (Layer::Conv { stage, block, index }, _) => {
                let branch = ["a", "b", "c"][index - 1];
                let name = format!("{}_branch2{branch}", self.block(stage, block));
                (format!("res{name}"), format!("bn{name}"))
            }
            (Layer::Downsample { stage }, _) => {
                let name = format!("{}_branch1", self.block(stage, 0));
                (format!("res{name}"), format!("bn{name}"))
            }
        };
        let prefix = &self.prefix;
        let batch_norm =
            ["scale", "offset", "mean", "variance"].map(|tensor| format!("{prefix}{norm}_{tensor}"));
        ConvKeys { weight: format!("{prefix}{conv}_weights"), batch_norm }
    }

    fn linear(&self) -> LinearKeys {
        let prefix = &self.prefix;
        LinearKeys {
            weight: format!("{prefix}fc_weights"),
            bias: format!("{prefix}fc_offset"),
            transposed: true,
        }
    }
}
