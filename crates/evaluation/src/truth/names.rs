//! Which image a path in a file of labels names.
//!
//! Files of labels are written on other machines, so a path in them may begin above or below the directory of the images, and
//! its folders may be separated by `\`. A path names an image if the folders of one are the last folders of the other:
//! `val/a/1.jpg` and `1.jpg` both name `a/1.jpg`, but `b/1.jpg` does not.

use crate::samples::{Sample, Samples};
use std::collections::HashMap;

/// Extensions that files of labels give to images. Any other ending, such as that of `photo.v2`, belongs to the name.
const EXTENSIONS: [&str; 16] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "heic", "heif",
    "avif", "jp2",
];

/// How exactly a path names an image: the closer, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Closeness {
    file: FileCloseness,
    /// The number of folders in common.
    folders: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FileCloseness {
    /// The same name with another extension, as after a conversion.
    OtherExtension,
    /// The name without its extension.
    Stem,
    /// The whole name.
    Whole,
}

impl Closeness {
    /// Weighs a match in the choice between several ways to read a file.
    pub(super) fn weight(self) -> u64 {
        if self.file == FileCloseness::Whole { 4 } else { 1 }
    }
}

/// The names of the images.
pub(super) struct Names<'a> {
    images: Vec<ImageName<'a>>,
    /// The images with a file name, without its extension.
    by_stem: HashMap<&'a str, Vec<usize>>,
}

struct ImageName<'a> {
    file: &'a str,
    /// All folders of the path, innermost first.
    folders: Vec<&'a str>,
    /// The number of folders below the listed directory.
    below: usize,
}

impl<'a> Names<'a> {
    pub(super) fn new(samples: &'a Samples) -> Self {
        let images: Vec<_> = samples.iter().map(ImageName::new).collect();
        let mut by_stem = HashMap::<&str, Vec<usize>>::new();
        for (index, image) in images.iter().enumerate() {
            by_stem.entry(stem(image.file)).or_default().push(index);
        }
        Self { images, by_stem }
    }

    /// Returns the images that `path` names, and how closely; several only if it names them equally closely.
    pub(super) fn find(&self, path: &str) -> (Vec<usize>, Option<Closeness>) {
        let mut parts = path.rsplit(is_separator).filter(|part| !part.is_empty() && *part != ".");
        let Some(file) = parts.next() else { return (Vec::new(), None) };
        let folders: Vec<&str> = parts.take_while(|part| *part != "..").collect();
        let (mut found, mut best) = (Vec::new(), None);
        let with_stem = |stem: &str| self.by_stem.get(stem).into_iter().flatten().copied();
        let shorter = Some(stem(file)).filter(|shorter| *shorter != file);
        for index in with_stem(file).chain(shorter.into_iter().flat_map(with_stem)) {
            let Some(closeness) = self.images[index].closeness(file, &folders) else { continue };
            if Some(closeness) > best {
                found.clear();
                best = Some(closeness);
            }
            if Some(closeness) == best {
                found.push(index);
            }
        }
        (found, best)
    }
}

impl<'a> ImageName<'a> {
    fn new(sample: &'a Sample) -> Self {
        let parts = |path: &'a str| path.rsplit(is_separator).filter(|part| !part.is_empty() && *part != ".");
        let mut folders = parts(sample.name());
        let file = folders.next().unwrap_or_default();
        Self { file, folders: folders.collect(), below: parts(sample.key()).count().saturating_sub(1) }
    }

    /// Returns how closely a path names this image; `None` if it names another.
    fn closeness(&self, file: &str, folders: &[&str]) -> Option<Closeness> {
        let common = folders.iter().zip(&self.folders).take_while(|(a, b)| a == b).count();
        if common < folders.len() && common < self.below {
            return None;
        }
        let file = if file == self.file {
            FileCloseness::Whole
        } else if file == stem(self.file) {
            FileCloseness::Stem
        } else {
            FileCloseness::OtherExtension
        };
        Some(Closeness { file, folders: common })
    }
}

fn is_separator(c: char) -> bool {
    c == '/' || c == '\\'
}

/// Returns the name of a file without the extension of an image.
pub(super) fn stem(file: &str) -> &str {
    let is_known = |end: &str| EXTENSIONS.iter().any(|known| end.eq_ignore_ascii_case(known));
    match file.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && is_known(extension) => stem,
        _ => file,
    }
}
