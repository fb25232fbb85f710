//! Writes artifacts record by record.

use super::{Random, fix_checksum};
use resnext::format::{
    ARENA_ALIGN, Block, ClassRecord, Header, LANES, LinearBlock, MAGIC, MAX_DIGITS, NO_TENSOR, PoolParams,
    PreprocessingRecord, SECTION_ALIGN, SECTIONS, Section, StepKind, StepRecord, TENSOR_SLACK, TensorRecord,
    VERSION,
};
use resnext::pack::ConvShape;
use resnext::requantize::multiplier_for;
use zerocopy::{FromZeros, IntoBytes};

/// Fill of a border that a maximum must never see.
pub const LEAST: i8 = i8::MIN;

/// A network under construction. Layers get random weights and scales that keep activations well spread.
pub struct Builder {
    random: Random,
    tensors: Vec<TensorRecord>,
    steps: Vec<StepRecord>,
    params: Vec<u8>,
    weights: Vec<i8>,
    strings: String,
    arena_len: usize,
    macs: u64,
    classes: usize,
    /// The same layers unpacked, for the oracle.
    pub layers: Vec<Layer>,
}

/// What a step computes, before packing.
#[derive(Clone, Debug)]
pub struct Layer {
    pub kind: StepKind,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub groups: usize,
    pub input: u16,
    pub output: u16,
    pub residual: u16,
    pub shortcut: Option<Shortcut>,
    pub clamp: (i8, i8),
    /// `[out][kernel][kernel][in / groups]`.
    pub weights: Vec<i8>,
    pub bias: Vec<i32>,
    pub multiplier: Vec<i32>,
    pub residual_factor: Vec<i16>,
    pub scale: Vec<f32>,
}

/// A joined shortcut, before packing.
#[derive(Clone, Debug)]
pub struct Shortcut {
    pub input: u16,
    pub stride: usize,
    /// `[out][in]`.
    pub weights: Vec<i8>,
}

impl Default for Layer {
    fn default() -> Self {
        Self {
            kind: StepKind::Conv,
            kernel: 1,
            stride: 1,
            padding: 0,
            groups: 1,
            input: 0,
            output: 0,
            residual: NO_TENSOR,
            shortcut: None,
            clamp: (i8::MIN, i8::MAX),
            weights: vec![],
            bias: vec![],
            multiplier: vec![],
            residual_factor: vec![],
            scale: vec![],
        }
    }
}

/// Shape of a convolution that [`Builder::conv`] makes.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub kernel: u8,
    pub stride: u8,
    pub padding: u8,
    pub groups: u32,
}

/// A 1×1 convolution.
pub const POINTWISE: Window = Window { kernel: 1, stride: 1, padding: 0, groups: 1 };

