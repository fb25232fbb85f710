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
use crate::tensor_file::{Entry, Unread};

/// Makes the tensor that `value` describes. Returns `None` if it describes no tensor. `name` is for messages.
pub(crate) fn entry(
    builder: &mut TensorBuilder<'_>,
    name: &str,
    value: Value,
) -> Result<Option<Entry>, FileError> {
    match meaning(builder.pickle, value) {
        Meaning::Torch(arguments) => torch::tensor(builder, name, arguments).map(Some),
        Meaning::Array(array) => numpy::tensor(builder, name, array).map(Some),
        Meaning::Special(function) => Ok(Some(Entry { shape: Vec::new(), data: Err(special(function)) })),
        Meaning::Other => Ok(None),
        Meaning::Unknown(module, name) => Err(FileError::Forbidden(format!("{module}.{name}"))),
    }
}

/// Returns why the tensor that a `function` of `torch._utils` makes is not read.
fn special(function: &str) -> Unread {
    let (reason, remedy) = match function {
        "_rebuild_qtensor" => {
            ("it is quantized to integers", "give the fp32 checkpoint, or save each tensor with dequantize()")
        }
        _ if function.starts_with("_rebuild_sparse") => {
            ("it is a sparse tensor", "save each tensor with to_dense()")
        }
        "_rebuild_tensor_v3" => {
            return Unread::element("its element type is a recent one (_rebuild_tensor_v3)");
        }
        "_rebuild_meta_tensor_no_storage" => (
            "it has a shape and no elements (the device meta)",
            "save the state dict of a model with weights",
        ),
        _ => {
            let reason = format!("it is no plain tensor but made by {}", function.escape_debug());
            return Unread { reason, remedy: "save the state dict as plain tensors" };
        }
    };
    Unread { reason: reason.to_owned(), remedy }
}
