//! The offline half of resnext: an fp32 ResNeXt goes in, a calibrated int8 artifact comes out.
//!
//! ```no_run
//! use resnext::preprocess::Preprocessing;
//! use resnext_calibration::import::{ImportOptions, load_with};
//! use resnext_calibration::network::fold_batch_norm;
//! use resnext_calibration::{Compiler, Options, ScaleSource, bundled};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let import = ImportOptions::of_size(224);
//! let mut network = load_with("resnext50_32x4d.pth".as_ref(), import)?;
//! fold_batch_norm(&mut network);
//! let options = Options::new(Preprocessing::imagenet(224, 232), bundled::imagenet_classes());
//! let photos = resnext_evaluation::samples::Samples::open("photos".as_ref())?;
//! let compiled = Compiler::new(&network, &options).compile(ScaleSource::Samples(&photos))?;
//! std::fs::write("resnext50_32x4d.rnx", &compiled.artifact)?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Compiler`] is the way through all modules, in the order in which data passes them; each depends on those before it alone:
//!
//! | module | role |
//! |---|---|
//! | [`network`] | the intermediate representation: layers, weights that stay in their file, batch norms folded into them |
//! | [`import`] | ONNX file or checkpoint → [`network::Network`] |
//! | [`fp32`] | the network in float: statistics and baseline |
//! | `observe` | activations → histograms → ranges, and what noise in a value costs in the logits |
//! | `quantize` | ranges and weights → integers |
//! | `emit` | integers → arena offsets → the bytes of a `.rnx` file |
//! | [`export`] | the network as ONNX, in fp32 or quantized, for other tools |
//! | [`evaluate`] | int8 beside fp32: the drop of accuracy, the noise of every layer |
//! | `compiler` | the driver: samples, batch norms or a quantized file → artifact, report, metadata |
//!
//! [`preprocessing`] normalises pixels for fp32, and [`bundled`] holds photos and class names. Samples and statistics are those of
//! `resnext-evaluation`.

#![forbid(unsafe_code)]

pub mod bundled;
mod compiler;
mod emit;
pub mod evaluate;
pub mod export;
pub mod fp32;
pub mod import;
pub mod network;
mod observe;
pub mod preprocessing;
mod quantize;

pub use compiler::{
    Attempt, CompileError, Compiled, Compiler, EscalateError, Escalated, LayerReport, Options, Report,
    Retained, SURROGATE_IMAGES, ScaleSource, Sensitivity, Techniques, Warning, synthetic_images,
};
pub use emit::ClassName;
pub use observe::{Histogram, Method, ObserveError, Pictures, TrainingDistance};
pub use quantize::QuantizeError;
