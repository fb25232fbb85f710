//! The report as Markdown: a few tables and sentences for a README.

use crate::layers::decibels;
use crate::page::sentence;
use crate::text::{class, count, p_value, percent, percentile, plural, signed, size};
use crate::{Layer, Report, card, latency};
use resnext_evaluation::statistics::{Interval, Proportion};
use resnext_evaluation::summary::{Confusion, FlipKind};
use std::fmt::Write;

/// The number of layers that are listed.
const NOISIEST: usize = 5;

/// The number of confusions that are listed.
const CONFUSED: usize = 5;

/// The number of flips that are listed by name.
const NAMED: usize = 20;

/// Returns the report as Markdown, without pictures.
pub fn markdown(report: &Report<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report<'_>, out: &mut String) -> std::fmt::Result {
    writeln!(out, "### {}\n\n{}\n", escape(&report.name), escape(&sentence(report).0))?;
    for warning in &report.warnings {
        writeln!(out, "> **Warning:** {}\n", escape(warning))?;
    }
    if let Some(evaluation) = report.evaluation {
        writeln!(out, "| {} | top-1 % | top-5 % |\n|---|---|---|", plural(evaluation.images, "image"))?;
        let mut row =
            |name: &str, cells: [String; 2]| writeln!(out, "| {name} | {} | {} |", cells[0], cells[1]);
        let share = |p: &Proportion| {
            let interval = p.interval();
            format!("{} ({}–{})", percent(p.share()), percent(interval.low), percent(interval.high))
        };
        if let Some(comparison) = &evaluation.comparison {
            row("fp32", [share(&comparison.fp32.top1), share(&comparison.fp32.top5)])?;
        }
        row("int8", [share(&evaluation.int8.top1), share(&evaluation.int8.top5)])?;
        if let Some(comparison) = &evaluation.comparison {
            let drop = |(drop, interval): (f64, Interval)| {
                format!("{} ({} to {})", signed(drop), signed(interval.low), signed(interval.high))
            };
            row("drop, points", [drop(comparison.drop_top1_pp()), drop(comparison.drop_top5_pp())])?;
            writeln!(
                out,
                "\nAgreement {} %, {} lost and {} gained (McNemar {}), {} more with two different wrong answers, mean KL divergence {:.5} nats, \
                 logits {:.1} dB. A positive drop is a loss. Intervals: 95 %.",
                percent(comparison.agreement.share()),
                plural(comparison.top1.lost, "right answer"),
                count(comparison.top1.gained),
                p_value(comparison.top1.mcnemar_p()),
                count(comparison.count(FlipKind::BothWrong)),
                comparison.kl_mean,
                comparison.logit_sqnr_db
            )?;
            let kinds =
                [(FlipKind::Lost, "Lost"), (FlipKind::Gained, "Gained"), (FlipKind::BothWrong, "Both wrong")];
            for (kind, what) in kinds {
                let names: Vec<String> =
                    comparison.names(kind).map(|name| format!("`{}`", code(name))).collect();
                if !names.is_empty() {
                    let more = if names.len() > NAMED {
                        format!(" and {} more", names.len() - NAMED)
                    } else {
                        String::new()
                    };
                    writeln!(out, "\n{what}: {}{more}.", names[..names.len().min(NAMED)].join(", "))?;
                }
            }
        }
    }
    if let Some(evaluation) = report.evaluation {
        let cell = |cell: &&Confusion| {
            let [truth, answer] = [cell.truth, cell.answer].map(|index| escape(&class(report.model, index)));
            format!("{truth} for {answer} ({})", count(cell.int8))
        };
        let confused: Vec<String> = evaluation.most_confused().iter().take(CONFUSED).map(cell).collect();
        if !confused.is_empty() {
            writeln!(out, "\nint8 takes most often: {}.", confused.join(", "))?;
        }
    }
    if !report.latency.is_empty() {
        writeln!(out, "\n| ms | p50 | p90 | p99 |\n|---|---|---|---|")?;
        for measured in &report.latency {
            let sorted = latency::sorted(measured);
            let [p50, p90, p99] = [50, 90, 99].map(|percent| percentile(&sorted, percent));
            let network = format!("{}, {}", escape(&measured.network), plural(measured.threads, "thread"));
            writeln!(out, "| {network} | {p50:.2} | {p90:.2} | {p99:.2} |")?;
        }
    }
    if let Some(conditions) = &report.conditions {
        let command = code(&conditions.command);
        writeln!(out, "\nMeasured on {}, by `{command}`.", escape(&conditions.to_string()))?;
    }
    noisiest(report, out)?;
    let (file, arena) = (size(report.model.artifact_len()), size(report.model.arena_len()));
    writeln!(out, "\nModel file {file}, arena {arena}. {}.", escape(&card::subtitle(report)))
}

/// Writes the noisiest layers, and what each of them costs if that was measured.
fn noisiest(report: &Report<'_>, out: &mut String) -> std::fmt::Result {
    let mut layers: Vec<(f64, &Layer)> =
        report.layers.iter().filter_map(|layer| Some((layer.sqnr_db?, layer))).collect();
    layers.sort_by(|a, b| a.0.total_cmp(&b.0));
    layers.truncate(NOISIEST);
    if layers.is_empty() {
        return Ok(());
    }
    let sensitivity = layers.iter().any(|(_, layer)| layer.alone_db.is_some());
    let (titles, rule) =
        if sensitivity { (" logits, only it | logits, all but it |", "---|---|") } else { ("", "") };
    writeln!(out, "\n| noisiest layers, dB | method | output |{titles}\n|---|---|---|{rule}")?;
    for (sqnr, layer) in layers {
        let (name, method) = (escape(&layer.name), escape(layer.method.as_deref().unwrap_or_default()));
        write!(out, "| {name} | {method} | {} |", decibels(sqnr))?;
        if sensitivity {
            let [alone, without] =
                [layer.alone_db, layer.without_db].map(|db| db.map_or_else(String::new, decibels));
            write!(out, " {alone} | {without} |")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Escapes what would be markup or end a cell of a table.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Replaces what cannot stand between backquotes.
fn code(text: &str) -> String {
    let plain = |c: char| if c == '`' || c == '|' || c.is_control() { '_' } else { c };
    text.chars().map(plain).collect()
}
