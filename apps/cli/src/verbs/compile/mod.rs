//! `resnext compile`: from an fp32 network to an int8 model.

mod max_drop;
mod warnings;

use crate::error::Error;
use crate::files::write::{check_distinct, check_writable, write_atomically};
use crate::machine::cpus::CpuList;
use crate::offline::arch::{self, Arch};
use crate::offline::layers;
use crate::offline::network;
use crate::offline::onnx;
use crate::session::latency::{self, Runs};
use crate::session::samples;
use crate::terminal::output::{self, Column, Facts, Table, size, terminal_width};
use clap::ValueEnum;
use max_drop::{Limit, Met};
use resnext::Kernels;
use resnext::pack::{Packing, repack};
use resnext::preprocess::Interpolation;
use resnext::{LoadError, Model};
use resnext_calibration::compile::{Compiled, LayerReport, Options, Techniques, compile};
use resnext_calibration::data_free;
use resnext_calibration::emit::set_metadata;
use resnext_calibration::export::OnnxFile;
use resnext_calibration::given::{self, Kept};
use resnext_calibration::observe::{Method, Range};
use resnext_report::Latency;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::path::PathBuf;
use warnings::doubts;

/// Calibrate an fp32 ResNeXt on sample images and write it as an int8 model.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
MODEL is a checkpoint as torchvision, timm, mmcls or PaddleClas publish it (.pth, .pt, .safetensors, .pdparams),
or an ONNX file (opset 11 or later). A few hundred photos like those the model will see are enough; labels are
not needed. The preprocessing goes into the model: of the variant named by --arch (`resnext zoo` lists them), or
else torchvision's for the model's input size.

Without images, --data-free goes by the network's batch norms. That costs little accuracy, but checkpoints have them
and most ONNX files do not.

An ONNX file that is quantized already, in the QDQ format (onnxruntime's quantize_static), needs no samples: its
scales are kept. With --qdq the result is written in that format as well, for onnxruntime, OpenVINO and others.

Classes are named after --labels (one a line, or identifier TAB label), ImageNet-1k if there are 1000, or the
sample folders in sorted order if their number fits.

Examples:
  resnext compile resnext50.onnx --samples imagenet/val --num 512 -o resnext50.rnx
  resnext compile resnext50.pth --arch torchvision/resnext50_32x4d --samples photos -o model.rnx
  resnext compile custom.onnx --samples photos --labels names.txt -o custom.rnx
  resnext compile resnext50.onnx --samples photos -o resnext50.rnx --qdq resnext50-int8.onnx
  resnext compile resnext50.pth --data-free -o model.rnx
  resnext compile resnext50.onnx --samples photos --max-drop 0.1 --data imagenet/val -o resnext50.rnx
  resnext compile quantized.onnx -o quantized.rnx

JSON: {output, bytes, qdq, samples, skipped, method, data_free, kept, agreement, logit_sqnr_db, layers: [{name, sqnr_db,
method, range: {int8, seen}}], sensitivity: [{name, alone_db, without_db}], max_drop: {limit_pp, attempts: [{method,
effort, layers, images, drop_top1_pp, drop_top1_pp_ci95, agreement}], held_out}, latency: [{network, threads, runs, ms:
{p50, p90, p99, min}}], warnings: [TEXT]}; of a quantized file, kept is {activations, of_activations, weights,
of_weights, changed: [{layer, why}]}.")]
pub(crate) struct Args {
    /// Network: fp32 checkpoint or ONNX file, or ONNX file quantized in the QDQ format
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Directory of JPEG or PNG photos to calibrate on, searched recursively; a quantized network is only compared on
    /// them
    #[arg(long, value_name = "DIR")]
    samples: Option<PathBuf>,

    /// Calibrate without images, from what the network's batch norms tell of those that it was trained on, and 32
    /// drawings; fewer, down to 4, where the activations of 32 would take more than 256 MB
    #[arg(long, conflicts_with_all = ["samples", "num", "report"])]
    data_free: bool,

    /// Model to write
    #[arg(short, long, value_name = "OUT.rnx")]
    output: PathBuf,

    /// Also write the int8 network as ONNX with QuantizeLinear and DequantizeLinear nodes
    #[arg(long, value_name = "OUT.onnx")]
    qdq: Option<PathBuf>,

    /// Published variant that the network is of, such as timm/resnext50_32x4d, or auto to go by its shapes; its
    /// preprocessing goes into the model
    #[arg(long, value_name = "SOURCE/VARIANT")]
    arch: Option<String>,

    /// Number of samples to use, at even distances [default: 512, or all if fewer]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    num: Option<u32>,

    /// How the ranges of activations are chosen
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    method: MethodChoice,

    /// How much is done so that int8 costs nothing; more takes longer, for the same speed on the board
    #[arg(long, value_name = "EFFORT", default_value = "high")]
    effort: Effort,

    #[command(flatten)]
    limit: Limit,

    /// Find out what each layer costs, quantized alone and kept in fp32 alone
    #[arg(long)]
    sensitivity: bool,

    /// Percentage of the values that --method percentile covers
    #[arg(long, value_name = "P", default_value_t = 99.999, value_parser = percentage)]
    percentile: f64,

    /// Names of the classes, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,

    /// Height and width of the input, if the model does not fix them
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(32..=4096))]
    size: Option<u32>,

    /// Short side to resize to before cropping
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=4096))]
    resize: Option<u32>,

    /// Resampling filter
    #[arg(long, value_name = "FILTER")]
    interpolation: Option<InterpolationChoice>,

    /// CPUs to pack the weights for; any other runs them too, repacked when they are loaded
    #[arg(long, value_name = "TARGET", default_value = "portable")]
    target: Target,

    /// Threads to calibrate on [default: one for each CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// CPUs to calibrate on, such as 0-3 or 0,2,4-5 [default: all]
    #[arg(long, value_name = "LIST")]
    cpus: Option<CpuList>,

    /// Licence of the weights, such as BSD-3-Clause; it goes into the model, for its card
    #[arg(long, value_name = "LICENCE")]
    licence: Option<String>,

    /// Write a report to read, of latency, layers, activations and memory, as one HTML file; `resnext eval --html` adds
    /// accuracy, --sensitivity what each layer costs
    #[arg(long, value_name = "OUT.html", requires = "samples")]
    report: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print Markdown, for a README
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// `--method`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum MethodChoice {
    /// Least harm to the layers that read the values
    Auto,
    /// From the least to the greatest value seen
    Max,
    /// Clip the rarest values, see --percentile
    Percentile,
    /// Least squared error of rounding and clipping together
    Mse,
    /// Least Kullback–Leibler divergence, as in TensorRT
    Entropy,
}

