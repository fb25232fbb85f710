//! `.pdparams`: a pickled dictionary of NumPy arrays.
//!
//! `paddle.save` writes a flat dictionary of plain arrays (`_legacy_save` in `paddle/framework/io.py`). In a nested
//! dictionary it writes an array as `tuple((name, array))` or as `eval('data', {'data': array})`. `rebuild` reads all three.

use crate::error::FileError;
use crate::file_bytes::FileBytes;
use crate::pickle;
use crate::rebuild::{Storages, TensorBuilder};
use crate::state_dict;
use crate::tensor_file::TensorFile;

/// Finds the arrays in a pickle.
///
/// # Errors
///
/// Returns an error if the pickle is damaged, has no arrays, or can only be read by running code.
pub fn read(bytes: FileBytes) -> Result<TensorFile, FileError> {
    read_with(bytes, None)
}

/// Finds the arrays under `key`; see [`read_with`](crate::read_with).
pub(crate) fn read_with(bytes: FileBytes, key: Option<&str>) -> Result<TensorFile, FileError> {
    let (pickle, _) = pickle::load(bytes.bytes(), 0).map_err(|e| FileError::corrupt("pickle", e))?;
    let file = state_dict::read(TensorBuilder::new(&pickle, &bytes, Storages::new()), key)?;
    bytes.release(&(0..bytes.bytes().len()));
    Ok(file)
}
