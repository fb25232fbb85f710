//! The distribution of one tensor.

use crate::network::Range;

/// Bins on each side of zero.
const BINS: usize = 4096;

/// A histogram of one tensor in constant memory.
///
/// The width of the bins is a power of two, with 4096 bins on each side of zero. When a value falls outside, neighbours are
/// merged and the width doubles, so a histogram does not depend on the order of the samples, and two histograms add up
/// exactly.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Bin width is 2^`exponent`.
    exponent: i32,
    /// Bin `BINS + i` counts values in `[i, i + 1) · width`.
    counts: Vec<u64>,
    /// Least value; infinite before there is one.
    low: f32,
    /// Greatest value; infinite before there is one.
    high: f32,
    /// Values that are exactly zero, as half of them are after a ReLU. `counts` has them, too.
    zeros: u64,
    /// Values that are NaN or infinite.
    not_finite: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        // Narrow enough for any activation that is worth quantizing. The bins only ever widen.
        let (low, high) = (f32::INFINITY, f32::NEG_INFINITY);
        Self { exponent: -40, counts: vec![0; 2 * BINS], low, high, zeros: 0, not_finite: 0 }
    }
}

impl Histogram {
    /// Counts `values`.
    pub fn observe(&mut self, values: &[f32]) {
        let (mut low, mut high, mut bad) = (self.low, self.high, 0u64);
        for &value in values {
            low = low.min(value);
            high = high.max(value);
            bad += u64::from(!value.is_finite());
        }
        self.not_finite += bad;
        if bad > 0 || values.is_empty() {
            return;
        }
        (self.low, self.high) = (low, high);
        self.widen_to(low.abs().max(high.abs()));
        let per_width = (-self.exponent as f32).exp2();
        for &value in values {
            self.counts[bin(value, per_width)] += 1;
            self.zeros += u64::from(value == 0.0);
        }
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        let exponent = self.exponent.max(other.exponent);
        self.widen(exponent);
        other.widen(exponent);
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.zeros += other.zeros;
        self.not_finite += other.not_finite;
    }

    /// Returns the number of values that are NaN or infinite. They are not counted otherwise.
    pub fn not_finite(&self) -> u64 {
        self.not_finite
    }

    /// Returns the range from the least to the greatest value, extended to zero.
    pub fn range(&self) -> Range {
        Range { low: self.low.min(0.0).into(), high: self.high.max(0.0).into() }
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the value, if all values are the same.
    pub fn constant(&self) -> Option<f64> {
        (self.low == self.high).then(|| self.low.into())
    }

    /// Returns the value below which `share` (0 to 1) of the values lie, to within one bin.
    pub fn quantile(&self, share: f64) -> f64 {
        let target = share.clamp(0.0, 1.0) * self.count() as f64;
        let width = f64::from(self.exponent).exp2();
        let mut below = 0.0;
        for (bin, &count) in self.counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let next = below + count as f64;
            if next >= target {
                let part = ((target - below) / count as f64).clamp(0.0, 1.0);
                return (bin as f64 - BINS as f64 + part) * width;
            }
            below = next;
        }
        self.range().high
    }

    /// Iterates over the middle and the count of each bin that is not empty, in ascending order. Values that are exactly zero
    /// are left out, because no range rounds or clips them.
    pub fn occupied(&self) -> impl Iterator<Item = (f64, u64)> {
        let width = f64::from(self.exponent).exp2();
        let zero = BINS;
        let count = move |(bin, &count): (usize, &u64)| {
            let count = count - if bin == zero { self.zeros } else { 0 };
            ((bin as f64 - BINS as f64 + 0.5) * width, count)
        };
        self.counts.iter().enumerate().map(count).filter(|&(_, count)| count > 0)
    }

    fn widen_to(&mut self, magnitude: f32) {
        let mut exponent = self.exponent;
        while f64::from(magnitude) >= BINS as f64 * f64::from(exponent).exp2() {
            exponent += 1;
        }
        self.widen(exponent);
    }

    fn widen(&mut self, exponent: i32) {
        while self.exponent < exponent {
            let mut merged = vec![0; 2 * BINS];
            for (bin, &count) in self.counts.iter().enumerate() {
                // Floor division about zero: bins −2 and −1 become −1.
                merged[(bin + BINS) / 2] += count;
            }
            self.counts = merged;
            self.exponent += 1;
        }
    }
}

