//! How loudly the noise of each activation is heard in the logits.
//!
//! Rounding errors of different elements are close to independent, so their powers add, and a layer multiplies each by
//! the square of the weight on its way. Going backwards from the logits gives every channel its *gain*: the noise power
//! it causes in all logits together, for each unit of noise power in one of its elements. A ReLU passes the noise of those
//! elements that it passes, a share that calibration has counted.
//!
//! This is the diagonal of the Gauss–Newton matrix with correlations left out. It lets errors in different places be
//! compared in one unit, which is what choosing between them takes.

use crate::network::{Conv, Network, Op, ValueId};
use crate::observe::ChannelHistogram;

/// Gains of a network's values.
#[derive(Clone, Debug)]
pub struct Gains {
    /// Per value and channel: noise power in the logits, for one of noise in one element.
    pub values: Vec<Vec<f64>>,
}

impl Gains {
    /// Goes through `network` backwards; `channels` has the histograms of every value, none for the image.
    pub fn new(network: &Network, channels: &[Vec<ChannelHistogram>]) -> Self {
        let count = network.nodes.len();
        let zeros = |value| vec![0.0; network.shape(ValueId(value)).channels];
        let mut values: Vec<Vec<f64>> = (0..=count).map(zeros).collect();
        values[count].fill(1.0);
        for (index, node) in network.nodes.iter().enumerate().rev() {
            let pixels = |value| (network.shape(value).height * network.shape(value).width) as f64;
            // Outputs that an input element takes part in, for each tap.
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

/// Σ w² · gain of the output, over the weights that read each input channel.
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
    use crate::network::batch_norm::fold_batch_norm;
    use crate::import::tests::tiny_network;

    /// Behind the last block there is no nonlinearity, and gains follow from the classifier's weights alone.
    #[test]
    fn the_tail_is_exact() {
        let mut network = tiny_network(64);
        fold_batch_norm(&mut network);
        let nothing = vec![Vec::new(); network.nodes.len() + 1];
        let gains = Gains::new(&network, &nothing);
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
