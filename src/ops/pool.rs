//! Pooling, in safe Rust that vectorises by itself: a few per mille of the time.

use crate::model::{GlobalAvgPool, MaxPool};
use crate::requantize::{narrow, scale};
use crate::tensor::Tensor;

/// Maximum over a window. The input's border holds −128, so padding never wins.
pub(crate) fn max_pool(pool: &MaxPool, input: &Tensor, data: &[i8], output: &mut [i8]) {
    let (window, out) = (pool.window, &pool.output);
    out.fill_halo(output);
    let channels = out.channels;
    let first = input.halo - window.padding;
    for y in 0..out.height {
        for x in 0..out.width {
            let start = out.offset(y, x);
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
    }
}

/// Channels summed at a time, in registers or nearby.
const STRIP: usize = 64;

/// Mean over all pixels.
pub(crate) fn global_avg_pool(pool: &GlobalAvgPool, input: &Tensor, data: &[i8], output: &mut [i8]) {
    let zero = -(i32::from(input.zero_point) * input.pixels() as i32);
    let channels = input.channels;
    for (strip, output) in output[..channels].chunks_mut(STRIP).enumerate() {
        let mut sums = [zero; STRIP];
        let sums = &mut sums[..output.len()];
        for pixel in data[..input.extent()].chunks_exact(channels) {
            let values = &pixel[strip * STRIP..][..sums.len()];
            sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += i32::from(value));
        }
        for (output, &sum) in output.iter_mut().zip(&*sums) {
            let value = scale(sum, pool.multiplier) + i32::from(pool.output.zero_point);
            *output = narrow(value, i8::MIN, i8::MAX);
        }
    }
}
