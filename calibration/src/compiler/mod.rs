//! The offline step: calibrate, quantize, plan, emit, and check the result against fp32.

pub mod data_free;
pub mod emulate;
pub mod escalate;
pub mod prequantized;
pub mod sensitivity;
pub mod synthetic;

use crate::emit::{ClassName, Parts, emit, set_metadata};
use crate::fidelity::{Noise, argmax};
use crate::fp32::Fp32Error;
use crate::observe::noise_gain::Gains;
use crate::quantize::moments::{AT_ONCE, Gather, Moments, batches};
use crate::network::{Network, Node, Op};
use crate::observe::{ChannelHistogram, Histogram, Method, Range, least_harm};
use crate::emit::arena_plan::plan;
use crate::preprocessing::Preprocessing;
use crate::quantize::{Layer, QuantizeError, Quantized, quantize, requantize_node};
use crate::samples::{Sample, SampleError, Samples};
use crate::compiler::sensitivity::{Sensitivity, sensitivity};
use crate::fp32::stream::{Budget, Input, Pass, stream};
use indicatif::ProgressBar;
use resnext::{LoadError, Model, Probe, RunError, Runner, Step, Tensor};
use resnext_evaluation::outcome::pixel_checksum;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Samples on which the artifact is compared with fp32 before it is written.
const CHECKED_SAMPLES: usize = 64;

/// Samples on which the layers' sensitivity is measured.
const SENSITIVITY_SAMPLES: usize = 16;

/// What is done beyond choosing ranges. `calibration/README.md` says what each brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Techniques {
    /// Move biases so that every channel keeps its mean.
    pub correct_bias: bool,
    /// Round the weights of a row together, which corrects biases too: [`round`](crate::quantize::weight_rounding).
    pub round_together: bool,
}

impl Techniques {
    /// None: one pass over the samples.
    pub const FAST: Self = Self { correct_bias: false, round_together: false };
    /// Biases: two passes.
    pub const NORMAL: Self = Self { correct_bias: true, ..Self::FAST };
    /// All of them.
    pub const HIGH: Self = Self { correct_bias: true, round_together: true };

    /// The effort of that name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self { round_together: true, .. } => "high",
            Self { correct_bias: true, .. } => "normal",
            Self { .. } => "fast",
        }
    }
}

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// How ranges are chosen.
    pub method: Method,
    /// What is done beyond that.
    pub techniques: Techniques,
    /// Whether to find out what each layer costs: [`sensitivity`]. Runs the fp32 network twice for each layer.
    pub sensitivity: bool,
    /// From photo to input.
    pub preprocessing: Preprocessing,
    /// One per logit.
    pub classes: Vec<ClassName>,
    /// Where the fp32 weights came from, for the metadata: a file name or variant.
    pub source: String,
    /// Threads of the calibration.
    pub threads: usize,
    /// Whether [`Compiled::quantized`] is wanted, which takes as much memory again as the artifact.
    pub keep_quantized: bool,
}

impl Options {
    fn input<'a>(&'a self, samples: &'a Samples, progress: &'a ProgressBar) -> Input<'a> {
        let (preprocessing, threads) = (&self.preprocessing, self.threads);
        Input { samples, preprocessing, threads, budget: Budget::USUAL, progress }
    }
}

/// A compiled model and what is known of it.
#[derive(Debug)]
pub struct Compiled {
    /// The bytes of the `.rnx` file.
    pub artifact: Vec<u8>,
    /// What happened.
    pub report: Report,
    /// The integers that the artifact was packed from, if the options ask for them.
    pub quantized: Option<Quantized>,
}

