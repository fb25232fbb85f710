//! The result of a compilation, for tools and for people.

use super::args::Args;
use super::max_drop::LimitReport;
use crate::machine::conditions;
use crate::offline::recipe::described;
use crate::session::latency;
use crate::terminal::output::terminal_width;
use crate::terminal::table::{Column, Fields, Table};
use crate::terminal::text::{plural, shell, size};
use resnext_calibration::network::Range;
use resnext_calibration::{
    Compiled, LayerReport, Options, Retained, SURROGATE_IMAGES, Sensitivity, TrainingDistance,
};
use resnext_evaluation::samples::Photos;
use resnext_report::{Conditions, Latency};
use serde_json::{Value, json};
use std::fmt;

/// The number of changed layers that are named.
const NAMED: usize = 3;

/// The result of a compilation.
pub(super) struct Summary<'a> {
    pub(super) args: &'a Args,
    pub(super) options: &'a Options,
    pub(super) compiled: &'a Compiled,
    /// How `--max-drop` was met.
    pub(super) met: Option<&'a LimitReport>,
    /// Where the names of the classes come from.
    pub(super) named_after: &'a str,
    /// Who says how images are prepared.
    pub(super) said_by: &'a str,
    /// The files of the samples, if there are any.
    pub(super) photos: Option<&'a Photos>,
    pub(super) latency: &'a [Latency],
    pub(super) conditions: Option<&'a Conditions>,
    pub(super) warnings: &'a [String],
}

impl Summary<'_> {
    fn method(&self) -> &'static str {
        match (&self.compiled.report.retained, self.met) {
            (Some(_), _) => "given",
            (None, Some(met)) => met.method(),
            (None, None) => self.options.method.name(),
        }
    }

    /// The summary for tools.
    pub(super) fn json(&self) -> Value {
        let Self { args, compiled, .. } = self;
        let report = &compiled.report;
        let preprocessing = &self.options.preprocessing;
        let sensitivity = |layer: &Sensitivity| json!({ "name": layer.name, "alone_db": layer.alone_db, "without_db": layer.without_db });
        let distance = |layer: &TrainingDistance| json!({ "layer": layer.layer, "nats": layer.nats });
        json!({
            "output": args.output.display().to_string(),
            "bytes": compiled.artifact.len(),
            "qdq": args.qdq.as_ref().map(|path| path.display().to_string()),
            "preprocess": {
                "size": preprocessing.crop_height,
                "resize": preprocessing.short_side,
                "interpolation": preprocessing.interpolation.as_str(),
                "said_by": self.said_by,
            },
            "samples": report.pictures.count,
            "skipped": report.skipped.len(),
            "photos": self.photos.map(resnext_report::photos_json),
            "method": self.method(),
            "data_free": args.data_free,
            "kept": report.retained.as_ref().map(retained_json),
            "agreement": report.agreement,
            "logit_sqnr_db": report.logit_sqnr_db,
            "training_distance": report.training_distance.iter().map(distance).collect::<Vec<_>>(),
            "layers": report.layers.iter().map(layer_json).collect::<Vec<_>>(),
            "sensitivity": report.sensitivity.iter().map(sensitivity).collect::<Vec<_>>(),
            "max_drop": self.met.map(LimitReport::json),
            "latency": resnext_report::latency_json(self.latency),
            "conditions": self.conditions.map(Conditions::json),
            "warnings": self.warnings,
        })
    }
}

fn layer_json(layer: &LayerReport) -> Value {
    let ends = |range: Range| [range.low, range.high];
    let range = layer.range.map(|int8| json!({ "int8": ends(int8), "seen": layer.seen.map(ends) }));
    json!({ "name": layer.name, "sqnr_db": layer.sqnr_db, "method": layer.method, "range": range })
}

fn retained_json(retained: &Retained) -> Value {
    let changed = |(layer, why): &(String, &str)| json!({ "layer": layer, "why": why });
    json!({
        "activations": retained.activations,
        "of_activations": retained.of_activations,
        "weights": retained.weights,
        "of_weights": retained.of_weights,
        "changed": retained.changed.iter().map(changed).collect::<Vec<_>>(),
    })
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.compiled.report;
        let mut fields = self.fields();
        if report.checked == 0 {
            fields.add("int8 vs fp32", "not compared; give --samples DIR to compare them".to_owned());
            return fields.fmt(f);
        }
        self.add_comparison(&mut fields);
        fields.fmt(f)?;
        if !report.sensitivity.is_empty() {
            write!(f, "\n{}", sensitivity_table(&report.sensitivity))?;
        }
        Ok(())
    }
}

