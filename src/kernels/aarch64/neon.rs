//! Kernels of SMULL, SMLAL and SADALP, the Advanced SIMD of armv8-a, for cores without SDOT (Cortex-A53, A72).
//!
//! An 8-byte half of a unit of weights is two channels × 4 inputs; multiplied by the input group repeated
//! twice it gives eight 16-bit products. Two of them fit 16 bits (2 · 127 · 128 < 2¹⁵), so two k-groups are
//! multiplied before SADALP folds pairs into 32 bits. Each accumulator vector thus holds two partial sums
//! of two channels, added up at the end.
#![expect(clippy::needless_range_loop, reason = "an index names registers of several arrays at once")]

use super::finish;
use crate::format::{Block, LANES};
use crate::isa::Neon;
use crate::kernels::tile::{self, Lanes, Requantize, Walk, with_walk};
use crate::kernels::{ConvTask, LinearTask, OutputChunk};
use core::arch::aarch64::*;
use core::arch::asm;
use core::ops::Range;

pub(in crate::kernels) fn conv(_: Neon, task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
    fn with_neon<W: Walk>(task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
        // SAFETY: the dispatcher has checked the task; the token proves Advanced SIMD.
        unsafe { tile::conv::<_, W>(Smlal, task, out) }
    }
    with_walk!(Smlal, task, with_neon(task, out))
}

pub(in crate::kernels) fn linear(_: Neon, task: &LinearTask<'_>, blocks: Range<usize>, logits: &mut [f32]) {
    // SAFETY: the dispatcher has checked the task; the token proves Advanced SIMD.
    unsafe { tile::linear(Smlal, task, blocks, logits) }
}

/// The 16 lanes of a block in eight vectors, each with two partial sums of two lanes.
#[derive(Clone, Copy)]
struct Smlal;

/// Loads a k-group of inputs, four bytes, and repeats it.
///
/// # Safety
///
/// Four bytes are readable.
#[inline(always)]
unsafe fn group(a: *const i8) -> int8x8_t {
    // SAFETY: the contract above.
    unsafe { vreinterpret_s8_s32(vdup_n_s32(a.cast::<i32>().read_unaligned())) }
}

/// Adds the products of two channels with two k-groups.
///
/// # Safety
///
/// The CPU has Advanced SIMD.
#[inline(always)]
unsafe fn pair(acc: &mut int32x4_t, weights: [int8x8_t; 2], input: [int8x8_t; 2]) {
    // SAFETY: the contract above.
    unsafe { *acc = vpadalq_s16(*acc, vmlal_s8(vmull_s8(weights[0], input[0]), weights[1], input[1])) }
}

/// Returns the sums of the lanes from eight vectors of partial sums.
///
/// # Safety
///
/// The CPU has Advanced SIMD.
#[inline(always)]
unsafe fn fold(acc: [int32x4_t; 8]) -> [int32x4_t; 4] {
    // SAFETY: the contract above.
    core::array::from_fn(|i| unsafe { vpaddq_s32(acc[2 * i], acc[2 * i + 1]) })
}

