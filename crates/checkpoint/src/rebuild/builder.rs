//! What the tensors of one pickle have in common.

use super::storage::Storages;
use crate::error::FileError;
use crate::file_bytes::FileBytes;
use crate::pickle::{Pickle, Value};
use crate::tensor::{StoredTensor, View, ViewError};
use crate::tensor_file::{Entry, Unread};

/// The most dimensions of a tensor. Many tensors may share their sizes, so without a limit a small file could ask for much
/// memory.
const MAX_RANK: usize = 8;

/// How many names may share every array that a file holds as text.
const MAX_SHARED: usize = 4;

/// Makes the tensors of one pickle.
pub(crate) struct TensorBuilder<'a> {
    pub(crate) pickle: &'a Pickle<'a>,
    bytes: &'a FileBytes,
    /// Where PyTorch's tensors have their elements.
    pub(super) storages: Storages,
    /// Bytes that may still be checked for being Latin-1. One text belongs to one array, which a few names share at most.
    /// Only a hostile file would have one text checked a thousand times.
    text_budget: usize,
}

impl<'a> TensorBuilder<'a> {
    pub(crate) fn new(pickle: &'a Pickle<'a>, bytes: &'a FileBytes, storages: Storages) -> Self {
        let text_budget = bytes.bytes().len().saturating_mul(MAX_SHARED);
        Self { pickle, bytes, storages, text_budget }
    }

    /// Reads sizes or strides: a tuple, or the `torch.Size` of a tuple.
    pub(super) fn sizes(&self, name: &str, value: Value) -> Result<Vec<usize>, FileError> {
        let arguments = self.pickle.call(value).and_then(|call| self.pickle.tuple(call.arguments));
        let value = arguments.and_then(|arguments| arguments.first()).copied().unwrap_or(value);
        let sizes = self.pickle.sequence(value).filter(|sizes| sizes.len() <= MAX_RANK);
        let sizes = sizes.and_then(|sizes| sizes.iter().map(|&size| size.as_usize()).collect());
        sizes.ok_or_else(|| {
            FileError::tensor(name, format_args!("its sizes are not up to {MAX_RANK} numbers from zero"))
        })
    }

    /// Takes `len` bytes of text from the budget.
    pub(super) fn spend_text(&mut self, name: &str, len: usize) -> Result<(), FileError> {
        let left = self.text_budget.checked_sub(len);
        self.text_budget =
            left.ok_or_else(|| FileError::tensor(name, "it shares its bytes with many others"))?;
        Ok(())
    }

    /// Makes the tensor that `view` describes.
    pub(super) fn tensor(&self, name: &str, view: View) -> Result<Entry, FileError> {
        let expands = view.strides.iter().zip(&view.shape).any(|(&stride, &size)| stride == 0 && size > 1);
        let shape = view.shape.clone();
        match StoredTensor::new(self.bytes.clone(), view) {
            Err(ViewError::Short { .. }) if expands => Ok(Entry {
                shape,
                data: Err(Unread {
                    reason: "it repeats elements without having them (expand)".into(),
                    remedy: "save each tensor with clone()",
                }),
            }),
            tensor => tensor.map(Entry::from).map_err(|e| FileError::tensor(name, e)),
        }
    }
}
