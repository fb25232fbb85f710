//! The options of `resnext compile`.

use super::max_drop::Limit;
use crate::machine::cpu_list::CpuList;
use crate::session::exif::ExifOption;
use clap::ValueEnum;
use resnext::pack::Packing;
use resnext::preprocess::Interpolation;
use resnext_calibration::{Method, Techniques};
use std::path::PathBuf;

/// Calibrate an fp32 ResNeXt on sample images and write it as an int8 model.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
MODEL is a checkpoint (.pth, .pt, .safetensors, .pdparams) as torchvision, timm, mmcls or PaddleClas publish it, \
or an ONNX file (opset 7 or later). A few hundred photos like those that the model will see are enough; they \
need no labels. The model stores its preprocessing: that of the variant that --arch names (`resnext zoo` lists \
them), else what the metadata of an ONNX file or timm's config.json beside a checkpoint states, else \
torchvision's. The result tells which.

--data-free calibrates from the network's batch norms instead of images. It costs little accuracy, but most ONNX \
files have no batch norms left; give the checkpoint.

An ONNX file that is already quantized in the QDQ format (onnxruntime's quantize_static) needs no samples: the \
model keeps its scales. --qdq also writes the result in that format, for onnxruntime, OpenVINO and others.

The names of the classes come from --labels (on each line a label, or an identifier, a tab and a label, or a wnid and a label; if all \
lines are numbered, the numbers give the order), from \
ImageNet-1k if there are 1000 classes, or from the sorted sample folders if their number fits.

Examples:
  resnext compile net.onnx --samples photos -o net.rnx
  resnext compile a.pth --arch timm/resnext50_32x4d --samples photos -o net.rnx
  resnext compile net.onnx --samples photos --labels names.txt -o net.rnx
  resnext compile net.pth --data-free -o net.rnx
  resnext compile net.onnx --samples photos --max-drop 0.1 --data val -o net.rnx
  resnext compile net.onnx --samples photos --qdq net-int8.onnx -o net.rnx
  resnext compile net-int8.onnx -o net.rnx

JSON: {output, bytes, qdq, preprocess: {size, resize, interpolation, said_by}, samples, skipped, \
photos: {rotated (how many have an EXIF orientation), exif: apply|ignore, left_out: {FORMAT: FILES}}, method, \
data_free, kept, agreement, logit_sqnr_db, training_distance: [{layer, nats}] (of the samples, by the batch norms), \
layers: [{name, sqnr_db, method, range: {int8, seen}}], sensitivity: [{name, alone_db, without_db}], max_drop: {limit_pp, \
attempts: [{method, effort, layers, images, drop_top1_pp, drop_top1_pp_ci95, agreement}], held_out}, latency: \
[{network, threads, runs, ms: {p50, p90, p99, min}}], conditions: {machine, date, load, command}, warnings: \
[TEXT]}. For a quantized file, kept is \
{activations, of_activations, weights, of_weights, changed: [{layer, why}]}, else null.")]
pub(crate) struct Args {
    /// Network: an fp32 checkpoint, an fp32 ONNX file, or an ONNX file quantized in the QDQ format
    #[arg(value_name = "MODEL")]
    pub(super) model: PathBuf,

    /// Directory of photos for calibration, searched recursively; for a quantized network, they only serve
    /// to compare int8 with fp32
    #[arg(long, value_name = "DIR")]
    pub(super) samples: Option<PathBuf>,

    /// Calibrate without photos, from the statistics in the network's batch norms and 32 synthetic images; as few as 4
    /// if the activations of 32 would take more than 256 MB
    #[arg(long, conflicts_with_all = ["samples", "num", "report"])]
    pub(super) data_free: bool,

    /// Model to write
    #[arg(short, long, value_name = "OUT.rnx")]
    pub(super) output: PathBuf,

    /// Also write the int8 network as ONNX, with QuantizeLinear and DequantizeLinear nodes
    #[arg(long, value_name = "OUT.onnx")]
    pub(super) qdq: Option<PathBuf>,

    /// Published variant of the network, such as timm/resnext50_32x4d, or auto to recognise it by its shapes and the
    /// names of its tensors; the model gets the preprocessing of this variant
    #[arg(long, value_name = "LIBRARY/VARIANT")]
    pub(super) arch: Option<String>,

    /// Which of several sets of weights to read: the key under which the checkpoint has them, such as ema, or the start of
    /// the names of their tensors
    #[arg(long, value_name = "KEY")]
    pub(super) weights_key: Option<String>,

    /// Number of samples to use, spread evenly over the directory [default: 512, or all if there are fewer]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) num: Option<u32>,

    /// How to choose the ranges of activations
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    pub(super) method: MethodChoice,

    /// How much work to spend on accuracy; more takes longer to compile and runs at the same speed
    #[arg(long, value_name = "EFFORT", default_value = "high")]
    pub(super) effort: Effort,

    #[command(flatten)]
    pub(super) limit: Limit,

    /// Measure what each layer costs: with only this layer in int8, and with all other layers in int8
    #[arg(long)]
    pub(super) sensitivity: bool,

    /// Percentage of values that --method percentile covers
    #[arg(long, value_name = "P", default_value_t = 99.999, value_parser = percentage)]
    pub(super) percentile: f64,

    /// Names of the classes, one on each line
    #[arg(long, value_name = "FILE")]
    pub(super) labels: Option<PathBuf>,

    /// Height and width of the input [default: those of the file, of the variant or of its config.json, else 224]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(32..=4096))]
    pub(super) size: Option<u32>,

    /// Length of the short side to resize to before cropping
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) resize: Option<u32>,

    /// Interpolation for resizing
    #[arg(long, value_name = "INTERPOLATION")]
    pub(super) interpolation: Option<InterpolationChoice>,

    #[command(flatten)]
    pub(super) exif: ExifOption,

    /// CPUs to pack the weights for; other CPUs run the model too and repack it when they load it
    #[arg(long, value_name = "TARGET", default_value = "portable")]
    pub(super) target: Target,

    /// Number of threads for calibration [default: one for each CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) threads: Option<u16>,

    /// CPUs for calibration, such as 0-3 or 0,2,4-5 [default: all]
    #[arg(long, value_name = "LIST")]
    pub(super) cpus: Option<CpuList>,

    /// Licence of the weights, such as BSD-3-Clause; the model and its model card state it
    #[arg(long, value_name = "LICENCE")]
    pub(super) licence: Option<String>,

    /// Write a report on latency, layers, activations and memory as one HTML file. `resnext eval --html` adds accuracy;
    /// --sensitivity adds what each layer costs
    #[arg(long, value_name = "OUT.html", requires = "samples")]
    pub(super) report: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,

    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    pub(super) markdown: bool,
}

