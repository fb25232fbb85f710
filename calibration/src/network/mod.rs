//! The intermediate representation of a network between import and quantization.
//!
//! A [`Network`] is a list of [`Node`]s in execution order. Each node produces one value; value 0 is the image. The only
//! operations are those that the int8 runtime executes, so an importer either maps the whole source graph to them or says
//! which node does not fit. Residual additions are not nodes: they belong to the convolution that feeds them, as in the
//! runtime.

mod activation;
mod architecture;
mod batch_norm;
mod normalisation;
mod origin;
mod prequantized;
mod weights;

pub use activation::{Activation, Range};
pub use architecture::Architecture;
pub use batch_norm::fold_batch_norm;
pub use normalisation::Normalisation;
pub use origin::Origin;
pub use prequantized::{Pixels, Prequantized};
pub use resnext_fp32::{Shape, Window};
pub use weights::Weights;

/// Names one value (activation tensor): `ValueId(0)` is the image, `ValueId(i + 1)` is the output of node `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

impl ValueId {
    /// The normalised input image.
    pub const IMAGE: Self = Self(0);
}

/// An fp32 network ready to be folded, calibrated and quantized.
#[derive(Clone, Debug)]
pub struct Network {
    /// Human-readable name of the variant or file, for example `resnext50_32x4d`.
    pub name: String,
    /// Shape of the image: 3 channels, RGB, normalised.
    pub input: Shape,
    /// Operations in execution order.
    pub nodes: Vec<Node>,
    /// The family parameters, as the shapes reveal them.
    pub architecture: Architecture,
    /// The quantization that the file brings along, if it does.
    pub prequantized: Option<Prequantized>,
    /// What the file does with its image before it is the normalised image of this network, if it does anything.
    pub normalisation: Option<Normalisation>,
    /// What else the file says.
    pub origin: Origin,
}

/// One operation and its output.
#[derive(Clone, Debug)]
pub struct Node {
    /// Dotted path in the vocabulary of the sources, for example `layer1.0.conv2`; unique in a network.
    pub name: String,
    /// The value read.
    pub input: ValueId,
    /// Shape of the value produced.
    pub output: Shape,
    /// What is computed.
    pub op: Op,
}

impl Node {
    /// Iterates over the values that it reads: its input, then its residual.
    pub fn reads(&self) -> impl Iterator<Item = ValueId> {
        let residual = match &self.op {
            Op::Conv(conv) => conv.residual,
            _ => None,
        };
        std::iter::once(self.input).chain(residual)
    }
}

/// The operations of the int8 runtime, in fp32.
#[derive(Clone, Debug)]
pub enum Op {
    /// 2-D convolution with everything that is fused into it.
    Conv(Conv),
    /// Max pooling; padding does not take part in the maximum.
    MaxPool(Window),
    /// Mean over a window without padding. A window that reaches beyond the last row or column, as it does on an odd side
    /// ("ceil mode"), averages only the pixels that lie on the image.
    AvgPool(Window),
    /// Mean over all pixels: output is 1×1.
    GlobalAvgPool,
    /// Fully connected classifier.
    Linear(Linear),
}

/// A convolution, then its batch norm until that is folded, then the residual addition, then the ReLU.
#[derive(Clone, Debug)]
pub struct Conv {
    /// Kernel, stride and padding.
    pub window: Window,
    /// Number of groups; divides both channel counts.
    pub groups: usize,
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// `[out][in / groups][kh][kw]`.
    pub weight: Weights,
    /// `[out]`; empty means zero.
    pub bias: Vec<f32>,
    /// The batch norm, until it is folded.
    pub batch_norm: Option<BatchNorm>,
    /// The statistics of the output that the batch norm held before it was folded.
    pub statistics: Option<Box<Statistics>>,
    /// Value added before the ReLU; same shape as the output.
    pub residual: Option<ValueId>,
    /// Whether a ReLU follows.
    pub relu: bool,
}

/// Inference-time batch norm: `(x − mean) / √(variance + epsilon) · scale + shift` per channel.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// γ.
    pub scale: Vec<f32>,
    /// β.
    pub shift: Vec<f32>,
    /// Running mean.
    pub mean: Vec<f32>,
    /// Running variance.
    pub variance: Vec<f32>,
    /// ε.
    pub epsilon: f32,
}

/// The distribution of a convolution's outputs on the training images, before the residual and the ReLU.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Mean of each channel: β.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel: |γ|.
    pub deviation: Vec<f32>,
}

