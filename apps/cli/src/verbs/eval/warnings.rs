//! Reasons to doubt an evaluation, each with its cause.

use crate::session::samples;
use resnext::Model;
use resnext_evaluation::Evaluation;
use resnext_metadata::Metadata;

/// Logits further apart than this, in dB, come from another network or a broken calibration.
const UNLIKE_DB: f64 = 12.0;

/// The remedy for a broken calibration.
const COMPILE_AGAIN: &str =
    "compile it again with the default method and a few hundred different photos (resnext compile)";

/// Returns one line for each reason: what is wrong and how to fix it.
pub(super) fn warnings(model: &Model<'_>, evaluation: &Evaluation) -> Vec<String> {
    let metadata = Metadata::parse(model.metadata());
    let repeated = |what: &String| format!("the compiler warned of this model: {what}; {COMPILE_AGAIN}");
    let mut warnings: Vec<String> = metadata.calibration.warnings.iter().map(repeated).collect();
    warnings.extend(below_published(&metadata, evaluation));
    warnings.extend(unlike(&metadata, evaluation));
    if let Some(what) = samples::identical("images", evaluation.pictures.len(), evaluation.images) {
        warnings.push(format!(
            "{what}; accuracies and intervals assume different pictures: look for copies in --data"
        ));
    }
    if evaluation.ambivalent > 0 {
        warnings.push(format!(
            "{} of the {} images show the same picture as an image of another class, so not all of them can be right: look for \
             copies in --data",
            evaluation.ambivalent, evaluation.images
        ));
    }
    warnings
}

/// Returns the ratio of signal to noise in the logits in dB if the compiler found int8 and fp32 as far apart as only a broken
/// calibration sets them. The compiler knew both networks, so neither --baseline nor --data is the cause.
fn known_noise(metadata: &Metadata) -> Option<f64> {
    metadata.fidelity?.logit_sqnr_db.filter(|&db| db < UNLIKE_DB)
}

fn below_published(metadata: &Metadata, evaluation: &Evaluation) -> Option<String> {
    let variant = resnext_models::find(metadata.source.as_ref()?)?;
    let published = evaluation.far_below_published(variant)?;
    let (network, accuracy) = match &evaluation.comparison {
        Some(comparison) => ("fp32", comparison.fp32),
        None => ("int8", evaluation.int8),
    };
    let found = format!(
        "{network} has {:.1} % top-1, and {variant} is published with {:.1} %",
        100.0 * accuracy.top1.share(),
        100.0 * published
    );
    Some(match known_noise(metadata) {
        Some(db) if evaluation.comparison.is_none() => {
            format!(
                "{found}: int8 was far from fp32 when the model was compiled ({db:.1} dB); {COMPILE_AGAIN}"
            )
        }
        _ => format!(
            "{found}: the preprocessing, the labels or the weights are wrong; check --arch, --resize and --interpolation of \
             `resnext compile`, and the labels"
        ),
    })
}

fn unlike(metadata: &Metadata, evaluation: &Evaluation) -> Option<String> {
    let found = evaluation.comparison.as_ref()?.logit_sqnr_db;
    if found >= UNLIKE_DB {
        return None;
    }
    Some(match known_noise(metadata) {
        Some(db) => format!(
            "int8 and fp32 differ widely ({found:.1} dB), as they did when the model was compiled ({db:.1} dB): its calibration is \
             broken; {COMPILE_AGAIN}"
        ),
        None if !metadata.calibration.warnings.is_empty() => format!(
            "int8 and fp32 differ widely ({found:.1} dB), most likely for what the compiler warned of; {COMPILE_AGAIN}"
        ),
        None => format!(
            "int8 and fp32 differ widely ({found:.1} dB); check that --baseline is the network that the model was compiled from"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnext_evaluation::Outcomes;
    use resnext_evaluation::outcome::Outcome;
    use resnext_evaluation::samples::{Sample, Samples};
    use resnext_evaluation::truth::{ClassIndex, Labelled};
    use resnext_testing::networks::colours;

    /// The warnings of a model with these metadata, whose logits on one image of its second class are `int8`, and those of fp32
    /// are `fp32`.
    fn found(metadata: &str, int8: &[f32], fp32: Option<&[f32]>) -> Vec<String> {
        let artifact = colours(metadata).bytes;
        let model = Model::from_bytes(&artifact).expect("loads");
        let class = model.class(1).expect("a class").label.to_owned();
        let samples: Samples = [Sample::embedded("a", Some(&class), b"")].into_iter().collect();
        let images = Labelled::by_folder(&samples, &ClassIndex::new(&model)).expect("labelled");
        let outcomes = Outcomes { done: vec![Outcome::new(0, 0, int8, fp32)], failed: Vec::new() };
        warnings(&model, &Evaluation::new(&images, outcomes).expect("an image"))
    }

    #[test]
    fn the_cause_is_what_the_compiler_knew() {
        let (near, far) = ([0.9, 2.1, 0.0], [2.0, -1.0, 0.5]);
        let fp32: &[f32] = &[1.0, 2.0, 0.0];
        assert_eq!(found("{}", &near, Some(fp32)), [""; 0]);
        let unknown = found("{}", &far, Some(fp32));
        assert!(
            unknown.len() == 1 && unknown[0].contains("; check that --baseline is the network"),
            "{unknown:?}"
        );
        let ruined = r#"{"fidelity": {"agreement": 0.35, "logit_sqnr_db": -1.7, "samples": 64}}"#;
        let known = found(ruined, &far, Some(fp32));
        assert!(known[0].contains("as they did when the model was compiled (-1.7 dB)"), "{known:?}");
        assert!(known.len() == 1 && !known[0].contains("--baseline"), "{known:?}");
        let warned = r#"{"calibration": {"warnings": ["1 picture is too few"]}}"#;
        let repeated = found(warned, &near, Some(fp32));
        let expected = "the compiler warned of this model: 1 picture is too few; compile it again ";
        assert!(repeated.len() == 1 && repeated[0].starts_with(expected), "{repeated:?}");
        assert_eq!(found(warned, &near, None), repeated, "without a baseline, too");
        let both = found(warned, &far, Some(fp32));
        assert!(
            both[1].contains("for what the compiler warned of; ") && !both[1].contains("--baseline"),
            "{both:?}"
        );
    }
}
