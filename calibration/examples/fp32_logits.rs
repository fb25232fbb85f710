//! Computes the fp32 logits of a checkpoint, which `tests/zoo/sweep.py` compares with those of the library that published it.
//!
//!     cargo run --release -p resnext-calibration --example fp32_logits -- --arch timm/resnext50_32x4d \
//!         model.safetensors image.f32 logits.f32
//!
//! The image is the normalised input of the network, raw little-endian f32 of shape [1, 3, S, S], where S is the test size of the
//! variant. The logits are written in the same way.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use resnext_calibration::fp32::{Fp32Model, segments};
use resnext_calibration::import::{ImportOptions, architecture, load_with};
use resnext_calibration::network::fold_batch_norm;

/// Bytes of compiled weights and activations in memory at a time. The largest networks have 3.3 GB of weights.
const SEGMENT_BYTES: usize = 256 << 20;

const USAGE: &str = "usage: fp32_logits --arch LIBRARY/VARIANT WEIGHTS INPUT.f32 OUTPUT.f32";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [flag, arch, weights, input, output] = arguments.as_slice() else { return Err(USAGE.into()) };
    if flag != "--arch" {
        return Err(USAGE.into());
    }
    let variant = resnext_models::find(arch).ok_or_else(|| format!("{arch}: no such variant"))?;
    let image = read(Path::new(input))?;
    let options = ImportOptions::of_size(variant.preprocessing.size.into());
    let mut network = load_with(Path::new(weights), options)?;
    architecture::expect(&network.architecture, variant)?;
    fold_batch_norm(&mut network);
    let mut value = image;
    for nodes in segments(&network, SEGMENT_BYTES, 1) {
        let mut model = Fp32Model::segment(&network, nodes, &[])?;
        value = model.run(&value)?.result().to_vec();
    }
    let bytes: Vec<u8> = value.iter().flat_map(|logit| logit.to_le_bytes()).collect();
    Ok(std::fs::write(output, bytes)?)
}

fn read(path: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (values, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(format!("{}: not a whole number of f32", path.display()).into());
    }
    Ok(values.iter().map(|&value| f32::from_le_bytes(value)).collect())
}
