use super::*;
use crate::import::tests::{
    Names, forget_statistics, network_of, noise, tiny_deep_network, tiny_network, without_origin,
};
use crate::network::Network;
use exporter::{Exporter, Head, float, int, ints, model, value_info};
use prost::Message;
use resnext_models::{Shortcut, Stem};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto};

mod exporter;
mod quantized;

const DIMS: [i64; 4] = [1, 3, 64, 64];

fn read(model: &ModelProto) -> Result<Network, ImportErrorKind> {
    read_in(Path::new(""), model)
}

/// Reads a model whose weights may be in `directory`.
fn read_in(directory: &Path, model: &ModelProto) -> Result<Network, ImportErrorKind> {
    let files = Files::new(&directory.join("m.onnx"), Vec::new().into());
    import(model, &files, "tiny".into(), ImportOptions::default())
        .map(|imported| without_origin(imported.network))
}

/// Reads `model` from a file.
fn read_file(model: &ModelProto) -> Result<Network, ImportErrorKind> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("tiny.onnx");
    std::fs::write(&path, model.encode_to_vec()).expect("room");
    load(&path, "tiny".into(), ImportOptions::default()).map(|imported| without_origin(imported.network))
}

/// Checks that `model` is `network`, read from memory and from a file.
fn assert_reads(model: &ModelProto, network: &Network, case: &str) {
    for read in [read(model), read_file(model)] {
        // Not `assert_eq`, which would print every weight.
        assert!(format!("{:?}", read.expect("a ResNeXt")) == format!("{network:?}"), "{case}");
    }
}

/// Returns the tiny network as a sound model.
fn sound() -> Exporter {
    Exporter::export(&tiny_network(64), &DIMS, Head::Flatten)
}

/// Returns the error after `change` to a sound model, and checks that it is one line with a remedy.
fn error(change: impl FnOnce(&mut Exporter)) -> String {
    let mut exporter = sound();
    change(&mut exporter);
    // Not `expect_err`, which would print every weight.
    let Err(error) = read(&exporter.model()) else { panic!("a spoiled model was accepted") };
    let line = error.to_string();
    assert!(line.contains("; ") && !line.contains('\n'), "{line}");
    line
}

fn node<'a>(exporter: &'a mut Exporter, name: &str) -> &'a mut NodeProto {
    exporter.graph.node.iter_mut().find(|n| n.name == name).expect("a node of the tiny network")
}

/// Sets an attribute of a node.
fn set(exporter: &mut Exporter, name: &str, attribute: tract_onnx::pb::AttributeProto) {
    let node = node(exporter, name);
    node.attribute.retain(|a| a.name != attribute.name);
    node.attribute.push(attribute);
}

#[test]
fn every_way_of_writing_the_head_reads_back_the_same() {
    let original = tiny_network(64);
    for head in
        [Head::Flatten, Head::MeanMatMul, Head::MeanReshape, Head::Squeeze, Head::Computed, Head::AvgPool]
    {
        assert_reads(&Exporter::export(&original, &DIMS, head).model(), &original, &format!("{head:?}"));
    }
}

#[test]
fn folded_models_read_back_the_same() {
    let mut original = tiny_network(64);
    crate::network::fold_batch_norm(&mut original);
    let network = read(&Exporter::export(&original, &DIMS, Head::Flatten).model()).expect("a ResNeXt");
    forget_statistics(&mut original);
    assert_eq!(format!("{network:?}"), format!("{original:?}"));
}

#[test]
fn operands_and_nodes_may_come_in_any_order() {
    let mut exporter = sound();
    exporter.graph.node.reverse();
    for node in &mut exporter.graph.node {
        if node.op_type == "Add" {
            node.input.reverse();
        }
    }
    let network = read(&exporter.model()).expect("a ResNeXt");
    assert_eq!(format!("{network:?}"), format!("{:?}", tiny_network(64)));
}

