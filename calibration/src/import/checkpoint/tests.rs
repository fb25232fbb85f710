use super::*;
use crate::import::tests::{Tensors, tiny_checkpoint, tiny_network};
use crate::network::Op;

/// The error after `change` to a sound checkpoint.
fn error(change: impl FnOnce(&mut Tensors)) -> String {
    let mut file = tiny_checkpoint();
    change(&mut file);
    load(&file.file(), "tiny".into(), ImportOptions::default()).expect_err("damaged").to_string()
}

#[test]
fn shapes_reveal_the_topology() {
    let network = tiny_network(64);
    assert_eq!(network.topology.blocks, [2, 1]);
    assert_eq!((network.topology.cardinality, network.topology.base_width), (2, 4));
    assert_eq!(network.topology.classes, 3);
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
        ("fc.bias", "[3]"),
        ("conv1.weight", "torchvision"),
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
    let line = error(|file| file.put("layer1.0.se.fc1.weight", &[1], vec![0.0]));
    assert!(line.contains("tensor `layer1.0.se.fc1.weight` is unexpected"), "{line}");
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
    // An ungrouped 3×3 is a ResNet.
    let line = error(|file| file.put("layer1.0.conv2.weight", &[8, 8, 3, 3], vec![0.0; 576]));
    assert!(line.contains("this is a ResNet"), "{line}");
    let line = error(|file| {
        file.0.remove("conv1.weight");
        file.put("conv1.0.weight", &[4, 3, 3, 3], vec![0.0; 108]);
    });
    assert!(line.contains("deep stem") && line.contains("not supported yet"), "{line}");
}
