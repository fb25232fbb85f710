//! The content of a model, as JSON shows it.

use resnext::Model;
use resnext::internals::weights::ConvShape;
use resnext::preprocess::Preprocessing;
use resnext::program::{Op, Step, Tensor, Window};
use serde::Serialize;
use serde_json::Value;
use std::fmt;

#[derive(Serialize)]
pub(super) struct Report<'a> {
    pub(super) model: String,
    pub(super) format: u32,
    pub(super) packing: &'static str,
    pub(super) model_bytes: usize,
    pub(super) arena_bytes: usize,
    pub(super) weight_bytes: usize,
    pub(super) gmac: f64,
    pub(super) input: Shape,
    pub(super) preprocess: Preprocess,
    pub(super) classes: Vec<Class<'a>>,
    pub(super) steps: Vec<StepRow<'a>>,
    /// As the compiler wrote it; a string if it is not JSON.
    pub(super) metadata: Value,
}

/// Height, width, channels.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Shape([usize; 3]);

#[derive(Serialize)]
pub(super) struct Preprocess {
    pub(super) short_side: u32,
    pub(super) crop: [u32; 2],
    pub(super) filter: &'static str,
    pub(super) side_rounding: &'static str,
    pub(super) crop_rounding: &'static str,
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
}

#[derive(Serialize)]
pub(super) struct Class<'a> {
    pub(super) class: &'a str,
    pub(super) label: &'a str,
}

#[derive(Serialize)]
pub(super) struct StepRow<'a> {
    pub(super) name: &'a str,
    pub(super) op: &'static str,
    pub(super) input: Shape,
    pub(super) output: Shape,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kernel: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stride: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) padding: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) groups: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) layout: Option<&'static str>,
    pub(super) weight_bytes: usize,
    pub(super) macs: u64,
    /// The scale of the output. The output of the classifier is in real numbers and has none.
    pub(super) scale: Option<f32>,
    pub(super) zero_point: Option<i8>,
}

impl<'a> Report<'a> {
    pub(super) fn new(path: String, model: &Model<'a>, input: &Tensor) -> Self {
        let steps: Vec<_> = model.steps().map(|step| StepRow::new(&step, model.class_count())).collect();
        let classes = (0..model.class_count()).filter_map(|index| model.class(index));
        Self {
            model: path,
            // `Model` refuses every other version.
            format: resnext::internals::format::VERSION,
            packing: model.packing().as_str(),
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
            _ => ("unknown", None, None, 0),
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
            layout: shape.map(|s| s.layout().as_str()),
            weight_bytes,
            macs: step.macs(),
            scale: output.map(|t| t.scale),
            zero_point: output.map(|t| t.zero_point),
        }
    }

    /// Returns kernel size, stride and number of groups in short.
    pub(super) fn window(&self) -> String {
        let (Some(kernel), Some(stride)) = (self.kernel, self.stride) else {
            return String::new();
        };
        match self.groups {
            Some(groups) if groups > 1 => format!("{kernel}/{stride}/{groups}"),
            _ => format!("{kernel}/{stride}"),
        }
    }
}
