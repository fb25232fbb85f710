//! `.pdparams`: the pickle of a dictionary of NumPy arrays.
//!
//! `paddle.save` writes arrays as they are (`_legacy_save` in `paddle/framework/io.py`), or, where the
//! dictionary is nested, as `tuple((name, array))` and `eval('data', {'data': array})`; `rebuild` knows all
//! three.

use crate::FileError;
use crate::pickle;
use crate::rebuild::Rebuilder;
use crate::state_dict;
use crate::tensor::{Source, TensorFile};

/// Finds the arrays in a pickle.
///
/// # Errors
///
/// It is damaged, has no arrays, or can only be read by running code.
pub fn read(source: Source) -> Result<TensorFile, FileError> {
    let (pickle, _) = pickle::load(source.bytes(), 0).map_err(|e| FileError::corrupt("pickle", e))?;
    let file = state_dict::read(Rebuilder::new(&pickle, &source, Default::default()))?;
    source.release(&(0..source.bytes().len()));
    Ok(file)
}
