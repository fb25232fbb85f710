//! Why a network cannot be compiled.

use resnext::{LoadError, RunError};

use crate::evaluate::CompareError;
use crate::fp32::Fp32Error;
use crate::observe::ObserveError;
use crate::quantize::QuantizeError;

/// Why a network could not be compiled. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The fp32 network does not run.
    #[error(transparent)]
    Fp32(#[from] Fp32Error),
    /// The activations cannot be observed.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// There must be a class for each logit.
    #[error(
        "the model has {logits} classes, and the number of labels is {labels}; give one label for each class, in class order"
    )]
    Labels {
        /// The number of logits of the network.
        logits: usize,
        /// The number of classes in the options.
        labels: usize,
    },
    /// Nothing is known of the output of a convolution.
    #[error(
        "layer {layer} has no batch norm to calibrate from, because exporting has folded it into the weights; give the \
         checkpoint, an ONNX file exported in training mode, or sample images"
    )]
    NoStatistics {
        /// Name of the layer.
        layer: String,
    },
    /// The file does not quantize the network.
    #[error(
        "the network is not quantized by its file; calibrate it on sample images or from its batch norms"
    )]
    NotPrequantized,
    /// A quantized file leaves an activation open.
    #[error(
        "the file does not quantize the output of layer {layer}; quantize all activations, or give the fp32 model and samples"
    )]
    OpenActivation {
        /// Name of the layer.
        layer: String,
    },
    /// A layer does not fit the integer arithmetic.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// The runtime refuses the new artifact: a defect of this crate.
    #[error("internal error: the compiled model does not load ({0}); please report it")]
    Load(#[from] LoadError),
    /// The new artifact does not run: a defect of this crate.
    #[error("internal error: the compiled model does not run ({0}); please report it")]
    Run(#[from] RunError),
}

impl From<CompareError> for CompileError {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Fp32(error) => Self::Fp32(error),
            CompareError::Run(error) => Self::Run(error),
        }
    }
}
