//! The format before the zip archive: pickles of the magic number, the version, the machine, the saved object and the keys
//! of its storages, then each storage as its number of elements in 64 bits and their bytes.

use std::collections::HashMap;

use crate::error::FileError;
use crate::pickle::{self, Object, Pickle, Value};
use crate::rebuild::{Storages, storage_id};

/// The only version of the format.
const VERSION: i64 = 1001;

/// Finds the pickle of the saved object and its storages.
pub(super) fn open(bytes: &[u8]) -> Result<(Pickle<'_>, Storages), FileError> {
    let corrupt = |reason: &str| FileError::corrupt("PyTorch", reason);
    let load = |at| pickle::load(bytes, at).map_err(|e| FileError::corrupt("PyTorch", e));
    let (_magic, at) = load(0)?;
    let (version, at) = load(at)?;
    if version.root != Value::Int(VERSION) {
        return Err(corrupt("it is of an unknown version"));
    }
    let (machine, at) = load(at)?;
    let facts = machine.pairs(machine.root).unwrap_or_default();
    if facts
        .iter()
        .any(|&(key, value)| machine.name(key) == Some("little_endian") && value == Value::Bool(false))
    {
        return Err(FileError::big_endian());
    }
    let (object, at) = load(at)?;
    let (keys, mut at) = load(at)?;

    let ids = object.objects().filter_map(|each| match each {
        Object::Persistent(id) => storage_id(&object, *id),
        _ => None,
    });
    let sizes: HashMap<_, _> = ids.map(|id| (id.key, id.kind.size)).collect();
    let mut storages = Storages::new();
    for &key in keys.sequence(keys.root).ok_or_else(|| corrupt("it lists no storages"))? {
        let key = keys.name(key).ok_or_else(|| corrupt("the key of a storage is not text"))?;
        let size = *sizes.get(key).ok_or_else(|| corrupt("a storage is of an unknown kind"))?;
        let rest = bytes.get(at..).unwrap_or_default();
        let elements = rest.first_chunk().map(|&n| u64::from_le_bytes(n));
        let len = elements.and_then(|n| usize::try_from(n).ok()?.checked_mul(size));
        let len = len.filter(|&len| len <= rest.len() - size_of::<u64>());
        let len = len.ok_or_else(|| corrupt("it ends before its storages do"))?;
        let start = at + size_of::<u64>();
        at = start + len;
        storages.insert(key.to_owned(), start..at);
    }
    Ok((object, storages))
}
