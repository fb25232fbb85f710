//! Files of labels.

use super::error::TruthError;
use std::collections::HashMap;

/// A file of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// The class of each image, by the name of the image without folder and extension.
    Named(HashMap<String, String>),
    /// A number for each image. It counts classes from 1, in the order of a list of synsets.
    Numbered(Vec<usize>),
}

impl Truth {
    /// Reads a file of labels in any of the formats that the documentation of [`truth`](crate::truth) lists.
    ///
    /// # Errors
    ///
    /// Returns an error if the file has no labels or a line is in no known format.
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
        // The header of the solution files of the challenge.
        let is_header = |line: &str| line.starts_with("ImageId,");
        let solution = is_header(first);
        let mut named = HashMap::new();
        for (line, text) in lines().filter(|(_, line)| !is_header(line)) {
            let missing = TruthError::Line { line, expected: "the name of an image and its class" };
            let parts = text.split_once([',', '\t']).or_else(|| text.split_once(' '));
            let (name, class) = parts.ok_or(missing)?;
            // In a solution file, a box follows each class, once for each object.
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

/// Reads a list of synsets. Each line begins with a wnid. If a number follows on every line, as in the development kit's
/// `map_clsloc.txt` (`n02119789 1 kit_fox`), the numbers give the order of the synsets. Otherwise the lines do.
///
/// # Errors
///
/// Returns [`TruthError::Synset`] if a line does not begin with a wnid, or if the numbers do not count from 1.
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
        let position: Option<usize> = words.next().and_then(|word| word.parse().ok());
        synsets.push((position, number, word.to_owned()));
    }
    if synsets.iter().all(|(position, ..)| position.is_some()) {
        synsets.sort();
        // After a gap or a duplicate, all images would get another class.
        let misplaced = synsets.iter().zip(1..).find(|((position, ..), at)| *position != Some(*at));
        if let Some(((_, line, _), _)) = misplaced {
            return Err(TruthError::Synset(*line));
        }
    }
    if synsets.is_empty() {
        return Err(TruthError::Synset(1));
    }
    Ok(synsets.into_iter().map(|(_, _, wnid)| wnid).collect())
}

/// Returns the name of a file without folder and extension.
pub(super) fn stem(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name).trim();
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
