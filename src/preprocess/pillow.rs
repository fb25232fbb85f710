//! Resampling as Pillow does it: weights in binary64 that are rounded to 22 fractional bits, and bytes between the passes.
//!
//! The algorithm is that of Pillow's `src/libImaging/Resample.c` (`precompute_coeffs`, `normalize_coeffs_8bpc` and the
//! two `…_8bpc` passes). The order of every floating-point operation is kept, and Rust never contracts a multiply and an
//! add, so the weights are the same on every CPU.

use zerocopy::native_endian::I32;

use super::resample::Window;

/// Fractional bits of a weight: 32, less 8 for the pixel and 2 for the overshoot of a filter with negative lobes.
pub(super) const FRACTION: u32 = 32 - 8 - 2;

/// Accumulators start here, so that the final shift rounds halves up.
pub(super) const HALF: i32 = 1 << (FRACTION - 1);

/// The filter, a function of the distance from its centre.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A triangle.
    Bilinear,
    /// Keys' cubic for a = −0.5.
    Bicubic,
}

impl Shape {
    /// Returns the half-width, in pixels of the coarser of source and target.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// Returns the value `x` pixels from the centre.
    fn weigh(self, x: f64) -> f64 {
        let x = if x < 0.0 { -x } else { x };
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            // In Pillow's order of evaluation.
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            _ => 0.0,
        }
    }
}

/// Resampling of one direction of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    shape: Shape,
    input: u32,
    /// Source pixels per target pixel.
    scale: f64,
    /// Half-width of the filter in source pixels.
    support: f64,
    /// Turns a distance in source pixels into the filter's argument.
    squeeze: f64,
}

impl Axis {
    pub(super) fn new(shape: Shape, input: u32, output: u32) -> Self {
        let scale = f64::from(input) / f64::from(output);
        // Enlarging interpolates with the filter as it is; shrinking widens it, which is the antialiasing.
        let widening = if scale < 1.0 { 1.0 } else { scale };
        Self { shape, input, scale, support: shape.support() * widening, squeeze: 1.0 / widening }
    }

    /// Returns the source pixels under the filter centred on target pixel `index`.
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

    /// Writes the weights of `window(index)` to the front of `weights` and zeros after them.
    pub(super) fn weights(&self, index: u32, weights: &mut [I32]) {
        let window = self.window(index);
        let centre = self.centre(index);
        let weigh =
            |tap: u32| self.shape.weigh((f64::from(window.start + tap) - centre + 0.5) * self.squeeze);
        // To compute each weight twice costs less than a buffer of binary64 weights.
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
    }
}

/// Rounds halves away from zero.
fn to_fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << FRACTION);
    if weight < 0.0 { (scaled - 0.5) as i32 } else { (scaled + 0.5) as i32 }
}

/// Turns the accumulator of a sample, which started at [`HALF`], into a byte: drops the fraction and clamps.
pub(super) fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION).clamp(0, 255) as u8
}
