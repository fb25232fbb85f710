//! What a file says of its network beyond the layers.

use resnext_models::Library;

/// What a file says of its network beyond the layers: where it comes from, and what else is written in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The libraries whose checkpoints name tensors as the file does, or from whose frameworks a graph of its kind is exported.
    /// Empty if nothing tells.
    pub libraries: Vec<Library>,
    /// Whether the file fixes the size of its input.
    pub fixed_size: bool,
    /// The metadata of an ONNX file, keys and values.
    pub properties: Vec<(String, String)>,
}

impl Origin {
    /// Whether the network may come from `library`, as far as the file tells.
    pub fn may_be(&self, library: Library) -> bool {
        self.libraries.is_empty() || self.libraries.contains(&library)
    }
}
