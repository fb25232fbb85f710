//! The measurements, as JSON shows them.

use super::Args;
use super::measure::Measured;
use super::sustained::Sustained;
use crate::machine::cpu_list::CpuList;
use crate::machine::load::Spread;
use crate::machine::memory;
use crate::machine::placement::Placement;
use crate::session::artifact::Artifact;
use crate::session::latency::FP32;
use crate::session::statistics::{Times, milliseconds};
use crate::terminal::Error;
use resnext::Runner;
use resnext::program::Tensor;
use resnext_metadata::{Fidelity, Metadata};
use resnext_report::Conditions;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

#[derive(Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) threads: usize,
    pub(super) cpus: Option<CpuList>,
    pub(super) warmup: u32,
    pub(super) runs: u64,
    pub(super) ms: Milliseconds,
    pub(super) fps: f64,
    pub(super) arena_bytes: usize,
    pub(super) model_bytes: usize,
    pub(super) peak_rss_bytes: Option<u64>,
    pub(super) steady_state_allocations: u64,
    pub(super) isa: &'static str,
    /// The number of layers that each kernel runs.
    pub(super) kernels: BTreeMap<&'static str, usize>,
    pub(super) gmac: f64,
    pub(super) gmac_per_s: f64,
    /// The time from opening the file to a validated model, including repacking if the CPU needs it.
    pub(super) load_ms: f64,
    /// As the model states it.
    pub(super) fidelity: Option<Fidelity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fp32: Option<Fp32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) profile: Option<Vec<Layer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sustained: Option<Sustained>,
    #[serde(serialize_with = "as_json")]
    pub(super) conditions: Conditions,
    pub(super) warnings: Vec<String>,
    #[serde(skip)]
    pub(super) input: Tensor,
    #[serde(skip)]
    pub(super) placement: Placement,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Milliseconds {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) min: f64,
}

impl Milliseconds {
    pub(super) fn of(times: &Times) -> Self {
        let percentile = |percent| milliseconds(times.percentile(percent));
        Self { p50: percentile(50), p90: percentile(90), p99: percentile(99), min: milliseconds(times.min()) }
    }

    /// Returns how the times vary.
    pub(super) fn spread<'a>(&self, network: &'a str) -> Spread<'a> {
        Spread { network, min: self.min, p90: self.p90 }
    }
}

/// The latency of the baseline, and that of the model on as many threads.
#[derive(Serialize)]
pub(super) struct Fp32 {
    pub(super) network: &'static str,
    pub(super) threads: usize,
    pub(super) ms: Milliseconds,
    /// The latency of the model on one thread.
    pub(super) int8_ms: Milliseconds,
    /// The median of fp32 divided by that of int8, on one thread each.
    pub(super) ratio: f64,
    /// The median of fp32 on one thread divided by that of int8 on all its threads.
    pub(super) ratio_all_threads: f64,
}

impl Fp32 {
    /// `all` are the times of the model on all its threads, `one` those on one thread if these are others.
    pub(super) fn new(times: &Times, one: Option<Milliseconds>, all: &Milliseconds) -> Self {
        let (ms, int8_ms) = (Milliseconds::of(times), one.unwrap_or(*all));
        let ratio = |int8: &Milliseconds| if int8.p50 > 0.0 { ms.p50 / int8.p50 } else { 0.0 };
        let (ratio, ratio_all_threads) = (ratio(&int8_ms), ratio(all));
        Self { network: FP32, threads: 1, ms, int8_ms, ratio, ratio_all_threads }
    }
}

#[derive(Serialize)]
pub(super) struct Layer {
    pub(super) name: String,
    /// The mean of all runs.
    pub(super) ms: f64,
    /// The fraction of the time of all layers.
    pub(super) share: f64,
    /// `None` for pooling, which has no multiplications.
    pub(super) gmac_per_s: Option<f64>,
    pub(super) kernel: &'static str,
    /// Height, width, channels.
    pub(super) output: [usize; 3],
    #[serde(skip)]
    pub(super) macs: u64,
}

impl Report {
    pub(super) fn new(
        artifact: &Artifact,
        runner: &Runner<'_>,
        args: &Args,
        placement: Placement,
        load: Duration,
        conditions: Conditions,
        measured: Option<Measured>,
    ) -> Result<Self, Error> {
        let model = runner.model();
        let failed = |error: &dyn fmt::Display| Error::at(artifact.path(), error);
        let measured = measured.ok_or_else(|| failed(&"nothing was run; give --runs 1 or more"))?;
        let Measured { runs, ms, sustained, profile, allocations, fp32, warnings } = measured;
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
            fidelity: Metadata::parse(model.metadata()).fidelity,
            fp32,
            profile: profile.map(|profile| layers(runner, &profile.steps, runs)),
            sustained,
            conditions,
            warnings,
            input: model.input(),
            placement,
        })
    }
}

fn as_json<S: Serializer>(conditions: &Conditions, serializer: S) -> Result<S::Ok, S::Error> {
    conditions.json().serialize(serializer)
}

/// Converts `amount` per `ms` milliseconds to a rate per second. If the clock is too coarse to measure a run, the rate is 0 and
/// not infinity, which JSON cannot express.
pub(super) fn per_second(amount: f64, ms: f64) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The ratio compares one thread with one thread, whatever the model runs on.
    #[test]
    fn ratios_say_of_how_many_threads() {
        let ms = |p50| Milliseconds { p50, p90: p50, p99: p50, min: p50 };
        let times = Times::new(vec![Duration::from_millis(90); 3]).expect("times");
        let four = Fp32::new(&times, Some(ms(30.0)), &ms(10.0));
        assert_eq!((four.ratio, four.ratio_all_threads, four.int8_ms.p50), (3.0, 9.0, 30.0));
        let one = Fp32::new(&times, None, &ms(30.0));
        assert_eq!((one.ratio, one.ratio_all_threads, one.int8_ms.p50), (3.0, 3.0, 30.0));
        assert_eq!(Fp32::new(&times, None, &ms(0.0)).ratio, 0.0);
    }

    #[test]
    fn no_time_is_no_rate() {
        assert_eq!(per_second(1.0, 4.0), 250.0);
        assert_eq!(per_second(1.0, 0.0), 0.0);
    }
}
