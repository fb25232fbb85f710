//! A loaded artifact. [`Model::from_bytes`] validates everything once, before any typed view exists.
//!
//! | module | role |
//! |---|---|
//! | `parse` | finds the sections of an artifact and the records in them |
//! | `steps` | decodes the record of a step and checks it against the tensors that it names |
//! | `validate` | decodes every step once and checks every number that a kernel relies on |
//! | `dataflow` | checks that steps read what earlier steps wrote |

mod dataflow;
mod parse;
mod steps;
mod validate;

use crate::error::LoadError;
use crate::format::checksum;
use crate::preprocess::Preprocessing;
use crate::program::{Step, Tensor};
use crate::weights::Packing;

pub(crate) use parse::Artifact;

/// An int8 model that borrows an artifact.
///
/// A model is a small value: copying it copies references. It can be shared by any number of threads, each with a
/// [`Runner`](crate::Runner) and an arena of its own.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    artifact: Artifact<'a>,
    input: Tensor,
}

/// One class of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Class<'a> {
    /// Identifier, for ImageNet the wnid such as `n01440764`; may be empty.
    pub id: &'a str,
    /// Label such as `tench`.
    pub label: &'a str,
}

impl<'a> Model<'a> {
    /// Validates `artifact` and borrows it.
    ///
    /// Reads every byte once, for the checksum, and allocates nothing. Any alignment serves. After success no step
    /// reads or writes outside the arena, overflows an accumulator or panics, whatever the bytes are.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what is wrong with the artifact.
    pub fn from_bytes(artifact: &'a [u8]) -> Result<Self, LoadError> {
        let parsed = Artifact::parse(artifact)?;
        if parsed.header.checksum.get() != checksum(artifact) {
            return Err(LoadError::Damaged);
        }
        parsed.validate()?;
        Ok(Self { artifact: parsed, input: parsed.input()? })
    }

    /// Returns the order of the bytes of the weights.
    ///
    /// [`Kernels::packing`](crate::Kernels::packing) says which order a CPU is fastest with.
    pub fn packing(&self) -> Packing {
        self.artifact.packing
    }

    /// Returns the number of bytes of arena that a [`Runner`](crate::Runner) needs.
    pub fn arena_len(&self) -> usize {
        self.artifact.header.arena_len.get() as usize
    }

    /// Returns the length of the artifact in bytes.
    pub fn artifact_len(&self) -> usize {
        self.artifact.len
    }

    /// Returns the number of multiply-accumulates of one inference, in convolutions and the classifier.
    pub fn macs(&self) -> u64 {
        self.artifact.header.macs.get()
    }

    /// Returns how a frame becomes the input of the network.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.artifact.preprocessing
    }

    /// Returns the metadata, JSON for people and tools: source, calibration, measured accuracy.
    ///
    /// The runtime never reads it, and it may be any text.
    pub fn metadata(&self) -> &'a str {
        self.artifact.metadata
    }

    /// Returns the number of classes, which is the number of logits.
    pub fn class_count(&self) -> usize {
        self.artifact.classes.len()
    }

    /// Returns the class of logit `index`, or `None` if there are not as many.
    pub fn class(&self, index: usize) -> Option<Class<'a>> {
        self.artifact.class(index)
    }

    /// Returns the tensor that holds the preprocessed frame: RGB, `q = pixel − 128`.
    pub fn input(&self) -> Tensor {
        self.input
    }

    /// Returns the number of steps.
    pub fn step_count(&self) -> usize {
        self.artifact.steps.len()
    }

    /// Decodes step `index`. Returns `None` if there are not as many.
    pub fn step(&self, index: usize) -> Option<Step<'a>> {
        // Loading has decoded every step that there is, so an error means that there is no such step.
        self.artifact.step(index).ok()
    }

    /// Decodes all steps, in execution order.
    pub fn steps(&self) -> impl Iterator<Item = Step<'a>> + '_ {
        (0..self.step_count()).filter_map(|index| self.step(index))
    }
}

fn invalid(what: &'static str, index: usize) -> LoadError {
    LoadError::Invalid { what, index }
}
