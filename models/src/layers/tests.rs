use super::*;
use crate::names::find;
use crate::zoo::ZOO;
use std::collections::HashSet;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Millions of parameters and, at the test size, giga multiply-accumulates, counted independently of this code.
const PUBLISHED: [(&str, &str, &str); 31] = [
    ("torchvision/resnext50_32x4d", "25.029", "4.230"),
    ("torchvision/resnext101_32x8d", "88.791", "16.414"),
    ("timm/resnext50_32x4d", "25.029", "4.230"),
    ("timm/resnext50d_32x4d", "25.048", "4.470"),
    ("timm/resnext101_32x8d", "88.791", "16.414"),
    ("timm/resnext101_64x4d", "83.455", "25.555"),
    ("timm/tv_resnext50_32x4d", "25.029", "4.230"),
    ("timm/gluon_resnext50_32x4d", "25.029", "4.230"),
    ("timm/gluon_resnext101_32x4d", "44.178", "7.970"),
    ("timm/gluon_resnext101_64x4d", "83.455", "15.460"),
    ("mmcls/resnext50_32x4d", "25.029", "4.230"),
    ("mmcls/resnext101_32x4d", "44.178", "7.970"),
    ("mmcls/resnext101_32x8d", "88.791", "16.414"),
    ("mmcls/resnext152_32x4d", "59.951", "11.710"),
    ("ppcls/resnext50_32x4d", "25.029", "4.230"),
    ("ppcls/resnext50_64x4d", "45.192", "7.981"),
    ("ppcls/resnext50_vd_32x4d", "25.048", "4.470"),
    ("ppcls/resnext50_vd_64x4d", "45.212", "8.221"),
    ("ppcls/resnext101_32x4d", "44.178", "7.970"),
    ("ppcls/resnext101_64x4d", "83.455", "15.460"),
    ("ppcls/resnext101_vd_32x4d", "44.197", "8.210"),
    ("ppcls/resnext101_vd_64x4d", "83.475", "15.700"),
    ("ppcls/resnext152_32x4d", "59.951", "11.710"),
    ("ppcls/resnext152_64x4d", "114.972", "22.939"),
    ("ppcls/resnext152_vd_32x4d", "59.971", "11.949"),
    ("ppcls/resnext152_vd_64x4d", "114.991", "23.179"),
    ("ppcls/resnext101_32x8d_wsl", "88.791", "16.414"),
    ("ppcls/resnext101_32x16d_wsl", "194.027", "36.163"),
    ("ppcls/resnext101_32x32d_wsl", "468.530", "87.107"),
    ("ppcls/resnext101_32x48d_wsl", "828.411", "153.310"),
    ("ppcls/fix_resnext101_32x48d_wsl", "828.411", "312.876"),
];

#[test]
fn costs_of_the_whole_zoo() {
    // The variants that the model zoo's page lists come first; the others have their architectures.
    let (page, others) = ZOO.split_at(PUBLISHED.len());
    assert!(others.iter().all(|other| page.iter().any(|variant| variant.architecture == other.architecture)));
    for (variant, (id, params, gmac)) in ZOO.iter().zip(PUBLISHED) {
        assert_eq!(variant.to_string(), id);
        let a = variant.architecture;
        assert_eq!(format!("{:.3}", a.params() as f64 / 1e6), params, "{id}: parameters");
        let macs = a.macs(variant.preprocessing.size.into());
        assert_eq!(format!("{:.3}", macs as f64 / 1e9), gmac, "{id}: multiply-accumulates");
    }
}

#[test]
fn cost_follows_the_image_size() {
    let a = find("timm/resnext101_64x4d").unwrap().architecture;
    assert_eq!(format!("{:.3}", a.macs(224) as f64 / 1e9), "15.460");
}

/// A ResNet is a ResNeXt of cardinality 1, and a wide one has twice the width inside its blocks. Exact counts of
/// torchvision's models, at 224 pixels.
#[test]
fn resnets_are_of_the_family() {
    let resnets = [
        ("resnet50", 50, [3, 4, 6, 3], 64, 25_557_032, 4_089_184_256),
        ("resnet101", 101, [3, 4, 23, 3], 64, 44_549_160, 7_801_405_440),
        ("resnet152", 152, [3, 8, 36, 3], 64, 60_192_808, 11_513_626_624),
        ("wide_resnet50_2", 50, [3, 4, 6, 3], 128, 68_883_240, 11_398_021_120),
        ("wide_resnet101_2", 101, [3, 4, 23, 3], 128, 126_886_696, 22_753_050_624),
    ];
    for (name, depth, blocks, base_width, params, macs) in resnets {
        let a = Architecture::resnext(blocks, 1, base_width);
        assert_eq!(a.depth(), depth, "{name}");
        let inner = [0, 1, 2, 3].map(|stage| a.inner_width(stage));
        assert_eq!(inner, [1, 2, 4, 8].map(|times| times * usize::from(base_width)), "{name}");
        assert_eq!((a.params(), a.macs(224)), (params, macs), "{name}");
    }
}

