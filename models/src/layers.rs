//! The layers of an [`Architecture`] and their cost.
//!
//! Only layers with weights are listed. Every variant also has a 3×3 max pooling of stride 2 after the stem, a global average
//! pooling before the classifier, and, with [`Shortcut::AvgPool`], 2×2 average poolings. Poolings and convolutions of stride 2
//! reduce n pixels to ⌈n / 2⌉.

use core::fmt;
use core::iter::FusedIterator;

use crate::architecture::{Architecture, Shortcut, Stem};

/// Output channels of the first two convolutions of a deep stem.
const DEEP_STEM_CHANNELS: usize = 32;
/// Output channels of every stem.
const STEM_CHANNELS: usize = 64;
/// Ratio of the output channels of a bottleneck to its planes.
const EXPANSION: usize = 4;

impl Architecture {
    /// Returns the layers with weights, in an order of execution, for an image of `size`×`size` pixels.
    pub fn layers(&self, size: usize) -> Layers {
        let mut layers = Layers {
            architecture: *self,
            size,
            channels: 3,
            next: Some(match self.stem {
                Stem::Plain => Position::Stem,
                Stem::Deep => Position::DeepStem(0),
            }),
            left: 0,
        };
        layers.left = layers.clone().count_positions();
        layers
    }

    /// Returns the number of trained parameters: weights, biases, and the scales and shifts of batch norms.
    pub fn params(&self) -> u64 {
        // Any resolution will do at which no layer vanishes.
        self.layers(224).map(|layer| layer.op.params()).sum()
    }

    /// Returns the number of multiply-accumulates for an image of `size`×`size` pixels.
    pub fn macs(&self, size: usize) -> u64 {
        self.layers(size).map(|layer| layer.op.macs()).sum()
    }

    /// Returns the number of channels of the 3×3 convolutions in `stage` 0..4.
    pub const fn inner_width(&self, stage: usize) -> usize {
        let planes = (self.planes as usize) << stage;
        planes * self.base_width as usize / 64 * self.cardinality as usize
    }

    /// Returns the number of output channels of `stage` 0..4.
    pub const fn stage_channels(&self, stage: usize) -> usize {
        EXPANSION * ((self.planes as usize) << stage)
    }
}

/// A layer with weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layer {
    /// Its position in the network.
    pub position: Position,
    /// Its arithmetic.
    pub op: Op,
}

/// The position of a layer in the network. Displays as the name in torchvision and timm, such as `layer1.0.conv2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// The 7×7 convolution of [`Stem::Plain`].
    Stem,
    /// One of the three convolutions of [`Stem::Deep`], 0..3.
    DeepStem(usize),
    /// A convolution of a bottleneck block.
    Block {
        /// Stage, 0..4.
        stage: usize,
        /// Block of the stage, from 0.
        block: usize,
        /// The convolution of the block.
        role: Role,
    },
    /// The fully connected layer.
    Classifier,
}

/// The convolutions of a bottleneck block, in the order of [`Layers`]. The shortcut comes first, because the expansion adds it
/// to its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// 1×1, on the input of the first block of a stage.
    Shortcut,
    /// 1×1 to the inner width.
    Reduce,
    /// Grouped 3×3, with the stride of the block.
    Grouped,
    /// 1×1 to the output channels of the stage. Its result is added to the shortcut.
    Expand,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Stem => f.write_str("conv1"),
            // A batch norm and a ReLU take the two indices between.
            Self::DeepStem(index) => write!(f, "conv1.{}", 3 * index),
            Self::Block { stage, block, role } => {
                let role = match role {
                    Role::Shortcut => "downsample",
                    Role::Reduce => "conv1",
                    Role::Grouped => "conv2",
                    Role::Expand => "conv3",
                };
                write!(f, "layer{}.{block}.{role}", stage + 1)
            }
            Self::Classifier => f.write_str("fc"),
        }
    }
}

/// The arithmetic of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A convolution without bias, followed by a batch norm.
    Conv(Conv),
    /// A fully connected layer with bias.
    Linear(Linear),
}

impl Op {
    /// Returns the number of weights, without bias and batch norm.
    pub const fn weights(&self) -> u64 {
        match self {
            Self::Conv(c) => (c.out_channels * (c.in_channels / c.groups) * c.kernel * c.kernel) as u64,
            Self::Linear(l) => (l.in_features * l.out_features) as u64,
        }
    }

    /// Returns the number of trained parameters: the weights, and the bias or the scale and shift of the batch norm.
    pub const fn params(&self) -> u64 {
        match self {
            Self::Conv(c) => self.weights() + 2 * c.out_channels as u64,
            Self::Linear(l) => self.weights() + l.out_features as u64,
        }
    }

    /// Returns the number of multiply-accumulates for one image, including those on padding.
    pub const fn macs(&self) -> u64 {
        match self {
            Self::Conv(c) => self.weights() * (c.output_size * c.output_size) as u64,
            Self::Linear(_) => self.weights(),
        }
    }
}

