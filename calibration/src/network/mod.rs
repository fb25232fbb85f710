//! The intermediate representation of an fp32 network between import and quantization.
//!
//! A [`Network`] is a list of [`Node`]s in execution order. Each node produces one value; value 0 is the
//! image. The only operations are those the int8 runtime executes, so an importer either maps the whole
//! source graph here or says which node does not fit. Residual additions are not nodes: they belong to the
//! convolution that feeds them, as in the runtime.

pub mod batch_norm;

use std::fmt;
use std::sync::Arc;

use resnext_models::{Shortcut, Stem};

use crate::compiler::prequantized::Given;
use crate::stored::StoredTensor;

/// Names one value (activation tensor): `ValueId(0)` is the image, `ValueId(i + 1)` is the output of node `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

impl ValueId {
    /// The normalised input image.
    pub const IMAGE: Self = Self(0);
}

/// Shape of one value, batch 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// Number of elements.
    pub fn len(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether there are no elements.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
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
    /// What was recognised.
    pub topology: Topology,
    /// How the file quantizes it, if it does.
    pub given: Option<Given>,
}

/// The family parameters that a ResNeXt's shapes reveal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
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
    /// The stride is on the first 1×1 convolution of a block, as in the original ResNet, and not on the 3×3, as in every
    /// ResNeXt.
    pub early_stride: bool,
    /// Number of classes.
    pub classes: usize,
}

impl Topology {
    /// Channels per group in the first stage (the `4d` of 32x4d).
    pub fn base_width(&self) -> usize {
        self.widths.first().map_or(0, |width| width / self.cardinality.max(1))
    }

    /// Weighted layers, the number in the network's name: stem (a deep one counts as one) + 3 per block + classifier.
    pub fn depth(&self) -> usize {
        2 + 3 * self.blocks.iter().sum::<usize>()
    }
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
    /// The values that it reads: its input, then a residual.
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
    /// Mean over a window without padding. Where the window reaches beyond the last row or column, as it does on an
    /// odd side ("ceil mode"), what lies on the image is averaged alone.
    AvgPool(Window),
    /// Mean over all pixels: output is 1×1.
    GlobalAvgPool,
    /// Fully connected classifier.
    Linear(Linear),
}

/// A square sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Kernel height and width.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Padding on all four sides.
    pub padding: usize,
}

impl Window {
    /// Positions of the window along a side of `input` pixels; `None` if it does not fit even once.
    pub fn positions(self, input: usize) -> Option<usize> {
        let padded = input.checked_add(self.padding.checked_mul(2)?)?;
        padded.checked_sub(self.kernel)?.checked_div(self.stride)?.checked_add(1)
    }

    /// Positions of an [average pool](Op::AvgPool)'s window along a side of `input` pixels: each starts on the image
    /// but need not end there.
    ///
    /// # Panics
    ///
    /// If the stride is 0.
    pub fn positions_started(self, input: usize) -> usize {
        let before_overhang = input.saturating_sub(self.kernel).div_ceil(self.stride) + 1;
        before_overhang.min(input.div_ceil(self.stride))
    }
}

/// Convolution, then batch norm (until folded), then residual addition, then ReLU.
#[derive(Clone, Debug)]
pub struct Conv {
    /// Kernel, stride and padding.
    pub window: Window,
    /// Cardinality; divides both channel counts.
    pub groups: usize,
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// `[out][in / groups][kh][kw]`.
    pub weight: Weights,
    /// `[out]`; empty means zero.
    pub bias: Vec<f32>,
    /// Not yet folded batch norm.
    pub batch_norm: Option<BatchNorm>,
    /// What a batch norm that has been folded tells of the output.
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

/// What a convolution gave on the images that its network was trained on, before the residual and the ReLU.
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

/// The weights of one layer: decoded from their file each time they are read, so that a network costs no memory.
#[derive(Clone)]
pub struct Weights {
    data: Data,
    /// One factor for each of the outputs, the first dimension; `None` is 1.
    factors: Option<Arc<[f64]>>,
}

#[derive(Clone)]
enum Data {
    Memory(Arc<[f32]>),
    File(StoredTensor),
    /// Integers, of which the factors are the steps.
    Integers(StoredTensor),
}

impl Weights {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Memory(values) => values.len(),
            Data::File(tensor) | Data::Integers(tensor) => tensor.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, row-major.
    pub fn read(&self) -> Vec<f32> {
        let mut values = match &self.data {
            Data::Memory(values) => values.to_vec(),
            Data::File(tensor) | Data::Integers(tensor) => tensor.read(),
        };
        if let Some(factors) = self.factors.as_deref().filter(|factors| !factors.is_empty()) {
            let per_output = (values.len() / factors.len()).max(1);
            for (output, &factor) in values.chunks_mut(per_output).zip(factors) {
                output.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
            }
        }
        values
    }

