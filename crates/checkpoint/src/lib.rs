//! Files of weights, as users download them: read in place, decoded when needed, never executed.
//!
//! | module | role |
//! |---|---|
//! | [`tensor`] | tensors that stay in the file they came in: what every reader gives |
//! | [`content`] | which format a file is, by its first bytes |
//! | [`safetensors`] | `.safetensors` |
//! | [`pickle`] | Python's pickle as data |
//! | [`pytorch`] | `.pth`, `.pt`, `.bin`: the zip format and the older one |
//! | [`paddle`] | `.pdparams`: pickled NumPy arrays |
//! | `state_dict`, `rebuild` | where in a pickle the weights are, and what tensors its calls would make |
//!
//! No content of a file causes a panic, runs code or takes memory out of proportion to its size.

pub mod content;
mod error;
pub mod paddle;
pub mod pickle;
pub mod pytorch;
mod rebuild;
pub mod safetensors;
mod state_dict;
pub mod tensor;

use std::path::Path;

use content::Content;
pub use error::FileError;
use tensor::{Source, TensorFile};

/// Maps the file at `path` and reads it as [`read`] does.
///
/// # Errors
///
/// As for [`read`]; also if the file cannot be opened.
pub fn open(path: &Path) -> Result<TensorFile, FileError> {
    read(Source::map(path).map_err(FileError::Read)?)
}

/// Finds the tensors in a checkpoint of any format; its content says which.
///
/// In a pickle (PyTorch, Paddle), the weights are taken from the first of these keys that holds some:
/// `state_dict_ema`, `model_ema`, `state_dict`, `model_state_dict`, `model`; or else from the top. Averaged
/// weights come first because they are the ones that were evaluated and published. The prefixes `module.` and
/// `_orig_mod.` that wrappers put before every name are removed.
///
/// # Errors
///
/// The file is something else, is damaged, or can only be read by running code.
pub fn read(source: Source) -> Result<TensorFile, FileError> {
    match content::recognise(source.bytes())? {
        Content::SafeTensors => safetensors::read(source),
        Content::PyTorchZip | Content::PyTorchLegacy => pytorch::read(source),
        Content::Pickle => paddle::read(source),
    }
}
