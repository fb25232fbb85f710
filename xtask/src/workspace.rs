//! Where things are, and the environment that every command gets.

use crate::step::Result;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The bundled reference model, relative to the root.
pub(crate) const MODEL: &str = "models/reference/resnext26_16x4d_half-imagenette.rnx";

/// The repository and the folders beside it.
pub(crate) struct Workspace {
    /// The repository, absolute. It is the current directory.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, absolute.
    pub(crate) target: PathBuf,
    /// Logs of the steps, and files that they make.
    pub(crate) logs: PathBuf,
    /// Images for the accuracy tests; may not exist.
    pub(crate) data: PathBuf,
    path: OsString,
}

impl Workspace {
    /// Makes the repository the current directory.
    ///
    /// # Errors
    ///
    /// The directory for logs cannot be made.
    pub(crate) fn enter() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no repository")?.to_owned();
        env::set_current_dir(&root)?;
        let absolute = |name: &str, default: &str| {
            let given = env::var_os(name).unwrap_or_else(|| default.into());
            std::path::absolute(root.join(given))
        };
        let target = absolute("CARGO_TARGET_DIR", "target")?;
        let data = absolute("RESNEXT_DATA", "../shared/data")?;
        let data = fs::canonicalize(&data).unwrap_or(data);
        let logs = target.join("ci");
        fs::create_dir_all(&logs)?;
        // Last, so that what the system has comes first.
        let mut folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
        folders.push(target.join("tools/bin"));
        let path = env::join_paths(folders)?;
        Ok(Self { root, target, logs, data, path })
    }

    /// Builds a command that runs in the repository.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .env("PATH", &self.path)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_TERM_COLOR", "never")
            .env("RUST_BACKTRACE", "0")
            .env("RESNEXT_DATA", &self.data);
        command
    }

    /// Builds a cargo command from its arguments, separated by spaces.
    pub(crate) fn cargo(&self, arguments: &str) -> Command {
        let mut command = self.command("cargo");
        command.args(arguments.split_whitespace());
        command
    }

    /// Returns whether a program of this name is in the path.
    pub(crate) fn has(&self, program: &str) -> bool {
        env::split_paths(&self.path).any(|folder| folder.join(program).is_file())
    }

    /// Lists the files that git tracks, relative to the root, those whose names match `patterns` in git's sense.
    ///
    /// # Errors
    ///
    /// git is missing, or this is no checkout.
    pub(crate) fn tracked(&self, patterns: &[&str]) -> Result<Vec<String>> {
        let output = self
            .command("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .args(patterns)
            .output()?;
        if !output.status.success() {
            return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        // A file that was deleted and not yet committed is still in the index.
        let names = String::from_utf8(output.stdout)?;
        Ok(names.lines().filter(|name| self.root.join(name).is_file()).map(str::to_owned).collect())
    }
}

/// Returns whether this runs in continuous integration, where nothing may be skipped.
pub(crate) fn in_ci() -> bool {
    env::var_os("CI").is_some()
}
