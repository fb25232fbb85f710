//! Running the model and recording its times.

use super::Args;
use super::report::{Fp32, Milliseconds};
use super::sustained::{self, Sustained};
use crate::machine::allocations;
use crate::machine::clock::Watch;
use crate::machine::load::{self, Load, Spread};
use crate::machine::placement::Placement;
use crate::records::{self, Log};
use crate::session::latency::{Call, fixed_pixels, slower};
use crate::session::statistics::Times;
use crate::terminal::Error;
use crate::terminal::text::plural;
use resnext::program::{Step, Tensor};
use resnext::{Model, Probe, Runner};
use std::time::{Duration, Instant};

/// The networks that run in turn with the model: fp32, and the model itself on as many threads as fp32 uses, which is one.
pub(super) struct Baseline<'a> {
    call: Box<Call<'static>>,
    times: Vec<Duration>,
    /// The allocations of the fp32 network.
    allocations: u64,
    /// The model on one thread; `None` if it runs on one thread anyway.
    alone: Option<Alone<'a>>,
}

/// The model on one thread.
struct Alone<'a> {
    runner: Runner<'a>,
    times: Vec<Duration>,
}

impl<'a> Baseline<'a> {
    /// Times the model on one thread, too.
    pub(super) fn with_one_thread(self, runner: Runner<'a>) -> Self {
        let times = Vec::with_capacity(self.times.capacity());
        Self { alone: Some(Alone { runner, times }), ..self }
    }

    /// Runs each network once. `counts` says whether the run is measured.
    fn run(&mut self, pixels: &[u8], logits: &mut [f32], counts: bool) -> Result<(), Error> {
        let (before, start) = (allocations::count(), Instant::now());
        (self.call)()?;
        let took = start.elapsed();
        if counts {
            self.times.push(took);
            self.allocations += allocations::count() - before;
        }
        let Some(Alone { runner, times }) = &mut self.alone else { return Ok(()) };
        let failed = |error: resnext::RunError| Error::new("", error);
        runner.load_pixels(pixels).map_err(failed)?;
        let start = Instant::now();
        runner.infer(logits).map_err(failed)?;
        let took = start.elapsed();
        if counts {
            times.push(took);
        }
        Ok(())
    }

    /// Returns what was measured, beside the times of the model.
    fn finish(&mut self, ms: &Milliseconds) -> Option<Fp32> {
        let fp32 = Times::new(std::mem::take(&mut self.times))?;
        let alone = self.alone.as_mut().and_then(|alone| Times::new(std::mem::take(&mut alone.times)));
        Some(Fp32::new(&fp32, alone.as_ref().map(Milliseconds::of), ms))
    }
}

/// Reads the network of `--baseline`.
#[cfg(feature = "compile")]
pub(super) fn baseline<'a>(args: &Args, model: &Model<'_>) -> Result<Option<Baseline<'a>>, Error> {
    let Some(path) = &args.baseline else { return Ok(None) };
    let side = model.preprocessing().crop_height as usize;
    let network = crate::offline::network::baseline(path, args.weights_key.as_deref(), side)?;
    if network.macs() != model.macs() {
        let [theirs, ours] = [network.macs(), model.macs()].map(|macs| macs as f64 / 1e9);
        let what = format!(
            "takes {theirs:.3} GMAC an inference, and the model takes {ours:.3}; give the fp32 network that it was compiled from"
        );
        return Err(Error::at(path, what));
    }
    let call = crate::offline::layers::fp32(model, &network)
        .map_err(|error| Error::at(path, error))?
        .ok_or_else(|| Error::at(path, "has too many weights to be timed in memory; leave out --baseline"))?;
    let times = Vec::with_capacity(args.runs as usize);
    Ok(Some(Baseline { call: Box::new(call), times, allocations: 0, alone: None }))
}

#[cfg(not(feature = "compile"))]
pub(super) fn baseline<'a>(_: &Args, _: &Model<'_>) -> Result<Option<Baseline<'a>>, Error> {
    Ok(None)
}

/// What was measured.
pub(super) struct Measured {
    pub(super) runs: u64,
    pub(super) ms: Milliseconds,
    pub(super) sustained: Option<Sustained>,
    pub(super) profile: Option<Profile>,
    pub(super) allocations: u64,
    pub(super) fp32: Option<Fp32>,
    pub(super) warnings: Vec<String>,
}

/// Records times, in memory that is allocated in advance.
enum Recorder {
    /// A fixed number of runs.
    Counted { times: Vec<Duration>, runs: usize },
    /// As many runs as fit into the duration of `--sustained`.
    Sustained(Box<sustained::Recorder>),
}

impl Recorder {
    fn new(args: &Args, placement: &Placement) -> Self {
        match args.sustained {
            Some(length) => Self::Sustained(sustained::Recorder::new(length, placement).into()),
            None => Self::Counted { times: Vec::with_capacity(args.runs as usize), runs: args.runs as usize },
        }
    }