/// What compiling found out.
#[derive(Debug)]
pub struct Report {
    /// Samples that calibrated the ranges.
    pub calibrated: usize,
    /// Different pictures among them, once they are cropped.
    pub distinct: usize,
    /// Samples that could not be decoded.
    pub skipped: Vec<SampleError>,
    /// Samples on which int8 was compared with fp32.
    pub checked: usize,
    /// Share of those on which both name the same class; NaN if there were none.
    pub agreement: f64,
    /// Signal to quantization noise ratio of the logits, dB; NaN if none were compared.
    pub logit_sqnr_db: f64,
    /// Per step of the int8 network, in execution order: of a projection shortcut that is
    /// [joined](crate::network::Network::joined) there is nothing to tell apart.
    pub layers: Vec<LayerReport>,
    /// Per layer that is quantized, if that was asked for.
    pub sensitivity: Vec<Sensitivity>,
}

/// One layer of a [`Report`].
#[derive(Clone, Debug)]
pub struct LayerReport {
    /// Name of the layer.
    pub name: String,
    /// Signal to quantization noise ratio of its output, dB, all errors of earlier layers included.
    pub sqnr_db: f64,
    /// Range that int8 covers; `None` for the logits, and for the mean over all pixels, which is finer.
    pub range: Option<Range>,
    /// Range seen in calibration, if there was one.
    pub seen: Option<Range>,
    /// Its value, if calibration saw no other.
    pub constant: Option<f64>,
    /// How the range was chosen; `None` for the mean over all pixels, the logits, and a max pool, which has that of its
    /// input.
    pub method: Option<&'static str>,
}

/// Why a network could not be compiled. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The fp32 network does not run.
    #[error(transparent)]
    Fp32(#[from] Fp32Error),
    /// No sample could be decoded.
    #[error(
        "none of the {found} samples can be decoded (the first: {first}); give a directory of JPEG or PNG photos"
    )]
    NoSamples {
        /// Files tried.
        found: usize,
        /// What was wrong with the first.
        first: SampleError,
    },
    /// An activation is NaN or infinite.
    #[error(
        "layer {layer} gives NaN or infinity on sample {sample}; the weights are broken: take a sound checkpoint"
    )]
    NotFinite {
        /// Name of the layer.
        layer: String,
        /// Name of the sample.
        sample: String,
    },
    /// As many names as logits are needed.
    #[error(
        "the model has {logits} classes but {labels} labels were given; give one label per line, in class order"
    )]
    Labels {
        /// Logits of the network.
        logits: usize,
        /// Labels given.
        labels: usize,
    },
    /// Nothing is known of a convolution's output.
    #[error(
        "layer {layer} has no batch norm, from which --data-free learns what it gives: exporting has folded it into the \
         weights; give the checkpoint, an ONNX file exported in training mode, or --samples DIR"
    )]
    NoStatistics {
        /// Name of the layer.
        layer: String,
    },
    /// A quantized file leaves an activation open.
    #[error(
        "the file does not quantize the output of layer {layer}; quantize all activations, or give the fp32 model and samples"
    )]
    NotGiven {
        /// Name of the layer.
        layer: String,
    },
    /// A layer does not fit the integer arithmetic.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// The artifact just made is refused by the runtime: a defect of this program.
    #[error("internal error: the compiled model does not load ({0}); please report it")]
    Load(#[from] LoadError),
    /// The artifact just made does not run: a defect of this program.
    #[error("internal error: the compiled model does not run ({0}); please report it")]
    Run(#[from] RunError),
}

/// Compiles a folded `network`, calibrated on `samples`. The same inputs give the same bytes.
///
/// `progress` is given a length and a message for each pass over the samples. Memory does not grow with
/// their number, nor, apart from the artifact itself, with the size of the network.
///
/// # Errors
///
/// [`CompileError`]; a sample that cannot be decoded is only skipped, unless all are.
pub fn compile(
    network: &Network,
    samples: &Samples,
    options: &Options,
    progress: &ProgressBar,
) -> Result<Compiled, CompileError> {
    compile_seen(Seen { network, likeness: None, samples }, options, progress)
}

/// What a network is calibrated on.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// What is quantized.
    pub(crate) network: &'a Network,
    /// What drawings go through in its place, [`data_free`](crate::compiler::data_free); `None` of photos, which go through the
    /// network itself.
    pub(crate) likeness: Option<&'a Network>,
    pub(crate) samples: &'a Samples,
}

