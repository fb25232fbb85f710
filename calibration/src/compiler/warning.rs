//! Reasons to doubt a calibration.
//!
//! Nothing here stops a compilation. `benches/record/warnings.md` has the measurements behind the thresholds.

use std::collections::BTreeMap;
use std::fmt;

use resnext_evaluation::statistics::Proportion;

use super::check::Fidelity;
use super::{LayerReport, Options, ScaleProvenance};
use crate::observe::{Pictures, TrainingDistance};

/// Fewer scenes than this fit the ranges to themselves.
const ENOUGH_SCENES: usize = 10;

/// The least share of flat, enlarged or copied pictures that counts.
const MANY: f64 = 0.5;

/// The share of the checked samples that have one class, from which on they count as alike, ...
const ONE_CLASS: f64 = 0.8;

/// ... if there are so many of them, ...
const ONE_CLASS_SAMPLES: usize = 8;

/// ... and if the network knows so many classes. Of two or three, one may well be rare.
const ONE_CLASS_OF: usize = 4;

/// The greatest distance from the training images in nats that photos of another kind have.
const FAR_NATS: f64 = 0.2;

/// The least ratio of signal to noise in the logits in dB that is usual. From here downwards a network of ten classes loses a point of
/// accuracy and more; benches/record/warnings.md.
const USUAL_DB: f64 = 24.0;

/// The least agreement that is usual. Of few samples it is less by chance.
const USUAL_AGREEMENT: f64 = 0.95;

/// The number of layers that are named.
const NAMED: usize = 3;

/// A reason to doubt a calibration. Displays as what is wrong, without a remedy.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// Most samples show nothing: all their pixels have nearly the same colour.
    Flat {
        /// Such samples.
        flat: usize,
        /// All samples.
        samples: usize,
    },
    /// Many samples show what others show, too.
    Copies {
        /// Different scenes.
        scenes: usize,
        /// All samples.
        samples: usize,
    },
    /// There are few samples.
    Few {
        /// Different scenes.
        scenes: usize,
    },
    /// Most samples are so small that they were enlarged more than twice.
    Enlarged {
        /// Such samples.
        enlarged: usize,
        /// All samples.
        samples: usize,
    },
    /// fp32 finds the same class in nearly all samples.
    OneClass {
        /// The label of the class.
        class: String,
        /// Samples in which fp32 finds it, of those that were checked.
        found: Proportion,
    },
    /// The samples reach the network unlike the training images.
    FarFromTraining(TrainingDistance),
    /// Some layers give the same value everywhere.
    Constant {
        /// The layers and their values.
        layers: Vec<(String, f64)>,
        /// All samples.
        samples: usize,
    },
    /// int8 is further from fp32 than it usually is.
    Noisy {
        /// Checked samples on which both name the same class.
        agreement: Proportion,
        /// The signal-to-quantization-noise ratio of the logits in dB.
        logit_sqnr_db: f64,
        /// How the ranges were chosen.
        method: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all_or = |some: usize, of: usize| match (some == of, of) {
            (true, 1) => "the only sample".to_owned(),
            (true, 2) => "both samples".to_owned(),
            (true, of) => format!("all {of} samples"),
            (false, of) => format!("{some} of the {of} samples"),
        };
        let is = |count: usize, one: &'static str, many: &'static str| if count == 1 { one } else { many };
        match self {
            Self::Flat { flat, samples } => {
                let which = all_or(*flat, *samples);
                write!(
                    f,
                    "{which} {} nothing: their pixels have nearly the same colour",
                    is(*flat, "shows", "show")
                )
            }
            Self::Copies { scenes: 1, samples } => write!(f, "all {samples} samples show the same picture"),
            Self::Copies { scenes, samples } => {
                write!(f, "only {scenes} of the {samples} samples are different pictures")
            }
            Self::Few { scenes } => write!(
                f,
                "{scenes} {} too few to calibrate on: other pictures will leave the ranges",
                is(*scenes, "picture is", "pictures are")
            ),
            Self::Enlarged { enlarged, samples } => {
                let which = all_or(*enlarged, *samples);
                write!(
                    f,
                    "{which} {} less than half as large as the network's input",
                    is(*enlarged, "is", "are")
                )
            }
            Self::OneClass { class, found: Proportion { hits, of } } => {
                write!(f, "fp32 finds the same class ({class}) in {hits} of {of} samples")
            }
            Self::FarFromTraining(TrainingDistance { layer, nats }) => write!(
                f,
                "the samples reach the network unlike the images that it was trained on ({nats:.2} nats at {layer}): they are \
                 of another kind, or the preprocessing is wrong (order of the colours, range, mean and standard deviation)"
            ),
            Self::Constant { layers, samples } => constant(f, layers, *samples),
            Self::Noisy { agreement: Proportion { hits, of }, logit_sqnr_db, method } => write!(
                f,
                "int8 is far from fp32: it names the same class on {hits} of {of} samples, logits {logit_sqnr_db:.1} dB SQNR, \
                 with method {method}; usual are {:.0} % and {USUAL_DB:.0} dB or more",
                100.0 * USUAL_AGREEMENT
            ),
        }
    }
}

