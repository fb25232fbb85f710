//! The segments of a JPEG: what lies between its markers (ITU-T T.81, annex B).

use super::damaged;
use super::huffman::HuffmanTable;
use crate::DecodeError;

/// The natural position (row × 8 + column) of each coefficient in zigzag order.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The kind of a segment that holds tables or parameters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Table {
    Huffman,
    Quantization,
    RestartInterval,
    Jfif,
    Adobe,
}

/// A marker with the contents of its segment.
pub(super) enum Marker<'a> {
    /// Start of frame: the size and the components of the picture.
    Frame { progressive: bool, header: &'a [u8] },
    /// Start of scan. Entropy-coded data follow.
    Scan(&'a [u8]),
    /// Tables or parameters.
    Table(Table, &'a [u8]),
    /// The data of an application, such as EXIF.
    Application1(&'a [u8]),
    /// A segment that does not change the pixels.
    Skipped,
    /// End of image.
    End,
}

/// Iterates over the segments of a JPEG.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    /// Begins after the start of the image.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 2 }
    }

    /// Returns the bytes from here on.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    /// Skips `len` bytes.
    pub(super) fn skip(&mut self, len: usize) {
        self.at = self.at.saturating_add(len);
    }

    /// Returns the next marker. Bytes before it are skipped, as libjpeg does.
    ///
    /// # Errors
    ///
    /// Returns an error if the file ends, or has a kind of coding that is not supported.
    pub(super) fn next(&mut self) -> Result<Marker<'a>, DecodeError> {
        let (marker, len) = find_marker(self.rest()).ok_or_else(ends_early)?;
        self.skip(len);
        let unsupported = |what: &str| Err(DecodeError::Unsupported(what.to_owned()));
        Ok(match marker {
            0xc0..=0xc2 => Marker::Frame { progressive: marker == 0xc2, header: self.contents()? },
            0xc4 => Marker::Table(Table::Huffman, self.contents()?),
            0xc9 | 0xca | 0xcd | 0xce => return unsupported("a JPEG with arithmetic coding"),
            0xc3 | 0xc7 | 0xcb | 0xcf => return unsupported("a lossless JPEG"),
            0xc5 | 0xc6 | 0xc8 => return unsupported("a hierarchical JPEG"),
            0xd8 => return Err(damaged("two pictures in one")),
            0xd9 => Marker::End,
            0xda => Marker::Scan(self.contents()?),
            0xdb => Marker::Table(Table::Quantization, self.contents()?),
            0xdd => Marker::Table(Table::RestartInterval, self.contents()?),
            0xe0 => Marker::Table(Table::Jfif, self.contents()?),
            0xee => Marker::Table(Table::Adobe, self.contents()?),
            0xe1 => Marker::Application1(self.contents()?),
            // Parameters of arithmetic coding, the number of lines, other applications' data, a comment.
            0xcc | 0xdc | 0xe2..=0xef | 0xfe => {
                self.contents()?;
                Marker::Skipped
            }
            // They have no contents.
            0x01 | 0xd0..=0xd7 => Marker::Skipped,
            _ => return Err(damaged("it has an unknown marker")),
        })
    }

    /// Returns the contents of a segment, after its length.
    fn contents(&mut self) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest().split_first_chunk::<2>().ok_or_else(ends_early)?;
        let len = usize::from(u16::from_be_bytes(*head)).checked_sub(2);
        let len = len.ok_or_else(|| damaged("it has a segment without a length"))?;
        let contents = rest.get(..len).ok_or_else(ends_early)?;
        self.skip(2 + len);
        Ok(contents)
    }
}

/// Returns the error of a file that is cut.
pub(super) fn ends_early() -> DecodeError {
    damaged("the JPEG ends early")
}

/// Finds the next marker in `bytes`. Returns it and the number of bytes up to its end.
pub(super) fn find_marker(bytes: &[u8]) -> Option<(u8, usize)> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        // Any number of FF may precede a marker.
        at += bytes[at..].iter().position(|&byte| byte != 0xff)?;
        let marker = bytes[at];
        at += 1;
        // FF 00 is a byte of data.
        if marker != 0 {
            return Some((marker, at));
        }
    }
}

/// The tables and parameters that are in force.
pub(super) struct Tables {
    /// Divisors of coefficients, in natural order.
    pub(super) quantization: [Option<[u16; 64]>; 4],
    /// Tables of DC coefficients.
    pub(super) dc: [Option<HuffmanTable>; 4],
    /// Tables of AC coefficients.
    pub(super) ac: [Option<HuffmanTable>; 4],
    /// Number of MCUs between restart markers, or 0 if there are none.
    pub(super) restart_interval: usize,
    /// Whether the file is a JFIF, whose colours are always YCbCr.
    pub(super) jfif: bool,
    /// The colour transform that Adobe's segment states.
    pub(super) adobe: Option<u8>,
}

impl Default for Tables {
    /// Cameras leave the Huffman tables out in Motion JPEG, where they are those of annex K. libjpeg-turbo assumes them too.
    fn default() -> Self {
        let [[dc_luma, dc_chroma], [ac_luma, ac_chroma]] = HuffmanTable::standard();
        Self {
            quantization: [None; 4],
            dc: [dc_luma, dc_chroma, None, None],
            ac: [ac_luma, ac_chroma, None, None],
            restart_interval: 0,
            jfif: false,
            adobe: None,
        }
    }
}

impl Tables {
    /// Reads the contents of a segment.
    pub(super) fn read(&mut self, table: Table, contents: &[u8]) -> Result<(), DecodeError> {
        match table {
            Table::Huffman => self.read_huffman(contents),
            Table::Quantization => self.read_quantization(contents),
            Table::RestartInterval => {
                let interval = contents.try_into().map_err(|_| damaged("its restart interval is invalid"))?;
                self.restart_interval = usize::from(u16::from_be_bytes(interval));
                Ok(())
            }
            Table::Jfif => {
                self.jfif |= contents.len() >= 14 && contents.starts_with(b"JFIF\0");
                Ok(())
            }
            Table::Adobe => {
                if contents.starts_with(b"Adobe") {
                    self.adobe = contents.get(11).copied().or(self.adobe);
                }
                Ok(())
            }
        }
    }

    fn read_huffman(&mut self, mut contents: &[u8]) -> Result<(), DecodeError> {
        let invalid = || damaged("a Huffman table is invalid");
        while let Some((&id, rest)) = contents.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(invalid)?;
            let len = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(len).ok_or_else(invalid)?;
            let of_ac = id & 0x10 != 0;
            let tables = if of_ac { &mut self.ac } else { &mut self.dc };
            let slot = tables.get_mut(usize::from(id & !0x10)).ok_or_else(invalid)?;
            *slot = Some(HuffmanTable::new(counts, symbols).ok_or_else(invalid)?);
            contents = rest;
        }
        Ok(())
    }

    fn read_quantization(&mut self, mut contents: &[u8]) -> Result<(), DecodeError> {
        let invalid = || damaged("a quantization table is invalid");
        while let Some((&id, rest)) = contents.split_first() {
            let bytes = if id >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * bytes).ok_or_else(invalid)?;
            let slot = self.quantization.get_mut(usize::from(id & 15)).ok_or_else(invalid)?;
            let mut table = [0; 64];
            for (value, &position) in values.chunks_exact(bytes).zip(&ZIGZAG) {
                table[usize::from(position)] = value.iter().fold(0, |sum, &byte| sum << 8 | u16::from(byte));
            }
            *slot = Some(table);
            contents = rest;
        }
        Ok(())
    }
}
