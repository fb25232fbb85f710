//! Comparing the layers of a model with its fp32 network, and timing both.

use crate::machine::load::Load;
use crate::session::latency::{Call, Runs, Timed, compare, fixed_pixels};
use crate::session::samples;
use crate::terminal::Error;
use resnext::Model;
use resnext_calibration::evaluate::{LayerStatistics, examine};
use resnext_calibration::fp32::{Fp32Model, segments};
use resnext_calibration::network::Network;
use resnext_calibration::preprocessing::normalize;
use resnext_evaluation::samples::Samples;
use resnext_report::{Distribution, Layer, Report};
use std::path::Path;

/// The number of images on which layers are compared. The noise of a layer is the same on any few dozen images.
const IMAGES: usize = 32;

/// The number of bins of a histogram.
const BINS: usize = 72;

/// The most memory in bytes that the weights of a timed network may take.
const TIMED_BYTES: usize = 768 << 20;

/// Fills in the noise and the distribution of every layer, measured on some of `samples`. What the report knows of the layers
/// otherwise, such as their sensitivity, stays.
pub(crate) fn fill(
    report: &mut Report<'_>,
    path: &Path,
    network: &Network,
    samples: &Samples,
    threads: usize,
) -> Result<(), Error> {
    let progress = samples::progress();
    progress.set_message("layers");
    let examined = examine(report.model, network, &samples.take_spread(IMAGES), threads, &progress);
    progress.finish_and_clear();
    let (layers, images) = examined.map_err(|error| Error::at(path, error))?;
    report.layer_images = images;
    let known = std::mem::take(&mut report.layers);
    let layer = |statistics: LayerStatistics| {
        let before = known.iter().find(|layer| layer.name == statistics.name).cloned().unwrap_or_default();
        Layer {
            sqnr_db: Some(statistics.noise.sqnr_db()),
            distribution: distribution(&statistics),
            name: statistics.name,
            ..before
        }
    };
    report.layers = layers.into_iter().map(layer).collect();
    Ok(())
}

/// Returns `None` for the logits, which are not quantized.
fn distribution(statistics: &LayerStatistics) -> Option<Distribution> {
    let (seen, covered) = (statistics.histogram.range(), statistics.covered?);
    let values = statistics.histogram.occupied();
    let all = statistics.histogram.count();
    Some(Distribution::new(values, BINS, (seen.low, seen.high), (covered.low, covered.high), all))
}

/// Times `model`, and the fp32 network that it was compiled from unless that is too large to be in memory as a whole.
pub(crate) fn time(
    model: &Model<'_>,
    network: &Network,
    runs: Runs,
    load: Option<Load>,
) -> Result<Timed, Error> {
    let mut fp32 = fp32(model, network)?;
    compare(model, fp32.as_mut().map(|fp32| fp32 as &mut Call<'_>), runs, load)
}

/// Returns a call that runs the fp32 network on [`fixed_pixels`], or `None` if the network is too large to be in memory as a
/// whole.
pub(crate) fn fp32(
    model: &Model<'_>,
    network: &Network,
) -> Result<Option<impl FnMut() -> Result<(), Error> + use<>>, Error> {
    if segments(network, TIMED_BYTES, 1).len() > 1 {
        return Ok(None);
    }
    let failed = |error| Error::new("", error);
    let input = model.input();
    let sides = |height: usize, width: usize| format!("{height}×{width}");
    if (network.input.height, network.input.width) != (input.height, input.width) {
        let theirs = sides(network.input.height, network.input.width);
        return Err(Error::new(
            "",
            format_args!(
                "the fp32 network reads {theirs} pixels, and the model reads {}; give the network that the model was compiled from",
                sides(input.height, input.width)
            ),
        ));
    }
    let mut fp32 = Fp32Model::new(network, &[]).map_err(failed)?;
    let normalized = normalize(model.preprocessing(), &fixed_pixels(input.pixels() * input.channels));
    Ok(Some(move || fp32.run(&normalized).map(drop).map_err(failed)))
}
