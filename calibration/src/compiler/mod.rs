//! The driver: from a folded network to an artifact, and a check of the result against fp32.
//!
//! A [`Compiler`] takes the scales of activations from one of three sources, a [`ScaleSource`]: samples, the batch norms of the
//! network, or the file that quantizes it. Everything after that is the same. [`Compiler::compile_within`] tries ever more
//! effort until int8 costs no more accuracy than allowed.
//!
//! | module | role |
//! |---|---|
//! | `options`, `report`, `error` | what goes in and what comes out |
//! | `refine` | weights and biases, fitted to the samples |
//! | `check` | the new artifact against fp32 |
//! | `warning` | reasons to doubt the result |
//! | `metadata` | what the artifact says of itself |
//! | `prequantized` | the scales of a file |
//! | `data_free`, `synthetic` | calibration without images |
//! | `escalate` | ever more effort, until the drop of accuracy is small enough |
//! | `emulate`, `sensitivity` | parts of int8 inside fp32, to measure what each layer costs |

mod check;
mod data_free;
mod emulate;
mod error;
mod escalate;
mod metadata;
mod options;
mod prequantized;
mod refine;
mod report;
mod sensitivity;
mod synthetic;
mod warning;

use indicatif::ProgressBar;
use resnext::Model;
use resnext::pack::repack;
use resnext::preprocess::Preprocessing;
use resnext_evaluation::samples::{Sample, SampleError, Samples};
use resnext_evaluation::{Evaluation, pictures};

use crate::emit::{Parts, emit, plan, set_metadata};
use crate::evaluate::EvaluateError;
use crate::export::OnnxFile;
use crate::fp32::stream::{Budget, Input};
use crate::network::{Network, Op, Range};
use crate::observe::{Histogram, Method, Observations, Pictures, TrainingDistance, observe};
use crate::preprocessing::{normalize, properties};
use crate::quantize::{Quantized, quantize};
use check::check;
use refine::refine;
use warning::warnings;

pub use data_free::{SURROGATE_IMAGES, synthetic_images};
pub use error::CompileError;
pub use escalate::{Attempt, EscalateError, Escalated};
pub use options::{Options, Techniques};
pub use report::{LayerReport, Report, Retained};
pub use sensitivity::Sensitivity;
pub use warning::Warning;

/// Most samples on which the sensitivity of the layers is measured.
const SENSITIVITY_SAMPLES: usize = 16;

/// Where the scales of activations come from.
#[derive(Clone, Copy, Debug)]
pub enum ScaleSource<'a> {
    /// The values of the activations on these samples.
    Samples(&'a Samples),
    /// The statistics that the batch norms have kept of the training images; no image is needed.
    BatchNorms,
    /// The file, which quantizes its network.
    File {
        /// Samples on which the artifact is compared with fp32; they change nothing in it.
        compared_on: Option<&'a Samples>,
    },
}

/// Compiles a folded network into an artifact. The same inputs give the same bytes.
#[derive(Clone, Debug)]
pub struct Compiler<'a> {
    network: &'a Network,
    options: &'a Options,
    progress: ProgressBar,
}

/// A compiled model, and what compiling found out.
#[derive(Debug)]
pub struct Compiled {
    /// The bytes of the `.rnx` file.
    pub artifact: Vec<u8>,
    /// What compiling found out.
    pub report: Report,
    /// The integers that the artifact was packed from, if [`Options::qdq`] asks for them.
    pub(crate) quantized: Option<Quantized>,
}

impl<'a> Compiler<'a> {
    /// Makes a compiler for the folded `network`.
    pub fn new(network: &'a Network, options: &'a Options) -> Self {
        Self { network, options, progress: ProgressBar::hidden() }
    }

    /// Shows each pass over the samples on `progress`, with its length and a message.
    #[must_use]
    pub fn with_progress(self, progress: &ProgressBar) -> Self {
        Self { progress: progress.clone(), ..self }
    }

    /// Compiles the network to scales from `scales`.
    ///
    /// Apart from the artifact itself, memory grows neither with the number of samples nor with the size of the network.
    ///
    /// # Errors
    ///
    /// [`CompileError`]. A sample that cannot be decoded is only skipped, unless none can.
    pub fn compile(&self, scales: ScaleSource<'_>) -> Result<Compiled, CompileError> {
        self.expect_labels()?;
        let mut compiled = match scales {
            ScaleSource::Samples(samples) => {
                self.calibrated(CalibrationInput { network: self.network, surrogate: None, samples })
            }
            ScaleSource::BatchNorms => data_free::compile(self),
            ScaleSource::File { compared_on } => prequantized::compile(self, compared_on),
        }?;
        repack(&mut compiled.artifact, self.options.packing)?;
        Ok(compiled)
    }

