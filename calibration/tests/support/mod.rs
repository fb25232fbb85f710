//! Where tests find data, and the synthetic image that the PyTorch fixtures were made with.
#![allow(dead_code, reason = "each test file uses its part")]

use resnext_calibration::import::{ImportOptions, load_safetensors};
use resnext_calibration::network::{Network, fold_batch_norm};
use resnext_calibration::preprocessing::published;
use resnext_calibration::{
    CompileError, Compiled, Compiler, Method, Options, ScaleSource, Techniques, bundled,
};
use resnext_evaluation::samples::Samples;
use resnext_models::reference;
#[allow(unused_imports, reason = "each test file uses its part")]
pub(crate) use resnext_testing::data::root;

/// A folder of real ImageNet photos below `RESNEXT_DATA` or `../shared/data`. Where CI runs it must be there; on
/// a user's machine its absence skips the test, aloud.
pub(crate) fn photos(folder: &str) -> Option<Samples> {
    resnext_testing::data::folder(folder).map(|folder| Samples::open(&folder).expect("photos"))
}

/// The bundled fp32 network, folded.
pub(crate) fn reference_network() -> Network {
    let options = ImportOptions::of_size(reference::VARIANT.preprocessing.size.into());
    let mut network =
        load_safetensors(reference::WEIGHTS, reference::VARIANT.name, options).expect("bundled weights");
    fold_batch_norm(&mut network);
    network
}

/// How the bundled network is compiled.
pub(crate) fn reference_options(method: Method, threads: usize) -> Options {
    let preprocessing = published(&reference::VARIANT.preprocessing);
    Options {
        method,
        techniques: Techniques::FAST,
        source: reference::VARIANT.to_string(),
        threads,
        ..Options::new(preprocessing, bundled::reference_classes())
    }
}

/// Compiles a folded network, calibrated on `samples`.
pub(crate) fn compile(
    network: &Network,
    samples: &Samples,
    options: &Options,
) -> Result<Compiled, CompileError> {
    Compiler::new(network, options).compile(ScaleSource::Samples(samples))
}

/// `image(size)` of `tests/fixtures/pytorch/make.py` before normalisation, `[size][size][3]` bytes.
pub(crate) fn synthetic_pixels(size: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut fill = |side: usize| -> Vec<u32> {
        (0..side * side * 3)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state >> 24
            })
            .collect()
    };
    let side = size.div_ceil(8);
    let (lattice, noise) = (fill(side), fill(size));
    let value = |i: usize| {
        let (y, x, c) = (i / 3 / size, i / 3 % size, i % 3);
        ((3 * lattice[(y / 8 * side + x / 8) * 3 + c] + noise[i]) >> 2) as u8
    };
    (0..size * size * 3).map(value).collect()
}
