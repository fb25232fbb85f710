//! From a source to labels: capture on one thread, all else on the calling one and its workers.

use crate::captured::Captured;
use crate::handoff::{Handoff, Staleness};
use crate::latency::{Latencies, Percentiles};
use crate::reading::{Guess, Health, Picture, Reading, Show, ShowError};
use crate::smoothing::{MOST_GUESSES, Smoother, Smoothing};
use crate::source::{Delivery, Source, SourceError};
use crate::stop::Stop;
use heapless::Deque;
use resnext::preprocess::{FrameError, PreprocessError, Preprocessing};
use resnext::{Frame, RunError, Runner};
use serde::Serialize;
use std::thread;
use std::time::{Duration, Instant};

/// How to run a pipeline.
pub struct Options<'a> {
    /// Name of the model, for those who show it.
    pub model: &'a str,
    /// Classes to report for a frame, at most [`MOST_GUESSES`].
    pub top_k: usize,
    /// How the answers of several frames become one.
    pub smoothing: Smoothing,
    /// Ends after so many frames.
    pub frames: Option<u64>,
    /// Looks at every frame of a live source too, however late.
    pub every_frame: bool,
    /// What the machine says of itself; asked once a second.
    pub health: &'a dyn Fn() -> Health,
    /// What there is to say of the source meanwhile, from the thread that captures.
    pub note: &'a (dyn Fn(&str) + Sync),
    /// Ends soon after it is set.
    pub stop: Stop,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Frames that were classified.
    pub frames: u64,
    /// Frames that nobody looked at.
    pub dropped: u64,
    /// Frames that could not be read.
    pub damaged: u64,
    /// From the start of the first frame's capture to the last label, in seconds.
    pub seconds: f64,
    /// Frames a second over that time.
    pub fps: f64,
    /// From capture to label.
    pub latency_ms: Percentiles,
    /// The part of it that converting, resizing and running the model took.
    pub inference_ms: Percentiles,
}

/// Why a pipeline ended before its source did.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The source gives nothing more. To follow the source's name.
    #[error("{0}")]
    Source(#[from] SourceError),
    /// A frame is not what its source said.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The model could not be run.
    #[error("{0}")]
    Run(#[from] RunError),
    /// A reading could not be shown, or nobody is looking any more.
    #[error("{0}")]
    Show(#[from] ShowError),
    /// The system is short of threads.
    #[error("cannot start a thread: {0}; end other programs")]
    Thread(std::io::Error),
}

/// Classifies the frames of `source` until it ends, and shows every reading to all of `shows`.
///
/// # Errors
///
/// If the source fails, the model cannot be run, or a reading cannot be shown. What was shown until then is right.
pub fn run(
    source: &mut dyn Source,
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
        // So that a source that waits for its next frame gives up too.
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
            return Err(SourceError::format("has no frames", "check what feeds it, and --format").into());
        }
        Ok(summary)
    })
}

impl Summary {
    fn is_complete(&self, options: &Options<'_>) -> bool {
        options.frames.is_some_and(|frames| self.frames >= frames)
    }
}

/// Kinds of damage that are told; further ones are only counted.
const TOLD: u64 = 10;

/// Damaged frames in a row after which a live source is given up.
const MOST_DAMAGED: u64 = 100;

/// Reads frames until there are none, or nobody wants any. Returns how many were damaged.
fn capture(
    source: &mut dyn Source,
    handoff: &Handoff,
    note: &(dyn Fn(&str) + Sync),
    stop: &Stop,
) -> Result<u64, (SourceError, u64)> {
    let mut frame = Captured::default();
    let (mut number, mut damaged, mut in_a_row) = (0, 0, 0);
    let mut complaints = Complaints::default();
    loop {
        match source.next(&mut frame) {
            Ok(Delivery::Frame) => {
                number += frame.lost;
                frame.number = number;
                (number, in_a_row) = (number + 1, 0);
                if !handoff.put(&mut frame) {
                    return Ok(damaged);
                }
            }
            Ok(Delivery::Damaged(what)) if !stop.is_set() => {
                (damaged, in_a_row) = (damaged + 1, in_a_row + 1);
                complaints.tell(&what, note);
                if source.live() && in_a_row == MOST_DAMAGED {
                    let error = SourceError::Format {
                        what: format!("gives nothing but damage ({what})"),
                        remedy: "check what feeds it, and --format",
                    };
                    return Err((error, damaged));
                }
            }
            Ok(Delivery::Note(what)) => {
                // A camera that is opened again judges itself how often.
                in_a_row = 0;
                note(&what);
            }
            // What a source that was told to stop has left half-read is no damage.
            Ok(Delivery::End | Delivery::Damaged(_)) => return Ok(damaged),
            Err(error) => return Err((error, damaged)),
        }
    }
}

/// What was said of damage.
#[derive(Default)]
struct Complaints {
    last: String,
    told: u64,
}

