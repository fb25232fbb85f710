//! Reads single ONNX nodes: each function turns one node into one layer, or says what is wrong with it.

use tract_onnx::pb::NodeProto;

use super::attributes::{Attributes, location};
use super::graph::Graph;
use crate::import::checks::{describe, size};
use crate::import::error::ImportErrorKind;
use crate::import::parts::Pool;
use crate::network::{BatchNorm, Conv, Linear, Shape, Weights, Window};

/// Reads a `Conv` with its weight and bias.
pub(super) fn conv<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Result<Conv, ImportErrorKind> {
    let known = ["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
    let attributes = Attributes::new(node, &known)?;
    let [_, weight, bias @ ..] = node.input.as_slice() else {
        return Err(arity(node, "a weight"));
    };
    let (weight, steps) = graph.weight(node, weight, 0)?;
    let [out_channels, per_group, kh, kw] = *weight.shape() else {
        return Err(ImportErrorKind::layer(
            location(node),
            format!("its weight has shape {:?}", weight.shape()),
            "expected [out, in / groups, height, width]",
        ));
    };
    let window = window(&attributes, Some([kh, kw]))?;
    let group = attributes.int("group", 1)?;
    let (Ok(groups @ 1..), Some(in_channels)) =
        (usize::try_from(group), per_group.checked_mul(as_usize(group)))
    else {
        return Err(attributes.wrong("group", group, "a positive number of groups"));
    };
    let bias = match bias {
        [] => Vec::new(),
        [name] if name.is_empty() => Vec::new(),
        [name] => graph.floats(node, name)?.1,
        _ => return Err(arity(node, "data, weight and bias")),
    };
    Ok(Conv {
        window,
        groups,
        in_channels,
        out_channels,
        weight: match steps {
            Some(steps) => Weights::quantized(weight, &steps),
            None => weight.into(),
        },
        bias,
        batch_norm: None,
        statistics: None,
        residual: None,
        relu: false,
    })
}

/// Reads a `BatchNormalization` in inference mode.
pub(super) fn batch_norm<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Result<BatchNorm, ImportErrorKind> {
    let attributes = Attributes::new(node, &["epsilon", "momentum", "training_mode"])?;
    attributes.expect_int("training_mode", 0)?;
    let epsilon = attributes.float("epsilon", 1e-5)?;
    let [_, scale, shift, mean, variance] = node.input.as_slice() else {
        return Err(arity(node, "data, scale, shift, mean and variance"));
    };
    let read = |name| Ok(graph.floats(node, name)?.1);
    Ok(BatchNorm {
        scale: read(scale)?,
        shift: read(shift)?,
        mean: read(mean)?,
        variance: read(variance)?,
        epsilon,
    })
}

/// Reads a `MaxPool`.
pub(super) fn max_pool(node: &NodeProto) -> Result<Pool, ImportErrorKind> {
    let known = ["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"];
    let attributes = Attributes::new(node, &known)?;
    attributes.expect_int("storage_order", 0)?;
    Ok(Pool {
        location: location(node),
        window: window(&attributes, None)?,
        ceil: attributes.int("ceil_mode", 0)? != 0,
        quantization: None,
    })
}

/// Reads an `AveragePool`. Whether padding counts does not matter, because no ResNeXt has a padded window.
pub(super) fn avg_pool(node: &NodeProto) -> Result<Pool, ImportErrorKind> {
    let known =
        ["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"];
    let attributes = Attributes::new(node, &known)?;
    Ok(Pool {
        location: location(node),
        window: window(&attributes, None)?,
        ceil: attributes.int("ceil_mode", 0)? != 0,
        quantization: None,
    })
}

/// Checks that `node` averages an input of shape `input` over height and width, and returns whether it also removes them.
pub(super) fn global_pool<'a>(
    graph: &Graph<'a>,
    node: &'a NodeProto,
    input: Shape,
) -> Result<bool, ImportErrorKind> {
    if node.op_type == "GlobalAveragePool" {
        Attributes::new(node, &[])?;
        return Ok(false);
    }
    if node.op_type == "AveragePool" {
        let Pool { location, window, .. } = avg_pool(node)?;
        if [input.height, input.width] == [window.kernel; 2] && window.padding == 0 {
            return Ok(false);
        }
        return Err(ImportErrorKind::layer(
            location,
            format!("it is {} on {}", describe(window), size(input)),
            "expected it to average all pixels; give the input size that the model was made for",
        ));
    }
    let attributes = Attributes::new(node, &["axes", "keepdims", "noop_with_empty_axes"])?;
    expect_spatial(graph, node, &attributes)?;
    Ok(attributes.int("keepdims", 1)? == 0)
}

