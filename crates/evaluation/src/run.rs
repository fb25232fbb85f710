//! Runs the int8 network over all images, on all threads, and compares it with recorded fp32 logits.

use crate::journal::{Journal, JournalError};
use crate::outcome::{Outcome, pixel_checksum};
use crate::record::Record;
use crate::samples::{Sample, SampleError};
use crate::truth::Labelled;
use indicatif::ProgressBar;
use resnext::{Model, RunError, Runner};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// What an evaluation runs.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The int8 network.
    pub model: &'a Model<'a>,
    /// The images and their classes.
    pub images: &'a Labelled,
    /// The journal of the outcomes, if the evaluation has one.
    pub journal: Option<&'a Journal>,
    /// Number of threads. Each evaluates other images.
    pub threads: usize,
    /// Shows the progress.
    pub progress: &'a ProgressBar,
}

/// The results for all images.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// Outcomes, in the order of the images.
    pub done: Vec<Outcome>,
    /// Images that could not be decoded.
    pub failed: Vec<SampleError>,
}

/// Why an evaluation stopped. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunFailed {
    /// The model cannot be run.
    #[error(transparent)]
    Model(#[from] RunError),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An image is not the one whose logits were recorded.
    #[error(
        "{0}: is not the image whose fp32 logits were recorded (its cropped pixels differ); evaluate the same files, or \
         record again with this version of resnext"
    )]
    Pixels(String),
    /// Recorded logits are NaN or infinite.
    #[error("{0}: its recorded fp32 logits are not finite; record again")]
    NotFinite(String),
}

impl Run<'_> {
    /// Returns the indices of the images that the journal does not have yet.
    pub fn pending(&self) -> Vec<usize> {
        let mut pending = vec![true; self.images.len()];
        for outcome in self.journal.map_or(&[][..], Journal::done) {
            if let Some(pending) = pending.get_mut(outcome.image) {
                *pending = false;
            }
        }
        (0..pending.len()).filter(|&image| pending[image]).collect()
    }

    /// Joins the outcomes in the journal and those that are `done` since, in the order of the images.
    pub fn complete(&self, done: impl IntoIterator<Item = Outcome>, failed: Vec<SampleError>) -> Outcomes {
        let before = self.journal.map_or(&[][..], Journal::done).iter().copied();
        let mut done: Vec<Outcome> =
            before.chain(done).filter(|outcome| outcome.image < self.images.len()).collect();
        done.sort_by_key(|outcome| outcome.image);
        done.dedup_by_key(|outcome| outcome.image);
        Outcomes { done, failed }
    }
}

/// Runs int8 over the images, and compares it with the logits in `baseline`. An image that `baseline` does not have is not
/// compared.
///
/// Memory grows by a few hundred bytes for each image. Results depend neither on the number of threads nor on interruptions
/// that a journal bridges.
///
/// # Errors
///
/// Returns an error if the model cannot be run, the journal cannot be written, or recorded logits do not fit their images. An
/// image that cannot be decoded is no error: it is listed in [`Outcomes::failed`].
pub fn run(run: &Run<'_>, baseline: Option<&Record<'_>>) -> Result<Outcomes, RunFailed> {
    let pending = run.pending();
    run.progress.reset();
    run.progress.set_length(run.images.len() as u64);
    run.progress.set_position((run.images.len() - pending.len()) as u64);
    run.progress.reset_eta();
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let worker = || -> Result<Share, RunFailed> {
        let mut arena = vec![0; run.model.arena_len()];
        let mut scratch = Scratch { int8: vec![0.0; run.model.class_count()], fp32: Vec::new() };
        let mut share = Share::default();
        while !stop.load(Ordering::Relaxed)
            && let Some(&image) = pending.get(next.fetch_add(1, Ordering::Relaxed))
            && let Some(sample) = run.images.samples().get(image)
        {
            let outcome = one(run, baseline, image, sample, &mut arena, &mut scratch);
            let outcome = outcome.inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            match outcome {
                Ok(outcome) => share.done.push(outcome),
                Err(error) => share.failed.push((image, error)),
            }
            run.progress.inc(1);
        }
        Ok(share)
    };
    let shares = thread::scope(|scope| {
        let workers: Vec<_> = (0..run.threads.max(1)).map(|_| scope.spawn(worker)).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().map(join).collect::<Result<Vec<Share>, RunFailed>>()
    })?;
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for share in shares {
        done.extend(share.done);
        failed.extend(share.failed);
    }
    failed.sort_by_key(|(image, _)| *image);
    Ok(run.complete(done, failed.into_iter().map(|(_, error)| error).collect()))
}

/// The results of one thread.
#[derive(Default)]
struct Share {
    done: Vec<Outcome>,
    /// Errors, each with the index of its image.
    failed: Vec<(usize, SampleError)>,
}

struct Scratch {
    int8: Vec<f32>,
    fp32: Vec<f32>,
}

fn one(
    run: &Run<'_>,
    baseline: Option<&Record<'_>>,
    image: usize,
    sample: &Sample,
    arena: &mut [u8],
    Scratch { int8, fp32 }: &mut Scratch,
) -> Result<Result<Outcome, SampleError>, RunFailed> {
    let pixels = match sample.pixels(run.model.preprocessing()) {
        Ok(pixels) => pixels,
        Err(error) => return Ok(Err(error)),
    };
    let checksum = pixel_checksum(&pixels);
    let mut runner = Runner::new(run.model, arena)?;
    runner.load_pixels(&pixels)?;
    runner.infer(int8)?;
    let row = baseline.and_then(|record| Some((record, record.find(sample.key())?)));
    let fp32 = match row {
        Some((record, row)) => {
            if record.pixels(row) != checksum {
                return Err(RunFailed::Pixels(sample.name().to_owned()));
            }
            record.read(row, fp32);
            if !fp32.iter().all(|logit| logit.is_finite()) {
                return Err(RunFailed::NotFinite(sample.name().to_owned()));
            }
            Some(fp32.as_slice())
        }
        None => None,
    };
    let outcome = Outcome::new(image, checksum, int8, fp32);
    if let Some(journal) = run.journal {
        journal.add(&outcome, fp32.unwrap_or_default())?;
    }
    Ok(Ok(outcome))
}