impl Builder {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            tensors: vec![],
            steps: vec![],
            params: vec![],
            weights: vec![],
            strings: String::new(),
            arena_len: 0,
            macs: 0,
            classes: 0,
            layers: vec![],
        }
    }

    /// A tensor after all others in the arena.
    pub fn tensor(&mut self, height: u32, width: u32, channels: u32, halo: u8) -> u16 {
        let zero_point = self.random.below(41) as i8 - 20;
        let offset = self.arena_len.next_multiple_of(ARENA_ALIGN);
        let sides = (height as usize + 2 * usize::from(halo)) * (width as usize + 2 * usize::from(halo));
        self.arena_len = offset + sides * channels as usize + TENSOR_SLACK;
        self.tensors.push(TensorRecord {
            arena_offset: (offset as u64).into(),
            height: height.into(),
            width: width.into(),
            channels: channels.into(),
            scale: 0.05.into(),
            halo,
            zero_point,
            fill: [zero_point; 4],
            reserved: [0; 2],
        });
        (self.tensors.len() - 1) as u16
    }

    /// A tensor with the shape and the memory of `other`.
    pub fn alias(&mut self, other: u16) -> u16 {
        let mut record = self.tensors[usize::from(other)].clone();
        record.zero_point = self.random.below(41) as i8 - 20;
        record.fill = [record.zero_point; 4];
        self.tensors.push(record);
        (self.tensors.len() - 1) as u16
    }

    /// The record of `tensor`, to be changed.
    pub fn tensor_mut(&mut self, tensor: u16) -> &mut TensorRecord {
        &mut self.tensors[usize::from(tensor)]
    }

    fn shape(&self, tensor: u16) -> (usize, usize, usize) {
        let t = &self.tensors[usize::from(tensor)];
        (t.height.get() as usize, t.width.get() as usize, t.channels.get() as usize)
    }

    fn name(&mut self, name: &str) -> (u32, u32) {
        let offset = self.strings.len() as u32;
        self.strings.push_str(name);
        (offset, name.len() as u32)
    }

    fn align_params(&mut self) -> u64 {
        self.params.resize(self.params.len().next_multiple_of(SECTION_ALIGN), 0);
        self.params.len() as u64
    }

    fn pack(&mut self, shape: &ConvShape, weights: &[i8], shortcut: &[i8]) -> u64 {
        let offset = self.weights.len();
        self.weights.resize(offset + shape.packed_len(), 0);
        shape.pack(weights, shortcut, &mut self.weights[offset..]);
        offset as u64
    }

    /// A convolution with random parameters; adds `residual` unless it is [`NO_TENSOR`].
    pub fn conv(&mut self, name: &str, window: Window, input: u16, output: u16, residual: u16) {
        self.conv_and(name, window, [input, output, residual], None);
    }

    /// A 1×1 convolution with random parameters, joined with a shortcut that reads every `stride`-th pixel of `from`.
    pub fn joined(&mut self, name: &str, input: u16, output: u16, (from, stride): (u16, u8)) {
        self.conv_and(name, POINTWISE, [input, output, NO_TENSOR], Some((from, stride)));
    }

    fn conv_and(
        &mut self,
        name: &str,
        window: Window,
        [input, output, residual]: [u16; 3],
        shortcut: Option<(u16, u8)>,
    ) {
        let ((_, _, in_channels), (height, width, out_channels)) = (self.shape(input), self.shape(output));
        let shape = ConvShape {
            in_channels,
            out_channels,
            kernel: usize::from(window.kernel),
            groups: window.groups as usize,
            shortcut_channels: shortcut.map_or(0, |(from, _)| self.shape(from).2),
        };
        let window_taps = shape.kernel * shape.kernel * shape.group_in();
        let weights: Vec<i8> = (0..out_channels * window_taps).map(|_| self.random.weight()).collect();
        let (shortcut_record, shortcut_stride) =
            shortcut.map_or((NO_TENSOR, 0), |(from, stride)| (from, stride));
        let shortcut = shortcut.map(|(input, stride)| Shortcut {
            input,
            stride: usize::from(stride),
            weights: (0..out_channels * shape.shortcut_channels).map(|_| self.random.weight()).collect(),
        });
        let taps = window_taps + shape.shortcut_channels;
        // Activations and weights spread over about ±74 each, so their products sum to about 74² √taps; a
        // standard deviation of about 50 keeps most outputs inside int8 and clamps some.
        let typical = 50.0 / (74.0 * 74.0 * (taps as f64).sqrt());
        let ratios: Vec<f64> =
            (0..out_channels).map(|_| typical * (0.5 + self.random.below(1000) as f64 / 1000.0)).collect();
        let zero_point = f64::from(self.zero_point(output));
        let factor = if residual == NO_TENSOR { 0.0 } else { 0.7 };
        let layer = Layer {
            kernel: shape.kernel,
            stride: usize::from(window.stride),
            padding: usize::from(window.padding),
            groups: shape.groups,
            input,
            output,
            residual,
            shortcut,
            // Every other convolution has a fused ReLU.
            clamp: if self.layers.len().is_multiple_of(2) {
                (self.zero_point(output), i8::MAX)
            } else {
                (i8::MIN, i8::MAX)
            },
            bias: ratios
                .iter()
                .map(|ratio| ((self.random.below(61) as f64 - 30.0 + zero_point) / ratio) as i32)
                .collect(),
            multiplier: ratios.iter().map(|&ratio| multiplier_for(ratio).expect("small ratios")).collect(),
            residual_factor: ratios
                .iter()
                .map(|ratio| (factor / ratio).min(f64::from(i16::MAX)) as i16)
                .collect(),
            weights,
            ..Layer::default()
        };
        let shortcut_weights = layer.shortcut.as_ref().map_or(&[][..], |shortcut| &shortcut.weights);
        let weights_offset = self.pack(&shape, &layer.weights, shortcut_weights);
        let params_offset = self.align_params();
        for block in 0..shape.blocks() {
            let mut record = Block::new_zeroed();
            for lane in 0..LANES {
                if let Some(channel) = shape.channel(block, lane) {
                    let sum = |weights: &[i8]| -> i32 {
                        let taps = weights.len() / out_channels;
                        weights[channel * taps..][..taps].iter().map(|&w| i32::from(w)).sum()
                    };
                    record.bias[lane].set(layer.bias[channel]);
                    record.multiplier[lane].set(layer.multiplier[channel]);
                    record.weight_sum[lane].set(sum(&layer.weights) + sum(shortcut_weights));
                    record.residual[lane].set(layer.residual_factor[channel]);
                }
            }
            self.params.extend_from_slice(record.as_bytes());
        }
        self.macs += (height * width * out_channels * taps) as u64;
        let (name_offset, name_len) = self.name(name);
        self.steps.push(StepRecord {
            kind: StepKind::Conv as u8,
            layout: shape.layout() as u8,
            kernel: window.kernel,
            stride: window.stride,
            padding: window.padding,
            clamp_min: layer.clamp.0,
            clamp_max: layer.clamp.1,
            input: input.into(),
            output: output.into(),
            residual: residual.into(),
            shortcut: shortcut_record.into(),
            shortcut_stride,
            groups: window.groups.into(),
            out_channels: (out_channels as u32).into(),
            name_offset: name_offset.into(),
            name_len: name_len.into(),
            weights_offset: weights_offset.into(),
            params_offset: params_offset.into(),
        });
        self.layers.push(layer);
    }

    fn zero_point(&self, tensor: u16) -> i8 {
        self.tensors[usize::from(tensor)].zero_point
    }

    /// A max pool: the output takes the input's quantization.
    pub fn max_pool(&mut self, name: &str, window: Window, input: u16, output: u16) {
        self.tensors[usize::from(input)].fill = [LEAST; 4];
        let zero_point = self.zero_point(input);
        self.tensors[usize::from(output)].zero_point = zero_point;
        self.tensors[usize::from(output)].fill = [zero_point; 4];
        let layer = Layer {
            kind: StepKind::MaxPool,
            kernel: usize::from(window.kernel),
            stride: usize::from(window.stride),
            padding: usize::from(window.padding),
            input,
            output,
            ..Layer::default()
        };
        self.plain_step(name, layer, 0, 0, 0);
    }

    /// A mean over a window.
    pub fn avg_pool(&mut self, name: &str, window: Window, input: u16, output: u16) {
        let ratio = (1.5 / f64::from(window.kernel).powi(2)).min(0.9);
        let multiplier = multiplier_for(ratio).expect("below one");
        let params_offset = self.align_params();
        self.params.extend_from_slice(PoolParams { multiplier: multiplier.into() }.as_bytes());
        let layer = Layer {
            kind: StepKind::AvgPool,
            kernel: usize::from(window.kernel),
            stride: usize::from(window.stride),
            padding: usize::from(window.padding),
            input,
            output,
            multiplier: vec![multiplier],
            ..Layer::default()
        };
        self.plain_step(name, layer, 0, 0, params_offset);
    }

    /// A mean over all pixels, of all the bits that fit.
    pub fn global_avg_pool(&mut self, name: &str, input: u16, output: u16) {
        let (height, width, _) = self.shape(input);
        let ratio = f64::from(MAX_DIGITS) / (255 * height * width) as f64;
        let multiplier = multiplier_for(ratio).unwrap_or(i32::MAX);
        let params_offset = self.align_params();
        self.params.extend_from_slice(PoolParams { multiplier: multiplier.into() }.as_bytes());
        let layer = Layer {
            kind: StepKind::GlobalAvgPool,
            input,
            output,
            multiplier: vec![multiplier],
            ..Layer::default()
        };
        self.plain_step(name, layer, 0, 0, params_offset);
    }

    /// The classifier.
    pub fn linear(&mut self, name: &str, input: u16, classes: usize) {
        let (_, _, features) = self.shape(input);
        let shape = ConvShape {
            in_channels: features,
            out_channels: classes,
            kernel: 1,
            groups: 1,
            shortcut_channels: 0,
        };
        let layer = Layer {
            kind: StepKind::Linear,
            input,
            output: NO_TENSOR,
            weights: (0..classes * features).map(|_| self.random.weight()).collect(),
            bias: (0..classes).map(|_| self.random.below(20_001) as i32 - 10_000).collect(),
            scale: (0..classes).map(|_| 1e-7 * (1.0 + self.random.below(1000) as f32 / 1000.0)).collect(),
            ..Layer::default()
        };
        let weights_offset = self.pack(&shape, &layer.weights, &[]);
        let params_offset = self.align_params();
        for block in 0..shape.blocks() {
            let mut record = LinearBlock::new_zeroed();
            for lane in 0..LANES {
                if let Some(class) = shape.channel(block, lane) {
                    let weights = &layer.weights[class * features..][..features];
                    record.bias[lane].set(layer.bias[class]);
                    record.scale[lane].set(layer.scale[class]);
                    record.weight_sum[lane].set(weights.iter().map(|&w| i32::from(w)).sum());
                }
            }
            self.params.extend_from_slice(record.as_bytes());
        }
        self.classes = classes;
        self.macs += (classes * features) as u64;
        self.plain_step(name, layer, classes, weights_offset, params_offset);
    }

    /// A step other than a convolution.
    fn plain_step(
        &mut self,
        name: &str,
        layer: Layer,
        out_channels: usize,
        weights_offset: u64,
        params_offset: u64,
    ) {
        let (name_offset, name_len) = self.name(name);
        self.steps.push(StepRecord {
            kind: layer.kind as u8,
            layout: 0,
            kernel: layer.kernel as u8,
            stride: layer.stride as u8,
            padding: layer.padding as u8,
            clamp_min: layer.clamp.0,
            clamp_max: layer.clamp.1,
            input: layer.input.into(),
            output: layer.output.into(),
            residual: NO_TENSOR.into(),
            shortcut: NO_TENSOR.into(),
            shortcut_stride: 0,
            groups: 1.into(),
            out_channels: (out_channels as u32).into(),
            name_offset: name_offset.into(),
            name_len: name_len.into(),
            weights_offset: weights_offset.into(),
            params_offset: params_offset.into(),
        });
        self.layers.push(layer);
    }

    /// The artifact. The input is tensor 0. The weights come last, so that reading past them is reading past
    /// the artifact.
    pub fn finish(mut self) -> Built {
        let mut classes = vec![];
        for class in 0..self.classes {
            let (id_offset, id_len) = self.name(&format!("n{class:08}"));
            let (label_offset, label_len) = self.name(&format!("thing {class}"));
            classes.push(ClassRecord {
                id_offset: id_offset.into(),
                id_len: id_len.into(),
                label_offset: label_offset.into(),
                label_len: label_len.into(),
            });
        }
        let metadata = r#"{"source":"tests/support"}"#;
        // Indexed by `SectionId`.
        let contents: [&[u8]; SECTIONS] = [
            self.tensors.as_bytes(),
            self.steps.as_bytes(),
            &self.params,
            self.weights.as_bytes(),
            classes.as_bytes(),
            self.strings.as_bytes(),
            metadata.as_bytes(),
        ];
        let mut bytes = vec![0; size_of::<Header>()];
        let mut sections = [Section::default(); SECTIONS];
        for index in [0, 1, 2, 4, 5, 6, 3] {
            bytes.resize(bytes.len().next_multiple_of(SECTION_ALIGN), 0);
            sections[index] =
                Section { offset: (bytes.len() as u64).into(), len: (contents[index].len() as u64).into() };
            bytes.extend_from_slice(contents[index]);
        }
        let (height, width, _) = self.shape(0);
        let header = Header {
            magic: MAGIC,
            version: VERSION.into(),
            header_len: (size_of::<Header>() as u32).into(),
            checksum: 0.into(),
            file_len: (bytes.len() as u64).into(),
            arena_len: (self.arena_len as u64).into(),
            sections,
            preprocessing: PreprocessingRecord {
                short_side: (height.min(width) as u32 + 2).into(),
                crop_height: (height as u32).into(),
                crop_width: (width as u32).into(),
                interpolation: 0,
                side_rounding: 0,
                crop_rounding: 0,
                channel_order: 0,
                mean: [0.5.into(); 3],
                std: [0.25.into(); 3],
            },
            macs: self.macs.into(),
            input: 0.into(),
            packing: 0,
            reserved: [0; 5],
        };
        bytes[..size_of::<Header>()].copy_from_slice(header.as_bytes());
        fix_checksum(&mut bytes);
        Built { bytes, tensors: self.tensors, layers: self.layers }
    }
}

