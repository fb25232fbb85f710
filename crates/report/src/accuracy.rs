//! The accuracies with their intervals, and the accuracy of each class.

use crate::Report;
use crate::confusion::confusions;
use crate::page::Section;
use crate::plot::{Scale, along, axis};
use crate::text::{class, count, p_value, percent, plural, signed};
use maud::{Markup, html};
use resnext_evaluation::statistics::{Interval, Proportion};
use resnext_evaluation::summary::{ClassSummary, Comparison, Evaluation, FlipKind};

/// The most classes that the page shows unfolded.
const FEW_CLASSES: usize = 12;

pub(crate) fn section(report: &Report<'_>) -> Option<Section> {
    let evaluation = report.evaluation?;
    let content = html! {
        (note(report, evaluation))
        div.scroll { (table(evaluation)) }
        @if let Some(comparison) = &evaluation.comparison { (intervals(evaluation, comparison)) }
        (left_out(evaluation))
        (classes(report, evaluation))
        (confusions(report, evaluation))
    };
    Some(Section { id: "accuracy", title: "Accuracy", content })
}

fn note(report: &Report<'_>, evaluation: &Evaluation) -> Markup {
    html! {
        p.note {
            @match (&report.baseline, &evaluation.comparison) {
                (Some(baseline), Some(_)) => {
                    "Both networks read the same pixels of " (plural(evaluation.images, "image"))
                    ", so quantization alone makes the difference. A positive drop is a loss. The fp32 baseline is " (baseline) "."
                }
                _ => { (plural(evaluation.images, "image")) ", int8 alone." }
            }
        }
    }
}

fn cell(proportion: &Proportion) -> Markup {
    let interval = proportion.interval();
    html! { td { (percent(proportion.share())) small { (percent(interval.low)) "–" (percent(interval.high)) } } }
}

fn drop_cell((drop, interval): (f64, Interval)) -> Markup {
    html! { td { (signed(drop)) small { (signed(interval.low)) " to " (signed(interval.high)) } } }
}

fn table(evaluation: &Evaluation) -> Markup {
    html! {
        table {
            thead { tr { th {} th { "top-1 %" } th { "top-5 %" } } }
            tbody {
                @if let Some(comparison) = &evaluation.comparison {
                    tr { td { "fp32" } (cell(&comparison.fp32.top1)) (cell(&comparison.fp32.top5)) }
                }
                tr { td { "int8" } (cell(&evaluation.int8.top1)) (cell(&evaluation.int8.top5)) }
                @if let Some(comparison) = &evaluation.comparison {
                    tr { td { "drop, points" } (drop_cell(comparison.drop_top1_pp())) (drop_cell(comparison.drop_top5_pp())) }
                }
            }
        }
        @if let Some(comparison) = &evaluation.comparison {
            dl {
                dt { "Agreement" } dd { (percent(comparison.agreement.share())) " % of the images get the same class" }
                dt { "Flips" } dd {
                    (plural(comparison.top1.lost, "right answer")) " lost, " (count(comparison.top1.gained)) " gained (McNemar "
                    (p_value(comparison.top1.mcnemar_p())) "); "
                    (count(comparison.count(FlipKind::BothWrong))) " more with two different wrong answers"
                }
                dt { "Divergence" } dd {
                    "KL(fp32‖int8) of the probabilities is " (format!("{:.5}", comparison.kl_mean)) " nats on average and "
                    (format!("{:.4}", comparison.kl_max)) " at most"
                }
                dt { "Logits" } dd { (format!("{:.1}", comparison.logit_sqnr_db)) " dB signal-to-quantization-noise ratio" }
            }
        }
    }
}