    /// Weights that are `integers` times a step, one for each output.
    pub fn quantized(integers: StoredTensor, steps: &[f64]) -> Self {
        Self { data: Data::Integers(integers), factors: Some(steps.into()) }
    }

    /// Of weights that are integers, the step of each output: what 1 stands for.
    pub fn steps(&self) -> Option<&[f64]> {
        self.factors.as_deref().filter(|_| matches!(self.data, Data::Integers(_)))
    }

    /// Multiplies the weights of output `o` by `factors[o]`, in f64; they are rounded once, when they are read.
    pub fn scale(&mut self, factors: &[f64]) {
        let before = self.factors.as_deref();
        let factor = |(o, factor): (usize, &f64)| factor * before.map_or(1.0, |before| before[o]);
        self.factors = Some(factors.iter().enumerate().map(factor).collect());
    }
}

/// Prints the elements, wherever they are stored.
impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

impl From<Vec<f32>> for Weights {
    fn from(values: Vec<f32>) -> Self {
        Self { data: Data::Memory(values.into()), factors: None }
    }
}

impl From<StoredTensor> for Weights {
    fn from(tensor: StoredTensor) -> Self {
        Self { data: Data::File(tensor), factors: None }
    }
}

impl Network {
    /// The value that holds the logits.
    pub fn logits(&self) -> ValueId {
        ValueId(self.nodes.len())
    }

    /// The node whose accumulators the output of `node` goes into, if it is the projection shortcut of a block and need
    /// not be rounded to int8 before it is added: a 1×1 convolution without groups, which nobody reads but another such
    /// convolution, as its residual. In int8 the two are one step, the other's.
    ///
    /// One whose output the file quantizes is none: scales that are given are kept.
    pub fn joined(&self, node: usize) -> Option<usize> {
        let value = ValueId(node + 1);
        let plain = |conv: &Conv| conv.window.kernel == 1 && conv.window.padding == 0 && conv.groups == 1;
        let given = self.given.as_ref().and_then(|given| *given.activations.get(value.0)?);
        let Node { input, op: Op::Conv(shortcut), .. } = self.nodes.get(node)? else { return None };
        if !plain(shortcut) || shortcut.relu || shortcut.residual.is_some() || given.is_some() {
            return None;
        }
        let mut readers =
            self.nodes.iter().enumerate().filter(|(_, node)| node.reads().any(|read| read == value));
        let ((reader, other), None) = (readers.next()?, readers.next()) else { return None };
        let Op::Conv(conv) = &other.op else { return None };
        // Its input is there when the shortcut is quantized, and neither is the image, which is in pixels.
        let apart = other.input != *input && (1..=node).contains(&other.input.0) && *input != ValueId::IMAGE;
        (plain(conv) && conv.residual == Some(value) && apart).then_some(reader)
    }

    /// The node that is [joined](Self::joined) into `node`.
    pub fn shortcut(&self, node: usize) -> Option<usize> {
        let Op::Conv(Conv { residual: Some(residual), .. }) = self.nodes.get(node)?.op else { return None };
        let shortcut = residual.0.checked_sub(1)?;
        (self.joined(shortcut) == Some(node)).then_some(shortcut)
    }

    /// The nodes that are steps of the int8 network, in their order: all that are not [joined](Self::joined).
    pub fn steps(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|&(index, _)| self.joined(index).is_none())
    }

    /// Whether int8 chooses a range for what `node` gives. A max pool passes on that of its input, the mean over all pixels
    /// is exact, the output of a [joined](Self::joined) node is never rounded, and logits are floats.
    pub fn has_range(&self, node: usize) -> bool {
        match self.nodes[node].op {
            Op::Conv(_) => self.joined(node).is_none(),
            Op::AvgPool(_) => true,
            Op::MaxPool(_) | Op::GlobalAvgPool | Op::Linear(_) => false,
        }
    }

    /// The values that int8 stores, in the order in which they are made: the image and what [steps](Self::steps) give, but
    /// for the logits.
    pub fn tensors(&self) -> impl Iterator<Item = ValueId> {
        let outputs = self.steps().map(|(node, _)| ValueId(node + 1));
        std::iter::once(ValueId::IMAGE).chain(outputs.filter(|&value| value != self.logits()))
    }

    /// Whether int8 has two digits of each element of `value`: of the mean over all pixels.
    pub fn in_digits(&self, value: ValueId) -> bool {
        value.0.checked_sub(1).is_some_and(|node| matches!(self.nodes[node].op, Op::GlobalAvgPool))
    }

    /// Shape of `value` as int8 stores it: of two digits each has a pixel.
    pub fn stored(&self, value: ValueId) -> Shape {
        let shape = self.shape(value);
        Shape { width: if self.in_digits(value) { 2 } else { shape.width }, ..shape }
    }

    /// Shape of `value`.
    pub fn shape(&self, value: ValueId) -> Shape {
        match value.0 {
            0 => self.input,
            i => self.nodes[i - 1].output,
        }
    }
}
