//! The errors of loading and running a model.

use core::fmt;

/// Why [`Model::from_bytes`](crate::Model::from_bytes) refused an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes do not start as an artifact does.
    NotAnArtifact,
    /// A newer version of resnext wrote the artifact.
    NewerVersion {
        /// The artifact's format version.
        found: u32,
    },
    /// An older version of resnext wrote the artifact, in a format that is no longer read.
    OlderVersion {
        /// The artifact's format version.
        found: u32,
    },
    /// The artifact ends early, or has bytes after its end.
    WrongLength {
        /// Length in bytes that the header states.
        expected: u64,
        /// Length in bytes of what was given.
        found: u64,
    },
    /// The checksum does not match, so the bytes were damaged.
    Damaged,
    /// The checksum matches but a field is out of its range.
    Invalid {
        /// What is wrong.
        what: &'static str,
        /// Which tensor, step or class, counted from 0.
        index: usize,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotAnArtifact => f.write_str("not a .rnx artifact; give a model that resnext has compiled"),
            Self::NewerVersion { found } => write!(
                f,
                "artifact format {found} is newer than the {} this program reads; update resnext or recompile the model",
                crate::format::VERSION
            ),
            Self::OlderVersion { found } => write!(
                f,
                "artifact format {found} is older than the {} this program reads; recompile the model",
                crate::format::VERSION
            ),
            Self::WrongLength { expected, found } => {
                write!(f, "artifact is {found} bytes long but should be {expected}; copy it again")
            }
            Self::Damaged => f.write_str("artifact is damaged (checksum mismatch); copy it again"),
            Self::Invalid { what, index } => {
                write!(f, "artifact is malformed: {what} (entry {index}); recompile the model")
            }
        }
    }
}

impl core::error::Error for LoadError {}

/// Why an inference could not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RunError {
    /// The arena is smaller than [`Model::arena_len`](crate::Model::arena_len).
    ArenaTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The output slice is not as long as there are classes.
    WrongLogitCount {
        /// Number of classes.
        classes: usize,
        /// Length given.
        given: usize,
    },
    /// The pixels are not `height × width × 3` bytes of the input tensor.
    WrongPixelCount {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The frame could not be preprocessed.
    Preprocess(crate::preprocess::PreprocessError),
    /// The model has fewer steps.
    NoSuchStep {
        /// Index of the step.
        step: usize,
        /// Number of steps.
        steps: usize,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArenaTooSmall { needed, given } => {
                write!(
                    f,
                    "arena is {given} bytes but the model needs {needed}; allocate `Model::arena_len()`"
                )
            }
            Self::WrongLogitCount { classes, given } => {
                write!(f, "output holds {given} logits but the model has {classes} classes")
            }
            Self::WrongPixelCount { needed, given } => {
                write!(f, "input is {given} bytes but the model reads {needed} (height × width × 3)")
            }
            Self::Preprocess(error) => error.fmt(f),
            Self::NoSuchStep { step, steps } => {
                write!(f, "model has no step {step}; give indices below {steps}")
            }
        }
    }
}

impl core::error::Error for RunError {}

impl From<crate::preprocess::PreprocessError> for RunError {
    fn from(error: crate::preprocess::PreprocessError) -> Self {
        Self::Preprocess(error)
    }
}
