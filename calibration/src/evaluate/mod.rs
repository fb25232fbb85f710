//! The fp32 half of an evaluation: the baseline runs on the pixels that int8 reads. Everything else of it is
//! `resnext-evaluation`.

pub mod layers;

use crate::fp32::Fp32Error;
use crate::network::Network;
use crate::preprocessing::Preprocessing;
use crate::fp32::stream::{Budget, Input, Pass, stream};
use indicatif::ProgressBar;
use resnext::{Model, RunError, Runner};
use resnext_evaluation::journal::{Journal, JournalError};
use resnext_evaluation::outcome::{Outcome, pixel_checksum};
use resnext_evaluation::provenance::Provenance;
use resnext_evaluation::record::{self, LogitType, Record, RecordError};
use resnext_evaluation::truth::Labelled;
use resnext_evaluation::{Evaluation, Outcomes, Run, RunFailed};
use std::io;

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
    /// An artifact does not run on what was recorded before.
    #[error(transparent)]
    Again(#[from] RunFailed),
    /// What was recorded of the baseline is of no use to an artifact.
    #[error("recorded logits: {0}")]
    Record(#[from] RecordError),
    /// The baseline's logits cannot be kept.
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
/// [`EvaluateError`]; an image that cannot be decoded is only counted.
pub fn evaluate(run: &Run<'_>, baseline: &Network) -> Result<Outcomes, EvaluateError> {
    let preprocessing = preprocessing(run.model);
    let model_size = preprocessing.recipe.crop_height as usize;
    let (classes, size) = (baseline.topology.classes, baseline.input.height);
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
    let input = Input { samples: &samples, preprocessing: &preprocessing, threads, budget, progress };
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

/// Judges one artifact after the other on the same images. fp32 runs once, for the first of them; what it answers is kept,
/// four bytes for each class of each image.
#[derive(Debug)]
pub struct Judge<'a> {
    baseline: &'a Network,
    images: &'a Labelled,
    threads: usize,
    progress: &'a ProgressBar,
    record: Option<Vec<u8>>,
}

impl<'a> Judge<'a> {
    /// Judges by the folded fp32 network `baseline` on `images`.
    pub fn new(
        baseline: &'a Network,
        images: &'a Labelled,
        threads: usize,
        progress: &'a ProgressBar,
    ) -> Self {
        Self { baseline, images, threads, progress, record: None }
    }

    /// Takes the baseline's logits from an earlier [`record`](Self::record) of the same images.
    #[must_use]
    pub fn recorded(self, record: Vec<u8>) -> Self {
        Self { record: Some(record), ..self }
    }

    /// The baseline's logits, a [record]; `None` before anything was judged.
    pub fn record(&self) -> Option<&[u8]> {
        self.record.as_deref()
    }

    /// Evaluates `model`.
    ///
    /// # Errors
    ///
    /// [`EvaluateError`].
    pub fn judge(&mut self, model: &Model<'_>) -> Result<Evaluation, EvaluateError> {
        let Self { images, threads, progress, .. } = *self;
        progress.set_message("evaluating");
        let run = Run { model, images, journal: None, threads, progress };
        let outcomes = match &self.record {
            Some(bytes) => resnext_evaluation::run(&run, Some(&Record::from_bytes(bytes, model)?))?,
            None => {
                let journal = Journal::anonymous(tempfile::tempfile()?, model.class_count())?;
                let outcomes = evaluate(&Run { journal: Some(&journal), ..run }, self.baseline)?;
                let (mut bytes, provenance) = (Vec::new(), Provenance::default());
                record::write(&mut bytes, &journal, images.samples(), model, &provenance, LogitType::F32)?;
                self.record = Some(bytes);
                outcomes
            }
        };
        Evaluation::new(images, outcomes).ok_or(EvaluateError::NoImages(images.len()))
    }
}

/// Lets both networks answer.
struct Answers<'a> {
    run: &'a Run<'a>,
    /// Index of each streamed sample among the images.
    pending: &'a [usize],
}

/// What becomes of a photo.
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
        runner.infer(&mut int8, &mut ())?;
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

/// The preprocessing that `model` carries.
pub fn preprocessing(model: &Model<'_>) -> Preprocessing {
    let recipe = *model.preprocessing();
    Preprocessing { recipe, mean: recipe.mean, std: recipe.std }
}
