//! What an artifact says of itself. Nothing here depends on when or where it was compiled.

use resnext_metadata::{Architecture, Calibration, Fidelity, Layer, Metadata};

use resnext_photo::Exif;

use super::sensitivity::Sensitivity;
use super::{LayerReport, Options, Report, ScaleProvenance};
use crate::network::Network;

/// Describes an artifact of `network`.
pub(super) fn metadata(
    network: &Network,
    options: &Options,
    provenance: &ScaleProvenance,
    report: &Report,
) -> Metadata {
    let ScaleProvenance { method, percentile, techniques, surrogate_images, layers, checksums, .. } =
        provenance;
    let architecture = &network.architecture;
    let layer = |layer| measured(layer, &report.sensitivity);
    Metadata {
        calibration: Calibration {
            biases_corrected: techniques.correct_bias,
            data_free: surrogate_images.is_some(),
            layers: layers.iter().map(|(name, method)| (name.clone(), method.to_string())).collect(),
            method: Some((*method).to_owned()),
            percentile: *percentile,
            rounded_together: techniques.round_together,
            samples: Some(report.pictures.count as u64),
            skipped: Some(report.skipped.len() as u64),
            warnings: report.warnings.iter().map(ToString::to_string).collect(),
        },
        exif_orientation: options.exif == Exif::Apply,
        fidelity: Some(Fidelity {
            agreement: Some(rounded(report.agreement, 1e4)),
            logit_sqnr_db: Some(rounded(report.logit_sqnr_db, 1e4)),
            samples: report.checked as u64,
        }),
        layers: if report.checked > 0 { report.layers.iter().map(layer).collect() } else { Vec::new() },
        licence: options.licence.clone(),
        name: Some(network.name.clone()),
        pictures: checksums.clone(),
        source: Some(options.source.clone()),
        tool: Some(concat!("resnext ", env!("CARGO_PKG_VERSION")).to_owned()),
        architecture: Some(Architecture {
            base_width: architecture.base_width(),
            blocks: architecture.blocks.clone(),
            cardinality: architecture.cardinality,
            classes: architecture.classes,
            depth: architecture.depth(),
        }),
    }
}

/// Describes a layer to whoever evaluates the artifact without the fp32 network.
fn measured(layer: &LayerReport, sensitivity: &[Sensitivity]) -> Layer {
    let found = sensitivity.iter().find(|found| found.name == layer.name);
    Layer {
        alone_db: found.map(|found| rounded(found.alone_db, 10.0)),
        method: layer.method.map(str::to_owned),
        name: layer.name.clone(),
        sqnr_db: Some(rounded(layer.sqnr_db, 10.0)),
        without_db: found.map(|found| rounded(found.without_db, 10.0)),
    }
}

/// Rounds `value` to a whole number of parts, `parts` to one.
fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