/// Draws the accuracies and the paired drop as marks on their intervals.
fn intervals(evaluation: &Evaluation, comparison: &Comparison) -> Markup {
    let (fp32, int8) = (&comparison.fp32.top1, &evaluation.int8.top1);
    let both =
        [fp32.interval(), int8.interval()].map(|i| Interval { low: 100.0 * i.low, high: 100.0 * i.high });
    let least = both[0].low.min(both[1].low).floor();
    let most = both[0].high.max(both[1].high).ceil();
    let scale = Scale::new(least, most);
    let ticks = |scale: &Scale, unit: &str| {
        let label =
            |&tick: &f64| (scale.at(tick), format!("{}{unit}", crate::plot::number(tick).replace('-', "−")));
        scale.ticks(4).iter().map(label).collect::<Vec<_>>()
    };
    let (drop, interval) = comparison.drop_top1_pp();
    let reach = 1.15 * interval.low.abs().max(interval.high.abs());
    let drops = Scale::new(-reach, reach);
    html! {
        details open {
            summary { "Intervals of top-1" }
            div.interval {
                span { "fp32" } (lane("fp32", &scale, 100.0 * fp32.share(), &both[0], false))
                span { "int8" } (lane("int8", &scale, 100.0 * int8.share(), &both[1], false))
                (axis(&ticks(&scale, " %")))
                span { "drop" } (lane("int8", &drops, drop, &interval, true))
                (axis(&ticks(&drops, "")))
            }
            p.note {
                "Each accuracy by itself could lie anywhere in its interval (Wilson). The drop is known much better, because both \
                 networks read the same images: its interval (Tango) depends on the flips alone."
            }
        }
    }
}

fn lane(class: &str, scale: &Scale, value: f64, interval: &Interval, zero: bool) -> Markup {
    let (low, high) = (scale.at(interval.low), scale.at(interval.high));
    html! {
        div class={ "lane " (class) } {
            @if zero { i.zero style={ "left:" (along(scale.at(0.0))) } {} }
            i.range style={ "left:" (along(low)) ";width:" (along(high - low)) } {}
            i.dot style={ "left:" (along(scale.at(value))) } {}
        }
    }
}

fn left_out(evaluation: &Evaluation) -> Markup {
    html! {
        @if evaluation.skipped() > 0 {
            details {
                summary { (plural(evaluation.skipped(), "image")) " left out" }
                ul.names {
                    @for unmatched in &evaluation.unmatched {
                        li {
                            @if unmatched.name.is_empty() { "without a class" }
                            @else if unmatched.ambiguous { (unmatched.name) " is the name of several classes" }
                            @else { (unmatched.name) " is no class of the model" }
                            ": " (plural(unmatched.images, "image"))
                        }
                    }
                    @if evaluation.unrecorded > 0 { li { "not recorded: " (plural(evaluation.unrecorded, "image")) } }
                    @for failed in evaluation.failed.iter().take(100) { li { (failed.name) ": " (failed.reason) } }
                }
            }
        }
    }
}

fn classes(report: &Report<'_>, evaluation: &Evaluation) -> Markup {
    let compared = evaluation.comparison.is_some();
    let mut classes: Vec<&ClassSummary> = evaluation.classes.iter().collect();
    // The classes that changed most come first; equal ones keep their order.
    classes.sort_by(|a, b| b.drop().abs().total_cmp(&a.drop().abs()));
    let changed = classes.iter().filter(|class| class.lost + class.gained > 0).count();
    html! {
        details open[classes.len() <= FEW_CLASSES] {
            summary { "Per class (" (count(classes.len())) @if compared { ", " (count(changed)) " changed" } ")" }
            div.scroll {
                table {
                    thead { tr {
                        th { "class" } th.wide { "images" }
                        @if compared { th { "fp32 %" } }
                        th { "int8 %" }
                        @if compared { th { "drop" } th { "lost" } th.wide { "gained" } }
                    } }
                    tbody { @for summary in classes {
                        tr {
                            td { (class(report.model, summary.class)) }
                            td.wide { (count(summary.int8.of)) }
                            @if compared { td { (format!("{:.1}", 100.0 * summary.fp32.share())) } }
                            td { (format!("{:.1}", 100.0 * summary.int8.share())) }
                            @if compared {
                                td { (signed(100.0 * summary.drop())) }
                                td.lost[summary.lost > 0] { (count(summary.lost)) }
                                td.wide.gained[summary.gained > 0] { (count(summary.gained)) }
                            }
                        }
                    } }
                }
            }
        }
    }
}
