//! QuantizeLinear and DequantizeLinear nodes. The graph is read as if they were not there, and the scales that they state are kept
//! beside the values.
//!
//! The "QDQ format" is supported: activations that are quantized to 8 bits with one scale each and dequantized again; weights and
//! biases that are stored as integers, or quantized and dequantized again, with one scale or one for each output channel.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};

use super::attributes::{Attributes, location};
use super::constants::{Constants, resolve};
use crate::import::error::ImportErrorKind;
use crate::network::Activation;
use resnext_checkpoint::{Element, StoredTensor};

/// A weight, with the step of each output if its elements are integers.
type SteppedWeight = (StoredTensor, Option<Vec<f64>>);

/// Shape and elements.
type ShapedFloats = (Vec<usize>, Vec<f32>);

/// The least 8-bit integer. All are int8 here; unsigned integers are reduced by 128.
const LEAST: i32 = -128;

/// All quantizers of a graph.
pub(super) struct Quantizers<'a> {
    /// How each value is quantized: every different way, with a node of it.
    activations: HashMap<&'a str, Vec<(&'a NodeProto, Activation)>>,
    /// Dequantized constants by their names.
    constants: HashMap<&'a str, Constant<'a>>,
}

struct Constant<'a> {
    dequantize: &'a NodeProto,
    /// The QuantizeLinear, if the file stores the constant in floats.
    quantize: Option<&'a NodeProto>,
    /// The constant that the first of the two nodes reads.
    source: &'a str,
}

impl<'a> Quantizers<'a> {
    /// Finds the quantizers among `nodes`. Dequantized activations become `aliases` of the values before quantization.
    ///
    /// # Errors
    ///
    /// If a quantizer is unsound, or does something that int8 activations with one scale cannot express.
    pub(super) fn new(
        nodes: &'a [NodeProto],
        constants: &Constants<'_, 'a>,
        producers: &HashMap<&'a str, &'a NodeProto>,
        aliases: &mut HashMap<&'a str, &'a str>,
    ) -> Result<Self, ImportErrorKind> {
        let mut found = Self { activations: HashMap::new(), constants: HashMap::new() };
        let mut quantized = Vec::new();
        for dequantize in nodes.iter().filter(|node| node.op_type == "DequantizeLinear") {
            let (Some(input), [output]) = (dequantize.input.first(), dequantize.output.as_slice()) else {
                continue;
            };
            let source = resolve(aliases, input);
            let quantize = producers.get(source).filter(|node| node.op_type == "QuantizeLinear");
            let real = quantize.and_then(|node| node.input.first()).map(|input| resolve(aliases, input));
            match (quantize, real) {
                _ if constants.get(source).is_some() => {
                    found.constants.insert(output, Constant { dequantize, quantize: None, source });
                }
                (Some(quantize), Some(source)) if constants.get(source).is_some() => {
                    let constant = Constant { dequantize, quantize: Some(quantize), source };
                    found.constants.insert(output, constant);
                }
                (Some(quantize), Some(real)) => {
                    let activation = pair(quantize, dequantize, constants)?.activation(quantize)?;
                    aliases.insert(output, real);
                    quantized.push((real, *quantize, activation));
                }
                // It stays in the graph, which refuses it if anything depends on it.
                _ => {}
            }
        }
        for (value, node, activation) in quantized {
            let ways = found.activations.entry(resolve(aliases, value)).or_default();
            if ways.iter().all(|&(_, known)| known != activation) {
                ways.push((node, activation));
            }
        }
        Ok(found)
    }

    /// Whether `value` is a dequantized constant.
    pub(super) fn is_constant(&self, value: &str) -> bool {
        self.constants.contains_key(value)
    }

