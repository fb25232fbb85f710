//! The passes over pixels in portable, safe Rust: the reference for the others.

use crate::preprocess::frame::{Row, Samples};
use crate::preprocess::resample::{BLOCK, Rows, Table};
use crate::preprocess::yuv::Yuv;
use crate::preprocess::{CHANNELS, Interpolation, opencv, pillow};
use zerocopy::native_endian::I32;

/// [`Passes::unpack`](super::Passes::unpack).
pub(super) fn unpack(row: Row<'_>, out: &mut [u8]) {
    let (out, _) = out.as_chunks_mut::<CHANNELS>();
    match row {
        Row::Packed { order, pixels } => {
            let offsets = order.offsets();
            for (out, pixel) in out.iter_mut().zip(pixels.chunks_exact(order.bytes())) {
                *out = offsets.map(|offset| pixel[offset]);
            }
        }
        Row::Yuv { yuv, samples } => match samples {
            Samples::Yuyv { pairs } => convert(yuv, out, |i| {
                let [y0, u, y1, v] = pairs[i];
                ([y0, y1], u, v)
            }),
            Samples::SemiPlanar { luma, chroma, v_first } => convert(yuv, out, |i| {
                let [a, b] = chroma[i];
                let (u, v) = if v_first { (b, a) } else { (a, b) };
                (pair(luma, i), u, v)
            }),
            Samples::Planar { luma, u, v } => convert(yuv, out, |i| (pair(luma, i), u[i], v[i])),
            Samples::Full { luma, u, v } => {
                let factors = yuv.factors();
                for (i, pixel) in out.iter_mut().enumerate() {
                    *pixel = factors.rgb(luma[i], factors.chroma(u[i], v[i]));
                }
            }
            Samples::Grey { luma } => {
                let factors = yuv.factors();
                out.iter_mut().zip(luma).for_each(|(pixel, &y)| *pixel = factors.rgb(y, [0; CHANNELS]));
            }
        },
    }
}

/// Returns the luma of two pixels, of which the second may be missing.
fn pair(luma: &[u8], block: usize) -> [u8; 2] {
    [luma[2 * block], luma.get(2 * block + 1).copied().unwrap_or_default()]
}

/// `block(i)` is luma of pixels 2i and 2i + 1, and their U and V.
fn convert(yuv: Yuv, out: &mut [[u8; CHANNELS]], block: impl Fn(usize) -> ([u8; 2], u8, u8)) {
    let factors = yuv.factors();
    for (i, pixels) in out.chunks_mut(2).enumerate() {
        let (luma, u, v) = block(i);
        let chroma = factors.chroma(u, v);
        for (pixel, y) in pixels.iter_mut().zip(luma) {
            *pixel = factors.rgb(y, chroma);
        }
    }
}

/// [`Passes::across`](super::Passes::across).
pub(super) fn across(interpolation: Interpolation, lines: &[u8], table: &Table<'_>, out: &mut [u8]) {
    match interpolation {
        Interpolation::PillowBilinear | Interpolation::PillowBicubic => {
            weigh::<4, 1>(lines, table, out, pillow::HALF, |sum| [pillow::to_byte(sum)]);
        }
        Interpolation::OpenCvBilinear => weigh::<2, 2>(lines, table, out, 0, opencv::to_sample),
    }
}

/// Resamples `ROWS` lines of RGB along the row into rows of samples of `BYTES` bytes.
///
/// Accumulators start from `initial`, and `finish` turns one into a sample.
fn weigh<const ROWS: usize, const BYTES: usize>(
    lines: &[u8],
    table: &Table<'_>,
    out: &mut [u8],
    initial: i32,
    finish: impl Fn(i32) -> [u8; BYTES],
) {
    let (line, row) = (lines.len() / ROWS, out.len() / ROWS);
    let lines: [_; ROWS] = core::array::from_fn(|i| lines[i * line..][..line].as_chunks::<CHANNELS>().0);
    for (column, (start, weights)) in table.iter().enumerate() {
        // Slices that are as long as the weights remove the bounds checks from the loop below.
        let sources = lines.map(|line| &line[start..][..weights.len()]);
        let mut sums = [[initial; CHANNELS]; ROWS];
        for (tap, weight) in weights.iter().enumerate() {
            let weight = weight.get();
            for (sum, source) in sums.iter_mut().zip(&sources) {
                for (sum, byte) in sum.iter_mut().zip(source[tap]) {
                    *sum += i32::from(byte) * weight;
                }
            }
        }
        for (sum, out) in sums.into_iter().zip(out.chunks_exact_mut(row)) {
            let out = out[column * CHANNELS * BYTES..].as_chunks_mut::<BYTES>().0;
            for (out, sum) in out.iter_mut().zip(sum) {
                *out = finish(sum);
            }
        }
    }
}

/// [`Passes::down`](super::Passes::down).
pub(super) fn down(interpolation: Interpolation, rows: &Rows<'_>, weights: &[I32], out: &mut [u8]) {
    match interpolation {
        Interpolation::PillowBilinear | Interpolation::PillowBicubic => down_pillow(rows, weights, out),
        Interpolation::OpenCvBilinear => down_opencv(rows, weights, out),
    }
}

fn down_pillow(rows: &Rows<'_>, weights: &[I32], out: &mut [u8]) {
    for (i, block) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let mut sums = [pillow::HALF; BLOCK];
        for (row, weight) in rows.iter().zip(weights) {
            let weight = weight.get();
            for (sum, &byte) in sums.iter_mut().zip(&row[i * BLOCK..][..BLOCK]) {
                *sum += i32::from(byte) * weight;
            }
        }
        *block = sums.map(pillow::to_byte);
    }
}

fn down_opencv(rows: &Rows<'_>, weights: &[I32], out: &mut [u8]) {
    let (&[a, b], Some(upper), Some(lower)) = (weights, rows.iter().next(), rows.iter().last()) else {
        return;
    };
    let samples = upper.as_chunks().0.iter().zip(lower.as_chunks().0);
    for (byte, (&upper, &lower)) in out.iter_mut().zip(samples) {
        *byte = opencv::to_byte([upper, lower].map(u16::from_ne_bytes), [a.get(), b.get()]);
    }
}