impl<'a> Seen<'a> {
    /// What the samples go through.
    fn observed(self) -> &'a Network {
        self.likeness.unwrap_or(self.network)
    }

    /// Whether no photo is among the samples.
    fn data_free(self) -> bool {
        self.likeness.is_some()
    }
}

/// [`compile()`], of whatever was [`Seen`].
pub(crate) fn compile_seen(
    seen: Seen<'_>,
    options: &Options,
    progress: &ProgressBar,
) -> Result<Compiled, CompileError> {
    expect_labels(seen.network, options)?;
    let calibration = calibrate(seen, options.method == Method::Auto, options, progress)?;
    let ranges = calibration.ranges(seen.network, options);
    // Of the largest networks they take as much memory as a fifth of the artifact, and nobody reads them any more.
    let calibration = Calibration { channels: Vec::new(), ..calibration };
    compile_to(seen, &calibration, &ranges, options, &[], progress)
}

/// Compiles to `ranges` that follow from `calibration`, for `layers` by another method than that of the options.
pub(crate) fn compile_to(
    seen: Seen<'_>,
    calibration: &Calibration,
    ranges: &[Range],
    options: &Options,
    layers: &[(String, Method)],
    progress: &ProgressBar,
) -> Result<Compiled, CompileError> {
    let Seen { network, samples, .. } = seen;
    let mut quantized = quantize(network, ranges, &options.preprocessing)?;
    if options.techniques.correct_bias || options.techniques.round_together {
        refine(seen, &mut quantized, options, progress)?;
    }
    let sensitivity = if options.sensitivity {
        let images = images(samples, SENSITIVITY_SAMPLES, &options.preprocessing);
        sensitivity(network, &quantized, &options.preprocessing, &images, options.threads)?
    } else {
        Vec::new()
    };
    let percentile = match options.method {
        Method::Percentile(percentage) => Some(percentage),
        _ => None,
    };
    let data_free = seen.data_free();
    let basis = Basis {
        method: options.method.name(),
        percentile,
        techniques: options.techniques,
        data_free,
        layers: layers.to_vec(),
        calibrated: if data_free { 0 } else { calibration.calibrated },
        distinct: if data_free { 0 } else { calibration.distinct },
        skipped: calibration.skipped.clone(),
        seen: calibration.histograms.iter().map(Histogram::range).collect(),
        constant: calibration.histograms.iter().map(Histogram::constant).collect(),
        sensitivity,
    };
    finish(network, quantized, basis, Some(samples), options, progress)
}

/// As many names as logits are needed.
pub(crate) fn expect_labels(network: &Network, options: &Options) -> Result<(), CompileError> {
    match (network.topology.classes, options.classes.len()) {
        (logits, labels) if logits == labels => Ok(()),
        (logits, labels) => Err(CompileError::Labels { logits, labels }),
    }
}

/// Where the scales of a network come from.
#[derive(Default)]
pub(crate) struct Basis {
    /// The method, as the metadata name it.
    pub(crate) method: &'static str,
    /// Of the method of that name.
    pub(crate) percentile: Option<f64>,
    /// What was done beyond choosing ranges.
    pub(crate) techniques: Techniques,
    /// Whether no image was seen.
    pub(crate) data_free: bool,
    /// Layers whose output has its range by another method.
    pub(crate) layers: Vec<(String, Method)>,
    /// See [`Report::calibrated`].
    pub(crate) calibrated: usize,
    /// See [`Report::distinct`].
    pub(crate) distinct: usize,
    /// See [`Report::skipped`].
    pub(crate) skipped: Vec<SampleError>,
    /// See [`LayerReport::seen`], per value; empty if nothing was.
    pub(crate) seen: Vec<Range>,
    /// See [`LayerReport::constant`], per value; empty if nothing was seen.
    pub(crate) constant: Vec<Option<f64>>,
    /// See [`Report::sensitivity`].
    pub(crate) sensitivity: Vec<Sensitivity>,
}

