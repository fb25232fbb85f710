//! Runs of output pixels as the parts of a step.

use crate::kernels::OutputChunk;
use crate::tensor::Tensor;
use crate::workers::{PARTS_PER_WORKER, Workers, split};
use core::marker::PhantomData;

/// Pixels a part is a multiple of: a common multiple of the tile heights.
const GRAIN: usize = 12;

/// Splits the pixels of `tensor`, whose bytes are `output`, into at most `most` parts and gives each its piece. Fills
/// the border first.
pub(super) fn in_parts(
    tensor: &Tensor,
    output: &mut [i8],
    workers: &dyn Workers,
    most: usize,
    run: &(dyn Fn(usize, &mut OutputChunk<'_>) + Sync),
) {
    tensor.fill_halo(output);
    let parts = match workers.count() {
        1 => 1,
        n => tensor.pixels().div_ceil(GRAIN).min(n * PARTS_PER_WORKER).min(most),
    };
    let shared = Shared::new(output);
    workers.run(parts, &|part| {
        let pixels = split(tensor.pixels(), parts, GRAIN, part);
        if pixels.is_empty() {
            return;
        }
        let base = tensor.pixel_offset(pixels.start);
        let end = tensor.pixel_offset(pixels.end - 1) + tensor.channels;
        // SAFETY: `split` gives disjoint runs of pixels and offsets grow with the pixel, so no two parts'
        // ranges overlap; each part runs once, by the contract of `Workers`.
        let data = unsafe { shared.slice(base, end) };
        run(part, &mut OutputChunk { pixels, data, base });
    });
}

/// A mutable slice that parts take disjoint pieces of.
pub(super) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: `slice` gives out disjoint pieces, so sharing this is sharing nothing.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(super) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// The elements `start..end`.
    ///
    /// # Safety
    ///
    /// No two live slices overlap.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's contract")]
    pub(super) unsafe fn slice(&self, start: usize, end: usize) -> &mut [T] {
        assert!(start <= end && end <= self.len);
        // SAFETY: in bounds; disjoint by the caller's contract.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(start), end - start) }
    }
}
