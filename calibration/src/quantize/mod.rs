//! From fp32 layers and calibrated ranges to integers.
//!
//! Weights are symmetric int8 per output channel (no −128), activations asymmetric int8 per tensor over all
//! 256 levels, zero points folded into int32 biases. Four choices are this project's own:
//!
//! * Normalisation is folded into the first convolution. Its input is then the pixel itself, `q = p − 128`,
//!   which loses nothing, and the runtime does not normalise.
//! * Where a residual is added, each output channel's weight scale is widened until one step of the residual
//!   is a whole number of accumulator units. The addition then happens in int32 without any rounding.
//! * A projection shortcut is [joined](Network::joined) with the convolution that adds it: the products of both go into the
//!   same accumulators, so that what it gives is never rounded. An accumulator unit of a channel is the coarser of the
//!   two that the largest weight of each asks for, and the scales of both follow from it.
//! * The mean over all pixels is the sum, in two digits, and needs no range.

pub mod moments;
pub mod weight_rounding;

use crate::quantize::moments::Moments;
use crate::network::{Conv, Linear, Network, Op, ValueId};
use crate::observe::Range;
use crate::preprocessing::Preprocessing;
use crate::quantize::weight_rounding::Factored;
use resnext::format::MAX_DIGITS;
use resnext::requantize;

/// Largest |bias|, output zero point included, in accumulator units; leaves the rest of ±2³⁰ to the products.
///
/// It bounds a channel's weight scale from below. Where |bias| is small against the output range, an accumulator unit
/// is then still 2⁻²¹ of an output step: weights too small to notice are all that it rounds away.
const MAX_BIAS: f64 = (1u64 << 28) as f64;

/// Largest residual factor.
const MAX_RESIDUAL: f64 = i16::MAX as f64;

/// Affine int8 quantization of a tensor: `real = scale · (q − zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// Real value of one step; exactly representable in f32.
    pub scale: f64,
    /// Quantized value of real zero.
    pub zero_point: i8,
}

impl Activation {
    /// The input image in pixel units: `q = pixel − 128`.
    pub const PIXELS: Self = Self { scale: 1.0, zero_point: -128 };

    /// Covers `range` with 256 levels, zero exactly among them.
    pub fn covering(range: Range) -> Self {
        let span = range.high - range.low;
        if !(span.is_finite() && span > 0.0) {
            return Self { scale: f64::from(1.0f32 / 255.0), zero_point: -128 };
        }
        // Rounded up, so that f32 rounding never clips the range's end.
        let scale = f64::from(((span / 255.0) as f32).next_up());
        let zero_point = (-128.0 - range.low / scale).round().clamp(-128.0, 127.0) as i8;
        Self { scale, zero_point }
    }

    /// Real value of `q`.
    pub fn dequantize(self, q: i8) -> f64 {
        self.scale * (f64::from(q) - f64::from(self.zero_point))
    }

    /// The zero point in steps of `unit`.
    pub(crate) fn zero_point_units(self, unit: f64) -> i64 {
        (f64::from(self.zero_point) * self.scale / unit).round() as i64
    }
}

/// A network in integers.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// Per value; the entries of the logits and of what [joined](Network::joined) nodes give are unused.
    pub activations: Vec<Activation>,
    /// Per node.
    pub layers: Vec<Layer>,
}

/// One node in integers.
#[derive(Clone, Debug)]
pub enum Layer {
    /// Convolution.
    Conv(QuantizedConv),
    /// Convolution whose products go to the accumulators of the one it is [joined](Network::joined) into.
    Shortcut(QuantizedShortcut),
    /// Passes values through unchanged.
    MaxPool,
    /// Requantization of a mean.
    Mean {
        /// Q31 multiplier.
        multiplier: i32,
    },
    /// Classifier.
    Linear(QuantizedLinear),
}

