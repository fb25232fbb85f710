//! What people and tools read: results on stdout, messages on stderr, tables that fit the terminal.

use crate::error::Error;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::io::{self, BufWriter, IsTerminal, Write};
use unicode_width::UnicodeWidthStr;

/// Prints a result.
pub(crate) fn print(result: &impl Display) -> Result<(), Error> {
    let mut out = BufWriter::new(io::stdout().lock());
    write!(out, "{result}").and_then(|()| out.flush()).map_err(|error| unwritable(&error))
}

/// Prints a result for tools.
pub(crate) fn print_json(result: &impl Serialize) -> Result<(), Error> {
    let mut out = BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, result)
        .map_err(io::Error::from)
        .and_then(|()| writeln!(out))
        .and_then(|()| out.flush())
        .map_err(|error| unwritable(&error))
}

/// Reports a failure. When stderr is closed too there is nobody left to tell.
pub(crate) fn complain(error: &Error) {
    let _ = writeln!(io::stderr(), "resnext: {error}");
}

/// A remark on stderr.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "resnext: {}", clean(&text.to_string()));
}

fn unwritable(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::OutputClosed,
        _ => Error::new("stdout", format_args!("cannot be written: {error}; send the output elsewhere")),
    }
}

/// Columns of the terminal; `None` if stdout is not one, for files and pipes get everything.
pub(crate) fn terminal_width() -> Option<usize> {
    let forced = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    forced.or_else(|| {
        let (width, _) = io::stdout().is_terminal().then(terminal_size::terminal_size)??;
        Some(usize::from(width.0))
    })
}

/// `text` without anything that moves a cursor: names in models and file systems are not ours, and a
/// terminal obeys what it is sent.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c.is_control() {
            true => cleaned.extend(c.escape_default()),
            false => cleaned.push(c),
        }
    }
    Cow::Owned(cleaned)
}

/// `text` in at most `width` columns, cleaned, with an ellipsis where it was cut.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    let text = clean(text);
    if text.width() <= width {
        return text.into_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if short.width() >= width {
            short.pop();
            break;
        }
    }
    short + "…"
}

/// The ending of what there are `count` of.
pub(crate) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// A length in bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1000.0 {
            return match unit {
                "B" => format!("{bytes} B"),
                _ => format!("{size:.*} {unit}", if size < 10.0 { 2 } else { 1 }),
            };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// A bar of up to `width` columns for a `fraction` of 0..1, in steps of an eighth.
pub(crate) fn bar(fraction: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (fraction.clamp(0.0, 1.0) * (8 * width) as f64).round() as usize;
    let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    // Padded by hand: `{:width$}` counts characters, and so does this.
    let used = bar.chars().count();
    bar + &" ".repeat(width.saturating_sub(used))
}

/// Whether stdout shows characters beyond ASCII: a terminal whose locale says so.
pub(crate) fn unicode() -> bool {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find(set).and_then(|name| std::env::var(name).ok());
    let utf8 = locale.is_some_and(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"));
    utf8 && io::stdout().is_terminal()
}

/// A column for each value, as high as it is between `low` and `high`; empty where there is none.
pub(crate) fn sparkline(values: &[Option<f64>], low: f64, high: f64, unicode: bool) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 8] = ['_', '.', '-', '~', '=', '+', '*', '#'];
    let levels = if unicode { BLOCKS } else { ASCII };
    let height = |value: f64| {
        let fraction = (value - low) / (high - low);
        // Not a number, such as 0 of 0, becomes 0.
        levels[((fraction * levels.len() as f64) as usize).min(levels.len() - 1)]
    };
    values.iter().map(|value| value.map_or(' ', height)).collect()
}

/// Named facts, one a line, values aligned.
#[derive(Default)]
pub(crate) struct Facts(Vec<(&'static str, String)>);

impl Facts {
    /// Adds a fact; an empty name continues the one above.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name, value.into()));
    }
}

impl Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "{name:FACT_INDENT$}{value}"))
    }
}

/// Where the values of [`Facts`] start.
pub(crate) const FACT_INDENT: usize = 13;

/// A column of a [`Table`].
#[derive(Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
    /// Columns with the greatest number leave first when the table is too wide; 0 stays.
    optional: u8,
}

impl Column {
    /// A column of text.
    pub(crate) const fn text(title: &'static str) -> Self {
        Self { title, right: false, optional: 0 }
    }

