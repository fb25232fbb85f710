//! The model card: what the model is, where it comes from, and how it was made.

use crate::Report;
use crate::page::Section;
use crate::text::{count, plural, size};
use maud::html;
use resnext::internals::format::VERSION;
use resnext::preprocess::Preprocessing;
use resnext_metadata::Metadata;
use serde_json::Value;

/// The deepest level of nested metadata that is shown.
const DEEPEST: usize = 4;

/// Returns source, calibration and cost in one line.
pub(crate) fn subtitle(report: &Report<'_>) -> String {
    let Metadata { source, calibration, .. } = Metadata::parse(report.model.metadata());
    let mut parts = Vec::from_iter(source);
    match (calibration.method, calibration.samples) {
        (Some(method), _) if calibration.data_free => {
            parts.push(format!("calibrated data-free, from batch norms, method {method}"));
        }
        (Some(method), Some(samples)) => {
            parts.push(format!("calibrated on {}, method {method}", plural(samples as usize, "image")));
        }
        _ => {}
    }
    parts.push(format!("{:.2} GMAC", report.model.macs() as f64 / 1e9));
    parts.join(" · ")
}

pub(crate) fn section(report: &Report<'_>) -> Section {
    let content = html! {
        p.note { "What the model file states about itself." }
        dl.card { @for (name, value) in entries(report) { dt { (name) } dd { (value) } } }
    };
    Section { id: "card", title: "Model card", content }
}

/// Returns the names and values of the card.
fn entries(report: &Report<'_>) -> Vec<(String, String)> {
    let model = report.model;
    let Metadata { source, licence, .. } = Metadata::parse(model.metadata());
    let mut entries = Vec::new();
    let mut entry = |name: &str, value: String| entries.push((name.to_owned(), value));
    if let Some(source) = source {
        entry("source", source);
    }
    entry("licence of the weights", licence.unwrap_or_else(|| "not stated; ask their source".to_owned()));
    entry("file", format!("{}, format {VERSION}", size(model.artifact_len())));
    entry("arena", size(model.arena_len()));
    entry("compute", format!("{:.3} GMAC in {} steps", model.macs() as f64 / 1e9, model.step_count()));
    entry("classes", count(model.class_count()));
    entry("preprocessing", preprocessing(model.preprocessing()));
    // Everything else, whether this version knows the key or not.
    if let Ok(Value::Object(metadata)) = serde_json::from_str(model.metadata()) {
        let shown_elsewhere =
            |key: &str| matches!(key, "source" | "licence" | "license" | "layers" | "pictures");
        for (key, value) in metadata.iter().filter(|(key, _)| !shown_elsewhere(key)) {
            flatten(key, value, 1, &mut entries);
        }
    }
    entries
}

/// Describes how a photo becomes the input of the network.
fn preprocessing(preprocessing: &Preprocessing) -> String {
    let Preprocessing { short_side, crop_width, crop_height, mean, std, .. } = preprocessing;
    let filter = preprocessing.interpolation.as_str();
    let filter = filter.replace("pillow-", "Pillow's ").replace("opencv-", "OpenCV's ");
    let triple = |[r, g, b]: &[f32; 3]| format!("{r} {g} {b}");
    format!(
        "short side to {short_side} ({filter}), centre crop {crop_width}×{crop_height}, normalised with mean {}, std {}",
        triple(mean),
        triple(std)
    )
}

/// Adds one entry for each nested value, named by its path.
fn flatten(name: &str, value: &Value, depth: usize, entries: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(values) if depth < DEEPEST => {
            values
                .iter()
                .for_each(|(key, value)| flatten(&format!("{name}: {key}"), value, depth + 1, entries));
        }
        // Long lists and tables are for tools; `resnext inspect --json` shows them.
        Value::Array(items) if items.len() > 12 || items.iter().any(Value::is_object) => {
            entries.push((name.replace('_', " "), format!("{} entries", items.len())));
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            entries.push((name.replace('_', " "), items.join(", ")));
        }
        value => entries.push((name.replace('_', " "), scalar(value))),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        value => value.to_string(),
    }
}
