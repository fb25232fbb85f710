//! Latency over minutes or hours, together with the temperature and clock of the board.
//!
//! All memory is allocated in advance, whatever the number of inferences: times go to histograms with three significant digits,
//! and each stretch of time leaves one [`Stretch`](series::Stretch).

mod analysis;
mod series;
#[cfg(test)]
mod tests;
mod text;

use super::report::Milliseconds;
use crate::machine::board::{Board, Sample, Throttled};
use crate::machine::placement::Placement;
use crate::session::statistics::milliseconds;
pub(super) use analysis::Sustained;
use hdrhistogram::Histogram;
use series::{Series, at_percentile, histogram, in_milliseconds};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};
use text::Clock;

/// The number of points of the plots and of the JSON series.
const POINTS: u32 = 60;

/// The number of rows of the table.
const ROWS: u32 = 12;

/// The length of the windows at the start and the end that are compared. A run shorter than three windows uses thirds.
const WINDOW: Duration = Duration::from_secs(60);

/// The time between two samples of the board. Its sensors are no faster.
const LOOK: Duration = Duration::from_secs(1);

/// The least rise of latency or fall of the clock that counts, as a fraction. Runs on an idle machine differ by less.
const NOTABLE: f64 = 0.05;

/// Reads `--sustained`.
pub(super) fn parse_length(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    let length = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; use a form such as 30s, 5m or 1h"))?;
    match range.contains(&length) {
        true => Ok(length),
        false => Err("use a duration from 1s to 24h".to_owned()),
    }
}

/// Records the times of a run of a given duration.
pub(super) struct Recorder {
    length: Duration,
    window: Duration,
    /// The start of the first inference.
    start: Option<Instant>,
    all: Histogram<u64>,
    first: Histogram<u64>,
    last: Histogram<u64>,
    points: Series,
    rows: Series,
    board: Board,
    /// The flags that the firmware reported last.
    firmware: Option<Throttled>,
    next_look: Duration,
    /// Whether stderr is a terminal that shows the progress.
    watched: bool,
}

impl Recorder {
    /// Creates a recorder with all the memory that it needs.
    pub(super) fn new(length: Duration, placement: &Placement) -> Self {
        Self::on(Board::open(&placement.usable()), length)
    }

    fn on(board: Board, length: Duration) -> Self {
        Self {
            length,
            window: WINDOW.min(length / 3),
            start: None,
            all: histogram(),
            first: histogram(),
            last: histogram(),
            points: Series::new(length / POINTS, POINTS),
            rows: Series::new(length / ROWS, ROWS),
            board,
            firmware: None,
            next_look: Duration::ZERO,
            watched: io::stderr().is_terminal(),
        }
    }

    /// Returns whether the time is not over yet. The time begins with the first call.
    pub(super) fn wants_more(&mut self) -> bool {
        let start = *self.start.get_or_insert_with(Instant::now);
        self.all.is_empty() || start.elapsed() < self.length
    }

    /// Records the time of an inference that has just ended.
    pub(super) fn record(&mut self, took: Duration) {
        let end = self.start.map_or(Duration::ZERO, |start| start.elapsed());
        self.record_at(end, took);
    }

    fn record_at(&mut self, end: Duration, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.all.saturating_record(nanoseconds);
        if end <= self.window {
            self.first.saturating_record(nanoseconds);
        }
        if end + self.window > self.length {
            self.last.saturating_record(nanoseconds);
        }
        self.points.record(end, nanoseconds);
        self.rows.record(end, nanoseconds);
        // This runs between two inferences, so that it slows none of them down.
        if end >= self.next_look {
            let sample = self.board.sample();
            let throttled = sample.firmware.map(|flags| flags.since(self.firmware.unwrap_or(flags)));
            self.firmware = sample.firmware;
            self.points.current.look(&sample, throttled);
            self.rows.current.look(&sample, throttled);
            self.next_look = end + LOOK.min(self.points.length);
            if self.watched {
                show(end, self.length, took, &sample);
            }
        }
    }

    /// Ends the run and analyses it.
    pub(super) fn finish(mut self) -> (u64, Milliseconds, Sustained) {
        if self.watched {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        self.points.close();
        self.rows.close();
        let sustained = Sustained::new(&self);
        let ms = |percent| at_percentile(&self.all, percent);
        let ms = Milliseconds {
            p50: ms(50.0),
            p90: ms(90.0),
            p99: ms(99.0),
            min: in_milliseconds(self.all.min()),
        };
        (self.all.len(), ms, sustained)
    }
}

/// Shows the progress in one line that replaces the previous one. Formatting numbers allocates nothing.
fn show(end: Duration, length: Duration, took: Duration, sample: &Sample) {
    let mut to = io::stderr().lock();
    let _ = write!(to, "\r\x1b[K{} of {}  {:.2} ms", Clock(end), Clock(length), milliseconds(took));
    if let Some(celsius) = sample.temperature_c {
        let _ = write!(to, "  {celsius:.1} °C");
    }
    if let Some(mhz) = sample.mhz {
        let _ = write!(to, "  {mhz} MHz");
    }
}
