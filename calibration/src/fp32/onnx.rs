//! The independent oracle: the original `.onnx` file, run without our importer.

use std::path::Path;

use tract_core::internal::*;
use tract_onnx::prelude::InferenceModelExt;

use super::error::Fp32Error;

/// A `.onnx` file as tract-onnx understands it.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    state: TypedSimpleState,
    input: [usize; 4],
}

impl OnnxModel {
    /// Loads the model in `path` for one RGB image of `input_size` pixels on each side.
    ///
    /// # Errors
    ///
    /// If the file is not an ONNX model, or tract cannot run it on such an image.
    pub fn load(path: &Path, input_size: usize) -> Result<Self, Fp32Error> {
        let input = [1, 3, input_size, input_size];
        // Intermediate shapes in the file may contradict the batch and size asked for; tract infers its own.
        let model = tract_onnx::onnx()
            .with_ignore_value_info(true)
            .model_for_path(path)?
            .with_input_fact(0, f32::fact(input).into())?
            .into_optimized()?;
        Ok(Self { state: model.into_runnable()?.spawn()?, input })
    }

    /// Returns the logits for `image`, NCHW with batch 1.
    ///
    /// # Errors
    ///
    /// If the image has the wrong number of elements.
    pub fn logits(&mut self, image: &[f32]) -> Result<Vec<f32>, Fp32Error> {
        let expected = self.input.iter().product();
        if image.len() != expected {
            return Err(Fp32Error::ImageSize { found: image.len(), expected });
        }
        let outputs = self.state.run(tvec!(Tensor::from_shape(&self.input, image)?.into()))?;
        let logits = outputs.first().ok_or_else(|| format_err!("the model has no output"))?;
        Ok(floats(logits)?.to_vec())
    }
}

/// Returns the elements of an f32 tensor.
pub(super) fn floats(value: &TValue) -> TractResult<&[f32]> {
    value.try_as_plain_ram()?.as_slice()
}
