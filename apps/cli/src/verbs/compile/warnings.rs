//! Reasons to doubt a calibration.

use crate::session::samples::identical;
use resnext_calibration::{LayerReport, Report};

/// The number of layers that are named.
const NAMED: usize = 3;

/// Returns one line for each reason: what is wrong and how to fix it.
pub(super) fn warnings(report: &Report) -> Vec<String> {
    let identical = identical("samples", report.distinct, report.calibrated).map(|what| {
        format!(
            "{what}; the ranges fit only those: give different photos, like those that the model will see"
        )
    });
    identical.into_iter().chain(constant(&report.layers, report.calibrated)).collect()
}

/// Returns a warning about layers whose output never changes.
fn constant(layers: &[LayerReport], samples: usize) -> Option<String> {
    let constant: Vec<String> =
        layers.iter().filter_map(|layer| Some(format!("{} ({})", layer.name, layer.constant?))).collect();
    if constant.is_empty() {
        return None;
    }
    let named = constant[..constant.len().min(NAMED)].join(", ");
    let more =
        if constant.len() > NAMED { format!(" and {} more", constant.len() - NAMED) } else { String::new() };
    let (layers, samples) = (
        if constant.len() == 1 { "layer gives" } else { "layers give" },
        if samples == 1 { "sample" } else { "samples" },
    );
    Some(format!(
        "{} {layers} the same value everywhere, whatever the {samples} show: {named}{more}; weights in it or before it are \
         zero or broken: check the checkpoint and --arch",
        constant.len(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(distinct: usize, constant: &[Option<f64>]) -> Report {
        let layer = |(index, &constant): (usize, &Option<f64>)| LayerReport {
            name: format!("conv{index}"),
            sqnr_db: 40.0,
            range: None,
            seen: None,
            constant,
            method: Some("mse"),
        };
        Report {
            calibrated: 8,
            distinct,
            skipped: Vec::new(),
            surrogate_images: None,
            checked: 8,
            agreement: 1.0,
            logit_sqnr_db: 37.0,
            layers: constant.iter().enumerate().map(layer).collect(),
            sensitivity: Vec::new(),
            retained: None,
        }
    }

    #[test]
    fn sound_calibrations_raise_none() {
        assert_eq!(warnings(&report(8, &[None; 3])), [""; 0]);
        assert_eq!(warnings(&report(4, &[])), [""; 0]);
    }

    #[test]
    fn alike_samples_and_dead_layers_do() {
        let all = warnings(&report(1, &[None, Some(0.0), Some(-1.5)]));
        assert!(all[0].starts_with("all 8 samples are the same picture; "), "{all:?}");
        assert!(all[1].starts_with("2 layers give the same value everywhere, "), "{all:?}");
        assert!(all[1].contains("samples show: conv1 (0), conv2 (-1.5); "), "{all:?}");
        let many = warnings(&report(3, &[Some(0.0); 5]));
        assert!(many[0].starts_with("only 3 of the 8 samples are different pictures; "), "{many:?}");
        assert!(many[1].contains("conv2 (0) and 2 more; "), "{many:?}");
        let one = warnings(&report(8, &[Some(2.0)]));
        assert!(one[0].starts_with("1 layer gives the same value everywhere, "), "{one:?}");
    }
}
