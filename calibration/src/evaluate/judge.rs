//! One artifact after the other on the same images.

use indicatif::ProgressBar;
use resnext::Model;
use resnext_evaluation::journal::Journal;
use resnext_evaluation::provenance::Provenance;
use resnext_evaluation::record::{self, LogitType, Record};
use resnext_evaluation::truth::Labelled;
use resnext_evaluation::{Evaluation, Run};

use super::{EvaluateError, evaluate};
use crate::network::Network;

/// Evaluates one artifact after the other on the same images. fp32 runs once, for the first artifact; its logits are kept, which
/// takes four bytes for each class of each image.
#[derive(Debug)]
pub struct Judge<'a> {
    baseline: &'a Network,
    images: &'a Labelled,
    threads: usize,
    progress: &'a ProgressBar,
    record: Option<Vec<u8>>,
}

impl<'a> Judge<'a> {
    /// Makes a judge that compares with the folded fp32 network `baseline` on `images`.
    pub fn new(
        baseline: &'a Network,
        images: &'a Labelled,
        threads: usize,
        progress: &'a ProgressBar,
    ) -> Self {
        Self { baseline, images, threads, progress, record: None }
    }

    /// Takes the logits of the baseline from an earlier [`record`](Self::record) of the same images.
    #[must_use]
    pub fn recorded(self, record: Vec<u8>) -> Self {
        Self { record: Some(record), ..self }
    }

    /// Returns the logits of the baseline as a [record]; `None` before the first evaluation.
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
