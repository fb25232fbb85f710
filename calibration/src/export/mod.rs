//! Writes a folded [`Network`] as ONNX, for other tools: in fp32, or in int8 as QuantizeLinear and DequantizeLinear
//! nodes.
//!
//! ONNX is one protobuf message, which cannot be longer than 2 GiB. A larger network keeps its weights in a second file
//! beside it, ONNX's "external data". Either way weights go from their source to the file one layer at a time.
//!
//! | module | role |
//! |---|---|
//! | `fp32`, `qdq` | a network → nodes and tensors |
//! | `proto` | what both say in ONNX's terms |

mod fp32;
mod proto;
mod qdq;

use std::io::{self, Write};
use std::path::Path;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto};

use crate::network::{Network, Weights};
use crate::preprocessing::Preprocessing;
use crate::quantize::Quantized;
use proto::Graph;

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
    /// `network` in fp32.
    ///
    /// The image is `image`, `[1, 3, height, width]`, normalised; the result is `logits`, `[1, classes]`. `properties`
    /// are the file's metadata.
    ///
    /// # Panics
    ///
    /// If a batch norm has not been folded.
    pub fn fp32(network: &'a Network, properties: &[(&str, String)]) -> Self {
        Self::new(fp32::graph(network), properties)
    }

    /// `network` as it was quantized, with QuantizeLinear and DequantizeLinear nodes around its operators.
    ///
    /// Image and result are those of [`fp32`](Self::fp32). Scales, zero points and integers are the artifact's:
    /// activations uint8 with a zero point for each tensor (the artifact's int8 plus 128), weights int8 per output
    /// channel, biases int32 in units of input times weight. Three things look unlike what other quantizers write,
    /// because they lose nothing:
    ///
    /// * The image is padded first, then brought back from `preprocessing`'s normalisation to pixels 0..255, and
    ///   quantized with scale 1. The first convolution has no padding of its own: a padded pixel is the mean colour.
    /// * What a residual is added to is not quantized before the addition, nor is a projection shortcut that is added.
    /// * The mean over all pixels is not quantized.
    ///
    /// # Panics
    ///
    /// If `quantized` is of another network.
    pub fn qdq(
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

    /// Bytes of all tensors.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors.iter().map(Initializer::bytes).sum()
    }

    /// Number of tensors.
    pub fn tensor_count(&self) -> usize {
        self.tensors.len()
    }

    /// Writes the model with its tensors inside; `progress` is called after each.
    ///
    /// # Errors
    ///
    /// As `out` has them; or the tensors are more than [`MAX_INSIDE`].
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

    /// Writes the model to `out` and its larger tensors to `data`, a file that will be found as `data_name` beside the
    /// former; `progress` is called after each tensor.
    ///
    /// # Errors
    ///
    /// As `out` and `data` have them.
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

/// One tensor of a model.
struct Initializer<'a> {
    name: String,
    shape: Vec<usize>,
    data_type: DataType,
    values: Values<'a>,
}

/// The elements of a tensor, in the order of its shape.
enum Values<'a> {
    /// fp32.
    Weights(&'a Weights),
    /// int8, stored `[out][taps][in]` where ONNX has `[out][in][taps]`.
    Integers { weights: &'a [i8], per_output: usize, taps: usize },
    /// Little-endian bytes.
    Bytes(Vec<u8>),
}

impl Initializer<'_> {
    fn bytes(&self) -> u64 {
        let len = match &self.values {
            Values::Weights(weights) => weights.len() * size_of::<f32>(),
            Values::Integers { weights, .. } => weights.len(),
            Values::Bytes(bytes) => bytes.len(),
        };
        len as u64
    }

    /// Everything but the elements.
    fn proto(&self) -> TensorProto {
        TensorProto {
            name: self.name.clone(),
            dims: self.shape.iter().map(|&size| size as i64).collect(),
            data_type: self.data_type as i32,
            ..TensorProto::default()
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let bytes: Vec<u8> = match &self.values {
            Values::Weights(weights) => weights.read().iter().flat_map(|value| value.to_le_bytes()).collect(),
            Values::Bytes(bytes) => return out.write_all(bytes),
            &Values::Integers { weights, per_output, taps } => weights
                .chunks_exact(per_output)
                .flat_map(|output| {
                    let inputs = per_output / taps;
                    (0..inputs).flat_map(move |input| output[input..].iter().step_by(inputs))
                })
                .map(|&weight| weight as u8)
                .collect(),
        };
        out.write_all(&bytes)
    }
}

#[cfg(test)]
mod tests;
