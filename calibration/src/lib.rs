//! The offline half of resnext: an fp32 ResNeXt goes in, a calibrated int8 artifact comes out.
//!
//! Modules in the order data takes:
//!
//! | module | role |
//! |---|---|
//! | [`stored`] (of `resnext-checkpoint`) | tensors that stay in the file they came in |
//! | [`import`] | ONNX file or checkpoint → [`network::Network`] |
//! | [`fold`] | batch norm into weights |
//! | [`samples`] (of `resnext-evaluation`), [`preprocessing`] | photos → cropped pixels |
//! | [`fp32`] | the network in float, on tract: statistics and baseline |
//! | [`observe`] | activations → histograms → ranges |
//! | [`gains`] | what noise in a value costs in the logits |
//! | [`moments`], [`round`] | means and covariances of inputs → weights rounded together |
//! | [`emulate`], [`sensitivity`] | parts of int8 inside fp32 |
//! | [`quantize`] | ranges and weights → integers |
//! | [`given`] | a file's own scales → integers, without calibration |
//! | [`plan`] | lifetimes → arena offsets |
//! | [`emit`] | all of it → the bytes of a `.rnx` |
//! | [`compile`] | the whole path, and a check of the result against fp32 |
//! | [`escalate`] | ever more of it, until the drop is small enough |
//! | [`data_free`], [`drawing`] | calibration without images |
//! | [`layers`] | noise and distribution of every layer of a compiled model |
//! | [`export`] | the network as ONNX, fp32 or quantized, for other tools |
//! | [`evaluate`] | the fp32 half of an evaluation; the rest is `resnext-evaluation` |
//! | [`bundled`] | photos and classes that the program carries |

#![forbid(unsafe_code)]

pub mod bundled;
pub mod compiler;
pub mod emit;
pub mod evaluate;
pub mod export;
pub mod fp32;
pub mod import;
pub mod network;
pub mod observe;
pub mod preprocessing;
pub mod quantize;

pub use compiler as compile;
pub use compiler::{data_free, emulate, escalate, prequantized as given, sensitivity, synthetic as drawing};
pub use emit::arena_plan as plan;
pub use evaluate::layers;
pub use network::batch_norm as fold;
pub use observe::noise_gain as gains;
pub use quantize::{moments, weight_rounding as round};
pub use resnext_checkpoint::stored;
pub use resnext_evaluation::{fidelity, samples};
