//! The parameters of 16 output channels, as kernels read them.

use resnext::internals::format::{Block, LANES, LinearBlock};
use resnext::internals::weights::ConvShape;
use zerocopy::FromZeros;

use crate::quantize::{QuantizedConv, QuantizedLinear, QuantizedShortcut};

fn weight_sum(weights: &[i8], channels: usize, channel: usize) -> i32 {
    let per_channel = weights.len() / channels;
    weights[channel * per_channel..][..per_channel].iter().map(|&w| i32::from(w)).sum()
}

pub(super) fn conv_block(
    shape: &ConvShape,
    block: usize,
    conv: &QuantizedConv,
    shortcut: Option<&QuantizedShortcut>,
) -> Block {
    let mut packed = Block::new_zeroed();
    for lane in 0..LANES {
        if let Some(channel) = shape.channel(block, lane) {
            let (mut bias, mut sum) =
                (conv.bias[channel], weight_sum(&conv.weights, shape.out_channels, channel));
            if let Some(shortcut) = shortcut {
                // A sum that saturates is refused when the artifact is checked.
                bias = bias.saturating_add(shortcut.bias[channel]);
                sum += weight_sum(&shortcut.weights, shape.out_channels, channel);
            }
            packed.bias[lane].set(bias);
            packed.multiplier[lane].set(conv.multiplier[channel]);
            packed.weight_sum[lane].set(sum);
            packed.residual[lane].set(conv.residual[channel]);
        }
    }
    packed
}

pub(super) fn linear_block(shape: &ConvShape, block: usize, linear: &QuantizedLinear) -> LinearBlock {
    let mut packed = LinearBlock::new_zeroed();
    for lane in 0..LANES {
        if let Some(channel) = shape.channel(block, lane) {
            packed.bias[lane].set(linear.bias[channel]);
            packed.scale[lane].set(linear.scale[channel]);
            packed.weight_sum[lane].set(weight_sum(&linear.weights, shape.out_channels, channel));
        }
    }
    packed
}
