//! The offline step: calibrate, quantize, plan, emit, and check the result against fp32.

use crate::emit::{ClassName, Parts, emit, set_metadata};
use crate::fidelity::{Noise, argmax};
use crate::fp32::Fp32Error;
use crate::moments::Gather;
use crate::network::{Network, Op};
use crate::equalize::equalize;
use crate::gains::Gains;
use crate::observe::{ChannelHistogram, Histogram, Method, Range, least_harm};
use crate::plan::plan;
use crate::preprocessing::Preprocessing;
use crate::quantize::{Activation, Known, QuantizeError, Quantized, quantize, requantize_node};
use crate::samples::{SampleError, Samples};
use crate::stream::{Budget, Input, Pass, stream};
use indicatif::ProgressBar;
use resnext::{LoadError, Model, Probe, RunError, Runner, Step, Tensor};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Samples on which the artifact is compared with fp32 before it is written.
const CHECKED_SAMPLES: usize = 64;

/// Samples that channels are equalized on: their scales need no tails.
const EQUALIZED_SAMPLES: usize = 128;

/// What is done beyond choosing ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Techniques {
    /// Give every channel its share of the levels: [`equalize`].
    pub equalize: bool,
    /// Move biases so that every channel keeps its mean.
    pub correct_bias: bool,
    /// Round the weights of a row together.
    pub round_together: bool,
    /// Then take single steps.
    pub descend: bool,
}

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// How ranges are chosen.
    pub method: Method,
    /// What is done beyond that.
    pub techniques: Techniques,
    /// From photo to input.
    pub preprocessing: Preprocessing,
    /// One per logit.
    pub classes: Vec<ClassName>,
    /// Where the fp32 weights came from, for the metadata: a file name or variant.
    pub source: String,
    /// Threads of the calibration.
    pub threads: usize,
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
/// `progress` is given a length and a message for each of the two passes over the samples. Memory does not grow with
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
    let (logits, labels) = (network.topology.classes, options.classes.len());
    if logits != labels {
        return Err(CompileError::Labels { logits, labels });
    }
    let mut equalized;
    let network = if options.techniques.equalize {
        equalized = network.clone();
        let few = samples.take_spread(EQUALIZED_SAMPLES);
        let powers = equalize(&mut equalized, &calibrate(network, &few, options, progress)?.channels);
        if std::env::var_os("EQ_DEBUG").is_some() { eprintln!("{powers:?}"); }
        &equalized
    } else {
        network
    };
    let Calibration { histograms, channels, calibrated, skipped } = calibrate(network, samples, options, progress)?;
    if std::env::var_os("EQ_DEBUG").is_some() {
        let gains = Gains::new(network, &channels);
        let (mut ta, mut tw) = (0.0, 0.0);
        for (i, node) in network.nodes.iter().enumerate() {
            let px = (node.output.height * node.output.width) as f64;
            let spread = crate::observe::Spread::new(&channels[i + 1], &gains.values[i + 1], None);
            let range = Method::Percentile(99.999).range(&histograms[i + 1]);
            let f = px / channels[i+1][0].len();
            let (w, taps, groups) = match &node.op { crate::network::Op::Conv(c) => (c.weight.read(), c.window.kernel.pow(2), c.groups), crate::network::Op::Linear(l) => (l.weight.read(), 1, 1), _ => (vec![], 1, 1) };
            let mut wn = 0.0;
            if node.input.0 > 0 && !w.is_empty() {
                let o = node.output.channels; let per = w.len() / o; let pg = per / taps; 
                let p: Vec<f64> = channels[node.input.0].iter().map(|c| c.mean_square() * taps as f64).collect();
                for k in 0..o { let row = &w[k*per..][..per]; let step = f64::from(row.iter().fold(0f32, |m, v| m.max(v.abs()))) / 127.0;
                  let first = k / (o / groups) * pg;
                  wn += gains.sums[i][k] * px * step * step / 12.0 * p[first..first+pg].iter().sum::<f64>(); }
            }
            let a = spread.error(range) * f; let b = spread.best(64).1 * f;
            if i + 1 < network.nodes.len() && !matches!(node.op, crate::network::Op::MaxPool(_)) { ta += a; }
            tw += wn;
            eprintln!("{:22} act {a:.3e} best {b:.3e} weight {wn:.3e}", node.name);
        }
        eprintln!("total act {ta:.3e} weight {tw:.3e}");
    }
    let ranges: Vec<Range> = if options.method == Method::Auto {
        let gains = Gains::new(network, &channels);
        channels.iter().zip(&gains.values).map(|(channels, gains)| least_harm(channels, gains)).collect()
    } else {
        histograms.iter().map(|histogram| options.method.range(histogram)).collect()
    };
    let mut quantized = quantize(network, &ranges, &options.preprocessing)?;
    if options.techniques.correct_bias || options.techniques.round_together {
        refine(network, &mut quantized, samples, options, progress)?;
    }
    if std::env::var_os("SENS").is_some() { sens(network, &quantized, samples, options, &channels); }
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
        .nodes
        .iter()
        .zip(&fidelity.layers)
        .enumerate()
        .map(|(index, (node, noise))| LayerReport {
            name: node.name.clone(),
            sqnr_db: noise.sqnr_db(),
            range: (index + 1 < network.nodes.len()).then(|| {
                let activation = activations[index + 1];
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
    set_metadata(&mut artifact, &metadata(network, options, &report));
    Ok(Compiled { artifact, report })
}

/// What goes into the artifact for people to read. Nothing here depends on when or where it was made.
fn metadata(network: &Network, options: &Options, report: &Report) -> String {
    let round = |x: f64| (x * 1e4).round() / 1e4;
    let percentile = match options.method {
        Method::Percentile(percentage) => Some(percentage),
        _ => None,
    };
    json!({
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
    /// Per value and channel.
    channels: Vec<Vec<ChannelHistogram>>,
    calibrated: usize,
    skipped: Vec<SampleError>,
}

fn calibrate(
    network: &Network,
    samples: &Samples,
    options: &Options,
    progress: &ProgressBar,
) -> Result<Calibration, CompileError> {
    progress.set_message("calibrating");
    let names = samples.iter().map(|sample| sample.name()).collect();
    let pass = Observe { network, names };
    let streamed = stream(&pass, Some(network), options.input(samples, progress))?;
    let (mut histograms, mut channels) = pass.worker();
    for (more_histograms, more_channels) in &streamed.workers {
        histograms.iter_mut().zip(more_histograms).for_each(|(sum, histogram)| sum.merge(histogram));
        let more = more_channels.iter().flatten();
        channels.iter_mut().flatten().zip(more).for_each(|(sum, histogram)| sum.merge(histogram));
    }
    let mut skipped: Vec<SampleError> = streamed.results.into_iter().filter_map(Result::err).collect();
    let calibrated = samples.len() - skipped.len();
    if calibrated == 0 {
        let found = skipped.len();
        let reason = "the sample list is empty".to_owned();
        let none = SampleError { name: "no sample".to_owned(), reason };
        let first = if skipped.is_empty() { none } else { skipped.swap_remove(0) };
        return Err(CompileError::NoSamples { found, first });
    }
    Ok(Calibration { histograms, channels, calibrated, skipped })
}

/// Gathers the histogram of every value.
struct Observe<'a> {
    network: &'a Network,
    /// Per sample.
    names: Vec<&'a str>,
}

impl Pass for Observe<'_> {
    /// Per value. The image's stays empty: pixels are exact.
    type Worker = (Vec<Histogram>, Vec<Vec<ChannelHistogram>>);
    /// Its index.
    type Photo = usize;
    type Output = ();
    type Error = CompileError;

    const EVERY_VALUE: bool = true;

    fn photo_bytes(&self) -> usize {
        0
    }

    fn worker(&self) -> Self::Worker {
        let nodes = &self.network.nodes;
        let channels = nodes.iter().map(|node| vec![ChannelHistogram::default(); node.output.channels]);
        (vec![Histogram::default(); nodes.len() + 1], std::iter::once(Vec::new()).chain(channels).collect())
    }

    fn begin(&self, index: usize, _: &[u8]) -> Result<usize, CompileError> {
        Ok(index)
    }

    fn value(
        &self,
        (histograms, channels): &mut Self::Worker,
        photo: &mut usize,
        node: usize,
        values: &[f32],
    ) -> Result<(), CompileError> {
        let histogram = &mut histograms[node + 1];
        histogram.observe(values);
        if histogram.not_finite() > 0 {
            let (layer, sample) = (self.network.nodes[node].name.clone(), self.names[*photo].to_owned());
            return Err(CompileError::NotFinite { layer, sample });
        }
        let channels = &mut channels[node + 1];
        let pixels = values.len() / channels.len();
        channels.iter_mut().zip(values.chunks_exact(pixels)).for_each(|(channel, plane)| channel.observe(plane));
        Ok(())
    }

    fn end(&self, _: usize) {}
}

/// Quantizes the weights again, with what the samples tell of their inputs.
fn refine(
    network: &Network,
    quantized: &mut Quantized,
    samples: &Samples,
    options: &Options,
    progress: &ProgressBar,
) -> Result<(), CompileError> {
    progress.set_message("rounding");
    let Techniques { round_together, descend, .. } = options.techniques;
    let gather = Gather::new(network, &quantized.activations, &options.preprocessing, samples.len(), round_together);
    stream(&gather, Some(network), options.input(samples, progress))?;
    let gathered = gather.finish();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(node) = network.nodes.get(index) else { return Ok(done) };
            let Some(moments) = &gathered.nodes[index] else { continue };
            let residual = match &node.op {
                Op::Conv(conv) => conv.residual.and_then(|value| gathered.residuals[value.0].as_deref()),
                _ => None,
            };
            let known = Known { moments, residual, descend };
            done.push((index, requantize_node(network, index, &quantized.activations, &options.preprocessing, &known)?));
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
    done.into_iter().flatten().for_each(|(index, layer)| quantized.layers[index] = layer);
    Ok(())
}

fn sens(network: &Network, quantized: &Quantized, samples: &Samples, options: &Options, channels: &[Vec<ChannelHistogram>]) {
    use crate::fp32::Fp32Model; use crate::emulate::with_rounded_weights;
    let pre = &options.preprocessing;
    let images: Vec<Vec<f32>> = samples.take_spread(24).iter().map(|s| pre.normalize(&pre.crop(&s.decode().unwrap()).unwrap())).collect();
    let run = |n: &Network, r: &[Option<Activation>]| -> Vec<Vec<f32>> {
        let model = Fp32Model::rounded(n, r, &[]).unwrap();
        let (a, b) = images.split_at(12);
        std::thread::scope(|s| {
            let h: Vec<_> = [a, b].into_iter().map(|part| { let mut model = model.clone(); s.spawn(move || part.iter().map(|i| model.run(i).unwrap().result().to_vec()).collect::<Vec<_>>()) }).collect();
            h.into_iter().flat_map(|h| h.join().unwrap()).collect()
        })
    };
    let n = network.nodes.len();
    let all: Vec<Option<Activation>> = (0..=n).map(|v| (v > 0 && v < n && !matches!(network.nodes[v-1].op, crate::network::Op::MaxPool(_))).then(|| quantized.activations[v])).collect();
    let none = vec![None; n + 1];
    let base = run(network, &none);
    let noise = |out: Vec<Vec<f32>>| { let mut s = Noise::default(); for (a, b) in out.iter().zip(&base) { s += Noise::of_slices(a, b); }
        let mut mean = [0.0f64; 10]; for (a, b) in out.iter().zip(&base) { for k in 0..10 { mean[k] += f64::from(a[k] - b[k]) / base.len() as f64; } }
        let m2: f64 = mean.iter().map(|m| m * m).sum(); format!("{:.3e} ({:.1} dB; of it mean {:.2e})", s.noise / base.len() as f64, s.sqnr_db(), m2) };
    let w = with_rounded_weights(network, quantized, pre, |_| true);
    eprintln!("both     {}", noise(run(&w, &all)));
    eprintln!("weights  {}", noise(run(&w, &none)));
    eprintln!("activat  {}", noise(run(network, &all)));
    let gains = Gains::new(network, channels);
    for v in 1..n {
        let wn = if matches!(network.nodes[v-1].op, crate::network::Op::Conv(_)) { noise(run(&with_rounded_weights(network, quantized, pre, |i| i + 1 == v), &none)) } else { String::new() };
        let an = all[v].map(|a| { let mut r = none.clone(); r[v] = Some(a);
            let px = (network.nodes[v-1].output.height * network.nodes[v-1].output.width) as f64;
            let spread = crate::observe::Spread::new(&channels[v], &gains.values[v], None);
            let range = Range { low: a.dequantize(i8::MIN), high: a.dequantize(i8::MAX) };
            format!("{} predicted {:.3e}", noise(run(network, &r)), spread.error(range) * px / channels[v][0].len()) });
        eprintln!("{:22} act {} weight {wn}", network.nodes[v-1].name, an.unwrap_or_default());
    }
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
    progress.set_message("comparing");
    let pass = Compare { model };
    let streamed = stream(&pass, Some(network), options.input(&samples, progress))?;
    let mut fidelity =
        Fidelity { samples: 0, agreeing: 0, layers: vec![Noise::default(); network.nodes.len()] };
    // In the order of the samples, so that the sums are the same however many threads there were.
    for (agrees, layers) in streamed.results.into_iter().flatten() {
        fidelity.samples += 1;
        fidelity.agreeing += usize::from(agrees);
        fidelity.layers.iter_mut().zip(layers).for_each(|(sum, noise)| *sum += noise);
    }
    Ok(fidelity)
}

/// Runs int8 beside fp32, step by node, and compares what they compute.
struct Compare<'a> {
    model: Model<'a>,
}

/// A photo on its way through both networks.
struct Pair {
    arena: Vec<u8>,
    agrees: bool,
    /// Per node.
    noise: Vec<Noise>,
}

impl Pass for Compare<'_> {
    type Worker = ();
    type Photo = Pair;
    /// Whether the classes agree, and the noise per node.
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
        Ok(Pair { arena, agrees: false, noise: Vec::new() })
    }

    fn value(&self, (): &mut (), photo: &mut Pair, node: usize, values: &[f32]) -> Result<(), CompileError> {
        let mut logits = vec![0.0; self.model.class_count()];
        let mut noise = Against { original: values, noise: None };
        Runner::new(&self.model, &mut photo.arena)?.infer_steps(node..node + 1, &mut logits, &mut noise)?;
        photo.noise.push(noise.noise.unwrap_or_else(|| {
            photo.agrees = argmax(&logits) == argmax(values);
            Noise::of_slices(&logits, values)
        }));
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
    fn after(&mut self, _: usize, _: &Step<'_>, output: Option<(&Tensor, &[i8])>) {
        self.noise = output.map(|(tensor, data)| Noise::of_tensor(tensor, data, self.original));
    }
}
