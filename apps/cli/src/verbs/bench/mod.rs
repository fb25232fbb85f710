//! `resnext bench`: how fast does this machine run a model, and with how much memory?

mod sustained;

use crate::error::Error;
use crate::machine::allocations;
use crate::machine::clock::Watch;
use crate::machine::cpus::{CpuList, Placement};
use crate::machine::memory;
use crate::records::{self, Log, Records};
use crate::session::artifact::Artifact;
use crate::session::execution::Execution;
use crate::session::latency::{Call, FP32, fixed_pixels, slower};
use crate::session::statistics::{Times, milliseconds};
use crate::session::workspace::{Workspace, packing};
use crate::terminal::output::{self, Column, Facts, Table, plural, shorten, size, terminal_width};
use resnext::{Model, Probe, Runner, Step, Tensor};
use serde::Serialize;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use sustained::Sustained;

/// Measure latency, memory and allocations.
///
/// Runs the model on a fixed input, first to warm up and then to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is measured is the inference alone, from the loaded input tensor to the logits; decoding, resizing and \
loading the input are not part of it. Percentiles are nearest-rank. Frames and GMAC per second follow from the \
median. Exactly W + R inferences are run.

Warns if something slows the CPUs down: a scaling governor other than performance, a limit on their clock \
before or after measuring, or what a Raspberry Pi's firmware says of voltage and temperature.

With --sustained it runs for that long, beside temperature and clock, and says whether and when the CPU \
throttled: the last minute against the first (a third of the run, if that is shorter). Percentiles are then to \
three digits. In tables, °C is the highest and GHz the lowest of a stretch, each looked at once a second.

Examples:
  resnext bench model.rnx
  resnext bench model.rnx --threads 1 --profile     which layers take the time?
  resnext bench model.rnx --cpus 4-7                on these CPUs, a thread for each
  resnext bench model.rnx --kernels tract --json    compare with tract-linalg's kernels
  resnext bench model.rnx --sustained 10m           does the board get too hot for it?
  bench model.rnx --baseline net.onnx       how much faster than fp32? (not in the board binary)

JSON: threads, cpus: [CPU] (null if the threads may run on any), warmup, runs, ms: {p50, p90, p99, min}, fps, \
arena_bytes, model_bytes, peak_rss_bytes (null where the system does not say), steady_state_allocations, isa, \
kernels: {NAME: LAYERS}, gmac, gmac_per_s, load_ms, fidelity: {samples, agreement, logit_sqnr_db} (of int8 and fp32 \
when the model was compiled, null if it does not say), warnings: [TEXT]; with --baseline also fp32: {network, threads, ms, \
ratio}; with --profile also profile: [{name, ms, share, \
gmac_per_s, kernel, output}]; with --sustained also sustained: {seconds, window_s, first_p50_ms, last_p50_ms, \
slowdown (a fraction), throttled, since_s, cause, series: [{t_s, runs, p50_ms, p99_ms, temperature_c, mhz, limit_mhz, \
throttled: [FLAG]}]}, each null where nothing is known.")]
pub(crate) struct Args {
    /// Model to run
    #[arg(value_name = "MODEL.rnx")]
    model: PathBuf,

    #[command(flatten)]
    execution: Execution,

    /// Inferences to run before measuring
    #[arg(long, value_name = "W", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=MOST_RUNS))]
    warmup: u32,

    /// Inferences to measure
    #[arg(long, value_name = "R", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=MOST_RUNS))]
    runs: u32,

    /// Measure for this long, such as 30s, 5m or 1h, and show latency over time
    #[arg(long, value_name = "DURATION", conflicts_with = "runs", value_parser = sustained::parse_length)]
    sustained: Option<Duration>,

    /// fp32 network to time in turn with the model, on tract and one thread: the file that it was compiled from
    #[cfg(feature = "compile")]
    #[arg(long, value_name = "FILE", conflicts_with = "sustained")]
    baseline: Option<PathBuf>,

    /// Measure every layer
    #[arg(long)]
    profile: bool,

