//! Sums up the outcomes of all images.

use crate::noise::Noise;
use crate::outcome::{Answer, Outcome};
use crate::run::Outcomes;
use crate::samples::SampleError;
use crate::statistics::{Interval, Paired, Proportion};
use crate::truth::{Labelled, Unmatched};
use resnext_models::Variant;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Accuracy of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accuracy {
    /// Images whose most probable class is the right one.
    pub top1: Proportion,
    /// Images whose right class is among the five most probable ones.
    pub top5: Proportion,
}

impl Accuracy {
    fn count(&mut self, answer: &Answer, truth: usize) {
        self.top1.count(answer.is_right(truth));
        self.top5.count(answer.contains(truth));
    }
}

/// The result of an evaluation.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Number of images that were evaluated.
    pub images: usize,
    /// The [checksums](crate::outcome::pixel_checksum) of the pictures, after cropping.
    pub pictures: HashSet<u64>,
    /// Number of images whose picture, after cropping, is an image of another class, too. No network has them all right.
    pub ambivalent: usize,
    /// Images that could not be decoded.
    pub failed: Vec<SampleError>,
    /// Images that were left out because the model does not know their class.
    pub unmatched: Vec<Unmatched>,
    /// Number of images that were left out because their fp32 logits have not been recorded.
    pub unrecorded: usize,
    /// Accuracy of int8.
    pub int8: Accuracy,
    /// The comparison with fp32, if there is a baseline.
    pub comparison: Option<Comparison>,
    /// Results of each class that has images, in the order of the classes.
    pub classes: Vec<ClassSummary>,
    /// The cells of the confusion matrix that are not zero, by right class and then by answer.
    pub confusions: Vec<Confusion>,
}

/// A cell of the confusion matrix: the images of a class that are taken for a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// The right class.
    pub truth: usize,
    /// The most probable class by the network.
    pub answer: usize,
    /// Number of images to which int8 gives this answer.
    pub int8: usize,
    /// Number of images to which fp32 gives this answer. 0 without a baseline.
    pub fp32: usize,
}

impl Confusion {
    /// Returns whether the answer is right: the cell is on the diagonal.
    pub fn is_right(&self) -> bool {
        self.truth == self.answer
    }
}

/// The comparison of int8 with fp32 on the same pixels.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Accuracy of fp32.
    pub fp32: Accuracy,
    /// Images to which both networks give the same class.
    pub agreement: Proportion,
    /// Images that int8 loses and gains by the most probable class.
    pub top1: Paired,
    /// Images that int8 loses and gains by the five most probable classes.
    pub top5: Paired,
    /// Kullback–Leibler divergence of int8's softmax from fp32's, in nats: mean over the images.
    pub kl_mean: f64,
    /// Greatest divergence of any image, in nats.
    pub kl_max: f64,
    /// Signal-to-quantization-noise ratio of the logits, in dB.
    pub logit_sqnr_db: f64,
    /// Images to which the networks give different classes: those whose right answer is lost, those whose right answer is
    /// gained, and those that both have wrong.
    pub flips: Vec<Flip>,
}

/// What a flip does to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlipKind {
    /// fp32 has it right and int8 wrong.
    Lost,
    /// fp32 has it wrong and int8 right.
    Gained,
    /// Both have it wrong, with different classes.
    BothWrong,
}

impl FlipKind {
    /// All kinds, in the order in which reports list them.
    pub const ALL: [Self; 3] = [Self::Lost, Self::Gained, Self::BothWrong];

    /// Returns the name that reports use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Gained => "gained",
            Self::BothWrong => "both wrong",
        }
    }
}

/// An image to which the networks give different classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Flip {
    /// Index of the image.
    pub image: usize,
    /// Its [key](crate::samples::Sample::key).
    pub name: String,
    /// The right class.
    pub truth: usize,
    /// Which network is right, if any.
    pub kind: FlipKind,
    /// The answer of int8.
    pub int8: Answer,
    /// The answer of fp32.
    pub fp32: Answer,
}