/// Packs a quantized network and compares the artifact with fp32 on some of the `samples`.
pub(crate) fn finish(
    network: &Network,
    quantized: Quantized,
    mut basis: Basis,
    samples: Option<&Samples>,
    options: &Options,
    progress: &ProgressBar,
) -> Result<Compiled, CompileError> {
    let kept = options.keep_quantized.then(|| quantized.clone());
    let Quantized { activations, layers } = quantized;
    let parts = Parts {
        network,
        activations: &activations,
        plan: &plan(network),
        preprocessing: &options.preprocessing,
        classes: &options.classes,
    };
    let mut artifact = emit(&parts, layers);
    let fidelity = check(network, &artifact, samples, options, progress)?;
    let layers = network
        .steps()
        .zip(&fidelity.layers)
        .map(|((index, node), noise)| LayerReport {
            name: node.name.clone(),
            sqnr_db: noise.sqnr_db(),
            range: (network.has_range(index) || matches!(node.op, Op::MaxPool(_))).then(|| {
                let activation = activations[index + 1];
                Range { low: activation.dequantize(i8::MIN), high: activation.dequantize(i8::MAX) }
            }),
            seen: basis.seen.get(index + 1).copied(),
            constant: basis.constant.get(index + 1).copied().flatten(),
            method: network.has_range(index).then(|| {
                let own = basis.layers.iter().find(|(name, _)| *name == node.name);
                own.map_or(basis.method, |(_, method)| method.name())
            }),
        })
        .collect();
    let report = Report {
        calibrated: basis.calibrated,
        distinct: basis.distinct,
        skipped: std::mem::take(&mut basis.skipped),
        checked: fidelity.samples,
        agreement: fidelity.agreeing as f64 / fidelity.samples as f64,
        logit_sqnr_db: fidelity.layers.last().copied().unwrap_or_default().sqnr_db(),
        layers,
        sensitivity: std::mem::take(&mut basis.sensitivity),
    };
    set_metadata(&mut artifact, &metadata(network, options, &basis, &report));
    Ok(Compiled { artifact, report, quantized: kept })
}

/// What goes into the artifact for people to read. Nothing here depends on when or where it was made.
fn metadata(network: &Network, options: &Options, basis: &Basis, report: &Report) -> String {
    let round = |x: f64| (x * 1e4).round() / 1e4;
    let Basis { method, percentile, techniques, data_free, layers, .. } = basis;
    let mut metadata = json!({
        "tool": concat!("resnext ", env!("CARGO_PKG_VERSION")),
        "source": options.source,
        "name": network.name,
        "topology": {
            "depth": network.topology.depth(),
            "blocks": network.topology.blocks,
            "cardinality": network.topology.cardinality,
            "base_width": network.topology.base_width(),
            "classes": network.topology.classes,
        },
        "calibration": {
            "method": method,
            "percentile": percentile,
            "biases_corrected": techniques.correct_bias,
            "rounded_together": techniques.round_together,
            "samples": report.calibrated,
            "skipped": report.skipped.len(),
        },
        "fidelity": {
            "samples": report.checked,
            "agreement": round(report.agreement),
            "logit_sqnr_db": round(report.logit_sqnr_db),
        },
    });
    if *data_free {
        metadata["calibration"]["data_free"] = true.into();
    }
    if !layers.is_empty() {
        let layer = |(name, method): &(String, Method)| (name.clone(), method.to_string().into());
        let layers: Map<String, Value> = layers.iter().map(layer).collect();
        metadata["calibration"]["layers"] = layers.into();
    }
    if report.checked > 0 {
        metadata["layers"] = report.layers.iter().map(|layer| measured(layer, &report.sensitivity)).collect();
    }
    metadata.to_string()
}

