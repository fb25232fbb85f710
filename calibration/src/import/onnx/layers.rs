//! Reads single ONNX nodes: each function turns one node into one layer, or says what is wrong with it.

use tract_onnx::pb::NodeProto;

use super::attributes::{Attributes, location};
use super::graph::Graph;
use crate::import::error::ImportErrorKind;
use crate::import::parts::Pool;
use crate::network::{BatchNorm, Conv, Weights, Window};

/// Reads a `Conv` with its weight and bias. Its input has `sides`, height and width.
pub(super) fn conv<'a>(
    graph: &Graph<'a>,
    node: &'a NodeProto,
    sides: [usize; 2],
) -> Result<Conv, ImportErrorKind> {
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
    let window = window(&attributes, Some([kh, kw]), sides)?;
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
    let attributes = Attributes::new(node, &["epsilon", "momentum", "spatial", "training_mode"])?;
    if attributes.int("training_mode", 0)? != 0 {
        return Err(ImportErrorKind::layer(
            location(node),
            "it takes its statistics from the batch, as in training",
            "export the model in inference mode (model.eval())",
        ));
    }
    // Before opset 9: whether a channel has one scale, and not each of its pixels.
    attributes.expect_int("spatial", 1)?;
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

/// Reads a `MaxPool` of an input that has `sides`, height and width.
pub(super) fn max_pool(node: &NodeProto, sides: [usize; 2]) -> Result<Pool, ImportErrorKind> {
    let known = ["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"];
    let attributes = Attributes::new(node, &known)?;
    attributes.expect_int("storage_order", 0)?;
    Ok(Pool {
        location: location(node),
        window: window(&attributes, None, sides)?,
        ceil: attributes.int("ceil_mode", 0)? != 0,
        quantization: None,
    })
}

/// Reads an `AveragePool` of an input that has `sides`, height and width. Whether padding counts does not matter, because no ResNeXt
/// has a padded window.
pub(super) fn avg_pool(node: &NodeProto, sides: [usize; 2]) -> Result<Pool, ImportErrorKind> {
    let known =
        ["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"];
    let attributes = Attributes::new(node, &known)?;
    Ok(Pool {
        location: location(node),
        window: window(&attributes, None, sides)?,
        ceil: attributes.int("ceil_mode", 0)? != 0,
        quantization: None,
    })
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

/// Reads the window of a convolution or pooling of an input that has `sides`, height and width. A weight may give its kernel as
/// `[height, width]`.
fn window(
    attributes: &Attributes,
    weight: Option<[usize; 2]>,
    sides: [usize; 2],
) -> Result<Window, ImportErrorKind> {
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
    let pads = padding(attributes, kernel, strides, sides)?;
    match (kernel, strides, &*pads) {
        ([kernel, kw], &[stride, sw], &[padding, ref rest @ ..]) if kernel == kw && stride == sw => {
            if rest.len() != 3 || rest.iter().any(|&p| p != padding) || !(0..=SANE).contains(&padding) {
                return Err(attributes.wrong("pads", &pads, "the same padding on all four sides"));
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

/// Returns the padding before and after height and width, as `pads` gives it. `auto_pad` gives it by the size of the input.
fn padding(
    attributes: &Attributes,
    kernel: [usize; 2],
    strides: &[i64],
    sides: [usize; 2],
) -> Result<Vec<i64>, ImportErrorKind> {
    let mode = match attributes.string("auto_pad")? {
        None | Some(b"NOTSET") => return Ok(attributes.ints("pads")?.unwrap_or(&[0; 4]).to_vec()),
        Some(b"VALID") => return Ok(vec![0; 4]),
        Some(mode @ (b"SAME_UPPER" | b"SAME_LOWER")) => mode,
        Some(mode) => {
            let mode = String::from_utf8_lossy(mode);
            return Err(attributes.wrong("auto_pad", mode, "NOTSET, VALID or SAME_UPPER"));
        }
    };
    let total = |axis: usize| {
        let stride = strides.get(axis).map(|&stride| as_usize(stride)).filter(|&stride| stride > 0)?;
        let outputs = sides[axis].div_ceil(stride);
        Some((outputs.checked_sub(1)? * stride + kernel[axis]).saturating_sub(sides[axis]))
    };
    match (total(0), total(1)) {
        (Some(height), Some(width)) if height % 2 == 0 && width % 2 == 0 => {
            Ok([height, width, height, width]
                .map(|total| i64::try_from(total / 2).unwrap_or(i64::MAX))
                .to_vec())
        }
        (Some(total), Some(_)) => {
            let (few, many) = (total / 2, total.div_ceil(2));
            let (before, after) = if mode == b"SAME_UPPER" { (few, many) } else { (many, few) };
            Err(attributes.wrong(
                "auto_pad",
                String::from_utf8_lossy(mode),
                format_args!(
                    "the same padding on all four sides, as PyTorch has it; on {}×{} pixels this pads by {before} before and {after} \
                     after",
                    sides[0], sides[1]
                ),
            ))
        }
        _ => Err(attributes.wrong("strides", strides, "the same stride in both directions")),
    }
}

/// Returns the only output of `node` that is in use.
pub(super) fn output<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Result<&'a str, ImportErrorKind> {
    match node.output.as_slice() {
        [output, rest @ ..] if rest.iter().all(String::is_empty) => Ok(graph.resolve(output)),
        _ => Err(ImportErrorKind::layer(
            location(node),
            format!("it has {} outputs", node.output.len()),
            "expected one; export the model in inference mode",
        )),
    }
}

/// No stride or padding of an image network is larger. It bounds the sizes that are computed from them.
const SANE: i64 = 1 << 10;

/// Converts an attribute to a size. A negative value becomes 0, which no check accepts.
fn as_usize(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0)
}

/// Makes the error for a node with a wrong number of inputs.
pub(super) fn arity(node: &NodeProto, expected: &str) -> ImportErrorKind {
    ImportErrorKind::layer(
        location(node),
        format!("it has {} inputs", node.input.len()),
        format!("expected {expected}"),
    )
}
