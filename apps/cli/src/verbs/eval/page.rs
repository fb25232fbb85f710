//! What the HTML report has besides accuracy: pictures of the flips, layers and latency.

use super::baseline::Baseline;
use crate::machine::load::Load;
use crate::session::latency::{Runs, Timed, compare};
use crate::terminal::Error;
use resnext::Model;
use resnext_evaluation::truth::Labelled;
use resnext_photo::Rgb8Image;
use resnext_report::{FlippedPhoto, Report};

/// The most pictures of flips.
const PHOTOS: usize = 24;

/// The JPEG quality of the pictures. At this quality, a picture is clear and takes a few kilobytes.
const QUALITY: u8 = 80;

/// Fills in the pictures, and the layers if the baseline is a network.
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

/// Fills in the pictures of the flips as the networks saw them. A photo that has become unreadable since is left out.
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

/// Times both networks, or int8 alone if there is no fp32 network.
pub(super) fn time(
    model: &Model<'_>,
    baseline: Option<&Baseline<'_>>,
    runs: Runs,
    load: Option<Load>,
) -> Result<Timed, Error> {
    #[cfg(feature = "compile")]
    if let Some(Baseline::Network { network, .. }) = baseline {
        return crate::offline::layers::time(model, network, runs, load);
    }
    let _ = baseline;
    compare(model, None, runs, load)
}
