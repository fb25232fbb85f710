//! Resampling as OpenCV does it: `cv::resize` with `INTER_LINEAR` for 8 bits.
//!
//! It reads two neighbours in each direction, whatever the shrinking factor, and does not antialias. The algorithm is that of
//! `modules/imgproc/src/resize.cpp` (`hal::resize`, `HResizeLinear`, `VResizeLinear` for `uchar`): a position in
//! binary64 whose fraction is rounded to binary32 and then to 11 bits, and between the passes 16 bits a sample.
//!
//! The wheels include other implementations: Intel's IPP is not used here, because it would not give the same bytes; NVIDIA's
//! Carotene has none for three channels; Arm's KleidiCV, in OpenCV 5.0 on AArch64, does not give the same bytes.
//!
//! OpenCV runs its `INTER_AREA` code where both sides are exactly halved. For that case the two agree to the bit: the
//! weights are all ¼ and nothing is lost before the last rounding.

use zerocopy::native_endian::I32;

use super::resample::Window;
use super::round_half_even;

/// Fractional bits of a weight.
const FRACTION: u32 = 11;

/// Bits dropped after the horizontal pass, so that its sums fit 16 bits.
pub(super) const ACROSS_SHIFT: u32 = 4;

/// Bits dropped from each product of the vertical pass.
pub(super) const DOWN_SHIFT: u32 = 16;

/// Bits that remain to be dropped, with rounding, from the sum of two products.
pub(super) const LAST_SHIFT: u32 = 2 * FRACTION - ACROSS_SHIFT - DOWN_SHIFT;

/// Source pixels of a target pixel.
pub(super) const TAPS: u32 = 2;

/// Resampling of one direction of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    input: u32,
    /// Source pixels per target pixel.
    scale: f64,
}

impl Axis {
    pub(super) fn new(input: u32, output: u32) -> Self {
        // OpenCV takes the reciprocal of the enlargement, which is not always the quotient.
        Self { input, scale: 1.0 / (f64::from(output) / f64::from(input)) }
    }

    /// Returns the source pixel left of target pixel `index`, −1 if there is none, and the distance from it to the target.
    fn position(&self, index: u32) -> (i32, f32) {
        let position = ((f64::from(index) + 0.5) * self.scale - 0.5) as f32;
        // At least −0.5, so that this is the floor.
        let left = if position < 0.0 { -1 } else { position as i32 };
        (left, position - left as f32)
    }

    /// Returns the source pixels of target pixel `index`: one if it lies beyond the first or the last, else two.
    pub(super) fn window(&self, index: u32) -> Window {
        let (left, _) = self.position(index);
        let start = left.max(0) as u32;
        let inside = left >= 0 && start + 1 < self.input;
        Window { start: start.min(self.input - 1), len: if inside { TAPS } else { 1 } }
    }

    /// Writes the [`TAPS`] weights of `window(index)` to `weights`. Both belong to the one pixel if it has only one.
    pub(super) fn weights(&self, index: u32, weights: &mut [I32]) {
        let (_, fraction) = self.position(index);
        for (weight, share) in weights.iter_mut().zip([1.0 - fraction, fraction]) {
            weight.set(round_half_even(f64::from(share) * f64::from(1 << FRACTION)) as i32);
        }
    }

    /// Does what [`Self::weights`] does, for the horizontal pass, in which a single pixel has a single weight.
    pub(super) fn weights_across(&self, index: u32, weights: &mut [I32]) {
        self.weights(index, weights);
        if self.window(index).len == 1 {
            weights.copy_from_slice(&[I32::new(1 << FRACTION), I32::ZERO]);
        }
    }
}

/// Turns the accumulator of the horizontal pass into a sample.
pub(super) fn to_sample(sum: i32) -> [u8; 2] {
    ((sum >> ACROSS_SHIFT) as u16).to_ne_bytes()
}

/// Computes a byte of the vertical pass from the samples above and below it.
pub(super) fn to_byte(samples: [u16; 2], weights: [i32; 2]) -> u8 {
    let product = |i: usize| (i32::from(samples[i]) * weights[i]) >> DOWN_SHIFT;
    ((product(0) + product(1) + (1 << (LAST_SHIFT - 1))) >> LAST_SHIFT) as u8
}