/// What is known of a layer, for whoever evaluates the artifact without fp32 at hand.
fn measured(layer: &LayerReport, sensitivity: &[Sensitivity]) -> Value {
    let tenth = |db: f64| (db * 10.0).round() / 10.0;
    let mut entry = json!({ "name": layer.name, "sqnr_db": tenth(layer.sqnr_db) });
    if let Some(method) = layer.method {
        entry["method"] = method.into();
    }
    if let Some(found) = sensitivity.iter().find(|found| found.name == layer.name) {
        entry["alone_db"] = tenth(found.alone_db).into();
        entry["without_db"] = tenth(found.without_db).into();
    }
    entry
}

/// What the samples tell of the activations.
pub(crate) struct Calibration {
    /// Per value.
    pub(crate) histograms: Vec<Histogram>,
    /// Per value and channel, for the method that reads them; else empty.
    channels: Vec<Vec<ChannelHistogram>>,
    calibrated: usize,
    distinct: usize,
    skipped: Vec<SampleError>,
}

impl Calibration {
    /// The ranges that the method of `options` chooses for `network`, per value.
    pub(crate) fn ranges(&self, network: &Network, options: &Options) -> Vec<Range> {
        if options.method != Method::Auto {
            return self.histograms.iter().map(|histogram| options.method.range(histogram)).collect();
        }
        let gains = Gains::new(network, &self.channels);
        let harm = |(channels, gains): (&Vec<ChannelHistogram>, &Vec<f64>)| least_harm(channels, gains);
        self.channels.iter().zip(&gains.values).map(harm).collect()
    }
}

/// Observes the activations, those of single `channels` too if asked.
pub(crate) fn calibrate(
    seen: Seen<'_>,
    channels: bool,
    options: &Options,
    progress: &ProgressBar,
) -> Result<Calibration, CompileError> {
    let (network, samples) = (seen.observed(), seen.samples);
    progress.set_message("calibrating");
    let names = samples.iter().map(|sample| sample.name()).collect();
    let pass = Observe { network, names, channels };
    let streamed = stream(&pass, Some(network), options.input(samples, progress))?;
    let mut workers = streamed.workers.into_iter();
    let (mut histograms, mut channels) = workers.next().unwrap_or_else(|| pass.worker());
    for (more_histograms, more_channels) in workers {
        histograms.iter_mut().zip(&more_histograms).for_each(|(sum, histogram)| sum.merge(histogram));
        let more = more_channels.iter().flatten();
        channels.iter_mut().flatten().zip(more).for_each(|(sum, histogram)| sum.merge(histogram));
    }
    let (mut pictures, mut skipped) = (HashSet::new(), Vec::new());
    for result in streamed.results {
        match result {
            Ok(checksum) => drop(pictures.insert(checksum)),
            Err(error) => skipped.push(error),
        }
    }
    let (calibrated, distinct) = (samples.len() - skipped.len(), pictures.len());
    if calibrated == 0 {
        let found = skipped.len();
        let reason = "the sample list is empty".to_owned();
        let none = SampleError { name: "no sample".to_owned(), reason };
        let first = if skipped.is_empty() { none } else { skipped.swap_remove(0) };
        return Err(CompileError::NoSamples { found, first });
    }
    Ok(Calibration { histograms, channels, calibrated, distinct, skipped })
}

/// Gathers the histogram of every value, and tells pictures apart.
struct Observe<'a> {
    network: &'a Network,
    /// Per sample.
    names: Vec<&'a str>,
    /// Whether to gather those of channels, too.
    channels: bool,
}

