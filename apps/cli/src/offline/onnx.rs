//! ONNX files as results: one file, or two if the weights are too many for one.

use crate::error::Error;
use crate::files::write::PendingFile;
use crate::session::samples;
use resnext_calibration::export::{MAX_INSIDE, OnnxFile};
use std::path::{Path, PathBuf};

/// An ONNX file that is complete but for its name.
pub(crate) struct Written {
    out: PendingFile,
    /// The weights, if they are in a file of their own.
    data: Option<(PathBuf, PendingFile)>,
}

impl Written {
    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> Result<u64, Error> {
        let data = self.data.as_ref().map_or(Ok(0), |(_, data)| data.len())?;
        Ok(self.out.len()? + data)
    }

    /// The files take their names. Returns that of the weights, if they have one.
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

/// Writes `file` as `path`, and its weights beside it if they are more than a file can hold.
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
        // Two files, each written when its error would be known.
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
