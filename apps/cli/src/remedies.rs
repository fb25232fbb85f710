//! The options of the command line that carry out the remedies of library errors.
//!
//! Libraries do not know the command line, so their remedies are neutral. This module appends the option in parentheses to each
//! error whose remedy needs one.

use crate::terminal::Error;
use resnext_calibration::CompileError;
use resnext_calibration::import::ImportErrorKind;
use std::fmt::Display;
use std::path::Path;

/// Converts an error of compiling `model`.
pub(crate) fn compile(model: &Path, error: &CompileError) -> Error {
    let option = match error {
        CompileError::NoStatistics { .. } | CompileError::OpenActivation { .. } => Some("--samples DIR"),
        CompileError::Labels { .. } => Some("--labels FILE"),
        _ => None,
    };
    failure(model, error, option)
}

/// Converts an error of importing `model`.
pub(crate) fn import(model: &Path, error: &ImportErrorKind) -> Error {
    let option = match error {
        ImportErrorKind::Architecture { .. } => Some("--arch LIBRARY/VARIANT"),
        _ => None,
    };
    failure(model, error, option)
}

fn failure(path: &Path, error: &impl Display, option: Option<&str>) -> Error {
    match option {
        Some(option) => Error::at(path, format_args!("{error} ({option})")),
        None => Error::at(path, error),
    }
}
