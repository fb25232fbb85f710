//! Decodes the record of a step and checks it against the tensors that it names.

use super::{Artifact, invalid};
use crate::error::LoadError;
use crate::format::{MAX_ACCUMULATOR, MAX_DIGITS, MAX_KERNEL, NO_TENSOR, PoolParams, StepKind, StepRecord};
use crate::program::{AvgPool, Conv, GlobalAvgPool, Linear, MaxPool, Op, Shortcut, Step, Tensor, Window};
use crate::requantize::scale;
use crate::weights::{ConvShape, Packing};

/// Largest number of channels or groups: sizes stay far from overflow even in 32 bits.
pub(super) const MAX_CHANNELS: u32 = 1 << 16;

impl<'a> Artifact<'a> {
    /// Decodes step `index`.
    ///
    /// # Errors
    ///
    /// If there is no such step or its record is malformed.
    pub(crate) fn step(&self, index: usize) -> Result<Step<'a>, LoadError> {
        let record = self.steps.get(index).ok_or(invalid("no such step", index))?;
        let kind = StepKind::from_code(record.kind).ok_or(invalid("unknown step kind", index))?;
        let name = self
            .text(record.name_offset.get(), record.name_len.get())
            .ok_or(invalid("step name outside the strings", index))?;
        let input = self.tensor(record.input.get(), index)?;
        let op = match kind {
            StepKind::Conv => Op::Conv(self.conv(record, &input, index)?),
            StepKind::MaxPool => Op::MaxPool(self.max_pool(record, &input, index)?),
            StepKind::AvgPool => Op::AvgPool(self.avg_pool(record, &input, index)?),
            StepKind::GlobalAvgPool => Op::GlobalAvgPool(self.global_avg_pool(record, &input, index)?),
            StepKind::Linear => Op::Linear(self.linear(record, &input, index)?),
        };
        Ok(Step { name, input, op })
    }

    fn packed(&self, record: &StepRecord, shape: &ConvShape, index: usize) -> Result<&'a [i8], LoadError> {
        if record.layout != shape.layout() as u8 {
            return Err(invalid("weight layout does not match the shape", index));
        }
        usize::try_from(record.weights_offset.get())
            .ok()
            .and_then(|offset| self.weights.get(offset..)?.get(..shape.packed_len()))
            .ok_or(invalid("weights outside their section", index))
    }

    fn window(record: &StepRecord, input: &Tensor, index: usize) -> Result<Window, LoadError> {
        let window = Window {
            kernel: usize::from(record.kernel),
            stride: usize::from(record.stride),
            padding: usize::from(record.padding),
        };
        if record.kernel == 0
            || window.kernel > MAX_KERNEL
            || record.stride == 0
            || window.padding > input.halo
        {
            return Err(invalid("window is empty, too large or padded beyond the input's halo", index));
        }
        Ok(window)
    }

    /// A window that stays on the input and its halo, for all of `output`.
    fn inner_window(
        record: &StepRecord,
        input: &Tensor,
        output: &Tensor,
        index: usize,
    ) -> Result<Window, LoadError> {
        let window = Self::window(record, input, index)?;
        let fits = |side: usize, out: usize| {
            let padded = side + 2 * window.padding;
            out > 0 && (out - 1) * window.stride + window.kernel <= padded
        };
        if !fits(input.height, output.height) || !fits(input.width, output.width) {
            return Err(invalid("output is larger than the window allows", index));
        }
        Ok(window)
    }

    fn shape(
        record: &StepRecord,
        input: &Tensor,
        shortcut: Option<&Shortcut>,
        index: usize,
    ) -> Result<ConvShape, LoadError> {
        let (groups, out) = (record.groups.get(), record.out_channels.get());
        if groups == 0 || groups > MAX_CHANNELS || out == 0 || out > MAX_CHANNELS {
            return Err(invalid("groups or output channels out of range", index));
        }
        let shape = ConvShape {
            in_channels: input.channels,
            out_channels: out as usize,
            kernel: usize::from(record.kernel),
            groups: groups as usize,
            shortcut_channels: shortcut.map_or(0, |shortcut| shortcut.input.channels),
        };
        if !shape.in_channels.is_multiple_of(shape.groups) || !shape.out_channels.is_multiple_of(shape.groups)
        {
            return Err(invalid("groups do not divide the channels", index));
        }
        let packed = (shape.blocks() as u64).checked_mul(shape.block_len() as u64);
        if packed.is_none_or(|len| len > usize::MAX as u64) {
            return Err(invalid("weights larger than memory", index));
        }
        Ok(shape)
    }

    fn conv(&self, record: &StepRecord, input: &Tensor, index: usize) -> Result<Conv<'a>, LoadError> {
        let output = self.tensor(record.output.get(), index)?;
        let window = Self::inner_window(record, input, &output, index)?;
        let shortcut = self.shortcut(record, &output, index)?;
        let shape = Self::shape(record, input, shortcut.as_ref(), index)?;
        if output.channels != shape.out_channels {
            return Err(invalid("output channels do not match", index));
        }
        if !disjoint(input, &output) {
            return Err(invalid("input and output share memory", index));
        }
        let residual = match record.residual.get() {
            NO_TENSOR => None,
            id => {
                let residual = self.tensor(id, index)?;
                let same = (residual.height, residual.width, residual.channels)
                    == (output.height, output.width, output.channels);
                let in_place = residual.arena_offset == output.arena_offset && residual.halo == output.halo;
                if !same || !(in_place || disjoint(&residual, &output)) {
                    return Err(invalid("residual does not match the output", index));
                }
                if !disjoint(&residual, input) {
                    return Err(invalid("residual and input share memory", index));
                }
                Some(residual)
            }
        };
        if let Some(shortcut) = &shortcut {
            if shape.kernel != 1 || shape.groups != 1 || residual.is_some() {
                return Err(invalid(
                    "shortcut of a step that is not 1×1, or has groups or a residual",
                    index,
                ));
            }
            if !disjoint(&shortcut.input, input) {
                return Err(invalid("shortcut and input share memory", index));
            }
        }
        if record.clamp_min > record.clamp_max {
            return Err(invalid("clamp out of range", index));
        }
        let weights = self.packed(record, &shape, index)?;
        let blocks = self.params(record.params_offset.get(), shape.blocks(), index)?;
        Ok(Conv {
            output,
            residual,
            shortcut,
            window,
            shape,
            clamp: (record.clamp_min, record.clamp_max),
            blocks,
            weights,
            packing: if shape.interleaves() { self.packing } else { Packing::K4 },
        })
    }

    fn shortcut(
        &self,
        record: &StepRecord,
        output: &Tensor,
        index: usize,
    ) -> Result<Option<Shortcut>, LoadError> {
        let (id, stride) = (record.shortcut.get(), usize::from(record.shortcut_stride));
        if id == NO_TENSOR {
            return Ok(None);
        }
        let input = self.tensor(id, index)?;
        if stride == 0 || !starts_inside(&input, output, stride) {
            return Err(invalid("output is larger than the shortcut's input allows", index));
        }
        if !disjoint(&input, output) {
            return Err(invalid("shortcut and output share memory", index));
        }
        Ok(Some(Shortcut { input, stride }))
    }

    fn max_pool(&self, record: &StepRecord, input: &Tensor, index: usize) -> Result<MaxPool, LoadError> {
        let output = self.tensor(record.output.get(), index)?;
        let window = Self::inner_window(record, input, &output, index)?;
        if input.channels != output.channels || !disjoint(input, &output) {
            return Err(invalid("max pool changes the channels or shares memory", index));
        }
        Ok(MaxPool { output, window })
    }

    fn avg_pool(&self, record: &StepRecord, input: &Tensor, index: usize) -> Result<AvgPool, LoadError> {
        let output = self.tensor(record.output.get(), index)?;
        let window = Self::window(record, input, index)?;
        if input.channels != output.channels || !disjoint(input, &output) {
            return Err(invalid("average pool changes the channels or shares memory", index));
        }
        // Every window has a pixel at least, its first.
        if window.padding != 0 || !starts_inside(input, &output, window.stride) {
            return Err(invalid("average pool has padding, or a window without pixels", index));
        }
        let multiplier = self.params::<PoolParams>(record.params_offset.get(), 1, index)?[0].multiplier.get();
        Ok(AvgPool { output, window, multiplier })
    }

    fn global_avg_pool(
        &self,
        record: &StepRecord,
        input: &Tensor,
        index: usize,
    ) -> Result<GlobalAvgPool, LoadError> {
        let output = self.tensor(record.output.get(), index)?;
        if !is_digits(&output) || input.halo != 0 || input.channels != output.channels {
            return Err(invalid("global average pool does not give two digits a channel", index));
        }
        if !disjoint(input, &output) {
            return Err(invalid("input and output share memory", index));
        }
        let multiplier = self.params::<PoolParams>(record.params_offset.get(), 1, index)?[0].multiplier.get();
        // Σ (q − z) of the largest tensor allowed, 4096², stays below 2³³; hold it to the accumulator's
        // bound, and what becomes of it to two digits.
        let most = input.pixels() as i64 * 255;
        if multiplier < 0 || most > MAX_ACCUMULATOR || scale(most as i32, multiplier) > MAX_DIGITS {
            return Err(invalid("global average pool out of range", index));
        }
        Ok(GlobalAvgPool { output, multiplier })
    }

    fn linear(&self, record: &StepRecord, input: &Tensor, index: usize) -> Result<Linear<'a>, LoadError> {
        let mismatch = invalid("classifier does not match the classes or is not the last step", index);
        // Before anything is computed from the kernel.
        if !is_digits(input) || record.kernel != 1 {
            return Err(mismatch);
        }
        let shape = Self::shape(record, input, None, index)?;
        if shape.groups != 1 || shape.out_channels != self.classes.len() || index + 1 != self.steps.len() {
            return Err(mismatch);
        }
        let weights = self.packed(record, &shape, index)?;
        let blocks = self.params(record.params_offset.get(), shape.blocks(), index)?;
        Ok(Linear { shape, blocks, weights })
    }
}

/// Returns whether two tensors share no byte of the arena.
fn disjoint(a: &Tensor, b: &Tensor) -> bool {
    let (a, b) = (a.arena_range(), b.arena_range());
    a.end <= b.start || b.end <= a.start
}

/// Returns whether `input` has a pixel for each pixel of `output` if every `stride`-th is read.
fn starts_inside(input: &Tensor, output: &Tensor, stride: usize) -> bool {
    (output.height - 1) * stride < input.height && (output.width - 1) * stride < input.width
}

/// Returns whether `tensor` has the shape of two digits for each channel.
fn is_digits(tensor: &Tensor) -> bool {
    (tensor.height, tensor.width, tensor.halo) == (1, 2, 0)
}
