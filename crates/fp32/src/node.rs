//! What a network is made of.

use crate::Error;

/// The shape of a value, for one image.
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
    /// Returns the number of elements of a channel.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Returns the number of elements.
    pub fn len(self) -> usize {
        self.channels * self.pixels()
    }

    /// Returns whether there are no elements.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// A square sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub kernel: usize,
    /// Step in both directions, at least 1.
    pub stride: usize,
    /// Padding on all four sides.
    pub padding: usize,
}

impl Window {
    /// Returns the number of positions of the window along a side of `input` pixels; `None` if it does not fit even once.
    pub fn positions(self, input: usize) -> Option<usize> {
        let padded = input.checked_add(self.padding.checked_mul(2)?)?;
        padded.checked_sub(self.kernel)?.checked_div(self.stride)?.checked_add(1)
    }

    /// Returns the number of positions of an [average pool](Op::AvgPool)'s window along a side of `input` pixels. Each
    /// window starts on the image but need not end there.
    ///
    /// # Panics
    ///
    /// If the stride is 0.
    pub fn positions_started(self, input: usize) -> usize {
        let before_overhang = input.saturating_sub(self.kernel).div_ceil(self.stride) + 1;
        before_overhang.min(input.div_ceil(self.stride))
    }
}

/// One operation and the value that it computes.
///
/// Value 0 is the input of the network, and value `i + 1` is the output of node `i`. A node reads values of earlier nodes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Node {
    /// The name that errors give.
    pub name: String,
    /// The value that is read.
    pub input: usize,
    /// The shape of the value that is computed.
    pub output: Shape,
    /// What is computed.
    pub op: Op,
    /// How the output is rounded; `None` leaves it as it is.
    pub rounding: Option<Rounding>,
}

impl Node {
    /// Makes a node whose output is not rounded.
    pub fn new(name: impl Into<String>, input: usize, output: Shape, op: Op) -> Self {
        Self { name: name.into(), input, output, op, rounding: None }
    }

    /// Makes an error of this node.
    pub(crate) fn error(&self, what: &'static str) -> Error {
        Error::Shape { node: self.name.clone(), what }
    }
}

/// An operation.
#[derive(Clone, Debug)]
pub enum Op {
    /// A 2-D convolution, then the residual addition, then the ReLU.
    Conv(Conv),
    /// Max pooling; padding does not take part in the maximum.
    MaxPool(Window),
    /// The mean over a window. A window that reaches beyond the image averages the pixels that lie on it. There is no
    /// padding.
    AvgPool(Window),
    /// The mean over all pixels of a channel.
    GlobalAvgPool,
    /// A fully connected layer, which reads a value of one pixel.
    Linear(Linear),
}

/// A convolution.
#[derive(Clone, Debug)]
pub struct Conv {
    /// Kernel, stride and padding.
    pub window: Window,
    /// The number of groups; it divides both channel counts.
    pub groups: usize,
    /// `[output channel][input channel of the group][row][column]`.
    pub weight: Vec<f32>,
    /// One for each output channel; empty means zero.
    pub bias: Vec<f32>,
    /// The value that is added before the ReLU; it has the shape of the output.
    pub residual: Option<usize>,
    /// Whether a ReLU follows.
    pub relu: bool,
}

/// `y = W x + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[output][input]`.
    pub weight: Vec<f32>,
    /// One for each output; empty means zero.
    pub bias: Vec<f32>,
}

/// Rounding as int8 does it: a value becomes a whole number of steps between two limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounding {
    /// The size of a step, more than 0.
    pub scale: f32,
    /// The smallest and the largest number of steps.
    pub limits: [f32; 2],
}

impl Rounding {
    /// Rounds to the nearest step, ties to the even one.
    pub(crate) fn apply(self, values: &mut [f32]) {
        let [low, high] = self.limits;
        let steps = 1.0 / self.scale;
        for value in values {
            *value = (*value * steps).max(low).min(high).round_ties_even() * self.scale;
        }
    }
}
