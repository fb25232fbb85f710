//! Accuracy on labelled images: int8, fp32 on the same pixels, and the difference between them.

use crate::fidelity::Noise;
use crate::fp32::Fp32Error;
use crate::network::Network;
use crate::preprocessing::Preprocessing;
use crate::samples::{SampleError, Samples};
use crate::stream::{Budget, Input, Pass, stream};
use indicatif::ProgressBar;
use resnext::{Model, RunError, Runner, top_k};

/// Accuracy of one network: shares of the images.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Accuracy {
    /// The most probable class is the right one.
    pub top1: f64,
    /// The right class is among the five most probable.
    pub top5: f64,
}

/// What evaluating found out.
#[derive(Debug)]
pub struct Evaluation {
    /// Images evaluated.
    pub images: usize,
    /// Images that could not be decoded.
    pub skipped: Vec<SampleError>,
    /// Accuracy of the artifact.
    pub int8: Accuracy,
    /// The comparison, if there is a baseline.
    pub comparison: Option<Comparison>,
}

/// int8 against fp32 on the same pixels.
#[derive(Debug)]
pub struct Comparison {
    /// Accuracy of the baseline.
    pub fp32: Accuracy,
    /// Share of the images on which both name the same class.
    pub agreement: f64,
    /// Images that fp32 has right and int8 wrong.
    pub lost: usize,
    /// Images that fp32 has wrong and int8 right.
    pub gained: usize,
    /// Signal to quantization noise ratio of the logits, dB.
    pub logit_sqnr_db: f64,
}

impl Comparison {
    /// Probability of losses and gains at least this unequal if neither network were better: McNemar's exact
    /// test, two-sided.
    pub fn mcnemar_p(&self) -> f64 {
        let (n, k) = (self.lost + self.gained, self.lost.min(self.gained));
        // Σ C(n, i) / 2ⁿ for i ≤ k, by ratios of neighbouring terms; logarithms, since 2⁻ⁿ may underflow.
        let mut log_term = -(n as f64) * std::f64::consts::LN_2;
        let mut sum = 0.0;
        for i in 0..=k {
            sum += log_term.exp();
            log_term += ((n - i) as f64 / (i + 1) as f64).ln();
        }
        (2.0 * sum).min(1.0)
    }
}

/// Why an evaluation failed. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The baseline does not run.
    #[error(transparent)]
    Fp32(#[from] Fp32Error),
    /// The artifact does not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The baseline is another network.
    #[error(
        "the baseline has {baseline} classes and reads {baseline_size} pixels, the model {model} and {model_size}; give the fp32 network that the model was compiled from"
    )]
    Baseline {
        /// Classes of the baseline.
        baseline: usize,
        /// Input height of the baseline.
        baseline_size: usize,
        /// Classes of the model.
        model: usize,
        /// Input height of the model.
        model_size: usize,
    },
    /// No folder is named after a class.
    #[error(
        "no folder is named after a class of the model (found {found}); name each folder by wnid or label, such as {example}"
    )]
    NoClass {
        /// Folders found.
        found: String,
        /// A class of the model.
        example: String,
    },
    /// No image could be decoded.
    #[error("none of the {0} labelled images can be decoded; give JPEG or PNG photos")]
    NoImages(usize),
}

/// Evaluates `model` on `samples`, whose folders are named after classes (identifier or label), and compares
/// it with the folded fp32 network `baseline` on the same pixels.
///
/// Images in folders that match no class are left out and counted as skipped.
///
/// # Errors
///
/// [`EvaluateError`].
pub fn evaluate(
    model: &Model<'_>,
    baseline: Option<&Network>,
    samples: &Samples,
    threads: usize,
    progress: &ProgressBar,
) -> Result<Evaluation, EvaluateError> {
    let preprocessing = preprocessing(model);
    if let Some(network) = baseline {
        let model_size = preprocessing.recipe.crop_height as usize;
        let (classes, size) = (network.topology.classes, network.input.height);
        if (classes, size) != (model.class_count(), model_size) {
            return Err(EvaluateError::Baseline {
                baseline: classes,
                baseline_size: size,
                model: model.class_count(),
                model_size,
            });
        }
    }
    let truth = |folder: Option<&str>| {
        let folder = folder?;
        (0..model.class_count()).find(|&index| {
            model
                .class(index)
                .is_some_and(|class| class.id == folder || class.label.eq_ignore_ascii_case(folder))
        })
    };
    let mut skipped = Vec::new();
    let mut labelled = Vec::new();
    let mut truths = Vec::new();
    for sample in samples {
        match truth(sample.class()) {
            Some(class) => {
                labelled.push(sample.clone());
                truths.push(class);
            }
            None => skipped.push(SampleError {
                name: sample.name().to_owned(),
                reason: "its folder is not named after a class".to_owned(),
            }),
        }
    }
    if labelled.is_empty() {
        let mut found = samples.classes();
        found.truncate(3);
        let found = if found.is_empty() { "no folders".to_owned() } else { found.join(", ") };
        let example =
            model.class(0).map_or("", |class| if class.id.is_empty() { class.label } else { class.id });
        return Err(EvaluateError::NoClass { found, example: example.to_owned() });
    }
    let labelled: Samples = labelled.into_iter().collect();
    progress.set_message("evaluating");
    let pass = Answer { model: *model, truths };
    let budget = Budget::USUAL;
    let input = Input { samples: &labelled, preprocessing: &preprocessing, threads, budget, progress };
    let streamed = stream(&pass, baseline, input)?;

    let (mut int8, mut fp32) = (Tally::default(), Tally::default());
    let (mut agreeing, mut lost, mut gained) = (0, 0, 0);
    let mut noise = Noise::default();
    for result in streamed.results {
        match result {
            Ok((judged, original)) => {
                int8.count(judged);
                if let Some((original, logits)) = original {
                    fp32.count(original);
                    noise += logits;
                    agreeing += usize::from(judged.class == original.class);
                    lost += usize::from(original.first && !judged.first);
                    gained += usize::from(judged.first && !original.first);
                }
            }
            Err(error) => skipped.push(error),
        }
    }
    if int8.images == 0 {
        return Err(EvaluateError::NoImages(labelled.len()));
    }
    let images = int8.images;
    Ok(Evaluation {
        images,
        skipped,
        int8: int8.accuracy(),
        comparison: baseline.map(|_| Comparison {
            fp32: fp32.accuracy(),
            agreement: agreeing as f64 / images as f64,
            lost,
            gained,
            logit_sqnr_db: noise.sqnr_db(),
        }),
    })
}

