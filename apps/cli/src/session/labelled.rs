//! Labelled images.

use super::samples;
use crate::files::text;
use crate::remedies;
use crate::terminal::Error;
use crate::terminal::output::note;
use crate::terminal::text::{plural, shell};
use resnext::Model;
use resnext_evaluation::truth::{ClassIndex, Labelled, Miscount, Split, Truth, parse_synsets};
use resnext_evaluation::{Evaluation, pictures};
use resnext_metadata::Metadata;
use resnext_photo::{Exif, LeftOut};
use std::fmt::Display;
use std::path::Path;

/// Opens the labelled images in `data`, and counts the files in it whose format is not read. Folders name the classes, unless
/// there is a file with the ground truth; that file may count classes in the order of a second file, `synsets`. `exif` says
/// what becomes of the EXIF orientation.
pub(crate) fn labelled(
    data: &Path,
    (truth, synsets): (Option<&Path>, Option<&Path>),
    classes: &ClassIndex,
    exif: Exif,
) -> Result<(Labelled, LeftOut), Error> {
    let all = samples::open(data)?.with_exif(exif);
    let labelled = match truth {
        None => Labelled::by_folder(&all, classes).map_err(|error| remedies::failure(data.display(), &error)),
        Some(path) => {
            let synsets =
                synsets.map(|path| parse_synsets(&read(path)?).map_err(|error| Error::at(path, error)));
            let (truth, synsets) = (Truth::parse(&read(path)?), synsets.transpose()?);
            let labelled = truth
                .and_then(|truth| Labelled::by_truth(&all, classes, &truth, synsets.as_deref()))
                .map_err(|error| Error::at(path, error))?;
            if labelled.unused_lines() > 0 {
                let lines = labelled.unused_lines();
                let name = if lines == 1 { "line names" } else { "lines name" };
                note(format_args!("{}: {lines} {name} no image in {}", path.display(), data.display()));
            }
            Ok(labelled)
        }
    };
    Ok((labelled?, all.left_out().clone()))
}

/// Returns reasons to doubt the labels of the images in `data`: several splits of a data set in one directory, and labels that
/// contradict the names of the folders.
pub(crate) fn doubts(data: &Path, images: &Labelled) -> Vec<String> {
    let mut doubts = Vec::new();
    let splits = images.pooled_splits();
    if let Some(last) = splits.last() {
        let name =
            |split: &Split| if split.folder.is_empty() { ".".to_owned() } else { split.folder.clone() };
        let named =
            |split: &Split| format!("{} ({} image{})", name(split), split.images, plural(split.images));
        doubts.push(format!(
            "--data pools several splits of a data set: {}; give one of them, such as --data {}",
            splits.iter().map(named).collect::<Vec<_>>().join(", "),
            shell(&data.join(&last.folder).to_string_lossy())
        ));
    }
    if images.contradicted() > 0 {
        doubts.push(format!(
            "--truth gives {} of the images another class than the name of their folder; if its numbers count in another order than \
             the model, give wnids or labels, or leave --truth out",
            images.contradicted()
        ));
    }
    doubts
}

/// Returns a warning if the model was calibrated on some of the evaluated pictures.
pub(crate) fn calibrated_on(model: &Model<'_>, evaluation: &Evaluation) -> Option<String> {
    let known = Metadata::parse(model.metadata()).pictures?;
    let shared = pictures::overlap(&known, &evaluation.pictures);
    let of = evaluation.pictures.len();
    (shared > 0).then(|| {
        format!(
            "the model was calibrated on {shared} of the {of} pictures in --data, so it looks better than it is; evaluate on \
             others"
        )
    })
}

/// Returns a warning if the answers show that the numbers of --truth count in another way than they are taken.
pub(crate) fn miscounted(images: &Labelled, evaluation: &Evaluation, classes: &ClassIndex) -> Option<String> {
    let Miscount { seems, right, taken, images } = Miscount::find(images, evaluation, classes)?;
    Some(format!(
        "the numbers of --truth seem to count {seems}: int8 would be right on {right} of {images} images, and as they are taken it is on \
         {taken}; give wnids or labels, or numbers that count as the outputs of the model, from 0"
    ))
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
