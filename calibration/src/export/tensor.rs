//! The tensors of an ONNX model, whose elements stay where they are until they are written.

use std::io::{self, Write};

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;

use crate::network::Weights;

/// One tensor of a model.
pub(super) struct Initializer<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) data_type: DataType,
    pub(super) values: Values<'a>,
}

/// The elements of a tensor, in the order of its shape.
pub(super) enum Values<'a> {
    /// fp32.
    Weights(&'a Weights),
    /// int8, stored `[out][taps][in]` where ONNX has `[out][in][taps]`.
    Integers { weights: &'a [i8], per_output: usize, taps: usize },
    /// Little-endian bytes.
    Bytes(Vec<u8>),
}

impl Initializer<'_> {
    /// Returns the bytes of the elements.
    pub(super) fn bytes(&self) -> u64 {
        let len = match &self.values {
            Values::Weights(weights) => weights.len() * size_of::<f32>(),
            Values::Integers { weights, .. } => weights.len(),
            Values::Bytes(bytes) => bytes.len(),
        };
        len as u64
    }

    /// Returns everything but the elements.
    pub(super) fn proto(&self) -> TensorProto {
        TensorProto {
            name: self.name.clone(),
            dims: self.shape.iter().map(|&size| size as i64).collect(),
            data_type: self.data_type as i32,
            ..TensorProto::default()
        }
    }

    /// Writes the elements.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
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