/// `--effort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Effort {
    /// Ranges only: one pass over the samples
    Fast,
    /// Biases corrected too
    Normal,
    /// Weights rounded together, too
    High,
}

/// `--target`. All but one share a packing, see ARCHITECTURE.md; the names are there so that a script need not know.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    /// Any CPU without SMMLA
    Portable,
    /// armv8-a without dot products
    Neon,
    /// armv8.2-a with dot products (SDOT)
    Dotprod,
    /// armv8.6-a with matrix products (SMMLA)
    I8mm,
    /// x86-64 with AVX2
    Avx2,
    /// x86-64 with AVX-VNNI or AVX-512 VNNI
    Vnni,
}

impl Target {
    fn packing(self) -> Packing {
        match self {
            Self::I8mm => Packing::K8,
            Self::Portable | Self::Neon | Self::Dotprod | Self::Avx2 | Self::Vnni => Packing::K4,
        }
    }
}

/// `--interpolation`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum InterpolationChoice {
    /// Pillow's, antialiased
    Bilinear,
    /// Pillow's, antialiased
    Bicubic,
    /// OpenCV's, two by two pixels whatever the scale
    OpencvBilinear,
}

fn percentage(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if (50.0..=100.0).contains(&p) => Ok(p),
        _ => Err("not a percentage from 50 to 100".to_owned()),
    }
}

