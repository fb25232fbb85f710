//! Projection shortcuts, whose products go into the accumulators of the convolution that adds them.

use super::layer::QuantizedShortcut;
use super::moments::Moments;
use super::weights::{integers, weight_scales};
use crate::network::{Activation, Conv, Network, Op};

/// A projection shortcut and the convolution that it is fused into.
pub(super) struct Pair<'a> {
    conv: &'a Conv,
    input: Activation,
    shortcut: &'a Conv,
    shortcut_input: Activation,
    output: Activation,
}

/// The ratio by which the unit that a shortcut asks for must exceed that of its convolution to count. Anything less is the
/// rounding of scales to f32, in which files store them.
const SAME_UNIT: f64 = 1.0 + 1e-6;

impl<'a> Pair<'a> {
    /// Pairs the node `shortcut` with the node `index`, which it is fused into and whose output is quantized as `output`.
    pub(super) fn new(
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

    /// Returns the weight scales of the convolution, exactly representable in f32, and of the shortcut, for the same
    /// accumulator units.
    pub(super) fn scales(&self) -> (Vec<f64>, Vec<f64>) {
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

/// Quantizes the shortcut of `pair`; `known` are the moments of its inputs.
pub(super) fn quantize_shortcut(
    pair: &Pair<'_>,
    known: Option<&Moments>,
) -> Result<QuantizedShortcut, &'static str> {
    let conv = pair.shortcut;
    assert!(conv.batch_norm.is_none(), "fold batch norms before quantizing");
    let scales = pair.scales().1;
    let bias = |o: usize| f64::from(conv.bias.get(o).copied().unwrap_or(0.0));
    let (weights, bias) = integers(&conv.weight.read(), 1, &scales, pair.shortcut_input, bias, |_| 0, known)?;
    Ok(QuantizedShortcut { weights, scales, bias })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Range;
    use crate::quantize::convolution::tests::pointwise;
    use crate::quantize::convolution::{Added, quantize_conv};
    use resnext::internals::requantize;

    /// A fused shortcut adds its products in the same units: the sum is right to within half an output step and the error of
    /// the rounded weights, whichever of the two has the coarser unit.
    #[test]
    fn fused_layers_compute_their_sum() {
        let conv = pointwise(vec![0.5, -0.25, 1.0, 0.125], vec![0.3, -0.5], true);
        let shortcut = pointwise(vec![-0.5, 0.75, 0.02, 0.01], vec![0.1, 0.2], false);
        let output = Activation::covering(Range { low: 0.0, high: 3.0 });
        for (high, shortcut_high) in [(2.0, 0.1), (0.1, 2.0), (1.0, 1.5)] {
            let input = Activation::covering(Range { low: 0.0, high });
            let shortcut_input = Activation::covering(Range { low: -1.0, high: shortcut_high });
            let pair = Pair { conv: &conv, input, shortcut: &shortcut, shortcut_input, output };
            let added = Added::Shortcut(pair.scales().0);
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
}
