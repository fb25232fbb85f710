//! The confusion matrix: which classes int8 takes for which.

use crate::Report;
use crate::text::{class, count};
use maud::{Markup, html};
use resnext_evaluation::summary::{Confusion, Evaluation};

/// The most classes whose matrix is drawn. Of more classes, the most frequent confusions are listed.
const DRAWN: usize = 20;

/// The most classes whose matrix is unfolded.
const FEW: usize = 12;

/// The number of confusions that are listed.
const LISTED: usize = 20;

/// The share of a cell's colour in its background, in percent. The count in it stays readable.
const DEEPEST: f64 = 60.0;

/// Draws the matrix, or lists the most frequent confusions if there are too many classes.
pub(crate) fn confusions(report: &Report<'_>, evaluation: &Evaluation) -> Markup {
    let mut classes: Vec<usize> =
        evaluation.confusions.iter().flat_map(|cell| [cell.truth, cell.answer]).collect();
    classes.sort_unstable();
    classes.dedup();
    if classes.len() <= DRAWN {
        html! {
            details open[classes.len() <= FEW] {
                summary { "Confusion matrix of int8" }
                p.note {
                    "Rows are the right classes, columns are the answers. Point at a cell to read its classes"
                    @if evaluation.comparison.is_some() { " and the count of fp32" } "."
                }
                div.scroll { (matrix(report, evaluation, &classes)) }
            }
        }
    } else {
        list(report, evaluation)
    }
}

fn matrix(report: &Report<'_>, evaluation: &Evaluation, classes: &[usize]) -> Markup {
    let cell = |truth: usize, answer: usize| {
        let found = evaluation.confusions.binary_search_by_key(&(truth, answer), |c| (c.truth, c.answer));
        found.map_or(Confusion { truth, answer, ..Confusion::default() }, |at| evaluation.confusions[at])
    };
    let row = |&truth: &usize| -> (usize, usize, Vec<Confusion>) {
        let row: Vec<Confusion> = classes.iter().map(|&answer| cell(truth, answer)).collect();
        (truth, row.iter().map(|cell| cell.int8).sum(), row)
    };
    // Classes without images are only answers.
    let rows = classes.iter().map(row).filter(|(_, images, _)| *images > 0);
    html! {
        table.matrix {
            thead { tr {
                th { "right class" }
                @for &answer in classes { th { span { (class(report.model, answer)) } } }
            } }
            tbody { @for (truth, images, row) in rows {
                tr {
                    td { (class(report.model, truth)) }
                    @for cell in &row { (counted(report, evaluation, cell, images)) }
                }
            } }
        }
    }
}

fn counted(report: &Report<'_>, evaluation: &Evaluation, cell: &Confusion, images: usize) -> Markup {
    let [truth, answer] = [cell.truth, cell.answer].map(|index| class(report.model, index));
    let what =
        if cell.is_right() { format!("{truth}, right") } else { format!("{truth} taken for {answer}") };
    let title = match &evaluation.comparison {
        Some(_) => format!("{what}: int8 {}, fp32 {}", cell.int8, cell.fp32),
        None => format!("{what}: {}", cell.int8),
    };
    let colour = if cell.is_right() { "good" } else { "bad" };
    let depth = DEEPEST * cell.int8 as f64 / images as f64;
    html! {
        @if cell.int8 > 0 {
            td title=(title) style={ "background:color-mix(in srgb, var(--" (colour) ") " (format!("{depth:.0}")) "%, transparent)" } {
                (count(cell.int8))
            }
        } @else {
            td title=(title) {}
        }
    }
}

fn list(report: &Report<'_>, evaluation: &Evaluation) -> Markup {
    let confused = evaluation.most_confused();
    let compared = evaluation.comparison.is_some();
    html! {
        @if !confused.is_empty() {
            details {
                summary { "Most frequent confusions of int8" }
                div.scroll { table {
                    thead { tr { th { "class" } th { "taken for" } th { "int8" } @if compared { th { "fp32" } } } }
                    tbody { @for cell in confused.into_iter().take(LISTED) { tr {
                        td { (class(report.model, cell.truth)) }
                        td.name { (class(report.model, cell.answer)) }
                        td { (count(cell.int8)) }
                        @if compared { td { (count(cell.fp32)) } }
                    } } }
                } }
            }
        }
    }
}
