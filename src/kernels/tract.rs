//! GEMM-shaped layers on tract-linalg's int8 → int32 kernels.
//!
//! tract's kernels multiply packed panels into an int32 tile; requantization is ours, so results equal the
//! other kernels' to the bit. The kernels are called directly, by name, with our own packed memory: tract's
//! own entry points allocate, and its automatic choice prefers an SVE2 kernel without dot products.
//! Weights are repacked once, when a [`TractGemm`] is made; an inference allocates nothing.
//!
//! A peer to measure against rather than a choice to make: an inference takes 1.6 (A76) to 2.7 (A53) times the
//! modelled cycles of this crate's own kernels, whose loops leave no layer for tract's to win
//! (`benches/record/arm-modelled.md`).

#[cfg(target_arch = "aarch64")]
use super::aarch64::requantize;
use super::tile::Requantize;
#[cfg(target_arch = "x86_64")]
use super::x86_64::avx2::requantize;
use super::{ConvTask, OutputChunk, Residual};
use crate::format::{Block, K_GROUP, LANES};
use crate::model::Model;
use crate::program::{Conv, Op};
use crate::weights::{Packing, UNIT, WeightLayout};
use crate::workers::PARTS_PER_WORKER;
use core::cell::UnsafeCell;
use std::vec;
use std::vec::Vec;
use tract_linalg::mmm::{FusedKerSpec, MatMatMulKer, OutputStoreKer};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The rows (output channels) and the columns (pixels) of a tile, in all kernels that are used here.
const TILE: usize = 8;

/// The number of bytes in one k-group of a panel.
const PANEL_UNIT: usize = TILE * K_GROUP;

/// One of tract's kernels.
#[derive(Clone, Copy)]
struct Kernel {
    name: &'static str,
    call: fn(&[FusedKerSpec<i32>]) -> isize,
    /// Whether panels interleave four consecutive k (`PackedI8K4`); otherwise k is outermost (`PackedFormat`).
    interleaved: bool,
}

#[cfg(target_arch = "aarch64")]
fn kernel() -> Option<Kernel> {
    use tract_linalg::arm64::{arm64simd_mmm_i32_8x8, arm64simd_mmm_i32_8x8_dot};
    Some(match crate::isa::DotProd::detect() {
        Some(_) => Kernel {
            name: "tract-arm64simd_mmm_i32_8x8_dot",
            call: |ops| arm64simd_mmm_i32_8x8_dot.kernel(ops),
            interleaved: true,
        },
        None => Kernel {
            name: "tract-arm64simd_mmm_i32_8x8",
            call: |ops| arm64simd_mmm_i32_8x8.kernel(ops),
            interleaved: false,
        },
    })
}

#[cfg(target_arch = "x86_64")]
fn kernel() -> Option<Kernel> {
    use tract_linalg::x86_64::mmm::avx2_mmm_i32_8x8;
    crate::isa::Avx2::detect().map(|_| Kernel {
        name: "tract-avx2_mmm_i32_8x8",
        call: |ops| avx2_mmm_i32_8x8.kernel(ops),
        interleaved: false,
    })
}

/// The GEMM-shaped layers of one model, packed for the kernels of tract-linalg.
///
/// This is a peer to measure the kernels of this crate against. It gives the same logits to the bit, takes memory for a
/// second copy of the weights, and is slower on every CPU that was measured. Making one allocates; an inference on it
/// does not.
///
/// ```no_run
/// use resnext::{Model, Runner, TractGemm};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let artifact = std::fs::read("model.rnx")?;
/// let model = Model::from_bytes(&artifact)?;
/// let mut gemm = TractGemm::new(&model, 1).ok_or("tract-linalg has no kernel for this CPU")?;
/// let mut arena = vec![0; model.arena_len()];
/// let mut runner = Runner::new(&model, &mut arena)?.with_tract(&mut gemm);
/// # Ok(())
/// # }
/// ```
pub struct TractGemm {
    kernel: Kernel,
    layers: Vec<Option<Layer>>,
    scratch: Vec<Scratch>,
}

/// The weights of one layer: two panels of 8 channels for each block of 16.
struct Layer {
    panels: Vec<Line>,
    /// The number of lines in one panel.
    panel_lines: usize,
    /// The number of input bytes that are summed, with the padding of the segments.
    k: usize,
}

