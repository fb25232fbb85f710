//! From an ONNX graph to a [`Network`].
//!
//! The importer works on the protobuf and not on tract's model, because tract would already have rewritten what has to be
//! recognised: a 1×1 convolution becomes a matrix product, for one. It understands what both exporters of PyTorch and that of
//! Paddle write, and what mmdeploy makes of the former: opset 7 and later; batch norm folded or kept; a fixed or an open batch,
//! height and width; weights in the message, in nodes or beside the file, in any floating-point type; a softmax at the end. It
//! reads a graph that is quantized in the QDQ format as the real values that its integers stand for, and its scales go into
//! [`Network::prequantized`].
//!
//! | module | role |
//! |---|---|
//! | `file` | the message, without the weights in it |
//! | `fold` | constants that exporters leave to be computed |
//! | `graph` | the producer and the readers of each value |
//! | `attributes`, `constants` | typed access to what nodes and files hold |
//! | `tensors` | weights, wherever they are |
//! | `quantizers` | QuantizeLinear and DequantizeLinear nodes, which become aliases and scales |
//! | `image` | the declaration of the input |
//! | `layers`, `classifier` | one node → one layer |
//! | `walk` | the nodes in forward order |
//! | `front` | the nodes before the first convolution: normalisation, the order of dimensions |
//! | `head` | the nodes after the last block, with `layout`, which dimension is which, and `shapes`, computed shapes |
//! | `foreign` | what a node is that no ResNeXt has |

mod attributes;
mod classifier;
mod constants;
mod file;
mod fold;
mod foreign;
mod front;
mod graph;
mod head;
mod image;
mod layers;
mod layout;
mod quantizers;
mod shapes;
mod tensors;
mod walk;

use std::path::Path;

use resnext_checkpoint::{FileBytes, FileError, content};
use tract_onnx::pb::ModelProto;

use super::error::{ImportErrorKind, Location};
use super::{ImportOptions, Imported};
use crate::network::Origin;
use graph::Graph;
use resnext_models::Library;
use tensors::Files;

/// The oldest operator set whose attributes have the meaning that the importer assumes.
const OLDEST_OPSET: i64 = 7;

/// Reads the model in `path` and calls it `name`.
pub(super) fn load(path: &Path, name: String, options: ImportOptions) -> Result<Imported, ImportErrorKind> {
    let source = FileBytes::map(path).map_err(|e| ImportErrorKind::File(FileError::unread(e)))?;
    content::not_onnx(source.bytes()).map_err(ImportErrorKind::File)?;
    let proto = file::decode(source.bytes()).map_err(|e| ImportErrorKind::corrupt("ONNX", e))?;
    import(&proto, &Files::new(path, source), name, options)
}

/// Converts a decoded model, whose weights may be in `files`.
///
/// # Errors
///
/// If an operator, attribute, connection or weight does not belong to a ResNeXt; the error names the first.
fn import(
    proto: &ModelProto,
    files: &Files,
    name: String,
    options: ImportOptions,
) -> Result<Imported, ImportErrorKind> {
    let opset = proto.opset_import.iter().find(|o| o.domain.is_empty() || o.domain == "ai.onnx");
    match opset.map(|o| o.version) {
        Some(OLDEST_OPSET..) => {}
        Some(version) => {
            return Err(ImportErrorKind::layer(
                Location::Graph,
                format!("it uses ONNX operator set {version}"),
                format!("export it again with opset {OLDEST_OPSET} or later"),
            ));
        }
        None => return Err(ImportErrorKind::corrupt("ONNX", "it names no operator set")),
    }
    let Some(graph) = &proto.graph else {
        return Err(ImportErrorKind::corrupt("ONNX", "it contains no graph"));
    };
    if let Some(tensor) = graph.sparse_initializer.first().and_then(|sparse| sparse.values.as_ref()) {
        return Err(ImportErrorKind::layer(
            Location::Tensor(tensor.name.clone()),
            "it is a sparse tensor",
            "export the model with dense weights",
        ));
    }
    let graph = Graph::new(graph, files)?;
    graph.expect_operators()?;
    let mut imported = walk::network(&graph, name, options)?;
    imported.network.origin = Origin { fixed_size: graph.image()?.height.is_some(), ..origin(proto) };
    Ok(imported)
}

/// Returns what a model says of its origin.
fn origin(proto: &ModelProto) -> Origin {
    let mut nodes = proto.graph.iter().flat_map(|graph| &graph.node);
    let libraries = match proto.producer_name.as_str() {
        "pytorch" => vec![Library::Torchvision, Library::Timm, Library::Mmcls],
        // paddle2onnx does not name itself, but it numbers its nodes.
        _ if nodes.any(|node| node.name.starts_with("p2o.")) => vec![Library::Ppcls],
        _ => Vec::new(),
    };
    let properties = proto.metadata_props.iter().map(|entry| (entry.key.clone(), entry.value.clone()));
    Origin { libraries, fixed_size: false, properties: properties.collect() }
}

#[cfg(test)]
mod tests;