/// Integers of a convolution, in channel order.
#[derive(Clone, Debug)]
pub struct QuantizedConv {
    /// `[out][kernel][kernel][in / groups]`, −127..=127.
    pub weights: Vec<i8>,
    /// Real value of one step of the weights, per output channel; of the first convolution, for pixels 0..255.
    pub scales: Vec<f64>,
    /// Initial accumulators, zero points folded in.
    pub bias: Vec<i32>,
    /// Q31 multipliers.
    pub multiplier: Vec<i32>,
    /// Accumulator units of one step of the residual; 0 without.
    pub residual: Vec<i16>,
    /// Least output: the zero point after a ReLU.
    pub clamp_min: i8,
}

/// Integers of a joined projection shortcut, in channel order.
#[derive(Clone, Debug)]
pub struct QuantizedShortcut {
    /// `[out][in]`, −127..=127.
    pub weights: Vec<i8>,
    /// Real value of one step of the weights, per output channel.
    pub scales: Vec<f64>,
    /// What is added to the initial accumulators, the zero point of its input folded in.
    pub bias: Vec<i32>,
}

/// Integers of the classifier, in class order.
#[derive(Clone, Debug)]
pub struct QuantizedLinear {
    /// `[out][in]`, −127..=127.
    pub weights: Vec<i8>,
    /// Real value of one step of the weights, per class.
    pub scales: Vec<f64>,
    /// Initial accumulators, zero points folded in.
    pub bias: Vec<i32>,
    /// Logit of one accumulator unit.
    pub scale: Vec<f32>,
}

/// A layer whose numbers do not fit the integer arithmetic.
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

/// Quantizes a folded `network` whose activation `i` covers `ranges[i]`.
///
/// `ranges` has an entry for every value; those of the image and of nodes that [have none](Network::has_range) are ignored.
///
/// # Errors
///
/// If a layer's scales are so extreme that its integers overflow.
///
/// # Panics
///
/// If a batch norm has not been folded.
pub fn quantize(
    network: &Network,
    ranges: &[Range],
    preprocessing: &Preprocessing,
) -> Result<Quantized, QuantizeError> {
    let outputs: Vec<Activation> = ranges.iter().map(|&range| Activation::covering(range)).collect();
    quantize_to(network, &outputs, preprocessing)
}

