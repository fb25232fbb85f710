//! Int8 ResNeXt inference for small Arm boards, without allocation and with the same bits on every CPU.
//!
//! A [`Model`] borrows an artifact, the file `model.rnx` that `resnext-calibration` or the program `resnext` compiles
//! from an fp32 network. A [`Runner`] runs the model in an arena, memory that the caller owns. It takes a [`Frame`] as a
//! camera delivers it, RGB or YUV, resizes and crops it as the network expects, and writes one logit for each class.
//!
//! ```no_run
//! use resnext::{Frame, Model, Runner};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let artifact = std::fs::read("model.rnx")?;
//! let model = Model::from_bytes(&artifact)?;
//! let mut arena = vec![0; model.arena_len()];
//! let mut logits = vec![0.0; model.class_count()];
//! let mut runner = Runner::new(&model, &mut arena)?;
//!
//! let pixels = [0u8; 640 * 480 * 3];
//! runner.run(&Frame::rgb8(&pixels, 640, 480, 640 * 3)?, &mut logits)?;
//! for best in resnext::top_k::<5>(&logits) {
//!     println!("{:.1} % {}", 100.0 * best.probability, model.class(best.class).map_or("", |class| class.label));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! | to do this | use |
//! |---|---|
//! | load a model from a file, a memory map, flash or `include_bytes!` | [`Model::from_bytes`] |
//! | classify a frame | [`Runner::run`], then [`top_k`] |
//! | describe a frame: RGB, BGR, YUYV, NV12, I420, grey | [`Frame`] |
//! | use several threads | [`Pool`] and [`Runner::with_workers`] |
//! | resize and crop a photo of any size | [`preprocess::Preprocessing`], then [`Runner::load_pixels`] |
//! | reorder weights for an Arm CPU with SMMLA | [`pack::repack`] |
//! | look at the steps of a model, or time them | [`program`], [`Probe`] |
//! | run GEMM-shaped layers on tract-linalg | `TractGemm` |
//! | read or write the bytes of an artifact, which may change in any release | [`internals`] |
//!
//! `examples/` has three programs that run as they are: `classify_photo`, `camera_frames` and `static_arena`.
//!
//! # Features
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `std` | yes | CPU features are detected when the program runs, and there is a thread [`Pool`]. Without it the crate is `no_std`, and uses the instruction sets that the compiler was told to assume (`-C target-feature`). |
//! | `tract` | no | `TractGemm` |
//! | `defmt` | no | `defmt::Format` for the public types |
//!
//! The crate never allocates, with two exceptions that say so: [`Pool::new`] and `TractGemm::new`.
//!
//! # Guarantees
//!
//! * [`Model::from_bytes`] validates everything. Whatever the bytes are, running a model that it accepts neither panics
//!   nor touches memory outside the arena.
//! * Every instruction set and every number of threads gives the same logits, to the bit.
//! * Resizing gives the bytes that Pillow or OpenCV give, see [`preprocess`].
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(any(feature = "std", test))]
extern crate std;

#[cfg(feature = "defmt")]
mod defmt_impls;
mod error;
pub mod internals;
mod kernels;
mod model;
mod ops;
pub mod pack;
mod postprocess;
pub mod preprocess;
pub mod program;
mod runner;
mod tensor;
#[cfg(feature = "std")]
mod threads;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod unroll;
mod workers;

// The crate uses them by their short paths.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use internals::isa;
use internals::{format, requantize, weights};

pub use error::{LoadError, RunError};
pub use kernels::Kernels;
#[cfg(feature = "tract")]
pub use kernels::tract::TractGemm;
pub use model::{Class, Model};
pub use postprocess::{Prediction, softmax, top_k};
pub use preprocess::Frame;
pub use runner::{Probe, Runner};
#[cfg(feature = "std")]
pub use threads::Pool;
pub use workers::{Serial, Workers};
