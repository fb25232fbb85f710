//! How much noise in each activation adds to the noise of the logits.
//!
//! Rounding errors of different elements are close to independent, so their powers add, and a layer multiplies each power by
//! the square of the weight on its way. Going backwards from the logits gives every channel its *gain*: the noise power that
//! it causes in all logits together, for each unit of noise power in one of its elements. A ReLU passes the noise of the
//! elements that it passes, whose share calibration has counted.
//!
//! This is the diagonal of the Gauss–Newton matrix without correlations. It gives errors in different places one unit, in
//! which they can be compared.

use super::ChannelHistogram;
use crate::network::{Conv, Network, Op, ValueId};

/// The noise gains of the values of a network.
#[derive(Clone, Debug)]
pub(crate) struct NoiseGains {
    /// The gain of each channel of each value: noise power in the logits for a unit of noise power in one element.
    pub(crate) values: Vec<Vec<f64>>,
}

impl NoiseGains {
    /// Computes the gains from the last layer of `network` to the first. `channels` holds the histograms of every value but the
    /// image; a channel without a histogram counts as if the ReLU passed everything.
    pub(crate) fn new(network: &Network, channels: &[Vec<ChannelHistogram>]) -> Self {
        let count = network.nodes.len();
        let zeros = |value| vec![0.0; network.shape(ValueId(value)).channels];
        let mut values: Vec<Vec<f64>> = (0..=count).map(zeros).collect();
        values[count].fill(1.0);
        for (index, node) in network.nodes.iter().enumerate().rev() {
            let pixels = |value| (network.shape(value).height * network.shape(value).width) as f64;
            // Number of outputs that an input element takes part in, for each tap.
            let share = pixels(ValueId(index + 1)) / pixels(node.input);
            let output = std::mem::take(&mut values[index + 1]);
            let input = &mut values[node.input.0];
            match &node.op {
                Op::Conv(conv) => {
                    let passed = |(o, gain): (usize, &f64)| {
                        let passed = |channel: &ChannelHistogram| channel.positive_share();
                        gain * if conv.relu { channels[index + 1].get(o).map_or(1.0, passed) } else { 1.0 }
                    };
                    let sum: Vec<f64> = output.iter().enumerate().map(passed).collect();
                    let squares = squares_by_input(conv, &sum);
                    input.iter_mut().zip(squares).for_each(|(gain, square)| *gain += square * share);
                    if let Some(residual) = conv.residual {
                        values[residual.0].iter_mut().zip(&sum).for_each(|(gain, sum)| *gain += sum);
                    }
                }
                Op::Linear(linear) => {
                    for (row, gain) in linear.weight.read().chunks_exact(linear.in_features).zip(&output) {
                        for (input, &w) in input.iter_mut().zip(row) {
                            *input += f64::from(w) * f64::from(w) * gain;
                        }
                    }
                }
                Op::MaxPool(_) => add(input, &output, share),
                Op::AvgPool(window) => {
                    let area = (window.kernel * window.kernel) as f64;
                    add(input, &output, share / area);
                }
                Op::GlobalAvgPool => add(input, &output, share * share),
            }
            values[index + 1] = output;
        }
        Self { values }
    }
}

fn add(input: &mut [f64], output: &[f64], factor: f64) {
    input.iter_mut().zip(output).for_each(|(input, output)| *input += output * factor);
}

/// Returns Σ w² · gain of the output for each input channel, over the weights that read it.
fn squares_by_input(conv: &Conv, gains: &[f64]) -> Vec<f64> {
    let (per_group, taps) = (conv.in_channels / conv.groups, conv.window.kernel * conv.window.kernel);
    let rows = conv.out_channels / conv.groups;
    let mut sums = vec![0.0; conv.in_channels];
    for (o, (row, gain)) in conv.weight.read().chunks_exact(per_group * taps).zip(gains).enumerate() {
        let inputs = &mut sums[o / rows * per_group..][..per_group];
        for (sum, taps) in inputs.iter_mut().zip(row.chunks_exact(taps)) {
            *sum += gain * taps.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>();
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::tiny_network;
    use crate::network::fold_batch_norm;

    /// No nonlinearity follows the last block, so its gains follow from the weights of the classifier alone.
    #[test]
    fn the_tail_is_exact() {
        let mut network = tiny_network(64);
        fold_batch_norm(&mut network);
        let nothing = vec![Vec::new(); network.nodes.len() + 1];
        let gains = NoiseGains::new(&network, &nothing);
        let [.., before, pool, fc] = &network.nodes[..] else { panic!("a short network") };
        let (Op::GlobalAvgPool, Op::Linear(linear)) = (&pool.op, &fc.op) else { panic!("another tail") };
        let weights = linear.weight.read();
        let pixels = (before.output.height * before.output.width) as f64;
        for i in 0..linear.in_features {
            let rows = weights.chunks_exact(linear.in_features);
            let expected: f64 = rows.map(|row| f64::from(row[i]).powi(2)).sum();
            let of = |value: ValueId| gains.values[value.0][i];
            assert!((of(fc.input) / expected - 1.0).abs() < 1e-9);
            assert!((of(pool.input) * pixels * pixels / expected - 1.0).abs() < 1e-9);
        }
        assert!(gains.values[1..].iter().flatten().all(|gain| gain.is_finite() && *gain >= 0.0));
    }
}
