//! Every published ResNeXt that resnext serves, as const data. The crate uses neither `std` nor an allocator and has no
//! dependencies.
//!
//! | module | contents |
//! |---|---|
//! | [`variant`] | a published model: architecture, preprocessing, accuracy |
//! | [`architecture`], [`preprocessing`] | the shape of a network, and how images are prepared for it |
//! | [`zoo`] | all models: [`ZOO`] |
//! | [`names`] | the names that people and files give them: [`find`] |
//! | [`mod@layers`] | the layers of a model and their cost: [`Architecture::layers`], [`Architecture::params`], [`Architecture::macs`] |
//! | [`labels`] | the classes of the outputs: [`imagenet1k`](labels::imagenet1k), [`IMAGENETTE`](labels::IMAGENETTE) |
//! | [`reference`](mod@reference) | a small trained model that needs no download |
//!
//! ```
//! let variant = resnext_models::find("torchvision/resnext50_32x4d").unwrap();
//! let size = variant.preprocessing.size.into();
//! assert_eq!(variant.architecture.depth(), 50);
//! assert_eq!(variant.architecture.params(), 25_028_904);
//! assert_eq!(variant.architecture.macs(size) / 1_000_000, 4_230);
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod architecture;
pub mod labels;
pub mod layers;
pub mod names;
pub mod preprocessing;
pub mod reference;
pub mod variant;
pub mod zoo;

pub use architecture::{Architecture, Shortcut, Stem};
pub use names::find;
pub use preprocessing::{Interpolation, Preprocessing};
pub use variant::{Accuracy, Cost, Library, TestSize, Variant};
pub use zoo::ZOO;
