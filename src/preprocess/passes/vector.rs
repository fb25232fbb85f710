//! The passes over vectors of 16 bytes.
//!
//! A pixel of three bytes fills three of four lanes of 32 bits: a table lookup spreads it over them in one instruction, so
//! that a horizontal tap of a pixel is a lookup and a multiply-add. Rows need not be interleaved for that, nor are the
//! lanes of a second pixel missed: the multiply-add takes as long as the lookup.

use super::scalar;
use crate::preprocess::frame::{Row, Samples};
use crate::preprocess::resample::{BLOCK, OVERREAD, Rows, Table};
use crate::preprocess::yuv::{Factors, Yuv};
use crate::preprocess::{CHANNELS, Filter, opencv, pillow};
use zerocopy::native_endian::I32;

/// Arithmetic on vectors of 16 bytes. A value is the proof that the CPU has the instructions.
///
/// Every method must be inlined into a function that enables them.
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

/// Packed pixels of `each` bytes, red, green and blue at `offsets`, to RGB. Returns how many, an even number; the last
/// are left.
#[inline(always)]
fn permute<V: Vector>(v: V, each: usize, offsets: [usize; CHANNELS], pixels: &[u8], out: &mut [u8]) -> usize {
    if (each, offsets) == (CHANNELS, [0, 1, 2]) {
        let len = out.len().min(pixels.len());
        out[..len].copy_from_slice(&pixels[..len]);
        return len / CHANNELS;
    }
    // Pixels that 16 bytes hold, and an even number.
    let step = 4;
    let mut table = [NOTHING; 16];
    for (i, to) in table[..step * CHANNELS].iter_mut().enumerate() {
        *to = (i / CHANNELS * each + offsets[i % CHANNELS]) as u8;
    }
    let table = v.load(&table);
    let mut done = 0;
    while let (Some(source), Some(target)) =
        (pixels[done * each..].first_chunk(), out[done * CHANNELS..].first_chunk_mut())
    {
        v.store(v.lookup(v.load(source), table), target);
        done += step;
    }
    done
}

/// Pixels that [`convert`] converts at once.
const PIXELS: usize = 16;

/// YUV pixels to RGB. Returns how many, an even number; none if there are few.
#[inline(always)]
fn convert<V: Vector>(v: V, yuv: Yuv, samples: Samples<'_>, out: &mut [u8]) -> usize {
    let pixels = (out.len() / CHANNELS) & !1;
    if pixels < PIXELS {
        return 0;
    }
    let &Factors { black, luma, red_v, green_u, green_v, blue_u } = yuv.factors();
    let (black, luma) = (v.splat_words(black), v.splat_words(luma));
    let (red_v, blue_u) = (v.splat_words(red_v), v.splat_words(blue_u));
    let (green_u, green_v) = (v.splat_words(green_u), v.splat_words(green_v));
    let middle = v.splat_words(i16::MIN);
    for block in 0..pixels.div_ceil(PIXELS) {
        // The last block may overlap the one before it.
        let at = (block * PIXELS).min(pixels - PIXELS);
        let (y, [cb, cr]) = match samples {
            Samples::Yuyv { pairs } => {
                let bytes = &pairs.as_flattened()[2 * at..];
                let pairs = [v.load_words(chunk(bytes)), v.load_words(chunk(&bytes[16..]))];
                (v.even_bytes(pairs), v.split_high(v.odd_bytes(pairs)))
            }
            Samples::SemiPlanar { luma, chroma, v_first } => {
                let [a, b] = v.split_high(v.load(chunk(&chroma.as_flattened()[at..])));
                (v.widen(v.load(chunk(&luma[at..]))), if v_first { [b, a] } else { [a, b] })
            }
            Samples::Planar { luma, u, v: w } => {
                let chroma = [v.widen_high(chunk(&u[at / 2..])), v.widen_high(chunk(&w[at / 2..]))];
                (v.widen(v.load(chunk(&luma[at..]))), chroma)
            }
        };
        let [y0, y1] = y;
        let y0 = v.multiply_round(v.shl7(v.sub(y0, black)), luma);
        let y1 = v.multiply_round(v.shl7(v.sub(y1, black)), luma);
        let (cb, cr) = (v.xor(cb, middle), v.xor(cr, middle));
        let [r0, r1] = v.double(v.multiply_round(cr, red_v));
        let [g0, g1] = v.double(v.add(v.multiply_round(cb, green_u), v.multiply_round(cr, green_v)));
        let [b0, b1] = v.double(v.multiply_round(cb, blue_u));
        let planes = [
            v.narrow::<6>([v.add(y0, r0), v.add(y1, r1)]),
            v.narrow::<6>([v.add(y0, g0), v.add(y1, g1)]),
            v.narrow::<6>([v.add(y0, b0), v.add(y1, b1)]),
        ];
        v.store_interleaved(planes, chunk_mut(&mut out[at * CHANNELS..]));
    }
    pixels
}

/// The first `N` bytes, of which there are as many.
#[inline(always)]
fn chunk<const N: usize>(bytes: &[u8]) -> &[u8; N] {
    bytes.first_chunk().expect("rows are as long as the picture")
}

