//! Runs a ResNeXt in fp32, as the baseline that int8 is compared with.
//!
//! A [`Model`] is a list of [`Node`]s, compiled: weights are packed for the CPU and memory is planned. A [`Runner`] has the
//! memory of one inference, and allocates nothing after it is made. Runners on several threads share one model.
//!
//! | operation | runs on |
//! |---|---|
//! | 1×1 convolution, classifier | f32 matrix products of tract-linalg, whose own dispatch chooses the kernel for the CPU |
//! | other convolutions, grouped or not | a direct convolution of this crate: NEON, AVX2 with FMA, or portable |
//! | pools | this crate |
//!
//! Bias, residual addition and ReLU are part of the convolution. Every tensor is `[channels][height][width]` for one image.
//! Results differ between CPUs in the last bits, since sums are taken in different orders.
//!
//! ```
//! use std::sync::Arc;
//! use resnext_fp32::{Model, Node, Op, Runner, Shape};
//!
//! # fn main() -> Result<(), resnext_fp32::Error> {
//! let input = Shape { channels: 2, height: 1, width: 2 };
//! let mean = Node::new("mean", 0, Shape { channels: 2, height: 1, width: 1 }, Op::GlobalAvgPool);
//! let model = Model::new(input, [Ok::<_, resnext_fp32::Error>(mean)], &[1])?;
//! let mut runner = Runner::new(Arc::new(model))?;
//! runner.run(&[1.0, 2.0, 5.0, 9.0])?;
//! assert_eq!(runner.value(1), [1.5, 7.0]);
//! # Ok(())
//! # }
//! ```

#![deny(unsafe_op_in_unsafe_fn)]

mod direct;
mod error;
mod gemm;
mod memory;
mod model;
mod node;
mod pool;
mod runner;

pub use error::Error;
pub use model::Model;
pub use node::{Conv, Linear, Node, Op, Rounding, Shape, Window};
pub use runner::Runner;
