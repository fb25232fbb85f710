//! Latency and the state of the board in each stretch of time.

use crate::machine::board::{Sample, Throttled};
use crate::session::statistics::milliseconds;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// Creates a histogram from 1 µs to 10 minutes with three significant digits.
pub(super) fn histogram() -> Histogram<u64> {
    let bounds = Histogram::new_with_bounds(1_000, 600_000_000_000, 3);
    bounds.expect("the bounds are constant and within what the crate documents")
}

pub(super) fn in_milliseconds(nanoseconds: u64) -> f64 {
    milliseconds(Duration::from_nanos(nanoseconds))
}

pub(super) fn at_percentile(times: &Histogram<u64>, percent: f64) -> f64 {
    in_milliseconds(times.value_at_percentile(percent))
}

/// Consecutive stretches of equal length.
pub(super) struct Series {
    pub(super) length: Duration,
    pub(super) count: usize,
    pub(super) times: Histogram<u64>,
    pub(super) current: Stretch,
    pub(super) done: Vec<Stretch>,
}

impl Series {
    pub(super) fn new(length: Duration, count: u32) -> Self {
        let count = count as usize;
        let (times, current, done) = (histogram(), Stretch::default(), Vec::with_capacity(count));
        Self { length, count, times, current, done }
    }

    pub(super) fn record(&mut self, end: Duration, nanoseconds: u64) {
        // The last inference may end after the last stretch.
        while self.done.len() + 1 < self.count && end >= self.length * (self.done.len() as u32 + 1) {
            self.close();
        }
        self.times.saturating_record(nanoseconds);
    }

    /// Ends the current stretch. This needs no new memory.
    pub(super) fn close(&mut self) {
        let mut stretch = std::mem::take(&mut self.current);
        stretch.t_s = (self.length * self.done.len() as u32).as_secs_f64();
        stretch.runs = self.times.len();
        let ms = |percent| (!self.times.is_empty()).then(|| at_percentile(&self.times, percent));
        (stretch.p50_ms, stretch.p99_ms) = (ms(50.0), ms(99.0));
        self.done.push(stretch);
        self.times.reset();
    }
}

/// A stretch of time. Values are `None` if no inference ended in it, or if the machine does not report them.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Stretch {
    /// Its start, in seconds.
    pub(super) t_s: f64,
    /// The number of inferences that ended in it.
    pub(super) runs: u64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    /// The highest temperature.
    pub(super) temperature_c: Option<f32>,
    /// The lowest clock.
    pub(super) mhz: Option<u32>,
    /// The lowest limit of the clock.
    pub(super) limit_mhz: Option<u32>,
    /// The flags of a Raspberry Pi's firmware.
    pub(super) throttled: Option<Throttled>,
}

impl Stretch {
    pub(super) fn look(&mut self, sample: &Sample, throttled: Option<Throttled>) {
        self.temperature_c = sample.temperature_c.into_iter().chain(self.temperature_c).reduce(f32::max);
        self.mhz = sample.mhz.into_iter().chain(self.mhz).min();
        self.limit_mhz = sample.limit_mhz.into_iter().chain(self.limit_mhz).min();
        if let Some(flags) = throttled {
            self.throttled = Some(flags.and(self.throttled.unwrap_or_default()));
        }
    }
}