impl Complaints {
    /// Says `what`, unless it was what was said last or enough has been said.
    fn tell(&mut self, what: &str, note: &(dyn Fn(&str) + Sync)) {
        if self.told == TOLD || self.last == what {
            return;
        }
        self.told += 1;
        self.last = what.to_owned();
        match self.told {
            TOLD => note(&format!("{what}; further damage is only counted")),
            _ => note(what),
        }
    }
}

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
    let (mut rate, mut spare, mut view) = (Rate::default(), Spare::default(), View::default());
    let mut pulse = Pulse::default();
    let mut frame = Captured::default();
    let (mut frames, mut first, mut last) = (0, None, None);
    while !options.stop.is_set()
        && options.frames.is_none_or(|most| frames < most)
        && handoff.take(&mut frame)
    {
        let start = Instant::now();
        let picture = frame.frame()?;
        spare.infer(runner, &picture, &mut logits)?;
        let hits = smoother.smooth(&mut logits);
        let end = Instant::now();
        let (latency, inference) = (end - frame.at.min(end), end - start);
        frames += 1;
        first.get_or_insert(frame.at);
        last = Some(end);
        latencies.record(latency);
        inferences.record(inference);

        let guess = |hit: &resnext::Prediction| Guess {
            class: hit.class as u32,
            label: model.class(hit.class).map_or("", |class| class.label),
            probability: hit.probability,
        };
        let top: heapless::Vec<_, MOST_GUESSES> = hits.iter().take(options.top_k).map(guess).collect();
        let reading = Reading {
            frame: frame.number,
            model: options.model,
            top: &top,
            latency_ms: 1000.0 * latency.as_secs_f32(),
            inference_ms: 1000.0 * inference.as_secs_f32(),
            fps: rate.after(end),
            dropped: handoff.dropped(),
            health: pulse.at(end, options.health),
        };
        let wanted = shows.iter().any(|show| show.wants_picture());
        let picture = if wanted { Some(view.of(&picture)?) } else { None };
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

/// Frames a second, of the last ones.
#[derive(Default)]
struct Rate(Deque<Instant, 17>);

impl Rate {
    /// The rate, now that another frame is done.
    fn after(&mut self, now: Instant) -> f32 {
        if self.0.is_full() {
            self.0.pop_front();
        }
        // There is room: a full queue has just lost its oldest.
        let _ = self.0.push_back(now);
        let time = self.0.front().map_or(Duration::ZERO, |oldest| now - *oldest).as_secs_f32();
        if time > 0.0 { (self.0.len() - 1) as f32 / time } else { 0.0 }
    }
}

/// Health that is a second old at most: it changes slowly, and some sensors take long to read.
#[derive(Default)]
struct Pulse {
    read: Option<Instant>,
    health: Health,
}

impl Pulse {
    fn at(&mut self, now: Instant, read: &dyn Fn() -> Health) -> Health {
        if self.read.is_none_or(|last| now - last >= Duration::from_secs(1)) {
            (self.read, self.health) = (Some(now), read());
        }
        self.health
    }
}

/// Memory to preprocess frames in that are too large for the model's arena, which is idle while the runtime does it there.
#[derive(Default)]
struct Spare {
    scratch: Vec<u8>,
    pixels: Vec<u8>,
}

impl Spare {
    fn infer(
        &mut self,
        runner: &mut Runner<'_>,
        frame: &Frame<'_>,
        logits: &mut [f32],
    ) -> Result<(), RunError> {
        match runner.load_frame(frame) {
            Err(RunError::Preprocess(PreprocessError::Scratch { .. })) => {
                let preprocessing = *runner.model().preprocessing();
                crop(&preprocessing, frame, &mut self.scratch, &mut self.pixels)?;
                runner.load_pixels(&self.pixels)?;
            }
            loaded => loaded?,
        }
        runner.infer(logits)
    }
}

/// Runs `preprocessing`, in memory that grows to what the frame needs.
fn crop(
    preprocessing: &Preprocessing,
    frame: &Frame<'_>,
    scratch: &mut Vec<u8>,
    pixels: &mut Vec<u8>,
) -> Result<(), PreprocessError> {
    let need = preprocessing.scratch_len(frame.width(), frame.height()).unwrap_or(0);
    scratch.resize(need.max(scratch.len()), 0);
    pixels.clear();
    preprocessing.run(frame, scratch, |_, row| pixels.extend_from_slice(row))
}

/// The picture as somebody wants to see it.
#[derive(Default)]
struct View {
    scratch: Vec<u8>,
    rgb: Vec<u8>,
}

impl View {
    fn of(&mut self, frame: &Frame<'_>) -> Result<Picture<'_>, RunError> {
        let (width, height) = (frame.width(), frame.height());
        // A resizing to the size that it has leaves every pixel as it is.
        let preprocessing = Preprocessing {
            crop_height: height,
            crop_width: width,
            ..Preprocessing::imagenet(width, width.min(height))
        };
        crop(&preprocessing, frame, &mut self.scratch, &mut self.rgb)?;
        Ok(Picture { width, height, rgb: &self.rgb })
    }
}
