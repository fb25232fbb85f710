//! Kernels for AArch64.

pub(super) mod dotprod;
pub(super) mod neon;

use crate::format::Block;
#[cfg(feature = "tract")]
use crate::format::LANES;
use crate::kernels::tile::Requantize;
use core::arch::aarch64::*;

/// Lane order of [`Layout::Quad4`](crate::pack::Layout::Quad4) to channel order and back: transposes 4×4.
const TRANSPOSE: [u8; 16] = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];

/// Requantizes four vectors of four lanes and writes 16 bytes: SQDMULH, SRSHL, saturating narrows.
///
/// # Safety
///
/// Advanced SIMD; a whole block; 16 writable bytes at `out`; 16 readable ones at `residual` unless null.
#[inline(always)]
unsafe fn finish(
    mut acc: [int32x4_t; 4],
    block: *const Block,
    residual: *const i8,
    rq: &Requantize,
    out: *mut i8,
) {
    // SAFETY: the contract above.
    unsafe {
        if !residual.is_null() {
            let factor: *const i32 = (&raw const (*block).residual).cast();
            let mut bytes = vld1q_s8(residual);
            if rq.transpose {
                bytes = vqtbl1q_s8(bytes, vld1q_u8(TRANSPOSE.as_ptr()));
            }
            let words = [vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)];
            for (i, acc) in acc.iter_mut().enumerate() {
                let words = words[i / 2];
                let wide = if i % 2 == 0 {
                    vmovl_s16(vget_low_s16(words))
                } else {
                    vmovl_high_s16(words)
                };
                *acc = vmlaq_s32(*acc, wide, vld1q_s32(factor.add(4 * i)));
            }
        }
        let multiplier: *const i32 = (&raw const (*block).multiplier).cast();
        let shift = vdupq_n_s32(-(rq.shift as i32));
        let mut scaled = acc;
        for (i, lane) in scaled.iter_mut().enumerate() {
            *lane = vrshlq_s32(vqdmulhq_s32(*lane, vld1q_s32(multiplier.add(4 * i))), shift);
        }
        let zero_point = vdupq_n_s16(i16::from(rq.zero_point));
        let low = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(scaled[0]), scaled[1]), zero_point);
        let high = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(scaled[2]), scaled[3]), zero_point);
        let bytes = vqmovn_high_s16(vqmovn_s16(low), high);
        let mut bytes = vminq_s8(vmaxq_s8(bytes, vdupq_n_s8(rq.min)), vdupq_n_s8(rq.max));
        if rq.transpose {
            bytes = vqtbl1q_s8(bytes, vld1q_u8(TRANSPOSE.as_ptr()));
        }
        vst1q_s8(out, bytes);
    }
}

/// Adds the block's initial values to 16 accumulators, requantizes and writes them.
///
/// # Safety
///
/// As for [`finish`]; `residual` is not null.
#[cfg(feature = "tract")]
pub(super) unsafe fn requantize(
    acc: &[i32; LANES],
    block: &Block,
    residual: *const i8,
    rq: &Requantize,
    out: *mut i8,
) {
    let bias: *const i32 = block.bias.as_ptr().cast();
    // SAFETY: the contract above; 16 accumulators and 16 initial values.
    unsafe {
        let acc = core::array::from_fn(|i| {
            vaddq_s32(vld1q_s32(acc.as_ptr().add(4 * i)), vld1q_s32(bias.add(4 * i)))
        });
        finish(acc, block, residual, rq, out);
    }
}