    #[command(flatten)]
    records: Records,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Times are kept until the end, in memory taken beforehand.
const MOST_RUNS: i64 = 1_000_000;

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let start = Instant::now();
    let artifact = Artifact::open(&args.model)?.packed(packing(&args.execution)?)?;
    let model = artifact.model()?;
    let load = start.elapsed();
    let mut workspace = Workspace::new(&model, &args.execution)?;
    let placement = workspace.placement().clone();
    let mut runner = workspace.runner(&model)?;
    let mut log = args.records.start(artifact.path(), &model)?;
    let mut fp32 = beside(args, &model)?;
    let measured = measure(&mut runner, &model, args, &placement, &mut log, fp32.as_mut())?;
    let report = Report::new(&artifact, &runner, args, placement, load, measured)?;
    if args.json {
        return output::print_json(&report);
    }
    output::print(&report)?;
    report.warnings.iter().for_each(output::note);
    Ok(())
}

/// The fp32 network that runs in turn with the model.
struct Beside {
    call: Box<Call<'static>>,
    times: Vec<Duration>,
    /// Allocations that were fp32's.
    allocations: u64,
}

impl Beside {
    /// Runs it once; `counts` if that is to be measured.
    fn run(&mut self, counts: bool) -> Result<(), Error> {
        let (before, start) = (allocations::count(), Instant::now());
        (self.call)()?;
        let took = start.elapsed();
        if counts {
            self.times.push(took);
            self.allocations += allocations::count() - before;
        }
        Ok(())
    }
}

#[cfg(feature = "compile")]
fn beside(args: &Args, model: &Model<'_>) -> Result<Option<Beside>, Error> {
    use resnext_calibration::emit::macs;
    let Some(path) = &args.baseline else { return Ok(None) };
    let network = crate::offline::network::read(path, Some(model.preprocessing().crop_height as usize))?;
    if macs(&network) != model.macs() {
        let [theirs, ours] = [macs(&network), model.macs()].map(|macs| macs as f64 / 1e9);
        let what = format!(
            "takes {theirs:.3} GMAC an inference, the model {ours:.3}; give the fp32 network that it was compiled from"
        );
        return Err(Error::at(path, what));
    }
    let call = crate::offline::layers::fp32(model, &network)
        .map_err(|error| Error::at(path, error))?
        .ok_or_else(|| Error::at(path, "has too many weights to be timed here; leave --baseline out"))?;
    let times = Vec::with_capacity(args.runs as usize);
    Ok(Some(Beside { call: Box::new(call), times, allocations: 0 }))
}

#[cfg(not(feature = "compile"))]
fn beside(_: &Args, _: &Model<'_>) -> Result<Option<Beside>, Error> {
    Ok(None)
}

struct Measured {
    runs: u64,
    ms: Milliseconds,
    sustained: Option<Sustained>,
    profile: Option<Profile>,
    allocations: u64,
    fp32: Option<Fp32>,
    warnings: Vec<String>,
}

/// Takes measured times, in memory taken beforehand.
enum Recorder {
    /// So many runs.
    Counted { times: Vec<Duration>, runs: usize },
    /// As long as asked for.
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