fn constant(f: &mut fmt::Formatter<'_>, layers: &[(String, f64)], samples: usize) -> fmt::Result {
    let named: Vec<String> =
        layers.iter().take(NAMED).map(|(layer, value)| format!("{layer} ({value})")).collect();
    let more = match layers.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    write!(
        f,
        "{} {} the same value everywhere, whatever the {} show: {}{more}",
        layers.len(),
        if layers.len() == 1 { "layer gives" } else { "layers give" },
        if samples == 1 { "sample" } else { "samples" },
        named.join(", ")
    )
}

/// Returns the reasons to doubt a calibration, the cause before its effects.
pub(super) fn warnings(
    options: &Options,
    provenance: &ScaleProvenance,
    fidelity: &Fidelity,
    layers: &[LayerReport],
) -> Vec<Warning> {
    let mut warnings = of_pictures(provenance.pictures);
    warnings.extend(
        one_class(options, fidelity).filter(|_| provenance.pictures.count > 0 && warnings.is_empty()),
    );
    // Later stages see what the pictures show, the first one how they are made. What shows nothing is far from everything, and few
    // pictures are far by chance.
    if let Some(distance) = provenance.distances.first()
        && distance.nats > FAR_NATS
        && provenance.pictures.scenes >= ENOUGH_SCENES
    {
        warnings.push(Warning::FarFromTraining(distance.clone()));
    }
    let constant: Vec<(String, f64)> =
        layers.iter().filter_map(|layer| Some((layer.name.clone(), layer.constant?))).collect();
    if !constant.is_empty() && provenance.pictures.flat < provenance.pictures.count {
        warnings.push(Warning::Constant { layers: constant, samples: provenance.pictures.count });
    }
    let agreement = Proportion { hits: fidelity.agreeing(), of: fidelity.samples() };
    let logit_sqnr_db = fidelity.logit_sqnr_db();
    if agreement.of > 0 && (agreement.interval().high < USUAL_AGREEMENT || logit_sqnr_db < USUAL_DB) {
        let method = match provenance.percentile {
            Some(percentage) => format!("{} {percentage}", provenance.method),
            None => provenance.method.to_owned(),
        };
        warnings.push(Warning::Noisy { agreement, logit_sqnr_db, method });
    }
    warnings
}

fn of_pictures(pictures: Pictures) -> Vec<Warning> {
    let Pictures { count: samples, scenes, flat, enlarged, .. } = pictures;
    let many = |count: usize| count > 0 && count as f64 >= MANY * samples as f64;
    let mut warnings = Vec::new();
    if many(flat) {
        warnings.push(Warning::Flat { flat, samples });
    } else if samples > 1 && many(samples - scenes) {
        warnings.push(Warning::Copies { scenes, samples });
    }
    if warnings.is_empty() && samples > 0 && scenes < ENOUGH_SCENES {
        warnings.push(Warning::Few { scenes });
    }
    if many(enlarged) {
        warnings.push(Warning::Enlarged { enlarged, samples });
    }
    warnings
}

fn one_class(options: &Options, fidelity: &Fidelity) -> Option<Warning> {
    let mut counts = BTreeMap::<usize, usize>::new();
    fidelity.classes.iter().for_each(|&(_, fp32)| *counts.entry(fp32).or_default() += 1);
    let (class, hits) = counts.into_iter().max_by_key(|&(_, count)| count)?;
    let found = Proportion { hits, of: fidelity.samples() };
    let alike = found.of >= ONE_CLASS_SAMPLES && found.share() >= ONE_CLASS;
    let named = options.classes.get(class).map_or_else(String::new, |class| class.label.clone());
    (alike && options.classes.len() >= ONE_CLASS_OF).then_some(Warning::OneClass { class: named, found })
}
