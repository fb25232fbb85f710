//! Text files that users give: labels and ground truth.

use super::cannot_read;
use crate::terminal::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most bytes that a text file may have. A line for each image of ImageNet's training set takes less than half of it.
/// Files without an end, such as `/dev/zero`, need a limit.
const MAX_BYTES: u64 = 256 << 20;

/// Reads the text in `path`, which may be a pipe, and drops a byte order mark. `remedy` says which file to give instead.
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
    let text =
        String::from_utf8(bytes).map_err(|_| Error::at(path, format_args!("is not text; {remedy}")))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
