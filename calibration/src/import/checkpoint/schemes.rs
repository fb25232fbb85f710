//! What the source libraries call their tensors.
//!
//! | scheme | stem | blocks | classifier |
//! |---|---|---|---|
//! | [`pytorch`]: torchvision, timm, gluon | `conv1`, `bn1`; deep: `conv1.{0,3,6}`, `conv1.{1,4}`, `bn1` | `layer1.0.conv1`, `.bn1`, `.downsample.{0,1}` | `fc` |
//! | [`pytorch`]: mmcls | the same after `backbone.`; deep: `stem.0.conv`, `stem.0.bn` | the same | `head.fc` |
//! | [`ppcls`] | `conv._conv`, `conv._batch_norm`; deep: `conv1_1._conv` | `bb_0_0.conv0._conv`, `.short._conv` | `out` |
//! | [`ppcls_wsl`] | `_conv_stem._conv`, `_conv_stem._bn` | `_conv1_0._conv0._conv`, `._short._conv._conv` | `_out` |
//! | [`paddle_program`] | `res_conv1_weights`, `bn_conv1_scale`; deep: `conv1_1_weights`, `bnv1_1_scale` | `res2a_branch2a_weights`, `bn2a_branch1_scale` | `fc_weights` |
//!
//! Paddle stores the classifier as `[features, classes]`. A scheme is recognised by its first block, whatever comes
//! before the name: training wrappers put `module.` or `model.` there.

mod paddle_program;
mod ppcls;
mod ppcls_wsl;
mod pytorch;

use resnext_models::Stem;

use resnext_checkpoint::TensorFile;

/// A convolution's position in a ResNeXt. Stages and convolutions count from 1, blocks from 0.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layer {
    /// The 7×7 convolution, which is number 0, or one of the three of a deep stem, 0 to 2.
    Stem {
        /// Which of them.
        index: usize,
    },
    /// Convolution `index` (1 to 3) of a bottleneck.
    Conv {
        /// Stage, from 1.
        stage: usize,
        /// Block of the stage, from 0.
        block: usize,
        /// 1: reducing 1×1; 2: grouped 3×3; 3: expanding 1×1.
        index: usize,
    },
    /// The projection on the shortcut of a stage's first block.
    Downsample {
        /// Stage, from 1.
        stage: usize,
    },
}

/// Names of the tensors of one convolution and its batch norm.
#[derive(Clone, Debug)]
pub(super) struct ConvKeys {
    /// Weight, `[out, in / groups, kh, kw]`.
    pub(super) weight: String,
    /// Scale, shift, running mean and running variance, each `[out]`.
    pub(super) batch_norm: [String; 4],
}

/// Names of the classifier's tensors.
#[derive(Clone, Debug)]
pub(super) struct LinearKeys {
    /// Weight.
    pub(super) weight: String,
    /// Bias, `[classes]`.
    pub(super) bias: String,
    /// The weight is `[features, classes]` and not `[classes, features]`.
    pub(super) transposed: bool,
}

/// What one source library calls the tensors of one file.
pub(super) trait KeyScheme {
    /// Name of the source, for messages.
    fn name(&self) -> &'static str;
    /// The stem that the file has.
    fn stem(&self) -> Stem;
    /// Whether the first block of `stage` averages its input before the projection, if it has a stride. A projection
    /// looks the same either way; only its name can tell.
    fn averages(&self, stage: usize) -> bool;
    /// Names for one convolution.
    fn conv(&self, layer: Layer) -> ConvKeys;
    /// Names for the classifier.
    fn linear(&self) -> LinearKeys;
    /// Whether a tensor plays no part in inference.
    fn ignores(&self, name: &str) -> bool {
        name.ends_with(".num_batches_tracked")
    }
}

/// The scheme that the names in `file` follow.
pub(super) fn recognise(file: &TensorFile) -> Option<Box<dyn KeyScheme>> {
    [pytorch::recognise, ppcls::recognise, ppcls_wsl::recognise, paddle_program::recognise]
        .iter()
        .find_map(|recognise| recognise(file))
}

/// The name by which each scheme is recognised, for messages.
pub(super) const ANCHORS: [&str; 4] =
    [pytorch::ANCHOR, ppcls::ANCHOR, ppcls_wsl::ANCHOR, paddle_program::ANCHOR];

/// What comes before `anchor` in the first name that ends in it: nothing, or a path that ends in a dot.
fn prefix(file: &TensorFile, anchor: &str) -> Option<String> {
    let prefix = |name: &str| Some(name.strip_suffix(anchor)?.to_owned());
    file.names().filter_map(prefix).find(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

/// Names of a convolution called `conv` and a batch norm called `norm`.
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
