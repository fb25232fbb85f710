//! Runs a pipeline from a source to labels. A thread captures. The calling thread and its workers do the rest.

mod capture;
mod gauges;
mod preprocess;

use crate::captured::Captured;
use crate::handoff::{Handoff, Staleness};
use crate::latency::{Latencies, Percentiles};
use crate::reading::{Health, Prediction, Reading, Show, ShowError};
use crate::smoothing::{MAX_PREDICTIONS, Smoother, Smoothing};
use crate::source::{FrameSource, SourceError};
use crate::stop::Stop;
use capture::capture;
use gauges::{HealthCache, Rate};
use preprocess::{PictureConverter, Preprocessor};
use resnext::preprocess::FrameError;
use resnext::{RunError, Runner};
use serde::Serialize;
use std::thread;
use std::time::Instant;

/// The options of a pipeline.
pub struct Options<'a> {
    /// Name of the model, for displays.
    pub model: &'a str,
    /// Number of classes to report for a frame, at most [`MAX_PREDICTIONS`].
    pub top_k: usize,
    /// How to smooth the answers of several frames.
    pub smoothing: Smoothing,
    /// Number of frames after which the pipeline ends.
    pub frames: Option<u64>,
    /// Whether to classify every frame of a live source, however late.
    pub every_frame: bool,
    /// Returns the health of the machine. It is called once a second.
    pub health: &'a dyn Fn() -> Health,
    /// Receives notes about the source, on the thread that captures.
    pub note: &'a (dyn Fn(&str) + Sync),
    /// Stops the pipeline.
    pub stop: Stop,
}

/// The results of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Number of classified frames.
    pub frames: u64,
    /// Number of dropped frames.
    pub dropped: u64,
    /// Number of damaged frames.
    pub damaged: u64,
    /// Time from the capture of the first frame to the last label, in seconds.
    pub seconds: f64,
    /// Frames per second over that time.
    pub fps: f64,
    /// Time from capture to label.
    pub latency_ms: Percentiles,
    /// The part of the latency in which the frame was converted, resized and classified.
    pub inference_ms: Percentiles,
}

/// Why a pipeline failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The source failed. Displays as what follows the name of the source.
    #[error("{0}")]
    Source(#[from] SourceError),
    /// A frame does not match the format of its source.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The model could not be run.
    #[error("{0}")]
    Run(#[from] RunError),
    /// A reading could not be shown.
    #[error("{0}")]
    Show(#[from] ShowError),
    /// The system cannot start a thread.
    #[error("cannot start a thread: {0}; end other programs")]
    Thread(std::io::Error),
}

/// Classifies the frames of `source` until it ends, and passes every reading to all of `shows`.
///
/// # Errors
///
/// Returns an error if the source fails, the model cannot be run, or a reading cannot be shown. Readings that were shown before
/// are valid.
pub fn run(
    source: &mut dyn FrameSource,
    runner: &mut Runner<'_>,
    options: Options<'_>,
    shows: &mut [&mut dyn Show],
) -> Result<Summary, PipelineError> {
    let wait = options.every_frame || !source.live();
    let handoff = Handoff::new(if wait { Staleness::Wait } else { Staleness::Drop });
    let (note, stop) = (options.note, options.stop.clone());
    thread::scope(|scope| {
        let (handoff, stop) = (&handoff, &stop);
        let capture =
            thread::Builder::new().name("resnext-capture".to_owned()).spawn_scoped(scope, move || {
                let _ending = handoff.ending();
                capture(source, handoff, note, stop)
            });
        let capture = capture.map_err(PipelineError::Thread)?;
        let closing = handoff.closing();
        let classified = classify(handoff, runner, &options, shows);
        drop(closing);
        // Makes a source stop that waits for its next frame.
        let ended = options.stop.is_set();
        options.stop.set();
        let captured = capture.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut summary = classified?;
        let damaged = match captured {
            Ok(damaged) => damaged,
            Err((_, damaged)) if ended || summary.is_complete(&options) => damaged,
            Err((error, _)) => return Err(error.into()),
        };
        (summary.dropped, summary.damaged) = (handoff.dropped(), damaged);
        if summary.frames == 0 && damaged == 0 && !ended {
            return Err(SourceError::format(
                "has no frames",
                "check the program that feeds it, and the format",
            )
            .into());
        }
        Ok(summary)
    })
}

impl Summary {
    /// Returns whether all frames that the options ask for have been classified.
    fn is_complete(&self, options: &Options<'_>) -> bool {
        options.frames.is_some_and(|frames| self.frames >= frames)
    }
}

/// Classifies frames from `handoff` until there are no more.
fn classify(
    handoff: &Handoff,
    runner: &mut Runner<'_>,
    options: &Options<'_>,
    shows: &mut [&mut dyn Show],
) -> Result<Summary, PipelineError> {
    let model = *runner.model();
    let mut logits = vec![0.0; model.class_count()];
    let mut smoother = Smoother::new(options.smoothing, model.class_count());
    let (mut latencies, mut inferences) = (Latencies::new(), Latencies::new());
    let (mut rate, mut health) = (Rate::default(), HealthCache::default());
    let (mut preprocessor, mut converter) = (Preprocessor::default(), PictureConverter::default());
    let mut frame = Captured::default();
    let (mut frames, mut first, mut last) = (0, None, None);
    while !options.stop.is_set()
        && options.frames.is_none_or(|limit| frames < limit)
        && handoff.take(&mut frame)
    {
        let start = Instant::now();
        let picture = frame.frame()?;
        preprocessor.infer(runner, &picture, &mut logits)?;
        let hits = smoother.smooth(&mut logits);
        let end = Instant::now();
        let (latency, inference) = (end - frame.at.min(end), end - start);
        frames += 1;
        first.get_or_insert(frame.at);
        last = Some(end);
        latencies.record(latency);
        inferences.record(inference);

        let prediction = |hit: &resnext::Prediction| Prediction {
            class: hit.class as u32,
            label: model.class(hit.class).map_or("", |class| class.label),
            probability: hit.probability,
        };
        let top: heapless::Vec<_, MAX_PREDICTIONS> =
            hits.iter().take(options.top_k).map(prediction).collect();
        let reading = Reading {
            frame: frame.number,
            model: options.model,
            top: &top,
            latency_ms: 1000.0 * latency.as_secs_f32(),
            inference_ms: 1000.0 * inference.as_secs_f32(),
            fps: rate.after(end),
            dropped: handoff.dropped(),
            health: health.at(end, options.health),
        };
        let wanted = shows.iter().any(|show| show.wants_picture());
        let picture = if wanted { Some(converter.convert(&picture)?) } else { None };
        for show in &mut *shows {
            let picture = picture.as_ref().filter(|_| show.wants_picture());
            show.show(&reading, picture)?;
        }
    }
    let seconds = first
        .zip(last)
        .map_or(0.0, |(first, last): (Instant, Instant)| (last - first.min(last)).as_secs_f64());
    Ok(Summary {
        frames,
        dropped: 0,
        damaged: 0,
        seconds,
        fps: if seconds > 0.0 { frames as f64 / seconds } else { 0.0 },
        latency_ms: latencies.percentiles(),
        inference_ms: inferences.percentiles(),
    })
}
