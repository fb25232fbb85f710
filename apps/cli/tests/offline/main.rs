//! The verbs of the offline half as users and scripts meet them.
#![cfg(feature = "compile")]

mod bench;
mod compile;
mod demo;
mod eval;
mod import;
mod recipe;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
mod warnings;

use std::path::{Path, PathBuf};
use support::Folder;

pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A tiny ResNeXt with random weights, and photos.
pub(crate) fn tiny() -> (PathBuf, PathBuf) {
    (repository("tests/fixtures/pytorch/tiny-opset17-folded.onnx"), repository("calibration/samples"))
}

pub(crate) fn files(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path("")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
