//! Photos and class names that are part of this crate.
//!
//! Authors and licences of the photos are in `calibration/samples/README.md` and `calibration/demo/README.md`.

use resnext_evaluation::samples::{Sample, Samples};

use crate::emit::ClassName;

macro_rules! photos {
    ($folder:literal: $($name:literal),+) => {
        [$(($name, include_bytes!(concat!("../", $folder, "/", $name, ".jpg")).as_slice())),+]
    };
}

/// Returns a dozen freely licensed photos: enough to try calibration, too few for a model that matters.
pub fn photos() -> Samples {
    let photos = photos!["samples":
        "admiral",
        "astronaut",
        "cameraman",
        "cat",
        "coffee",
        "coins",
        "dahlia",
        "grass",
        "pagoda",
        "raccoon",
        "rocket",
        "stairs"
    ];
    photos.into_iter().map(|(name, bytes)| Sample::embedded(name, None, bytes)).collect()
}

/// Returns photos of a class of the reference model, whose label is their class.
pub fn known_photos() -> Samples {
    let photos = photos!["demo": "church-vienna", "church-santiago"];
    photos.into_iter().map(|(name, bytes)| Sample::embedded(name, Some("church"), bytes)).collect()
}

/// Returns the classes of the reference model.
pub fn reference_classes() -> Vec<ClassName> {
    resnext_models::reference::CLASSES.iter().map(ClassName::from).collect()
}

/// Returns the classes of ImageNet-1k.
pub fn imagenet_classes() -> Vec<ClassName> {
    resnext_models::labels::imagenet1k().map(|class| ClassName::from(&class)).collect()
}

impl From<&resnext_models::labels::Class> for ClassName {
    fn from(class: &resnext_models::labels::Class) -> Self {
        Self { id: class.wnid.to_owned(), label: class.label.to_owned() }
    }
}
