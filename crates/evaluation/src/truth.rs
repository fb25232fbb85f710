//! The class of each image, from its folder or from a file of labels.
//!
//! | layout | class |
//! |---|---|
//! | one folder per class | the folder's name: identifier (`n01440764`, also `n01440764_tench`) or label (`golf ball`, `golf_ball`) |
//! | flat, ILSVRC2012's `LOC_val_solution.csv` | `ILSVRC2012_val_00048981,n03995372 85 1 499 272`, the first word of the prediction |
//! | flat, lines of name and class | `ILSVRC2012_val_00000001.JPEG 65` or `…,n01751748` or a label; a number is the index of an output of the model, counted from 0 |
//! | flat, ILSVRC2012's `ILSVRC2012_validation_ground_truth.txt` | one number a line, for the images sorted by name |
//!
//! The numbers in `ILSVRC2012_validation_ground_truth.txt` count from 1 in the order of the development kit, in which 1 is
//! the kit fox. This is **not** the order of the wnids, in which every library numbers the outputs. For numbers in another
//! order, pass a list of synsets in that order ([`parse_synsets`]).

mod class_index;
mod error;
mod label_file;
mod labelled;
#[cfg(test)]
mod tests;

pub use class_index::ClassIndex;
pub use error::TruthError;
pub use label_file::{Truth, parse_synsets};
pub use labelled::{Labelled, Unmatched};