/// A finished artifact and what went into it.
pub struct Built {
    pub bytes: Vec<u8>,
    pub tensors: Vec<TensorRecord>,
    pub layers: Vec<Layer>,
}

/// A network in miniature with everything that a deep one has: a stem of three convolutions, an average pool of `pool`
/// on an image of `height` × `width`, and an ungrouped 3×3 with stride.
pub fn deep(height: u32, width: u32, pool: Window) -> Built {
    let mut b = Builder::new(27);
    let image = b.tensor(height, width, 3, 1);
    b.tensor_mut(image).fill = [-4, -12, -25, 0];
    b.tensor_mut(image).zero_point = i8::MIN;
    let halved = |side: u32| side.div_ceil(2);
    let spatial = |stride| Window { kernel: 3, stride, padding: 1, groups: 1 };
    let (h, w) = (halved(height), halved(width));
    let (a, c) = (b.tensor(h, w, 8, 1), b.tensor(h, w, 8, 1));
    // The average pool's input has a border, which must not count.
    let stem = b.tensor(h, w, 70, 1);
    b.conv("conv1.0", spatial(2), image, a, NO_TENSOR);
    b.conv("conv1.3", spatial(1), a, c, NO_TENSOR);
    b.conv("conv1.6", spatial(1), c, stem, NO_TENSOR);
    let positions = |side: u32| {
        let (kernel, stride) = (u32::from(pool.kernel), u32::from(pool.stride));
        side.saturating_sub(kernel).div_ceil(stride) + 1
    };
    let averaged = b.tensor(positions(h), positions(w), 70, 2);
    b.avg_pool("avgpool", pool, stem, averaged);
    let last = b.tensor(halved(positions(h)), halved(positions(w)), 21, 0);
    b.conv("conv2", spatial(2), averaged, last, NO_TENSOR);
    let mean = b.tensor(1, 2, 21, 0);
    b.global_avg_pool("global_pool", last, mean);
    b.linear("fc", mean, 5);
    b.finish()
}