/// Results of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSummary {
    /// Index of the class.
    pub class: usize,
    /// Images of the class that int8 has right.
    pub int8: Proportion,
    /// Images of the class that fp32 has right. Counts no images without a baseline.
    pub fp32: Proportion,
    /// Images that fp32 has right and int8 has wrong.
    pub lost: usize,
    /// Images that fp32 has wrong and int8 has right.
    pub gained: usize,
}

impl ClassSummary {
    /// Returns the drop of accuracy, as a fraction of the images of the class.
    pub fn drop(&self) -> f64 {
        Paired { images: self.int8.of, lost: self.lost, gained: self.gained }.drop()
    }
}

impl Evaluation {
    /// Sums up `outcomes`. Returns `None` if no image could be decoded.
    pub fn new(images: &Labelled, outcomes: Outcomes) -> Option<Self> {
        let Outcomes { done, failed } = outcomes;
        if done.is_empty() {
            return None;
        }
        let (mut int8, mut compared) = (Accuracy::default(), Compared::default());
        let mut classes: Vec<ClassSummary> = Vec::new();
        let mut confusions = BTreeMap::<(usize, usize), Confusion>::new();
        let mut truths_of = HashMap::<u64, BTreeMap<usize, usize>>::new();
        for outcome in &done {
            let Some((&truth, sample)) =
                images.truths().get(outcome.image).zip(images.samples().get(outcome.image))
            else {
                continue;
            };
            int8.count(&outcome.int8, truth);
            *truths_of.entry(outcome.pixels).or_default().entry(truth).or_default() += 1;
            let index = classes.binary_search_by_key(&truth, |class| class.class).unwrap_or_else(|index| {
                classes.insert(index, ClassSummary { class: truth, ..ClassSummary::default() });
                index
            });
            classes[index].int8.count(outcome.int8.is_right(truth));
            compared.count(outcome, truth, sample.key(), &mut classes[index]);
            cell(&mut confusions, truth, &outcome.int8).int8 += 1;
            if let Some(original) = &outcome.fp32 {
                cell(&mut confusions, truth, &original.answer).fp32 += 1;
            }
        }
        let comparison = (compared.agreement.of > 0).then(|| compared.comparison());
        let unmatched = images.unmatched().to_vec();
        let unrecorded = images.unrecorded();
        Some(Self {
            images: int8.top1.of,
            pictures: done.iter().map(|outcome| outcome.pixels).collect(),
            ambivalent: truths_of.values().filter(|truths| truths.len() > 1).flat_map(BTreeMap::values).sum(),
            failed,
            unmatched,
            unrecorded,
            int8,
            comparison,
            classes,
            confusions: confusions.into_values().collect(),
        })
    }

    /// Returns the confusions of int8, the most frequent first: the cells of the matrix beside its diagonal.
    pub fn most_confused(&self) -> Vec<&Confusion> {
        let mut confused: Vec<_> =
            self.confusions.iter().filter(|cell| !cell.is_right() && cell.int8 > 0).collect();
        confused.sort_by_key(|cell| std::cmp::Reverse(cell.int8));
        confused
    }

    /// Returns the number of images that were left out for any reason.
    pub fn skipped(&self) -> usize {
        self.failed.len()
            + self.unrecorded
            + self.unmatched.iter().map(|unmatched| unmatched.images).sum::<usize>()
    }

    /// Returns the published top-1 accuracy of `variant`, 0..1, if the accuracy of fp32 is so far below it that chance does not
    /// explain the difference. In that case preprocessing, labels or weights are wrong. Without a baseline, the accuracy of
    /// int8 counts.
    pub fn far_below_published(&self, variant: &Variant) -> Option<f64> {
        // The accuracy on other images of the same kind differs by a few points, as ImageNet-V2 shows.
        const FAR: f64 = 0.08;
        let published = f64::from(variant.published.top1) / 100.0;
        let accuracy = self.comparison.as_ref().map_or(self.int8, |comparison| comparison.fp32);
        (accuracy.top1.interval().high < published - FAR).then_some(published)
    }
}

