//! A quantized network with QuantizeLinear and DequantizeLinear nodes.

use tract_onnx::pb::tensor_proto::DataType;

use super::proto::{Graph, IMAGE, LOGITS, avg_pool_attributes, int, window_attributes};
use super::tensor::Values;
use crate::network::{Activation, Conv, Network, Op, ValueId, Window};
use crate::quantize::{Layer, Quantized, QuantizedConv, QuantizedLinear};
use resnext::preprocess::Preprocessing;

/// The addend that makes an int8 a uint8, which onnxruntime and OpenVINO multiply fastest with int8 weights on x86-64; elsewhere
/// it is as good as int8.
const TO_UNSIGNED: i32 = 128;

/// Makes the graph of the quantized `network`. A dequantized value has the name of its node.
pub(super) fn graph<'a>(
    network: &Network,
    quantized: &'a Quantized,
    preprocessing: &Preprocessing,
) -> Graph<'a> {
    assert_eq!(quantized.layers.len(), network.nodes.len(), "quantized from another network");
    let mut graph = Graph::new(network);
    let pixels = pixels(&mut graph, network, preprocessing);
    let names: Vec<&str> =
        [pixels.as_str()].into_iter().chain(network.nodes.iter().map(|node| node.name.as_str())).collect();
    for (index, (node, layer)) in network.nodes.iter().zip(&quantized.layers).enumerate() {
        let (name, from) = (node.name.as_str(), names[node.input.0]);
        let (input, output) = (quantized.activations[node.input.0], quantized.activations[index + 1]);
        // The name of the value before it is quantized. The mean over all pixels and fused shortcuts are not quantized.
        let exact = matches!(node.op, Op::GlobalAvgPool) || matches!(layer, Layer::Shortcut(_));
        let real = if exact { name.to_owned() } else { format!("{name}.real") };
        match (&node.op, layer) {
            (Op::Conv(conv), Layer::Conv(integers)) => {
                // The residual factors are 0 if the residual is a fused shortcut.
                let residual = conv.residual.map(|value| quantized.activations[value.0]);
                let bias = conv_bias(integers, input, residual, output);
                let kernel = conv.window.kernel;
                let shape = [conv.out_channels, conv.in_channels / conv.groups, kernel, kernel];
                let tensors =
                    tensors(&mut graph, name, &shape, &integers.weights, &integers.scales, input, &bias);
                let residual = conv.residual.map(|value| names[value.0]);
                // The image is padded already.
                let padding = if node.input == ValueId::IMAGE { 0 } else { conv.window.padding };
                let conv = Conv { window: Window { padding, ..conv.window }, ..conv.clone() };
                graph.conv(
                    name,
                    &conv,
                    from,
                    tensors.each_ref().map(|name| Some(name.as_str())),
                    residual,
                    &real,
                );
            }
            (Op::Conv(conv), Layer::Shortcut(integers)) => {
                let bias: Vec<i32> =
                    without_input_zero(&integers.weights, &integers.bias, input).map(saturate).collect();
                let shape = [conv.out_channels, conv.in_channels, 1, 1];
                let tensors =
                    tensors(&mut graph, name, &shape, &integers.weights, &integers.scales, input, &bias);
                graph.conv(name, conv, from, tensors.each_ref().map(|name| Some(name.as_str())), None, &real);
            }
            (Op::MaxPool(window), Layer::MaxPool) => {
                graph.node("MaxPool", name, &[from], &real, window_attributes(*window));
            }
            (Op::AvgPool(window), Layer::Mean { .. }) => {
                graph.node("AveragePool", name, &[from], &real, avg_pool_attributes(*window));
            }
            (Op::GlobalAvgPool, Layer::Mean { .. }) => {
                graph.node("GlobalAveragePool", name, &[from], &real, Vec::new());
            }
            (Op::Linear(linear), Layer::Linear(integers)) => {
                let flat = format!("{name}.flat");
                graph.node("Flatten", &flat, &[from], &flat, vec![int("axis", 1)]);
                let bias = linear_bias(integers, input);
                let shape = [linear.out_features, linear.in_features];
                let [weight, bias] =
                    tensors(&mut graph, name, &shape, &integers.weights, &integers.scales, input, &bias);
                graph.node("Gemm", name, &[&flat, &weight, &bias], LOGITS, vec![int("transB", 1)]);
                continue;
            }
            (op, layer) => unreachable!("{op:?} was quantized to {layer:?}"),
        }
        if !exact {
            quantize(&mut graph, name, &real, output, name);
        }
    }
    graph
}

