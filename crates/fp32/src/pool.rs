//! Pools, over `[channels][height][width]`.

use std::ops::Range;

use crate::node::{Shape, Window};

/// Writes the largest element of each window.
pub(crate) fn max(window: Window, from: Shape, to: Shape, input: &[f32], output: &mut [f32]) {
    let Window { kernel, stride, padding } = window;
    let side = |position: usize, end: usize| -> Range<usize> {
        let start = position * stride;
        start.saturating_sub(padding)..(start + kernel).saturating_sub(padding).min(end)
    };
    for (input, output) in input.chunks_exact(from.pixels()).zip(output.chunks_exact_mut(to.pixels())) {
        for (y, output) in output.chunks_exact_mut(to.width).enumerate() {
            output.fill(f32::NEG_INFINITY);
            for row in side(y, from.height) {
                let row = &input[row * from.width..][..from.width];
                for (x, output) in output.iter_mut().enumerate() {
                    *output = row[side(x, from.width)].iter().fold(*output, |max, &value| max.max(value));
                }
            }
        }
    }
}

/// Writes the mean of each window over the pixels that lie on the image.
pub(crate) fn mean(window: Window, from: Shape, to: Shape, input: &[f32], output: &mut [f32]) {
    let side = |position: usize, end: usize| -> Range<usize> {
        let start = position * window.stride;
        start.min(end)..(start + window.kernel).min(end)
    };
    for (input, output) in input.chunks_exact(from.pixels()).zip(output.chunks_exact_mut(to.pixels())) {
        for (y, output) in output.chunks_exact_mut(to.width).enumerate() {
            for (x, output) in output.iter_mut().enumerate() {
                let (rows, columns) = (side(y, from.height), side(x, from.width));
                let pixels = (rows.len() * columns.len()) as f32;
                let rows = rows.map(|row| &input[row * from.width..][columns.clone()]);
                *output = rows.map(|row| row.iter().sum::<f32>()).sum::<f32>() / pixels;
            }
        }
    }
}

/// Writes the mean of each channel.
pub(crate) fn global_mean(from: Shape, input: &[f32], output: &mut [f32]) {
    for (channel, output) in input.chunks_exact(from.pixels()).zip(output) {
        // Four sums, for precision as well as for speed.
        let mut sums = [0f32; 4];
        let (quads, rest) = channel.as_chunks::<4>();
        for quad in quads {
            sums.iter_mut().zip(quad).for_each(|(sum, value)| *sum += value);
        }
        let sum = (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest.iter().sum::<f32>();
        *output = sum / from.pixels() as f32;
    }
}