/// The hot loop, which computes a whole tile, 8 input channels at a time.
///
/// It is in assembly for in-order cores (Cortex-A53), where a result takes six cycles. Sixteen products are under way
/// in eight temporaries; SMLAL is two and SADALP five products behind SMULL, across iterations too. Weights are
/// loaded as whole vectors, whose upper halves SMULL2 takes.
///
/// # Safety
///
/// The CPU has Advanced SIMD. 8 · `steps` bytes are readable at each of `segments` from each of `a`, and 128 · `steps` bytes
/// of weights for each segment.
#[inline(always)]
unsafe fn two_rows(
    acc: &mut [[int32x4_t; 8]; 2],
    a: &[*const i8; 2],
    segments: &[usize],
    w: *const i8,
    steps: usize,
) {
    debug_assert!(steps > 0 && !segments.is_empty());
    let range = segments.as_ptr_range();
    let [r0, r1] = acc;
    // SAFETY: the assembly reads what the contract grants and writes registers only.
    unsafe {
        let zero = vdupq_n_s16(0);
        asm!(
            "2:",
            "ldr {step}, [{segment}], #8",
            "add {p0}, {a0}, {step}",
            "add {p1}, {a1}, {step}",
            "mov {step}, {steps}",
            "3:",
            "ld2r {{v16.4s, v17.4s}}, [{p0}]",
            "ld2r {{v18.4s, v19.4s}}, [{p1}]",
            "ldr {w0:q}, [{w}]",
            "ldr {w1:q}, [{w}, #64]",
            "add {w}, {w}, #128",
            "add {p0}, {p0}, #8",
            "add {p1}, {p1}, #8",
            "subs {step}, {step}, #1",
            "sadalp {a15:v}.4s, {t3:v}.8h", "smull {t0:v}.8h, {w0:v}.8b, v16.8b",
            "sadalp {a06:v}.4s, {t4:v}.8h", "smull {t1:v}.8h, {w0:v}.8b, v18.8b",
            "sadalp {a16:v}.4s, {t5:v}.8h", "smull2 {t2:v}.8h, {w0:v}.16b, v16.16b", "smlal {t0:v}.8h, {w1:v}.8b, v17.8b",
            "ldr {w2:q}, [{w}, #-112]", "ldr {w3:q}, [{w}, #-48]",
            "sadalp {a07:v}.4s, {t6:v}.8h", "smull2 {t3:v}.8h, {w0:v}.16b, v18.16b", "smlal {t1:v}.8h, {w1:v}.8b, v19.8b",
            "sadalp {a17:v}.4s, {t7:v}.8h", "smull {t4:v}.8h, {w2:v}.8b, v16.8b", "smlal2 {t2:v}.8h, {w1:v}.16b, v17.16b",
            "sadalp {a00:v}.4s, {t0:v}.8h", "smull {t5:v}.8h, {w2:v}.8b, v18.8b", "smlal2 {t3:v}.8h, {w1:v}.16b, v19.16b",
            "sadalp {a10:v}.4s, {t1:v}.8h", "smull2 {t6:v}.8h, {w2:v}.16b, v16.16b", "smlal {t4:v}.8h, {w3:v}.8b, v17.8b",
            "ldr {w0:q}, [{w}, #-96]", "ldr {w1:q}, [{w}, #-32]",
            "sadalp {a01:v}.4s, {t2:v}.8h", "smull2 {t7:v}.8h, {w2:v}.16b, v18.16b", "smlal {t5:v}.8h, {w3:v}.8b, v19.8b",
            "sadalp {a11:v}.4s, {t3:v}.8h", "smull {t0:v}.8h, {w0:v}.8b, v16.8b", "smlal2 {t6:v}.8h, {w3:v}.16b, v17.16b",
            "sadalp {a02:v}.4s, {t4:v}.8h", "smull {t1:v}.8h, {w0:v}.8b, v18.8b", "smlal2 {t7:v}.8h, {w3:v}.16b, v19.16b",
            "sadalp {a12:v}.4s, {t5:v}.8h", "smull2 {t2:v}.8h, {w0:v}.16b, v16.16b", "smlal {t0:v}.8h, {w1:v}.8b, v17.8b",
            "ldr {w2:q}, [{w}, #-80]", "ldr {w3:q}, [{w}, #-16]",
            "sadalp {a03:v}.4s, {t6:v}.8h", "smull2 {t3:v}.8h, {w0:v}.16b, v18.16b", "smlal {t1:v}.8h, {w1:v}.8b, v19.8b",
            "sadalp {a13:v}.4s, {t7:v}.8h", "smull {t4:v}.8h, {w2:v}.8b, v16.8b", "smlal2 {t2:v}.8h, {w1:v}.16b, v17.16b",
            "sadalp {a04:v}.4s, {t0:v}.8h", "smull {t5:v}.8h, {w2:v}.8b, v18.8b", "smlal2 {t3:v}.8h, {w1:v}.16b, v19.16b",
            "sadalp {a14:v}.4s, {t1:v}.8h", "smull2 {t6:v}.8h, {w2:v}.16b, v16.16b", "smlal {t4:v}.8h, {w3:v}.8b, v17.8b",
            "sadalp {a05:v}.4s, {t2:v}.8h", "smull2 {t7:v}.8h, {w2:v}.16b, v18.16b", "smlal {t5:v}.8h, {w3:v}.8b, v19.8b",
            "smlal2 {t6:v}.8h, {w3:v}.16b, v17.16b", "smlal2 {t7:v}.8h, {w3:v}.16b, v19.16b",
            "b.ne 3b",
            "cmp {segment}, {end}",
            "b.ne 2b",
            "sadalp {a15:v}.4s, {t3:v}.8h", "sadalp {a06:v}.4s, {t4:v}.8h",
            "sadalp {a16:v}.4s, {t5:v}.8h", "sadalp {a07:v}.4s, {t6:v}.8h", "sadalp {a17:v}.4s, {t7:v}.8h",
            a00 = inout(vreg) r0[0], a01 = inout(vreg) r0[1], a02 = inout(vreg) r0[2], a03 = inout(vreg) r0[3],
            a04 = inout(vreg) r0[4], a05 = inout(vreg) r0[5], a06 = inout(vreg) r0[6], a07 = inout(vreg) r0[7],
            a10 = inout(vreg) r1[0], a11 = inout(vreg) r1[1], a12 = inout(vreg) r1[2], a13 = inout(vreg) r1[3],
            a14 = inout(vreg) r1[4], a15 = inout(vreg) r1[5], a16 = inout(vreg) r1[6], a17 = inout(vreg) r1[7],
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            w0 = out(vreg) _, w1 = out(vreg) _, w2 = out(vreg) _, w3 = out(vreg) _,
            t0 = out(vreg) _, t1 = out(vreg) _, t2 = out(vreg) _,
            t3 = inout(vreg) zero => _, t4 = inout(vreg) zero => _, t5 = inout(vreg) zero => _,
            t6 = inout(vreg) zero => _, t7 = inout(vreg) zero => _,
            a0 = in(reg) a[0], a1 = in(reg) a[1], p0 = out(reg) _, p1 = out(reg) _,
            w = inout(reg) w => _, steps = in(reg) steps, step = out(reg) _,
            segment = inout(reg) range.start => _, end = in(reg) range.end,
            options(readonly, nostack),
        );
    }
}

