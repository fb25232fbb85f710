//! VPDPBUSD adds four products of unsigned by signed bytes to each 32-bit lane in one instruction.
//!
//! Both of our operands are signed. Flipping the sign bit of a byte adds 128 and makes it unsigned; what that adds to a
//! sum is subtracted from the initial value of the accumulator. Where all blocks read the same input
//! ([`WeightLayout::Dense`](crate::weights::WeightLayout::Dense)) the weights are flipped, once for all rows of a tile, and
//! 128 · Σ inputs is subtracted, a sum per pixel that all blocks share. Elsewhere the inputs are flipped and
//! 128 · Σ weights is subtracted. All additions wrap, so the results are exact.

mod spaced;
mod ymm;
mod zmm;

use crate::format::{Block, LANES};
use crate::isa::{Avx512Vnni, AvxVnni};
use crate::kernels::tile::{self, Lanes, Requantize, Walk, with_walk};
use crate::kernels::{ConvTask, LinearTask, OutputChunk};
use crate::weights::{UNIT, WeightLayout};
use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
use core::ops::Range;
use ymm::Pair;
use zmm::Zmm;

/// A vector as wide as the 16 lanes of a block: it holds 16 sums, or 64 bytes to multiply.
///
/// # Safety
///
/// An implementation must read and write no bytes but those that the documentation of a method names, and implement
/// [`neighbours`](Self::neighbours) and [`spaced`](Self::spaced) if it says that it has them. Whoever calls an unsafe
/// method guarantees that those bytes exist and that the CPU has the instruction set of the implementor.
unsafe trait Sixteen: Copy {
    /// The largest number of pixels in a tile. There are registers for no more, and fewer would leave VPDPBUSD waiting for its
    /// own results.
    const ROWS: usize;

    /// The value of [`Lanes::NEIGHBOURS`].
    const NEIGHBOURS: bool = false;

    /// Loads 64 bytes.
    unsafe fn load(bytes: *const i8) -> Self;

    /// Returns `value` in all lanes.
    unsafe fn splat(value: i32) -> Self;

    /// Loads 16 bytes and repeats them four times.
    unsafe fn repeat(bytes: *const i8) -> Self;

    /// Loads 16 bytes and flips their sign bits. Lanes 0–7 get the first eight bytes and lanes 8–15 the last eight: four of them
    /// in the first vector, four in the second.
    unsafe fn split_flipped(bytes: *const i8) -> [Self; 2];

    /// Returns the sum of the `len` bytes at each of `segments` from `bytes`. There are fewer than 2²³ of them.
    unsafe fn sum(bytes: *const i8, segments: &[usize], len: usize) -> i32;

    /// Flips the sign bits of all bytes.
    unsafe fn flip(self) -> Self;

    /// Returns `self` plus the dot products of `unsigned` and `signed`.
    unsafe fn dot(self, unsigned: Self, signed: Self) -> Self;

    /// Returns `self − other`, lane by lane.
    unsafe fn less(self, other: Self) -> Self;

    /// Returns `128 · self`, lane by lane.
    unsafe fn times_128(self) -> Self;

    /// Returns what [`Lanes::spaces`] does.
    fn spaces(layout: WeightLayout) -> bool {
        let _ = layout;
        false
    }

    /// Does what [`Lanes::spaced`] does with one segment; `ahead` is that of [`Vnni`].
    unsafe fn spaced<W: Walk, const MR: usize>(
        acc: &mut [Self; MR],
        window: *const i8,
        pitch: usize,
        w: *const i8,
        k_groups: usize,
        ahead: *const i8,
    ) {
        let _ = (acc, window, pitch, w, k_groups, ahead);
        unreachable!("`spaces` is true only for implementations of this method")
    }

    /// Does what [`Lanes::neighbours`] does.
    unsafe fn neighbours<W: Walk, const MR: usize>(
        acc: &mut [Self; MR],
        window: *const i8,
        step: usize,
        segments: &[usize; 9],
        w: *const i8,
        k_groups: usize,
        _: *const i8,
    ) {
        let _ = (acc, window, step, segments, w, k_groups);
        unreachable!("`NEIGHBOURS` is set only by implementations of this method")
    }

