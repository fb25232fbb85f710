//! `resnext bench`: measures how fast this machine runs a model, and with how much memory.

mod measure;
mod report;
mod sustained;
mod text;

use crate::machine::conditions::conditions;
use crate::machine::load::Load;
use crate::records::Records;
use crate::session::artifact::Artifact;
use crate::session::execution::Execution;
use crate::session::workspace::{Workspace, packing};
use crate::terminal::Error;
use crate::terminal::output;
use measure::{baseline, measure};
use report::Report;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Measure latency, memory and allocations.
///
/// Runs the model on a fixed input, first to warm up and then to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Bench times the inference alone, from the loaded input tensor to the logits, without decoding, resizing and \
loading the input. Percentiles are nearest-rank. Frames and GMAC per second follow from the median. Exactly W + R \
inferences run.

Bench warns if something slows the CPUs down: a scaling governor other than performance, a limit on their clock \
before or after the measurement, or low voltage or heat that the firmware of a Raspberry Pi reports. It also warns \
if other programs take the CPUs away, if there are more threads than CPUs, or if times vary for a reason unknown.

fp32 runs on one thread. With --baseline and several threads, int8 is timed on one thread, too, and both are compared.

With --sustained, bench runs for that long, records temperature and clock, and says whether and when the CPU \
throttled. It compares the last minute with the first, or thirds of the run if it is shorter. Percentiles then have \
three digits. In the table, °C is the highest and GHz the lowest value of a row; bench reads both once a second.

Examples:
  resnext bench model.rnx
  resnext bench model.rnx --threads 1 --profile   Which layers take the time?
  resnext bench model.rnx --cpus 4-7              One thread on each of these
  resnext bench model.rnx --kernels tract         Compare with tract's kernels
  resnext bench model.rnx --sustained 10m         Does the board get too hot?
  resnext bench model.rnx --baseline net.onnx     How much faster than fp32?

JSON: threads, cpus: [CPU] (null if the threads may run on any), warmup, runs, ms: {p50, p90, p99, min}, fps, \
arena_bytes, model_bytes, peak_rss_bytes (null where the system does not say), steady_state_allocations, isa, \
kernels: {NAME: LAYERS}, gmac, gmac_per_s, load_ms, fidelity: {samples, agreement, logit_sqnr_db} (int8 against \
fp32 when the model was compiled, null if the model does not state it), conditions: {machine, date, load, command}, warnings: [TEXT]; with --baseline also \
fp32: {network, threads, ms, int8_ms (on one thread, as fp32), ratio (of these two), ratio_all_threads \
(of fp32 on one thread to ms)}; with --profile also profile: [{name, ms, share, gmac_per_s, kernel, \
output}]; with --sustained also sustained: {seconds, window_s, first_p50_ms, last_p50_ms, slowdown (a fraction), \
throttled, since_s, cause, series: [{t_s, runs, p50_ms, p99_ms, temperature_c, mhz, limit_mhz, throttled: \
[FLAG]}]}; what the machine does not report is null.")]
pub(crate) struct Args {
    /// Model to run
    #[arg(value_name = "MODEL.rnx")]
    model: PathBuf,

    #[command(flatten)]
    execution: Execution,

    /// Inferences that warm up before measuring
    #[arg(long, value_name = "W", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=MAX_RUNS))]
    warmup: u32,

    /// Inferences to measure
    #[arg(long, value_name = "R", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=MAX_RUNS))]
    runs: u32,

    /// Measure for this long, such as 30s, 5m or 1h, and show latency over time
    #[arg(long, value_name = "DURATION", conflicts_with = "runs", value_parser = sustained::parse_length)]
    sustained: Option<Duration>,

    /// fp32 network to time in turn with the model, with tract on one thread: the file that the model was compiled from
    #[cfg(feature = "compile")]
    #[arg(long, value_name = "FILE", conflicts_with = "sustained")]
    baseline: Option<PathBuf>,

    /// Which of several sets of weights the baseline has: the key under which the checkpoint has them, such as ema
    #[cfg(feature = "compile")]
    #[arg(long, value_name = "KEY", requires = "baseline")]
    weights_key: Option<String>,

    /// Measure each layer
    #[arg(long)]
    profile: bool,

    #[command(flatten)]
    records: Records,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The limit for both numbers of runs, because memory for all times is allocated in advance.
const MAX_RUNS: i64 = 1_000_000;

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let load = Load::now();
    let start = Instant::now();
    let artifact = Artifact::open(&args.model)?.packed(packing(&args.execution)?)?;
    let model = artifact.model()?;
    let load_time = start.elapsed();
    let mut workspace = Workspace::new(&model, &args.execution)?;
    let placement = workspace.placement().clone();
    let mut runner = workspace.runner(&model)?;
    let mut log = args.records.start(artifact.path(), &model)?;
    let mut fp32 = baseline(args, &model)?;
    let mut one_thread = match (&fp32, placement.threads) {
        (Some(_), 2..) => Some(Workspace::one_thread(&model, &args.execution, &placement)?),
        _ => None,
    };
    if let Some(workspace) = &mut one_thread {
        let alone = workspace.runner(&model)?;
        fp32 = fp32.map(|fp32| fp32.with_one_thread(alone));
    }
    let measured = measure(&mut runner, &model, args, &placement, &mut log, fp32.as_mut(), load)?;
    let report = Report::new(&artifact, &runner, args, placement, load_time, conditions(load), measured)?;
    if args.json {
        return output::print_json(&report);
    }
    output::print(&report)?;
    report.warnings.iter().for_each(output::note);
    Ok(())
}
