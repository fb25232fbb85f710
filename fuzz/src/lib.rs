//! What the targets share.

use resnext_checkpoint::{FileError, TensorFile};

/// Returns one of the `sound` files with changes. The first byte of `data` chooses the file; for each change follow its
/// offset (two bytes, little-endian) and the new value.
pub fn changed(sound: &[impl AsRef<[u8]>], data: &[u8]) -> Option<Vec<u8>> {
    let (&choice, changes) = data.split_first()?;
    let mut bytes = sound[usize::from(choice) % sound.len()].as_ref().to_vec();
    for &[low, high, value] in changes.as_chunks().0 {
        let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
        bytes[at] = value;
    }
    Some(bytes)
}

/// Reads every tensor of a file of `len` bytes, or shows why there is none.
pub fn exhaust(result: Result<TensorFile, FileError>, len: usize) {
    match result {
        Ok(file) => {
            for name in file.names() {
                if let Some(Ok(tensor)) = file.get(name).map(|entry| &entry.data) {
                    let elements = tensor.read().len();
                    assert!(2 * elements <= len, "{elements} elements from {len} bytes");
                }
            }
        }
        Err(error) => {
            let line = error.to_string();
            assert!(line.contains("; ") && !line.contains('\n'), "{line}");
        }
    }
}
