//! Int8 ResNeXt inference for small Arm boards: `no_std`, no allocation, the same bits on every CPU.
//!
//! A [`Model`] borrows an artifact (`.rnx`, see [`format`]); a [`Runner`] runs it in an arena that the caller
//! owns. The offline half of the project, `resnext-calibration`, makes artifacts from fp32 networks.
//!
//! ```no_run
//! use resnext::{Frame, Model, Runner};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let artifact = std::fs::read("model.rnx")?;
//! let model = Model::from_bytes(&artifact)?;
//! let mut arena = vec![0; model.arena_len()];
//! let mut logits = vec![0.0; model.class_count()];
//! let pixels = [0u8; 640 * 480 * 3];
//!
//! let mut runner = Runner::new(&model, &mut arena)?;
//! runner.run(&Frame::rgb8(&pixels, 640, 480, 640 * 3)?, &mut logits)?;
//! for hit in resnext::top_k::<5>(&logits) {
//!     println!("{:.1} % {}", 100.0 * hit.probability, model.class(hit.class).map_or("", |c| c.label));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Path of a frame: [`preprocess`] → input tensor → [`Runner`] → steps → kernels → logits → [`top_k`].
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(any(feature = "std", test))]
extern crate std;

mod error;
pub mod format;
pub mod isa;
mod kernels;
mod model;
mod ops;
pub mod pack;
mod postprocess;
pub mod preprocess;
pub mod requantize;
mod runner;
mod tensor;
#[cfg(feature = "defmt")]
mod terse;
#[cfg(feature = "std")]
mod threads;
mod workers;

pub use error::{LoadError, RunError};
pub use kernels::Kernels;
#[cfg(feature = "tract")]
pub use kernels::tract::TractGemm;
pub use model::{AvgPool, Class, Conv, GlobalAvgPool, Linear, MaxPool, Model, Op, Shortcut, Step, Window};
pub use postprocess::{Hit, softmax, top_k};
pub use preprocess::Frame;
pub use runner::{Probe, Runner};
pub use tensor::Tensor;
#[cfg(feature = "std")]
pub use threads::Pool;
pub use workers::{Serial, Workers};