#[test]
fn open_sizes_come_from_the_options_or_default() {
    let cases = [
        ([-1, 3, -1, -1], None, 224),
        ([-1, 3, -1, -1], Some(96), 96),
        ([0, 3, 0, 0], None, 224),
        ([8, -1, 64, 64], None, 64),
        ([1, 3, 64, 64], Some(96), 96),
    ];
    for (dims, input_size, expected) in cases {
        let model = Exporter::export(&tiny_network(64), &dims, Head::Flatten).model();
        let files = Files::new(Path::new(""), Vec::new().into());
        let options = ImportOptions { input_size, ..ImportOptions::default() };
        let network = import(&model, &files, "tiny".into(), options).expect("a ResNeXt").network;
        assert_eq!((network.input.height, network.input.width), (expected, expected), "{dims:?}");
    }
    for dims in [&[1, 4, 64, 64][..], &[3, 64, 64], &[1, 3, 64, 1 << 40], &[1, 3, 64, i64::MAX]] {
        let model = Exporter::export(&tiny_network(64), dims, Head::Flatten).model();
        assert!(read(&model).is_err(), "{dims:?}");
    }
}

#[test]
fn nodes_off_the_path_to_the_output_do_not_matter() {
    let mut exporter = sound();
    exporter.node("Sigmoid", "dead", &["layer1.0.conv1.relu.out"], vec![]);
    exporter.node("Whatever", "dangling", &["nothing"], vec![]);
    assert!(read(&exporter.model()).is_ok());
}

#[test]
fn foreign_operators_are_named() {
    let mut lone = Exporter::new(&DIMS);
    lone.node("Det", "act", &["image"], vec![]);
    lone.graph.output[0].name = "act.out".into();
    let line = read(&lone.model()).expect_err("no ResNeXt").to_string();
    assert!(line.starts_with("node `act` (Det) is not part of a ResNeXt; "), "{line}");

    for (op, hint) in [
        ("Sigmoid", "the activation is Sigmoid"),
        ("Split", "expected only Conv"),
        ("DequantizeLinear", "fp32"),
        ("Gelu", "the activation is Gelu"),
        ("Erf", "the activation is Gelu"),
    ] {
        let line = error(|e| node(e, "layer1.1.conv2.relu").op_type = op.into());
        assert!(line.contains(&format!("`layer1.1.conv2.relu` ({op})")) && line.contains(hint), "{line}");
    }
    let line = error(|e| node(e, "conv1").domain = "com.example".into());
    assert!(line.contains("`conv1` (Conv): it is no operator of ONNX but of `com.example`"), "{line}");
}

#[test]
fn odd_attributes_are_named() {
    let cases = [
        ("layer1.0.conv2", ints("dilations", &[2, 2]), "dilations"),
        ("layer1.0.conv2", ints("pads", &[1, 1, 0, 0]), "pads"),
        ("layer1.0.conv2", ints("pads", &[-1, -1, -1, -1]), "pads"),
        ("layer1.0.conv2", ints("pads", &[1, 1]), "pads"),
        ("layer1.0.conv2", ints("strides", &[1, 2]), "strides"),
        ("layer1.0.conv2", ints("strides", &[0, 0]), "strides"),
        ("layer1.0.conv2", ints("strides", &[]), "strides"),
        ("layer1.0.conv2", ints("kernel_shape", &[5, 5]), "kernel_shape"),
        ("layer1.0.conv2", int("group", 0), "group"),
        ("layer1.0.conv2", int("group", -1), "group"),
        ("layer1.0.conv2", int("group", i64::MAX), "group"),
        ("layer1.0.conv2", int("strides", 1), "strides"),
        ("layer1.0.conv2", float("leak", 0.1), "leak"),
        ("maxpool", int("ceil_mode", 1), "rounded up"),
        ("maxpool", int("storage_order", 1), "storage_order"),
        ("layer1.0.conv2.bn", int("training_mode", 1), "model.eval()"),
        ("flat", int("axis", 2), "axis"),
        ("fc", int("transA", 1), "transA"),
        ("fc", float("alpha", f32::NAN), "alpha"),
    ];
    for (name, attribute, expected) in cases {
        let line = error(|e| set(e, name, attribute.clone()));
        assert!(line.contains(&format!("node `{name}`")) && line.contains(expected), "{line}");
    }
    let mut same = ints("auto_pad", &[]);
    same.r#type = tract_onnx::pb::attribute_proto::AttributeType::String as i32;
    same.s = b"SAME_UPPER".into();
    let line = error(|e| set(e, "conv1", same));
    assert!(line.contains("SAME_UPPER"), "{line}");
}

