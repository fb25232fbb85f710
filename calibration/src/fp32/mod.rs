//! The network in fp32: what it computes before quantization.
//!
//! [`Fp32Model`] runs a [`Network`] and can show any of its intermediate values; calibration and the reports of single layers
//! are built on it. Two others check it. [`TractModel`] runs the same network on tract-core. [`OnnxModel`] runs the original
//! `.onnx` file through tract-onnx and knows nothing of our IR, so it checks the importer and the folding too.
//!
//! | module | role |
//! |---|---|
//! | `nodes` | nodes of a network → nodes of `resnext-fp32`, which computes |
//! | `segments` | where a large network is cut |
//! | `stream` | photos through the network, on all threads, in bounded memory |
//! | `parallel` | a few images on all threads |
//! | `tract`, `wiring` | the network on tract-core |
//! | `onnx` | the original file on tract-onnx |

mod error;
mod nodes;
mod onnx;
mod parallel;
mod segments;
pub(crate) mod stream;
mod tract;
mod wiring;

use std::ops::Range;
use std::sync::Arc;

use crate::network::{Activation, Network, Shape, ValueId};
use parallel::parallel;

pub use error::Fp32Error;
pub use onnx::OnnxModel;
pub use segments::segments;
pub use tract::TractModel;

/// A folded [`Network`], or a segment of one, compiled, batch 1.
///
/// A clone shares the weights of its original but has working memory of its own, so one clone for each thread costs little.
#[derive(Clone, Debug)]
pub struct Fp32Model {
    runner: resnext_fp32::Runner,
    /// Value and shape of each tap, then of the result. Values count from the input of the segment.
    values: Vec<(usize, Shape)>,
}

impl Fp32Model {
    /// Compiles `network`, keeping the values `taps` (in any order, repetitions allowed) observable. A tap
    /// on a convolution sees its output after the residual addition and the ReLU.
    ///
    /// # Errors
    ///
    /// If the network has an unfolded batch norm, or `taps` names a value that it does not have.
    pub fn new(network: &Network, taps: &[ValueId]) -> Result<Self, Fp32Error> {
        Self::segment(network, 0..network.nodes.len(), taps)
    }

    /// Like [`new`](Self::new), but rounds and clips the values that have an entry in `rounded`, as int8 would.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub(crate) fn rounded(
        network: &Network,
        rounded: &[Option<Activation>],
        taps: &[ValueId],
    ) -> Result<Self, Fp32Error> {
        Self::build(network, 0..network.nodes.len(), rounded, taps)
    }

    /// Compiles the given nodes of `network`, which must be one of its [`segments`]: they read the value before the first
    /// node and no earlier one.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); or a node reads an earlier value.
    pub fn segment(network: &Network, nodes: Range<usize>, taps: &[ValueId]) -> Result<Self, Fp32Error> {
        Self::build(network, nodes, &[], taps)
    }

    fn build(
        network: &Network,
        nodes: Range<usize>,
        rounded: &[Option<Activation>],
        taps: &[ValueId],
    ) -> Result<Self, Fp32Error> {
        let (first, last) = (ValueId(nodes.start), ValueId(nodes.end));
        let values = taps.iter().copied().chain([last]).map(|value| {
            let index = value.0.checked_sub(first.0).filter(|_| value <= last);
            Ok((index.ok_or(Fp32Error::NoSuchValue(value.0))?, network.shape(value)))
        });
        let values = values.collect::<Result<Vec<_>, Fp32Error>>()?;
        let keep: Vec<usize> = values.iter().map(|&(value, _)| value).collect();
        let input = network.shape(first);
        let model = resnext_fp32::Model::new(input, nodes::nodes(network, nodes, rounded), &keep)?;
        Ok(Self { runner: resnext_fp32::Runner::new(Arc::new(model))?, values })
    }

    /// Runs on `input`, NCHW with batch 1: the normalised image, or the value before the segment.
    ///
    /// # Errors
    ///
    /// If the input does not have the right number of elements.
    pub fn run<'a>(&'a mut self, input: &'a [f32]) -> Result<Outputs<'a>, Fp32Error> {
        self.runner.run(input)?;
        Ok(Outputs { input, runner: &self.runner, values: &self.values })
    }

    /// Returns the results of all `inputs`, in their order, computed on `threads` threads. Inputs that are passed by value are
    /// dropped one by one.
    pub(crate) fn run_all<I>(&self, inputs: I, threads: usize) -> Result<Vec<Vec<f32>>, Fp32Error>
    where
        I: IntoIterator<Item: AsRef<[f32]> + Send, IntoIter: ExactSizeIterator>,
    {
        let run = |model: &mut Self, input: I::Item| Ok(model.run(input.as_ref())?.result().to_vec());
        parallel(inputs, threads, || self.clone(), run)
    }
}

/// The values that one run of an [`Fp32Model`] has computed.
#[derive(Debug)]
pub struct Outputs<'m> {
    input: &'m [f32],
    runner: &'m resnext_fp32::Runner,
    values: &'m [(usize, Shape)],
}

impl<'m> Outputs<'m> {
    /// Returns the last value; of a whole network, one logit for each class.
    pub fn result(&self) -> &'m [f32] {
        self.value(self.values.len() - 1).0
    }

    /// Returns the elements (NCHW, batch 1) and the shape of tap `index`, in the order given to [`Fp32Model::new`].
    ///
    /// # Panics
    ///
    /// If there are not that many taps.
    pub fn tap(&self, index: usize) -> (&'m [f32], Shape) {
        assert!(index < self.taps(), "tap {index} of {}", self.taps());
        self.value(index)
    }

    /// Returns the number of taps.
    pub fn taps(&self) -> usize {
        self.values.len() - 1
    }

    fn value(&self, index: usize) -> (&'m [f32], Shape) {
        let (value, shape) = self.values[index];
        (if value == 0 { self.input } else { self.runner.value(value) }, shape)
    }
}

#[cfg(test)]
mod tests;
