//! Splits of a data set that are evaluated together by mistake.

use crate::samples::{Sample, Samples};
use std::collections::{BTreeMap, HashMap};

/// Names of folders that hold a split of a data set.
const NAMES: [&str; 14] = [
    "train",
    "training",
    "trainval",
    "val",
    "valid",
    "validation",
    "minival",
    "dev",
    "test",
    "testing",
    "calib",
    "calibration",
    "eval",
    "holdout",
];

/// A folder with one split of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Its path below the directory of the images; empty for that directory itself.
    pub folder: String,
    /// The number of its images.
    pub images: usize,
}

/// Returns the splits that `samples` pool, or nothing if they are of one split. Folders are splits if their names say so, or, if
/// `classes` are the innermost folders, if one class is in several of them.
pub(super) fn pooled(samples: &Samples, classes: bool) -> Vec<Split> {
    let mut splits = BTreeMap::<String, usize>::new();
    let mut folder_of = HashMap::<&str, String>::new();
    let (mut shared, mut named) = (false, Vec::new());
    for sample in samples {
        let (folder, is_named) = split(sample, classes);
        if is_named && !named.contains(&folder) {
            named.push(folder.clone());
        }
        if let Some(class) = sample.class().filter(|_| classes) {
            shared |= *folder_of.entry(class).or_insert_with(|| folder.clone()) != folder;
        }
        *splits.entry(folder).or_default() += 1;
    }
    if splits.len() < 2 || !(shared || named.len() > 1) {
        return Vec::new();
    }
    splits.into_iter().map(|(folder, images)| Split { folder, images }).collect()
}

/// Returns the folder of the split that a sample is in, and whether its name says that it is one. With `classes`, the innermost
/// folder is the class, whatever its name.
fn split(sample: &Sample, classes: bool) -> (String, bool) {
    let mut folders: Vec<&str> = sample.key().split('/').collect();
    folders.truncate(folders.len().saturating_sub(if classes { 2 } else { 1 }));
    let is_name = |folder: &&str| NAMES.iter().any(|name| folder.eq_ignore_ascii_case(name));
    match folders.iter().position(is_name) {
        Some(at) => (folders[..=at].join("/"), true),
        None => (folders.join("/"), false),
    }
}
