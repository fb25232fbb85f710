//! The shape of a ResNeXt.

/// The parameters of a ResNeXt. They determine every [layer](Architecture::layers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Architecture {
    /// Bottleneck blocks in each of the four stages.
    pub blocks: [u8; 4],
    /// Number of groups of the 3×3 convolutions: the 32 of 32x4d.
    pub cardinality: u16,
    /// Channels of a group in the first stage, for every 64 [`planes`](Self::planes): the 4 of 32x4d.
    pub base_width: u16,
    /// A quarter of the output channels of the first stage, 64 in every published variant. It doubles with each stage.
    pub planes: u16,
    /// The layers before the first max pooling.
    pub stem: Stem,
    /// How the first block of a stage brings its input to the shape of its output.
    pub shortcut: Shortcut,
    /// Number of classes.
    pub classes: u16,
}

impl Architecture {
    /// Returns the usual architecture of the family: 7×7 stem, projection shortcuts, 1000 classes.
    pub const fn resnext(blocks: [u8; 4], cardinality: u16, base_width: u16) -> Self {
        Self {
            blocks,
            cardinality,
            base_width,
            planes: 64,
            stem: Stem::Plain,
            shortcut: Shortcut::Projection,
            classes: 1000,
        }
    }

    /// Returns the same architecture with a deep stem and average-pooled shortcuts: timm's `d`, Paddle's `vd`.
    pub const fn vd(self) -> Self {
        Self { stem: Stem::Deep, shortcut: Shortcut::AvgPool, ..self }
    }

    /// Returns the number of layers with weights on the longest path: the stem, three for each block, and the classifier. It is
    /// the number in the name of the network.
    pub const fn depth(&self) -> usize {
        let [a, b, c, d] = self.blocks;
        2 + 3 * (a as usize + b as usize + c as usize + d as usize)
    }
}

/// The layers before the first max pooling. Both kinds halve the resolution and have 64 output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stem {
    /// One 7×7 convolution, stride 2.
    Plain,
    /// Three 3×3 convolutions of 32, 32 and 64 channels. The first has stride 2.
    Deep,
}

/// The shortcut of the first block of each stage. In the first stage, which keeps its resolution, both kinds are a 1×1
/// convolution of stride 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shortcut {
    /// 1×1 convolution, stride 2.
    Projection,
    /// 2×2 average pooling, stride 2 (ceil mode, padding not counted), then a 1×1 convolution, stride 1.
    AvgPool,
}
