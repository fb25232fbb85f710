//! The inverse discrete cosine transform, with the rounding of libjpeg's "islow" (C. Loeffler, A. Ligtenberg, G. Moschytz:
//! *Practical fast 1-D DCT algorithms with 11 multiplications*, ICASSP 1989).

use super::frame::{Block, SIDE};
use std::num::Wrapping;

/// Fractional bits of the constants.
const CONSTANT_BITS: usize = 13;
/// Fractional bits that values keep between the passes.
const PASS_BITS: usize = 2;

/// A number that a damaged file may make overflow, without harm.
type Int = Wrapping<i32>;

/// Transforms eight values. The outputs are scaled by 8 and have `CONSTANT_BITS` fractional bits.
///
/// Coefficients of damaged files overflow, and do so here as in the vector code of libjpeg-turbo on x86-64, which adds some pairs
/// in 16 bits.
#[inline(always)]
fn transform(v: [i16; 8]) -> [Int; 8] {
    let by = |value: i16, constant: i32| Wrapping(i32::from(value)) * Wrapping(constant);
    let sum_by = |a: i16, b: i16, constant: i32| Wrapping(i32::from(a) + i32::from(b)) * Wrapping(constant);

    let z = sum_by(v[2], v[6], 4433);
    let even = [z + by(v[2], 6270), z - by(v[6], 15137)];
    let sum = by(v[0].wrapping_add(v[4]), 1 << CONSTANT_BITS);
    let difference = by(v[0].wrapping_sub(v[4]), 1 << CONSTANT_BITS);
    let even = [sum + even[0], difference + even[1], difference - even[1], sum - even[0]];

    let (z3, z4) = (v[7].wrapping_add(v[3]), v[5].wrapping_add(v[1]));
    let z5 = sum_by(z3, z4, 9633);
    let z1 = sum_by(v[7], v[1], -7373);
    let z2 = sum_by(v[5], v[3], -20995);
    let z3 = by(z3, -16069) + z5;
    let z4 = by(z4, -3196) + z5;
    let odd = [
        by(v[1], 12299) + z1 + z4,
        by(v[3], 25172) + z2 + z3,
        by(v[5], 16819) + z2 + z4,
        by(v[7], 2446) + z1 + z3,
    ];
    [
        even[0] + odd[0],
        even[1] + odd[1],
        even[2] + odd[2],
        even[3] + odd[3],
        even[3] - odd[3],
        even[2] - odd[2],
        even[1] - odd[1],
        even[0] - odd[0],
    ]
}

/// Divides by `1 << bits`, rounded.
#[inline(always)]
fn descale(value: Int, bits: usize) -> i32 {
    ((value + Wrapping(1 << (bits - 1))) >> bits).0
}

/// Returns the samples of a block, from its coefficients and their divisors, both in natural order.
pub(super) fn samples(block: &Block, quantization: &[u16; 64]) -> [[u8; SIDE]; SIDE] {
    let value = |at: usize| block[at].wrapping_mul(quantization[at] as i16);
    // Many blocks are flat down the columns.
    if block[SIDE..].iter().all(|&coefficient| coefficient == 0) {
        let line = [0, 1, 2, 3, 4, 5, 6, 7].map(|column| value(column) << PASS_BITS);
        return [transform(line).map(sample); SIDE];
    }
    let mut between = [[0; SIDE]; SIDE];
    for column in 0..SIDE {
        let values = transform([0, 1, 2, 3, 4, 5, 6, 7].map(|row| value(row * SIDE + column)));
        for (line, value) in between.iter_mut().zip(values) {
            let value = descale(value, CONSTANT_BITS - PASS_BITS);
            line[column] = value.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        }
    }
    between.map(|line| transform(line).map(sample))
}

/// Returns the sample of an output of the second pass.
#[inline(always)]
fn sample(value: Int) -> u8 {
    (descale(value, CONSTANT_BITS + PASS_BITS + 3).saturating_add(128)).clamp(0, 255) as u8
}
