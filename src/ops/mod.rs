//! Runs one step of the program: splits the work over the workers and hands it to the kernels.

mod conv;
mod linear;
mod partition;
mod pool;

pub(crate) use conv::conv;
#[cfg(feature = "tract")]
pub(crate) use conv::conv_on_tract;
pub(crate) use linear::linear;
pub(crate) use pool::{avg_pool, global_avg_pool, max_pool};
