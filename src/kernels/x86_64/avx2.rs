//! AVX2: exact int8 products by VPMADDUBSW on |input| and sign-adjusted weights.
//!
//! VPMADDUBSW multiplies unsigned by signed bytes and adds pairs in saturating 16 bits. With |a| ≤ 128 and
//! |w| ≤ 127 a pair is at most 2 · 128 · 127 = 32,512, so nothing saturates; VPSIGNB moves the input's sign
//! to the weight. VPMADDWD with ones then adds the two pairs of a 4-channel group.

use crate::format::{Block, LANES};
use crate::isa::Avx2;
use crate::kernels::tile::{self, Lanes, Requantize, Walk, with_walk};
use crate::kernels::{ConvTask, LinearTask, OutputChunk};
use crate::unroll::each_row;
use crate::weights::UNIT;
use core::arch::x86_64::*;
use core::ops::Range;

pub(in crate::kernels) fn conv(_: Avx2, task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
    #[target_feature(enable = "avx2")]
    fn with_avx2<W: Walk>(task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
        // SAFETY: the dispatcher has checked the task; the features are enabled on this function.
        unsafe { tile::conv::<_, W>(Ymm, task, out) }
    }
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { with_walk!(Ymm, task, with_avx2(task, out)) }
}

pub(in crate::kernels) fn linear(_: Avx2, task: &LinearTask<'_>, blocks: Range<usize>, logits: &mut [f32]) {
    #[target_feature(enable = "avx2")]
    fn with_avx2(task: &LinearTask<'_>, blocks: Range<usize>, logits: &mut [f32]) {
        // SAFETY: as above.
        unsafe { tile::linear(Ymm, task, blocks, logits) }
    }
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { with_avx2(task, blocks, logits) }
}

/// Adds the block's initial values to 16 accumulators, requantizes and writes them.
///
/// # Safety
///
/// The CPU has AVX2; 16 bytes are readable at `residual` and 16 are writable at `out`.
#[cfg(feature = "tract")]
#[target_feature(enable = "avx2")]
pub(in crate::kernels) unsafe fn requantize(
    acc: &[i32; LANES],
    block: &Block,
    residual: *const i8,
    rq: &Requantize,
    out: *mut i8,
) {
    // SAFETY: the contract above; 16 accumulators and 16 initial values.
    unsafe {
        let (acc, bias) = (load(acc.as_ptr()), load(block.bias.as_ptr().cast()));
        let acc = [_mm256_add_epi32(acc[0], bias[0]), _mm256_add_epi32(acc[1], bias[1])];
        Ymm.finish::<tile::Broadcast<true>, 1>(&[acc], block, Some(&[residual]), rq, &[out]);
    }
}

/// The 16 lanes of a block in two YMM registers of eight.
#[derive(Clone, Copy)]
pub(super) struct Ymm;

/// Loads the 16 values of a block.
///
/// # Safety
///
/// The CPU has AVX2, and 16 values are readable.
#[inline(always)]
unsafe fn load(values: *const i32) -> [__m256i; 2] {
    // SAFETY: the contract above.
    unsafe { [_mm256_loadu_si256(values.cast()), _mm256_loadu_si256(values.add(8).cast())] }
}

/// Adds to each of eight lanes the dot product of its four input bytes.
///
/// # Safety
///
/// The CPU has AVX2.
#[inline(always)]
unsafe fn dot(acc: __m256i, magnitude: __m256i, input: __m256i, w: __m256i) -> __m256i {
    // SAFETY: AVX2, by the contract of `Lanes`.
    unsafe {
        let pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(w, input));
        _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}

/// Returns ⌊acc · multiplier / 2³¹ + ½⌋ of eight lanes, as SQRDMULH computes it on Arm.
///
/// # Safety
///
/// The CPU has AVX2.
#[inline(always)]
unsafe fn multiply_high(acc: __m256i, multiplier: __m256i) -> __m256i {
    // SAFETY: AVX2, by the contract of `Lanes`.
    unsafe {
        let half = _mm256_set1_epi64x(1 << 30);
        let even = _mm256_add_epi64(_mm256_mul_epi32(acc, multiplier), half);
        let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(acc), _mm256_srli_epi64::<32>(multiplier));
        let odd = _mm256_add_epi64(odd, half);
        // Bits 31..63 of each product: the even ones move down, the odd ones up into their own lanes.
        _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<31>(even), _mm256_slli_epi64::<1>(odd))
    }
}

// SAFETY: two YMM are 16 lanes; each method loads and stores as many bytes as it documents.
unsafe impl Lanes for Ymm {
    type Acc = [__m256i; 2];

