//! The loop nest that the vector kernels share.
//!
//! A *tile* is `MR` output pixels × 16 output channels, its accumulators held in registers. The nest is:
//! runs of up to [`MAX_RUN`] pixels (their input stays in the nearest cache) → blocks of 16 channels (their weights
//! are read once per run) → tiles. Offsets name the pixels, so a tile may cross rows of the image, and neither strides nor
//! halos of the output need code of their own.

use super::{ConvTask, LinearTask, OutputChunk, Residual, dequantize};
use crate::format::{Block, LANES, MAX_KERNEL};
use crate::program::Conv;
use crate::weights::{UNIT, WeightLayout};
use core::marker::PhantomData;
use core::ops::Range;

/// The largest number of pixels in a run: half a 14×14 image, and a multiple of 7 because the last feature maps of a network
/// are 7 pixels wide.
const MAX_RUN: usize = 98;

/// Arithmetic on the 16 lanes of a block, one implementation per instruction set.
///
/// # Safety
///
/// The loop nest hands out raw pointers and trusts the implementation with them. An implementation must:
///
/// * read and write no bytes but those that the documentation of a method names;
/// * have at most 14 [`ROWS`](Self::ROWS), and [`RUN`](Self::RUN) pixels that fit [`MAX_RUN`];
/// * implement [`neighbours`](Self::neighbours) and [`spaced`](Self::spaced) if it says that it has them.
///
/// Whoever calls an unsafe method guarantees that those bytes exist and that the CPU has the instruction set. An
/// implementor is built from an [`isa`](crate::isa) token, which proves the latter.
pub(super) unsafe trait Lanes: Copy {
    /// The accumulators of one pixel.
    type Acc: Copy;

    /// The largest number of pixels in a tile, at most 14.
    const ROWS: usize;

    /// The largest number of pixels in a run.
    const RUN: usize = 96;

    /// Whether the tiles of a run are made as equal as possible. A tile with few pixels takes no longer per pixel than one with
    /// many, unless it has so few that it waits for its own sums. Otherwise each tile has as many pixels as possible.
    const EVEN: bool = false;

    /// Whether [`Self::neighbours`] is implemented. Tiles of grouped convolutions are then cut within rows of the image.
    const NEIGHBOURS: bool = false;

    /// Returns whether [`Self::spaced`] is implemented for this layout.
    fn spaces(layout: WeightLayout) -> bool {
        let _ = layout;
        false
    }

    /// The number of k-groups in one iteration of the hot loop.
    const STEP: usize;

    /// Whether [`Self::start`] wants the sum of a pixel's inputs where all blocks share them.
    const INPUT_SUMS: bool = false;

    /// Returns the sum of the `k_groups × 4` bytes at each of `segments` from `window`, in the unit that [`Self::start`]
    /// wants.
    #[inline(always)]
    unsafe fn input_sum(self, window: *const i8, segments: &[usize], k_groups: usize) -> i32 {
        let _ = (window, segments, k_groups);
        0
    }

    /// Returns lanes that prefetch a unit of weights from `weights` on for each unit that they read.
    fn ahead(self, weights: *const i8) -> Self {
        let _ = weights;
        self
    }

    /// Returns accumulators that start with the 16 values at `bias`, corrected for operands that are read as unsigned.
    /// `weight_sum` has the 16 sums of all weights; `input_sum` is the sum of the inputs, if there is one.
    unsafe fn start(self, bias: *const i32, weight_sum: *const i32, input_sum: Option<i32>) -> Self::Acc;

    /// Adds the products of inputs that all lanes share: `k_groups × 4` bytes at each of `segments` from each of `window`, with
    /// `k_groups` units of weights for each segment. With `WHOLE`, `k_groups` is a multiple of [`Self::STEP`].
    unsafe fn broadcast<W: Walk, const MR: usize, const WHOLE: bool>(
        self,
        acc: &mut [Self::Acc; MR],
        window: &[*const i8; MR],
        segments: &[usize],
        w: *const i8,
        k_groups: usize,
    );

