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
    /// The file has a label without a name on each line, but not as many lines as there are images.
    #[error(
        "has {lines} labels but there are {images} images; labels without names need one line for each image, in the \
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
    /// The file is of a kind that is not read line by line.
    #[error("is {0}, not lines of text; give an image and its class on each line, or a number on each line")]
    NotLines(&'static str),
    /// A line holds more than the name of an image and its class.
    #[error(
        "line {line} has more than one class or another column ({found}), so it is not clear what counts; give an image and \
         its class on each line, or a header that names the columns, such as filename,label"
    )]
    Columns {
        /// Number of the line, from 1.
        line: usize,
        /// What follows the name of the image.
        found: String,
    },
    /// A number is too large for an index of the model's outputs.
    #[error(
        "line {line} gives class {number}, but the outputs of the model are numbered from 0 to {last}, so the numbers of this \
         file {counts}; give wnids or labels, or numbers as the model's"
    )]
    Numbers {
        /// Number of the line, from 1.
        line: usize,
        /// The number on it.
        number: usize,
        /// The greatest index.
        last: usize,
        /// How the file seems to count.
        counts: &'static str,
    },
    /// Two lines give an image different classes.
    #[error(
        "lines {first} and {second} both name {image} and give it different classes; name the images with their folders, or \
         remove the wrong line"
    )]
    Clash {
        /// The [key](crate::samples::Sample::key) of the image.
        image: String,
        /// Number of one line, from 1.
        first: usize,
        /// Number of the other.
        second: usize,
    },
    /// A line names several images.
    #[error("line {line} names both {one} and {other}; name the images with their folders and extensions")]
    Shared {
        /// Number of the line, from 1.
        line: usize,
        /// The [key](crate::samples::Sample::key) of one image.
        one: String,
        /// That of another.
        other: String,
    },
    /// Labels without names cannot be assigned to images of the same name.
    #[error(
        "has labels without names, for the images in the order of their names, but {one} and {other} have the same name; give \
         an image and its class on each line"
    )]
    Order {
        /// The [key](crate::samples::Sample::key) of one image.
        one: String,
        /// That of the other.
        other: String,
    },
    /// The file labels none of the images.
    #[error(
        "labels none of the {images} images with a class of the model (the first image is {image}, the first line is {line}); \
         are these the labels of other images?"
    )]
    NoImage {
        /// Images in the directory.
        images: usize,
        /// Name of one of them.
        image: String,
        /// The beginning of the first line of the file.
        line: String,
    },
}
