//! Average pools in integers.

use resnext::internals::format::MAX_DIGITS;
use resnext::internals::requantize;

use super::convolution::coarsest;
use super::layer::Layer;
use crate::network::Activation;

/// Quantizes the mean of `pixels` pixels. Returns the quantization of the output with it, whose scale may have to be coarser
/// than `output`.
pub(super) fn quantize_mean(
    pixels: usize,
    input: Activation,
    mut output: Activation,
) -> Result<(Layer, Activation), &'static str> {
    let unit = input.scale / pixels as f64;
    // A mean cannot be finer than a step of the sum.
    output.scale = output.scale.max(coarsest(unit));
    let multiplier =
        requantize::multiplier_for(unit / output.scale).ok_or("the mean's scale is out of range")?;
    Ok((Layer::Mean { multiplier }, output))
}

/// Quantizes the mean over all `pixels` pixels in two digits: the sum itself where it fits, and else as much precision of it as
/// does.
pub(super) fn mean_in_digits(pixels: usize, input: Activation) -> (Layer, Activation) {
    let most = 255 * pixels as u64;
    let (multiplier, ratio) = match MAX_DIGITS as u64 {
        digits if most <= digits => (i32::MAX, 1.0),
        digits => {
            let multiplier = (digits << 31) / most;
            (multiplier as i32, multiplier as f64 / (1u64 << 31) as f64)
        }
    };
    let scale = f64::from((input.scale / pixels as f64 / ratio) as f32);
    (Layer::Mean { multiplier }, Activation { scale, zero_point: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean is the sum itself where that fits into two digits, and it never overflows them.
    #[test]
    fn means_are_sums_in_two_digits() {
        let input = Activation { scale: 0.02, zero_point: -128 };
        for pixels in [1, 25, 49, 127, 128, 144, 400, 4096 * 4096 / 64] {
            let (Layer::Mean { multiplier }, output) = mean_in_digits(pixels, input) else {
                panic!("a mean")
            };
            assert_eq!(output.zero_point, 0);
            for mean in [-255i32, -3, 0, 1, 100, 255] {
                let sum = mean * pixels as i32;
                let digits = requantize::scale(sum, multiplier);
                assert!(digits.abs() <= MAX_DIGITS, "{pixels} {mean}: {digits}");
                if pixels <= 127 {
                    assert_eq!(digits, sum, "{pixels} {mean}");
                }
                let error = f64::from(digits) * output.scale - f64::from(mean) * input.scale;
                assert!(error.abs() < 0.51 * output.scale + 1e-6, "{pixels} {mean}: {error}");
            }
        }
    }
}
