//! The range of a tensor that costs least in the logits.

use super::{Bin, ChannelHistogram};
use crate::network::Range;

/// Number of ranges that are tried, as shares of the widest.
const CANDIDATES: usize = 64;

/// Narrowest share that is tried.
const NARROWEST: f64 = 0.15;

/// Returns the squared error of one channel on a grid of `step` over `range`, summed over its values.
fn channel_error(bins: &[Bin], range: Range, step: f64) -> f64 {
    bins.iter().map(|&bin| bin.count * bin_error(bin, range, step)).sum()
}

/// Returns the mean squared error of values that are spread evenly over a bin.
fn bin_error(Bin { low, high, .. }: Bin, range: Range, step: f64) -> f64 {
    let width = high - low;
    if width <= 0.0 {
        return point_error(low, range, step);
    }
    if low >= range.low && high <= range.high {
        return rounding_error(low, high, step);
    }
    // Inside, and beyond either end: ∫ (x − end)² dx.
    let cube = |x: f64| x * x * x / 3.0;
    let above = cube((high - range.high).max(0.0)) - cube((low - range.high).max(0.0));
    let below = cube((range.low - low).max(0.0)) - cube((range.low - high).max(0.0));
    let inside = (high.min(range.high), low.max(range.low));
    let rounded = if inside.0 > inside.1 {
        (inside.0 - inside.1) * rounding_error(inside.1, inside.0, step)
    } else {
        0.0
    };
    (above + below + rounded) / width
}

/// Returns the mean squared error of rounding to multiples of `step`, from `low` to `high`.
fn rounding_error(low: f64, high: f64, step: f64) -> f64 {
    let width = high - low;
    if width >= step {
        return step * step / 12.0;
    }
    // Each period of the error x − round(x) integrates to 1/12.
    let integral = |x: f64| {
        let x = x / step;
        let error = x - x.round();
        x.round() / 12.0 + error * error * error / 3.0
    };
    if width < 1e-6 * step {
        let x = low / step;
        return (x - x.round()).powi(2) * step * step;
    }
    (integral(high) - integral(low)) * step * step * step / width
}

fn point_error(x: f64, range: Range, step: f64) -> f64 {
    let clipped = x.clamp(range.low, range.high);
    let rounded = (clipped / step).round() * step;
    (x - rounded) * (x - rounded)
}

/// The values of each channel of a tensor, and the noise gain of the channel.
struct Spread {
    channels: Vec<(Vec<Bin>, f64)>,
    seen: Range,
}

impl Spread {
    fn new(channels: &[ChannelHistogram], gains: &[f64]) -> Self {
        let mut seen = Range { low: 0.0, high: 0.0 };
        let channel = |(channel, &gain): (&ChannelHistogram, &f64)| {
            let Range { low, high } = channel.range();
            seen = Range { low: seen.low.min(low), high: seen.high.max(high) };
            (channel.occupied().collect(), gain)
        };
        let channels = channels.iter().zip(gains).map(channel).collect();
        Self { channels, seen }
    }

    /// Returns Σ gain · squared error of 256 levels over `range`, over all values.
    fn error(&self, range: Range) -> f64 {
        let step = (range.high - range.low) / 255.0;
        if step <= 0.0 {
            return self
                .channels
                .iter()
                .map(|(bins, gain)| {
                    gain * bins.iter().map(|&b| b.count * bin_error(b, range, f64::MAX)).sum::<f64>()
                })
                .sum();
        }
        self.channels.iter().map(|(bins, gain)| gain * channel_error(bins, range, step)).sum()
    }

    /// Returns the range with the least error.
    fn best(&self) -> Range {
        let seen = self.seen;
        let share = |i: usize| NARROWEST + (1.0 - NARROWEST) * i as f64 / CANDIDATES as f64;
        let mut best = (seen, self.error(seen));
        let mut consider = |range: Range| {
            let error = self.error(range);
            if error < best.1 {
                best = (range, error);
            }
            best.0
        };
        let mut both = seen;
        for i in (0..CANDIDATES).rev() {
            both = consider(Range { low: seen.low * share(i), high: seen.high * share(i) });
        }
        for i in (0..CANDIDATES).rev().filter(|_| seen.low < 0.0) {
            consider(Range { low: seen.low * share(i), ..both });
            consider(Range { high: seen.high * share(i), ..both });
        }
        best.0
    }
}

/// Returns the range with the least squared error, in which each channel counts by its gain.
pub(crate) fn least_harm(channels: &[ChannelHistogram], gains: &[f64]) -> Range {
    Spread::new(channels, gains).best()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::noise;

    /// Returns the weighted squared error of int8 over `range`.
    fn harm(channels: &[(Vec<f32>, f64)], range: Range) -> f64 {
        let step = (range.high - range.low) / 255.0;
        let error = |&x: &f32| point_error(f64::from(x), range, step);
        channels.iter().map(|(values, gain)| gain * values.iter().map(error).sum::<f64>()).sum()
    }

    fn chosen(channels: &[(Vec<f32>, f64)]) -> Range {
        let (mut histograms, mut gains) = (Vec::new(), Vec::new());
        for (values, gain) in channels {
            let mut histogram = ChannelHistogram::default();
            histogram.observe(values);
            histograms.push(histogram);
            gains.push(*gain);
        }
        least_harm(&histograms, &gains)
    }

    /// Makes values as a ReLU leaves them, a few of them far out.
    fn rectified(seed: u64, size: f32) -> Vec<f32> {
        noise(seed, 20_000).iter().map(|x| size * x.max(0.0) * x * x * x * x).collect()
    }

    /// No width has a noticeably smaller error on the values themselves than the one that is chosen from histograms.
    #[test]
    fn no_range_is_better() {
        let mut channels = [(rectified(1, 1.0), 1.0), (rectified(2, 3.0), 0.2)];
        channels[0].0.push(12.0);
        let found = harm(&channels, chosen(&channels));
        let widest = channels.iter().flat_map(|c| &c.0).fold(0.0f64, |max, &x| max.max(x.into()));
        let best = (1..=400)
            .map(|i| harm(&channels, Range { low: 0.0, high: widest * f64::from(i) / 400.0 }))
            .fold(f64::INFINITY, f64::min);
        assert!(found <= 1.05 * best, "{found} {best}");
    }

    /// A channel whose noise does not reach the logits takes no levels from the others.
    #[test]
    fn silent_channels_do_not_count() {
        let (loud, silent) = (rectified(3, 1.0), rectified(4, 4.0));
        let heard = chosen(&[(loud.clone(), 1.0), (silent.clone(), 1.0)]);
        let unheard = chosen(&[(loud, 1.0), (silent, 1e-6)]);
        assert!(unheard.high < 0.6 * heard.high, "{unheard:?} {heard:?}");
    }
}
