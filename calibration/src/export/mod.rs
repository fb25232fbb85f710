//! Writes a folded [`Network`] as ONNX, for other tools: in fp32, or in int8 as QuantizeLinear and DequantizeLinear
//! nodes.
//!
//! ONNX is one protobuf message, which cannot be longer than 2 GiB. A larger network keeps its weights in a second file
//! beside it, ONNX's "external data". Either way the weights go from their source to the file one layer at a time.
//!
//! | module | role |
//! |---|---|
//! | `fp32`, `qdq` | a network → nodes and tensors |
//! | `proto` | nodes in terms of ONNX |
//! | `tensor` | tensors, whose elements are written one layer at a time |

mod fp32;
mod proto;
mod qdq;
mod tensor;

use std::io::{self, Write};
use std::path::Path;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto};

use crate::network::Network;
use crate::quantize::Quantized;
use proto::Graph;
use resnext::preprocess::Preprocessing;
use tensor::Initializer;

/// The operator set whose operators are written.
const OPSET: i64 = 17;
/// The file format that goes with it.
const IR_VERSION: i64 = 8;
/// Field numbers of `ModelProto.graph`, `GraphProto.initializer` and `TensorProto.raw_data` in `onnx.proto`.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;
const RAW_DATA: u32 = 9;

/// The most weights a file keeps inside, in bytes: protobuf's 2 GiB with room for everything else.
pub const MAX_INSIDE: u64 = (2 << 30) - (16 << 20);
/// External weights start at multiples of this many bytes, so that a mapping of any system can start there.
const ALIGN: u64 = 4096;
/// Tensors up to this many bytes stay inside: scales, and what other tools look at without opening another file.
const SMALL: u64 = 1 << 10;

/// An ONNX model to be written.
pub struct OnnxFile<'a> {
    /// Everything but the graph.
    model: ModelProto,
    /// Everything but the tensors.
    graph: GraphProto,
    tensors: Vec<Initializer<'a>>,
}

impl<'a> OnnxFile<'a> {
    /// Makes the model of `network` in fp32.
    ///
    /// The image is `image`, `[1, 3, height, width]`, normalised, unless the network comes from a file that
    /// [normalises](crate::network::Normalisation) its image itself: then this file does so too. The result is `logits`, `[1, classes]`.
    /// `properties` are the file's metadata.
    ///
    /// # Panics
    ///
    /// If a batch norm has not been folded.
    pub fn fp32(network: &'a Network, properties: &[(&str, String)]) -> Self {
        Self::new(fp32::graph(network), properties)
    }

    /// Makes the model of `network` as it was quantized, with QuantizeLinear and DequantizeLinear nodes around its operators.
    ///
    /// Image and result are those of [`fp32`](Self::fp32). Scales, zero points and integers are those of the artifact:
    /// activations are uint8 with a zero point for each tensor (the int8 of the artifact plus 128), weights are int8 with a scale
    /// for each output channel, biases are int32 in units of input times weight. Three things differ from what other quantizers
    /// write, because they lose nothing:
    ///
    /// * The image is padded first, then converted from the normalisation of `preprocessing` back to pixels 0..255, and quantized
    ///   with scale 1. The first convolution has no padding itself: a padded pixel has the mean colour.
    /// * The output of a convolution is not quantized before a residual is added to it, nor is a projection shortcut before it is
    ///   added.
    /// * The mean over all pixels is not quantized.
    ///
    /// # Panics
    ///
    /// If `quantized` is of another network.
    pub(crate) fn qdq(
        network: &Network,
        quantized: &'a Quantized,
        preprocessing: &Preprocessing,
        properties: &[(&str, String)],
    ) -> Self {
        Self::new(qdq::graph(network, quantized, preprocessing), properties)
    }

