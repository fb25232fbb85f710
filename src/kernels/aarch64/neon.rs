//! Advanced SIMD of armv8-a, for cores without SDOT (Cortex-A53, A72): SMULL, SMLAL, SADALP.
//!
//! An 8-byte half of a unit of weights is two channels × 4 inputs; multiplied by the input group repeated
//! twice it gives eight 16-bit products. Two of them fit 16 bits (2 · 127 · 128 < 2¹⁵), so two k-groups are
//! multiplied before SADALP folds pairs into 32 bits. Each accumulator vector thus holds two partial sums
//! of two channels, added up at the end.
#![expect(clippy::needless_range_loop, reason = "an index names registers of several arrays at once")]

use super::finish;
use crate::format::{Block, LANES};
use crate::isa::Neon;
use crate::kernels::tile::{self, Lanes, Requantize};
use crate::kernels::{ConvTask, LinearTask, OutputChunk};
use core::arch::aarch64::*;
use core::ops::Range;

pub(in crate::kernels) fn conv(_: Neon, task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
    // SAFETY: the dispatcher has checked the task; the token proves Advanced SIMD.
    unsafe { tile::conv(Smlal, task, out) }
}

pub(in crate::kernels) fn linear(_: Neon, task: &LinearTask<'_>, blocks: Range<usize>, logits: &mut [f32]) {
    // SAFETY: the dispatcher has checked the task; the token proves Advanced SIMD.
    unsafe { tile::linear(Smlal, task, blocks, logits) }
}

/// Eight vectors, each two partial sums of two lanes.
#[derive(Clone, Copy)]
struct Smlal;

/// A 4-byte input group, twice.
///
/// # Safety
///
/// Four readable bytes.
#[inline(always)]
unsafe fn group(a: *const i8) -> int8x8_t {
    // SAFETY: the contract above.
    unsafe { vreinterpret_s8_s32(vdup_n_s32(a.cast::<i32>().read_unaligned())) }
}

/// The lane sums of eight vectors of partial sums.
///
/// # Safety
///
/// Advanced SIMD.
#[inline(always)]
unsafe fn fold(acc: [int32x4_t; 8]) -> [int32x4_t; 4] {
    // SAFETY: Advanced SIMD.
    core::array::from_fn(|i| unsafe { vpaddq_s32(acc[2 * i], acc[2 * i + 1]) })
}

impl Lanes for Smlal {
    type Acc = [int32x4_t; 8];

    const ROWS: usize = 2;

    #[inline(always)]
    unsafe fn start(self, bias: *const i32) -> Self::Acc {
        // SAFETY: 16 values, by the contract. Each goes to the first of its lane's two partial sums.
        core::array::from_fn(|i| unsafe {
            let pair = vld1_s32(bias.add(2 * i));
            let zero = vdup_n_s32(0);
            vcombine_s32(vzip1_s32(pair, zero), vzip2_s32(pair, zero))
        })
    }

    #[inline(always)]
    unsafe fn broadcast<const MR: usize>(
        self,
        acc: &mut [Self::Acc; MR],
        a: &[*const i8; MR],
        w: *const i8,
        k_groups: usize,
    ) {
        let (mut a, mut w) = (*a, w);
        // SAFETY: 4 · k_groups input bytes and k_groups units of weights, by the contract.
        unsafe {
            for _ in 0..k_groups / 2 {
                let input: [[int8x8_t; 2]; MR] = core::array::from_fn(|r| [group(a[r]), group(a[r].add(4))]);
                for v in 0..8 {
                    let (first, second) = (vld1_s8(w.add(8 * v)), vld1_s8(w.add(64 + 8 * v)));
                    for r in 0..MR {
                        let products = vmlal_s8(vmull_s8(first, input[r][0]), second, input[r][1]);
                        acc[r][v] = vpadalq_s16(acc[r][v], products);
                    }
                }
                a = a.map(|a| a.add(8));
                w = w.add(128);
            }
            if k_groups % 2 == 1 {
                let input: [int8x8_t; MR] = core::array::from_fn(|r| group(a[r]));
                for v in 0..8 {
                    let weights = vld1_s8(w.add(8 * v));
                    for r in 0..MR {
                        acc[r][v] = vpadalq_s16(acc[r][v], vmull_s8(weights, input[r]));
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn paired<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8) {
        // SAFETY: 16 input bytes and two units of weights, by the contract.
        unsafe {
            for half in 0..2 {
                let input: [[int8x8_t; 2]; MR] =
                    core::array::from_fn(|r| [group(a[r].add(8 * half)), group(a[r].add(8 * half + 4))]);
                for v in 4 * half..4 * half + 4 {
                    let (first, second) = (vld1_s8(w.add(8 * v)), vld1_s8(w.add(64 + 8 * v)));
                    for r in 0..MR {
                        let products = vmlal_s8(vmull_s8(first, input[r][0]), second, input[r][1]);
                        acc[r][v] = vpadalq_s16(acc[r][v], products);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn quad<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8) {
        // SAFETY: 16 input bytes and one unit of weights, by the contract. Lane 4 j + g reads group g, so
        // even vectors (lanes 4 j, 4 j + 1) meet the low half of the input and odd ones the high half.
        unsafe {
            let input: [int8x16_t; MR] = core::array::from_fn(|r| vld1q_s8(a[r]));
            for j in 0..4 {
                let weights = vld1q_s8(w.add(16 * j));
                for r in 0..MR {
                    let low = vmull_s8(vget_low_s8(weights), vget_low_s8(input[r]));
                    acc[r][2 * j] = vpadalq_s16(acc[r][2 * j], low);
                    acc[r][2 * j + 1] = vpadalq_s16(acc[r][2 * j + 1], vmull_high_s8(weights, input[r]));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn finish<const MR: usize>(
        self,
        acc: &[Self::Acc; MR],
        block: *const Block,
        residual: Option<&[*const i8; MR]>,
        rq: &Requantize,
        out: &[*mut i8; MR],
    ) {
        // SAFETY: the contract is the same.
        unsafe { finish(&acc.map(|acc| fold(acc)), block, residual, rq, out) }
    }

    #[inline(always)]
    unsafe fn accumulators(self, acc: Self::Acc) -> [i32; LANES] {
        // SAFETY: four vectors of four i32 are sixteen i32.
        unsafe { core::mem::transmute(fold(acc)) }
    }
}
