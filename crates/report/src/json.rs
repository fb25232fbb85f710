//! The report as JSON. Its keys are a contract with the tools that read `eval --json`.

use crate::latency::sorted;
use crate::text::percentile;
use crate::{Latency, Report};
use resnext_evaluation::outcome::Answer;
use resnext_evaluation::samples::Photos;
use resnext_evaluation::statistics::{Interval, Proportion};
use resnext_evaluation::summary::{
    Accuracy, ClassSummary, Comparison, Confusion, Evaluation, Flip, FlipKind,
};
use serde_json::{Map, Value, json};

/// Returns the report as JSON, without pictures. Accuracies and agreement are fractions of 1, `_pp` are percentage points, and
/// `_ci95` are the ends of a 95 % confidence interval.
pub fn json(report: &Report<'_>) -> Value {
    let mut map = Map::new();
    map.insert("model".into(), report.name.clone().into());
    if let Some(evaluation) = report.evaluation {
        evaluated(report, evaluation, &mut map);
    }
    if let Some(found) = &report.photos {
        map.insert("photos".into(), photos(found));
    }
    if !report.latency.is_empty() {
        map.insert("latency".into(), latency(&report.latency));
    }
    if !report.layers.is_empty() {
        let entry = |layer: &crate::Layer| {
            let range = layer.distribution.as_ref().map(
                |d| json!({ "int8": [d.clip.0, d.clip.1], "seen": [d.low, d.high], "clipped": d.clipped }),
            );
            json!({ "name": layer.name, "sqnr_db": layer.sqnr_db, "alone_db": layer.alone_db,
                    "without_db": layer.without_db, "method": layer.method, "range": range })
        };
        map.insert("layers".into(), report.layers.iter().map(entry).collect());
    }
    if let Some(conditions) = &report.conditions {
        map.insert("conditions".into(), conditions.json());
    }
    map.insert("warnings".into(), report.warnings.clone().into());
    Value::Object(map)
}

/// Returns the measured times as JSON, with one entry for each network.
pub fn latency(measured: &[Latency]) -> Value {
    let entry = |measured: &Latency| {
        let sorted = sorted(measured);
        let [p50, p90, p99, min] = [50, 90, 99, 0].map(|percent| percentile(&sorted, percent));
        json!({ "network": measured.network, "threads": measured.threads, "runs": sorted.len(),
                "ms": { "p50": p50, "p90": p90, "p99": p99, "min": min } })
    };
    measured.iter().map(entry).collect()
}

/// Returns what is known of the files behind a result as JSON.
pub fn photos(photos: &Photos) -> Value {
    let Photos { rotated, exif, left_out } = photos;
    let left_out: Map<_, _> =
        left_out.iter().map(|(format, images)| (format.to_owned(), images.into())).collect();
    json!({ "rotated": rotated, "exif": exif.as_str(), "left_out": left_out })
}

fn evaluated(report: &Report<'_>, evaluation: &Evaluation, map: &mut Map<String, Value>) {
    let mut insert = |key: &str, value: Value| map.insert(key.to_owned(), value);
    insert("images", evaluation.images.into());
    insert("skipped", evaluation.skipped().into());
    let unmatched = evaluation.unmatched.iter();
    let unmatched =
        unmatched.map(|u| json!({ "name": u.name, "images": u.images, "ambiguous": u.ambiguous }));
    insert("unmatched", unmatched.collect());
    insert("unrecorded", evaluation.unrecorded.into());
    insert("int8", accuracy(&evaluation.int8));
    let compared = evaluation.comparison.as_ref();
    if let Some(comparison) = compared {
        insert("baseline", report.baseline.clone().into());
        insert("fp32", accuracy(&comparison.fp32));
        let (drop, interval) = comparison.drop_top1_pp();
        insert("drop_top1_pp", drop.into());
        insert("drop_top1_pp_ci95", ends(&interval));
        let (drop, interval) = comparison.drop_top5_pp();
        insert("drop_top5_pp", drop.into());
        insert("drop_top5_pp_ci95", ends(&interval));
        insert("agreement", comparison.agreement.share().into());
        insert("agreement_ci95", ci(&comparison.agreement));
        insert("flips", flips(report, comparison));
        insert("mcnemar_p", comparison.top1.mcnemar_p().into());
        insert("kl_mean", comparison.kl_mean.into());
        insert("kl_max", comparison.kl_max.into());
        insert("logit_sqnr_db", comparison.logit_sqnr_db.into());
    }
    let class = |summary: &ClassSummary| {
        let mut entry = json!({ "class": identifier(report, summary.class), "label": label(report, summary.class),
                                "images": summary.int8.of, "int8_top1": summary.int8.share() });
        if compared.is_some() {
            entry["fp32_top1"] = summary.fp32.share().into();
            entry["drop_top1_pp"] = (100.0 * summary.drop()).into();
            entry["lost"] = summary.lost.into();
            entry["gained"] = summary.gained.into();
        }
        entry
    };
    insert("classes", evaluation.classes.iter().map(class).collect());
    let cell = |cell: &Confusion| {
        let mut entry = json!({ "truth": identifier(report, cell.truth), "answer": identifier(report, cell.answer),
                                "int8": cell.int8 });
        if compared.is_some() {
            entry["fp32"] = cell.fp32.into();
        }
        entry
    };
    insert("confusions", evaluation.confusions.iter().map(cell).collect());
}

fn flips(report: &Report<'_>, comparison: &Comparison) -> Value {
    let top = |answer: &Answer| -> Value {
        let prediction = |prediction: &resnext_evaluation::outcome::Prediction| {
            json!({ "class": identifier(report, prediction.class), "label": label(report, prediction.class),
                    "probability": prediction.probability })
        };
        answer.predictions().iter().map(prediction).collect()
    };
    let flip = |flip: &Flip| {
        json!({ "image": flip.name, "flip": flip.kind.as_str(), "truth": identifier(report, flip.truth),
                "fp32": top(&flip.fp32), "int8": top(&flip.int8) })
    };
    json!({ "lost": comparison.top1.lost, "gained": comparison.top1.gained,
            "both_wrong": comparison.count(FlipKind::BothWrong),
            "images": comparison.flips.iter().map(flip).collect::<Vec<_>>() })
}

fn accuracy(accuracy: &Accuracy) -> Value {
    let Accuracy { top1, top5 } = accuracy;
    json!({ "top1": top1.share(), "top5": top5.share(), "top1_ci95": ci(top1), "top5_ci95": ci(top5) })
}

fn ci(proportion: &Proportion) -> Value {
    ends(&proportion.interval())
}

fn ends(interval: &Interval) -> Value {
    json!([interval.low, interval.high])
}

/// Returns the identifier of the class, or its index if the model has no identifiers.
fn identifier(report: &Report<'_>, class: usize) -> String {
    let id = report.model.class(class).map_or("", |class| class.id);
    if id.is_empty() { class.to_string() } else { id.to_owned() }
}

fn label(report: &Report<'_>, class: usize) -> String {
    report.model.class(class).map_or_else(String::new, |class| class.label.to_owned())
}
