//! The program of a model, decoded: what each step reads, computes and writes.
//!
//! Profilers and tools that inspect a model read it. A program that only classifies does not need it.

use crate::format::{Block, LinearBlock};
use crate::weights::{ConvShape, Packing};

pub use crate::tensor::Tensor;

/// A decoded step.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Step<'a> {
    /// Name of the layer, such as `layer1.0.conv2`.
    pub name: &'a str,
    /// Tensor read.
    pub input: Tensor,
    /// What is computed.
    pub op: Op<'a>,
}

/// What a step computes.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(clippy::large_enum_variant, reason = "decoded for one step, on the stack; not as large in 32 bits")]
#[non_exhaustive]
pub enum Op<'a> {
    /// Convolution, residual addition, requantization and clamp.
    Conv(Conv<'a>),
    /// Maximum over a window.
    MaxPool(MaxPool),
    /// Mean over a window.
    AvgPool(AvgPool),
    /// Mean over all pixels.
    GlobalAvgPool(GlobalAvgPool),
    /// Classifier.
    Linear(Linear<'a>),
}

/// A sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Window {
    /// Height and width.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Padding on all four sides, at most the input's halo.
    pub padding: usize,
}

impl Window {
    /// Returns how many pixels of the window at output position `i` lie on an input of `side` pixels, without padding.
    ///
    /// There is at least one if the window starts on the input, `i × stride < side`.
    pub(crate) fn on_tensor(&self, i: usize, side: usize) -> usize {
        self.kernel.min(side - i * self.stride)
    }
}

/// Parameters of a convolution.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Conv<'a> {
    /// Tensor written.
    pub output: Tensor,
    /// Tensor added to the accumulators; may be the same memory as `output`.
    pub residual: Option<Tensor>,
    /// Projection shortcut that is added to the accumulators; never beside a residual.
    pub shortcut: Option<Shortcut>,
    /// Window.
    pub window: Window,
    /// Channels, cardinality and packing.
    pub shape: ConvShape,
    /// Fused activation: least and greatest output.
    pub clamp: (i8, i8),
    /// One entry per block of 16 lanes.
    pub blocks: &'a [Block],
    /// Packed weights.
    pub weights: &'a [i8],
    /// Order of their bytes: [`Packing::K8`] if the model has it and the shape
    /// [interleaves](ConvShape::interleaves).
    pub packing: Packing,
}

/// The projection shortcut of a block, a 1×1 convolution fused into the convolution that adds it: its products go into
/// the same accumulators. Its weights and bias are among those of that convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Shortcut {
    /// Tensor read.
    pub input: Tensor,
    /// Step in both directions.
    pub stride: usize,
}

impl Shortcut {
    /// Returns the offset in the tensor of the pixel that is read for output pixel (`y`, `x`).
    pub(crate) fn offset(&self, y: usize, x: usize) -> usize {
        self.input.offset(y * self.stride, x * self.stride)
    }
}

/// Parameters of a max pool.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct MaxPool {
    /// Tensor written; same scale and zero point as the input.
    pub output: Tensor,
    /// Window.
    pub window: Window,
}

/// Parameters of an average pool.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct AvgPool {
    /// Tensor written.
    pub output: Tensor,
    /// Window, without padding; it may reach beyond the input's last row and column, which are not counted.
    pub window: Window,
    /// Q31 multiplier of the sum over a whole window.
    pub multiplier: i32,
}

/// Parameters of a global average pool.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct GlobalAvgPool {
    /// Tensor written, 1×2: the high digits, base 256, of the means of all channels and then the low ones.
    pub output: Tensor,
    /// Q31 multiplier.
    pub multiplier: i32,
}

/// Parameters of the classifier, whose input is what a global average pool gives: two digits a feature.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Linear<'a> {
    /// Features and classes, as a 1×1 convolution.
    pub shape: ConvShape,
    /// One entry per block of 16 classes.
    pub blocks: &'a [LinearBlock],
    /// Packed weights.
    pub weights: &'a [i8],
}

impl Step<'_> {
    /// Returns the tensor that the step writes, or `None` for the classifier, which writes the logits.
    pub fn output(&self) -> Option<Tensor> {
        match self.op {
            Op::Conv(conv) => Some(conv.output),
            Op::MaxPool(pool) => Some(pool.output),
            Op::AvgPool(pool) => Some(pool.output),
            Op::GlobalAvgPool(pool) => Some(pool.output),
            Op::Linear(_) => None,
        }
    }

    /// Returns the tensors that the step reads: the input, then the residual or the input of a fused shortcut.
    pub fn reads(&self) -> impl Iterator<Item = Tensor> {
        let more = match self.op {
            Op::Conv(conv) => conv.residual.or(conv.shortcut.map(|shortcut| shortcut.input)),
            _ => None,
        };
        core::iter::once(self.input).chain(more)
    }

    /// Returns the number of multiply-accumulates. Pools have none.
    pub fn macs(&self) -> u64 {
        let (pixels, shape) = match self.op {
            Op::Conv(conv) => (conv.output.pixels(), conv.shape),
            Op::Linear(linear) => (1, linear.shape),
            Op::MaxPool(_) | Op::AvgPool(_) | Op::GlobalAvgPool(_) => return 0,
        };
        let inputs = shape.kernel * shape.kernel * shape.group_in() + shape.shortcut_channels;
        let per_pixel = shape.out_channels * inputs;
        pixels as u64 * per_pixel as u64
    }
}
