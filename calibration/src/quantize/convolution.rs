//! Convolutions in integers.

use resnext::internals::requantize;

use super::layer::QuantizedConv;
use super::moments::Moments;
use super::weights::{integers, weight_scales};
use crate::network::{Activation, Conv};

/// Largest residual factor, in accumulator units.
const MAX_RESIDUAL: f64 = i16::MAX as f64;

/// What is added to the products of a convolution before its ReLU.
pub(super) enum Added {
    Nothing,
    /// An int8 tensor.
    Residual(Activation),
    /// The products of a fused shortcut, with the weight scales that the convolution needs for the same accumulator units.
    Shortcut(Vec<f64>),
}

/// Quantizes a convolution. `steps` are the steps of weights that are integers already; `known` are the moments of its inputs.
/// Returns the integers with the quantization of the output, whose scale may have to be coarser than `output`.
pub(super) fn quantize_conv(
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
    // The most that any output zero point may add to the bias; the scale of the output may still move below.
    let zero_point = 128.0 * output.scale;
    let own = || weight_scales(&real, steps, per_channel, input.scale, |o| bias(o).abs() + zero_point);
    let (mut scales, residual) = match added {
        Added::Nothing => (own(), None),
        Added::Residual(residual) => (own(), Some(residual)),
        Added::Shortcut(scales) => (scales, None),
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
                // One accumulator unit outweighs a whole step of the residual, so that there is nothing better than rounding.
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
        // A bias that the file gives in units stays that many units.
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

/// Returns the whole number of accumulator units that stands for a step of the residual, which takes `units` of them.
///
/// Rounding down widens the step of the weights, which is safe. Weights that `keep` their integers take the nearest number,
/// which changes their real values least, unless it clips the largest of them by half a step or more.
fn whole_units(units: f64, keep: bool) -> f64 {
    let nearest = units.round();
    if keep && nearest * 127.0 < units * 127.5 { nearest } else { units.floor() }
}

/// Returns the least output scale that an accumulator unit of `unit` allows: ratios stay below 1.
pub(super) fn coarsest(unit: f64) -> f64 {
    f64::from(((unit * 1.001) as f32).next_up())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::network::{Range, Window};
    use proptest::prelude::*;

    /// A 1×1 convolution with stride 1.
    pub(in crate::quantize) fn pointwise(weight: Vec<f32>, bias: Vec<f32>, relu: bool) -> Conv {
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
    proptest! {
        /// A step of the residual is exactly a whole number of units, so the addition rounds nothing.
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

    /// Integers give the real result to within half a step, plus the error of the rounded weights.
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
}
