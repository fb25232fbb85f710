//! What reading and writing a record have in common.

use resnext::Model;
use xxhash_rust::xxh3::Xxh3;

pub(super) const FORMAT: &str = "resnext-fp32-logits";
pub(super) const VERSION: &str = "1";

/// How a record stores logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogitType {
    /// IEEE binary32, without loss.
    #[default]
    F32,
    /// IEEE binary16, in half the space. The noise of rounding is 70 dB below the logits, but classes that differ by less than
    /// a thousandth may tie.
    F16,
}

/// Writes a checksum as 16 hexadecimal digits.
pub(super) fn hex(checksum: u64) -> String {
    format!("{checksum:016x}")
}

/// Returns the checksum that identifies the classes of a model.
pub(super) fn class_checksum(model: &Model<'_>) -> u64 {
    let mut hash = Xxh3::new();
    for class in (0..model.class_count()).filter_map(|class| model.class(class)) {
        [class.id, "\t", class.label, "\n"].iter().for_each(|text| hash.update(text.as_bytes()));
    }
    hash.digest()
}
