//! The family parameters of a network, which tell one ResNeXt from another.

use resnext_models::{Shortcut, Stem};

/// The family parameters that the shapes of a ResNeXt reveal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// The layers before the max pooling.
    pub stem: Stem,
    /// Bottleneck blocks in each stage, for example `[3, 4, 6, 3]`.
    pub blocks: Vec<usize>,
    /// Channels of the 3×3 convolutions in each stage.
    pub widths: Vec<usize>,
    /// Output channels of each stage.
    pub channels: Vec<usize>,
    /// Groups of the 3×3 convolutions; 1 in a ResNet.
    pub cardinality: usize,
    /// How a block with a stride brings its input to the shape of its output.
    pub shortcut: Shortcut,
    /// Whether the stride of a block is on its first 1×1 convolution, as in the original ResNet. Every ResNeXt has it on the
    /// 3×3 convolution.
    pub early_stride: bool,
    /// Number of classes.
    pub classes: usize,
}

impl Architecture {
    /// Returns the channels of a group in the first stage: the `4d` of 32x4d.
    pub fn base_width(&self) -> usize {
        self.widths.first().map_or(0, |width| width / self.cardinality.max(1))
    }

    /// Returns the number of weighted layers, which is the number in the network's name: one for the stem, even a deep one,
    /// three for each block and one for the classifier.
    pub fn depth(&self) -> usize {
        2 + 3 * self.blocks.iter().sum::<usize>()
    }
}
