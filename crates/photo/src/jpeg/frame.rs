//! The picture of a JPEG: its size and its components (ITU-T T.81, A.1 and B.2.2).

use super::damaged;
use super::idct;
use crate::{DecodeError, MAX_DECODED_BYTES, MAX_PHOTO_SIDE};

/// A block of coefficients, in natural order.
pub(super) type Block = [i16; 64];

/// Number of samples on a side of a block.
pub(super) const SIDE: usize = 8;

/// A picture that is being decoded.
pub(super) struct Frame {
    /// Width in pixels.
    pub(super) width: usize,
    /// Height in pixels.
    pub(super) height: usize,
    /// Number of MCUs in a row and in a column of an interleaved scan.
    pub(super) mcus: [usize; 2],
    /// Whether several scans refine the coefficients.
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
}

/// A plane of samples, such as luma.
pub(super) struct Component {
    pub(super) id: u8,
    /// Horizontal and vertical sampling factor.
    pub(super) factors: [usize; 2],
    /// How many pixels a sample covers, horizontally and vertically.
    pub(super) expand: [usize; 2],
    /// Number of samples in a row and in a column that belong to the picture.
    pub(super) size: [usize; 2],
    /// Number of blocks in a row and in a column that belong to the picture.
    pub(super) blocks: [usize; 2],
    /// Number of blocks in a row of `samples`, where the last MCU is whole.
    pub(super) stride: usize,
    /// The quantization table's number.
    pub(super) table: usize,
    /// The quantization table that was in force when the component's first scan began.
    pub(super) quantization: Option<[u16; 64]>,
    /// The samples, row by row. Each row has `stride` blocks.
    pub(super) samples: Vec<u8>,
    /// The coefficients of a progressive picture, row by row.
    pub(super) coefficients: Vec<Block>,
    /// For each coefficient in zigzag order, how many of its lowest bits are missing, or `None` if no scan had it.
    pub(super) missing_bits: [Option<u8>; 64],
}

impl Frame {
    /// Reads the contents of a start of frame.
    ///
    /// # Errors
    ///
    /// Returns an error if the header is invalid or exceeds a limit of [`Rgb8Image::decode`](crate::Rgb8Image::decode). Nothing
    /// is allocated then.
    pub(super) fn new(header: &[u8], progressive: bool) -> Result<Self, DecodeError> {
        let invalid = || damaged("its header is invalid");
        let unsupported = |what: String| Err(DecodeError::Unsupported(what));
        let (&[bits, h1, h0, w1, w0, count], specs) = header.split_first_chunk().ok_or_else(invalid)?;
        let [width, height] = [[w1, w0], [h1, h0]].map(|side| usize::from(u16::from_be_bytes(side)));
        if bits != 8 {
            return unsupported(format!("a JPEG with {bits} bits a sample"));
        }
        if width == 0 || height == 0 {
            return Err(damaged("it states a width or height of 0"));
        }
        if ![1, 3, 4].contains(&count) {
            return unsupported(format!("a JPEG with {count} components"));
        }
        let (specs, rest) = specs.as_chunks::<3>();
        if specs.len() != usize::from(count) || !rest.is_empty() {
            return Err(invalid());
        }
        let factors = |spec: &[u8; 3]| [spec[1] >> 4, spec[1] & 15].map(usize::from);
        if specs.iter().flat_map(factors).any(|factor| !(1..=4).contains(&factor)) {
            return Err(invalid());
        }
        let largest = [0, 1].map(|axis| specs.iter().map(|spec| factors(spec)[axis]).max().unwrap_or(1));
        if specs.iter().any(|spec| factors(spec).iter().zip(largest).any(|(factor, max)| max % factor != 0)) {
            return unsupported("a JPEG whose sampling factors do not divide each other".to_owned());
        }
        if width.max(height) > MAX_PHOTO_SIDE as usize {
            return Err(DecodeError::TooLarge);
        }
        let mcus = [width.div_ceil(SIDE * largest[0]), height.div_ceil(SIDE * largest[1])];

        let blocks =
            |spec: &[u8; 3]| factors(spec).iter().zip(mcus).map(|(factor, mcus)| factor * mcus).product();
        let all: usize = specs.iter().map(blocks).sum();
        let block_bytes = SIDE * SIDE + if progressive { size_of::<Block>() } else { 0 };
        let pixel_bytes = width as u64 * height as u64 * 3;
        if all as u64 * block_bytes as u64 + pixel_bytes > MAX_DECODED_BYTES {
            return Err(DecodeError::TooLarge);
        }
        let components = specs.iter().map(|spec| {
            let factors = factors(spec);
            let expand = [largest[0] / factors[0], largest[1] / factors[1]];
            let size = [width.div_ceil(expand[0]), height.div_ceil(expand[1])];
            Component {
                id: spec[0],
                factors,
                expand,
                size,
                blocks: size.map(|samples| samples.div_ceil(SIDE)),
                stride: mcus[0] * factors[0],
                table: usize::from(spec[2]),
                quantization: None,
                samples: vec![0; blocks(spec) * SIDE * SIDE],
                coefficients: if progressive { vec![[0; 64]; blocks(spec)] } else { Vec::new() },
                missing_bits: [None; 64],
            }
        });
        Ok(Self { width, height, mcus, progressive, components: components.collect() })
    }

    /// Computes the samples of a progressive picture, after its last scan.
    ///
    /// # Errors
    ///
    /// Returns an error if a component had no scan, or lacks the last bits of coarse coefficients: libjpeg then smooths the
    /// blocks, in a way that changed between its versions.
    pub(super) fn finish(&mut self) -> Result<(), DecodeError> {
        for component in &mut self.components {
            let (Some(quantization), Some(_)) = (component.quantization, component.missing_bits[0]) else {
                return Err(damaged("a component has no data"));
            };
            if component.missing_bits[1..10].iter().any(|&missing| missing != Some(0)) {
                return Err(damaged("the last scans are missing"));
            }
            let [columns, rows] = component.blocks;
            let coefficients = std::mem::take(&mut component.coefficients);
            if coefficients.is_empty() {
                continue;
            }
            for row in 0..rows {
                for column in 0..columns {
                    let block = &coefficients[row * component.stride + column];
                    component.put(column, row, &idct::samples(block, &quantization));
                }
            }
        }
        Ok(())
    }
}

impl Component {
    /// Stores the samples of a block.
    pub(super) fn put(&mut self, column: usize, row: usize, block: &[[u8; SIDE]; SIDE]) {
        let stride = self.stride * SIDE;
        let first = row * SIDE * stride + column * SIDE;
        for (line, samples) in self.samples[first..].chunks_mut(stride).zip(block) {
            line[..SIDE].copy_from_slice(samples);
        }
    }

    /// Returns row `y` of the samples that belong to the picture. Beyond the last row, it is the last one.
    pub(super) fn row(&self, y: usize) -> &[u8] {
        let first = y.min(self.size[1] - 1) * self.stride * SIDE;
        &self.samples[first..first + self.size[0]]
    }
}
