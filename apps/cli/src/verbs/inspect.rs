//! `resnext inspect`: what is in a model?

use crate::error::Error;
use crate::session::artifact::Artifact;
use crate::terminal::output::{
    self, Column, FACT_INDENT, Facts, Table, clean, shorten, size, terminal_width,
};
use resnext::pack::{ConvShape, Layout, Packing};
use resnext::preprocess::Preprocessing;
use resnext::{Model, Op, Step, Tensor, Window};
use serde::Serialize;
use serde_json::Value;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

/// Show what is in a model.
///
/// Size, input, classes, every step with its shapes and quantization, and where the model came from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
In the table of steps, k/s/g is window, stride and cardinality (if not 1). Scale and zero are those of the \
step's output: real = scale × (q − zero). A narrow terminal shows fewer columns; --json has everything.

Examples:
  resnext inspect model.rnx
  resnext inspect model.rnx --json | jq .metadata")]
pub(crate) struct Args {
    /// Model to look into
    #[arg(value_name = "MODEL.rnx")]
    model: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let artifact = Artifact::open(&args.model)?;
    let model = artifact.model()?;
    let input = model.input().map_err(|error| Error::at(artifact.path(), error))?;
    let report = Report::new(artifact.path().display().to_string(), &model, &input);
    if args.json { output::print_json(&report) } else { output::print(&report) }
}

#[derive(Serialize)]
struct Report<'a> {
    model: String,
    format: u32,
    packing: &'static str,
    model_bytes: usize,
    arena_bytes: usize,
    weight_bytes: usize,
    gmac: f64,
    input: Shape,
    preprocess: Preprocess,
    classes: Vec<Class<'a>>,
    steps: Vec<StepRow<'a>>,
    /// As the model's maker wrote it; a string if it is not JSON.
    metadata: Value,
}

/// Height, width, channels.
#[derive(Clone, Copy, Serialize)]
struct Shape([usize; 3]);

#[derive(Serialize)]
struct Preprocess {
    short_side: u32,
    crop: [u32; 2],
    filter: &'static str,
    side_rounding: &'static str,
    crop_rounding: &'static str,
    mean: [f32; 3],
    std: [f32; 3],
}

#[derive(Serialize)]
struct Class<'a> {
    class: &'a str,
    label: &'a str,
}

#[derive(Serialize)]
struct StepRow<'a> {
    name: &'a str,
    op: &'static str,
    input: Shape,
    output: Shape,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stride: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    padding: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<&'static str>,
    weight_bytes: usize,
    macs: u64,
    /// Of the output; the classifier's are real numbers.
    scale: Option<f32>,
    zero_point: Option<i8>,
}

impl<'a> Report<'a> {
    fn new(path: String, model: &Model<'a>, input: &Tensor) -> Self {
        let steps: Vec<_> = model.steps().map(|step| StepRow::new(&step, model.class_count())).collect();
        let classes = (0..model.class_count()).filter_map(|index| model.class(index));
        Self {
            model: path,
            // The only version there is, and `Model` refuses others.
            format: resnext::format::VERSION,
            packing: match model.packing() {
                Packing::K4 => "k4",
                Packing::K8 => "k8",
            },
            model_bytes: model.artifact_len(),
            arena_bytes: model.arena_len(),
            weight_bytes: steps.iter().map(|step| step.weight_bytes).sum(),
            gmac: model.macs() as f64 / 1e9,
            input: Shape::of(input),
            preprocess: Preprocess::new(model.preprocessing()),
            classes: classes.map(|class| Class { class: class.id, label: class.label }).collect(),
            steps,
            metadata: serde_json::from_str(model.metadata())
                .unwrap_or_else(|_| Value::String(model.metadata().to_owned())),
        }
    }
}

impl Shape {
    fn of(tensor: &Tensor) -> Self {
        Self([tensor.height, tensor.width, tensor.channels])
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width, channels] = self.0;
        write!(f, "{height}×{width}×{channels}")
    }
}

impl Preprocess {
    fn new(preprocessing: &Preprocessing) -> Self {
        Self {
            short_side: preprocessing.short_side,
            crop: [preprocessing.crop_height, preprocessing.crop_width],
            filter: preprocessing.interpolation.as_str(),
            side_rounding: preprocessing.side_rounding.as_str(),
            crop_rounding: preprocessing.crop_rounding.as_str(),
            mean: preprocessing.mean,
            std: preprocessing.std,
        }
    }
}

