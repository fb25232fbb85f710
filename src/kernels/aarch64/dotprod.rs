//! SDOT: four 4-channel dot products an instruction.
//!
//! The intrinsics are not stable yet, so the instruction is one line of assembly.
#![expect(clippy::needless_range_loop, reason = "an index names registers of several arrays at once")]

use super::finish;
use crate::format::{Block, LANES};
use crate::isa::DotProd;
use crate::kernels::tile::{self, Lanes, Requantize};
use crate::kernels::{ConvTask, LinearTask, OutputChunk};
use core::arch::aarch64::*;
use core::arch::asm;
use core::ops::Range;

pub(in crate::kernels) fn conv(_: DotProd, task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
    #[target_feature(enable = "neon,dotprod")]
    fn with_dotprod(task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
        // SAFETY: the dispatcher has checked the task; the features are enabled on this function.
        unsafe { tile::conv(Sdot, task, out) }
    }
    // SAFETY: the token proves that the CPU has SDOT.
    unsafe { with_dotprod(task, out) }
}

pub(in crate::kernels) fn linear(
    _: DotProd,
    task: &LinearTask<'_>,
    blocks: Range<usize>,
    logits: &mut [f32],
) {
    #[target_feature(enable = "neon,dotprod")]
    fn with_dotprod(task: &LinearTask<'_>, blocks: Range<usize>, logits: &mut [f32]) {
        // SAFETY: as above.
        unsafe { tile::linear(Sdot, task, blocks, logits) }
    }
    // SAFETY: the token proves that the CPU has SDOT.
    unsafe { with_dotprod(task, blocks, logits) }
}

/// Four vectors of four lanes.
#[derive(Clone, Copy)]
struct Sdot;

/// `acc + dot(w, a)` in every lane.
macro_rules! sdot {
    ($acc:expr, $w:expr, $a:expr) => {
        asm!("sdot {acc:v}.4s, {w:v}.16b, {a:v}.16b", acc = inout(vreg) $acc, w = in(vreg) $w, a = in(vreg) $a,
             options(pure, nomem, nostack, preserves_flags))
    };
    ($acc:expr, $w:expr, $a:expr, $lane:literal) => {
        asm!(concat!("sdot {acc:v}.4s, {w:v}.16b, {a:v}.4b[", $lane, "]"),
             acc = inout(vreg) $acc, w = in(vreg) $w, a = in(vreg) $a,
             options(pure, nomem, nostack, preserves_flags))
    };
}

/// One unit of weights against 4-byte group `$lane` of each input vector.
macro_rules! unit {
    ($acc:ident, $input:ident, $w:expr, $lane:literal) => {
        for v in 0..4 {
            let weights = vld1q_s8($w.add(16 * v));
            for r in 0..MR {
                sdot!($acc[r][v], weights, $input[r], $lane);
            }
        }
    };
}

impl Lanes for Sdot {
    type Acc = [int32x4_t; 4];

    const ROWS: usize = 6;

    #[inline(always)]
    unsafe fn start(self, bias: *const i32) -> Self::Acc {
        // SAFETY: 16 values, by the contract.
        core::array::from_fn(|i| unsafe { vld1q_s32(bias.add(4 * i)) })
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
            for _ in 0..k_groups / 4 {
                let input: [int8x16_t; MR] = core::array::from_fn(|r| vld1q_s8(a[r]));
                unit!(acc, input, w, 0);
                unit!(acc, input, w.add(64), 1);
                unit!(acc, input, w.add(128), 2);
                unit!(acc, input, w.add(192), 3);
                a = a.map(|a| a.add(16));
                w = w.add(256);
            }
            for _ in 0..k_groups % 4 {
                let input: [int8x16_t; MR] = core::array::from_fn(|r| {
                    vreinterpretq_s8_s32(vdupq_n_s32(a[r].cast::<i32>().read_unaligned()))
                });
                unit!(acc, input, w, 0);
                a = a.map(|a| a.add(4));
                w = w.add(64);
            }
        }
    }

    #[inline(always)]
    unsafe fn paired<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8) {
        // SAFETY: 16 input bytes and two units of weights, by the contract.
        unsafe {
            let input: [int8x16_t; MR] = core::array::from_fn(|r| vld1q_s8(a[r]));
            for v in 0..4 {
                let (first, second) = (vld1q_s8(w.add(16 * v)), vld1q_s8(w.add(64 + 16 * v)));
                for r in 0..MR {
                    if v < 2 {
                        sdot!(acc[r][v], first, input[r], 0);
                        sdot!(acc[r][v], second, input[r], 1);
                    } else {
                        sdot!(acc[r][v], first, input[r], 2);
                        sdot!(acc[r][v], second, input[r], 3);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn quad<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8) {
        // SAFETY: 16 input bytes and one unit of weights, by the contract.
        unsafe {
            let input: [int8x16_t; MR] = core::array::from_fn(|r| vld1q_s8(a[r]));
            for v in 0..4 {
                let weights = vld1q_s8(w.add(16 * v));
                for r in 0..MR {
                    sdot!(acc[r][v], weights, input[r]);
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
        // SAFETY: the contract is the same; SDOT implies Advanced SIMD.
        unsafe { finish(acc, block, residual, rq, out) }
    }

    #[inline(always)]
    unsafe fn accumulators(self, acc: Self::Acc) -> [i32; LANES] {
        // SAFETY: four vectors of four i32 are sixteen i32.
        unsafe { core::mem::transmute(acc) }
    }
}