    /// Runs, their times and how those changed; `None` if there were no runs.
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

fn measure(
    runner: &mut Runner<'_>,
    model: &Model<'_>,
    args: &Args,
    placement: &Placement,
    log: &mut Log,
    mut fp32: Option<&mut Beside>,
) -> Result<Option<Measured>, Error> {
    let failed = |error: resnext::RunError| Error::at(&args.model, error);
    let input = model.input().map_err(|error| Error::at(&args.model, error))?;
    let pixels = fixed_pixels(input.pixels() * input.channels);
    let mut logits = vec![0.0; model.class_count()];
    let mut recorder = Recorder::new(args, placement);
    let mut profile = args.profile.then(|| Profile::new(model.step_count()));
    let mut nothing = ();
    // Ahead of the warm-up: reading files would let the threads fall asleep again.
    let watch = Watch::start(placement);
    for _ in 0..args.warmup {
        fp32.as_mut().map_or(Ok(()), |fp32| fp32.run(false))?;
        runner.load_pixels(&pixels).map_err(failed)?;
        runner.infer(&mut logits, &mut nothing).map_err(failed)?;
    }
    let before = allocations::count();
    while recorder.wants_more() {
        fp32.as_mut().map_or(Ok(()), |fp32| fp32.run(true))?;
        // The arena is reused, so every inference needs its input loaded again.
        runner.load_pixels(&pixels).map_err(failed)?;
        let start = Instant::now();
        let probe: &mut dyn Probe = match &mut profile {
            Some(profile) => {
                profile.last = start;
                profile
            }
            None => &mut nothing,
        };
        runner.infer(&mut logits, probe).map_err(failed)?;
        let took = start.elapsed();
        recorder.record(took);
        log.inference(took, model, &logits);
        std::hint::black_box(&logits);
    }
    let allocations = allocations::count() - before - fp32.as_ref().map_or(0, |fp32| fp32.allocations);
    let mut warnings = watch.finish();
    let Some((runs, ms, sustained)) = recorder.finish() else { return Ok(None) };
    let fp32 =
        fp32.and_then(|fp32| Times::new(std::mem::take(&mut fp32.times))).map(|times| Fp32::new(&times, &ms));
    let int8 = format!("int8 ({}, {} threads)", runner.kernels().isa(), placement.threads);
    warnings.extend(fp32.as_ref().and_then(|fp32| slower((&int8, ms.p50), (fp32.network, fp32.ms.p50))));
    warnings.iter().for_each(|warning| records::warning(warning));
    Ok(Some(Measured { runs, ms, sustained, profile, allocations, fp32, warnings }))
}

/// Time of every step, summed over all runs in memory taken beforehand.
struct Profile {
    last: Instant,
    steps: Vec<Duration>,
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

#[derive(Serialize)]
struct Report {
    model: String,
    threads: usize,
    cpus: Option<CpuList>,
    warmup: u32,
    runs: u64,
    ms: Milliseconds,
    fps: f64,
    arena_bytes: usize,
    model_bytes: usize,
    peak_rss_bytes: Option<u64>,
    steady_state_allocations: u64,
    isa: &'static str,
    /// Layers that each kernel runs.
    kernels: BTreeMap<&'static str, usize>,
    gmac: f64,
    gmac_per_s: f64,
    /// From opening the file to a model that has been checked, repacked if that was needed.
    load_ms: f64,
    /// As the model says of itself.
    fidelity: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    fp32: Option<Fp32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Vec<Layer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sustained: Option<Sustained>,
    warnings: Vec<String>,
    #[serde(skip)]
    input: Tensor,
    #[serde(skip)]
    placement: Placement,
}

#[derive(Serialize)]
struct Milliseconds {
    p50: f64,
    p90: f64,
    p99: f64,
    min: f64,
}

impl Milliseconds {
    fn of(times: &Times) -> Self {
        let percentile = |percent| milliseconds(times.percentile(percent));
        Self { p50: percentile(50), p90: percentile(90), p99: percentile(99), min: milliseconds(times.min()) }
    }
}

/// The baseline's latency.
#[derive(Serialize)]
struct Fp32 {
    network: &'static str,
    threads: usize,
    ms: Milliseconds,
    /// Its median, of int8's.
    ratio: f64,
}

impl Fp32 {
    fn new(times: &Times, int8: &Milliseconds) -> Self {
        let ms = Milliseconds::of(times);
        let ratio = if int8.p50 > 0.0 { ms.p50 / int8.p50 } else { 0.0 };
        Self { network: FP32, threads: 1, ms, ratio }
    }
}

#[derive(Serialize)]
struct Layer {
    name: String,
    /// Mean of all runs.
    ms: f64,
    /// Fraction of all layers' time.
    share: f64,
    /// `None` for pooling, which multiplies nothing.
    gmac_per_s: Option<f64>,
    kernel: &'static str,
    /// Height, width, channels.
    output: [usize; 3],
    #[serde(skip)]
    macs: u64,
}

impl Report {
    fn new(
        artifact: &Artifact,
        runner: &Runner<'_>,
        args: &Args,
        placement: Placement,
        load: Duration,
        measured: Option<Measured>,
    ) -> Result<Self, Error> {
        let model = runner.model();
        let failed = |error: &dyn fmt::Display| Error::at(artifact.path(), error);
        let measured = measured.ok_or_else(|| failed(&"nothing was run; ask for --runs 1 or more"))?;
        let Measured { runs, ms, sustained, profile, allocations, fp32, warnings } = measured;
        let metadata: Value = serde_json::from_str(model.metadata()).unwrap_or_default();
        let mut kernels = BTreeMap::new();
        for (index, step) in model.steps().enumerate() {
            *kernels.entry(runner.kernel_name(index, &step)).or_default() += 1;
        }
        let fps = per_second(1.0, ms.p50);
        let gmac = model.macs() as f64 / 1e9;
        Ok(Self {
            model: artifact.path().display().to_string(),
            threads: placement.threads,
            cpus: placement.cpus.clone(),
            warmup: args.warmup,
            runs,
            gmac_per_s: per_second(gmac, ms.p50),
            load_ms: milliseconds(load),
            ms,
            fps,
            arena_bytes: model.arena_len(),
            model_bytes: model.artifact_len(),
            peak_rss_bytes: memory::peak_rss(),
            steady_state_allocations: allocations,
            isa: runner.kernels().isa(),
            kernels,
            gmac,
            fidelity: metadata.get("fidelity").cloned().unwrap_or_default(),
            fp32,
            profile: profile.map(|profile| layers(runner, &profile.steps, runs)),
            sustained,
            warnings,
            input: model.input().map_err(|error| failed(&error))?,
            placement,
        })
    }
}

/// `amount` per `ms` milliseconds, per second. A clock too coarse to see a run gives 0, not infinity, which
/// JSON cannot say.
fn per_second(amount: f64, ms: f64) -> f64 {
    if ms > 0.0 { amount * 1e3 / ms } else { 0.0 }
}

fn layers(runner: &Runner<'_>, totals: &[Duration], runs: u64) -> Vec<Layer> {
    let all: Duration = totals.iter().sum();
    let steps = runner.model().steps().enumerate().zip(totals);
    steps
        .map(|((index, step), &total)| {
            let ms = milliseconds(total) / runs as f64;
            let macs = step.macs();
            let output = step.output().map(|t| [t.height, t.width, t.channels]);
            Layer {
                name: step.name.to_owned(),
                ms,
                share: if all.is_zero() { 0.0 } else { total.as_secs_f64() / all.as_secs_f64() },
                gmac_per_s: (macs > 0).then(|| per_second(macs as f64 / 1e9, ms)),
                kernel: runner.kernel_name(index, &step),
                output: output.unwrap_or([1, 1, runner.model().class_count()]),
                macs,
            }
        })
        .collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = terminal_width();
        let Milliseconds { p50, p90, p99, min } = self.ms;
        let mut facts = Facts::default();
        facts.add("model", output::clean(&self.model));
        facts.add(
            "input",
            format!("{}×{} RGB, {:.3} GMAC an inference", self.input.height, self.input.width, self.gmac),
        );
        facts.add("running on", format!("{}, {} kernels", self.placement, self.isa));
        facts
            .add("latency", format!("p50 {p50:.2} ms   p90 {p90:.2} ms   p99 {p99:.2} ms   min {min:.2} ms"));
        facts.add(
            "",
            format!(
                "{} run{} after {} warm-up{}",
                self.runs,
                plural(self.runs as usize),
                self.warmup,
                plural(self.warmup as usize)
            ),
        );
        if let Some(Fp32 { network, ms: Milliseconds { p50, p90, p99, min }, ratio, .. }) = &self.fp32 {
            facts.add(
                "fp32",
                format!("p50 {p50:.2} ms   p90 {p90:.2} ms   p99 {p99:.2} ms   min {min:.2} ms"),
            );
            facts.add("", format!("{network}, 1 thread, in turn with int8: {ratio:.2} times as long"));
        }
        if let Some(sustained) = &self.sustained {
            facts.add("sustained", sustained.verdict());
        }
        facts.add("throughput", format!("{:.1} frames/s   {:.2} GMAC/s", self.fps, self.gmac_per_s));
        let mut memory =
            format!("arena {}   model {}", size(self.arena_bytes as u64), size(self.model_bytes as u64));
        if let Some(peak) = self.peak_rss_bytes {
            memory += &format!("   peak resident {}", size(peak));
        }
        facts.add("memory", memory);
        let fidelity = |key: &str| self.fidelity.get(key).and_then(Value::as_f64);
        if let (Some(samples), Some(agreement), Some(db)) =
            (fidelity("samples"), fidelity("agreement"), fidelity("logit_sqnr_db"))
        {
            let same = format!("same class as fp32 on {:.1} % of {samples} samples", 100.0 * agreement);
            facts
                .add("accuracy", format!("{same} when it was compiled, logits {db:.1} dB; see resnext eval"));
        }
        facts.add("load", format!("{:.1} ms to map and check the model", self.load_ms));
        facts.add("allocations", format!("{} while measuring", self.steady_state_allocations));
        write!(f, "{facts}")?;
        writeln!(f)?;
        if let Some(sustained) = &self.sustained {
            writeln!(f, "{sustained}")?;
        }
        match &self.profile {
            None => {
                let mut table = Table::new([Column::text("kernel"), Column::number("layers")], width);
                let mut kernels: Vec<_> = self.kernels.iter().collect();
                kernels.sort_by_key(|&(_, &layers)| Reverse(layers));
                for (kernel, layers) in kernels {
                    table.row([(*kernel).to_owned(), layers.to_string()]);
                }
                write!(f, "{table}")
            }
            Some(layers) => {
                writeln!(f, "{}", self.by_kernel(layers, width))?;
                write!(f, "{}", by_layer(layers, width))
            }
        }
    }
}

impl Report {
    fn by_kernel(&self, layers: &[Layer], width: Option<usize>) -> Table<5> {
        let columns = [
            Column::text("kernel"),
            Column::number("layers"),
            Column::number("ms"),
            Column::number("%"),
            Column::number("GMAC/s"),
        ];
        let mut table = Table::new(columns, width);
        let mut kernels: Vec<_> = self
            .kernels
            .iter()
            .map(|(&kernel, &count)| {
                let of_kernel = || layers.iter().filter(|layer| layer.kernel == kernel);
                let ms = of_kernel().map(|layer| layer.ms).sum::<f64>();
                let share = of_kernel().map(|layer| layer.share).sum();
                let macs = of_kernel().map(|layer| layer.macs).sum::<u64>();
                (kernel, count, ms, share, macs)
            })
            .collect();
        kernels.sort_by(|a, b| b.2.total_cmp(&a.2));
        for (kernel, count, ms, share, macs) in kernels {
            let rate = (macs > 0).then(|| per_second(macs as f64 / 1e9, ms));
            let [ms, share, rate] = numbers(ms, share, rate);
            table.row([kernel.to_owned(), count.to_string(), ms, share, rate]);
        }
        table
    }
}

fn by_layer(layers: &[Layer], width: Option<usize>) -> Table<6> {
    let columns = [
        Column::text("layer"),
        Column::number("ms"),
        Column::number("%"),
        Column::number("GMAC/s"),
        Column::number("output"),
        Column::text("kernel").optional(1),
    ];
    let mut table = Table::new(columns, width);
    for layer in layers {
        let [ms, share, rate] = numbers(layer.ms, layer.share, layer.gmac_per_s);
        let [h, w, c] = layer.output;
        table.row([
            shorten(&layer.name, 28),
            ms,
            share,
            rate,
            format!("{h}×{w}×{c}"),
            short_kernel(layer.kernel).to_owned(),
        ]);
    }
    table
}

fn numbers(ms: f64, share: f64, rate: Option<f64>) -> [String; 3] {
    let rate = rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.2}"));
    [format!("{ms:.3}"), format!("{:.1}", 100.0 * share), rate]
}

/// A kernel's name without architecture and data types, which are alike for all layers.
fn short_kernel(name: &str) -> &str {
    ["-qs8qc8w-", "-qs8-"]
        .iter()
        .find_map(|types| name.split_once(types))
        .map_or(name, |(_, algorithm)| algorithm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_names_are_shortened_where_they_are_alike() {
        assert_eq!(short_kernel("aarch64-qs8qc8w-gconv4-6x16c4-dotprod"), "gconv4-6x16c4-dotprod");
        assert_eq!(short_kernel("portable-qs8-maxpool"), "maxpool");
        assert_eq!(short_kernel("tract-avx2_mmm_i32_8x8"), "tract-avx2_mmm_i32_8x8");
    }

    #[test]
    fn no_time_is_no_rate() {
        assert_eq!(per_second(1.0, 4.0), 250.0);
        assert_eq!(per_second(1.0, 0.0), 0.0);
    }
}
