//! The HTML page: head, verdict, and the sections in the order of interest.

use crate::layers::decibels;
use crate::text::{count, p_value, percent, plural, signed, size, speed};
use crate::{Latency, Report, accuracy, activations, arena, card, flips, latency, layers};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use resnext_evaluation::Evaluation;
use resnext_metadata::Metadata;

const STYLE: &str = include_str!("style.css");

/// A section of the page.
pub(crate) struct Section {
    /// The anchor for links.
    pub(crate) id: &'static str,
    /// The heading.
    pub(crate) title: &'static str,
    /// The content below the heading.
    pub(crate) content: Markup,
}

/// Returns the report as one HTML file that needs no other file.
pub fn html(report: &Report<'_>) -> String {
    let sections: Vec<Section> = [
        accuracy::section(report),
        flips::section(report),
        latency::section(report),
        layers::section(report),
        activations::section(report),
        arena::section(report),
        Some(card::section(report)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Without this link, browsers request an icon from the server or folder.
                link rel="icon" href="data:,";
                title { (report.name) " – resnext report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header {
                        div.brand { "resnext report" }
                        h1 { (report.name) }
                        div.sub { (card::subtitle(report)) }
                        nav { @for section in &sections { a href={ "#" (section.id) } { (section.title) } } }
                    }
                    (verdict(report))
                    @for section in &sections {
                        section id=(section.id) {
                            h2 { (section.title) }
                            (section.content)
                        }
                    }
                    footer { "Written by " (report.tool)
                        @if let Some(conditions) = &report.conditions {
                            " on " (conditions) ", by " code { (conditions.command) }
                        }
                        ". Intervals have a confidence of 95 %."
                    }
                }
            }
        }
    };
    page.into_string()
}

/// Returns the verdict on the accuracies in one sentence, and whether it is good news.
pub(crate) fn sentence(report: &Report<'_>) -> (String, Option<bool>) {
    let Some(evaluation) = report.evaluation else {
        return ("Compiled to int8; the accuracy has not been measured.".to_owned(), None);
    };
    let images = plural(evaluation.images, "image");
    let Some(comparison) = &evaluation.comparison else {
        let top1 = percent(evaluation.int8.top1.share());
        return (
            format!("int8 names the right class for {top1} % of {images}; there was no fp32 baseline."),
            None,
        );
    };
    let (drop, interval) = comparison.drop_top1_pp();
    let (points, low, high) = (signed(drop), signed(interval.low), signed(interval.high));
    // With few images the interval is so wide that 0 always lies in it. That is not good news.
    const WIDE_PP: f64 = 1.0;
    if interval.contains(0.0) && interval.high > WIDE_PP {
        let text = format!(
            "{images} are too few to tell: the measured drop of top-1 is {points} points, and the real one could lie anywhere \
             between {low} and {high}."
        );
        (text, None)
    } else if interval.contains(0.0) {
        let text = format!(
            "{images} show no loss of accuracy: the measured drop of top-1 is {points} points, and the real one lies between \
             {low} and {high}."
        );
        (text, Some(true))
    } else if drop > 0.0 {
        (
            format!(
                "int8 loses {drop:.2} points of top-1 on {images}; the real drop lies between {low} and {high}."
            ),
            Some(false),
        )
    } else {
        let points = format!("{:.2}", -drop);
        (
            format!(
                "int8 is {points} points better than fp32 on {images}; the real drop lies between {low} and {high}."
            ),
            Some(true),
        )
    }
}

fn verdict(report: &Report<'_>) -> Markup {
    let (text, good) = sentence(report);
    let class = match good {
        Some(true) => "verdict good",
        Some(false) => "verdict bad",
        None => "verdict",
    };
    html! {
        section class=(class) aria-label="Summary" {
            p { (text) }
            div.tiles { @for (value, unit, what) in tiles(report) { div.tile { b { (value) " " small { (unit) } } span { (what) } } } }
            @for warning in &report.warnings { p.warning { (warning) } }
        }
    }
}

type Tile = (String, &'static str, String);

/// What the ratio in decibels is.
const SQNR: &str = "signal-to-quantization-noise ratio of the logits";

fn tiles(report: &Report<'_>) -> Vec<Tile> {
    let mut tiles: Vec<Tile> = Vec::new();
    match report.evaluation {
        Some(evaluation) => evaluated(evaluation, &mut tiles),
        None => compiled(report, &mut tiles),
    }
    let mut tile = |value: String, unit, what: String| tiles.push((value, unit, what));
    if let Some(int8) = report.latency.iter().find(|latency| latency.int8) {
        let median = int8.median().unwrap_or(0.0);
        let fp32 = report.latency.iter().find(|latency| !latency.int8 && latency.threads == int8.threads);
        let than = fp32.and_then(Latency::median).map_or_else(
            || plural(int8.threads, "thread"),
            |fp32| format!("{} ({fp32:.2} ms)", speed(fp32 / median, "fp32")),
        );
        tile(format!("{median:.2}"), "ms", format!("median; {than}"));
    }
    let arena = size(report.model.arena_len());
    tile(size(report.model.artifact_len()), "", format!("model file; the arena takes {arena}"));
    tiles
}

/// Adds what an evaluation has measured.
fn evaluated(evaluation: &Evaluation, tiles: &mut Vec<Tile>) {
    let mut tile = |value: String, unit, what: String| tiles.push((value, unit, what));
    let int8 = evaluation.int8;
    match &evaluation.comparison {
        Some(comparison) => {
            let (drop, interval) = comparison.drop_top1_pp();
            let between = format!("drop of top-1, {} to {}", signed(interval.low), signed(interval.high));
            tile(signed(drop), "points", between);
            tile(percent(comparison.agreement.share()), "%", "of the images get the same class".into());
            tile(decibels(comparison.logit_sqnr_db), "dB", SQNR.into());
            let fp32 = percent(comparison.fp32.top1.share());
            tile(percent(int8.top1.share()), "%", format!("top-1 of int8; fp32 {fp32} %"));
            let flips = format!("McNemar: {} lost, {} gained", comparison.top1.lost, comparison.top1.gained);
            tile(p_value(comparison.top1.mcnemar_p()), "", flips);
        }
        None => {
            tile(percent(int8.top1.share()), "%", "top-1 of int8".into());
            tile(percent(int8.top5.share()), "%", "top-5 of int8".into());
        }
    }
    tile(count(evaluation.images), "", "images evaluated".into());
}

/// Adds what the compiler has measured on its samples, as the model states it.
fn compiled(report: &Report<'_>, tiles: &mut Vec<Tile>) {
    let metadata = Metadata::parse(report.model.metadata());
    let Some(fidelity) = metadata.fidelity else { return };
    let images = if metadata.calibration.data_free { "synthetic image" } else { "calibration image" };
    if let Some(agreement) = fidelity.agreement {
        let what =
            format!("of {} get the same class as with fp32", plural(fidelity.samples as usize, images));
        tiles.push((percent(agreement), "%", what));
    }
    if let Some(db) = fidelity.logit_sqnr_db {
        tiles.push((decibels(db), "dB", SQNR.into()));
    }
}
