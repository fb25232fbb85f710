//! Labelled images.

use super::samples;
use crate::files::text;
use crate::remedies;
use crate::terminal::Error;
use crate::terminal::output::note;
use crate::terminal::text::plural;
use resnext_evaluation::Evaluation;
use resnext_evaluation::truth::{ClassIndex, Labelled, Truth, parse_synsets};
use std::fmt::Display;
use std::path::Path;

/// Opens the labelled images in `data`, at most `num` of them. Folders name the classes, unless there is a file with the ground
/// truth; that file may count classes in the order of a second file, `synsets`.
pub(crate) fn labelled(
    data: &Path,
    (truth, synsets): (Option<&Path>, Option<&Path>),
    num: Option<u32>,
    classes: &ClassIndex,
) -> Result<Labelled, Error> {
    let all = samples::open(data)?;
    let labelled = match truth {
        None => {
            Labelled::by_folder(&all, classes).map_err(|error| remedies::failure(data.display(), &error))?
        }
        Some(path) => {
            let synsets =
                synsets.map(|path| parse_synsets(&read(path)?).map_err(|error| Error::at(path, error)));
            let (truth, synsets) = (Truth::parse(&read(path)?), synsets.transpose()?);
            truth
                .and_then(|truth| Labelled::by_truth(&all, classes, &truth, synsets.as_deref()))
                .map_err(|error| Error::at(path, error))?
        }
    };
    let Some(most) = num.map(|n| n as usize) else { return Ok(labelled) };
    samples::note_fewer(data, labelled.len(), most);
    Ok(labelled.take_spread(most))
}

fn read(path: &Path) -> Result<String, Error> {
    text::read(path, "give a text file of labels")
}

/// Tells the user which images were left out: by folder if their class is unknown, by name if they are damaged.
pub(crate) fn note_left_out(evaluation: &Evaluation) {
    const NAMED: usize = 5;
    for unmatched in evaluation.unmatched.iter().take(NAMED) {
        let (name, images) = (&unmatched.name, unmatched.images);
        let why: &dyn Display = match (name.is_empty(), unmatched.ambiguous) {
            (true, _) => &"they are in no folder and have no label",
            (false, true) => &"several classes have this name; use wnids",
            (false, false) => &"not the name of a class of the model",
        };
        let name = if name.is_empty() { "without class" } else { name };
        note(format_args!("left out {name} ({images} image{}): {why}", plural(images)));
    }
    if let Some(rest) = evaluation.unmatched.get(NAMED..).filter(|rest| !rest.is_empty()) {
        let images: usize = rest.iter().map(|unmatched| unmatched.images).sum();
        note(format_args!(
            "left out {} more folders or labels that match no class ({images} images)",
            rest.len()
        ));
    }
    samples::note_skipped(&evaluation.failed);
}
