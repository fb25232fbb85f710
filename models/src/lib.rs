//! Every ResNeXt variant the project serves, as const data, with no `std`, no allocation and no dependencies.
//!
//! | module | answers |
//! |---|---|
//! | [`variant`] | what describes one published model: architecture, preprocessing, accuracy |
//! | [`zoo`] | which models there are: [`ZOO`], [`find`] |
//! | [`layers`] | which layers a model has, and what they cost: [`Architecture::layers`], [`Architecture::params`], [`Architecture::macs`] |
//! | [`labels`] | what the outputs mean: [`imagenet1k`](labels::imagenet1k), [`IMAGENETTE`](labels::IMAGENETTE) |
//! | [`reference`](mod@reference) | a small trained model to run without a download |
//!
//! ```
//! let variant = resnext_models::find("torchvision/resnext50_32x4d").unwrap();
//! let size = variant.preprocess.size.into();
//! assert_eq!(variant.architecture.depth(), 50);
//! assert_eq!(variant.architecture.params(), 25_028_904);
//! assert_eq!(variant.architecture.macs(size) / 1_000_000, 4_230);
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod labels;
pub mod reference;
pub mod layers;
pub mod variant;
pub mod zoo;

pub use variant::{Accuracy, Architecture, Interpolation, Preprocessing, Shortcut, Source, Stem, Variant};
pub use zoo::{ZOO, find};
