//! What can be wrong with a checkpoint.

use std::fmt;

/// Why a file of weights cannot be read. Displays as one line, to follow the file's name: what is wrong; how
/// to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused to read the file.
    #[error("cannot be read ({0}); check the path and its permissions")]
    Read(std::io::Error),
    /// Its content is none of the formats.
    #[error("not a known model format; give a .onnx, .pth, .safetensors or .pdparams file")]
    Format,
    /// Its content is something else that is easily mistaken for a checkpoint.
    #[error("{what}; {remedy}")]
    Other {
        /// What it is.
        what: String,
        /// How to get at the weights.
        remedy: String,
    },
    /// It does not parse as its format.
    #[error("not a valid {format} file ({reason}); it may be truncated, so export or download it again")]
    Corrupt {
        /// Name of the format.
        format: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// It names a class or function that no tensor is made of.
    #[error(
        "it wants to run `{}`, which makes no tensor; convert it to .safetensors where you trust it, or \
         download it from a trusted source",
        .0.escape_debug()
    )]
    Forbidden(String),
    /// A tensor is not what the file says.
    #[error("tensor `{}`: {problem}; {remedy}", .name.escape_debug())]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
        /// How to mend it.
        remedy: &'static str,
    },
}

impl FileError {
    pub(crate) fn other(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Other { what: what.into(), remedy: remedy.into() }
    }

    /// A damaged file. `reason` may span lines: it comes from a parser.
    pub fn corrupt(format: &'static str, reason: impl fmt::Display) -> Self {
        let reason = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Self::Corrupt { format, reason }
    }

    /// A damaged tensor.
    pub(crate) fn tensor(name: &str, problem: impl fmt::Display) -> Self {
        Self::Tensor {
            name: name.to_owned(),
            problem: problem.to_string(),
            remedy: "download the file again",
        }
    }
}
