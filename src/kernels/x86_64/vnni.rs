//! VPDPBUSD: four products of unsigned by signed bytes added to each 32-bit lane, in one instruction.
//!
//! Both our operands are signed. Flipping a sign bit adds 128 and makes a byte unsigned; what that adds to a
//! sum is taken off where the accumulators begin. Where all blocks read the same input
//! ([`Layout::Dense`](crate::pack::Layout::Dense)) the weights are flipped, once for all rows of a tile, and
//! 128 · Σ inputs is taken off, a sum per pixel that all blocks share. Elsewhere the inputs are flipped and
//! 128 · Σ weights is taken off. Everything wraps, so the results are exact.

use super::avx2::Ymm;
use crate::format::{Block, LANES};
use crate::isa::{Avx512Vnni, AvxVnni};
use crate::kernels::tile::{self, Lanes, Requantize, Walk, with_walk};
use crate::kernels::{ConvTask, LinearTask, OutputChunk};
use crate::pack::UNIT;
use core::arch::x86_64::*;
use core::ops::Range;

/// The 16 lanes of a block: 16 sums, or 64 bytes to multiply.
///
/// # Safety
///
/// All methods need the instruction set of the implementor and the bytes they say they read.
trait Sixteen: Copy {
    /// Pixels of a tile: as many as there are registers for, and more than VPDPBUSD takes cycles.
    const ROWS: usize;

    /// 64 bytes.
    unsafe fn load(bytes: *const i8) -> Self;

    /// `value` in all lanes.
    unsafe fn splat(value: i32) -> Self;

    /// 4 bytes for lanes 0–7, 4 others for lanes 8–15.
    unsafe fn splat_halves(first: i32, second: i32) -> Self;

    /// 16 bytes, four times.
    unsafe fn repeat(bytes: *const i8) -> Self;

    /// The sign bits of all bytes flipped.
    unsafe fn flip(self) -> Self;

    /// `self + unsigned · signed`.
    unsafe fn dot(self, unsigned: Self, signed: Self) -> Self;

    /// `self − 128 · other`, as 16 numbers.
    unsafe fn less_128(self, other: Self) -> Self;

    /// As the AVX2 kernels hold them.
    unsafe fn halves(self) -> [__m256i; 2];
}

/// AVX-VNNI.
#[derive(Clone, Copy)]
struct Pair([__m256i; 2]);

impl Sixteen for Pair {
    const ROWS: usize = 6;

    #[inline(always)]
    unsafe fn load(bytes: *const i8) -> Self {
        // SAFETY: the contract of the trait, here and below.
        unsafe { Self([_mm256_loadu_si256(bytes.cast()), _mm256_loadu_si256(bytes.add(32).cast())]) }
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        // SAFETY: as above.
        unsafe { Self([_mm256_set1_epi32(value); 2]) }
    }

    #[inline(always)]
    unsafe fn splat_halves(first: i32, second: i32) -> Self {
        // SAFETY: as above.
        unsafe { Self([_mm256_set1_epi32(first), _mm256_set1_epi32(second)]) }
    }

    #[inline(always)]
    unsafe fn repeat(bytes: *const i8) -> Self {
        // SAFETY: as above.
        unsafe { Self([_mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.cast())); 2]) }
    }

    #[inline(always)]
    unsafe fn flip(self) -> Self {
        let Self([low, high]) = self;
        // SAFETY: as above.
        unsafe {
            let sign = _mm256_set1_epi8(i8::MIN);
            Self([_mm256_xor_si256(low, sign), _mm256_xor_si256(high, sign)])
        }
    }

    #[inline(always)]
    unsafe fn dot(self, unsigned: Self, signed: Self) -> Self {
        let (Self(acc), Self(u), Self(s)) = (self, unsigned, signed);
        // SAFETY: as above.
        unsafe {
            Self([_mm256_dpbusd_avx_epi32(acc[0], u[0], s[0]), _mm256_dpbusd_avx_epi32(acc[1], u[1], s[1])])
        }
    }

    #[inline(always)]
    unsafe fn less_128(self, other: Self) -> Self {
        let (Self(acc), Self(other)) = (self, other);
        // SAFETY: as above.
        unsafe {
            Self([
                _mm256_sub_epi32(acc[0], _mm256_slli_epi32::<7>(other[0])),
                _mm256_sub_epi32(acc[1], _mm256_slli_epi32::<7>(other[1])),
            ])
        }
    }

    #[inline(always)]
    unsafe fn halves(self) -> [__m256i; 2] {
        self.0
    }
}

/// AVX-512 VNNI.
#[derive(Clone, Copy)]
struct Zmm(__m512i);

impl Sixteen for Zmm {
    const ROWS: usize = 12;

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
    unsafe fn splat_halves(first: i32, second: i32) -> Self {
        // SAFETY: as above.
        unsafe {
            let first = _mm512_castsi256_si512(_mm256_set1_epi32(first));
            Self(_mm512_inserti64x4::<1>(first, _mm256_set1_epi32(second)))
        }
    }