/// `--method`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum MethodChoice {
    /// Do the least harm to the layers that read the values
    Auto,
    /// Cover all values, from the least to the greatest
    Max,
    /// Clip the rarest values; see --percentile
    Percentile,
    /// Minimise the squared error of rounding and clipping together
    Mse,
    /// Minimise the Kullback–Leibler divergence, as TensorRT does
    Entropy,
}

/// `--effort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Effort {
    /// Choose ranges only, in one pass over the samples
    Fast,
    /// Also correct the biases
    Normal,
    /// Also round the weights of a layer together
    High,
}

/// `--target`. All targets but one share a packing. They have names all the same, so that a script need not know that.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Target {
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
    pub(super) fn packing(self) -> Packing {
        match self {
            Self::I8mm => Packing::K8,
            Self::Portable | Self::Neon | Self::Dotprod | Self::Avx2 | Self::Vnni => Packing::K4,
        }
    }
}

/// `--interpolation`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum InterpolationChoice {
    /// As in Pillow, antialiased
    Bilinear,
    /// As in Pillow, antialiased
    Bicubic,
    /// As in OpenCV, from two by two pixels at any scale
    OpencvBilinear,
}

impl MethodChoice {
    /// Returns the method. `percentile` is the percentage of values that [`Method::Percentile`] covers.
    pub(super) fn method(self, percentile: f64) -> Method {
        match self {
            Self::Auto => Method::Auto,
            Self::Max => Method::Max,
            Self::Percentile => Method::Percentile(percentile),
            Self::Mse => Method::Mse,
            Self::Entropy => Method::Entropy,
        }
    }
}

impl Effort {
    pub(super) fn techniques(self) -> Techniques {
        match self {
            Self::Fast => Techniques::FAST,
            Self::Normal => Techniques::NORMAL,
            Self::High => Techniques::HIGH,
        }
    }
}

impl InterpolationChoice {
    pub(super) fn interpolation(self) -> Interpolation {
        match self {
            Self::Bilinear => Interpolation::PillowBilinear,
            Self::Bicubic => Interpolation::PillowBicubic,
            Self::OpencvBilinear => Interpolation::OpenCvBilinear,
        }
    }
}

fn percentage(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if (50.0..=100.0).contains(&p) => Ok(p),
        _ => Err("use a percentage from 50 to 100".to_owned()),
    }
}
