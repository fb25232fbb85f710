//! The passes on Advanced SIMD, which every armv8-a core has.

use super::vector::{self, Vector};
use crate::isa::Neon;
use crate::preprocess::frame::Row;
use crate::preprocess::resample::{Rows, Table};
use crate::preprocess::{Interpolation, opencv, pillow};
use core::arch::aarch64::*;
use zerocopy::native_endian::I32;

// Apart from their caller, so that registers go to the inner loops.
#[inline(never)]
pub(super) fn unpack(token: Neon, row: Row<'_>, out: &mut [u8]) {
    vector::unpack(Q(token), row, out);
}

#[inline(never)]
pub(super) fn across(
    token: Neon,
    interpolation: Interpolation,
    lines: &[u8],
    table: &Table<'_>,
    out: &mut [u8],
) {
    vector::across(Q(token), interpolation, lines, table, out);
}

#[inline(never)]
pub(super) fn down(
    token: Neon,
    interpolation: Interpolation,
    rows: &Rows<'_>,
    weights: &[I32],
    out: &mut [u8],
) {
    vector::down(Q(token), interpolation, rows, weights, out);
}

/// Q registers.
#[derive(Clone, Copy)]
struct Q(Neon);

/// Runs intrinsics.
macro_rules! neon {
    ($body:expr) => {{
        // SAFETY: the receiver's token proves that the CPU has Advanced SIMD; references are as long as what is loaded
        // or stored through them, byte by byte, so that there is nothing to align.
        #[allow(clippy::macro_metavars_in_unsafe, reason = "only the methods below use this")]
        unsafe {
            $body
        }
    }};
}

impl Vector for Q {
    type Bytes = uint8x16_t;
    type Words = int16x8_t;
    type Ints = int32x4_t;

    #[inline(always)]
    fn load(self, bytes: &[u8; 16]) -> uint8x16_t {
        neon!(vld1q_u8(bytes.as_ptr()))
    }

    #[inline(always)]
    fn load_half(self, bytes: &[u8; 8]) -> uint8x16_t {
        neon!(vcombine_u8(vld1_u8(bytes.as_ptr()), vdup_n_u8(0)))
    }

    #[inline(always)]
    fn load_words(self, bytes: &[u8; 16]) -> int16x8_t {
        neon!(vreinterpretq_s16_u8(vld1q_u8(bytes.as_ptr())))
    }

