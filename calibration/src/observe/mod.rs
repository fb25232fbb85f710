//! The distribution of each activation, gathered in a histogram, and the range that int8 should cover.
//!
//! A new calibration method is a new [`Method`]: it takes the histogram of one tensor and returns a range.
//!
//! | module | role |
//! |---|---|
//! | `observations` | the pass over the samples that gathers histograms |
//! | `pictures` | what the samples look like |
//! | `training` | how far they are from what batch norms remember of the training images |
//! | `histogram` | the distribution of a tensor |
//! | `channels` | the distribution of a channel |
//! | `method` | histogram → range |
//! | `auto` | the range that costs least in the logits, from the distributions of channels and their noise gains |
//! | `noise_gain` | what noise in a value costs in the logits |

mod auto;
mod channels;
mod histogram;
mod method;
mod noise_gain;
mod observations;
mod pictures;
mod training;

pub(crate) use auto::least_harm;
pub(crate) use channels::{Bin, ChannelHistogram};
pub use histogram::Histogram;
pub use method::Method;
pub(crate) use noise_gain::NoiseGains;
pub use observations::ObserveError;
pub(crate) use observations::{Observations, observe};
pub use pictures::Pictures;
pub use training::TrainingDistance;
