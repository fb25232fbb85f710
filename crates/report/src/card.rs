//! The model card: what the model is, where it comes from, how it was made.

use crate::Report;
use crate::page::Section;
use crate::text::{count, size};
use maud::html;
use resnext::format::VERSION;
use serde_json::Value;

/// How deep nested metadata is shown.
const DEEPEST: usize = 4;

fn metadata(report: &Report<'_>) -> Value {
    serde_json::from_str(report.model.metadata()).unwrap_or(Value::Null)
}

/// Source and calibration in one line.
pub(crate) fn subtitle(report: &Report<'_>) -> String {
    let metadata = metadata(report);
    let text = |pointer: &str| metadata.pointer(pointer).and_then(Value::as_str);
    let mut parts = Vec::new();
    parts.extend(text("/source").map(str::to_owned));
    let method = text("/calibration/method");
    let samples = metadata.pointer("/calibration/samples").and_then(Value::as_u64);
    let data_free = metadata.pointer("/calibration/data_free") == Some(&Value::Bool(true));
    if let (Some(method), true) = (method, data_free) {
        parts.push(format!("calibrated data-free, from batch norms, method {method}"));
    } else if let (Some(method), Some(samples)) = (method, samples) {
        parts.push(format!("calibrated on {} images, method {method}", count(samples as usize)));
    }
    parts.push(format!("{:.2} GMAC", report.model.macs() as f64 / 1e9));
    parts.join(" · ")
}

pub(crate) fn section(report: &Report<'_>) -> Section {
    let facts = facts(report);
    let content = html! {
        p.note { "What the model file says of itself." }
        dl.card { @for (name, value) in facts { dt { (name) } dd { (value) } } }
    };
    Section { id: "card", title: "Model card", content }
}

/// Names and values, also for Markdown.
pub(crate) fn facts(report: &Report<'_>) -> Vec<(String, String)> {
    let model = report.model;
    let metadata = metadata(report);
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    if let Some(source) = metadata.get("source").and_then(Value::as_str) {
        fact("source", source.to_owned());
    }
    let licence =
        ["/licence", "/license"].iter().find_map(|key| metadata.pointer(key)).and_then(Value::as_str);
    fact("licence of the weights", licence.unwrap_or("not stated; ask their source").to_owned());
    fact("file", format!("{}, format {VERSION}", size(model.artifact_len())));
    fact("arena", size(model.arena_len()));
    fact("compute", format!("{:.3} GMAC in {} steps", model.macs() as f64 / 1e9, model.step_count()));
    fact("classes", count(model.class_count()));
    fact("preprocessing", resnext_evaluation::record::preprocessing(model));
    if let Value::Object(entries) = &metadata {
        // What is said above, or elsewhere on the page.
        let told = |key: &str| matches!(key, "source" | "licence" | "license" | "layers");
        for (key, value) in entries.iter().filter(|(key, _)| !told(key)) {
            flatten(key, value, 1, &mut facts);
        }
    }
    facts
}

/// Nested values, one fact each, named by their path.
fn flatten(name: &str, value: &Value, depth: usize, facts: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(entries) if depth < DEEPEST => {
            entries
                .iter()
                .for_each(|(key, value)| flatten(&format!("{name}: {key}"), value, depth + 1, facts));
        }
        // Tables are for tools; `resnext inspect --json` has them.
        Value::Array(items) if items.len() > 12 || items.iter().any(Value::is_object) => {
            facts.push((name.replace('_', " "), format!("{} entries", items.len())));
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            facts.push((name.replace('_', " "), items.join(", ")));
        }
        value => facts.push((name.replace('_', " "), scalar(value))),
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
