//! Writes a folded [`Network`] as fp32 ONNX, for other tools and as a baseline.
//!
//! ONNX is one protobuf message, which cannot be longer than 2 GiB. A larger network keeps its weights in a second file
//! beside it, ONNX's "external data". Either way weights go from their source to the file one layer at a time.

use std::io::{self, Write};
use std::path::Path;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use crate::network::{Conv, Network, Op, Shape, Weights, Window};

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

/// Bytes of the weights of `network` in fp32.
pub fn weight_bytes(network: &Network) -> u64 {
    initializers(network).iter().map(|tensor| tensor.bytes()).sum()
}

/// Writes `network` with its weights inside.
///
/// The image is `image`, `[1, 3, height, width]`, normalised; the result is `logits`, `[1, classes]`. `properties` are
/// the file's metadata. `progress` is called after each tensor.
///
/// # Errors
///
/// As `out` has them; or the weights are more than [`MAX_INSIDE`].
///
/// # Panics
///
/// If a batch norm has not been folded.
pub fn write(
    network: &Network,
    properties: &[(&str, String)],
    out: &mut dyn Write,
    progress: &dyn Fn(),
) -> io::Result<()> {
    if weight_bytes(network) > MAX_INSIDE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "more weights than a protobuf message can hold",
        ));
    }
    let tensors: Vec<(Initializer<'_>, Vec<u8>)> = initializers(network)
        .into_iter()
        .map(|tensor| {
            let header = tensor.proto().encode_to_vec();
            (tensor, header)
        })
        .collect();
    let mut graph = graph(network).encode_to_vec();
    // `raw_data` and `initializer` are written by hand, so that no message ever holds them.
    let field = |bytes: u64| 1 + encoded_len_varint(bytes) as u64 + bytes;
    let tensor_len =
        |(tensor, header): &(Initializer<'_>, Vec<u8>)| header.len() as u64 + field(tensor.bytes());
    let graph_len = graph.len() as u64 + tensors.iter().map(|tensor| field(tensor_len(tensor))).sum::<u64>();
    let mut head = model(properties).encode_to_vec();
    encode_key(GRAPH, WireType::LengthDelimited, &mut head);
    encode_varint(graph_len, &mut head);
    head.append(&mut graph);
    out.write_all(&head)?;
    for tensor in &tensors {
        let mut head = Vec::new();
        encode_key(INITIALIZER, WireType::LengthDelimited, &mut head);
        encode_varint(tensor_len(tensor), &mut head);
        let (tensor, header) = tensor;
        head.extend_from_slice(header);
        encode_key(RAW_DATA, WireType::LengthDelimited, &mut head);
        encode_varint(tensor.bytes(), &mut head);
        out.write_all(&head)?;
        tensor.write(out)?;
        progress();
    }
    Ok(())
}

/// Writes `network` to `out` and its weights to `data`, a file that will be found as `data_name` beside the former.
///
/// # Errors
///
/// As `out` and `data` have them.
///
/// # Panics
///
/// If a batch norm has not been folded.
pub fn write_external(
    network: &Network,
    properties: &[(&str, String)],
    out: &mut dyn Write,
    data: &mut dyn Write,
    data_name: &Path,
    progress: &dyn Fn(),
) -> io::Result<()> {
    let mut graph = graph(network);
    let mut offset = 0u64;
    for tensor in initializers(network) {
        let aligned = offset.next_multiple_of(ALIGN);
        data.write_all(&vec![0; (aligned - offset) as usize])?;
        tensor.write(data)?;
        let entry = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
        graph.initializer.push(TensorProto {
            data_location: Some(DataLocation::External as i32),
            external_data: vec![
                entry("location", data_name.to_string_lossy().into_owned()),
                entry("offset", aligned.to_string()),
                entry("length", tensor.bytes().to_string()),
            ],
            ..tensor.proto()
        });
        offset = aligned + tensor.bytes();
        progress();
    }
    out.write_all(&ModelProto { graph: Some(graph), ..model(properties) }.encode_to_vec())
}

/// Number of tensors that [`write()`] and [`write_external`] report.
pub fn tensor_count(network: &Network) -> usize {
    initializers(network).len()
}

/// One tensor of weights.
struct Initializer<'a> {
    name: String,
    shape: Vec<usize>,
    values: Values<'a>,
}

