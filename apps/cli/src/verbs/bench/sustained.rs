//! Latency over minutes or hours, beside what the board says of heat and clock.
//!
//! Memory is fixed beforehand, however many inferences there will be: times go to histograms (three significant
//! digits), and each stretch of time leaves a [`Stretch`].

use super::Milliseconds;
use crate::machine::board::{Board, Sample, Throttled};
use crate::machine::cpus::Placement;
use crate::session::statistics::milliseconds;
use crate::terminal::output::{self, Column, Table, sparkline};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Points of the plot and of the JSON series.
const POINTS: u32 = 60;

/// Lines of the table.
const ROWS: u32 = 12;

/// What the beginning and the end are compared over, unless the run is shorter than three of it.
const WINDOW: Duration = Duration::from_secs(60);

/// Between two looks at the board: its sensors are no faster.
const LOOK: Duration = Duration::from_secs(1);

/// A rise of latency or fall of the clock that counts. Runs on a machine left alone differ by less.
const NOTABLE: f64 = 0.05;

/// Reads `--sustained`.
pub(super) fn parse_length(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    let length =
        humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 30s, 5m or 1h"))?;
    match range.contains(&length) {
        true => Ok(length),
        false => Err("between 1s and 24h, please".to_owned()),
    }
}

/// Takes the times of a run that is as long as asked for.
pub(super) struct Recorder {
    length: Duration,
    window: Duration,
    /// Of the first inference.
    start: Option<Instant>,
    all: Histogram<u64>,
    first: Histogram<u64>,
    last: Histogram<u64>,
    points: Series,
    rows: Series,
    board: Board,
    /// What the firmware said last.
    firmware: Option<Throttled>,
    next_look: Duration,
    /// Shows where we are, if somebody is watching.
    watched: bool,
}

impl Recorder {
    /// Takes all memory it will need.
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

    /// Whether the time is not over yet. It begins when this is asked for the first time.
    pub(super) fn wants_more(&mut self) -> bool {
        let start = *self.start.get_or_insert_with(Instant::now);
        self.all.is_empty() || start.elapsed() < self.length
    }

    /// Takes the time of an inference that has just ended.
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
        // Between two inferences, so that none is slower for it.
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

    /// What there is to say.
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

/// Writes over the line before; formatting numbers allocates nothing.
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

/// From 1 µs to 10 minutes, to three digits.
fn histogram() -> Histogram<u64> {
    let bounds = Histogram::new_with_bounds(1_000, 600_000_000_000, 3);
    bounds.expect("the bounds are constant and within what the crate documents")
}

fn in_milliseconds(nanoseconds: u64) -> f64 {
    milliseconds(Duration::from_nanos(nanoseconds))
}

fn at_percentile(times: &Histogram<u64>, percent: f64) -> f64 {
    in_milliseconds(times.value_at_percentile(percent))
}

/// Stretches of one length, one after the other.
struct Series {
    length: Duration,
    count: usize,
    times: Histogram<u64>,
    current: Stretch,
    done: Vec<Stretch>,
}

impl Series {
    fn new(length: Duration, count: u32) -> Self {
        let count = count as usize;
        let (times, current, done) = (histogram(), Stretch::default(), Vec::with_capacity(count));
        Self { length, count, times, current, done }
    }

    fn record(&mut self, end: Duration, nanoseconds: u64) {
        // The last inference may end after the time is over.
        while self.done.len() + 1 < self.count && end >= self.length * (self.done.len() as u32 + 1) {
            self.close();
        }
        self.times.saturating_record(nanoseconds);
    }

