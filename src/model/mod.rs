//! A loaded artifact: everything is validated once, by [`Model::from_bytes`], before any typed view exists.

use crate::error::LoadError;
use crate::format::{
    ARENA_ALIGN, Block, CHECKSUM_FROM, ClassRecord, Header, LANES, LinearBlock, MAGIC, MAX_ACCUMULATOR,
    MAX_DIGITS, NO_TENSOR, PoolParams, SECTION_ALIGN, SectionId, StepKind, StepRecord, TensorRecord, VERSION,
    checksum,
};
use crate::pack::{ConvShape, Packing};
use crate::preprocess::{CropRounding, Interpolation, Preprocessing, SideRounding};
use crate::requantize::scale;
use crate::tensor::Tensor;
use zerocopy::FromBytes;

/// Largest tensor side, window and channel count: sizes stay far from overflow even in 32 bits.
const MAX_SIDE: u32 = 4096;
const MAX_CHANNELS: u32 = 1 << 16;
const MAX_KERNEL: u8 = 15;
const MAX_ARENA: u64 = 1 << 31;

/// An int8 model that borrows an artifact.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    header: &'a Header,
    tensors: &'a [TensorRecord],
    steps: &'a [StepRecord],
    params: &'a [u8],
    weights: &'a [i8],
    classes: &'a [ClassRecord],
    strings: &'a str,
    metadata: &'a str,
    preprocessing: Preprocessing,
    packing: Packing,
    len: usize,
}

/// One class of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Class<'a> {
    /// Identifier, for ImageNet the wnid such as `n01440764`; may be empty.
    pub id: &'a str,
    /// Label such as `tench`.
    pub label: &'a str,
}

/// A decoded step.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Step<'a> {
    /// Name of the layer, such as `layer1.0.conv2`.
    pub name: &'a str,
    /// Tensor read.
    pub input: Tensor,
    /// What is computed.
    pub op: Op<'a>,
}

/// What a step computes.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(clippy::large_enum_variant, reason = "decoded for one step, on the stack; not as large in 32 bits")]
pub enum Op<'a> {
    /// Convolution, residual addition, requantization and clamp.
    Conv(Conv<'a>),
    /// Maximum over a window.
    MaxPool(MaxPool),
    /// Mean over a window.
    AvgPool(AvgPool),
    /// Mean over all pixels.
    GlobalAvgPool(GlobalAvgPool),
    /// Classifier.
    Linear(Linear<'a>),
}

/// A sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Window {
    /// Height and width.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Padding on all four sides, at most the input's halo.
    pub padding: usize,
}

impl Window {
    /// Pixels of the window at output position `i` that lie on an input of `side` pixels, without padding.
    ///
    /// At least one if the window starts there, `i × stride < side`.
    pub(crate) fn on_tensor(&self, i: usize, side: usize) -> usize {
        self.kernel.min(side - i * self.stride)
    }
}

/// Parameters of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Conv<'a> {
    /// Tensor written.
    pub output: Tensor,
    /// Tensor added to the accumulators; may be the same memory as `output`.
    pub residual: Option<Tensor>,
    /// Projection shortcut that is added to the accumulators; never beside a residual.
    pub shortcut: Option<Shortcut>,
    /// Window.
    pub window: Window,
    /// Channels, cardinality and packing.
    pub shape: ConvShape,
    /// Fused activation: least and greatest output.
    pub clamp: (i8, i8),
    /// One entry per block of 16 lanes.
    pub blocks: &'a [Block],
    /// Packed weights.
    pub weights: &'a [i8],
    /// Order of their bytes: [`Packing::K8`] if the model has it and the shape
    /// [interleaves](ConvShape::interleaves).
    pub packing: Packing,
}

/// A 1×1 convolution whose products go to the accumulators of another: the projection shortcut of a block, joined with the
/// convolution that it is added to. Its weights and bias are among that one's.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Shortcut {
    /// Tensor read.
    pub input: Tensor,
    /// Step in both directions.
    pub stride: usize,
}

impl Shortcut {
    /// Offset in the tensor of the pixel read for output pixel (`y`, `x`).
    pub(crate) fn offset(&self, y: usize, x: usize) -> usize {
        self.input.offset(y * self.stride, x * self.stride)
    }
}

/// Parameters of a max pool.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MaxPool {
    /// Tensor written; same scale and zero point as the input.
    pub output: Tensor,
    /// Window.
    pub window: Window,
}

/// Parameters of an average pool.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AvgPool {
    /// Tensor written.
    pub output: Tensor,
    /// Window, without padding; it may reach beyond the input's last row and column, which are not counted.
    pub window: Window,
    /// Q31 multiplier of the sum over a whole window.
    pub multiplier: i32,
}

