//! What can be wrong with a checkpoint.

use std::fmt;

use crate::tensor_file::{Choice, TensorFile};

/// Why a file of weights cannot be read. Displays as one line, `what is wrong; how to fix it`, to follow the name of the
/// file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system did not read the file.
    #[error("cannot be read ({0}); check the path and its permissions")]
    Read(std::io::Error),
    /// The content has none of the known formats.
    #[error("not a known model format; give a .onnx, .pth, .safetensors or .pdparams file")]
    Format,
    /// The content is something else that is easily mistaken for a checkpoint.
    #[error("{what}; {remedy}")]
    Other {
        /// What the file is.
        what: String,
        /// How to get the weights.
        remedy: String,
    },
    /// The file does not parse as its format.
    #[error("not a valid {format} file ({reason}); it may be truncated, so export or download it again")]
    Corrupt {
        /// Name of the format.
        format: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// The file names a class or function that builds no tensor.
    #[error(
        "it wants to run `{}`, which makes no tensor; convert it to .safetensors where you trust it, or \
         download it from a trusted source",
        .0.escape_debug()
    )]
    Forbidden(String),
    /// The file holds several sets of weights.
    #[error("it holds weights under {}; say which are meant", list(.0))]
    SeveralWeights(Vec<String>),
    /// The file has no weights under the key that was asked for.
    #[error("it has no weights under `{}`; {}", .key.escape_debug(), instead(.others))]
    NoSuchWeights {
        /// The key.
        key: String,
        /// The keys that have weights.
        others: Vec<String>,
    },
    /// A tensor is not as the file describes it.
    #[error("tensor `{}`: {problem}; {remedy}", .name.escape_debug())]
    Tensor {
        /// Name of the tensor.
        name: String,
        /// What is wrong with it.
        problem: String,
        /// How to fix it.
        remedy: &'static str,
    },
}

impl FileError {
    /// Makes the error for a file that the operating system did not read.
    pub fn unread(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::IsADirectory => Self::other(
                "it is a directory",
                "give the file of weights inside, or save the weights as one file",
            ),
            _ => Self::Read(error),
        }
    }

    /// Makes an [`Other`](Self::Other).
    pub(crate) fn other(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Other { what: what.into(), remedy: remedy.into() }
    }

    /// Makes a [`Corrupt`](Self::Corrupt). `reason` comes from a parser and may span lines.
    pub fn corrupt(format: &'static str, reason: impl fmt::Display) -> Self {
        let reason = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Self::Corrupt { format, reason }
    }

    /// Makes a [`Tensor`](Self::Tensor) whose file is damaged.
    pub(crate) fn tensor(name: &str, problem: impl fmt::Display) -> Self {
        Self::Tensor {
            name: name.to_owned(),
            problem: problem.to_string(),
            remedy: "download the file again",
        }
    }

    /// The file was written on a big-endian machine.
    pub(crate) fn big_endian() -> Self {
        Self::other(
            "its numbers are big-endian",
            "load it with torch.load and save it again on a little-endian machine",
        )
    }
}

/// Makes the error for a `key` under which `file` has no weights.
pub(crate) fn no_such_weights(key: &str, file: &TensorFile) -> FileError {
    let Choice { taken, others } = file.choice();
    let others = [taken].into_iter().chain(others).filter(|key| !key.is_empty()).cloned().collect();
    FileError::NoSuchWeights { key: key.to_owned(), others }
}

/// Returns what to do where a key has no weights and `others` have.
fn instead(others: &[String]) -> String {
    if others.is_empty() {
        "its weights need no key".to_owned()
    } else {
        format!("give one of {}", list(others))
    }
}

/// Lists keys: `a`, `b`.
fn list(keys: &[String]) -> String {
    keys.iter().map(|key| format!("`{}`", key.escape_debug())).collect::<Vec<_>>().join(", ")
}
