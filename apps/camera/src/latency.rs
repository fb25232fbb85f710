//! Percentiles of times, in constant memory.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// A histogram of times in microseconds, to three digits.
#[derive(Debug)]
pub(crate) struct Latencies(Option<Histogram<u64>>);

/// The longest time, an hour. Longer times count as this one.
const LONGEST: u64 = 3_600_000_000;

impl Latencies {
    pub(crate) fn new() -> Self {
        // These bounds and digits are valid, so there is a histogram.
        Self(Histogram::new_with_bounds(1, LONGEST, 3).ok())
    }

    pub(crate) fn record(&mut self, time: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST));
        }
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let milliseconds = |micros: u64| micros as f64 / 1000.0;
        let at =
            |q: f64| self.0.as_ref().map_or(0.0, |histogram| milliseconds(histogram.value_at_quantile(q)));
        Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
    }
}

/// Percentiles in milliseconds, to three digits. They are 0 if there are no frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Maximum.
    pub max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_to_three_digits() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentiles(), Percentiles::default());
        (1..=1000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        let Percentiles { p50, p90, p99, max } = latencies.percentiles();
        for (got, expected) in [(p50, 500.0), (p90, 900.0), (p99, 990.0), (max, 1000.0)] {
            assert!((got / expected - 1.0f64).abs() < 0.001, "{got} {expected}");
        }
        latencies.record(Duration::MAX);
        assert!(latencies.percentiles().max >= 3_600_000.0);
    }
}
