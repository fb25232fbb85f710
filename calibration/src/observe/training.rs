//! How far the samples are from the training images, as far as batch norms remember those.
//!
//! A batch norm states the mean β and the deviation |γ| that the outputs of its convolution had on the training images
//! ([`Statistics`]). fp32 on the samples should find nearly the same. It does not if the samples are of another kind, and it does
//! not if they reach the network in another form than the training images did: another order of the colours, another
//! normalisation. The outputs of most convolutions are seen only after a ReLU; those of the projection shortcuts, one at the
//! beginning of each stage, are seen as their batch norms saw them.

use crate::network::{Conv, Network, Op, Statistics};

/// Fixed-point units. Sums of integers do not depend on the order in which threads add.
const UNIT: f64 = (1 << 20) as f64;

/// Values further from their mean than this many deviations count as this many.
const FURTHEST: f64 = 1e3;

/// A channel whose deviation is less than this share of the layer's mean deviation says nothing: training has switched it off.
const LIVELY: f64 = 0.1;

/// The most that the spread of a channel counts, as the logarithm of its ratio: a channel that never changes has no logarithm.
const WIDEST: f64 = 6.0;

/// Sums over samples for each channel of a layer, in deviations from the mean that its batch norm states.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deviations {
    samples: i64,
    channels: Vec<Sums>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// Σ of the means of the samples.
    means: i64,
    /// Σ of their squares.
    squared_means: i64,
    /// Σ of the mean squares of the samples.
    squares: i64,
}

/// How far the outputs of a layer are from what its batch norm states.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingDistance {
    /// The name of the layer.
    pub layer: String,
    /// The Kullback–Leibler divergence of normal distributions with the found means and deviations from those with the stated
    /// ones, in nats, mean over the channels. What chance explains in so few samples is subtracted.
    pub nats: f64,
}

/// Returns what the batch norm of `conv` states, if the output of the convolution can be compared with it.
pub(crate) fn stated(conv: &Conv) -> Option<&Statistics> {
    let statistics = conv.statistics.as_deref()?;
    // Batch norms that were never trained, or folded and set up anew, state the same of every channel.
    let first = (statistics.mean.first()?, statistics.deviation.first()?);
    let tells = statistics.mean.iter().zip(&statistics.deviation).any(|channel| channel != first);
    (conv.residual.is_none() && !conv.relu && tells).then_some(statistics)
}

impl Deviations {
    /// Adds a sample: the outputs `[channels][pixels]` of a convolution whose batch norm has `statistics`.
    pub(crate) fn observe(&mut self, statistics: &Statistics, values: &[f32]) {
        let channels = statistics.mean.len().max(1);
        self.samples += 1;
        self.channels.resize(channels, Sums::default());
        let pixels = (values.len() / channels).max(1);
        let stated = statistics.mean.iter().zip(&statistics.deviation);
        for ((sums, plane), (&mean, &deviation)) in
            self.channels.iter_mut().zip(values.chunks_exact(pixels)).zip(stated)
        {
            let (mut sum, mut squares) = (0.0, 0.0);
            for &value in plane {
                let away = ((value - mean) / deviation.max(f32::MIN_POSITIVE)).clamp(-1e3, 1e3);
                sum += f64::from(away);
                squares += f64::from(away) * f64::from(away);
            }
            let (mean, square) = (sum / pixels as f64, squares / pixels as f64);
            let fixed = |value: f64| (value * UNIT).round() as i64;
            sums.means += fixed(mean.clamp(-FURTHEST, FURTHEST));
            sums.squared_means += fixed(mean * mean);
            sums.squares += fixed(square);
        }
    }