enum Values<'a> {
    Weights(&'a Weights),
    Bias(&'a [f32]),
}

impl Initializer<'_> {
    fn bytes(&self) -> u64 {
        let len = match self.values {
            Values::Weights(weights) => weights.len(),
            Values::Bias(bias) => bias.len(),
        };
        (len * size_of::<f32>()) as u64
    }

    /// Everything but the elements.
    fn proto(&self) -> TensorProto {
        TensorProto {
            name: self.name.clone(),
            dims: self.shape.iter().map(|&size| size as i64).collect(),
            data_type: DataType::Float as i32,
            ..TensorProto::default()
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let read;
        let values = match self.values {
            Values::Weights(weights) => {
                read = weights.read();
                &read
            }
            Values::Bias(bias) => bias,
        };
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        out.write_all(&bytes)
    }
}

fn pair<'a>(name: &str, shape: Vec<usize>, weight: &'a Weights, bias: &'a [f32]) -> [Initializer<'a>; 2] {
    let outputs = vec![shape[0]];
    [
        Initializer { name: format!("{name}.weight"), shape, values: Values::Weights(weight) },
        Initializer { name: format!("{name}.bias"), shape: outputs, values: Values::Bias(bias) },
    ]
}

fn initializers(network: &Network) -> Vec<Initializer<'_>> {
    let mut tensors = Vec::new();
    for node in &network.nodes {
        match &node.op {
            Op::Conv(conv) => {
                assert!(conv.batch_norm.is_none(), "fold batch norms before exporting");
                let Window { kernel, .. } = conv.window;
                let shape = vec![conv.out_channels, conv.in_channels / conv.groups, kernel, kernel];
                tensors.extend(pair(&node.name, shape, &conv.weight, &conv.bias));
            }
            Op::Linear(linear) => {
                let shape = vec![linear.out_features, linear.in_features];
                tensors.extend(pair(&node.name, shape, &linear.weight, &linear.bias));
            }
            _ => {}
        }
    }
    // A bias of zeros is left out.
    tensors.retain(|tensor| tensor.bytes() > 0);
    tensors
}

/// Everything but the graph.
fn model(properties: &[(&str, String)]) -> ModelProto {
    let property =
        |(key, value): &(&str, String)| StringStringEntryProto { key: (*key).into(), value: value.clone() };
    ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { version: OPSET, ..Default::default() }],
        producer_name: "resnext".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        metadata_props: properties.iter().map(property).collect(),
        ..ModelProto::default()
    }
}

/// Everything but the weights.
fn graph(network: &Network) -> GraphProto {
    let mut graph = GraphProto {
        name: network.name.clone(),
        input: vec![value_info("image", &nchw(network.input))],
        output: vec![value_info("logits", &[1, network.topology.classes as i64])],
        ..GraphProto::default()
    };
    let mut add = |op: &str, name: String, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>| {
        graph.node.push(NodeProto {
            name,
            op_type: op.into(),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![output.into()],
            attribute,
            ..NodeProto::default()
        });
    };
    // A value has the name of its node; what is fused into a convolution has a suffix.
    let names: Vec<&str> =
        ["image"].into_iter().chain(network.nodes.iter().map(|n| n.name.as_str())).collect();
    for node in &network.nodes {
        let (name, from) = (node.name.as_str(), names[node.input.0]);
        match &node.op {
            Op::Conv(conv) => {
                let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
                let inputs = [from, &weight, &bias];
                let inputs = if conv.bias.is_empty() { &inputs[..2] } else { &inputs[..] };
                let stages = stages(conv, name);
                let output = |stage: usize| match stage + 1 == stages.len() {
                    true => name.to_owned(),
                    false => stages[stage].1.clone(),
                };
                let mut attributes = window_attributes(conv.window);
                attributes.push(int("group", conv.groups as i64));
                add("Conv", name.to_owned(), inputs, &output(0), attributes);
                for (stage, (op, path)) in stages.iter().enumerate().skip(1) {
                    let before = output(stage - 1);
                    let residual = conv.residual.filter(|_| *op == "Add").map(|value| names[value.0]);
                    let inputs: Vec<&str> = [before.as_str()].into_iter().chain(residual).collect();
                    add(op, path.clone(), &inputs, &output(stage), Vec::new());
                }
            }
            Op::MaxPool(window) => add("MaxPool", name.to_owned(), &[from], name, window_attributes(*window)),
            Op::AvgPool(window) => {
                let mut attributes = window_attributes(*window);
                attributes.extend([int("ceil_mode", 1), int("count_include_pad", 0)]);
                add("AveragePool", name.to_owned(), &[from], name, attributes);
            }
            Op::GlobalAvgPool => add("GlobalAveragePool", name.to_owned(), &[from], name, Vec::new()),
            Op::Linear(linear) => {
                let (flat, weight, bias) =
                    (format!("{name}.flat"), format!("{name}.weight"), format!("{name}.bias"));
                add("Flatten", flat.clone(), &[from], &flat, vec![int("axis", 1)]);
                let inputs = [flat.as_str(), &weight, &bias];
                let inputs = if linear.bias.is_empty() { &inputs[..2] } else { &inputs[..] };
                add("Gemm", name.to_owned(), inputs, "logits", vec![int("transB", 1)]);
            }
        }
    }
    graph
}