#[test]
fn other_topologies_are_told_apart() {
    // A block without its last convolution is a basic block.
    let line = error(|e| {
        let input = node(e, "layer1.1.conv3.add");
        input.input[0] = "layer1.1.conv2.bn.out".into();
    });
    assert!(line.contains("basic blocks"), "{line}");
    let line = error(|e| node(e, "layer1.1.conv1.relu").op_type = "Identity".into());
    assert!(line.contains("layer1.1.conv2") && line.contains("expected Relu"), "{line}");
    let line = error(|e| node(e, "layer1.1.conv3.add").input[1] = "conv1.relu.out".into());
    assert!(line.contains("node"), "{line}");
    let line = error(|e| set(e, "layer2.0.conv1", ints("strides", &[2, 2])));
    assert!(line.contains("`layer2.0.conv2`") && line.contains("so has the convolution before it"), "{line}");
    let line = error(|e| set(e, "layer1.0.conv1", ints("strides", &[2, 2])));
    assert!(line.contains("`layer1.0.downsample`") && line.contains("1×1 with stride 2"), "{line}");
    let line = error(|e| set(e, "conv1", ints("strides", &[1, 1])));
    assert!(line.contains("`conv1`") && line.contains("7×7 with stride 2 and padding 3"), "{line}");
    // Stride 2 on the main branch only: the shortcut no longer has the same shape.
    let line = error(|e| set(e, "layer1.1.conv2", ints("strides", &[2, 2])));
    assert!(line.contains("`layer1.1.conv3`") && line.contains("shortcut"), "{line}");
    let line = error(|e| node(e, "layer1.1.conv2").input[1] = "layer1.1.conv1.relu.out".into());
    assert!(line.contains("layer1.1.conv"), "{line}");
    let line = error(|e| e.graph.output[0].name = "pool.out".into());
    assert!(line.contains("`pool` (GlobalAveragePool): the model ends here; expected Flatten"), "{line}");
    let line = error(|e| {
        let relu = e.node("Relu", "after", &["fc.out"], vec![]);
        e.graph.output[0].name = relu;
    });
    assert!(line.contains("`after` (Relu): it follows the classifier"), "{line}");
}

