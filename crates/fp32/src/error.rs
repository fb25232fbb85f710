//! Why a network does not run.

use tract_data::prelude::TractError;

/// Why a model could not be built or run. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A node reads a value that is not computed before it, or a kept value does not exist.
    #[error("value {0} is not available there; take values from the network itself")]
    NoSuchValue(usize),
    /// The shapes of a node do not fit its operation or its weights.
    #[error("`{node}`: {what}; the shapes of a node, its weights and the values that it reads must agree")]
    Shape {
        /// The name of the node.
        node: String,
        /// The disagreement.
        what: &'static str,
    },
    /// The input has the wrong number of elements.
    #[error("the image has {found} elements; give {expected}, as its input shape says")]
    InputSize {
        /// The number of elements of the input.
        found: usize,
        /// The number of elements of the input's shape.
        expected: usize,
    },
    /// tract-linalg failed.
    #[error("{}", one_line(.0))]
    Tract(TractError),
}

impl From<TractError> for Error {
    fn from(error: TractError) -> Self {
        Self::Tract(error)
    }
}

/// Formats an error and its causes without line breaks.
fn one_line(error: &TractError) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}
