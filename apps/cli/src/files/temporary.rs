//! Temporary files, which do not outlive the process that writes them: an error drops them, a signal that ends the process
//! [removes them first](remove_all), and what a process leaves that was killed, the next run [removes](remove_leftovers).

use crate::machine::signals;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::{Builder, NamedTempFile};

/// The names of temporary files begin and end like this.
const NAME: (&str, &str) = (".resnext-", ".tmp");

/// The temporary files of this process. They are made and get their final names only under this lock.
static LISTED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn listed() -> MutexGuard<'static, Vec<PathBuf>> {
    LISTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A temporary file, deleted when it is dropped.
pub(super) struct Temporary {
    // Fields are dropped in this order: first the file goes, then its entry in the list.
    file: NamedTempFile,
    entry: Entry,
}

impl Temporary {
    /// Makes a temporary file in `directory`.
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        // Without signals the next run removes what this one leaves.
        let _ = signals::watch();
        loop {
            let file = Self::unlocked(directory)?;
            // Some file systems have no locks. There, no other run takes this file for a leftover either.
            let _ = file.file.as_file().lock();
            // Until it was locked, another run may have taken it for a leftover.
            if file.path().exists() {
                return Ok(file);
            }
        }
    }

    fn unlocked(directory: &Path) -> io::Result<Self> {
        let mut builder = Builder::new();
        builder.prefix(NAME.0).suffix(NAME.1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // A temporary file is private by default, but the result should have the permissions of any new file. The
            // umask still applies.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let mut listed = listed();
        let file = builder.tempfile_in(directory)?;
        let entry = Entry(file.path().to_owned());
        listed.push(entry.0.clone());
        Ok(Self { file, entry })
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.entry.0
    }

    /// Returns the file.
    pub(super) fn as_file(&self) -> &File {
        self.file.as_file()
    }

    /// Renames the file to `target`, and replaces an existing file.
    pub(super) fn persist(self, target: &Path) -> io::Result<()> {
        // The entry locks the list again when it is dropped, after this.
        let Self { file, entry: _entry } = self;
        let _listed = listed();
        file.persist(target).map(drop).map_err(|error| error.error)
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The entry of a file in the list.
struct Entry(PathBuf);

impl Drop for Entry {
    fn drop(&mut self) {
        listed().retain(|path| *path != self.0);
    }
}

/// Removes the temporary files of this process. As long as the guard lives, it makes no others and renames none.
#[cfg(target_os = "linux")]
pub(crate) fn remove_all() -> MutexGuard<'static, Vec<PathBuf>> {
    let listed = listed();
    for path in &*listed {
        // The next run tries again.
        let _ = fs::remove_file(path);
    }
    listed
}

/// Removes temporary files of runs that have ended. A run locks its temporary file as long as it lives, so that a file which can
/// be locked belongs to nobody.
pub(super) fn remove_leftovers(directory: &Path) {
    let is_ours = |name: &str| name.starts_with(NAME.0) && name.ends_with(NAME.1);
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && entry.file_name().to_str().is_some_and(is_ours) {
            // What cannot be opened, locked or removed stays. The next run tries again.
            if let Ok(file) = File::open(entry.path())
                && file.try_lock().is_ok()
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::files::write::PendingFile;
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};
    use std::sync::Arc;
    use std::time::Duration;

    /// The variable with which this program runs itself as [`a_writer`].
    const FOLDER: &str = "RESNEXT_TEST_WRITES_IN";

    /// Writes half a file until a signal comes.
    #[test]
    #[ignore = "a part of the other tests"]
    fn a_writer() {
        let Some(folder) = std::env::var_os(FOLDER) else { return };
        if std::env::args().any(|argument| argument == "stops") {
            signals::stop_first(Arc::default()).unwrap();
        }
        let mut file = PendingFile::create(&Path::new(&folder).join("model.rnx")).unwrap();
        file.write(|out| out.write_all(b"half")).unwrap();
        println!("\nwritten");
        std::thread::sleep(Duration::from_secs(600));
    }

    /// Starts [`a_writer`] by a command line of the shell that ends with it, and waits until it has written.
    fn writer(folder: &Path, before: &str, after: &str) -> Child {
        let line = format!(
            "{before} exec \"$0\" --exact files::temporary::tests::a_writer --ignored --nocapture {after}"
        );
        let mut child = Command::new("sh")
            .args(["-c", &line])
            .arg(std::env::current_exe().unwrap())
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "written"));
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "a temporary file");
        child
    }

    fn send(child: &Child, signal: &str) {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    }

    #[test]
    fn a_signal_leaves_no_file_and_ends_the_program() {
        let all = [("-INT", 2), ("-TERM", 15), ("-HUP", 1)];
        // The writer inherits what is ignored, as SIGINT is in the background of a script.
        for (name, number) in all.into_iter().filter(|(_, number)| !signals::is_ignored(*number)) {
            let folder = tempfile::tempdir().unwrap();
            let mut child = writer(folder.path(), "", "");
            send(&child, name);
            assert_eq!(child.wait().unwrap().signal(), Some(number));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{name}");
        }
    }

    /// As `nohup` does, and a shell with the commands that it starts in the background of a script.
    #[test]
    fn what_was_ignored_stays_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = writer(folder.path(), "trap '' HUP INT;", "");
        send(&child, "-HUP");
        send(&child, "-INT");
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(child.try_wait().unwrap(), None);
        send(&child, "-TERM");
        assert_eq!(child.wait().unwrap().signal(), Some(15));
    }

    #[test]
    fn a_second_signal_ends_what_a_first_one_only_stops() {
        for before in ["", "trap '' INT;"] {
            let folder = tempfile::tempdir().unwrap();
            let mut child = writer(folder.path(), before, "stops");
            send(&child, "-INT");
            std::thread::sleep(Duration::from_millis(200));
            assert_eq!(child.try_wait().unwrap(), None);
            send(&child, "-INT");
            assert_eq!(child.wait().unwrap().signal(), Some(2));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