/// Returns the cell of the confusion matrix for an answer.
fn cell<'a>(
    confusions: &'a mut BTreeMap<(usize, usize), Confusion>,
    truth: usize,
    answer: &Answer,
) -> &'a mut Confusion {
    let answer = answer.class();
    confusions.entry((truth, answer)).or_insert(Confusion { truth, answer, ..Confusion::default() })
}

#[derive(Default)]
struct Compared {
    fp32: Accuracy,
    agreement: Proportion,
    top1: Paired,
    top5: Paired,
    kl_sum: f64,
    kl_max: f64,
    noise: Noise,
    flips: Vec<Flip>,
}

impl Compared {
    fn count(&mut self, outcome: &Outcome, truth: usize, name: &str, class: &mut ClassSummary) {
        let (Some(original), int8) = (outcome.fp32, outcome.int8) else { return };
        let fp32 = original.answer;
        self.fp32.count(&fp32, truth);
        class.fp32.count(fp32.is_right(truth));
        self.agreement.count(fp32.class() == int8.class());
        pair(&mut self.top1, fp32.is_right(truth), int8.is_right(truth));
        pair(&mut self.top5, fp32.contains(truth), int8.contains(truth));
        self.kl_sum += original.kl;
        self.kl_max = self.kl_max.max(original.kl);
        self.noise += original.noise;
        let kind = match (fp32.is_right(truth), int8.is_right(truth)) {
            (true, false) => FlipKind::Lost,
            (false, true) => FlipKind::Gained,
            (false, false) if fp32.class() != int8.class() => FlipKind::BothWrong,
            _ => return,
        };
        class.lost += usize::from(kind == FlipKind::Lost);
        class.gained += usize::from(kind == FlipKind::Gained);
        self.flips.push(Flip { image: outcome.image, name: name.to_owned(), truth, kind, int8, fp32 });
    }

    fn comparison(mut self) -> Comparison {
        // Within a kind, the flips stay in the order of the images.
        self.flips.sort_by_key(|flip| flip.kind);
        Comparison {
            fp32: self.fp32,
            agreement: self.agreement,
            top1: self.top1,
            top5: self.top5,
            kl_mean: self.kl_sum / self.agreement.of as f64,
            kl_max: self.kl_max,
            logit_sqnr_db: self.noise.sqnr_db(),
            flips: self.flips,
        }
    }
}

fn pair(paired: &mut Paired, before: bool, now: bool) {
    paired.images += 1;
    paired.lost += usize::from(before && !now);
    paired.gained += usize::from(!before && now);
}

impl Comparison {
    /// Returns the number of flips of a kind.
    pub fn count(&self, kind: FlipKind) -> usize {
        self.flips.iter().filter(|flip| flip.kind == kind).count()
    }

    /// Returns the names of the images of a kind of flip.
    pub fn names(&self, kind: FlipKind) -> impl Iterator<Item = &str> {
        self.flips.iter().filter(move |flip| flip.kind == kind).map(|flip| flip.name.as_str())
    }

    /// Returns the drop of top-1 accuracy and its 95 % interval, in percentage points.
    pub fn drop_top1_pp(&self) -> (f64, Interval) {
        pp(&self.top1)
    }

    /// Returns the drop of top-5 accuracy and its 95 % interval, in percentage points.
    pub fn drop_top5_pp(&self) -> (f64, Interval) {
        pp(&self.top5)
    }
}

/// Returns a drop and its interval in percentage points. The drop is rounded to six decimals, which millions of images could
/// resolve, so that 0.1 prints as 0.1.
fn pp(paired: &Paired) -> (f64, Interval) {
    let Interval { low, high } = paired.drop_interval();
    let drop = (100.0 * paired.drop() * 1e6).round() / 1e6;
    (drop, Interval { low: 100.0 * low, high: 100.0 * high })
}

#[cfg(test)]
mod tests;
