//! From fp32 layers and calibrated ranges to integers.
//!
//! Weights are symmetric int8 for each output channel (no −128), activations are asymmetric int8 for each tensor over all 256
//! levels, and zero points are folded into int32 biases. Four choices are this project's own:
//!
//! * Normalisation is folded into the first convolution. Its input is then the pixel itself, `q = p − 128`, which loses
//!   nothing, and the runtime does not normalise.
//! * Where a residual is added, the weight scale of each output channel is widened until one step of the residual is a whole
//!   number of accumulator units. The addition then happens in int32 without any rounding.
//! * A projection shortcut is [fused](Network::fused_into) into the convolution that adds it: the products of both go into the
//!   same accumulators, so that its output is never rounded. The accumulator unit of a channel is the coarser of the two that
//!   the largest weights ask for, and the scales of both follow from it.
//! * The mean over all pixels is the sum, in two digits, and needs no range.
//!
//! | module | role |
//! |---|---|
//! | `layer` | what a quantized network consists of |
//! | `convolution`, `shortcut`, `mean`, `classifier` | one kind of layer each |
//! | `pixels` | the normalisation, folded into the first convolution |
//! | `weights` | weights and biases → integers |
//! | `weight_rounding` | the weights of a row, rounded together |
//! | `moments` | means and covariances of what the layers read |

mod classifier;
mod convolution;
mod layer;
mod mean;
pub(crate) mod moments;
mod pixels;
mod shortcut;
mod weight_rounding;
mod weights;

use crate::network::{Activation, Network, Op, Range, ValueId};
use classifier::quantize_linear;
use convolution::{Added, quantize_conv};
use mean::{mean_in_digits, quantize_mean};
use moments::Moments;
use pixels::fold_normalization;
use resnext::preprocess::Preprocessing;
use shortcut::{Pair, quantize_shortcut};

pub(crate) use layer::{Layer, Quantized, QuantizedConv, QuantizedLinear, QuantizedShortcut};

/// A layer whose numbers do not fit the integer arithmetic. Displays as one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "layer {layer}: {what}; check that the weights belong to this network and that the samples are photos"
)]
pub struct QuantizeError {
    /// Name of the node.
    pub layer: String,
    /// What does not fit.
    pub what: &'static str,
}

/// Quantizes a folded `network` so that activation `i` covers `ranges[i]`.
///
/// `ranges` has an entry for every value. The entries of the image and of nodes that [have no range](Network::has_range) are
/// ignored.
///
/// # Errors
///
/// If a layer's scales are so extreme that its integers overflow.
///
/// # Panics
///
/// If a batch norm has not been folded.
pub(crate) fn quantize(
    network: &Network,
    ranges: &[Range],
    preprocessing: &Preprocessing,
) -> Result<Quantized, QuantizeError> {
    let outputs: Vec<Activation> = ranges.iter().map(|&range| Activation::covering(range)).collect();
    quantize_to(network, &outputs, preprocessing)
}

/// Quantizes a folded `network` so that activation `i` is `outputs[i]`, which has an entry for every value, as the `ranges` of
/// [`quantize`] have. Weights that are [integers](crate::network::Weights::steps) stay the same integers, as far as the
/// arithmetic allows; see [`crate::compiler`] for the exceptions.
///
/// # Errors
///
/// As for [`quantize`].
///
/// # Panics
///
/// As for [`quantize`].
pub(crate) fn quantize_to(
    network: &Network,
    outputs: &[Activation],
    preprocessing: &Preprocessing,
) -> Result<Quantized, QuantizeError> {
    let mut activations = vec![Activation::PIXELS];
    let mut layers = Vec::new();
    for index in 0..network.nodes.len() {
        let (layer, output) = quantize_node(network, index, &activations, outputs, preprocessing, None)?;
        activations.push(output);
        layers.push(layer);
    }
    Ok(Quantized { activations, layers })
}

/// Quantizes node `index` of `network` again, with the means of its inputs that are `known`, and their covariances if they were
/// gathered. Its scales stay the same.
///
/// # Errors
///
/// As for [`quantize`].
pub(crate) fn requantize_node(
    network: &Network,
    index: usize,
    activations: &[Activation],
    preprocessing: &Preprocessing,
    known: &Moments,
) -> Result<Layer, QuantizeError> {
    quantize_node(network, index, activations, activations, preprocessing, Some(known))
        .map(|(layer, _)| layer)
}

/// Quantizes node `index`. `activations` holds at least those of earlier nodes, `wanted` those that all nodes should have.
fn quantize_node(
    network: &Network,
    index: usize,
    activations: &[Activation],
    wanted: &[Activation],
    preprocessing: &Preprocessing,
    known: Option<&Moments>,
) -> Result<(Layer, Activation), QuantizeError> {
    let node = &network.nodes[index];
    let error = |what| QuantizeError { layer: node.name.clone(), what };
    let (input, output) = (activations[node.input.0], wanted[index + 1]);
    if let Some(reader) = network.fused_into(index) {
        let quantized = Pair::new(network, index, reader, activations, wanted[reader + 1])
            .and_then(|pair| quantize_shortcut(&pair, known));
        // The output is never rounded, so nothing reads this quantization.
        return Ok((Layer::Shortcut(quantized.map_err(error)?), Activation::PIXELS));
    }
    Ok(match &node.op {
        Op::Conv(conv) => {
            let added = match (network.fused_shortcut(index), conv.residual) {
                (Some(shortcut), _) => Added::Shortcut(
                    Pair::new(network, shortcut, index, activations, output).map_err(error)?.scales().0,
                ),
                (None, Some(value)) => Added::Residual(activations[value.0]),
                (None, None) => Added::Nothing,
            };
            let folded;
            let (conv, steps) = if node.input == ValueId::IMAGE {
                folded = fold_normalization(conv, preprocessing);
                (&folded, network.prequantized.as_ref().and_then(|file| file.pixel_steps(preprocessing)))
            } else {
                (conv, conv.weight.steps())
            };
            let (layer, output) = quantize_conv(conv, steps, input, added, output, known).map_err(error)?;
            (Layer::Conv(layer), output)
        }
        Op::MaxPool(_) => (Layer::MaxPool, input),
        Op::AvgPool(window) => quantize_mean(window.kernel * window.kernel, input, output).map_err(error)?,
        Op::GlobalAvgPool => {
            let shape = network.shape(node.input);
            mean_in_digits(shape.height * shape.width, input)
        }
        Op::Linear(linear) => {
            (Layer::Linear(quantize_linear(linear, input, known).map_err(error)?), Activation::PIXELS)
        }
    })
}