// SAFETY: each method loads and stores as many bytes as it documents, in assembly too, whose loops end with the
// segments and k-groups that they are given.
unsafe impl Lanes for Smlal {
    type Acc = [int32x4_t; 8];

    const ROWS: usize = 2;
    const STEP: usize = 2;

    #[inline(always)]
    unsafe fn start(self, bias: *const i32, _: *const i32, _: Option<i32>) -> Self::Acc {
        // SAFETY: 16 values, by the contract. Widened to 64 bits, each is its lane's first partial sum and a
        // zero.
        core::array::from_fn(|i| unsafe {
            vreinterpretq_s32_u64(vmovl_u32(vld1_u32(bias.add(2 * i).cast())))
        })
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
        let (steps, rest) = (k_groups / Self::STEP, k_groups % Self::STEP);
        // SAFETY: 4 · k_groups input bytes and k_groups units of weights a segment, by the contract.
        unsafe {
            if MR == 2 && WHOLE {
                // The types are the same, since MR is 2.
                return two_rows(&mut *acc.as_mut_ptr().cast(), &*window.as_ptr().cast(), segments, w, steps);
            }
            let mut w = w;
            for &segment in segments {
                let mut a: [*const i8; MR] = core::array::from_fn(|r| window[r].add(segment));
                for _ in 0..steps {
                    for v in 0..8 {
                        let weights = [vld1_s8(w.add(8 * v)), vld1_s8(w.add(64 + 8 * v))];
                        for r in 0..MR {
                            pair(&mut acc[r][v], weights, [group(a[r]), group(a[r].add(4))]);
                        }
                    }
                    a = a.map(|a| a.add(8));
                    w = w.add(128);
                }
                if rest == 1 {
                    for v in 0..8 {
                        let weights = vld1_s8(w.add(8 * v));
                        for r in 0..MR {
                            acc[r][v] = vpadalq_s16(acc[r][v], vmull_s8(weights, group(a[r])));
                        }
                    }
                    w = w.add(64);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn paired<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8) {
        // SAFETY: 16 input bytes and two units of weights, by the contract.
        unsafe {
            for v in 0..8 {
                let weights = [vld1_s8(w.add(8 * v)), vld1_s8(w.add(64 + 8 * v))];
                for r in 0..MR {
                    let a = a[r].add(v / 4 * 8);
                    pair(&mut acc[r][v], weights, [group(a), group(a.add(4))]);
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
    unsafe fn finish<W: Walk, const MR: usize>(
        self,
        acc: &[Self::Acc; MR],
        block: *const Block,
        residual: Option<&[*const i8; MR]>,
        rq: &Requantize,
        out: &[*mut i8; MR],
    ) {
        // SAFETY: the contract is the same.
        unsafe { finish::<W, MR>(&acc.map(|acc| fold(acc)), block, residual, rq, out) }
    }

    #[inline(always)]
    unsafe fn accumulators(self, acc: Self::Acc) -> [i32; LANES] {
        // SAFETY: four vectors of four i32 are sixteen i32.
        unsafe { core::mem::transmute(fold(acc)) }
    }
}
