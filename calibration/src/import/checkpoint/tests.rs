use super::*;
use crate::import::tests::{
    Names, Tensors, network_of, noise, tiny_checkpoint, tiny_deep_network, tiny_network,
};
use crate::network::Op;
use resnext_models::{Shortcut, Stem};

mod names;

/// Returns the error after `change` to a sound checkpoint.
fn error(change: impl FnOnce(&mut Tensors)) -> String {
    let mut file = tiny_checkpoint();
    change(&mut file);
    load(&file.file(), "tiny".into(), ImportOptions::default()).expect_err("damaged").to_string()
}

#[test]
fn shapes_reveal_the_architecture() {
    let network = tiny_network(64);
    assert_eq!(network.architecture.blocks, [2, 1]);
    assert_eq!((network.architecture.cardinality, network.architecture.base_width()), (2, 4));
    assert_eq!(network.architecture.classes, 3);
    let strides: Vec<_> = network
        .nodes
        .iter()
        .filter_map(|node| match &node.op {
            Op::Conv(conv) if conv.groups > 1 => Some(conv.window.stride),
            _ => None,
        })
        .collect();
    assert_eq!(strides, [1, 1, 2]);
    for node in &network.nodes {
        if let Op::Conv(conv) = &node.op {
            assert_eq!(conv.relu, !node.name.ends_with("downsample"), "{}", node.name);
            assert_eq!(conv.residual.is_some(), node.name.ends_with("conv3"), "{}", node.name);
        }
    }
}

#[test]
fn missing_tensors_are_named_with_their_shape() {
    let cases = [
        ("layer1.1.conv3.weight", "[channels, 8, 1, 1]"),
        ("layer2.0.downsample.0.weight", "[channels, 16, 1, 1]"),
        ("layer1.0.bn2.running_var", "[8]"),
        ("fc.weight", "[classes, 32]"),
        ("conv1.weight", "[channels, 3, 7, 7]"),
        ("layer1.0.conv1.weight", "the file starts with `bn1.bias`"),
    ];
    for (name, expected) in cases {
        let line = error(|file| drop(file.0.remove(name)));
        assert!(line.contains(&format!("`{name}` is missing")) && line.contains(expected), "{line}");
    }
}

#[test]
fn misshapen_tensors_are_named_with_both_shapes() {
    let cases: [(&str, &[usize], &str); 7] = [
        ("conv1.weight", &[8, 3, 5, 5], "[channels, 3, 7, 7]"),
        ("layer1.0.conv1.weight", &[8, 7, 1, 1], "[channels, 8, 1, 1]"),
        ("layer1.0.conv2.weight", &[8, 3, 3, 3], "[8, channels a group, 3, 3]"),
        ("layer1.0.conv2.weight", &[8, 0, 3, 3], "[8, channels a group, 3, 3]"),
        ("layer1.0.bn1.bias", &[9], "[8]"),
        ("fc.weight", &[32], "[classes, 32]"),
        ("fc.weight", &[0, 32], "[classes, 32]"),
    ];
    for (name, shape, expected) in cases {
        let line = error(|file| file.put(name, shape, vec![0.0; shape.iter().product()]));
        let found = format!("tensor `{name}`: its shape is {shape:?}; expected {expected}");
        assert_eq!(line, found);
    }
}

#[test]
fn left_over_tensors_are_named() {
    let line = error(|file| file.put("layer1.0.extra.weight", &[1], vec![0.0]));
    assert!(line.contains("tensor `layer1.0.extra.weight` is unexpected"), "{line}");
    let mut file = tiny_checkpoint();
    file.put("bn1.num_batches_tracked", &[], vec![1.0]);
    assert!(load(&file.file(), "tiny".into(), ImportOptions::default()).is_ok());
}

#[test]
fn values_that_are_not_numbers_are_located() {
    for value in [f32::NAN, f32::INFINITY] {
        let poison = |file: &mut Tensors| {
            let (_, values) = file.0.get_mut("layer2.0.conv1.weight").expect("there");
            values[5] = value;
        };
        let line = error(poison);
        assert!(line.contains(&format!("tensor `layer2.0.conv1.weight`: element 5 is {value}")), "{line}");
    }
    let line = error(|file| file.put("bn1.running_var", &[8], vec![-1.0; 8]));
    assert!(line.contains("conv1.weight") && line.contains("variance -1"), "{line}");
}

