//! What people and tools read on stdout and stderr.

pub(crate) mod output;