    /// Adds one tap of `WeightLayout::Paired8`: 16 bytes from each of `a`, two units of weights.
    unsafe fn paired<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8);

    /// Adds one tap of `WeightLayout::Quad4`: 16 bytes from each of `a`, one unit of weights.
    unsafe fn quad<const MR: usize>(self, acc: &mut [Self::Acc; MR], a: &[*const i8; MR], w: *const i8);

    /// Adds a whole 3×3 window of a grouped convolution for `MR` pixels that are neighbours in a row of the image, so that
    /// they share most of their input: their windows begin `step` bytes apart, from `window` on. A tap is `k_groups` units
    /// of weights.
    unsafe fn neighbours<W: Walk, const MR: usize>(
        self,
        acc: &mut [Self::Acc; MR],
        window: *const i8,
        step: usize,
        segments: &[usize; 9],
        w: *const i8,
        k_groups: usize,
    ) {
        let _ = (acc, window, step, segments, w, k_groups);
        unreachable!("`NEIGHBOURS` is set only by implementations of this method")
    }

    /// Does what [`Self::broadcast`] does, for windows that begin `pitch` bytes apart, from `window` on.
    unsafe fn spaced<W: Walk, const MR: usize>(
        self,
        acc: &mut [Self::Acc; MR],
        window: *const i8,
        pitch: usize,
        segments: &[usize],
        w: *const i8,
        k_groups: usize,
    ) {
        let _ = (acc, window, pitch, segments, w, k_groups);
        unreachable!("`spaces` is true only for implementations of this method")
    }

    /// Requantizes `MR` pixels and writes 16 bytes to each of `out`; adds the 16 bytes at each of `residual`
    /// if there is one.
    unsafe fn finish<W: Walk, const MR: usize>(
        self,
        acc: &[Self::Acc; MR],
        block: *const Block,
        residual: Option<&[*const i8; MR]>,
        rq: &Requantize,
        out: &[*mut i8; MR],
    );

    /// Returns the accumulators in lane order.
    unsafe fn accumulators(self, acc: Self::Acc) -> [i32; LANES];
}

/// How the accumulators of a tile walk over the window. This is a type rather than a value, so that each walk has a
/// loop nest of its own: in a shared one the compiler keeps accumulators in memory.
///
/// # Safety
///
/// [`LAYOUT`](Self::LAYOUT) must be the layout whose segments and units [`accumulate`](Self::accumulate) reads, and
/// `accumulate` must read no input but `k_groups × 4` bytes at each of `segments` from each of `window`, or the 16 bytes
/// of a tap of `Paired8` and `Quad4`, and no weights but the units of those segments.
pub(super) unsafe trait Walk {
    /// The layout that it walks over. Without [`Lanes::INPUT_SUMS`], `PerGroup` also stands for `Dense`.
    const LAYOUT: WeightLayout;

    /// Whether lanes are in the order of `WeightLayout::Quad4`, so that bytes are transposed, 4×4, when read and written.
    const TRANSPOSE: bool = matches!(Self::LAYOUT, WeightLayout::Quad4);

    /// Whether every block reads the whole window and [`Lanes::start`] wants the sum of its inputs.
    const SHARES_INPUT: bool = matches!(Self::LAYOUT, WeightLayout::Dense);

    /// Whether the products of a fused shortcut follow.
    const FUSED: bool = false;

    /// Adds all products of the window to the accumulators of `MR` pixels.
    ///
    /// # Safety
    ///
    /// The whole window at each of `window` and the weights of a whole block are readable.
    unsafe fn accumulate<L: Lanes, const MR: usize>(
        lanes: L,
        acc: &mut [L::Acc; MR],
        window: &[*const i8; MR],
        segments: &[usize],
        weights: *const i8,
        k_groups: usize,
    );
}

/// The walk for `WeightLayout::Dense` and `WeightLayout::PerGroup`, where all lanes read the same bytes. `WHOLE` says that
/// every segment is a number of whole iterations of the hot loop, `SHARED` that all blocks read the same bytes too and
/// [`Lanes::start`] wants their sum, and `FUSED` that a shortcut follows.
pub(super) struct Broadcast<const WHOLE: bool, const SHARED: bool = false, const FUSED: bool = false>;
/// The walk for small groups, tap by tap: `WeightLayout::Quad4`, or else `WeightLayout::Paired8`.
pub(super) struct Grouped<const QUAD: bool>;

