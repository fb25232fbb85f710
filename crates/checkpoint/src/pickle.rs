//! Reads Python's pickles as data, without running them.
//!
//! A pickle is a program for a stack machine that may call any Python function. [`load`] only writes such calls down. It
//! returns a graph in which `collections.OrderedDict()` is an [`Object::Call`] of an [`Object::Global`]. The reader of the
//! graph decides what that means, as [`pytorch`](crate::pytorch) and [`paddle`](crate::paddle) do.
//!
//! A hostile file stays cheap. Text and bytes stay in the file, and a [`Span`] says where they are. Objects lie in one list
//! and refer to each other by index, so that sharing costs nothing and cycles are harmless. Nothing is recursive, and the
//! number of instructions is limited.
//!
//! This is our own code because no crate reads lazily: `serde-pickle` and `candle-core` copy every byte string and build
//! trees, and `repugnant-pickle` lacks protocols 0 and 5 and is no longer maintained.

mod error;
mod globals;
mod graph;
mod machine;
#[cfg(test)]
mod tests;

pub use error::{MAX_INSTRUCTIONS, PickleError};
pub use graph::{Call, Object, ObjectId, Pickle, Span, Value};
pub use machine::load;

pub(crate) use globals::{harmful, inert};