    const ROWS: usize = 4;
    const STEP: usize = 1;

    #[inline(always)]
    unsafe fn start(self, bias: *const i32, _: *const i32, _: Option<i32>) -> Self::Acc {
        // SAFETY: the contract is the same.
        unsafe { load(bias) }
    }

    #[inline(always)]
    unsafe fn broadcast<W: Walk, const MR: usize, const WHOLE: bool>(
        self,
        acc: &mut [Self::Acc; MR],
        window: &[*const i8; MR],
        segments: &[usize],
        w: *const i8,
        k_groups: usize,
    ) {
        let mut w = w;
        for &segment in segments {
            for k in 0..k_groups {
                // SAFETY: 4 · k_groups input bytes and k_groups units of weights a segment, by the contract.
                unsafe {
                    let low = _mm256_loadu_si256(w.cast());
                    let high = _mm256_loadu_si256(w.add(32).cast());
                    for r in 0..MR {
                        let input = window[r].add(segment + 4 * k).cast::<i32>().read_unaligned();
                        let input = _mm256_set1_epi32(input);
                        let magnitude = _mm256_abs_epi8(input);
                        acc[r][0] = dot(acc[r][0], magnitude, input, low);
                        acc[r][1] = dot(acc[r][1], magnitude, input, high);
                    }
                    w = w.add(UNIT);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn paired<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8) {
        for k in 0..2 {
            // SAFETY: 16 input bytes and two units of weights, by the contract.
            unsafe {
                let weights =
                    [_mm256_loadu_si256(w.add(64 * k).cast()), _mm256_loadu_si256(w.add(64 * k + 32).cast())];
                for r in 0..MR {
                    for (half, acc) in acc[r].iter_mut().enumerate() {
                        let input = a[r].add(8 * half + 4 * k).cast::<i32>().read_unaligned();
                        let input = _mm256_set1_epi32(input);
                        *acc = dot(*acc, _mm256_abs_epi8(input), input, weights[half]);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn quad<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8) {
        // SAFETY: 16 input bytes and one unit of weights, by the contract.
        unsafe {
            let low = _mm256_loadu_si256(w.cast());
            let high = _mm256_loadu_si256(w.add(32).cast());
            for r in 0..MR {
                let input = _mm256_broadcastsi128_si256(_mm_loadu_si128(a[r].cast()));
                let magnitude = _mm256_abs_epi8(input);
                acc[r][0] = dot(acc[r][0], magnitude, input, low);
                acc[r][1] = dot(acc[r][1], magnitude, input, high);
            }
        }
    }

    #[inline(always)]
    unsafe fn finish<W: Walk, const MR: usize>(
        self,
        acc: &[Self::Acc; MR],
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
                // A sign-extended byte is a pair of 16-bit halves, value and sign; VPMADDWD with the pair
                // factor and zero is its product.
                let factor: *const i16 = (&raw const (*block).residual).cast();
                let factor = [
                    _mm256_cvtepu16_epi32(_mm_loadu_si128(factor.cast())),
                    _mm256_cvtepu16_epi32(_mm_loadu_si128(factor.add(8).cast())),
                ];
                each_row!(MR, r => {
                    let mut bytes = _mm_loadu_si128(residual[r].cast());
                    if W::TRANSPOSE {
                        bytes = _mm_shuffle_epi8(bytes, order);
                    }
                    let low = _mm256_cvtepi8_epi32(bytes);
                    let high = _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes));
                    acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(low, factor[0]));
                    acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(high, factor[1]));
                });
            }
            let multiplier: *const i32 = (&raw const (*block).multiplier).cast();
            let multiplier =
                [_mm256_loadu_si256(multiplier.cast()), _mm256_loadu_si256(multiplier.add(8).cast())];
            each_row!(MR, r => {
                let low = multiply_high(acc[r][0], multiplier[0]);
                let high = multiply_high(acc[r][1], multiplier[1]);
                // Packing works within 128-bit halves: lanes 0–3, 8–11 | 4–7, 12–15; the permute restores order.
                let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
                let mut bytes =
                    _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
                if rq.clamps {
                    bytes = _mm_min_epi8(_mm_max_epi8(bytes, _mm_set1_epi8(rq.min)), _mm_set1_epi8(rq.max));
                }
                if W::TRANSPOSE {
                    bytes = _mm_shuffle_epi8(bytes, order);
                }
                _mm_storeu_si128(out[r].cast(), bytes);
            });
        }
    }

    #[inline(always)]
    unsafe fn accumulators(self, acc: Self::Acc) -> [i32; LANES] {
        // SAFETY: two YMM are sixteen i32.
        unsafe { core::mem::transmute(acc) }
    }
}
