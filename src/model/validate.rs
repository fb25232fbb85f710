//! Decodes every step once and checks every number that a kernel relies on.

use super::steps::MAX_CHANNELS;
use super::{Artifact, invalid};
use crate::error::LoadError;
use crate::format::{
    ARENA_ALIGN, LANES, MAX_ACCUMULATOR, MAX_KERNEL, MAX_STEPS, StepKind, TENSOR_SLACK, TensorRecord,
};
use crate::program::{AvgPool, Conv, Linear, Op, Tensor};
use crate::weights::{ConvShape, Packing};
use zerocopy::little_endian::I32;

/// Largest height and width of a tensor: sizes stay far from overflow even in 32 bits.
const MAX_TENSOR_SIDE: u32 = 4096;

/// Largest arena in bytes.
const MAX_ARENA: u64 = 1 << 31;

impl Artifact<'_> {
    /// Checks everything that decoding alone does not.
    pub(super) fn validate(&self) -> Result<(), LoadError> {
        let arena_len = self.header.arena_len.get();
        if arena_len > MAX_ARENA || usize::try_from(arena_len).is_err() {
            return Err(invalid("arena is absurdly large", 0));
        }
        // `validate_dataflow` holds each read against all writes before it.
        if self.steps.len() > MAX_STEPS {
            return Err(invalid("too many steps", MAX_STEPS));
        }
        for (index, t) in self.tensors.iter().enumerate() {
            validate_tensor(t, arena_len).map_err(|what| invalid(what, index))?;
        }
        for index in 0..self.classes.len() {
            self.class(index).ok_or(invalid("class name outside the strings", index))?;
        }
        let input = self.input()?;
        let size = (input.height, input.width);
        if input.channels != 3
            || size != (self.preprocessing.crop_height as usize, self.preprocessing.crop_width as usize)
        {
            return Err(invalid("input tensor is not the cropped RGB frame", 0));
        }
        let (mut macs, mut packed) = (0u64, 0);
        for index in 0..self.steps.len() {
            let step = self.step(index)?;
            // Apart and in order: `repack` may change one step's weights without touching another's.
            if let Op::Conv(Conv { weights, .. }) | Op::Linear(Linear { weights, .. }) = step.op {
                let range = weights.as_ptr_range();
                if range.start.addr() < packed {
                    return Err(invalid("steps share weights", index));
                }
                packed = range.end.addr();
            }
            macs = macs.saturating_add(step.macs());
            match step.op {
                Op::Conv(conv) => validate_conv(&conv).map_err(|what| invalid(what, index))?,
                Op::Linear(linear) => validate_linear(&linear).map_err(|what| invalid(what, index))?,
                Op::AvgPool(pool) => {
                    validate_avg_pool(&pool, &step.input).map_err(|what| invalid(what, index))?;
                }
                Op::MaxPool(_) | Op::GlobalAvgPool(_) => {}
            }
        }
        if !matches!(self.steps.last(), Some(last) if last.kind == StepKind::Linear as u8) {
            return Err(invalid("the last step is not the classifier", self.steps.len()));
        }
        if macs != self.header.macs.get() {
            return Err(invalid("multiply-accumulate count does not match the steps", 0));
        }
        self.validate_dataflow()
    }
}

fn validate_tensor(t: &TensorRecord, arena_len: u64) -> Result<(), &'static str> {
    let sides = 1..=MAX_TENSOR_SIDE;
    if !sides.contains(&t.height.get()) || !sides.contains(&t.width.get()) || usize::from(t.halo) > MAX_KERNEL
    {
        return Err("tensor size out of range");
    }
    if !(1..=MAX_CHANNELS).contains(&t.channels.get()) {
        return Err("tensor channels out of range");
    }
    if !(t.scale.get().is_finite() && t.scale.get() > 0.0) {
        return Err("tensor scale is not positive");
    }
    let halo = 2 * u64::from(t.halo);
    let extent = (u64::from(t.height) + halo) * (u64::from(t.width) + halo) * u64::from(t.channels);
    let offset = t.arena_offset.get();
    let end = offset.checked_add(extent + TENSOR_SLACK as u64);
    if !offset.is_multiple_of(ARENA_ALIGN as u64) || end.is_none_or(|end| end > arena_len) {
        return Err("tensor outside the arena or misaligned");
    }
    Ok(())
}

/// Largest |accumulator| that the weights of one block can reach, without the initial value.
fn reach(shape: &ConvShape) -> i64 {
    (shape.block_len() / LANES) as i64 * 127 * 128
}

/// Checks what kernels rely on in packed weights. `sums` gives Σ weights of each lane of each block, as the artifact states
/// them.
fn validate_weights<'a>(
    shape: &ConvShape,
    packing: Packing,
    weights: &[i8],
    sums: impl Iterator<Item = &'a [I32; LANES]>,
) -> Result<(), &'static str> {
    if weights.contains(&i8::MIN) {
        return Err("weight of −128");
    }
    for ((block, weights), stated) in weights.chunks_exact(shape.block_len()).enumerate().zip(sums) {
        // Padding meets bytes that belong to other channels, or to no tensor.
        if !shape.padding_is_zero(packing, block, weights) {
            return Err("padding of weights that is not zero");
        }
        if packing.lane_sums(weights) != stated.map(I32::get) {
            return Err("sum of weights does not match the weights");
        }
    }
    Ok(())
}

fn validate_conv(conv: &Conv<'_>) -> Result<(), &'static str> {
    let sums = conv.blocks.iter().map(|block| &block.weight_sum);
    validate_weights(&conv.shape, conv.packing, conv.weights, sums)?;
    let reach = reach(&conv.shape);
    for block in conv.blocks {
        for lane in 0..LANES {
            let residual = block.residual[lane].get();
            if block.multiplier[lane].get() < 0 || residual < 0 {
                return Err("multiplier or residual factor out of range");
            }
            if residual != 0 && conv.residual.is_none() {
                return Err("residual factor without residual");
            }
            if i64::from(block.bias[lane].get()).abs() + reach + i64::from(residual) * 128 > MAX_ACCUMULATOR {
                return Err("accumulator could overflow");
            }
        }
    }
    Ok(())
}

fn validate_avg_pool(pool: &AvgPool, input: &Tensor) -> Result<(), &'static str> {
    if pool.multiplier < 0 {
        return Err("multiplier out of range");
    }
    let divides = |side: usize, out: usize| {
        (0..out).all(|i| pool.window.kernel.is_multiple_of(pool.window.on_tensor(i, side)))
    };
    if !divides(input.height, pool.output.height) || !divides(input.width, pool.output.width) {
        return Err("part of an average pool's window does not divide the whole");
    }
    Ok(())
}

fn validate_linear(linear: &Linear<'_>) -> Result<(), &'static str> {
    let sums = linear.blocks.iter().map(|block| &block.weight_sum);
    validate_weights(&linear.shape, Packing::K4, linear.weights, sums)?;
    let reach = reach(&linear.shape);
    for block in linear.blocks {
        for lane in 0..LANES {
            if i64::from(block.bias[lane].get()).abs() + reach > MAX_ACCUMULATOR {
                return Err("accumulator could overflow");
            }
            if !block.scale[lane].get().is_finite() {
                return Err("logit scale is not finite");
            }
        }
    }
    Ok(())
}