impl Pass for Observe<'_> {
    /// Per value. The image's stays empty: pixels are exact.
    type Worker = (Vec<Histogram>, Vec<Vec<ChannelHistogram>>);
    /// Its index and checksum.
    type Photo = (usize, u64);
    /// Its checksum.
    type Output = u64;
    type Error = CompileError;

    const EVERY_VALUE: bool = true;

    fn photo_bytes(&self) -> usize {
        0
    }

    fn worker(&self) -> Self::Worker {
        let nodes = &self.network.nodes;
        let channels = nodes.iter().map(|node| vec![ChannelHistogram::default(); node.output.channels]);
        let channels = std::iter::once(Vec::new()).chain(channels).filter(|_| self.channels);
        (vec![Histogram::default(); nodes.len() + 1], channels.collect())
    }

    fn begin(&self, index: usize, pixels: &[u8]) -> Result<(usize, u64), CompileError> {
        Ok((index, pixel_checksum(pixels)))
    }

    fn value(
        &self,
        (histograms, channels): &mut Self::Worker,
        (photo, _): &mut (usize, u64),
        node: usize,
        values: &[f32],
    ) -> Result<(), CompileError> {
        let histogram = &mut histograms[node + 1];
        histogram.observe(values);
        if histogram.not_finite() > 0 {
            let (layer, sample) = (self.network.nodes[node].name.clone(), self.names[*photo].to_owned());
            return Err(CompileError::NotFinite { layer, sample });
        }
        let Some(channels) = channels.get_mut(node + 1) else { return Ok(()) };
        let pixels = values.len() / channels.len();
        channels
            .iter_mut()
            .zip(values.chunks_exact(pixels))
            .for_each(|(channel, plane)| channel.observe(plane));
        Ok(())
    }

    fn end(&self, (_, checksum): (usize, u64)) -> u64 {
        checksum
    }
}

/// Quantizes the weights again, with what the samples tell of their inputs.
fn refine(
    seen: Seen<'_>,
    quantized: &mut Quantized,
    options: &Options,
    progress: &ProgressBar,
) -> Result<(), CompileError> {
    let Seen { network, samples, .. } = seen;
    let observed = seen.observed();
    progress.set_message("rounding");
    // What a layer reads does not depend on the weights of others, so it does not matter when they are fitted.
    let products = options.techniques.round_together;
    for nodes in batches(network, if products { AT_ONCE } else { usize::MAX }) {
        let (activations, preprocessing) = (&quantized.activations, &options.preprocessing);
        let gather = Gather::new(observed, nodes, activations, preprocessing, samples.len(), products);
        stream(&gather, Some(observed), options.input(samples, progress))?;
        let refined = refine_nodes(network, quantized, gather.finish(), options)?;
        refined.into_iter().for_each(|(index, layer)| quantized.layers[index] = layer);
    }
    Ok(())
}

/// Layers of the nodes that have `moments`.
fn refine_nodes(
    network: &Network,
    quantized: &Quantized,
    moments: Vec<Option<Moments>>,
    options: &Options,
) -> Result<Vec<(usize, Layer)>, QuantizeError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(moments) = moments.get(index) else { return Ok(done) };
            let Some(moments) = moments else { continue };
            let (activations, preprocessing) = (&quantized.activations, &options.preprocessing);
            done.push((index, requantize_node(network, index, activations, preprocessing, moments)?));
        }
    };
    let work = &work;
    let done = thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<Vec<_>, QuantizeError>>()
    })?;
    Ok(done.into_iter().flatten().collect())
}

/// A few samples, normalised, for experiments; those that cannot be decoded are left out.
pub(crate) fn images(samples: &Samples, count: usize, preprocessing: &Preprocessing) -> Vec<Vec<f32>> {
    let pixels = |sample: &Sample| preprocessing.crop(&sample.decode().ok()?).ok();
    let few = samples.take_spread(count);
    few.iter().filter_map(pixels).map(|pixels| preprocessing.normalize(&pixels)).collect()
}

/// Noise of every layer and agreement of the classes.
struct Fidelity {
    samples: usize,
    agreeing: usize,
    /// Per step.
    layers: Vec<Noise>,
}

