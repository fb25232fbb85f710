//! A network in integers.

use crate::network::Activation;

/// A network in integers.
#[derive(Clone, Debug)]
pub(crate) struct Quantized {
    /// The quantization of each value. The entries of the logits and of the outputs of
    /// [fused](crate::network::Network::fused_into) nodes are unused.
    pub(crate) activations: Vec<Activation>,
    /// The integers of each node.
    pub(crate) layers: Vec<Layer>,
}

/// One node in integers.
#[derive(Clone, Debug)]
pub(crate) enum Layer {
    /// A convolution.
    Conv(QuantizedConv),
    /// A convolution whose products go into the accumulators of the one that it is
    /// [fused into](crate::network::Network::fused_into).
    Shortcut(QuantizedShortcut),
    /// A max pool, which passes values through unchanged.
    MaxPool,
    /// An average pool, whose sums are requantized.
    Mean {
        /// Q31 multiplier.
        multiplier: i32,
    },
    /// The classifier.
    Linear(QuantizedLinear),
}

/// Integers of a convolution, in channel order.
#[derive(Clone, Debug)]
pub(crate) struct QuantizedConv {
    /// `[out][kernel][kernel][in / groups]`, −127..=127.
    pub(crate) weights: Vec<i8>,
    /// Real value of one step of the weights, for each output channel; in the first convolution, for pixels 0..255.
    pub(crate) scales: Vec<f64>,
    /// Initial accumulators, with the zero points folded in.
    pub(crate) bias: Vec<i32>,
    /// Q31 multipliers.
    pub(crate) multiplier: Vec<i32>,
    /// Accumulator units of one step of the residual; 0 without a residual.
    pub(crate) residual: Vec<i16>,
    /// Least output: the zero point after a ReLU.
    pub(crate) clamp_min: i8,
}

/// Integers of a fused projection shortcut, in channel order.
#[derive(Clone, Debug)]
pub(crate) struct QuantizedShortcut {
    /// `[out][in]`, −127..=127.
    pub(crate) weights: Vec<i8>,
    /// Real value of one step of the weights, for each output channel.
    pub(crate) scales: Vec<f64>,
    /// Addend to the initial accumulators, with the zero point of the input folded in.
    pub(crate) bias: Vec<i32>,
}

/// Integers of the classifier, in class order.
#[derive(Clone, Debug)]
pub(crate) struct QuantizedLinear {
    /// `[out][in]`, −127..=127.
    pub(crate) weights: Vec<i8>,
    /// Real value of one step of the weights, for each class.
    pub(crate) scales: Vec<f64>,
    /// Initial accumulators, with the zero points folded in.
    pub(crate) bias: Vec<i32>,
    /// Logit of one accumulator unit.
    pub(crate) scale: Vec<f32>,
}
