//! Files in QDQ format, and what can be wrong with them.

use super::*;
use crate::import::onnx::tensors::scalar;
use crate::network::Activation;
use crate::network::{Op, Weights};
use tract_onnx::pb::GraphProto;

/// A network quantized by onnxruntime: uint8 activations, int8 weights with a scale for each channel, int32 biases.
const CHANNEL: &[u8] = include_bytes!("../../../../tests/fixtures/qdq/u8s8-channel.onnx");
/// A deep network quantized by onnxruntime, with biases in floats.
const FLOAT_BIAS: &[u8] = include_bytes!("../../../../tests/fixtures/qdq/u8s8-float-bias.onnx");

/// The names of values in `CHANNEL`, and the number of the weight of a convolution.
const RELU: &str = "/0/backbone/layer1/layer1.0/relu/Relu_output_0";
const TRUNK: &str = "/0/backbone/layer1/layer1.0/relu_2/Relu_output_0";
const SUMMAND: &str = "/0/backbone/layer1/layer1.0/conv3/Conv_output_0";
const WEIGHT: &str = "onnx::Conv_201";
const BIAS: &str = "onnx::Conv_202";
/// The same values in the network.
const CONV: &str = "layer1.0.conv2";

fn decoded(bytes: &[u8]) -> ModelProto {
    ModelProto::decode(bytes).expect("a fixture")
}

fn changed(change: impl FnOnce(&mut GraphProto)) -> Result<Network, ImportErrorKind> {
    let mut model = decoded(CHANNEL);
    change(model.graph.as_mut().expect("a graph"));
    read(&model)
}

/// Returns the error after `change` to a sound model, and checks that it is one line with a remedy.
fn error(change: impl FnOnce(&mut GraphProto)) -> String {
    let Err(error) = changed(change) else { panic!("a spoiled model was accepted") };
    let line = error.to_string();
    assert!(line.contains("; ") && !line.contains('\n'), "{line}");
    line
}

fn tensor<'a>(graph: &'a mut GraphProto, name: &str) -> &'a mut TensorProto {
    graph.initializer.iter_mut().find(|tensor| tensor.name == name).expect("a tensor of the fixture")
}

fn node<'a>(graph: &'a mut GraphProto, name: &str) -> &'a mut NodeProto {
    graph.node.iter_mut().find(|node| node.name == name).expect("a node of the fixture")
}

/// Returns the two nodes that quantize the value `name` and dequantize it.
fn pair<'a>(graph: &'a mut GraphProto, name: &str) -> impl Iterator<Item = &'a mut NodeProto> {
    let names = ["Quantize", "Dequantize"].map(|kind| format!("{name}_{kind}Linear"));
    graph.node.iter_mut().filter(move |node| names.contains(&node.name))
}

/// Puts `values` into the f32 tensor `name`.
fn put(graph: &mut GraphProto, name: &str, values: &[f32]) {
    let tensor = tensor(graph, name);
    tensor.raw_data.clear();
    tensor.float_data = values.to_vec();
    if values.len() != 1 {
        tensor.dims = vec![values.len() as i64];
    }
}

fn weights<'a>(network: &'a Network, name: &str) -> &'a Weights {
    match &network.nodes.iter().find(|node| node.name == name).expect("a layer").op {
        Op::Conv(conv) => &conv.weight,
        op => panic!("{op:?}"),
    }
}

#[test]
fn scales_and_integers_are_the_files() {
    let network = changed(|_| ()).expect("a ResNeXt");
    let mut model = decoded(CHANNEL);
    let graph = model.graph.as_mut().expect("a graph");
    let scale = scalar(tensor(graph, &format!("{RELU}_scale"))).expect("one");
    let zero_point = tensor(graph, &format!("{RELU}_zero_point")).clone();
    let [zero_point] = zero_point.int32_data[..] else { panic!("one element") };
    let prequantized = network.prequantized.as_ref().expect("quantized");
    let value = 1 + network.nodes.iter().position(|node| node.name == "layer1.0.conv1").expect("a layer");
    let expected = Activation { scale: scale.into(), zero_point: (zero_point - 128) as i8 };
    assert_eq!(prequantized.activations[value], Some(expected));

    let weights = weights(&network, CONV);
    let steps = weights.steps().expect("integers");
    let stored = tensor(graph, &format!("{WEIGHT}_quantized")).raw_data.clone();
    let per_output = stored.len() / steps.len();
    let real = stored.iter().enumerate().map(|(i, &q)| (f64::from(q as i8) * steps[i / per_output]) as f32);
    assert_eq!(weights.read(), real.collect::<Vec<_>>());
    // All but the image, the max pooling and the logits.
    let open: Vec<usize> =
        (0..prequantized.activations.len()).filter(|&i| prequantized.activations[i].is_none()).collect();
    assert_eq!(open, [0, 2, network.nodes.len()]);
}

