//! The `.safetensors` format: a JSON header, then raw little-endian tensors.

use std::fs::File;
use std::path::Path;

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};

use super::checkpoint::TensorFile;
use super::checks::finite;
use super::error::{ImportErrorKind, Place};

/// A `.safetensors` file, mapped or in memory. Tensors are decoded on demand.
pub(crate) struct SafeTensorsFile<B> {
    bytes: B,
    header: Metadata,
    /// Offset in `bytes` of the tensor data.
    data: usize,
}

impl SafeTensorsFile<Mmap> {
    /// Maps the file and validates its header.
    pub(crate) fn open(path: &Path) -> Result<Self, ImportErrorKind> {
        let file = File::open(path).map_err(ImportErrorKind::Read)?;
        // SAFETY: the mapping is read-only and private to this struct. What `Mmap` asks of us beyond that,
        // that nobody truncates the file while it is mapped, is what every user of a model file relies on;
        // it is mapped for the duration of an import.
        let bytes = unsafe { Mmap::map(&file) }.map_err(ImportErrorKind::Read)?;
        Self::new(bytes)
    }
}

impl<B: AsRef<[u8]>> SafeTensorsFile<B> {
    /// Validates the header, including that all tensors lie inside the file.
    pub(crate) fn new(bytes: B) -> Result<Self, ImportErrorKind> {
        let (header_len, header) = SafeTensors::read_metadata(bytes.as_ref())
            .map_err(|e| ImportErrorKind::corrupt("safetensors", e))?;
        // Eight bytes hold the header's length; `read_metadata` has checked the sum against the file.
        Ok(Self { bytes, header, data: header_len + 8 })
    }

    fn bytes_of(&self, info: &TensorInfo) -> Option<&[u8]> {
        let (start, end) = info.data_offsets;
        self.bytes.as_ref().get(self.data..)?.get(start..end)
    }
}

impl<B: AsRef<[u8]>> TensorFile for SafeTensorsFile<B> {
    fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.info(name).map(|info| info.shape.as_slice())
    }

    fn read(&self, name: &str) -> Result<Vec<f32>, ImportErrorKind> {
        let place = Place::Tensor(name.to_owned());
        let Some((info, bytes)) = self.header.info(name).and_then(|i| Some((i, self.bytes_of(i)?))) else {
            return Err(ImportErrorKind::Missing { place, remedy: "check the file".into() });
        };
        let values = match info.dtype {
            Dtype::F32 => decode(bytes, f32::from_le_bytes),
            Dtype::F16 => decode(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => decode(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            other => {
                return Err(ImportErrorKind::layer(
                    place,
                    format!("its element type is {other:?}"),
                    "expected F32, F16 or BF16",
                ));
            }
        };
        finite(&place, values)
    }
}

/// Elements of `N` bytes each.
fn decode<const N: usize>(bytes: &[u8], element: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&chunk| element(chunk)).collect()
}
