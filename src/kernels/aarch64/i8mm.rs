//! Kernels of SMMLA, which multiplies a 2 × 8 matrix of inputs by an 8 × 2 matrix of weights in one instruction: twice the
//! products of SDOT.
//!
//! Two pixels make the rows of one operand and two output channels the columns of the other; weights packed
//! as [`Packing::K8`](crate::weights::Packing::K8) are operands as they lie. Accumulators are kept in 2 × 2
//! matrices inside the loop and in rows, as everywhere else, outside.
#![expect(clippy::needless_range_loop, reason = "an index names registers of several arrays at once")]

use super::dotprod::Sdot;
use crate::format::{Block, LANES};
use crate::isa::MatMul;
use crate::kernels::tile::{self, Broadcast, Lanes, Requantize, Walk};
use crate::kernels::{ConvTask, OutputChunk};
use core::arch::aarch64::*;
use core::arch::asm;

pub(in crate::kernels) fn conv(_: MatMul, task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
    #[target_feature(enable = "neon,dotprod,i8mm")]
    fn with_i8mm(task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
        // SAFETY: the dispatcher has checked the task, whose weights are interleaved: whole steps of one
        // input for all lanes; the features are enabled on this function.
        unsafe {
            match task.conv.shortcut {
                None => tile::conv::<_, Broadcast<true>>(Smmla, task, out),
                Some(_) => tile::conv::<_, Broadcast<true, false, true>>(Smmla, task, out),
            }
        }
    }
    // SAFETY: the token proves that the CPU has SMMLA.
    unsafe { with_i8mm(task, out) }
}

/// The 16 lanes of a block in four vectors of four.
#[derive(Clone, Copy)]
struct Smmla;

/// The accumulators of two pixels as eight 2 × 2 matrices: `[pixel 0: channels 2 c, 2 c + 1; pixel 1: the
/// same]`.
type Matrices = [int32x4_t; 8];

/// # Safety
///
/// The CPU has Advanced SIMD.
#[inline(always)]
unsafe fn to_matrices(rows: [[int32x4_t; 4]; 2]) -> Matrices {
    // SAFETY: the contract above.
    core::array::from_fn(|c| unsafe {
        let [a, b] = [0, 1].map(|r| vreinterpretq_s64_s32(rows[r][c / 2]));
        vreinterpretq_s32_s64(if c % 2 == 0 { vzip1q_s64(a, b) } else { vzip2q_s64(a, b) })
    })
}

/// # Safety
///
/// The CPU has Advanced SIMD.
#[inline(always)]
unsafe fn to_rows(matrices: Matrices) -> [[int32x4_t; 4]; 2] {
    let row = |r: usize| -> [int32x4_t; 4] {
        // SAFETY: the contract above.
        core::array::from_fn(|v| unsafe {
            let [a, b] = [0, 1].map(|half| vreinterpretq_s64_s32(matrices[2 * v + half]));
            vreinterpretq_s32_s64(if r == 0 { vzip1q_s64(a, b) } else { vzip2q_s64(a, b) })
        })
    };
    [row(0), row(1)]
}

/// Adds `$a · $wᵀ` to `$acc`.
macro_rules! smmla {
    ($acc:expr, $a:expr, $w:expr) => {
        asm!("smmla {acc:v}.4s, {a:v}.16b, {w:v}.16b", acc = inout(vreg) $acc, a = in(vreg) $a, w = in(vreg) $w,
             options(pure, nomem, nostack, preserves_flags))
    };
}

/// Multiplies weights `w0` and `w1` into matrices `$c` and `$d` of three pairs of pixels. `$i0`, `$i1` and `$i2` hold the same
/// half of the inputs of each pair.
#[rustfmt::skip]
macro_rules! mul6 {
    ($c:literal, $d:literal, $i0:literal, $i1:literal, $i2:literal) => {
        concat!(
            "smmla {a", $c, ":v}.4s, {", $i0, ":v}.16b, {w0:v}.16b\n",
            "smmla {b", $c, ":v}.4s, {", $i1, ":v}.16b, {w0:v}.16b\n",
            "smmla {c", $c, ":v}.4s, {", $i2, ":v}.16b, {w0:v}.16b\n",
            "smmla {a", $d, ":v}.4s, {", $i0, ":v}.16b, {w1:v}.16b\n",
            "smmla {b", $d, ":v}.4s, {", $i1, ":v}.16b, {w1:v}.16b\n",
            "smmla {c", $d, ":v}.4s, {", $i2, ":v}.16b, {w1:v}.16b"
        )
    };
}