    /// Returns how `value` is quantized; `None` if it is not.
    pub(super) fn activation(&self, value: &str) -> Result<Option<Activation>, ImportErrorKind> {
        match self.activations.get(value).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some(&[(_, activation)]) => Ok(Some(activation)),
            Some(&[(_, first), (node, second), ..]) => Err(ImportErrorKind::layer(
                location(node),
                format!(
                    "its input is quantized with scale {} here and {} elsewhere",
                    second.scale, first.scale
                ),
                "expected the same scale and zero point for all readers of a value",
            )),
        }
    }

    /// Returns the dequantized constant `name` as a weight; see [`Graph::weight`](super::graph::Graph::weight).
    pub(super) fn weight(
        &self,
        name: &'a str,
        axis: usize,
        constants: &Constants<'_, 'a>,
    ) -> Result<Option<SteppedWeight>, ImportErrorKind> {
        let Some(constant) = self.constants.get(name) else {
            return Ok(None);
        };
        let (integers, parameters) = constant.integers(constants)?;
        let outputs = integers.shape().get(axis).copied().unwrap_or(0);
        let node = constant.dequantize;
        let scales = parameters.per_channel(node, integers.shape(), axis, outputs)?;
        if parameters.zero_points.iter().all(|&zero| zero == 0) {
            return Ok(Some((integers, Some(scales.iter().map(|&scale| scale.into()).collect()))));
        }
        // An asymmetric weight becomes real values.
        let inner: usize = integers.shape().get(axis + 1..).unwrap_or_default().iter().product();
        let real = |(index, &value): (usize, &f32)| {
            let output = index / inner.max(1) % outputs.max(1);
            let zero = parameters.zero_points[output.min(parameters.zero_points.len() - 1)];
            (value - zero as f32) * scales[output]
        };
        let bytes =
            integers.read().iter().enumerate().map(real).flat_map(|value| value.to_le_bytes()).collect();
        let tensor = constants.files.owned(name, bytes, Element::F32, integers.shape())?;
        Ok(Some((tensor, None)))
    }

    /// Returns the shape and the elements of the dequantized constant `name`, a vector such as a bias.
    pub(super) fn floats(
        &self,
        name: &'a str,
        constants: &Constants<'_, 'a>,
    ) -> Result<Option<ShapedFloats>, ImportErrorKind> {
        let Some(constant) = self.constants.get(name) else {
            return Ok(None);
        };
        let node = constant.dequantize;
        let tensor = constants.get(constant.source);
        let is_words = |tensor: &&TensorProto| tensor.data_type == DataType::Int32 as i32;
        let Some(tensor) = tensor.filter(is_words).filter(|_| constant.quantize.is_none()) else {
            let (integers, parameters) = constant.integers(constants)?;
            let (shape, len) = (integers.shape(), integers.len());
            let scales = parameters.per_channel(node, shape, shape.len().saturating_sub(1), len)?;
            let zero = |index: usize| parameters.zero_points[index.min(parameters.zero_points.len() - 1)];
            let real = |(index, value): (usize, f32)| {
                (value - zero(index) as f32) * scales[index.min(scales.len() - 1)]
            };
            let values = integers.read().into_iter().enumerate().map(real).collect();
            return Ok(Some((shape.to_vec(), values)));
        };
        let words = constants.files.words(constant.source, tensor)?;
        let shape: Vec<usize> = tensor.dims.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
        let parameters = Parameters::read(node, constants, DataType::Int32)?;
        if parameters.zero_points.iter().any(|&zero| zero != 0) {
            return Err(ImportErrorKind::layer(
                location(node),
                "its 32-bit integers have a zero point",
                "expected a bias without one",
            ));
        }
        let axis = shape.len().saturating_sub(1);
        let scales = parameters.per_channel(node, &shape, axis, words.len())?;
        let values =
            words.iter().zip(scales).map(|(&word, scale)| (f64::from(word) * f64::from(scale)) as f32);
        Ok(Some((shape, values.collect())))
    }
}

impl Constant<'_> {
    /// Returns the 8-bit integers, and the parameters that give them their real values.
    fn integers(&self, constants: &Constants<'_, '_>) -> Result<(StoredTensor, Parameters), ImportErrorKind> {
        let missing = || ImportErrorKind::corrupt("ONNX", "a constant is gone");
        let tensor = constants.get(self.source).ok_or_else(missing)?;
        let Some(quantize) = self.quantize else {
            let kind = eight_bits(self.dequantize, tensor.data_type)?;
            let parameters = Parameters::read(self.dequantize, constants, kind)?;
            return Ok((constants.files.bytes(self.source, tensor)?, parameters));
        };
        let parameters = pair(quantize, self.dequantize, constants)?;
        let real = constants.files.tensor(self.source, tensor)?;
        let axis = parameters.axis(quantize, real.shape().len())?;
        let inner: usize = real.shape().get(axis + 1..).unwrap_or_default().iter().product();
        let channels = parameters.scales.len();
        let integer = |(index, &value): (usize, &f32)| {
            let channel = index / inner.max(1) % channels;
            let zero = parameters.zero_points[channel.min(parameters.zero_points.len() - 1)];
            let steps = (value / parameters.scales[channel]).round_ties_even();
            (steps + zero as f32).clamp(-128.0, 127.0) as i8 as u8
        };
        let bytes = real.read().iter().enumerate().map(integer).collect();
        Ok((constants.files.owned(self.source, bytes, Element::I8, real.shape())?, parameters))
    }
}

