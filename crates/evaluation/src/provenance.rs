//! What recorded logits depend on: the fp32 network and the preprocessing.

use resnext::Model;
use xxhash_rust::xxh3::xxh3_64;

/// Where recorded logits come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Name of the file of the fp32 network.
    pub baseline: String,
    /// XXH3-64 of that file.
    pub checksum: u64,
}

/// Returns the checksum that identifies a file of weights, for [`Provenance::checksum`].
pub fn checksum(file: &[u8]) -> u64 {
    xxh3_64(file)
}

/// Describes everything that decides which numbers the fp32 network reads from a decoded image.
pub fn preprocessing(model: &Model<'_>) -> String {
    let preprocessing = model.preprocessing();
    format!(
        "short side {}, crop {}×{}, {:?}, sides {:?}, crop {:?}, mean {:?}, std {:?}",
        preprocessing.short_side,
        preprocessing.crop_width,
        preprocessing.crop_height,
        preprocessing.interpolation,
        preprocessing.side_rounding,
        preprocessing.crop_rounding,
        preprocessing.mean,
        preprocessing.std
    )
}
