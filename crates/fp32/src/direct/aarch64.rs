//! Advanced SIMD of armv8-a, which every aarch64 CPU with an operating system has.

use super::{Group, Simd};
use core::arch::aarch64::*;

#[derive(Clone, Copy)]
struct Neon;

// SAFETY: a vector is four floats.
unsafe impl Simd for Neon {
    type Vector = float32x4_t;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(self, value: f32) -> float32x4_t {
        // SAFETY: the caller's contract.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller's contract: four floats are readable.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn add_product(self, sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the caller's contract.
        unsafe { vfmaq_f32(sum, a, b) }
    }

    #[inline(always)]
    unsafe fn store(self, vector: float32x4_t, to: *mut f32) {
        // SAFETY: the caller's contract: four floats are writable.
        unsafe { vst1q_f32(to, vector) }
    }
}

pub(super) fn compute(group: &Group<'_>, channels: usize, output: &mut [f32]) {
    // SAFETY: `Group::compute` has checked the group, six vectors are a tile, and the target has Advanced SIMD.
    unsafe { super::compute::<_, 6>(Neon, group, channels, output) }
}
