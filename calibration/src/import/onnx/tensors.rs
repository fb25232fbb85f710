//! The numbers in an ONNX tensor, wherever the file keeps them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};

use crate::import::checks::finite;
use crate::import::error::{ImportErrorKind, Location};
use resnext_checkpoint::{Element, FileBytes, StoredTensor, View};

/// The remedy for a tensor whose data does not fit its shape.
const DAMAGED: &str = "the file is damaged; export or download it again";

/// The files that hold the tensors of a model.
pub(super) struct Files {
    /// The model itself, for the tensors that [`decode`](super::file::decode) has left in it.
    model: FileBytes,
    /// The directory of the other files; none may lie outside it.
    directory: PathBuf,
    /// The other files that are mapped so far.
    beside: RefCell<HashMap<String, FileBytes>>,
}

impl Files {
    /// Makes the set of files of the model in `path`, which is mapped as `model`.
    pub(super) fn new(path: &Path, model: FileBytes) -> Self {
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        Self { model, directory, beside: RefCell::default() }
    }

    /// Returns the floating-point tensor `proto`, and checks that all its elements are finite. Errors call it `name`.
    pub(super) fn tensor(&self, name: &str, proto: &TensorProto) -> Result<StoredTensor, ImportErrorKind> {
        let location = || Location::Tensor(name.to_owned());
        let wrong = |problem: String, remedy: &str| ImportErrorKind::layer(location(), problem, remedy);
        let element = match DataType::try_from(proto.data_type) {
            Ok(DataType::Float) => Element::F32,
            Ok(DataType::Float16) => Element::F16,
            Ok(DataType::Bfloat16) => Element::BF16,
            Ok(DataType::Double) => Element::F64,
            other => {
                let found = other.map_or("unknown", |t| t.as_str_name());
                let remedy = "expected float32, float16, bfloat16 or float64";
                return Err(wrong(format!("its element type is {found}"), remedy));
            }
        };
        let tensor = self.stored(name, proto, element)?;
        finite(&location(), &tensor.read())?;
        Ok(tensor)
    }

    /// Returns the tensor of 8-bit integers `proto`. Unsigned integers are reduced by 128. Errors call it `name`.
    pub(super) fn bytes(&self, name: &str, proto: &TensorProto) -> Result<StoredTensor, ImportErrorKind> {
        let tensor = self.stored(name, proto, Element::I8)?;
        if proto.data_type != DataType::Uint8 as i32 {
            return Ok(tensor);
        }
        // Unsigned integers are read as if they were signed.
        let shifted = tensor.read().iter().map(|&byte| (byte as i8 as u8) ^ 0x80).collect();
        self.owned(name, shifted, Element::I8, tensor.shape())
    }

    /// Makes a tensor of `shape` from computed bytes, as if it were in a file.
    pub(super) fn owned(
        &self,
        name: &str,
        bytes: Vec<u8>,
        element: Element,
        shape: &[usize],
    ) -> Result<StoredTensor, ImportErrorKind> {
        let view = View::contiguous(0..bytes.len(), element, shape.to_vec());
        StoredTensor::new(bytes.into(), view).map_err(|error| {
            ImportErrorKind::layer(Location::Tensor(name.to_owned()), error.to_string(), DAMAGED)
        })
    }

    /// Returns the elements of the tensor of 32-bit integers `proto`. Errors call it `name`.
    pub(super) fn words(&self, name: &str, proto: &TensorProto) -> Result<Vec<i32>, ImportErrorKind> {
        let inside = || match proto.raw_data.as_slice() {
            [] => proto.int32_data.iter().flat_map(|word| word.to_le_bytes()).collect(),
            raw => raw.to_vec(),
        };
        let (source, range) = self.data(name, proto, inside)?;
        let (words, rest) = source.bytes()[range].as_chunks();
        let len = proto.dims.iter().try_fold(1i64, |len, &size| len.checked_mul(size));
        if !rest.is_empty() || len != i64::try_from(words.len()).ok() {
            let problem = format!("it has {} elements where its shape is {:?}", words.len(), proto.dims);
            return Err(ImportErrorKind::layer(Location::Tensor(name.to_owned()), problem, DAMAGED));
        }
        Ok(words.iter().map(|&word| i32::from_le_bytes(word)).collect())
    }

    /// Returns the tensor `proto`, whatever the type of its elements.
    fn stored(
        &self,
        name: &str,
        proto: &TensorProto,
        element: Element,
    ) -> Result<StoredTensor, ImportErrorKind> {
        let wrong = |problem: String, remedy: &str| {
            ImportErrorKind::layer(Location::Tensor(name.to_owned()), problem, remedy)
        };
        let shape: Option<Vec<usize>> = proto.dims.iter().map(|&size| usize::try_from(size).ok()).collect();
        let shape = shape.ok_or_else(|| {
            wrong(
                format!("its shape is {:?}", proto.dims),
                "expected no negative size; export the model again",
            )
        })?;
        let (source, range) = self.data(name, proto, || inside(proto, element))?;
        let len = range.len();
        let tensor = StoredTensor::new(source, View::contiguous(range, element, shape))
            .map_err(|error| wrong(error.to_string(), DAMAGED))?;
        if tensor.len() * element.size() != len {
            let (need, shape) = (tensor.len() * element.size(), tensor.shape());
            let problem = format!("it has {len} bytes where its shape {shape:?} asks for {need}");
            return Err(wrong(problem, DAMAGED));
        }
        Ok(tensor)
    }

