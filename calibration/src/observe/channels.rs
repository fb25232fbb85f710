//! The distribution of each channel of an activation. It is coarser than the histogram of the whole tensor, but fine where it
//! matters: bins get wider with the value, eight to an octave.
//!
//! The error that a range causes in the readers of the tensor follows from it ([`Method::Auto`](super::Method::Auto)).

use crate::network::Range;

/// Bins of one octave: three bits of the mantissa.
const PER_OCTAVE: u32 = 8;

/// Octaves that are kept below the largest value. int8 rounds away whatever is smaller than a 256th of it, whatever the range.
const OCTAVES: u32 = 8;

const BINS: usize = (PER_OCTAVE * OCTAVES) as usize;

/// Mantissa bits that a bin ignores.
const SHIFT: u32 = 20;

/// A histogram of one channel in constant memory. Like that of the tensor it does not depend on the order of the values, and
/// two histograms add up exactly.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ChannelHistogram {
    positive: Tail,
    negative: Tail,
    /// Values that are exactly zero.
    zeros: u64,
}

/// Values of one sign, by magnitude.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tail {
    /// Key of the first bin: the exponent of an f32 and the first bits of its mantissa.
    first: u32,
    /// Empty until there is a value.
    counts: Vec<u32>,
    /// Values below the first bin.
    below: u64,
    largest: f32,
}

/// A run of values that are spread evenly from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bin {
    /// Least value.
    pub(crate) low: f64,
    /// Greatest value.
    pub(crate) high: f64,
    /// Number of values.
    pub(crate) count: f64,
}

impl ChannelHistogram {
    /// Counts `values`, which must be finite.
    pub(crate) fn observe(&mut self, values: &[f32]) {
        let (mut low, mut high) = (0.0f32, 0.0f32);
        for &value in values {
            low = low.min(value);
            high = high.max(value);
        }
        self.positive.reach(high);
        self.negative.reach(-low);
        for &value in values {
            if value > 0.0 {
                self.positive.count(value);
            } else if value < 0.0 {
                self.negative.count(-value);
            } else {
                self.zeros += 1;
            }
        }
    }

    /// Adds the counts of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.positive.merge(&other.positive);
        self.negative.merge(&other.negative);
        self.zeros += other.zeros;
    }

    /// Returns the range from the least to the greatest value, extended to zero.
    pub(crate) fn range(&self) -> Range {
        Range { low: -f64::from(self.negative.largest), high: self.positive.largest.into() }
    }

    /// Iterates over the bins that are not empty, without the zeros.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = Bin> {
        let mirrored = |bin: Bin| Bin { low: -bin.high, high: -bin.low, ..bin };
        self.negative.occupied().map(mirrored).chain(self.positive.occupied())
    }

    /// Returns the number of values, zeros included.
    pub(crate) fn len(&self) -> f64 {
        self.zeros as f64 + self.occupied().map(|bin| bin.count).sum::<f64>()
    }

    /// Returns the share of the values that are above zero: of the outputs of a ReLU, those that passed.
    pub(crate) fn positive_share(&self) -> f64 {
        self.positive.occupied().map(|bin| bin.count).sum::<f64>() / self.len().max(1.0)
    }
}

impl Tail {
    /// Makes room for `magnitude`.
    fn reach(&mut self, magnitude: f32) {
        if magnitude <= self.largest {
            return;
        }
        self.largest = magnitude;
        // The whole octave of the largest value is kept, so that the bins depend on nothing but its exponent.
        let octave = key(magnitude) / PER_OCTAVE;
        let first = (octave + 1).saturating_sub(OCTAVES) * PER_OCTAVE;
        self.move_to(first);
    }

    fn move_to(&mut self, first: u32) {
        if self.counts.is_empty() {
            self.counts = vec![0; BINS];
            self.first = first;
        }
        let dropped = ((first - self.first) as usize).min(BINS);
        self.below += self.counts[..dropped].iter().map(|&count| u64::from(count)).sum::<u64>();
        self.counts.copy_within(dropped.., 0);
        self.counts[BINS - dropped..].fill(0);
        self.first = first;
    }

    fn count(&mut self, magnitude: f32) {
        match key(magnitude).checked_sub(self.first) {
            Some(bin) => {
                let count = &mut self.counts[bin as usize];
                *count = count.saturating_add(1);
            }
            None => self.below += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        if other.counts.is_empty() {
            return;
        }
        self.reach(other.largest);
        self.below += other.below;
        for (bin, &count) in (other.first..).zip(&other.counts) {
            match bin.checked_sub(self.first) {
                Some(bin) => {
                    let sum = &mut self.counts[bin as usize];
                    *sum = sum.saturating_add(count);
                }
                None => self.below += u64::from(count),
            }
        }
    }

    fn occupied(&self) -> impl Iterator<Item = Bin> {
        let edge = |key: u32| f64::from(f32::from_bits(key << SHIFT));
        let below = Bin { low: 0.0, high: edge(self.first), count: self.below as f64 };
        let bins = (self.first..).zip(&self.counts).map(move |(key, &count)| Bin {
            low: edge(key),
            high: edge(key + 1).min(self.largest.into()),
            count: count.into(),
        });
        std::iter::once(below).chain(bins).filter(|bin| bin.count > 0.0)
    }
}

fn key(magnitude: f32) -> u32 {
    magnitude.to_bits() >> SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn histogram(values: &[f32]) -> ChannelHistogram {
        let mut histogram = ChannelHistogram::default();
        histogram.observe(values);
        histogram
    }

    proptest! {
        #[test]
        fn merging_equals_observing(values in prop::collection::vec(-1e3f32..1e3, 1..200), scale in -20i32..5, cut in 0usize..200) {
            let values: Vec<f32> =
                values.iter().enumerate().map(|(i, v)| if i % 2 == 0 { v * (scale as f32).exp2() } else { *v }).collect();
            let cut = cut.min(values.len());
            let mut merged = histogram(&values[cut..]);
            merged.merge(&histogram(&values[..cut]));
            let mut one_by_one = ChannelHistogram::default();
            values.iter().rev().for_each(|&v| one_by_one.observe(&[v]));
            let whole = histogram(&values);
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(&one_by_one, &whole);
            prop_assert_eq!(whole.len(), values.len() as f64);
        }

        #[test]
        fn bins_hold_their_values(values in prop::collection::vec(0.01f32..1.0, 1..100)) {
            let h = histogram(&values);
            for bin in h.occupied() {
                let inside = values.iter().filter(|&&v| (bin.low..=bin.high).contains(&f64::from(v))).count();
                prop_assert!(inside as f64 >= bin.count);
                prop_assert!(bin.high <= bin.low * 1.126);
            }
            let mean = values.iter().map(|&v| f64::from(v * v)).sum::<f64>() / values.len() as f64;
            let square = |Bin { low, high, count }: Bin| count * (low * low + low * high + high * high) / 3.0;
            let mean_square = h.occupied().map(square).sum::<f64>() / h.len();
            prop_assert!((mean_square / mean - 1.0).abs() < 0.14);
        }
    }

    #[test]
    fn shares_and_signs() {
        let h = histogram(&[0.0, 0.0, -2.0, 3.0]);
        assert_eq!(h.positive_share(), 0.25);
        assert_eq!(h.range(), Range { low: -2.0, high: 3.0 });
        assert_eq!(ChannelHistogram::default().len(), 0.0);
        // The smallest numbers there are do not disturb.
        assert_eq!(histogram(&[f32::MIN_POSITIVE, 1e-45, 3e38, -3e38]).len(), 4.0);
    }
}
