//! Noise and sensitivity, layer by layer.

use crate::page::Section;
use crate::plot::{Scale, along};
use crate::text::plural;
use crate::{Layer, Report};
use maud::{Markup, html};

pub(crate) fn section(report: &Report<'_>) -> Option<Section> {
    let known = |layer: &&Layer| layer.sqnr_db.is_some() || layer.sensitivity_db.is_some();
    let layers: Vec<&Layer> = report.layers.iter().filter(known).collect();
    let finite = |layer: &&Layer| layer.sqnr_db.filter(|db| db.is_finite());
    let mut noise: Vec<f64> = layers.iter().filter_map(finite).collect();
    noise.sort_by(f64::total_cmp);
    let most = layers
        .iter()
        .flat_map(|layer| [layer.sqnr_db, layer.sensitivity_db])
        .flatten()
        .filter(|db| db.is_finite())
        .reduce(f64::max)?;
    let scale = Scale::new(0.0, most.max(1.0));
    // The noisiest tenth.
    let noisy = noise.get(noise.len() / 10).copied().unwrap_or(f64::NEG_INFINITY);
    let sensitivity = layers.iter().any(|layer| layer.sensitivity_db.is_some());
    let content = html! {
        p.note {
            "Signal to quantization noise of each layer's output against fp32, in dB, errors of earlier layers included"
            @if report.layer_images > 0 { ", on " (plural(report.layer_images, "image")) } ". More is better; six are one bit."
        }
        div.legend {
            span { i.int8 {} "all layers in int8" }
            span { i.fp32 {} "the noisiest" }
            @if sensitivity { span { i.sensitivity {} "the logits, this layer alone in int8" } }
        }
        div.bars { @for layer in layers {
            div.name { (layer.name) }
            div.value {
                @for (i, db) in [layer.sqnr_db, layer.sensitivity_db].into_iter().flatten().enumerate() {
                    @if i > 0 { " / " } (decibels(db))
                }
                @if let Some(method) = &layer.method { " " (method) }
            }
            div.tracks {
                @if let Some(db) = layer.sqnr_db { (bar(if db < noisy { "track noisy" } else { "track" }, &scale, db)) }
                @if let Some(db) = layer.sensitivity_db { (bar("track sensitivity", &scale, db)) }
            }
        } }
    };
    Some(Section { id: "layers", title: "Layers", content })
}

fn bar(class: &str, scale: &Scale, db: f64) -> Markup {
    let share = if db == f64::INFINITY { 1.0 } else { scale.at(db) };
    html! { div class=(class) { i style={ "width:" (along(share)) } {} } }
}

pub(crate) fn decibels(db: f64) -> String {
    if db == f64::INFINITY { "exact".to_owned() } else { format!("{db:.1}") }
}
