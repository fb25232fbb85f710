//! What the tests, benches and fuzz targets of this workspace share. It is not published.
//!
//! | module | contents |
//! |---|---|
//! | [`builder`] | writes artifacts record by record, from [`resnext::internals`] alone, so that the runtime is tested against the documentation of the format and not against the compiler that usually writes it |
//! | [`networks`] | small networks that the builder makes |
//! | [`oracle`] | computes what such a network gives, as its definition says |
//! | [`pictures`] | random numbers and synthetic pictures |
//! | [`guarded`] | memory that faults where it ends |
//! | [`data`] | where tests find images |
//! | `devtools` (a feature) | headless Chromium |
//!
//! The unit tests of `resnext` itself cannot use this crate: they would meet two copies of every type.

pub mod builder;
pub mod data;
#[cfg(feature = "devtools")]
pub mod devtools;
#[cfg(unix)]
pub mod guarded;
pub mod networks;
pub mod oracle;
pub mod pictures;

use resnext::internals::format::{CHECKSUM_FROM, Header, SectionId, checksum};
use resnext::{Kernels, Model, Runner, Workers};
use std::ops::Range;
use zerocopy::FromBytes;

pub use networks::{deep, small, tiny};
pub use pictures::{Random, input_pixels, picture};

/// Returns a copy of the bundled artifact, a trained network that `resnext compile` compiled.
pub fn reference() -> Vec<u8> {
    resnext_models::reference::ARTIFACT.to_vec()
}

/// Sets the checksum of `artifact` to what its bytes have, as an attacker or a faulty compiler would.
pub fn fix_checksum(artifact: &mut [u8]) {
    let sum = checksum(artifact);
    if let Some(field) = artifact.get_mut(CHECKSUM_FROM - 8..CHECKSUM_FROM) {
        field.copy_from_slice(&sum.to_le_bytes());
    }
}

/// Returns the header of `artifact`, to change it.
///
/// # Panics
///
/// If `artifact` is shorter.
pub fn header(artifact: &mut [u8]) -> &mut Header {
    Header::mut_from_prefix(artifact).expect("at least a header").0
}

/// Returns where a section of `artifact` lies.
///
/// # Panics
///
/// If `artifact` is shorter than a header.
pub fn section(artifact: &[u8], id: SectionId) -> Range<usize> {
    let section = Header::ref_from_prefix(artifact).expect("at least a header").0.sections[id as usize];
    let start = section.offset.get() as usize;
    start..start + section.len.get() as usize
}

/// Returns the logits of `pixels`, `height × width × 3` bytes of the size that `model` reads.
pub fn infer(model: &Model<'_>, pixels: &[u8], kernels: Kernels, workers: &dyn Workers) -> Vec<f32> {
    let mut arena = vec![0; model.arena_len()];
    let mut logits = vec![0.0; model.class_count()];
    let mut runner = Runner::new(model, &mut arena).unwrap().with_kernels(kernels).with_workers(workers);
    runner.load_pixels(pixels).unwrap();
    runner.infer(&mut logits).unwrap();
    logits
}

/// Returns the bit patterns of `logits`, which compare exactly and print in full.
pub fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}