    /// Ends the current stretch; within the memory taken at first.
    fn close(&mut self) {
        let mut stretch = std::mem::take(&mut self.current);
        stretch.t_s = (self.length * self.done.len() as u32).as_secs_f64();
        stretch.runs = self.times.len();
        let ms = |percent| (!self.times.is_empty()).then(|| at_percentile(&self.times, percent));
        (stretch.p50_ms, stretch.p99_ms) = (ms(50.0), ms(99.0));
        self.done.push(stretch);
        self.times.reset();
    }
}

/// A stretch of time. `None` where nothing ended in it, or the machine does not say.
#[derive(Clone, Debug, Default, Serialize)]
struct Stretch {
    /// When it began.
    t_s: f64,
    /// Inferences that ended in it.
    runs: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// The highest.
    temperature_c: Option<f32>,
    /// The lowest.
    mhz: Option<u32>,
    /// The lowest that the clock was limited to.
    limit_mhz: Option<u32>,
    /// What a Raspberry Pi's firmware did.
    throttled: Option<Throttled>,
}

impl Stretch {
    fn look(&mut self, sample: &Sample, throttled: Option<Throttled>) {
        self.temperature_c = sample.temperature_c.into_iter().chain(self.temperature_c).reduce(f32::max);
        self.mhz = sample.mhz.into_iter().chain(self.mhz).min();
        self.limit_mhz = sample.limit_mhz.into_iter().chain(self.limit_mhz).min();
        if let Some(flags) = throttled {
            self.throttled = Some(flags.and(self.throttled.unwrap_or_default()));
        }
    }
}

/// How latency changed.
#[derive(Serialize)]
pub(super) struct Sustained {
    seconds: f64,
    /// What `first` and `last` are over.
    window_s: f64,
    first_p50_ms: Option<f64>,
    last_p50_ms: Option<f64>,
    /// By which fraction the last window is slower than the first.
    slowdown: Option<f64>,
    /// Whether the clock was held back.
    throttled: bool,
    /// Since when the clock was held back, or else latency higher.
    since_s: Option<f64>,
    /// By what.
    cause: Option<String>,
    series: Vec<Stretch>,
    #[serde(skip)]
    rows: Vec<Stretch>,
}

impl Sustained {
    fn new(recorder: &Recorder) -> Self {
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

/// When the clock was first held back, and by what.
///
/// The firmware's word and the kernel's count at any time, a limit that was there from the beginning does not.
/// A lower clock counts only where inferences take longer too: at the end of a stretch it may be idle already.
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

/// Since when every stretch has been slower than the beginning.
fn slower_since(series: &[Stretch], first_p50: f64) -> Option<f64> {
    let measured = series.iter().rev().filter_map(|stretch| Some((stretch.t_s, stretch.p50_ms?)));
    measured.take_while(|&(_, p50)| p50 > first_p50 * (1.0 + NOTABLE)).last().map(|(since, _)| since)
}

/// Minutes and seconds.
struct Clock(Duration);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, minutes, seconds) => write!(f, "{minutes}:{seconds:02}"),
            (hours, minutes, seconds) => write!(f, "{hours}:{minutes:02}:{seconds:02}"),
        }
    }
}

impl Sustained {
    /// Nothing is known but times.
    fn board_is_silent(&self) -> bool {
        let silent = |stretch: &Stretch| {
            stretch.temperature_c.is_none() && stretch.mhz.is_none() && stretch.throttled.is_none()
        };
        self.series.iter().all(silent)
    }

    /// One line.
    pub(super) fn verdict(&self) -> String {
        let window = match self.window_s {
            window if window >= 60.0 => "minute".to_owned(),
            window => format!("{window:.1} s"),
        };
        let clock = |seconds: f64| Clock(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        let compared = match (self.first_p50_ms, self.last_p50_ms, self.slowdown) {
            (Some(first), Some(last), Some(by)) => {
                format!(
                    "p50 {first:.2} ms in the first {window}, {last:.2} ms in the last ({:+.1} %)",
                    100.0 * by
                )
            }
            _ => format!("too few inferences to compare the first {window} with the last"),
        };
        match (&self.cause, self.since_s) {
            (Some(cause), Some(since)) => format!("throttled from {} on ({cause}); {compared}", clock(since)),
            (None, Some(since)) => format!(
                "slower from {} on, though nothing shows a limit on the clock (another program?); {compared}",
                clock(since)
            ),
            _ if self.slowdown.is_none() => compared,
            _ if self.board_is_silent() => {
                format!("steady; {compared}; this machine tells no temperature or clock")
            }
            _ => format!("did not throttle; {compared}"),
        }
    }
}

/// A line of the plot: values over time and their range.
struct Line {
    name: &'static str,
    unit: &'static str,
    digits: usize,
    values: Vec<Option<f64>>,
    /// The least range that fills the height, so that noise does not look like a mountain.
    least: f64,
}

impl Line {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = || self.values.iter().copied().flatten();
        let Some(low) = known().reduce(f64::min) else { return Ok(()) };
        let high = known().reduce(f64::max).unwrap_or(low);
        let plot = sparkline(&self.values, low, high.max(low + self.least), output::unicode());
        let (digits, unit) = (self.digits, self.unit);
        writeln!(f, "{:13}{plot}  {low:.digits$} to {high:.digits$} {unit}", self.name)
    }
}