/// Samples used unless told otherwise.
const DEFAULT_SAMPLES: usize = 512;

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    check_writable(&args.output)?;
    args.qdq.as_deref().map_or(Ok(()), check_writable)?;
    args.report.as_deref().map_or(Ok(()), check_writable)?;
    let written = [Some(args.output.as_path()), args.qdq.as_deref(), args.report.as_deref()];
    check_distinct(&written, &[Some(&args.model), args.labels.as_deref()])?;
    let threads = samples::threads(args.threads, args.cpus.as_ref())?;
    let arch = args.arch.as_deref().map(Arch::parse).transpose()?;
    let (network, variant) = arch::network(&args.model, arch, args.size)?;
    let all = match &args.samples {
        Some(directory) => Some(samples::samples(directory, args.num.map(|n| n as usize))?),
        None if args.data_free && network.given.is_some() => return Err(Error::at(&args.model, GIVEN)),
        None if network.given.is_some() || args.data_free => None,
        None => return Err(Error::at(&args.model, NEEDS_SAMPLES)),
    };
    let (classes, named_after) = network::classes(&network, args.labels.as_deref(), variant, all.as_ref())?;
    let samples = all.map(|all| match args.num {
        None if all.len() > DEFAULT_SAMPLES => all.take_spread(DEFAULT_SAMPLES),
        _ => all,
    });
    let mut preprocessing = network::preprocessing(variant, &network);
    if let Some(resize) = args.resize {
        let input = network.input.height as u32;
        if resize < input {
            let what = format_args!("is less than the input, {input}×{input}; give at least {input}");
            return Err(Error::new(format_args!("--resize {resize}"), what));
        }
        preprocessing.recipe.short_side = resize;
    }
    match args.interpolation {
        Some(InterpolationChoice::Bilinear) => {
            preprocessing.recipe.interpolation = Interpolation::PillowBilinear
        }
        Some(InterpolationChoice::Bicubic) => {
            preprocessing.recipe.interpolation = Interpolation::PillowBicubic
        }
        Some(InterpolationChoice::OpencvBilinear) => {
            preprocessing.recipe.interpolation = Interpolation::OpenCvBilinear
        }
        None => {}
    }
    let file_name =
        args.model.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let options = Options {
        method: match args.method {
            MethodChoice::Auto => Method::Auto,
            MethodChoice::Max => Method::Max,
            MethodChoice::Percentile => Method::Percentile(args.percentile),
            MethodChoice::Mse => Method::Mse,
            MethodChoice::Entropy => Method::Entropy,
        },
        techniques: match args.effort {
            Effort::Fast => Techniques::FAST,
            Effort::Normal => Techniques::NORMAL,
            Effort::High => Techniques::HIGH,
        },
        sensitivity: args.sensitivity,
        preprocessing,
        classes,
        source: variant.map_or(file_name, ToString::to_string),
        threads,
        keep_quantized: args.qdq.is_some(),
    };
    let progress = samples::progress();
    let limited = args.limit.compile((&args.model, &network), samples.as_ref(), &options, &progress);
    let (limited, met) = limited.transpose().inspect_err(|_| progress.finish_and_clear())?.unzip();
    let compiled = match (&samples, limited) {
        (_, Some(compiled)) => Ok((compiled, None)),
        (Some(samples), None) if network.given.is_none() => {
            compile(&network, samples, &options, &progress).map(|compiled| (compiled, None))
        }
        (None, None) if args.data_free => {
            data_free::compile(&network, &options, &progress).map(|compiled| (compiled, None))
        }
        (samples, None) => given::compile(&network, samples.as_ref(), &options, &progress)
            .map(|(compiled, kept)| (compiled, Some(kept))),
    };
    progress.finish_and_clear();
    let (mut compiled, kept) = compiled.map_err(|error| Error::at(&args.model, error))?;
    if let Some(licence) = &args.licence {
        state_licence(&mut compiled.artifact, licence).map_err(|error| Error::at(&args.model, error))?;
    }
    repack(&mut compiled.artifact, args.target.packing()).map_err(|error| Error::at(&args.model, error))?;
    samples::note_skipped(&compiled.report.skipped);
    let qdq = match (&args.qdq, &compiled.quantized) {
        (Some(path), Some(quantized)) => {
            let mut properties = vec![("source", options.source.clone())];
            properties.extend(options.preprocessing.properties());
            let file = OnnxFile::qdq(&network, quantized, &options.preprocessing, &properties);
            Some(onnx::write(path, &file)?)
        }
        _ => None,
    };
    write_atomically(&args.output, &compiled.artifact)?;
    qdq.map(onnx::Written::commit).transpose()?;

    let here = packed_for_here(&compiled.artifact).map_err(|error| Error::at(&args.model, error))?;
    let model = Model::from_bytes(&here).map_err(|error| Error::at(&args.model, error))?;
    let name = args.output.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut page = resnext_report::Report::new(&model, name, concat!("resnext ", env!("CARGO_PKG_VERSION")));
    let runs = if args.report.is_some() { Runs::MANY } else { Runs::FEW };
    page.latency = layers::time(&model, &network, runs)?;
    page.warnings = doubts(&compiled.report);
    page.warnings.extend(latency::slower_than_fp32(&page.latency));
    page.warnings.iter().for_each(output::note);
    if let (Some(path), Some(samples)) = (&args.report, &samples) {
        layers::fill(&mut page, &args.model, &network, samples, threads)?;
        write_atomically(path, resnext_report::html(&page).as_bytes())?;
    }
    if args.markdown {
        return output::print(&resnext_report::markdown(&page));
    }
    let basis = Basis {
        kept: kept.as_ref(),
        met: met.as_ref(),
        drawings: args.data_free.then(|| data_free::adjusted_on(&network)),
    };
    report(args, &options, &compiled, &basis, named_after, (&page.latency, &page.warnings))
}