/// Adds the nodes that convert the normalised image to pixels 0..255, and returns the name of the result.
///
/// The padding comes first, in normalised values: there, zero is the mean colour. As a pixel that colour differs between the
/// channels, which a zero point of the whole tensor could not express.
fn pixels(graph: &mut Graph<'_>, network: &Network, preprocessing: &Preprocessing) -> String {
    let padding = network.nodes.iter().find_map(|node| match &node.op {
        Op::Conv(conv) if node.input == ValueId::IMAGE => Some(conv.window.padding as i64),
        _ => None,
    });
    let side = padding.unwrap_or_default();
    let pads: Vec<u8> = [0, 0, side, side].repeat(2).into_iter().flat_map(i64::to_le_bytes).collect();
    let pads = graph.tensor("image.pads".into(), &[8], DataType::Int64, Values::Bytes(pads));
    graph.node("Pad", "image.pad", &[IMAGE, &pads], "image.padded", Vec::new());
    let std = graph.floats("image.std".into(), &[1, 3, 1, 1], &preprocessing.std.map(|std| std * 255.0));
    graph.node("Mul", "image.scaled", &["image.padded", &std], "image.scaled", Vec::new());
    let mean = graph.floats("image.mean".into(), &[1, 3, 1, 1], &preprocessing.mean.map(|mean| mean * 255.0));
    graph.node("Add", "image.real", &["image.scaled", &mean], "image.real", Vec::new());
    quantize(graph, "image.pixels", "image.real", Activation::PIXELS, "image.pixels");
    "image.pixels".into()
}

/// Adds the quantization of `from` to `activation` and back, to `output`.
fn quantize(graph: &mut Graph<'_>, name: &str, from: &str, activation: Activation, output: &str) {
    let scale = graph.floats(format!("{name}.scale"), &[], &[activation.scale as f32]);
    let zero_point = (i32::from(activation.zero_point) + TO_UNSIGNED) as u8;
    let values = Values::Bytes(vec![zero_point]);
    let zero_point = graph.tensor(format!("{name}.zero_point"), &[], DataType::Uint8, values);
    let [quantized, q, dq] = ["quantized", "quantize", "dequantize"].map(|suffix| format!("{name}.{suffix}"));
    graph.node("QuantizeLinear", &q, &[from, &scale, &zero_point], &quantized, Vec::new());
    graph.node("DequantizeLinear", &dq, &[&quantized, &scale, &zero_point], output, Vec::new());
}

/// Adds weight and bias of a layer and returns the names of their real values.
fn tensors<'a>(
    graph: &mut Graph<'a>,
    name: &str,
    shape: &[usize],
    weights: &'a [i8],
    scales: &[f64],
    input: Activation,
    bias: &[i32],
) -> [String; 2] {
    let (per_output, taps) = (shape[1..].iter().product(), shape[2..].iter().product());
    let values = Values::Integers { weights, per_output, taps };
    let integers = graph.tensor(format!("{name}.weight"), shape, DataType::Int8, values);
    let weight = dequantize(graph, &integers, DataType::Int8, scales);
    let bytes = bias.iter().flat_map(|bias| bias.to_le_bytes()).collect();
    let integers = graph.tensor(format!("{name}.bias"), &shape[..1], DataType::Int32, Values::Bytes(bytes));
    let units: Vec<f64> = scales.iter().map(|scale| input.scale * scale).collect();
    [weight, dequantize(graph, &integers, DataType::Int32, &units)]
}

/// Adds the dequantization of a tensor of `data_type`, symmetric for each output channel, and returns its name.
fn dequantize(graph: &mut Graph<'_>, integers: &str, data_type: DataType, scales: &[f64]) -> String {
    let scales: Vec<f32> = scales.iter().map(|&scale| scale as f32).collect();
    let scale = graph.floats(format!("{integers}.scale"), &[scales.len()], &scales);
    let zeros = vec![0; scales.len() * if data_type == DataType::Int8 { 1 } else { size_of::<i32>() }];
    let name = format!("{integers}.zero_point");
    let zero_point = graph.tensor(name, &[scales.len()], data_type, Values::Bytes(zeros));
    let [node, real] = ["dequantize", "real"].map(|suffix| format!("{integers}.{suffix}"));
    graph.node("DequantizeLinear", &node, &[integers, &scale, &zero_point], &real, vec![int("axis", 0)]);
    real
}

/// Returns the biases of a convolution in accumulator units, without the zero points that are folded into those of the
/// artifact.
fn conv_bias(
    conv: &QuantizedConv,
    input: Activation,
    residual: Option<Activation>,
    output: Activation,
) -> Vec<i32> {
    let residual_zero = residual.map_or(0, |residual| i64::from(residual.zero_point));
    without_input_zero(&conv.weights, &conv.bias, input)
        .enumerate()
        .map(|(o, bias)| {
            let output_zero = output.zero_point_units(input.scale * conv.scales[o]);
            saturate(bias + residual_zero * i64::from(conv.residual[o]) - output_zero)
        })
        .collect()
}

/// Returns the biases of the classifier in accumulator units.
fn linear_bias(linear: &QuantizedLinear, input: Activation) -> Vec<i32> {
    without_input_zero(&linear.weights, &linear.bias, input).map(saturate).collect()
}

fn without_input_zero(weights: &[i8], bias: &[i32], input: Activation) -> impl Iterator<Item = i64> {
    let per_output = weights.len() / bias.len();
    weights.chunks_exact(per_output).zip(bias).map(move |(weights, &bias)| {
        let sum: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
        i64::from(bias) + i64::from(input.zero_point) * sum
    })
}

fn saturate(bias: i64) -> i32 {
    bias.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}
