//! Convolutions with a window, grouped or not, computed directly.
//!
//! The channels that a group reads are copied into planes with padding. With stride s, each channel becomes s² planes, one for
//! each remainder of row and column, so that whatever the stride, neighbouring outputs read neighbouring elements. Outputs are
//! then computed as one long row with the pitch of a plane: a tile of 24 positions × 4 output channels stays in registers, and
//! few positions, at the ends of image rows, are computed in vain.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(not(target_arch = "aarch64"))]
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use crate::memory::Slot;
use crate::node::{Shape, Window};

/// The positions of a tile.
const TILE: usize = 24;
/// The output channels of a tile, whose weights are neighbours.
const BLOCK: usize = 4;

/// A convolution whose weights are packed.
#[derive(Debug)]
pub(crate) struct Direct {
    window: Window,
    groups: usize,
    from: Shape,
    to: Shape,
    relu: bool,
    /// `[group][block][input channel][tap][output channel of the block]`, padded with zeros to whole blocks.
    weights: Vec<[f32; BLOCK]>,
    /// `[group][block][output channel of the block]`.
    bias: Vec<[f32; BLOCK]>,
    /// Where each tap begins in the planes of a channel.
    taps: Vec<usize>,
    /// Elements in a row of a plane.
    pitch: usize,
    /// Elements of a plane.
    plane: usize,
    /// Positions that are computed: from the first output to the last, in whole tiles.
    positions: usize,
}

/// What one group is computed from.
struct Group<'a> {
    /// The planes of its channels, one channel after the other.
    planes: &'a [f32],
    /// Elements of the planes of a channel.
    channel: usize,
    /// Where each tap begins in the planes of a channel.
    taps: &'a [usize],
    /// `[block][input channel][tap]`.
    weights: &'a [[f32; BLOCK]],
    /// One for each block.
    bias: &'a [[f32; BLOCK]],
    /// A multiple of [`TILE`].
    positions: usize,
}

impl Group<'_> {
    /// Computes the group into `output`, `[block][output channel of the block][position]`.
    fn compute(&self, output: &mut [f32]) {
        let channels = self.weights.len() / (self.bias.len() * self.taps.len()).max(1);
        let farthest = self.taps.iter().max().copied().unwrap_or(0) + self.positions;
        assert!(self.positions.is_multiple_of(TILE) && self.positions > 0 && channels > 0);
        assert!(self.planes.len() >= (channels - 1) * self.channel + farthest);
        assert!(self.weights.len() == self.bias.len() * channels * self.taps.len());
        assert!(output.len() >= self.bias.len() * BLOCK * self.positions);
        #[cfg(target_arch = "aarch64")]
        aarch64::compute(self, channels, output);
        #[cfg(target_arch = "x86_64")]
        if x86_64::compute(self, channels, output) {
            return;
        }
        #[cfg(not(target_arch = "aarch64"))]
        portable::compute(self, channels, output);
    }
}

/// Vectors of floats, one implementation per instruction set.
///
/// # Safety
///
/// [`load`](Self::load) and [`store`](Self::store) must access no more than [`LANES`](Self::LANES) elements. Whoever calls a
/// method guarantees that those exist and that the CPU has the instruction set.
unsafe trait Simd: Copy {
    type Vector: Copy;
    /// The floats of a vector.
    const LANES: usize;

    /// Returns `value` in all lanes.
    unsafe fn splat(self, value: f32) -> Self::Vector;
    /// Loads a vector.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// Returns `sum + a · b`, lane by lane.
    unsafe fn add_product(self, sum: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Stores a vector.
    unsafe fn store(self, vector: Self::Vector, to: *mut f32);
}

/// Computes a group in tiles of `V` vectors.
///
/// # Safety
///
/// The assertions of [`Group::compute`] hold, `V` vectors are a tile, and the CPU has the instruction set of `simd`.
#[inline(always)]
unsafe fn compute<S: Simd, const V: usize>(simd: S, group: &Group<'_>, channels: usize, output: &mut [f32]) {
    debug_assert!(V * S::LANES == TILE);
    let per_block = channels * group.taps.len();
    for (block, bias) in group.bias.iter().enumerate() {
        let output = output[block * BLOCK * group.positions..].as_mut_ptr();
        for position in (0..group.positions).step_by(TILE) {
            // SAFETY: each block has `per_block` weights. From each plane, a tap and a tile are read, which is what the
            // planes have; a tile of each of four rows of `positions` is written.
            unsafe {
                let mut weights = group.weights.as_ptr().add(block * per_block);
                let mut sums = bias.map(|bias| [simd.splat(bias); V]);
                for channel in 0..channels {
                    let planes = group.planes.as_ptr().add(channel * group.channel + position);
                    for &tap in group.taps {
                        let pixels: [S::Vector; V] =
                            core::array::from_fn(|v| simd.load(planes.add(tap + v * S::LANES)));
                        for (sums, &weight) in sums.iter_mut().zip(&*weights) {
                            let weight = simd.splat(weight);
                            for (sum, &pixel) in sums.iter_mut().zip(&pixels) {
                                *sum = simd.add_product(*sum, pixel, weight);
                            }
                        }
                        weights = weights.add(1);
                    }
                }
                for (row, sums) in sums.iter().enumerate() {
                    for (v, &sum) in sums.iter().enumerate() {
                        simd.store(sum, output.add(row * group.positions + position + v * S::LANES));
                    }
                }
            }
        }
    }
}

/// What a convolution is made of.
pub(crate) struct Parts<'a> {
    pub(crate) window: Window,
    pub(crate) groups: usize,
    /// `[output channel][input channel of the group][row][column]`.
    pub(crate) weight: &'a [f32],
    /// One for each output channel, or none.
    pub(crate) bias: &'a [f32],
    pub(crate) relu: bool,
    pub(crate) from: Shape,
    pub(crate) to: Shape,
}

