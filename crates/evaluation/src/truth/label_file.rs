//! Files of labels.

use super::error::TruthError;

/// A file of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Lines that name an image and its class. What separates the two, only the names of the images can tell.
    Named(Vec<Line>),
    /// A number for each image. It counts classes from 1, in the order of a list of synsets.
    Numbered(Vec<usize>),
    /// A wnid for each image.
    Wnids(Vec<String>),
}

/// A line of a file of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The number of the line, from 1.
    pub number: usize,
    /// Its text, without white space at the ends.
    pub text: String,
}

impl Truth {
    /// Reads a file of labels in any of the formats that the documentation of [`truth`](crate::truth) lists.
    ///
    /// # Errors
    ///
    /// Returns an error if the file has no labels, is JSON or XML, or is a list of numbers with something else in it.
    pub fn parse(text: &str) -> Result<Self, TruthError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        match (text.chars().next(), text.chars().next_back()) {
            (Some('{'), Some('}')) | (Some('['), Some(']')) => return Err(TruthError::NotLines("JSON")),
            (Some('<'), Some('>')) => return Err(TruthError::NotLines("XML or HTML")),
            _ => {}
        }
        // Lines end with LF, CR LF or CR.
        let unified = text.replace("\r\n", "\n").replace('\r', "\n");
        let lines = || {
            let lines = unified.split('\n').map(str::trim).zip(1..);
            lines.filter(|(text, _)| !text.is_empty()).map(|(text, number)| (number, text))
        };
        let (_, first) = lines().next().ok_or(TruthError::Empty)?;
        if first.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = |(line, text): (usize, &str)| {
                let number = text.parse().ok().filter(|&n| n > 0);
                number.ok_or(TruthError::Line { line, expected: "a number of 1 or more" })
            };
            return Ok(Self::Numbered(lines().map(number).collect::<Result<_, _>>()?));
        }
        if is_wnid(first) {
            let wnid = |(line, text): (usize, &str)| {
                let wnid = is_wnid(text).then(|| text.to_owned());
                wnid.ok_or(TruthError::Line {
                    line,
                    expected: "a wnid such as n02119789, as the first line is",
                })
            };
            return Ok(Self::Wnids(lines().map(wnid).collect::<Result<_, _>>()?));
        }
        Ok(Self::Named(lines().map(|(number, text)| Line { number, text: text.to_owned() }).collect()))
    }
}

/// Returns whether `word` is the WordNet identifier of a synset.
fn is_wnid(word: &str) -> bool {
    let digits = word.strip_prefix('n').unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())
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
        if !is_wnid(word) {
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