    /// A column of numbers, aligned right.
    pub(crate) const fn number(title: &'static str) -> Self {
        Self { title, right: true, optional: 0 }
    }

    /// The same column, left out of narrow terminals; the greater `rank`, the sooner.
    pub(crate) const fn optional(mut self, rank: u8) -> Self {
        self.optional = rank;
        self
    }
}

/// Rows of aligned columns.
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
    width: Option<usize>,
}

/// Between two columns.
const GAP: usize = 2;

impl<const N: usize> Table<N> {
    /// An empty table for a terminal of `width` columns.
    pub(crate) fn new(columns: [Column; N], width: Option<usize>) -> Self {
        Self { columns, rows: Vec::new(), width }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    fn widths(&self) -> [usize; N] {
        let mut widths = self.columns.map(|column| column.title.width());
        for row in &self.rows {
            widths.iter_mut().zip(row).for_each(|(width, cell)| *width = cell.width().max(*width));
        }
        widths
    }

    /// The columns that fit.
    fn shown(&self, widths: &[usize; N]) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..N).collect();
        while let Some(limit) = self.width {
            let width = shown.iter().map(|&i| widths[i] + GAP).sum::<usize>().saturating_sub(GAP);
            let next = shown.iter().copied().max_by_key(|&i| self.columns[i].optional);
            match next {
                Some(i) if width > limit && self.columns[i].optional > 0 => shown.retain(|&j| j != i),
                _ => break,
            }
        }
        shown
    }
}

impl<const N: usize> Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let shown = self.shown(&widths);
        let titles = self.columns.map(|column| column.title.to_owned());
        for cells in std::iter::once(&titles).chain(&self.rows) {
            let mut line = String::new();
            for &i in &shown {
                let space = " ".repeat(widths[i] - cells[i].width());
                match self.columns[i].right {
                    true => write!(line, "{space}{}", cells[i])?,
                    false => write!(line, "{}{space}", cells[i])?,
                }
                line.push_str(&" ".repeat(GAP));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<usize>) -> String {
        let columns = [Column::text("name"), Column::number("ms"), Column::text("kernel").optional(1)];
        let mut table = Table::new(columns, width);
        table.row(["stem".into(), "1.25".into(), "igemm".into()]);
        table.row(["größer".into(), "10.00".into(), "gconv4".into()]);
        table.to_string()
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(table(None), "name       ms  kernel\nstem     1.25  igemm\ngrößer  10.00  gconv4\n");
    }

    #[test]
    fn narrow_tables_lose_what_is_optional_and_nothing_else() {
        assert_eq!(table(Some(21)), table(None), "it just fits");
        let narrow = "name       ms\nstem     1.25\ngrößer  10.00\n";
        assert_eq!(table(Some(20)), narrow);
        assert_eq!(table(Some(0)), narrow);
    }

    #[test]
    fn bars_grow_by_eighths() {
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(1.0 / 32.0, 4), "▏   ");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(7.0, 4), "████");
        assert_eq!(bar(f64::NAN, 4), "    ");
    }

    #[test]
    fn sparklines_have_eight_levels() {
        let values = [Some(0.0), Some(1.0), None, Some(7.0), Some(8.0), Some(-1.0), Some(f64::NAN)];
        assert_eq!(sparkline(&values, 0.0, 8.0, true), "▁▂ ██▁▁");
        assert_eq!(sparkline(&values, 0.0, 8.0, false), "_. ##__");
        assert_eq!(sparkline(&[Some(3.0)], 3.0, 3.0, true), "▁");
        assert_eq!(sparkline(&[], 0.0, 1.0, true), "");
    }

    #[test]
    fn sizes() {
        let sizes = [0, 999, 1000, 1 << 20, 25_600_000, 5 << 30].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "0.98 KiB", "1.00 MiB", "24.4 MiB", "5.00 GiB"]);
    }

    #[test]
    fn foreign_text_moves_no_cursor() {
        assert_eq!(clean("tench"), "tench");
        assert_eq!(clean("\x1b[2Jboo\u{9b}"), "\\u{1b}[2Jboo\\u{9b}");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(shorten("downsample", 10), "downsample");
        assert_eq!(shorten("downsample", 5), "down…");
        assert_eq!(shorten("見本見本", 5), "見本…");
    }
}
