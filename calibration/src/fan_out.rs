//! Streams samples through one worker per thread: decode, crop, run. Never more than one image per thread
//! is in memory, and results come back in the order of the samples whatever the threads did.

use crate::preprocessing::Preprocessing;
use crate::samples::{SampleError, Samples};
use indicatif::ProgressBar;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Results per sample, in order, and what each worker was left with.
pub(crate) struct FannedOut<R, S> {
    /// A sample that cannot be decoded has its error here.
    pub(crate) results: Vec<Result<R, SampleError>>,
    pub(crate) workers: Vec<S>,
}

/// Calls `work` with the cropped pixels of every sample, on `threads` threads.
///
/// `start` makes a worker inside its thread, `finish` takes home what it has gathered. The first error of
/// `start` or `work` stops everything.
pub(crate) fn fan_out<W, R: Send, S: Send, E: Send>(
    samples: &Samples,
    preprocessing: &Preprocessing,
    threads: usize,
    progress: &ProgressBar,
    start: impl Fn() -> Result<W, E> + Sync,
    work: impl Fn(&mut W, usize, &[u8]) -> Result<R, E> + Sync,
    finish: impl Fn(W) -> S + Sync,
) -> Result<FannedOut<R, S>, E> {
    let samples: Vec<_> = samples.iter().collect();
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results = Mutex::new((0..samples.len()).map(|_| None).collect::<Vec<_>>());
    let run = || -> Result<S, E> {
        let mut worker = start()?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(sample) = samples.get(index).filter(|_| !stop.load(Ordering::Relaxed)) else {
                break;
            };
            let pixels = sample.decode().and_then(|image| {
                preprocessing
                    .crop(&image)
                    .map_err(|reason| SampleError { name: sample.name().to_owned(), reason })
            });
            let result = match pixels {
                Ok(pixels) => Ok(work(&mut worker, index, &pixels)?),
                Err(error) => Err(error),
            };
            if let Ok(mut results) = results.lock() {
                results[index] = Some(result);
            }
            progress.inc(1);
        }
        Ok(finish(worker))
    };
    let stopping = || run().inspect_err(|_| stop.store(true, Ordering::Relaxed));
    let workers = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(stopping)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<Vec<_>, E>>()
    })?;
    let results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    Ok(FannedOut { results: results.into_iter().flatten().collect(), workers })
}
