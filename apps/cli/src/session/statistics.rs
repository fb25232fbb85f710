//! Percentiles of measured times.

use std::time::Duration;

/// Sorted times of at least one run.
#[derive(Debug)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Sorts `times`. Returns `None` if there are none.
    pub(crate) fn new(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        (!times.is_empty()).then_some(Self(times))
    }

    /// Returns the nearest-rank percentile: the least time that at least `percent` % of the runs did not exceed. It is always
    /// a measured time. With few runs, high percentiles are the slowest run.
    pub(crate) fn percentile(&self, percent: u32) -> Duration {
        let rank = (self.0.len() as u64 * u64::from(percent.min(100))).div_ceil(100);
        self.0[(rank.max(1) - 1) as usize]
    }

    /// Returns the time of the fastest run.
    pub(crate) fn min(&self) -> Duration {
        self.0[0]
    }
}

/// Converts a time to milliseconds for reports.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    // Division of whole nanoseconds, so that a report shows no more digits than the clock has.
    time.as_nanos() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(values: impl IntoIterator<Item = u64>) -> Times {
        Times::new(values.into_iter().map(Duration::from_millis).collect()).unwrap()
    }

    fn at(times: &Times, percent: u32) -> u64 {
        times.percentile(percent).as_millis() as u64
    }

    #[test]
    fn nearest_rank() {
        // The worked example of the usual definition.
        let five = times([50, 15, 40, 20, 35]);
        assert_eq!([5, 30, 40, 50, 100].map(|p| at(&five, p)), [15, 20, 20, 35, 50]);
        let hundred = times((1..=100).rev());
        assert_eq!([0, 1, 50, 90, 99, 100].map(|p| at(&hundred, p)), [1, 1, 50, 90, 99, 100]);
        assert_eq!(hundred.min(), Duration::from_millis(1));
        let thirty = times(1..=30);
        assert_eq!([50, 90, 99].map(|p| at(&thirty, p)), [15, 27, 30]);
    }

    #[test]
    fn one_run_is_every_percentile() {
        let one = times([7]);
        assert_eq!([0, 50, 99, 100].map(|p| at(&one, p)), [7; 4]);
    }

    #[test]
    fn no_runs_have_no_percentiles() {
        assert!(Times::new(Vec::new()).is_none());
    }
}
