//! The offline step: calibrate, quantize, plan, emit, and check the result against fp32.

use crate::emit::{ClassName, Parts, emit};
use crate::fan_out::fan_out;
use crate::fidelity::{Noise, argmax};
use crate::fp32::{Fp32Error, Fp32Model};
use crate::network::{Network, ValueId};
use crate::observe::{Histogram, Method, Range};
use crate::plan::plan;
use crate::preprocessing::Preprocessing;
use crate::quantize::{QuantizeError, quantize};
use crate::samples::{SampleError, Samples};
use indicatif::ProgressBar;
use resnext::{LoadError, Model, Probe, RunError, Runner, Step, Tensor};
use serde_json::json;

/// Samples on which the artifact is compared with fp32 before it is written.
const CHECKED_SAMPLES: usize = 64;

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// How ranges are chosen.
    pub method: Method,
    /// From photo to input.
    pub preprocessing: Preprocessing,
    /// One per logit.
    pub classes: Vec<ClassName>,
    /// Where the fp32 weights came from, for the metadata: a file name or variant.
    pub source: String,
    /// Threads of the calibration.
    pub threads: usize,
}

/// A compiled model and what is known of it.
#[derive(Debug)]
pub struct Compiled {
    /// The bytes of the `.rnx` file.
    pub artifact: Vec<u8>,
    /// What happened.
    pub report: Report,
}

/// What compiling found out.
#[derive(Debug)]
pub struct Report {
    /// Samples that calibrated the ranges.
    pub calibrated: usize,
    /// Samples that could not be decoded.
    pub skipped: Vec<SampleError>,
    /// Samples on which int8 was compared with fp32.
    pub checked: usize,
    /// Share of those on which both name the same class.
    pub agreement: f64,
    /// Signal to quantization noise ratio of the logits, dB.
    pub logit_sqnr_db: f64,
    /// Per layer, in execution order.
    pub layers: Vec<LayerReport>,
}

/// One layer of a [`Report`].
#[derive(Clone, Debug)]
pub struct LayerReport {
    /// Name of the layer.
    pub name: String,
    /// Signal to quantization noise ratio of its output, dB, all errors of earlier layers included.
    pub sqnr_db: f64,
    /// Range that int8 covers; `None` for the logits.
    pub range: Option<Range>,
    /// Range seen in calibration.
    pub seen: Range,
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
    #[error("layer {layer} gives NaN or infinity on sample {sample}; the weights are broken")]
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
/// `progress` is given a length and a message for each of the two passes over the samples.
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
    let (logits, labels) = (network.topology.classes, options.classes.len());
    if logits != labels {
        return Err(CompileError::Labels { logits, labels });
    }
    let Calibration { histograms, calibrated, skipped } = calibrate(network, samples, options, progress)?;
    let ranges: Vec<Range> = histograms.iter().map(|histogram| options.method.range(histogram)).collect();
    let quantized = quantize(network, &ranges, &options.preprocessing)?;
    let plan = plan(network);
    let mut parts = Parts {
        network,
        quantized: &quantized,
        plan: &plan,
        preprocessing: &options.preprocessing,
        classes: &options.classes,
        metadata: "{}",
    };

    let unchecked = emit(&parts);
    let fidelity = check(network, &unchecked, samples, options, progress)?;
    let layers = network
        .nodes
        .iter()
        .zip(&fidelity.layers)
        .enumerate()
        .map(|(index, (node, noise))| LayerReport {
            name: node.name.clone(),
            sqnr_db: noise.sqnr_db(),
            range: (index + 1 < network.nodes.len()).then(|| {
                let activation = quantized.activations[index + 1];
                Range { low: activation.dequantize(i8::MIN), high: activation.dequantize(i8::MAX) }
            }),
            seen: histograms[index + 1].range(),
        })
        .collect();
    let report = Report {
        calibrated,
        skipped,
        checked: fidelity.samples,
        agreement: fidelity.agreeing as f64 / fidelity.samples.max(1) as f64,
        logit_sqnr_db: fidelity.layers.last().copied().unwrap_or_default().sqnr_db(),
        layers,
    };
    let metadata = metadata(network, options, &report);
    parts.metadata = &metadata;
    Ok(Compiled { artifact: emit(&parts), report })
}

/// What goes into the artifact for people to read. Nothing here depends on when or where it was made.
fn metadata(network: &Network, options: &Options, report: &Report) -> String {
    let round = |x: f64| (x * 1e4).round() / 1e4;
    let percentile = match options.method {
        Method::Percentile(percentage) => Some(percentage),
        Method::Max => None,
    };
    json!({
        "tool": concat!("resnext ", env!("CARGO_PKG_VERSION")),
        "source": options.source,
        "name": network.name,
        "topology": {
            "depth": network.topology.depth(),
            "blocks": network.topology.blocks,
            "cardinality": network.topology.cardinality,
            "base_width": network.topology.base_width,
            "classes": network.topology.classes,
        },
        "calibration": {
            "method": options.method.name(),
            "percentile": percentile,
            "samples": report.calibrated,
            "skipped": report.skipped.len(),
        },
        "fidelity": {
            "samples": report.checked,
            "agreement": round(report.agreement),
            "logit_sqnr_db": round(report.logit_sqnr_db),
        },
    })
    .to_string()
}

