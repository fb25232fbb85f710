//! The definition of a convolution step, over unpacked weights, for tests.

use crate::program::{Conv, Shortcut};
use crate::requantize::{narrow, scale};
use crate::tensor::Tensor;
use std::vec::Vec;

/// Unpacked parameters of a convolution.
pub(super) struct Parameters {
    /// `[out][kernel][kernel][in / groups]`.
    pub(super) weights: Vec<i8>,
    /// `[out][channels]` of the fused shortcut.
    pub(super) shortcut: Vec<i8>,
    pub(super) bias: Vec<i32>,
    pub(super) multiplier: Vec<i32>,
    pub(super) residual: Vec<i16>,
}

/// Computes output element (`y`, `x`, `channel`).
pub(super) fn element(
    conv: &Conv<'_>,
    parameters: &Parameters,
    (input, data): (&Tensor, &[i8]),
    shortcut_data: &[i8],
    residual: Option<i8>,
    (y, x, channel): (usize, usize, usize),
) -> i8 {
    let (shape, window) = (conv.shape, conv.window);
    let group = channel / shape.group_out();
    let mut acc = i64::from(parameters.bias[channel]);
    for ky in 0..window.kernel {
        for kx in 0..window.kernel {
            let iy = (y * window.stride + ky + input.halo) - window.padding;
            let ix = (x * window.stride + kx + input.halo) - window.padding;
            let pixel = iy * input.row_stride() + ix * input.channels;
            for k in 0..shape.group_in() {
                let tap = (channel * window.kernel + ky) * window.kernel + kx;
                let weight = parameters.weights[tap * shape.group_in() + k];
                acc += i64::from(weight) * i64::from(data[pixel + group * shape.group_in() + k]);
            }
        }
    }
    if let Some(Shortcut { input, stride }) = conv.shortcut {
        for k in 0..input.channels {
            let weight = parameters.shortcut[channel * input.channels + k];
            acc += i64::from(weight) * i64::from(shortcut_data[input.offset(y * stride, x * stride) + k]);
        }
    }
    acc += i64::from(parameters.residual[channel]) * i64::from(residual.unwrap_or(0));
    let value = scale(i32::try_from(acc).expect("bounded"), parameters.multiplier[channel]);
    narrow(value, conv.clamp.0, conv.clamp.1)
}
