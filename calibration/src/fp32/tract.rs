//! The network on tract-core, which checks the runner that is used.

use tract_core::internal::*;

use super::error::Fp32Error;
use super::onnx::floats;
use super::wiring::{Wires, nchw, wire};
use crate::network::{Network, Shape};

/// A folded [`Network`], compiled for tract-core, batch 1. It shares no code with [`Fp32Model`](super::Fp32Model), so the
/// two check each other.
#[derive(Clone, Debug)]
pub struct TractModel {
    state: TypedSimpleState,
    input: Shape,
}

impl TractModel {
    /// Compiles `network`.
    ///
    /// # Errors
    ///
    /// If the network has an unfolded batch norm, or tract refuses it.
    pub fn new(network: &Network) -> Result<Self, Fp32Error> {
        let mut model = TypedModel::default();
        let mut wires = Wires(vec![model.add_source("input", f32::fact(nchw(network.input)))?]);
        for node in &network.nodes {
            let wire = wire(&mut model, node, &wires, network.shape(node.input))?;
            wires.0.push(wire);
        }
        model.select_output_outlets(wires.0.last().map_or(&[], std::slice::from_ref))?;
        Ok(Self { state: model.into_optimized()?.into_runnable()?.spawn()?, input: network.input })
    }

    /// Returns the logits for `image`, NCHW with batch 1.
    ///
    /// # Errors
    ///
    /// If the image has the wrong number of elements.
    pub fn logits(&mut self, image: &[f32]) -> Result<Vec<f32>, Fp32Error> {
        if image.len() != self.input.len() {
            return Err(Fp32Error::ImageSize { found: image.len(), expected: self.input.len() });
        }
        let outputs = self.state.run(tvec!(Tensor::from_shape(&nchw(self.input), image)?.into()))?;
        let logits = outputs.first().ok_or_else(|| format_err!("the model has no output"))?;
        Ok(floats(logits)?.to_vec())
    }
}
