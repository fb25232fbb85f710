//! The report for people.

use super::outline::outline;
use super::report::{Preprocess, Report};
use crate::terminal::output::terminal_width;
use crate::terminal::table::{Column, FIELD_INDENT, Fields, Table};
use crate::terminal::text::{clean, shorten, size};
use std::fmt;

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = terminal_width();
        writeln!(f, "{}", self.fields(width))?;
        write!(f, "{}", self.table(width))?;
        if self.metadata.as_str() != Some("") {
            writeln!(f, "\nmetadata")?;
            f.write_str(&outline(&self.metadata, width.unwrap_or(WIDE)))?;
        }
        Ok(())
    }
}

/// The width at which long lines are cut if there is no terminal.
const WIDE: usize = 120;

impl Report<'_> {
    fn fields(&self, width: Option<usize>) -> Fields {
        let mut fields = Fields::default();
        fields.add("model", clean(&self.model));
        fields.add(
            "size",
            format!(
                "{} ({} of weights, packed {}), format {}",
                size(self.model_bytes as u64),
                size(self.weight_bytes as u64),
                if self.packing == "k8" { "for SMMLA" } else { "for any CPU" },
                self.format
            ),
        );
        fields.add("compute", format!("{:.3} GMAC an inference in {} steps", self.gmac, self.steps.len()));
        fields.add("arena", size(self.arena_bytes as u64));
        let Preprocess { short_side, crop: [rows, columns], filter, mean, std, .. } = &self.preprocess;
        let filter = filter.replace("pillow-", "Pillow's ");
        fields.add(
            "input",
            format!("short side to {short_side} ({filter}), centre crop {columns}×{rows}, RGB"),
        );
        let triple = |[r, g, b]: [f32; 3]| format!("{r} {g} {b}");
        fields.add("", format!("normalised with mean {}, std {}", triple(*mean), triple(*std)));
        let mut classes = format!("{}: ", self.classes.len());
        for (index, class) in self.classes.iter().take(20).enumerate() {
            let name = if class.label.is_empty() { class.class } else { class.label };
            classes += if index > 0 { ", " } else { "" };
            classes += name;
        }
        if self.classes.len() > 20 {
            classes += ", …";
        }
        fields.add("classes", shorten(&classes, width.unwrap_or(WIDE).saturating_sub(FIELD_INDENT).max(20)));
        fields
    }

    fn table(&self, width: Option<usize>) -> Table<10> {
        let columns = [
            Column::number("#").optional(3),
            Column::text("step"),
            Column::text("op"),
            Column::text("k/s/g"),
            Column::number("input").optional(4),
            Column::number("output"),
            Column::text("layout").optional(2),
            Column::number("weights").optional(1),
            Column::number("scale"),
            Column::number("zero"),
        ];
        let mut table = Table::new(columns, width);
        for (index, step) in self.steps.iter().enumerate() {
            table.row([
                index.to_string(),
                shorten(step.name, 28),
                step.op.to_owned(),
                step.window(),
                step.input.to_string(),
                step.output.to_string(),
                step.layout.unwrap_or_default().to_owned(),
                if step.weight_bytes > 0 { size(step.weight_bytes as u64) } else { String::new() },
                step.scale.map_or_else(|| "fp32".to_owned(), scale),
                step.zero_point.map_or_else(String::new, |zero| zero.to_string()),
            ]);
        }
        table
    }
}

fn scale(scale: f32) -> String {
    if scale < 1e-3 { format!("{scale:.2e}") } else { format!("{scale:.6}") }
}
