//! Arrays of four floats, which the compiler turns into what the target has.

use super::{Group, Simd};

#[derive(Clone, Copy)]
struct Portable;

// SAFETY: a vector is four floats.
unsafe impl Simd for Portable {
    type Vector = [f32; 4];
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(self, value: f32) -> [f32; 4] {
        [value; 4]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller's contract: four floats are readable.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn add_product(self, sum: [f32; 4], a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        // Not fused, since without an instruction for it that is a slow function.
        core::array::from_fn(|i| sum[i] + a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn store(self, vector: [f32; 4], to: *mut f32) {
        // SAFETY: the caller's contract: four floats are writable.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(vector) }
    }
}

pub(super) fn compute(group: &Group<'_>, channels: usize, output: &mut [f32]) {
    // SAFETY: `Group::compute` has checked the group, six vectors are a tile, and every CPU runs this.
    unsafe { super::compute::<_, 6>(Portable, group, channels, output) }
}