// SAFETY: `broadcast` reads `k_groups` groups and units for each segment, which is what both layouts have.
unsafe impl<const WHOLE: bool, const SHARED: bool, const FUSED: bool> Walk
    for Broadcast<WHOLE, SHARED, FUSED>
{
    const LAYOUT: WeightLayout = if SHARED { WeightLayout::Dense } else { WeightLayout::PerGroup };
    const FUSED: bool = FUSED;

    #[inline(always)]
    unsafe fn accumulate<L: Lanes, const MR: usize>(
        lanes: L,
        acc: &mut [L::Acc; MR],
        window: &[*const i8; MR],
        segments: &[usize],
        weights: *const i8,
        k_groups: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe { lanes.broadcast::<Self, MR, WHOLE>(acc, window, segments, weights, k_groups) }
    }
}

// SAFETY: each tap is 16 bytes of input and the `k_groups` units that its layout has.
unsafe impl<const QUAD: bool> Walk for Grouped<QUAD> {
    const LAYOUT: WeightLayout = if QUAD { WeightLayout::Quad4 } else { WeightLayout::Paired8 };

    #[inline(always)]
    unsafe fn accumulate<L: Lanes, const MR: usize>(
        lanes: L,
        acc: &mut [L::Acc; MR],
        window: &[*const i8; MR],
        segments: &[usize],
        weights: *const i8,
        k_groups: usize,
    ) {
        for (s, &segment) in segments.iter().enumerate() {
            // SAFETY: the caller's contract: every segment is in the window and has `k_groups` units of weights.
            unsafe {
                let a = core::array::from_fn(|r| window[r].add(segment));
                let w = weights.add(k_groups * UNIT * s);
                if QUAD { lanes.quad(acc, &a, w) } else { lanes.paired(acc, &a, w) }
            }
        }
    }
}

/// Calls a function of the task's [`Walk`] over `$lanes`.
macro_rules! with_walk {
    ($lanes:ty, $task:expr, $function:ident $arguments:tt) => {{
        use $crate::kernels::tile::{Broadcast, Grouped};
        use $crate::weights::WeightLayout;
        const SUMS: bool = <$lanes>::INPUT_SUMS;
        let shape = &$task.conv.shape;
        let whole = |k_groups: usize| k_groups.is_multiple_of(<$lanes>::STEP);
        match (shape.layout(), whole(shape.k_groups()) && whole(shape.shortcut_k_groups())) {
            (WeightLayout::Dense, true) if shape.shortcut_channels > 0 => {
                $function::<Broadcast<true, SUMS, true>> $arguments
            }
            (WeightLayout::Dense, false) if shape.shortcut_channels > 0 => {
                $function::<Broadcast<false, SUMS, true>> $arguments
            }
            (WeightLayout::Dense, true) => $function::<Broadcast<true, SUMS>> $arguments,
            (WeightLayout::Dense, false) => $function::<Broadcast<false, SUMS>> $arguments,
            (WeightLayout::PerGroup, true) => $function::<Broadcast<true>> $arguments,
            (WeightLayout::PerGroup, false) => $function::<Broadcast<false>> $arguments,
            (WeightLayout::Paired8, _) => $function::<Grouped<false>> $arguments,
            (WeightLayout::Quad4, _) => $function::<Grouped<true>> $arguments,
        }
    }};
}
pub(super) use with_walk;

/// The parameters of requantization that all lanes of a step share.
#[derive(Clone, Copy)]
pub(super) struct Requantize {
    pub(super) min: i8,
    pub(super) max: i8,
    /// Whether `min` and `max` are narrower than the range of int8.
    pub(super) clamps: bool,
}

impl Requantize {
    pub(super) fn new(conv: &Conv<'_>) -> Self {
        Self { min: conv.clamp.0, max: conv.clamp.1, clamps: conv.clamp != (i8::MIN, i8::MAX) }
    }
}

