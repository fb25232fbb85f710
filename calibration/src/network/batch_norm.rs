//! Folds batch norm into the convolution that it follows.

use super::{BatchNorm, Conv, Network, Op, Statistics};

/// Removes every batch norm of `network`: scales the weights of its convolution and moves the rest into the bias. The
/// function that the network computes stays the same up to f32 rounding.
///
/// It computes in f64 and rounds each weight and bias once, because quantization sees the folded weights: their error should
/// be that of the format alone. A batch norm acts on output channels only, so grouped convolutions need no special case.
/// Folding a folded network changes nothing.
pub fn fold_batch_norm(network: &mut Network) {
    for node in &mut network.nodes {
        if let Op::Conv(conv) = &mut node.op
            && let Some(norm) = conv.batch_norm.take()
        {
            fold(conv, &norm);
        }
    }
}

/// With `s = γ / √(σ² + ε)`: `w ← w · s` and `b ← (b − μ) · s + β`, per output channel.
fn fold(conv: &mut Conv, norm: &BatchNorm) {
    let at = |values: &[f32], channel: usize| f64::from(values[channel]);
    let root = |channel| (at(&norm.variance, channel) + f64::from(norm.epsilon)).sqrt();
    // ε counts: the outputs of a channel whose variance it outweighs deviate by less than γ.
    let deviation =
        |c: usize| (at(&norm.scale, c).abs() * (at(&norm.variance, c).max(0.0).sqrt() / root(c))) as f32;
    conv.statistics = Some(Box::new(Statistics {
        mean: norm.shift.clone(),
        deviation: (0..conv.out_channels).map(deviation).collect(),
    }));
    let factors: Vec<f64> = (0..conv.out_channels).map(|c| at(&norm.scale, c) / root(c)).collect();
    conv.weight.scale(&factors);
    conv.bias.resize(conv.out_channels, 0.0);
    for (channel, (bias, factor)) in conv.bias.iter_mut().zip(&factors).enumerate() {
        *bias = ((f64::from(*bias) - at(&norm.mean, channel)) * factor + at(&norm.shift, channel)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::Window;

    /// A 1×1 convolution of `groups` groups, two channels each way per group.
    fn conv(groups: usize, values: &[f32], with_bias: bool) -> Conv {
        let channels = 2 * groups;
        let mut next = values.iter().copied().cycle();
        let mut take = |n: usize| next.by_ref().take(n).collect::<Vec<f32>>();
        let norm = BatchNorm {
            scale: take(channels),
            shift: take(channels),
            mean: take(channels),
            variance: take(channels).iter().map(|v| v * v).collect(),
            epsilon: 1e-5,
        };
        Conv {
            window: Window { kernel: 1, stride: 1, padding: 0 },
            groups,
            in_channels: channels,
            out_channels: channels,
            weight: take(channels * 2).into(),
            bias: if with_bias { take(channels) } else { Vec::new() },
            batch_norm: Some(norm),
            statistics: None,
            residual: None,
            relu: false,
        }
    }

    /// `conv` on one pixel, in f64, with its batch norm if it has one.
    fn apply(conv: &Conv, pixel: &[f32]) -> Vec<f64> {
        let per_group = conv.in_channels / conv.groups;
        let weight = conv.weight.read();
        (0..conv.out_channels)
            .map(|o| {
                let first = o / (conv.out_channels / conv.groups) * per_group;
                let weights = &weight[o * per_group..][..per_group];
                let products =
                    weights.iter().zip(&pixel[first..]).map(|(&w, &x)| f64::from(w) * f64::from(x));
                let sum = products.sum::<f64>() + conv.bias.get(o).map_or(0.0, |&b| f64::from(b));
                conv.batch_norm.as_ref().map_or(sum, |norm| {
                    let at = |values: &[f32]| f64::from(values[o]);
                    let deviation = (at(&norm.variance) + f64::from(norm.epsilon)).sqrt();
                    (sum - at(&norm.mean)) / deviation * at(&norm.scale) + at(&norm.shift)
                })
            })
            .collect()
    }

    proptest! {
        #[test]
        fn folding_preserves_the_function(
            groups in 1usize..5,
            values in prop::collection::vec(0.01f32..3.0, 60),
            signs in prop::collection::vec(any::<bool>(), 60),
            with_bias: bool,
        ) {
            let values: Vec<f32> = values.iter().zip(&signs).map(|(&v, &s)| if s { v } else { -v }).collect();
            let original = conv(groups, &values, with_bias);
            let mut folded = original.clone();
            let norm = folded.batch_norm.take().expect("just made");
            fold(&mut folded, &norm);
            prop_assert_eq!(folded.bias.len(), folded.out_channels);
            let pixel = &values[..original.in_channels];
            for (o, (want, got)) in apply(&original, pixel).into_iter().zip(apply(&folded, pixel)).enumerate() {
                // Each of the terms was rounded once: the error is bounded by their size, not by the sum's.
                let gain = f64::from(norm.scale[o]) / (f64::from(norm.variance[o]) + 1e-5).sqrt();
                let size = 3.0 * gain.abs() * (3.0 * 3.0 * 2.0 + 3.0 + 3.0) + 3.0;
                prop_assert!((want - got).abs() <= size * f64::from(f32::EPSILON), "{} {}", want, got);
            }
        }
    }

    #[test]
    fn one_channel_by_hand() {
        let mut conv = conv(1, &[1.0], true);
        conv.weight = vec![2.0, 4.0, 1.0, 1.0].into();
        conv.bias = vec![1.0, 0.0];
        let norm = BatchNorm {
            scale: vec![3.0, 1.0],
            shift: vec![0.5, 0.0],
            mean: vec![2.0, 0.0],
            variance: vec![3.0, 0.0],
            epsilon: 1.0,
        };
        fold(&mut conv, &norm);
        assert_eq!(conv.weight.read(), [3.0, 6.0, 1.0, 1.0]);
        assert_eq!(conv.bias, [-1.0, 0.0]);
    }
}