    /// Compiles the network with ever more effort until its top-1 accuracy drops by `limit_pp` percentage points or less, or
    /// nothing is left to try. It begins with the method of the options and no techniques. `judge` evaluates a model, and
    /// `on_attempt` is called with each attempt.
    ///
    /// `judge` should keep some images apart, because the best of many attempts is a little lucky on those that chose it.
    ///
    /// # Errors
    ///
    /// [`EscalateError`]. It is no error if the limit is not met; [`Escalated::met`] says so.
    pub fn compile_within(
        &self,
        limit_pp: f64,
        samples: &Samples,
        judge: impl FnMut(&Model<'_>) -> Result<Evaluation, EvaluateError>,
        on_attempt: impl FnMut(&Attempt),
    ) -> Result<Escalated, EscalateError> {
        self.expect_labels()?;
        let mut escalated = escalate::escalate(self, limit_pp, samples, judge, on_attempt)?;
        repack(&mut escalated.compiled.artifact, self.options.packing)?;
        Ok(escalated)
    }

    /// Returns the compiled network as an ONNX model in the QDQ format, with the source of the weights and the preprocessing
    /// as its metadata; `None` unless [`Options::qdq`] asked for it.
    ///
    /// # Panics
    ///
    /// If `compiled` is of another network.
    pub fn qdq<'q>(&self, compiled: &'q Compiled) -> Option<OnnxFile<'q>> {
        let quantized = compiled.quantized.as_ref()?;
        let preprocessing = &self.options.preprocessing;
        let mut metadata = vec![("source", self.options.source.clone())];
        metadata.extend(properties(preprocessing, self.options.exif));
        Some(OnnxFile::qdq(self.network, quantized, preprocessing, &metadata))
    }

    /// Checks that there is a class for each logit.
    fn expect_labels(&self) -> Result<(), CompileError> {
        match (self.network.architecture.classes, self.options.classes.len()) {
            (logits, labels) if logits == labels => Ok(()),
            (logits, labels) => Err(CompileError::Labels { logits, labels }),
        }
    }

    /// Compiles to the ranges that the method of the options chooses.
    fn calibrated(&self, calibration: CalibrationInput<'_>) -> Result<Compiled, CompileError> {
        let observations = self.observe(calibration, self.options.method == Method::Auto)?;
        let ranges = observations.ranges(calibration.network, self.options.method);
        self.compile_to(calibration, &observations.without_channels(), &ranges, &[])
    }

    /// Observes the activations; with `channels` also those of single channels.
    fn observe(
        &self,
        calibration: CalibrationInput<'_>,
        channels: bool,
    ) -> Result<Observations, CompileError> {
        self.progress.set_message("calibrating");
        Ok(observe(calibration.observed(), channels, self.input(calibration.samples))?)
    }

    /// Compiles to `ranges`, which follow from `observations`. `layers` names those whose range another method has chosen.
    fn compile_to(
        &self,
        calibration: CalibrationInput<'_>,
        observations: &Observations,
        ranges: &[Range],
        layers: &[(String, Method)],
    ) -> Result<Compiled, CompileError> {
        let (options, CalibrationInput { network, samples, .. }) = (self.options, calibration);
        let mut quantized = quantize(network, ranges, &options.preprocessing)?;
        if options.techniques.correct_bias || options.techniques.round_together {
            refine(self, calibration, &mut quantized)?;
        }
        let sensitivity = if options.sensitivity {
            let images = normalized_images(samples, SENSITIVITY_SAMPLES, &options.preprocessing);
            let (preprocessing, threads) = (&options.preprocessing, options.threads);
            sensitivity::sensitivity(network, &quantized, preprocessing, &images, threads)?
        } else {
            Vec::new()
        };
        let percentile = match options.method {
            Method::Percentile(percentage) => Some(percentage),
            _ => None,
        };
        // Synthetic images are no samples, and their surrogate has been made to fit the batch norms.
        let on_samples = calibration.surrogate.is_none();
        let provenance = ScaleProvenance {
            method: options.method.name(),
            percentile,
            techniques: options.techniques,
            surrogate_images: calibration.surrogate.map(|(_, images)| images),
            layers: layers.to_vec(),
            pictures: if on_samples { observations.pictures } else { Pictures::default() },
            checksums: on_samples.then(|| pictures::encode(&observations.checksums)),
            distances: if on_samples { observations.distances.clone() } else { Vec::new() },
            skipped: observations.skipped.clone(),
            seen: observations.histograms.iter().map(Histogram::range).collect(),
            constant: observations.histograms.iter().map(Histogram::constant).collect(),
            sensitivity,
            retained: None,
        };
        self.finish(quantized, provenance, Some(samples))
    }

    /// Writes the artifact of a quantized network and compares it with fp32 on some of the `samples`.
    fn finish(
        &self,
        quantized: Quantized,
        mut provenance: ScaleProvenance,
        samples: Option<&Samples>,
    ) -> Result<Compiled, CompileError> {
        let Self { network, options, .. } = *self;
        let kept = options.qdq.then(|| quantized.clone());
        let Quantized { activations, layers } = quantized;
        let parts = Parts {
            network,
            activations: &activations,
            plan: &plan(network),
            preprocessing: &options.preprocessing,
            classes: &options.classes,
        };
        let mut artifact = emit(&parts, layers);
        let fidelity = check(self, &artifact, samples)?;
        let layers: Vec<LayerReport> = network
            .steps()
            .zip(&fidelity.layers)
            .map(|((index, node), noise)| LayerReport {
                name: node.name.clone(),
                sqnr_db: noise.sqnr_db(),
                range: (network.has_range(index) || matches!(node.op, Op::MaxPool(_))).then(|| {
                    let activation = activations[index + 1];
                    Range { low: activation.dequantize(i8::MIN), high: activation.dequantize(i8::MAX) }
                }),
                seen: provenance.seen.get(index + 1).copied(),
                constant: provenance.constant.get(index + 1).copied().flatten(),
                method: network.has_range(index).then(|| provenance.method_of(&node.name)),
            })
            .collect();
        let warnings = warnings(options, &provenance, &fidelity, &layers);
        let report = Report {
            pictures: provenance.pictures,
            training_distance: std::mem::take(&mut provenance.distances),
            skipped: std::mem::take(&mut provenance.skipped),
            surrogate_images: provenance.surrogate_images,
            checked: fidelity.samples(),
            agreement: fidelity.agreeing() as f64 / fidelity.samples() as f64,
            logit_sqnr_db: fidelity.logit_sqnr_db(),
            layers,
            sensitivity: std::mem::take(&mut provenance.sensitivity),
            retained: provenance.retained.take(),
            warnings,
        };
        let metadata = metadata::metadata(network, options, &provenance, &report);
        set_metadata(&mut artifact, &metadata.to_json());
        Ok(Compiled { artifact, report, quantized: kept })
    }

    /// Returns the input of a pass over `samples`.
    fn input<'s>(&'s self, samples: &'s Samples) -> Input<'s> {
        let Options { preprocessing, threads, .. } = self.options;
        let progress = &self.progress;
        Input { samples, preprocessing, threads: *threads, budget: Budget::USUAL, progress }
    }
}