/// The offsets of the pixels of a run: of the window in the input, and of the pixel in the input of the shortcut, in the
/// output and in the residual; and the sums of their inputs if [`Lanes::INPUT_SUMS`].
struct Offsets {
    window: [usize; MAX_RUN],
    shortcut: [usize; MAX_RUN],
    output: [usize; MAX_RUN],
    residual: [usize; MAX_RUN],
    input_sum: [i32; MAX_RUN],
}

/// [`Offsets`] of `MR` pixels in a row.
struct TileOffsets<'a, const MR: usize> {
    window: &'a [usize; MR],
    shortcut: &'a [usize; MR],
    output: &'a [usize; MR],
    residual: &'a [usize; MR],
    input_sum: &'a [i32; MR],
}

impl Offsets {
    /// Returns the offsets of `MR` pixels from `row` of the run on. The run has that many.
    #[inline(always)]
    fn of<const MR: usize>(&self, row: usize) -> TileOffsets<'_, MR> {
        fn chunk<T, const MR: usize>(all: &[T; MAX_RUN], row: usize) -> &[T; MR] {
            all[row..].first_chunk().expect("a tile within the run")
        }
        TileOffsets {
            window: chunk(&self.window, row),
            shortcut: chunk(&self.shortcut, row),
            output: chunk(&self.output, row),
            residual: chunk(&self.residual, row),
            input_sum: chunk(&self.input_sum, row),
        }
    }
}

/// # Safety
///
/// `task.check(out)` holds, the CPU has the instruction set of `lanes`, and `W` is the task's walk.
#[inline(always)]
pub(super) unsafe fn conv<L: Lanes, W: Walk>(lanes: L, task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
    let (conv, output) = (task.conv, &task.conv.output);
    let mut segments = [0usize; MAX_KERNEL * MAX_KERNEL];
    let segments = &mut segments[..conv.shape.segments()];
    segments.iter_mut().enumerate().for_each(|(s, offset)| *offset = task.segment_offset(s));
    let tile = Tile::<L, W> {
        lanes,
        segments,
        k_groups: conv.shape.k_groups(),
        pitch: conv.window.stride * task.input.channels,
        shortcut_k_groups: conv.shape.shortcut_k_groups(),
        shortcut_pitch: conv.shortcut.map_or(0, |shortcut| shortcut.stride * shortcut.input.channels),
        requantize: Requantize::new(conv),
        walk: PhantomData,
    };
    let (input, weights, data) = (task.input_data.as_ptr(), conv.weights.as_ptr(), out.tensor());
    let shortcut = task.shortcut_data.as_ptr();
    let (residual, residual_tensor) = match task.residual {
        Residual::None => (core::ptr::null(), output),
        Residual::InPlace => (data.cast_const(), output),
        Residual::From(tensor, data) => (data.as_ptr(), tensor),
    };
    let mut offsets = Offsets {
        window: [0; MAX_RUN],
        shortcut: [0; MAX_RUN],
        output: [0; MAX_RUN],
        residual: [0; MAX_RUN],
        input_sum: [0; MAX_RUN],
    };
    // The windows do not follow each other from one row to the next.
    let in_rows = L::NEIGHBOURS && (!W::SHARES_INPUT || conv.window.kernel > 1);
    let mut pixel = out.pixels.start;
    while pixel < out.pixels.end {
        let rest = out.pixels.end - pixel;
        let run = if in_rows {
            run_of_rows(pixel, output.width, L::RUN).min(rest)
        } else if L::EVEN {
            rest.div_ceil(rest.div_ceil(L::RUN))
        } else {
            rest.min(L::RUN)
        };
        let mut tiles = Tiles { rows: [0; MAX_RUN], count: 0 };
        let mut i = 0;
        while i < run {
            let (y, x) = ((pixel + i) / output.width, (pixel + i) % output.width);
            let (window, to) = (task.window_offset(y, x), output.offset(y, x));
            let from = residual_tensor.offset(y, x);
            let row = (output.width - x).min(run - i);
            for column in 0..row {
                offsets.window[i + column] = window + column * conv.window.stride * task.input.channels;
                offsets.output[i + column] = to + column * output.channels;
                offsets.residual[i + column] = from + column * output.channels;
            }
            if W::FUSED
                && let Some(shortcut) = conv.shortcut
            {
                let from = shortcut.offset(y, x);
                for column in 0..row {
                    offsets.shortcut[i + column] = from + column * tile.shortcut_pitch;
                }
            }
            if in_rows {
                tiles.cut(row, L::ROWS);
            }
            i += row;
        }
        if L::EVEN && !in_rows {
            tiles.cut(run, L::ROWS);
        }
        if L::INPUT_SUMS && W::SHARES_INPUT {
            for (sum, &window) in offsets.input_sum.iter_mut().zip(&offsets.window[..run]) {
                // SAFETY: the windows lie inside the input tensor and its slack, as below.
                *sum = unsafe { lanes.input_sum(input.add(window), segments, tile.k_groups) };
            }
            if W::FUSED {
                for (sum, &from) in offsets.input_sum.iter_mut().zip(&offsets.shortcut[..run]) {
                    // SAFETY: likewise.
                    let more = unsafe { lanes.input_sum(shortcut.add(from), &[0], tile.shortcut_k_groups) };
                    *sum = sum.wrapping_add(more);
                }
            }
        }
        let block_len = conv.shape.block_len();
        for index in out.blocks.clone() {
            let block = &conv.blocks[index];
            let channels = task.block_channels(index);
            // SAFETY: `check` has established that block `index` of the packed weights exists, that every
            // window of every output pixel lies inside the input tensor, whose slack covers the bytes of a
            // last k-group, and that every output pixel of the chunk has `channels` bytes in `data`, which are the
            // chunk's alone, and, if there is one, in the residual.
            unsafe {
                let mut operands = Operands {
                    input: input.add(channels.input),
                    shortcut,
                    weights: weights.add(index * block_len),
                    ahead: weights.wrapping_add((index + 1) * block_len),
                    block,
                    residual: if residual.is_null() { residual } else { residual.add(channels.output) },
                    output: data.add(channels.output),
                    count: channels.count,
                };
                let mut row = 0;
                if L::EVEN || in_rows {
                    for &rows in &tiles.rows[..tiles.count] {
                        tile.rows(&operands, &offsets, row, usize::from(rows));
                        row += usize::from(rows);
                        // Each tile prefetches one block further, so that a prefetch is seldom late; to prefetch
                        // what is already there costs nothing.
                        operands.ahead = operands.ahead.wrapping_add(block_len);
                    }
                } else {
                    while row + L::ROWS <= run {
                        tile.rows(&operands, &offsets, row, L::ROWS);
                        row += L::ROWS;
                    }
                    if row < run {
                        tile.rows(&operands, &offsets, row, run - row);
                    }
                }
            }
        }
        pixel += run;
    }
}

