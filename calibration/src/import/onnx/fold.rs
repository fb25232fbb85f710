//! Constants, and the values that exporters leave to be computed from them: shapes, axes, and biases of zeros.

use std::borrow::Cow;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};

use super::attributes::Attributes;
use super::tensors::{ints, scalar};

/// The most elements that are computed for a graph: twice the biases of the largest ResNeXt. It bounds the memory that a file can
/// make the importer take.
pub(super) const MAX_FOLDED_ELEMENTS: usize = 1 << 20;

/// Returns the output of `node`, if it is a `Constant` that holds numbers, or one of the few supported operators and `constant`
/// knows all its inputs. A computed output has at most `most` elements.
pub(super) fn fold<'a, 'c>(
    node: &'a NodeProto,
    constant: impl Fn(&'a str) -> Option<&'c TensorProto>,
    most: usize,
) -> Option<Cow<'a, TensorProto>> {
    if let ("Constant", [attribute]) = (node.op_type.as_str(), node.attribute.as_slice()) {
        return match attribute.name.as_str() {
            "value" => attribute.t.as_ref().map(Cow::Borrowed),
            "value_ints" => Some(Cow::Owned(vector(attribute.ints.clone()))),
            "value_floats" => Some(Cow::Owned(floats(attribute.floats.clone()))),
            _ => None,
        };
    }
    compute(node, constant, most).filter(|tensor| elements(tensor) <= most).map(Cow::Owned)
}

fn compute<'a, 'c>(
    node: &'a NodeProto,
    constant: impl Fn(&'a str) -> Option<&'c TensorProto>,
    most: usize,
) -> Option<TensorProto> {
    let input = |index: usize| constant(node.input.get(index)?);
    match node.op_type.as_str() {
        "Shape" => {
            let attributes = Attributes::new(node, &["start", "end"]).ok()?;
            let dims = &input(0)?.dims;
            let rank = i64::try_from(dims.len()).ok()?;
            let bound = |name, default| {
                let bound = attributes.int(name, default).ok()?;
                usize::try_from(if bound < 0 { bound.checked_add(rank)? } else { bound.min(rank) }).ok()
            };
            Some(vector(dims.get(bound("start", 0)?..bound("end", rank)?)?.to_vec()))
        }
        "Concat" => {
            let mut values = Vec::new();
            for name in &node.input {
                values.append(&mut ints(constant(name)?)?);
                if values.len() > most {
                    return None;
                }
            }
            Some(vector(values))
        }
        "Reshape" => {
            let (values, target) = (ints(input(0)?)?, ints(input(1)?)?);
            let len = i64::try_from(values.len()).ok()?;
            matches!(target[..], [size] if size == -1 || size == len).then(|| vector(values))
        }
        "Expand" => {
            let [len] = ints(input(1)?)?[..] else { return None };
            let len = usize::try_from(len).ok().filter(|&len| len <= most)?;
            match (ints(input(0)?).as_deref(), scalar(input(0)?)) {
                (Some(&[value]), _) => Some(vector(vec![value; len])),
                (_, Some(value)) => Some(floats(vec![value; len])),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Returns the number of elements of a tensor that [`fold`] has made.
pub(super) fn elements(tensor: &TensorProto) -> usize {
    tensor.int64_data.len().max(tensor.float_data.len())
}

fn vector(values: Vec<i64>) -> TensorProto {
    let tensor = one_dimension(values.len(), DataType::Int64);
    TensorProto { int64_data: values, ..tensor }
}

fn floats(values: Vec<f32>) -> TensorProto {
    let tensor = one_dimension(values.len(), DataType::Float);
    TensorProto { float_data: values, ..tensor }
}

fn one_dimension(len: usize, data_type: DataType) -> TensorProto {
    let dims = i64::try_from(len).into_iter().collect();
    TensorProto { dims, data_type: data_type as i32, ..TensorProto::default() }
}
