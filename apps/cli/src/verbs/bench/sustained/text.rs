//! The analysis for people: a verdict, plots and a table.

use super::Sustained;
use super::series::Stretch;
use crate::terminal::output;
use crate::terminal::table::{Column, Table};
use crate::terminal::text::sparkline;
use std::fmt;
use std::time::Duration;

/// A duration in minutes and seconds, or in hours.
pub(super) struct Clock(pub(super) Duration);

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
    /// Returns whether the machine reports neither temperature nor clock.
    fn board_is_silent(&self) -> bool {
        let silent = |stretch: &Stretch| {
            stretch.temperature_c.is_none() && stretch.mhz.is_none() && stretch.throttled.is_none()
        };
        self.series.iter().all(silent)
    }

    /// Returns the verdict in one line.
    pub(in crate::verbs::bench) fn verdict(&self) -> String {
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
                "slower from {} on, but without a visible limit on the clock (another program?); {compared}",
                clock(since)
            ),
            _ if self.slowdown.is_none() => compared,
            _ if self.board_is_silent() => {
                format!("steady; {compared}; this machine reports neither temperature nor clock")
            }
            _ => format!("did not throttle; {compared}"),
        }
    }
}

/// A plot in one line: values over time, and their range.
struct Line {
    name: &'static str,
    unit: &'static str,
    digits: usize,
    values: Vec<Option<f64>>,
    /// The smallest range that fills the height, so that noise looks flat.
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
            Column::text("limited by").optional(1),
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