/// `y = W x + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Input features.
    pub in_features: usize,
    /// Classes.
    pub out_features: usize,
    /// `[out][in]`.
    pub weight: Weights,
    /// `[out]`; empty means zero.
    pub bias: Vec<f32>,
}

impl Network {
    /// Returns the value that holds the logits.
    pub fn logits(&self) -> ValueId {
        ValueId(self.nodes.len())
    }

    /// Returns the node that `node` is fused into: the convolution whose accumulators take its products, so that its output is
    /// never rounded to int8. In int8 the two are one step, the returned one.
    ///
    /// Only the projection shortcut of a block is fused: a 1×1 convolution without groups, padding, residual or ReLU, whose
    /// output is read once, as the residual of another such convolution. A shortcut whose output the file quantizes is not
    /// fused, because the scales of a file are kept.
    pub fn fused_into(&self, node: usize) -> Option<usize> {
        let value = ValueId(node + 1);
        let plain = |conv: &Conv| conv.window.kernel == 1 && conv.window.padding == 0 && conv.groups == 1;
        let scale = self.prequantized.as_ref().and_then(|file| *file.activations.get(value.0)?);
        let Node { input, op: Op::Conv(shortcut), .. } = self.nodes.get(node)? else { return None };
        if !plain(shortcut) || shortcut.relu || shortcut.residual.is_some() || scale.is_some() {
            return None;
        }
        let mut readers =
            self.nodes.iter().enumerate().filter(|(_, node)| node.reads().any(|read| read == value));
        let ((reader, other), None) = (readers.next()?, readers.next()) else { return None };
        let Op::Conv(conv) = &other.op else { return None };
        // The reader's input exists when the shortcut is quantized, and neither input is the image, whose unit is a pixel.
        let apart = other.input != *input && (1..=node).contains(&other.input.0) && *input != ValueId::IMAGE;
        (plain(conv) && conv.residual == Some(value) && apart).then_some(reader)
    }

    /// Returns the projection shortcut that is [fused into](Self::fused_into) `node`.
    pub fn fused_shortcut(&self, node: usize) -> Option<usize> {
        let Op::Conv(Conv { residual: Some(residual), .. }) = self.nodes.get(node)?.op else { return None };
        let shortcut = residual.0.checked_sub(1)?;
        (self.fused_into(shortcut) == Some(node)).then_some(shortcut)
    }

    /// Iterates over the nodes that are steps of the int8 network, in order: all that are not
    /// [fused into](Self::fused_into) another.
    pub fn steps(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|&(index, _)| self.fused_into(index).is_none())
    }

    /// Whether int8 needs a range for the output of `node`. A max pool passes on the range of its input, the mean over all
    /// pixels is exact, the output of a [fused](Self::fused_into) node is never rounded, and the logits are floats.
    pub fn has_range(&self, node: usize) -> bool {
        match self.nodes[node].op {
            Op::Conv(_) => self.fused_into(node).is_none(),
            Op::AvgPool(_) => true,
            Op::MaxPool(_) | Op::GlobalAvgPool | Op::Linear(_) => false,
        }
    }

    /// Iterates over the values that int8 stores, in the order in which they are computed: the image and the outputs of the
    /// [steps](Self::steps), except the logits.
    pub fn tensors(&self) -> impl Iterator<Item = ValueId> {
        let outputs = self.steps().map(|(node, _)| ValueId(node + 1));
        std::iter::once(ValueId::IMAGE).chain(outputs.filter(|&value| value != self.logits()))
    }

    /// Whether int8 stores two digits for each element of `value`, as it does for the mean over all pixels.
    pub fn in_digits(&self, value: ValueId) -> bool {
        value.0.checked_sub(1).is_some_and(|node| matches!(self.nodes[node].op, Op::GlobalAvgPool))
    }

    /// Returns the shape of `value` as int8 stores it. Each of two digits takes a pixel.
    pub fn stored(&self, value: ValueId) -> Shape {
        let shape = self.shape(value);
        Shape { width: if self.in_digits(value) { 2 } else { shape.width }, ..shape }
    }

    /// Returns the number of multiply-accumulates of one inference.
    pub fn macs(&self) -> u64 {
        let macs = |node: &Node| match &node.op {
            Op::Conv(conv) => node.output.height * node.output.width * conv.weight.len(),
            Op::Linear(linear) => linear.weight.len(),
            _ => 0,
        };
        self.nodes.iter().map(|node| macs(node) as u64).sum()
    }

    /// Returns the shape of `value`.
    pub fn shape(&self, value: ValueId) -> Shape {
        match value.0 {
            0 => self.input,
            i => self.nodes[i - 1].output,
        }
    }
}
