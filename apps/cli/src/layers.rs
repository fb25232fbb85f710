//! The layers of a report, against the fp32 network.

use crate::error::Error;
use crate::samples;
use crate::write::write_atomically;
use resnext::Model;
use resnext_calibration::evaluate::preprocessing;
use resnext_calibration::fp32::{Fp32Model, segments};
use resnext_calibration::layers::{LayerStatistics, examine};
use resnext_calibration::network::Network;
use resnext_calibration::samples::Samples;
use resnext_report::{Distribution, Layer, Report};
use std::path::Path;

/// Images on which layers are compared: noise of a layer is the same on any few dozen.
const IMAGES: usize = 32;

/// Bars of a histogram.
const BINS: usize = 72;

/// Memory that a network to be timed may take for its weights.
const TIMED_BYTES: usize = 768 << 20;

/// Fills in noise and distribution of every layer on some of `samples`. Fills in what is not known otherwise: a
/// sensitivity that is there already stays.
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

/// `None` for the logits, which are not quantized.
fn distribution(statistics: &LayerStatistics) -> Option<Distribution> {
    let (seen, covered) = (statistics.histogram.range(), statistics.covered?);
    let values = statistics.histogram.occupied();
    Some(Distribution::new(values, BINS, (seen.low, seen.high), (covered.low, covered.high)))
}

/// Writes a page of a model that was just compiled: layers, arena, card.
pub(crate) fn write_page(
    path: &Path,
    (name, artifact): (String, &[u8]),
    (fp32, network): (&Path, &Network),
    samples: &Samples,
    threads: usize,
) -> Result<(), Error> {
    let model = Model::from_bytes(artifact).map_err(|error| Error::at(fp32, error))?;
    let mut report = Report::new(&model, name, concat!("resnext ", env!("CARGO_PKG_VERSION")));
    fill(&mut report, fp32, network, samples, threads)?;
    write_atomically(path, resnext_report::html(&report).as_bytes())
}

/// The fp32 network on one photo, again and again; `None` for a network too large to be held at once.
pub(crate) fn fp32(
    model: &Model<'_>,
    network: Option<&Network>,
    pixels: &[u8],
) -> Result<Option<impl FnMut() -> Result<(), Error> + use<>>, Error> {
    let Some(network) = network.filter(|network| segments(network, TIMED_BYTES, 1).len() == 1) else {
        return Ok(None);
    };
    let failed = |error| Error::new("", error);
    let mut fp32 = Fp32Model::new(network, &[]).map_err(failed)?;
    let normalized = preprocessing(model).normalize(pixels);
    Ok(Some(move || fp32.run(&normalized).map(drop).map_err(failed)))
}
