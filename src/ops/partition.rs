//! Partitions the output of a step into runs of pixels or blocks of channels, the parts that workers run.

use crate::kernels::{ConvTask, OutputChunk};
use crate::tensor::Tensor;
use crate::workers::{PARTS_PER_WORKER, Workers, split};
use core::marker::PhantomData;
use core::ops::Range;

/// Parts are multiples of this many pixels, a common multiple of the heights of tiles.
const GRAIN: usize = 12;

/// Parts are multiples of this many blocks of channels if there are enough, so that a cache line has one writer.
const LINE: usize = 4;

/// How the output of a convolution is partitioned.
#[derive(Clone, Copy)]
pub(super) struct Partition {
    /// Number of parts along the pixels, and the number of pixels that each is a multiple of.
    pixels: (usize, usize),
    /// Number of parts along the blocks of channels, and the number of blocks that each is a multiple of.
    blocks: (usize, usize),
}

impl Partition {
    /// Returns the partition that keeps `workers` busy and lets them read the least. Each part reads all weights if pixels
    /// are divided, and all inputs if channels are.
    pub(super) fn new(task: &ConvTask<'_>, workers: usize) -> Self {
        let blocks = task.conv.blocks.len();
        let inputs = task.input.extent() + task.conv.shortcut.map_or(0, |shortcut| shortcut.input.extent());
        if workers == 1 || task.conv.weights.len() <= inputs || blocks < workers {
            return Self::of_pixels(task, workers, usize::MAX);
        }
        let unit = if blocks >= LINE * workers { LINE } else { 1 };
        Self { pixels: (1, GRAIN), blocks: (parts(blocks.div_ceil(unit), workers), unit) }
    }

    /// Returns a partition into at most `most` runs of pixels with all their channels.
    pub(super) fn of_pixels(task: &ConvTask<'_>, workers: usize, most: usize) -> Self {
        let (conv, output) = (task.conv, &task.conv.output);
        // Where windows overlap, kernels go along rows of the image.
        let unit = if conv.window.kernel > 1 { output.width } else { GRAIN };
        Self { pixels: (parts(output.pixels().div_ceil(unit), workers).min(most), unit), blocks: (1, 1) }
    }
}

/// Returns into how many parts to divide `units` of work: several for each worker, as equal as possible.
fn parts(units: usize, workers: usize) -> usize {
    if workers == 1 {
        return 1;
    }
    let even = |each: &usize| units.is_multiple_of(each * workers) || units >= 32 * each * workers;
    let each = (1..=PARTS_PER_WORKER).rev().find(even).unwrap_or(PARTS_PER_WORKER);
    units.min(each * workers)
}

/// Divides the output of `task`, whose bytes are `output`, and runs the chunks. Fills the halo first.
pub(super) fn in_chunks(
    task: &ConvTask<'_>,
    output: &mut [i8],
    workers: &dyn Workers,
    partition: Partition,
    run: &(dyn Fn(usize, &mut OutputChunk<'_>) + Sync),
) {
    let tensor = &task.conv.output;
    tensor.fill_halo(output);
    let shared = Shared::new(output);
    let (pixel_parts, block_parts) = (partition.pixels.0, partition.blocks.0);
    workers.run(pixel_parts * block_parts, &|part| {
        let pixels = split(tensor.pixels(), pixel_parts, partition.pixels.1, part / block_parts);
        let blocks = split(task.conv.blocks.len(), block_parts, partition.blocks.1, part % block_parts);
        if pixels.is_empty() || blocks.is_empty() {
            return;
        }
        // SAFETY: `split` gives disjoint pixels or else disjoint blocks, so no two chunks share a channel of a pixel;
        // each part runs once, by the contract of `Workers`.
        let mut chunk = unsafe { OutputChunk::new(shared.whole(), pixels, blocks) };
        run(part, &mut chunk);
    });
}

/// Divides the pixels of `tensor`, whose bytes are `output`, and runs each part with its bytes, from its first pixel on.
/// Fills the halo first.
pub(super) fn in_parts(
    tensor: &Tensor,
    output: &mut [i8],
    workers: &dyn Workers,
    run: &(dyn Fn(Range<usize>, &mut [i8]) + Sync),
) {
    tensor.fill_halo(output);
    let parts = parts(tensor.pixels().div_ceil(GRAIN), workers.count());
    let shared = Shared::new(output);
    workers.run(parts, &|part| {
        let pixels = split(tensor.pixels(), parts, GRAIN, part);
        if pixels.is_empty() {
            return;
        }
        let start = tensor.pixel_offset(pixels.start);
        let end = tensor.pixel_offset(pixels.end - 1) + tensor.channels;
        // SAFETY: `split` gives disjoint runs of pixels and offsets grow with the pixel, so no two parts'
        // ranges overlap; each part runs once, by the contract of `Workers`.
        run(pixels, unsafe { shared.slice(start, end) });
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

    /// Returns all elements, for parts that divide them among themselves.
    pub(super) fn whole(&self) -> *mut [T] {
        core::ptr::slice_from_raw_parts_mut(self.start, self.len)
    }

    /// Returns the elements `start..end`.
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
