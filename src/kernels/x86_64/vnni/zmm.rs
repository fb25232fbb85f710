//! AVX-512 VNNI, where the 16 lanes are one ZMM register.

use super::Sixteen;
use super::spaced::{self, Operands};
use crate::format::Block;
use crate::kernels::tile::{Requantize, Walk};
use crate::unroll::each_row;
use crate::weights::{UNIT, WeightLayout};
use core::arch::x86_64::*;

/// Adds one row of 3×3 windows of `WeightLayout::Paired8` to the accumulators of neighbouring pixels. The input at a column
/// serves three of them.
///
/// This is a macro because a closure would not inherit the instruction set.
macro_rules! slide {
    ($acc:ident[$rows:ident], $row:expr, $step:expr, $w:expr, $tap:expr, $ahead:expr) => {{
        let mut at = $row;
        let mut left = Self::split_flipped(at);
        at = at.add($step);
        let mut middle = Self::split_flipped(at);
        let mut weights = [left; 3];
        for (x, weights) in weights.iter_mut().enumerate() {
            for (k, weights) in weights.iter_mut().enumerate() {
                _mm_prefetch::<_MM_HINT_T1>($ahead.wrapping_add($tap * x + UNIT * k));
                *weights = Self::load($w.add($tap * x + UNIT * k));
            }
        }
        each_row!($rows, r => {
            at = at.add($step);
            let right = Self::split_flipped(at);
            for k in 0..right.len() {
                $acc[r] = $acc[r].dot(left[k], weights[0][k]);
                $acc[r] = $acc[r].dot(middle[k], weights[1][k]);
                $acc[r] = $acc[r].dot(right[k], weights[2][k]);
            }
            (left, middle) = (middle, right);
        });
        // The last pixel has no neighbours on its right.
        let _ = (left, middle);
    }};
}

/// The 16 lanes of a block in one ZMM register.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Zmm(__m512i);

// SAFETY: a ZMM is 64 bytes; each method loads and stores as many bytes as it documents, and those that the constants
// promise are here.
unsafe impl Sixteen for Zmm {
    const ROWS: usize = 14;
    const NEIGHBOURS: bool = true;

    fn spaces(layout: WeightLayout) -> bool {
        matches!(layout, WeightLayout::Dense | WeightLayout::PerGroup)
    }

