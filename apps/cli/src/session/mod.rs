//! A session with a model: its file, what it needs to run, the images it sees and how long it takes.

pub(crate) mod artifact;
pub(crate) mod execution;
pub(crate) mod latency;
pub(crate) mod samples;
pub(crate) mod statistics;
pub(crate) mod workspace;
