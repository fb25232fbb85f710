//! Kernels of SDOT, which computes four dot products of four channels in one instruction.
//!
//! The intrinsics are not stable yet, so each instruction is one line of assembly.
#![expect(clippy::needless_range_loop, reason = "an index names registers of several arrays at once")]

use super::finish;
use crate::format::{Block, LANES};
use crate::isa::DotProd;
use crate::kernels::tile::{self, Lanes, Requantize, Walk, with_walk};
use crate::kernels::{ConvTask, LinearTask, OutputChunk};
use core::arch::aarch64::*;
use core::arch::asm;
use core::ops::Range;

pub(in crate::kernels) fn conv(_: DotProd, task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
    #[target_feature(enable = "neon,dotprod")]
    fn with_dotprod<W: Walk>(task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
        // SAFETY: the dispatcher has checked the task; the features are enabled on this function.
        unsafe { tile::conv::<_, W>(Sdot, task, out) }
    }
    // SAFETY: the token proves that the CPU has SDOT.
    unsafe { with_walk!(Sdot, task, with_dotprod(task, out)) }
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

/// The 16 lanes of a block in four vectors of four.
#[derive(Clone, Copy)]
pub(super) struct Sdot;

/// Adds the dot product of `$w` and `$a` to every lane of `$acc`.
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

/// Multiplies one unit of weights by k-group `$lane` of each input vector.
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

/// Multiplies vector `$v` of two units of weights by k-groups `$first` and `$second` of each input vector.
macro_rules! pair {
    ($acc:ident, $input:ident, $w:ident, $v:literal, $first:literal, $second:literal) => {
        let weights = [vld1q_s8($w.add(16 * $v)), vld1q_s8($w.add(64 + 16 * $v))];
        for r in 0..MR {
            sdot!($acc[r][$v], weights[0], $input[r], $first);
        }
        for r in 0..MR {
            sdot!($acc[r][$v], weights[1], $input[r], $second);
        }
    };
}

/// Adds the products of weights `$w` and k-group `$lane` of the inputs to accumulator vector `$v` of six pixels.
#[rustfmt::skip]
macro_rules! dot6 {
    ($v:literal, $w:literal, $lane:literal) => {
        concat!(
            "sdot {a0", $v, ":v}.4s, {", $w, ":v}.16b, {i0:v}.4b[", $lane, "]\n",
            "sdot {a1", $v, ":v}.4s, {", $w, ":v}.16b, {i1:v}.4b[", $lane, "]\n",
            "sdot {a2", $v, ":v}.4s, {", $w, ":v}.16b, {i2:v}.4b[", $lane, "]\n",
            "sdot {a3", $v, ":v}.4s, {", $w, ":v}.16b, {i3:v}.4b[", $lane, "]\n",
            "sdot {a4", $v, ":v}.4s, {", $w, ":v}.16b, {i4:v}.4b[", $lane, "]\n",
            "sdot {a5", $v, ":v}.4s, {", $w, ":v}.16b, {i5:v}.4b[", $lane, "]"
        )
    };
}

/// The hot loop, which computes a whole tile, 16 input channels at a time.
///
/// It is in assembly because in-order cores (Cortex-A55) run instructions in the order in which they stand. The compiler
/// pairs the loads of weights as LDP Q, which takes six cycles there, right before their use. Here they are single loads, six
/// dot products ahead.
///
/// # Safety
///
/// The CPU has SDOT. 16 · `steps` bytes are readable at each of `segments` from each of `a`, and 256 · `steps` bytes of weights
/// for each segment.
#[inline(always)]
unsafe fn six_rows(
    acc: &mut [[int32x4_t; 4]; 6],
    a: &[*const i8; 6],
    segments: &[usize],
    w: *const i8,
    steps: usize,
) {
    debug_assert!(steps > 0 && !segments.is_empty());
    let range = segments.as_ptr_range();
    let [r0, r1, r2, r3, r4, r5] = acc;
    // SAFETY: the assembly reads what the contract grants and writes registers only.
    unsafe {
        asm!(
            "2:",
            "ldr {k}, [{segment}], #8",
            "mov {step}, {steps}",
            "3:",
            "ldr {w0:q}, [{w}]",
            "ldr {i0:q}, [{p0}, {k}]",
            "ldr {w1:q}, [{w}, #16]",
            "ldr {i1:q}, [{p1}, {k}]",
            "ldr {i2:q}, [{p2}, {k}]",
            "ldr {i3:q}, [{p3}, {k}]",
            "ldr {i4:q}, [{p4}, {k}]",
            "ldr {i5:q}, [{p5}, {k}]",
            dot6!("0", "w0", "0"), "ldr {w0:q}, [{w}, #32]",
            dot6!("1", "w1", "0"), "ldr {w1:q}, [{w}, #48]",
            dot6!("2", "w0", "0"), "ldr {w0:q}, [{w}, #64]",
            dot6!("3", "w1", "0"), "ldr {w1:q}, [{w}, #80]",
            dot6!("0", "w0", "1"), "ldr {w0:q}, [{w}, #96]",
            dot6!("1", "w1", "1"), "ldr {w1:q}, [{w}, #112]",
            dot6!("2", "w0", "1"), "ldr {w0:q}, [{w}, #128]",
            dot6!("3", "w1", "1"), "ldr {w1:q}, [{w}, #144]",
            dot6!("0", "w0", "2"), "ldr {w0:q}, [{w}, #160]",
            dot6!("1", "w1", "2"), "ldr {w1:q}, [{w}, #176]",
            dot6!("2", "w0", "2"), "ldr {w0:q}, [{w}, #192]",
            dot6!("3", "w1", "2"), "ldr {w1:q}, [{w}, #208]",
            dot6!("0", "w0", "3"), "ldr {w0:q}, [{w}, #224]",
            dot6!("1", "w1", "3"), "ldr {w1:q}, [{w}, #240]",
            dot6!("2", "w0", "3"),
            dot6!("3", "w1", "3"),
            "add {w}, {w}, #256",
            "add {k}, {k}, #16",
            "subs {step}, {step}, #1",
            "b.ne 3b",
            "cmp {segment}, {end}",
            "b.ne 2b",
            a00 = inout(vreg) r0[0], a01 = inout(vreg) r0[1], a02 = inout(vreg) r0[2], a03 = inout(vreg) r0[3],
            a10 = inout(vreg) r1[0], a11 = inout(vreg) r1[1], a12 = inout(vreg) r1[2], a13 = inout(vreg) r1[3],
            a20 = inout(vreg) r2[0], a21 = inout(vreg) r2[1], a22 = inout(vreg) r2[2], a23 = inout(vreg) r2[3],
            a30 = inout(vreg) r3[0], a31 = inout(vreg) r3[1], a32 = inout(vreg) r3[2], a33 = inout(vreg) r3[3],
            a40 = inout(vreg) r4[0], a41 = inout(vreg) r4[1], a42 = inout(vreg) r4[2], a43 = inout(vreg) r4[3],
            a50 = inout(vreg) r5[0], a51 = inout(vreg) r5[1], a52 = inout(vreg) r5[2], a53 = inout(vreg) r5[3],
            i0 = out(vreg) _, i1 = out(vreg) _, i2 = out(vreg) _, i3 = out(vreg) _, i4 = out(vreg) _, i5 = out(vreg) _,
            w0 = out(vreg) _, w1 = out(vreg) _,
            p0 = in(reg) a[0], p1 = in(reg) a[1], p2 = in(reg) a[2],
            p3 = in(reg) a[3], p4 = in(reg) a[4], p5 = in(reg) a[5],
            w = inout(reg) w => _, k = out(reg) _, steps = in(reg) steps, step = out(reg) _,
            segment = inout(reg) range.start => _, end = in(reg) range.end,
            options(readonly, nostack),
        );
    }
}

// SAFETY: each method loads and stores as many bytes as it documents, in assembly too, whose loops end with the
// segments and k-groups that they are given.
unsafe impl Lanes for Sdot {
    type Acc = [int32x4_t; 4];

    const ROWS: usize = 6;
    const STEP: usize = 4;

    #[inline(always)]
    unsafe fn start(self, bias: *const i32, _: *const i32, _: Option<i32>) -> Self::Acc {
        // SAFETY: 16 values, by the contract.
        core::array::from_fn(|i| unsafe { vld1q_s32(bias.add(4 * i)) })
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
            if MR == 6 && WHOLE {
                // The types are the same, since MR is 6.
                return six_rows(&mut *acc.as_mut_ptr().cast(), &*window.as_ptr().cast(), segments, w, steps);
            }
            let mut w = w;
            for &segment in segments {
                let mut a: [*const i8; MR] = core::array::from_fn(|r| window[r].add(segment));
                for _ in 0..steps {
                    let input: [int8x16_t; MR] = core::array::from_fn(|r| vld1q_s8(a[r]));
                    unit!(acc, input, w, 0);
                    unit!(acc, input, w.add(64), 1);
                    unit!(acc, input, w.add(128), 2);
                    unit!(acc, input, w.add(192), 3);
                    a = a.map(|a| a.add(16));
                    w = w.add(256);
                }
                for _ in 0..rest {
                    let input: [int8x16_t; MR] = core::array::from_fn(|r| {
                        vreinterpretq_s8_s32(vdupq_n_s32(a[r].cast::<i32>().read_unaligned()))
                    });
                    unit!(acc, input, w, 0);
                    a = a.map(|a| a.add(4));
                    w = w.add(64);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn paired<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8) {
        // SAFETY: 16 input bytes and two units of weights, by the contract.
        unsafe {
            let input: [int8x16_t; MR] = core::array::from_fn(|r| vld1q_s8(a[r]));
            pair!(acc, input, w, 0, 0, 1);
            pair!(acc, input, w, 1, 0, 1);
            pair!(acc, input, w, 2, 2, 3);
            pair!(acc, input, w, 3, 2, 3);
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
    unsafe fn finish<W: Walk, const MR: usize>(
        self,
        acc: &[Self::Acc; MR],
        block: *const Block,
        residual: Option<&[*const i8; MR]>,
        rq: &Requantize,
        out: &[*mut i8; MR],
    ) {
        // SAFETY: the contract is the same; SDOT implies Advanced SIMD.
        unsafe { finish::<W, MR>(acc, block, residual, rq, out) }
    }

    #[inline(always)]
    unsafe fn accumulators(self, acc: Self::Acc) -> [i32; LANES] {
        // SAFETY: four vectors of four i32 are sixteen i32.
        unsafe { core::mem::transmute(acc) }
    }
}
