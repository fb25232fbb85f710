//! Cross-layer equalization: gives every channel of an activation its own share of the 256 levels.
//!
//! int8 has one scale for a whole tensor, so that a channel with small values would be left with few levels. Since a
//! ReLU, a pool and an addition commute with a positive factor per channel, the factor can be taken out of one layer's
//! rows and put into the next one's columns; the network computes the same (M. Nagel et al., *Data-Free Quantization
//! Through Weight Equalization and Bias Correction*, 2019). Rows cost nothing, because their scales are per channel
//! anyway. Columns do: a large factor widens the rows that it is in. [`Gains`] weigh one against the other.
//!
//! Where there are residual additions all values of a stage share their factors.

use crate::gains::Gains;
use crate::network::{Network, Op, ValueId};
use crate::observe::{ChannelHistogram, Spread};

/// Powers of the channels' own scales that are tried; 0 changes nothing, 1 gives every channel all levels.
const POWERS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// A channel's factor is at least this share of the largest: silent channels may speak up on another photo.
const SMALLEST: f64 = 1.0 / 64.0;

/// Candidate ranges while powers are compared.
const RANGES: usize = 16;

/// Values that share their factors.
#[derive(Debug)]
struct Tied {
    values: Vec<usize>,
}

/// Scales channels of `network`, which must be folded, so that quantization noise in the logits is least. `channels`
/// are the histograms of its values. Returns the power that was chosen for each set of values.
pub fn equalize(network: &mut Network, channels: &[Vec<ChannelHistogram>]) -> Vec<(String, f64)> {
    let gains = Gains::new(network, channels);
    let mut chosen = Vec::new();
    for tied in tied(network) {
        let name = network.nodes[tied.values[0] - 1].name.clone();
        let own = own_scales(network, &tied, channels);
        let readers = readers(network, &tied);
        let mut best: Option<(f64, f64, Vec<f64>)> = None;
        for power in POWERS {
            let scales: Vec<f64> = own.iter().map(|s| s.powf(power)).collect();
            let noise = activation_noise(network, &tied, channels, &gains, &scales)
                + weight_noise(network, &readers, channels, &gains, &scales);
            if best.as_ref().is_none_or(|best| noise < best.0) {
                best = Some((noise, power, scales));
            }
        }
        let Some((_, power, scales)) = best else { continue };
        if power > 0.0 {
            apply(network, &tied, &readers, &scales);
        }
        chosen.push((name, power));
    }
    chosen
}

/// The sets of values whose channels can be scaled: all but the image and the logits.
fn tied(network: &Network) -> Vec<Tied> {
    let count = network.nodes.len() + 1;
    let mut set: Vec<usize> = (0..count).collect();
    for (index, node) in network.nodes.iter().enumerate() {
        let with = match &node.op {
            Op::Conv(conv) => conv.residual,
            Op::MaxPool(_) | Op::AvgPool(_) | Op::GlobalAvgPool => Some(node.input),
            Op::Linear(_) => None,
        };
        if let Some(with) = with {
            let (from, to) = (set[index + 1], set[with.0]);
            set.iter_mut().filter(|set| **set == from).for_each(|set| *set = to);
        }
    }
    let mut sets: Vec<Tied> = Vec::new();
    for first in 1..count {
        // Named by any member: gather those not gathered yet.
        if sets.iter().any(|tied| tied.values.contains(&first))
            || set[first] == set[0]
            || set[first] == set[count - 1]
        {
            continue;
        }
        sets.push(Tied { values: (first..count).filter(|&value| set[value] == set[first]).collect() });
    }
    sets
}

/// Nodes that read one of the values with weights.
fn readers(network: &Network, tied: &Tied) -> Vec<usize> {
    let reads = |&index: &usize| {
        let node = &network.nodes[index];
        tied.values.contains(&node.input.0) && matches!(node.op, Op::Conv(_) | Op::Linear(_))
    };
    (0..network.nodes.len()).filter(reads).collect()
}

/// Nodes that requantize into one of the values.
fn requantized(network: &Network, value: usize) -> bool {
    !matches!(network.nodes[value - 1].op, Op::MaxPool(_))
}