    fn new(graph: Graph<'a>, properties: &[(&str, String)]) -> Self {
        let property = |(key, value): &(&str, String)| StringStringEntryProto {
            key: (*key).into(),
            value: value.clone(),
        };
        let model = ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![OperatorSetIdProto { version: OPSET, ..Default::default() }],
            producer_name: "resnext".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            metadata_props: properties.iter().map(property).collect(),
            ..ModelProto::default()
        };
        Self { model, graph: graph.proto, tensors: graph.tensors }
    }

    /// Returns the bytes of all tensors.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors.iter().map(Initializer::bytes).sum()
    }

    /// Returns the number of tensors.
    pub fn tensor_count(&self) -> usize {
        self.tensors.len()
    }

    /// Writes the model with its tensors inside. `progress` is called after each tensor.
    ///
    /// # Errors
    ///
    /// The errors of `out`; or the tensors take more than [`MAX_INSIDE`].
    pub fn write(&self, out: &mut dyn Write, progress: &dyn Fn()) -> io::Result<()> {
        if self.tensor_bytes() > MAX_INSIDE {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "more weights than a protobuf message can hold",
            ));
        }
        let headers: Vec<Vec<u8>> =
            self.tensors.iter().map(|tensor| tensor.proto().encode_to_vec()).collect();
        let mut graph = self.graph.encode_to_vec();
        // `raw_data` and `initializer` are written by hand, so that no message ever holds them.
        let field = |bytes: u64| 1 + encoded_len_varint(bytes) as u64 + bytes;
        let tensor_len =
            |tensor: &Initializer<'_>, header: &[u8]| header.len() as u64 + field(tensor.bytes());
        let lengths = self.tensors.iter().zip(&headers).map(|(tensor, header)| tensor_len(tensor, header));
        let graph_len = graph.len() as u64 + lengths.map(field).sum::<u64>();
        let mut head = self.model.encode_to_vec();
        encode_key(GRAPH, WireType::LengthDelimited, &mut head);
        encode_varint(graph_len, &mut head);
        head.append(&mut graph);
        out.write_all(&head)?;
        for (tensor, header) in self.tensors.iter().zip(&headers) {
            let mut head = Vec::new();
            encode_key(INITIALIZER, WireType::LengthDelimited, &mut head);
            encode_varint(tensor_len(tensor, header), &mut head);
            head.extend_from_slice(header);
            encode_key(RAW_DATA, WireType::LengthDelimited, &mut head);
            encode_varint(tensor.bytes(), &mut head);
            out.write_all(&head)?;
            tensor.write(out)?;
            progress();
        }
        Ok(())
    }

    /// Writes the model to `out` and its larger tensors to `data`, a file that has to lie beside the model under the name
    /// `data_name`. `progress` is called after each tensor.
    ///
    /// # Errors
    ///
    /// The errors of `out` and `data`.
    pub fn write_external(
        &self,
        out: &mut dyn Write,
        data: &mut dyn Write,
        data_name: &Path,
        progress: &dyn Fn(),
    ) -> io::Result<()> {
        let mut graph = self.graph.clone();
        let mut offset = 0u64;
        for tensor in &self.tensors {
            let mut proto = tensor.proto();
            if tensor.bytes() <= SMALL {
                tensor.write(&mut proto.raw_data)?;
            } else {
                let aligned = offset.next_multiple_of(ALIGN);
                data.write_all(&vec![0; (aligned - offset) as usize])?;
                tensor.write(data)?;
                let entry = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
                proto.data_location = Some(DataLocation::External as i32);
                proto.external_data = vec![
                    entry("location", data_name.to_string_lossy().into_owned()),
                    entry("offset", aligned.to_string()),
                    entry("length", tensor.bytes().to_string()),
                ];
                offset = aligned + tensor.bytes();
            }
            graph.initializer.push(proto);
            progress();
        }
        out.write_all(&ModelProto { graph: Some(graph), ..self.model.clone() }.encode_to_vec())
    }
}

#[cfg(test)]
mod tests;
