//! The class of each image by the lines of a file of labels.

use super::class_index::ClassIndex;
use super::columns::{Entry, divide};
use super::error::TruthError;
use super::label_file::Line;
use super::names::{Closeness, Names};
use crate::samples::Samples;

/// The class of each image, and what was left over.
pub(super) struct Matched {
    /// The class that the model knows and the class as the file states it, for each image that the file names.
    pub(super) images: Vec<Option<(Option<usize>, String)>>,
    /// The number of lines that name no image.
    pub(super) unused_lines: usize,
    /// Whether classes are given as numbers.
    pub(super) numbered: bool,
}

/// The line that names an image most closely.
struct Best {
    closeness: Closeness,
    /// Its index in the entries.
    entry: usize,
    /// A line that names the image as closely and gives another class.
    clash: Option<usize>,
}

/// Finds the class of each of the `samples` in `lines`.
pub(super) fn matched(
    samples: &Samples,
    classes: &ClassIndex,
    lines: &[Line],
) -> Result<Matched, TruthError> {
    let names = Names::new(samples);
    let expected = "the name of an image and its class";
    let entries = divide(lines, &names).map_err(|line| TruthError::Line { line, expected })?;
    let known: Vec<Option<usize>> = entries.iter().map(|entry| classes.named(&entry.class)).collect();
    let (known, numbered) = numbers(&entries, known, classes)?;
    let same = |a: usize, b: usize| match (known[a], known[b]) {
        (None, None) => entries[a].class == entries[b].class,
        (a, b) => a == b,
    };
    let mut best: Vec<Option<Best>> = samples.iter().map(|_| None).collect();
    let mut unused_lines = 0;
    for (entry, Entry { name, .. }) in entries.iter().enumerate() {
        let (images, closeness) = names.find(name);
        let Some(closeness) = closeness else {
            unused_lines += 1;
            continue;
        };
        for image in images {
            match &mut best[image] {
                Some(best) if best.closeness > closeness => {}
                Some(best) if best.closeness == closeness => {
                    if best.clash.is_none() && !same(best.entry, entry) {
                        best.clash = Some(entry);
                    }
                }
                slot => *slot = Some(Best { closeness, entry, clash: None }),
            }
        }
    }
    let key = |image: usize| samples.get(image).map_or_else(String::new, |sample| sample.key().to_owned());
    // The first image that each line labels.
    let mut labels: Vec<Option<usize>> = vec![None; entries.len()];
    for (image, best) in best.iter().enumerate() {
        let Some(best) = best else { continue };
        if let Some(clash) = best.clash {
            let (first, second) = (entries[best.entry].line, entries[clash].line);
            return Err(TruthError::Clash { image: key(image), first, second });
        }
        if let Some(other) = labels[best.entry].replace(image)
            && key(other) != key(image)
        {
            let line = entries[best.entry].line;
            return Err(TruthError::Shared { line, one: key(other), other: key(image) });
        }
        let Entry { line, class, columns, .. } = &entries[best.entry];
        if known[best.entry].is_none() && (*columns > 1 || has_several(class, classes)) {
            return Err(TruthError::Columns { line: *line, found: class.chars().take(80).collect() });
        }
    }
    let class =
        |best: Option<Best>| best.map(|best| (known[best.entry], entries[best.entry].class.to_string()));
    Ok(Matched { images: best.into_iter().map(class).collect(), unused_lines, numbered })
}

/// Adds the classes that are given as numbers, and says whether there are any. One number beyond the outputs of the model shows
/// that all of them count something else.
fn numbers(
    entries: &[Entry<'_>],
    mut known: Vec<Option<usize>>,
    classes: &ClassIndex,
) -> Result<(Vec<Option<usize>>, bool), TruthError> {
    let (mut least, mut greatest) = (usize::MAX, None);
    for (entry, known) in entries.iter().zip(&mut known).filter(|(_, known)| known.is_none()) {
        // Tables that have passed through floating point say 3.0.
        let digits = entry.class.strip_suffix(".0").unwrap_or(&entry.class);
        let Some(number) = digits.parse::<usize>().ok().filter(|_| !digits.starts_with('+')) else {
            continue;
        };
        least = least.min(number);
        if greatest.is_none_or(|(most, _)| number > most) {
            greatest = Some((number, entry.line));
        }
        *known = Some(number);
    }
    match greatest {
        Some((number, line)) if number >= classes.count => {
            let counts = if number == classes.count && least > 0 {
                "seem to count from 1, in an order that is not known"
            } else {
                "count other classes"
            };
            Err(TruthError::Numbers { line, number, last: classes.count.saturating_sub(1), counts })
        }
        _ => Ok((known, greatest.is_some())),
    }
}

/// Returns whether `class` is no single class, but begins with one: several classes, or a class and something else.
fn has_several(class: &str, classes: &ClassIndex) -> bool {
    let separators = [',', ';', ' ', '\t'];
    let first = class.split(separators).next().unwrap_or_default();
    first.len() < class.len() && (first.parse::<f64>().is_ok() || classes.find(first).is_some())
}
