//! AVX-VNNI, where the 16 lanes are two YMM registers.

use super::Sixteen;
use crate::format::Block;
use crate::kernels::tile::{Lanes, Requantize, Walk};
use crate::kernels::x86_64::avx2::Ymm;
use core::arch::x86_64::*;

/// The 16 lanes of a block in two YMM registers of eight.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Pair([__m256i; 2]);

// SAFETY: two YMM are 64 bytes; each method loads and stores as many bytes as it documents.
unsafe impl Sixteen for Pair {
    const ROWS: usize = 6;

    #[inline(always)]
    unsafe fn load(bytes: *const i8) -> Self {
        // SAFETY: the contract of the trait, here and below.
        unsafe { Self([_mm256_loadu_si256(bytes.cast()), _mm256_loadu_si256(bytes.add(32).cast())]) }
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        // SAFETY: as above.
        unsafe { Self([_mm256_set1_epi32(value); 2]) }
    }

    #[inline(always)]
    unsafe fn repeat(bytes: *const i8) -> Self {
        // SAFETY: as above.
        unsafe { Self([_mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.cast())); 2]) }
    }

    #[inline(always)]
    unsafe fn split_flipped(bytes: *const i8) -> [Self; 2] {
        // SAFETY: as above.
        unsafe {
            let at = |i| _mm256_set1_epi32(bytes.add(i).cast::<i32>().read_unaligned());
            [Self([at(0), at(8)]).flip(), Self([at(4), at(12)]).flip()]
        }
    }

    #[inline(always)]
    unsafe fn sum(bytes: *const i8, segments: &[usize], len: usize) -> i32 {
        let mut sum = 0;
        for &segment in segments {
            // SAFETY: as above.
            let bytes = unsafe { core::slice::from_raw_parts(bytes.add(segment), len) };
            // Simple enough for the compiler to vectorise.
            sum += bytes.iter().map(|&byte| i32::from(byte)).sum::<i32>();
        }
        sum
    }

    #[inline(always)]
    unsafe fn flip(self) -> Self {
        let Self([low, high]) = self;
        // SAFETY: as above.
        unsafe {
            let sign = _mm256_set1_epi8(i8::MIN);
            Self([_mm256_xor_si256(low, sign), _mm256_xor_si256(high, sign)])
        }
    }

    #[inline(always)]
    unsafe fn dot(self, unsigned: Self, signed: Self) -> Self {
        let (Self(acc), Self(u), Self(s)) = (self, unsigned, signed);
        // SAFETY: as above.
        unsafe {
            Self([_mm256_dpbusd_avx_epi32(acc[0], u[0], s[0]), _mm256_dpbusd_avx_epi32(acc[1], u[1], s[1])])
        }
    }

    #[inline(always)]
    unsafe fn less(self, other: Self) -> Self {
        let (Self(a), Self(b)) = (self, other);
        // SAFETY: as above.
        unsafe { Self([_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])]) }
    }

    #[inline(always)]
    unsafe fn times_128(self) -> Self {
        let Self([low, high]) = self;
        // SAFETY: as above.
        unsafe { Self([_mm256_slli_epi32::<7>(low), _mm256_slli_epi32::<7>(high)]) }
    }

    #[inline(always)]
    unsafe fn finish<W: Walk, const MR: usize>(
        acc: &[Self; MR],
        block: *const Block,
        residual: Option<&[*const i8; MR]>,
        rq: &Requantize,
        out: &[*mut i8; MR],
    ) {
        // SAFETY: as above. A `Pair` is the two registers that it holds.
        unsafe { Ymm.finish::<W, MR>(&*(&raw const *acc).cast(), block, residual, rq, out) }
    }
}
