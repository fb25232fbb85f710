//! The network in fp32: what it computes before quantization.
//!
//! [`Fp32Model`] runs a [`Network`] on tract-core and can show any of its intermediate values; calibration and the reports of
//! single layers are built on it. [`OnnxModel`] runs the original `.onnx` file through tract-onnx and knows nothing of our
//! IR, so it checks the importer and the folding independently.
//!
//! | module | role |
//! |---|---|
//! | `wiring` | nodes of a network → nodes of tract |
//! | `segments` | where a large network is cut |
//! | `stream` | photos through the network, on all threads, in bounded memory |
//! | `parallel` | a few images on all threads |
//! | `onnx` | the independent oracle |

mod error;
mod onnx;
mod parallel;
mod segments;
pub(crate) mod stream;
mod wiring;

use std::ops::Range;

use tract_core::internal::*;

use crate::network::{Activation, Network, Shape, ValueId};
use parallel::parallel;
use wiring::{Wires, nchw, wire, wire_rounding};

pub use error::Fp32Error;
pub use onnx::OnnxModel;
pub use segments::segments;

/// A folded [`Network`], or a segment of one, compiled for tract-core, batch 1.
///
/// A clone shares weights and code with its original but has working memory of its own, so one clone for each thread costs
/// little.
#[derive(Clone, Debug)]
pub struct Fp32Model {
    state: TypedSimpleState,
    input: Shape,
    /// Shape and location of each tap, then of the result.
    values: Vec<(Shape, TapLocation)>,
}

/// Where a value lies after a run.
#[derive(Clone, Copy, Debug)]
enum TapLocation {
    Input,
    Output(usize),
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
        let mut model = TypedModel::default();
        let (input, result) = (ValueId(nodes.start), ValueId(nodes.end));
        let mut wires = Wires { first: input, wires: Vec::new() };
        wires.wires.push(model.add_source("input", f32::fact(nchw(network.shape(input))))?);
        for node in &network.nodes[nodes.clone()] {
            let mut wire = wire(&mut model, node, &wires, network.shape(node.input))?;
            let value = nodes.start + wires.wires.len();
            if let Some(activation) = rounded.get(value).copied().flatten() {
                wire = wire_rounding(&mut model, &node.name, wire, activation)?;
            }
            wires.wires.push(wire);
        }
        let mut outputs = Vec::new();
        let values = taps.iter().copied().chain([result]).map(|value| {
            let wire = wires.get(value)?;
            let location = if value == input {
                TapLocation::Input
            } else {
                TapLocation::Output(outputs.iter().position(|&o| o == wire).unwrap_or_else(|| {
                    outputs.push(wire);
                    outputs.len() - 1
                }))
            };
            Ok((network.shape(value), location))
        });
        let values = values.collect::<Result<Vec<_>, Fp32Error>>()?;
        model.select_output_outlets(&outputs)?;
        let state = model.into_optimized()?.into_runnable()?.spawn()?;
        Ok(Self { state, input: network.shape(input), values })
    }

    /// Runs on `input`, NCHW with batch 1: the normalised image, or the value before the segment.
    ///
    /// # Errors
    ///
    /// If the input does not have the right number of elements.
    pub fn run(&mut self, input: &[f32]) -> Result<Outputs<'_>, Fp32Error> {
        if input.len() != self.input.len() {
            return Err(Fp32Error::ImageSize { found: input.len(), expected: self.input.len() });
        }
        let input: TValue = Tensor::from_shape(&nchw(self.input), input)?.into();
        let outputs = self.state.run(tvec!(input.clone()))?;
        let found = |location| match location {
            TapLocation::Input => Some(&input),
            TapLocation::Output(index) => outputs.get(index),
        };
        // Everything is checked here, so that reading cannot fail.
        for &(shape, location) in &self.values {
            let len = found(location).map(|v| onnx::floats(v).map(<[f32]>::len)).transpose()?;
            if len != Some(shape.len()) {
                return Err(format_err!("output of {len:?} elements, expected {shape:?}").into());
            }
        }
        Ok(Outputs { input, outputs, values: &self.values })
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
    input: TValue,
    outputs: TVec<TValue>,
    values: &'m [(Shape, TapLocation)],
}

impl Outputs<'_> {
    /// Returns the last value; of a whole network, one logit for each class.
    pub fn result(&self) -> &[f32] {
        self.value(self.values.len() - 1).0
    }

    /// Returns the elements (NCHW, batch 1) and the shape of tap `index`, in the order given to [`Fp32Model::new`].
    ///
    /// # Panics
    ///
    /// If there are not that many taps.
    pub fn tap(&self, index: usize) -> (&[f32], Shape) {
        assert!(index < self.taps(), "tap {index} of {}", self.taps());
        self.value(index)
    }

    /// Returns the number of taps.
    pub fn taps(&self) -> usize {
        self.values.len() - 1
    }

    fn value(&self, index: usize) -> (&[f32], Shape) {
        let (shape, location) = self.values[index];
        let value = match location {
            TapLocation::Input => &self.input,
            TapLocation::Output(output) => &self.outputs[output],
        };
        (onnx::floats(value).expect("checked by run"), shape)
    }
}

#[cfg(test)]
mod tests;
