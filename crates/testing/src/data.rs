//! Where tests find images that are not in the repository.

use std::path::{Path, PathBuf};

/// Returns the root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the folder `name` of the test data, below `RESNEXT_DATA` or else `../shared/data` beside the repository.
///
/// Returns `None` if there is no such folder, and says on stderr that the test is skipped.
///
/// # Panics
///
/// If there is no such folder where CI runs (the variable `CI` is set), because CI must not skip tests.
pub fn folder(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("RESNEXT_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let folder = data.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing and CI must have it", folder.display());
    eprintln!("skipped: {} is not here; set RESNEXT_DATA to a folder that has it", folder.display());
    None
}
