//! A session with a model: its file, the memory and threads that run it, the images that it reads, and its latency.

pub(crate) mod artifact;
pub(crate) mod execution;
pub(crate) mod exif;
pub(crate) mod labelled;
pub(crate) mod latency;
pub(crate) mod samples;
pub(crate) mod statistics;
pub(crate) mod workspace;
