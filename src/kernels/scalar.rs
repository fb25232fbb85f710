//! Kernels in safe Rust for any CPU: the loop nest of the vector kernels, with slices.

use super::{ConvTask, LinearTask, OutputChunk, Residual, dequantize};
use crate::format::{K_GROUP, LANES};
use crate::requantize::{narrow, scale};
use crate::weights::{Packing, UNIT, WeightLayout};
use core::ops::Range;

pub(super) fn conv(task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
    let (conv, output) = (task.conv, &task.conv.output);
    let (layout, k_groups) = (conv.shape.layout(), conv.shape.k_groups());
    let segment_bytes = k_groups * UNIT;
    for pixel in out.pixels.clone() {
        let (y, x) = (pixel / output.width, pixel % output.width);
        let window = task.window_offset(y, x);
        let blocks = conv.blocks.iter().zip(conv.weights.chunks_exact(conv.shape.block_len())).enumerate();
        for (index, (block, weights)) in blocks.skip(out.blocks.start).take(out.blocks.len()) {
            let channels = task.block_channels(index);
            let mut acc = block.bias.map(|bias| bias.get());
            let (weights, shortcut_weights) = weights.split_at(conv.shape.segments() * segment_bytes);
            for (segment, weights) in weights.chunks_exact(segment_bytes).enumerate() {
                let start = window + task.segment_offset(segment) + channels.input;
                accumulate(&mut acc, (layout, conv.packing), &task.input_data[start..], weights);
            }
            if let Some(shortcut) = conv.shortcut {
                let input = &task.shortcut_data[shortcut.offset(y, x)..];
                accumulate(&mut acc, (layout, conv.packing), input, shortcut_weights);
            }
            let data = out.channels(task, pixel, index);
            for (lane, &acc) in acc.iter().enumerate().take(channels.count) {
                let in_block = match layout {
                    WeightLayout::Quad4 => lane % 4 * 4 + lane / 4,
                    _ => lane,
                };
                let residual = match task.residual {
                    Residual::None => 0,
                    Residual::InPlace => data[in_block],
                    Residual::From(tensor, data) => data[tensor.offset(y, x) + channels.output + in_block],
                };
                let acc = acc + i32::from(block.residual[lane].get()) * i32::from(residual);
                let value = scale(acc, block.multiplier[lane].get());
                data[in_block] = narrow(value, conv.clamp.0, conv.clamp.1);
            }
        }
    }
}

pub(super) fn linear(task: &LinearTask<'_>, blocks: Range<usize>, logits: &mut [f32]) {
    let linear = task.linear;
    let weights = linear.weights.chunks_exact(linear.shape.block_len());
    let all = linear.blocks.iter().zip(weights).skip(blocks.start).take(blocks.len());
    for ((block, weights), logits) in all.zip(logits.chunks_mut(LANES)) {
        let acc = [0, linear.shape.in_channels].map(|digits| {
            let mut acc = block.bias.map(|bias| bias.get());
            accumulate(&mut acc, (WeightLayout::Dense, Packing::K4), &task.input_data[digits..], weights);
            acc
        });
        dequantize(&acc, block, logits);
    }
}

/// Adds one segment to the accumulators of one block.
fn accumulate(
    acc: &mut [i32; LANES],
    (layout, packing): (WeightLayout, Packing),
    input: &[i8],
    weights: &[i8],
) {
    for k_group in 0..weights.len() / UNIT {
        for (lane, acc) in acc.iter_mut().enumerate() {
            let group = match layout {
                WeightLayout::Dense | WeightLayout::PerGroup => 0,
                WeightLayout::Paired8 => lane / 8 * 8,
                WeightLayout::Quad4 => lane % 4 * 4,
            };
            let at = match packing {
                Packing::K4 => k_group * UNIT + lane * K_GROUP,
                Packing::K8 => k_group / 2 * 2 * UNIT + lane * 2 * K_GROUP + k_group % 2 * K_GROUP,
            };
            let weights = &weights[at..][..K_GROUP];
            let input = &input[group + k_group * K_GROUP..][..K_GROUP];
            *acc += input.iter().zip(weights).map(|(&a, &w)| i32::from(a) * i32::from(w)).sum::<i32>();
        }
    }
}
