//! Which class each image is of: by its folder, or by a file of labels.
//!
//! | layout | truth |
//! |---|---|
//! | one folder per class | the folder's name: identifier (`n01440764`, also `n01440764_tench`) or label (`golf ball`, `golf_ball`) |
//! | flat, ILSVRC2012's `LOC_val_solution.csv` | `ILSVRC2012_val_00048981,n03995372 85 1 499 272`, the first word of the prediction |
//! | flat, lines of name and class | `ILSVRC2012_val_00000001.JPEG 65` or `…,n01751748` or a label: a number is the index of the model's output, counted from 0 |
//! | flat, ILSVRC2012's `ILSVRC2012_validation_ground_truth.txt` | one number a line, of the images sorted by name |
//!
//! The numbers of the last count from 1 in an order of their own, the development kit's, in which 1 is the kit fox. It is
//! **not** the order of the wnids, in which every library numbers the outputs. Who has numbers in another order gives that
//! order with them.

use crate::record::Record;
use crate::samples::{Sample, Samples};
use resnext::Model;
use resnext_models::labels;
use std::collections::{BTreeMap, HashMap};

/// Class of an output, found by the names that people write.
#[derive(Debug, Default)]
pub struct ClassIndex {
    by_id: HashMap<String, usize>,
    /// `None` if several classes have the label, as ImageNet's two cranes do.
    by_label: HashMap<String, Option<usize>>,
    count: usize,
    example: String,
}

impl ClassIndex {
    /// The classes of `model`.
    pub fn new(model: &Model<'_>) -> Self {
        let names = (0..model.class_count()).map(|class| model.class(class));
        Self::of(names.map(|names| names.map_or(("", ""), |names| (names.id, names.label))))
    }

    /// The classes of these identifiers and labels, in their order.
    pub fn of<'a>(names: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut index = Self::default();
        for (class, (id, label)) in names.into_iter().enumerate() {
            if !id.is_empty() {
                index.by_id.insert(id.to_owned(), class);
            }
            if class == 0 {
                index.example = if id.is_empty() { label } else { id }.to_owned();
            }
            index.by_label.entry(spelling(label)).and_modify(|known| *known = None).or_insert(Some(class));
            index.count += 1;
        }
        index
    }

    /// The class called `name`: its identifier, its identifier and more (`n01440764_tench`), or its label, whatever the
    /// case and with `_` for spaces. `None` also where a label names several classes.
    pub fn find(&self, name: &str) -> Option<usize> {
        let label = || self.by_label.get(&spelling(name)).copied().flatten();
        let stem = || self.by_id.get(name.split(['_', '-', ' ']).next()?).copied();
        self.by_id.get(name).copied().or_else(label).or_else(stem)
    }

    /// Whether several classes have this label.
    fn is_ambiguous(&self, name: &str) -> bool {
        self.by_label.get(&spelling(name)) == Some(&None)
    }
}

fn spelling(label: &str) -> String {
    label.trim().replace('_', " ").to_lowercase()
}

/// Images that are left out because their class is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The folder, or the class that the file of labels names; empty for images outside any folder.
    pub name: String,
    /// How many images are there.
    pub images: usize,
    /// Whether the name is a label that several classes share.
    pub ambiguous: bool,
}

/// Images and the class of each.
#[derive(Clone, Debug, Default)]
pub struct Labelled {
    samples: Samples,
    truths: Vec<usize>,
    unmatched: Vec<Unmatched>,
    unrecorded: usize,
}

/// Why images have no classes. Displays as one line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TruthError {
    /// No folder is named after a class.
    #[error(
        "no folder is named after a class of the model (found {found}); name each folder by wnid or label, such as \
         {example}, or give --truth FILE"
    )]
    NoFolder {
        /// Folders found.
        found: String,
        /// A class of the model.
        example: String,
    },
    /// A line of the file of labels makes no sense.
    #[error("line {line} is not {expected}; see `resnext eval --help` for the formats")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// The file of labels has no lines.
    #[error("has no labels; see `resnext eval --help` for the formats")]
    Empty,
    /// One number a line needs as many lines as images.
    #[error(
        "has {lines} labels but there are {images} images; numbers without names need a line for each image, in the \
         order of their names"
    )]
    Count {
        /// Lines of the file.
        lines: usize,
        /// Images in the directory.
        images: usize,
    },
    /// A list of synsets has a line that does not begin with a wnid, or a number out of order.
    #[error(
        "line {0} does not begin with a wnid such as n02119789, or is numbered twice or after a gap; give one synset a line, \
         in the order of the numbers"
    )]
    Synset(usize),
    /// None of the images is in the file of labels.
    #[error(
        "labels none of the {images} images with a class of the model (the first is {first}); are these the labels of \
         other images?"
    )]
    NoImage {
        /// Images in the directory.
        images: usize,
        /// One of them.
        first: String,
    },
}

/// A file of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// What each image is called, without folder and extension, and its class.
    Named(HashMap<String, String>),
    /// A number for each image, counted from 1 in an order that is given elsewhere.
    Numbered(Vec<usize>),
}

