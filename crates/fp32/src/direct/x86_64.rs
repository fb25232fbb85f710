//! AVX2 with FMA.

use super::{Group, Simd};
use core::arch::x86_64::*;

#[derive(Clone, Copy)]
struct Avx2;

// SAFETY: a vector is eight floats.
unsafe impl Simd for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(self, value: f32) -> __m256 {
        // SAFETY: the caller's contract.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller's contract: eight floats are readable.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn add_product(self, sum: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller's contract.
        unsafe { _mm256_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    unsafe fn store(self, vector: __m256, to: *mut f32) {
        // SAFETY: the caller's contract: eight floats are writable.
        unsafe { _mm256_storeu_ps(to, vector) }
    }
}

/// Computes the group and returns `true`, or returns `false` because the CPU lacks AVX2 or FMA.
pub(super) fn compute(group: &Group<'_>, channels: usize, output: &mut [f32]) -> bool {
    #[target_feature(enable = "avx2,fma")]
    fn with_avx2(group: &Group<'_>, channels: usize, output: &mut [f32]) {
        // SAFETY: `Group::compute` has checked the group, three vectors are a tile, and the features are enabled here.
        unsafe { super::compute::<_, 3>(Avx2, group, channels, output) }
    }
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        return false;
    }
    // SAFETY: the CPU has the features.
    unsafe { with_avx2(group, channels, output) };
    true
}
