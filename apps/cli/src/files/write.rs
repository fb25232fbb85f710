//! Writing result files so that a reader sees either the old file or the new one, never a part.

use super::temporary::{Temporary, remove_leftovers};
use crate::terminal::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Fails if [`write_atomically`] is bound to fail later, so that the error comes before minutes of work and not after. Removes
/// what killed runs have left in the directory.
pub(crate) fn check_writable(path: &Path) -> Result<(), Error> {
    let target = resolve(path)?;
    remove_leftovers(directory_of(&target));
    Temporary::create(directory_of(&target)).map_err(|error| Error::at(path, cannot_write(&error)))?;
    Ok(())
}

/// Fails if a file to write is the same as another file to write or to read, under whatever path, because the run would
/// destroy one of them. Devices are exempt: they keep nothing.
pub(crate) fn check_distinct(written: &[Option<&Path>], read: &[Option<&Path>]) -> Result<(), Error> {
    let is_file = |path: &&Path| fs::metadata(path).map_or(true, |found| found.is_file());
    let written: Vec<&Path> = written.iter().copied().flatten().filter(is_file).collect();
    let read: Vec<PathBuf> = read.iter().copied().flatten().map(place).collect();
    for (index, &path) in written.iter().enumerate() {
        let own = place(path);
        if read.contains(&own) {
            return Err(Error::at(
                path,
                "is an input of this run and would be overwritten; give another path to write",
            ));
        }
        if written[..index].iter().any(|&other| place(other) == own) {
            return Err(Error::at(path, "would be written twice; give each output a different path"));
        }
    }
    Ok(())
}

/// Returns the path of the file without links, whether the file exists or not.
fn place(path: &Path) -> PathBuf {
    let parent = || fs::canonicalize(directory_of(path)).ok();
    let absent = || Some(parent()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(absent).unwrap_or_else(|| path.to_owned())
}

/// Returns the directory of `path`. A bare file name has an empty parent, which means the working directory.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes `bytes` to `path` and replaces an existing file; see [`PendingFile`].
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = PendingFile::create(path)?;
    file.write(|out| out.write_all(bytes))?;
    file.commit()
}

/// A file that gets its name only when it is complete.
///
/// The bytes go to a temporary file in the same directory, are synced to the disk, and the file is renamed in one step. So a
/// board never boots into half a model after a power cut, and a process that is reading the old model gets all of it. If a
/// `PendingFile` is dropped before [`commit`](Self::commit), `path` stays as it was and the temporary file is deleted. If the
/// process ends by a signal, it is [deleted](super::temporary), too.
pub(crate) struct PendingFile {
    path: PathBuf,
    target: PathBuf,
    file: Temporary,
}

impl PendingFile {
    /// Starts a replacement for `path`.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let target = resolve(path)?;
        let file = Temporary::create(directory_of(&target))
            .map_err(|error| Error::at(path, cannot_write(&error)))?;
        Ok(Self { path: path.to_owned(), target, file })
    }

    /// Lets `write` write through a buffer.
    pub(crate) fn write(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut out = BufWriter::new(&mut self.file);
        let written = write(&mut out).and_then(|()| out.flush());
        written.map_err(|error| Error::at(&self.path, cannot_write(&error)))
    }

    /// Returns the number of bytes written so far.
    #[cfg(feature = "compile")]
    pub(crate) fn len(&self) -> Result<u64, Error> {
        let metadata = self.file.as_file().metadata();
        metadata.map(|metadata| metadata.len()).map_err(|error| Error::at(&self.path, cannot_write(&error)))
    }

    /// Syncs the file and gives it its name.
    pub(crate) fn commit(self) -> Result<(), Error> {
        let failed = |error: &io::Error| Error::at(&self.path, cannot_write(error));
        self.file.as_file().sync_all().map_err(|error| failed(&error))?;
        self.file.persist(&self.target).map_err(|error| failed(&error))?;
        // The file is complete even if its directory entry has not reached the disk, and some file systems cannot sync
        // a directory. Neither is worth a failure.
        let _ = File::open(directory_of(&self.target)).and_then(|directory| directory.sync_all());
        Ok(())
    }
}

/// Returns the file to replace. A link stays a link. Devices and pipes are refused, because renaming a file to `/dev/null`
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

/// Says why a file cannot be written and how to fix that.
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
    fn the_check_finds_what_cannot_be_written() {
        let directory = tempfile::tempdir().unwrap();
        check_writable(&directory.path().join("model.rnx")).unwrap();
        assert!(names(directory.path()).is_empty(), "the check leaves nothing");
        let error = check_writable(&directory.path().join("missing/model.rnx")).unwrap_err().to_string();
        assert!(error.contains("no such directory; "), "{error}");
    }

    /// What a killed run has left is removed; what a living one is writing stays.
    #[test]
    fn leftovers_of_killed_runs_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.rnx");
        let mut living = PendingFile::create(&path).unwrap();
        living.write(|out| out.write_all(b"new")).unwrap();
        for leftover in [".resnext-aB3xyz.tmp", ".resnext-.tmp"] {
            fs::write(directory.path().join(leftover), b"half").unwrap();
        }
        for other in [".resnext-notes", "resnext-aB3xyz.tmp", "x.tmp"] {
            fs::write(directory.path().join(other), b"somebody's").unwrap();
        }
        fs::create_dir(directory.path().join(".resnext-folder.tmp")).unwrap();
        check_writable(&path).unwrap();
        let temporary = living.file.path().file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected = vec![temporary, "x.tmp".into(), "resnext-aB3xyz.tmp".into()];
        expected.extend([".resnext-notes".to_owned(), ".resnext-folder.tmp".to_owned()]);
        expected.sort();
        assert_eq!(names(directory.path()), expected);
        living.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
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
        assert!(read.contains("is an input of this run and would be overwritten; "), "{read}");
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
