//! Directories of images: opening them, going through them on all threads, with progress.

use crate::error::Error;
use crate::machine::cpus::{CpuList, Placement};
use crate::terminal::output::note;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use resnext_evaluation::samples::{SampleError, Samples};
use std::io::IsTerminal;
use std::path::Path;

/// A directory of samples, `most` of them at even distances if there are more.
#[cfg(feature = "compile")]
pub(crate) fn samples(directory: &Path, most: Option<usize>) -> Result<Samples, Error> {
    let samples = open(directory)?;
    if let Some(most) = most {
        note_fewer(directory, samples.len(), most);
    }
    Ok(match most {
        Some(most) if most < samples.len() => samples.take_spread(most),
        _ => samples,
    })
}

/// A directory of samples.
pub(crate) fn open(directory: &Path) -> Result<Samples, Error> {
    Samples::open(directory).map_err(|error| Error::new("", error))
}

/// Says so if there are fewer images than were asked for.
pub(crate) fn note_fewer(directory: &Path, found: usize, asked: usize) {
    if found < asked {
        note(format_args!("{}: has only {found} of {asked} images; all are used", directory.display()));
    }
}

/// Says so if most of the `images`, which are called `what`, are the same as others of them.
pub(crate) fn identical(what: &str, distinct: usize, images: usize) -> Option<String> {
    match (distinct, images) {
        (_, 0..=1) | (0, _) => None,
        (1, images) => Some(format!("all {images} {what} are the same picture")),
        (distinct, images) if 2 * distinct < images => {
            Some(format!("only {distinct} of the {images} {what} are different pictures"))
        }
        _ => None,
    }
}

/// Threads for work on many photos at once: one for each CPU, little ones too, unless told otherwise. None waits for
/// another.
pub(crate) fn threads(asked: Option<u16>, cpus: Option<&CpuList>) -> Result<usize, Error> {
    Ok(Placement::chosen(asked, cpus)?.unwrap_or_else(Placement::everywhere).threads)
}

/// A progress bar on stderr; nothing if that is not a terminal.
pub(crate) fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let template = "{msg:12} {bar:30} {pos}/{len}  {per_sec}  {eta} left";
    // The template is a constant that parses; without style the bar is only plainer.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Names the samples that were left out, the first few of them.
pub(crate) fn note_skipped(skipped: &[SampleError]) {
    const NAMED: usize = 5;
    for error in skipped.iter().take(NAMED) {
        note(format_args!("skipped {}: {}", error.name, error.reason));
    }
    if skipped.len() > NAMED {
        note(format_args!("skipped {} more", skipped.len() - NAMED));
    }
}