struct Calibration {
    /// Per value.
    histograms: Vec<Histogram>,
    calibrated: usize,
    skipped: Vec<SampleError>,
}

fn calibrate(
    network: &Network,
    samples: &Samples,
    options: &Options,
    progress: &ProgressBar,
) -> Result<Calibration, CompileError> {
    // The image needs no range: pixels are exact.
    let taps: Vec<ValueId> = (1..=network.nodes.len()).map(ValueId).collect();
    progress.reset();
    progress.set_length(samples.len() as u64);
    progress.set_message("calibrating");
    let names: Vec<&str> = samples.iter().map(|sample| sample.name()).collect();
    let fanned = fan_out(
        samples,
        &options.preprocessing,
        options.threads,
        progress,
        || Ok((Fp32Model::new(network, &taps)?, vec![Histogram::default(); taps.len() + 1])),
        |(model, histograms), index, pixels| {
            let outputs = model.run(&options.preprocessing.normalize(pixels))?;
            for (tap, histogram) in histograms[1..].iter_mut().enumerate() {
                histogram.observe(outputs.tap(tap).0);
                if histogram.not_finite() > 0 {
                    let (layer, sample) = (network.nodes[tap].name.clone(), names[index].to_owned());
                    return Err(CompileError::NotFinite { layer, sample });
                }
            }
            Ok(())
        },
        |(_, histograms)| histograms,
    )?;
    let mut histograms = vec![Histogram::default(); taps.len() + 1];
    for worker in &fanned.workers {
        histograms.iter_mut().zip(worker).for_each(|(sum, histogram)| sum.merge(histogram));
    }
    let mut skipped: Vec<SampleError> = fanned.results.into_iter().filter_map(Result::err).collect();
    let calibrated = samples.len() - skipped.len();
    if calibrated == 0 {
        let found = skipped.len();
        let reason = "the sample list is empty".to_owned();
        let none = SampleError { name: "no sample".to_owned(), reason };
        let first = if skipped.is_empty() { none } else { skipped.swap_remove(0) };
        return Err(CompileError::NoSamples { found, first });
    }
    Ok(Calibration { histograms, calibrated, skipped })
}

/// Noise of every layer and agreement of the classes.
struct Fidelity {
    samples: usize,
    agreeing: usize,
    /// Per node.
    layers: Vec<Noise>,
}

fn check(
    network: &Network,
    artifact: &[u8],
    samples: &Samples,
    options: &Options,
    progress: &ProgressBar,
) -> Result<Fidelity, CompileError> {
    let samples = samples.take_spread(CHECKED_SAMPLES);
    let model = Model::from_bytes(artifact)?;
    let taps: Vec<ValueId> = (1..=network.nodes.len()).map(ValueId).collect();
    progress.reset();
    progress.set_length(samples.len() as u64);
    progress.set_message("comparing");
    let fanned = fan_out(
        &samples,
        &options.preprocessing,
        options.threads,
        progress,
        || Ok((Fp32Model::new(network, &taps)?, vec![0; model.arena_len()])),
        |(fp32, arena), _, pixels| -> Result<_, CompileError> {
            let outputs = fp32.run(&options.preprocessing.normalize(pixels))?;
            let mut logits = vec![0.0; model.class_count()];
            let mut tracer = Tracer { layers: Vec::new(), original: &|index| outputs.tap(index).0 };
            let mut runner = Runner::new(&model, arena)?;
            runner.load_pixels(pixels)?;
            runner.infer(&mut logits, &mut tracer)?;
            let mut layers = tracer.layers;
            layers.push(Noise::of_slices(&logits, outputs.logits()));
            Ok((argmax(&logits) == argmax(outputs.logits()), layers))
        },
        drop,
    )?;
    let mut fidelity =
        Fidelity { samples: 0, agreeing: 0, layers: vec![Noise::default(); network.nodes.len()] };
    // In the order of the samples, so that the sums are the same however many threads there were.
    for (agrees, layers) in fanned.results.into_iter().flatten() {
        fidelity.samples += 1;
        fidelity.agreeing += usize::from(agrees);
        fidelity.layers.iter_mut().zip(layers).for_each(|(sum, noise)| *sum += noise);
    }
    Ok(fidelity)
}

/// Compares every int8 tensor with its fp32 original as it is made.
struct Tracer<'a> {
    layers: Vec<Noise>,
    original: &'a dyn Fn(usize) -> &'a [f32],
}

impl Probe for Tracer<'_> {
    fn after(&mut self, index: usize, _: &Step<'_>, output: Option<(&Tensor, &[i8])>) {
        if let Some((tensor, data)) = output {
            self.layers.push(Noise::of_tensor(tensor, data, (self.original)(index)));
        }
    }
}