/// The parameters of a QuantizeLinear or DequantizeLinear.
#[derive(PartialEq)]
struct Parameters {
    /// One, or one for each channel; finite and positive.
    scales: Vec<f32>,
    /// One, or one for each channel; reduced by 128 for unsigned integers.
    zero_points: Vec<i32>,
    /// The dimension of the channels.
    axis: i64,
}

impl Parameters {
    /// Reads the parameters of `node`, whose integers are of type `kind`.
    fn read(
        node: &NodeProto,
        constants: &Constants<'_, '_>,
        kind: DataType,
    ) -> Result<Self, ImportErrorKind> {
        let wrong =
            |problem: String, remedy: &str| Err(ImportErrorKind::layer(location(node), problem, remedy));
        let known = ["axis", "block_size", "output_dtype", "precision", "saturate"];
        let attributes = Attributes::new(node, &known)?;
        if attributes.int("block_size", 0)? != 0 {
            return wrong(
                "it quantizes in blocks".into(),
                "not supported; expected one scale, or one for each output channel",
            );
        }
        let (scale, zero_point) = match node.input.as_slice() {
            [_, scale] => (scale, None),
            [_, scale, zero_point] => (scale, Some(zero_point).filter(|name| !name.is_empty())),
            inputs => {
                return wrong(
                    format!("it has {} inputs", inputs.len()),
                    "expected data, a scale and a zero point",
                );
            }
        };
        let computed = || {
            ImportErrorKind::layer(
                location(node),
                "its scale or zero point is computed by the graph",
                "dynamic quantization is not supported; expected constants, as static quantization writes",
            )
        };
        let tensor = constants.files.tensor(scale, constants.get(scale).ok_or_else(computed)?)?;
        let (rank, scales) = (tensor.shape().len(), tensor.read());
        if rank > 1 || scales.is_empty() {
            return wrong(
                format!("its scale has shape {:?}", tensor.shape()),
                "expected one scale, or one for each output channel",
            );
        }
        if let Some(scale) = scales.iter().find(|&&scale| scale <= 0.0) {
            return wrong(
                format!("its scale is {scale}"),
                "expected a positive number; quantize the model again",
            );
        }
        let zero_points = match zero_point {
            None => vec![if kind == DataType::Uint8 { LEAST } else { 0 }],
            Some(name) => {
                let proto = constants.get(name).ok_or_else(computed)?;
                if proto.data_type != kind as i32 {
                    let found = DataType::try_from(proto.data_type).map_or("unknown", |t| t.as_str_name());
                    return wrong(
                        format!("its zero point is {found} and its integers are {}", kind.as_str_name()),
                        "expected the same type; quantize the model again",
                    );
                }
                match kind {
                    DataType::Int32 => constants.files.words(name, proto)?,
                    _ => constants.files.bytes(name, proto)?.read().iter().map(|&zero| zero as i32).collect(),
                }
            }
        };
        if zero_points.len() != 1 && zero_points.len() != scales.len() || zero_points.is_empty() {
            return wrong(
                format!("it has {} scales and {} zero points", scales.len(), zero_points.len()),
                "expected as many of one as of the other",
            );
        }
        // With a single scale the axis means nothing.
        let axis = if scales.len() == 1 { 0 } else { attributes.int("axis", 1)? };
        Ok(Self { scales, zero_points, axis })
    }

    /// Returns the quantization of a whole tensor.
    fn activation(&self, node: &NodeProto) -> Result<Activation, ImportErrorKind> {
        match (self.scales.as_slice(), self.zero_points.as_slice()) {
            (&[scale], &[zero_point]) => Ok(Activation { scale: scale.into(), zero_point: zero_point as i8 }),
            _ => Err(ImportErrorKind::layer(
                location(node),
                format!("it has {} scales for its input, one a channel", self.scales.len()),
                "not supported for activations; expected one scale for the tensor",
            )),
        }
    }