/// Parameters of a global average pool.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GlobalAvgPool {
    /// Tensor written, 1×2: the high digits, base 256, of the means of all channels and then the low ones.
    pub output: Tensor,
    /// Q31 multiplier.
    pub multiplier: i32,
}

/// Parameters of the classifier, whose input is what a global average pool gives: two digits a feature.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// Features and classes, as a 1×1 convolution.
    pub shape: ConvShape,
    /// One entry per block of 16 classes.
    pub blocks: &'a [LinearBlock],
    /// Packed weights.
    pub weights: &'a [i8],
}

impl Step<'_> {
    /// The tensor written; `None` for the classifier, which writes the logits.
    pub fn output(&self) -> Option<Tensor> {
        match self.op {
            Op::Conv(conv) => Some(conv.output),
            Op::MaxPool(pool) => Some(pool.output),
            Op::AvgPool(pool) => Some(pool.output),
            Op::GlobalAvgPool(pool) => Some(pool.output),
            Op::Linear(_) => None,
        }
    }

    /// The tensors read: the input, then a residual or what a joined shortcut reads.
    pub fn reads(&self) -> impl Iterator<Item = Tensor> {
        let more = match self.op {
            Op::Conv(conv) => conv.residual.or(conv.shortcut.map(|shortcut| shortcut.input)),
            _ => None,
        };
        core::iter::once(self.input).chain(more)
    }

    /// Multiply-accumulates of convolutions and the classifier.
    pub fn macs(&self) -> u64 {
        let (pixels, shape) = match self.op {
            Op::Conv(conv) => (conv.output.pixels(), conv.shape),
            Op::Linear(linear) => (1, linear.shape),
            Op::MaxPool(_) | Op::AvgPool(_) | Op::GlobalAvgPool(_) => return 0,
        };
        let inputs = shape.kernel * shape.kernel * shape.group_in() + shape.shortcut_channels;
        let per_pixel = shape.out_channels * inputs;
        pixels as u64 * per_pixel as u64
    }
}

fn invalid(what: &'static str, index: usize) -> LoadError {
    LoadError::Invalid { what, index }
}

impl<'a> Model<'a> {
    /// Validates `artifact` and borrows it.
    ///
    /// Reads every byte once, for the checksum; allocates nothing. After success no step can read or write
    /// outside the arena, overflow an accumulator or panic.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what is wrong.
    pub fn from_bytes(artifact: &'a [u8]) -> Result<Self, LoadError> {
        let model = Self::parse(artifact)?;
        if model.header.checksum.get() != checksum(artifact) {
            return Err(LoadError::Damaged);
        }
        model.validate()?;
        Ok(model)
    }

