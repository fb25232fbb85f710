//! What the resampling of both libraries has in common: windows, tables of weights, and a ring of rows between the pass
//! along the rows and the pass down the columns.

use zerocopy::FromBytes;
use zerocopy::native_endian::I32;

use super::passes::Passes;
use super::{CHANNELS, Frame, Interpolation, opencv, pillow};
use core::ops::Range;

/// Bytes of one word of a weight table.
pub(super) const WORD: usize = size_of::<I32>();

/// Samples that vertical passes compute at once. Rows are padded to multiples of it.
pub(super) const BLOCK: usize = 32;

/// Bytes that horizontal passes may read, and ignore, beyond the last pixel of a window.
pub(super) const OVERREAD: usize = 4;

/// The source pixels that make one target pixel. It is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Window {
    /// Returns the end, one past the last source pixel.
    pub(super) fn end(self) -> u32 {
        self.start + self.len
    }
}

impl Interpolation {
    /// Returns the number of bytes of a sample between the passes.
    pub(super) fn sample(self) -> usize {
        match self {
            Self::PillowBilinear | Self::PillowBicubic => 1,
            Self::OpenCvBilinear => 2,
        }
    }

    /// Returns the number of source rows that horizontal passes take at once, so that they read the weights once.
    pub(super) fn batch(self) -> usize {
        match self {
            Self::PillowBilinear | Self::PillowBicubic => 4,
            // A target row needs no more, and most rows are skipped when a picture shrinks.
            Self::OpenCvBilinear => 2,
        }
    }
}

/// Resampling of one direction of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    input: u32,
    output: u32,
    library: Library,
}

#[derive(Clone, Copy, Debug)]
enum Library {
    Pillow(pillow::Axis),
    OpenCv(opencv::Axis),
}

impl Axis {
    /// Both sizes are at least 1, and `input` at most [`super::MAX_FRAME_SIDE`].
    pub(super) fn new(interpolation: Interpolation, input: u32, output: u32) -> Self {
        let pillow = |shape| Library::Pillow(pillow::Axis::new(shape, input, output));
        let library = match interpolation {
            Interpolation::PillowBilinear => pillow(pillow::Shape::Bilinear),
            Interpolation::PillowBicubic => pillow(pillow::Shape::Bicubic),
            Interpolation::OpenCvBilinear => Library::OpenCv(opencv::Axis::new(input, output)),
        };
        Self { input, output, library }
    }

    /// Returns whether there is nothing to do: Pillow leaves out the pass of a direction that keeps its size.
    ///
    /// The passes of OpenCV always run, because they turn bytes into 16 bits and back; they change nothing then.
    pub(super) fn is_identity(&self) -> bool {
        self.input == self.output && matches!(self.library, Library::Pillow(_))
    }

    /// Returns the source pixels of target pixel `index`. They never go back as `index` grows.
    pub(super) fn window(&self, index: u32) -> Window {
        match &self.library {
            _ if self.is_identity() => Window { start: index, len: 1 },
            Library::Pillow(axis) => axis.window(index),
            Library::OpenCv(axis) => axis.window(index),
        }
    }

    /// Returns the source pixels of target pixels `shown`, which are not empty.
    pub(super) fn source(&self, shown: &Range<u32>) -> Range<u32> {
        self.window(shown.start).start..self.window(shown.end - 1).end()
    }

    /// Returns the number of weights of each of the target pixels `shown`. It is even because vectors take two at a time; the
    /// last weight may be zero. It is 0 if there is nothing to do.
    pub(super) fn taps(&self, shown: &Range<u32>) -> u32 {
        match &self.library {
            _ if self.is_identity() => 0,
            Library::Pillow(axis) => {
                let longest = shown.clone().map(|index| axis.window(index).len).max();
                longest.unwrap_or(1).next_multiple_of(2)
            }
            Library::OpenCv(_) => opencv::TAPS,
        }
    }
}

/// A table of weights in borrowed bytes: one record per target pixel, of the window's start and its weights padded with
/// zeros. Words are unaligned, so that any scratch serves.
pub(super) struct Table<'s> {
    words: &'s mut [I32],
    taps: usize,
}

impl<'s> Table<'s> {
    /// Returns the number of words of a record of `taps` weights.
    pub(super) fn record(taps: u32) -> u64 {
        if taps == 0 { 0 } else { 1 + u64::from(taps) }
    }

    /// Creates a table of as many records as fit `bytes`.
    pub(super) fn new(bytes: &'s mut [u8], taps: u32) -> Self {
        let whole = bytes.len() - bytes.len() % WORD;
        let words = <[I32]>::mut_from_bytes(&mut bytes[..whole]).unwrap_or_default();
        // A table that does not fit a `usize` was refused before its bytes were borrowed.
        Self { words, taps: taps as usize }
    }

    /// Computes the records of the target columns `first`, `first + 1`, …; windows start from source pixel `origin`.
    pub(super) fn fill_across(&mut self, axis: &Axis, first: u32, origin: u32) {
        for (record, index) in self.words.chunks_exact_mut(1 + self.taps).zip(first..) {
            let (start, weights) = record.split_at_mut(1);
            start[0].set((axis.window(index).start - origin) as i32);
            match &axis.library {
                Library::Pillow(axis) => axis.weights(index, weights),
                Library::OpenCv(axis) => axis.weights_across(index, weights),
            }
        }
    }

    /// Computes the only record, that of target row `index`.
    pub(super) fn fill_down(&mut self, axis: &Axis, index: u32) {
        if let [_, weights @ ..] = &mut *self.words {
            match &axis.library {
                Library::Pillow(axis) => axis.weights(index, weights),
                Library::OpenCv(axis) => axis.weights(index, weights),
            }
        }
    }