/// Lets both networks answer and judges the answers.
struct Answer<'a> {
    model: Model<'a>,
    /// Per sample.
    truths: Vec<usize>,
}

/// What becomes of a photo.
struct Answered {
    truth: usize,
    logits: Vec<f32>,
    /// fp32's answer, and the noise of int8's.
    original: Option<(Judged, Noise)>,
}

impl Pass for Answer<'_> {
    type Worker = ();
    type Photo = Answered;
    /// int8's answer; fp32's, and the noise between them.
    type Output = (Judged, Option<(Judged, Noise)>);
    type Error = EvaluateError;

    const EVERY_VALUE: bool = false;

    fn photo_bytes(&self) -> usize {
        size_of::<f32>() * self.model.class_count()
    }

    fn worker(&self) {}

    fn begin(&self, index: usize, pixels: &[u8]) -> Result<Answered, EvaluateError> {
        let mut logits = vec![0.0; self.model.class_count()];
        let mut arena = vec![0; self.model.arena_len()];
        let mut runner = Runner::new(&self.model, &mut arena)?;
        runner.load_pixels(pixels)?;
        runner.infer(&mut logits, &mut ())?;
        Ok(Answered { truth: self.truths[index], logits, original: None })
    }

    fn value(
        &self,
        (): &mut (),
        photo: &mut Answered,
        _: usize,
        logits: &[f32],
    ) -> Result<(), EvaluateError> {
        photo.original = Some((Judged::new(logits, photo.truth), Noise::of_slices(&photo.logits, logits)));
        Ok(())
    }

    fn end(&self, photo: Answered) -> Self::Output {
        (Judged::new(&photo.logits, photo.truth), photo.original)
    }
}

/// The preprocessing that `model` carries.
pub fn preprocessing(model: &Model<'_>) -> Preprocessing {
    let (mean, std) = model.normalization();
    Preprocessing { recipe: *model.recipe(), mean, std }
}

/// One network's answer to one image.
#[derive(Clone, Copy)]
struct Judged {
    class: usize,
    first: bool,
    in_five: bool,
}

impl Judged {
    fn new(logits: &[f32], truth: usize) -> Self {
        let hits = top_k::<5>(logits);
        let class = hits.first().map_or(0, |hit| hit.class);
        Self { class, first: class == truth, in_five: hits.iter().any(|hit| hit.class == truth) }
    }
}

#[derive(Default)]
struct Tally {
    images: usize,
    first: usize,
    in_five: usize,
}

impl Tally {
    fn count(&mut self, judged: Judged) {
        self.images += 1;
        self.first += usize::from(judged.first);
        self.in_five += usize::from(judged.in_five);
    }

    fn accuracy(&self) -> Accuracy {
        let share = |count: usize| count as f64 / self.images.max(1) as f64;
        Accuracy { top1: share(self.first), top5: share(self.in_five) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mcnemar_is_the_binomial_tail() {
        let p = |lost, gained| {
            let (fp32, agreement, logit_sqnr_db) = (Accuracy::default(), 0.0, 0.0);
            Comparison { fp32, agreement, lost, gained, logit_sqnr_db }.mcnemar_p()
        };
        assert_eq!(p(0, 0), 1.0);
        assert!((p(3, 3) - 1.0).abs() < 1e-12);
        // 2 · (1 + 6) / 2⁶.
        assert!((p(1, 5) - 14.0 / 64.0).abs() < 1e-12);
        assert!((p(0, 10) - 2.0 / 1024.0).abs() < 1e-12);
        assert_eq!(p(5, 1), p(1, 5));
        assert!((0.0..1e-9).contains(&p(0, 400)));
        assert!(p(2000, 2001) > 0.98, "no underflow");
    }
}
