//! Pillow's resampling: weights in binary64 rounded to fixed point, a pass along rows and a pass down
//! columns.
//!
//! The algorithm is that of Pillow's `src/libImaging/Resample.c` (`precompute_coeffs`,
//! `normalize_coeffs_8bpc` and the two `…_8bpc` passes). The order of every floating-point operation is kept,
//! and Rust never contracts a multiply and an add, so the weights are the same on every CPU.

use core::ops::Range;

use zerocopy::FromBytes;
use zerocopy::native_endian::I32;

use super::{CHANNELS, Filter};

/// Bytes of one word of a weight table.
pub(super) const WORD: usize = size_of::<I32>();

/// Fractional bits of a weight: 32, less 8 for the pixel and 2 for the overshoot of a filter with negative
/// lobes.
const FRACTION: u32 = 32 - 8 - 2;

/// Accumulators start here, so that the final shift rounds halves up.
const HALF: i32 = 1 << (FRACTION - 1);

impl Filter {
    /// Half-width of the filter, in pixels of the coarser of source and target.
    fn support(self) -> f64 {
        match self {
            Filter::PillowBilinear => 1.0,
            Filter::PillowBicubic => 2.0,
        }
    }

    /// The filter's value `x` pixels from its centre.
    fn weigh(self, x: f64) -> f64 {
        let x = if x < 0.0 { -x } else { x };
        match self {
            Filter::PillowBilinear if x < 1.0 => 1.0 - x,
            // Keys' cubic for a = -0.5, in Pillow's order of evaluation.
            Filter::PillowBicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Filter::PillowBicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            _ => 0.0,
        }
    }
}

/// The source pixels that one target pixel is made of. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Window {
    /// One past the last source pixel.
    pub(super) fn end(self) -> u32 {
        self.start + self.len
    }
}

/// Resampling of one direction of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    filter: Filter,
    input: u32,
    output: u32,
    /// Source pixels per target pixel.
    scale: f64,
    /// Half-width of the filter in source pixels.
    support: f64,
    /// Turns a distance in source pixels into the filter's argument.
    squeeze: f64,
}

impl Axis {
    /// Both sizes are at least 1, and `input` at most [`super::MAX_SIDE`].
    pub(super) fn new(filter: Filter, input: u32, output: u32) -> Self {
        let scale = f64::from(input) / f64::from(output);
        // Enlarging interpolates with the filter as it is; shrinking widens it, which is the antialiasing.
        let widening = if scale < 1.0 { 1.0 } else { scale };
        Self { filter, input, output, scale, support: filter.support() * widening, squeeze: 1.0 / widening }
    }

    /// Pillow leaves out the pass of a direction that keeps its size.
    pub(super) fn is_identity(&self) -> bool {
        self.input == self.output
    }

    /// An upper bound of [`Window::len`], at least 1.
    pub(super) fn taps_bound(&self) -> u32 {
        // At most 2 * 65535, so the casts are exact.
        let whole = self.support as u32;
        let ceiling = whole + u32::from(f64::from(whole) < self.support);
        (ceiling * 2 + 1).min(self.input)
    }

    /// The source pixels under the filter centred on target pixel `index`.
    pub(super) fn window(&self, index: u32) -> Window {
        let centre = self.centre(index);
        // Casts saturate: what lies left of the source becomes 0.
        let start = (centre - self.support + 0.5) as u32;
        let end = ((centre + self.support + 0.5) as u32).min(self.input);
        Window { start, len: end - start }
    }

    fn centre(&self, index: u32) -> f64 {
        (f64::from(index) + 0.5) * self.scale
    }

    /// Writes the fixed-point weights of `window(index)` to the front of `weights` and zeros after them.
    fn weights(&self, index: u32, weights: &mut [I32]) -> Window {
        let window = self.window(index);
        let centre = self.centre(index);
        let weigh =
            |tap: u32| self.filter.weigh((f64::from(window.start + tap) - centre + 0.5) * self.squeeze);
        // Weighing twice costs less than a buffer of binary64 weights would.
        let mut sum = 0.0;
        for tap in 0..window.len {
            sum += weigh(tap);
        }
        for (weight, tap) in weights.iter_mut().zip(0..) {
            weight.set(if tap < window.len {
                let share = if sum != 0.0 { weigh(tap) / sum } else { weigh(tap) };
                to_fixed(share)
            } else {
                0
            });
        }
        window
    }
}

/// Rounds halves away from zero.
fn to_fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << FRACTION);
    if weight < 0.0 { (scaled - 0.5) as i32 } else { (scaled + 0.5) as i32 }
}

/// Drops the fraction of an accumulator and clamps to a byte.
fn to_pixel(sum: i32) -> u8 {
    (sum >> FRACTION).clamp(0, 255) as u8
}

/// A table of weights in borrowed bytes: one record per target pixel, of the window's start, its length and
/// its weights padded with zeros. Words are unaligned, so that any scratch serves.
pub(super) struct Weights<'s> {
    words: &'s mut [I32],
    record: usize,
}

impl<'s> Weights<'s> {
    /// Words of a record with room for `taps` weights.
    pub(super) fn record_words(taps: u32) -> u64 {
        2 + u64::from(taps)
    }

    /// A table of as many records as fit `bytes`.
    pub(super) fn new(bytes: &'s mut [u8], taps: u32) -> Self {
        let whole = bytes.len() - bytes.len() % WORD;
        let words = <[I32]>::mut_from_bytes(&mut bytes[..whole]).unwrap_or_default();
        // A table that does not fit a `usize` was refused before its bytes were borrowed.
        Self { words, record: Self::record_words(taps) as usize }
    }