/// Checks that `node` turns N×`channels`×1×1 into N×`channels`, or leaves its input as it is if that is `flat` already.
pub(super) fn flatten<'a>(
    graph: &Graph<'a>,
    node: &'a NodeProto,
    flat: bool,
    batch: Option<usize>,
    channels: usize,
) -> Result<(), ImportErrorKind> {
    match node.op_type.as_str() {
        "Flatten" => {
            let attributes = Attributes::new(node, &["axis"])?;
            let rank = if flat { 2 } else { 4 };
            match attributes.int("axis", 1)? {
                1 => Ok(()),
                axis if axis == 1 - rank => Ok(()),
                axis => Err(attributes.wrong("axis", axis, "1, to keep the batch")),
            }
        }
        "Squeeze" if !flat => expect_spatial(graph, node, &Attributes::new(node, &["axes"])?),
        "Reshape" => {
            Attributes::new(node, &["allowzero"])?;
            let [_, target] = node.input.as_slice() else {
                return Err(arity(node, "data and a shape"));
            };
            if !graph.is_constant(target) {
                // The shape is computed from the batch size. The matrix product that follows takes N×channels alone.
                return Ok(());
            }
            let size = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            let target = graph.ints(target);
            match target.as_deref() {
                // The first size is the batch, however it is written. A 1 comes from tracing with a single image.
                Some(&[n, c])
                    if (n == -1 || n == 0 || n == 1 || batch.is_some_and(|b| n == size(b)))
                        && (c == size(channels) || (c == -1 && n != -1)) =>
                {
                    Ok(())
                }
                _ => Err(ImportErrorKind::layer(
                    location(node),
                    format!("it reshapes to {target:?}"),
                    format!("expected [N, {channels}]"),
                )),
            }
        }
        _ => Err(ImportErrorKind::layer(
            location(node),
            "it is out of place",
            "expected Gemm or MatMul after the pooled image is flat",
        )),
    }
}

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

/// Returns the constant that `add` adds to `product`, one element for each of `classes`.
pub(super) fn bias<'a>(
    graph: &Graph<'a>,
    add: &'a NodeProto,
    product: &str,
    classes: usize,
) -> Result<Vec<f32>, ImportErrorKind> {
    Attributes::new(add, &[])?;
    match add.input.as_slice() {
        [a, b] if graph.resolve(a) == product => per_class(add, graph.floats(add, b)?, classes),
        [a, _] => per_class(add, graph.floats(add, a)?, classes),
        _ => Err(arity(add, "two operands")),
    }
}

