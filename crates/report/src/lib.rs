//! Reports on an int8 model for people and tools: one self-contained HTML page, Markdown for a README, and JSON.
//!
//! The caller fills in as much of a [`Report`] as it knows, and sections without data are left out. The page needs neither
//! network nor scripts, follows the light or dark theme of its reader, and fits a phone: plots are inline SVG without text that
//! stretches to the available width, with labels in HTML beside them. Names come from files and models, so [`maud`] escapes
//! all of them.

#![forbid(unsafe_code)]

mod accuracy;
mod activations;
mod arena;
mod card;
mod compiled;
mod confusion;
mod flips;
mod json;
mod latency;
mod layers;
mod markdown;
mod page;
mod plot;
mod text;

pub use json::{json, latency as latency_json, photos as photos_json};
pub use markdown::markdown;
pub use page::html;
pub use text::{p_value, speed};

use resnext::Model;
use resnext_evaluation::Evaluation;
use resnext_evaluation::samples::Photos;
use resnext_metadata::Metadata;

/// The content of a report.
#[derive(Debug)]
pub struct Report<'a> {
    /// The int8 model.
    pub model: &'a Model<'a>,
    /// The name of the model: that of its file.
    pub name: String,
    /// The program that writes the report, with its version.
    pub tool: String,
    /// The fp32 baseline, such as `resnext50.onnx on tract`.
    pub baseline: Option<String>,
    /// The accuracy and its drop.
    pub evaluation: Option<&'a Evaluation>,
    /// The files of the images.
    pub photos: Option<Photos>,
    /// Pictures of images to which the networks give different classes.
    pub flips: Vec<FlippedPhoto>,
    /// The latency of each network.
    pub latency: Vec<Latency>,
    /// The layers in execution order.
    pub layers: Vec<Layer>,
    /// The number of images on which the layers were compared.
    pub layer_images: usize,
    /// Reasons to doubt the report.
    pub warnings: Vec<String>,
    /// When, where and by which command the report was made.
    pub conditions: Option<Conditions>,
}

/// The conditions of a measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions {
    /// The CPUs, and the board if it has a name; `None` if the system does not say.
    pub machine: Option<String>,
    /// Date and time as RFC 3339, in UTC.
    pub date: String,
    /// The load average of the last minute before the measurement; `None` if the system does not say.
    pub load: Option<f64>,
    /// The command, as it can be given to a shell.
    pub command: String,
}

impl Conditions {
    /// Returns the conditions as JSON.
    pub fn json(&self) -> serde_json::Value {
        let Self { machine, date, load, command } = self;
        serde_json::json!({ "machine": machine, "date": date, "load": load, "command": command })
    }
}

/// Displays the machine, the date and the load in one line.
impl std::fmt::Display for Conditions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.machine.as_deref().unwrap_or("unknown CPU"))?;
        write!(f, ", {}", self.date)?;
        self.load.map_or(Ok(()), |load| write!(f, ", load {load:.2}"))
    }
}

impl<'a> Report<'a> {
    /// Creates a report on the model alone, with what its metadata states about its layers.
    pub fn new(model: &'a Model<'a>, name: impl Into<String>, tool: impl Into<String>) -> Self {
        let (layers, layer_images) = compiled::layers(Metadata::parse(model.metadata()));
        Self {
            model,
            name: name.into(),
            tool: tool.into(),
            baseline: None,
            evaluation: None,
            photos: None,
            flips: Vec::new(),
            latency: Vec::new(),
            layers,
            layer_images,
            warnings: Vec::new(),
            conditions: None,
        }
    }
}

/// A picture for one of the [flips](resnext_evaluation::Comparison::flips).
#[derive(Clone, Debug)]
pub struct FlippedPhoto {
    /// The index of the flip in the comparison.
    pub flip: usize,
    /// The pixels that the networks saw, as JPEG.
    pub jpeg: Vec<u8>,
}

/// The measured times of one network.
#[derive(Clone, Debug)]
pub struct Latency {
    /// The name of the network, such as `int8 (dotprod)`.
    pub network: String,
    /// Whether it is the int8 network.
    pub int8: bool,
    /// The number of threads.
    pub threads: usize,
    /// The time of each inference in ms.
    pub ms: Vec<f64>,
}

impl Latency {
    /// Returns the median in ms, or `None` if there are no times.
    pub fn median(&self) -> Option<f64> {
        (!self.ms.is_empty()).then(|| text::percentile(&latency::sorted(self), 50))
    }
}

/// What is known of a layer.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// The signal-to-quantization-noise ratio of its output in dB, with the errors of all earlier layers.
    pub sqnr_db: Option<f64>,
    /// The signal-to-quantization-noise ratio of the logits in dB when only this layer is quantized.
    pub alone_db: Option<f64>,
    /// The signal-to-quantization-noise ratio of the logits in dB when every layer but this one is quantized.
    pub without_db: Option<f64>,
    /// How the range of its output was chosen.
    pub method: Option<String>,
    /// The distribution of its output.
    pub distribution: Option<Distribution>,
}

/// The distribution of the fp32 values of a layer, and the range that int8 covers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// The counts in bins of equal width from `low` to `high`.
    pub bins: Vec<u64>,
    /// The least value.
    pub low: f64,
    /// The greatest value.
    pub high: f64,
    /// The least and the greatest value that int8 represents. Values beyond them are clipped.
    pub clip: (f64, f64),
    /// The share of clipped values, 0 to 1.
    pub clipped: f64,
}

impl Distribution {
    /// Sorts `values`, which are the middles and counts of narrower bins, into `bins` bins from `low` to `high`. `all` is the
    /// number of all values, including those that are in no bin.
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