/// The nodes that a convolution becomes: operator and name of each.
fn stages(conv: &Conv, name: &str) -> Vec<(&'static str, String)> {
    let mut stages = vec![("Conv", format!("{name}.conv"))];
    if conv.residual.is_some() {
        stages.push(("Add", format!("{name}.add")));
    }
    if conv.relu {
        stages.push(("Relu", format!("{name}.relu")));
    }
    stages
}

fn nchw(Shape { channels, height, width }: Shape) -> [i64; 4] {
    [1, channels as i64, height as i64, width as i64]
}

fn value_info(name: &str, sizes: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| Dimension { value: Some(dimension::Value::DimValue(size)), ..Default::default() };
    let shape = Some(TensorShapeProto { dim: sizes.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: name.into(), r#type, ..Default::default() }
}

fn window_attributes(Window { kernel, stride, padding }: Window) -> Vec<AttributeProto> {
    let [kernel, stride, padding] = [kernel, stride, padding].map(|size| size as i64);
    vec![ints("kernel_shape", &[kernel; 2]), ints("pads", &[padding; 4]), ints("strides", &[stride; 2])]
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.into(), r#type, ints: ints.into(), ..Default::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::fold_batch_norm;
    use crate::fp32::OnnxModel;
    use crate::import::tests::{noise, relative_error, tiny_deep_network, tiny_network};
    use crate::import::{ImportOptions, load_with};
    use std::cell::Cell;
    use std::fs;

    /// Our own importer reads the same network back, and tract-onnx, which knows nothing of it, computes the same.
    fn check(path: &Path, network: &Network) {
        let options = ImportOptions { input_size: None };
        let mut read = load_with(path, options).expect("reads back");
        read.name.clone_from(&network.name);
        assert_eq!(format!("{read:?}"), format!("{network:?}"));
        let image = noise(3, network.input.len());
        let got =
            OnnxModel::load(path, network.input.height).and_then(|mut m| m.logits(&image)).expect("runs");
        let mut ours = crate::fp32::Fp32Model::new(network, &[]).expect("a model");
        assert!(relative_error(ours.run(&image).expect("a run").result(), &got) < 1e-5);
    }

    #[test]
    fn networks_are_read_back() {
        // The last averages odd sides.
        for network in [tiny_network(64), tiny_deep_network(64), tiny_deep_network(37)] {
            write_and_check(network);
        }
    }

    fn write_and_check(mut network: Network) {
        fold_batch_norm(&mut network);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tiny.onnx");
        let seen = Cell::new(0);
        let progress = || seen.set(seen.get() + 1);
        let mut bytes = Vec::new();
        write(&network, &[("source", "test".into())], &mut bytes, &progress).unwrap();
        assert_eq!(seen.get(), tensor_count(&network));
        let proto = ModelProto::decode(&*bytes).unwrap();
        assert_eq!(proto.metadata_props[0].value, "test");
        fs::write(&path, &bytes).unwrap();
        check(&path, &network);

        let (mut out, mut data) = (Vec::new(), Vec::new());
        write_external(&network, &[], &mut out, &mut data, Path::new("tiny.onnx.data"), &progress).unwrap();
        assert_eq!(seen.get(), 2 * tensor_count(&network));
        assert!(data.len() as u64 >= weight_bytes(&network) && out.len() < bytes.len() / 2);
        fs::write(&path, &out).unwrap();
        fs::write(directory.path().join("tiny.onnx.data"), &data).unwrap();
        check(&path, &network);
    }
}