/// A square convolution on a square image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Height and width of the kernel. Odd.
    pub kernel: usize,
    /// Stride in both directions.
    pub stride: usize,
    /// Number of groups. It divides both numbers of channels.
    pub groups: usize,
    /// Height and width of the input. For an average-pooled shortcut, those of the pooled input.
    pub input_size: usize,
    /// Height and width of the output.
    pub output_size: usize,
}

impl Conv {
    /// Returns the number of zeros on each side of the input.
    pub const fn padding(&self) -> usize {
        self.kernel / 2
    }
}

/// `y = W x + b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Linear {
    /// Number of inputs.
    pub in_features: usize,
    /// Number of outputs, which are the classes.
    pub out_features: usize,
}

/// Iterator over the layers of an architecture, from [`Architecture::layers`].
#[derive(Clone, Debug)]
pub struct Layers {
    architecture: Architecture,
    /// Height and width of the input of the next block or stem convolution.
    size: usize,
    /// Channels of that input.
    channels: usize,
    next: Option<Position>,
    left: usize,
}

impl Layers {
    fn count_positions(mut self) -> usize {
        let mut count = 0;
        while self.advance().is_some() {
            count += 1;
        }
        count
    }

    fn advance(&mut self) -> Option<Layer> {
        let position = self.next?;
        let (op, next) = match position {
            Position::Stem => {
                let op = self.stem(7, 2, STEM_CHANNELS);
                (op, Some(self.enter(0, 0)))
            }
            Position::DeepStem(0) => (self.stem(3, 2, DEEP_STEM_CHANNELS), Some(Position::DeepStem(1))),
            Position::DeepStem(1) => (self.stem(3, 1, DEEP_STEM_CHANNELS), Some(Position::DeepStem(2))),
            Position::DeepStem(_) => {
                let op = self.stem(3, 1, STEM_CHANNELS);
                (op, Some(self.enter(0, 0)))
            }
            Position::Block { stage, block, role } => self.block(stage, block, role),
            Position::Classifier => {
                let out_features = self.architecture.classes.into();
                (Op::Linear(Linear { in_features: self.channels, out_features }), None)
            }
        };
        self.next = next;
        Some(Layer { position, op })
    }

    /// Returns a convolution of the stem. After the last one, the max pooling reduces the size.
    fn stem(&mut self, kernel: usize, stride: usize, out_channels: usize) -> Op {
        let conv = conv(self.channels, out_channels, kernel, stride, 1, self.size);
        let last = out_channels == STEM_CHANNELS;
        self.size = if last { conv.output_size.div_ceil(2) } else { conv.output_size };
        self.channels = out_channels;
        Op::Conv(conv)
    }

    /// Returns the first convolution at or after `block` of `stage`.
    fn enter(&self, stage: usize, block: usize) -> Position {
        let Some(&blocks) = self.architecture.blocks.get(stage) else {
            return Position::Classifier;
        };
        if block == usize::from(blocks) {
            return self.enter(stage + 1, 0);
        }
        let projects = block == 0 && (stage > 0 || self.channels != self.architecture.stage_channels(stage));
        Position::Block { stage, block, role: if projects { Role::Shortcut } else { Role::Reduce } }
    }

    fn block(&mut self, stage: usize, block: usize, role: Role) -> (Op, Option<Position>) {
        let stride = if stage > 0 && block == 0 { 2 } else { 1 };
        let inner = self.architecture.inner_width(stage);
        let outer = self.architecture.stage_channels(stage);
        let then = |role| Some(Position::Block { stage, block, role });
        let (conv, next) = match role {
            Role::Shortcut => {
                let (stride, size) = match self.architecture.shortcut {
                    Shortcut::Projection => (stride, self.size),
                    Shortcut::AvgPool => (1, self.size.div_ceil(stride)),
                };
                (conv(self.channels, outer, 1, stride, 1, size), then(Role::Reduce))
            }
            Role::Reduce => (conv(self.channels, inner, 1, 1, 1, self.size), then(Role::Grouped)),
            Role::Grouped => {
                let groups = self.architecture.cardinality.into();
                (conv(inner, inner, 3, stride, groups, self.size), then(Role::Expand))
            }
            Role::Expand => {
                self.size = self.size.div_ceil(stride);
                self.channels = outer;
                (conv(inner, outer, 1, 1, 1, self.size), Some(self.enter(stage, block + 1)))
            }
        };
        (Op::Conv(conv), next)
    }
}

fn conv(
    in_channels: usize,
    out_channels: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
    input_size: usize,
) -> Conv {
    let output_size = input_size.div_ceil(stride);
    Conv { in_channels, out_channels, kernel, stride, groups, input_size, output_size }
}

impl Iterator for Layers {
    type Item = Layer;

    fn next(&mut self) -> Option<Layer> {
        let layer = self.advance()?;
        self.left -= 1;
        Some(layer)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Layers {}
impl FusedIterator for Layers {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::{ZOO, find};
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
        assert_eq!(ZOO.len(), PUBLISHED.len());
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
                            assert_eq!(
                                (c.in_channels, c.input_size),
                                (channels, side),
                                "{variant} {position}"
                            );
                            let last = matches!(position, Position::Stem | Position::DeepStem(2));
                            (channels, side) =
                                (c.out_channels, c.output_size.div_ceil(1 + usize::from(last)));
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
}