/// Quantizes a folded `network` whose activation `i` is to be `outputs[i]`, which has entries as [`quantize`]'s `ranges`
/// has. Weights that are [integers](crate::network::Weights::steps) stay the integers that they are, as far as the
/// arithmetic allows; see [`crate::compiler::prequantized`].
///
/// # Errors
///
/// As for [`quantize`].
///
/// # Panics
///
/// As for [`quantize`].
pub fn quantize_to(
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

/// Quantizes node `index` of `network` again, with what is `known` of its inputs: means, and
/// covariances if they were gathered. Its scales stay the same.
///
/// # Errors
///
/// As for [`quantize`].
pub fn requantize_node(
    network: &Network,
    index: usize,
    activations: &[Activation],
    preprocessing: &Preprocessing,
    known: &Moments,
) -> Result<Layer, QuantizeError> {
    quantize_node(network, index, activations, activations, preprocessing, Some(known))
        .map(|(layer, _)| layer)
}

/// `activations` are those of earlier nodes at least, `wanted` what all are to be.
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
    if let Some(joined) = network.joined(index) {
        let quantized = Pair::new(network, index, joined, activations, wanted[joined + 1])
            .and_then(|pair| quantize_shortcut(&pair, known));
        // Nothing has this quantization.
        return Ok((Layer::Shortcut(quantized.map_err(error)?), Activation::PIXELS));
    }
    Ok(match &node.op {
        Op::Conv(conv) => {
            let added = match (network.shortcut(index), conv.residual) {
                (Some(shortcut), _) => Added::Joined(
                    Pair::new(network, shortcut, index, activations, output).map_err(error)?.scales().0,
                ),
                (None, Some(value)) => Added::Residual(activations[value.0]),
                (None, None) => Added::Nothing,
            };
            let folded;
            let (conv, steps) = if node.input == ValueId::IMAGE {
                folded = fold_normalization(conv, preprocessing);
                (&folded, network.given.as_ref().and_then(|given| given.pixel_steps(preprocessing)))
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

/// The mean of `pixels`.
fn quantize_mean(
    pixels: usize,
    input: Activation,
    mut output: Activation,
) -> Result<(Layer, Activation), &'static str> {
    let unit = input.scale / pixels as f64;
    // A mean cannot be finer than a step of the sum.
    output.scale = output.scale.max(coarsest(unit));
    let multiplier =
        requantize::multiplier_for(unit / output.scale).ok_or("the mean's scale is out of range")?;
    Ok((Layer::Mean { multiplier }, output))
}

/// The mean of all `pixels` in two digits: their sum where it fits, and else as much of it as does.
fn mean_in_digits(pixels: usize, input: Activation) -> (Layer, Activation) {
    let most = 255 * pixels as u64;
    let (multiplier, ratio) = match MAX_DIGITS as u64 {
        digits if most <= digits => (i32::MAX, 1.0),
        digits => {
            let multiplier = (digits << 31) / most;
            (multiplier as i32, multiplier as f64 / (1u64 << 31) as f64)
        }
    };
    let scale = f64::from((input.scale / pixels as f64 / ratio) as f32);
    (Layer::Mean { multiplier }, Activation { scale, zero_point: 0 })
}

/// The least output scale that an accumulator unit of `unit` allows: ratios stay below 1.
fn coarsest(unit: f64) -> f64 {
    f64::from(((unit * 1.001) as f32).next_up())
}

/// Weights and bias for pixels 0..255 instead of normalised values: `(p / 255 − mean) / std`.
fn fold_normalization(conv: &Conv, preprocessing: &Preprocessing) -> Conv {
    let mut weight = conv.weight.read();
    let taps = conv.window.kernel * conv.window.kernel;
    let mut bias: Vec<f64> =
        (0..conv.out_channels).map(|o| conv.bias.get(o).copied().unwrap_or(0.0).into()).collect();
    for (index, weight) in weight.iter_mut().enumerate() {
        let (out, channel) = (index / (conv.in_channels * taps), index / taps % conv.in_channels);
        let (mean, std) = (f64::from(preprocessing.mean[channel]), f64::from(preprocessing.std[channel]));
        bias[out] -= f64::from(*weight) * mean / std;
        *weight = (f64::from(*weight) / (255.0 * std)) as f32;
    }
    Conv {
        weight: weight.into(),
        bias: bias.into_iter().map(|b| b as f32).collect(),
        batch_norm: conv.batch_norm.clone(),
        statistics: None,
        ..*conv
    }
}

/// A projection shortcut and the convolution that it is joined into.
struct Pair<'a> {
    conv: &'a Conv,
    input: Activation,
    shortcut: &'a Conv,
    shortcut_input: Activation,
    output: Activation,
}

/// By how much the unit that a shortcut asks for must exceed that of its convolution to be heeded. What is less is the
/// rounding of scales to f32, in which files keep them.
const SAME_UNIT: f64 = 1.0 + 1e-6;

impl<'a> Pair<'a> {
    /// Of the node `shortcut` that is joined into `index`, which gives `output`.
    fn new(
        network: &'a Network,
        shortcut: usize,
        index: usize,
        activations: &[Activation],
        output: Activation,
    ) -> Result<Self, &'static str> {
        let (node, shortcut) = (&network.nodes[index], &network.nodes[shortcut]);
        let (Op::Conv(conv), Op::Conv(projection)) = (&node.op, &shortcut.op) else {
            return Err("it is not a convolution");
        };
        let (input, shortcut_input) = (activations[node.input.0], activations[shortcut.input.0]);
        Ok(Self { conv, input, shortcut: projection, shortcut_input, output })
    }

    /// Weight scales of the convolution, exactly representable in f32, and of the shortcut, for the same accumulator units.
    fn scales(&self) -> (Vec<f64>, Vec<f64>) {
        let of = |conv: &Conv, o: usize| f64::from(conv.bias.get(o).copied().unwrap_or(0.0)).abs();
        let bias = |o: usize| of(self.conv, o) + of(self.shortcut, o) + 128.0 * self.output.scale;
        let wanted = |conv: &Conv, input: Activation| {
            let real = conv.weight.read();
            weight_scales(&real, conv.weight.steps(), real.len() / conv.out_channels, input.scale, bias)
        };
        let mut scales = wanted(self.conv, self.input);
        let mut shortcut_scales = wanted(self.shortcut, self.shortcut_input);
        for (scale, shortcut_scale) in scales.iter_mut().zip(&mut shortcut_scales) {
            let coarser = self.shortcut_input.scale * *shortcut_scale;
            if coarser > self.input.scale * *scale * SAME_UNIT {
                *scale = f64::from((coarser / self.input.scale) as f32);
            }
            *shortcut_scale = self.input.scale * *scale / self.shortcut_input.scale;
        }
        (scales, shortcut_scales)
    }
}

fn quantize_shortcut(pair: &Pair<'_>, known: Option<&Moments>) -> Result<QuantizedShortcut, &'static str> {
    let conv = pair.shortcut;
    assert!(conv.batch_norm.is_none(), "fold batch norms before quantizing");
    let scales = pair.scales().1;
    let bias = |o: usize| f64::from(conv.bias.get(o).copied().unwrap_or(0.0));
    let (weights, bias) = integers(&conv.weight.read(), 1, &scales, pair.shortcut_input, bias, |_| 0, known)?;
    Ok(QuantizedShortcut { weights, scales, bias })
}

/// What is added to a convolution before its ReLU.
enum Added {
    Nothing,
    /// An int8 tensor.
    Residual(Activation),
    /// A joined shortcut, for which the convolution has these weight scales.
    Joined(Vec<f64>),
}

/// `steps` are those that the weights come with.
fn quantize_conv(
    conv: &Conv,
    steps: Option<&[f64]>,
    input: Activation,
    added: Added,
    mut output: Activation,
    known: Option<&Moments>,
) -> Result<(QuantizedConv, Activation), &'static str> {
    assert!(conv.batch_norm.is_none(), "fold batch norms before quantizing");
    let real = conv.weight.read();
    let per_channel = real.len() / conv.out_channels;
    let bias = |o: usize| f64::from(conv.bias.get(o).copied().unwrap_or(0.0));
    // Of any output zero point; it may still move below.
    let zero_point = 128.0 * output.scale;
    let own = || weight_scales(&real, steps, per_channel, input.scale, |o| bias(o).abs() + zero_point);
    let (mut scales, residual) = match added {
        Added::Nothing => (own(), None),
        Added::Residual(residual) => (own(), Some(residual)),
        Added::Joined(scales) => (scales, None),
    };
    let mut factors = vec![0; conv.out_channels];
    if let Some(residual) = residual {
        for (scale, factor) in scales.iter_mut().zip(&mut factors) {
            let units = residual.scale / (input.scale * *scale);
            let whole = whole_units(units, steps.is_some());
            if whole >= 1.0 {
                let whole = whole.min(MAX_RESIDUAL);
                *scale = residual.scale / (input.scale * whole);
                *factor = whole as i16;
            } else {
                // One accumulator unit outweighs a whole step of the residual: round, there is no finer way.
                *factor = units.round() as i16;
            }
        }
    }
    let coarsest_unit = scales.iter().fold(0.0f64, |max, &scale| max.max(input.scale * scale));
    if output.scale < coarsest(coarsest_unit) {
        output.scale = coarsest(coarsest_unit);
    }
    let ratio = |o: usize| input.scale * scales[o] / output.scale;
    let multiplier: Option<Vec<i32>> =
        (0..conv.out_channels).map(|o| requantize::multiplier_for(ratio(o))).collect();

    let taps = conv.window.kernel * conv.window.kernel;
    let residual_zero = |o: usize| residual.map_or(0, |r| i64::from(r.zero_point)) * i64::from(factors[o]);
    let bias = |o: usize| match steps {
        None => bias(o) + f64::from(output.zero_point) * output.scale,
        // A bias that comes in units stays that many.
        Some(_) => {
            let unit = input.scale * scales[o];
            ((bias(o) / unit).round() + output.zero_point_units(unit) as f64) * unit
        }
    };
    let (weights, integers) = integers(&real, taps, &scales, input, bias, residual_zero, known)?;
    let quantized = QuantizedConv {
        weights,
        scales,
        bias: integers,
        multiplier: multiplier.ok_or("its scales are out of range")?,
        residual: factors,
        clamp_min: if conv.relu { output.zero_point } else { i8::MIN },
    };
    Ok((quantized, output))
}

fn quantize_linear(
    linear: &Linear,
    input: Activation,
    known: Option<&Moments>,
) -> Result<QuantizedLinear, &'static str> {
    let bias = |o: usize| f64::from(linear.bias.get(o).copied().unwrap_or(0.0));
    let real = linear.weight.read();
    let steps = linear.weight.steps();
    let scales = weight_scales(&real, steps, linear.in_features, input.scale, |o| bias(o).abs());
    let (weights, integers) = integers(&real, 1, &scales, input, bias, |_| 0, known)?;
    let scale = scales.iter().map(|scale| (input.scale * scale) as f32).collect();
    Ok(QuantizedLinear { weights, scales, bias: integers, scale })
}

/// The whole number of accumulator units that a step of the residual becomes, of which it has `units`.
///
/// Rounding down widens the weights' step, which is safe. Weights that `keep` their integers take the nearest, for the
/// least change of what they stand for, unless that clips the largest of them by half a step or more.
fn whole_units(units: f64, keep: bool) -> f64 {
    let nearest = units.round();
    if keep && nearest * 127.0 < units * 127.5 { nearest } else { units.floor() }
}

/// Weights `[out][taps][in]` from `[out][in][taps]`, and initial accumulators with the input's zero point and
/// `residual_zero` (accumulator units, per channel) folded in.
fn integers(
    real: &[f32],
    taps: usize,
    scales: &[f64],
    input: Activation,
    bias: impl Fn(usize) -> f64,
    residual_zero: impl Fn(usize) -> i64,
    known: Option<&Moments>,
) -> Result<(Vec<i8>, Vec<i32>), &'static str> {
    let per_channel = real.len() / scales.len();
    let rounded = round_rows(real, scales, known);
    let mut weights = Vec::with_capacity(real.len());
    let mut accumulators = Vec::with_capacity(scales.len());
    for (o, (row, &scale)) in rounded.chunks_exact(per_channel).zip(scales).enumerate() {
        for tap in 0..taps {
            weights.extend(row.iter().skip(tap).step_by(taps));
        }
        let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
        let shift = known.map_or(0.0, |known| {
            mean_shift(&real[o * per_channel..][..per_channel], row, scale, known, o, scales.len())
        });
        let bias = ((bias(o) - shift * input.scale) / (input.scale * scale)).round() as i64;
        let folded = bias - i64::from(input.zero_point) * sum - residual_zero(o);
        accumulators.push(i32::try_from(folded).map_err(|_| "its bias does not fit 32 bits")?);
    }
    Ok((weights, accumulators))
}