impl Summary<'_> {
    /// Returns the fields on the model and its calibration.
    fn fields(&self) -> Fields {
        let Self { args, compiled, .. } = self;
        let report = &compiled.report;
        let mut fields = Fields::default();
        fields.add("model", format!("{} ({})", args.output.display(), size(compiled.artifact.len() as u64)));
        fields.add("classes", format!("{}, named after {}", self.options.classes.len(), self.named_after));
        let preprocessing = described(&self.options.preprocessing);
        let changed =
            if args.resize.is_some() || args.interpolation.is_some() { ", changed by options" } else { "" };
        fields.add("preprocess", format!("{preprocessing} ({}{changed})", self.said_by));
        if let Some(path) = &args.qdq {
            fields.add("QDQ", path.display().to_string());
        }
        let count = |images: usize| format!("{images} image{}", plural(images));
        let images = count(report.pictures.count);
        match (&report.retained, self.met) {
            (Some(retained), _) => add_retained(&mut fields, retained),
            (None, _) if args.data_free => fields.add("calibrated", self.data_free()),
            (None, Some(met)) => fields.add("calibrated", format!("on {images}, {}", met.setting())),
            (None, None) => fields.add("calibrated", format!("on {images}, method {}", self.method())),
        }
        if let Some(met) = self.met {
            met.add_to(&mut fields);
        }
        if !report.skipped.is_empty() {
            fields.add("skipped", count(report.skipped.len()));
        }
        if let Some(latency) = latency::text(self.latency) {
            fields.add("latency", latency);
        }
        if let Some(conditions) = self.conditions {
            conditions::add_to(&mut fields, conditions);
        }
        fields
    }

    fn data_free(&self) -> String {
        let few = match self.compiled.report.surrogate_images {
            Some(images) if images < SURROGATE_IMAGES => format!(
                " and {images} synthetic images (the activations of {SURROGATE_IMAGES} would take more than 256 MB)"
            ),
            _ => String::new(),
        };
        format!("data-free, from batch norms{few}, method {}", self.method())
    }

    /// Adds how close int8 is to fp32, and the next step.
    fn add_comparison(&self, fields: &mut Fields) {
        let Self { args, compiled, .. } = self;
        let report = &compiled.report;
        let images = if args.data_free { "synthetic images" } else { "samples" };
        let (agreement, db) = (100.0 * report.agreement, report.logit_sqnr_db);
        fields.add(
            "int8 vs fp32",
            format!("same class on {agreement:.1} % of {} {images}, logits {db:.1} dB SQNR", report.checked),
        );
        // A layer that gives only zeros has no ratio: NaN.
        let mut noisiest: Vec<_> = report.layers.iter().filter(|layer| !layer.sqnr_db.is_nan()).collect();
        noisiest.sort_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
        let named = noisiest.iter().take(3).map(|layer| format!("{} {:.1} dB", layer.name, layer.sqnr_db));
        fields.add("noisiest", named.collect::<Vec<_>>().join(", "));
        let (model, network) = (args.output.to_string_lossy(), args.model.to_string_lossy());
        let (model, network) = (shell(&model), shell(&network));
        let mut next =
            format!("measure the drop of accuracy: resnext eval {model} --data DIR --baseline {network}");
        if let Some(key) = &args.weights_key {
            next += &format!(" --weights-key {}", shell(key));
        }
        fields.add("next", next);
        if let Some(path) = &args.report {
            fields.add("report", path.display().to_string());
        }
    }
}

fn sensitivity_table(layers: &[Sensitivity]) -> Table<3> {
    let columns =
        [Column::text("layer"), Column::number("only it in int8, dB"), Column::number("all but it, dB")];
    let mut table = Table::new(columns, terminal_width());
    for layer in layers {
        let decibels = |db: f64| format!("{db:.1}");
        table.row([layer.name.clone(), decibels(layer.alone_db), decibels(layer.without_db)]);
    }
    table
}

/// Adds how much of a file's quantization the model kept.
fn add_retained(fields: &mut Fields, retained: &Retained) {
    let Retained { activations, of_activations, weights, of_weights, changed } = retained;
    let share = 100.0 * *weights as f64 / (*of_weights).max(1) as f64;
    fields.add(
        "kept",
        format!("{activations} of {of_activations} activation scales, {share:.2} % of the integer weights"),
    );
    let mut reasons: Vec<&str> = changed.iter().map(|(_, why)| *why).collect();
    reasons.sort_unstable();
    reasons.dedup();
    for reason in reasons {
        let layers: Vec<&str> =
            changed.iter().filter(|(_, why)| *why == reason).map(|(layer, _)| layer.as_str()).collect();
        let named = layers.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let more =
            if layers.len() > NAMED { format!(" and {} more", layers.len() - NAMED) } else { String::new() };
        fields.add("changed", format!("{named}{more}: {reason}"));
    }
}
