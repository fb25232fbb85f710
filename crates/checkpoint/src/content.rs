//! Tells formats apart by the first bytes of a file, not by its name: people save login pages as `.pth`.

use crate::FileError;

/// A format of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// A JSON header and raw tensors.
    SafeTensors,
    /// A zip archive, as PyTorch writes since 1.6.
    PyTorchZip,
    /// A sequence of pickles and raw storages, as PyTorch wrote before 1.6.
    PyTorchLegacy,
    /// One pickle.
    Pickle,
}

/// Bytes of the longest header of a `.safetensors` file that its library reads.
const MAX_HEADER: u64 = 100_000_000;

/// The number at the start of PyTorch's format before the zip archive, 0x1950a86a20f9469cfc6c.
const PYTORCH_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Returns the format of a checkpoint.
///
/// # Errors
///
/// Returns an error if the content is no checkpoint. The error names what people often mistake for one.
pub fn recognise(bytes: &[u8]) -> Result<Content, FileError> {
    let header_len = bytes.first_chunk().map_or(u64::MAX, |&len| u64::from_le_bytes(len));
    match *bytes {
        _ if header_len <= MAX_HEADER && bytes.get(8) == Some(&b'{') => Ok(Content::SafeTensors),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Ok(Content::PyTorchZip),
        // The magic number, in any of the forms in which pickle protocols 2 to 5 begin.
        [0x80, 2..=5, ..] if contains(&bytes[..bytes.len().min(32)], &PYTORCH_MAGIC) => {
            Ok(Content::PyTorchLegacy)
        }
        [0x80, 2..=5, ..] | [b'(' | b'}' | b']', .., b'.'] => Ok(Content::Pickle),
        _ => Err(not_a_model(bytes).err().unwrap_or_else(|| misnamed(bytes))),
    }
}

/// Refuses a file that is no model of any kind.
///
/// # Errors
///
/// Returns an error if the file is empty, a web page or a Git LFS pointer.
pub fn not_a_model(bytes: &[u8]) -> Result<(), FileError> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let (what, remedy) = if bytes.is_empty() {
        ("it is empty", "download it again")
    } else if text.starts_with(b"version https://git-lfs.github.com/") {
        (
            "it is a Git LFS pointer, not the file itself",
            "run `git lfs pull`, or download the file by its link",
        )
    } else if text.starts_with(b"<") {
        (
            "it is a web page or an XML message, not a checkpoint",
            "open the link in a browser to see what it says, and download the file itself",
        )
    } else {
        return Ok(());
    };
    Err(FileError::other(what, remedy))
}

/// Returns the error for a file that has none of the formats.
fn misnamed(bytes: &[u8]) -> FileError {
    let other = |what: &str, remedy: &str| FileError::other(what, remedy);
    match *bytes {
        [0x1f, 0x8b, ..] => other("it is compressed (gzip)", "unpack it first"),
        [0x89, b'H', b'D', b'F', ..] => {
            other("it is an HDF5 file, as Keras writes", "give weights of PyTorch or Paddle")
        }
        [b'G', b'G', b'U', b'F', ..] => other("it is a GGUF file", "give weights of PyTorch or Paddle"),
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => {
            other("it is a TensorFlow Lite model", "give weights of PyTorch or Paddle, or an ONNX file")
        }
        [_, _, _, _, b'E', b'T', ..] if bytes.get(6..8).is_some_and(|v| v.iter().all(u8::is_ascii_digit)) => {
            other("it is an ExecuTorch program (.pte)", "give the checkpoint that it was made from")
        }
        _ if bytes.get(257..262) == Some(b"ustar") => other(
            "it is a tar archive",
            "unpack it; if PyTorch before 0.2 wrote it, load it there and save the state dict again",
        ),
        // A stream of tensors. Before each stand its version, its level of detail and its description.
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, _, 0, 0, 0, 8, ..] => other(
            "it holds the parameters of an exported Paddle program without their names",
            "give the .pdparams file of the model",
        ),
        // The protobuf fields `ir_version` and `producer_name` or `opset_import`.
        [8, 1..=32, 0x12 | 0x3a | 0x42, ..] => other("it seems to be an ONNX file", "name it .onnx"),
        [b'{' | b'[', ..] => {
            other("it is JSON text, not a checkpoint", "look into it, and download the file itself")
        }
        _ => FileError::Format,
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_download_by_mistake_is_named() {
        let tar = [vec![b'x'; 257], b"ustar\x0000".to_vec(), vec![0; 300]].concat();
        let cases: [(&[u8], &str); 12] = [
            (b"", "it is empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
            (b"<!DOCTYPE html><html><title>Sign in</title></html>", "web page"),
            (b"\xef\xbb\xbf\n <html>", "web page"),
            (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML message"),
            (b"{\"error\": \"not found\"}", "JSON text"),
            (b"\x1f\x8b\x08\x00\x00", "gzip"),
            (b"\x89HDF\r\n\x1a\n", "Keras"),
            (&tar, "tar archive"),
            (b"\x08\x08\x12\x07pytorch", "name it .onnx"),
            (b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x04\0\0\0\x08\x05\x10\x02", "give the .pdparams"),
            (b"\xff\xd8\xff\xe0 a photo", "not a known model format"),
        ];
        for (bytes, expected) in cases {
            let line = recognise(bytes).expect_err(expected).to_string();
            assert!(line.contains(expected) && line.contains("; ") && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn formats_are_told_apart() {
        let safetensors = b"\x02\0\0\0\0\0\0\0{}";
        assert_eq!(recognise(safetensors).unwrap(), Content::SafeTensors);
        // Headers whose lengths read "<" and " <".
        assert_eq!(recognise(b"<\x01\0\0\0\0\0\0{}").unwrap(), Content::SafeTensors);
        assert_eq!(recognise(b" <\0\0\0\0\0\0{}").unwrap(), Content::SafeTensors);
        assert_eq!(recognise(b"PK\x03\x04").unwrap(), Content::PyTorchZip);
        assert_eq!(
            recognise(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02").unwrap(),
            Content::PyTorchLegacy
        );
        assert_eq!(recognise(b"\x80\x04\x95\0\0\0\0\0\0\0\0}.").unwrap(), Content::Pickle);
        assert_eq!(recognise(b"(dp0\n.").unwrap(), Content::Pickle);
    }
}