/// Integers of `real`, in its order: each to nearest, or a row together where the covariance of its inputs is known.
fn round_rows(real: &[f32], scales: &[f64], known: Option<&Moments>) -> Vec<i8> {
    let per_channel = real.len() / scales.len();
    let mut rounded = vec![0; real.len()];
    let groups = known.map_or(1, |known| known.groups);
    let rows = scales.len() / groups * per_channel;
    for (group, (real, rounded)) in real.chunks_exact(rows).zip(rounded.chunks_exact_mut(rows)).enumerate() {
        let together = known.and_then(|known| {
            let covariance = known.covariance(group)?;
            Some(Factored::new(&covariance, per_channel, known.shrinkage()))
        });
        let scales = &scales[group * (scales.len() / groups)..];
        for ((real, rounded), &scale) in
            real.chunks_exact(per_channel).zip(rounded.chunks_exact_mut(per_channel)).zip(scales)
        {
            match &together {
                Some(factored) => factored.round(real, scale, rounded),
                None => {
                    rounded.iter_mut().zip(real).for_each(|(q, &w)| *q = quantize_weight(w, scale));
                }
            }
        }
    }
    rounded
}

/// How far rounding the weights and the inputs of output `o` moves its mean, in input steps.
fn mean_shift(real: &[f32], rounded: &[i8], scale: f64, moments: &Moments, o: usize, outputs: usize) -> f64 {
    let group = o / (outputs / moments.groups);
    let inputs = moments.means(group).zip(moments.mean_errors(group));
    let shift = |((&w, &q), (mean, error)): ((&f32, &i8), (f64, f64))| {
        f64::from(q) * scale * mean - f64::from(w) * (mean - error)
    };
    real.iter().zip(rounded).zip(inputs).map(shift).sum()
}