#[test]
fn broken_graphs_are_errors() {
    let line = error(|e| node(e, "layer1.0.conv1").input[0] = "nowhere".into());
    assert!(line.contains("nothing produces the value `nowhere`"), "{line}");
    let line = error(|e| node(e, "layer1.0.conv1").output[0] = "conv1.out".into());
    assert!(line.contains("two nodes produce the value `conv1.out`"), "{line}");
    // A loop, and a loop of aliases.
    error(|e| node(e, "conv1").input[0] = "layer1.0.conv1.relu.out".into());
    let line = error(|e| {
        e.node("Identity", "a", &["b.out"], vec![]);
        e.node("Identity", "b", &["a.out"], vec![]);
        node(e, "conv1").input[0] = "a.out".into();
    });
    assert!(line.contains("nodes form a loop"), "{line}");
    for (name, inputs) in [("layer1.0.conv1", 1), ("layer1.0.conv1.bn", 3), ("fc", 1), ("conv1.relu", 0)] {
        error(|e| node(e, name).input.truncate(inputs));
    }
    error(|e| e.graph.input.push(value_info("second", &DIMS)));
    error(|e| e.graph.output.clear());
    error(|e| e.graph.input[0].r#type = None);
    error(|e| node(e, "conv1").output.clear());
    assert!(read(&ModelProto::default()).is_err());
    assert!(read(&model(Default::default())).is_err());
    let mut old = sound().model();
    old.opset_import = vec![OperatorSetIdProto { version: 6, ..Default::default() }];
    assert!(read(&old).expect_err("old").to_string().contains("opset 7"));
}

#[test]
fn bad_weights_are_named() {
    let spoil = |change: fn(&mut tract_onnx::pb::TensorProto)| {
        error(|e| {
            let found = e.graph.initializer.iter_mut().find(|t| t.name == "layer1.0.conv2.weight");
            change(found.expect("a weight"));
        })
    };
    let line = spoil(|t| t.float_data[7] = f32::NAN);
    assert!(line.starts_with("tensor `layer1.0.conv2.weight`: element 7 is NaN"), "{line}");
    let line = spoil(|t| t.data_type = 6);
    assert!(line.contains("layer1.0.conv2.weight") && line.contains("INT32"), "{line}");
    type Change = fn(&mut tract_onnx::pb::TensorProto);
    let changes: [Change; 8] = [
        |t| t.dims = vec![i64::MAX, i64::MAX, 3, 3],
        |t| t.dims[0] = -8,
        |t| t.dims = vec![8, 4, 9],
        |t| t.dims = vec![0, 4, 3, 3],
        |t| t.float_data.truncate(7),
        |t| t.data_type = 9999,
        |t| t.data_type = 8,
        |t| t.data_location = Some(1),
    ];
    for change in changes {
        let line = spoil(change);
        assert!(line.contains("layer1.0.conv2"), "{line}");
    }
    let line = spoil(|t| {
        t.float_data.clear();
        t.data_location = Some(1);
        let entry = |key: &str, value: &str| tract_onnx::pb::StringStringEntryProto {
            key: key.into(),
            value: value.into(),
        };
        t.external_data = vec![entry("location", "../../etc/passwd"), entry("offset", "0")];
    });
    assert!(line.contains("layer1.0.conv2.weight"), "{line}");
}

/// Moves the data of the tensors to bytes in the format of `element`.
fn to_raw(exporter: &mut Exporter, data_type: DataType, element: impl Fn(f32) -> Vec<u8>) {
    for tensor in exporter.graph.initializer.iter_mut().filter(|t| !t.float_data.is_empty()) {
        tensor.raw_data = tensor.float_data.drain(..).flat_map(&element).collect();
        tensor.data_type = data_type as i32;
    }
}

fn bytes(value: f32) -> Vec<u8> {
    value.to_le_bytes().into()
}

#[test]
fn deep_networks_read_back_the_same() {
    // Odd from the stem on: 37, 19, 10, 5.
    for side in [64, 37] {
        let mut network = tiny_deep_network(side);
        let dims = [1, 3, side as i64, side as i64];
        for head in [Head::Flatten, Head::MeanMatMul] {
            let model = Exporter::export(&network, &dims, head).model();
            assert_reads(&model, &network, &format!("{side}, {head:?}"));
        }
        crate::network::fold_batch_norm(&mut network);
        forget_statistics(&mut network);
        assert_reads(&Exporter::export(&network, &dims, Head::Flatten).model(), &network, "folded");
        assert_eq!(
            (network.architecture.stem, network.architecture.shortcut),
            (Stem::Deep, Shortcut::AvgPool)
        );
    }
}

#[test]
fn odd_average_pools_are_named() {
    let error = |side: usize, name: &str, attribute| {
        let dims = [1, 3, side as i64, side as i64];
        let mut exporter = Exporter::export(&tiny_deep_network(side), &dims, Head::Flatten);
        set(&mut exporter, name, attribute);
        read(&exporter.model()).map(|_| ()).map_err(|error| error.to_string())
    };
    // Rounding matters on an odd side only. The average pool of a 40-pixel image reads 10×10, that of 36 reads 9×9.
    assert_eq!(error(40, "layer2.0.avgpool", int("ceil_mode", 0)), Ok(()));
    let line = error(36, "layer2.0.avgpool", int("ceil_mode", 0)).expect_err("loses pixels");
    assert!(
        line.contains("`layer2.0.avgpool` (AveragePool): it leaves out the last row or column of 9×9"),
        "{line}"
    );
    let line = error(40, "layer2.0.avgpool", ints("kernel_shape", &[3, 3])).expect_err("too large");
    assert!(line.contains("it is 3×3 with stride 2"), "{line}");
    let line = error(40, "layer2.0.conv2", ints("strides", &[1, 1])).expect_err("no stride");
    assert!(line.contains("on the shortcut of a block without stride"), "{line}");
    let line = error(40, "conv1.3", ints("strides", &[2, 2])).expect_err("not a stem");
    assert!(line.contains("`conv1.3`") && line.contains("3×3 with stride 1"), "{line}");
}

#[test]
fn a_resnet_may_have_its_stride_on_the_first_convolution() {
    for (names, early) in [(Names::TORCHVISION, true), (Names::TORCHVISION, false), (Names::TIMM_D, true)] {
        let network = network_of(&names.checkpoint(1), 64);
        let mut exporter = Exporter::export(&network, &DIMS, Head::Flatten);
        if early {
            set(&mut exporter, "layer2.0.conv1", ints("strides", &[2, 2]));
            set(&mut exporter, "layer2.0.conv2", ints("strides", &[1, 1]));
        }
        let read = read(&exporter.model()).expect("a ResNet");
        assert_eq!((read.architecture.early_stride, read.architecture.cardinality), (early, 1));
        assert_eq!(read.nodes.last().map(|node| node.output), network.nodes.last().map(|node| node.output));
    }
}

/// Padding may be a node of its own before a convolution, and before the max pooling, whose inputs are not negative.
#[test]
fn padding_may_be_a_node() {
    let pad = |exporter: &mut Exporter, name: &str, amount: i64, as_input: bool| {
        let from = node(exporter, name).input[0].clone();
        let pads = [0, 0, amount, amount, 0, 0, amount, amount];
        let (inputs, attributes) = if as_input {
            (vec![exporter.ints(&format!("{name}.pads"), &pads)], vec![])
        } else {
            (vec![], vec![ints("pads", &pads), float("value", 0.0)])
        };
        let inputs: Vec<&str> = [&from].into_iter().chain(&inputs).map(String::as_str).collect();
        let padded = exporter.node("Pad", &format!("{name}.pad"), &inputs, attributes);
        node(exporter, name).input[0] = padded;
        set(exporter, name, ints("pads", &[0; 4]));
    };
    let mut exporter = sound();
    pad(&mut exporter, "conv1", 3, true);
    pad(&mut exporter, "maxpool", 1, false);
    pad(&mut exporter, "layer2.0.conv2", 1, true);
    assert_reads(&exporter.model(), &tiny_network(64), "padded");
    for change in [
        ints("pads", &[0, 0, 1, 1, 0, 0, 0, 0]),
        ints("pads", &[1, 0, 1, 1, 1, 0, 1, 1]),
        ints("pads", &[0, 0, -1, -1, 0, 0, -1, -1]),
        float("value", 1.0),
    ] {
        let line = error(|e| {
            pad(e, "layer2.0.conv2", 1, false);
            set(e, "layer2.0.conv2.pad", change.clone());
        });
        assert!(
            line.contains("`layer2.0.conv2.pad` (Pad)") && line.contains("zeros on all four sides"),
            "{line}"
        );
    }
}

#[test]
fn what_changes_nothing_is_seen_through() {
    let mut exporter = sound();
    // The output of an exported classifier that gives probabilities.
    let last = exporter.graph.node.last_mut().expect("an Identity");
    (last.op_type, last.attribute) = ("Softmax".into(), vec![int("axis", 1)]);
    let pooled = exporter.node("Dropout", "dropout", &["flat.out"], vec![float("ratio", 0.2)]);
    node(&mut exporter, "fc").input[0] = pooled;
    let cast = exporter.node("Cast", "to_half", &["image"], vec![int("to", 10)]);
    node(&mut exporter, "conv1").input[0] = cast;
    assert_reads(&exporter.model(), &tiny_network(64), "decorated");
    let line = error(|e| {
        let last = e.graph.node.last_mut().expect("an Identity");
        (last.op_type, last.attribute) = ("Softmax".into(), vec![int("axis", 0)]);
    });
    assert!(line.contains("axis") && line.contains("the classes"), "{line}");
    let line = error(|e| {
        let cast = e.node("Cast", "to_int", &["image"], vec![int("to", 6)]);
        node(e, "conv1").input[0] = cast;
    });
    assert!(line.contains("`to_int` (Cast)"), "{line}");
}

/// A graph as the exporter of PyTorch leaves it without optimisation: biases of zeros, axes and shapes are computed from constants.
#[test]
fn constants_may_be_computed() {
    let build = || {
        let mut exporter = sound();
        let mut body = std::mem::take(&mut exporter.graph.node);
        let one = exporter.node("Constant", "one", &[], vec![ints("value_ints", &[1])]);
        let zero = exporter.floats("zero", &[], &[0.0]);
        for name in ["conv1", "layer1.0.conv2"] {
            let shape = exporter.node(
                "Shape",
                &format!("{name}.shape"),
                &[&format!("{name}.weight")],
                vec![int("start", 0), int("end", 1)],
            );
            let shape = exporter.node("Expand", &format!("{name}.length"), &[&shape, &one], vec![]);
            let like = exporter.node("CastLike", &format!("{name}.zero"), &[&zero, "image"], vec![]);
            let bias = exporter.node("Expand", &format!("{name}.zeros"), &[&like, &shape], vec![]);
            body.iter_mut().find(|n| n.name == name).expect("a convolution").input.push(bias);
        }
        let target: Vec<_> = [1, 32]
            .map(|size| {
                exporter.node("Constant", &format!("size{size}"), &[], vec![ints("value_ints", &[size])])
            })
            .into();
        let target = exporter.node("Concat", "target", &[&target[0], &target[1]], vec![int("axis", 0)]);
        let flat = body.iter_mut().find(|n| n.name == "flat").expect("a Flatten");
        (flat.op_type, flat.attribute) = ("Reshape".into(), vec![]);
        flat.input.push(target);
        exporter.graph.node.append(&mut body);
        exporter
    };
    let network = read(&build().model()).expect("a ResNeXt");
    let image = noise(5, 3 * 64 * 64);
    let logits = |mut network: Network| {
        crate::network::fold_batch_norm(&mut network);
        let mut model = crate::fp32::Fp32Model::new(&network, &[]).expect("a model");
        model.run(&image).expect("a run").result().to_vec()
    };
    assert_eq!(logits(network), logits(tiny_network(64)));

    let mut wrong = build();
    node(&mut wrong, "size32").attribute = vec![ints("value_ints", &[31])];
    assert!(read(&wrong.model()).expect_err("wrong shape").to_string().contains("it reshapes to [1, 31]"));
    // Each node doubles its input, so computing them all would take more memory than any machine has.
    let mut bomb = sound();
    let body = std::mem::take(&mut bomb.graph.node);
    let mut value = bomb.node("Constant", "seed", &[], vec![ints("value_ints", &[1; 64])]);
    for i in 0..64 {
        value = bomb.node("Concat", &format!("double{i}"), &[&value, &value], vec![int("axis", 0)]);
    }
    bomb.graph.node.extend(body);
    assert_reads(&bomb.model(), &tiny_network(64), "bomb");
}

#[test]
fn weights_may_be_in_nodes() {
    let mut exporter = sound();
    to_raw(&mut exporter, DataType::Float, bytes);
    for tensor in std::mem::take(&mut exporter.graph.initializer) {
        let mut value = int("value", 0);
        value.r#type = tract_onnx::pb::attribute_proto::AttributeType::Tensor as i32;
        value.t = Some(tensor.clone());
        exporter.graph.node.push(NodeProto {
            op_type: "Constant".into(),
            output: vec![tensor.name],
            attribute: vec![value],
            ..Default::default()
        });
    }
    assert_reads(&exporter.model(), &tiny_network(64), "constants");
}

#[test]
fn weights_of_any_floating_point_type_are_widened() {
    let mut exporter = sound();
    to_raw(&mut exporter, DataType::Double, |value| f64::from(value).to_le_bytes().into());
    assert_reads(&exporter.model(), &tiny_network(64), "double");

    // Rounded to the upper half first, so that bfloat16 holds them exactly.
    let halved = |value: f32| f32::from_bits(value.to_bits() & 0xffff_0000);
    let mut rounded = sound();
    let mut exporter = sound();
    for graph in [&mut rounded.graph, &mut exporter.graph] {
        graph
            .initializer
            .iter_mut()
            .flat_map(|t| &mut t.float_data)
            .for_each(|value| *value = halved(*value));
    }
    let expected = read(&rounded.model()).expect("a ResNeXt");
    let mut in_integers = Exporter { graph: exporter.graph.clone() };
    to_raw(&mut exporter, DataType::Bfloat16, |value| value.to_bits().to_le_bytes()[2..].into());
    assert_reads(&exporter.model(), &expected, "bfloat16");
    for tensor in in_integers.graph.initializer.iter_mut().filter(|t| !t.float_data.is_empty()) {
        tensor.int32_data = tensor.float_data.drain(..).map(|value| (value.to_bits() >> 16) as i32).collect();
        tensor.data_type = DataType::Bfloat16 as i32;
    }
    assert_reads(&in_integers.model(), &expected, "bfloat16 in integers");

    // 1.5 in float16, whose numbers f32 has too.
    let mut exporter = sound();
    to_raw(&mut exporter, DataType::Float16, |_| vec![0x00, 0x3e]);
    let network = read(&exporter.model()).expect("a ResNeXt");
    let crate::network::Op::Conv(conv) = &network.nodes[0].op else { panic!("a convolution first") };
    assert!(conv.weight.read().iter().all(|&weight| weight == 1.5));
}

/// Moves the data of all tensors to one file of bytes.
fn to_side_file(exporter: &mut Exporter, location: &str) -> Vec<u8> {
    to_raw(exporter, DataType::Float, bytes);
    let mut file = vec![0; 5];
    for tensor in exporter.graph.initializer.iter_mut().filter(|t| t.data_type == DataType::Float as i32) {
        let entries = [
            ("location", location.to_owned()),
            ("offset", file.len().to_string()),
            ("length", tensor.raw_data.len().to_string()),
        ];
        tensor.data_location = Some(1);
        tensor.external_data =
            entries.map(|(key, value)| StringStringEntryProto { key: key.into(), value }).into();
        file.append(&mut tensor.raw_data);
    }
    file
}

#[test]
fn weights_may_be_in_a_file_next_to_the_model() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for location in ["m.data", "./m.data", "weights/m.data"] {
        let mut exporter = sound();
        let file = to_side_file(&mut exporter, location);
        std::fs::create_dir_all(directory.path().join("weights")).expect("room");
        std::fs::write(directory.path().join(location), file).expect("room");
        let network = read_in(directory.path(), &exporter.model()).expect("a ResNeXt");
        assert!(format!("{network:?}") == format!("{:?}", tiny_network(64)), "{location}");
    }
}