    /// Returns the dimension of the channels in a tensor of `rank` dimensions.
    fn axis(&self, node: &NodeProto, rank: usize) -> Result<usize, ImportErrorKind> {
        let axis = if self.axis < 0 { self.axis.saturating_add_unsigned(rank as u64) } else { self.axis };
        match usize::try_from(axis) {
            Ok(axis) if axis < rank || self.scales.len() == 1 => Ok(axis),
            _ => Err(ImportErrorKind::layer(
                location(node),
                format!("its attribute `axis` is {} for {rank} dimensions", self.axis),
                "expected the dimension of the output channels",
            )),
        }
    }

    /// Returns a scale for each of the `channels` along `axis` of a tensor of `shape`.
    fn per_channel(
        &self,
        node: &NodeProto,
        shape: &[usize],
        axis: usize,
        channels: usize,
    ) -> Result<Vec<f32>, ImportErrorKind> {
        match self.scales.as_slice() {
            &[scale] => Ok(vec![scale; channels]),
            scales if scales.len() == channels && self.axis(node, shape.len())? == axis => {
                Ok(scales.to_vec())
            }
            scales => Err(ImportErrorKind::layer(
                location(node),
                format!("it has {} scales along dimension {} of {shape:?}", scales.len(), self.axis),
                format!("expected one, or one for each output channel, along dimension {axis}"),
            )),
        }
    }
}

/// Reads the parameters of `quantize` and checks that `dequantize` has the same.
fn pair(
    quantize: &NodeProto,
    dequantize: &NodeProto,
    constants: &Constants<'_, '_>,
) -> Result<Parameters, ImportErrorKind> {
    let zero_point = quantize.input.get(2).filter(|name| !name.is_empty());
    let declared = quantize.attribute.iter().find(|attribute| attribute.name == "output_dtype");
    let kind = match (zero_point.and_then(|name| constants.get(name)), declared) {
        (Some(zero_point), _) => zero_point.data_type,
        (None, Some(declared)) if declared.i != 0 => i32::try_from(declared.i).unwrap_or_default(),
        _ => DataType::Uint8 as i32,
    };
    let kind = eight_bits(quantize, kind)?;
    let parameters = Parameters::read(quantize, constants, kind)?;
    if parameters != Parameters::read(dequantize, constants, kind)? {
        return Err(ImportErrorKind::layer(
            location(dequantize),
            "its scale or zero point is not that of the QuantizeLinear before it",
            "expected a pair that belongs together; quantize the model again",
        ));
    }
    Ok(parameters)
}

/// Checks that `data_type` is a type of 8-bit integers and returns it.
fn eight_bits(node: &NodeProto, data_type: i32) -> Result<DataType, ImportErrorKind> {
    match DataType::try_from(data_type) {
        Ok(kind @ (DataType::Int8 | DataType::Uint8)) => Ok(kind),
        other => {
            let found = other.map_or("an unknown type", |kind| kind.as_str_name());
            Err(ImportErrorKind::layer(
                location(node),
                format!("it quantizes to {found}"),
                "not supported; expected INT8 or UINT8, quantize the model to 8 bits",
            ))
        }
    }
}

/// Makes the error for a live node that only graphs quantized in another way have.
pub(super) fn refusal(node: &NodeProto) -> Option<ImportErrorKind> {
    let (problem, remedy) = match node.op_type.as_str() {
        "QLinearConv"
        | "QLinearMatMul"
        | "QLinearAdd"
        | "QLinearGlobalAveragePool"
        | "QLinearAveragePool"
        | "QGemm" => (
            "the model is quantized in the operator format (QOperator), which is not supported",
            "quantize it in the QDQ format, or give the fp32 model",
        ),
        "DynamicQuantizeLinear"
        | "DynamicQuantizeMatMul"
        | "ConvInteger"
        | "MatMulInteger"
        | "MatMulIntegerToFloat" => (
            "the model is quantized dynamically, which is not supported",
            "quantize it statically in the QDQ format, or give the fp32 model",
        ),
        "MatMulNBits" | "GatherBlockQuantized" => (
            "the model is quantized in blocks, which is not supported",
            "quantize it to 8 bits in the QDQ format, or give the fp32 model",
        ),
        "FakeQuantize" => (
            "the model is quantized with OpenVINO's FakeQuantize, which is not supported",
            "export it in the QDQ format, or give the fp32 model",
        ),
        "DequantizeLinear" => (
            "it reads neither integers of the file nor a QuantizeLinear",
            "expected a pair of both; quantize the model again, or give the fp32 model",
        ),
        _ => return None,
    };
    Some(ImportErrorKind::layer(location(node), problem, remedy))
}