/// Returns the number of pixels from `pixel` to the end of a row of the image, with as many rows as fit `most` pixels, or
/// `most` if a row is longer.
fn run_of_rows(pixel: usize, width: usize, most: usize) -> usize {
    let end = (pixel + most) / width * width;
    if end > pixel { end - pixel } else { most }
}

/// Heights of the tiles of a run.
struct Tiles {
    rows: [u8; MAX_RUN],
    count: usize,
}

impl Tiles {
    /// Adds tiles for `pixels`, as few as are at most `most` high and as equal as possible.
    fn cut(&mut self, pixels: usize, most: usize) {
        let tiles = pixels.div_ceil(most);
        for tile in 0..tiles {
            self.rows[self.count] = (pixels * (tile + 1) / tiles - pixels * tile / tiles) as u8;
            self.count += 1;
        }
    }
}

struct Tile<'a, L, W> {
    lanes: L,
    segments: &'a [usize],
    k_groups: usize,
    /// Bytes between the windows of two pixels in a row of the image.
    pitch: usize,
    shortcut_k_groups: usize,
    /// Bytes between the pixels that the shortcut reads for two pixels in a row of the image.
    shortcut_pitch: usize,
    requantize: Requantize,
    walk: PhantomData<W>,
}

/// Pointers of one block, to which pixel offsets are added.
struct Operands {
    input: *const i8,
    shortcut: *const i8,
    weights: *const i8,
    /// Weights of a later block. It may lie beyond the last one, where the weights of the next step are.
    ahead: *const i8,
    block: *const Block,
    residual: *const i8,
    output: *mut i8,
    count: usize,
}