impl fmt::Display for Sustained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |name, unit, digits, least: f64, of: fn(&Stretch) -> Option<f64>| Line {
            name,
            unit,
            digits,
            values: self.series.iter().map(of).collect(),
            least,
        };
        let quarter = self.first_p50_ms.unwrap_or(1.0) / 4.0;
        line("latency p50", "ms", 2, quarter, |stretch| stretch.p50_ms).write(f)?;
        line("temperature", "°C", 1, 20.0, |stretch| stretch.temperature_c.map(f64::from)).write(f)?;
        line("clock", "GHz", 2, 0.5, |stretch| stretch.mhz.map(|mhz| f64::from(mhz) / 1e3)).write(f)?;
        let columns = [
            Column::number("from"),
            Column::number("runs").optional(2),
            Column::number("p50 ms"),
            Column::number("p99 ms"),
            Column::number("°C"),
            Column::number("GHz"),
            Column::text("held back by").optional(1),
        ];
        let mut table = Table::new(columns, output::terminal_width());
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        for row in &self.rows {
            let limit = row.limit_mhz.map(|mhz| format!("limit {:.2} GHz", f64::from(mhz) / 1e3));
            let flags = row.throttled.filter(|flags| flags.any()).map(|flags| flags.to_string());
            let reasons: Vec<_> = flags.into_iter().chain(limit).collect();
            table.row([
                match self.seconds < 120.0 {
                    true => format!("{:.1} s", row.t_s),
                    false => Clock(Duration::try_from_secs_f64(row.t_s).unwrap_or_default()).to_string(),
                },
                row.runs.to_string(),
                or_dash(row.p50_ms.map(|ms| format!("{ms:.2}"))),
                or_dash(row.p99_ms.map(|ms| format!("{ms:.2}"))),
                or_dash(row.temperature_c.map(|celsius| format!("{celsius:.1}"))),
                or_dash(row.mhz.map(|mhz| format!("{:.2}", f64::from(mhz) / 1e3))),
                reasons.join(", "),
            ]);
        }
        write!(f, "\n{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sysfs::Fake;

    /// A board whose temperature is `celsius` and whose clock is `mhz`, of at most 2400.
    fn set(fake: &Fake, celsius: u32, mhz: u32, limit: u32) {
        fake.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal");
        fake.write("sys/class/thermal/thermal_zone0/temp", celsius * 1000);
        let clocks = [("scaling_cur_freq", mhz), ("scaling_max_freq", limit), ("cpuinfo_max_freq", 2400)];
        for (file, clock) in clocks {
            fake.write(&format!("sys/devices/system/cpu/cpu0/cpufreq/{file}"), clock * 1000);
        }
    }

    /// Ten inferences a second, each of as many milliseconds as `ms` says of the second.
    fn run(
        fake: &Fake,
        seconds: u64,
        ms: impl Fn(u64) -> u64,
        look: impl Fn(u64),
    ) -> (u64, Milliseconds, Sustained) {
        let sysfs = crate::machine::sysfs::Sysfs::at(&fake.root().join("sys"));
        let board = Board::on(&sysfs, &[0].into_iter().collect());
        let mut recorder = Recorder::on(board, Duration::from_secs(seconds));
        recorder.watched = false;
        for tenth in 1..=10 * seconds {
            let second = (tenth - 1) / 10;
            if tenth % 10 == 1 {
                look(second);
            }
            recorder.record_at(Duration::from_millis(100 * tenth), Duration::from_millis(ms(second)));
        }
        recorder.finish()
    }

    #[test]
    fn a_board_that_stays_cool() {
        let fake = Fake::new();
        set(&fake, 50, 2400, 2400);
        let (runs, ms, sustained) = run(&fake, 300, |_| 20, |_| {});
        assert_eq!(runs, 3000);
        assert!((ms.p50 - 20.0).abs() < 0.02 && (ms.min - 20.0).abs() < 0.02 && ms.p99 >= ms.p50);
        assert_eq!((sustained.throttled, sustained.since_s, sustained.slowdown), (false, None, Some(0.0)));
        assert_eq!((sustained.series.len(), sustained.rows.len()), (60, 12));
        assert!(sustained.series.iter().all(|stretch| (49..=51).contains(&stretch.runs)));
        assert_eq!(sustained.series.iter().map(|stretch| stretch.runs).sum::<u64>(), 3000);
        assert_eq!(sustained.rows.iter().map(|stretch| stretch.runs).sum::<u64>(), 3000);
        assert_eq!((sustained.series[30].t_s, sustained.series[30].mhz), (150.0, Some(2400)));
        let verdict = sustained.verdict();
        assert!(verdict.starts_with("did not throttle; p50 20.0"), "{verdict}");
        assert!(verdict.ends_with(" in the last (+0.0 %)"), "{verdict}");
    }

    #[test]
    fn the_kernel_sheds_heat() {
        let fake = Fake::new();
        let hot = |second| second >= 150;
        let look = |second: u64| match hot(second) {
            false => set(&fake, 50 + second as u32 / 5, 2400, 2400),
            true => set(&fake, 85, 1800, 1800),
        };
        look(0);
        let (.., sustained) = run(&fake, 300, |second| if hot(second) { 28 } else { 20 }, look);
        assert!(sustained.throttled);
        assert_eq!(sustained.since_s, Some(150.0));
        assert_eq!(sustained.cause.as_deref(), Some("the kernel limited the clock to 1.80 GHz"));
        assert!((sustained.slowdown.unwrap() - 0.4).abs() < 0.01);
        let verdict = sustained.verdict();
        assert!(verdict.starts_with("throttled from 2:30 on (the kernel limited"), "{verdict}");
        let text = sustained.to_string();
        assert!(
            text.contains("\n2:30 ") && text.contains("limit 1.80 GHz") && text.contains(" 85.0"),
            "{text}"
        );
        assert!(text.contains("50.0 to 85.0 °C") && text.contains("1.80 to 2.40 GHz"), "{text}");
    }

    #[test]
    fn hardware_lowers_the_clock_by_itself() {
        let fake = Fake::new();
        let look = |second: u64| set(&fake, 90, if second < 200 { 2400 } else { 2000 }, 2400);
        look(0);
        let (.., sustained) = run(&fake, 300, |second| if second < 200 { 20 } else { 24 }, look);
        assert_eq!(sustained.cause.as_deref(), Some("the clock fell from 2.40 to 2.00 GHz"));
        assert_eq!(sustained.since_s, Some(200.0));
        // The governor's doing, if nothing takes longer.
        let (.., sustained) = run(&fake, 300, |_| 20, look);
        assert!(!sustained.throttled, "{}", sustained.verdict());
    }

    #[test]
    fn firmware_that_came_and_went_is_seen() {
        let fake = Fake::new();
        set(&fake, 60, 2400, 2400);
        let flags = |flags: &str| fake.write("sys/devices/platform/soc/soc:firmware/get_throttled", flags);
        flags("50000");
        let look = |second: u64| flags(if second < 100 { "50000" } else { "d0000" });
        let (.., sustained) = run(&fake, 300, |_| 20, look);
        assert_eq!(sustained.since_s, Some(100.0));
        let cause = "the firmware slowed the CPU down: soft temperature limit";
        assert_eq!(sustained.cause.as_deref(), Some(cause));
        let json = serde_json::to_value(&sustained).unwrap();
        assert_eq!(json["series"][19]["throttled"], serde_json::json!([]));
        assert_eq!(json["series"][20]["throttled"], serde_json::json!(["soft temperature limit"]));
        assert_eq!(json["series"][21]["throttled"], serde_json::json!([]));
    }

    #[test]
    fn a_limit_from_the_beginning_is_not_throttling() {
        let fake = Fake::new();
        set(&fake, 50, 1500, 1500);
        let (.., sustained) = run(&fake, 60, |_| 20, |_| {});
        assert!(!sustained.throttled, "{}", sustained.verdict());
        assert_eq!(sustained.series[0].limit_mhz, Some(1500));
    }

    #[test]
    fn slower_for_no_reason_that_shows() {
        let fake = Fake::new();
        let (.., sustained) = run(&fake, 60, |second| if second < 30 { 20 } else { 25 }, |_| {});
        assert_eq!((sustained.throttled, sustained.since_s), (false, Some(30.0)));
        assert!(
            sustained.verdict().starts_with("slower from 0:30 on, though nothing"),
            "{}",
            sustained.verdict()
        );
        let (.., steady) = run(&fake, 60, |_| 20, |_| {});
        assert!(
            steady.verdict().ends_with("this machine tells no temperature or clock"),
            "{}",
            steady.verdict()
        );
    }

    #[test]
    fn inferences_slower_than_a_point() {
        let fake = Fake::new();
        let sysfs = crate::machine::sysfs::Sysfs::at(fake.root());
        let mut recorder =
            Recorder::on(Board::on(&sysfs, &[0].into_iter().collect()), Duration::from_secs(10));
        recorder.watched = false;
        recorder.record_at(Duration::from_secs(70), Duration::from_secs(70));
        let (runs, ms, sustained) = recorder.finish();
        assert_eq!((runs, sustained.series.len()), (1, 60));
        assert!((ms.p50 - 70_000.0).abs() < 70.0);
        assert_eq!(sustained.series.iter().filter(|stretch| stretch.p50_ms.is_some()).count(), 1);
        assert!(sustained.verdict().starts_with("too few inferences"), "{}", sustained.verdict());
        assert!(sustained.to_string().contains('-'));
    }

    #[test]
    fn lengths() {
        assert_eq!(parse_length("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_length("1h 30m"), Ok(Duration::from_secs(5400)));
        for text in ["", "5", "0s", "25h", "-5m", "5 parsecs", "999999999999999999999h"] {
            assert!(parse_length(text).is_err(), "{text}");
        }
    }

    #[test]
    fn clocks_in_words() {
        let clocks = [0, 59, 61, 3600, 86_399].map(|seconds| Clock(Duration::from_secs(seconds)).to_string());
        assert_eq!(clocks, ["0:00", "0:59", "1:01", "1:00:00", "23:59:59"]);
    }
}
