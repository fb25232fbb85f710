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
mod tests;
