//! Every kernel equals the reference, over exhaustive small shapes and random larger ones.

use super::reference::{Parameters, element};
use super::{ConvTask, Kernels, OutputChunk, Residual};
use crate::format::{Block, LANES, TENSOR_SLACK};
use crate::program::{Conv, Shortcut, Window};
use crate::tensor::Tensor;
use crate::weights::{ConvShape, Packing, interleave};
use crate::workers::split;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;
use zerocopy::{FromZeros, IntoBytes};

/// A deterministic stream of bytes that reaches the extremes often.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn activation(&mut self) -> i8 {
        match self.next() % 8 {
            0 => i8::MIN,
            1 => i8::MAX,
            n => (self.next() >> n) as i8,
        }
    }

    fn weight(&mut self) -> i8 {
        self.activation().max(-127)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

#[derive(Clone, Copy, Debug)]
enum Add {
    Nothing,
    InPlace,
    Separate,
    /// A fused shortcut that steps over so many pixels; the shape says how many channels it has.
    Shortcut(usize),
}

#[derive(Clone, Copy, Debug)]
struct Case {
    shape: ConvShape,
    window: Window,
    /// Output height and width.
    size: (usize, usize),
    output_halo: usize,
    add: Add,
    seed: u64,
}

fn tensor(height: usize, width: usize, channels: usize, halo: usize, zero_point: i8) -> Tensor {
    Tensor { arena_offset: 0, height, width, channels, halo, scale: 1.0, zero_point, fill: [zero_point; 4] }
}

impl Case {
    /// Runs the case on all kernels, whole and split into chunks, and compares with the reference.
    fn check(self) {
        let Self { shape, window, size: (height, width), .. } = self;
        let mut bytes = Bytes(self.seed);
        let side = |out: usize| (out - 1) * window.stride + window.kernel - 2 * window.padding;
        // One pixel more than the window reaches, so that strides and rows do not coincide.
        let (in_height, in_width) = (side(height) + 1, side(width) + 1);
        let input = tensor(in_height, in_width, shape.in_channels, window.padding, bytes.activation());
        let output = tensor(height, width, shape.out_channels, self.output_halo, bytes.activation());
        let mut fill = |len: usize| -> Vec<i8> { (0..len).map(|_| bytes.activation()).collect() };
        let input_data = fill(input.extent() + TENSOR_SLACK);
        let shortcut = match self.add {
            Add::Shortcut(stride) => {
                let side = |out: usize| (out - 1) * stride + 2;
                let halo = self.output_halo;
                let input = tensor(side(height), side(width), shape.shortcut_channels, halo, 0);
                Some(Shortcut { input, stride })
            }
            _ => None,
        };
        let shortcut_data = fill(shortcut.map_or(0, |shortcut| shortcut.input.extent() + TENSOR_SLACK));
        let residual_tensor = tensor(height, width, shape.out_channels, 1, 0);
        let residual_data = fill(residual_tensor.extent());
        let before = fill(output.extent());

        let per_channel = window.kernel * window.kernel * shape.group_in();
        let mut random =
            |per_channel| (0..shape.out_channels * per_channel).map(|_| bytes.weight()).collect();
        let (weights, shortcut_weights) = (random(per_channel), random(shape.shortcut_channels));
        let mut channels = |f: &mut dyn FnMut(&mut Bytes) -> i32| -> Vec<i32> {
            (0..shape.out_channels).map(|_| f(&mut bytes)).collect()
        };
        let parameters = Parameters {
            weights,
            shortcut: shortcut_weights,
            bias: channels(&mut |b| (b.next() as i32) >> 12),
            multiplier: channels(&mut |b| (b.next() as i32 & i32::MAX) >> b.below(14)),
            residual: match self.add {
                Add::Nothing | Add::Shortcut(_) => vec![0; shape.out_channels],
                _ => channels(&mut |b| b.below(1 << 15) as i32).iter().map(|&r| r as i16).collect(),
            },
        };
        let (a, b) = (bytes.activation(), bytes.activation());
        let clamp = if self.seed.is_multiple_of(3) { (a.min(b), a.max(b)) } else { (i8::MIN, i8::MAX) };

        let mut packed = vec![0; shape.packed_len()];
        shape.pack(&parameters.weights, &parameters.shortcut, &mut packed);
        let blocks: Vec<Block> = (0..shape.blocks()).map(|block| parameters.block(&shape, block)).collect();
        let conv = Conv {
            output,
            residual: None,
            shortcut,
            window,
            shape,
            clamp,
            blocks: &blocks,
            weights: &packed,
            packing: Packing::K4,
        };

        let mut expected = before.clone();
        for pixel in 0..output.pixels() {
            let (y, x) = (pixel / width, pixel % width);
            for channel in 0..shape.out_channels {
                let residual = match self.add {
                    Add::Nothing | Add::Shortcut(_) => None,
                    Add::InPlace => Some(before[output.offset(y, x) + channel]),
                    Add::Separate => Some(residual_data[residual_tensor.offset(y, x) + channel]),
                };
                let at = (y, x, channel);
                expected[output.offset(y, x) + channel] =
                    element(&conv, &parameters, (&input, &input_data), &shortcut_data, residual, at);
            }
        }

        let task = ConvTask {
            conv: &conv,
            input: &input,
            input_data: &input_data,
            residual: match self.add {
                Add::Nothing | Add::Shortcut(_) => Residual::None,
                Add::InPlace => Residual::InPlace,
                Add::Separate => Residual::From(&residual_tensor, &residual_data),
            },
            shortcut_data: &shortcut_data,
        };
        self.run_all(&task, &before, &expected);
        if shape.interleaves() {
            let mut interleaved = packed.clone();
            interleave(interleaved.as_mut_bytes());
            let conv = Conv { weights: &interleaved, packing: Packing::K8, ..conv };
            self.run_all(&ConvTask { conv: &conv, ..task }, &before, &expected);
        }
    }

    fn run_all(&self, task: &ConvTask<'_>, before: &[i8], expected: &[i8]) {
        let (output, mut bytes) = (&task.conv.output, Bytes(self.seed));
        for kernels in Kernels::available() {
            let blocks = task.conv.blocks.len();
            let mut below = |n: usize| 1 + bytes.below(n as u64) as usize;
            for chunks in [(1, 1), (below(output.pixels()), below(blocks))] {
                let mut actual = before.to_vec();
                for chunk in 0..chunks.0 * chunks.1 {
                    let pixels = split(output.pixels(), chunks.0, 1, chunk / chunks.1);
                    let blocks = split(blocks, chunks.1, 1, chunk % chunks.1);
                    // SAFETY: one after the other.
                    let mut chunk = unsafe { OutputChunk::new(&raw mut *actual, pixels, blocks) };
                    kernels.conv(task, &mut chunk);
                }
                assert!(actual == expected, "{} with {chunks:?} chunks: {self:?}", kernels.isa());
            }
        }
    }
}

impl Parameters {
    fn block(&self, shape: &ConvShape, block: usize) -> Block {
        let mut packed = Block::new_zeroed();
        for lane in 0..LANES {
            if let Some(channel) = shape.channel(block, lane) {
                packed.bias[lane].set(self.bias[channel]);
                packed.multiplier[lane].set(self.multiplier[channel]);
                packed.residual[lane].set(self.residual[channel]);
                let sum = |weights: &[i8]| -> i32 {
                    let len = weights.len() / shape.out_channels;
                    weights[channel * len..][..len].iter().map(|&w| i32::from(w)).sum()
                };
                packed.weight_sum[lane].set(sum(&self.weights) + sum(&self.shortcut));
            }
        }
        packed
    }
}

fn windows() -> impl Iterator<Item = Window> {
    [(1, 1, 0), (1, 2, 0), (2, 2, 0), (3, 1, 1), (3, 2, 1), (3, 1, 0), (5, 1, 2), (7, 2, 3)]
        .into_iter()
        .map(|(kernel, stride, padding)| Window { kernel, stride, padding })
}

/// Group widths with whole and partial k-groups and blocks; `(in, out)` channels a group × groups.
const CHANNELS: [(usize, usize, usize); 18] = [
    (1, 1, 1),
    (3, 16, 1),
    (4, 17, 1),
    (5, 31, 1),
    (16, 10, 1),
    (33, 48, 1),
    (1, 1, 5),
    (2, 3, 4),
    (4, 4, 4),
    (4, 4, 12),
    (4, 4, 3),
    (8, 8, 2),
    (8, 8, 6),
    (8, 8, 3),
    (12, 20, 2),
    (16, 16, 3),
    (32, 32, 2),
    (48, 48, 1),
];

#[test]
fn kernels_equal_the_reference_exhaustively() {
    let mut seed = 0;
    for (group_in, group_out, groups) in CHANNELS {
        for window in windows() {
            for size in [(1, 1), (1, 9), (3, 2), (5, 5)] {
                for add in [Add::Nothing, Add::InPlace, Add::Separate] {
                    seed += 1;
                    let shape = ConvShape {
                        in_channels: group_in * groups,
                        out_channels: group_out * groups,
                        kernel: window.kernel,
                        groups,
                        shortcut_channels: 0,
                    };
                    Case { shape, window, size, output_halo: seed as usize % 3, add, seed }.check();
                }
            }
        }
    }
}

/// Channels of either input with whole and partial k-groups, so that either may fill the steps of a hot loop or not, and
/// tiles that cross the rows of the image.
#[test]
fn fused_shortcuts_equal_the_reference() {
    let mut seed = 0;
    for in_channels in [1, 4, 5, 16, 33, 64] {
        for shortcut_channels in [1, 3, 8, 16, 32, 50] {
            for out_channels in [1, 16, 37] {
                for (size, stride) in [((1, 1), 1), ((3, 5), 2), ((4, 7), 1), ((2, 30), 3)] {
                    seed += 1;
                    let shape =
                        ConvShape { in_channels, out_channels, kernel: 1, groups: 1, shortcut_channels };
                    let window = Window { kernel: 1, stride: 1 + seed as usize % 2, padding: 0 };
                    let (output_halo, add) = (seed as usize % 3, Add::Shortcut(stride));
                    Case { shape, window, size, output_halo, add, seed }.check();
                }
            }
        }
    }
}

/// Every pixel count from 1 to several tiles, so that every tile height runs.
#[test]
fn every_tile_height_is_exact() {
    for pixels in 1..=27 {
        for (group, groups) in [(16, 1), (4, 4), (8, 2), (16, 2)] {
            let channels = group * groups;
            let shape = ConvShape {
                in_channels: channels,
                out_channels: channels,
                kernel: 3,
                groups,
                shortcut_channels: 0,
            };
            let window = Window { kernel: 3, stride: 1, padding: 1 };
            let seed = pixels as u64 * 100 + group as u64;
            Case { shape, window, size: (1, pixels), output_halo: 1, add: Add::Nothing, seed }.check();
        }
    }
}

/// A run of pixels longer than the tables of one pass.
#[test]
fn long_runs_are_exact() {
    let shape = ConvShape { in_channels: 8, out_channels: 16, kernel: 1, groups: 1, shortcut_channels: 0 };
    let window = Window { kernel: 1, stride: 1, padding: 0 };
    let case = Case { shape, window, size: (17, 13), output_halo: 1, add: Add::InPlace, seed: 7 };
    case.check();
    Case { shape: ConvShape { shortcut_channels: 12, ..shape }, add: Add::Shortcut(2), ..case }.check();
}

#[test]
fn extreme_products_do_not_saturate() {
    // The worst pair for 16-bit partial sums: −128 · −127 everywhere.
    let shape = ConvShape { in_channels: 64, out_channels: 16, kernel: 1, groups: 1, shortcut_channels: 0 };
    let window = Window { kernel: 1, stride: 1, padding: 0 };
    let (input, output) = (tensor(1, 4, 64, 0, 0), tensor(1, 4, 16, 0, 0));
    for (activation, weight) in [(i8::MIN, -127), (i8::MIN, 127), (127, 127), (127, -127)] {
        let input_data = vec![activation; input.extent() + TENSOR_SLACK];
        let parameters = Parameters {
            weights: vec![weight; 64 * 16],
            shortcut: Vec::new(),
            bias: vec![0; 16],
            multiplier: vec![1 << 20; 16],
            residual: vec![0; 16],
        };
        let mut packed = vec![0; shape.packed_len()];
        shape.pack(&parameters.weights, &[], &mut packed);
        let blocks = [parameters.block(&shape, 0)];
        let (clamp, weights) = ((i8::MIN, i8::MAX), &packed[..]);
        let conv = Conv {
            output,
            residual: None,
            shortcut: None,
            window,
            shape,
            clamp,
            blocks: &blocks,
            weights,
            packing: Packing::K4,
        };
        let task = ConvTask {
            conv: &conv,
            input: &input,
            input_data: &input_data,
            residual: Residual::None,
            shortcut_data: &[],
        };
        let expected = element(&conv, &parameters, (&input, &input_data), &[], None, (0, 0, 0));
        for kernels in Kernels::available() {
            let mut data = vec![0; output.extent()];
            // SAFETY: there is no other.
            kernels.conv(&task, &mut unsafe { OutputChunk::new(&raw mut *data, 0..4, 0..blocks.len()) });
            assert!(data.iter().all(|&y| y == expected), "{} {activation} {weight}", kernels.isa());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Shapes as large as the network's, at random.
    #[test]
    fn kernels_equal_the_reference_at_random(
        group in prop::sample::select(vec![1usize, 2, 4, 8, 12, 16, 32]),
        groups in 1usize..9,
        wider in 0usize..40,
        window in prop::sample::select(windows().collect::<Vec<_>>()),
        size in (1usize..9, 1usize..14),
        output_halo in 0usize..3,
        add in prop::sample::select(vec![Add::Nothing, Add::InPlace, Add::Separate]),
        seed: u64,
    ) {
        let shape = ConvShape {
            in_channels: group * groups,
            out_channels: (group + wider) * groups,
            kernel: window.kernel,
            groups,
            shortcut_channels: 0,
        };
        Case { shape, window, size, output_halo, add, seed }.check();
    }
}