#[test]
fn a_side_file_that_is_not_whole_is_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let error = |location: &str, change: &dyn Fn(&mut TensorProto), file: Option<&[u8]>| {
        let mut exporter = sound();
        let whole = to_side_file(&mut exporter, location);
        let tensor = exporter.graph.initializer.iter_mut().find(|t| t.name == "layer1.0.conv2.weight");
        change(tensor.expect("a weight"));
        std::fs::write(directory.path().join("m.data"), file.unwrap_or(&whole)).expect("room");
        let Err(error) = read_in(directory.path(), &exporter.model()) else { panic!("accepted") };
        let line = error.to_string();
        assert!(line.starts_with("tensor `") && line.contains("; ") && !line.contains('\n'), "{line}");
        line
    };
    let line = error("m.data", &|_| (), Some(&[0; 5000]));
    assert!(line.contains("of `m.data` are not there: that has 5000; the file is truncated"), "{line}");
    let line = error("other.data", &|_| (), None);
    assert!(line.contains("kept in `other.data`, which cannot be read"), "{line}");
    for outside in ["../m.data", "/etc/passwd", "weights/../../m.data", ""] {
        let line = error(outside, &|_| (), None);
        assert!(line.contains("outside the model's directory"), "{line}");
    }
    let change =
        |at: usize, value: &'static str| move |t: &mut TensorProto| t.external_data[at].value = value.into();
    for (at, value) in
        [(1, "-1"), (1, "x"), (2, "99999999999999999999"), (1, "18446744073709551615"), (2, "8")]
    {
        let line = error("m.data", &change(at, value), None);
        assert!(line.contains("layer1.0.conv2.weight"), "{line}");
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let mut exporter = sound();
    to_raw(&mut exporter, DataType::Float, bytes);
    damage(&exporter.model().encode_to_vec(), 300);
}

/// Reads `whole` with some of its bytes changed and its end cut off, `times` times, each time in another way.
fn damage(whole: &[u8], times: u64) {
    for seed in 0..times {
        let mut damaged = whole.to_vec();
        for pair in noise(seed + 1, 8).chunks(2) {
            let at = (pair[0].abs() * (damaged.len() - 1) as f32) as usize;
            damaged[at] = (pair[1].abs() * 255.0) as u8;
        }
        damaged.truncate((noise(seed, 1)[0].abs() * 2.0 * whole.len() as f32) as usize);
        let source = FileBytes::from(damaged);
        let Ok(proto) = file::decode(source.bytes()) else { continue };
        let files = Files::new(Path::new(""), source.clone());
        if let Err(error) = import(&proto, &files, "tiny".into(), ImportOptions::default()) {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
