//! What a page has besides accuracy: pictures of the flips, layers. And how long inferences take, which everybody is told.

use super::baseline::Baseline;
use crate::error::Error;
use crate::session::latency::{Runs, compare};
use resnext::Model;
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
    threads: usize,
) -> Result<(), Error> {
    photos(report, images);
    #[cfg(feature = "compile")]
    if let Some(Baseline::Network { path, network }) = baseline {
        crate::offline::layers::fill(report, path, network, images.samples(), threads)?;
    }
    let _ = (baseline, threads);
    Ok(())
}

/// The flips as the networks saw them. A photo that has become unreadable since has none.
fn photos(report: &mut Report<'_>, images: &Labelled) {
    let Some(comparison) = report.evaluation.and_then(|evaluation| evaluation.comparison.as_ref()) else {
        return;
    };
    let preprocessing = report.model.preprocessing();
    let picture = |(index, flip): (usize, &resnext_evaluation::summary::Flip)| {
        let data = images.samples().get(flip.image)?.pixels(preprocessing).ok()?;
        let image = Rgb8Image { width: preprocessing.crop_width, height: preprocessing.crop_height, data };
        Some(FlippedPhoto { flip: index, jpeg: image.to_jpeg(QUALITY)? })
    };
    report.flips = comparison.flips.iter().enumerate().take(PHOTOS).filter_map(picture).collect();
}

/// Times both networks, or int8 alone if fp32 is not here.
pub(super) fn time(
    model: &Model<'_>,
    baseline: Option<&Baseline<'_>>,
    runs: Runs,
) -> Result<Vec<Latency>, Error> {
    #[cfg(feature = "compile")]
    if let Some(Baseline::Network { network, .. }) = baseline {
        return crate::offline::layers::time(model, network, runs);
    }
    let _ = baseline;
    compare(model, None, runs)
}
