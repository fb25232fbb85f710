//! The fp32 half of an evaluation: the baseline runs on the pixels that int8 reads. `resnext-evaluation` does everything else.
//!
//! | module | role |
//! |---|---|
//! | `compare` | int8 beside fp32, layer by layer |
//! | `layers` | noise and distribution of every layer of a compiled model |
//! | `judge` | one artifact after the other on the same images |

mod compare;
mod judge;
mod layers;

use crate::fp32::Fp32Error;
use crate::fp32::stream::{Budget, Input, Pass, stream};
use crate::network::Network;
use resnext::{RunError, Runner};
use resnext_evaluation::journal::JournalError;
use resnext_evaluation::outcome::{Outcome, pixel_checksum};
use resnext_evaluation::record::RecordError;
use resnext_evaluation::{Outcomes, Run, RunFailed};
use std::io;

pub(crate) use compare::Compare;
pub use compare::CompareError;
pub use judge::Judge;
pub use layers::{LayerStatistics, examine};

/// Why an evaluation failed. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The baseline does not run.
    #[error(transparent)]
    Fp32(#[from] Fp32Error),
    /// The artifact does not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The baseline gives NaN or infinity.
    #[error("the baseline's logits are not finite on {0}; the weights are broken")]
    NotFinite(String),
    /// An artifact does not run beside recorded logits.
    #[error(transparent)]
    Again(#[from] RunFailed),
    /// The recorded logits do not fit the artifact.
    #[error("recorded logits: {0}")]
    Record(#[from] RecordError),
    /// The logits of the baseline cannot be kept.
    #[error("fp32 logits cannot be kept ({0}); free some space for temporary files")]
    Keep(#[from] io::Error),
    /// No image can be decoded.
    #[error("none of the {0} labelled images can be decoded; give JPEG or PNG photos")]
    NoImages(usize),
    /// The baseline is another network.
    #[error(
        "the baseline has {baseline} classes and reads {baseline_size} pixels, the model {model} and {model_size}; give the fp32 network that the model was compiled from"
    )]
    Baseline {
        /// Classes of the baseline.
        baseline: usize,
        /// Input height of the baseline.
        baseline_size: usize,
        /// Classes of the model.
        model: usize,
        /// Input height of the model.
        model_size: usize,
    },
}

/// Evaluates as [`resnext_evaluation::run()`] does, with the folded fp32 network `baseline` beside int8.
///
/// # Errors
///
/// [`EvaluateError`]. An image that cannot be decoded is only counted.
pub fn evaluate(run: &Run<'_>, baseline: &Network) -> Result<Outcomes, EvaluateError> {
    let preprocessing = run.model.preprocessing();
    let model_size = preprocessing.crop_height as usize;
    let (classes, size) = (baseline.architecture.classes, baseline.input.height);
    if (classes, size) != (run.model.class_count(), model_size) {
        return Err(EvaluateError::Baseline {
            baseline: classes,
            baseline_size: size,
            model: run.model.class_count(),
            model_size,
        });
    }
    let pending = run.pending();
    let names = run.images.samples();
    let samples = pending.iter().filter_map(|&image| names.get(image)).cloned().collect();
    let pass = Answers { run, pending: &pending };
    let budget = Budget::USUAL;
    let (threads, progress) = (run.threads, run.progress);
    let input = Input { samples: &samples, preprocessing, threads, budget, progress };
    let streamed = stream(&pass, Some(baseline), input)?;
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for result in streamed.results {
        match result {
            Ok(outcome) => done.extend(outcome),
            Err(error) => failed.push(error),
        }
    }
    Ok(run.complete(done, failed))
}

/// The pass in which both networks classify each image.
struct Answers<'a> {
    run: &'a Run<'a>,
    /// The index of each streamed sample among the images.
    pending: &'a [usize],
}

/// The answers to one image.
struct Answered {
    image: usize,
    pixels: u64,
    int8: Vec<f32>,
    outcome: Option<Outcome>,
}

impl Pass for Answers<'_> {
    type Worker = ();
    type Photo = Answered;
    type Output = Option<Outcome>;
    type Error = EvaluateError;

    const EVERY_VALUE: bool = false;

    fn photo_bytes(&self) -> usize {
        size_of::<f32>() * self.run.model.class_count()
    }

    fn worker(&self) {}

    fn begin(&self, index: usize, pixels: &[u8]) -> Result<Answered, EvaluateError> {
        let model = self.run.model;
        let mut int8 = vec![0.0; model.class_count()];
        let mut arena = vec![0; model.arena_len()];
        let mut runner = Runner::new(model, &mut arena)?;
        runner.load_pixels(pixels)?;
        runner.infer(&mut int8)?;
        Ok(Answered { image: self.pending[index], pixels: pixel_checksum(pixels), int8, outcome: None })
    }

    fn value(
        &self,
        (): &mut (),
        photo: &mut Answered,
        _: usize,
        logits: &[f32],
    ) -> Result<(), EvaluateError> {
        if !logits.iter().all(|logit| logit.is_finite()) {
            let sample = self.run.images.samples().get(photo.image);
            let name = sample.map_or("an image", |sample| sample.name());
            return Err(EvaluateError::NotFinite(name.to_owned()));
        }
        let outcome = Outcome::new(photo.image, photo.pixels, &photo.int8, Some(logits));
        if let Some(journal) = self.run.journal {
            journal.add(&outcome, logits)?;
        }
        photo.outcome = Some(outcome);
        Ok(())
    }

    fn end(&self, photo: Answered) -> Option<Outcome> {
        photo.outcome
    }
}
