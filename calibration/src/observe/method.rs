//! Which range of an activation int8 covers. A narrow one rounds finely and clips outliers, a wide one does the reverse.

use super::Histogram;
use crate::network::Range;

/// Levels of int8.
const LEVELS: usize = 256;

/// Ranges that a search tries on each side.
const CANDIDATES: usize = 128;

/// How the range of an activation is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// From the least to the greatest value.
    Max,
    /// The range that holds this percentage (0..100) of the values; the rest is clipped.
    Percentile(f64),
    /// The range with the least mean squared error, of rounding and of clipping together.
    Mse,
    /// The range whose 256 levels say most about the values: the least Kullback–Leibler divergence of the quantized
    /// distribution from the original (S. Migacz, *8-bit Inference with TensorRT*, GTC 2017).
    Entropy,
    /// The range whose error costs least in the logits. It depends on the whole network; of a single histogram
    /// [`range`](Self::range) returns that of [`Mse`](Self::Mse).
    Auto,
}

impl Method {
    /// Returns the range to quantize. It always holds zero.
    pub fn range(self, histogram: &Histogram) -> Range {
        let seen = histogram.range();
        match self {
            Self::Max => seen,
            Self::Percentile(percentage) => {
                // A tensor that a ReLU has cut at zero has one tail; any other has two.
                let tail = (1.0 - percentage / 100.0) / if seen.low < 0.0 { 2.0 } else { 1.0 };
                Range {
                    low: histogram.quantile(tail).clamp(seen.low, 0.0),
                    high: histogram.quantile(1.0 - tail).clamp(0.0, seen.high),
                }
            }
            Self::Mse | Self::Auto => least_squares(histogram),
            Self::Entropy => least_divergence(histogram),
        }
    }

    /// Returns the name: `max`, `percentile`, `mse`, `entropy` or `auto`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::Percentile(_) => "percentile",
            Self::Mse => "mse",
            Self::Entropy => "entropy",
            Self::Auto => "auto",
        }
    }
}

/// Displays the name, and the percentage if there is one.
impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Percentile(percentage) => write!(f, " {percentage}"),
            _ => Ok(()),
        }
    }
}

/// Sums over the bins, with which the error of any range takes a few subtractions.
struct Sums {
    /// Middle of each bin, ascending.
    middles: Vec<f64>,
    /// Σ count, Σ count · x and Σ count · x² over the bins before each.
    sums: Vec<[f64; 3]>,
}

impl Sums {
    fn new(histogram: &Histogram) -> Self {
        let (mut middles, mut sums, mut sum) = (Vec::new(), vec![[0.0; 3]], [0.0; 3]);
        for (x, count) in histogram.occupied() {
            let count = count as f64;
            middles.push(x);
            sum = [sum[0] + count, sum[1] + count * x, sum[2] + count * x * x];
            sums.push(sum);
        }
        Self { middles, sums }
    }

    /// Returns Σ count · (x − to)² over the bins from `from` to `end`.
    fn square(&self, (from, end): (usize, usize), to: f64) -> f64 {
        let [n, x, xx] = std::array::from_fn(|i| self.sums[end][i] - self.sums[from][i]);
        xx - 2.0 * to * x + n * to * to
    }

    /// Returns the squared error of 256 levels over `range`, summed over all values.
    fn error(&self, range: Range) -> f64 {
        let below = self.middles.partition_point(|&x| x < range.low);
        let inside = self.middles.partition_point(|&x| x <= range.high);
        let step = (range.high - range.low) / (LEVELS - 1) as f64;
        let rounded = self.sums[inside][0] - self.sums[below][0];
        // The error of a value is spread evenly over a step, so its square is step² / 12 on average.
        rounded * step * step / 12.0
            + self.square((0, below), range.low)
            + self.square((inside, self.middles.len()), range.high)
    }
}

/// Moves each end in turn to where the error is least, until neither moves.
fn least_squares(histogram: &Histogram) -> Range {
    let (seen, sums) = (histogram.range(), Sums::new(histogram));
    let share = |i: usize| i as f64 / CANDIDATES as f64;
    let best = |candidates: &mut dyn Iterator<Item = Range>| {
        candidates.min_by(|&a, &b| sums.error(a).total_cmp(&sums.error(b))).unwrap_or(seen)
    };
    let mut range = seen;
    loop {
        let before = range;
        // From the widest, which wins among equals.
        range = best(&mut (1..=CANDIDATES).rev().map(|i| Range { high: seen.high * share(i), ..range }));
        range = best(&mut (0..=CANDIDATES).rev().map(|i| Range { low: seen.low * share(i), ..range }));
        if range == before {
            return range;
        }
    }
}

/// Shrinks both ends by the same share, because clipping one tail says nothing about the other.
fn least_divergence(histogram: &Histogram) -> Range {
    let seen = histogram.range();
    let bins: Vec<(f64, u64)> = histogram.occupied().collect();
    let divergence = |range: Range| {
        // The original distribution, with outliers counted in the last bin that is kept.
        let mut kept: Vec<(f64, f64)> = Vec::with_capacity(bins.len());
        for &(x, count) in &bins {
            let x = x.clamp(range.low, range.high);
            match kept.last_mut() {
                Some(last) if last.0 == x => last.1 += count as f64,
                _ => kept.push((x, count as f64)),
            }
        }
        // The quantized distribution: the counts *without* outliers, spread evenly over the bins of each level.
        let step = (range.high - range.low) / (LEVELS - 1) as f64;
        let level = |x: f64| ((x - range.low) / step).round() as usize;
        let inside = |x: f64| bins[bins.partition_point(|bin| bin.0 < x)..].first().filter(|bin| bin.0 == x);
        let total: f64 = kept.iter().map(|bin| bin.1).sum();
        let mut levels = vec![(0.0, 0.0); LEVELS];
        for &(x, _) in &kept {
            let level = &mut levels[level(x).min(LEVELS - 1)];
            level.0 += inside(x).map_or(0.0, |bin| bin.1 as f64);
            level.1 += 1.0;
        }
        let left: f64 = levels.iter().map(|level| level.0).sum();
        kept.iter()
            .map(|&(x, count)| {
                let (sum, bins) = levels[level(x).min(LEVELS - 1)];
                let (p, q) = (count / total, sum / bins / left);
                // A bin that only outliers fill has no q; its values count as lost.
                p * (p / q.max(f64::EPSILON / total)).ln()
            })
            .sum::<f64>()
    };
    let candidates = (CANDIDATES / 16..=CANDIDATES).rev().map(|i| {
        let share = i as f64 / CANDIDATES as f64;
        Range { low: seen.low * share, high: seen.high * share }
    });
    candidates
        .map(|range| (divergence(range), range))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(seen, |(_, range)| range)
}
