//! Classifies the frames of a camera. These are the stages of `resnext camera`:
//!
//! ```text
//! FrameSource → Captured → Handoff → Runner → Smoother → Reading → Show
//! └──── thread of its own ──────┘   └─ calling thread and its workers ┘
//! ```
//!
//! A [`source`] writes frames into memory that is reused. The [`handoff`] keeps the latest frame and counts the ones that it
//! drops; of a file it drops none. [`run`] converts, resizes, crops, quantizes and classifies a frame in one call of the
//! runtime, smooths the answers, and passes a [`Reading`] to every [`Show`]. After the first frame of an uncompressed source
//! nothing is allocated.
//!
//! | module | role |
//! |---|---|
//! | [`source`] | cameras, streams and files |
//! | [`handoff`] | the slot between the two threads |
//! | [`smoothing`] | one answer from several frames |
//! | [`show`] | readings as text |
//! | [`display`] | readings on screens, in files and on a web page |

#![deny(unsafe_code)]

mod captured;
pub mod display;
pub mod handoff;
mod latency;
mod pipeline;
mod raw_format;
mod reading;
pub mod show;
pub mod smoothing;
pub mod source;
mod stop;

pub use captured::Captured;
pub use latency::Percentiles;
pub use pipeline::{Options, PipelineError, Summary, run};
pub use raw_format::{MAX_FRAME_BYTES, PixelFormat, RawFormat};
pub use reading::{Health, Picture, Prediction, Reading, Show, ShowError};
pub use stop::Stop;
