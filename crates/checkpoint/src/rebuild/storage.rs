//! PyTorch's storages, as a pickle refers to them.

use std::collections::HashMap;
use std::ops::Range;

use crate::element::Element;
use crate::pickle::{Pickle, Value};

/// Where the bytes of each storage lie in the file, by its key.
pub(crate) type Storages = HashMap<String, Range<usize>>;

/// A reference to a storage.
pub(crate) struct StorageId<'a> {
    pub(crate) key: &'a str,
    pub(crate) kind: &'a Kind,
    /// Element of the storage at which the reference begins. Only PyTorch before 0.4 writes any other than 0.
    pub(super) offset: usize,
}

/// Reads `('storage', class, key, device, elements[, view])`, where a view is `(key, offset, elements)`.
pub(crate) fn storage_id<'a>(pickle: &Pickle<'a>, id: Value) -> Option<StorageId<'a>> {
    let &[tag, class, key, _device, _elements, ref view @ ..] = pickle.tuple(id)? else { return None };
    if pickle.name(tag)? != "storage" {
        return None;
    }
    let (_, class) = pickle.global(class)?;
    let kind = KINDS.iter().find(|kind| kind.class == class)?;
    let view = view.first().and_then(|&view| pickle.tuple(view));
    let offset = match view {
        Some(&[_key, offset, _elements]) => offset.as_usize()?,
        _ => 0,
    };
    Some(StorageId { key: pickle.name(key)?, kind, offset })
}

/// A class of storages.
pub(crate) struct Kind {
    class: &'static str,
    /// Bytes of an element.
    pub(crate) size: usize,
    /// How an element is read, or the name of a type that is not read.
    pub(super) element: Result<Element, &'static str>,
}

const fn kind(class: &'static str, size: usize, element: Result<Element, &'static str>) -> Kind {
    Kind { class, size, element }
}

/// The classes `torch.FloatStorage` and so on, on the CPU or on another device.
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
    // The type stands elsewhere, because it has no class of storages.
    kind("UntypedStorage", 1, Err("of a recent kind")),
];
