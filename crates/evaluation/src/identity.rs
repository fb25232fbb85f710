//! Which evaluation a journal belongs to.

use crate::provenance::{Provenance, preprocessing};
use crate::truth::Labelled;
use resnext::Model;
use resnext::program::Op;
use resnext_photo::Exif;
use xxhash_rust::xxh3::Xxh3;
use zerocopy::IntoBytes;

/// Identifies an evaluation by its model, its images, their classes and its baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub(crate) u64);

impl Identity {
    /// Identifies the evaluation of `model` on `images` against the network of `baseline`. The packing of the weights does not
    /// matter, because it does not change results.
    pub fn new(model: &Model<'_>, images: &Labelled, baseline: &Provenance) -> Self {
        let mut hash = Xxh3::new();
        let mut add = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(model.metadata().as_bytes());
        for step in model.steps() {
            add(step.name.as_bytes());
            let output = step.output();
            add(&output.map_or(0.0, |tensor| tensor.scale).to_le_bytes());
            if let Op::Conv(conv) = step.op {
                // Biases and multipliers follow from the weights, and their packing is the same everywhere.
                add(conv.blocks.as_bytes());
            }
            if let Op::Linear(linear) = step.op {
                add(linear.blocks.as_bytes());
            }
        }
        add(preprocessing(model).as_bytes());
        add(&baseline.checksum.to_le_bytes());
        add(baseline.baseline.as_bytes());
        for (sample, truth) in images.samples().iter().zip(images.truths()) {
            add(sample.key().as_bytes());
            add(&(*truth as u64).to_le_bytes());
            add(&[u8::from(sample.exif() == Exif::Apply)]);
        }
        Self(hash.digest())
    }
}