    #[inline(always)]
    unsafe fn repeat(bytes: *const i8) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_broadcast_i32x4(_mm_loadu_si128(bytes.cast()))) }
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
    unsafe fn less_128(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_sub_epi32(self.0, _mm512_slli_epi32::<7>(other.0))) }
    }

    #[inline(always)]
    unsafe fn halves(self) -> [__m256i; 2] {
        // SAFETY: as above.
        unsafe { [_mm512_castsi512_si256(self.0), _mm512_extracti64x4_epi64::<1>(self.0)] }
    }
}

/// The kernels, over either kind of register.
#[derive(Clone, Copy)]
struct Vnni<V>(core::marker::PhantomData<V>);

impl<V: Sixteen> Lanes for Vnni<V> {
    type Acc = V;

    const ROWS: usize = V::ROWS;
    const STEP: usize = 1;
    const INPUT_SUMS: bool = true;

    #[inline(always)]
    unsafe fn input_sum(self, window: *const i8, segments: &[usize], k_groups: usize) -> i32 {
        let mut sum = 0i32;
        for &segment in segments {
            // SAFETY: 4 · k_groups bytes a segment, by the contract.
            let bytes = unsafe { core::slice::from_raw_parts(window.add(segment), 4 * k_groups) };
            // Too short for the sums to overflow, and simple enough for the compiler to vectorise.
            sum += bytes.iter().map(|&byte| i32::from(byte)).sum::<i32>();
        }
        sum
    }

    #[inline(always)]
    unsafe fn start(self, bias: *const i32, weight_sum: *const i32, input_sum: Option<i32>) -> Self::Acc {
        // SAFETY: 16 values each, by the contract.
        unsafe {
            let flipped = match input_sum {
                Some(sum) => V::splat(sum),
                None => V::load(weight_sum.cast()),
            };
            V::load(bias.cast()).less_128(flipped)
        }
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
                    let mut weights = V::load(w);
                    if W::SHARES_INPUT {
                        weights = weights.flip();
                    }
                    for r in 0..MR {
                        let input = window[r].add(segment + 4 * k).cast::<i32>().read_unaligned();
                        let input = V::splat(input);
                        acc[r] = if W::SHARES_INPUT {
                            acc[r].dot(weights, input)
                        } else {
                            acc[r].dot(input.flip(), weights)
                        };
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
                let weights = V::load(w.add(UNIT * k));
                for r in 0..MR {
                    let first = a[r].add(4 * k).cast::<i32>().read_unaligned();
                    let second = a[r].add(8 + 4 * k).cast::<i32>().read_unaligned();
                    acc[r] = acc[r].dot(V::splat_halves(first, second).flip(), weights);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn quad<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8) {
        // SAFETY: 16 input bytes and one unit of weights, by the contract.
        unsafe {
            let weights = V::load(w);
            for r in 0..MR {
                acc[r] = acc[r].dot(V::repeat(a[r]).flip(), weights);
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
        // SAFETY: the contract is the same.
        unsafe { Ymm.finish::<W, MR>(&acc.map(|acc| acc.halves()), block, residual, rq, out) }
    }

    #[inline(always)]
    unsafe fn accumulators(self, acc: Self::Acc) -> [i32; LANES] {
        // SAFETY: the contract is the same.
        unsafe { Ymm.accumulators(acc.halves()) }
    }
}

/// The entry points for one kind of register.
macro_rules! entry {
    ($module:ident, $token:ident, $vector:ident, $features:literal) => {
        pub(in crate::kernels) mod $module {
            use super::*;

            const LANES: Vnni<$vector> = Vnni(core::marker::PhantomData);

            pub(in crate::kernels) fn conv(_: $token, task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
                #[target_feature(enable = $features)]
                fn with_vnni<W: Walk>(task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
                    // SAFETY: the dispatcher has checked the task; the features are enabled on this function.
                    unsafe { tile::conv::<_, W>(LANES, task, out) }
                }
                // SAFETY: the token proves that the CPU has the features.
                unsafe { with_walk!(Vnni<$vector>, task, with_vnni(task, out)) }
            }

            pub(in crate::kernels) fn linear(
                _: $token,
                task: &LinearTask<'_>,
                blocks: Range<usize>,
                logits: &mut [f32],
            ) {
                #[target_feature(enable = $features)]
                fn with_vnni(task: &LinearTask<'_>, blocks: Range<usize>, logits: &mut [f32]) {
                    // SAFETY: as above.
                    unsafe { tile::linear(LANES, task, blocks, logits) }
                }
                // SAFETY: the token proves that the CPU has the features.
                unsafe { with_vnni(task, blocks, logits) }
            }
        }
    };
}

entry!(avx, AvxVnni, Pair, "avx2,avxvnni");
entry!(avx512, Avx512Vnni, Zmm, "avx2,avx512f,avx512bw,avx512vl,avx512vnni");
