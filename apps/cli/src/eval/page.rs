//! What a page has besides accuracy: pictures of the flips, latency, layers.

use super::baseline::Baseline;
use crate::error::Error;
use crate::latency::interleaved;
use crate::statistics::milliseconds;
use resnext::{Kernels, Runner};
use resnext_evaluation::truth::Labelled;
use resnext_photo::Rgb8Image;
use resnext_report::{FlippedPhoto, Latency, Report};

/// Pictures of flips, at most.
const PHOTOS: usize = 24;

/// Quality of their JPEGs: good enough for a look, a few kilobytes.
const QUALITY: u8 = 80;

/// Fills in whatever can be known.
pub(super) fn fill(
    report: &mut Report<'_>,
    images: &Labelled,
    baseline: Option<&Baseline<'_>>,
    runs: u32,
    threads: usize,
) -> Result<(), Error> {
    photos(report, images);
    time(report, images, baseline, runs)?;
    #[cfg(feature = "compile")]
    if let Some(Baseline::Network { path, network }) = baseline {
        crate::layers::fill(report, path, network, images.samples(), threads)?;
    }
    let _ = threads;
    Ok(())
}

/// The flips as the networks saw them. A photo that has become unreadable since has none.
fn photos(report: &mut Report<'_>, images: &Labelled) {
    let Some(comparison) = report.evaluation.and_then(|evaluation| evaluation.comparison.as_ref()) else {
        return;
    };
    let recipe = report.model.recipe();
    let picture = |(index, flip): (usize, &resnext_evaluation::summary::Flip)| {
        let data = images.samples().get(flip.image)?.pixels(recipe).ok()?;
        let image = Rgb8Image { width: recipe.crop_width, height: recipe.crop_height, data };
        Some(FlippedPhoto { flip: index, jpeg: image.to_jpeg(QUALITY)? })
    };
    report.flips = comparison.flips.iter().enumerate().take(PHOTOS).filter_map(picture).collect();
}

/// Times both networks on the first photo that can be read, one thread each.
fn time(
    report: &mut Report<'_>,
    images: &Labelled,
    baseline: Option<&Baseline<'_>>,
    runs: u32,
) -> Result<(), Error> {
    let model = report.model;
    let Some(pixels) = images.samples().iter().find_map(|sample| sample.pixels(model.recipe()).ok()) else {
        return Ok(());
    };
    let failed = |error: resnext::RunError| Error::new("", error);
    let (mut arena, mut logits) = (vec![0; model.arena_len()], vec![0.0; model.class_count()]);
    let mut runner = Runner::new(model, &mut arena).map_err(failed)?;
    let mut int8 = || {
        runner.load_pixels(&pixels).map_err(failed)?;
        runner.infer(&mut logits, &mut ()).map_err(failed)
    };
    #[cfg(feature = "compile")]
    let mut fp32 = crate::layers::fp32(model, baseline_network(baseline), &pixels)?;
    #[cfg(not(feature = "compile"))]
    let mut fp32: Option<fn() -> Result<(), Error>> = {
        let _ = baseline;
        None
    };
    let mut networks: Vec<&mut dyn FnMut() -> Result<(), Error>> = Vec::new();
    let mut names = Vec::new();
    if let Some(fp32) = &mut fp32 {
        networks.push(fp32);
        names.push(("fp32 (tract)".to_owned(), false));
    }
    networks.push(&mut int8);
    names.push((format!("int8 ({})", Kernels::detect().isa()), true));
    let times = interleaved(runs, &mut networks)?;
    let latency = |((network, int8), times): ((String, bool), Vec<std::time::Duration>)| Latency {
        network,
        int8,
        threads: 1,
        ms: times.into_iter().map(milliseconds).collect(),
    };
    report.latency = names.into_iter().zip(times).map(latency).collect();
    Ok(())
}

#[cfg(feature = "compile")]
fn baseline_network<'a>(
    baseline: Option<&'a Baseline<'_>>,
) -> Option<&'a resnext_calibration::network::Network> {
    match baseline {
        Some(Baseline::Network { network, .. }) => Some(network),
        _ => None,
    }
}
