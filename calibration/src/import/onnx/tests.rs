use super::*;
use crate::import::tests::tiny_network;
use exporter::{Exporter, Head, float, int, ints, model, value_info};
use tract_onnx::pb::{NodeProto, OperatorSetIdProto};

mod exporter;

const DIMS: [i64; 4] = [1, 3, 64, 64];

fn read(model: &ModelProto) -> Result<Network, ImportErrorKind> {
    import(model, Path::new(""), "tiny".into(), ImportOptions::default())
}

/// The tiny network as a sound model.
fn sound() -> Exporter {
    Exporter::export(&tiny_network(64), &DIMS, Head::Flatten)
}

/// The error after `change` to a sound model. Always one line, always with a remedy.
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
    for head in [Head::Flatten, Head::MeanMatMul, Head::MeanReshape, Head::Squeeze, Head::Computed] {
        let network = read(&Exporter::export(&original, &DIMS, head).model()).expect("a ResNeXt");
        assert_eq!(format!("{network:?}"), format!("{original:?}"), "{head:?}");
    }
}

#[test]
fn folded_models_read_back_the_same() {
    let mut original = tiny_network(64);
    crate::fold::fold_batch_norm(&mut original);
    let network = read(&Exporter::export(&original, &DIMS, Head::Flatten).model()).expect("a ResNeXt");
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
        let network =
            import(&model, Path::new(""), "tiny".into(), ImportOptions { input_size }).expect("a ResNeXt");
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
    lone.node("Tanh", "act", &["image"], vec![]);
    lone.graph.output[0].name = "act.out".into();
    let line = read(&lone.model()).expect_err("no ResNeXt").to_string();
    assert!(line.starts_with("node `act` (Tanh) is not part of a ResNeXt; "), "{line}");

    for (op, hint) in [
        ("Sigmoid", "SE-ResNeXt"),
        ("Split", "ResNeSt"),
        ("DequantizeLinear", "fp32"),
        ("Gelu", "expected only Conv"),
    ] {
        let line = error(|e| node(e, "layer1.1.conv2.relu").op_type = op.into());
        assert!(line.contains(&format!("`layer1.1.conv2.relu` ({op})")) && line.contains(hint), "{line}");
    }
    let line = error(|e| node(e, "conv1").domain = "com.example".into());
    assert!(line.contains("`conv1` (Conv) is not part"), "{line}");
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
        ("layer1.0.conv2.bn", int("training_mode", 1), "training_mode"),
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
    assert!(line.contains("Identity nodes form a loop"), "{line}");
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
    old.opset_import = vec![OperatorSetIdProto { version: 7, ..Default::default() }];
    assert!(read(&old).expect_err("old").to_string().contains("opset 11"));
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
    let line = spoil(|t| t.data_type = 10);
    assert!(line.contains("layer1.0.conv2.weight") && line.contains("FLOAT16"), "{line}");
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

#[test]
fn weights_may_be_in_a_file_next_to_the_model() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut exporter = sound();
    let mut bytes = Vec::new();
    for tensor in exporter.graph.initializer.iter_mut().filter(|t| !t.float_data.is_empty()) {
        let data: Vec<u8> = tensor.float_data.drain(..).flat_map(f32::to_le_bytes).collect();
        let entries = [
            ("location", "m.data".into()),
            ("offset", bytes.len().to_string()),
            ("length", data.len().to_string()),
        ];
        tensor.data_location = Some(1);
        tensor.external_data = entries
            .map(|(key, value)| tract_onnx::pb::StringStringEntryProto { key: key.into(), value })
            .into();
        bytes.extend(data);
    }
    std::fs::write(directory.path().join("m.data"), bytes).expect("room");
    let network = import(&exporter.model(), directory.path(), "tiny".into(), ImportOptions::default());
    assert_eq!(format!("{:?}", network.expect("a ResNeXt")), format!("{:?}", tiny_network(64)));
}
