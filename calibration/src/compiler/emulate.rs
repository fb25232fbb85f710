//! int8 in float: parts of a quantized network inside the fp32 network, to measure what each part costs.
//!
//! The emulation rounds where int8 rounds and clips where int8 clips. It differs from the runtime in the last bit of a sum alone,
//! which no statistic notices.

use resnext_evaluation::noise::Noise;

use crate::fp32::{Fp32Error, Fp32Model};
use crate::network::{Activation, Network, Op, ValueId};
use crate::quantize::{Layer, Quantized};
use resnext::preprocess::Preprocessing;

/// Compiles `network` for fp32 with the weights and outputs of int8 in the nodes for which `rounded` returns true. Only values
/// that [have a range](Network::has_range) are rounded.
pub(super) fn rounded_network(
    network: &Network,
    quantized: &Quantized,
    preprocessing: &Preprocessing,
    rounded: impl Fn(usize) -> bool,
) -> Result<Fp32Model, Fp32Error> {
    let value =
        |node: usize| (network.has_range(node) && rounded(node)).then(|| quantized.activations[node + 1]);
    let values: Vec<Option<Activation>> =
        std::iter::once(None).chain((0..network.nodes.len()).map(value)).collect();
    let weights = with_rounded_weights(network, quantized, preprocessing, &rounded);
    Fp32Model::rounded(&weights, &values, &[])
}

/// Returns the signal-to-quantization-noise ratio of all `outputs` together in dB.
pub(super) fn sqnr_db(outputs: &[Vec<f32>], original: &[Vec<f32>]) -> f64 {
    let mut noise = Noise::default();
    outputs.iter().zip(original).for_each(|(output, fp32)| noise += Noise::of_slices(output, fp32));
    noise.sqnr_db()
}

/// Returns `network` with the weights and biases that the integers of `quantized` stand for, in the nodes for which `rounded`
/// returns true. The other nodes keep theirs.
fn with_rounded_weights(
    network: &Network,
    quantized: &Quantized,
    preprocessing: &Preprocessing,
    rounded: impl Fn(usize) -> bool,
) -> Network {
    let mut network = network.clone();
    for index in (0..network.nodes.len()).filter(|&index| rounded(index)) {
        let node = &mut network.nodes[index];
        let (input, output) = (quantized.activations[node.input.0], quantized.activations[index + 1]);
        match (&mut node.op, &quantized.layers[index]) {
            (Op::Conv(conv), Layer::Conv(layer)) => {
                let unit: Vec<f64> = layer
                    .multiplier
                    .iter()
                    .map(|&m| f64::from(m) / (1u64 << 31) as f64 * output.scale)
                    .collect();
                let taps = conv.window.kernel * conv.window.kernel;
                // A fused shortcut adds none, because its factors are 0.
                let residual =
                    conv.residual.map_or(0, |value| i64::from(quantized.activations[value.0].zero_point));
                let zeros: Vec<f64> = layer
                    .residual
                    .iter()
                    .zip(&unit)
                    .map(|(&factor, unit)| {
                        (i64::from(factor) * residual) as f64 * unit
                            - f64::from(output.zero_point) * output.scale
                    })
                    .collect();
                let (mut weight, mut bias) = real(&layer.weights, &layer.bias, &unit, &zeros, input, taps);
                if node.input == ValueId::IMAGE {
                    unfold_normalization(&mut weight, &mut bias, taps, preprocessing);
                }
                conv.weight = weight.into();
                conv.bias = bias;
            }
            (Op::Conv(conv), Layer::Shortcut(layer)) => {
                let unit: Vec<f64> = layer.scales.iter().map(|scale| scale * input.scale).collect();
                let zeros = vec![0.0; unit.len()];
                let (weight, bias) = real(&layer.weights, &layer.bias, &unit, &zeros, input, 1);
                conv.weight = weight.into();
                conv.bias = bias;
            }
            (Op::Linear(linear), Layer::Linear(layer)) => {
                let unit: Vec<f64> = layer.scale.iter().map(|&unit| f64::from(unit)).collect();
                let zeros = vec![0.0; unit.len()];
                let (weight, bias) = real(&layer.weights, &layer.bias, &unit, &zeros, input, 1);
                linear.weight = weight.into();
                linear.bias = bias;
            }
            _ => {}
        }
    }
    network
}

/// Returns the weights `[out][in][taps]` and the biases that the integers stand for. `zeros` is the part of the biases that is
/// folded in beside the zero point of the input.
fn real(
    weights: &[i8],
    bias: &[i32],
    unit: &[f64],
    zeros: &[f64],
    input: Activation,
    taps: usize,
) -> (Vec<f32>, Vec<f32>) {
    let per_channel = weights.len() / unit.len();
    let inputs = per_channel / taps;
    let mut real = vec![0.0; weights.len()];
    let mut biases = Vec::with_capacity(unit.len());
    for (o, row) in weights.chunks_exact(per_channel).enumerate() {
        for (at, &w) in row.iter().enumerate() {
            real[o * per_channel + at % inputs * taps + at / inputs] =
                (f64::from(w) * unit[o] / input.scale) as f32;
        }
        let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
        let integer = i64::from(bias[o]) + i64::from(input.zero_point) * sum;
        biases.push((integer as f64 * unit[o] + zeros[o]) as f32);
    }
    (real, biases)
}

/// Undoes the folding of the normalisation into the first convolution: that of int8 reads pixels, that of fp32 reads normalised
/// values.
fn unfold_normalization(weight: &mut [f32], bias: &mut [f32], taps: usize, preprocessing: &Preprocessing) {
    let per_channel = weight.len() / bias.len();
    for (row, bias) in weight.chunks_exact_mut(per_channel).zip(bias) {
        for (channel, taps) in row.chunks_exact_mut(taps).enumerate() {
            let sum: f64 = taps.iter().map(|&w| f64::from(w)).sum();
            *bias += (sum * 255.0 * f64::from(preprocessing.mean[channel])) as f32;
            taps.iter_mut().for_each(|w| *w *= 255.0 * preprocessing.std[channel]);
        }
    }
}
