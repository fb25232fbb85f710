//! Runs pools, in safe Rust that the compiler vectorises. They take a few per mille of an inference. Pools over windows
//! are split over the workers.

use super::partition::in_parts;
use crate::program::{AvgPool, GlobalAvgPool, MaxPool};
use crate::requantize::{narrow, scale};
use crate::tensor::Tensor;
use crate::workers::Workers;

/// Channels summed at a time, in registers or nearby.
const STRIP: usize = 64;

/// Computes the maximum over a window. The halo of the input holds −128, so padding never wins.
pub(crate) fn max_pool(
    pool: &MaxPool,
    input: &Tensor,
    data: &[i8],
    output: &mut [i8],
    workers: &dyn Workers,
) {
    let (window, out) = (pool.window, &pool.output);
    let channels = out.channels;
    let first = input.halo - window.padding;
    in_parts(out, output, workers, &|pixels, output| {
        let base = out.pixel_offset(pixels.start);
        for pixel in pixels {
            let (y, x) = (pixel / out.width, pixel % out.width);
            let start = out.pixel_offset(pixel) - base;
            let pixel = &mut output[start..start + channels];
            pixel.fill(i8::MIN);
            for ky in 0..window.kernel {
                for kx in 0..window.kernel {
                    let row = y * window.stride + first + ky;
                    let column = x * window.stride + first + kx;
                    let start = row * input.row_stride() + column * channels;
                    let tap = &data[start..start + channels];
                    pixel.iter_mut().zip(tap).for_each(|(max, &value)| *max = value.max(*max));
                }
            }
        }
    });
}

/// Computes the mean over a window.
pub(crate) fn avg_pool(
    pool: &AvgPool,
    input: &Tensor,
    data: &[i8],
    output: &mut [i8],
    workers: &dyn Workers,
) {
    let (window, out) = (pool.window, &pool.output);
    let channels = out.channels;
    let whole = (window.kernel * window.kernel) as i32;
    let zero = whole * i32::from(input.zero_point);
    in_parts(out, output, workers, &|pixels, output| {
        let base = out.pixel_offset(pixels.start);
        for pixel in pixels {
            let (y, x) = (pixel / out.width, pixel % out.width);
            let (rows, columns) = (window.on_tensor(y, input.height), window.on_tensor(x, input.width));
            // Loading has checked that this divides without remainder.
            let parts = whole / (rows * columns) as i32;
            let first = input.offset(y * window.stride, x * window.stride);
            let start = out.pixel_offset(pixel) - base;
            for (strip, output) in output[start..start + channels].chunks_mut(STRIP).enumerate() {
                // 15² values of int8 sum to at most 28,800.
                let mut sums = [0i16; STRIP];
                let sums = &mut sums[..output.len()];
                for row in 0..rows {
                    for column in 0..columns {
                        let tap = first + row * input.row_stride() + column * channels + strip * STRIP;
                        let values = &data[tap..tap + sums.len()];
                        sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += i16::from(value));
                    }
                }
                for (output, &sum) in output.iter_mut().zip(&*sums) {
                    let value = scale(i32::from(sum) * parts - zero, pool.multiplier);
                    *output = narrow(value + i32::from(out.zero_point), i8::MIN, i8::MAX);
                }
            }
        }
    });
}

/// Computes the mean over all pixels, in two digits.
pub(crate) fn global_avg_pool(pool: &GlobalAvgPool, input: &Tensor, data: &[i8], output: &mut [i8]) {
    let zero = -(i32::from(input.zero_point) * input.pixels() as i32);
    let channels = input.channels;
    let (high, low) = output[..2 * channels].split_at_mut(channels);
    let strips = high.chunks_mut(STRIP).zip(low.chunks_mut(STRIP));
    for (strip, (high, low)) in strips.enumerate() {
        let mut sums = [zero; STRIP];
        let sums = &mut sums[..high.len()];
        for pixel in data[..input.extent()].chunks_exact(channels) {
            let values = &pixel[strip * STRIP..][..sums.len()];
            sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += i32::from(value));
        }
        for ((high, low), &sum) in high.iter_mut().zip(low).zip(&*sums) {
            let mean = scale(sum, pool.multiplier);
            *low = mean as i8;
            // Loading has checked that it is in range.
            *high = ((mean - i32::from(*low)) >> 8) as i8;
        }
    }
}
