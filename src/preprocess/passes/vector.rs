//! The passes over vectors of 16 bytes.
//!
//! A pixel of three bytes fills three of four lanes of 32 bits. One table lookup spreads it over them, so a horizontal tap of
//! a pixel is a lookup and a multiply-add. To fill the vector with a second pixel would gain nothing, because the
//! multiply-add takes as long as the lookup.

use super::scalar;
use crate::preprocess::frame::{Row, Samples};
use crate::preprocess::resample::{BLOCK, OVERREAD, Rows, Table};
use crate::preprocess::yuv::{Factors, Yuv};
use crate::preprocess::{CHANNELS, Interpolation, opencv, pillow};
use crate::unroll::each_row;
use zerocopy::native_endian::I32;

/// Arithmetic on vectors of 16 bytes. A value proves that the CPU has the instructions.
///
/// Every method must be inlined into a function that enables these instructions.
pub(super) trait Vector: Copy {
    /// 16 bytes.
    type Bytes: Copy;
    /// 8 lanes of 16 bits.
    type Words: Copy;
    /// 4 lanes of 32 bits.
    type Ints: Copy;

    fn load(self, bytes: &[u8; 16]) -> Self::Bytes;
    /// The upper 8 bytes become 0.
    fn load_half(self, bytes: &[u8; 8]) -> Self::Bytes;
    fn load_words(self, bytes: &[u8; 16]) -> Self::Words;
    fn load_ints(self, ints: &[I32; 4]) -> Self::Ints;
    /// The upper two become 0.
    fn load_two_ints(self, ints: &[I32; 2]) -> Self::Ints;
    fn store(self, bytes: Self::Bytes, out: &mut [u8; 16]);
    /// Bytes 4 · `PART`, ….
    fn store_quarter<const PART: i32>(self, bytes: Self::Bytes, out: &mut [u8; 4]);
    /// Words 4 · `PART`, ….
    fn store_half_words<const PART: i32>(self, words: Self::Words, out: &mut [u8; 8]);
    /// Byte 0 of each of `planes`, then byte 1 of each, and so on.
    fn store_interleaved(self, planes: [Self::Bytes; 3], out: &mut [u8; 48]);

    fn splat_words(self, value: i16) -> Self::Words;
    fn splat_ints(self, value: i32) -> Self::Ints;

    /// Byte `table[i]` of `bytes` for each `i`, or 0 where that is [`NOTHING`].
    fn lookup(self, bytes: Self::Bytes, table: Self::Bytes) -> Self::Bytes;
    /// As [`Self::lookup`]: bytes in 32-bit lanes.
    fn spread(self, bytes: Self::Bytes, table: Self::Bytes) -> Self::Ints;

    /// Zero-extended.
    fn widen(self, bytes: Self::Bytes) -> [Self::Words; 2];
    /// Bytes 0, 2, … of each pair, zero-extended.
    fn even_bytes(self, pairs: [Self::Words; 2]) -> [Self::Words; 2];
    /// Bytes 1, 3, … of each pair, of all 16.
    fn odd_bytes(self, pairs: [Self::Words; 2]) -> Self::Bytes;
    /// Bytes 0, 2, … and bytes 1, 3, …, each in the high half of a word.
    fn split_high(self, pairs: Self::Bytes) -> [Self::Words; 2];
    /// Each byte in the high half of a word.
    fn widen_high(self, bytes: &[u8; 8]) -> Self::Words;
    /// Each word twice.
    fn double(self, words: Self::Words) -> [Self::Words; 2];

