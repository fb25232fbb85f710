//! Reads the nodes of a classifier.

use tract_onnx::pb::NodeProto;

use super::attributes::{Attributes, location};
use super::graph::Graph;
use super::layers::{self, arity};
use crate::import::error::ImportErrorKind;
use crate::network::{Linear, Weights, Window};

/// Reads the classifier: a `Gemm`, or a `MatMul` with a constant.
pub(super) fn linear<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Result<Linear, ImportErrorKind> {
    let is_gemm = node.op_type == "Gemm";
    let known: &[&str] = if is_gemm { &["alpha", "beta", "transA", "transB"] } else { &[] };
    let attributes = Attributes::new(node, known)?;
    attributes.expect_int("transA", 0)?;
    let (weight, bias) = match node.input.as_slice() {
        [_, weight] => (weight, None),
        [_, weight, bias] if is_gemm => (weight, Some(bias).filter(|name| !name.is_empty())),
        _ => return Err(arity(node, "data, a weight and perhaps a bias")),
    };
    let transposed = attributes.int("transB", 0)? == 0;
    let (matrix, steps) = graph.weight(node, weight, usize::from(transposed))?;
    let [rows, columns] = *matrix.shape() else {
        return Err(ImportErrorKind::layer(
            location(node),
            format!("its weight has shape {:?}", matrix.shape()),
            "expected a matrix",
        ));
    };
    let (in_features, out_features, matrix) = match transposed {
        true => (rows, columns, matrix.transposed()),
        false => (columns, rows, matrix),
    };
    let mut bias = match bias {
        Some(name) => per_class(node, graph.floats(node, name)?, out_features)?,
        None => Vec::new(),
    };
    let mut weight = match steps {
        Some(steps) => Weights::quantized(matrix, &steps),
        None => matrix.into(),
    };
    let (alpha, beta) = (attributes.float("alpha", 1.0)?, attributes.float("beta", 1.0)?);
    if alpha != 1.0 {
        weight.scale(&vec![alpha.into(); out_features]);
    }
    bias.iter_mut().for_each(|value| *value *= beta);
    for (name, factor, sound) in [
        ("alpha", alpha, alpha == 1.0 || weight.read().iter().all(|value| value.is_finite())),
        ("beta", beta, bias.iter().all(|value| value.is_finite())),
    ] {
        if !sound {
            return Err(attributes.wrong(name, factor, "a finite factor of the classifier"));
        }
    }
    Ok(Linear { in_features, out_features, weight, bias })
}

/// Reads a classifier that is written as a 1×1 convolution.
pub(super) fn pointwise<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Result<Linear, ImportErrorKind> {
    // The sides do not matter to a window of one pixel.
    let conv = layers::conv(graph, node, [1, 1])?;
    if conv.window != (Window { kernel: 1, stride: 1, padding: 0 }) || conv.groups != 1 {
        return Err(ImportErrorKind::layer(
            location(node),
            "it is out of place",
            "expected a classifier: a Gemm, a MatMul or a 1×1 convolution",
        ));
    }
    Ok(Linear {
        in_features: conv.in_channels,
        out_features: conv.out_channels,
        weight: conv.weight,
        bias: conv.bias,
    })
}

/// Returns the constant that `add` adds to `product`, one element for each of `classes`.
pub(super) fn bias<'a>(
    graph: &Graph<'a>,
    add: &'a NodeProto,
    product: &str,
    classes: usize,
) -> Result<Vec<f32>, ImportErrorKind> {
    per_class(add, operand(graph, add, product)?, classes)
}

/// Returns shape and elements of the constant operand of `node`, whose other operand is `value`.
pub(super) fn operand<'a>(
    graph: &Graph<'a>,
    node: &'a NodeProto,
    value: &str,
) -> Result<(Vec<usize>, Vec<f32>), ImportErrorKind> {
    Attributes::new(node, &[])?;
    match node.input.as_slice() {
        [a, b] if graph.resolve(a) == value => graph.floats(node, b),
        [a, _] => graph.floats(node, a),
        _ => Err(arity(node, "two operands")),
    }
}

/// Returns the elements of a bias of shape `[classes]` or `[1, classes]`.
fn per_class(
    node: &NodeProto,
    (shape, values): (Vec<usize>, Vec<f32>),
    classes: usize,
) -> Result<Vec<f32>, ImportErrorKind> {
    if shape == [classes] || shape == [1, classes] {
        return Ok(values);
    }
    Err(ImportErrorKind::layer(
        location(node),
        format!("its bias has shape {shape:?}"),
        format!("expected [{classes}], one element per class"),
    ))
}

/// Checks that `node` normalises over the classes, dimension `of` of `rank`.
pub(super) fn softmax(node: &NodeProto, of: usize, rank: usize) -> Result<(), ImportErrorKind> {
    let attributes = Attributes::new(node, &["axis"])?;
    let axis = attributes.int("axis", -1)?;
    let counted = if axis < 0 { axis.saturating_add_unsigned(rank as u64) } else { axis };
    match usize::try_from(counted) {
        Ok(counted) if counted == of => Ok(()),
        _ => Err(attributes.wrong("axis", axis, "1, the classes")),
    }
}
