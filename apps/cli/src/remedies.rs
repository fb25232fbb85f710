//! The options of the command line that carry out the remedies of library errors.
//!
//! Libraries do not know the command line, so their remedies are neutral: `give a file of labels`. This module appends the option
//! to each error whose remedy needs one: `give a file of labels (--truth FILE)`.

use crate::terminal::Error;
#[cfg(feature = "compile")]
use resnext_calibration::{
    CompileError,
    import::{FileError, ImportErrorKind},
};
#[cfg(target_os = "linux")]
use resnext_camera::{display, source::SourceError};
use resnext_evaluation::RunFailed;
use resnext_evaluation::record::RecordError;
use resnext_evaluation::truth::TruthError;
use std::fmt::Display;

/// A library error whose remedy may need an option.
pub(crate) trait Remedy: Display {
    /// Returns the option, if the remedy needs one.
    fn option(&self) -> Option<&'static str>;
}

/// Converts a library error about `subject` to a failure that names the option.
pub(crate) fn failure(subject: impl Display, error: &impl Remedy) -> Error {
    match error.option() {
        Some(option) => Error::new(subject, format_args!("{error} ({option})")),
        None => Error::new(subject, error),
    }
}

#[cfg(feature = "compile")]
impl Remedy for CompileError {
    fn option(&self) -> Option<&'static str> {
        match self {
            Self::NoStatistics { .. } | Self::OpenActivation { .. } => Some("--samples DIR"),
            Self::Labels { .. } => Some("--labels FILE"),
            _ => None,
        }
    }
}

#[cfg(feature = "compile")]
impl Remedy for ImportErrorKind {
    fn option(&self) -> Option<&'static str> {
        match self {
            Self::Architecture { .. } | Self::Claim(_) => Some("--arch LIBRARY/VARIANT"),
            Self::File(FileError::SeveralWeights(_) | FileError::NoSuchWeights { .. }) => {
                Some("--weights-key KEY")
            }
            _ => None,
        }
    }
}

impl Remedy for TruthError {
    fn option(&self) -> Option<&'static str> {
        matches!(self, Self::NoFolder { .. }).then_some("--truth FILE")
    }
}

impl Remedy for RecordError {
    fn option(&self) -> Option<&'static str> {
        match self {
            Self::NotARecord | Self::Classes | Self::Preprocessing { .. } => Some("--record OUT.safetensors"),
            _ => None,
        }
    }
}

impl Remedy for RunFailed {
    fn option(&self) -> Option<&'static str> {
        matches!(self, Self::Pixels(_) | Self::NotFinite(_)).then_some("--record OUT.safetensors")
    }
}

#[cfg(target_os = "linux")]
impl Remedy for SourceError {
    fn option(&self) -> Option<&'static str> {
        match self {
            Self::Stalled(_) => Some("--timeout S"),
            Self::NotACamera(_) | Self::NoSuchCamera(_) => Some("--list"),
            Self::OtherSize { .. } | Self::UnknownSize => Some("--size WxH"),
            Self::UnknownFormat => Some("--format FORMAT --size WxH"),
            _ => None,
        }
    }
}

#[cfg(target_os = "linux")]
impl Remedy for display::framebuffer::OpenError {
    fn option(&self) -> Option<&'static str> {
        matches!(self, Self::Missing).then_some("--serve, --snapshot FILE.png")
    }
}

#[cfg(target_os = "linux")]
impl Remedy for display::web::ServeError {
    fn option(&self) -> Option<&'static str> {
        matches!(self, Self::Token | Self::Random(_)).then_some("--token TOKEN")
    }
}
