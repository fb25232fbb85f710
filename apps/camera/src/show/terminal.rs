//! Writes readings for people: a line that is updated, or a line for each change of the label.

use crate::reading::{Picture, Reading, Show, ShowError};
use std::fmt::Write as _;
use std::io::Write;
use std::time::Instant;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The style of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For a terminal: one line, which each reading overwrites.
    Updating {
        /// Number of columns of the terminal.
        width: usize,
    },
    /// For a log: a line for the first frame and for each frame that changes the label.
    Changes,
}

/// Writes readings as text. Allocates only to grow the line.
pub struct Terminal<W: Write> {
    out: W,
    style: Style,
    start: Instant,
    line: String,
    /// The class in the last line.
    shown: Option<u32>,
}

impl<W: Write> Terminal<W> {
    /// Writes to `out`. Times count from this call.
    pub fn new(out: W, style: Style) -> Self {
        Self { out, style, start: Instant::now(), line: String::with_capacity(1024), shown: None }
    }

    fn write(&mut self) -> std::io::Result<()> {
        self.out.write_all(self.line.as_bytes())?;
        self.out.flush()
    }
}

/// Appends `text` with control characters escaped. Labels come from the model, and must not control the terminal.
fn push_clean(line: &mut String, text: &str) {
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
}

/// Cuts a line to `columns`, the last of which becomes an ellipsis.
fn shorten(line: &mut String, columns: usize) {
    if line.width() <= columns {
        return;
    }
    let mut taken = 0;
    let end = line.char_indices().find(|(_, c)| {
        taken += c.width().unwrap_or(0);
        taken >= columns
    });
    line.truncate(end.map_or(line.len(), |(at, _)| at));
    line.push('…');
}

impl<W: Write> Show for Terminal<W> {
    fn wants_picture(&self) -> bool {
        false
    }

    fn show(&mut self, reading: &Reading<'_>, _: Option<&Picture<'_>>) -> Result<(), ShowError> {
        let Some(best) = reading.top.first() else { return Ok(()) };
        self.line.clear();
        // Writing to memory does not fail.
        let line = &mut self.line;
        match self.style {
            Style::Changes => {
                if self.shown.replace(best.class) == Some(best.class) {
                    return Ok(());
                }
                let _ =
                    write!(line, "{:8.2} s  frame {}  ", self.start.elapsed().as_secs_f32(), reading.frame);
                let _ = write!(line, "{:5.1} %  ", 100.0 * best.probability);
                push_clean(line, best.label);
                line.push('\n');
            }
            Style::Updating { width } => {
                let dropped = reading.dropped;
                let _ = write!(line, "{:5.1} fps  {:5.0} ms", reading.fps, reading.latency_ms);
                if let Some(celsius) = reading.health.temperature_c {
                    let _ = write!(line, "  {celsius:.0} °C");
                }
                if let Some(why) = reading.health.slowed {
                    let _ = write!(line, "  {why}");
                }
                if dropped > 0 {
                    let _ = write!(line, "  {dropped} dropped");
                }
                for prediction in reading.top {
                    let _ = write!(line, "  {:3.0} % ", 100.0 * prediction.probability);
                    push_clean(line, prediction.label);
                }
                // The next reading could not overwrite a line that wraps.
                shorten(line, width.saturating_sub(1));
                line.insert(0, '\r');
                // Clears the rest of a longer line.
                line.push_str("\x1b[K");
            }
        }
        self.write().map_err(|error| ShowError::writing("stdout", &error))
    }
}

impl<W: Write> Drop for Terminal<W> {
    /// Ends the line, so that other output starts on a new one.
    fn drop(&mut self) {
        if matches!(self.style, Style::Updating { .. }) && !self.line.is_empty() {
            let _ = self.out.write_all(b"\n");
            let _ = self.out.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Health, Prediction};

    #[test]
    fn each_reading_overwrites_the_line() {
        let prediction = |class, label| Prediction { class, label, probability: 0.5 };
        let health = Health { temperature_c: Some(82.4), slowed: Some("throttled") };
        let top = [prediction(0, "tench\x1b[2J"), prediction(1, "a label that does not fit")];
        let reading = Reading {
            frame: 9,
            model: "m",
            top: &top,
            latency_ms: 41.3,
            inference_ms: 30.0,
            fps: 24.0,
            dropped: 3,
            health,
        };
        let mut out = Vec::new();
        let mut terminal = Terminal::new(&mut out, Style::Updating { width: 80 });
        terminal.show(&reading, None).unwrap();
        drop(terminal);
        let line = " 24.0 fps     41 ms  82 °C  throttled  3 dropped   50 % tench\\u{1b}[2J   50 % …";
        assert_eq!(String::from_utf8(out).unwrap(), format!("\r{line}\x1b[K\n"));
    }

    #[test]
    fn lines_fit_their_terminal() {
        let cut = |text: &str, columns: usize| {
            let mut line = text.to_owned();
            shorten(&mut line, columns);
            assert!(line.width() <= columns.max(1), "{line} in {columns}");
            line
        };
        assert_eq!(cut("10 fps  tench", 13), "10 fps  tench");
        assert_eq!(cut("10 fps  tench", 12), "10 fps  ten…");
        assert_eq!(cut("10 fps  犬犬犬", 13), "10 fps  犬犬…");
        assert_eq!(cut("10 fps  犬犬犬", 12), "10 fps  犬…");
        (0..20).for_each(|columns| drop(cut("45 fps  犬 é tench 犬", columns)));
    }
}