impl<'a> StepRow<'a> {
    fn new(step: &Step<'a>, classes: usize) -> Self {
        let output = step.output();
        let (op, window, shape, weight_bytes) = match step.op {
            Op::Conv(conv) => {
                let op = match (conv.residual, conv.shortcut) {
                    (Some(_), _) => "conv+add",
                    (None, Some(_)) => "conv+shortcut",
                    (None, None) => "conv",
                };
                (op, Some(conv.window), Some(conv.shape), conv.weights.len())
            }
            Op::MaxPool(pool) => ("max pool", Some(pool.window), None, 0),
            Op::AvgPool(pool) => ("avg pool", Some(pool.window), None, 0),
            Op::GlobalAvgPool(_) => ("global avg pool", None, None, 0),
            Op::Linear(linear) => ("linear", None, Some(linear.shape), linear.weights.len()),
        };
        Self {
            name: step.name,
            op,
            input: Shape::of(&step.input),
            output: output.as_ref().map_or(Shape([1, 1, classes]), Shape::of),
            kernel: window.map(|w: Window| w.kernel),
            stride: window.map(|w| w.stride),
            padding: window.map(|w| w.padding),
            groups: shape.map(|s: ConvShape| s.groups),
            layout: shape.map(|s| layout(s.layout())),
            weight_bytes,
            macs: step.macs(),
            scale: output.map(|t| t.scale),
            zero_point: output.map(|t| t.zero_point),
        }
    }

    /// Window, stride and cardinality in short.
    fn window(&self) -> String {
        let (Some(kernel), Some(stride)) = (self.kernel, self.stride) else {
            return String::new();
        };
        match self.groups {
            Some(groups) if groups > 1 => format!("{kernel}/{stride}/{groups}"),
            _ => format!("{kernel}/{stride}"),
        }
    }
}

fn layout(layout: Layout) -> &'static str {
    match layout {
        Layout::Dense => "dense",
        Layout::PerGroup => "per-group",
        Layout::Paired8 => "paired8",
        Layout::Quad4 => "quad4",
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = terminal_width();
        writeln!(f, "{}", self.facts(width))?;
        write!(f, "{}", self.table(width))?;
        if self.metadata.as_str() != Some("") {
            writeln!(f, "\nmetadata")?;
            f.write_str(&outline(&self.metadata, width.unwrap_or(WIDE)))?;
        }
        Ok(())
    }
}

/// Width of what is cut rather than wrapped when there is no terminal to fit.
const WIDE: usize = 120;

impl Report<'_> {
    fn facts(&self, width: Option<usize>) -> Facts {
        let mut facts = Facts::default();
        facts.add("model", clean(&self.model));
        facts.add(
            "size",
            format!(
                "{} ({} of weights, packed {}), format {}",
                size(self.model_bytes as u64),
                size(self.weight_bytes as u64),
                if self.packing == "k8" { "for SMMLA" } else { "for any CPU" },
                self.format
            ),
        );
        facts.add("compute", format!("{:.3} GMAC an inference in {} steps", self.gmac, self.steps.len()));
        facts.add("arena", size(self.arena_bytes as u64));
        let Preprocess { short_side, crop: [rows, columns], filter, mean, std, .. } = &self.preprocess;
        let filter = filter.replace("pillow-", "Pillow's ");
        facts.add("input", format!("short side to {short_side} ({filter}), centre {columns}×{rows}, RGB"));
        let triple = |[r, g, b]: [f32; 3]| format!("{r} {g} {b}");
        facts.add("", format!("trained with mean {}, std {}", triple(*mean), triple(*std)));
        let mut classes = format!("{}: ", self.classes.len());
        for (index, class) in self.classes.iter().take(20).enumerate() {
            let name = if class.label.is_empty() { class.class } else { class.label };
            classes += if index > 0 { ", " } else { "" };
            classes += name;
        }
        if self.classes.len() > 20 {
            classes += ", …";
        }
        facts.add("classes", shorten(&classes, width.unwrap_or(WIDE).saturating_sub(FACT_INDENT).max(20)));
        facts
    }

    fn table(&self, width: Option<usize>) -> Table<10> {
        let columns = [
            Column::number("#").optional(3),
            Column::text("step"),
            Column::text("op"),
            Column::text("k/s/g"),
            Column::number("input").optional(4),
            Column::number("output"),
            Column::text("layout").optional(2),
            Column::number("weights").optional(1),
            Column::number("scale"),
            Column::number("zero"),
        ];
        let mut table = Table::new(columns, width);
        for (index, step) in self.steps.iter().enumerate() {
            table.row([
                index.to_string(),
                shorten(step.name, 28),
                step.op.to_owned(),
                step.window(),
                step.input.to_string(),
                step.output.to_string(),
                step.layout.unwrap_or_default().to_owned(),
                if step.weight_bytes > 0 { size(step.weight_bytes as u64) } else { String::new() },
                step.scale.map_or_else(|| "fp32".to_owned(), scale),
                step.zero_point.map_or_else(String::new, |zero| zero.to_string()),
            ]);
        }
        table
    }
}

