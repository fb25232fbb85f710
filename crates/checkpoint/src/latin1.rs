//! Bytes that a pickle holds as text: each byte is one character from U+0000 to U+00FF, in UTF-8.

use std::ops::Range;

use crate::file_bytes::FileBytes;

/// Returns the number of characters in `range` of the file. Returns `None` if `range` is not in the file, is not UTF-8,
/// or holds a character above U+00FF.
pub(crate) fn len(file: &FileBytes, range: &Range<usize>) -> Option<usize> {
    /// Bytes that are checked before their pages are released.
    const PIECE: usize = 1 << 24;
    let mut len = 0;
    let mut valid = true;
    // Whether the previous byte is the first of a pair.
    let mut in_pair = false;
    for start in range.clone().step_by(PIECE) {
        let piece = start..range.end.min(start + PIECE);
        for &byte in file.bytes().get(piece.clone())? {
            let continues = byte & 0xc0 == 0x80;
            valid &= continues == in_pair;
            in_pair = byte & 0xfe == 0xc2;
            valid &= byte < 0x80 || continues || in_pair;
            len += usize::from(!continues);
        }
        file.release(&piece);
    }
    (valid && !in_pair).then_some(len)
}

/// Decodes text that [`len`] has checked. If the file has changed since, the result has wrong bytes but no panic occurs.
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        decoded.push(if byte < 0x80 { byte } else { byte << 6 | bytes.next().map_or(0, |next| next & 0x3f) });
    }
    decoded
}