/// The networks and the samples of a calibration.
#[derive(Clone, Copy)]
struct CalibrationInput<'a> {
    /// The network that is quantized.
    network: &'a Network,
    /// The network that is observed in its place, if the samples are synthetic images, and the number of images that its
    /// batch norms were matched on.
    surrogate: Option<(&'a Network, usize)>,
    samples: &'a Samples,
}

impl<'a> CalibrationInput<'a> {
    /// Returns the network that is observed.
    fn observed(self) -> &'a Network {
        self.surrogate.map_or(self.network, |(surrogate, _)| surrogate)
    }
}

/// How the scales of a network were found.
#[derive(Default)]
struct ScaleProvenance {
    /// The name of the method, as the metadata have it.
    method: &'static str,
    /// The percentage of the method `percentile`.
    percentile: Option<f64>,
    /// The techniques beyond the choice of ranges.
    techniques: Techniques,
    /// See [`Report::surrogate_images`].
    surrogate_images: Option<usize>,
    /// The layers whose range another method has chosen.
    layers: Vec<(String, Method)>,
    /// See [`Report::pictures`].
    pictures: Pictures,
    /// The checksums of the calibration pictures, for the metadata.
    checksums: Option<String>,
    /// See [`Report::training_distance`].
    distances: Vec<TrainingDistance>,
    /// See [`Report::skipped`].
    skipped: Vec<SampleError>,
    /// See [`LayerReport::seen`], for each value; empty if nothing was observed.
    seen: Vec<Range>,
    /// See [`LayerReport::constant`], for each value; empty if nothing was observed.
    constant: Vec<Option<f64>>,
    /// See [`Report::sensitivity`].
    sensitivity: Vec<Sensitivity>,
    /// See [`Report::retained`].
    retained: Option<Retained>,
}

impl ScaleProvenance {
    /// Returns the method that has chosen the range of `layer`.
    fn method_of(&self, layer: &str) -> &'static str {
        let other = self.layers.iter().find(|(name, _)| name == layer);
        other.map_or(self.method, |(_, method)| method.name())
    }
}

/// Returns at most `count` of the samples, cropped and normalised. Samples that cannot be decoded are left out.
fn normalized_images(samples: &Samples, count: usize, preprocessing: &Preprocessing) -> Vec<Vec<f32>> {
    let pixels = |sample: &Sample| sample.pixels(preprocessing).ok();
    let few = samples.take_spread(count);
    few.iter().filter_map(pixels).map(|pixels| normalize(preprocessing, &pixels)).collect()
}
