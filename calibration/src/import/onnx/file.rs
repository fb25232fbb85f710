//! ONNX files without their weights.
//!
//! A protobuf decoder copies every byte, and the weights of the largest model that fits one message are 2 GB. So the raw data of
//! tensors is taken out before decoding, and the rest says where in the file it is: as the "external data" of ONNX, in a file
//! without a name.

use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{ModelProto, StringStringEntryProto, TensorProto};

/// Raw data of up to this many bytes stays in the message: the shapes and axes that some operators take as tensors.
const SMALL: usize = 1 << 10;

/// Decodes a model whose weights stay in `bytes`.
///
/// # Errors
///
/// If `bytes` are not a message.
pub(super) fn decode(bytes: &[u8]) -> Result<ModelProto, String> {
    let mut rest = Vec::new();
    take_out(Kind::Model, bytes, 0, &mut rest).ok_or("a field is malformed or ends early")?;
    let mut model = ModelProto::decode(&*rest).map_err(|error| error.to_string())?;
    // Caffe2 writes additions as sums of any number of values.
    let nodes = model.graph.iter_mut().flat_map(|graph| &mut graph.node);
    nodes
        .filter(|node| node.op_type == "Sum" && node.input.len() == 2)
        .for_each(|node| node.op_type = "Add".into());
    Ok(model)
}

/// The messages on the way to a tensor.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
}

impl Kind {
    /// Returns the message in field number `field`, if it may hold a tensor. The numbers are those of `onnx.proto`.
    fn child(self, field: u32) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) => Some(Self::Graph),
            (Self::Graph, 1) => Some(Self::Node),
            (Self::Graph, 5) => Some(Self::Tensor),
            (Self::Node, 5) => Some(Self::Attribute),
            (Self::Attribute, 5) => Some(Self::Tensor),
            _ => None,
        }
    }
}

/// The field number of `TensorProto.raw_data`.
const RAW_DATA: u32 = 9;

/// Copies the message `bytes`, which begins at offset `start` of the file, to `rest` without the raw data of its tensors.
fn take_out(kind: Kind, bytes: &[u8], start: usize, rest: &mut Vec<u8>) -> Option<()> {
    let mut left = bytes;
    while !left.is_empty() {
        let before = left;
        let (field, wire) = decode_key(&mut left).ok()?;
        let skipped = match wire {
            WireType::Varint => decode_varint(&mut left).map(|_| 0).ok()?,
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => decode_varint(&mut left).ok()?,
            // Groups were deprecated before ONNX existed; the decoder will say so.
            WireType::StartGroup | WireType::EndGroup => 0,
        };
        let (value, after) = left.split_at_checked(usize::try_from(skipped).ok()?)?;
        let at = start + bytes.len() - left.len();
        left = after;
        let child = kind.child(field).filter(|_| wire == WireType::LengthDelimited);
        if let Some(child) = child {
            let mut inner = Vec::new();
            take_out(child, value, at, &mut inner)?;
            encode_key(field, wire, rest);
            encode_varint(inner.len() as u64, rest);
            rest.append(&mut inner);
        } else if kind == Kind::Tensor && field == RAW_DATA && value.len() > SMALL {
            let entry = |key: &str, value: usize| StringStringEntryProto {
                key: key.into(),
                value: value.to_string(),
            };
            let place = TensorProto {
                data_location: Some(DataLocation::External as i32),
                external_data: vec![entry("offset", at), entry("length", value.len())],
                ..TensorProto::default()
            };
            // Appending a message to another merges them.
            rest.append(&mut place.encode_to_vec());
        } else {
            rest.extend_from_slice(&before[..before.len() - after.len()]);
        }
    }
    Some(())
}