    /// Returns the file and the range of bytes that hold the data of `proto`. `inside` takes them from the message.
    fn data(
        &self,
        name: &str,
        proto: &TensorProto,
        inside: impl FnOnce() -> Vec<u8>,
    ) -> Result<(FileBytes, std::ops::Range<usize>), ImportErrorKind> {
        if proto.data_location == Some(DataLocation::External as i32) {
            return self.external(name, proto);
        }
        let bytes = inside();
        let range = 0..bytes.len();
        Ok((FileBytes::from(bytes), range))
    }

    /// Returns the file and the range of bytes of `proto`, whose data is not in the message.
    fn external(
        &self,
        name: &str,
        proto: &TensorProto,
    ) -> Result<(FileBytes, std::ops::Range<usize>), ImportErrorKind> {
        let wrong = |problem: String, remedy: &str| {
            ImportErrorKind::layer(Location::Tensor(name.to_owned()), problem, remedy)
        };
        let entry = |key: &str| proto.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let location = entry("location");
        let source =
            location.map_or_else(|| Ok(self.model.clone()), |location| self.beside(name, location))?;
        let file =
            location.map_or("the model".to_owned(), |location| format!("`{}`", location.escape_debug()));
        let number = |key: &str, default: usize| {
            let parse = |text: &str| {
                let error = || {
                    wrong(format!("its {key} in {file} is `{}`", text.escape_debug()), "expected a number")
                };
                text.parse().map_err(|_| error())
            };
            entry(key).map_or(Ok(default), parse)
        };
        let have = source.bytes().len();
        let start: usize = number("offset", 0)?;
        let len = number("length", have.saturating_sub(start))?;
        match start.checked_add(len) {
            Some(end) if end <= have => Ok((source, start..end)),
            _ => Err(wrong(
                format!("its {len} bytes from {start} of {file} are not there: that has {have}"),
                "the file is truncated or of another model; copy or download it again",
            )),
        }
    }

    /// Maps the file at `location`, relative to the model.
    fn beside(&self, name: &str, location: &str) -> Result<FileBytes, ImportErrorKind> {
        if let Some(source) = self.beside.borrow().get(location) {
            return Ok(source.clone());
        }
        let shown = location.escape_debug();
        let wrong = |problem: String, remedy: &str| {
            ImportErrorKind::layer(Location::Tensor(name.to_owned()), problem, remedy)
        };
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || !Path::new(location).components().all(inside) {
            let problem = format!("it is kept in `{shown}`, outside the model's directory");
            return Err(wrong(problem, "expected a file beside the model; export the model again"));
        }
        let source = FileBytes::map(&self.directory.join(location)).map_err(|error| {
            let problem = format!("it is kept in `{shown}`, which cannot be read ({error})");
            wrong(problem, "keep that file beside the model")
        })?;
        self.beside.borrow_mut().insert(location.to_owned(), source.clone());
        Ok(source)
    }
}

/// Returns the elements in the message as little-endian bytes. There may be too few or too many.
fn inside(proto: &TensorProto, element: Element) -> Vec<u8> {
    if !proto.raw_data.is_empty() {
        return proto.raw_data.clone();
    }
    match element {
        Element::I8 => proto.int32_data.iter().map(|&value| value as u8).collect(),
        Element::F32 => proto.float_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Element::F64 => proto.double_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        // Each element is in the lower half of an integer.
        Element::F16 | Element::BF16 => {
            proto.int32_data.iter().flat_map(|&value| (value as u16).to_le_bytes()).collect()
        }
    }
}

/// Returns the only element of an f32 tensor in the message; `None` if the tensor is another.
pub(super) fn scalar(proto: &TensorProto) -> Option<f32> {
    let one = proto.dims.iter().all(|&size| size == 1) && proto.data_type == DataType::Float as i32;
    match inside(proto, Element::F32).as_chunks() {
        ([bytes], []) if one => Some(f32::from_le_bytes(*bytes)),
        _ => None,
    }
}

/// Returns the elements of an i64 tensor in the message; `None` if the tensor is another.
pub(super) fn ints(proto: &TensorProto) -> Option<Vec<i64>> {
    let elsewhere = proto.data_location == Some(DataLocation::External as i32);
    if proto.data_type != DataType::Int64 as i32 || elsewhere {
        return None;
    }
    let values = match proto.raw_data.as_chunks() {
        ([], []) => proto.int64_data.clone(),
        (values, []) => values.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect(),
        _ => return None,
    };
    let len = proto.dims.iter().try_fold(1i64, |len, &size| len.checked_mul(size));
    (len == i64::try_from(values.len()).ok()).then_some(values)
}