/// The artifact with its weights in the order that this CPU is fastest with.
fn packed_for_here(artifact: &[u8]) -> Result<Cow<'_, [u8]>, LoadError> {
    let wanted = Kernels::detect().packing();
    if Packing::of(artifact) == Some(wanted) {
        return Ok(artifact.into());
    }
    let mut artifact = artifact.to_vec();
    repack(&mut artifact, wanted)?;
    Ok(artifact.into())
}

/// What is wrong with an fp32 network alone.
const NEEDS_SAMPLES: &str =
    "is not quantized yet; give --samples DIR, a few hundred photos to calibrate on, or --data-free";

/// What is wrong with --data-free for a quantized network.
const GIVEN: &str = "is quantized already, its scales are kept; leave out --data-free";

/// Adds the licence to what the model says of itself.
fn state_licence(artifact: &mut Vec<u8>, licence: &str) -> Result<(), LoadError> {
    let metadata = Model::from_bytes(artifact)?.metadata();
    let mut metadata: serde_json::Value = serde_json::from_str(metadata).unwrap_or_default();
    metadata["licence"] = licence.into();
    set_metadata(artifact, &metadata.to_string());
    Ok(())
}

/// What the scales come from, where it was not samples and the settings of the command line.
struct Basis<'a> {
    /// A quantized file.
    kept: Option<&'a Kept>,
    /// Attempts.
    met: Option<&'a Met>,
    /// Batch norms and so many drawings.
    drawings: Option<usize>,
}

