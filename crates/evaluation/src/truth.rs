//! The class of each image, from its folder or from a file of labels.
//!
//! | layout | class |
//! |---|---|
//! | one folder per class | the folder's name: identifier (`n01440764`, also `n01440764_tench`) or label (`golf ball`, `golf_ball`) |
//! | a list of names and classes | `val/a/1.JPEG 65`, `val/a/1.JPEG n01751748` or a label; a number is the index of an output of the model, counted from 0 |
//! | a table, with or without a header | `filename,label` and `"a b.jpg","golf ball"`, separated by commas, semicolons or tabs |
//! | ILSVRC2012's `LOC_val_solution.csv` | `ILSVRC2012_val_00048981,n03995372 85 1 499 272`, the class of the boxes |
//! | ILSVRC2012's `ILSVRC2012_validation_ground_truth.txt` | one number a line, for the images sorted by name |
//! | TensorFlow's `imagenet_2012_validation_synset_labels.txt` | one wnid a line, for the images sorted by name |
//!
//! The names of images are paths, relative to the directory of the images, to a folder above it or to one below, with `/` or `\`
//! between folders; the extension may be missing or that of another format. What no rule can tell is refused: lines that give an
//! image different classes, a line that names several images, numbers beyond the outputs of the model. Lines end with LF, CR LF
//! or CR; empty lines and comments (`#`) do not count.
//!
//! The numbers in `ILSVRC2012_validation_ground_truth.txt` count from 1 in the order of the development kit, in which 1 is
//! the kit fox. This is **not** the order of the wnids, in which every library numbers the outputs. For numbers in another
//! order, pass a list of synsets in that order ([`parse_synsets`]).

mod class_index;
mod columns;
mod error;
mod label_file;
mod labelled;
mod matching;
mod names;
mod numbering;
mod splits;
#[cfg(test)]
mod tests;

pub use class_index::ClassIndex;
pub use error::TruthError;
pub use label_file::{Line, Truth, parse_synsets};
pub use labelled::{Labelled, Unmatched};
pub use numbering::{Miscount, Numbering};
pub use splits::Split;