    #[inline(always)]
    unsafe fn load(bytes: *const i8) -> Self {
        // SAFETY: the contract of the trait, here and below.
        unsafe { Self(_mm512_loadu_si512(bytes.cast())) }
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_set1_epi32(value)) }
    }

    #[inline(always)]
    unsafe fn repeat(bytes: *const i8) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_broadcast_i32x4(_mm_loadu_si128(bytes.cast()))) }
    }

    #[inline(always)]
    unsafe fn split_flipped(bytes: *const i8) -> [Self; 2] {
        // SAFETY: as above.
        unsafe {
            let Self(bytes) = Self::repeat(bytes).flip();
            // Each quarter takes its own half of the bytes, and of that the first or the second four.
            let (a, b, c, d) = (0x0302_0100, 0x0706_0504, 0x0b0a_0908, 0x0f0e_0d0c);
            let first = _mm512_setr_epi32(a, a, a, a, a, a, a, a, c, c, c, c, c, c, c, c);
            let second = _mm512_setr_epi32(b, b, b, b, b, b, b, b, d, d, d, d, d, d, d, d);
            [Self(_mm512_shuffle_epi8(bytes, first)), Self(_mm512_shuffle_epi8(bytes, second))]
        }
    }

    #[inline(always)]
    unsafe fn sum(bytes: *const i8, segments: &[usize], len: usize) -> i32 {
        // SAFETY: as above.
        unsafe {
            let ones = _mm512_set1_epi8(1);
            let mut sums = _mm512_setzero_si512();
            for &segment in segments {
                let bytes = bytes.add(segment);
                let mut at = 0;
                while at + 64 <= len {
                    sums = _mm512_dpbusd_epi32(sums, ones, _mm512_loadu_si512(bytes.add(at).cast()));
                    at += 64;
                }
                if at < len {
                    let rest = _mm512_maskz_loadu_epi8((1 << (len - at)) - 1, bytes.add(at));
                    sums = _mm512_dpbusd_epi32(sums, ones, rest);
                }
            }
            _mm512_reduce_add_epi32(sums)
        }
    }

    #[inline(always)]
    unsafe fn flip(self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_xor_si512(self.0, _mm512_set1_epi8(i8::MIN))) }
    }

    #[inline(always)]
    unsafe fn dot(self, unsigned: Self, signed: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_dpbusd_epi32(self.0, unsigned.0, signed.0)) }
    }

    #[inline(always)]
    unsafe fn less(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_sub_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn times_128(self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_slli_epi32::<7>(self.0)) }
    }

    #[inline(always)]
    unsafe fn spaced<W: Walk, const MR: usize>(
        acc: &mut [Self; MR],
        window: *const i8,
        pitch: usize,
        w: *const i8,
        k_groups: usize,
        ahead: *const i8,
    ) {
        let operands = Operands { acc: acc.as_mut_ptr().cast(), window, pitch, w, tap: 0, k_groups, ahead };
        // SAFETY: the contract is the same. A `Zmm` is the register that it holds.
        unsafe {
            if W::SHARES_INPUT {
                spaced::tap::<MR, true>(operands);
            } else {
                spaced::tap::<MR, false>(operands);
            }
        }
    }

    #[inline(always)]
    unsafe fn neighbours<W: Walk, const MR: usize>(
        acc: &mut [Self; MR],
        window: *const i8,
        step: usize,
        segments: &[usize; 9],
        w: *const i8,
        k_groups: usize,
        ahead: *const i8,
    ) {
        // SAFETY: windows of 3×3 taps at `MR` places `step` apart, nine times `k_groups` units of weights, by the
        // contract.
        unsafe {
            let tap = k_groups * UNIT;
            let mut ahead = ahead;
            for y in 0..3 {
                let (row, w) = (window.add(segments[3 * y]), w.add(3 * y * tap));
                let operands = Operands {
                    acc: acc.as_mut_ptr().cast(),
                    window: row,
                    pitch: step,
                    w,
                    tap,
                    k_groups,
                    ahead,
                };
                match W::LAYOUT {
                    WeightLayout::Quad4 => spaced::three_taps::<MR, true>(operands),
                    WeightLayout::Paired8 => slide!(acc[MR], row, step, w, tap, ahead),
                    WeightLayout::Dense | WeightLayout::PerGroup => spaced::three_taps::<MR, false>(operands),
                }
                ahead = ahead.wrapping_add(3 * tap);
            }
        }
    }

    #[inline(always)]
    unsafe fn finish<W: Walk, const MR: usize>(
        acc: &[Self; MR],
        block: *const Block,
        residual: Option<&[*const i8; MR]>,
        rq: &Requantize,
        out: &[*mut i8; MR],
    ) {
        // SAFETY: a whole block, 16 bytes of each output and, if there is one, of each residual, by the
        // contract.
        unsafe {
            let mut acc = *acc;
            let order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            if let Some(residual) = residual {
                // The operands are pairs of 16-bit halves: a value and its sign, the factor and zero.
                let factor = _mm256_loadu_si256((&raw const (*block).residual).cast());
                let factor = _mm512_cvtepu16_epi32(factor);
                each_row!(MR, r => {
                    let mut bytes = _mm_loadu_si128(residual[r].cast());
                    if W::TRANSPOSE {
                        bytes = _mm_shuffle_epi8(bytes, order);
                    }
                    acc[r].0 = _mm512_dpwssd_epi32(acc[r].0, _mm512_cvtepi8_epi32(bytes), factor);
                });
            }
            let multiplier = _mm512_loadu_si512((&raw const (*block).multiplier).cast());
            if _mm512_test_epi32_mask(multiplier, _mm512_set1_epi32(0b111 << 29)) == 0 {
                let multiplier = _mm512_slli_epi32::<2>(multiplier);
                let odd = _mm512_srli_epi64::<32>(multiplier);
                each_row!(MR, r => {
                    acc[r].0 = high_dwords(acc[r].0, multiplier, odd);
                });
            } else {
                let odd = _mm512_srli_epi64::<32>(multiplier);
                each_row!(MR, r => {
                    acc[r].0 = multiply_high(acc[r].0, multiplier, odd);
                });
            }
            let order = _mm512_broadcast_i32x4(order);
            each_row!(MR, r => {
                if r % 4 == 0 {
                    let zero = _mm512_setzero_si512();
                    let row = |i: usize| if r + i < MR { acc[r + i].0 } else { zero };
                    let mut bytes = narrow([row(0), row(1), row(2), row(3)]);
                    if rq.clamps {
                        bytes = _mm512_max_epi8(bytes, _mm512_set1_epi8(rq.min));
                        bytes = _mm512_min_epi8(bytes, _mm512_set1_epi8(rq.max));
                    }
                    if W::TRANSPOSE {
                        bytes = _mm512_shuffle_epi8(bytes, order);
                    }
                    _mm_storeu_si128(out[r].cast(), _mm512_castsi512_si128(bytes));
                    if r + 1 < MR {
                        _mm_storeu_si128(out[r + 1].cast(), _mm512_extracti32x4_epi32::<1>(bytes));
                    }
                    if r + 2 < MR {
                        _mm_storeu_si128(out[r + 2].cast(), _mm512_extracti32x4_epi32::<2>(bytes));
                    }
                    if r + 3 < MR {
                        _mm_storeu_si128(out[r + 3].cast(), _mm512_extracti32x4_epi32::<3>(bytes));
                    }
                }
            });
        }
    }
}

