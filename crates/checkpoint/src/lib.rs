//! Reads files of weights as users download them: in place, decoded when needed, and never executed.
//!
//! [`open`] maps a checkpoint of any format and returns its tensors as a [`TensorFile`]. Each [`StoredTensor`] stays in the
//! file until [`StoredTensor::read`] decodes it.
//!
//! ```no_run
//! let file = resnext_checkpoint::open("resnext50_32x4d.pth".as_ref())?;
//! for name in file.names() {
//!     println!("{name}: {:?}", file.get(name).map(|entry| &entry.shape));
//! }
//! # Ok::<(), resnext_checkpoint::FileError>(())
//! ```
//!
//! | module | role |
//! |---|---|
//! | [`content`] | tells formats apart by the first bytes of a file |
//! | [`safetensors`] | `.safetensors` |
//! | [`pytorch`] | `.pth`, `.pt`, `.bin`: the zip format and the one before it |
//! | [`paddle`] | `.pdparams`: pickled NumPy arrays |
//! | [`pickle`] | Python's pickles as data |
//!
//! No file makes these functions panic, run code, or take memory out of proportion to its size.

#![deny(unsafe_code)]

pub mod content;
mod element;
mod error;
mod facts;
#[allow(unsafe_code, reason = "maps files and releases their pages")]
mod file_bytes;
mod latin1;
pub mod paddle;
pub mod pickle;
pub mod pytorch;
mod rebuild;
pub mod safetensors;
mod state_dict;
mod tensor;
mod tensor_file;

pub use element::{Element, Encoding};
pub use error::FileError;
pub use file_bytes::FileBytes;
pub use tensor::{StoredTensor, View, ViewError};
pub use tensor_file::{Choice, Entry, TensorFile, Unread};

use content::Content;
use std::path::Path;

/// Maps the file at `path` and reads it as [`read`] does.
///
/// # Errors
///
/// Returns an error if the file cannot be opened, and the errors of [`read`].
pub fn open(path: &Path) -> Result<TensorFile, FileError> {
    open_with(path, None)
}

/// Maps the file at `path` and reads it as [`read_with`] does.
///
/// # Errors
///
/// Returns an error if the file cannot be opened, and the errors of [`read_with`].
pub fn open_with(path: &Path, key: Option<&str>) -> Result<TensorFile, FileError> {
    read_with(FileBytes::map(path).map_err(FileError::unread)?, key)
}

/// Finds the tensors in a checkpoint. The content of the file decides its format.
///
/// In a pickle (PyTorch, Paddle), the weights stand under the first of these keys that holds any: `state_dict_ema`,
/// `model_ema`, `ema`, `state_dict`, `model_state_dict`, `model`; else under the only key that holds any, or at the top. Averaged
/// weights come first because they are the ones that libraries evaluated and published, unless some tensors are not averaged.
/// The prefixes `module.` and `_orig_mod.`, which wrappers put before every name, are removed. [`TensorFile::choice`] says which
/// weights were read.
///
/// # Errors
///
/// Returns an error if the file is no checkpoint, is damaged, holds several sets of weights of which none comes first, or can only
/// be read by running code.
pub fn read(file: FileBytes) -> Result<TensorFile, FileError> {
    read_with(file, None)
}

/// Finds the tensors in a checkpoint as [`read`] does. If `key` is given, they are those under this key of the file, or those whose
/// names begin with `key` and a dot.
///
/// # Errors
///
/// As for [`read`]; or there are no such tensors.
pub fn read_with(file: FileBytes, key: Option<&str>) -> Result<TensorFile, FileError> {
    match content::recognise(file.bytes())? {
        Content::SafeTensors => safetensors::read(file).and_then(|mut tensors| match key {
            Some(key) if !tensors.select(key) => Err(error::no_such_weights(key, &tensors)),
            _ => Ok(tensors),
        }),
        Content::PyTorchZip | Content::PyTorchLegacy => pytorch::read_with(file, key),
        Content::Pickle => paddle::read_with(file, key),
    }
}
