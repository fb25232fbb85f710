//! The latency of the networks.

use crate::page::Section;
use crate::plot::{SIDE, Scale, axis, bin, line, plot, steps};
use crate::text::{percentile, plural};
use crate::{Latency, Report};
use maud::html;

const BINS: usize = 80;

pub(crate) fn sorted(latency: &Latency) -> Vec<f64> {
    let mut sorted = latency.ms.clone();
    sorted.sort_by(f64::total_cmp);
    sorted
}

pub(crate) fn section(report: &Report<'_>) -> Option<Section> {
    let measured: Vec<(&Latency, Vec<f64>)> =
        report.latency.iter().filter(|l| !l.ms.is_empty()).map(|l| (l, sorted(l))).collect();
    let slowest = measured.iter().map(|(_, sorted)| percentile(sorted, 99)).reduce(f64::max)?;
    // The scale starts at 0, so that distances are proportions. All times beyond the 99th percentile are in the last bin.
    let scale = Scale::new(0.0, 1.05 * slowest);
    let binned: Vec<Vec<usize>> = measured.iter().map(|(_, sorted)| bin(sorted, &scale, BINS)).collect();
    let class = |latency: &Latency| if latency.int8 { "int8" } else { "fp32" };
    let picture = html! {
        @for ((latency, sorted), counts) in measured.iter().zip(&binned) {
            @let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
            (steps(class(latency), &counts.iter().map(|&n| 0.94 * n as f64 / most).collect::<Vec<_>>(), (0.0, SIDE)))
            (line(class(latency), SIDE * scale.at(percentile(sorted, 50))))
        }
    };
    let ticks: Vec<(f64, String)> = scale
        .ticks(6)
        .iter()
        .map(|&tick| (scale.at(tick), format!("{} ms", crate::plot::number(tick))))
        .collect();
    let first = measured.first().map_or(0.0, |(_, sorted)| percentile(sorted, 50));
    let content = html! {
        p.note {
            "Inference alone, on the machine that wrote this report. The networks run in turn, so that a change in its speed \
             affects all of them alike. Each histogram has its own height; dashed lines are medians."
        }
        div.legend { @for (latency, _) in &measured {
            span { i class=(class(latency)) {} (latency.network) ", " (plural(latency.threads, "thread")) }
        } }
        (plot("big", "Histogram of latencies; the table below has the numbers", &picture))
        (axis(&ticks))
        div.scroll { table {
            thead { tr { th { "ms" } th { "p50" } th { "p90" } th { "p99" } th.wide { "min" } th.wide { "runs" } th { "speed-up" } } }
            tbody { @for (latency, sorted) in &measured { tr {
                td { (latency.network) ", " (plural(latency.threads, "thread")) }
                @for percent in [50, 90, 99] { td { (format!("{:.2}", percentile(sorted, percent))) } }
                td.wide { (format!("{:.2}", percentile(sorted, 0))) }
                td.wide { (sorted.len()) }
                td { (format!("{:.2}", first / percentile(sorted, 50))) }
            } } }
        } }
    };
    Some(Section { id: "latency", title: "Latency", content })
}
