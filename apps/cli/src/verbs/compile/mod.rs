//! `resnext compile`: compiles an fp32 network to an int8 model.

mod args;
mod max_drop;
mod report;
mod warnings;

use crate::files::write::{check_distinct, check_writable, write_atomically};
use crate::machine::conditions::conditions;
use crate::machine::load::Load;
use crate::offline::arch::Arch;
use crate::offline::layers;
use crate::offline::network;
use crate::offline::onnx;
use crate::offline::recipe::{self, Imported};
use crate::remedies;
use crate::session::exif;
use crate::session::latency::Runs;
use crate::session::samples;
use crate::terminal::Error;
use crate::terminal::output;
pub(crate) use args::Args;
use report::Summary;
use resnext::Kernels;
use resnext::pack::{Packing, repack};
use resnext::preprocess::Preprocessing;
use resnext::{LoadError, Model};
use resnext_calibration::network::Network;
use resnext_calibration::preprocessing::Recipe;
use resnext_calibration::{Compiler, Options, ScaleSource};
use resnext_evaluation::samples::{Photos, Samples};
use resnext_photo::Exif;
use resnext_report::Report;
use std::borrow::Cow;
use warnings::warnings;

/// The number of samples without `--num`.
const DEFAULT_SAMPLES: usize = 512;

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    check_outputs(args)?;
    let load = Load::now();
    let threads = samples::threads(args.threads, args.cpus.as_ref())?;
    let arch = args.arch.as_deref().map(Arch::parse).transpose()?;
    let Imported { network, variant, recipe, said_by } =
        recipe::import(&args.model, arch, args.size, args.weights_key.as_deref())?;
    let exif = args.exif.or(recipe.as_ref().map_or(Exif::Ignore, |recipe| recipe.exif));
    let all = open_samples(args, &network)?.map(|samples| samples.with_exif(exif));
    // All samples name the classes, even if calibration uses fewer.
    let (classes, named_after) = network::classes(&network, args.labels.as_deref(), variant, all.as_ref())?;
    let left_out = all.as_ref().map(|all| all.left_out().clone()).unwrap_or_default();
    let samples = all.map(|all| all.take_spread(args.num.map_or(DEFAULT_SAMPLES, |num| num as usize)));
    let photos = samples.as_ref().map(|samples| Photos { rotated: samples.rotated(), exif, left_out });
    if let (Some(samples), Some(photos)) = (&samples, &photos) {
        exif::note_rotated("sample", photos.rotated, samples.len(), exif);
    }
    let file_name =
        args.model.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let options = Options {
        method: args.method.method(args.percentile),
        techniques: args.effort.techniques(),
        sensitivity: args.sensitivity,
        preprocessing: preprocessing(args, recipe.as_ref(), &network)?,
        exif,
        classes,
        source: variant.map_or(file_name, ToString::to_string),
        licence: args.licence.clone(),
        packing: args.target.packing(),
        qdq: args.qdq.is_some(),
        threads,
    };
    let progress = samples::progress();
    let compiler = Compiler::new(&network, &options).with_progress(&progress);
    let compiled = match args.limit.compile((&args.model, &network), samples.as_ref(), &options, &progress) {
        Some(limited) => limited.map(|(compiled, met)| (compiled, Some(met))),
        None => compiler
            .compile(scales(args, &network, samples.as_ref()))
            .map(|compiled| (compiled, None))
            .map_err(|error| remedies::failure(args.model.display(), &error)),
    };
    progress.finish_and_clear();
    let (compiled, met) = compiled?;
    samples::note_skipped(&compiled.report.skipped);
    let qdq = args.qdq.as_deref().zip(compiler.qdq(&compiled));
    let qdq = qdq.map(|(path, file)| onnx::write(path, &file)).transpose()?;
    write_atomically(&args.output, &compiled.artifact)?;
    qdq.map(onnx::Written::commit).transpose()?;

    let here = packed_for_here(&compiled.artifact).map_err(|error| Error::at(&args.model, error))?;
    let model = Model::from_bytes(&here).map_err(|error| Error::at(&args.model, error))?;
    let name = args.output.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut page = Report::new(&model, name, concat!("resnext ", env!("CARGO_PKG_VERSION")));
    let runs = if args.report.is_some() { Runs::MANY } else { Runs::FEW };
    let timed = layers::time(&model, &network, runs, load)?;
    page.latency = timed.latency;
    page.conditions = Some(conditions(load));
    page.warnings = warnings(args, &options, &compiled.report);
    page.warnings.extend(timed.warnings);
    page.warnings.iter().for_each(output::note);
    // These have been told before the attempts.
    page.warnings.extend(met.iter().flat_map(|met| met.doubts.iter().cloned()));
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
        said_by: &said_by,
        photos: photos.as_ref(),
        latency: &page.latency,
        conditions: page.conditions.as_ref(),
        warnings: &page.warnings,
    };
    if args.json { output::print_json(&summary.json()) } else { output::print(&summary) }
}

/// Fails if an output cannot be written or would overwrite another file of this run.
fn check_outputs(args: &Args) -> Result<(), Error> {
    let outputs = [Some(args.output.as_path()), args.qdq.as_deref(), args.report.as_deref()];
    outputs.into_iter().flatten().try_for_each(check_writable)?;
    check_distinct(&outputs, &[Some(&args.model), args.labels.as_deref()])
}

/// Opens the samples. Fails if `network` needs samples and there are none.
fn open_samples(args: &Args, network: &Network) -> Result<Option<Samples>, Error> {
    let what = match (&args.samples, args.data_free, network.prequantized.is_some()) {
        (Some(directory), ..) => {
            let all = samples::open(directory)?;
            if let Some(num) = args.num {
                samples::note_fewer(directory, all.len(), num as usize);
            }
            return Ok(Some(all));
        }
        (None, true, false) | (None, false, true) => return Ok(None),
        (None, true, true) => "is already quantized, and the model keeps its scales; leave out --data-free",
        (None, false, false) => {
            "is not quantized yet; give --samples DIR, a few hundred photos to calibrate on, or --data-free"
        }
    };
    Err(Error::at(&args.model, what))
}

/// Returns the preprocessing of the recipe or the network, as the options change it.
fn preprocessing(args: &Args, recipe: Option<&Recipe>, network: &Network) -> Result<Preprocessing, Error> {
    let (height, width) = (network.input.height, network.input.width);
    if height != width {
        let what =
            format_args!("its input is {height}×{width} pixels, and models read squares; give --size PIXELS");
        return Err(Error::at(&args.model, what));
    }
    let mut preprocessing = network::preprocessing(recipe, network);
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
    Ok(preprocessing)
}

/// Returns where the scales of `network` come from. A network without scales has samples, unless it is calibrated data-free.
fn scales<'a>(args: &Args, network: &Network, samples: Option<&'a Samples>) -> ScaleSource<'a> {
    match samples {
        _ if network.prequantized.is_some() => ScaleSource::File { compared_on: samples },
        Some(samples) if !args.data_free => ScaleSource::Samples(samples),
        _ => ScaleSource::BatchNorms,
    }
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