#[test]
fn other_families_are_told_apart() {
    for (name, family) in [
        ("layer1.0.se.fc1.weight", "SE-ResNeXt"),
        ("layer1.0.se_module.fc1.weight", "SE-ResNeXt"),
        ("backbone.layer1.0.se_layer.conv1.conv.weight", "SE-ResNeXt"),
        ("bb_0_0.scale.squeeze.weight", "SE-ResNeXt"),
        ("layer1.0.conv2.fc1.weight", "ResNeSt"),
    ] {
        let line = error(|file| file.put(name, &[1], vec![0.0]));
        assert!(line.contains(&format!("`{name}`: this is a")) && line.contains(family), "{line}");
    }
    let line = error(|file| file.put("layer1.0.conv1.weight", &[8, 8, 3, 3], vec![0.0; 576]));
    assert!(line.contains("`layer1.0.conv1.weight`: this is a ResNet of basic blocks"), "{line}");
    // One group in the first block, two in the second.
    let line = error(|file| file.put("layer1.0.conv2.weight", &[8, 8, 3, 3], vec![0.0; 576]));
    assert!(line.contains("`layer1.1.conv2.weight`: it has 2 groups; expected 1"), "{line}");
}

/// The network is the same, whatever names a library gives the tensors.
#[test]
fn every_library_is_understood() {
    let plain = format!("{:?}", tiny_network(64));
    for (library, names) in [
        ("torchvision", Names::TORCHVISION),
        ("mmcls", names::MMCLS),
        ("ppcls", names::PPCLS),
        ("wsl", names::PPCLS_WSL),
        ("program", names::PROGRAM),
    ] {
        assert!(format!("{:?}", network_of(&names.checkpoint(2), 64)) == plain, "{library}");
    }
    let deep = tiny_deep_network(64);
    for (library, names) in
        [("mmcls", names::MMCLS_D), ("ppcls", names::PPCLS_VD), ("program", names::PROGRAM_VD)]
    {
        assert!(format!("{:?}", network_of(&names.checkpoint(2), 64)) == format!("{deep:?}"), "{library}");
    }
    assert_eq!((deep.architecture.stem, deep.architecture.shortcut), (Stem::Deep, Shortcut::AvgPool));
    let names: Vec<_> = deep.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names[..4], ["conv1.0", "conv1.3", "conv1.6", "maxpool"]);
    assert_eq!(
        names[11..15],
        ["layer2.0.conv1", "layer2.0.conv2", "layer2.0.avgpool", "layer2.0.downsample"]
    );
    assert!(!names.contains(&"layer1.0.avgpool"), "the first stage keeps its resolution");
}

/// Training wrappers add a prefix to every name. The error for a missing tensor has the prefix, too.
#[test]
fn prefixes_are_seen_through() {
    let plain = format!("{:?}", tiny_network(64));
    for (names, prefix) in
        [(Names::TORCHVISION, "module."), (names::MMCLS, "module."), (names::PPCLS, "Student.")]
    {
        let mut file = Tensors::default();
        for (name, (shape, values)) in names.checkpoint(2).0 {
            file.put(&format!("{prefix}{name}"), &shape, values);
        }
        assert!(format!("{:?}", network_of(&file, 64)) == plain, "{prefix}");
        file.0.remove(&format!("{prefix}{}", names.linear[0]));
        let line =
            load(&file.file(), "tiny".into(), ImportOptions::default()).expect_err("no weight").to_string();
        // Without the classifier of mmcls, its prefix may be that of any wrapper.
        let classifier = names.linear[0].trim_start_matches("head.");
        assert!(line.contains(prefix) && line.contains(&format!("{classifier}` is missing")), "{line}");
    }
}

/// The WSL programs of Paddle have the names of PyTorch and the order of Paddle.
#[test]
fn a_transposed_classifier_is_told_by_its_shape() {
    let mixed = Names { transposed: true, ..Names::TORCHVISION };
    assert!(format!("{:?}", network_of(&mixed.checkpoint(2), 64)) == format!("{:?}", tiny_network(64)));
}

/// Blocks beyond the first of stage 3 are letters in networks of depth 50 and numbers in deeper ones.
#[test]
fn programs_count_blocks_in_two_ways() {
    for second in ["4b", "4b1"] {
        let mut file = Tensors::default();
        // A third stage like the second, of two blocks.
        for (name, (shape, values)) in names::PROGRAM.checkpoint(2).0 {
            let from_second = ["res3a", "bn3a"].iter().any(|start| name.starts_with(start));
            if from_second {
                for block in ["4a", second].iter().take(if name.contains("branch1") { 1 } else { 2 }) {
                    let mut shape = shape.clone();
                    if name.contains("branch1_weights") || name.contains("branch2a_weights") {
                        shape[1] = 32;
                    }
                    let values = noise(7, shape.iter().product()).iter().map(|v| v.abs()).collect();
                    file.put(&name.replace("3a", block), &shape, values);
                }
            }
            file.put(&name, &shape, values);
        }
        assert_eq!(network_of(&file, 64).architecture.blocks, [2, 1, 2], "{second}");
    }
}

#[test]
fn one_group_makes_a_resnet() {
    for names in [Names::TORCHVISION, Names::TIMM_D] {
        let network = network_of(&names.checkpoint(1), 64);
        assert_eq!((network.architecture.cardinality, network.architecture.base_width()), (1, 8));
    }
}