    fn wants_more(&mut self) -> bool {
        match self {
            Self::Counted { times, runs } => times.len() < *runs,
            Self::Sustained(recorder) => recorder.wants_more(),
        }
    }

    fn record(&mut self, took: Duration) {
        match self {
            Self::Counted { times, .. } => times.push(took),
            Self::Sustained(recorder) => recorder.record(took),
        }
    }

    /// Returns the number of runs, their times and how these changed, or `None` if there were no runs.
    fn finish(self) -> Option<(u64, Milliseconds, Option<Sustained>)> {
        match self {
            Self::Counted { times, runs } => Some((runs as u64, Milliseconds::of(&Times::new(times)?), None)),
            Self::Sustained(recorder) => {
                let (runs, ms, sustained) = recorder.finish();
                Some((runs, ms, Some(sustained)))
            }
        }
    }
}

/// Warms up and measures. Returns `None` if nothing was run.
pub(super) fn measure(
    runner: &mut Runner<'_>,
    model: &Model<'_>,
    args: &Args,
    placement: &Placement,
    log: &mut Log,
    mut fp32: Option<&mut Baseline<'_>>,
    load: Option<Load>,
) -> Result<Option<Measured>, Error> {
    let failed = |error: resnext::RunError| Error::at(&args.model, error);
    let input = model.input();
    let pixels = fixed_pixels(input.pixels() * input.channels);
    let mut logits = vec![0.0; model.class_count()];
    let mut recorder = Recorder::new(args, placement);
    let mut profile = args.profile.then(|| Profile::new(model.step_count()));
    let mut nothing = ();
    // Before the warm-up, because the threads would go to sleep again while files are read.
    let watch = Watch::start(placement);
    let others = load::Watch::start(load, placement.threads);
    for _ in 0..args.warmup {
        fp32.as_mut().map_or(Ok(()), |fp32| fp32.run(&pixels, &mut logits, false))?;
        runner.load_pixels(&pixels).map_err(failed)?;
        runner.infer_with(&mut logits, &mut nothing).map_err(failed)?;
    }
    let before = allocations::count();
    while recorder.wants_more() {
        fp32.as_mut().map_or(Ok(()), |fp32| fp32.run(&pixels, &mut logits, true))?;
        // An inference overwrites its input in the arena, so every inference needs it loaded again.
        runner.load_pixels(&pixels).map_err(failed)?;
        let start = Instant::now();
        let probe: &mut dyn Probe = match &mut profile {
            Some(profile) => {
                profile.last = start;
                profile
            }
            None => &mut nothing,
        };
        runner.infer_with(&mut logits, probe).map_err(failed)?;
        let took = start.elapsed();
        recorder.record(took);
        log.inference(took, model, &logits);
        std::hint::black_box(&logits);
    }
    let allocations = allocations::count() - before - fp32.as_ref().map_or(0, |fp32| fp32.allocations);
    let mut warnings = watch.finish();
    let Some((runs, ms, sustained)) = recorder.finish() else { return Ok(None) };
    let fp32 = fp32.and_then(|fp32| fp32.finish(&ms));
    let isa = runner.kernels().isa();
    let int8 = |threads: usize| format!("int8 ({isa}, {threads} thread{})", plural(threads));
    let (name, alone) = (int8(placement.threads), int8(1));
    // Over minutes a board gets hot; --sustained itself says how its times vary.
    let mut spreads: Vec<Spread<'_>> = Vec::from_iter(sustained.is_none().then(|| ms.spread(&name)));
    if let Some(fp32) = &fp32 {
        spreads.extend([fp32.ms.spread(fp32.network), fp32.int8_ms.spread(&alone)]);
    }
    warnings.extend(others.finish(&spreads));
    warnings.extend(
        fp32.as_ref().and_then(|fp32| slower((&alone, fp32.int8_ms.p50), (fp32.network, fp32.ms.p50))),
    );
    warnings.iter().for_each(|warning| records::warning(warning));
    Ok(Some(Measured { runs, ms, sustained, profile, allocations, fp32, warnings }))
}

/// The time of each step, summed over all runs in memory that is allocated in advance.
pub(super) struct Profile {
    last: Instant,
    pub(super) steps: Vec<Duration>,
}

impl Profile {
    fn new(steps: usize) -> Self {
        Self { last: Instant::now(), steps: vec![Duration::ZERO; steps] }
    }
}

impl Probe for Profile {
    fn after(&mut self, index: usize, _: &Step<'_>, _: Option<(&Tensor, &[i8])>) {
        let now = Instant::now();
        if let Some(total) = self.steps.get_mut(index) {
            *total += now - self.last;
        }
        self.last = now;
    }
}