fn bin(value: f32, per_width: f32) -> usize {
    // The value is in range after `widen_to`; the clamp is for the negative edge, −BINS exactly.
    ((value * per_width).floor() as i64 + BINS as i64).clamp(0, 2 * BINS as i64 - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Method;
    use proptest::prelude::*;

    fn histogram(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.observe(values);
        histogram
    }

    proptest! {
        /// Order and split do not matter: calibration is deterministic however it is spread over threads.
        #[test]
        fn merging_equals_observing(values in prop::collection::vec(-1e4f32..1e4, 1..200), cut in 0usize..200) {
            let cut = cut.min(values.len());
            let mut merged = histogram(&values[cut..]);
            merged.merge(&histogram(&values[..cut]));
            let mut one_by_one = Histogram::default();
            values.iter().rev().for_each(|&v| one_by_one.observe(&[v]));
            let whole = histogram(&values);
            prop_assert_eq!(&merged.counts, &whole.counts);
            prop_assert_eq!(&one_by_one.counts, &whole.counts);
            prop_assert_eq!(merged.range(), whole.range());
        }

        #[test]
        fn quantiles_are_within_a_bin(values in prop::collection::vec(-50f32..50.0, 10..300), share in 0.0f64..1.0) {
            let mut sorted = values.clone();
            sorted.sort_by(f32::total_cmp);
            let histogram = histogram(&values);
            let rank = ((share * values.len() as f64).ceil() as usize).clamp(1, values.len()) - 1;
            let width = f64::from(histogram.exponent).exp2();
            prop_assert!((histogram.quantile(share) - f64::from(sorted[rank])).abs() <= width * 1.01);
        }
    }

    #[test]
    fn max_covers_everything_and_percentile_clips_outliers() {
        let mut values = vec![1.0; 9999];
        values.push(100.0);
        let h = histogram(&values);
        assert_eq!(Method::Max.range(&h), Range { low: 0.0, high: 100.0 });
        let clipped = Method::Percentile(99.9).range(&h);
        assert_eq!(clipped.low, 0.0);
        assert!((1.0..1.1).contains(&clipped.high), "{clipped:?}");
    }

    /// A tail that thins out exponentially is clipped by both searches, a flat one by neither.
    #[test]
    fn searches_clip_thin_tails_only() {
        let steps = 100_000;
        let exponential: Vec<f32> = (1..steps).map(|i| -(i as f32 / steps as f32).ln()).collect();
        let flat: Vec<f32> = (0..steps).map(|i| i as f32 / steps as f32).collect();
        for method in [Method::Mse, Method::Entropy] {
            let clipped = method.range(&histogram(&exponential));
            assert!(clipped.low == 0.0 && (4.0..11.0).contains(&clipped.high), "{method:?} {clipped:?}");
            let kept = method.range(&histogram(&flat));
            assert!(kept.low == 0.0 && kept.high > 0.95, "{method:?} {kept:?}");
            let mirrored: Vec<f32> = exponential.iter().map(|v| -v).collect();
            let mirrored = method.range(&histogram(&mirrored));
            assert!(mirrored.high == 0.0 && (-11.0..-4.0).contains(&mirrored.low), "{method:?} {mirrored:?}");
        }
    }

    /// The searches survive what calibration may see.
    #[test]
    fn degenerate_tensors_have_ranges() {
        for values in [&[][..], &[0.0; 9], &[3.0], &[-3.0], &[-1e30, 1e30], &[1e-38]] {
            for method in [Method::Max, Method::Percentile(99.9), Method::Mse, Method::Entropy] {
                let h = histogram(values);
                let (range, seen) = (method.range(&h), h.range());
                assert!(seen.low <= range.low && range.low <= 0.0, "{method:?} {values:?} {range:?}");
                assert!(seen.high >= range.high && range.high >= 0.0, "{method:?} {values:?} {range:?}");
            }
        }
    }

    #[test]
    fn constants_are_told_from_ranges() {
        assert_eq!(
            [&[][..], &[1.0, 1.5], &[0.0, 1e-30]].map(|values| histogram(values).constant()),
            [None; 3]
        );
        let cases = [(&[0.0; 9][..], 0.0), (&[3.5; 2], 3.5), (&[-2.0], -2.0)];
        for (values, value) in cases {
            let mut merged = histogram(values);
            merged.merge(&histogram(&[]));
            assert_eq!(merged.constant(), Some(value), "{values:?}");
            merged.merge(&histogram(&[value as f32 + 1.0]));
            assert_eq!(merged.constant(), None, "{values:?}");
        }
    }

    #[test]
    fn not_finite_values_are_counted_apart() {
        let h = histogram(&[1.0, f32::NAN, f32::INFINITY]);
        assert_eq!(h.not_finite(), 2);
        assert_eq!(h.range(), Range { low: 0.0, high: 0.0 });
    }
}
