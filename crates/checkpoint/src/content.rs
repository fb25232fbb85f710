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
    } else if text.starts_with(b"<") && contains(&text[..text.len().min(512)], b"<net ") {
        ("it is an OpenVINO model", "give the ONNX file or the checkpoint that it was made from")
    } else if text.starts_with(b"<")
        && text.get(1).is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'!' | b'?'))
    {
        (
            "it is a web page or an XML message, not a checkpoint",
            "open the link in a browser to see what it says, and download the file itself",
        )
    } else {
        return Ok(());
    };
    Err(FileError::other(what, remedy))
}

/// Refuses a file that is called an ONNX file and has another format.
///
/// # Errors
///
/// Returns an error if the file is a checkpoint, or something else that its first bytes tell.
pub fn not_onnx(bytes: &[u8]) -> Result<(), FileError> {
    not_a_model(bytes)?;
    match recognise(bytes) {
        Ok(content) => {
            let (what, end) = match content {
                Content::SafeTensors => ("a .safetensors checkpoint", ".safetensors"),
                Content::PyTorchZip | Content::PyTorchLegacy => {
                    ("a file of PyTorch or a zip archive", ".pth")
                }
                Content::Pickle => ("a pickle, as PaddleClas' checkpoints are", ".pdparams"),
            };
            Err(FileError::other(format!("it is {what}, not an ONNX file"), format!("name it {end}")))
        }
        Err(FileError::Other { what, .. }) if what == SEEMS_ONNX => Ok(()),
        Err(error @ FileError::Other { .. }) => Err(error),
        Err(_) => Ok(()),
    }
}

/// What a file is that begins as ONNX files do.
const SEEMS_ONNX: &str = "it seems to be an ONNX file";

/// Files of other programs: how they begin, from which position, what they are, and how to get at the weights.
const OTHERS: &[(usize, &[u8], &str, &str)] = &[
    (0, b"\x1f\x8b", "it is compressed (gzip)", "unpack it first"),
    (0, b"\xfd7zXZ\0", "it is compressed (xz)", "unpack it first"),
    (0, b"BZh", "it is compressed (bzip2)", "unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "it is compressed (Zstandard)", "unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "it is a 7z archive", "unpack it first"),
    (0, b"Rar!\x1a\x07", "it is a RAR archive", "unpack it first"),
    (0, b"\x93NUMPY", "it is a single NumPy array", "give a file of all weights (.pth, .safetensors)"),
    (4, b"ORTM", "it is a model of ONNX Runtime (.ort)", "give the ONNX file that it was made from"),
    (0, b"ftrt", "it is a TensorRT engine", "give the ONNX file that it was made from"),
    (0, b"ptrt", "it is a TensorRT engine", "give the ONNX file that it was made from"),
    (0, b"7767517\n", "it is an ncnn model", "give the ONNX file or the checkpoint that it was made from"),
    (0, b"RKNN", "it is a model for Rockchip's NPUs", "give the ONNX file that it was made from"),
    (
        0,
        b"\x12\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        "it is a file of parameters of MXNet",
        "load it in gluon and export the network as ONNX",
    ),
    (
        0,
        b"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1",
        "it is a model of Lua Torch (.t7)",
        "give weights of PyTorch or Paddle",
    ),
    (
        0,
        b"\x89RNX",
        "it is an int8 model of this program already",
        "give the network that it was compiled from",
    ),
];