fn scale(scale: f32) -> String {
    if scale < 1e-3 { format!("{scale:.2e}") } else { format!("{scale:.6}") }
}

/// How deep and how long the outline of the metadata may become; `--json` has all of it.
const DEEPEST: usize = 4;
const MOST_ITEMS: usize = 8;

/// Metadata for people: one `key value` a line, lists in short.
fn outline(metadata: &Value, width: usize) -> String {
    let mut out = String::new();
    match metadata {
        Value::Object(_) => entries(metadata, 1, width, &mut out),
        other => line(1, "", &scalar(other), width, &mut out),
    }
    out
}

fn entries(object: &Value, depth: usize, width: usize, out: &mut String) {
    let Value::Object(map) = object else { return };
    let key_width = map.keys().map(|key| key.chars().count()).max().unwrap_or(0).min(24);
    for (key, value) in map {
        match value {
            Value::Object(inner) if !inner.is_empty() && depth < DEEPEST => {
                line(depth, key, "", width, out);
                entries(value, depth + 1, width, out);
            }
            other => line(depth, &format!("{key:key_width$}"), &scalar(other), width, out),
        }
    }
}

fn line(depth: usize, key: &str, value: &str, width: usize, out: &mut String) {
    let text = if key.is_empty() { value.to_owned() } else { format!("{key}  {value}") };
    let indent = 2 * depth;
    let text = shorten(text.trim_end(), width.saturating_sub(indent).max(20));
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{:indent$}{text}", "");
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.len() <= MOST_ITEMS && !items.iter().any(nested) => {
            items.iter().map(scalar).collect::<Vec<_>>().join(", ")
        }
        Value::Array(items) => format!("[{} entries]", items.len()),
        Value::Object(map) if map.is_empty() => "-".to_owned(),
        Value::Object(map) => format!("{{{} entries}}", map.len()),
        number_or_bool => number_or_bool.to_string(),
    }
}

fn nested(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_is_outlined() {
        let metadata = json!({
            "source": "bundled/x",
            "calibration": {"method": "mse", "samples": 12, "nothing": null},
            "layers": [{"a": 1}, {"b": 2}],
            "mean": [0.5, 0.25],
        });
        let expected = "  calibration\n    method   mse\n    nothing  -\n    samples  12\n  layers       [2 entries]\n  \
                        mean         0.5, 0.25\n  source       bundled/x\n";
        assert_eq!(outline(&metadata, 80), expected);
    }

    #[test]
    fn odd_metadata_is_shown_too() {
        assert_eq!(outline(&json!("not\nJSON"), 80), "  not\\nJSON\n");
        assert_eq!(outline(&json!([1, 2]), 80), "  1, 2\n");
        assert_eq!(outline(&json!({}), 80), "");
        assert_eq!(outline(&json!({"a": "x".repeat(100)}), 30), format!("  a  {}…\n", "x".repeat(24)));
        let deep = json!({"a": {"b": {"c": {"d": {"e": 1}}}}});
        assert_eq!(outline(&deep, 80), "  a\n    b\n      c\n        d  {1 entries}\n");
    }
}
