//! Images and their classes.

use super::class_index::ClassIndex;
use super::error::TruthError;
use super::label_file::{Truth, stem};
use crate::samples::{Sample, Samples};
use resnext_models::labels;
use std::collections::BTreeMap;

/// Images that are left out because the model does not know their class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The folder, or the class in the file of labels. Empty for images outside any folder.
    pub name: String,
    /// Number of images.
    pub images: usize,
    /// Whether the name is a label of several classes.
    pub ambiguous: bool,
}

/// Images and their classes.
#[derive(Clone, Debug, Default)]
pub struct Labelled {
    samples: Samples,
    truths: Vec<usize>,
    unmatched: Vec<Unmatched>,
    unrecorded: usize,
}

impl Labelled {
    /// Labels each image by its folder. Images in folders that are named after no class are [left out](Self::unmatched).
    ///
    /// # Errors
    ///
    /// Returns an error if no folder has the name of a class.
    pub fn by_folder(samples: &Samples, classes: &ClassIndex) -> Result<Self, TruthError> {
        let labelled = Self::new(samples, classes, |sample| {
            let folder = sample.class().unwrap_or_default();
            (classes.find(folder), folder.to_owned())
        });
        if labelled.is_empty() {
            let mut folders = samples.classes();
            folders.truncate(3);
            let found = if folders.is_empty() { "no folders".to_owned() } else { folders.join(", ") };
            return Err(TruthError::NoFolder { found, example: classes.example.clone() });
        }
        Ok(labelled)
    }

    /// Labels the images by a file. Images that it does not name, or whose class the model does not know, are
    /// [left out](Self::unmatched). `synsets` is the order in which [`Truth::Numbered`] counts; the default is that of the
    /// development kit.
    ///
    /// # Errors
    ///
    /// Returns an error if the file does not belong to the images.
    pub fn by_truth(
        samples: &Samples,
        classes: &ClassIndex,
        truth: &Truth,
        synsets: Option<&[String]>,
    ) -> Result<Self, TruthError> {
        let labelled = match truth {
            Truth::Named(named) => Self::new(samples, classes, |sample| {
                let Some(class) = named.get(stem(sample.key())) else { return (None, String::new()) };
                let index = class.parse().ok().filter(|&index| index < classes.count);
                (classes.find(class).or(index), class.clone())
            }),
            Truth::Numbered(numbers) => {
                let (lines, images) = (numbers.len(), samples.len());
                if lines != images {
                    return Err(TruthError::Count { lines, images });
                }
                let kit = || labels::ilsvrc2012().map(str::to_owned).collect();
                let synsets = synsets.map_or_else(kit, <[String]>::to_vec);
                let mut sorted: Vec<(&str, usize)> =
                    samples.iter().map(|sample| stem(sample.key())).zip(0..).collect();
                sorted.sort_unstable();
                let mut number_of = vec![0; images];
                sorted.iter().zip(numbers).for_each(|(&(_, image), &number)| number_of[image] = number);
                let mut numbers = number_of.into_iter();
                Self::new(samples, classes, |_| {
                    let number = numbers.next().unwrap_or(0);
                    match number.checked_sub(1).and_then(|index| synsets.get(index)) {
                        Some(wnid) => (classes.find(wnid), wnid.clone()),
                        None => (None, format!("number {number}")),
                    }
                })
            }
        };
        if labelled.is_empty() {
            let first = samples.iter().next().map_or_else(String::new, |sample| sample.key().to_owned());
            return Err(TruthError::NoImage { images: samples.len(), first });
        }
        Ok(labelled)
    }

    fn new(
        samples: &Samples,
        classes: &ClassIndex,
        mut class_of: impl FnMut(&Sample) -> (Option<usize>, String),
    ) -> Self {
        let (mut kept, mut truths) = (Vec::new(), Vec::new());
        let mut unmatched = BTreeMap::<String, usize>::new();
        for sample in samples {
            match class_of(sample) {
                (Some(class), _) => {
                    kept.push(sample.clone());
                    truths.push(class);
                }
                (None, name) => *unmatched.entry(name).or_default() += 1,
            }
        }
        let unmatched = unmatched.into_iter().map(|(name, images)| {
            let ambiguous = classes.is_ambiguous(&name);
            Unmatched { name, images, ambiguous }
        });
        Self { samples: kept.into_iter().collect(), truths, unmatched: unmatched.collect(), unrecorded: 0 }
    }

    /// Returns the images.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Returns the number of images.
    pub fn len(&self) -> usize {
        self.truths.len()
    }

    /// Returns whether no image has a class.
    pub fn is_empty(&self) -> bool {
        self.truths.is_empty()
    }

    /// Returns the class of each image.
    pub fn truths(&self) -> &[usize] {
        &self.truths
    }

    /// Returns the images that were left out because the model does not know their class.
    pub fn unmatched(&self) -> &[Unmatched] {
        &self.unmatched
    }

    /// Returns `count` images, evenly spaced over the list; see [`Samples::take_spread`].
    #[must_use]
    pub fn take_spread(&self, count: usize) -> Self {
        let picked = Samples::spread(self.len(), count);
        self.pick(picked.into_iter())
    }

    /// Returns the images whose fp32 logits have been recorded: those for whose [key](Sample::key) `is_recorded` returns true.
    /// The others are [counted](Self::unrecorded).
    #[must_use]
    pub fn recorded(&self, is_recorded: impl Fn(&str) -> bool) -> Self {
        let picked: Vec<usize> = (0..self.len())
            .filter(|&i| self.samples.get(i).is_some_and(|sample| is_recorded(sample.key())))
            .collect();
        let unrecorded = self.unrecorded + self.len() - picked.len();
        Self { unrecorded, ..self.pick(picked.into_iter()) }
    }

    /// Returns the number of images that were left out because their logits have not been recorded.
    pub fn unrecorded(&self) -> usize {
        self.unrecorded
    }

    /// Splits the images into two halves that alternate in the list. In a list that is sorted by class, both halves have the
    /// same share of each class.
    #[must_use]
    pub fn halves(&self) -> (Self, Self) {
        (self.pick((0..self.len()).step_by(2)), self.pick((1..self.len()).step_by(2)))
    }

    fn pick(&self, picked: impl Iterator<Item = usize> + Clone) -> Self {
        Self {
            samples: picked.clone().filter_map(|i| self.samples.get(i).cloned()).collect(),
            truths: picked.map(|i| self.truths[i]).collect(),
            unmatched: self.unmatched.clone(),
            unrecorded: self.unrecorded,
        }
    }
}
