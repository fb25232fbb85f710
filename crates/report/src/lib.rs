//! What is known of an int8 model, for people and tools: one self-contained HTML page, Markdown for a README, JSON.
//!
//! A [`Report`] is filled in as far as its maker knows; sections without data are left out. The page needs no network and
//! no script, follows the reader's light or dark theme and reads on a phone: plots are inline SVG without text, stretched
//! to the width there is, with labels beside them. Names come from files and models, so everything is escaped (by
//! [`maud`]).

mod accuracy;
mod activations;
mod arena;
mod card;
mod compiled;
mod flips;
mod json;
mod latency;
mod layers;
mod markdown;
mod page;
mod plot;
mod text;

pub use json::{json, latency as latency_json};
pub use markdown::markdown;
pub use page::html;

use resnext::Model;
use resnext_evaluation::Evaluation;

/// Everything a report may say.
#[derive(Debug)]
pub struct Report<'a> {
    /// The int8 model.
    pub model: &'a Model<'a>,
    /// What to call it: the name of its file.
    pub name: String,
    /// What the program that writes the report is called, with its version.
    pub tool: String,
    /// What fp32 was, such as `resnext50.onnx on tract`.
    pub baseline: Option<String>,
    /// Accuracy and drop.
    pub evaluation: Option<&'a Evaluation>,
    /// Images of which one network alone is right, as many as there is room for.
    pub flips: Vec<FlippedPhoto>,
    /// How long inferences take.
    pub latency: Vec<Latency>,
    /// The layers in execution order.
    pub layers: Vec<Layer>,
    /// Images on which the layers were compared.
    pub layer_images: usize,
    /// What the reader should know before believing any of it.
    pub warnings: Vec<String>,
}

impl<'a> Report<'a> {
    /// A report of nothing but the model, with what compiling found out of its layers.
    pub fn new(model: &'a Model<'a>, name: impl Into<String>, tool: impl Into<String>) -> Self {
        let (layers, layer_images) = compiled::layers(model.metadata());
        Self {
            model,
            name: name.into(),
            tool: tool.into(),
            baseline: None,
            evaluation: None,
            flips: Vec::new(),
            latency: Vec::new(),
            layers,
            layer_images,
            warnings: Vec::new(),
        }
    }
}

/// A picture for one of the [flips](resnext_evaluation::Comparison::flips).
#[derive(Clone, Debug)]
pub struct FlippedPhoto {
    /// Index into the comparison's flips.
    pub flip: usize,
    /// What the networks saw, as JPEG.
    pub jpeg: Vec<u8>,
}

/// Measured times of one network.
#[derive(Clone, Debug)]
pub struct Latency {
    /// Such as `int8 (dotprod)`.
    pub network: String,
    /// Whether it is the int8 network.
    pub int8: bool,
    /// Threads.
    pub threads: usize,
    /// Milliseconds of each inference.
    pub ms: Vec<f64>,
}

impl Latency {
    /// Milliseconds that half of the inferences did not exceed; `None` if there was none.
    pub fn median(&self) -> Option<f64> {
        (!self.ms.is_empty()).then(|| text::percentile(&latency::sorted(self), 50))
    }
}

/// What is known of a layer.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Name.
    pub name: String,
    /// Signal to quantization noise ratio of its output, dB, with all errors of earlier layers.
    pub sqnr_db: Option<f64>,
    /// The same of the logits when this layer alone is quantized, dB.
    pub sensitivity_db: Option<f64>,
    /// The same when every layer but this one is quantized, dB.
    pub without_db: Option<f64>,
    /// How its range was chosen.
    pub method: Option<String>,
    /// The values it gives.
    pub distribution: Option<Distribution>,
}

/// Distribution of a layer's fp32 values, and what int8 covers of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Counts in bins of equal width from `low` to `high`.
    pub bins: Vec<u64>,
    /// Least value seen.
    pub low: f64,
    /// Greatest value seen.
    pub high: f64,
    /// Least and greatest value that int8 represents; everything beyond is clipped.
    pub clip: (f64, f64),
    /// Share of the values beyond, 0..1.
    pub clipped: f64,
}

impl Distribution {
    /// Sorts values, given as middle and count of narrower bins, into `bins` bins from `low` to `high`; of `all` values, if
    /// some are in no bin.
    pub fn new(
        values: impl Iterator<Item = (f64, u64)>,
        bins: usize,
        (low, high): (f64, f64),
        clip: (f64, f64),
        all: u64,
    ) -> Self {
        let mut beyond = 0;
        let mut counts = vec![0; bins.max(1)];
        let (last, width) = (counts.len() - 1, (high - low) / counts.len() as f64);
        for (value, count) in values {
            let bin = if width > 0.0 { ((value - low) / width) as usize } else { 0 };
            counts[bin.min(last)] += count;
            beyond += if value < clip.0 || value > clip.1 { count } else { 0 };
        }
        let clipped = if all > 0 { beyond as f64 / all as f64 } else { 0.0 };
        Self { bins: counts, low, high, clip, clipped }
    }
}
