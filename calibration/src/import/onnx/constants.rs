//! The constants of a graph, wherever they are.

use std::borrow::Cow;
use std::collections::HashMap;

use tract_onnx::pb::TensorProto;

use super::tensors::Files;

/// The constants of a graph, wherever they are.
pub(super) struct Constants<'c, 'a> {
    pub(super) files: &'c Files,
    pub(super) tensors: &'c HashMap<&'a str, Cow<'a, TensorProto>>,
    pub(super) aliases: &'c HashMap<&'a str, &'a str>,
}

impl<'a> Constants<'_, 'a> {
    /// Returns the constant that `name` stands for.
    pub(super) fn get(&self, name: &'a str) -> Option<&TensorProto> {
        self.tensors.get(resolve(self.aliases, name)).map(|tensor| &**tensor)
    }
}

/// Returns the value that `name` stands for, through any number of `aliases`.
pub(super) fn resolve<'n>(aliases: &HashMap<&str, &'n str>, mut name: &'n str) -> &'n str {
    // A chain in a valid graph is at most this long; in an invalid graph it may be a loop.
    for _ in 0..aliases.len() {
        match aliases.get(name) {
            Some(source) => name = source,
            None => break,
        }
    }
    name
}
