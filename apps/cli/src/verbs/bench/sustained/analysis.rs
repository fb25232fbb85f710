//! Finds out whether and when the board slowed down, and why.

use super::series::{Stretch, at_percentile};
use super::{NOTABLE, Recorder};
use hdrhistogram::Histogram;
use serde::Serialize;

/// How the latency changed.
#[derive(Serialize)]
pub(in crate::verbs::bench) struct Sustained {
    pub(super) seconds: f64,
    /// The length of the first and last window.
    pub(super) window_s: f64,
    pub(super) first_p50_ms: Option<f64>,
    pub(super) last_p50_ms: Option<f64>,
    /// The fraction by which the last window is slower than the first.
    pub(super) slowdown: Option<f64>,
    /// Whether the CPU throttled.
    pub(super) throttled: bool,
    /// When throttling began, or else when latency rose.
    pub(super) since_s: Option<f64>,
    /// Why the CPU throttled.
    pub(super) cause: Option<String>,
    pub(super) series: Vec<Stretch>,
    #[serde(skip)]
    pub(super) rows: Vec<Stretch>,
}

impl Sustained {
    pub(super) fn new(recorder: &Recorder) -> Self {
        let series = recorder.points.done.clone();
        let p50 = |times: &Histogram<u64>| (!times.is_empty()).then(|| at_percentile(times, 50.0));
        let (first, last) = (p50(&recorder.first), p50(&recorder.last));
        let slowdown =
            first.zip(last).filter(|&(first, _)| first > 0.0).map(|(first, last)| last / first - 1.0);
        let held_back = held_back(&series, first);
        let slower = || slower_since(&series, first?).filter(|_| slowdown.is_some_and(|by| by > NOTABLE));
        Self {
            seconds: recorder.length.as_secs_f64(),
            window_s: recorder.window.as_secs_f64(),
            first_p50_ms: first,
            last_p50_ms: last,
            slowdown,
            throttled: held_back.is_some(),
            since_s: held_back.as_ref().map(|&(since, _)| since).or_else(slower),
            cause: held_back.map(|(_, cause)| cause),
            series,
            rows: recorder.rows.done.clone(),
        }
    }
}

/// Returns when and why the CPU first throttled.
///
/// A report of the firmware and a new limit of the kernel count at any time; a limit that existed from the beginning does not.
/// A lower clock counts only if inferences take longer too, because the CPU may be idle at the end of a stretch.
fn held_back(series: &[Stretch], first_p50: Option<f64>) -> Option<(f64, String)> {
    let at_first = series.iter().find(|stretch| stretch.mhz.is_some() || stretch.limit_mhz.is_some());
    let limit_at_first = at_first.and_then(|stretch| stretch.limit_mhz).unwrap_or(u32::MAX);
    let clock_at_first = at_first.and_then(|stretch| stretch.mhz);
    let ghz = |mhz: u32| f64::from(mhz) / 1e3;
    series.iter().find_map(|stretch| {
        let firmware = stretch.throttled.filter(|flags| flags.any());
        let firmware = firmware.map(|flags| format!("the firmware slowed the CPU down: {flags}"));
        let limit = || {
            let limit = stretch.limit_mhz.filter(|&limit| limit < limit_at_first)?;
            Some(format!("the kernel limited the clock to {:.2} GHz", ghz(limit)))
        };
        let clock = || {
            let (before, now) = clock_at_first.zip(stretch.mhz)?;
            let slower = stretch.p50_ms? > first_p50? * (1.0 + NOTABLE);
            let lower = f64::from(now) < f64::from(before) * (1.0 - NOTABLE);
            (slower && lower)
                .then(|| format!("the clock fell from {:.2} to {:.2} GHz", ghz(before), ghz(now)))
        };
        Some((stretch.t_s, firmware.or_else(limit).or_else(clock)?))
    })
}

/// Returns the time from which on every stretch is slower than the first window.
fn slower_since(series: &[Stretch], first_p50: f64) -> Option<f64> {
    let measured = series.iter().rev().filter_map(|stretch| Some((stretch.t_s, stretch.p50_ms?)));
    measured.take_while(|&(_, p50)| p50 > first_p50 * (1.0 + NOTABLE)).last().map(|(since, _)| since)
}
