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
    /// The constant that `name` stands for.
    pub(super) fn get(&self, name: &'a str) -> Option<&TensorProto> {
        self.tensors.get(resolve(self.aliases, name)).map(|tensor| &**tensor)
    }
}

/// The value `name` stands for, seen through `aliases`.
pub(super) fn resolve<'n>(aliases: &HashMap<&str, &'n str>, mut name: &'n str) -> &'n str {
    // In a valid graph a chain is at most this long; in an invalid one it may be a loop.
    for _ in 0..aliases.len() {
        match aliases.get(name) {
            Some(source) => name = source,
            None => break,
        }
    }
    name
}
