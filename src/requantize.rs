//! Requantization: from int32 accumulators to int8, the same to the bit on every CPU.
//!
//! ```text
//! y = clamp(⌊acc · multiplier / 2^(31 + shift) + ½⌋ + zero_point, min, max)
//! ```
//!
//! One 64-bit product, one rounding, halves upwards. `multiplier` is a Q31 fraction per output channel and
//! `shift` one number per step. On Arm this is exactly SQDMULH (which truncates) followed by SRSHL (which
//! rounds): truncating first loses nothing, since ⌊⌊x⌋ / 2ⁿ⌋ = ⌊x / 2ⁿ⌋. That is two instructions for four
//! channels where conversion to float takes three, and 0.69 of their cycles on an A76 model (see
//! `benches/record/requantize.md`).
//!
//! The widely used SQRDMULH + rounding shift (gemmlowp, TFLite) rounds twice; this rounds once.

/// Least and greatest shift. At least 1, so that the rounding term is an integer power of two.
pub const SHIFT: core::ops::RangeInclusive<u32> = 1..=30;

/// ⌊acc · multiplier / 2^(31 + shift) + ½⌋.
///
/// |`acc`| ≤ 2³⁰, 0 ≤ `multiplier` < 2³¹, `shift` in [`SHIFT`]: the result fits, and no step overflows.
#[inline]
pub fn scale(acc: i32, multiplier: i32, shift: u32) -> i32 {
    ((i64::from(acc) * i64::from(multiplier) + (1 << (30 + shift))) >> (31 + shift)) as i32
}

/// Adds the zero point and clamps.
#[inline]
pub fn narrow(value: i32, zero_point: i8, min: i8, max: i8) -> i8 {
    value.saturating_add(i32::from(zero_point)).clamp(i32::from(min), i32::from(max)) as i8
}

/// A step's multipliers and shift for real `ratios` (accumulator unit ÷ output unit, one per channel).
///
/// The shift is the largest that keeps every multiplier below 2³¹, so the channel with the greatest ratio
/// has 31 significant bits and one 2ⁿ times smaller has 31 − n.
/// `None` if a ratio is negative, not finite, or ½ and above (an output step finer than two accumulator
/// units, which no sensible calibration gives).
#[cfg(feature = "std")]
pub fn shift_for(ratios: impl IntoIterator<Item = f64>) -> Option<u32> {
    let mut greatest = 0.0f64;
    for ratio in ratios {
        if !(0.0..0.5).contains(&ratio) {
            return None;
        }
        greatest = greatest.max(ratio);
    }
    SHIFT.rev().find(|&shift| (greatest * (1u64 << (31 + shift)) as f64).round() < f64::from(i32::MAX))
}

/// The multiplier that goes with `shift` for `ratio`, rounded to nearest.
#[cfg(feature = "std")]
pub fn multiplier_for(ratio: f64, shift: u32) -> i32 {
    (ratio * (1u64 << (31 + shift)) as f64).round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// One rounding of the exact product, halves upwards.
        #[test]
        fn scale_is_the_rounded_real_product(
            acc in -(1i32 << 30)..=1 << 30, multiplier in 0..=i32::MAX, shift in 1u32..=30,
        ) {
            let exact = i128::from(acc) * i128::from(multiplier);
            let divisor = 1i128 << (31 + shift);
            let expected = (2 * exact + divisor).div_euclid(2 * divisor);
            prop_assert_eq!(i128::from(scale(acc, multiplier, shift)), expected);
        }

        /// The instruction pair of the Arm kernels, spelt out, is the same function.
        #[test]
        fn truncating_high_product_then_rounding_shift_is_exact(
            acc in -(1i32 << 30)..=1 << 30, multiplier in 0..=i32::MAX, shift in 1u32..=30,
        ) {
            let high = ((2 * i64::from(acc) * i64::from(multiplier)) >> 32) as i32;
            let rounded = ((i64::from(high) + (1 << (shift - 1))) >> shift) as i32;
            prop_assert_eq!(scale(acc, multiplier, shift), rounded);
        }

        #[test]
        fn scale_is_monotonic(acc in -(1i32 << 30)..1 << 30, multiplier in 0..=i32::MAX, shift in 1u32..=30) {
            prop_assert!(scale(acc, multiplier, shift) <= scale(acc + 1, multiplier, shift));
        }

        #[test]
        fn narrow_clamps(value: i32, zero_point: i8, a: i8, b: i8) {
            let (min, max) = (a.min(b), a.max(b));
            let y = narrow(value, zero_point, min, max);
            prop_assert!(min <= y && y <= max);
            let wide = i64::from(value) + i64::from(zero_point);
            if (i64::from(min)..=i64::from(max)).contains(&wide) {
                prop_assert_eq!(i64::from(y), wide);
            }
        }

        /// Whatever the ratio, the integer form is within one part in 2³⁰ of it.
        #[test]
        fn multipliers_are_faithful(ratio in 1e-7f64..0.49) {
            let shift = shift_for([ratio]).unwrap();
            let multiplier = multiplier_for(ratio, shift);
            let back = f64::from(multiplier) / (1u64 << (31 + shift)) as f64;
            prop_assert!((back / ratio - 1.0).abs() < 1e-6 , "{ratio} {back} {shift}");
        }
    }

    #[test]
    fn halves_round_upwards() {
        // multiplier · 2⁻³¹ = ½, shift 1: a quarter.
        let quarter = |acc| scale(acc, 1 << 30, 1);
        assert_eq!([-6, -5, -2, -1, 0, 1, 2, 5, 6].map(quarter), [-1, -1, 0, 0, 0, 0, 1, 1, 2]);
    }

    #[test]
    fn unusable_ratios_are_refused() {
        for bad in [0.5, 1.0, -1e-3, f64::NAN, f64::INFINITY] {
            assert_eq!(shift_for([1e-3, bad]), None, "{bad}");
        }
    }
}
