//! The `.safetensors` format: a JSON header and raw little-endian tensors.

use safetensors::tensor::{Dtype, SafeTensors, TensorInfo};

use crate::element::Element;
use crate::error::FileError;
use crate::file_bytes::FileBytes;
use crate::tensor::{StoredTensor, View, ViewError};
use crate::tensor_file::{Entry, TensorFile, Unread};

/// Lists the tensors of a file and checks that they lie inside it.
///
/// # Errors
///
/// Returns an error if the header is damaged or disagrees with the length of the file.
pub fn read(bytes: FileBytes) -> Result<TensorFile, FileError> {
    let (header_len, header) =
        SafeTensors::read_metadata(bytes.bytes()).map_err(|e| FileError::corrupt("safetensors", e))?;
    // Eight bytes hold the length of the header. `read_metadata` has checked the sum against the file.
    let data = header_len + 8;
    let mut file = TensorFile::default();
    if let Some(metadata) = header.metadata() {
        file.facts = metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        file.facts.sort();
    }
    for name in header.offset_keys() {
        if let Some(info) = header.info(&name) {
            let entry = entry(&bytes, data, info).map_err(|e| FileError::tensor(&name, e))?;
            file.insert(name, entry);
        }
    }
    Ok(file)
}

fn entry(bytes: &FileBytes, data: usize, info: &TensorInfo) -> Result<Entry, ViewError> {
    let element = match info.dtype {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        other => {
            return Ok(Entry {
                shape: info.shape.clone(),
                data: Err(Unread::element(format!("its element type is {other}"))),
            });
        }
    };
    let range = data + info.data_offsets.0..data + info.data_offsets.1;
    let view = View::contiguous(range, element, info.shape.clone());
    StoredTensor::new(bytes.clone(), view).map(Entry::from)
}