/// The hot loop, which computes six pixels, 16 input channels at a time.
///
/// It is in assembly because it takes all 32 registers: 24 for accumulators, six for inputs and two for weights. The latter
/// are also the scratch in which inputs are paired.
///
/// # Safety
///
/// The CPU has SMMLA. 16 · `steps` bytes are readable at each of `segments` from each of `rows`, and 256 · `steps` bytes of
/// weights for each segment.
#[inline(always)]
unsafe fn six_rows(
    [a, b, c]: &mut [Matrices; 3],
    rows: &[*const i8; 6],
    segments: &[usize],
    w: *const i8,
    steps: usize,
) {
    debug_assert!(steps > 0 && !segments.is_empty());
    let range = segments.as_ptr_range();
    // SAFETY: the assembly reads what the contract grants and writes registers only.
    unsafe {
        asm!(
            "2:",
            "ldr {k}, [{segment}], #8",
            "mov {step}, {steps}",
            "3:",
            "ldr {w0:q}, [{p0}, {k}]",
            "ldr {w1:q}, [{p1}, {k}]",
            "ldr {i2:q}, [{p2}, {k}]",
            "ldr {i4:q}, [{p3}, {k}]",
            "zip1 {i0:v}.2d, {w0:v}.2d, {w1:v}.2d",
            "zip2 {i1:v}.2d, {w0:v}.2d, {w1:v}.2d",
            "ldr {w0:q}, [{p4}, {k}]",
            "ldr {w1:q}, [{p5}, {k}]",
            "zip2 {i3:v}.2d, {i2:v}.2d, {i4:v}.2d",
            "zip1 {i2:v}.2d, {i2:v}.2d, {i4:v}.2d",
            "zip1 {i4:v}.2d, {w0:v}.2d, {w1:v}.2d",
            "zip2 {i5:v}.2d, {w0:v}.2d, {w1:v}.2d",
            "ldp {w0:q}, {w1:q}, [{w}]",
            mul6!("0", "1", "i0", "i2", "i4"),
            "ldp {w0:q}, {w1:q}, [{w}, #32]",
            mul6!("2", "3", "i0", "i2", "i4"),
            "ldp {w0:q}, {w1:q}, [{w}, #64]",
            mul6!("4", "5", "i0", "i2", "i4"),
            "ldp {w0:q}, {w1:q}, [{w}, #96]",
            mul6!("6", "7", "i0", "i2", "i4"),
            "ldp {w0:q}, {w1:q}, [{w}, #128]",
            mul6!("0", "1", "i1", "i3", "i5"),
            "ldp {w0:q}, {w1:q}, [{w}, #160]",
            mul6!("2", "3", "i1", "i3", "i5"),
            "ldp {w0:q}, {w1:q}, [{w}, #192]",
            mul6!("4", "5", "i1", "i3", "i5"),
            "ldp {w0:q}, {w1:q}, [{w}, #224]",
            mul6!("6", "7", "i1", "i3", "i5"),
            "add {w}, {w}, #256",
            "add {k}, {k}, #16",
            "subs {step}, {step}, #1",
            "b.ne 3b",
            "cmp {segment}, {end}",
            "b.ne 2b",
            a0 = inout(vreg) a[0], a1 = inout(vreg) a[1], a2 = inout(vreg) a[2], a3 = inout(vreg) a[3],
            a4 = inout(vreg) a[4], a5 = inout(vreg) a[5], a6 = inout(vreg) a[6], a7 = inout(vreg) a[7],
            b0 = inout(vreg) b[0], b1 = inout(vreg) b[1], b2 = inout(vreg) b[2], b3 = inout(vreg) b[3],
            b4 = inout(vreg) b[4], b5 = inout(vreg) b[5], b6 = inout(vreg) b[6], b7 = inout(vreg) b[7],
            c0 = inout(vreg) c[0], c1 = inout(vreg) c[1], c2 = inout(vreg) c[2], c3 = inout(vreg) c[3],
            c4 = inout(vreg) c[4], c5 = inout(vreg) c[5], c6 = inout(vreg) c[6], c7 = inout(vreg) c[7],
            i0 = out(vreg) _, i1 = out(vreg) _, i2 = out(vreg) _, i3 = out(vreg) _, i4 = out(vreg) _, i5 = out(vreg) _,
            w0 = out(vreg) _, w1 = out(vreg) _,
            p0 = in(reg) rows[0], p1 = in(reg) rows[1], p2 = in(reg) rows[2],
            p3 = in(reg) rows[3], p4 = in(reg) rows[4], p5 = in(reg) rows[5],
            w = inout(reg) w => _, k = out(reg) _, steps = in(reg) steps, step = out(reg) _,
            segment = inout(reg) range.start => _, end = in(reg) range.end,
            options(readonly, nostack),
        );
    }
}