/// As [`chunk`].
#[inline(always)]
fn chunk_mut<const N: usize>(bytes: &mut [u8]) -> &mut [u8; N] {
    bytes.first_chunk_mut().expect("rows are as long as the picture")
}

/// `N` items from `at` on, not checked again.
///
/// # Safety
///
/// There are as many.
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
pub(super) fn across<V: Vector>(v: V, filter: Filter, lines: &[u8], table: &Table<'_>, out: &mut [u8]) {
    match filter {
        Filter::PillowBilinear | Filter::PillowBicubic => across_pillow(v, lines, table, out),
        Filter::OpenCvBilinear => across_opencv(v, lines, table, out),
    }
}

#[inline(always)]
fn across_pillow<V: Vector>(v: V, lines: &[u8], table: &Table<'_>, out: &mut [u8]) {
    let row = out.len() / 4;
    assert!(table.len() * CHANNELS < row, "a row has room for one sample more");
    each_column::<V, 4>(v, lines, table, v.splat_ints(pillow::HALF), |column, sums| {
        let (bytes, at) = (v.to_bytes(sums), column * CHANNELS);
        // SAFETY: three samples of a column of a row, and the one more that was asserted.
        unsafe {
            v.store_quarter::<0>(bytes, chunk_at_mut(out, at));
            v.store_quarter::<1>(bytes, chunk_at_mut(out, at + row));
            v.store_quarter::<2>(bytes, chunk_at_mut(out, at + 2 * row));
            v.store_quarter::<3>(bytes, chunk_at_mut(out, at + 3 * row));
        }
    });
}

#[inline(always)]
fn across_opencv<V: Vector>(v: V, lines: &[u8], table: &Table<'_>, out: &mut [u8]) {
    let row = out.len() / 2;
    assert!(table.len() * CHANNELS * 2 + 2 <= row, "a row has room for one sample more");
    each_column::<V, 2>(v, lines, table, v.splat_ints(0), |column, sums| {
        let (samples, at) = (v.to_samples(sums), column * CHANNELS * 2);
        // SAFETY: three samples of a column of a row, and the one more that was asserted.
        unsafe {
            v.store_half_words::<0>(samples, chunk_at_mut(out, at));
            v.store_half_words::<1>(samples, chunk_at_mut(out, at + row));
        }
    });
}

/// Calls `finish` for each column of `table` with the weighed sums of `ROWS` lines onto `initial`.
#[inline(always)]
fn each_column<V: Vector, const ROWS: usize>(
    v: V,
    lines: &[u8],
    table: &Table<'_>,
    initial: V::Ints,
    mut finish: impl FnMut(usize, [V::Ints; ROWS]),
) {
    let line = lines.len() / ROWS;
    let tables = load_tables(v, &SPREAD_PIXELS);
    for (column, (start, weights)) in table.iter().enumerate() {
        let at = start * CHANNELS;
        assert!(at + weights.len() * CHANNELS + OVERREAD <= line, "windows lie on their lines");
        let mut sums = [initial; ROWS];
        let (fours, two) = weights.as_chunks();
        let mut tap = at;
        for weights in fours {
            let weights = v.load_ints(weights);
            for (r, sum) in sums.iter_mut().enumerate() {
                // SAFETY: four pixels and four bytes more, as asserted.
                let bytes = v.load(unsafe { chunk_at(lines, r * line + tap) });
                *sum = v.multiply_add::<0>(*sum, v.spread(bytes, tables[0]), weights);
                *sum = v.multiply_add::<1>(*sum, v.spread(bytes, tables[1]), weights);
                *sum = v.multiply_add::<2>(*sum, v.spread(bytes, tables[2]), weights);
                *sum = v.multiply_add::<3>(*sum, v.spread(bytes, tables[3]), weights);
            }
            tap += 4 * CHANNELS;
        }
        if let Some(weights) = two.first_chunk() {
            let weights = v.load_two_ints(weights);
            for (r, sum) in sums.iter_mut().enumerate() {
                // SAFETY: two pixels and two bytes more, as asserted.
                let bytes = v.load_half(unsafe { chunk_at(lines, r * line + tap) });
                *sum = v.multiply_add::<0>(*sum, v.spread(bytes, tables[0]), weights);
                *sum = v.multiply_add::<1>(*sum, v.spread(bytes, tables[1]), weights);
            }
        }
        finish(column, sums);
    }
}

#[inline(always)]
fn load_tables<V: Vector>(v: V, tables: &[[u8; 16]; 4]) -> [V::Bytes; 4] {
    [v.load(&tables[0]), v.load(&tables[1]), v.load(&tables[2]), v.load(&tables[3])]
}

/// [`Passes::down`](super::Passes::down).
#[inline(always)]
pub(super) fn down<V: Vector>(v: V, filter: Filter, rows: &Rows<'_>, weights: &[I32], out: &mut [u8]) {
    match filter {
        Filter::PillowBilinear | Filter::PillowBicubic => down_pillow(v, rows, weights, out),
        Filter::OpenCvBilinear => down_opencv(v, rows, weights, out),
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