/// ResNeXt-50 32x4d does 0.231 of its 4.230 GMAC in grouped layers, at 4, 8, 16 and 32 channels a group.
#[test]
fn grouped_layers_of_resnext50() {
    let a = find("torchvision/resnext50_32x4d").unwrap().architecture;
    let grouped: Vec<Conv> = a
        .layers(224)
        .filter_map(|layer| match layer.op {
            Op::Conv(conv) if conv.groups > 1 => Some(conv),
            _ => None,
        })
        .collect();
    assert_eq!(grouped.len(), 16);
    assert!(grouped.iter().all(|c| c.groups == 32 && c.kernel == 3 && c.padding() == 1));
    let widths: Vec<usize> = grouped.iter().map(|c| c.in_channels / c.groups).collect();
    assert_eq!(widths, [4, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16, 16, 16, 32, 32, 32]);
    let macs: u64 = grouped.iter().map(|&c| Op::Conv(c).macs()).sum();
    assert_eq!(format!("{:.3}", macs as f64 / 1e9), "0.231");
}

#[test]
fn names_are_those_of_torchvision() {
    let a = find("torchvision/resnext50_32x4d").unwrap().architecture;
    let names: Vec<String> = a.layers(224).map(|layer| layer.position.to_string()).collect();
    assert_eq!(names.len(), 1 + 16 * 3 + 4 + 1);
    let start = [
        "conv1",
        "layer1.0.downsample",
        "layer1.0.conv1",
        "layer1.0.conv2",
        "layer1.0.conv3",
        "layer1.1.conv1",
    ];
    assert_eq!(names[..6], start);
    assert_eq!(names[names.len() - 2..], ["layer4.2.conv3", "fc"]);
    let stem: Vec<String> = a.vd().layers(224).take(4).map(|layer| layer.position.to_string()).collect();
    assert_eq!(stem, ["conv1.0", "conv1.3", "conv1.6", "layer1.0.downsample"]);
}

/// Each layer reads what an earlier one wrote: channels and sizes chain, also where sizes do not divide.
#[test]
fn shapes_chain_at_any_size() {
    for variant in ZOO {
        for size in [1, 33, 160, 225, 320] {
            let a = variant.architecture;
            let (mut channels, mut side) = (3, size);
            let mut shortcut = None;
            let mut inner = (0, 0);
            let mut positions = HashSet::new();
            let layers = a.layers(size);
            let (expected, mut seen) = (layers.len(), 0);
            for Layer { position, op } in layers {
                seen += 1;
                assert!(positions.insert(position), "{variant}: {position} twice");
                match (position, op) {
                    (Position::Stem | Position::DeepStem(_), Op::Conv(c)) => {
                        assert_eq!((c.in_channels, c.input_size), (channels, side), "{variant} {position}");
                        let last = matches!(position, Position::Stem | Position::DeepStem(2));
                        (channels, side) = (c.out_channels, c.output_size.div_ceil(1 + usize::from(last)));
                    }
                    (Position::Block { role, .. }, Op::Conv(c)) => match role {
                        Role::Shortcut => {
                            assert_eq!(c.in_channels, channels, "{variant} {position}");
                            shortcut = Some((c.out_channels, c.output_size));
                        }
                        Role::Reduce => {
                            assert_eq!(
                                (c.in_channels, c.input_size),
                                (channels, side),
                                "{variant} {position}"
                            );
                            inner = (c.out_channels, c.output_size);
                        }
                        Role::Grouped => {
                            assert_eq!((c.in_channels, c.input_size), inner, "{variant} {position}");
                            assert_eq!(c.in_channels % c.groups, 0, "{variant} {position}");
                            inner = (c.out_channels, c.output_size);
                        }
                        Role::Expand => {
                            assert_eq!((c.in_channels, c.input_size), inner, "{variant} {position}");
                            let added = shortcut.take().unwrap_or((channels, side));
                            (channels, side) = (c.out_channels, c.output_size);
                            assert_eq!(added, (channels, side), "{variant} {position}: shortcut");
                        }
                    },
                    (Position::Classifier, Op::Linear(l)) => {
                        assert_eq!((l.in_features, l.out_features), (channels, 1000), "{variant}");
                    }
                    (position, op) => panic!("{variant}: {position} is {op:?}"),
                }
            }
            assert_eq!(seen, expected, "{variant}: length");
            assert!(positions.contains(&Position::Classifier));
        }
    }
}