    /// Finds the sections; what they hold is not looked at yet.
    pub(crate) fn parse(artifact: &'a [u8]) -> Result<Self, LoadError> {
        if artifact.get(..MAGIC.len()) != Some(&MAGIC[..]) {
            return Err(LoadError::NotAnArtifact);
        }
        let truncated = |expected: usize| LoadError::WrongLength {
            expected: expected as u64,
            found: artifact.len() as u64,
        };
        if artifact.len() < CHECKSUM_FROM {
            return Err(truncated(size_of::<Header>()));
        }
        let version = u32::from_le_bytes([artifact[8], artifact[9], artifact[10], artifact[11]]);
        if version > VERSION {
            return Err(LoadError::NewerVersion { found: version });
        }
        if version < VERSION {
            return Err(LoadError::OlderVersion { found: version });
        }
        let (header, _) = Header::ref_from_prefix(artifact).map_err(|_| truncated(size_of::<Header>()))?;
        if header.header_len.get() as usize != size_of::<Header>() {
            return Err(invalid("header length", 0));
        }
        if header.file_len.get() != artifact.len() as u64 {
            return Err(LoadError::WrongLength {
                expected: header.file_len.get(),
                found: artifact.len() as u64,
            });
        }
        let section = |id: SectionId| -> Result<&'a [u8], LoadError> {
            let section = header.sections[id as usize];
            let (offset, len) = (section.offset.get(), section.len.get());
            let end = offset.checked_add(len).ok_or(invalid("section length", id as usize))?;
            let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
            range
                .filter(|(start, _)| start.is_multiple_of(SECTION_ALIGN))
                .and_then(|(start, end)| artifact.get(start..end))
                .ok_or(invalid("section outside the file or misaligned", id as usize))
        };
        let text =
            |id| core::str::from_utf8(section(id)?).map_err(|_| invalid("text is not UTF-8", id as usize));
        let whole = |id: SectionId| invalid("section is not whole records", id as usize);
        let (tensors, steps) = (SectionId::Tensors, SectionId::Steps);
        Ok(Self {
            header,
            tensors: <[TensorRecord]>::ref_from_bytes(section(tensors)?).map_err(|_| whole(tensors))?,
            steps: <[StepRecord]>::ref_from_bytes(section(steps)?).map_err(|_| whole(steps))?,
            params: section(SectionId::Params)?,
            weights: <[i8]>::ref_from_bytes(section(SectionId::Weights)?)
                .map_err(|_| whole(SectionId::Weights))?,
            classes: <[ClassRecord]>::ref_from_bytes(section(SectionId::Classes)?)
                .map_err(|_| whole(SectionId::Classes))?,
            strings: text(SectionId::Strings)?,
            metadata: text(SectionId::Metadata)?,
            preprocessing: preprocessing(header)?,
            packing: Packing::from_code(header.packing).ok_or(invalid("unknown packing", 0))?,
            len: artifact.len(),
        })
    }

    /// Order of the bytes of the weights.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Bytes of arena a [`Runner`](crate::Runner) needs.
    pub fn arena_len(&self) -> usize {
        self.header.arena_len.get() as usize
    }

    /// Bytes of the artifact.
    pub fn artifact_len(&self) -> usize {
        self.len
    }

    /// Multiply-accumulates of one inference (convolutions and classifier).
    pub fn macs(&self) -> u64 {
        self.header.macs.get()
    }

    /// How a frame becomes the input of the network.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// JSON for people and tools: source, calibration, measured accuracy.
    pub fn metadata(&self) -> &'a str {
        self.metadata
    }

    /// Number of classes, which is the number of logits.
    pub fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// Class of logit `index`.
    pub fn class(&self, index: usize) -> Option<Class<'a>> {
        let record = self.classes.get(index)?;
        Some(Class {
            id: self.text(record.id_offset.get(), record.id_len.get())?,
            label: self.text(record.label_offset.get(), record.label_len.get())?,
        })
    }

    /// The tensor that holds the preprocessed frame: RGB, `q = pixel − 128`.
    pub fn input(&self) -> Result<Tensor, LoadError> {
        self.tensor(self.header.input.get(), 0)
    }

    /// Number of steps.
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }

    /// All steps in execution order.
    pub fn steps(&self) -> impl Iterator<Item = Step<'a>> + '_ {
        (0..self.steps.len()).filter_map(|i| self.step(i).ok())
    }

    /// Decodes step `index`.
    ///
    /// # Errors
    ///
    /// Only if there is no such step: [`Self::from_bytes`] has decoded all of them.
    pub fn step(&self, index: usize) -> Result<Step<'a>, LoadError> {
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

    fn text(&self, offset: u32, len: u32) -> Option<&'a str> {
        let start = offset as usize;
        self.strings.get(start..start.checked_add(len as usize)?)
    }

    fn tensor(&self, id: u16, step: usize) -> Result<Tensor, LoadError> {
        let t = self
            .tensors
            .get(usize::from(id))
            .ok_or(invalid("step names a tensor that does not exist", step))?;
        // In range, so the casts below lose nothing; `validate` has seen every tensor.
        Ok(Tensor {
            arena_offset: t.arena_offset.get() as usize,
            height: t.height.get() as usize,
            width: t.width.get() as usize,
            channels: t.channels.get() as usize,
            halo: usize::from(t.halo),
            scale: t.scale.get(),
            zero_point: t.zero_point,
            fill: t.fill,
        })
    }

    fn window(record: &StepRecord, input: &Tensor, index: usize) -> Result<Window, LoadError> {
        let window = Window {
            kernel: usize::from(record.kernel),
            stride: usize::from(record.stride),
            padding: usize::from(record.padding),
        };
        if record.kernel == 0
            || record.kernel > MAX_KERNEL
            || record.stride == 0
            || window.padding > input.halo
        {
            return Err(invalid("window is empty, too large or padded beyond the input's halo", index));
        }
        Ok(window)
    }

    /// A window that stays on the input and its border, for all of `output`.
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

    fn disjoint(a: &Tensor, b: &Tensor) -> bool {
        let (a, b) = (a.arena_range(), b.arena_range());
        a.end <= b.start || b.end <= a.start
    }

    /// `count` records of type `T` from `offset` of the params section.
    fn params<T>(&self, offset: u64, count: usize, index: usize) -> Result<&'a [T], LoadError>
    where
        T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned,
    {
        usize::try_from(offset)
            .ok()
            .and_then(|offset| self.params.get(offset..))
            .and_then(|bytes| <[T]>::ref_from_prefix_with_elems(bytes, count).ok())
            .map(|(params, _)| params)
            .ok_or(invalid("parameters outside their section", index))
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
        if !Self::disjoint(input, &output) {
            return Err(invalid("input and output share memory", index));
        }
        let residual = match record.residual.get() {
            NO_TENSOR => None,
            id => {
                let residual = self.tensor(id, index)?;
                let same = (residual.height, residual.width, residual.channels)
                    == (output.height, output.width, output.channels);
                let in_place = residual.arena_offset == output.arena_offset && residual.halo == output.halo;
                if !same || !(in_place || Self::disjoint(&residual, &output)) {
                    return Err(invalid("residual does not match the output", index));
                }
                if !Self::disjoint(&residual, input) {
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
            if !Self::disjoint(&shortcut.input, input) {
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
        if !Self::disjoint(&input, output) {
            return Err(invalid("shortcut and output share memory", index));
        }
        Ok(Some(Shortcut { input, stride }))
    }

    fn max_pool(&self, record: &StepRecord, input: &Tensor, index: usize) -> Result<MaxPool, LoadError> {
        let output = self.tensor(record.output.get(), index)?;
        let window = Self::inner_window(record, input, &output, index)?;
        if input.channels != output.channels || !Self::disjoint(input, &output) {
            return Err(invalid("max pool changes the channels or shares memory", index));
        }
        Ok(MaxPool { output, window })
    }

    fn avg_pool(&self, record: &StepRecord, input: &Tensor, index: usize) -> Result<AvgPool, LoadError> {
        let output = self.tensor(record.output.get(), index)?;
        let window = Self::window(record, input, index)?;
        if input.channels != output.channels || !Self::disjoint(input, &output) {
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
        if !Self::disjoint(input, &output) {
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

    fn validate(&self) -> Result<(), LoadError> {
        let arena_len = self.header.arena_len.get();
        if arena_len > MAX_ARENA || usize::try_from(arena_len).is_err() {
            return Err(invalid("arena is absurdly large", 0));
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
        Ok(())
    }
}

/// Whether a pixel of `input` is there for each of `output`, `stride` pixels from one to the next.
fn starts_inside(input: &Tensor, output: &Tensor, stride: usize) -> bool {
    (output.height - 1) * stride < input.height && (output.width - 1) * stride < input.width
}

/// Whether `tensor` has two digits a channel.
fn is_digits(tensor: &Tensor) -> bool {
    (tensor.height, tensor.width, tensor.halo) == (1, 2, 0)
}

fn preprocessing(header: &Header) -> Result<Preprocessing, LoadError> {
    let p = &header.preprocessing;
    let interpolation =
        Interpolation::from_code(p.interpolation).ok_or_else(|| invalid("unknown resize filter", 0))?;
    let side_rounding =
        SideRounding::from_code(p.side_rounding).ok_or(invalid("unknown rounding of the resized side", 0))?;
    let crop_rounding =
        CropRounding::from_code(p.crop_rounding).ok_or(invalid("unknown rounding of the crop", 0))?;
    if p.channel_order != 0 || p.short_side.get() == 0 || p.short_side.get() > MAX_SIDE {
        return Err(invalid("unknown channel order or resize target", 0));
    }
    Ok(Preprocessing {
        short_side: p.short_side.get(),
        crop_height: p.crop_height.get(),
        crop_width: p.crop_width.get(),
        interpolation,
        side_rounding,
        crop_rounding,
        mean: p.mean.map(|x| x.get()),
        std: p.std.map(|x| x.get()),
    })
}

fn validate_tensor(t: &TensorRecord, arena_len: u64) -> Result<(), &'static str> {
    let sides = 1..=MAX_SIDE;
    if !sides.contains(&t.height.get()) || !sides.contains(&t.width.get()) || t.halo > MAX_KERNEL {
        return Err("tensor size out of range");
    }
    if !(1..=MAX_CHANNELS).contains(&t.channels.get()) {
        return Err("tensor channels out of range");
    }
    if !(t.scale.get().is_finite() && t.scale.get() > 0.0) {
        return Err("tensor scale is not positive");
    }
    let border = 2 * u64::from(t.halo);
    let extent = (u64::from(t.height) + border) * (u64::from(t.width) + border) * u64::from(t.channels);
    let offset = t.arena_offset.get();
    let end = offset.checked_add(extent + crate::format::TENSOR_SLACK as u64);
    if !offset.is_multiple_of(ARENA_ALIGN as u64) || end.is_none_or(|end| end > arena_len) {
        return Err("tensor outside the arena or misaligned");
    }
    Ok(())
}

/// Largest |accumulator| that the weights of one block can reach, without the initial value.
fn reach(shape: &ConvShape) -> i64 {
    (shape.block_len() / LANES) as i64 * 127 * 128
}

fn validate_conv(conv: &Conv<'_>) -> Result<(), &'static str> {
    if conv.weights.contains(&i8::MIN) {
        return Err("weight of −128");
    }
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
    if linear.weights.contains(&i8::MIN) {
        return Err("weight of −128");
    }
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