    /// Adds the sums of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.samples += other.samples;
        self.channels.resize(self.channels.len().max(other.channels.len()), Sums::default());
        for (sums, more) in self.channels.iter_mut().zip(&other.channels) {
            sums.means += more.means;
            sums.squared_means += more.squared_means;
            sums.squares += more.squares;
        }
    }

    /// Returns the distance in nats, or `None` if there are too few samples to tell chance from difference.
    fn nats(&self, statistics: &Statistics) -> Option<f64> {
        let n = self.samples as f64;
        if self.samples < 2 {
            return None;
        }
        let usual = statistics.deviation.iter().map(|&d| f64::from(d)).sum::<f64>()
            / statistics.deviation.len().max(1) as f64;
        let (mut nats, mut lively) = (0.0, 0.0);
        for (sums, &deviation) in self.channels.iter().zip(&statistics.deviation) {
            if f64::from(deviation) < LIVELY * usual {
                continue;
            }
            let mean_of = |sum: i64| sum as f64 / UNIT / n;
            let mean = mean_of(sums.means);
            let between = (mean_of(sums.squared_means) - mean * mean).max(0.0) * n / (n - 1.0);
            // The square of the mean of n samples exceeds that of the true mean by this much on average.
            let shift = mean * mean - between / n;
            let spread = (mean_of(sums.squares) - mean * mean).max((-WIDEST).exp());
            nats += (shift + spread - 1.0 - spread.ln()) / 2.0;
            lively += 1.0;
        }
        (lively > 0.0).then(|| (nats / lively).max(0.0))
    }
}

/// Returns the distance of each layer for which there are sums.
pub(crate) fn distances(network: &Network, deviations: &[Deviations]) -> Vec<TrainingDistance> {
    let layers = network.nodes.iter().zip(deviations).filter_map(|(node, deviations)| {
        let Op::Conv(conv) = &node.op else { return None };
        let nats = deviations.nats(stated(conv)?)?;
        Some(TrainingDistance { layer: node.name.clone(), nats })
    });
    layers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATED: [(f32, f32); 3] = [(1.0, 2.0), (-3.0, 0.5), (0.0, 1e-6)];

    fn statistics() -> Statistics {
        Statistics { mean: STATED.map(|s| s.0).to_vec(), deviation: STATED.map(|s| s.1).to_vec() }
    }

    /// Samples of 64 pixels that follow the statistics, moved by `shift` deviations and stretched by `stretch`.
    fn distance(shift: f32, stretch: f32) -> f64 {
        let mut deviations = Deviations::default();
        let mut state = 1u32;
        for _ in 0..50 {
            let mut values = Vec::new();
            for (mean, deviation) in STATED {
                for _ in 0..64 {
                    // The sum of twelve uniform numbers is nearly normal, with variance 1.
                    let normal = (0..12)
                        .map(|_| {
                            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                            (state >> 8) as f32 / (1 << 24) as f32
                        })
                        .sum::<f32>()
                        - 6.0;
                    values.push(mean + deviation * (shift + stretch * normal));
                }
            }
            deviations.observe(&statistics(), &values);
        }
        deviations.nats(&statistics()).expect("enough samples")
    }

    /// The divergence of N(a, b²) from N(0, 1) is (a² + b² − 1 − ln b²) / 2 (S. Kullback, *Information Theory and Statistics*).
    #[test]
    fn the_distance_is_a_divergence() {
        assert!(distance(0.0, 1.0) < 0.002);
        for (shift, stretch) in [(1.0, 1.0), (0.0, 2.0), (0.5, 0.25)] {
            let variance = f64::from(stretch * stretch);
            let expected = (f64::from(shift * shift) + variance - 1.0 - variance.ln()) / 2.0;
            let found = distance(shift, stretch);
            assert!((found / expected - 1.0).abs() < 0.05, "{shift} {stretch}: {found}, not {expected}");
        }
        let constant = distance(0.0, 0.0);
        assert!(constant.is_finite() && constant > 2.0, "{constant}");
    }

    #[test]
    fn the_order_of_the_samples_does_not_matter() {
        let samples: Vec<Vec<f32>> =
            (0..6).map(|i| (0..12).map(|j| (i * 7 + j * 3) as f32 / 5.0).collect()).collect();
        let sum = |samples: &[Vec<f32>]| {
            let mut sum = Deviations::default();
            samples.iter().for_each(|values| sum.observe(&statistics(), values));
            sum
        };
        let mut merged = sum(&samples[4..]);
        merged.merge(&Deviations::default());
        merged.merge(&sum(&samples[..4]));
        assert_eq!(merged.nats(&statistics()), sum(&samples).nats(&statistics()));
        assert_eq!(sum(&samples[..1]).nats(&statistics()), None);
    }
}
