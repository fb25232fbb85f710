//! What compiling finds out.

use resnext_evaluation::samples::SampleError;

use super::sensitivity::Sensitivity;
use super::warning::Warning;
use crate::network::Range;
use crate::observe::{Pictures, TrainingDistance};

/// What compiling found out.
#[derive(Debug)]
pub struct Report {
    /// What the samples look like that calibrated the ranges, and how many there were.
    pub pictures: Pictures,
    /// How far they are from the training images, for each layer of which that is known: the projection shortcuts, if they have
    /// had a batch norm.
    pub training_distance: Vec<TrainingDistance>,
    /// The samples that could not be decoded.
    pub skipped: Vec<SampleError>,
    /// The number of synthetic images that the batch norms were matched on, if the network was calibrated without samples.
    /// It is less than [`SURROGATE_IMAGES`](super::SURROGATE_IMAGES) where the activations would take too much memory.
    pub surrogate_images: Option<usize>,
    /// The number of samples on which int8 was compared with fp32.
    pub checked: usize,
    /// The share of those on which both name the same class; NaN if there were none.
    pub agreement: f64,
    /// The signal-to-quantization-noise ratio of the logits in dB; NaN if nothing was compared.
    pub logit_sqnr_db: f64,
    /// The steps of the int8 network, in execution order. A projection shortcut that is
    /// [fused](crate::network::Network::fused_into) into another step is not among them.
    pub layers: Vec<LayerReport>,
    /// What each quantized layer costs, if [`Options::sensitivity`](super::Options::sensitivity) asked for it.
    pub sensitivity: Vec<Sensitivity>,
    /// How much of the file's quantization the artifact keeps, if the network was quantized by its file.
    pub retained: Option<Retained>,
    /// Reasons to doubt the calibration.
    pub warnings: Vec<Warning>,
}

/// One layer of a [`Report`].
#[derive(Clone, Debug)]
pub struct LayerReport {
    /// The name of the layer.
    pub name: String,
    /// The signal-to-quantization-noise ratio of its output in dB, with the errors of all earlier layers.
    pub sqnr_db: f64,
    /// The range that int8 covers; `None` for the logits, and for the mean over all pixels, which is finer.
    pub range: Option<Range>,
    /// The range of the values in calibration, if there was any.
    pub seen: Option<Range>,
    /// The value of all elements, if calibration met no other.
    pub constant: Option<f64>,
    /// How the range was chosen; `None` for the mean over all pixels, the logits, and a max pool, which has the range of its
    /// input.
    pub method: Option<&'static str>,
}

/// How much of a file's quantization its artifact keeps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retained {
    /// The number of activations that keep the scale and the zero point of the file.
    pub activations: usize,
    /// The number of activations.
    pub of_activations: usize,
    /// The number of weights that keep the integers of the file.
    pub weights: u64,
    /// The number of weights.
    pub of_weights: u64,
    /// The layers with other integers, and why.
    pub changed: Vec<(String, &'static str)>,
}
