//! `resnext import`: writes a checkpoint as fp32 ONNX.

use crate::files::write::{check_distinct, check_writable};
use crate::offline::arch::Arch;
use crate::offline::onnx;
use crate::offline::recipe::{self, Imported, described};
use crate::terminal::Error;
use crate::terminal::output;
use crate::terminal::table::Fields;
use crate::terminal::text::{shell, size};
use resnext_calibration::export::OnnxFile;
use resnext_calibration::import::architecture::Described;
use resnext_calibration::preprocessing::{Recipe, properties};
use serde_json::json;
use std::path::PathBuf;

/// Write an fp32 checkpoint as ONNX, for other tools.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Batch norms are folded into the convolutions. The input is named image, has the shape [1, 3, height, width] and \
is normalised, unless the file that is read normalises it itself; the output is named logits. The metadata of the file \
state the preprocessing, if --arch or a config.json beside the checkpoint tells it; `resnext compile` reads them. \
Weights of more than 2 GB go to OUT.onnx.data beside the model.

An int8 model does not need this step, because `resnext compile` reads checkpoints too.

Examples:
  resnext import --weights a.pth --arch torchvision/resnext50_32x4d -o net.onnx
  resnext import --weights ResNeXt101_32x4d_pretrained.pdparams -o net.onnx

JSON: {output, data, bytes, params, macs, blocks, cardinality, base_width, classes}.")]
pub(crate) struct Args {
    /// Checkpoint or ONNX file
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,

    /// Published variant of the checkpoint, or auto to recognise it by its shapes and names
    #[arg(long, value_name = "LIBRARY/VARIANT")]
    arch: Option<String>,

    /// Which of several sets of weights to read: the key under which the checkpoint has them, such as ema, or the start of
    /// the names of their tensors
    #[arg(long, value_name = "KEY")]
    weights_key: Option<String>,

    /// Model to write
    #[arg(short, long, value_name = "OUT.onnx")]
    output: PathBuf,

    /// Height and width of the input [default: those of the variant, else 224]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(32..=4096))]
    size: Option<u32>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    check_writable(&args.output)?;
    check_distinct(&[Some(&args.output)], &[Some(&args.weights)])?;
    let arch = args.arch.as_deref().map(Arch::parse).transpose()?;
    let Imported { network, variant, recipe, .. } =
        recipe::import(&args.weights, arch, args.size, args.weights_key.as_deref())?;
    let mut metadata: Vec<_> = variant.map(|variant| ("source", variant.to_string())).into_iter().collect();
    let recipe = recipe.map(|recipe| recipe.sized(network.input.height as u32));
    if let Some(Recipe { preprocessing, crop, exif, .. }) = &recipe {
        metadata.extend(properties(preprocessing, *exif));
        metadata.push(("crop_pct", crop.to_string()));
    }
    let file = OnnxFile::fp32(&network, &metadata);
    let written = onnx::write(&args.output, &file)?;
    let bytes = written.bytes()?;
    let data = written.commit()?;

    let architecture = &network.architecture;
    let params = file.tensor_bytes() / 4;
    let macs = network.macs();
    if args.json {
        return output::print_json(&json!({
            "output": args.output.display().to_string(),
            "data": data.map(|path| path.display().to_string()),
            "bytes": bytes,
            "params": params,
            "macs": macs,
            "blocks": architecture.blocks,
            "cardinality": architecture.cardinality,
            "base_width": architecture.base_width(),
            "classes": architecture.classes,
        }));
    }
    let mut fields = Fields::default();
    fields.add("model", format!("{} ({})", args.output.display(), size(bytes)));
    if let Some(path) = &data {
        fields.add("weights", format!("in {}; keep this file beside the model", path.display()));
    }
    fields.add("network", format!("{}, {} classes", Described(architecture), architecture.classes));
    let (side, millions, billions) = (network.input.height, params as f64 / 1e6, macs as f64 / 1e9);
    fields.add("cost", format!("{millions:.3} M weights, {billions:.3} GMAC at {side}×{side}"));
    let unknown = || "not known; give --arch".to_owned();
    fields.add("preprocess", recipe.map_or_else(unknown, |recipe| described(&recipe.preprocessing)));
    fields.add(
        "next",
        format!("resnext compile {} --samples DIR -o OUT.rnx", shell(&args.output.to_string_lossy())),
    );
    output::print(&fields)
}
