//! Huffman codes and the bits of entropy-coded data (ITU-T T.81, annexes C and F).

use super::annex_k::{AC_COUNTS, AC_SYMBOLS, DC_COUNTS, DC_SYMBOLS};
use super::damaged;
use super::segments::{ends_early, find_marker};
use crate::DecodeError;

/// Codes up to this length are decoded with one look-up.
const SHORT: u32 = 9;

/// A table of Huffman codes.
pub(super) struct HuffmanTable {
    /// For each sequence of `SHORT` bits, the length of the code that it begins with (high byte) and its symbol (low byte), or 0
    /// if the code is longer.
    short: [u16; 1 << SHORT],
    /// For each length, the first 16-bit sequence that does not begin with a code of at most this length.
    limit: [u32; 17],
    /// For each length, what to add to a code to get the place of its symbol.
    offset: [i32; 17],
    symbols: [u8; 256],
}

impl HuffmanTable {
    /// Assigns codes to `symbols`, in order. `counts[i]` of them have `i + 1` bits. Returns `None` if there are too many.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self { short: [0; 1 << SHORT], limit: [0; 17], offset: [0; 17], symbols: [0; 256] };
        table.symbols.get_mut(..symbols.len())?.copy_from_slice(symbols);
        let (mut code, mut place) = (0u32, 0);
        for (len, &count) in (1..=16u32).zip(counts) {
            code <<= 1;
            table.offset[len as usize] = place as i32 - code as i32;
            for _ in 0..count {
                if code >= 1 << len {
                    return None;
                }
                if len <= SHORT {
                    let first = (code << (SHORT - len)) as usize;
                    let entry = (len as u16) << 8 | u16::from(table.symbols[place]);
                    table.short[first..first + (1 << (SHORT - len))].fill(entry);
                }
                code += 1;
                place += 1;
            }
            table.limit[len as usize] = code << (16 - len);
        }
        Some(table)
    }

    /// Returns the tables of annex K: those of DC and of AC coefficients, for luma and for chroma.
    pub(super) fn standard() -> [[Option<Self>; 2]; 2] {
        [
            DC_COUNTS.map(|counts| Self::new(&counts, &DC_SYMBOLS)),
            [0, 1].map(|i| Self::new(&AC_COUNTS[i], &AC_SYMBOLS[i])),
        ]
    }
}

/// Reads the bits of entropy-coded data, up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The place of the next byte that is not in `buffer`.
    at: usize,
    /// The next bits, from the highest one on. Below them are zeros.
    buffer: u64,
    /// The number of bits in `buffer`.
    len: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, buffer: 0, len: 0 }
    }

    /// Returns the number of bytes that were read. No marker is among them.
    pub(super) fn read(&self) -> usize {
        self.at
    }

    /// Fills the buffer with at least 32 bits, if that many precede the next marker.
    fn fill(&mut self) {
        if let Some(four) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let word = u32::from_be_bytes(*four);
            // Whether no byte is FF: the highest bit of a byte of `!word - 01..01` is set if the byte was 0.
            if (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 == 0 {
                self.buffer |= u64::from(word) << (32 - self.len);
                self.len += 32;
                self.at += 4;
                return;
            }
        }
        while self.len <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            let mut next = self.at + 1;
            if byte == 0xff {
                // Any number of FF may precede the 00 that tells data from a marker.
                while self.bytes.get(next) == Some(&0xff) {
                    next += 1;
                }
                if self.bytes.get(next) != Some(&0) {
                    return;
                }
                next += 1;
            }
            self.buffer |= u64::from(byte) << (56 - self.len);
            self.len += 8;
            self.at = next;
        }
    }

    /// Takes `count` bits that the buffer has.
    fn take(&mut self, count: u32) -> Result<(), DecodeError> {
        self.len = self.len.checked_sub(count).ok_or_else(|| self.ended())?;
        self.buffer <<= count;
        Ok(())
    }

    /// Returns the error of data that end within a block.
    #[cold]
    fn ended(&self) -> DecodeError {
        let marker = self.bytes.get(self.at..).and_then(find_marker);
        marker.map_or_else(ends_early, |_| damaged("a scan ends early"))
    }

    /// Decodes a symbol.
    #[inline]
    pub(super) fn symbol(&mut self, table: &HuffmanTable) -> Result<u8, DecodeError> {
        if self.len < 32 {
            self.fill();
        }
        let entry = table.short[(self.buffer >> (64 - SHORT)) as usize];
        if entry != 0 {
            self.take(u32::from(entry >> 8))?;
            return Ok(entry as u8);
        }
        let sequence = (self.buffer >> 48) as u32;
        let len = (SHORT + 1..=16).find(|&len| sequence < table.limit[len as usize]);
        let Some(len) = len else {
            return Err(if self.len < 16 { self.ended() } else { damaged("a scan has an invalid code") });
        };
        let place = (sequence >> (16 - len)) as i32 + table.offset[len as usize];
        self.take(len)?;
        Ok(table.symbols[place as usize & 255])
    }

    /// Returns the next `count` bits, at most 16.
    #[inline]
    pub(super) fn bits(&mut self, count: u32) -> Result<u32, DecodeError> {
        if count == 0 {
            return Ok(0);
        }
        if self.len < count {
            self.fill();
        }
        let value = self.buffer >> (64 - count);
        self.take(count)?;
        Ok(value as u32)
    }

    /// Returns the next bit.
    #[inline]
    pub(super) fn bit(&mut self) -> Result<bool, DecodeError> {
        Ok(self.bits(1)? != 0)
    }

    /// Returns the next number, which has `count` bits, at most 16. Numbers with a leading 0 are negative (T.81, figure F.12).
    #[inline]
    pub(super) fn number(&mut self, count: u32) -> Result<i32, DecodeError> {
        let bits = self.bits(count)? as i32;
        let half = (1 << count) >> 1;
        Ok(if bits < half { bits - (1 << count) + 1 } else { bits })
    }

    /// Goes to the restart marker with this number (0..=7), and behind it.
    ///
    /// # Errors
    ///
    /// Returns an error if the next marker is another one.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), DecodeError> {
        match find_marker(self.bytes.get(self.at..).unwrap_or(&[])) {
            Some((marker, len)) if marker == 0xd0 + number => {
                *self = Self { at: self.at + len, ..Self::new(self.bytes) };
                Ok(())
            }
            Some(_) => Err(damaged("a restart marker is missing")),
            None => Err(ends_early()),
        }
    }
}