impl Direct {
    /// Packs the weights. The shapes agree with each other.
    pub(crate) fn new(parts: &Parts<'_>) -> Self {
        let &Parts { window, groups, weight, bias, relu, from, to } = parts;
        let Window { kernel, stride, padding } = window;
        let (inputs, outputs) = (from.channels / groups, to.channels / groups);
        let side = |side: usize| (side + 2 * padding).div_ceil(stride);
        let (rows, pitch) = (side(from.height), side(from.width));
        let plane = rows * pitch;
        let begin = |at: usize| (at % stride, at / stride);
        let taps = (0..kernel * kernel)
            .map(|tap| {
                let ((row_phase, row), (column_phase, column)) = (begin(tap / kernel), begin(tap % kernel));
                (row_phase * stride + column_phase) * plane + row * pitch + column
            })
            .collect();
        let positions = ((to.height - 1) * pitch + to.width).next_multiple_of(TILE);
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        let size = kernel * kernel;
        for group in 0..groups {
            for block in (0..outputs).step_by(BLOCK) {
                let channel = |o: usize| (block + o < outputs).then_some(group * outputs + block + o);
                biases.push(std::array::from_fn(|o| {
                    channel(o).and_then(|o| bias.get(o)).copied().unwrap_or(0.0)
                }));
                for at in 0..inputs * size {
                    weights.push(std::array::from_fn(|o| {
                        channel(o).map_or(0.0, |o| weight[o * inputs * size + at])
                    }));
                }
            }
        }
        Self { window, groups, from, to, relu, weights, bias: biases, taps, pitch, plane, positions }
    }

    fn inputs(&self) -> usize {
        self.from.channels / self.groups
    }

    fn channel_planes(&self) -> usize {
        self.window.stride * self.window.stride * self.plane
    }

    /// Returns the elements of the planes of a group. A tile may begin at the last output and reach beyond the last plane.
    fn planes_len(&self) -> usize {
        let farthest = self.taps.iter().max().copied().unwrap_or(0) + self.positions;
        ((self.inputs() - 1) * self.channel_planes() + farthest).max(self.inputs() * self.channel_planes())
    }

    fn outputs_len(&self) -> usize {
        (self.to.channels / self.groups).next_multiple_of(BLOCK) * self.positions
    }

    /// Returns the number of elements of scratch memory.
    pub(crate) fn scratch_len(&self) -> usize {
        self.planes_len() + self.outputs_len()
    }

    /// Computes `output` from `input`.
    pub(crate) fn run(
        &self,
        scratch: &mut [f32],
        input: &[f32],
        residual: Option<&Slot>,
        output: &mut [f32],
    ) {
        let (planes, rest) = scratch.split_at_mut(self.planes_len());
        let sums = &mut rest[..self.outputs_len()];
        let (inputs, outputs) = (self.inputs(), self.to.channels / self.groups);
        let (weights, blocks) = (self.weights.len() / self.groups, self.bias.len() / self.groups);
        let group_pixels = outputs * self.to.pixels();
        // Padding is written once, since each group overwrites the same elements.
        planes.fill(0.0);
        for group in 0..self.groups {
            for channel in 0..inputs {
                let from = &input[(group * inputs + channel) * self.from.pixels()..][..self.from.pixels()];
                self.spread(from, &mut planes[channel * self.channel_planes()..][..self.channel_planes()]);
            }
            let job = Group {
                planes,
                channel: self.channel_planes(),
                taps: &self.taps,
                weights: &self.weights[group * weights..][..weights],
                bias: &self.bias[group * blocks..][..blocks],
                positions: self.positions,
            };
            job.compute(sums);
            let range = group * group_pixels..(group + 1) * group_pixels;
            let residual = residual.map(|slot| &slot.values()[range.clone()]);
            self.gather(sums, residual, &mut output[range]);
        }
    }

    /// Copies a channel into its planes, between the padding.
    fn spread(&self, channel: &[f32], planes: &mut [f32]) {
        let Window { stride, padding, .. } = self.window;
        for (y, row) in channel.chunks_exact(self.from.width).enumerate() {
            let y = y + padding;
            let start = y % stride * stride * self.plane + y / stride * self.pitch;
            if stride == 1 {
                planes[start + padding..][..row.len()].copy_from_slice(row);
                continue;
            }
            for phase in 0..stride {
                // The first column of the image that is in this plane.
                let first = (phase + stride - padding % stride) % stride;
                let to = start + phase * self.plane + (first + padding) / stride;
                let from = row.iter().skip(first).step_by(stride);
                planes[to..].iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }

    /// Takes the outputs from among the positions, adds the residual and applies the ReLU.
    fn gather(&self, sums: &[f32], residual: Option<&[f32]>, output: &mut [f32]) {
        let pixels = self.to.pixels();
        for (channel, output) in output.chunks_exact_mut(pixels).enumerate() {
            let sums = &sums[channel * self.positions..][..self.positions];
            for (y, output) in output.chunks_exact_mut(self.to.width).enumerate() {
                output.copy_from_slice(&sums[y * self.pitch..][..output.len()]);
                if let Some(residual) = residual {
                    let residual = &residual[channel * pixels + y * self.to.width..];
                    output.iter_mut().zip(residual).for_each(|(sum, value)| *sum += value);
                }
                if self.relu {
                    output.iter_mut().for_each(|value| *value = value.max(0.0));
                }
            }
        }
    }
}