fn report(
    args: &Args,
    options: &Options,
    compiled: &Compiled,
    &Basis { kept, met, drawings }: &Basis<'_>,
    named_after: &str,
    (latency, warnings): (&[Latency], &[String]),
) -> Result<(), Error> {
    let report = &compiled.report;
    let method = met.map_or(options.method.name(), Met::method);
    let method = if kept.is_some() { "given" } else { method };
    if args.json {
        let ends = |range: Range| [range.low, range.high];
        let layer = |layer: &LayerReport| {
            let range = layer.range.map(|int8| json!({ "int8": ends(int8), "seen": layer.seen.map(ends) }));
            json!({ "name": layer.name, "sqnr_db": layer.sqnr_db, "method": layer.method, "range": range })
        };
        let layers: Vec<Value> = report.layers.iter().map(layer).collect();
        let sensitivity: Vec<_> = report
            .sensitivity
            .iter()
            .map(|layer| {
                json!({ "name": layer.name, "alone_db": layer.alone_db, "without_db": layer.without_db })
            })
            .collect();
        return output::print_json(&json!({
            "output": args.output.display().to_string(),
            "bytes": compiled.artifact.len(),
            "qdq": args.qdq.as_ref().map(|path| path.display().to_string()),
            "samples": report.calibrated,
            "skipped": report.skipped.len(),
            "method": method,
            "data_free": args.data_free,
            "kept": kept.map(|kept| json!({
                "activations": kept.activations.0,
                "of_activations": kept.activations.1,
                "weights": kept.weights.0,
                "of_weights": kept.weights.1,
                "changed": kept.changed.iter().map(|(layer, why)| json!({ "layer": layer, "why": why })).collect::<Vec<_>>(),
            })),
            "agreement": report.agreement,
            "logit_sqnr_db": report.logit_sqnr_db,
            "layers": layers,
            "sensitivity": sensitivity,
            "max_drop": met.map(Met::json),
            "latency": resnext_report::latency_json(latency),
            "warnings": warnings,
        }));
    }
    let mut facts = Facts::default();
    facts.add("model", format!("{} ({})", args.output.display(), size(compiled.artifact.len() as u64)));
    facts.add("classes", format!("{}, named after {named_after}", options.classes.len()));
    if let Some(path) = &args.qdq {
        facts.add("QDQ", path.display().to_string());
    }
    match kept {
        None if args.data_free => {
            let all = data_free::ADJUSTED_ON;
            let few = match drawings {
                Some(drawings) if drawings < all => {
                    format!(" and {drawings} drawings (more than 256 MB of activations in {all})")
                }
                _ => String::new(),
            };
            facts.add("calibrated", format!("data-free, from batch norms{few}, method {method}"));
        }
        None if met.is_some() => {
            let setting = met.map(Met::setting).unwrap_or_default();
            facts.add("calibrated", format!("on {} images, {setting}", report.calibrated));
        }
        None => facts.add("calibrated", format!("on {} images, method {method}", report.calibrated)),
        Some(kept) => add_kept(&mut facts, kept),
    }
    if let Some(met) = met {
        met.add_to(&mut facts);
    }
    if !report.skipped.is_empty() {
        facts.add("skipped", format!("{} images", report.skipped.len()));
    }
    if let Some(latency) = latency::in_words(latency) {
        facts.add("latency", latency);
    }
    if report.checked == 0 {
        facts.add("int8 vs fp32", "not compared; give --samples DIR to do so".to_owned());
        return output::print(&facts);
    }
    facts.add(
        "int8 vs fp32",
        format!(
            "same class on {:.1} % of {} {}, logits {:.1} dB SQNR",
            100.0 * report.agreement,
            report.checked,
            if args.data_free { "drawings" } else { "samples" },
            report.logit_sqnr_db
        ),
    );
    // NaN of a layer that gives zeros only.
    let mut worst: Vec<_> = report.layers.iter().filter(|layer| !layer.sqnr_db.is_nan()).collect();
    worst.sort_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
    let worst: Vec<String> =
        worst.iter().take(3).map(|layer| format!("{} {:.1} dB", layer.name, layer.sqnr_db)).collect();
    facts.add("noisiest", worst.join(", "));
    facts.add(
        "next",
        format!(
            "the drop of accuracy: resnext eval {} --data DIR --baseline {}",
            args.output.display(),
            args.model.display()
        ),
    );
    if let Some(path) = &args.report {
        facts.add("report", path.display().to_string());
    }
    if report.sensitivity.is_empty() {
        return output::print(&facts);
    }
    let columns =
        [Column::text("layer"), Column::number("quantized alone, dB"), Column::number("all but it, dB")];
    let mut table = Table::new(columns, terminal_width());
    for layer in &report.sensitivity {
        let decibels = |db: f64| format!("{db:.1}");
        table.row([layer.name.clone(), decibels(layer.alone_db), decibels(layer.without_db)]);
    }
    output::print(&format_args!("{facts}\n{table}"))
}

/// How much of a file's quantization the model has.
fn add_kept(facts: &mut Facts, kept: &Kept) {
    let ((activations, of_activations), (weights, of_weights)) = (kept.activations, kept.weights);
    let share = 100.0 * weights as f64 / of_weights.max(1) as f64;
    facts.add(
        "kept",
        format!("{activations} of {of_activations} activation scales, {share:.2} % of the weights' integers"),
    );
    let mut reasons: Vec<&str> = kept.changed.iter().map(|(_, why)| *why).collect();
    reasons.sort_unstable();
    reasons.dedup();
    for reason in reasons {
        let layers: Vec<&str> =
            kept.changed.iter().filter(|(_, why)| *why == reason).map(|(layer, _)| layer.as_str()).collect();
        let named = layers.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let more =
            if layers.len() > NAMED { format!(" and {} more", layers.len() - NAMED) } else { String::new() };
        facts.add("changed", format!("{named}{more}: {reason}"));
    }
}

/// Layers that are named for one reason.
const NAMED: usize = 3;