fn quantize_weight(weight: f32, scale: f64) -> i8 {
    (f64::from(weight) / scale).round().clamp(-127.0, 127.0) as i8
}

/// Scale of each output channel, exactly representable in f32: its largest |weight| is 127, or the step that it comes
/// with if that covers it but for a −128, unless `bias`, the most that its initial accumulator stands for, needs a coarser unit.
fn weight_scales(
    weights: &[f32],
    steps: Option<&[f64]>,
    per_channel: usize,
    input_scale: f64,
    bias: impl Fn(usize) -> f64,
) -> Vec<f64> {
    let scale = |(o, channel): (usize, &[f32])| {
        let largest = f64::from(channel.iter().fold(0.0f32, |max, w| max.max(w.abs())));
        let step = steps.map(|steps| steps[o].abs()).filter(|step| largest <= 128.25 * step);
        let scale = step.unwrap_or(largest / 127.0).max(bias(o) / (input_scale * MAX_BIAS));
        // All zero: any scale will do.
        if scale > 0.0 { f64::from((scale as f32).max(f32::MIN_POSITIVE)) } else { 1.0 }
    };
    weights.chunks_exact(per_channel).enumerate().map(scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Window;
    use proptest::prelude::*;

    fn pointwise(weight: Vec<f32>, bias: Vec<f32>, relu: bool) -> Conv {
        let out_channels = bias.len();
        Conv {
            window: Window { kernel: 1, stride: 1, padding: 0 },
            groups: 1,
            in_channels: weight.len() / out_channels,
            out_channels,
            weight: weight.into(),
            bias,
            batch_norm: None,
            statistics: None,
            residual: None,
            relu,
        }
    }

    #[test]
    fn relu_ranges_use_all_levels() {
        let a = Activation::covering(Range { low: 0.0, high: 5.1 });
        assert_eq!(a.zero_point, -128);
        assert!((a.dequantize(127) - 5.1).abs() < 1e-6 && a.dequantize(-128) == 0.0);
        let b = Activation::covering(Range { low: -1.0, high: 3.0 });
        assert!((b.dequantize(-128) + 1.0).abs() < b.scale && (b.dequantize(127) - 3.0).abs() < b.scale);
        assert_eq!(
            Activation::covering(Range { low: 0.0, high: 0.0 }).zero_point,
            -128,
            "a dead tensor is fine"
        );
    }

    proptest! {
        /// A residual step is a whole number of units, exactly: the addition rounds nothing.
        #[test]
        fn residual_scales_match(
            weights in prop::collection::vec(-1.0f32..1.0, 8),
            input_scale in 1e-3f64..0.1, residual_scale in 1e-3f64..0.1,
        ) {
            let conv = pointwise(weights, vec![0.1, -0.2], true);
            let input = Activation { scale: input_scale, zero_point: -128 };
            let residual = Activation { scale: residual_scale, zero_point: 3 };
            let output = Activation { scale: 0.1, zero_point: -128 };
            let (q, out) = quantize_conv(&conv, None, input, Added::Residual(residual), output, None).unwrap();
            for o in 0..2 {
                let ratio = f64::from(q.multiplier[o]) / (1u64 << 31) as f64;
                let step = f64::from(q.residual[o]) * ratio * out.scale;
                // The multiplier has 31 bits of a ratio of about 2⁻¹⁵ at least.
                prop_assert!((step / residual_scale - 1.0).abs() < 1e-4, "{step} {residual_scale}");
            }
        }
    }

    /// Integers give the real result to within half a step, plus what rounding the weights costs.
    #[test]
    fn a_layer_computes_what_it_should() {
        let conv = pointwise(vec![0.5, -0.25, 1.0, 0.125], vec![0.3, -4.0], true);
        let input = Activation::covering(Range { low: 0.0, high: 2.0 });
        let output = Activation::covering(Range { low: 0.0, high: 3.0 });
        let (q, output) = quantize_conv(&conv, None, input, Added::Nothing, output, None).unwrap();
        let weight = conv.weight.read();
        for (a, b) in [(-128i8, -128i8), (127, -128), (-128, 127), (100, 30)] {
            let real = [input.dequantize(a), input.dequantize(b)];
            for o in 0..2 {
                let acc = q.bias[o]
                    + i32::from(q.weights[2 * o]) * i32::from(a)
                    + i32::from(q.weights[2 * o + 1]) * i32::from(b);
                let y = requantize::narrow(requantize::scale(acc, q.multiplier[o]), q.clamp_min, 127);
                let expected = (f64::from(conv.bias[o])
                    + f64::from(weight[2 * o]) * real[0]
                    + f64::from(weight[2 * o + 1]) * real[1])
                    .clamp(0.0, 3.0);
                assert!((output.dequantize(y) - expected).abs() <= 0.51 * output.scale + 0.01, "{a} {b} {o}");
            }
        }
    }

    /// A joined shortcut adds its products in the same units: the sum is real to within half an output step and what rounding
    /// the weights costs, whichever of the two has the coarser unit.
    #[test]
    fn joined_layers_compute_their_sum() {
        let conv = pointwise(vec![0.5, -0.25, 1.0, 0.125], vec![0.3, -0.5], true);
        let shortcut = pointwise(vec![-0.5, 0.75, 0.02, 0.01], vec![0.1, 0.2], false);
        let output = Activation::covering(Range { low: 0.0, high: 3.0 });
        for (high, shortcut_high) in [(2.0, 0.1), (0.1, 2.0), (1.0, 1.5)] {
            let input = Activation::covering(Range { low: 0.0, high });
            let shortcut_input = Activation::covering(Range { low: -1.0, high: shortcut_high });
            let pair = Pair { conv: &conv, input, shortcut: &shortcut, shortcut_input, output };
            let added = Added::Joined(pair.scales().0);
            let (q, output) = quantize_conv(&conv, None, input, added, output, None).unwrap();
            let p = quantize_shortcut(&pair, None).unwrap();
            for (o, (scale, shortcut_scale)) in q.scales.iter().zip(&p.scales).enumerate() {
                let ratio = input.scale * scale / (shortcut_input.scale * shortcut_scale);
                assert!((ratio - 1.0).abs() < 1e-12 && f64::from(*scale as f32) == *scale, "{ratio}");
                let largest = q.weights[2 * o..][..2].iter().chain(&p.weights[2 * o..][..2]);
                assert_eq!(largest.map(|w| w.abs()).max(), Some(127), "one of the two uses all levels");
            }
            let (weight, projection) = (conv.weight.read(), shortcut.weight.read());
            for quantized in [[-128i8, -128, -128, -128], [127, -128, 0, 127], [100, 30, 127, -7]] {
                let [a, b, c, d] = quantized;
                let real = [a, b].map(|q| input.dequantize(q));
                let real_shortcut = [c, d].map(|q| shortcut_input.dequantize(q));
                for o in 0..2 {
                    let dot = |weights: &[i8], x: [i8; 2]| {
                        i32::from(weights[2 * o]) * i32::from(x[0])
                            + i32::from(weights[2 * o + 1]) * i32::from(x[1])
                    };
                    let acc = q.bias[o] + p.bias[o] + dot(&q.weights, [a, b]) + dot(&p.weights, [c, d]);
                    let y = requantize::narrow(requantize::scale(acc, q.multiplier[o]), q.clamp_min, 127);
                    let dot = |weights: &[f32], x: [f64; 2]| {
                        f64::from(weights[2 * o]) * x[0] + f64::from(weights[2 * o + 1]) * x[1]
                    };
                    let bias = f64::from(conv.bias[o]) + f64::from(shortcut.bias[o]);
                    let expected = bias + dot(&weight, real) + dot(&projection, real_shortcut);
                    // Half a step of each weight, times the inputs.
                    let weights = 0.5 * q.scales[o] * (real[0] + real[1]).abs()
                        + 0.5 * p.scales[o] * real_shortcut.iter().map(|x| x.abs()).sum::<f64>();
                    let error = output.dequantize(y) - expected.clamp(0.0, output.dequantize(127));
                    assert!(
                        error.abs() <= 0.51 * output.scale + weights + 1e-6,
                        "{quantized:?} {o}: {error}"
                    );
                }
            }
        }
    }

    /// The mean is the sum itself where that fits into two digits, and never more than fits.
    #[test]
    fn means_are_sums_in_two_digits() {
        let input = Activation { scale: 0.02, zero_point: -128 };
        for pixels in [1, 25, 49, 127, 128, 144, 400, 4096 * 4096 / 64] {
            let (Layer::Mean { multiplier }, output) = mean_in_digits(pixels, input) else {
                panic!("a mean")
            };
            assert_eq!(output.zero_point, 0);
            for mean in [-255i32, -3, 0, 1, 100, 255] {
                let sum = mean * pixels as i32;
                let digits = requantize::scale(sum, multiplier);
                assert!(digits.abs() <= MAX_DIGITS, "{pixels} {mean}: {digits}");
                if pixels <= 127 {
                    assert_eq!(digits, sum, "{pixels} {mean}");
                }
                let error = f64::from(digits) * output.scale - f64::from(mean) * input.scale;
                assert!(error.abs() < 0.51 * output.scale + 1e-6, "{pixels} {mean}: {error}");
            }
        }
    }

    #[test]
    fn a_dead_channel_keeps_its_bias() {
        let conv = pointwise(vec![1.0, 0.0], vec![0.0, 1.5], false);
        let output = Activation::covering(Range { low: -2.0, high: 2.0 });
        let input = Activation { scale: 0.01, zero_point: 0 };
        let (q, output) = quantize_conv(&conv, None, input, Added::Nothing, output, None).unwrap();
        let y = requantize::narrow(requantize::scale(q.bias[1], q.multiplier[1]), -128, 127);
        assert!((output.dequantize(y) - 1.5).abs() <= 0.51 * output.scale);
    }

    #[test]
    fn extreme_biases_stay_in_range() {
        let conv = pointwise(vec![1e-30, 1e-30], vec![1e6, -1e6], false);
        let input = Activation { scale: 1e-3, zero_point: -128 };
        let output = Activation::covering(Range { low: -1e6, high: 1e6 });
        let (q, _) = quantize_conv(&conv, None, input, Added::Nothing, output, None).unwrap();
        assert!(q.bias.iter().all(|b| b.abs() <= 1 << 29));
    }

    #[test]
    fn pixels_replace_normalised_values() {
        let preprocessing = Preprocessing::imagenet(4, 4);
        let mut conv = pointwise(vec![0.5, -1.0, 2.0], vec![0.25], false);
        conv.in_channels = 3;
        let folded = fold_normalization(&conv, &preprocessing);
        let pixel = [10u8, 200, 77];
        let value = |conv: &Conv, x: [f32; 3]| {
            conv.bias[0] + conv.weight.read().iter().zip(x).map(|(w, x)| w * x).sum::<f32>()
        };
        let normalised: Vec<f32> = preprocessing.normalize(&pixel);
        let expected = value(&conv, [normalised[0], normalised[1], normalised[2]]);
        assert!((value(&folded, pixel.map(f32::from)) - expected).abs() < 1e-4);
    }
}
