//! What can be wrong with a model file.

use std::fmt;
use std::path::PathBuf;

use resnext_checkpoint::FileError;

use super::claims::Claim;

/// A model that cannot be imported: the file and the reason. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[error("{}: {kind}", .path.display())]
pub struct ImportError {
    /// The file being imported.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: ImportErrorKind,
}

/// What is wrong with a model file, and how to fix it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportErrorKind {
    /// The file cannot be read, or does not follow its format.
    #[error(transparent)]
    File(FileError),
    /// The graph contains an operation that no ResNeXt has.
    #[error("{location} is not part of a ResNeXt; {remedy}")]
    Operator {
        /// The node.
        location: Location,
        /// What was expected in its place.
        remedy: String,
    },
    /// A layer has a form or a position that no ResNeXt has.
    #[error("{location}: {problem}; {remedy}")]
    Layer {
        /// The node or tensor.
        location: Location,
        /// What is wrong with it.
        problem: String,
        /// What was expected instead.
        remedy: String,
    },
    /// A tensor that the architecture needs is missing.
    #[error("{location} is missing; {remedy}")]
    Missing {
        /// The tensor.
        location: Location,
        /// What was expected.
        remedy: String,
    },
    /// The file has a tensor that the architecture does not have.
    #[error("{location} is unexpected; {remedy}")]
    Unexpected {
        /// The tensor.
        location: Location,
        /// The reason, and what to do.
        remedy: String,
    },
    /// The network is not the variant that was named.
    #[error(
        "this looks like {found}, not {expected}; give the file of that variant, or name the variant that the file is of"
    )]
    Architecture {
        /// The architecture of the network.
        found: String,
        /// The variant that was named.
        expected: String,
    },
    /// The file is said to hold another network than its tensors suggest.
    #[error(
        "{0}, which its tensors do not tell and no plain ResNeXt has; give a checkpoint of a plain ResNeXt, or name the published \
         variant if it is one"
    )]
    Claim(Claim),
    /// The network has a single output.
    #[error(
        "{0}: it gives a single logit, and the softmax of one value is 1 for every picture; export two logits, 0 and this one \
         (a row of zeros before its weights, a zero before its bias), so that the second probability is its sigmoid"
    )]
    OneLogit(Location),
    /// A weight is NaN or infinite.
    #[error("{location}: element {index} is {value}; export the model again from a sound checkpoint")]
    NonFinite {
        /// The tensor.
        location: Location,
        /// The flat index of the first such element.
        index: usize,
        /// The element.
        value: f32,
    },
}

impl ImportErrorKind {
    /// Makes the error for a layer of the wrong form.
    pub(crate) fn layer(location: Location, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Layer { location, problem: problem.into(), remedy: remedy.into() }
    }

    /// Makes the error for a damaged file.
    pub(crate) fn corrupt(format: &'static str, reason: impl fmt::Display) -> Self {
        Self::File(FileError::corrupt(format, reason))
    }
}

/// A place in a file. Names come from the file, so their control characters are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// The file as a whole.
    Graph,
    /// A node of a graph.
    Node {
        /// Its name, or that of its first output if it has none.
        name: String,
        /// Its operator.
        op: String,
    },
    /// A named tensor.
    Tensor(String),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Graph => write!(f, "the model"),
            Self::Node { name, op } => write!(f, "node `{}` ({})", name.escape_debug(), op.escape_debug()),
            Self::Tensor(name) => write!(f, "tensor `{}`", name.escape_debug()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_one_line() {
        let location = || Location::Node { name: "a\nb".into(), op: "Sig\rmoid".into() };
        let kinds = [
            ImportErrorKind::File(FileError::Read(std::io::Error::other("gone"))),
            ImportErrorKind::File(FileError::Format),
            ImportErrorKind::corrupt("ONNX", "first\n  second"),
            ImportErrorKind::Operator { location: location(), remedy: "expected Relu".into() },
            ImportErrorKind::layer(location(), "5×5", "expected 3×3"),
            ImportErrorKind::Missing {
                location: Location::Tensor("x\ty".into()),
                remedy: "expected [4]".into(),
            },
            ImportErrorKind::NonFinite { location: Location::Graph, index: 3, value: f32::NAN },
        ];
        for kind in kinds {
            let line = ImportError { path: "model.onnx".into(), kind }.to_string();
            assert!(!line.contains(['\n', '\r', '\t']), "{line:?}");
            assert!(
                line.starts_with("model.onnx: ") && line.contains("; ") | line.contains("Corrupt"),
                "{line}"
            );
        }
    }
}