    fn xor(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// Wrapping.
    fn sub(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// Saturating, signed.
    fn add(self, a: Self::Words, b: Self::Words) -> Self::Words;
    fn shl7(self, words: Self::Words) -> Self::Words;
    /// ⌊a · b / 2¹⁵ + ½⌋, signed; not for two −2¹⁵.
    fn multiply_round(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// ⌊a · b / 2¹⁶⌋ of numbers in 0..2¹⁵.
    fn multiply_high(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// ⌊x / 2^`SHIFT` + ½⌋ clamped to a byte.
    fn narrow<const SHIFT: i32>(self, words: [Self::Words; 2]) -> Self::Bytes;

    /// `sum` + `a` · lane `LANE` of `b`.
    fn multiply_add<const LANE: i32>(self, sum: Self::Ints, a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// [`pillow::to_byte`].
    fn to_bytes(self, sums: [Self::Ints; 4]) -> Self::Bytes;
    /// [`opencv::to_sample`].
    fn to_samples(self, sums: [Self::Ints; 2]) -> Self::Words;
}

/// An index of [`Vector::lookup`] beyond every table.
const NOTHING: u8 = 0xff;

/// Tables that spread 3-byte pixels 0 to 3 over four lanes of 32 bits; the fourth lane becomes 0.
const SPREAD_PIXELS: [[u8; 16]; 4] = spread(3);

/// Tables that spread bytes 0 to 3, 4 to 7, … over lanes of 32 bits.
const SPREAD_BYTES: [[u8; 16]; 4] = spread(4);

const fn spread(step: u8) -> [[u8; 16]; 4] {
    let mut tables = [[NOTHING; 16]; 4];
    let mut i = 0;
    while i < 16 {
        let (table, lane) = (i / 4, i % 4);
        if lane < step {
            tables[table as usize][4 * lane as usize] = table * step + lane;
        }
        i += 1;
    }
    tables
}

/// [`Passes::unpack`](super::Passes::unpack).
#[inline(always)]
pub(super) fn unpack<V: Vector>(v: V, row: Row<'_>, out: &mut [u8]) {
    let done = match row {
        Row::Packed { order, pixels } => permute(v, order.bytes(), order.offsets(), pixels, out),
        Row::Yuv { yuv, samples } => convert(v, yuv, samples, out),
    };
    scalar::unpack(row.skip(done), &mut out[done * CHANNELS..]);
}

/// Pixels that [`permute`] moves at once: as many as 16 bytes hold of any order.
const STEP: usize = 4;

/// Converts packed pixels of `each` bytes, with red, green and blue at `offsets`, to RGB. Returns how many; the last ones are
/// left to the caller.
#[inline(always)]
fn permute<V: Vector>(v: V, each: usize, offsets: [usize; CHANNELS], pixels: &[u8], out: &mut [u8]) -> usize {
    if (each, offsets) == (CHANNELS, [0, 1, 2]) {
        let len = out.len().min(pixels.len());
        out[..len].copy_from_slice(&pixels[..len]);
        return len / CHANNELS;
    }
    let mut table = [NOTHING; 16];
    for (i, to) in table[..STEP * CHANNELS].iter_mut().enumerate() {
        *to = (i / CHANNELS * each + offsets[i % CHANNELS]) as u8;
    }
    let table = v.load(&table);
    // 16 bytes are loaded and stored, of which those of `STEP` pixels count.
    let steps = |len: usize, each: usize| len.checked_sub(16).map_or(0, |rest| rest / (STEP * each) + 1);
    let steps = steps(pixels.len(), each).min(steps(out.len(), CHANNELS));
    for step in 0..steps {
        let (from, to) = (step * STEP * each, step * STEP * CHANNELS);
        // SAFETY: as many steps as leave 16 bytes to load and to store.
        unsafe { v.store(v.lookup(v.load(chunk_at(pixels, from)), table), chunk_at_mut(out, to)) };
    }
    steps * STEP
}

/// Pixels that [`convert`] converts at once.
const PIXELS: usize = 16;

/// Converts YUV pixels to RGB. Returns how many, an even number, and 0 if there are few.
#[inline(always)]
fn convert<V: Vector>(v: V, yuv: Yuv, samples: Samples<'_>, out: &mut [u8]) -> usize {
    let pixels = (out.len() / CHANNELS) & !1;
    if pixels < PIXELS {
        return 0;
    }
    let factors = yuv.factors();
    let (black, luma_factor) = (v.splat_words(factors.black), v.splat_words(factors.luma));
    let chroma_factors = ChromaFactors::new(v, factors);
    for block in 0..pixels.div_ceil(PIXELS) {
        // The last block may overlap the one before it.
        let at = (block * PIXELS).min(pixels - PIXELS);
        let ([y0, y1], [[r0, r1], [g0, g1], [b0, b1]]) = match samples {
            Samples::Yuyv { pairs } => {
                let bytes = &pairs.as_flattened()[2 * at..];
                let pairs = [v.load_words(chunk(bytes)), v.load_words(chunk(&bytes[16..]))];
                let chroma = v.split_high(v.odd_bytes(pairs));
                (v.even_bytes(pairs), chroma_factors.of_pairs(v, chroma))
            }
            Samples::SemiPlanar { luma, chroma, v_first } => {
                let [a, b] = v.split_high(v.load(chunk(&chroma.as_flattened()[at..])));
                let chroma = if v_first { [b, a] } else { [a, b] };
                (v.widen(v.load(chunk(&luma[at..]))), chroma_factors.of_pairs(v, chroma))
            }
            Samples::Planar { luma, u, v: w } => {
                let chroma = [v.widen_high(chunk(&u[at / 2..])), v.widen_high(chunk(&w[at / 2..]))];
                (v.widen(v.load(chunk(&luma[at..]))), chroma_factors.of_pairs(v, chroma))
            }
            Samples::Full { luma, u, v: w } => {
                let chroma = [v.widen_high(chunk(&u[at..])), v.widen_high(chunk(&w[at..]))];
                let [r0, g0, b0] = chroma_factors.multiply(v, chroma);
                let chroma = [v.widen_high(chunk(&u[at + 8..])), v.widen_high(chunk(&w[at + 8..]))];
                let [r1, g1, b1] = chroma_factors.multiply(v, chroma);
                (v.widen(v.load(chunk(&luma[at..]))), [[r0, r1], [g0, g1], [b0, b1]])
            }
            Samples::Grey { luma } => {
                (v.widen(v.load(chunk(&luma[at..]))), [[v.splat_words(0); 2]; CHANNELS])
            }
        };
        let y0 = v.multiply_round(v.shl7(v.sub(y0, black)), luma_factor);
        let y1 = v.multiply_round(v.shl7(v.sub(y1, black)), luma_factor);
        let planes = [
            v.narrow::<6>([v.add(y0, r0), v.add(y1, r1)]),
            v.narrow::<6>([v.add(y0, g0), v.add(y1, g1)]),
            v.narrow::<6>([v.add(y0, b0), v.add(y1, b1)]),
        ];
        v.store_interleaved(planes, chunk_mut(&mut out[at * CHANNELS..]));
    }
    pixels
}

/// The factors of chroma in every lane.
#[derive(Clone, Copy)]
struct ChromaFactors<V: Vector> {
    red_v: V::Words,
    green_u: V::Words,
    green_v: V::Words,
    blue_u: V::Words,
    /// 128 in the high half of a word.
    middle: V::Words,
}

impl<V: Vector> ChromaFactors<V> {
    #[inline(always)]
    fn new(v: V, factors: &Factors) -> Self {
        Self {
            red_v: v.splat_words(factors.red_v),
            green_u: v.splat_words(factors.green_u),
            green_v: v.splat_words(factors.green_v),
            blue_u: v.splat_words(factors.blue_u),
            middle: v.splat_words(i16::MIN),
        }
    }

    /// Returns what U and V, each in the high half of a word, add to red, green and blue.
    #[inline(always)]
    fn multiply(&self, v: V, [cb, cr]: [V::Words; 2]) -> [V::Words; CHANNELS] {
        let (cb, cr) = (v.xor(cb, self.middle), v.xor(cr, self.middle));
        [
            v.multiply_round(cr, self.red_v),
            v.add(v.multiply_round(cb, self.green_u), v.multiply_round(cr, self.green_v)),
            v.multiply_round(cb, self.blue_u),
        ]
    }

    /// [`Self::multiply`] of samples that two pixels share.
    #[inline(always)]
    fn of_pairs(&self, v: V, chroma: [V::Words; 2]) -> [[V::Words; 2]; CHANNELS] {
        let [r, g, b] = self.multiply(v, chroma);
        [v.double(r), v.double(g), v.double(b)]
    }
}

/// Returns the first `N` bytes. There are at least as many.
#[inline(always)]
fn chunk<const N: usize>(bytes: &[u8]) -> &[u8; N] {
    bytes.first_chunk().expect("rows are as long as the picture")
}

/// As [`chunk`].
#[inline(always)]
fn chunk_mut<const N: usize>(bytes: &mut [u8]) -> &mut [u8; N] {
    bytes.first_chunk_mut().expect("rows are as long as the picture")
}

/// Returns `N` items from `at` on, without a check.
///
/// # Safety
///
/// There are at least `at + N` items.
#[inline(always)]
unsafe fn chunk_at<T, const N: usize>(items: &[T], at: usize) -> &[T; N] {
    debug_assert!(at + N <= items.len());
    // SAFETY: the contract above; an array has the alignment of its items.
    unsafe { &*items.as_ptr().add(at).cast() }
}

/// As [`chunk_at`].
///
/// # Safety
///
/// As of [`chunk_at`].
#[inline(always)]
unsafe fn chunk_at_mut<const N: usize>(bytes: &mut [u8], at: usize) -> &mut [u8; N] {
    debug_assert!(at + N <= bytes.len());
    // SAFETY: the contract above.
    unsafe { &mut *bytes.as_mut_ptr().add(at).cast() }
}

/// [`Passes::across`](super::Passes::across).
#[inline(always)]
pub(super) fn across<V: Vector>(
    v: V,
    interpolation: Interpolation,
    lines: &[u8],
    table: &Table<'_>,
    out: &mut [u8],
) {
    match interpolation {
        Interpolation::PillowBilinear | Interpolation::PillowBicubic => across_pillow(v, lines, table, out),
        Interpolation::OpenCvBilinear => across_opencv(v, lines, table, out),
    }
}

#[inline(always)]
fn across_pillow<V: Vector>(v: V, lines: &[u8], table: &Table<'_>, out: &mut [u8]) {
    let row = out.len() / 4;
    assert!(table.len() * CHANNELS < row, "a row has room for one sample more");
    let mut at = 0;
    each_column::<V, 4>(v, lines, table, v.splat_ints(pillow::HALF), |sums| {
        let bytes = v.to_bytes(sums);
        // SAFETY: three samples of a column of a row, and the one more that was asserted.
        unsafe {
            v.store_quarter::<0>(bytes, chunk_at_mut(out, at));
            v.store_quarter::<1>(bytes, chunk_at_mut(out, at + row));
            v.store_quarter::<2>(bytes, chunk_at_mut(out, at + 2 * row));
            v.store_quarter::<3>(bytes, chunk_at_mut(out, at + 3 * row));
        }
        at += CHANNELS;
    });
}

#[inline(always)]
fn across_opencv<V: Vector>(v: V, lines: &[u8], table: &Table<'_>, out: &mut [u8]) {
    let row = out.len() / 2;
    assert!(table.len() * CHANNELS * 2 + 2 <= row, "a row has room for one sample more");
    let mut at = 0;
    each_column::<V, 2>(v, lines, table, v.splat_ints(0), |sums| {
        let samples = v.to_samples(sums);
        // SAFETY: three samples of a column of a row, and the one more that was asserted.
        unsafe {
            v.store_half_words::<0>(samples, chunk_at_mut(out, at));
            v.store_half_words::<1>(samples, chunk_at_mut(out, at + row));
        }
        at += CHANNELS * 2;
    });
}

/// Calls `finish` for each column of `table`, in order, with the weighed sums of `ROWS` lines onto `initial`.
#[inline(always)]
fn each_column<V: Vector, const ROWS: usize>(
    v: V,
    lines: &[u8],
    table: &Table<'_>,
    initial: V::Ints,
    mut finish: impl FnMut([V::Ints; ROWS]),
) {
    let line = lines.len() / ROWS;
    let tables = load_tables(v, &SPREAD_PIXELS);
    for (start, weights) in table.iter() {
        let mut at = start * CHANNELS;
        assert!(at + weights.len() * CHANNELS + OVERREAD <= line, "windows lie on their lines");
        let mut sums = [initial; ROWS];
        let (fours, two) = weights.as_chunks();
        for weights in fours {
            let weights = v.load_ints(weights);
            each_row!(ROWS, r => {
                // SAFETY: four pixels and four bytes more, as asserted.
                let bytes = v.load(unsafe { chunk_at(lines, r * line + at) });
                sums[r] = v.multiply_add::<0>(sums[r], v.spread(bytes, tables[0]), weights);
                sums[r] = v.multiply_add::<1>(sums[r], v.spread(bytes, tables[1]), weights);
                sums[r] = v.multiply_add::<2>(sums[r], v.spread(bytes, tables[2]), weights);
                sums[r] = v.multiply_add::<3>(sums[r], v.spread(bytes, tables[3]), weights);
            });
            at += 4 * CHANNELS;
        }
        if let Some(weights) = two.first_chunk() {
            let weights = v.load_two_ints(weights);
            each_row!(ROWS, r => {
                // SAFETY: two pixels and two bytes more, as asserted.
                let bytes = v.load_half(unsafe { chunk_at(lines, r * line + at) });
                sums[r] = v.multiply_add::<0>(sums[r], v.spread(bytes, tables[0]), weights);
                sums[r] = v.multiply_add::<1>(sums[r], v.spread(bytes, tables[1]), weights);
            });
        }
        finish(sums);
    }
}

#[inline(always)]
fn load_tables<V: Vector>(v: V, tables: &[[u8; 16]; 4]) -> [V::Bytes; 4] {
    [v.load(&tables[0]), v.load(&tables[1]), v.load(&tables[2]), v.load(&tables[3])]
}

/// [`Passes::down`](super::Passes::down).
#[inline(always)]
pub(super) fn down<V: Vector>(
    v: V,
    interpolation: Interpolation,
    rows: &Rows<'_>,
    weights: &[I32],
    out: &mut [u8],
) {
    match interpolation {
        Interpolation::PillowBilinear | Interpolation::PillowBicubic => down_pillow(v, rows, weights, out),
        Interpolation::OpenCvBilinear => down_opencv(v, rows, weights, out),
    }
}

#[inline(always)]
fn down_pillow<V: Vector>(v: V, rows: &Rows<'_>, weights: &[I32], out: &mut [u8]) {
    let tables = load_tables(v, &SPREAD_BYTES);
    let (blocks, _) = out.as_chunks_mut::<BLOCK>();
    assert!(blocks.len() * BLOCK <= rows.row, "rows are whole blocks");
    for (block, out) in blocks.iter_mut().enumerate() {
        let mut sums = [[v.splat_ints(pillow::HALF); 4]; 2];
        let mut weights = weights.iter();
        for part in rows.parts {
            for (row, weight) in part.chunks_exact(rows.row).zip(&mut weights) {
                let weight = v.splat_ints(weight.get());
                for (half, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: inside the block, which was asserted to lie on the row.
                    let bytes = v.load(unsafe { chunk_at(row, block * BLOCK + half * 16) });
                    sums[0] = v.multiply_add::<0>(sums[0], v.spread(bytes, tables[0]), weight);
                    sums[1] = v.multiply_add::<0>(sums[1], v.spread(bytes, tables[1]), weight);
                    sums[2] = v.multiply_add::<0>(sums[2], v.spread(bytes, tables[2]), weight);
                    sums[3] = v.multiply_add::<0>(sums[3], v.spread(bytes, tables[3]), weight);
                }
            }
        }
        v.store(v.to_bytes(sums[0]), chunk_mut(out));
        v.store(v.to_bytes(sums[1]), chunk_mut(&mut out[16..]));
    }
}

#[inline(always)]
fn down_opencv<V: Vector>(v: V, rows: &Rows<'_>, weights: &[I32], out: &mut [u8]) {
    let (&[a, b], Some((upper, lower))) = (weights, rows.iter().next().zip(rows.iter().last())) else {
        return;
    };
    let (a, b) = (v.splat_words(a.get() as i16), v.splat_words(b.get() as i16));
    let sources =
        upper.as_chunks::<16>().0.as_chunks::<2>().0.iter().zip(lower.as_chunks::<16>().0.as_chunks::<2>().0);
    for (out, (upper, lower)) in out.as_chunks_mut().0.iter_mut().zip(sources) {
        let sums = [
            v.add(v.multiply_high(v.load_words(&upper[0]), a), v.multiply_high(v.load_words(&lower[0]), b)),
            v.add(v.multiply_high(v.load_words(&upper[1]), a), v.multiply_high(v.load_words(&lower[1]), b)),
        ];
        v.store(v.narrow::<{ opencv::LAST_SHIFT as i32 }>(sums), out);
    }
}