/// A line of a panel, aligned because tract's kernels use aligned loads.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// The accumulators of 8 pixels × 16 channels.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Accumulators([[i32; LANES]; TILE]);

/// The memory of one part of a step: a panel of packed pixels and the accumulators.
struct Scratch(UnsafeCell<(Vec<Line>, Accumulators)>);

// SAFETY: part `i` of a step uses scratch `i` and nothing else does; a runner runs one step at a time, and it
// borrows the whole `TractGemm` exclusively, so no other runner shares it.
unsafe impl Sync for Scratch {}

impl TractGemm {
    /// Packs the GEMM-shaped layers of `model`, to be run by up to `workers` threads.
    ///
    /// Returns `None` if tract-linalg has no int8 kernel for this CPU, or the model is not in [`Packing::K4`].
    pub fn new(model: &Model<'_>, workers: usize) -> Option<Self> {
        if model.packing() != Packing::K4 {
            return None;
        }
        let kernel = kernel()?;
        let layers: Vec<_> = model
            .steps()
            .map(|step| match step.op {
                Op::Conv(conv) if conv.shape.layout() == WeightLayout::Dense => {
                    Some(Layer::new(kernel, &conv))
                }
                _ => None,
            })
            .collect();
        let longest = layers.iter().flatten().map(|layer| layer.panel_lines).max().unwrap_or(0);
        let scratch = || (vec![Line([0; 64]); longest], Accumulators([[0; LANES]; TILE]));
        let scratch =
            (0..workers.max(1) * PARTS_PER_WORKER).map(|_| Scratch(UnsafeCell::new(scratch()))).collect();
        Some(Self { kernel, layers, scratch })
    }

    /// Returns the name of the kernel that runs step `index`, or `None` if it is not one of tract's.
    pub fn kernel_name(&self, index: usize) -> Option<&'static str> {
        self.layers.get(index)?.as_ref().map(|_| self.kernel.name)
    }

    /// Returns how many parts may run at once, or `None` if step `index` is not one of tract's.
    pub(crate) fn parts(&self, index: usize) -> Option<usize> {
        self.layers.get(index)?.as_ref().map(|_| self.scratch.len())
    }

    /// Runs the pixels of `out` of step `index`, for which [`Self::parts`] is not `None`.
    ///
    /// # Safety
    ///
    /// No other call with the same `part` is under way.
    pub(crate) unsafe fn conv(
        &self,
        index: usize,
        part: usize,
        task: &ConvTask<'_>,
        out: &mut OutputChunk<'_>,
    ) {
        let Some(layer) = &self.layers[index] else { return };
        task.check(out);
        let conv = task.conv;
        assert!(layer.panels.len() == 2 * conv.shape.blocks() * layer.panel_lines);
        // SAFETY: this part's scratch is ours alone, by the contract.
        let (pixels, tile) = unsafe { &mut *self.scratch[part].0.get() };
        let rq = Requantize::new(conv);
        let mut first = out.pixels.start;
        while first < out.pixels.end {
            let count = TILE.min(out.pixels.end - first);
            self.pack_pixels(task, first, count, pixels);
            let blocks = conv.blocks.iter().enumerate().skip(out.blocks.start).take(out.blocks.len());
            for (index, block) in blocks {
                for half in 0..2 {
                    let panel = layer.panels[(2 * index + half) * layer.panel_lines..].as_ptr();
                    self.multiply(layer.k, panel, pixels, tile, half);
                }
                for (column, acc) in tile.0.iter().enumerate().take(count) {
                    finish(task, out, (index, block), first + column, acc, &rq);
                }
            }
            first += count;
        }
    }

    /// Packs the windows of pixels `first..first + count` as columns; the other columns keep what they had.
    fn pack_pixels(&self, task: &ConvTask<'_>, first: usize, count: usize, panel: &mut [Line]) {
        let (shape, output) = (&task.conv.shape, &task.conv.output);
        let panel = panel.as_mut_bytes();
        for column in 0..count {
            let pixel = first + column;
            let window = task.window_offset(pixel / output.width, pixel % output.width);
            let mut pack = |input: &[i8], from: usize| {
                let panel = &mut panel[from * PANEL_UNIT..];
                for (group, unit) in input.chunks_exact(K_GROUP).zip(panel.chunks_exact_mut(PANEL_UNIT)) {
                    self.kernel.pack_group(group, column, unit);
                }
            };
            for segment in 0..shape.segments() {
                let start = window + task.segment_offset(segment);
                let input = &task.input_data[start..start + shape.k_groups() * K_GROUP];
                pack(input, segment * shape.k_groups());
            }
            if let Some(shortcut) = task.conv.shortcut {
                let start = shortcut.offset(pixel / output.width, pixel % output.width);
                let input = &task.shortcut_data[start..start + shape.shortcut_k_groups() * K_GROUP];
                pack(input, shape.segments() * shape.k_groups());
            }
        }
    }

    /// Computes the accumulators of 8 channels × 8 pixels, half of the tile.
    fn multiply(
        &self,
        k: usize,
        weights: *const Line,
        pixels: &[Line],
        tile: &mut Accumulators,
        half: usize,
    ) {
        assert!(k * TILE <= size_of_val(pixels));
        let row = size_of::<i32>() as isize;
        let store = OutputStoreKer {
            ptr: (&raw mut tile.0[0][half * TILE]).cast(),
            row_byte_stride: row,
            col_byte_stride: row * LANES as isize,
            item_size: size_of::<i32>(),
        };
        (self.kernel.call)(&[
            FusedKerSpec::Clear,
            FusedKerSpec::AddMatMul { k, pa: weights.cast(), pb: pixels.as_ptr().cast(), packing: 1 },
            FusedKerSpec::Store(store),
            FusedKerSpec::Done,
        ]);
    }
}

