//! The noise and the sensitivity of each layer.

use crate::page::Section;
use crate::plot::{Scale, along};
use crate::text::plural;
use crate::{Layer, Report};
use maud::{Markup, html};

pub(crate) fn section(report: &Report<'_>) -> Option<Section> {
    let known = |layer: &&Layer| layer.sqnr_db.is_some() || layer.alone_db.is_some();
    let layers: Vec<&Layer> = report.layers.iter().filter(known).collect();
    let finite = |layer: &&Layer| layer.sqnr_db.filter(|db| db.is_finite());
    let mut noise: Vec<f64> = layers.iter().filter_map(finite).collect();
    noise.sort_by(f64::total_cmp);
    let most = layers
        .iter()
        .flat_map(|layer| [layer.sqnr_db, layer.alone_db])
        .flatten()
        .filter(|db| db.is_finite())
        .reduce(f64::max)?;
    let scale = Scale::new(0.0, most.max(1.0));
    // The limit of the noisiest tenth.
    let noisy = noise.get(noise.len() / 10).copied().unwrap_or(f64::NEG_INFINITY);
    let sensitivity = layers.iter().any(|layer| layer.alone_db.is_some());
    let content = html! {
        p.note {
            "The signal-to-quantization-noise ratio of each layer's output in dB, compared with fp32 and including the errors of \
             earlier layers"
            @if report.layer_images > 0 { ", on " (plural(report.layer_images, "image")) } ". More is better; 6 dB are one bit."
        }
        @if sensitivity {
            p.note {
                "The noise in the logits shows what a layer costs: with only this layer in int8, and with all layers but it. The \
                 layers that cost most are " (most_sensitive(&layers)) "."
            }
        } @else {
            p.note { "What each layer costs has not been measured; " code { "resnext compile --sensitivity" } " measures it." }
        }
        div.legend {
            span { i.int8 {} "output, all layers in int8" }
            span { i.fp32 {} "the noisiest outputs" }
            @if sensitivity { span { i.sensitivity {} "logits, only this layer in int8" } }
        }
        div class=(if sensitivity { "bars sensitivity" } else { "bars" }) {
            @if sensitivity {
                div.head.first { "dB" }
                div.head { "output" } div.head.alone { "only it" } div.head.without { "all but it" }
            }
            @for layer in layers { (row(layer, &scale, noisy, sensitivity)) }
        }
    };
    Some(Section { id: "layers", title: "Layers", content })
}

fn row(layer: &Layer, scale: &Scale, noisy: f64, sensitivity: bool) -> Markup {
    html! {
        div.name { (layer.name) @if let Some(method) = &layer.method { " " small { (method) } } }
        div.value { (number(layer.sqnr_db)) }
        @if sensitivity {
            div.value.alone { (number(layer.alone_db)) }
            div.value.without { (number(layer.without_db)) }
        }
        div.tracks {
            @if let Some(db) = layer.sqnr_db { (bar(if db < noisy { "track noisy" } else { "track" }, scale, db)) }
            @if let Some(db) = layer.alone_db { (bar("track sensitivity", scale, db)) }
        }
    }
}

/// Names the layers that cost the most.
fn most_sensitive(layers: &[&Layer]) -> String {
    const NAMED: usize = 3;
    let mut known: Vec<(f64, &str)> =
        layers.iter().filter_map(|layer| Some((layer.alone_db?, layer.name.as_str()))).collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    let named = known.iter().take(NAMED).map(|(db, name)| format!("{name} ({} dB)", decibels(*db)));
    named.collect::<Vec<_>>().join(", ")
}

fn bar(class: &str, scale: &Scale, db: f64) -> Markup {
    let share = if db == f64::INFINITY { 1.0 } else { scale.at(db) };
    html! { div class=(class) { i style={ "width:" (along(share)) } {} } }
}

fn number(db: Option<f64>) -> String {
    db.map_or_else(String::new, decibels)
}

pub(crate) fn decibels(db: f64) -> String {
    match db {
        // A layer whose output is always zero has no ratio.
        db if db.is_nan() => "–".to_owned(),
        f64::INFINITY => "exact".to_owned(),
        db => format!("{db:.1}").replace('-', "−"),
    }
}