/// Returns the error for a file that has none of the formats.
fn misnamed(bytes: &[u8]) -> FileError {
    let other = |what: &str, remedy: &str| FileError::other(what, remedy);
    let begins = |&&(at, magic, ..): &&(usize, &[u8], &str, &str)| {
        bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
    };
    if let Some(&(.., what, remedy)) = OTHERS.iter().find(begins) {
        return other(what, remedy);
    }
    match *bytes {
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
        // Protobuf fields: a version, then a message that begins with a message, where ONNX has the name of its producer.
        [8, 1, 0x12, first, 0x0a, ..]
        | [8, 1, 0x12, first, _, 0x0a, ..]
        | [8, 1, 0x12, first, _, _, 0x0a, ..]
            if first >= 0x80 || bytes[4] == 0x0a =>
        {
            other("it is a SavedModel of TensorFlow", "convert it with tf2onnx, and give the ONNX file")
        }
        [8, 2..=32, 0x12, _, 0x0a, ..] | [8, 2..=32, 0x12, 0x80..=0xff, _, 0x0a, ..] => {
            other("it is a Core ML model", "give the network that it was made from")
        }
        // The name of the network and its first layer.
        [0x0a, name, ..]
            if bytes.get(2 + usize::from(name)..).is_some_and(|rest| rest.starts_with(b"\xa2\x06")) =>
        {
            other("it is a model of Caffe (.caffemodel)", "convert it to ONNX or to PyTorch")
        }
        [0x0a, ..] if contains(&bytes[..bytes.len().min(512)], b"Placeholder") => {
            other("it is a graph of TensorFlow", "convert it with tf2onnx, and give the ONNX file")
        }
        // The protobuf fields `ir_version` and `producer_name` or `opset_import`.
        [8, 1..=32, 0x12 | 0x3a | 0x42, ..] => other(SEEMS_ONNX, "name it .onnx"),
        [b'{', ..] if contains(&bytes[..bytes.len().min(1 << 16)], b"\"weight_map\"") => other(
            "it lists the files over which a checkpoint is spread, and holds no weights",
            "load the model and save its state dict in one file",
        ),
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
        let cases: [(&[u8], &str); 28] = [
            (b"", "it is empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
            (b"<!DOCTYPE html><html><title>Sign in</title></html>", "web page"),
            (b"\xef\xbb\xbf\n <html>", "web page"),
            (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML message"),
            (b"{\"error\": \"not found\"}", "JSON text"),
            (b"\x1f\x8b\x08\x00\x00", "gzip"),
            (b"\x89HDF\r\n\x1a\n", "Keras"),
            (&tar, "tar archive"),
            (b"<?xml version=\"1.0\"?>\n<net name=\"torch_jit\" version=\"11\">", "OpenVINO"),
            (b"{\"metadata\": {}, \"weight_map\": {}}", "lists the files"),
            (b"\xfd7zXZ\0\0\x04", "xz"),
            (b"BZh91AY", "bzip2"),
            (b"\x28\xb5\x2f\xfd\x04", "Zstandard"),
            (b"Rar!\x1a\x07\x01\0", "RAR"),
            (b"\x93NUMPY\x01\0v\0{'descr': '<f4'", "NumPy array"),
            (b"\x18\0\0\0ORTM\0\0", "ONNX Runtime"),
            (b"ftrt\0\0\0\0", "TensorRT"),
            (b"7767517\n75 83\n", "ncnn"),
            (b"\x12\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02", "MXNet"),
            (b"\x89RNX\r\n\x1a\n", "int8 model"),
            (b"\x08\x01\x12\xa0\x10\x0a\x1a\x0a\x05serve", "SavedModel"),
            (b"\x08\x04\x12\x10\x0a\x05image", "Core ML"),
            (b"\x0a\x09ResNeXt50\xa2\x06\x30\x0a\x04data", "Caffe"),
            (b"\x0a\x3c\x0a\x05input\x12\x0bPlaceholder", "graph of TensorFlow"),
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
    fn files_called_onnx_are_named() {
        for (bytes, expected) in [
            (&b"PK\x03\x04"[..], "a file of PyTorch or a zip archive, not an ONNX file; name it .pth"),
            (b"\x02\0\0\0\0\0\0\0{}", "name it .safetensors"),
            (b"ftrt\0\0\0\0", "TensorRT"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"", "it is empty"),
        ] {
            let line = not_onnx(bytes).expect_err(expected).to_string();
            assert!(line.contains(expected) && line.contains("; "), "{line}");
        }
        // Fields of ONNX, and what tells nothing.
        for bytes in [&b"\x08\x08\x12\x07pytorch"[..], b"\x08\x07\x3a\x10", b"?"] {
            assert!(not_onnx(bytes).is_ok(), "{bytes:?}");
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
