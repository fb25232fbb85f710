//! What `torch.save` writes: a pickle whose tensors have their elements in storages beside it.

mod legacy;
mod zip;

use std::collections::HashMap;
use std::ops::Range;

use crate::content::{Content, recognise};
use crate::pickle::{Pickle, Value};
use crate::rebuild::{Rebuilder, natural};
use crate::tensor::{Element, Encoding, Entry, Source, TensorFile, View};
use crate::{FileError, state_dict};

/// The format's name in messages.
const FORMAT: &str = "PyTorch";

/// The number with which the format before the zip archive begins, 0x1950a86a20f9469cfc6c.
pub(crate) const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Where the bytes of each storage lie, by its key.
pub(crate) type Storages = HashMap<String, Range<usize>>;

/// Finds the tensors in a file of either format.
///
/// # Errors
///
/// It is damaged, holds no state dict, or can only be read by running code.
pub fn read(source: Source) -> Result<TensorFile, FileError> {
    let bytes = source.bytes();
    let (pickle, storages) = match recognise(bytes)? {
        Content::PyTorchZip => zip::open(bytes)?,
        _ => legacy::open(bytes)?,
    };
    let file = state_dict::read(Rebuilder::new(&pickle, &source, storages))?;
    // Looking for the storages has touched pages all over the file.
    source.release(&(0..bytes.len()));
    Ok(file)
}

/// A storage as a pickle refers to it.
struct StorageId<'a> {
    key: &'a str,
    kind: &'a Kind,
    /// Element of the storage at which this view of it begins; only files of PyTorch before 0.4 have any but
    /// 0.
    offset: usize,
}

/// Reads `('storage', class, key, device, elements[, view])`, where a view is `(key, offset, elements)`.
fn storage_id<'a>(pickle: &Pickle<'a>, id: Value) -> Option<StorageId<'a>> {
    let &[tag, class, key, _device, _elements, ref view @ ..] = pickle.tuple(id)? else { return None };
    if pickle.name(tag)? != "storage" {
        return None;
    }
    let (_, class) = pickle.global(class)?;
    let kind = KINDS.iter().find(|kind| kind.class == class)?;
    let view = view.first().and_then(|&view| pickle.tuple(view));
    let offset = match view {
        Some(&[_key, offset, _elements]) => natural(offset)?,
        _ => 0,
    };
    Some(StorageId { key: pickle.name(key)?, kind, offset })
}

/// A class of storages.
struct Kind {
    class: &'static str,
    /// Bytes of an element.
    size: usize,
    /// How it is read, or what its elements are called.
    element: Result<Element, &'static str>,
}

const fn kind(class: &'static str, size: usize, element: Result<Element, &'static str>) -> Kind {
    Kind { class, size, element }
}

/// `torch.FloatStorage` and its like, on the CPU or on another device.
const KINDS: &[Kind] = &[
    kind("FloatStorage", 4, Ok(Element::F32)),
    kind("HalfStorage", 2, Ok(Element::F16)),
    kind("BFloat16Storage", 2, Ok(Element::BF16)),
    kind("DoubleStorage", 8, Ok(Element::F64)),
    kind("LongStorage", 8, Err("int64")),
    kind("IntStorage", 4, Err("int32")),
    kind("ShortStorage", 2, Err("int16")),
    kind("CharStorage", 1, Err("int8")),
    kind("ByteStorage", 1, Err("uint8")),
    kind("BoolStorage", 1, Err("bool")),
    kind("ComplexFloatStorage", 8, Err("complex64")),
    kind("ComplexDoubleStorage", 16, Err("complex128")),
    kind("QInt8Storage", 1, Err("qint8")),
    kind("QUInt8Storage", 1, Err("quint8")),
    kind("QInt32Storage", 4, Err("qint32")),
    // Bytes whose type stands elsewhere, one that has no class of its own.
    kind("UntypedStorage", 1, Err("of a recent kind")),
];

/// The tensor that `_rebuild_tensor(storage, offset, size, stride, …)` makes.
pub(crate) fn tensor(from: &Rebuilder<'_>, name: &str, arguments: &[Value]) -> Result<Entry, FileError> {
    let damaged = |problem: &str| FileError::tensor(name, problem);
    let &[storage, offset, shape, strides, ..] = arguments else {
        return Err(damaged("its description is too short"));
    };
    let Some(id) = from.pickle.persistent(storage).and_then(|id| storage_id(from.pickle, id)) else {
        return Err(damaged("its storage is of an unknown kind"));
    };
    let shape = from.sizes(name, shape)?;
    let element = match id.kind.element {
        Ok(element) => element,
        Err(other) => return Ok(Entry { shape, data: Err(format!("its element type is {other}")) }),
    };
    let strides = from.sizes(name, strides)?;
    let offset = natural(offset).and_then(|offset| offset.checked_add(id.offset));
    let offset = offset.ok_or_else(|| damaged("its offset is not a number from zero"))?;
    let Some(range) = from.storages.get(id.key) else {
        return Err(damaged("its storage is not in the file"));
    };
    from.view(name, View { range: range.clone(), encoding: Encoding::Raw, element, shape, strides, offset })
}
