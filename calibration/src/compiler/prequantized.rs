//! Quantization that a file brings along: its scales are kept, and nothing is calibrated.
//!
//! The artifact quantizes what the file quantizes, with these exceptions, which [`Retained`] counts:
//!
//! * The image is exact. A file that quantizes the normalised image has weights of the first convolution for that; here they
//!   are for pixels, and are quantized again. A file that says how to get back to pixels, as [`export`](crate::export) does,
//!   keeps them.
//! * The sum of a residual addition is not rounded before the residual is added. The steps of its weights are matched to the
//!   step of the residual, as in any network ([`quantize`](crate::quantize)): by less than half a percent where an accumulator
//!   unit is a 127th of that step or finer, which leaves every integer as it is.
//! * A projection shortcut whose output the file does not quantize is [fused](crate::network::Network::fused_into) into the
//!   convolution that adds it. The accumulator unit of both is then the coarser of the two; the weights of the other are
//!   quantized again, unless the file has matched them, as [`export`](crate::export) does.
//! * Weights with a zero point are quantized again, and a weight of −128 becomes −127.
//! * A max pool passes values on, the mean over all pixels is exact up to what 15 bits cannot hold, and the logits are floats,
//!   whatever the file quantizes any of them to.

use resnext_evaluation::samples::Samples;

use super::{CompileError, Compiled, Compiler, Retained, ScaleProvenance};
use crate::network::{Activation, Network, Op, Prequantized, ValueId, Weights};
use crate::quantize::{Layer, Quantized, quantize_to};
use resnext::preprocess::Preprocessing;

/// Compiles to the scales of the file. `samples` are used for the comparison alone.
pub(super) fn compile(compiler: &Compiler<'_>, samples: Option<&Samples>) -> Result<Compiled, CompileError> {
    let (network, preprocessing) = (compiler.network, &compiler.options.preprocessing);
    let file = network.prequantized.as_ref().ok_or(CompileError::NotPrequantized)?;
    let outputs = outputs(network, file)?;
    let quantized = quantize_to(network, &outputs, preprocessing)?;
    let retained = Some(retained(network, file, &quantized, preprocessing));
    let provenance = ScaleProvenance { method: "given", retained, ..ScaleProvenance::default() };
    compiler.finish(quantized, provenance, samples)
}

/// Returns the quantization of every value; that of values without a range means nothing.
fn outputs(network: &Network, file: &Prequantized) -> Result<Vec<Activation>, CompileError> {
    let output = |(index, activation): (usize, &Option<Activation>)| {
        let node = index.checked_sub(1);
        match (activation, node) {
            (Some(activation), _) => Ok(*activation),
            (None, Some(node)) if network.has_range(node) => {
                Err(CompileError::OpenActivation { layer: network.nodes[node].name.clone() })
            }
            _ => Ok(Activation::PIXELS),
        }
    };
    file.activations.iter().enumerate().map(output).collect()
}

/// Counts what the artifact keeps of the quantization of `file`.
fn retained(
    network: &Network,
    file: &Prequantized,
    quantized: &Quantized,
    preprocessing: &Preprocessing,
) -> Retained {
    let mut retained = Retained::default();
    for (index, (node, layer)) in network.nodes.iter().zip(&quantized.layers).enumerate() {
        let output = index + 1;
        if let (Some(activation), true) = (file.activations[output], network.has_range(index)) {
            retained.activations += usize::from(activation == quantized.activations[output]);
            retained.of_activations += 1;
        }
        let (weight, integers, taps, reason) = match (&node.op, layer) {
            (Op::Conv(conv), Layer::Conv(layer)) => {
                let reason = match (node.input, conv.residual) {
                    (ValueId::IMAGE, _) => "the normalisation of the image is folded in",
                    (_, None) => REQUANTIZED,
                    _ if conv.weight.steps().is_none() => REQUANTIZED,
                    _ if network.fused_shortcut(index).is_some() => FUSED,
                    _ => "matched to the residual that is added",
                };
                (&conv.weight, &layer.weights, conv.window.kernel * conv.window.kernel, reason)
            }
            (Op::Conv(conv), Layer::Shortcut(layer)) => {
                let reason = if conv.weight.steps().is_some() { FUSED } else { REQUANTIZED };
                (&conv.weight, &layer.weights, 1, reason)
            }
            (Op::Linear(linear), Layer::Linear(layer)) => (&linear.weight, &layer.weights, 1, REQUANTIZED),
            _ => continue,
        };
        let same = match file.pixel_steps(preprocessing).filter(|_| node.input == ValueId::IMAGE) {
            // `weight` is for the normalised image, but the integers of the file are for pixels, and they stay.
            Some(_) => integers.len(),
            None => same(weight, integers, taps),
        };
        retained.weights += same as u64;
        retained.of_weights += integers.len() as u64;
        if same < integers.len() {
            retained.changed.push((node.name.clone(), reason));
        }
    }
    retained
}

/// Why weights change where the arithmetic does not ask for it.
const REQUANTIZED: &str = "some weights are −128, or have a zero point, or are floats";

/// Why the weights of a projection shortcut or of the convolution that adds it change.
const FUSED: &str = "a shortcut and the convolution that adds it have the same accumulators";

/// Returns how many of `integers`, `[out][taps][in]`, are the integers that `weight` is stored as.
fn same(weight: &Weights, integers: &[i8], taps: usize) -> usize {
    let Some(steps) = weight.steps() else { return 0 };
    let real = weight.read();
    let per_output = real.len() / steps.len().max(1);
    if per_output == 0 {
        return 0;
    }
    let inputs = per_output / taps;
    let outputs = real.chunks_exact(per_output).zip(integers.chunks_exact(per_output)).zip(steps);
    outputs
        .map(|((real, integers), step)| {
            let stored = |index: usize| (f64::from(real[index]) / step).round();
            let at = |index: usize| stored(index % inputs * taps + index / inputs);
            integers.iter().enumerate().filter(|&(index, &q)| at(index) == f64::from(q)).count()
        })
        .sum()
}