/// Returns the constant operand of `node`, one element for each channel of the image `value`, which is the other operand.
pub(super) fn per_channel<'a>(
    graph: &Graph<'a>,
    node: &'a NodeProto,
    value: &str,
) -> Result<[f32; 3], ImportErrorKind> {
    Attributes::new(node, &[])?;
    let constant = match node.input.as_slice() {
        [a, b] if graph.resolve(a) == value => b,
        [a, _] => a,
        _ => return Err(arity(node, "two operands")),
    };
    let (shape, values) = graph.floats(node, constant)?;
    match (shape.as_slice(), values.as_slice()) {
        ([1, 3, 1, 1] | [3, 1, 1], &[r, g, b]) => Ok([r, g, b]),
        _ => Err(ImportErrorKind::layer(
            location(node),
            format!("its constant has shape {shape:?}"),
            "expected [1, 3, 1, 1], one for each channel of the image",
        )),
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

/// Checks that `node` normalises over the classes.
pub(super) fn softmax(node: &NodeProto) -> Result<(), ImportErrorKind> {
    let attributes = Attributes::new(node, &["axis"])?;
    match attributes.int("axis", -1)? {
        1 | -1 => Ok(()),
        axis => Err(attributes.wrong("axis", axis, "1, the classes")),
    }
}

/// Returns the number of zeros that a `Pad` adds on each of the four sides of an image.
pub(super) fn pad<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Result<usize, ImportErrorKind> {
    let attributes = Attributes::new(node, &["mode", "pads", "value"])?;
    if let Some(mode) = attributes.string("mode")?
        && mode != b"constant"
    {
        return Err(attributes.wrong("mode", String::from_utf8_lossy(mode), "constant"));
    }
    let (pads, fill) = match (attributes.ints("pads")?, node.input.as_slice()) {
        (Some(pads), _) => (Some(pads.to_vec()), attributes.float("value", 0.0)?),
        (None, [_, pads]) => (graph.ints(pads), 0.0),
        (None, [_, pads, fill]) if fill.is_empty() => (graph.ints(pads), 0.0),
        (None, [_, pads, fill]) => {
            let (_, fill) = graph.floats(node, fill)?;
            (graph.ints(pads), fill.first().copied().unwrap_or(0.0))
        }
        _ => (None, 0.0),
    };
    match pads.as_deref() {
        Some(&[0, 0, top, left, 0, 0, bottom, right])
            if fill == 0.0 && [left, bottom, right] == [top; 3] && (0..=SANE).contains(&top) =>
        {
            Ok(as_usize(top))
        }
        _ => Err(ImportErrorKind::layer(
            location(node),
            pads.map_or_else(
                || "its padding is not constant".into(),
                |pads| format!("it pads by {pads:?} with {fill}"),
            ),
            "expected the same number of zeros on all four sides of the image",
        )),
    }
}

/// Checks that the axes of `node` (an attribute, or the second input since opset 13 or 18) are height and
/// width.
fn expect_spatial<'a>(
    graph: &Graph<'a>,
    node: &'a NodeProto,
    attributes: &Attributes,
) -> Result<(), ImportErrorKind> {
    let axes = match (attributes.ints("axes")?, node.input.as_slice()) {
        (Some(axes), _) => Some(axes.to_vec()),
        (None, [_, name]) => graph.ints(name),
        _ => None,
    };
    match axes.as_deref() {
        Some([2 | -2, 3 | -1] | [3 | -1, 2 | -2]) => Ok(()),
        _ => Err(ImportErrorKind::layer(
            location(node),
            axes.map_or_else(|| "its axes are not constant".into(), |axes| format!("its axes are {axes:?}")),
            "expected 2 and 3, height and width",
        )),
    }
}

/// Reads the window of a convolution or pooling. A weight may give its kernel as `[height, width]`.
fn window(attributes: &Attributes, weight: Option<[usize; 2]>) -> Result<Window, ImportErrorKind> {
    if let Some(mode) = attributes.string("auto_pad")?
        && mode != b"NOTSET"
    {
        let mode = String::from_utf8_lossy(mode);
        return Err(attributes.wrong("auto_pad", mode, "NOTSET, with explicit pads"));
    }
    if let Some(dilations) = attributes.ints("dilations")?
        && dilations.iter().any(|&d| d != 1)
    {
        return Err(attributes.wrong("dilations", dilations, "1 in both directions"));
    }
    let declared = attributes.ints("kernel_shape")?;
    let kernel = match (declared, weight) {
        (Some(&[h, w]), None) => [as_usize(h), as_usize(w)],
        (Some(&[h, w]), Some(weight)) if weight == [as_usize(h), as_usize(w)] => weight,
        (None, Some(weight)) => weight,
        (declared, weight) => {
            let expected =
                weight.map_or("two sizes".into(), |[h, w]| format!("[{h}, {w}], as its weight has"));
            return Err(attributes.wrong("kernel_shape", declared, expected));
        }
    };
    let strides = attributes.ints("strides")?.unwrap_or(&[1, 1]);
    let pads = attributes.ints("pads")?.unwrap_or(&[0; 4]);
    match (kernel, strides, pads) {
        ([kernel, kw], &[stride, sw], &[padding, ref rest @ ..]) if kernel == kw && stride == sw => {
            if rest.len() != 3 || rest.iter().any(|&p| p != padding) || !(0..=SANE).contains(&padding) {
                return Err(attributes.wrong("pads", pads, "the same padding on all four sides"));
            }
            if !(1..=SANE).contains(&stride) {
                return Err(attributes.wrong("strides", strides, "a positive stride"));
            }
            Ok(Window { kernel, stride: as_usize(stride), padding: as_usize(padding) })
        }
        (_, strides, _) if strides.len() != 2 || strides[0] != strides[1] => {
            Err(attributes.wrong("strides", strides, "the same stride in both directions"))
        }
        (kernel, ..) => Err(attributes.wrong("kernel_shape", kernel, "a square kernel and four pads")),
    }
}

/// No stride or padding of an image network is larger. It bounds the sizes that are computed from them.
const SANE: i64 = 1 << 10;

/// Converts an attribute to a size. A negative value becomes 0, which no check accepts.
fn as_usize(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0)
}

/// Makes the error for a node with a wrong number of inputs.
fn arity(node: &NodeProto, expected: &str) -> ImportErrorKind {
    ImportErrorKind::layer(
        location(node),
        format!("it has {} inputs", node.input.len()),
        format!("expected {expected}"),
    )
}
