//! Images and their classes.

use super::class_index::ClassIndex;
use super::error::TruthError;
use super::label_file::Truth;
use super::matching::{Matched, matched};
use super::names::stem;
use super::numbering::Numbering;
use super::splits::{Split, pooled};
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
    unused_lines: usize,
    splits: Vec<Split>,
    contradicted: usize,
    numbering: Option<Numbering>,
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
        Ok(Self { splits: pooled(&labelled.samples, true), ..labelled })
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
            Truth::Named(lines) => {
                let Matched { images, unused_lines, numbered } = matched(samples, classes, lines)?;
                let mut found = images.into_iter();
                let labelled =
                    Self::new(samples, classes, |_| found.next().flatten().unwrap_or((None, String::new())));
                Self { unused_lines, numbering: numbered.then_some(Numbering::Outputs), ..labelled }
            }
            Truth::Numbered(numbers) => {
                let kit = || labels::ilsvrc2012().map(str::to_owned).collect();
                let order = synsets.map_or_else(kit, <[String]>::to_vec);
                let class = |number: &usize| match number.checked_sub(1).and_then(|at| order.get(at)) {
                    Some(wnid) => (classes.find(wnid), wnid.clone()),
                    None => (None, format!("number {number}")),
                };
                let labelled = Self::by_order(samples, classes, numbers.iter().map(class).collect())?;
                let numbering = synsets.is_none().then_some(Numbering::DevelopmentKit);
                Self { numbering, ..labelled }
            }
            Truth::Wnids(wnids) => {
                let class = |wnid: &String| (classes.find(wnid), wnid.clone());
                Self::by_order(samples, classes, wnids.iter().map(class).collect())?
            }
        };
        if labelled.is_empty() {
            let image = samples.iter().next().map_or_else(String::new, |sample| sample.key().to_owned());
            let line = match truth {
                Truth::Named(lines) => {
                    lines.first().map_or("", |line| line.text.as_str()).chars().take(80).collect()
                }
                Truth::Numbered(numbers) => numbers.first().map_or_else(String::new, usize::to_string),
                Truth::Wnids(wnids) => wnids.first().cloned().unwrap_or_default(),
            };
            return Err(TruthError::NoImage { images: samples.len(), image, line });
        }
        let contradicts = |(sample, truth): &(&Sample, &usize)| {
            sample.class().and_then(|folder| classes.find(folder)).is_some_and(|folder| folder != **truth)
        };
        let contradicted = labelled.samples.iter().zip(&labelled.truths).filter(contradicts).count();
        Ok(Self { splits: pooled(&labelled.samples, false), contradicted, ..labelled })
    }

    /// Labels the images, in the order of their names, with the classes that a file lists without names.
    fn by_order(
        samples: &Samples,
        classes: &ClassIndex,
        listed: Vec<(Option<usize>, String)>,
    ) -> Result<Self, TruthError> {
        let (lines, images) = (listed.len(), samples.len());
        if lines != images {
            return Err(TruthError::Count { lines, images });
        }
        let name = |sample: &Sample| {
            let key = sample.key();
            stem(key.rsplit('/').next().unwrap_or(key)).to_owned()
        };
        let mut sorted: Vec<(String, usize)> = samples.iter().map(name).zip(0..).collect();
        sorted.sort_unstable();
        let key =
            |image: usize| samples.get(image).map_or_else(String::new, |sample| sample.key().to_owned());
        if let Some(same) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(TruthError::Order { one: key(same[0].1), other: key(same[1].1) });
        }
        let mut class_of = vec![(None, String::new()); images];
        sorted.iter().zip(listed).for_each(|(&(_, image), class)| class_of[image] = class);
        let mut class_of = class_of.into_iter();
        Ok(Self::new(samples, classes, |_| class_of.next().unwrap_or_default()))
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
        Self {
            samples: kept.into_iter().collect(),
            truths,
            unmatched: unmatched.collect(),
            ..Self::default()
        }
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

    /// Returns `count` images, evenly spaced over the list; see [`Samples::take_spread`]. If there are enough, no image is missed
    /// for not being [recorded](Self::recorded).
    #[must_use]
    pub fn take_spread(&self, count: usize) -> Self {
        let picked = Samples::spread(self.len(), count);
        let unrecorded = if count <= self.len() { 0 } else { self.unrecorded };
        Self { unrecorded, ..self.pick(picked.into_iter()) }
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

    /// Returns the number of lines of the file of labels that name none of the images.
    pub fn unused_lines(&self) -> usize {
        self.unused_lines
    }

    /// Returns the number of images to which the file of labels gives another class than the name of their folder does.
    pub fn contradicted(&self) -> usize {
        self.contradicted
    }

    /// Returns how the numbers of the file of labels are taken, if it gives the classes as numbers without a list of synsets.
    pub fn numbering(&self) -> Option<Numbering> {
        self.numbering
    }

    /// Returns the splits of a data set that the images pool; nothing if they seem to be of one split.
    pub fn pooled_splits(&self) -> &[Split] {
        &self.splits
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
            unused_lines: self.unused_lines,
            splits: self.splits.clone(),
            contradicted: self.contradicted,
            numbering: self.numbering,
        }
    }
}
