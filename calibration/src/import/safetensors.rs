//! The `.safetensors` format: a JSON header, then raw little-endian tensors.

use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorInfo};

use super::error::{ImportErrorKind, Place};
use crate::stored::{Element, Entry, Source, StoredTensor, TensorFile, View};

/// Maps the file and validates its header.
pub(crate) fn open(path: &Path) -> Result<TensorFile, ImportErrorKind> {
    read(Source::map(path).map_err(ImportErrorKind::Read)?)
}

/// Validates the header, including that all tensors lie inside the file.
pub(crate) fn read(source: Source) -> Result<TensorFile, ImportErrorKind> {
    let (header_len, header) =
        SafeTensors::read_metadata(source.bytes()).map_err(|e| ImportErrorKind::corrupt("safetensors", e))?;
    // Eight bytes hold the header's length; `read_metadata` has checked the sum against the file.
    let data = header_len + 8;
    let mut file = TensorFile::default();
    for name in header.offset_keys() {
        if let Some(info) = header.info(&name) {
            let entry = entry(&source, data, info).map_err(|e| {
                ImportErrorKind::layer(Place::Tensor(name.clone()), e.to_string(), "download the file again")
            })?;
            file.insert(name, entry);
        }
    }
    Ok(file)
}

fn entry(source: &Source, data: usize, info: &TensorInfo) -> Result<Entry, crate::stored::ViewError> {
    let element = match info.dtype {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        other => {
            return Ok(Entry {
                shape: info.shape.clone(),
                data: Err(format!("its element type is {other}")),
            });
        }
    };
    let range = data + info.data_offsets.0..data + info.data_offsets.1;
    let view = View::contiguous(range, element, info.shape.clone());
    StoredTensor::new(source.clone(), view).map(Entry::from)
}
