//! Which pictures a model was calibrated on, in a few kilobytes of its metadata.
//!
//! Accuracy on pictures that were calibrated on is a little better than on others. So a model keeps the checksums of its
//! calibration pictures, and an evaluation looks for its own pictures among them. Both are checksums of the cropped pixels, so
//! copies are found whatever the files are called.

use std::collections::HashSet;

/// The most checksums that a model keeps, as many as `resnext compile` uses by default. Of more, it keeps the least, and every
/// kept one can still be found.
const MAX_PICTURES: usize = 512;

/// Hexadecimal digits of each checksum. With 40 bits, one of 50,000 other pictures is mistaken for a calibration picture with a
/// probability of 2e-5.
const DIGITS: usize = 10;

/// Writes the [checksums](crate::outcome::pixel_checksum) of the calibration pictures as the text that a model keeps.
pub fn encode(pictures: &HashSet<u64>) -> String {
    let mut pictures: Vec<u64> = pictures.iter().copied().collect();
    pictures.sort_unstable();
    pictures.truncate(MAX_PICTURES);
    pictures.into_iter().map(shortened).collect()
}

/// Returns how many of `pictures` are among those in the text, which [`encode`] wrote. It is a lower bound if the model was
/// calibrated on more pictures than it keeps. A text of another kind has no pictures.
pub fn overlap(text: &str, pictures: &HashSet<u64>) -> usize {
    let known: HashSet<&[u8]> = text.as_bytes().chunks_exact(DIGITS).collect();
    pictures.iter().filter(|&&picture| known.contains(shortened(picture).as_bytes())).count()
}

fn shortened(picture: u64) -> String {
    format!("{:0DIGITS$x}", picture >> (64 - 4 * DIGITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_found() {
        let picture = |i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let set = |range: std::ops::Range<u64>| -> HashSet<u64> { range.map(picture).collect() };
        let text = encode(&set(1..101));
        assert_eq!(text.len(), 100 * DIGITS);
        assert_eq!(overlap(&text, &set(51..1001)), 50);
        assert_eq!(overlap(&text, &set(101..5000)), 0);
        // Of many, those that are kept are found.
        let text = encode(&set(1..5001));
        assert_eq!((text.len(), overlap(&text, &set(1..5001))), (MAX_PICTURES * DIGITS, MAX_PICTURES));
        assert_eq!(encode(&HashSet::from([1])), "0000000000");
        for odd in ["", "nonsense", "ünïcödé text"] {
            assert_eq!(overlap(odd, &set(1..100)), 0, "{odd}");
        }
    }
}
