//! Kernels for AArch64.

pub(super) mod dotprod;
pub(super) mod i8mm;
pub(super) mod neon;

use crate::format::Block;
#[cfg(feature = "tract")]
use crate::format::LANES;
use crate::kernels::tile::{Requantize, Walk};
use crate::unroll::each_row;
use core::arch::aarch64::*;

/// The permutation between the lane order of [`WeightLayout::Quad4`](crate::weights::WeightLayout::Quad4) and channel order. It
/// transposes a 4×4 matrix, so it is its own inverse.
const TRANSPOSE: [u8; 16] = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];

/// Requantizes `MR` pixels of 16 lanes each, with SQRDMULH and saturating narrowing moves.
///
/// # Safety
///
/// The CPU has Advanced SIMD. `block` is readable; 16 bytes are writable at each of `out`, and readable at each of `residual`.
#[inline(always)]
unsafe fn finish<W: Walk, const MR: usize>(
    acc: &[[int32x4_t; 4]; MR],
    block: *const Block,
    residual: Option<&[*const i8; MR]>,
    rq: &Requantize,
    out: &[*mut i8; MR],
) {
    // SAFETY: the contract above.
    unsafe {
        let mut acc = *acc;
        let order = vld1q_u8(TRANSPOSE.as_ptr());
        if let Some(residual) = residual {
            let factor: *const i16 = (&raw const (*block).residual).cast();
            let factor = [vld1q_s16(factor), vld1q_s16(factor.add(8))];
            each_row!(MR, r => {
                let mut bytes = vld1q_s8(residual[r]);
                if W::TRANSPOSE {
                    bytes = vqtbl1q_s8(bytes, order);
                }
                let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
                acc[r][0] = vmlal_s16(acc[r][0], vget_low_s16(low), vget_low_s16(factor[0]));
                acc[r][1] = vmlal_high_s16(acc[r][1], low, factor[0]);
                acc[r][2] = vmlal_s16(acc[r][2], vget_low_s16(high), vget_low_s16(factor[1]));
                acc[r][3] = vmlal_high_s16(acc[r][3], high, factor[1]);
            });
        }
        let multiplier: *const i32 = (&raw const (*block).multiplier).cast();
        let multiplier = [
            vld1q_s32(multiplier),
            vld1q_s32(multiplier.add(4)),
            vld1q_s32(multiplier.add(8)),
            vld1q_s32(multiplier.add(12)),
        ];
        let mut bytes = [vdupq_n_s8(0); MR];
        each_row!(MR, r => {
            let a = vqrdmulhq_s32(acc[r][0], multiplier[0]);
            let b = vqrdmulhq_s32(acc[r][1], multiplier[1]);
            let c = vqrdmulhq_s32(acc[r][2], multiplier[2]);
            let d = vqrdmulhq_s32(acc[r][3], multiplier[3]);
            let low = vqmovn_high_s32(vqmovn_s32(a), b);
            let high = vqmovn_high_s32(vqmovn_s32(c), d);
            bytes[r] = vqmovn_high_s16(vqmovn_s16(low), high);
        });
        if rq.clamps {
            let (min, max) = (vdupq_n_s8(rq.min), vdupq_n_s8(rq.max));
            each_row!(MR, r => { bytes[r] = vminq_s8(vmaxq_s8(bytes[r], min), max); });
        }
        each_row!(MR, r => {
            if W::TRANSPOSE {
                bytes[r] = vqtbl1q_s8(bytes[r], order);
            }
            vst1q_s8(out[r], bytes[r]);
        });
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
        finish::<super::tile::Broadcast<true>, 1>(&[acc], block, Some(&[residual]), rq, &[out]);
    }
}