/// A network with one of everything: the four weight layouts, partial blocks, segments that are not whole
/// k-groups, strides, both kinds of residual, a joined shortcut, halos of 0, 1 and 3, windows that reach beyond an odd side.
pub fn small() -> Built {
    let mut b = Builder::new(26);
    let add = NO_TENSOR;
    let image = b.tensor(30, 26, 3, 3);
    // Normalisation is folded into the stem, so each channel's border is its own mean.
    b.tensor_mut(image).fill = [-4, -12, -25, 0];
    b.tensor_mut(image).zero_point = i8::MIN;
    let stem = b.tensor(15, 13, 16, 1);
    b.conv("conv1", Window { kernel: 7, stride: 2, padding: 3, groups: 1 }, image, stem, add);
    let pooled = b.tensor(8, 7, 16, 0);
    b.max_pool("maxpool", Window { kernel: 3, stride: 2, padding: 1, groups: 1 }, stem, pooled);

    // Four channels a group; the residual is added in place.
    let narrow = b.tensor(8, 7, 32, 1);
    b.conv("layer1.0.conv1", POINTWISE, pooled, narrow, add);
    let grouped = b.tensor(8, 7, 32, 0);
    b.conv("layer1.0.conv2", Window { kernel: 3, stride: 1, padding: 1, groups: 8 }, narrow, grouped, add);
    let shortcut = b.tensor(8, 7, 40, 0);
    b.conv("layer1.0.downsample", POINTWISE, pooled, shortcut, add);
    let wide = b.alias(shortcut);
    b.conv("layer1.0.conv3", POINTWISE, grouped, wide, shortcut);

    // Eight channels a group, stride 2; the residual has other memory and another halo.
    let narrow = b.tensor(8, 7, 64, 1);
    b.conv("layer2.0.conv1", POINTWISE, wide, narrow, add);
    let grouped = b.tensor(4, 4, 64, 0);
    b.conv("layer2.0.conv2", Window { kernel: 3, stride: 2, padding: 1, groups: 8 }, narrow, grouped, add);
    let shortcut = b.tensor(4, 4, 40, 1);
    b.conv("layer2.0.downsample", Window { stride: 2, ..POINTWISE }, wide, shortcut, add);
    let sum = b.tensor(4, 4, 40, 1);
    b.conv("layer2.0.conv3", POINTWISE, grouped, sum, shortcut);

    // Seven columns are pooled to four; an ungrouped 3×3.
    let averaged = b.tensor(4, 4, 40, 1);
    b.avg_pool("layer2.1.avgpool", Window { kernel: 2, stride: 2, padding: 0, groups: 1 }, wide, averaged);
    let mixed = b.tensor(4, 4, 40, 2);
    b.conv("layer2.1.conv2", Window { kernel: 3, stride: 1, padding: 1, groups: 1 }, averaged, mixed, sum);

    // A shortcut that is joined with the convolution that it is added to, and reads every other pixel.
    let grouped = b.tensor(2, 2, 24, 0);
    b.conv("layer3.0.conv2", Window { kernel: 3, stride: 2, padding: 1, groups: 4 }, mixed, grouped, add);
    let joined = b.tensor(2, 2, 50, 1);
    b.joined("layer3.0.conv3", grouped, joined, (mixed, 2));

    // Ten channels in and nine out a group: nothing is a multiple of anything.
    let odd = b.tensor(2, 2, 45, 0);
    b.conv("layer4.0.conv2", Window { kernel: 3, stride: 1, padding: 1, groups: 5 }, joined, odd, add);
    let mean = b.tensor(1, 2, 45, 0);
    b.global_avg_pool("avgpool", odd, mean);
    b.linear("fc", mean, 21);
    b.finish()
}
