//! ONNX graphs to [`Network`].
//!
//! Works on the protobuf, not on tract's model: tract would already have rewritten what has to be recognised
//! (a 1×1 convolution becomes a matrix product, for one). Understands what the exporters of torchvision and
//! timm write, opset 11 and later, with batch norm folded or kept, with a fixed or an open batch, height and
//! width, and with the weights inside the file or next to it.

mod graph;
mod layers;
mod walk;

use std::path::Path;

use resnext_checkpoint::stored::Source;
use resnext_checkpoint::{FileError, content};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::Framework;

use super::ImportOptions;
use super::error::{ImportErrorKind, Place};
use crate::network::Network;
use graph::Graph;

/// The oldest operator set whose attributes mean what the importer takes them to mean.
const OLDEST_OPSET: i64 = 11;

/// Reads the model in `path` and calls it `name`.
pub(crate) fn load(path: &Path, name: String, options: ImportOptions) -> Result<Network, ImportErrorKind> {
    // Before tract, which has one error for all that can be wrong with a file.
    let source = Source::map(path).map_err(|e| ImportErrorKind::File(FileError::Read(e)))?;
    content::not_a_model(source.bytes()).map_err(ImportErrorKind::File)?;
    let proto = tract_onnx::onnx()
        .proto_model_for_path(path)
        .map_err(|e| ImportErrorKind::corrupt("ONNX", format_args!("{e:#}")))?;
    let directory = path.parent().unwrap_or(Path::new(""));
    import(&proto, directory, name, options)
}

/// Converts a parsed model. Weights that it keeps in other files are looked up in `directory`, and nowhere
/// outside it.
///
/// # Errors
///
/// An operator, attribute, connection or weight does not belong to a ResNeXt; the error names the first.
pub fn import(
    proto: &ModelProto,
    directory: &Path,
    name: String,
    options: ImportOptions,
) -> Result<Network, ImportErrorKind> {
    let opset = proto.opset_import.iter().find(|o| o.domain.is_empty() || o.domain == "ai.onnx");
    match opset.map(|o| o.version) {
        Some(OLDEST_OPSET..) => {}
        Some(version) => {
            return Err(ImportErrorKind::layer(
                Place::Graph,
                format!("it uses ONNX operator set {version}"),
                format!("export it again with opset {OLDEST_OPSET} or later"),
            ));
        }
        None => return Err(ImportErrorKind::corrupt("ONNX", "it names no operator set")),
    }
    let Some(graph) = &proto.graph else {
        return Err(ImportErrorKind::corrupt("ONNX", "it contains no graph"));
    };
    let graph = Graph::new(graph, directory)?;
    graph.expect_operators()?;
    walk::network(&graph, name, options)
}

#[cfg(test)]
mod tests;