/// ONNX lets a zero point of 0 be left out, and a weight be stored in floats.
#[test]
fn the_same_may_be_said_otherwise() {
    let network = changed(|_| ()).expect("a ResNeXt");
    let other = changed(|graph| {
        pair(graph, RELU).for_each(|node| node.input.truncate(2));
        node(graph, &format!("{WEIGHT}_DequantizeLinear")).input.truncate(2);
        graph.node.reverse();
    });
    assert_eq!(format!("{:?}", other.expect("a ResNeXt")), format!("{network:?}"));

    let weights = weights(&network, CONV);
    let other = changed(|graph| {
        let name = format!("{WEIGHT}_quantized");
        let stored = tensor(graph, &name);
        stored.data_type = DataType::Float as i32;
        stored.raw_data = weights.read().iter().flat_map(|value| value.to_le_bytes()).collect();
        let dequantize = node(graph, &format!("{WEIGHT}_DequantizeLinear"));
        let quantize =
            NodeProto { op_type: "QuantizeLinear".into(), output: vec!["q".into()], ..dequantize.clone() };
        dequantize.input[0] = "q".into();
        graph.node.push(quantize);
    });
    assert_eq!(format!("{:?}", other.expect("a ResNeXt")), format!("{network:?}"));
}

/// The tools of TensorRT quantize after the pooling, not before it; others quantize at each reader, and the readers must agree.
#[test]
fn quantizers_may_be_elsewhere() {
    let maxpool = "/0/backbone/maxpool/MaxPool_output_0";
    let stem = "/0/backbone/relu/Relu_output_0";
    let network = changed(|_| ()).expect("a ResNeXt");
    let other = changed(|graph| {
        graph.node.retain(|node| !node.name.starts_with(&format!("{stem}_")));
        let pool = node(graph, "/0/backbone/maxpool/MaxPool");
        pool.input[0] = format!("{stem}.relu");
        graph.node.push(NodeProto {
            op_type: "Relu".into(),
            input: vec![stem.into()],
            output: vec![format!("{stem}.relu")],
            ..NodeProto::default()
        });
        // Both have the same scale in the fixture, so that it may be the one or the other.
        assert!(graph.node.iter().any(|node| node.name == format!("{maxpool}_QuantizeLinear")));
    });
    let (before, after) = (
        network.prequantized.expect("quantized"),
        other.expect("a ResNeXt").prequantized.expect("quantized"),
    );
    assert_eq!(before.activations, after.activations);

    let again = |graph: &mut GraphProto, scale: &str| {
        let [mut quantize, mut dequantize] =
            pair(graph, TRUNK).map(|node| node.clone()).collect::<Vec<_>>().try_into().expect("two");
        let [q, dq]: [&mut NodeProto; 2] = [&mut quantize, &mut dequantize];
        (q.name, q.output[0], q.input[1]) = ("again".into(), "again.q".into(), scale.into());
        (dq.name, dq.input[0], dq.output[0], dq.input[1]) =
            ("back".into(), "again.q".into(), "again.dq".into(), scale.into());
        node(graph, "/0/backbone/layer2/layer2.0/conv1/Conv").input[0] = "again.dq".into();
        graph.node.extend([quantize, dequantize]);
    };
    assert!(changed(|graph| again(graph, &format!("{TRUNK}_scale"))).is_ok());
    let line = error(|graph| again(graph, &format!("{RELU}_scale")));
    assert!(line.contains("`again` (QuantizeLinear): its input is quantized with scale"), "{line}");
}