/// Returns ⌊acc · multiplier / 2³²⌋ of 16 lanes. `odd` has the multipliers of odd lanes in even places.
///
/// # Safety
///
/// The CPU has AVX-512F.
#[inline(always)]
unsafe fn high_dwords(acc: __m512i, multiplier: __m512i, odd: __m512i) -> __m512i {
    // SAFETY: the contract above.
    unsafe {
        let even = _mm512_mul_epi32(acc, multiplier);
        let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(acc), odd);
        _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0b0101_0101_0101_0101, even)
    }
}

/// Returns ⌊acc · multiplier / 2³⁰⌋ of 16 lanes, where |acc| ≤ 2³⁰. `odd` has the multipliers of odd lanes in even places.
///
/// # Safety
///
/// The CPU has AVX-512F.
#[inline(always)]
unsafe fn multiply_high(acc: __m512i, multiplier: __m512i, odd: __m512i) -> __m512i {
    // SAFETY: the contract above.
    unsafe {
        let even = _mm512_mul_epi32(acc, multiplier);
        let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(acc), odd);
        // Bits 30..62 of each product: the even ones move down, the odd ones up into their own lanes.
        let (even, odd) = (_mm512_srli_epi64::<30>(even), _mm512_slli_epi64::<2>(odd));
        _mm512_mask_blend_epi32(0b1010_1010_1010_1010, even, odd)
    }
}

/// Returns ⌊(number + 1) / 2⌋ of the 16 numbers of each of four rows, saturated to bytes, row after row.
///
/// # Safety
///
/// The CPU has AVX-512BW.
#[inline(always)]
unsafe fn narrow(rows: [__m512i; 4]) -> __m512i {
    // SAFETY: the contract above.
    unsafe {
        // Packing works within quarters: each gets four bytes of every row, which the permutation sorts.
        let (ab, cd) =
            (halve(_mm512_packs_epi32(rows[0], rows[1])), halve(_mm512_packs_epi32(rows[2], rows[3])));
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        _mm512_permutexvar_epi32(order, _mm512_packs_epi16(ab, cd))
    }
}

/// Returns ⌊(number + 1) / 2⌋ of 32 numbers of 16 bits. The largest number counts as one less.
///
/// # Safety
///
/// The CPU has AVX-512BW.
#[inline(always)]
unsafe fn halve(words: __m512i) -> __m512i {
    // SAFETY: the contract above.
    unsafe { _mm512_srai_epi16::<1>(_mm512_adds_epi16(words, _mm512_set1_epi16(1))) }
}
