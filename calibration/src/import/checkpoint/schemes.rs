//! The names that libraries give their tensors.
//!
//! | scheme | stem | blocks | classifier |
//! |---|---|---|---|
//! | [`pytorch`]: torchvision, timm, gluon | `conv1`, `bn1`; deep: `conv1.{0,3,6}`, `conv1.{1,4}`, `bn1` | `layer1.0.conv1`, `.bn1`, `.downsample.{0,1}` | `fc` |
//! | [`pytorch`]: mmcls | the same after `backbone.`; deep: `stem.0.conv`, `stem.0.bn` | the same | `head.fc` |
//! | [`pytorch`]: NVIDIA; an `nn.Sequential` | the same; `0`, `1` | `layers.0.0.conv1`; `4.0.conv1` | `fc`; `9` |
//! | [`transformers`] | `embedder.embedder` | `encoder.stages.0.layers.0.layer.0` | `classifier.1` |
//! | [`ppcls`] | `conv._conv`, `conv._batch_norm`; deep: `conv1_1._conv` | `bb_0_0.conv0._conv`, `.short._conv` | `out` |
//! | [`ppcls_wsl`] | `_conv_stem._conv`, `_conv_stem._bn` | `_conv1_0._conv0._conv`, `._short._conv._conv` | `_out` |
//! | [`paddle_program`] | `res_conv1_weights`, `bn_conv1_scale`; deep: `conv1_1_weights`, `bnv1_1_scale` | `res2a_branch2a_weights`, `bn2a_branch1_scale` | `fc_weights` |
//!
//! Paddle stores the classifier as `[features, classes]`. A scheme is recognised by the name of its first block, with any prefix:
//! training wrappers add `module.` or `model.`.

mod paddle_program;
mod ppcls;
mod ppcls_wsl;
mod pytorch;
mod transformers;

use resnext_models::{Library, Stem};

use resnext_checkpoint::{FileError, TensorFile};

use crate::import::error::ImportErrorKind;

/// The position of a convolution in a ResNeXt. Stages and convolutions count from 1, blocks from 0.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layer {
    /// The 7×7 convolution, which has index 0, or one of the three convolutions of a deep stem, 0 to 2.
    Stem {
        /// The index of the convolution.
        index: usize,
    },
    /// Convolution `index` (1 to 3) of a bottleneck.
    Conv {
        /// The stage, from 1.
        stage: usize,
        /// The block of the stage, from 0.
        block: usize,
        /// 1 for the reducing 1×1 convolution, 2 for the grouped 3×3, 3 for the expanding 1×1.
        index: usize,
    },
    /// The projection on the shortcut of the first block of a stage.
    Downsample {
        /// The stage, from 1.
        stage: usize,
    },
}

/// The names of the tensors of one convolution and its batch norm.
#[derive(Clone, Debug)]
pub(super) struct ConvKeys {
    /// The weight, `[out, in / groups, kh, kw]`.
    pub(super) weight: String,
    /// The scale, the shift, the running mean and running variance, each `[out]`.
    pub(super) batch_norm: [String; 4],
}

/// The names of the tensors of the classifier.
#[derive(Clone, Debug)]
pub(super) struct LinearKeys {
    /// The weight.
    pub(super) weight: String,
    /// The bias, `[classes]`.
    pub(super) bias: String,
    /// Whether the weight is `[features, classes]` and not `[classes, features]`.
    pub(super) transposed: bool,
}

/// The names that a library gives the tensors of one file.
pub(super) trait KeyScheme {
    /// Returns the name of the library, for messages.
    fn name(&self) -> &'static str;
    /// Returns the libraries that name the tensors of a network in this way.
    fn libraries(&self) -> &'static [Library];
    /// Returns the kind of stem in the file.
    fn stem(&self) -> Stem;
    /// Whether the first block of `stage` averages its input before the projection, if it has a stride. The projection itself looks
    /// the same either way, so only its name can tell.
    fn averages(&self, stage: usize) -> bool;
    /// Returns the names for one convolution.
    fn conv(&self, layer: Layer) -> ConvKeys;
    /// Returns the names for the classifier.
    fn linear(&self) -> LinearKeys;
    /// Whether a tensor plays no part in inference.
    fn ignores(&self, name: &str) -> bool {
        name.ends_with(".num_batches_tracked")
    }
}

/// Returns the scheme that the names in `file` follow.
///
/// # Errors
///
/// If there are several networks under different prefixes.
pub(super) fn recognise(file: &TensorFile) -> Result<Option<Box<dyn KeyScheme>>, ImportErrorKind> {
    for anchor in ANCHORS.into_iter().chain([pytorch::LISTED, pytorch::NUMBERED, transformers::ANCHOR]) {
        let mut prefixes = prefixes(file, anchor);
        if anchor == pytorch::NUMBERED {
            prefixes.retain(|prefix| file.get(&format!("{prefix}1.running_mean")).is_some());
        }
        if prefixes.len() > 1 && !prefixes.contains(&String::new()) {
            let names = prefixes.iter().map(|prefix| prefix.trim_end_matches('.').to_owned()).collect();
            return Err(ImportErrorKind::File(FileError::SeveralWeights(names)));
        }
    }
    let all = [
        pytorch::recognise,
        ppcls::recognise,
        ppcls_wsl::recognise,
        paddle_program::recognise,
        transformers::recognise,
    ];
    Ok(all.iter().find_map(|recognise| recognise(file)))
}

/// The usual names by which schemes are recognised, for messages.
pub(super) const ANCHORS: [&str; 4] =
    [pytorch::ANCHOR, ppcls::ANCHOR, ppcls_wsl::ANCHOR, paddle_program::ANCHOR];

/// Returns the prefix of `anchor` in the name that ends in it: nothing, or a path that ends in a dot.
fn prefix(file: &TensorFile, anchor: &str) -> Option<String> {
    prefixes(file, anchor).into_iter().min_by_key(String::len)
}

/// Returns all prefixes of `anchor`.
fn prefixes(file: &TensorFile, anchor: &str) -> Vec<String> {
    let prefix = |name: &str| Some(name.strip_suffix(anchor)?.to_owned());
    file.names().filter_map(prefix).filter(|prefix| prefix.is_empty() || prefix.ends_with('.')).collect()
}

/// Returns the names for a convolution `conv` and a batch norm `norm`.
fn keys(conv: &str, norm: &str, tensors: [&str; 4]) -> ConvKeys {
    ConvKeys {
        weight: format!("{conv}.weight"),
        batch_norm: tensors.map(|tensor| format!("{norm}.{tensor}")),
    }
}

/// Tensors of a batch norm in PyTorch.
const TORCH_NORM: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];
/// Tensors of a batch norm in Paddle.
const PADDLE_NORM: [&str; 4] = ["weight", "bias", "_mean", "_variance"];