/// What each channel would like to be divided by: the width that suits 256 levels of its own, over all values of the set.
fn own_scales(network: &Network, tied: &Tied, channels: &[Vec<ChannelHistogram>]) -> Vec<f64> {
    let count = network.shape(ValueId(tied.values[0])).channels;
    let mut scales = vec![0.0f64; count];
    for &value in tied.values.iter().filter(|&&value| requantized(network, value)) {
        let widths: Vec<f64> = channels[value]
            .iter()
            .map(|channel| {
                let (range, _) = Spread::new(std::slice::from_ref(channel), &[1.0], None).best(RANGES);
                range.high - range.low
            })
            .collect();
        let mean = (widths.iter().map(|w| w * w).sum::<f64>() / count as f64).sqrt();
        if mean > 0.0 {
            scales.iter_mut().zip(&widths).for_each(|(scale, width)| *scale += (width / mean).powi(2));
        }
    }
    let largest = scales.iter().fold(0.0f64, |max, &s| max.max(s)).sqrt();
    if largest == 0.0 {
        return vec![1.0; count];
    }
    scales.iter().map(|s| (s.sqrt() / largest).max(SMALLEST)).collect()
}

/// Noise in the logits that rounding and clipping the values causes.
fn activation_noise(
    network: &Network,
    tied: &Tied,
    channels: &[Vec<ChannelHistogram>],
    gains: &Gains,
    scales: &[f64],
) -> f64 {
    let noise = |&value: &usize| {
        let shape = network.shape(ValueId(value));
        let pixels = (shape.height * shape.width) as f64;
        let observed = channels[value].first().map_or(1.0, |channel| channel.len().max(1.0));
        Spread::new(&channels[value], &gains.values[value], Some(scales)).best(RANGES).1 * pixels / observed
    };
    tied.values.iter().filter(|&&value| requantized(network, value)).map(noise).sum()
}

/// Noise in the logits that rounding the readers' weights causes.
fn weight_noise(
    network: &Network,
    readers: &[usize],
    channels: &[Vec<ChannelHistogram>],
    gains: &Gains,
    scales: &[f64],
) -> f64 {
    let mut noise = 0.0;
    for &index in readers {
        let node = &network.nodes[index];
        let (weight, groups, inputs, taps) = match &node.op {
            Op::Conv(conv) => (&conv.weight, conv.groups, conv.in_channels, conv.window.kernel.pow(2)),
            Op::Linear(linear) => (&linear.weight, 1, linear.in_features, 1),
            _ => continue,
        };
        let pixels = (node.output.height * node.output.width) as f64;
        let per_group = inputs / groups;
        let power: Vec<f64> = channels[node.input.0]
            .iter()
            .zip(scales)
            .map(|(channel, scale)| taps as f64 * channel.mean_square() / (scale * scale))
            .collect();
        let sums = &gains.sums[index];
        let rows = sums.len() / groups;
        for (o, row) in weight.read().chunks_exact(per_group * taps).enumerate() {
            let first = o / rows * per_group;
            let widest = row
                .chunks_exact(taps)
                .zip(&scales[first..])
                .map(|(taps, scale)| scale * f64::from(taps.iter().fold(0.0f32, |max, w| max.max(w.abs()))))
                .fold(0.0f64, f64::max);
            let step = widest / 127.0;
            noise +=
                sums[o] * pixels * step * step / 12.0 * power[first..first + per_group].iter().sum::<f64>();
        }
    }
    noise
}

/// Divides the channels of the values by `scales`.
fn apply(network: &mut Network, tied: &Tied, readers: &[usize], scales: &[f64]) {
    for &value in &tied.values {
        if let Op::Conv(conv) = &mut network.nodes[value - 1].op {
            let inverse: Vec<f64> = scales.iter().map(|scale| 1.0 / scale).collect();
            conv.weight.scale(&inverse);
            for (bias, inverse) in conv.bias.iter_mut().zip(&inverse) {
                *bias = (f64::from(*bias) * inverse) as f32;
            }
        }
    }
    for &index in readers {
        match &mut network.nodes[index].op {
            Op::Conv(conv) => {
                let taps = conv.window.kernel * conv.window.kernel;
                conv.weight.scale_inputs(scales, conv.groups, taps);
            }
            Op::Linear(linear) => linear.weight.scale_inputs(scales, 1, 1),
            _ => {}
        }
    }
}
