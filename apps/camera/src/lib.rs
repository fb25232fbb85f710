//! Camera frames in, labels out: the stages of `resnext camera`.
//!
//! ```text
//! source → Captured → Handoff → Runner → Smoother → Reading → Show
//! └── thread of its own ───┘   └── calling thread and its workers ┘
//! ```
//!
//! A [`source`] writes frames into memory that is used again. The [`handoff`] keeps the latest one and counts those that
//! nobody looked at; of files it keeps them all. [`run`] converts, resizes, crops, quantizes and classifies a frame in one
//! call of the runtime, smooths the answers, and tells everyone who wants to [`Show`] them. After the first frame nothing is
//! allocated for a frame of an uncompressed source.

mod captured;
pub mod display;
pub mod handoff;
mod latency;
mod pipeline;
mod reading;
pub mod show;
pub mod smoothing;
pub mod source;
mod stop;

pub use captured::{Captured, MOST_BYTES, PixelFormat, RawFormat};
pub use latency::Percentiles;
pub use pipeline::{Options, PipelineError, Summary, run};
pub use reading::{Guess, Health, Picture, Reading, Show, ShowError};
pub use stop::Stop;
