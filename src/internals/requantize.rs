//! Requantization: from int32 accumulators to int8, the same to the bit on every CPU.
//!
//! ```text
//! y = clamp(⌊acc · multiplier / 2³¹ + ½⌋, min, max)
//! ```
//!
//! One 64-bit product, one rounding, halves upwards: on Arm that is SQRDMULH and nothing else. `multiplier`
//! is the ratio of an accumulator unit to an output step as a Q31 fraction, one per output channel. The
//! zero point of the output is part of the initial accumulator, so where it is −128 the saturating narrows that follow
//! are also the lower clamp of the activation.
//!
//! The widely used SQRDMULH + rounding shift (gemmlowp, TFLite) keeps 31 significant bits of any ratio but
//! rounds twice. Without the shift a ratio r has 31 + log₂ r bits: the product is off by at most
//! |acc| / 2³², less than a 60th of a step for any accumulator a 3×3 convolution of 512 channels can reach.
//! `benches/record/requantize.md` has the alternatives and what they cost.

/// Returns ⌊acc · multiplier / 2³¹ + ½⌋.
///
/// `multiplier` is not negative. The result is never larger than `acc` in magnitude, and nothing overflows.
#[inline]
pub fn scale(acc: i32, multiplier: i32) -> i32 {
    ((i64::from(acc) * i64::from(multiplier) + (1 << 30)) >> 31) as i32
}

/// Clamps `value` to an int8 of `min..=max`.
#[inline]
pub fn narrow(value: i32, min: i8, max: i8) -> i8 {
    value.clamp(i32::from(min), i32::from(max)) as i8
}

/// Returns the multiplier for `ratio` (accumulator unit ÷ output step), rounded to nearest.
///
/// Returns `None` if the ratio is negative, not finite, or 1 and above: an output step finer than an accumulator
/// unit, which no sensible calibration gives.
pub fn multiplier_for(ratio: f64) -> Option<i32> {
    // Adding ½ and truncating rounds what is not negative, also without std.
    let multiplier = ratio * f64::from(1u32 << 31) + 0.5;
    (ratio >= 0.0 && multiplier < f64::from(i32::MAX)).then_some(multiplier as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// One rounding of the exact product, halves upwards.
        #[test]
        fn scale_is_the_rounded_real_product(acc: i32, multiplier in 0..=i32::MAX) {
            let exact = i128::from(acc) * i128::from(multiplier);
            let divisor = 1i128 << 31;
            let expected = (2 * exact + divisor).div_euclid(2 * divisor);
            prop_assert_eq!(i128::from(scale(acc, multiplier)), expected);
        }

        /// The instruction of the Arm kernels, as its manual spells it out, is the same function: it doubles
        /// the product, adds half of 2³² and saturates, which only −2³¹ · −2³¹ could reach.
        #[test]
        fn scale_is_sqrdmulh(acc: i32, multiplier in 0..=i32::MAX) {
            let doubled = 2 * i128::from(acc) * i128::from(multiplier) + (1 << 31);
            let high = (doubled >> 32).clamp(i128::from(i32::MIN), i128::from(i32::MAX));
            prop_assert_eq!(i128::from(scale(acc, multiplier)), high);
        }

        #[test]
        fn scale_is_monotonic(acc in i32::MIN..i32::MAX, multiplier in 0..=i32::MAX) {
            prop_assert!(scale(acc, multiplier) <= scale(acc + 1, multiplier));
        }

        #[test]
        fn narrow_clamps(value: i32, a: i8, b: i8) {
            let (min, max) = (a.min(b), a.max(b));
            let y = narrow(value, min, max);
            prop_assert!(min <= y && y <= max);
            if (i32::from(min)..=i32::from(max)).contains(&value) {
                prop_assert_eq!(i32::from(y), value);
            }
        }

        /// What the multiplier's own rounding costs: half of 2⁻³¹ per accumulator unit.
        #[test]
        fn multipliers_are_faithful(ratio in 0.0f64..0.999, acc in 0i32..1 << 26) {
            let multiplier = multiplier_for(ratio).unwrap();
            let product = f64::from(acc) * f64::from(multiplier) / f64::from(1u32 << 31);
            prop_assert!((product - f64::from(acc) * ratio).abs() <= 1.001 / 64.0, "{ratio} {acc}");
        }
    }

    #[test]
    fn halves_round_upwards() {
        let quarter = |acc| scale(acc, 1 << 29);
        assert_eq!([-6, -5, -2, -1, 0, 1, 2, 5, 6].map(quarter), [-1, -1, 0, 0, 0, 0, 1, 1, 2]);
    }

    #[test]
    fn unusable_ratios_are_refused() {
        for bad in [1.0, 2.0, -1e-3, f64::NAN, f64::INFINITY] {
            assert_eq!(multiplier_for(bad), None, "{bad}");
        }
        assert_eq!(multiplier_for(0.5), Some(1 << 30));
    }
}