fn check(
    network: &Network,
    artifact: &[u8],
    samples: Option<&Samples>,
    options: &Options,
    progress: &ProgressBar,
) -> Result<Fidelity, CompileError> {
    let model = Model::from_bytes(artifact)?;
    let mut fidelity =
        Fidelity { samples: 0, agreeing: 0, layers: vec![Noise::default(); model.step_count()] };
    let Some(samples) = samples else { return Ok(fidelity) };
    let samples = samples.take_spread(CHECKED_SAMPLES);
    progress.set_message("comparing");
    let pass = Compare::new(model, network);
    let streamed = stream(&pass, Some(network), options.input(&samples, progress))?;
    // In the order of the samples, so that the sums are the same however many threads there were.
    for (agrees, layers) in streamed.results.into_iter().flatten() {
        fidelity.samples += 1;
        fidelity.agreeing += usize::from(agrees);
        fidelity.layers.iter_mut().zip(layers).for_each(|(sum, noise)| *sum += noise);
    }
    Ok(fidelity)
}

/// Runs int8 beside fp32, step by node, and compares what they compute.
pub(crate) struct Compare<'a> {
    model: Model<'a>,
    /// Per node, its step; `None` if it is joined into a later one.
    pub(crate) steps: Vec<Option<usize>>,
}

impl<'a> Compare<'a> {
    /// For the `network` that `model` was compiled from, or that it was before another tool quantized it: which shortcuts are
    /// joined may differ, so it is the names that tell which step a node is.
    pub(crate) fn new(model: Model<'a>, network: &Network) -> Self {
        let step = |node: &Node| model.steps().position(|step| step.name == node.name);
        Self { model, steps: network.nodes.iter().map(step).collect() }
    }
}

/// A photo on its way through both networks.
pub(crate) struct Pair {
    arena: Vec<u8>,
    agrees: bool,
    /// Steps that have run.
    done: usize,
    /// Per step.
    noise: Vec<Noise>,
}

impl Pass for Compare<'_> {
    type Worker = ();
    type Photo = Pair;
    /// Whether the classes agree, and the noise per step.
    type Output = (bool, Vec<Noise>);
    type Error = CompileError;

    const EVERY_VALUE: bool = true;

    fn photo_bytes(&self) -> usize {
        self.model.arena_len()
    }

    fn worker(&self) {}

    fn begin(&self, _: usize, pixels: &[u8]) -> Result<Pair, CompileError> {
        let mut arena = vec![0; self.model.arena_len()];
        Runner::new(&self.model, &mut arena)?.load_pixels(pixels)?;
        let noise = vec![Noise::default(); self.model.step_count()];
        Ok(Pair { arena, agrees: false, done: 0, noise })
    }

    fn value(&self, (): &mut (), photo: &mut Pair, node: usize, values: &[f32]) -> Result<(), CompileError> {
        let Some(step) = self.steps[node].filter(|&step| step >= photo.done) else { return Ok(()) };
        let mut logits = vec![0.0; self.model.class_count()];
        let mut noise = Against { original: values, noise: None };
        // Steps that are no node's are run with the next one that is.
        let steps = photo.done..step + 1;
        photo.done = steps.end;
        Runner::new(&self.model, &mut photo.arena)?.infer_steps(steps, &mut logits, &mut noise)?;
        photo.noise[step] = noise.noise.unwrap_or_else(|| {
            photo.agrees = argmax(&logits) == argmax(values);
            Noise::of_slices(&logits, values)
        });
        Ok(())
    }

    fn end(&self, photo: Pair) -> (bool, Vec<Noise>) {
        (photo.agrees, photo.noise)
    }
}

/// Compares an int8 tensor with its fp32 original as it is made.
struct Against<'a> {
    original: &'a [f32],
    /// `None` after the classifier, which has no tensor.
    noise: Option<Noise>,
}

impl Probe for Against<'_> {
    fn after(&mut self, _: usize, step: &Step<'_>, output: Option<(&Tensor, &[i8])>) {
        self.noise = output.map(|(tensor, data)| match step.op {
            resnext::Op::GlobalAvgPool(_) => Noise::of_digits(tensor, data, self.original),
            _ => Noise::of_tensor(tensor, data, self.original),
        });
    }
}
