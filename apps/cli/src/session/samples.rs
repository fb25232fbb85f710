//! Directories of images, and the progress of work on them.

use crate::machine::cpu_list::CpuList;
use crate::machine::placement::Placement;
use crate::terminal::Error;
use crate::terminal::output::note;
use crate::terminal::text::plural;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use resnext_evaluation::samples::{SampleError, Samples};
use std::io::IsTerminal;
use std::path::Path;

/// Opens a directory of samples. Tells the user which images in it have a format that is not read.
pub(crate) fn open(directory: &Path) -> Result<Samples, Error> {
    let samples = Samples::open(directory).map_err(|error| Error::new("", error))?;
    let left_out = samples.left_out();
    if !left_out.is_empty() {
        let images = left_out.images();
        note(format_args!(
            "{}: {images} file{} left out: {left_out}; convert {} to JPEG or PNG to use {}",
            directory.display(),
            plural(images),
            if images == 1 { "it" } else { "them" },
            if images == 1 { "it" } else { "them" },
        ));
    }
    Ok(samples)
}

/// Tells the user if there are fewer images than `--num` asks for.
pub(crate) fn note_fewer(directory: &Path, found: usize, asked: usize) {
    if found < asked {
        note(format_args!(
            "{}: has only {found} image{}, not {asked}; {} used",
            directory.display(),
            plural(found),
            if found == 1 { "it is" } else { "all of them are" }
        ));
    }
}

/// Returns a warning if more than half of the `images` are copies of others. `what` names them: samples or images.
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

/// Returns the number of threads for work on many photos at once: by default one for each CPU. The little cores count too,
/// because no thread waits for another.
pub(crate) fn threads(asked: Option<u16>, cpus: Option<&CpuList>) -> Result<usize, Error> {
    Ok(Placement::chosen(asked, cpus)?.unwrap_or_else(Placement::everywhere).threads)
}

/// Creates a progress bar on stderr, hidden if stderr is not a terminal.
pub(crate) fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let template = "{msg:12} {bar:30} {pos}/{len}  {per_sec}  {eta} left";
    // The template is a constant that parses. Without a style the bar would only be plainer.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Names the first few samples that could not be used.
pub(crate) fn note_skipped(skipped: &[SampleError]) {
    const NAMED: usize = 5;
    for error in skipped.iter().take(NAMED) {
        note(format_args!("skipped {}: {}", error.name, error.reason));
    }
    if skipped.len() > NAMED {
        note(format_args!("skipped {} more", skipped.len() - NAMED));
    }
}
