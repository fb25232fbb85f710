//! Why the classes of images are not known.

/// Why the classes of the images are not known. Displays as one line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TruthError {
    /// No folder has the name of a class.
    #[error(
        "no folder is named after a class of the model (found {found}); name each folder by wnid or label, such as \
         {example}, or give a file of labels"
    )]
    NoFolder {
        /// Names of some folders.
        found: String,
        /// Name of a class of the model.
        example: String,
    },
    /// A line of the file of labels is in no known format.
    #[error(
        "line {line} is not {expected}; give an image and its class on each line, or a number on each line"
    )]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What the line should hold.
        expected: &'static str,
    },
    /// The file of labels has no lines.
    #[error("has no labels; give an image and its class on each line, or a number on each line")]
    Empty,
    /// The file has a number on each line, but not as many lines as there are images.
    #[error(
        "has {lines} labels but there are {images} images; numbers without names need one line for each image, in the \
         order of the images' names"
    )]
    Count {
        /// Lines of the file.
        lines: usize,
        /// Images in the directory.
        images: usize,
    },
    /// A line of a list of synsets does not begin with a wnid, or has a number out of order.
    #[error(
        "line {0} does not begin with a wnid such as n02119789, or its number is a duplicate or follows a gap; give one \
         synset on each line, in the order of the numbers"
    )]
    Synset(usize),
    /// The file labels none of the images.
    #[error(
        "labels none of the {images} images with a class of the model (the first is {first}); are these the labels of \
         other images?"
    )]
    NoImage {
        /// Images in the directory.
        images: usize,
        /// Name of one of them.
        first: String,
    },
}