    /// Computes the records of the target pixels `first`, `first + 1`, … of `axis`.
    pub(super) fn fill(&mut self, axis: &Axis, first: u32) {
        for (record, index) in self.words.chunks_exact_mut(self.record).zip(first..) {
            let (header, weights) = record.split_at_mut(2);
            let window = axis.weights(index, weights);
            header[0].set(window.start as i32);
            header[1].set(window.len as i32);
        }
    }

    /// The start of each window and its weights.
    fn iter(&self) -> impl Iterator<Item = (usize, &[I32])> {
        self.words.chunks_exact(self.record).map(|record| {
            let (header, weights) = record.split_at(2);
            let len = (header[1].get() as usize).min(weights.len());
            (header[0].get() as usize, &weights[..len])
        })
    }
}

/// Resamples `ROWS` source rows along the row: `out` receives as many rows, one after the other.
///
/// Each of `rows` begins with a source row and may go on beyond it.
pub(super) fn across<const ROWS: usize>(rows: [&[u8]; ROWS], table: &Weights<'_>, out: &mut [u8]) {
    let rows = rows.map(|row| row.as_chunks::<CHANNELS>().0);
    let (out, _) = out.as_chunks_mut::<CHANNELS>();
    let row_len = out.len() / ROWS;
    for (column, (start, weights)) in table.iter().enumerate() {
        // Slices as long as the weights spare the loop below its bounds checks.
        let sources = rows.map(|row| &row[start..][..weights.len()]);
        let mut sums = [[HALF; CHANNELS]; ROWS];
        for (tap, weight) in weights.iter().enumerate() {
            let weight = weight.get();
            for (sum, source) in sums.iter_mut().zip(&sources) {
                for (sum, byte) in sum.iter_mut().zip(source[tap]) {
                    *sum += i32::from(byte) * weight;
                }
            }
        }
        for (row, sum) in sums.iter().enumerate() {
            out[row * row_len + column] = sum.map(to_pixel);
        }
    }
}

/// Bytes of a row that the vertical pass sums at once.
const BLOCK: usize = 32;

/// Makes one target row of the rows under the first window of `table`; `row(y)` is as long as `out`.
pub(super) fn down<'r>(row: impl Fn(u32) -> &'r [u8], table: &Weights<'_>, out: &mut [u8]) {
    let Some((start, weights)) = table.iter().next() else {
        return;
    };
    let rows = || weights.iter().map(|weight| weight.get()).zip((start as u32..).map(&row));
    let mut at = 0;
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    for block in blocks {
        let mut sums = [HALF; BLOCK];
        for (weight, row) in rows() {
            for (sum, &byte) in sums.iter_mut().zip(&row[at..at + BLOCK]) {
                *sum += i32::from(byte) * weight;
            }
        }
        *block = sums.map(to_pixel);
        at += BLOCK;
    }
    for (i, pixel) in rest.iter_mut().enumerate() {
        let sum = rows().fold(HALF, |sum, (weight, row)| sum + i32::from(row[at + i]) * weight);
        *pixel = to_pixel(sum);
    }
}

/// Source rows resampled together, to share the reading of the weights.
const BATCH: usize = 4;

/// The latest source rows after the horizontal pass, each in slot `row % capacity`.
pub(super) struct Ring<'s> {
    rows: &'s mut [u8],
    row_len: usize,
    /// Slots: a multiple of [`BATCH`], so that a batch never wraps.
    capacity: u32,
    /// The source row in slot 0 of the first round.
    first: u32,
    /// The next source row to resample.
    next: u32,
    /// One past the last source row that will be asked for.
    end: u32,
}

impl<'s> Ring<'s> {
    /// Slots for windows of at most `taps` rows. The row that completes a window is the first of its batch at
    /// worst, and the rest of the batch must not overwrite the window.
    pub(super) fn rows_for(taps: u32) -> u64 {
        (u64::from(taps) + BATCH as u64 - 1).next_multiple_of(BATCH as u64)
    }

    /// A ring for the `source` rows with as many slots as fit `rows`.
    pub(super) fn new(rows: &'s mut [u8], row_len: usize, source: Range<u32>) -> Self {
        let capacity = (rows.len() / row_len) as u32;
        Self { rows, row_len, capacity, first: source.start, next: source.start, end: source.end }
    }

    /// Resamples source rows until all those before `end` have been in the ring.
    pub(super) fn advance<'f>(&mut self, end: u32, table: &Weights<'_>, source: impl Fn(u32) -> &'f [u8]) {
        while self.next < end {
            let slot = self.slot(self.next);
            let slots = &mut self.rows[slot..];
            if self.end - self.next >= BATCH as u32 {
                let rows: [_; BATCH] = core::array::from_fn(|i| source(self.next + i as u32));
                across(rows, table, &mut slots[..BATCH * self.row_len]);
                self.next += BATCH as u32;
            } else {
                across([source(self.next)], table, &mut slots[..self.row_len]);
                self.next += 1;
            }
        }
    }

    /// Source row `y` after the horizontal pass.
    pub(super) fn row(&self, y: u32) -> &[u8] {
        &self.rows[self.slot(y)..][..self.row_len]
    }

    fn slot(&self, y: u32) -> usize {
        ((y - self.first) % self.capacity) as usize * self.row_len
    }
}
