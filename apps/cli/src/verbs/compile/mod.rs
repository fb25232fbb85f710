//! `resnext compile`: compiles an fp32 network to an int8 model.

mod args;
mod max_drop;
mod report;
mod warnings;

use crate::files::write::{check_distinct, check_writable, write_atomically};
use crate::offline::arch::{self, Arch};
use crate::offline::layers;
use crate::offline::network;
use crate::offline::onnx;
use crate::session::latency::{self, Runs};
use crate::session::samples;
use crate::terminal::Error;
use crate::terminal::output;
pub(crate) use args::Args;
use report::Summary;
use resnext::Kernels;
use resnext::pack::{Packing, repack};
use resnext::{LoadError, Model};
use resnext_calibration::{CompileError, Compiler, Options, ScaleSource};
use std::borrow::Cow;
use std::path::Path;
use warnings::warnings;

/// The number of samples without `--num`.
const DEFAULT_SAMPLES: usize = 512;

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    check_writable(&args.output)?;
    args.qdq.as_deref().map_or(Ok(()), check_writable)?;
    args.report.as_deref().map_or(Ok(()), check_writable)?;
    let written = [Some(args.output.as_path()), args.qdq.as_deref(), args.report.as_deref()];
    check_distinct(&written, &[Some(&args.model), args.labels.as_deref()])?;
    let threads = samples::threads(args.threads, args.cpus.as_ref())?;
    let arch = args.arch.as_deref().map(Arch::parse).transpose()?;
    let (network, variant) = arch::network(&args.model, arch, args.size)?;
    let all = match &args.samples {
        Some(directory) => Some(samples::samples(directory, args.num.map(|n| n as usize))?),
        None if args.data_free && network.prequantized.is_some() => {
            return Err(Error::at(&args.model, PREQUANTIZED));
        }
        None if network.prequantized.is_some() || args.data_free => None,
        None => return Err(Error::at(&args.model, NEEDS_SAMPLES)),
    };
    let (classes, named_after) = network::classes(&network, args.labels.as_deref(), variant, all.as_ref())?;
    let samples = all.map(|all| match args.num {
        None if all.len() > DEFAULT_SAMPLES => all.take_spread(DEFAULT_SAMPLES),
        _ => all,
    });
    let mut preprocessing = network::preprocessing(variant, &network);
    if let Some(resize) = args.resize {
        let input = network.input.height as u32;
        if resize < input {
            let what =
                format_args!("is less than the input of {input}×{input} pixels; give at least {input}");
            return Err(Error::new(format_args!("--resize {resize}"), what));
        }
        preprocessing.short_side = resize;
    }
    if let Some(interpolation) = args.interpolation {
        preprocessing.interpolation = interpolation.interpolation();
    }
    let file_name =
        args.model.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let options = Options {
        method: args.method.method(args.percentile),
        techniques: args.effort.techniques(),
        sensitivity: args.sensitivity,
        preprocessing,
        classes,
        source: variant.map_or(file_name, ToString::to_string),
        licence: args.licence.clone(),
        packing: args.target.packing(),
        qdq: args.qdq.is_some(),
        threads,
    };
    let progress = samples::progress();
    let limited = args.limit.compile((&args.model, &network), samples.as_ref(), &options, &progress);
    let (limited, met) = limited.transpose().inspect_err(|_| progress.finish_and_clear())?.unzip();
    let compiler = Compiler::new(&network, &options).with_progress(&progress);
    let compiled = match (&samples, limited) {
        (_, Some(compiled)) => Ok(compiled),
        (Some(samples), None) if network.prequantized.is_none() => {
            compiler.compile(ScaleSource::Samples(samples))
        }
        (None, None) if args.data_free => compiler.compile(ScaleSource::BatchNorms),
        (samples, None) => compiler.compile(ScaleSource::File { compared_on: samples.as_ref() }),
    };
    progress.finish_and_clear();
    let compiled = compiled.map_err(|error| failed(&args.model, &error))?;
    samples::note_skipped(&compiled.report.skipped);
    let qdq = args.qdq.as_deref().zip(compiler.qdq(&compiled));
    let qdq = qdq.map(|(path, file)| onnx::write(path, &file)).transpose()?;
    write_atomically(&args.output, &compiled.artifact)?;
    qdq.map(onnx::Written::commit).transpose()?;

    let here = packed_for_here(&compiled.artifact).map_err(|error| Error::at(&args.model, error))?;
    let model = Model::from_bytes(&here).map_err(|error| Error::at(&args.model, error))?;
    let name = args.output.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut page = resnext_report::Report::new(&model, name, concat!("resnext ", env!("CARGO_PKG_VERSION")));
    let runs = if args.report.is_some() { Runs::MANY } else { Runs::FEW };
    page.latency = layers::time(&model, &network, runs)?;
    page.warnings = warnings(&compiled.report);
    page.warnings.extend(latency::slower_than_fp32(&page.latency));
    page.warnings.iter().for_each(output::note);
    if let (Some(path), Some(samples)) = (&args.report, &samples) {
        layers::fill(&mut page, &args.model, &network, samples, threads)?;
        write_atomically(path, resnext_report::html(&page).as_bytes())?;
    }
    if args.markdown {
        return output::print(&resnext_report::markdown(&page));
    }
    let summary = Summary {
        args,
        options: &options,
        compiled: &compiled,
        met: met.as_ref(),
        named_after,
        latency: &page.latency,
        warnings: &page.warnings,
    };
    if args.json { output::print_json(&summary.json()) } else { output::print(&summary) }
}

/// Returns the artifact with its weights in the order that this CPU is fastest with.
fn packed_for_here(artifact: &[u8]) -> Result<Cow<'_, [u8]>, LoadError> {
    let wanted = Kernels::detect().packing();
    if Packing::of(artifact) == Some(wanted) {
        return Ok(artifact.into());
    }
    let mut artifact = artifact.to_vec();
    repack(&mut artifact, wanted)?;
    Ok(artifact.into())
}

/// What is wrong with an fp32 network alone.
const NEEDS_SAMPLES: &str =
    "is not quantized yet; give --samples DIR, a few hundred photos to calibrate on, or --data-free";

/// What is wrong with --data-free for a quantized network.
const PREQUANTIZED: &str = "is quantized already, its scales are kept; leave out --data-free";

/// Names the option of the command line that the remedy of `error` is about.
fn failed(model: &Path, error: &CompileError) -> Error {
    match error {
        CompileError::NoStatistics { .. } => Error::at(model, format_args!("{error} (--samples DIR)")),
        CompileError::Labels { .. } => Error::at(model, format_args!("{error} (--labels FILE)")),
        error => Error::at(model, error),
    }
}