    /// Does what [`Lanes::finish`] does.
    unsafe fn finish<W: Walk, const MR: usize>(
        acc: &[Self; MR],
        block: *const Block,
        residual: Option<&[*const i8; MR]>,
        rq: &Requantize,
        out: &[*mut i8; MR],
    );
}

/// The VNNI kernels over registers of either width.
#[derive(Clone, Copy)]
struct Vnni<V> {
    ahead: *const i8,
    vector: core::marker::PhantomData<V>,
}

// SAFETY: every method reads what the method of `V` of the same purpose reads, by the contract of `Sixteen`.
unsafe impl<V: Sixteen> Lanes for Vnni<V> {
    type Acc = V;

    const ROWS: usize = V::ROWS;
    const STEP: usize = 1;
    const RUN: usize = 98;
    const EVEN: bool = true;
    const NEIGHBOURS: bool = V::NEIGHBOURS;
    const INPUT_SUMS: bool = true;

    fn spaces(layout: WeightLayout) -> bool {
        V::spaces(layout)
    }

    #[inline(always)]
    unsafe fn input_sum(self, window: *const i8, segments: &[usize], k_groups: usize) -> i32 {
        // SAFETY: 4 · k_groups bytes a segment, by the contract.
        unsafe { V::sum(window, segments, 4 * k_groups) << 7 }
    }

    #[inline(always)]
    fn ahead(self, ahead: *const i8) -> Self {
        Self { ahead, ..self }
    }

    #[inline(always)]
    unsafe fn start(self, bias: *const i32, weight_sum: *const i32, input_sum: Option<i32>) -> Self::Acc {
        // SAFETY: 16 values each, by the contract.
        unsafe {
            let bias = V::load(bias.cast());
            match input_sum {
                Some(sum) => bias.less(V::splat(sum)),
                None => bias.less(V::load(weight_sum.cast()).times_128()),
            }
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
        let mut ahead = self.ahead;
        for &segment in segments {
            for k in 0..k_groups {
                // SAFETY: 4 · k_groups input bytes and k_groups units of weights a segment, by the contract.
                unsafe {
                    _mm_prefetch::<_MM_HINT_T1>(ahead);
                    ahead = ahead.wrapping_add(UNIT);
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
        // SAFETY: 16 input bytes and two units of weights, by the contract.
        unsafe {
            let weights = [V::load(w), V::load(w.add(UNIT))];
            for r in 0..MR {
                let [first, second] = V::split_flipped(a[r]);
                acc[r] = acc[r].dot(first, weights[0]).dot(second, weights[1]);
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
    unsafe fn neighbours<W: Walk, const MR: usize>(
        self,
        acc: &mut [Self::Acc; MR],
        window: *const i8,
        step: usize,
        segments: &[usize; 9],
        w: *const i8,
        k_groups: usize,
    ) {
        // SAFETY: the contract is the same.
        unsafe { V::neighbours::<W, MR>(acc, window, step, segments, w, k_groups, self.ahead) }
    }

    #[inline(always)]
    unsafe fn spaced<W: Walk, const MR: usize>(
        self,
        acc: &mut [Self::Acc; MR],
        window: *const i8,
        pitch: usize,
        segments: &[usize],
        w: *const i8,
        k_groups: usize,
    ) {
        let (mut w, mut ahead) = (w, self.ahead);
        for &segment in segments {
            // SAFETY: 4 · k_groups input bytes of each window and k_groups units of weights a segment, by the contract.
            unsafe {
                V::spaced::<W, MR>(acc, window.add(segment), pitch, w, k_groups, ahead);
                w = w.add(k_groups * UNIT);
            }
            ahead = ahead.wrapping_add(k_groups * UNIT);
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
        unsafe { V::finish::<W, MR>(acc, block, residual, rq, out) }
    }

    #[inline(always)]
    unsafe fn accumulators(self, acc: Self::Acc) -> [i32; LANES] {
        const { assert!(size_of::<V>() == size_of::<[i32; LANES]>()) };
        // SAFETY: both types have the same size, and any bits are valid in both.
        unsafe { core::mem::transmute_copy(&acc) }
    }
}

/// Defines the entry points for one width of register.
macro_rules! entry {
    ($module:ident, $token:ident, $vector:ident, $features:literal) => {
        pub(in crate::kernels) mod $module {
            use super::*;

            const LANES: Vnni<$vector> = Vnni { ahead: core::ptr::null(), vector: core::marker::PhantomData };

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
