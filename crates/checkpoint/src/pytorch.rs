//! What `torch.save` writes: a pickle, and the elements of its tensors in storages beside it.

mod legacy;
mod zip;

use crate::content::{Content, recognise};
use crate::error::FileError;
use crate::file_bytes::FileBytes;
use crate::rebuild::TensorBuilder;
use crate::state_dict;
use crate::tensor_file::TensorFile;

/// Finds the tensors in a file of either format.
///
/// # Errors
///
/// Returns an error if the file is damaged, holds no state dict, or can only be read by running code.
pub fn read(file: FileBytes) -> Result<TensorFile, FileError> {
    read_with(file, None)
}

/// Finds the tensors under `key`; see [`read_with`](crate::read_with).
pub(crate) fn read_with(file: FileBytes, key: Option<&str>) -> Result<TensorFile, FileError> {
    let bytes = file.bytes();
    let (pickle, storages) = match recognise(bytes)? {
        Content::PyTorchZip => zip::open(bytes),
        _ => legacy::open(bytes),
    }?;
    let tensors = state_dict::read(TensorBuilder::new(&pickle, &file, storages), key)?;
    // The search for the storages has touched pages all over the file.
    file.release(&(0..bytes.len()));
    Ok(tensors)
}
