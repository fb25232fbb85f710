//! Writing ONNX files: one file, or two if the weights are too large for one.

use crate::files::write::PendingFile;
use crate::session::samples;
use crate::terminal::Error;
use resnext_calibration::export::{MAX_INSIDE, OnnxFile};
use std::path::{Path, PathBuf};

/// A complete ONNX file that does not have its name yet.
pub(crate) struct Written {
    out: PendingFile,
    /// The weights, if they are in a separate file.
    data: Option<(PathBuf, PendingFile)>,
}

impl Written {
    /// Returns the size of all files in bytes.
    pub(crate) fn bytes(&self) -> Result<u64, Error> {
        let data = self.data.as_ref().map_or(Ok(0), |(_, data)| data.len())?;
        Ok(self.out.len()? + data)
    }

    /// Gives the files their names. Returns the path of the file with the weights, if there is one.
    pub(crate) fn commit(self) -> Result<Option<PathBuf>, Error> {
        let data = match self.data {
            Some((path, data)) => {
                data.commit()?;
                Some(path)
            }
            None => None,
        };
        self.out.commit()?;
        Ok(data)
    }
}

/// Writes `file` to `path`, and its weights to a second file beside it if they are too large for one.
pub(crate) fn write(path: &Path, file: &OnnxFile<'_>) -> Result<Written, Error> {
    let progress = samples::progress();
    progress.set_message("writing");
    progress.set_length(file.tensor_count() as u64);
    let tick = || progress.inc(1);
    let mut out = PendingFile::create(path)?;
    let data = if file.tensor_bytes() <= MAX_INSIDE {
        out.write(|out| file.write(out, &tick))?;
        None
    } else {
        let beside = beside(path);
        let name = beside.file_name().map(PathBuf::from).unwrap_or_default();
        let mut data = PendingFile::create(&beside)?;
        // Both files are written together; the error of each is reported under its own path.
        let mut written = Ok(());
        out.write(|out| {
            written = data.write(|data| file.write_external(out, data, &name, &tick));
            Ok(())
        })?;
        written?;
        Some((beside, data))
    };
    progress.finish_and_clear();
    Ok(Written { out, data })
}

/// `model.onnx` → `model.onnx.data`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".data");
    name.into()
}