#[test]
fn broken_scales_and_zero_points_are_named() {
    let (scale, zero) = (format!("{RELU}_scale"), format!("{RELU}_zero_point"));
    for value in [0.0, -0.5] {
        let line = error(|graph| put(graph, &scale, &[value]));
        assert!(
            line.contains(&format!("{RELU}_QuantizeLinear` (QuantizeLinear): its scale is {value};")),
            "{line}"
        );
    }
    for value in [f32::NAN, f32::INFINITY] {
        let line = error(|graph| put(graph, &scale, &[value]));
        assert!(line.contains(&format!("tensor `{scale}`: element 0 is {value}")), "{line}");
    }
    for name in [format!("{WEIGHT}_scale"), format!("{BIAS}_quantized_scale")] {
        let line = error(|graph| put(graph, &name, &[1.0, 0.0, 1.0, 1.0]));
        assert!(line.contains("its scale is 0"), "{line}");
        let line = error(|graph| put(graph, &name, &[]));
        assert!(line.contains("its scale has shape [0]"), "{line}");
        let line = error(|graph| put(graph, &name, &[1.0; 3]));
        assert!(line.contains("3 scales"), "{line}");
    }
    let line = error(|graph| put(graph, &scale, &[0.5, 0.25]));
    assert!(line.contains("2 scales for its input, one a channel; not supported for activations"), "{line}");
    let line = error(|graph| {
        put(graph, &scale, &[0.5, 0.25, 0.125]);
        let zero = tensor(graph, &zero);
        (zero.dims, zero.raw_data) = (vec![2], vec![0, 0]);
    });
    assert!(line.contains("3 scales and 2 zero points"), "{line}");
    let line = error(|graph| tensor(graph, &scale).data_type = DataType::Int32 as i32);
    assert!(line.contains("its element type is INT32"), "{line}");
    let line = error(|graph| {
        let name = format!("{WEIGHT}_DequantizeLinear");
        node(graph, &name).attribute = vec![int("axis", 1)];
    });
    assert!(line.contains("along dimension 0"), "{line}");
    let line = error(|graph| {
        tensor(graph, &format!("{BIAS}_quantized_zero_point")).raw_data = vec![1; 16];
    });
    assert!(line.contains("zero point"), "{line}");
    // A pair that is none.
    let line = error(|graph| pair(graph, RELU).last().expect("two").input[1] = format!("{TRUNK}_scale"));
    assert!(line.contains("its scale or zero point is not that of the QuantizeLinear before it"), "{line}");
    let line =
        error(|graph| tensor(graph, &format!("{WEIGHT}_zero_point")).data_type = DataType::Uint8 as i32);
    assert!(line.contains("its zero point is UINT8 and its integers are INT8"), "{line}");
    for cut in 1..3 {
        // Data alone; or without a zero point, which then is 0 and the weights' only choice.
        let result = changed(|graph| node(graph, &format!("{WEIGHT}_DequantizeLinear")).input.truncate(cut));
        assert_eq!(result.is_ok(), cut == 2);
    }
    let line = error(|graph| tensor(graph, &format!("{WEIGHT}_quantized")).raw_data.truncate(7));
    assert!(line.contains("it needs 72 bytes and its storage has 7"), "{line}");
    let line = error(|graph| tensor(graph, &format!("{BIAS}_quantized")).raw_data.truncate(7));
    assert!(line.contains(BIAS) && line.contains("damaged"), "{line}");
}

#[test]
fn other_kinds_of_quantization_are_called_by_name() {
    let dequantize = format!("{WEIGHT}_DequantizeLinear");
    let line = error(|graph| {
        for name in [format!("{RELU}_zero_point"), format!("{TRUNK}_zero_point")] {
            tensor(graph, &name).data_type = DataType::Uint16 as i32;
        }
    });
    assert!(line.contains("it quantizes to UINT16; not supported; expected INT8 or UINT8"), "{line}");
    let line =
        error(|graph| tensor(graph, &format!("{WEIGHT}_quantized")).data_type = DataType::Int16 as i32);
    assert!(line.contains("it quantizes to INT16"), "{line}");
    let line = error(|graph| node(graph, &dequantize).attribute.push(int("block_size", 16)));
    assert!(line.contains("it quantizes in blocks; not supported"), "{line}");
    let line = error(|graph| pair(graph, RELU).next().expect("two").input[1] = TRUNK.into());
    assert!(line.contains("dynamic quantization is not supported"), "{line}");
    let conv = "/0/backbone/layer1/layer1.0/conv2/Conv";
    for (op, expected) in [
        ("QLinearConv", "(QOperator), which is not supported; quantize it in the QDQ format"),
        ("ConvInteger", "quantized dynamically, which is not supported"),
        ("FakeQuantize", "OpenVINO's FakeQuantize, which is not supported"),
        ("MatMulNBits", "quantized in blocks, which is not supported"),
    ] {
        let line = error(|graph| node(graph, conv).op_type = op.into());
        assert!(line.contains(&format!("`{conv}` ({op})")) && line.contains(expected), "{line}");
    }
    // Half of a pair.
    let line = error(|graph| node(graph, conv).input[0] = format!("{RELU}_QuantizeLinear_Output"));
    assert!(
        line.contains("(QuantizeLinear)") && line.contains("expected a DequantizeLinear to read it"),
        "{line}"
    );
    let line = error(|graph| node(graph, &format!("{RELU}_DequantizeLinear")).input[0] = RELU.into());
    assert!(line.contains("it reads neither integers of the file nor a QuantizeLinear"), "{line}");
}

/// Without a ReLU between a convolution and its quantizer, clipping at zero is the ReLU. Where a network has no ReLU, the
/// quantizer must not clip.
#[test]
fn clipping_counts_as_a_relu() {
    let unsigned = |value: u8| {
        move |graph: &mut GraphProto, name: &str| {
            tensor(graph, &format!("{name}_zero_point")).raw_data = vec![value];
        }
    };
    let line = error(|graph| unsigned(7)(graph, RELU));
    assert!(line.contains("expected Relu"), "{line}");
    let line = error(|graph| unsigned(0)(graph, SUMMAND));
    assert!(line.contains("quantized without values below zero, before an addition"), "{line}");
}

#[test]
fn damaged_quantized_files_never_panic() {
    damage(CHANNEL, 200);
    damage(FLOAT_BIAS, 100);
}