    #[inline(always)]
    fn load_ints(self, ints: &[I32; 4]) -> int32x4_t {
        neon!(vreinterpretq_s32_u8(vld1q_u8(ints.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_two_ints(self, ints: &[I32; 2]) -> int32x4_t {
        neon!(vreinterpretq_s32_u8(vcombine_u8(vld1_u8(ints.as_ptr().cast()), vdup_n_u8(0))))
    }

    #[inline(always)]
    fn store(self, bytes: uint8x16_t, out: &mut [u8; 16]) {
        neon!(vst1q_u8(out.as_mut_ptr(), bytes));
    }

    #[inline(always)]
    fn store_quarter<const PART: i32>(self, bytes: uint8x16_t, out: &mut [u8; 4]) {
        *out = neon!(vgetq_lane_u32::<PART>(vreinterpretq_u32_u8(bytes))).to_ne_bytes();
    }

    #[inline(always)]
    fn store_half_words<const PART: i32>(self, words: int16x8_t, out: &mut [u8; 8]) {
        *out = neon!(vgetq_lane_u64::<PART>(vreinterpretq_u64_s16(words))).to_ne_bytes();
    }

    #[inline(always)]
    fn store_interleaved(self, [a, b, c]: [uint8x16_t; 3], out: &mut [u8; 48]) {
        neon!(vst3q_u8(out.as_mut_ptr(), uint8x16x3_t(a, b, c)));
    }

    #[inline(always)]
    fn splat_words(self, value: i16) -> int16x8_t {
        neon!(vdupq_n_s16(value))
    }

    #[inline(always)]
    fn splat_ints(self, value: i32) -> int32x4_t {
        neon!(vdupq_n_s32(value))
    }

    #[inline(always)]
    fn lookup(self, bytes: uint8x16_t, table: uint8x16_t) -> uint8x16_t {
        neon!(vqtbl1q_u8(bytes, table))
    }

    #[inline(always)]
    fn spread(self, bytes: uint8x16_t, table: uint8x16_t) -> int32x4_t {
        neon!(vreinterpretq_s32_u8(vqtbl1q_u8(bytes, table)))
    }

    #[inline(always)]
    fn widen(self, bytes: uint8x16_t) -> [int16x8_t; 2] {
        neon!([
            vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes))),
            vreinterpretq_s16_u16(vmovl_high_u8(bytes)),
        ])
    }

    #[inline(always)]
    fn even_bytes(self, [a, b]: [int16x8_t; 2]) -> [int16x8_t; 2] {
        neon!([vandq_s16(a, vdupq_n_s16(0xff)), vandq_s16(b, vdupq_n_s16(0xff))])
    }

    #[inline(always)]
    fn odd_bytes(self, [a, b]: [int16x8_t; 2]) -> uint8x16_t {
        neon!(vuzp2q_u8(vreinterpretq_u8_s16(a), vreinterpretq_u8_s16(b)))
    }

    #[inline(always)]
    fn split_high(self, pairs: uint8x16_t) -> [int16x8_t; 2] {
        neon!({
            let pairs = vreinterpretq_s16_u8(pairs);
            [vshlq_n_s16::<8>(pairs), vbicq_s16(pairs, vdupq_n_s16(0xff))]
        })
    }

    #[inline(always)]
    fn widen_high(self, bytes: &[u8; 8]) -> int16x8_t {
        neon!(vreinterpretq_s16_u16(vshll_n_u8::<8>(vld1_u8(bytes.as_ptr()))))
    }

    #[inline(always)]
    fn double(self, words: int16x8_t) -> [int16x8_t; 2] {
        neon!([vzip1q_s16(words, words), vzip2q_s16(words, words)])
    }

    #[inline(always)]
    fn xor(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        neon!(veorq_s16(a, b))
    }

    #[inline(always)]
    fn sub(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        neon!(vsubq_s16(a, b))
    }

    #[inline(always)]
    fn add(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        neon!(vqaddq_s16(a, b))
    }

    #[inline(always)]
    fn shl7(self, words: int16x8_t) -> int16x8_t {
        neon!(vshlq_n_s16::<7>(words))
    }

    #[inline(always)]
    fn multiply_round(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        neon!(vqrdmulhq_s16(a, b))
    }

    #[inline(always)]
    fn multiply_high(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SQDMULH gives ⌊2ab / 2¹⁶⌋.
        neon!(vshrq_n_s16::<1>(vqdmulhq_s16(a, b)))
    }

    #[inline(always)]
    fn narrow<const SHIFT: i32>(self, [a, b]: [int16x8_t; 2]) -> uint8x16_t {
        neon!(vqrshrun_high_n_s16::<SHIFT>(vqrshrun_n_s16::<SHIFT>(a), b))
    }

    #[inline(always)]
    fn multiply_add<const LANE: i32>(self, sum: int32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        neon!(vmlaq_laneq_s32::<LANE>(sum, a, b))
    }

    #[inline(always)]
    fn to_bytes(self, [a, b, c, d]: [int32x4_t; 4]) -> uint8x16_t {
        // Two shifts, which saturate at 0 and at 255.
        const REST: i32 = pillow::FRACTION as i32 - 16;
        neon!({
            let ab = vqshrun_high_n_s32::<16>(vqshrun_n_s32::<16>(a), b);
            let cd = vqshrun_high_n_s32::<16>(vqshrun_n_s32::<16>(c), d);
            vqshrn_high_n_u16::<REST>(vqshrn_n_u16::<REST>(ab), cd)
        })
    }

    #[inline(always)]
    fn to_samples(self, [a, b]: [int32x4_t; 2]) -> int16x8_t {
        const SHIFT: i32 = opencv::ACROSS_SHIFT as i32;
        neon!(vshrn_high_n_s32::<SHIFT>(vshrn_n_s32::<SHIFT>(a), b))
    }
}
