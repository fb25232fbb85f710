//! Tables that fit the terminal, and lists of named values.

use super::output::terminal_width;
use super::text::wrap;
use std::fmt::{self, Display, Write as _};
use unicode_width::UnicodeWidthStr;

/// A list of named values, one on each line, with the values aligned. Values that are too long for the terminal are broken between
/// words.
#[derive(Default)]
pub(crate) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    /// Adds a field. An empty name continues the field above.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name, value.into()));
    }
}

impl Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = terminal_width();
        let mut fields = self.0.iter();
        fields.try_for_each(|(name, value)| {
            writeln!(f, "{name:FIELD_INDENT$}{}", wrap(value, width, FIELD_INDENT))
        })
    }
}

/// The column at which the values of [`Fields`] start.
pub(crate) const FIELD_INDENT: usize = 13;

/// A column of a [`Table`].
#[derive(Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
    /// If the table is too wide, the column with the greatest rank is left out first. A column of rank 0 always stays.
    optional: u8,
}

impl Column {
    /// Creates a column of text.
    pub(crate) const fn text(title: &'static str) -> Self {
        Self { title, right: false, optional: 0 }
    }

    /// Creates a column of numbers, aligned to the right.
    pub(crate) const fn number(title: &'static str) -> Self {
        Self { title, right: true, optional: 0 }
    }

    /// Lets narrow terminals leave this column out; the greater the `rank`, the sooner.
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

/// Spaces between two columns.
const GAP: usize = 2;

impl<const N: usize> Table<N> {
    /// Creates an empty table for a terminal of `width` columns.
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

    /// Returns the columns that fit.
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
}
