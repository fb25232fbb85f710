//! Text files that users give: labels and ground truth.

use super::cannot_read;
use crate::terminal::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most bytes that a text file may have. A line for each image of ImageNet's training set takes less than half of it.
/// Files without an end, such as `/dev/zero`, need a limit.
const MAX_BYTES: u64 = 256 << 20;

/// Reads the text in `path`, which may be a pipe, and drops a byte order mark. The text is UTF-8, or UTF-16 with a byte order mark,
/// which PowerShell and Excel write. `remedy` says which file to give instead.
pub(crate) fn read(path: &Path, remedy: &str) -> Result<String, Error> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::IsADirectory => Error::at(path, format_args!("is a directory; {remedy}")),
        _ => Error::at(path, cannot_read(&error, remedy)),
    };
    let (file, mut bytes) = (File::open(path).map_err(failed)?, Vec::new());
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::at(path, format_args!("has more than {} MiB; {remedy}", MAX_BYTES >> 20)));
    }
    let text = decode(bytes).ok_or_else(|| Error::at(path, format_args!("is not text; {remedy}")))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn decode(bytes: Vec<u8>) -> Option<String> {
    let unit: fn([u8; 2]) -> u16 = match bytes.as_slice() {
        [0xFF, 0xFE, ..] => u16::from_le_bytes,
        [0xFE, 0xFF, ..] => u16::from_be_bytes,
        _ => return String::from_utf8(bytes).ok(),
    };
    let (pairs, rest) = bytes.as_chunks();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16(&units).ok().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utf8_or_utf16() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("labels.txt");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read(&path, "give a text file").map_err(|error| error.to_string())
        };
        // As Python's "utf-8-sig", "utf-16-le" and "utf-16-be" with a mark encode "ü 3".
        for bytes in
            [&b"\xef\xbb\xbf\xc3\xbc 3"[..], b"\xff\xfe\xfc\x00 \x003\x00", b"\xfe\xff\x00\xfc\x00 \x003"]
        {
            assert_eq!(read(bytes).as_deref(), Ok("ü 3"));
        }
        for bytes in [&b"\xfc 3"[..], b"\xff\xfe\xfc", b"\xff\xfe\x00\xd8"] {
            assert!(read(bytes).unwrap_err().contains("is not text; give a text file"), "{bytes:?}");
        }
    }
}