    /// Returns the number of records.
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    pub(super) fn len(&self) -> usize {
        self.words.len() / (1 + self.taps)
    }

    /// Returns the number of weights of a record.
    pub(super) fn taps(&self) -> usize {
        self.taps
    }

    /// Returns the weights of the only record.
    pub(super) fn weights(&self) -> &[I32] {
        self.words.get(1..).unwrap_or_default()
    }

    /// Returns the start of each window and its weights.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[I32])> {
        self.words.chunks_exact(1 + self.taps).map(|record| (record[0].get() as usize, &record[1..]))
    }
}

/// The pass along the rows, which turns source rows in any layout into rows of resampled samples.
pub(super) struct Across<'s> {
    pub(super) passes: Passes,
    pub(super) interpolation: Interpolation,
    /// Weights of the shown columns; empty if the direction keeps its size.
    pub(super) table: Table<'s>,
    /// The source columns under them, starting at an even one.
    pub(super) columns: Range<u32>,
    /// The first shown column if the direction keeps its size.
    pub(super) first: u32,
    /// Room for a batch of source rows in RGB, [`Self::line_len`] bytes each.
    pub(super) lines: &'s mut [u8],
}

impl Across<'_> {
    /// Returns the number of bytes of a line: the pixels, and what passes may read beyond them.
    pub(super) fn line_len(columns: &Range<u32>, taps: u32) -> u64 {
        (u64::from(columns.end - columns.start) + u64::from(taps)) * CHANNELS as u64 + OVERREAD as u64
    }

    /// Resamples `rows` of `frame`, no more than a batch, into the first rows of `out`, which holds a batch.
    fn run(&mut self, frame: &Frame<'_>, rows: Range<u32>, out: &mut [u8]) {
        let batch = self.interpolation.batch();
        let line = self.lines.len() / batch;
        let row = out.len() / batch;
        let pixels = (self.columns.end - self.columns.start) as usize * CHANNELS;
        for (y, line) in rows.zip(self.lines.chunks_exact_mut(line)) {
            self.passes.unpack(frame.row(y, self.columns.clone()), &mut line[..pixels]);
        }
        if self.table.taps() > 0 {
            self.passes.across(self.interpolation, self.lines, &self.table, out);
            return;
        }
        let cut = (self.first - self.columns.start) as usize * CHANNELS;
        for (line, out) in self.lines.chunks_exact(line).zip(out.chunks_exact_mut(row)) {
            let line = &line[cut..pixels];
            let len = line.len().min(row);
            out[..len].copy_from_slice(&line[..len]);
        }
    }
}

/// The latest source rows after the horizontal pass.
pub(super) struct Ring<'s> {
    bytes: &'s mut [u8],
    /// Bytes of a row.
    row: usize,
    /// Rows of a batch. The capacity is a multiple of it, so that a batch never wraps.
    batch: u32,
    capacity: u32,
    /// Rows ever written: the next batch goes to slot `written % capacity`.
    written: u32,
    /// The next source row.
    next: u32,
    /// One past the last source row that a window covers.
    end: u32,
}

impl<'s> Ring<'s> {
    /// Returns the number of slots for windows of at most `taps` rows. The row that completes a window is the first of its batch at worst,
    /// and the rest of the batch must not overwrite the window.
    pub(super) fn rows_for(taps: u32, interpolation: Interpolation) -> u64 {
        let batch = interpolation.batch() as u64;
        (u64::from(taps.max(1)) + batch - 1).next_multiple_of(batch)
    }

    /// Creates a ring for the `source` rows with as many slots of `row` bytes as fit `bytes`.
    pub(super) fn new(
        bytes: &'s mut [u8],
        row: usize,
        interpolation: Interpolation,
        source: Range<u32>,
    ) -> Self {
        let capacity = (bytes.len() / row) as u32;
        let batch = interpolation.batch() as u32;
        Self { bytes, row, batch, capacity, written: 0, next: source.start, end: source.end }
    }

    /// Resamples source rows until those of `window` are in the ring. Windows must not go back.
    pub(super) fn advance(&mut self, window: Window, frame: &Frame<'_>, across: &mut Across<'_>) {
        // Rows that no window covers are skipped: OpenCV reads only two rows for each target row.
        self.next = self.next.max(window.start);
        while self.next < window.end() {
            let batch = &mut self.bytes[(self.written % self.capacity) as usize * self.row..];
            let rows = self.next..(self.next + self.batch).min(self.end);
            across.run(frame, rows, &mut batch[..self.batch as usize * self.row]);
            self.next += self.batch;
            self.written += self.batch;
        }
    }

    /// Returns the rows of `window`, the last window to which the ring has advanced.
    pub(super) fn rows(&self, window: Window) -> Rows<'_> {
        let first = (self.written - (self.next - window.start)) % self.capacity;
        let before_wrap = window.len.min(self.capacity - first) as usize * self.row;
        let after_wrap = window.len as usize * self.row - before_wrap;
        Rows {
            parts: [&self.bytes[first as usize * self.row..][..before_wrap], &self.bytes[..after_wrap]],
            row: self.row,
        }
    }
}

/// Consecutive rows after the horizontal pass.
pub(super) struct Rows<'r> {
    /// One after the other.
    pub(super) parts: [&'r [u8]; 2],
    /// Bytes of a row.
    pub(super) row: usize,
}

impl<'r> Rows<'r> {
    /// Copies the beginning of the first row to `out`.
    pub(super) fn copy_first(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.parts[0][..out.len()]);
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &'r [u8]> {
        self.parts.into_iter().flat_map(|part| part.chunks_exact(self.row))
    }
}