/// Computes two pixels, the second of which may be the first again.
///
/// # Safety
///
/// As for [`six_rows`].
#[inline(always)]
unsafe fn two_rows(acc: &mut Matrices, rows: [*const i8; 2], segments: &[usize], w: *const i8, steps: usize) {
    let mut w = w;
    for &segment in segments {
        for step in 0..steps {
            // SAFETY: the contract above.
            unsafe {
                let [a, b] = rows.map(|row| vreinterpretq_s64_s8(vld1q_s8(row.add(segment + 16 * step))));
                let inputs = [vzip1q_s64(a, b), vzip2q_s64(a, b)];
                for (half, input) in inputs.into_iter().enumerate() {
                    for c in 0..8 {
                        let weights = vld1q_s8(w.add(128 * half + 16 * c));
                        smmla!(acc[c], input, weights);
                    }
                }
                w = w.add(256);
            }
        }
    }
}

// SAFETY: each method loads and stores as many bytes as it documents, in assembly too, whose loops end with the
// segments and k-groups that they are given.
unsafe impl Lanes for Smmla {
    type Acc = [int32x4_t; 4];

    const ROWS: usize = 6;
    const STEP: usize = 4;

    #[inline(always)]
    unsafe fn start(self, bias: *const i32, weight_sum: *const i32, input_sum: Option<i32>) -> Self::Acc {
        // SAFETY: the contract is the same.
        unsafe { Sdot.start(bias, weight_sum, input_sum) }
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
        let steps = k_groups / Self::STEP;
        // SAFETY: 4 · k_groups input bytes and k_groups units of weights a segment, by the contract.
        unsafe {
            if MR == 6 {
                let mut pairs = [0, 2, 4].map(|r| to_matrices([acc[r], acc[r + 1]]));
                // The types are the same, since MR is 6.
                six_rows(&mut pairs, &*window.as_ptr().cast(), segments, w, steps);
                for (pair, matrices) in pairs.into_iter().enumerate() {
                    [acc[2 * pair], acc[2 * pair + 1]] = to_rows(matrices);
                }
                return;
            }
            for first in (0..MR).step_by(2) {
                let second = if first + 1 < MR { first + 1 } else { first };
                let mut pair = to_matrices([acc[first], acc[second]]);
                two_rows(&mut pair, [window[first], window[second]], segments, w, steps);
                [acc[first], acc[second]] = to_rows(pair);
            }
        }
    }

    #[inline(always)]
    unsafe fn paired<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8) {
        // SAFETY: the contract is the same.
        unsafe { Sdot.paired(acc, a, w) }
    }

    #[inline(always)]
    unsafe fn quad<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8) {
        // SAFETY: the contract is the same.
        unsafe { Sdot.quad(acc, a, w) }
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
        unsafe { Sdot.finish::<W, MR>(acc, block, residual, rq, out) }
    }

    #[inline(always)]
    unsafe fn accumulators(self, acc: Self::Acc) -> [i32; LANES] {
        // SAFETY: the contract is the same.
        unsafe { Sdot.accumulators(acc) }
    }
}