impl Kernel {
    /// Puts 4 consecutive k of row or column `index` into a panel's unit.
    fn pack_group(self, group: &[i8], index: usize, unit: &mut [u8]) {
        for (k, &value) in group.iter().enumerate() {
            let place = if self.interleaved { index * K_GROUP + k } else { k * TILE + index };
            unit[place] = value as u8;
        }
    }
}

impl Layer {
    fn new(kernel: Kernel, conv: &Conv<'_>) -> Self {
        let units = conv.shape.block_len() / UNIT;
        // One unit more than the data: tract's loops load ahead.
        let panel_lines = ((units + 1) * PANEL_UNIT).div_ceil(size_of::<Line>());
        let mut panels = vec![Line([0; 64]); 2 * conv.shape.blocks() * panel_lines];
        let halves = panels.as_mut_slice().as_mut_bytes().chunks_exact_mut(panel_lines * size_of::<Line>());
        for (index, panel) in halves.enumerate() {
            let block = &conv.weights[index / 2 * conv.shape.block_len()..][..conv.shape.block_len()];
            for (unit, panel) in block.chunks_exact(UNIT).zip(panel.chunks_exact_mut(PANEL_UNIT)) {
                let half = &unit[index % 2 * PANEL_UNIT..][..PANEL_UNIT];
                for (row, group) in half.chunks_exact(K_GROUP).enumerate() {
                    kernel.pack_group(group, row, panel);
                }
            }
        }
        Self { panels, panel_lines, k: units * K_GROUP }
    }
}

/// Requantizes one block of one pixel into the output chunk.
fn finish(
    task: &ConvTask<'_>,
    out: &mut OutputChunk<'_>,
    (index, block): (usize, &Block),
    pixel: usize,
    acc: &[i32; LANES],
    rq: &Requantize,
) {
    let channels = task.block_channels(index);
    let bytes = out.channels(task, pixel, index);
    let (mut addend, mut result) = ([0; LANES], [0; LANES]);
    match task.residual {
        Residual::None => {}
        Residual::InPlace => addend[..channels.count].copy_from_slice(bytes),
        Residual::From(tensor, data) => {
            let start = tensor.pixel_offset(pixel) + channels.output;
            addend[..channels.count].copy_from_slice(&data[start..start + channels.count]);
        }
    }
    // SAFETY: the arrays have 16 elements; the kernel's existence proves the instruction set.
    unsafe { requantize(acc, block, addend.as_ptr(), rq, result.as_mut_ptr()) };
    bytes.copy_from_slice(&result[..channels.count]);
}
