//! Makes tensors from the calls that a pickle describes.
//!
//! | module | role |
//! |---|---|
//! | `meaning` | which calls make a tensor, which are harmful |
//! | `builder` | what all tensors of a pickle share: the file, its storages, limits |
//! | `numpy` | NumPy's arrays |
//! | `storage`, `torch` | PyTorch's storages, and the tensors in them |

mod builder;
mod meaning;
mod numpy;
mod storage;
mod torch;

pub(crate) use builder::TensorBuilder;
pub(crate) use meaning::{Meaning, meaning, refuse_harmful};
pub(crate) use storage::{Storages, storage_id};

use crate::error::FileError;
use crate::pickle::Value;
use crate::tensor_file::Entry;

/// Makes the tensor that `value` describes. Returns `None` if it describes no tensor. `name` is for messages.
pub(crate) fn entry(
    builder: &mut TensorBuilder<'_>,
    name: &str,
    value: Value,
) -> Result<Option<Entry>, FileError> {
    match meaning(builder.pickle, value) {
        Meaning::Torch(arguments) => torch::tensor(builder, name, arguments).map(Some),
        Meaning::Array(array) => numpy::tensor(builder, name, array).map(Some),
        Meaning::Special(function) => {
            let data = Err(format!("it is no plain tensor but made by {}", function.escape_debug()));
            Ok(Some(Entry { shape: Vec::new(), data }))
        }
        Meaning::Other => Ok(None),
        Meaning::Unknown(module, name) => Err(FileError::Forbidden(format!("{module}.{name}"))),
    }
}
