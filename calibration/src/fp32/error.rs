//! Why the fp32 network does not run.

use tract_onnx::prelude::TractError;

/// Why an fp32 model could not be built or run. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fp32Error {
    /// The network still has a batch norm.
    #[error("fp32 model: `{0}` has a batch norm; fold the network first")]
    NotFolded(String),
    /// A tap or an operand names a value that the network does not have, or not yet.
    #[error("fp32 model: value {0} is not available there; take values from the network itself")]
    NoSuchValue(usize),
    /// The image has the wrong number of elements.
    #[error("fp32 model: the image has {found} elements; give {expected}, as its input shape says")]
    ImageSize {
        /// The number of elements of the image.
        found: usize,
        /// The number of elements of the input.
        expected: usize,
    },
    /// The network cannot be run, or tract failed.
    #[error("fp32 model: {0}")]
    Runner(resnext_fp32::Error),
}

impl From<resnext_fp32::Error> for Fp32Error {
    fn from(error: resnext_fp32::Error) -> Self {
        match error {
            resnext_fp32::Error::InputSize { found, expected } => Self::ImageSize { found, expected },
            error => Self::Runner(error),
        }
    }
}

impl From<TractError> for Fp32Error {
    fn from(error: TractError) -> Self {
        Self::Runner(error.into())
    }
}