impl<L: Lanes, W: Walk> Tile<'_, L, W> {
    /// Runs `count` ≤ `L::ROWS` pixels from `row` of the run on, with code that is compiled for this number.
    #[inline(always)]
    unsafe fn rows(&self, operands: &Operands, offsets: &Offsets, row: usize, count: usize) {
        // SAFETY: the caller's contract; each arm handles as many pixels as it says.
        unsafe {
            match count {
                14 if L::ROWS >= 14 => self.run::<14>(operands, offsets, row),
                13 if L::ROWS >= 13 => self.run::<13>(operands, offsets, row),
                12 if L::ROWS >= 12 => self.run::<12>(operands, offsets, row),
                11 if L::ROWS >= 11 => self.run::<11>(operands, offsets, row),
                10 if L::ROWS >= 10 => self.run::<10>(operands, offsets, row),
                9 if L::ROWS >= 9 => self.run::<9>(operands, offsets, row),
                8 if L::ROWS >= 8 => self.run::<8>(operands, offsets, row),
                7 if L::ROWS >= 7 => self.run::<7>(operands, offsets, row),
                6 if L::ROWS >= 6 => self.run::<6>(operands, offsets, row),
                5 if L::ROWS >= 5 => self.run::<5>(operands, offsets, row),
                4 if L::ROWS >= 4 => self.run::<4>(operands, offsets, row),
                3 if L::ROWS >= 3 => self.run::<3>(operands, offsets, row),
                2 if L::ROWS >= 2 => self.run::<2>(operands, offsets, row),
                _ => self.run::<1>(operands, offsets, row),
            }
        }
    }

    #[inline(always)]
    unsafe fn run<const MR: usize>(&self, operands: &Operands, offsets: &Offsets, row: usize) {
        // SAFETY: the caller's contract: pointers of `operands` plus offsets of pixels `row..row + MR` are
        // in bounds for a whole window, and for `count` channels of output and residual.
        unsafe {
            let offsets = offsets.of::<MR>(row);
            let window: [*const i8; MR] = core::array::from_fn(|r| operands.input.add(offsets.window[r]));
            let block = operands.block;
            let (bias, weight_sum) =
                ((&raw const (*block).bias).cast(), (&raw const (*block).weight_sum).cast());
            let mut acc = [self.lanes.start(bias, weight_sum, None); MR];
            if L::INPUT_SUMS && W::SHARES_INPUT {
                for (acc, &sum) in acc.iter_mut().zip(offsets.input_sum) {
                    *acc = self.lanes.start(bias, weight_sum, Some(sum));
                }
            }
            let (segments, k_groups) = (self.segments, self.k_groups);
            let lanes = self.lanes.ahead(operands.ahead);
            let weights = operands.weights;
            if let Some(segments) = self.neighbours(&window) {
                lanes.neighbours::<W, MR>(&mut acc, window[0], self.pitch, segments, weights, k_groups);
            } else {
                accumulate::<L, W, MR>(lanes, &mut acc, &window, self.pitch, segments, weights, k_groups);
            }
            if W::FUSED {
                let window: [*const i8; MR] =
                    core::array::from_fn(|r| operands.shortcut.add(offsets.shortcut[r]));
                let before = segments.len() * k_groups * UNIT;
                let lanes = self.lanes.ahead(operands.ahead.wrapping_add(before));
                let (weights, k_groups) = (weights.add(before), self.shortcut_k_groups);
                accumulate::<L, W, MR>(
                    lanes,
                    &mut acc,
                    &window,
                    self.shortcut_pitch,
                    &[0],
                    weights,
                    k_groups,
                );
            }
            let out: [*mut i8; MR] = core::array::from_fn(|r| operands.output.add(offsets.output[r]));
            let from: [*const i8; MR] =
                core::array::from_fn(|r| operands.residual.wrapping_add(offsets.residual[r]));
            let residual = (!operands.residual.is_null()).then_some(&from);
            if operands.count == LANES {
                self.lanes.finish::<W, MR>(&acc, operands.block, residual, &self.requantize, &out);
            } else {
                for (r, &acc) in acc.iter().enumerate() {
                    self.finish_partial(acc, operands, residual.map(|from| from[r]), out[r]);
                }
            }
        }
    }

    /// Returns the segments if [`Lanes::neighbours`] can compute these windows.
    #[inline(always)]
    fn neighbours<const MR: usize>(&self, window: &[*const i8; MR]) -> Option<&[usize; 9]> {
        if !L::NEIGHBOURS || W::SHARES_INPUT || MR < 2 {
            return None;
        }
        let segments: &[usize; 9] = self.segments.try_into().ok()?;
        (segments[1] - segments[0] == self.pitch && spaced(window, self.pitch)).then_some(segments)
    }

    /// Finishes a block with padding lanes, and touches only its real channels, since another thread may write the
    /// neighbouring ones.
    #[inline(never)]
    unsafe fn finish_partial(
        &self,
        acc: L::Acc,
        operands: &Operands,
        residual: Option<*const i8>,
        out: *mut i8,
    ) {
        let (mut input, mut result) = ([0i8; LANES], [0i8; LANES]);
        // SAFETY: the caller's contract: `count` channels are in bounds of `out` and of a residual.
        unsafe {
            if let Some(residual) = residual {
                core::ptr::copy_nonoverlapping(residual, input.as_mut_ptr(), operands.count);
            }
            let from = [input.as_ptr()];
            let from = residual.map(|_| &from);
            self.lanes.finish::<W, 1>(&[acc], operands.block, from, &self.requantize, &[result.as_mut_ptr()]);
            core::ptr::copy_nonoverlapping(result.as_ptr(), out, operands.count);
        }
    }
}

