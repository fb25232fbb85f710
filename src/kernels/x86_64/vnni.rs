//! VPDPBUSD: four products of unsigned by signed bytes added to each 32-bit lane, in one instruction.
//!
//! Activations are signed, so their sign bit is flipped on the way in, which adds 128 to each, and the
//! accumulators begin 128 · Σ weights lower. Both wrap, so the results are exact.
//!
//! Vectors of 256 bits: flipping the sign takes the execution port that would make 512 bits faster, and cores
//! without AVX-512 have no others.

use super::avx2::Ymm;
use crate::format::{Block, LANES};
use crate::isa::{Avx512Vnni, AvxVnni};
use crate::kernels::tile::{self, Lanes, Requantize, Walk, with_walk};
use crate::kernels::{ConvTask, LinearTask, OutputChunk};
use crate::pack::UNIT;
use core::arch::x86_64::*;
use core::ops::Range;

/// `acc −= 128 · sum`, on eight lanes.
///
/// # Safety
///
/// AVX2; eight readable values.
#[inline(always)]
unsafe fn compensate(acc: __m256i, sum: *const i32) -> __m256i {
    // SAFETY: the contract above.
    unsafe { _mm256_sub_epi32(acc, _mm256_slli_epi32::<7>(_mm256_loadu_si256(sum.cast()))) }
}

/// One encoding of VPDPBUSD: its lanes, its token, the features it needs and its intrinsic.
macro_rules! vnni {
    ($module:ident, $token:ident, $features:literal, $dot:ident) => {
        pub(in crate::kernels) mod $module {
            use super::*;

            pub(in crate::kernels) fn conv(_: $token, task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
                #[target_feature(enable = $features)]
                fn with_vnni<W: Walk>(task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
                    // SAFETY: the dispatcher has checked the task; the features are enabled on this function.
                    unsafe { tile::conv::<_, W>(Vnni, task, out) }
                }
                // SAFETY: the token proves that the CPU has the features.
                unsafe { with_walk!(Vnni, task, with_vnni(task, out)) }
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
                    unsafe { tile::linear(Vnni, task, blocks, logits) }
                }
                // SAFETY: the token proves that the CPU has the features.
                unsafe { with_vnni(task, blocks, logits) }
            }

            /// Two YMM of eight lanes.
            #[derive(Clone, Copy)]
            struct Vnni;

            impl Lanes for Vnni {
                type Acc = [__m256i; 2];

                const ROWS: usize = 6;
                const STEP: usize = 1;

                #[inline(always)]
                unsafe fn start(self, bias: *const i32, weight_sum: *const i32) -> Self::Acc {
                    // SAFETY: 16 values each, by the contract.
                    unsafe {
                        let [low, high] = Ymm.start(bias, weight_sum);
                        [compensate(low, weight_sum), compensate(high, weight_sum.add(8))]
                    }
                }

                #[inline(always)]
                unsafe fn broadcast<const MR: usize, const WHOLE: bool>(
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
                            // SAFETY: 4 · k_groups input bytes and k_groups units of weights a segment, by
                            // the contract.
                            unsafe {
                                let low = _mm256_loadu_si256(w.cast());
                                let high = _mm256_loadu_si256(w.add(32).cast());
                                for r in 0..MR {
                                    let input = window[r].add(segment + 4 * k).cast::<i32>();
                                    let input = unsigned(_mm256_set1_epi32(input.read_unaligned()));
                                    acc[r][0] = $dot(acc[r][0], input, low);
                                    acc[r][1] = $dot(acc[r][1], input, high);
                                }
                                w = w.add(UNIT);
                            }
                        }
                    }
                }

                #[inline(always)]
                unsafe fn paired<const MR: usize>(
                    self,
                    acc: &mut [Self::Acc; MR],
                    a: &[*const i8; MR],
                    w: *const i8,
                ) {
                    for k in 0..2 {
                        // SAFETY: 16 input bytes and two units of weights, by the contract.
                        unsafe {
                            let low = _mm256_loadu_si256(w.add(UNIT * k).cast());
                            let high = _mm256_loadu_si256(w.add(UNIT * k + 32).cast());
                            for r in 0..MR {
                                let first = a[r].add(4 * k).cast::<i32>().read_unaligned();
                                let second = a[r].add(8 + 4 * k).cast::<i32>().read_unaligned();
                                acc[r][0] = $dot(acc[r][0], unsigned(_mm256_set1_epi32(first)), low);
                                acc[r][1] = $dot(acc[r][1], unsigned(_mm256_set1_epi32(second)), high);
                            }
                        }
                    }
                }

                #[inline(always)]
                unsafe fn quad<const MR: usize>(
                    self,
                    acc: &mut [Self::Acc; MR],
                    a: &[*const i8; MR],
                    w: *const i8,
                ) {
                    // SAFETY: 16 input bytes and one unit of weights, by the contract.
                    unsafe {
                        let low = _mm256_loadu_si256(w.cast());
                        let high = _mm256_loadu_si256(w.add(32).cast());
                        for r in 0..MR {
                            let input = _mm256_broadcastsi128_si256(_mm_loadu_si128(a[r].cast()));
                            let input = unsigned(input);
                            acc[r][0] = $dot(acc[r][0], input, low);
                            acc[r][1] = $dot(acc[r][1], input, high);
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
                    unsafe { Ymm.finish::<W, MR>(acc, block, residual, rq, out) }
                }

                #[inline(always)]
                unsafe fn accumulators(self, acc: Self::Acc) -> [i32; LANES] {
                    // SAFETY: the contract is the same.
                    unsafe { Ymm.accumulators(acc) }
                }
            }
        }
    };
}

/// `input + 128`, as unsigned bytes.
///
/// # Safety
///
/// AVX2.
#[inline(always)]
unsafe fn unsigned(input: __m256i) -> __m256i {
    // SAFETY: the contract above.
    unsafe { _mm256_xor_si256(input, _mm256_set1_epi8(i8::MIN)) }
}

vnni!(avx, AvxVnni, "avx2,avxvnni", _mm256_dpbusd_avx_epi32);
vnni!(avx512, Avx512Vnni, "avx2,avx512vl,avx512vnni", _mm256_dpbusd_epi32);