impl Truth {
    /// Reads a file of labels in any of the formats that the [module](self) lists.
    ///
    /// # Errors
    ///
    /// [`TruthError`] names the line.
    pub fn parse(text: &str) -> Result<Self, TruthError> {
        let lines = || {
            let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
            lines.map(|(i, line)| (i + 1, line.trim())).filter(|(_, line)| !line.is_empty())
        };
        let (_, first) = lines().next().ok_or(TruthError::Empty)?;
        if first.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = |(line, text): (usize, &str)| {
                let number = text.parse().ok().filter(|&n| n > 0);
                number.ok_or(TruthError::Line { line, expected: "a number of 1 or more" })
            };
            return Ok(Self::Numbered(lines().map(number).collect::<Result<_, _>>()?));
        }
        // The header of the challenge's solutions.
        let is_header = |line: &str| line.starts_with("ImageId,");
        let solution = is_header(first);
        let mut named = HashMap::new();
        for (line, text) in lines().filter(|(_, line)| !is_header(line)) {
            let missing = TruthError::Line { line, expected: "the name of an image and its class" };
            let parts = text.split_once([',', '\t']).or_else(|| text.split_once(' '));
            let (name, class) = parts.ok_or(missing)?;
            // A solution lists boxes behind the class, once for each object.
            let class = if solution { class.split(' ').next().unwrap_or_default() } else { class };
            let class = class.trim().trim_matches('"');
            if class.is_empty() {
                return Err(TruthError::Line { line, expected: "the name of an image and its class" });
            }
            named.insert(stem(name).to_owned(), class.to_owned());
        }
        if named.is_empty() { Err(TruthError::Empty) } else { Ok(Self::Named(named)) }
    }
}

/// Reads a list of synsets: each line begins with a wnid. If a number follows on every line, as in the kit's `map_clsloc.txt`
/// (`n02119789 1 kit_fox`), the synsets are in the order of the numbers; or else in that of the lines.
///
/// # Errors
///
/// [`TruthError::Synset`] names a line that does not begin with a wnid, or whose number is not in its place.
pub fn parse_synsets(text: &str) -> Result<Vec<String>, TruthError> {
    let lines = text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty());
    let mut synsets = Vec::new();
    for (line, number) in lines {
        let mut words = line.split([' ', '\t', ',']);
        let word = words.next().unwrap_or_default();
        let digits = word.strip_prefix('n').unwrap_or_default();
        if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(TruthError::Synset(number));
        }
        let place: Option<usize> = words.next().and_then(|word| word.parse().ok());
        synsets.push((place, number, word.to_owned()));
    }
    if synsets.iter().all(|(place, ..)| place.is_some()) {
        synsets.sort();
        // A gap or a number twice would give all images behind it another class.
        let misplaced = synsets.iter().zip(1..).find(|((place, ..), at)| *place != Some(*at));
        if let Some(((_, line, _), _)) = misplaced {
            return Err(TruthError::Synset(*line));
        }
    }
    if synsets.is_empty() {
        return Err(TruthError::Synset(1));
    }
    Ok(synsets.into_iter().map(|(_, _, wnid)| wnid).collect())
}

/// A file name without folder and extension.
fn stem(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name).trim();
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

impl Labelled {
    /// Labels each image by its folder. Images in other folders are left out, and counted.
    ///
    /// # Errors
    ///
    /// No folder is named after a class.
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

    /// Labels the images by a file. Those that it does not name, or with a class that the model does not know, are left
    /// out, and counted. `synsets` is the order in which [`Truth::Numbered`] counts, if that is not the development kit's.
    ///
    /// # Errors
    ///
    /// The file does not belong to the images.
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

    /// The images.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.truths.len()
    }

    /// Whether no image has a class.
    pub fn is_empty(&self) -> bool {
        self.truths.is_empty()
    }

    /// Class of each image.
    pub fn truths(&self) -> &[usize] {
        &self.truths
    }

    /// What was left out.
    pub fn unmatched(&self) -> &[Unmatched] {
        &self.unmatched
    }

    /// `count` images evenly spaced over the list, see [`Samples::take_spread`].
    #[must_use]
    pub fn take_spread(&self, count: usize) -> Self {
        let picked = Samples::spread(self.len(), count);
        self.pick(picked.into_iter())
    }

    /// The images that `record` has logits of; the rest is [counted](Self::unrecorded).
    #[must_use]
    pub fn recorded(&self, record: &Record<'_>) -> Self {
        let found = |sample: &Sample| record.find(sample.key()).is_some();
        let picked: Vec<usize> =
            self.samples.iter().enumerate().filter(|(_, sample)| found(sample)).map(|(i, _)| i).collect();
        let unrecorded = self.unrecorded + self.len() - picked.len();
        Self { unrecorded, ..self.pick(picked.into_iter()) }
    }

    /// Images that were left out because their logits have not been recorded.
    pub fn unrecorded(&self) -> usize {
        self.unrecorded
    }

    /// Every other image, and the others: where classes follow one another, each half has its share of each.
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

#[cfg(test)]
mod tests;
