//! Writing result files so that a reader sees the old file or the new one, never half of it.

use crate::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile};

/// Fails now if [`write_atomically`] would fail later for a reason that can be known: before minutes of work, not after.
pub(crate) fn check_writable(path: &Path) -> Result<(), Error> {
    let target = resolve(path)?;
    temporary(directory_of(&target)).map_err(|error| Error::at(path, cannot_write(&error)))?;
    Ok(())
}

/// Fails if one of the files to write is another of them, or one of those to read, by whatever path: what the run was to
/// keep would be gone after it. Devices keep nothing.
pub(crate) fn check_distinct(written: &[Option<&Path>], read: &[Option<&Path>]) -> Result<(), Error> {
    let is_file = |path: &&Path| fs::metadata(path).map_or(true, |found| found.is_file());
    let written: Vec<&Path> = written.iter().copied().flatten().filter(is_file).collect();
    let read: Vec<PathBuf> = read.iter().copied().flatten().map(place).collect();
    for (index, &path) in written.iter().enumerate() {
        let own = place(path);
        if read.contains(&own) {
            return Err(Error::at(path, "would replace a file that is read; give another path to write"));
        }
        if written[..index].iter().any(|&other| place(other) == own) {
            return Err(Error::at(path, "would be written twice; give each file a path of its own"));
        }
    }
    Ok(())
}

/// Where the file at `path` is, or would be, without links.
fn place(path: &Path) -> PathBuf {
    let parent = || fs::canonicalize(directory_of(path)).ok();
    let absent = || Some(parent()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(absent).unwrap_or_else(|| path.to_owned())
}

/// The parent of a bare file name is the empty path, which means the working directory.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes `bytes` to `path`, replacing what is there; see [`PendingFile`].
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = PendingFile::create(path)?;
    file.write(|out| out.write_all(bytes))?;
    file.commit()
}

/// A file that takes its name when it is complete.
///
/// The bytes go to a temporary file beside it, reach the disk, and take its name in one step. That keeps a
/// board from booting into half a model after a power cut, and a process that has the old model mapped keeps
/// seeing the old one. Dropped before [`commit`](Self::commit), it leaves `path` as it was and nothing behind.
pub(crate) struct PendingFile {
    path: PathBuf,
    target: PathBuf,
    file: NamedTempFile,
}

impl PendingFile {
    /// Begins to replace `path`.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let target = resolve(path)?;
        let file = temporary(directory_of(&target)).map_err(|error| Error::at(path, cannot_write(&error)))?;
        Ok(Self { path: path.to_owned(), target, file })
    }

    /// Writes through a buffer.
    pub(crate) fn write(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut out = BufWriter::new(&mut self.file);
        let written = write(&mut out).and_then(|()| out.flush());
        written.map_err(|error| Error::at(&self.path, cannot_write(&error)))
    }

    /// Bytes written so far.
    #[cfg(feature = "compile")]
    pub(crate) fn len(&self) -> Result<u64, Error> {
        let metadata = self.file.as_file().metadata();
        metadata.map(|metadata| metadata.len()).map_err(|error| Error::at(&self.path, cannot_write(&error)))
    }

    /// The file takes its name.
    pub(crate) fn commit(self) -> Result<(), Error> {
        let failed = |error: &io::Error| Error::at(&self.path, cannot_write(error));
        self.file.as_file().sync_all().map_err(|error| failed(&error))?;
        self.file.persist(&self.target).map_err(|error| failed(&error.error))?;
        // The file is complete whether or not the directory entry has reached the disk, and some file systems
        // cannot sync a directory: not worth failing for.
        let _ = File::open(directory_of(&self.target)).and_then(|directory| directory.sync_all());
        Ok(())
    }
}

/// The file to replace. A link stays a link; a device or pipe is refused, since renaming over `/dev/null`
/// would replace the device.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let failed = |error: io::Error| Error::at(path, cannot_write(&error));
    if path.file_name().is_none() {
        return Err(Error::at(path, "does not name a file; give the path of the file to write"));
    }
    match fs::metadata(path) {
        Ok(kind) if kind.is_dir() => {
            Err(Error::at(path, "is a directory; give the path of the file to write"))
        }
        Ok(kind) if !kind.is_file() => {
            Err(Error::at(path, "is not a regular file; give the path of the file to write"))
        }
        Ok(_) => fs::canonicalize(path).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(failed(error)),
    }
}

fn temporary(directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".resnext-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A temporary file is private by default; the result should have the permissions of any new file. The
        // umask still applies.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(directory)
}

/// A failed system call, as `what; remedy`.
pub(crate) fn cannot_write(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "cannot be written: no such directory; create it first (mkdir -p)".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "cannot be written: permission denied; choose a directory you may write to".to_owned()
        }
        io::ErrorKind::StorageFull => "cannot be written: the disk is full; free some space".to_owned(),
        _ => format!("cannot be written: {error}; choose another path"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn writes_and_replaces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.rnx");
        for contents in [&b"one"[..], b"another", b""] {
            write_atomically(&path, contents).unwrap();
            assert_eq!(fs::read(&path).unwrap(), contents);
        }
        assert_eq!(names(directory.path()), ["model.rnx"]);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        fs::write(directory.path().join("plain"), b"").unwrap();
        write_atomically(&directory.path().join("ours"), b"").unwrap();
        assert_eq!(mode("ours"), mode("plain"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        fs::write(&real, b"old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write_atomically(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
    }

    #[test]
    fn failures_name_the_path_and_leave_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing/model.rnx");
        let error = write_atomically(&missing, b"x").unwrap_err().to_string();
        assert!(error.contains("missing/model.rnx: cannot be written: no such directory; "), "{error}");
        let error = write_atomically(directory.path(), b"x").unwrap_err().to_string();
        assert!(error.contains("is a directory; "), "{error}");
        let error = write_atomically(Path::new(""), b"x").unwrap_err().to_string();
        assert!(error.contains("does not name a file; "), "{error}");
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn what_cannot_be_written_is_known_beforehand() {
        let directory = tempfile::tempdir().unwrap();
        check_writable(&directory.path().join("model.rnx")).unwrap();
        assert!(names(directory.path()).is_empty(), "the check leaves nothing");
        let error = check_writable(&directory.path().join("missing/model.rnx")).unwrap_err().to_string();
        assert!(error.contains("no such directory; "), "{error}");
    }

    #[test]
    fn files_are_told_apart_whatever_they_are_called() {
        let directory = tempfile::tempdir().unwrap();
        let [model, other] = ["model", "other"].map(|name| directory.path().join(name));
        let same = directory.path().join(".").join("model");
        check_distinct(&[Some(&model), None, Some(&other)], &[None]).unwrap();
        let twice = check_distinct(&[Some(&model), Some(&other), Some(&same)], &[]).unwrap_err().to_string();
        assert!(twice.contains("would be written twice; "), "{twice}");
        fs::write(&model, b"").unwrap();
        let read = check_distinct(&[Some(&same)], &[None, Some(&model)]).unwrap_err().to_string();
        assert!(read.contains("would replace a file that is read; "), "{read}");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&model, &other).unwrap();
            assert!(check_distinct(&[Some(&other)], &[Some(&model)]).is_err());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_not_replaced() {
        let error = write_atomically(Path::new("/dev/null"), b"x").unwrap_err().to_string();
        assert!(error.starts_with("/dev/null: is not a regular file; "), "{error}");
    }
}