/// Calls [`Lanes::spaced`] if it is implemented and the windows begin `pitch` bytes apart, or else [`Walk::accumulate`].
///
/// # Safety
///
/// The contract is that of [`Walk::accumulate`].
#[inline(always)]
unsafe fn accumulate<L: Lanes, W: Walk, const MR: usize>(
    lanes: L,
    acc: &mut [L::Acc; MR],
    window: &[*const i8; MR],
    pitch: usize,
    segments: &[usize],
    weights: *const i8,
    k_groups: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        if L::spaces(W::LAYOUT) && spaced(window, pitch) {
            lanes.spaced::<W, MR>(acc, window[0], pitch, segments, weights, k_groups);
        } else {
            W::accumulate(lanes, acc, window, segments, weights, k_groups);
        }
    }
}

/// Returns whether the windows begin `pitch` bytes apart.
#[inline(always)]
fn spaced<const MR: usize>(window: &[*const i8; MR], pitch: usize) -> bool {
    // Pixels are in order, and the window of a pixel in the next row of the image begins at least `pitch` bytes later. So if
    // the last window is where it would be within a row, all are.
    window[MR - 1].addr() - window[0].addr() == (MR - 1) * pitch
}

/// # Safety
///
/// `task.check()` holds, and the CPU has the instruction set of `lanes`.
#[inline(always)]
pub(super) unsafe fn linear<L: Lanes>(
    lanes: L,
    task: &LinearTask<'_>,
    blocks: Range<usize>,
    logits: &mut [f32],
) {
    let shape = &task.linear.shape;
    let weights = task.linear.weights.chunks_exact(shape.block_len());
    let all = task.linear.blocks.iter().zip(weights).skip(blocks.start).take(blocks.len());
    for ((block, weights), logits) in all.zip(logits.chunks_mut(LANES)) {
        // SAFETY: `check` has established that each feature has two digits and that slack follows them; `weights` is one
        // whole block.
        let acc = unsafe {
            let start = lanes.start(block.bias.as_ptr().cast(), block.weight_sum.as_ptr().cast(), None);
            let (mut acc, digits, k_groups) = ([start; 2], task.input_data.as_ptr(), shape.k_groups());
            lanes.ahead(weights.as_ptr_range().end).broadcast::<Broadcast<false>, 2, false>(
                &mut acc,
                &[digits, digits.add(shape.in_channels)],
                &[0],
                weights.as_ptr(),
                k_groups,
            );
            acc.map(|acc| lanes.accumulators(acc))
        };
        dequantize(&acc, block, logits);
    }
}
