//! What the targets share.

use resnext_checkpoint::FileError;
use resnext_checkpoint::stored::TensorFile;

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
