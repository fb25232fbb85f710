//! PyTorch's tensors in pickles.

use super::builder::TensorBuilder;
use super::storage::storage_id;
use crate::element::Encoding;
use crate::error::FileError;
use crate::pickle::Value;
use crate::tensor::View;
use crate::tensor_file::{Entry, Unread};

/// Makes the tensor of `_rebuild_tensor(storage, offset, size, stride, …)`.
pub(super) fn tensor(
    builder: &TensorBuilder<'_>,
    name: &str,
    arguments: &[Value],
) -> Result<Entry, FileError> {
    let damaged = |problem: &str| FileError::tensor(name, problem);
    let &[storage, offset, shape, strides, ref rest @ ..] = arguments else {
        return Err(damaged("its description is too short"));
    };
    if let Some(function) = builder.pickle.call(storage).and_then(|call| builder.pickle.global(call.function))
        && function == ("torch.storage", "_load_from_bytes")
    {
        return Err(FileError::other(
            "its tensors were written by pickle.dump, each as a file of its own",
            "load it with pickle.load where you trust it, and save the state dict with torch.save",
        ));
    }
    // After `requires_grad` and the hooks comes what the elements are to be: negated or conjugated.
    let lazy = rest.get(2).and_then(|&metadata| builder.pickle.pairs(metadata)).unwrap_or_default();
    if let Some(&(key, _)) = lazy.iter().find(|&&(_, value)| value == Value::Bool(true)) {
        let shape = builder.sizes(name, shape)?;
        let reason = format!(
            "its elements are yet to be computed ({})",
            builder.pickle.name(key).unwrap_or("?").escape_debug()
        );
        return Ok(Entry { shape, data: Err(Unread { reason, remedy: "save each tensor with clone()" }) });
    }
    let Some(id) = builder.pickle.persistent(storage).and_then(|id| storage_id(builder.pickle, id)) else {
        return Err(damaged("its storage is of an unknown kind"));
    };
    let shape = builder.sizes(name, shape)?;
    let element = match id.kind.element {
        Ok(element) => element,
        Err(other) => {
            return Ok(Entry { shape, data: Err(Unread::element(format!("its element type is {other}"))) });
        }
    };
    let strides = builder.sizes(name, strides)?;
    let offset = offset.as_usize().and_then(|offset| offset.checked_add(id.offset));
    let offset = offset.ok_or_else(|| damaged("its offset is not a number from zero"))?;
    let Some(range) = builder.storages.get(id.key) else {
        return Err(damaged("its storage is not in the file"));
    };
    builder
        .tensor(name, View { range: range.clone(), encoding: Encoding::Raw, element, shape, strides, offset })
}
